"""What the lanes of a warp do together: shuffles, votes, barriers, products of small matrices.

Each function is (machine, mask, *values) -> value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator.errors import DivergentBarrier
from minidl.kernels.cuda.simulator.lanes import Mask
from minidl.kernels.cuda.simulator.machine import WARP, Machine
from minidl.kernels.cuda.simulator.numbers import truth

BIT = 1 << np.arange(WARP, dtype=np.int64)
"""The bit of each lane."""


# -- shuffles ------------------------------------------------------------------------------------------


def shuffle(name: str, source: Callable) -> Callable:
    """A shuffle. source: (lanes in the warp, number) -> the lane from which each gets its value."""

    def run(machine: Machine, mask: Mask, members, value, by):
        machine.meet(mask, members)
        givers = _givers(machine, name, source, by)
        _check_givers(machine, mask, givers)
        value = machine.vector(value)
        return value.take(givers)

    return run


def _givers(machine: Machine, name: str, source: Callable, by) -> np.ndarray:
    """The lane from which each lane gets its value; -1 beyond the block. Kept where `by` is a number."""
    known = machine.geometry.neighbours
    varies = isinstance(by, np.ndarray) and by.ndim
    key = (name, 0 if varies else int(by))
    if not varies and key in known:
        return known[key]
    inside = machine.geometry.in_warp
    lane = source(inside, by)
    thread = machine.thread - inside + lane
    there = (thread < machine.threads) & (lane >= 0) & (lane < WARP)
    givers = np.where(there, machine.geometry.lane - inside + lane, -1)
    if not varies:
        known[key] = givers
    return givers


def _check_givers(machine: Machine, mask: Mask, givers: np.ndarray) -> None:
    """The value of a lane that is not here is nothing that one can rely on."""
    missing = mask.lanes & ((givers < 0) | ~mask.lanes.take(givers))
    if missing.any():
        lane = int(np.flatnonzero(missing)[0])
        giver = int(givers[lane])
        who = "a lane beyond the block" if giver < 0 else machine.place(machine.identity[giver])
        machine.fail(
            DivergentBarrier,
            f"it takes the value of {who}, which does not take part. Fix: let all 32 lanes come here",
            lane,
        )


def _or_own(source: Callable) -> Callable:
    """Beyond the end of the warp a lane keeps its own value."""

    def of(lane, by):
        other = source(lane, by)
        return np.where((other < 0) | (other >= WARP), lane, other)

    return of


# -- votes ---------------------------------------------------------------------------------------------


def _per_warp(machine: Machine, mask: Mask, condition) -> np.ndarray:
    """(warps, 32): which lanes take part and say yes."""
    out = np.zeros((machine.blocks * machine.warps, WARP), bool)
    out[machine.warp_of, machine.geometry.in_warp] = mask.lanes & truth(condition)
    return out


def ballot(machine, mask, members, condition):
    """A number whose bit k says what lane k has said."""
    machine.meet(mask, members)
    return (_per_warp(machine, mask, condition) @ BIT).take(machine.warp_of)


def all_of_warp(machine, mask, members, condition):
    machine.meet(mask, members)
    return ~_per_warp(machine, mask, np.logical_not(truth(condition))).any(1).take(machine.warp_of)


def any_of_warp(machine, mask, members, condition):
    machine.meet(mask, members)
    return _per_warp(machine, mask, condition).any(1).take(machine.warp_of)


def activemask(machine, mask):
    return (_per_warp(machine, mask, True) @ BIT).take(machine.warp_of)


def syncwarp(machine, mask, members=0xFFFFFFFF):
    machine.warp_barrier(mask, members)


# -- barriers of a block -------------------------------------------------------------------------------


def syncthreads(machine, mask):
    machine.barrier(mask)


def counted_barrier(reduce: Callable) -> Callable:
    """A barrier at which the threads of a block vote. reduce: how many of how many said yes -> value."""

    def wait(machine, mask, condition):
        shape = machine.blocks, machine.threads
        yes = (mask.lanes & truth(condition)).reshape(shape).sum(1)
        machine.barrier(mask)
        return reduce(yes, mask.lanes.reshape(shape).sum(1)).take(machine.block_of)

    return wait


# -- tensor cores --------------------------------------------------------------------------------------


def to_tf32(machine, mask, x):
    """A float32 rounded to 10 bits of mantissa, halves away from zero."""
    x = np.asarray(x, np.float32)
    cut = ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
    out = np.where(np.isfinite(x), cut, x)
    return out if out.ndim else out[()]


ROW, COLUMN = np.arange(WARP) >> 2, np.arange(WARP) & 3
PLACES_A = [(ROW, COLUMN), (ROW + 8, COLUMN), (ROW, COLUMN + 4), (ROW + 8, COLUMN + 4)]
PLACES_B = [(COLUMN, ROW), (COLUMN + 4, ROW)]
PLACES_C = [(ROW, 2 * COLUMN), (ROW, 2 * COLUMN + 1), (ROW + 8, 2 * COLUMN), (ROW + 8, 2 * COLUMN + 1)]
"""Which elements of A (16, 8), B (8, 8) and C (16, 8) each lane holds."""


def mma_tf32(machine, mask, *values):
    """C + A B by a warp; each lane gives four, four and two elements, and gets four of the result."""
    machine.meet(mask, 0xFFFFFFFF)
    if machine.threads % WARP:
        machine.fail(DivergentBarrier, "mma_tf32 needs whole warps. Fix: a block of a multiple of 32 threads")
    c, a, b = values[:4], values[4:8], values[8:]
    left = _assembled(machine, (16, 8), PLACES_A, [_truncated(machine.vector(x)) for x in a])
    right = _assembled(machine, (8, 8), PLACES_B, [_truncated(machine.vector(x)) for x in b])
    total = _assembled(machine, (16, 8), PLACES_C, [machine.vector(x) for x in c])
    total = (total + left @ right).astype(np.float32)
    return tuple(total[:, i, j].reshape(-1) for i, j in PLACES_C)


def _truncated(x: np.ndarray) -> np.ndarray:
    """Tensor cores ignore the last 13 bits of a float32."""
    return (np.asarray(x, np.float32).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def _assembled(machine: Machine, shape: tuple[int, int], places: list, parts: list) -> np.ndarray:
    """A matrix a warp, from the parts that its lanes hold."""
    out = np.zeros((machine.lanes // WARP, *shape))
    for (i, j), part in zip(places, parts, strict=True):
        out[:, i, j] = part.reshape(-1, WARP)
    return out


WARP_WORDS = {
    "cuda.shfl_sync": shuffle("sync", lambda lane, by: np.broadcast_to(by, lane.shape) % WARP),
    "cuda.shfl_xor_sync": shuffle("xor", lambda lane, by: lane ^ by),
    "cuda.shfl_up_sync": shuffle("up", _or_own(lambda lane, by: lane - by)),
    "cuda.shfl_down_sync": shuffle("down", _or_own(lambda lane, by: lane + by)),
    "cuda.ballot_sync": ballot, "cuda.all_sync": all_of_warp, "cuda.any_sync": any_of_warp,
    "cuda.activemask": activemask, "cuda.syncwarp": syncwarp, "cuda.syncthreads": syncthreads,
    "cuda.syncthreads_count": counted_barrier(lambda yes, here: yes),
    "cuda.syncthreads_or": counted_barrier(lambda yes, here: (yes > 0).astype(np.int64)),
    "cuda.syncthreads_and": counted_barrier(lambda yes, here: (yes == here).astype(np.int64)),
}  # fmt: skip
