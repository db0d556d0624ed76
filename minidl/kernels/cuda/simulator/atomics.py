"""Atomic updates: threads that meet at one place come one after the other, in the order of their numbers.

A GPU promises no order; sums of floats differ in their last digits from run to run there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator.errors import KernelError
from minidl.kernels.cuda.simulator.lanes import Mask
from minidl.kernels.cuda.simulator.machine import Machine
from minidl.kernels.cuda.simulator.memory import Array, in_register


def atomic(new: Callable) -> Callable:
    """An atomic update that returns what each thread found before. new: (found, *values) -> value."""

    def run(machine: Machine, mask: Mask, array, index, *values):
        if not isinstance(array, Array):
            machine.fail(KernelError, "atomic updates are for global and shared arrays")
        use = array.changing(machine, mask, index, 1, "atomic")
        array.prepare_update(use)
        given = [mask.of_lanes(v).astype(array.dtype) for v in values]
        found = _in_turns(array.data, use.flat - array.shift, given, new)
        return mask.to_lanes(in_register(found))

    return run


def _in_turns(data: np.ndarray, flat: np.ndarray, given: list[np.ndarray], new: Callable) -> np.ndarray:
    """The k-th thread at each place has turn k. Returns what all of them found."""
    found = np.empty(len(flat), data.dtype)
    for turn in _turns(flat):
        places = flat[turn]
        found[turn] = before = data[places]
        data[places] = new(before, *(v[turn] for v in given))
    return found


def _turns(flat: np.ndarray):
    """Groups of threads in which no two meet."""
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    rank = np.arange(len(flat)) - np.repeat(starts, np.diff(np.append(starts, len(flat))))
    by_rank = order[np.argsort(rank, kind="stable")]
    return np.split(by_rank, np.cumsum(np.bincount(rank))[:-1])


ATOMIC_WORDS = {
    "cuda.atomic.add": atomic(np.add), "cuda.atomic.sub": atomic(np.subtract),
    "cuda.atomic.max": atomic(np.fmax), "cuda.atomic.min": atomic(np.fmin),
    "cuda.atomic.exch": atomic(lambda found, value: value),
    "cuda.atomic.cas": atomic(lambda found, expected, value: np.where(found == expected, value, found)),
}  # fmt: skip
