"""Choosing elements: by position, by mask, by index; and putting them there."""

from __future__ import annotations

import math

import numpy as np

from minidl import kernels, writes
from minidl.devices import Array, device_of, moved, to_host
from minidl.ops.dtypes import narrow
from minidl.ops.shapes import axis_of, broadcast_to, reshape
from minidl.part import Part
from minidl.tensor import ShapeError, Tensor, _mode, explain, op

__all__ = [
    "gather", "index_select", "masked_fill", "masked_select", "nonzero", "repeat_interleave", "scatter",
    "scatter_add", "take_along_dim",
]  # fmt: skip

ALL = slice(None)
PLACES = (np.int64, np.int32)
"""The dtypes of an index, as in PyTorch."""


# -- x[index] ------------------------------------------------------------------------------------------


def _part(part) -> tuple[int, list, list]:
    """One part of an index: how many axes it names, and what it is in the two steps of `_parse`."""
    if part is None:
        return 0, [None], [ALL]
    if isinstance(part, slice):
        if part.step is not None and part.step < 0:
            raise ValueError("a slice cannot go backwards, x.flip(dim) does")
        return 1, [part], [ALL]
    array = part.array if isinstance(part, Tensor) else np.asarray(part)
    if not isinstance(part, Tensor) and (array.dtype.kind == "i" or array.shape == (0,)):
        array = array.astype(np.int64)
    if array.dtype == np.bool_:  # True and False alone: a new axis of size 1 or 0
        return array.ndim, [ALL] * array.ndim or [None], [np.atleast_1d(array)]
    if array.dtype.kind == "i" and not array.ndim:
        return 1, [array.item()], []
    if array.dtype in PLACES:
        return 1, [ALL], [array]
    raise IndexError(
        f"{array.dtype} values are no index: i.long() makes them places, i.bool() a mask; "
        "numbers, slices, ... and None are allowed beside them"
    )


def _parse(index, shape: tuple[int, ...]) -> tuple[tuple, tuple]:
    """`index` in two steps: x[view] takes numbers, slices, None; x[view][picks] what masks and arrays name.

    So numbers act first, as in PyTorch. In NumPy a number beside an array is an array too, and moves axes.
    """
    if isinstance(index, list) and not all(isinstance(i, (int, np.integer)) for i in index):
        raise IndexError(
            "a list must hold whole numbers or booleans: x[tuple(i)] or x[minidl.tensor(i)] is meant"
        )
    index = index if isinstance(index, tuple) else (index,)
    parts = [None if part is Ellipsis else _part(part) for part in index]
    used = sum(part[0] for part in parts if part)
    if used > len(shape) or parts.count(None) > 1:
        raise IndexError(f"{used} indices for {len(shape)} axes, and ... {parts.count(None)} times")
    rest = [ALL] * (len(shape) - used)
    view, picks, axis = [], [], 0
    for axes, seen, picked in (part or (len(rest), rest, rest) for part in parts):
        named = shape[axis : axis + axes]
        if named and picked and _is_mask(picked[0]) and picked[0].shape != named:
            raise IndexError(f"a mask of shape {picked[0].shape} for axes of shape {named}")
        view, picks, axis = view + seen, picks + picked, axis + axes
    return (*view, ...), tuple(picks) if any(p is not ALL for p in picks) else ()


def _beside(picks, x) -> tuple:
    """Masks and places from the host, such as lists, on the device of what they pick from."""
    if device_of(x) == "cpu":
        return picks
    return tuple(p if p is ALL else moved(p, "cuda") for p in picks)


def _is_mask(pick) -> bool:
    return pick is not ALL and pick.dtype == np.bool_


def _pick(x, picks):
    """x[picks], row by row in memory."""
    arrays = [(axis, p) for axis, p in enumerate(picks) if p is not ALL]
    if len(arrays) == 1 and not _is_mask(arrays[0][1]):
        return np.take(x, arrays[0][1], axis=arrays[0][0])
    out = x[picks]
    return np.ascontiguousarray(out, like=out)


def add_rows(rows: np.ndarray, g: np.ndarray, count: int) -> np.ndarray:
    """out[i] = the sum of those g[j] with rows[j] = i.  rows (N,), g (N, D) -> (count, D)."""
    return kernels.find("add_rows", g)(rows, g, count)


def _add_at(x, picks, g) -> None:
    """x[picks] += g for an x of zeros, where an element may be picked many times: all of its g add up."""
    parts = []
    for p in picks:
        parts += p.nonzero() if _is_mask(p) else [p]
    axes = [axis for axis, p in enumerate(parts) if p is not ALL]
    if not g.size:
        return
    arrays = np.broadcast_arrays(*[parts[axis] for axis in axes])
    sizes, n = [x.shape[axis] for axis in axes], arrays[0].ndim
    rows = np.ravel_multi_index(arrays, sizes, mode="wrap").reshape(-1)
    first = axes[0] if axes[-1] - axes[0] < len(axes) else 0  # axes picked apart from each other come first
    g = np.moveaxis(g, range(first, first + n), range(n)).reshape(len(rows), -1)
    x = np.moveaxis(x, axes, range(len(axes)))  # (picked axes, the others)
    x[...] = add_rows(rows, g, math.prod(sizes)).reshape(x.shape)


@op(fix="check the index against the shape")
def _getitem(x, index):
    shape = x.shape
    view, picks = _parse(index, shape)
    picks = _beside(picks, x)

    def dx(g):
        if not picks:
            return Part(view, g, shape)
        d = np.zeros_like(g, shape=shape)
        if all(p is ALL or _is_mask(p) for p in picks):  # every element at most once
            d[view][picks] = g
        else:
            _add_at(d[view], picks, g)
        return d

    out = x[view]
    return (_pick(out, picks) if picks else out), (dx,)


def getitem(self: Tensor, index) -> Tensor:
    """x[index]: numbers, slices, None, ..., masks, integer tensors, lists of numbers, as PyTorch reads them.

    Numbers and slices give a view that shares memory; masks and tensors give a copy. Refused, for their
    meaning is deprecated in PyTorch: uint8 tensors, and lists of anything but numbers.
    """
    return _getitem(self, (index,) if isinstance(index, Tensor) else index)


def set_item(self: Tensor, index, value: Tensor | float) -> None:
    """x[index] = value, in place, in x's dtype; value is a number or a tensor that can be broadcast.

    It is not recorded: while gradients are, neither x nor value may want one.
    """
    if _mode.grad and (self.requires_grad or (isinstance(value, Tensor) and value.requires_grad)):
        raise RuntimeError(
            "x[i] = v is not recorded, so neither x nor v may require a gradient. "
            "Fix: where(), cat() or stack(); or no_grad() to change weights by hand"
        )
    try:
        view, picks = _parse(index, self.shape)
        _put(self.array[view], _beside(picks, self.array), value)
        writes.note(self.array)
    except (ValueError, IndexError, TypeError) as error:
        arrays = [self.array, index, value.array if isinstance(value, Tensor) else value]
        fix = "check the index and the value against the shape"
        raise explain(error, set_item, "setitem", arrays, {}, "", fix) from error


@np.errstate(invalid="ignore")  # nan as a whole number is some number, as in PyTorch
def _put(x, picks, value) -> None:
    if isinstance(value, Tensor):
        values, kinds = value.array, [p.dtype for p in picks if p is not ALL]
        one_for_a_mask = kinds == [np.bool_] and values.size == 1
        if picks and values.dtype != x.dtype and not one_for_a_mask:
            raise TypeError(f"{values.dtype} values for a {x.dtype} tensor. Fix: value.to(x.dtype)")
        while values.ndim and len(values) == 1:
            values = values[0]
    elif isinstance(value, (int, float, np.generic)):
        values = narrow(np.asarray(value), x.dtype)
    else:
        raise TypeError(f"a {type(value).__name__} is no value. Fix: minidl.tensor(value)")
    x[picks or ...] = values


# -- numbers of rows and classes -----------------------------------------------------------------------


def check_labels(name: str, labels, classes: int) -> None:
    """Refuse a label outside [0, classes). On a GPU nothing is read back: there its loss is nan."""
    if device_of(labels) != "cpu":
        return
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise IndexError(
            f"{name}: label {wrong.flat[0]} for {classes} classes; labels must lie in [0, {classes - 1}]. "
            "Fix: count labels from 0, or give the last layer more outputs"
        )


def some_outside(rows, count: int) -> bool:
    """Is a row number outside [0, count)? Read without a sign, negative ones are the largest: one pass.

    On a GPU nothing is read back: there such a row is nan.
    """
    if device_of(rows) != "cpu" or not rows.size or rows.dtype.kind != "i":
        return False
    return rows.view(f"u{rows.itemsize}").max() >= count


# -- an index along one axis ---------------------------------------------------------------------------


def _check_places(index, size: int) -> None:
    kind = getattr(index, "dtype", type(index))
    if kind not in PLACES:
        raise TypeError(f"index must be an int64 or int32 tensor, not {kind}. Fix: index.long()")
    outside = (index < 0) | (index >= size)
    if outside.any():
        raise IndexError(f"index {to_host(index[outside])[0]} is not in [0, {size - 1}]")


def _flat_places(shape, dim, index) -> np.ndarray:
    """Where the elements that `index` names along `dim` stand in the flattened array."""
    shape = shape or (1,)
    axis = axis_of(dim, len(shape))
    _check_places(index, shape[axis])
    index = np.atleast_1d(index).astype(np.int64)
    if not index.size:
        return index
    if index.ndim != len(shape):
        raise ValueError(f"index has {index.ndim} axes")
    if any(n > size for i, (n, size) in enumerate(zip(index.shape, shape, strict=True)) if i != axis):
        raise ValueError("index is larger")
    flat = 0
    for i, (n, size) in enumerate(zip(index.shape, shape, strict=True)):
        along = np.arange(n, like=index).reshape(n, *(1,) * (index.ndim - i - 1))
        flat = flat * size + (index if i == axis else along)  # broadcast: the place along the axes up to i
    return flat


def _spread_back(flat, g, shape):
    """Zeros of this shape, to which each g is added at its place."""
    return add_rows(flat.reshape(-1), g.reshape(-1, 1), math.prod(shape)).reshape(shape)


ALONG = {
    "rule": "index must have as many axes as input, and be no larger but along dim",
    "fix": "unsqueeze or expand the index; its values are places along dim, from 0",
}


@op(**ALONG)
def gather(input, dim, index):
    """out[i][j] = input[i][index[i][j]] (for dim=1): one chosen element for each place of `index`.

    Shape: the index's, which may be smaller than the input's, and of any size along dim.
    """
    shape, flat = input.shape, _flat_places(input.shape, dim, index)
    return np.take(input, flat).reshape(index.shape), (lambda g: _spread_back(flat, g, shape),)


def _used_part(input, index, src) -> tuple[slice, ...]:
    """The part of src that index takes from, which is the index's shape."""
    if not isinstance(src, Array) or src.dtype != input.dtype:
        raise TypeError(f"src must be a {input.dtype} tensor, as input is. Fix: src.to(input.dtype)")
    if src.ndim != index.ndim or any(n > size for n, size in zip(index.shape, src.shape, strict=True)):
        raise ValueError("index is larger than src")
    return tuple(map(slice, index.shape))


def _into_part(part, shape, g):
    out = np.zeros_like(g, shape=shape)
    out[part] = g.reshape(out[part].shape)
    return out


@op(**ALONG)
def _scatter(input, dim, index, src):
    flat, out = _flat_places(input.shape, dim, index), input.flatten()
    if isinstance(src, Array):
        part, src_shape = _used_part(input, index, src), src.shape
        out[flat] = src[part]
    else:
        out[flat] = narrow(np.asarray(src), input.dtype)

    def d_input(g):
        d = g.flatten()
        d[flat] = 0
        return d.reshape(g.shape)

    def d_src(g):
        return _into_part(part, src_shape, np.take(g, flat))

    return out.reshape(input.shape), (d_input, None, None, d_src)


def scatter(input: Tensor, dim: int, index: Tensor, src=None, *, value: float | None = None) -> Tensor:
    """The inverse of `gather`: input with input[i][index[i][j]] = src[i][j] (for dim=1), or = a number.

    Where the index names a place twice, the last value stays. Shape: input's.
    """
    if (src is None) == (value is None):
        raise TypeError("scatter needs one of src, a tensor, and value, a number")
    return _scatter(input, dim, index, value if src is None else src)


@op(**ALONG)
def scatter_add(input, dim, index, src):
    """input with src[i][j] added to input[i][index[i][j]] (for dim=1), as often as the index names it."""
    flat, part = _flat_places(input.shape, dim, index), _used_part(input, index, src)
    added, shape = _spread_back(flat, src[part], input.shape), src.shape
    return input + added, (lambda g: g, None, None, lambda g: _into_part(part, shape, np.take(g, flat)))


@op(rule="index must be a vector", fix="index.flatten(); its values are places along dim, from 0")
def index_select(input, dim, index):
    """The slices along `dim` at the places `index`, in that order.  (..., n, ...), (k,) -> (..., k, ...)."""
    axis, shape, x = axis_of(dim, input.ndim), input.shape, np.atleast_1d(input)
    _check_places(index, x.shape[axis])
    if index.ndim > 1:
        raise ValueError(f"index has {index.ndim} axes")
    picks = _beside((*(ALL,) * axis, index.reshape(-1)), x)
    out = _pick(x, picks)
    along, picked = x.shape, out.shape

    def dx(g):
        d = np.zeros_like(g, shape=along)
        _add_at(d, picks, g.reshape(picked))
        return d.reshape(shape)

    return out if shape else out.reshape(()), (dx,)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` as NumPy has it: other axes are broadcast, and negative places count from the end.

    Without dim, places in the flattened input.
    """
    if dim is None:
        return take_along_dim(reshape(input, (-1,)), reshape(indices, (-1,)), 0)
    if indices.dtype != np.int64 or indices.ndim != input.ndim or not input.ndim:
        raise ShapeError(
            f"take_along_dim(input: {input.shape}, indices: {indices.shape} {indices.dtype}): indices must "
            "be int64 and have as many axes as input, at least one. Fix: indices.long(), or unsqueeze"
        )
    axis = axis_of(dim, input.ndim)
    others = [(*x.shape[:axis], 1, *x.shape[axis + 1 :]) for x in (input, indices)]
    shape = list(np.broadcast_shapes(*others))
    shape[axis] = -1
    places = broadcast_to(indices, shape).array
    places = np.where(places < 0, places + input.shape[axis], places)
    return gather(broadcast_to(input, shape), axis, Tensor(places))


def repeat_interleave(
    input: Tensor, repeats=None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each slice along `dim` (each element, without dim) repeated in its place: a a b b, not a b a b.

    Args:
        repeats: how often: a number, or a tensor with one for each slice. repeat_interleave(repeats) alone
            gives the places 0 0 1 2 2 2 that do it, for repeats = [2, 1, 3].
        output_size: the size along `dim` that comes out, if you want it checked.
    """
    if repeats is None:
        input, repeats, dim = Tensor(np.arange(len(input), dtype=input.dtype)), input, 0
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    counts = to_host(repeats.array) if isinstance(repeats, Tensor) else np.asarray(repeats)
    n = input.shape[axis_of(dim, input.ndim)]
    whole = counts.dtype in PLACES and isinstance(repeats, (Tensor, int))
    if not whole or counts.ndim > 1 or counts.size not in (1, n) or (counts < 0).any():
        raise ShapeError(
            f"repeat_interleave(input: {input.shape}, repeats={repeats}, dim={dim}): repeats must be a whole "
            f"number or an integer tensor with {n} of them, none below 0. Fix: check them against dim"
        )
    places = np.repeat(np.arange(n), counts)
    if output_size not in (None, len(places)):
        raise ShapeError(f"repeat_interleave: output_size={output_size}, but {len(places)} slices come out")
    return index_select(input, dim, Tensor(places))


# -- masks ---------------------------------------------------------------------------------------------


def _check_mask(mask) -> None:
    kind = getattr(mask, "dtype", type(mask))
    if kind != np.bool_:
        raise TypeError(f"mask must be a boolean tensor, not {kind}. Fix: mask.bool()")


@op(rule="mask and input are broadcast, value is one number", fix="unsqueeze or transpose the mask")
def masked_fill(input, mask, value):
    """input where the mask is False, `value` (a number or a 0-d tensor) where it is True."""
    _check_mask(mask)
    if np.ndim(value):
        raise ValueError(f"value has {value.ndim} axes")
    value = value.astype(input.dtype) if isinstance(value, Array) else narrow(np.asarray(value), input.dtype)
    out = np.where(mask, value, input)
    return np.ascontiguousarray(out, like=out), (
        lambda g: np.where(mask, 0, g),
        None,
        lambda g: np.where(mask, g, 0),
    )


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is True, in one row; input and mask are broadcast against each other."""
    _check_mask(mask)
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return broadcast_to(input, shape)[broadcast_to(mask, shape)]


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """Where the elements that are not 0 stand: (count, axes) int64, or one (count,) tensor for each axis."""
    if as_tuple:
        return tuple(Tensor(i.astype(np.int64)) for i in np.nonzero(np.atleast_1d(input.array)))
    return Tensor(np.argwhere(input.array).astype(np.int64))


METHODS = [
    gather, index_select, masked_fill, masked_select, nonzero, repeat_interleave, scatter, scatter_add,
    take_along_dim,
]  # fmt: skip
