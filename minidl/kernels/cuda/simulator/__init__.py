"""A GPU to look into: runs kernels on the CPU, finds what a GPU would not forgive, and counts what it costs.

    run(kernel, grid, block, (x, out, n))             the arrays are changed as a GPU would change them
    report = trace(kernel, grid, block, (x, out, n))  and every line says what it cost

All threads of many blocks execute a line together (`machine.py`), so this is tens of times faster than a
Python thread for each thread of the GPU. Races, barriers that not all reach, indices outside, misaligned
accesses and values that nobody wrote raise an error with the line, the block and the thread. NumPy is all
that it needs.

What it does not tell: time (there are no caches, no latency), and types that the compiler would refuse.
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
from minidl.kernels.cuda.simulator.interpreter import program
from minidl.kernels.cuda.simulator.machine import Machine
from minidl.kernels.cuda.simulator.memory import GlobalArray
from minidl.kernels.cuda.simulator.report import Recorder, Report

__all__ = [
    "BadIndex", "DivergentBarrier", "KernelError", "Misaligned", "RaceError", "Report", "Uninitialised",
    "run", "trace",
]  # fmt: skip

LANES = 16384
"""Lanes that run together at most: enough for NumPy to be busy, few enough for the cache."""


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


def trace(function: Callable, grid, block, args: tuple, shared: int = 0) -> Report:
    """Run a kernel as `run` does, and count what every line costs."""
    recorder = Recorder(getattr(function, "__name__", "kernel"))
    _run(function, grid, block, args, shared, recorder)
    return recorder.report


def _run(function, grid, block, args, shared, recorder) -> None:
    function = getattr(function, "function", function)
    grid, block = _three(grid), _three(block)
    if math.prod(block) > 1024:
        raise ValueError(f"a block of {block} threads: a GPU takes 1,024 at most")
    code = program(function)
    given = [_argument(name, a) for name, a in zip(code.parameters, args, strict=True)]
    blocks, at_once = math.prod(grid), max(1, LANES // math.prod(block))
    with np.errstate(all="ignore"):
        for first in range(0, blocks, at_once):
            count = min(at_once, blocks - first)
            machine = Machine(code.name, grid, block, first, count, shared, recorder)
            code.run(machine, machine.everyone, tuple(given), outermost=True)


def _three(size) -> tuple[int, int, int]:
    size = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    if not 1 <= len(size) <= 3 or min(size) < 1:
        raise ValueError(f"a grid or block is one to three positive numbers, not {size}")
    return (*map(int, size), 1, 1)[:3]


def _argument(name: str, value):
    if isinstance(value, np.ndarray) and value.ndim:
        return GlobalArray(name, value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.signedinteger)):
        return int(value)
    return np.float32(value) if type(value) is float else value
