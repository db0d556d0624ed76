"""exp, tanh and sigmoid in float32, written so that a loop over them becomes vector instructions.

A loop with a call in it is computed one number after the other; NumPy's exp inside a compiled loop is such a
call. Here each function is a few multiplications without a branch, so the compiler does 8 or 16 at once:

    e^x = 2^n e^r,  n = x / ln 2 rounded,  |r| <= ln 2 / 2
                                           e^r is a polynomial, 2^n is written by its bits

The polynomials are those of the Cephes library (Moshier 1989): errors of some units in the last place. nan
stays nan, what is too large becomes inf, what is too small 0.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minidl.kernels.cpu.compiling import inline

f32 = np.float32


@intrinsic
def _as_float(typing, bits):
    """The float32 with these 32 bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@inline
def _power_of_two(n):
    """2^n for a whole number -126 <= n <= 127."""
    return _as_float(np.int32((n + np.int32(127)) << np.int32(23)))


@inline
def exp(x):
    """e^x, relative error 1e-7."""
    bounded = min(max(x, f32(-104)), f32(89))
    n = np.floor(bounded * f32(1.44269504) + f32(0.5))
    r = bounded - n * f32(0.693359375) - n * f32(-2.12194440e-4)  # ln 2 in two: the first product is exact
    p = f32(1.9875691500e-4) * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    p = p * r * r + r + f32(1)
    half = np.int32(n) >> np.int32(1)  # 2^n in two factors, so that the ends of the range are right
    y = p * _power_of_two(half) * _power_of_two(np.int32(n) - half)
    return y if x == x else x


@inline
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return f32(1) / (f32(1) + exp(-x))


@inline
def tanh(x):
    """tanh x: a polynomial near 0, where the quotient of exponentials would cancel."""
    s = x * x
    p = f32(-5.70498872745e-3) * s + f32(2.06390887954e-2)
    p = p * s + f32(-5.37397155531e-2)
    p = p * s + f32(1.33314422036e-1)
    p = p * s + f32(-3.33332819422e-1)
    size = abs(x)
    far = f32(1) - f32(2) / (exp(f32(2) * size) + f32(1))
    return p * s * x + x if size < f32(0.625) else (far if x > f32(0) else -far)
