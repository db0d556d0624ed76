"""Arithmetic and functions of single elements, and comparisons. Operands are broadcast against each other."""

from __future__ import annotations

import numpy as np

from minidl.ops.dtypes import as_float, promote
from minidl.tensor import Tensor, op

__all__ = [
    "abs", "add", "astype", "clamp", "cos", "div", "exp", "log", "maximum", "minimum", "mul", "neg", "pow",
    "relu", "sigmoid", "sin", "sqrt", "square", "sub", "tanh", "where",
]  # fmt: skip

BROADCAST = {
    "rule": "shapes must be equal or 1 in every axis, counted from the last",
    "fix": "reshape or unsqueeze one of them, or check which axis is the batch",
}


@op(**BROADCAST)
def add(a, b):
    """a + b."""
    a, b = promote(a, b)
    return a + b, (lambda g: g, lambda g: g)


@op(**BROADCAST)
def sub(a, b):
    """a - b."""
    a, b = promote(a, b)
    return np.subtract(a, b), (lambda g: g, lambda g: -g)


@op(**BROADCAST)
def mul(a, b):
    """a * b, element by element."""
    a, b = promote(a, b)
    return a * b, (lambda g: g * b, lambda g: g * a)


@op(**BROADCAST)
def div(a, b):
    """a / b, element by element; integers give float32. Division by zero is inf or nan, as in IEEE 754."""
    a, b = promote(a, b)
    if np.asarray(a).dtype.kind != "f" and np.asarray(b).dtype.kind != "f":
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = a / b
    return out, (lambda g: g / b, lambda g: -g * out / b)


@op(**BROADCAST)
def pow(a, exponent):
    """a ** exponent. The gradient of the exponent is out * log(a), 0 where a is 0."""
    a, b = promote(a, exponent)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.power(a, b)

    def d_base(g):
        with np.errstate(divide="ignore", invalid="ignore"):
            return g * np.where(np.equal(b, 0), 0, b * np.power(a, np.asarray(b, a.dtype) - 1))

    def d_exponent(g):
        with np.errstate(divide="ignore", invalid="ignore"):
            return g * np.where(np.equal(a, 0), 0, out * np.log(a))

    return out, (d_base, d_exponent)


@op
def neg(x):
    """-x."""
    return -x, (lambda g: -g,)


@op
def abs(x):
    """|x|; the gradient at 0 is 0."""
    return np.abs(x), (lambda g: g * np.sign(x),)


@op
def square(x):
    """x * x."""
    return x * x, (lambda g: 2 * g * x,)


@op
def exp(x):
    """e ** x."""
    out = np.exp(as_float(x))
    return out, (lambda g: g * out,)


@op
def log(x):
    """Natural logarithm; log 0 is -inf, of negative numbers nan."""
    x = as_float(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x), (lambda g: g / x,)


@op
def sqrt(x):
    """Square root."""
    with np.errstate(invalid="ignore"):
        out = np.sqrt(as_float(x))
    return out, (lambda g: g / (2 * out),)


@op
def sin(x):
    x = as_float(x)
    return np.sin(x), (lambda g: g * np.cos(x),)


@op
def cos(x):
    x = as_float(x)
    return np.cos(x), (lambda g: -g * np.sin(x),)


@op
def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x)."""
    out = np.tanh(as_float(x))
    return out, (lambda g: g * (1 - out * out),)


@op
def sigmoid(x):
    """1 / (1 + e^-x), by tanh so that nothing overflows."""
    out = np.tanh(as_float(x) * 0.5) * 0.5 + 0.5
    return out, (lambda g: g * out * (1 - out),)


@op
def relu(x):
    """max(x, 0); the gradient at 0 is 0."""
    out = np.maximum(x, 0)
    return out, (lambda g: g * (out > 0),)


@op
def clamp(x, min=None, max=None):
    """x limited to [min, max]; the gradient is 0 outside."""
    if min is None and max is None:
        raise ValueError("at least one of min and max must be given")
    low, high = -np.inf if min is None else min, np.inf if max is None else max
    return np.clip(x, min, max), (lambda g: g * ((x >= low) & (x <= high)),)


def _extreme(function):
    def body(a, b):
        a, b = promote(a, b)
        out = function(a, b)
        share = np.where(np.equal(a, b), 0.5, 1).astype(out.dtype)  # equal inputs share the gradient
        return out, (lambda g: g * np.equal(out, a) * share, lambda g: g * np.equal(out, b) * share)

    return body


@op(**BROADCAST)
def maximum(a, b):
    """The larger of a and b, element by element."""
    return _extreme(np.maximum)(a, b)


@op(**BROADCAST)
def minimum(a, b):
    """The smaller of a and b, element by element."""
    return _extreme(np.minimum)(a, b)


@op(**BROADCAST)
def where(condition, a, b):
    """a where the condition holds, else b."""
    a, b = promote(a, b)
    return np.where(condition, a, b), (
        lambda g: None,
        lambda g: np.where(condition, g, 0),
        lambda g: np.where(condition, 0, g),
    )


@op
def astype(x, dtype):
    """x in another dtype; the gradient comes back in x's own."""
    return x.astype(dtype), (lambda g: g,)


# -- comparisons -----------------------------------------------------------------------------------


def compare(function):
    def compared(a, b):
        a, b = (t.array if isinstance(t, Tensor) else t for t in (a, b))
        return Tensor(np.asarray(function(a, b)))

    return compared


METHODS = [
    abs, clamp, cos, exp, log, pow, relu, sigmoid, sin, sqrt, square, tanh,
]  # fmt: skip
