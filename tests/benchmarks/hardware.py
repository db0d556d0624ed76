"""What the machine can do at best: multiply-adds a second in float32, and bytes a second of a copy.

The peak is measured by a loop that does nothing but fused multiply-adds in registers, on as many
threads as the benchmark uses; the bandwidth by copying arrays of the size in question, so that a small array
is held against the cache it lives in.
"""

from __future__ import annotations

import ctypes
import functools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

REPEATS = 7
SUMS = 12
"""Independent sums, more than the four to ten steps that one multiply-add takes, fewer than registers."""

LOOP = """
declare {vector} @llvm.fma.v{width}f32({vector}, {vector}, {vector})
define float @chain(i64 %n, float %factor) {{
entry:
  %one = insertelement {vector} undef, float %factor, i32 0
  %m = shufflevector {vector} %one, {vector} undef, <{width} x i32> zeroinitializer
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  {phis}
  {steps}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  {total}
  %result = extractelement {vector} %t{last}, i32 0
  ret float %result
}}
"""


@functools.cache
def _chain():
    """The compiled loop as a C function, the floats in its vectors, and what keeps its code alive."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    width = 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
    vector = f"<{width} x float>"
    call = f"call {vector} @llvm.fma.v{width}f32({vector} %m, {vector} %a{{0}}, {vector} %m)"
    code = LOOP.format(
        vector=vector, width=width, last=SUMS - 1,
        phis="\n  ".join(f"%a{i} = phi {vector} [%m, %entry], [%b{i}, %loop]" for i in range(SUMS)),
        steps="\n  ".join(f"%b{i} = {call.format(i)}" for i in range(SUMS)),
        total=f"%t0 = fadd {vector} %b0, %b0\n  "
        + "\n  ".join(f"%t{i} = fadd {vector} %t{i - 1}, %b{i}" for i in range(1, SUMS)),
    )  # fmt: skip
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(code), machine)
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_float)
    return function(engine.get_function_address("chain")), width, engine


def _best(work, threads: int) -> float:
    """Seconds that `work(thread)` takes in so many threads at once: the best of some tries."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
        tries = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            list(pool.map(work, range(threads)))
            tries.append(time.perf_counter() - start)
    return min(tries)


def peak(threads: int, steps: int = 20_000_000) -> float:
    """Floating-point operations a second in float32, a multiply-add being two."""
    chain, width, _ = _chain()
    return 2 * threads * steps * SUMS * width / _best(lambda _: chain(steps, 0.5), threads)


@functools.cache
def _copies():
    """A compiled function that copies size bytes from address a to address b and back, n times."""
    import numba
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def move(typing, to, source, size):
        def emit(context, builder, signature, args):
            places = [builder.inttoptr(address, cgutils.voidptr_t) for address in args[:2]]
            cgutils.raw_memcpy(builder, *places, args[2], 1)
            return context.get_dummy_value()

        return numba.types.void(*[numba.types.intp] * 3), emit

    @numba.njit(nogil=True)
    def copies(a, b, size, n):
        for _ in range(n):
            move(b, a, size)
            move(a, b, size)

    return copies


@functools.cache
def bandwidth(size: int, threads: int) -> float:
    """Bytes a second read and written while `size` bytes are copied, each thread its part."""
    part = max(size // 4 // threads, 16)
    arrays = [np.ones(part, np.float32) for _ in range(2 * threads)]
    places = [a.ctypes.data for a in arrays]
    repeats = max(1, int(5e7 / size))
    copies = _copies()
    seconds = _best(lambda i: copies(places[2 * i], places[2 * i + 1], 4 * part, repeats), threads)
    return 2 * 2 * 4 * part * threads * repeats / seconds
