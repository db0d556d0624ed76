"""Layers without memory: the linear map, one-hot vectors, unit vectors."""

from __future__ import annotations

import numpy as np

from minidl.ops import abs, clamp
from minidl.tensor import Tensor, op, same_dtype

__all__ = ["linear", "normalize", "one_hot"]


@op(
    rule="the last size of x must equal in_features: x (..., in), weight (out, in), bias (out,)",
    fix="check the layer's in_features, or flatten/transpose x",
)
def _linear(x, weight, bias):
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError("weight must be (out, in) and bias (out,)")
    same_dtype(x, weight)
    out = np.matmul(x, weight.T)
    if bias is not None:
        out += bias

    def rows(a):
        return a.reshape(-1, a.shape[-1])

    return out, (
        lambda g: np.matmul(g, weight),
        lambda g: np.matmul(rows(g).T, rows(x)),
        lambda g: rows(g).sum(0),
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b.  x (..., in), weight (out, in), bias (out,) -> (..., out)."""
    return _linear(x, weight, bias)


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x divided by its p-norm along `dim`."""
    norm = (abs(x) ** p).sum(dim, keepdim=True) ** (1 / p)
    return x / clamp(norm, min=eps)


def check_labels(name: str, labels: np.ndarray, classes: int) -> None:
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise IndexError(
            f"{name}: label {wrong.flat[0]} for {classes} classes; labels must lie in [0, {classes - 1}]. "
            "Fix: count labels from 0, or give the last layer more outputs"
        )


def one_hot(labels: Tensor, num_classes: int = -1) -> Tensor:
    """(..., ) integers -> (..., num_classes) with a 1 at each label; -1: as many classes as needed."""
    index = labels.array
    if index.dtype.kind not in "iu":
        raise TypeError(f"one_hot needs integer labels, not {index.dtype}")
    classes = int(index.max()) + 1 if num_classes == -1 else num_classes
    check_labels("one_hot", index, classes)
    return Tensor(np.eye(classes, dtype=np.int64)[index])
