"""Waiting for another thread without going to sleep.

    while the number at an address has not changed:        at most `turns` times
        pause                                              an instruction of some nanoseconds

To wake a sleeping thread takes the system ten to a hundred microseconds, as long as a product of middling
matrices. A thread that spins for a moment after its work is back within one.
"""

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minidl.kernels.cpu.compiling import compiled

_INT = ir.IntType(64)
_HAS_PAUSE = platform.machine().lower() in ("x86_64", "amd64")


@intrinsic
def _load(typing, address):
    """The int64 at an address, read from memory each time; what was written before it is seen after it."""

    def generate(context, builder, signature, arguments):
        if _HAS_PAUSE:
            shape = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, shape, "llvm.x86.sse2.pause"), [])
        pointer = builder.inttoptr(arguments[0], _INT.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.intp), generate


@intrinsic
def _store(typing, address, value):
    """Write an int64 to an address, after everything that was written before."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], _INT.as_pointer())
        builder.store_atomic(arguments[1], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), generate


@compiled
def wait(flag, old, turns):
    """Until the number at address `flag` is no longer `old`; did it change within so many turns?"""
    for _ in range(turns):  # noqa: SIM110 (a loop is what compiles)
        if _load(flag) != old:
            return True
    return False


@compiled
def report_and_wait(done, number, flag, old, turns, grace):
    """Write `number` to address `done`, then `wait`; if it came, `grace` turns more.

    The grace is for the other thread, which has set the flag but still holds the lock of Python: asking for
    the lock at once would mean to sleep until it is free.
    """
    _store(done, number)
    came = wait(flag, old, turns)
    if came:
        wait(flag, old + 1, grace)
    return came
