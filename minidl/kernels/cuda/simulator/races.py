"""Who used each place of an array last, and when: from that, races are found.

A race needs two threads, one place, a write, and nothing that says who comes first: no barrier of their
block, no barrier of their warp, and they are not both atomic. For each place a ledger keeps the last writer,
the last reader and the last atomic update, each as one number, its stamp:

    stamp = clock * span + who + 1         0: nobody yet

`who` is a thread; or, if several have read a place, a group that they all belong to: their warp, their block,
or all threads. That is coarser than a list of all readers, and enough: a race with one of them is a race.

Most accesses come after a barrier that ended all earlier ones, and one comparison of stamps says so. Reads
are not even entered: they wait in a log, which the next barrier empties, unless a write comes before it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minidl.kernels.cuda.simulator.machine import WARP, Machine

LOGGED = 1 << 20
"""Reads that the log keeps before they are entered."""


class Use(NamedTuple):
    """An access: the lanes that take part (None: all), and the places of each, an array (lanes, width).

    low, high: the least and greatest index, as the kernel counts.
    """

    machine: Machine
    lanes: np.ndarray | None
    flat: np.ndarray
    width: int
    low: int
    high: int
    clock: int

    def of(self, of_lanes: np.ndarray) -> np.ndarray:
        """Something that each lane has, for those that take part, as a column."""
        return (of_lanes if self.lanes is None else of_lanes.take(self.lanes))[:, None]

    def lane(self, k: int) -> int:
        return k if self.lanes is None else int(self.lanes[k])


def gather(array: np.ndarray, flat: np.ndarray, width: int) -> np.ndarray:
    """The elements at flat, flat + 1, ... flat + width - 1, as an array (len(flat), width)."""
    if width == 1:
        return array.take(flat)[:, None]
    if not (flat % width).any():
        return array[: len(array) // width * width].reshape(-1, width).take(flat // width, axis=0)
    return array.take(flat[:, None] + np.arange(width))


def scatter(array: np.ndarray, flat: np.ndarray, width: int, values) -> None:
    """The way back. values: (len(flat), width), or anything that can be broadcast to it."""
    if width == 1:
        array[flat] = values[:, 0] if isinstance(values, np.ndarray) and values.ndim else values
    else:
        array[flat[:, None] + np.arange(width)] = values


class Ledger:
    """The last uses of the places of one array.

    threads: how many take part in all. of_block: of them in a block. private: does each place belong to one
    block only, as in shared memory?
    """

    def __init__(self, places: int, threads: int, of_block: int, private: bool):
        self.places, self.threads, self.of_block, self.private = places, threads, of_block, private
        self.warps = -(-of_block // WARP)
        self.blocks = threads // of_block
        self.groups = threads, threads + self.blocks * self.warps
        self.all_threads = threads + self.blocks * self.warps + self.blocks
        self.span = self.all_threads + 2
        self.writer = np.zeros(places, np.int64)
        self.reader: np.ndarray | None = None
        self.updater: np.ndarray | None = None
        self.log: list[Use] = []
        self.logged = 0

    def _me(self, use: Use) -> np.ndarray:
        return use.of(use.machine.geometry.lane if self.private else use.machine.identity)

    def _my_block(self, use: Use) -> np.ndarray:
        return use.of(use.machine.block_of) + (0 if self.private else use.machine.first)

    def _my_warp(self, use: Use) -> np.ndarray:
        return use.of(use.machine.warp_of) + (0 if self.private else use.machine.first * self.warps)

    def _groups_of(self, who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The warp and the block of threads or groups; -1 where they have none in common."""
        of_warps, of_blocks = self.groups
        a_thread, a_warp = who < of_warps, who < of_blocks
        warp = np.where(
            a_thread, who // self.of_block * self.warps + who % self.of_block // WARP, who - of_warps
        )
        block = np.where(a_warp, warp // self.warps, who - of_blocks)
        return np.where(a_warp, warp, -1), np.where(who < self.all_threads, block, -1)

    # -- races ---------------------------------------------------------------------------------------

    def rivals(self, use: Use, stamps: np.ndarray) -> np.ndarray | None:
        """Which of these stamps are of others, and not over; None if all are."""
        newest = stamps.max(initial=0)
        if not newest:
            return None
        machine = use.machine
        if self.private and machine.all_since and newest < machine.all_since * self.span:
            return None
        clock, who = np.divmod(stamps, self.span)
        open_ones = (who > 0) & (who - 1 != self._me(use))
        if not open_ones.any():
            return None
        open_ones &= ~self._over(use, clock, who - 1)
        return open_ones if open_ones.any() else None

    def _over(self, use: Use, clock: np.ndarray, who: np.ndarray) -> np.ndarray:
        """Has a barrier of the block or the warp come between then and now?"""
        machine = use.machine
        warp, block = self._groups_of(who)
        in_block = (block == self._my_block(use)) & (
            clock < use.of(machine.last_barrier.take(machine.block_of))
        )
        since_warp = use.of(machine.last_warp_barrier.take(machine.warp_of))
        return in_block | ((warp == self._my_warp(use)) & (clock < since_warp))

    def who(self, stamp: int) -> int | None:
        """The thread that a stamp names; None if it is a group."""
        who = int(stamp) % self.span - 1
        return who if who < self.threads else None

    # -- entries -------------------------------------------------------------------------------------

    def stamps(self, use: Use) -> np.ndarray:
        return self._me(use) + (use.clock * self.span + 1)

    def enter_write(self, use: Use) -> None:
        stamps = self.stamps(use)
        scatter(self.writer, use.flat, use.width, stamps)

    def enter_read(self, use: Use) -> None:
        """Put a read into the log."""
        self.log.append(use)
        self.logged += use.flat.size
        if self.logged > LOGGED:
            self.settle()

    def forget_reads(self) -> None:
        """All blocks have met: whatever was read, was read before."""
        if self.log:
            self.log, self.logged = [], 0

    def readers(self, use: Use) -> np.ndarray | None:
        """The stamps of those who have read the places of a write; None if nobody has."""
        if any(read.low <= use.high and use.low <= read.high for read in self.log):
            self.settle()
        return None if self.reader is None else gather(self.reader, use.flat, use.width)

    def settle(self) -> None:
        """Enter the reads of the log."""
        if self.reader is None:
            self.reader = np.zeros(self.places, np.int64)
        for use in self.log:
            self._enter(self.reader, use)
        self.log, self.logged = [], 0

    def enter_update(self, use: Use) -> None:
        """Enter an atomic update."""
        if self.updater is None:
            self.updater = np.zeros(self.places, np.int64)
        self._enter(self.updater, use)

    def _enter(self, book: np.ndarray, use: Use) -> None:
        """Stamp places, for a group where others are there already, or come at the same time."""
        mine = np.broadcast_to(self.stamps(use), (len(use.flat), use.width))
        before = gather(book, use.flat, use.width)
        rivals = self.rivals(use, before)
        if rivals is not None:
            mine = np.where(rivals, self._together(use, before), mine)
        scatter(book, use.flat, use.width, mine)
        after = gather(book, use.flat, use.width)
        lost = after != mine
        if lost.any():
            places = (use.flat[:, None] + np.arange(use.width))[lost]
            np.maximum.at(book, places, self._together(use, after)[lost])

    def _together(self, use: Use, stamps: np.ndarray) -> np.ndarray:
        """Stamps of the smallest groups that contain those of other stamps, and these lanes."""
        warp, block = self._groups_of(stamps % self.span - 1)
        of_warps, of_blocks = self.groups
        who = np.where(block == self._my_block(use), block + of_blocks, self.all_threads)
        who = np.where((warp == self._my_warp(use)) & (warp >= 0), warp + of_warps, who)
        return who + (use.clock * self.span + 1)
