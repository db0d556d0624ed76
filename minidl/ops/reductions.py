"""Many numbers to one: sums, means, extremes, norms, along some axes or all; order along an axis."""

from __future__ import annotations

import builtins
import math
from typing import NamedTuple

import numpy as np

from minidl import kernels
from minidl.ops.arithmetic import maximum, minimum, sign_of
from minidl.ops.dtypes import as_dtype, as_float, need_float, refuse_bool
from minidl.ops.shapes import axes_of, axis_of
from minidl.tensor import Tensor, op

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "count_nonzero", "cumsum", "log_softmax",
    "logsumexp", "max", "mean", "median", "min", "norm", "prod", "softmax", "sort", "std", "sum", "topk",
    "var",
]  # fmt: skip


class ValuesIndices(NamedTuple):
    """What max, min, median, sort and topk along an axis return."""

    values: Tensor
    indices: Tensor


def _axes(x, dim, keepdim=False) -> tuple[int, ...]:
    """The axes that `dim` names. x.sum(0, 1) is refused: it does not mean axes 0 and 1."""
    if not isinstance(keepdim, (bool, np.bool_)) or isinstance(dim, (bool, float)):
        raise TypeError(f"dim={dim!r}, keepdim={keepdim!r}. Fix: name several axes as in dim=(0, 1)")
    return axes_of(tuple(dim) if isinstance(dim, list) else dim, x.ndim)


def _spread(g, axes, keepdim):
    """A gradient of the reduced shape, with the reduced axes put back as 1."""
    return g if keepdim or not axes else np.expand_dims(g, axes)


def _count(x, axes) -> int:
    return math.prod(x.shape[i] for i in axes)


# -- sums ------------------------------------------------------------------------------------------


@op
def sum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum over `dim` (all axes if None); whole numbers and booleans are summed in int64."""
    axes, shape = _axes(input, dim, keepdim), input.shape
    dtype = as_dtype(dtype, input.dtype if input.dtype.kind == "f" else np.int64)
    out = input.sum(axis=axes, keepdims=keepdim, dtype=dtype)
    return out, (lambda g: np.broadcast_to(_spread(g, axes, keepdim), shape),)


@op
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """Mean over `dim` (all axes if None). The mean of nothing is nan."""
    x = input if dtype is None else input.astype(as_dtype(dtype))
    need_float(x, "a mean")
    axes, shape = _axes(x, dim, keepdim), x.shape
    count = _count(x, axes)
    out = np.divide(x.sum(axis=axes, keepdims=keepdim), count, dtype=x.dtype)
    return out, (lambda g: np.broadcast_to(_spread(g, axes, keepdim) / builtins.max(count, 1), shape),)


@op
def prod(input, dim=None, keepdim=False, *, dtype=None):
    """Product over the axis `dim`, or of all elements; the gradient is the product of the others."""
    dtype = as_dtype(dtype, input.dtype if input.dtype.kind == "f" else np.int64)
    axes = _axes(input, dim if dim is None else axis_of(dim, input.ndim), keepdim)
    out = np.prod(input, axis=axes, keepdims=keepdim, dtype=dtype)

    def dx(g):
        x = input.reshape(-1, 1) if dim is None else np.moveaxis(np.atleast_1d(input), dim, 0)
        before, after = np.ones_like(x), np.ones_like(x)
        before[1:] = np.cumprod(x, axis=0)[:-1]
        after[:-1] = np.cumprod(x[::-1], axis=0)[-2::-1]
        others = np.moveaxis(before * after, 0, dim or 0)
        return _spread(g, axes, keepdim) * others.reshape(input.shape)

    return out, (dx,)


@op
def cumsum(input, dim, *, dtype=None):
    """Running sum along `dim`; whole numbers and booleans are summed in int64."""
    axis, x, shape = axis_of(dim, input.ndim), np.atleast_1d(input), input.shape
    dtype = as_dtype(dtype, x.dtype if x.dtype.kind == "f" else np.int64)
    wide = np.float64 if dtype.kind == "f" else dtype  # rounding adds up in float32

    def running(a):
        return np.cumsum(a, axis=axis, dtype=wide).astype(dtype)

    def dx(g):
        return np.flip(running(np.flip(np.atleast_1d(g), axis)), axis).reshape(shape)

    return running(x).reshape(input.shape), (dx,)


@op
def count_nonzero(input, dim=None):
    """How many elements are not 0, over `dim` or all axes."""
    return np.sum(input != 0, axis=_axes(input, dim), dtype=np.int64), None


@op
def all(input, dim=None, keepdim=False):
    """Is every element not 0? Boolean; of uint8, uint8."""
    return _truth(np.all, input, dim, keepdim)


@op
def any(input, dim=None, keepdim=False):
    """Is at least one element not 0? Boolean; of uint8, uint8."""
    return _truth(np.any, input, dim, keepdim)


def _truth(function, x, dim, keepdim):
    axes = _axes(x, dim, keepdim)
    axes = () if isinstance(dim, (tuple, list)) and not dim else axes  # here, no axes are no axes, not all
    out = function(x, axis=axes, keepdims=keepdim)
    return out.astype(np.uint8 if x.dtype == np.uint8 else np.bool_), None


# -- variance --------------------------------------------------------------------------------------


@op
def _var(input, dim, correction, keepdim):
    out, d_input = _variance(input, dim, correction, keepdim)
    return out, (d_input,)


@op
def _std(input, dim, correction, keepdim):
    variance, d_input = _variance(input, dim, correction, keepdim)
    out = np.sqrt(variance)
    return out, (lambda g: d_input(np.where(out == 0, 0, g / (2 * out))),)  # at 0, sqrt has no slope


def _variance(x, dim, correction, keepdim):
    """The variance, and the function that turns dL/d(variance) into dL/dx."""
    need_float(x, "a variance")
    axes = _axes(x, dim, keepdim)
    count, scalar = _count(x, axes), x.dtype.type
    centred = x - x.sum(axis=axes, keepdims=True) / scalar(count)
    out = np.square(centred).sum(axis=axes, keepdims=keepdim) / scalar(builtins.max(count - correction, 0))
    scale = np.divide(2, count - correction, dtype=x.dtype)
    return out, lambda g: _spread(g, axes, keepdim) * centred * scale


def var(input: Tensor, dim=None, unbiased=None, keepdim=False, *, correction=None) -> Tensor:
    """Mean squared distance from the mean over `dim`.

    The sum of squares is divided by n - correction: 1, the default, is right on average for a sample
    (unbiased=True), 0 for a whole population (unbiased=False).
    """
    dim, correction = _correction(dim, unbiased, correction)
    return _var(input, dim=dim, correction=correction, keepdim=keepdim)


def std(input: Tensor, dim=None, unbiased=None, keepdim=False, *, correction=None) -> Tensor:
    """Standard deviation: the square root of `var`; where it is 0, so is its gradient."""
    dim, correction = _correction(dim, unbiased, correction)
    return _std(input, dim=dim, correction=correction, keepdim=keepdim)


def _correction(dim, unbiased, correction):
    """dim and correction, asked for as x.var(0, correction=0), x.var(0, False) or x.var(False)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is None:
        return dim, 1 if correction is None else correction
    if correction is not None or not isinstance(unbiased, bool):
        raise TypeError(f"unbiased={unbiased!r}, correction={correction!r}. Fix: give one of them")
    return dim, int(unbiased)


# -- extremes ----------------------------------------------------------------------------------------


def _need_elements(x, axes) -> None:
    if not _count(x, axes):
        raise IndexError("no elements: there is no largest, smallest or middle one")


def _shares(x, extreme, axes):
    """How the elements share the gradient of an extreme: equal ones equally, and if it is nan, the nans."""
    ties = (x == extreme) | ((x != x) & (extreme != extreme))
    return ties / ties.sum(axis=axes, keepdims=True, dtype=x.dtype)


def _extreme_over(x, dim, keepdim, reduce):
    axes = _axes(x, dim, keepdim)
    _need_elements(x, axes)
    kept = reduce(x, axis=axes, keepdims=True)
    return (kept if keepdim else kept.squeeze(axes)), (
        lambda g: _spread(g, axes, keepdim) * _shares(x, kept, axes),
    )


@op
def amax(input, dim=(), keepdim=False):
    """Largest value over `dim` (all axes if empty); equal ones share the gradient."""
    return _extreme_over(input, dim, keepdim, np.max)


@op
def amin(input, dim=(), keepdim=False):
    """Smallest value over `dim` (all axes if empty); equal ones share the gradient."""
    return _extreme_over(input, dim, keepdim, np.min)


def max(input: Tensor, dim=None, keepdim=False, *, other=None) -> Tensor | ValuesIndices:
    """max(x): the largest value; max(x, dim): (values, indices); max(x, y): the larger of each pair."""
    return _max_or_min(input, dim, keepdim, other, amax, argmax, maximum)


def min(input: Tensor, dim=None, keepdim=False, *, other=None) -> Tensor | ValuesIndices:
    """min(x): the smallest value; min(x, dim): (values, indices); min(x, y): the smaller of each pair."""
    return _max_or_min(input, dim, keepdim, other, amin, argmin, minimum)


def _max_or_min(x, dim, keepdim, other, total, position, elementwise):
    if isinstance(dim, Tensor):
        dim, other = None, dim
    if other is not None:
        return elementwise(x, other)
    if dim is None:
        if keepdim:
            raise TypeError("keepdim=True without dim. Fix: amax or amin, with dim=()")
        return total(x)
    indices = position(x.to(np.uint8) if x.dtype == np.bool_ else x, dim, keepdim)
    return ValuesIndices(_values_at(x, indices, dim=dim), indices)


@op
def _values_at(input, indices, dim):
    """What max, sort and their kin found: distinct places along `dim`, an axis that may be gone."""
    x, axis = np.atleast_1d(input), axis_of(dim, input.ndim)
    places = indices if indices.ndim == x.ndim else np.expand_dims(indices, axis)
    before, shape = input.shape, x.shape

    def dx(g):
        d = np.zeros_like(g, shape=shape)
        np.put_along_axis(d, places, g.reshape(places.shape), axis)
        return d.reshape(before)

    return np.take_along_axis(x, places, axis).reshape(indices.shape), (dx,)


@op
def argmax(input, dim=None, keepdim=False):
    """Where the largest value stands (the first of equal ones); in the flattened tensor if dim is None."""
    return _position(np.argmax, input, dim, keepdim)


@op
def argmin(input, dim=None, keepdim=False):
    """Where the smallest value stands (the first of equal ones); in the flattened tensor if dim is None."""
    return _position(np.argmin, input, dim, keepdim)


def _position(function, x, dim, keepdim):
    refuse_bool(x)
    axis = dim if dim is None else axis_of(dim, x.ndim)
    _need_elements(x, _axes(x, dim, keepdim))
    return function(x, axis=axis, keepdims=keepdim) if x.ndim else np.zeros_like(x, np.int64), None


# -- order -------------------------------------------------------------------------------------------


@op
def argsort(input, dim=-1, descending=False, *, stable=False):
    """Indices that sort the values along `dim`. Equal ones stay in their order; nan is the largest."""
    axis, x = axis_of(dim, input.ndim), np.atleast_1d(input)
    if not descending:
        return np.argsort(x, axis=axis, stable=True).reshape(input.shape), None
    backwards = np.argsort(np.flip(x, axis), axis=axis, stable=True)
    return (x.shape[axis] - 1 - np.flip(backwards, axis)).reshape(input.shape), None


def sort(input: Tensor, dim: int = -1, descending=False, *, stable=False) -> ValuesIndices:
    """(values, indices) in order along `dim`. Equal ones stay in their order; nan is the largest."""
    indices = argsort(input, dim, descending)
    return ValuesIndices(_values_at(input, indices, dim=dim), indices)


def topk(input: Tensor, k: int, dim: int = -1, largest=True, sorted=True) -> ValuesIndices:
    """(values, indices) of the k largest (or smallest) along `dim`, the most extreme first."""
    size = input.shape[axis_of(dim, input.ndim)] if input.ndim else 1
    refuse_bool(input.array)
    if not 0 <= k <= size:
        raise ValueError(f"topk(k={k}) of {size} values along dim {dim}: k must lie in [0, {size}]")
    indices = argsort(input, dim, descending=largest)
    if input.ndim:
        before = (slice(None),) * (dim % input.ndim)
        indices = indices[(*before, slice(k))]
    return ValuesIndices(_values_at(input, indices, dim=dim), indices)


def median(input: Tensor, dim: int | None = None, keepdim=False) -> Tensor | ValuesIndices:
    """The middle value, the lower of two; with dim (values, indices). nan if one is among them."""
    if dim is None:
        return _median(input)
    indices = _middle(input, dim=dim, keepdim=keepdim)
    return ValuesIndices(_values_at(input, indices, dim=dim), indices)


@op
def _median(input):
    order = np.sort(input, axis=None)
    refuse_bool(input)
    if not order.size:
        need_float(input, "the median of nothing, nan,")
        return np.full((), np.nan, input.dtype), (lambda g: np.zeros_like(input),)
    out = order[-1] if order[-1] != order[-1] else order[(order.size - 1) // 2]
    return out, (lambda g: g * _shares(input, out, None),)


@op
def _middle(input, dim, keepdim):
    """Where the median along `dim` stands, or the first nan."""
    refuse_bool(input)
    axis, x = axis_of(dim, input.ndim), np.atleast_1d(input)
    _need_elements(x, (axis,))
    middle = np.take(np.argsort(x, axis=axis, stable=True), (x.shape[axis] - 1) // 2, axis=axis)
    lost = x != x
    out = np.where(lost.any(axis=axis), np.argmax(lost, axis=axis), middle)
    return (np.expand_dims(out, axis) if keepdim and input.ndim else out), None


# -- through exponentials --------------------------------------------------------------------------


@op
def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) over `dim` without overflow: the largest value is taken out first."""
    if dim is None or (input.ndim and np.size(dim) == 0):
        raise TypeError(f"dim={dim!r}: it must name an axis. Fix: dim=tuple(range(x.ndim)) for all")
    x, axes = as_float(input), _axes(input, dim, keepdim)
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    kept = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
    return (kept if keepdim else kept.squeeze(axes)), (
        lambda g: _spread(g, axes, keepdim) * np.exp(x - kept),
    )


def _along(name, input, dim, dtype):
    """Kernel `name` along `dim`, and its backward."""
    x = np.atleast_1d(input if dtype is None else input.astype(as_dtype(dtype)))
    need_float(x, "a softmax")
    axis = axis_of(dim, input.ndim)
    out = kernels.find(name, x)(x, axis)
    return out.reshape(input.shape), (
        lambda g: kernels.find(f"{name}_backward", out)(g.reshape(out.shape), out, axis),
    )


@op
def softmax(input, dim, dtype=None):
    """exp(input) / sum(exp(input)) along `dim`: positive numbers that add up to 1."""
    return _along("softmax", input, dim, dtype)


@op
def log_softmax(input, dim, dtype=None):
    """log(softmax(input)) along `dim`, without overflow."""
    return _along("log_softmax", input, dim, dtype)


# -- norms -----------------------------------------------------------------------------------------


@op
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """The p-norm over `dim`: sum(|x|^p)^(1/p). "fro" is 2, the length of a vector.

    p = inf: the largest |x|; -inf: the smallest; 0: how many are not 0. The gradient at x = 0 is 0.
    """
    p = _order(p)
    need_float(input, "a norm")
    dtype = as_dtype(dtype, input.dtype)
    if not np.can_cast(input.dtype, dtype) or dtype.kind != "f":
        raise TypeError(f"dtype={dtype} is narrower than {input.dtype}")
    x, axes = input.astype(dtype, copy=False), _axes(input, dim, keepdim)
    if math.isinf(p) or p < 0:
        _need_elements(x, axes)
    size = np.abs(x)
    kept = _norm_of(size, p, axes)

    def dx(g):
        if p == 0:
            return np.zeros_like(x)
        if math.isinf(p):
            slope = _shares(size, kept, axes)
        else:
            slope = np.where(size == 0, 0, size ** (p - 1)) * np.where(kept == 0, 0, kept ** (1 - p))
        return _spread(g, axes, keepdim) * sign_of(x) * slope

    return (kept if keepdim else kept.squeeze(axes)), (dx,)


def _order(p) -> float:
    if p == "nuc":
        raise NotImplementedError("the nuclear norm is not part of minidl")
    if isinstance(p, str) and p != "fro":
        raise ValueError(f'p={p!r}: it must be a number or "fro"')
    return 2 if p in (None, "fro") else p


def _norm_of(size, p, axes):
    """The p-norm of absolute values, its axes kept as 1."""
    if math.isinf(p):
        return (np.max if p > 0 else np.min)(size, axis=axes, keepdims=True)
    if p == 0:
        return (size != 0).sum(axis=axes, keepdims=True, dtype=size.dtype)
    if p == 2:
        return np.sqrt(np.square(size).sum(axis=axes, keepdims=True))
    return (size**p).sum(axis=axes, keepdims=True) ** (1 / p)


METHODS = [
    all, amax, amin, any, argmax, argmin, argsort, count_nonzero, cumsum, log_softmax, logsumexp, max, mean,
    median, min, norm, prod, softmax, sort, std, sum, topk, var,
]  # fmt: skip
