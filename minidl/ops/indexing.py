"""Choosing elements: by position, by mask, by index."""

from __future__ import annotations

import numpy as np

from minidl.tensor import Tensor, _mode, op

__all__ = [
    "gather", "getitem", "masked_fill",
]  # fmt: skip


def _plain_index(index):
    """An index with tensors replaced by arrays."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    if isinstance(index, list):
        return np.asarray(index)
    return index.array if isinstance(index, Tensor) else index


def _repeats(index) -> bool:
    """Can this index name an element twice? Only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(i, np.ndarray) and i.dtype != np.bool_ for i in parts)


@op(fix="check the index against the shape")
def _getitem(x, index):
    def dx(g):
        out = np.zeros(x.shape, g.dtype)
        if _repeats(index):
            np.add.at(out, index, g)
        else:
            out[index] = g
        return out

    return x[index], (dx,)


def getitem(x, index) -> Tensor:
    """x[index] with NumPy's meaning: numbers, slices, None, ..., integer and boolean tensors."""
    return _getitem(x, index=_plain_index(index))


@op(rule="index must have as many axes as x, and its values must lie in [0, x.shape[dim])")
def _gather(x, index, dim):
    def dx(g):
        out = np.zeros(x.shape, g.dtype)
        grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
        grid[dim] = index
        np.add.at(out, tuple(grid), g)
        return out

    return np.take_along_axis(x, index, axis=dim), (dx, lambda g: None)


def gather(x, dim, index) -> Tensor:
    """out[i][j] = x[i][index[i][j]] (for dim=1): one chosen element for each place of `index`."""
    return _gather(x, index, dim=dim)


@op
def masked_fill(x, mask, value):
    """x with `value` where the boolean mask is True."""
    if mask.dtype != np.bool_:
        raise TypeError(f"mask must be boolean, not {mask.dtype}")
    return np.where(mask, np.asarray(value, x.dtype), x), (lambda g: np.where(mask, 0, g),)


def set_item(self, index, value):
    if self.requires_grad and _mode.grad:
        raise RuntimeError("x[i] = v on a tensor that requires a gradient. Fix: use where(), or no_grad()")
    self.array[_plain_index(index)] = value.array if isinstance(value, Tensor) else value


METHODS = [
    gather, masked_fill,
]  # fmt: skip
