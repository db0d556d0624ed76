"""The same elements in another arrangement: axes moved, added, joined, cut, repeated, padded.

What needs no copy makes none: reshape, view, transpose, expand, split and their kin share memory with their
input, so that writing into the result (under `no_grad`) writes into the input.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import operator
from collections.abc import Callable, Sequence

import numpy as np

from minidl.ops.creation import size_of
from minidl.ops.dtypes import narrow, result_dtype
from minidl.tensor import ShapeError, Tensor, op

__all__ = [
    "broadcast_to", "cat", "chunk", "clone", "diag", "diagonal", "flatten", "flip", "movedim", "numel", "pad",
    "permute", "ravel", "reshape", "roll", "split", "squeeze", "stack", "swapaxes", "t", "tile", "transpose",
    "tril", "triu", "unbind", "unflatten", "unsqueeze",
]  # fmt: skip


# -- axes --------------------------------------------------------------------------------------------


def axis_of(dim: int, ndim: int) -> int:
    """`dim` counted from the front. A tensor without axes is read as if it had one."""
    n = max(ndim, 1)
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise TypeError(f"dim={dim!r}: it must be one axis, a whole number")
    if not -n <= dim < n:
        raise IndexError(f"dim {dim} of a tensor with {ndim} axes: it must lie in [{-n}, {n - 1}]")
    return int(dim) % n


def axes_of(dim, ndim: int) -> tuple[int, ...]:
    """`dim` (None or () for all, a number or several) as sorted axes from the front."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    axes = [axis_of(d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(axes)) != len(axes):
        raise ValueError(f"dim {dim} names an axis twice")
    return tuple(sorted(axes)) if ndim else ()


def _permuted(x, order):
    return x.transpose(order), (lambda g: g.transpose(np.argsort(order)),)


@op(rule="dims must name each axis once", fix="give a permutation of range(input.ndim)")
def permute(input, dims):
    """The axes in another order: axis i of the result is axis dims[i] of the input."""
    order = [axis_of(d, input.ndim) for d in dims]
    if sorted(order) != list(range(input.ndim)):
        raise ValueError(f"{len(order)} dims for {input.ndim} axes")
    return _permuted(input, order)


@op
def transpose(input, dim0, dim1):
    """Two axes exchanged."""
    a, b = axis_of(dim0, input.ndim), axis_of(dim1, input.ndim)
    order = list(range(input.ndim))
    order[a : a + 1], order[b : b + 1] = order[b : b + 1], order[a : a + 1]
    return _permuted(input, order)


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Two axes exchanged: NumPy's name for `transpose`."""
    return transpose(input, axis0, axis1)


def transposed(self: Tensor) -> Tensor:
    """x.T: the axes in reverse order."""
    return permute(self, tuple(reversed(range(self.ndim))))


def t(input: Tensor) -> Tensor:
    """A matrix with rows and columns exchanged; vectors and numbers stay as they are."""
    if input.ndim > 2:
        raise ShapeError(f"t(input: {input.shape}): a matrix at most. Fix: .mT, or transpose(dim0, dim1)")
    return transposed(input)


def matrix_transposed(self: Tensor) -> Tensor:
    """x.mT: the last two axes exchanged."""
    return transpose(self, -2, -1)


@op(rule="source and destination must be as many, and name no axis twice")
def movedim(input, source, destination):
    """The axes `source` moved to the places `destination`; the others keep their order."""
    pairs = []
    for dims in (source, destination):
        dims = dims if isinstance(dims, (tuple, list)) else (dims,)
        axes_of(dims or None, input.ndim)  # refuses an axis named twice
        pairs.append([axis_of(d, input.ndim) for d in dims])
    order = [axis for axis in range(input.ndim) if axis not in pairs[0]]
    for place, axis in sorted(zip(*reversed(pairs), strict=True)) if input.ndim else ():
        order.insert(place, axis)
    return _permuted(input, order)


# -- another shape -------------------------------------------------------------------------------------


def _reshaped(x, shape):
    """The vjp belongs to every op that keeps the elements in their order."""
    if min(shape, default=0) < -1:
        raise ValueError(f"a size of {min(shape)}")
    before = x.shape
    return x.reshape(shape), (lambda g: g.reshape(before),)


@op(rule="the number of elements must stay the same", fix="check the sizes, or leave one of them to -1")
def reshape(input, shape):
    """The same elements, read row by row, in another shape; one size may be -1: what is left for it.

    Shares memory with the input where no copy is needed.
    """
    return _reshaped(input, tuple(shape))


@op(
    rule="the number of elements must stay the same, and the axes that are merged must lie in memory one "
    "after the other",
    fix="reshape copies where it must",
)
def view(input, size):
    """`reshape` that never copies: it shares memory with the input, or refuses. There is no view(dtype)."""
    out, vjp = _reshaped(input, tuple(size))
    if input.size and not np.may_share_memory(out, input):
        raise ValueError("it would need a copy")
    return out, vjp


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """`view` in the shape of `other`."""
    return view(self, other.shape)


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` into the shape of `other`."""
    return reshape(self, other.shape)


def ravel(input: Tensor) -> Tensor:
    """All elements in one row."""
    return reshape(input, (-1,))


@op(rule="start_dim must not come after end_dim")
def flatten(input, start_dim=0, end_dim=-1):
    """The axes start_dim ... end_dim as one."""
    start, end = axis_of(start_dim, input.ndim), axis_of(end_dim, input.ndim)
    if start > end:
        raise ValueError("nothing to flatten")
    merged = math.prod(input.shape[start : end + 1])
    return _reshaped(input, (*input.shape[:start], merged, *input.shape[end + 1 :]))


@op(rule="the sizes must multiply up to the axis", fix="check them, or leave one of them to -1")
def unflatten(input, dim, sizes):
    """One axis as several: the inverse of `flatten`."""
    axis = axis_of(dim, input.ndim)
    n, known = input.shape[axis], math.prod(size for size in sizes if size != -1)
    found = [n // known if size == -1 and known else size for size in sizes]
    if not found or math.prod(found) != n or list(sizes).count(-1) > 1:
        raise ValueError(f"{tuple(sizes)} for an axis of size {n}")
    return _reshaped(input, (*input.shape[:axis], *found, *input.shape[axis + 1 :]))


@op
def squeeze(input, dim=None):
    """Axes of size 1 removed: all of them, or those among `dim`."""
    axes = () if dim == () else axes_of(dim, input.ndim)
    return _reshaped(input, tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in axes))


@op
def unsqueeze(input, dim):
    """An axis of size 1 put in at `dim`."""
    axis = axis_of(dim, input.ndim + 1)
    return _reshaped(input, (*input.shape[:axis], 1, *input.shape[axis:]))


@op(
    rule="only axes of size 1 can be expanded, and new axes come first",
    fix="unsqueeze first, or use -1 to keep a size",
)
def broadcast_to(input, size):
    """The input repeated along axes of size 1, without a copy; -1 keeps a size.

    What was repeated can be read but not written.
    """
    lead = len(size) - input.ndim
    shape = tuple(input.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(size))
    out = np.broadcast_to(input, shape)
    return (out if out.size != input.size else input.reshape(shape)), (lambda g: g,)


def expand(self: Tensor, size: Sequence[int]) -> Tensor:
    """`broadcast_to`: the input repeated along axes of size 1, without a copy; -1 keeps a size."""
    return broadcast_to(self, size=tuple(size))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return broadcast_to(self, other.shape)


# -- copies --------------------------------------------------------------------------------------------


def _order(x: np.ndarray) -> str:
    """A copy keeps the order of the axes in memory, "K"; what was expanded has none."""
    return "C" if 0 in x.strides else "K"


@op
def _copy(input, order):
    return input.copy(order), (lambda g: g,)


def clone(input: Tensor) -> Tensor:
    """A copy that gradients flow through."""
    return _copy(input, order=_order(input.array))


def contiguous(self: Tensor) -> Tensor:
    """The tensor itself if its elements lie row by row in memory, else a copy in that order."""
    return self if is_contiguous(self) else _copy(self, order="C")


def is_contiguous(self: Tensor) -> bool:
    """Do the elements lie row by row in memory?"""
    return self.array.flags.c_contiguous


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


@op
def flip(input, dims):
    """The order along `dims` reversed, as a copy."""
    axes = axes_of(tuple(dims), input.ndim) if len(dims) else ()
    return np.flip(input, axes).copy(_order(input)), (lambda g: np.flip(g, axes),)


@op(rule="one shift for each dim, or one shift alone for the flattened tensor")
def roll(input, shifts, dims=None):
    """Elements moved by `shifts` places along `dims`; what leaves at the end enters at the start."""
    shifts = shifts if isinstance(shifts, (tuple, list)) else (shifts,)
    dims = dims if isinstance(dims, (tuple, list)) else () if dims is None else (dims,)
    if len(shifts) != max(len(dims), 1):
        raise ValueError(f"{len(shifts)} shifts for {len(dims)} dims")
    axes = tuple(axis_of(d, input.ndim) for d in dims) or None
    shifts = shifts if axes else shifts[0]
    return np.roll(np.asarray(input, order="C", like=input), shifts, axes), (
        lambda g: np.roll(g, np.negative(shifts), axes),
    )


@op(rule="a count for each axis, new axes first, none below 0", fix="repeat(1, n) leaves the first axis")
def repeat(self, repeats):
    """The tensor laid side by side with itself, repeats[i] times along axis i; new axes come first."""
    shape = (1,) * (len(repeats) - self.ndim) + self.shape
    if len(shape) != len(repeats) or min(repeats, default=0) < 0:
        raise ValueError(f"{len(repeats)} counts for {self.ndim} axes")
    blocks = [n for pair in zip(repeats, shape, strict=True) for n in pair]  # (repeats, size, repeats ...)
    return np.tile(self, repeats), (lambda g: g.reshape(blocks).sum(tuple(range(0, len(blocks), 2))),)


def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """`repeat`, but fewer counts than axes are counts for the last ones."""
    return repeat(input, (1,) * (input.ndim - len(dims)) + tuple(dims))


# -- joined and cut ------------------------------------------------------------------------------------


def _joinable(name: str, tensors) -> tuple[Tensor, ...]:
    if isinstance(tensors, Tensor) or not all(isinstance(x, Tensor) for x in tensors):
        raise TypeError(f"{name} needs a list or tuple of tensors. Fix: {name}([a, b])")
    if not len(tensors):
        raise ValueError(f"{name} of no tensors. Fix: give at least one")
    return tuple(tensors)


def _common_dtype(arrays) -> np.dtype:
    return result_dtype(*arrays) if len({x.dtype for x in arrays}) > 1 else arrays[0].dtype


@op(rule="all sizes but that of dim must be equal", fix="check the shapes, or use stack for a new axis")
def _cat(*tensors, dim):
    shapes = [x.shape for x in tensors]
    joined = [x for x in tensors if x.shape != (0,)] or tensors  # empty vectors fit to everything
    axis = axis_of(dim, joined[0].ndim)

    def cut(g):
        bounds = np.cumsum([0 if shape == (0,) else shape[axis] for shape in shapes])[:-1]
        return [d.reshape(shape) for d, shape in zip(np.split(g, bounds, axis), shapes, strict=True)]

    out = np.concatenate(joined, axis, dtype=_common_dtype(tensors))
    return np.ascontiguousarray(out, like=out), cut


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an axis that they have, in their common dtype. Empty 1-d tensors are left out."""
    return _cat(*_joinable("cat", tensors), dim=dim)


@op(rule="all shapes must be equal", fix="check the shapes, or use cat for an axis that is there")
def _stack(*tensors, dim):
    axis = axis_of(dim, tensors[0].ndim + 1)
    out = np.stack(tensors, axis, dtype=_common_dtype(tensors))
    return np.ascontiguousarray(out, like=out), lambda g: np.moveaxis(g, axis, 0)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis, in their common dtype."""
    return _stack(*_joinable("stack", tensors), dim=dim)


def _axis_to_cut(name: str, x: Tensor, dim: int) -> tuple[int, int]:
    """The axis and its size."""
    if not x.ndim:
        raise ShapeError(f"{name} of a tensor of shape (): it has no axis to cut. Fix: unsqueeze(0) first")
    axis = axis_of(dim, x.ndim)
    return axis, x.shape[axis]


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along `dim`: of one size (the last may be smaller), or of the sizes in a list."""
    axis, n = _axis_to_cut("split", tensor, dim)
    sizes = split_size_or_sections
    if not isinstance(sizes, (tuple, list)):
        step = operator.index(sizes)
        sizes = [min(step, n - i) for i in range(0, n, step or 1)] or [0] if step >= 0 else [step]
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise ShapeError(
            f"split(tensor: {tensor.shape}, {split_size_or_sections}, dim={dim}): the sizes must add up "
            f"to {n}, none below 0. Fix: one size for all pieces, or a list of sizes"
        )
    before, bounds = (slice(None),) * axis, [0, *itertools.accumulate(sizes)]
    return tuple(tensor[(*before, slice(a, b))] for a, b in itertools.pairwise(bounds))


def split_method(self: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along `dim`: of one size (the last may be smaller), or of the sizes in a list."""
    return split(self, split_size, dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces along `dim`, all of one size but the last."""
    _, n = _axis_to_cut("chunk", input, dim)
    if operator.index(chunks) <= 0:
        raise ShapeError(f"chunk(input: {input.shape}, chunks={chunks}): there must be at least one chunk")
    return split(input, math.ceil(n / chunks) if n else [0] * chunks, dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, without that axis."""
    axis, n = _axis_to_cut("unbind", input, dim)
    return tuple(input[(slice(None),) * axis + (i,)] for i in range(n))


# -- triangles and diagonals ---------------------------------------------------------------------------


def _triangle(keep, x, diagonal):
    if x.ndim < 2:
        raise ValueError("at least two axes are needed")
    k = operator.index(diagonal)
    out = keep(x, k)
    return np.ascontiguousarray(out, like=out), (lambda g: keep(g, k),)


@op
def tril(input, diagonal=0):
    """The matrices of the last two axes with 0 above a diagonal: 0 the main one, 1 the next one above it."""
    return _triangle(np.tril, input, diagonal)


@op
def triu(input, diagonal=0):
    """The matrices of the last two axes with 0 below a diagonal: 0 the main one, 1 the next one above it."""
    return _triangle(np.triu, input, diagonal)


def _diagonal(x, offset, dim1=0, dim2=1):
    """A view of a diagonal, as its last axis, that can be written where x can."""
    out = np.diagonal(x, operator.index(offset), dim1, dim2)
    out.flags.writeable = x.flags.writeable
    return out


def _on_diagonal(values, shape, *place):
    """Zeros of this shape with `values` on a diagonal."""
    out = np.zeros_like(values, shape=shape)
    _diagonal(out, *place)[...] = values
    return out


@op(rule="dim1 and dim2 must be two axes")
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The elements at equal places of two axes, as the last axis; offset 1 starts one column to the right."""
    place = (offset, axis_of(dim1, input.ndim), axis_of(dim2, input.ndim))
    shape = input.shape
    return _diagonal(input, *place), (lambda g: _on_diagonal(g, shape, *place),)


@op(rule="input must be a vector or a matrix", fix="diagonal() takes diagonals of more axes")
def diag(input, diagonal=0):
    """A vector becomes a matrix with it on a diagonal; of a matrix, a copy of the diagonal."""
    shape = input.shape
    if input.ndim == 2:
        return _diagonal(input, diagonal).copy(), (lambda g: _on_diagonal(g, shape, diagonal),)
    if input.ndim != 1:
        raise ValueError(f"{input.ndim} axes")
    n = len(input) + abs(diagonal)
    return _on_diagonal(input, (n, n), diagonal), (lambda g: _diagonal(g, diagonal),)


# -- padding -------------------------------------------------------------------------------------------


@op(rule="no axis may be cut below size 0")
def _pad(input, widths, value):
    kept = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(input.shape, widths, strict=True))
    sizes = [s.stop - s.start for s in kept]
    if min(sizes, default=0) < 0:
        raise ValueError(f"sizes {sizes} after cutting")
    placed = tuple(slice(max(a, 0), max(a, 0) + n) for n, (a, _) in zip(sizes, widths, strict=True))
    shape = [s.stop + max(b, 0) for s, (_, b) in zip(placed, widths, strict=True)]
    out = np.full_like(input, narrow(np.asarray(value), input.dtype), shape=shape)
    out[placed] = input[kept]
    before = input.shape

    def dx(g):
        d = np.zeros_like(g, shape=before)
        d[kept] = g[placed]
        return d

    return out, (dx,)


PADDING_MODES = ("constant", "reflect", "replicate", "circular")


def _places(mode: str, n: int, before: int, after: int) -> np.ndarray | None:
    """Where the value of each place of a padded axis of size n comes from; None if there is too little."""
    places = np.arange(-before, n + after)
    if mode == "circular":  # what is left after cutting goes round
        first, kept = max(-before, 0), n + min(before, 0) + min(after, 0)
        return first + (places - first) % max(kept, 1) if max(before, after, 0) <= kept else None
    if not len(places) or (mode == "reflect" and max(before, after) >= n):
        return None
    return n - 1 - abs(n - 1 - abs(places)) if mode == "reflect" else places.clip(0, n - 1)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements added around the input; negative counts take away.

    Args:
        pad: (left, right, top, bottom, ...): before and after the last axis, then the one before it ...
        mode: "constant" adds `value` (0 if None) on any axes. The others continue what is there, on the last
            one, two or three axes after (N, C) or (C,): "reflect" mirrors at the outermost element (which is
            not repeated), "replicate" repeats the outermost element, "circular" goes on at the other end.

    Shape: (..., n) -> (..., left + n + right), and so on.
    """
    where = f"pad(input: {input.shape}, pad={pad}, mode={mode!r})"
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"{where}: pad must be a tuple of whole numbers")
    pairs = list(zip(pad[::2], pad[1::2], strict=False))  # last axis first
    if len(pad) % 2 or len(pairs) > input.ndim:
        raise ShapeError(f"{where}: pad must hold two counts for each axis, the last axis first")
    if mode == "constant":
        widths = [(0, 0)] * (input.ndim - len(pairs)) + pairs[::-1]
        return _pad(input, widths=widths, value=0 if value is None else value)
    if mode not in PADDING_MODES:
        raise NotImplementedError(f"{where}: mode must be one of {', '.join(PADDING_MODES)}")
    if value:
        raise ValueError(f"{where}: value={value} is for mode='constant' only")
    if not 1 <= len(pairs) <= 3 or input.ndim - len(pairs) not in (1, 2):
        raise NotImplementedError(f"{where}: the last 1, 2 or 3 axes after (N, C) or (C,) must be padded")
    if mode != "circular" and 0 in input.shape[-len(pairs) - 1 :]:
        raise ShapeError(f"{where}: no axis but the batch may be empty")
    for dim, (before, after) in enumerate(pairs, 1):
        places = _places(mode, input.shape[-dim], before, after)
        if places is None:
            raise ShapeError(f"{where}: dim {-dim} is too short for {before, after}. Fix: pad or cut less")
        input = input.index_select(-dim, Tensor(places))
    return input


# -- methods -------------------------------------------------------------------------------------------


def _one_by_one(function: Callable) -> Callable:
    """The method form of a function of sizes or axes: x.reshape(2, 3) as well as x.reshape((2, 3))."""
    name = list(inspect.signature(function).parameters)[1]

    @functools.wraps(function)
    def method(self, *numbers, **named):
        return function(self, **{name: size_of(numbers)} if numbers else {}, **named)

    return method


METHODS = [
    chunk, clone, contiguous, diag, diagonal, expand_as, flatten, is_contiguous, movedim, ravel, reshape_as,
    roll, squeeze, swapaxes, t, transpose, tril, triu, unbind, unflatten, unsqueeze, view_as,
    *map(_one_by_one, (broadcast_to, expand, flip, permute, repeat, reshape, tile, view)),
]  # fmt: skip
