"""Activations: one kernel each, in which a number is read once, and everything happens to it in registers.

The kernels come from the factory in `elementwise.py`; here are the formulas, and what they keep of float32.
NumPy computes a gelu in a dozen passes over memory, here it is one. A backward computes again what it needs
from x: that costs less than to read it.
"""

import functools
import math
from collections.abc import Callable

from minidl.kernels.cuda.array import CudaArray, empty
from minidl.kernels.cuda.driver import SCALARS, Device, Scalar, device
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.pointwise import pointwise

__all__ = [
    "erf", "exp", "gelu", "gelu_backward", "gelu_tanh", "gelu_tanh_backward", "relu", "relu_backward",
    "sigmoid", "sigmoid_backward", "silu", "silu_backward", "tanh", "tanh_backward",
]  # fmt: skip

ROOT_2_OVER_PI, CUBIC = math.sqrt(2 / math.pi), 0.044715
DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)


# -- one number: functions that make a formula for a type ------------------------------------------


def relu_of(number: Scalar) -> Device:
    @device
    def relu(x):
        return number(0) if x <= number(0) else x

    return relu


def _relu_backward(number: Scalar) -> Device:
    @device
    def relu_backward(g, out):
        return number(0) if out <= number(0) else g

    return relu_backward


@functools.cache
def sigmoid_of(number: Scalar) -> Device:
    """Device code for 1 / (1 + e^-x)."""

    @device
    def sigmoid(x):
        return number(1) / (number(1) + math.exp(-x))

    return sigmoid


def _sigmoid_backward(number: Scalar) -> Device:
    @device
    def sigmoid_backward(g, out):
        return g * out * (number(1) - out)

    return sigmoid_backward


def _tanh_backward(number: Scalar) -> Device:
    @device
    def tanh_backward(g, out):
        return g * (number(1) - out * out)

    return tanh_backward


def _silu(number: Scalar) -> Device:
    sigmoid = sigmoid_of(number)

    @device
    def silu(x):
        return x * sigmoid(x)

    return silu


def _silu_backward(number: Scalar) -> Device:
    sigmoid = sigmoid_of(number)

    @device
    def silu_backward(g, x):
        s = sigmoid(x)
        return g * s * (number(1) + x * (number(1) - s))

    return silu_backward


def _normal(number: Scalar) -> Device:
    """The normal distribution function: erfc keeps its digits in the tail, where 1 + erf would cancel."""
    half, root = number(0.5), number(-math.sqrt(0.5))

    @device
    def normal(x):
        return half * math.erfc(root * x)

    return normal


def gelu_of(number: Scalar) -> Device:
    normal = _normal(number)

    @device
    def gelu(x):
        return x * normal(x)

    return gelu


def _gelu_backward(number: Scalar) -> Device:
    normal, density_at_0 = _normal(number), number(DENSITY_AT_0)

    @device
    def gelu_backward(g, x):
        density = density_at_0 * math.exp(number(-0.5) * x * x)
        return g * (normal(x) + x * density)

    return gelu_backward


def _tanh_normal(number: Scalar) -> Device:
    """(1 + tanh u) / 2 is sigmoid(2 u): one exponential, and nothing cancels."""
    sigmoid, twice, cubic = sigmoid_of(number), number(2 * ROOT_2_OVER_PI), number(CUBIC)

    @device
    def tanh_normal(x):
        return sigmoid(twice * x * (number(1) + cubic * x * x))

    return tanh_normal


def _gelu_tanh(number: Scalar) -> Device:
    normal = _tanh_normal(number)

    @device
    def gelu_tanh(x):
        return x * normal(x)

    return gelu_tanh


def _gelu_tanh_backward(number: Scalar) -> Device:
    normal, twice, cubic = _tanh_normal(number), number(2 * ROOT_2_OVER_PI), number(3 * CUBIC)

    @device
    def gelu_tanh_backward(g, x):
        p = normal(x)
        slope = twice * (number(1) + cubic * x * x)
        return g * (p + x * (p * (number(1) - p) * slope))

    return gelu_tanh_backward


def _plain(name: str) -> Callable[[Scalar], Device]:
    return lambda number: formula(name, number)


# -- the kernels -----------------------------------------------------------------------------------


@functools.cache
def _made(make: Callable[[Scalar], Device], number: Scalar) -> Device:
    return make(number)


def _each(make: Callable[[Scalar], Device], *inputs: CudaArray) -> CudaArray:
    """A formula on all numbers of arrays of one shape and dtype."""
    x = inputs[0]
    number = SCALARS.get(x.dtype)
    if number is None or any(a.dtype != x.dtype or a.shape != x.shape for a in inputs):
        name = make.__name__.lstrip("_")
        given = ", ".join(f"{a.dtype} {a.shape}" for a in inputs)
        raise TypeError(f"{name}({given}): arrays of one shape and dtype are needed. Fix: x.float()")
    return pointwise(_made(make, number), (number,) * (len(inputs) + 1), inputs, empty(x.shape, x.dtype))


_exp, _tanh, _erf = _plain("exp"), _plain("tanh"), _plain("erf")


def relu(x):
    """`reference.relu`."""
    return _each(relu_of, x)


def relu_backward(g, out):
    """`reference.relu_backward`."""
    return _each(_relu_backward, g, out)


def exp(x):
    """`reference.exp`."""
    return _each(_exp, x)


def erf(x):
    """`reference.erf`."""
    return _each(_erf, x)


def tanh(x):
    """`reference.tanh`."""
    return _each(_tanh, x)


def tanh_backward(g, out):
    """`reference.tanh_backward`."""
    return _each(_tanh_backward, g, out)


def sigmoid(x):
    """`reference.sigmoid`."""
    return _each(sigmoid_of, x)


def sigmoid_backward(g, out):
    """`reference.sigmoid_backward`."""
    return _each(_sigmoid_backward, g, out)


def silu(x):
    """`reference.silu`."""
    return _each(_silu, x)


def silu_backward(g, x):
    """`reference.silu_backward`."""
    return _each(_silu_backward, g, x)


def gelu(x):
    """`reference.gelu`."""
    return _each(gelu_of, x)


def gelu_backward(g, x):
    """`reference.gelu_backward`."""
    return _each(_gelu_backward, g, x)


def gelu_tanh(x):
    """`reference.gelu_tanh`."""
    return _each(_gelu_tanh, x)


def gelu_tanh_backward(g, x):
    """`reference.gelu_tanh_backward`."""
    return _each(_gelu_tanh_backward, g, x)
