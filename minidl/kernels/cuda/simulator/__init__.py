"""A GPU to look into: runs kernels on the CPU, finds what a GPU would not forgive, and counts what it costs.

    run(kernel, grid, block, (x, out, n))             the arrays are changed as a GPU would change them
    report = trace(kernel, grid, block, (x, out, n))  and every line says what it cost

    program.py, expressions.py    a function's source, as steps that many threads take together
    names.py, frame.py            its variables: where they are at home, who has set them
    lanes.py, machine.py          which threads take part; their places, their barriers
    words.py, numbers.py          what `cuda.grid`, `math.exp`, + and - do
    warps.py, atomics.py, instructions.py   shuffles and votes; atomic updates; load4, copy_async4 ...
    memory.py, races.py           global, shared and local arrays; who used which place last
    report.py                     the profiler

All threads of many blocks execute a line together, so this is tens of times faster than a Python thread for
each thread of the GPU. Races, barriers that not all reach, indices outside, misaligned accesses and values
that nobody wrote raise an error with the line, the block and the thread. NumPy is all that it needs.

What it does not tell: time (there are no caches, no latency), and types that the compiler would refuse. A
block that waits for another one in the same launch waits forever, on a GPU sometimes and here always.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator.errors import (
    BadIndex,
    DivergentBarrier,
    KernelError,
    Misaligned,
    RaceError,
    Uninitialised,
)
from minidl.kernels.cuda.simulator.machine import Machine
from minidl.kernels.cuda.simulator.memory import GlobalArray, start_of
from minidl.kernels.cuda.simulator.program import Program, plain_function, program_of
from minidl.kernels.cuda.simulator.races import Ledger
from minidl.kernels.cuda.simulator.report import Recorder, Report

__all__ = [
    "BadIndex", "DivergentBarrier", "KernelError", "Misaligned", "RaceError", "Report", "Uninitialised",
    "run", "trace",
]  # fmt: skip

LANES = 16384
"""Lanes that run together at most: enough for NumPy to be busy, few enough for the cache."""
MAX_THREADS = 1024
"""Threads in a block, on every NVIDIA GPU."""


def run(function: Callable, grid, block, args: tuple, shared: int = 0) -> None:
    """Run a kernel on the CPU.

    Args:
        function: a Python function in the language of kernels, or what `@kernel` makes of it.
        grid, block: how many blocks, and threads a block: a number or up to three.
        args: C-contiguous arrays, which the kernel reads and writes, and numbers.
        shared: bytes of dynamic shared memory for each block.

    Raises:
        KernelError: of a kind that says what is wrong.
    """
    _run(function, grid, block, args, shared, None)


def trace(
    function: Callable, grid, block, args: tuple, shared: int = 0, recorder: Recorder | None = None
) -> Report:
    """Run a kernel as `run` does, and count what every line costs, or what your own recorder counts."""
    recorder = recorder or Recorder(getattr(function, "__name__", "kernel"))
    _run(function, grid, block, args, shared, recorder)
    return recorder.report


def _run(function, grid, block, args, shared, recorder) -> None:
    grid, block = _three(grid), _three(block)
    threads, blocks = math.prod(block), math.prod(grid)
    if threads > MAX_THREADS:
        raise ValueError(f"a block of {block} threads: a GPU takes {MAX_THREADS:,} at most")
    code = program_of(plain_function(function) or function)
    given = _arguments(code, args, blocks * threads, threads)
    at_once = max(1, LANES // threads)
    with np.errstate(all="ignore"):
        for first in range(0, blocks, at_once):
            count = min(at_once, blocks - first)
            machine = Machine(code.name, grid, block, first, count, shared, recorder)
            code.run(machine, machine.everyone, given, outermost=True)


def _three(size) -> tuple[int, int, int]:
    size = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    if not 1 <= len(size) <= 3 or min(size) < 1:
        raise ValueError(f"a grid or block is one to three positive numbers, not {size}")
    return (*map(int, size), 1, 1)[:3]


# -- arguments -----------------------------------------------------------------------------------------


def _arguments(code: Program, args: tuple, threads: int, of_block: int) -> tuple:
    """The arguments as kernels see them. Arrays that may be written get a ledger."""
    if len(args) != len(code.parameters):
        raise TypeError(f"{code.name} takes {len(code.parameters)} arguments, not {len(args)}")
    given = [_argument(name, a) for name, a in zip(code.parameters, args, strict=True)]
    arrays = [a for a in given if isinstance(a, GlobalArray) and a.size]
    for group in _overlapping(arrays):
        if any(a.name not in code.only_read for a in group):
            _share_ledger(group, threads, of_block)
    return tuple(given)


def _argument(name: str, value):
    if isinstance(value, np.ndarray) and value.ndim:
        return GlobalArray(name, value)
    if isinstance(value, np.ndarray):
        value = value[()]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, np.uint64):
        return int(value)
    return np.float32(value) if type(value) is float else value


def _overlapping(arrays: list[GlobalArray]) -> list[list[GlobalArray]]:
    """Groups of arrays that lie in the same memory, such as x and out of an operation in place."""
    groups: list[list[GlobalArray]] = []
    end = -1
    for array in sorted(arrays, key=lambda a: start_of(a.data)):
        start = start_of(array.data)
        if start < end and groups[-1][0].dtype.itemsize == array.dtype.itemsize:
            groups[-1].append(array)
        else:
            groups.append([array])
        end = max(end, start + array.data.nbytes)
    return groups


def _share_ledger(group: list[GlobalArray], threads: int, of_block: int) -> None:
    size, start = group[0].dtype.itemsize, start_of(group[0].data)
    for array in group:
        array.shift = (start_of(array.data) - start) // size
    array.ledger = Ledger(max(a.shift + a.size for a in group), threads, of_block, private=False)
    for other in group:
        other.ledger = array.ledger
