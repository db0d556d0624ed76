"""Arithmetic and functions of single elements, and comparisons. Operands are broadcast against each other."""

from __future__ import annotations

import math

import numpy as np

from minidl import kernels
from minidl.devices import Array, device_of, moved
from minidl.ops.dtypes import (
    as_dtype,
    as_float,
    is_real,
    narrow,
    promote,
    promote_all,
    refuse_bool,
    result_dtype,
)
from minidl.tensor import Tensor, op, same_dtype

__all__ = [
    "abs", "add", "allclose", "astype", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "ceil",
    "clamp", "cos", "div", "eq", "equal", "erf", "exp", "floor", "floor_divide", "ge", "gt", "isclose",
    "isfinite", "isinf", "isnan", "le", "log", "log1p", "logical_and", "logical_not", "logical_or",
    "logical_xor", "lt", "maximum", "minimum", "mul", "ne", "neg", "pow", "relu", "remainder", "round",
    "rsqrt", "sigmoid", "sign", "sin", "sqrt", "square", "sub", "tanh", "where",
]  # fmt: skip

BROADCAST = {
    "rule": "shapes must be equal or 1 in every axis, counted from the last",
    "fix": "reshape or unsqueeze one of them, or check which axis is the batch",
}


# -- two operands: tensors, or a tensor and a number -----------------------------------------------


@op(**BROADCAST)
def add(input, other, *, alpha=1):
    """input + alpha * other."""
    a, b = promote(input, other) if alpha == 1 else _scaled(input, other, alpha)
    return a + b, (lambda g: g, lambda g: g if alpha == 1 else g * alpha)


@op(**BROADCAST)
def sub(input, other, *, alpha=1):
    """input - alpha * other. Booleans are refused."""
    refuse_bool(input, other, fix="^ tells where two masks differ, ~ inverts one")
    a, b = promote(input, other) if alpha == 1 else _scaled(input, other, alpha)
    return np.subtract(a, b), (lambda g: g, lambda g: -g if alpha == 1 else g * -alpha)


def _scaled(a, b, alpha):
    """Two operands in their common dtype, the second one times alpha."""
    a, b = promote_all(a, b)
    if a.dtype.kind != "f" and not isinstance(alpha, int):
        raise TypeError(f"alpha={alpha!r} for {a.dtype} operands: it must be a whole number")
    return a, b * np.asarray(alpha).astype(b.dtype)


@op(**BROADCAST)
def mul(input, other):
    """input * other, element by element."""
    a, b = promote(input, other)
    return a * b, (lambda g: g * b, lambda g: g * a)


@op(**BROADCAST)
def div(input, other, *, rounding_mode: str | None = None):
    """input / other, element by element; division by zero is inf or nan, as in IEEE 754.

    Whole numbers give float32. rounding_mode "floor" rounds down and "trunc" toward 0; both keep the dtype,
    have gradient 0, and refuse whole numbers divided by 0.
    """
    if rounding_mode is not None:
        return _rounded_quotient(input, other, rounding_mode), (np.zeros_like, np.zeros_like)
    a, b = promote(input, other)
    if not is_real(a) and not is_real(b):
        a, b = (x.astype(np.float32) if isinstance(x, Array) else np.float32(x) for x in (input, other))
    out = a / b
    return out, (lambda g: g / b, lambda g: -g * out / b)


def _rounded_quotient(a, b, mode):
    a, b = _divisible(a, b)
    if mode == "floor":
        return np.floor_divide(a, b)
    if mode == "trunc":
        return np.trunc(a / b) if a.dtype.kind == "f" else np.floor_divide(a - np.fmod(a, b), b)
    raise TypeError(f'rounding_mode must be None, "floor" or "trunc", not {mode!r}')


def _divisible(a, b):
    """Operands whose quotient is to be rounded: no booleans, and no whole number by 0."""
    a, b = promote_all(a, b)
    refuse_bool(a)
    if a.dtype.kind != "f" and a.size and b.size and not np.all(b):
        raise RuntimeError(
            "a whole number divided by 0 has no result. Fix: look at the divisor, or x.float()"
        )
    return a, b


def floor_divide(input, other) -> Tensor:
    """input // other: the quotient rounded down."""
    return div(input, other, rounding_mode="floor")


@op(**BROADCAST)
def remainder(input, other):
    """input % other = input - other * floor(input / other): it has the sign of `other`, as in Python."""
    a, b = _divisible(input, other)
    return np.remainder(a, b), (lambda g: g, lambda g: -g * np.floor_divide(a, b))


@op(**BROADCAST)
def pow(input, exponent):
    """input ** exponent. The gradient of the exponent is out * log(input), and 0 for 0 ** exponent >= 0."""
    a, b = promote(input, exponent)
    if not is_real(a) and not is_real(b):
        return _whole_power(a, b, exponent), None
    out = a**b

    def d_base(g):
        return g * np.where(np.equal(b, 0), 0, b * a ** (b - 1))

    def d_exponent(g):
        return g * np.where(np.equal(a, 0) & np.greater_equal(b, 0), 0, out * np.log(a))

    return out, (d_base, d_exponent)


def _whole_power(a, b, exponent):
    """Whole numbers to whole powers; negative ones, allowed in tensors, give 0 unless the base is 1 or -1."""
    refuse_bool(a)
    if not isinstance(exponent, Array) and exponent < 0:
        raise RuntimeError("a whole number to a negative power is a fraction. Fix: x.float() ** exponent")
    unit = np.equal(np.abs(a), 1)  # 1 ** -3 is 1 ** 3
    return np.where((b < 0) & ~unit, 0, np.power(a, np.abs(b)))


@op(**BROADCAST)
def maximum(input, other):
    """The larger of input and other, element by element; equal ones share the gradient."""
    a, b = promote(_array(input), _array(other))
    return np.maximum(a, b), _shares(a, b, np.less)


@op(**BROADCAST)
def minimum(input, other):
    """The smaller of input and other, element by element; equal ones share the gradient."""
    a, b = promote(_array(input), _array(other))
    return np.minimum(a, b), _shares(a, b, np.greater)


def _array(x):
    if not isinstance(x, Array):
        raise TypeError(f"an operand is a {type(x).__name__}: it must be a tensor. Fix: minidl.tensor(...)")
    return x


def _shares(a, b, loses):
    """The vjp of an extreme: all of g, half of it where both are equal, nothing where the other one wins."""

    def share(mine, others):
        return lambda g: np.where(loses(mine, others), 0, np.where(np.equal(a, b), g / 2, g))

    return share(a, b), share(b, a)


@op(**BROADCAST)
def _where(condition, input, other):
    if _array(condition).dtype != np.bool_:
        raise TypeError(f"the condition must be boolean, not {condition.dtype}. Fix: compare, as in x > 0")
    dtype = result_dtype(input, other)
    return np.where(condition, _fitted(input, dtype), _fitted(other, dtype)), (
        None,
        lambda g: np.where(condition, g, 0),
        lambda g: np.where(condition, 0, g),
    )


def where(condition: Tensor, input=None, other=None) -> Tensor | tuple[Tensor, ...]:
    """input where the condition holds, else other.

    where(condition) alone is a tuple with the indices of what is not 0, one int64 tensor for each axis.
    """
    if input is None and other is None:
        return tuple(Tensor(i) for i in np.nonzero(np.atleast_1d(condition.array)))
    return _where(condition, input, other)


@op(**BROADCAST)
def _clamp(input, min, max):
    dtype = result_dtype(input, *[limit for limit in (min, max) if limit is not None])
    x = _fitted(input, dtype)
    low = -np.inf if min is None else _fitted(min, dtype)
    high = np.inf if max is None else _fitted(max, dtype)
    out = x if min is None else np.maximum(x, low)
    return (out if max is None else np.minimum(out, high)), (
        lambda g: np.where((x >= low) & (x <= high), g, 0),
        lambda g: np.where((x < low) & ((max is None) | (low < high)), g, 0),
        lambda g: np.where((x > high) | (high < low), g, 0),
    )


def _fitted(x, dtype):
    """A tensor's array, or a number, in the dtype of the result; a number that it cannot hold is refused."""
    return x.astype(dtype, copy=False) if isinstance(x, Array) else narrow(np.asarray(x), dtype)


def clamp(input: Tensor, min=None, max=None) -> Tensor:
    """input limited to [min, max], numbers or tensors; where min > max it is max.

    The gradient is 0 outside, and goes to a limit that is a tensor.
    """
    if min is None and max is None:
        raise ValueError("clamp needs min, max or both. Fix: give at least one of them")
    return _clamp(input, min, max)


# -- functions of one number -----------------------------------------------------------------------


@op
def neg(input):
    """-input."""
    refuse_bool(input, fix="~ inverts a mask")
    return -input, (lambda g: -g,)


@op
def abs(input):
    """|input|; the gradient at 0 is 0."""
    refuse_bool(input)
    return np.abs(input), (lambda g: g * sign_of(input),)


@op
def sign(input):
    """-1, 0 or 1, and 0 for nan; the gradient is 0."""
    return (input.copy() if input.dtype == np.bool_ else sign_of(input)), (np.zeros_like,)


def sign_of(x: np.ndarray) -> np.ndarray:
    """-1, 0 or 1 for each element, 0 for nan."""
    return np.greater(x, 0).astype(x.dtype) - np.less(x, 0)


@op
def square(input):
    """input * input."""
    x = input.astype(np.int64) if input.dtype == np.bool_ else input
    return x * x, (lambda g: 2 * g * x,)


@op
def exp(input):
    """e ** input."""
    x = as_float(input)
    out = kernels.find("exp", x)(x)
    return out, (lambda g: g * out,)


@op
def log(input):
    """Natural logarithm; log 0 is -inf, of negative numbers nan."""
    x = as_float(input)
    return np.log(x), (lambda g: g / x,)


@op
def log1p(input):
    """log(1 + input), exact for small input too."""
    x = as_float(input)
    return np.log1p(x), (lambda g: g / (1 + x),)


@op
def sqrt(input):
    """Square root; of negative numbers nan. The gradient at 0 is inf."""
    out = np.sqrt(as_float(input))
    return out, (lambda g: g / (2 * out),)


@op
def rsqrt(input):
    """1 / sqrt(input)."""
    out = 1 / np.sqrt(as_float(input))
    return out, (lambda g: -0.5 * g * out**3,)


@op
def sin(input):
    """Sine of an angle in radians."""
    x = as_float(input)
    return np.sin(x), (lambda g: g * np.cos(x),)


@op
def cos(input):
    """Cosine of an angle in radians."""
    x = as_float(input)
    return np.cos(x), (lambda g: -g * np.sin(x),)


@op
def tanh(input):
    """(e^x - e^-x) / (e^x + e^-x)."""
    x = as_float(input)
    out = kernels.find("tanh", x)(x)
    return out, (lambda g: kernels.find("tanh_backward", out)(g, out),)


@op
def sigmoid(input):
    """1 / (1 + e^-x)."""
    x = as_float(input)
    out = kernels.find("sigmoid", x)(x)
    return out, (lambda g: kernels.find("sigmoid_backward", out)(g, out),)


@op
def erf(input):
    """The error function: 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to input."""
    x = as_float(input)
    return kernels.find("erf", x)(x), (lambda g: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x),)


@op
def relu(input):
    """max(input, 0); the gradient at 0 is 0."""
    refuse_bool(input)
    out = kernels.find("relu", input)(input)
    return out, (lambda g: kernels.find("relu_backward", out)(g, out),)


@op
def floor(input):
    """The largest whole number that is not above input; the gradient is 0."""
    return _whole(np.floor, input)


@op
def ceil(input):
    """The smallest whole number that is not below input; the gradient is 0."""
    return _whole(np.ceil, input)


@op
def round(input, *, decimals=0):
    """The nearest number with so many decimals, the even one of two; the gradient is 0."""
    if decimals and input.dtype.kind != "f":
        raise TypeError(f"decimals={decimals} of {input.dtype} values. Fix: x.float()")
    return _whole(lambda x: np.round(x, decimals), input)


def _whole(function, x):
    refuse_bool(x)
    return (function(x) if x.dtype.kind == "f" else x.copy()), (np.zeros_like,)


@op
def astype(input, dtype, device=None):
    """input in another dtype or on another device; the gradient comes back in input's own."""
    home = device_of(input)
    there = moved(input, device or home)
    return there.astype(as_dtype(dtype), copy=there is input), (lambda g: moved(g, home),)


# -- questions: booleans come out, no gradient goes back ------------------------------------------


@op(**BROADCAST)
def eq(input, other):
    """input == other, element by element."""
    return np.equal(*promote(input, other)), None


@op(**BROADCAST)
def ne(input, other):
    """input != other, element by element."""
    return np.not_equal(*promote(input, other)), None


@op(**BROADCAST)
def lt(input, other):
    """input < other, element by element."""
    return np.less(*promote(input, other)), None


@op(**BROADCAST)
def le(input, other):
    """input <= other, element by element."""
    return np.less_equal(*promote(input, other)), None


@op(**BROADCAST)
def gt(input, other):
    """input > other, element by element."""
    return np.greater(*promote(input, other)), None


@op(**BROADCAST)
def ge(input, other):
    """input >= other, element by element."""
    return np.greater_equal(*promote(input, other)), None


@op(**BROADCAST)
def logical_and(input, other):
    """Are both not 0?"""
    return np.logical_and(input, _array(other)), None


@op(**BROADCAST)
def logical_or(input, other):
    """Is at least one not 0?"""
    return np.logical_or(input, _array(other)), None


@op(**BROADCAST)
def logical_xor(input, other):
    """Is exactly one not 0?"""
    return np.logical_xor(input, _array(other)), None


@op
def logical_not(input):
    """Is it 0?"""
    return np.logical_not(input), None


@op(**BROADCAST)
def bitwise_and(input, other):
    """input & other: of booleans both, of whole numbers bit by bit."""
    return np.bitwise_and(*promote_all(input, other)), None


@op(**BROADCAST)
def bitwise_or(input, other):
    """input | other: of booleans at least one, of whole numbers bit by bit."""
    return np.bitwise_or(*promote_all(input, other)), None


@op(**BROADCAST)
def bitwise_xor(input, other):
    """input ^ other: of booleans exactly one, of whole numbers bit by bit."""
    return np.bitwise_xor(*promote_all(input, other)), None


@op
def bitwise_not(input):
    """~input: every boolean, or every bit of whole numbers, turned around."""
    return np.bitwise_not(input), None


@op
def isnan(input):
    """Is it not a number?"""
    return np.isnan(input), None


@op
def isinf(input):
    """Is it inf or -inf?"""
    return np.isinf(input), None


@op
def isfinite(input):
    """Is it neither inf nor nan?"""
    return np.isfinite(input), None


@op(**BROADCAST)
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|input - other| <= atol + rtol * |other|. inf is close to inf, and nan to nan if equal_nan."""
    if rtol < 0 or atol < 0:
        raise TypeError(f"rtol={rtol} and atol={atol} must not be negative")
    same_dtype(input, _array(other))
    return np.isclose(as_float(input), as_float(other), rtol, atol, equal_nan), None


def allclose(input: Tensor, other: Tensor, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Is every element close to its partner, as `isclose` says it?"""
    return bool(np.all(isclose(input, other, rtol, atol, equal_nan).array))


def equal(input: Tensor, other: Tensor) -> bool:
    """Do both tensors have the same shape and the same elements?"""
    if not isinstance(input, Tensor) or not isinstance(other, Tensor):
        raise TypeError(f"equal({type(input).__name__}, {type(other).__name__}): it compares two tensors")
    return input.shape == other.shape and bool(np.all(eq(input, other).array))


METHODS = [
    abs, add, allclose, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, ceil, clamp, cos, div, eq, equal,
    erf, exp, floor, floor_divide, ge, gt, isclose, isfinite, isinf, isnan, le, log, log1p, logical_and,
    logical_not, logical_or, logical_xor, lt, maximum, minimum, mul, ne, neg, pow, relu, remainder, round,
    rsqrt, sigmoid, sign, sin, sqrt, square, sub, tanh,
]  # fmt: skip
