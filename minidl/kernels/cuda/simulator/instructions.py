"""The project's instructions for kernels (`minidl/kernels/cuda/instructions.py`), known here by their names.

Each function is (machine, mask, *values) -> value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator.errors import KernelError
from minidl.kernels.cuda.simulator.lanes import Mask, merged
from minidl.kernels.cuda.simulator.machine import Machine
from minidl.kernels.cuda.simulator.memory import Array, GlobalArray, LocalArray, SharedArray
from minidl.kernels.cuda.simulator.warps import mma_tf32, to_tf32


def array_of(machine: Machine, value) -> Array | LocalArray:
    """An array; refuses anything else that is indexed."""
    if not isinstance(value, (Array, LocalArray)):
        machine.fail(KernelError, f"a {type(value).__name__} is indexed as if it were an array")
    return value


def load(machine, mask, array, i):
    return array_of(machine, array).load(machine, mask, i)


def store(machine, mask, array, i, value):
    array_of(machine, array).store(machine, mask, i, (value,))


def load4(machine, mask, array, i):
    return array_of(machine, array).load(machine, mask, i, 4)


def store4(machine, mask, array, i, *values):
    array_of(machine, array).store(machine, mask, i, values)


# -- whole numbers -------------------------------------------------------------------------------------


def unsigned(name: str, operate: Callable) -> Callable:
    """Division without sign, in 32 bits: a from 0 on, b from 1 on."""

    def run(machine: Machine, mask: Mask, a, b):
        _check(machine, mask, name, a, 0)
        _check(machine, mask, name, b, 1)
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            a, b = np.asarray(a).astype(np.uint32), np.asarray(b).astype(np.uint32)
            return operate(a, np.maximum(b, np.uint32(1))).astype(np.int64)
        return operate(int(a), int(b))

    return run


def _check(machine: Machine, mask: Mask, name: str, x, least: int) -> None:
    of_lanes = mask.of_lanes(x) if isinstance(x, np.ndarray) else np.asarray([x])
    if of_lanes.min() < least or of_lanes.max() >= 2**31:
        k = int(np.flatnonzero((of_lanes < least) | (of_lanes >= 2**31))[0])
        lane = int(mask.places[k])
        machine.fail(KernelError, f"{name} of {of_lanes[k]}: it must be from {least} on and below 2^31", lane)


def mulhi(machine, mask, a, b):
    """The upper 32 bits of the product of two uint32."""
    low = np.uint64(0xFFFFFFFF)
    a, b = (np.asarray(x).astype(np.uint64) & low for x in (a, b))
    high = ((a * b) >> np.uint64(32)).astype(np.int64)
    return high if high.ndim else int(high)


# -- copies in the background --------------------------------------------------------------------------


def copy_async4(machine, mask, shared, i, source, j, nbytes):
    """16 bytes from global to shared memory; zeros after the first nbytes.

    They arrive as late as the GPU may deliver them, when `copy_wait` asks for them. Until then, nan is there.
    """
    if not isinstance(shared, SharedArray) or not isinstance(source, GlobalArray):
        machine.fail(KernelError, "copy_async4 copies from a global to a shared array")
    values = [np.zeros(machine.lanes, source.dtype) for _ in range(4)]
    whole, part = mask.split(machine.vector(nbytes) >= 16)
    if whole.count:
        values = [
            merged(x, zero, whole) for x, zero in zip(source.load(machine, whole, j, 4), values, strict=True)
        ]
    for k in range(3 if part.count else 0):
        inside, _ = part.split(machine.vector(nbytes) > 4 * k)
        if inside.count:
            values[k] = merged(source.load(machine, inside, j + k), values[k], inside)
    use = shared.changing(machine, mask, i, 4, "store")
    given = np.stack([mask.of_lanes(v).astype(shared.dtype) for v in values], axis=1)
    shared.write(use, np.full_like(given, np.nan))
    machine.copies[-1].append((shared, use, given))


def copy_commit(machine, mask):
    machine.copies.append([])


def copy_wait(machine, mask, n):
    """Deliver all committed groups but the n newest."""
    while len(machine.copies) - 1 > int(n):
        for shared, use, given in machine.copies.pop(0):
            shared.deliver(use._replace(clock=machine.clock), given)


INSTRUCTIONS = {
    "load": load, "store": store, "load4": load4, "store4": store4,
    "udiv": unsigned("udiv", lambda a, b: a // b), "umod": unsigned("umod", lambda a, b: a % b),
    "mulhi": mulhi,    "copy_async4": copy_async4, "copy_commit": copy_commit, "copy_wait": copy_wait,
    "to_tf32": to_tf32, "mma_tf32": mma_tf32,
}  # fmt: skip
