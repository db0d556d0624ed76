"""Blocks that run together: all their threads ("lanes") execute a line at the same time, under a mask.

    lane = block in the batch * threads a block + thread in the block

So a line of Python is interpreted once for thousands of threads, and NumPy does the rest.

Time is a clock that ticks at each barrier. Of two accesses in one block the barrier decides: what happened
before the block's last barrier is over. That is how races are found (`races.py`).
"""

from __future__ import annotations

import functools
import math

import numpy as np

from minidl.kernels.cuda.simulator.errors import DivergentBarrier, KernelError
from minidl.kernels.cuda.simulator.lanes import Mask

WARP = 32
"""Threads that execute one instruction together."""


class Geometry:
    """Where each lane of a batch of blocks is: its thread, block, warp. All batches of a launch share it."""

    def __init__(self, block: tuple[int, int, int], blocks: int):
        self.block, self.threads = block, math.prod(block)
        self.warps = -(-self.threads // WARP)
        self.lane = np.arange(blocks * self.threads)
        self.thread = np.tile(np.arange(self.threads), blocks)
        self.block_of = np.repeat(np.arange(blocks), self.threads)
        self.warp_of = self.block_of * self.warps + self.thread // WARP
        self.in_warp = self.thread % WARP

    @functools.cached_property
    def thread_index(self) -> list:
        """threadIdx.x, .y, .z of each lane; one number along an axis of length 1."""
        along = [self.thread // math.prod(self.block[:axis]) % self.block[axis] for axis in range(3)]
        return [a if size > 1 else 0 for a, size in zip(along, self.block, strict=True)]

    @functools.cached_property
    def everyone(self) -> Mask:
        return Mask(np.ones(len(self.lane), bool))

    @functools.cached_property
    def neighbours(self) -> dict:
        """Tables of lanes that shuffles have used."""
        return {}


geometry = functools.lru_cache(32)(Geometry)


class Machine:
    """A batch of blocks of one launch.

    first, count: its blocks, counted through the grid. recorder: None, or what `trace` collects in.
    """

    def __init__(self, name: str, grid: tuple, block: tuple, first: int, count: int, shared: int, recorder):
        self.name, self.grid, self.block, self.dynamic_shared = name, grid, block, shared
        self.recorder, self.first, self.blocks = recorder, first, count
        self.geometry = place = geometry(block, count)
        self.threads, self.warps, self.lanes = place.threads, place.warps, len(place.lane)
        self.thread, self.block_of, self.warp_of = place.thread, place.block_of, place.warp_of
        self.everyone = place.everyone
        self.clock = 1
        self.last_barrier = np.ones(count, np.int64)  # when, by block
        self.last_warp_barrier = np.ones(count * self.warps, np.int64)
        self.all_since: int | None = 1  # the last barrier, if all blocks were there
        self.exited = np.zeros(self.lanes, bool)
        self.shared: dict = {}
        self.shared_bytes = 0
        self.copies: list[list] = [[]]  # groups of copies in the background; the last is not yet committed
        self.where: tuple = (None, 0)  # the function and line that are being executed

    # -- who am I? -----------------------------------------------------------------------------------

    def index(self, name: str, axis: int):
        """threadIdx, blockIdx, blockDim or gridDim along an axis."""
        if name == "threadIdx":
            return self.geometry.thread_index[axis]
        return (
            self._block_index(axis)
            if name == "blockIdx"
            else (self.block, self.grid)[name == "gridDim"][axis]
        )

    def _block_index(self, axis: int):
        numbers = np.arange(self.first, self.first + self.blocks)
        along = numbers // math.prod(self.grid[:axis]) % self.grid[axis]
        return int(along[0]) if (along == along[0]).all() else along.take(self.block_of)

    @functools.cached_property
    def identity(self) -> np.ndarray:
        """The number of each lane in the whole grid."""
        return self.geometry.lane + self.first * self.threads

    def place(self, identity: int) -> str:
        """A thread, given by its number in the whole grid, as a kernel counts: its block and thread."""
        number, thread = divmod(int(identity), self.threads)
        block = [number // math.prod(self.grid[:i]) % self.grid[i] for i in range(3)]
        within = [thread // math.prod(self.block[:i]) % self.block[i] for i in range(3)]
        return f"block {_short(block, self.grid)}, thread {_short(within, self.block)}"

    def fail(self, kind: type[KernelError], message: str, lane: int | None = None):
        """Raise with the line that is being executed. lane: the one to blame."""
        program, line = self.where
        who = "" if lane is None else f" ({self.place(self.identity[lane])})"
        name = self.name
        if program is None:
            raise kind(f"{name}{who}: {message}")
        if program.name != name:
            name = f"{name}, in {program.name}"
        raise kind(f"{name}, line {line}: `{program.source(line)}`{who}: {message}")

    # -- barriers ------------------------------------------------------------------------------------

    def barrier(self, mask: Mask) -> None:
        """All threads of a block that still run must be here."""
        self.clock += 1
        waiting = None if mask.full else self._complete_blocks(mask)
        if waiting is None or waiting.all():
            self.last_barrier[:] = self.last_warp_barrier[:] = self.all_since = self.clock
            for array in self.shared.values():
                array.ledger.forget_reads()
        else:
            self.last_barrier[waiting] = self.clock
            self.last_warp_barrier[np.repeat(waiting, self.warps)] = self.clock
            self.all_since = None

    def _complete_blocks(self, mask: Mask) -> np.ndarray:
        """Which blocks wait; refuses if one of their threads is elsewhere."""
        shape = self.blocks, self.threads
        here = mask.lanes.reshape(shape)
        waiting = here.any(1)
        missing = ~here & ~self.exited.reshape(shape) & waiting[:, None]
        if missing.any():
            absent = int(np.flatnonzero(missing.ravel())[0])
            present = int(np.flatnonzero(mask.lanes & (self.block_of == self.block_of[absent]))[0])
            self.fail(
                DivergentBarrier,
                f"it waits for all threads of the block, and {self.place(self.identity[absent])} does not "
                "come here. Fix: move syncthreads() out of the `if` or loop that not all of them enter",
                present,
            )
        return waiting

    def warp_barrier(self, mask: Mask, members) -> None:
        """All lanes of a warp that are named must be here."""
        self.meet(mask, members)
        self.clock += 1
        self.last_warp_barrier[self.warp_of if mask.full else self.warp_of.take(mask.places)] = self.clock

    def meet(self, mask: Mask, members) -> None:
        """Lanes of a warp exchange values: those that still run and are named must all be here."""
        if mask.full:
            return
        named = (np.asarray(members).astype(np.int64) >> self.geometry.in_warp) & 1 != 0
        warp_waits = np.zeros(self.blocks * self.warps, bool)
        warp_waits[self.warp_of.take(mask.places)] = True
        missing = named & ~mask.lanes & ~self.exited & warp_waits.take(self.warp_of)
        if missing.any():
            absent = int(np.flatnonzero(missing)[0])
            present = int(np.flatnonzero(mask.lanes & (self.warp_of == self.warp_of[absent]))[0])
            self.fail(
                DivergentBarrier,
                f"the lanes of a warp meet here, and {self.place(self.identity[absent])} does not take part. "
                "Fix: move it out of the `if` or loop that not all of them enter, or take a smaller mask",
                present,
            )

    def vector(self, value) -> np.ndarray:
        """A value as an array with one number for each lane."""
        return value if isinstance(value, np.ndarray) and value.ndim else np.full(self.lanes, value)


def _short(numbers: list[int], sizes: tuple) -> str:
    axes = max([i for i, n in enumerate(sizes) if n > 1], default=0) + 1
    return str(numbers[0]) if axes == 1 else str(tuple(numbers[:axes]))
