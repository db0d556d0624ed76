"""Activations: what happens to each number between two linear maps, and softmax."""

from __future__ import annotations

import math

import numpy as np

from minidl.ops import clamp, exp, relu, sigmoid, tanh, where
from minidl.ops.dtypes import as_float
from minidl.ops.shapes import axes_of
from minidl.tensor import Tensor, op

__all__ = [
    "elu", "gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh",
]  # fmt: skip


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where positive, negative_slope * x elsewhere (Maas et al. 2013)."""
    return where(x > 0, x, x * negative_slope)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where positive, alpha (e^x - 1) elsewhere (Clevert et al. 2016)."""
    return where(x > 0, x, alpha * (exp(clamp(x, max=0)) - 1))


@op
def softplus(x, beta=1.0, threshold=20.0):
    """log(1 + e^(beta x)) / beta: a smooth ReLU; linear above the threshold."""
    scaled = x * beta
    out = np.where(scaled > threshold, x, np.logaddexp(scaled, 0) / beta).astype(x.dtype)
    return out, (
        lambda g: g * np.where(scaled > threshold, 1, np.tanh(scaled / 2) / 2 + 0.5).astype(x.dtype),
    )


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), also called swish (Elfwing et al. 2018)."""
    return x * sigmoid(x)


_erf = np.vectorize(math.erf, otypes=[np.float64])


@op
def gelu(x, approximate="none"):
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016); "tanh" approximates Phi."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f'approximate must be "none" or "tanh", not {approximate!r}')
    wide = x.astype(np.float64)
    if approximate == "none":
        phi = 0.5 * (1 + _erf(wide / np.sqrt(2)))
        slope = np.exp(-0.5 * wide * wide) / np.sqrt(2 * np.pi)
    else:
        inner = np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)
        phi = 0.5 * (1 + np.tanh(inner))
        slope = 0.5 * (1 - np.tanh(inner) ** 2) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * wide * wide)
    derivative = (phi + wide * slope).astype(x.dtype)
    return (wide * phi).astype(x.dtype), (lambda g: g * derivative,)


def _log_softmax_array(x, axis):
    shifted = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


@op
def softmax(x, dim):
    """exp(x) / sum(exp(x)) along `dim`: positive numbers that add up to 1."""
    axes_of(dim, x.ndim)
    out = np.exp(_log_softmax_array(as_float(x), dim))
    return out, (lambda g: out * (g - (g * out).sum(axis=dim, keepdims=True)),)


@op
def log_softmax(x, dim):
    """log(softmax(x)) along `dim`, without overflow."""
    axes_of(dim, x.ndim)
    out = _log_softmax_array(as_float(x), dim)
    return out, (lambda g: g - np.exp(out) * g.sum(axis=dim, keepdims=True),)
