"""Functions of single numbers. Small arrays are computed here, so calls are few and constants are ready."""

import math

import numpy as np

from minidl.kernels.reference.special import erf

__all__ = [
    "exp", "gelu", "gelu_backward", "gelu_tanh", "gelu_tanh_backward", "relu", "relu_backward", "sigmoid",
    "sigmoid_backward", "silu", "silu_backward", "tanh", "tanh_backward",
]  # fmt: skip

ZERO, ONE = (
    {kind: make((), kind) for kind in np.typecodes["AllInteger"] + "fd"} for make in (np.zeros, np.ones)
)
"""0 and 1 as arrays, by the letter of their dtype: with a Python number NumPy takes twice as long."""


def relu(x):
    """max(x, 0), and nan for nan."""
    return np.maximum(x, ZERO[x.dtype.char])


def relu_backward(g, out):
    """g where `relu` gave more than 0 (or nan), else 0."""
    zero = ZERO[out.dtype.char]
    return np.where(out <= zero, zero, g)


def exp(x):
    """e^x."""
    return np.exp(x)


def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x)."""
    return np.tanh(x)


def tanh_backward(g, out):
    """d tanh(x) / dx = 1 - tanh(x)^2."""
    return g * (ONE[out.dtype.char] - out * out)


def sigmoid(x):
    """1 / (1 + e^-x)."""
    one = ONE[x.dtype.char]
    return one / (one + np.exp(-x))


def sigmoid_backward(g, out):
    """With s = sigmoid(x), ds / dx = s (1 - s)."""
    return g * out * (ONE[out.dtype.char] - out)


def silu(x):
    """x sigmoid(x)."""
    return x * sigmoid(x)


def silu_backward(g, x):
    """With s = sigmoid(x), d(x s) / dx = s + x s (1 - s)."""
    s = sigmoid(x)
    return g * s * (1 + x * (1 - s))


def _normal(x):
    """In float64, x and its normal distribution function Phi(x); in the tail 1 + erf cancels."""
    x = x.astype(np.float64)
    return x, 0.5 * (1 + erf(x / math.sqrt(2)))


def gelu(x):
    """x Phi(x), Phi the normal distribution function."""
    wide, phi = _normal(x)
    return (wide * phi).astype(x.dtype)


def gelu_backward(g, x):
    """d(x Phi(x)) / dx = Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi)."""
    wide, phi = _normal(x)
    density = np.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    return g * (phi + wide * density).astype(g.dtype)


def _tanh_normal(x):
    """Nearly Phi(x): (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    return 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)))


def gelu_tanh(x):
    """`gelu` with a tanh for Phi, as in GPT-2."""
    return x * _tanh_normal(x)


def gelu_tanh_backward(g, x):
    """d(x p) / dx = p + x 2 p (1 - p) sqrt(2 / pi) (1 + 3 * 0.044715 x^2), p as in `gelu_tanh`."""
    p = _tanh_normal(x)
    return g * (p + x * (2 * p * (1 - p) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)))
