"""The matrix product of NumPy's own library (BLAS), called from compiled code, so that threads can share it.

NumPy brings a library with it, OpenBLAS, and asks it for products. To let a thread of ours compute a part of
one, without the lock of Python, its address is looked up, and called with the addresses of the numbers.
"""

import ctypes
import functools

import numpy as np
import threadpoolctl
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minidl.kernels.cpu.compiling import compiled

_ROWS, _AS_IT_IS, _TURNED = 101, 111, 112  # numbers of cblas.h: order, and whether an operand is transposed
_NAMES = "scipy_cblas_{}64_", "cblas_{}64_"  # of libraries whose sizes have 64 bits, as NumPy's wheels have


@functools.cache
def address(dtype: np.dtype) -> int | None:
    """Where the library's product of numbers of this type begins; None if NumPy has another one."""
    function = {"f": "sgemm", "d": "dgemm"}.get(dtype.char)
    libraries = [
        found["filepath"] for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas"
    ]
    for library in libraries if function else ():
        for name in _NAMES:
            if found := getattr(ctypes.CDLL(library), name.format(function), None):
                return ctypes.cast(found, ctypes.c_void_p).value
    return None


@intrinsic
def _gemm(typing, function, one, turned_a, turned_b, sizes, a, step_a, b, step_b, out, step_out):
    """out = a b, of sizes (M, N, K): addresses, and numbers from one row (column, if turned) to the next."""

    def generate(context, builder, signature, given):
        function, one, turned_a, turned_b, sizes, a, step_a, b, step_b, out, step_out = given
        integer, wide, bytes_ = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
        kinds = [integer] * 3 + [wide] * 3 + [one.type, bytes_, wide, bytes_, wide, one.type, bytes_, wide]
        call = builder.inttoptr(function, ir.FunctionType(ir.VoidType(), kinds).as_pointer())
        turns = [
            builder.select(turned, integer(_TURNED), integer(_AS_IT_IS)) for turned in (turned_a, turned_b)
        ]
        m, n, k = (builder.extract_value(sizes, i) for i in range(3))
        a, b, out = (builder.inttoptr(place, bytes_) for place in (a, b, out))
        zero = ir.Constant(one.type, 0)
        builder.call(call, [integer(_ROWS), *turns, m, n, k, one, a, step_a, b, step_b, zero, out, step_out])
        return context.get_dummy_value()

    place, turned = types.intp, types.boolean
    rest = (types.UniTuple(types.int64, 3), place, types.int64, place, types.int64, place, types.int64)
    return types.void(place, one, turned, turned, *rest), generate


@compiled
def product(function, a, b, out, turned_a, turned_b, by_rows, start, stop):
    """Rows start ... stop - 1 (or columns) of out = a b; a (K, M) and b (N, K) if they are turned.

    Rows lie in memory one after the other, at any distance.
    """
    size, one = out.itemsize, out.dtype.type(1)
    (m, n), k = out.shape, a.shape[0] if turned_a else a.shape[1]
    step_a, step_b, steps = a.strides[0] // size, b.strides[0] // size, out.strides[0] // size
    from_a, from_b, to = a.ctypes.data, b.ctypes.data, out.ctypes.data
    if by_rows:
        m, to = stop - start, to + size * start * steps
        from_a += size * start * (1 if turned_a else step_a)
    else:
        n, to = stop - start, to + size * start
        from_b += size * start * (step_b if turned_b else 1)
    _gemm(function, one, turned_a, turned_b, (m, n, k), from_a, step_a, from_b, step_b, to, steps)
