"""The same elements in another arrangement: axes moved, added, joined, cut."""

from __future__ import annotations

import itertools
import math

import numpy as np

from minidl.ops.creation import size_of
from minidl.ops.indexing import getitem
from minidl.tensor import Tensor, op

__all__ = [
    "broadcast_to", "cat", "expand", "flatten", "flip", "permute", "reshape", "split", "squeeze", "stack",
    "transpose", "unsqueeze",
]  # fmt: skip


def axes_of(dim, ndim: int) -> tuple[int, ...]:
    """`dim` (None, a number or several) as sorted non-negative axes."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim)
    for d in dims:
        if not -max(ndim, 1) <= d < max(ndim, 1):
            raise IndexError(f"dim {d} of a tensor with {ndim} axes: it must lie in [{-ndim}, {ndim - 1}]")
    axes = [d % ndim for d in dims] if ndim else []
    if len(set(axes)) != len(axes):
        raise ValueError(f"dim {dims} names an axis twice")
    return tuple(sorted(axes))


@op(rule="the number of elements must stay the same", fix="check the sizes, or leave one of them to -1")
def _reshape(x, shape):
    return x.reshape(shape), (lambda g: g.reshape(x.shape),)


def reshape(x, *shape) -> Tensor:
    """The same elements, read row by row, in another shape; one size may be -1."""
    return _reshape(x, shape=size_of(shape))


@op(rule="dims must name each axis once", fix="give a permutation of range(x.ndim)")
def _permute(x, dims):
    axes = [d % x.ndim for d in dims]
    return x.transpose(axes), (lambda g: g.transpose(np.argsort(axes)),)


def permute(x, *dims) -> Tensor:
    """The axes in another order."""
    return _permute(x, dims=size_of(dims))


@op
def transpose(x, dim0, dim1):
    """Two axes exchanged."""
    return x.swapaxes(dim0, dim1), (lambda g: g.swapaxes(dim0, dim1),)


@op
def squeeze(x, dim=None):
    """Axes of size 1 removed (only `dim` if given; kept if it is not 1)."""
    axes = [i for i in axes_of(dim, x.ndim) if x.shape[i] == 1]
    return x.squeeze(tuple(axes)), (lambda g: g.reshape(x.shape),)


@op
def unsqueeze(x, dim):
    """An axis of size 1 put in at `dim`."""
    return np.expand_dims(x, dim), (lambda g: g.reshape(x.shape),)


@op(rule="only axes of size 1 can be expanded", fix="unsqueeze first, or use -1 to keep a size")
def broadcast_to(x, size):
    """x repeated along axes of size 1, without copying. -1 keeps a size."""
    lead = len(size) - x.ndim
    shape = tuple(x.shape[i - lead] if n == -1 else n for i, n in enumerate(size))
    return np.broadcast_to(x, shape), (lambda g: g,)


def expand(x, *size) -> Tensor:
    """x repeated along axes of size 1, without copying. -1 keeps a size."""
    return broadcast_to(x, size=size_of(size))


def flatten(x, start_dim=0, end_dim=-1) -> Tensor:
    """The axes start_dim ... end_dim as one."""
    if x.ndim == 0:
        return reshape(x, 1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    if start > end:
        raise RuntimeError(f"flatten({x.shape}, {start_dim}, {end_dim}): start_dim must come before end_dim")
    return reshape(x, *x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])


@op
def flip(x, dims):
    """The order along `dims` reversed."""
    return np.flip(x, dims), (lambda g: np.flip(g, dims),)


@op(rule="all sizes but that of dim must be equal", fix="check the shapes, or use stack for a new axis")
def _cat(*tensors, dim):
    out = np.concatenate(tensors, axis=dim)
    bounds = np.cumsum([t.shape[dim] for t in tensors])[:-1]
    return out, lambda g: np.split(g, bounds, axis=dim)


def cat(tensors, dim=0) -> Tensor:
    """Tensors joined along an axis that they have."""
    if not tensors:
        raise ValueError("cat of no tensors: give at least one")
    return _cat(*tensors, dim=dim)


def stack(tensors, dim=0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    return cat([unsqueeze(t, dim) for t in tensors], dim)


def split(x, split_size_or_sections, dim=0) -> tuple[Tensor, ...]:
    """Pieces along `dim`: of one size (the last may be smaller), or of the sizes in a list."""
    n, sizes = x.shape[dim], split_size_or_sections
    if isinstance(sizes, int):
        sizes = [min(sizes, n - i) for i in range(0, n, sizes)] or [0]
    if sum(sizes) != n:
        raise RuntimeError(f"split({x.shape}, {sizes}, dim={dim}): the sizes must add up to {n}")
    bounds = [0, *itertools.accumulate(sizes)]
    before = (slice(None),) * (dim % x.ndim)
    return tuple(getitem(x, (*before, slice(a, b))) for a, b in itertools.pairwise(bounds))


METHODS = [
    expand, flatten, flip, permute, reshape, split, squeeze, transpose, unsqueeze,
]  # fmt: skip
