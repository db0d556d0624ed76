"""Many numbers to one: sums, means, extremes, along some axes or all."""

from __future__ import annotations

import builtins
import math

import numpy as np

from minidl.ops.arithmetic import sqrt
from minidl.ops.indexing import gather
from minidl.ops.shapes import axes_of, squeeze
from minidl.tensor import Tensor, op

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "cumsum", "logsumexp", "max", "mean", "min", "std",
    "sum", "var",
]  # fmt: skip


def spread(g, axes, keepdim):
    """A gradient of the reduced shape, with the reduced axes put back as 1."""
    return g if keepdim else np.expand_dims(g, axes) if axes else g


@op
def sum(x, dim=None, keepdim=False):
    """Sum over `dim` (all axes if None)."""
    axes = axes_of(dim, x.ndim)
    out = x.sum(axis=axes, keepdims=keepdim, dtype=None if x.dtype.kind == "f" else np.int64)
    return out, (lambda g: np.broadcast_to(spread(g, axes, keepdim), x.shape),)


@op
def mean(x, dim=None, keepdim=False):
    """Mean over `dim` (all axes if None). The mean of nothing is nan."""
    if x.dtype.kind != "f":
        raise TypeError(f"a mean needs floating-point values, not {x.dtype}. Fix: x.float().mean()")
    axes = axes_of(dim, x.ndim)
    count = math.prod(x.shape[i] for i in axes)
    with np.errstate(invalid="ignore"):
        out = np.divide(x.sum(axis=axes, keepdims=keepdim), count, dtype=x.dtype)
    return out, (lambda g: np.broadcast_to(spread(g, axes, keepdim) / builtins.max(count, 1), x.shape),)


@op
def _var(x, dim=None, correction=1, keepdim=False):
    """Mean squared distance from the mean, with n - correction in the denominator."""
    axes = axes_of(dim, x.ndim)
    count = math.prod(x.shape[i] for i in axes)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = x - x.sum(axis=axes, keepdims=True) / x.dtype.type(count)
        out = np.square(centred).sum(axis=axes, keepdims=keepdim) / x.dtype.type(
            builtins.max(count - correction, 0)
        )
    scale = 2 / (count - correction) if count > correction else np.nan
    return out, (lambda g: spread(g, axes, keepdim) * centred * x.dtype.type(scale),)


def var(x, dim=None, *, correction=1, keepdim=False) -> Tensor:
    """Variance over `dim`; correction=1 divides by n - 1 (unbiased), correction=0 by n."""
    return _var(x, dim=dim, correction=correction, keepdim=keepdim)


def std(x, dim=None, *, correction=1, keepdim=False) -> Tensor:
    """Standard deviation: the square root of `var`."""
    return sqrt(_var(x, dim=dim, correction=correction, keepdim=keepdim))


def _extreme_over(x, dim, keepdim, reduce):
    axes = axes_of(dim, x.ndim)
    if builtins.any(x.shape[i] == 0 for i in axes):
        raise IndexError("the largest or smallest of no elements does not exist")
    kept = reduce(x, axis=axes, keepdims=True)

    def dx(g):
        ties = x == kept  # equal extremes share the gradient
        return spread(g, axes, keepdim) * ties / ties.sum(axis=axes, keepdims=True, dtype=x.dtype)

    return (kept if keepdim else kept.squeeze(axes)), (dx,)


@op
def amax(x, dim=(), keepdim=False):
    """Largest value over `dim`; equal ones share the gradient."""
    return _extreme_over(x, dim, keepdim, np.max)


@op
def amin(x, dim=(), keepdim=False):
    """Smallest value over `dim`; equal ones share the gradient."""
    return _extreme_over(x, dim, keepdim, np.min)


def max(x, dim=None, keepdim=False):
    """Without dim: the largest value. With dim: (values, indices)."""
    return amax(x) if dim is None else _values_indices(x, dim, keepdim, argmax)


def min(x, dim=None, keepdim=False):
    """Without dim: the smallest value. With dim: (values, indices)."""
    return amin(x) if dim is None else _values_indices(x, dim, keepdim, argmin)


def _values_indices(x, dim, keepdim, arg):
    indices = arg(x, dim, keepdim=True)
    values = gather(x, dim, indices)
    return (values, indices) if keepdim else (squeeze(values, dim), squeeze(indices, dim))


def argmax(x, dim=None, keepdim=False) -> Tensor:
    """Where the largest value stands (the first one); of the flattened tensor if dim is None."""
    return Tensor(np.asarray(np.argmax(x.array, axis=dim, keepdims=keepdim)))


def argmin(x, dim=None, keepdim=False) -> Tensor:
    """Where the smallest value stands (the first one); of the flattened tensor if dim is None."""
    return Tensor(np.asarray(np.argmin(x.array, axis=dim, keepdims=keepdim)))


def all(x, dim=None, keepdim=False) -> Tensor:
    """Is every element true?"""
    return Tensor(np.asarray(np.all(x.array, axis=dim, keepdims=keepdim)))


def any(x, dim=None, keepdim=False) -> Tensor:
    """Is at least one element true?"""
    return Tensor(np.asarray(np.any(x.array, axis=dim, keepdims=keepdim)))


@op
def logsumexp(x, dim, keepdim=False):
    """log(sum(exp(x))) without overflow: the largest value is taken out first."""
    axes = axes_of(dim, x.ndim)
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    with np.errstate(divide="ignore"):
        kept = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
    out = kept if keepdim else kept.squeeze(axes)
    return out, (lambda g: spread(g, axes, keepdim) * np.exp(x - kept),)


@op
def cumsum(x, dim):
    """Running sum along `dim`."""
    return np.cumsum(x, axis=dim), (lambda g: np.flip(np.cumsum(np.flip(g, dim), axis=dim), dim),)


METHODS = [
    all, amax, amin, any, argmax, argmin, cumsum, logsumexp, max, mean, min, std, sum, var,
]  # fmt: skip
