"""Blocks that run together: all their threads ("lanes") execute a line at the same time, under a mask.

    lane = block in the batch * threads a block + thread in the block

A value in a kernel is one number, if it is the same for all lanes, or an array with one for each lane. `if`,
loops and `return` only change the mask: which lanes take part. So a line of Python is interpreted once for
thousands of threads, and NumPy does the rest.
"""

from __future__ import annotations

import linecache
import math

import numpy as np

from minidl.kernels.cuda.simulator.errors import DivergentBarrier, KernelError

WARP = 32
"""Threads that execute one instruction together."""


class Mask:
    """Which lanes take part. `lanes` is a boolean array, `places` their numbers."""

    __slots__ = ("_places", "count", "lanes")

    def __init__(self, lanes: np.ndarray):
        self.lanes, self.count, self._places = lanes, int(np.count_nonzero(lanes)), None

    @property
    def full(self) -> bool:
        """Do all lanes of the batch take part?"""
        return self.count == len(self.lanes)

    @property
    def places(self) -> np.ndarray:
        """The numbers of the lanes that take part."""
        if self._places is None:
            self._places = np.flatnonzero(self.lanes)
        return self._places

    def split(self, condition) -> tuple[Mask, Mask]:
        """The lanes for which a condition holds, and the others."""
        if np.ndim(condition) == 0:
            return (self, self.none()) if condition else (self.none(), self)
        condition = condition if condition.dtype == np.bool_ else condition != 0
        yes = Mask(self.lanes & condition)
        if yes.count == self.count:
            return self, self.none()
        return (self.none(), self) if not yes.count else (yes, Mask(self.lanes & ~condition))

    def none(self) -> Mask:
        return Mask(np.zeros_like(self.lanes))

    def without(self, other: Mask | None) -> Mask:
        return self if other is None or not other.count else Mask(self.lanes & ~other.lanes)

    def __or__(self, other: Mask | None) -> Mask:
        if other is None or not other.count:
            return self
        return other if not self.count else Mask(self.lanes | other.lanes)


class Machine:
    """A batch of blocks of one launch.

    first, count: the blocks, counted through the grid. recorder: None, or what `trace` collects in.
    """

    def __init__(self, name: str, grid: tuple, block: tuple, first: int, count: int, shared: int, recorder):
        self.name, self.grid, self.block, self.dynamic_shared = name, grid, block, shared
        self.recorder, self.first, self.blocks = recorder, first, count
        self.threads = math.prod(block)
        lane = np.arange(count * self.threads)
        self.thread, self.block_of = lane % self.threads, lane // self.threads
        self.warps = -(-self.threads // WARP)
        self.warp_of = self.block_of * self.warps + self.thread // WARP
        self.identity = lane + first * self.threads  # the number of a thread in the whole grid
        self.epoch = np.zeros(count, np.int64)  # barriers passed, by block
        self.warp_epoch = np.zeros(count * self.warps, np.int64)
        self.exited = np.zeros(len(lane), bool)
        self.shared: dict = {}
        self.where = ("?", 0)
        self._index: dict = {}

    @property
    def everyone(self) -> Mask:
        return Mask(np.ones(len(self.thread), bool))

    # -- who am I? -----------------------------------------------------------------------------------

    def index(self, name: str, axis: int):
        """threadIdx, blockIdx, blockDim or gridDim along an axis."""
        if name in ("blockDim", "gridDim"):
            return (self.block if name == "blockDim" else self.grid)[axis]
        if (name, axis) not in self._index:
            number, sizes = (self.thread, self.block) if name == "threadIdx" else (self._number(), self.grid)
            along = number // math.prod(sizes[:axis]) % sizes[axis]
            same = len(along) and (along == along[0]).all()
            self._index[name, axis] = int(along[0]) if same else along
        return self._index[name, axis]

    def _number(self) -> np.ndarray:
        return self.first + self.block_of

    def place(self, lane: int) -> str:
        """A lane as a kernel counts: its block and thread."""
        block = [
            int(self.first + self.block_of[lane]) // math.prod(self.grid[:i]) % self.grid[i] for i in range(3)
        ]
        thread = [int(self.thread[lane]) // math.prod(self.block[:i]) % self.block[i] for i in range(3)]
        return f"block {_short(block, self.grid)}, thread {_short(thread, self.block)}"

    def fail(self, kind: type[KernelError], message: str, lane: int | None = None):
        """Raise with the line that is being executed."""
        file, line = self.where
        source = linecache.getline(file, line).strip()
        who = "" if lane is None else f" ({self.place(lane)})"
        raise kind(f"{self.name}, line {line}: `{source}`{who}: {message}")

    # -- waiting for others --------------------------------------------------------------------------

    def barrier(self, mask: Mask) -> None:
        """All threads of a block that still run must be here."""
        if mask.full:
            self.epoch += 1
            self.warp_epoch += 1
            return
        shape = (self.blocks, self.threads)
        here = mask.lanes.reshape(shape)
        waiting = here.any(1)
        missing = ~(here | self.exited.reshape(shape)) & waiting[:, None]
        if missing.any():
            lane = int(np.flatnonzero(missing.ravel())[0])
            there = int(
                np.flatnonzero((here & (self.block_of.reshape(shape) == self.block_of[lane])).ravel())[0]
            )
            self.fail(
                DivergentBarrier,
                f"it waits for {self.place(lane)}, which is elsewhere. Fix: move syncthreads() out of the "
                "`if` or loop that not all threads of the block enter",
                there,
            )
        self.epoch[waiting] += 1
        self.warp_epoch[np.repeat(waiting, self.warps)] += 1

    def warp_barrier(self, mask: Mask) -> None:
        self.warp_epoch[np.unique(self.warp_of[mask.places])] += 1

    def from_lane(self, mask: Mask, value, source: np.ndarray):
        """Each lane gets the value of another lane of its warp; source: its number in the warp."""
        value = self.vector(value)
        base = np.arange(len(self.thread)) - self.thread % WARP
        inside = (source >= 0) & (source < WARP) & (self.thread - self.thread % WARP + source < self.threads)
        lanes = np.where(inside, base + source, np.arange(len(self.thread)))
        asleep = mask.lanes & ~mask.lanes[lanes]
        if asleep.any():
            lane = int(np.flatnonzero(asleep)[0])
            self.fail(
                DivergentBarrier,
                f"it takes a value from {self.place(int(lanes[lane]))}, which does not take part. Fix: let "
                "all 32 threads of the warp come here",
                lane,
            )
        return value[lanes]

    def per_warp(self, mask: Mask, condition) -> np.ndarray:
        """(warps, 32) booleans: which lanes take part and say yes."""
        out = np.zeros((self.blocks * self.warps, WARP), bool)
        yes = mask.lanes & (self.vector(condition) != 0)
        out[self.warp_of[yes], self.thread[yes] % WARP] = True
        return out

    def per_block(self, mask: Mask, condition) -> np.ndarray:
        """(blocks, threads) booleans: which threads take part and say yes."""
        return (mask.lanes & (self.vector(condition) != 0)).reshape(self.blocks, self.threads)

    def vector(self, value) -> np.ndarray:
        """A value as an array with one number for each lane."""
        return value if np.ndim(value) else np.full(len(self.thread), value)


def _short(numbers: list[int], sizes: tuple) -> str:
    axes = max([i for i, n in enumerate(sizes) if n > 1], default=0) + 1
    return str(numbers[0]) if axes == 1 else str(tuple(numbers[:axes]))
