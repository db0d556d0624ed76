"""Products of matrices."""

from __future__ import annotations

import numpy as np

from minidl.tensor import op, same_dtype

__all__ = [
    "matmul",
]  # fmt: skip


@op(
    rule="inner sizes must agree: (..., n, k) @ (..., k, m)",
    fix="transpose one of them (.T), or reshape so that both share the axis that is summed over",
)
def matmul(a, b):
    """Matrix product of the last two axes, broadcast over the others; 1-d operands as in PyTorch."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("a 0-d operand: use * for numbers")
    same_dtype(a, b)
    out = np.matmul(a, b)

    def da(g):
        if b.ndim == 1:
            return np.expand_dims(g, -1) * b
        return (np.expand_dims(g, -2) if a.ndim == 1 else g) @ b.swapaxes(-1, -2)

    def db(g):
        if a.ndim == 1:
            return a[:, None] * np.expand_dims(g, -2) if b.ndim > 1 else a * g
        if b.ndim == 1:
            return (a * np.expand_dims(g, -1)).reshape(-1, len(b)).sum(0)
        return a.swapaxes(-1, -2) @ g

    def da_like_a(g):
        d = da(g)
        return d.reshape(-1, len(a)).sum(0) if a.ndim == 1 else d

    return out, (da_like_a, db)


METHODS = [
    matmul,
]  # fmt: skip
