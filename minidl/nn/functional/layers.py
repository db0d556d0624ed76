"""Layers without memory: the linear map, vectors for words, dropout, unit vectors and angles."""

from __future__ import annotations

import importlib
import math

import numpy as np

from minidl import kernels
from minidl.kernels.products import matmul
from minidl.nn.functional.activations import refuse_inplace
from minidl.ops import broadcast_to, clamp, norm
from minidl.ops.creation import random_generator
from minidl.ops.dtypes import need_float, refuse_bool, result_dtype
from minidl.ops.indexing import add_rows, check_labels, some_outside
from minidl.tensor import ShapeError, Tensor, op, same_dtype

__all__ = [
    "cosine_similarity", "dropout", "dropout1d", "dropout2d", "embedding", "linear", "normalize", "one_hot",
]  # fmt: skip


@op(
    rule="the last size of input must equal in_features: input (..., in), weight (out, in), bias (out,)",
    fix="check the layer's in_features, or flatten/transpose the input",
)
def linear(input, weight, bias=None):
    """y = x W^T + b.  input (..., in), weight (out, in), bias (out,) or () -> (..., out).

    weight (in,) with bias () is one output without an axis: (..., in) -> (...).
    """
    same_dtype(input, weight, weight if bias is None else bias)
    if input.dtype.kind == "b":
        refuse_bool(input)
    if weight.ndim not in (1, 2) or (bias is not None and bias.ndim >= 2):
        raise ValueError("weight must be (out, in) and bias (out,)")
    if input.ndim != 2 or weight.ndim != 2:
        return _linear_of_any_shape(input, weight, bias)
    out = matmul(input, weight.T)
    if bias is not None:
        out += bias
    return out, (
        lambda g: matmul(g, weight),
        lambda g: matmul(g.T, input),
        lambda g: np.add.reduce(g, 0),
    )


def _linear_of_any_shape(input, weight, bias):
    """`linear` of the rows of a batch of any shape."""
    rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    out, (dx, dweight, dbias) = linear.__wrapped__(rows, np.atleast_2d(weight), bias)
    return out.reshape(input.shape[:-1] + weight.shape[:-1]), (
        lambda g: dx(g.reshape(out.shape)).reshape(input.shape),
        lambda g: dweight(g.reshape(out.shape)).reshape(weight.shape),
        lambda g: dbias(g.reshape(out.shape)),
    )


# -- vectors for words -----------------------------------------------------------------------------


@op(rule="input holds row numbers, int64 or int32; weight is (num_embeddings, embedding_dim)", fix="i.long()")
def _embedding(input, weight, padding_idx, by_frequency):
    if input.dtype not in (np.int64, np.int32) or weight.ndim != 2:
        raise ValueError(f"{input.dtype} row numbers and a weight with {weight.ndim} axes")

    places, (count, width) = input.reshape(-1), weight.shape

    def dweight(g):
        g = g.reshape(len(places), width)
        if by_frequency:
            g = g / np.bincount(places)[places, None]
        out = add_rows(places, g, count)
        if padding_idx is not None:
            out[padding_idx] = 0
        return out

    rows = kernels.find("take_rows", weight)(weight, places)
    return rows.reshape(*input.shape, width), (lambda g: None, dweight)


def _shorten_rows(weight: np.ndarray, rows: np.ndarray, max_norm: float, norm_type: float) -> None:
    """Scale those rows down, in place, whose norm exceeds max_norm."""
    size = np.linalg.norm(weight[rows], norm_type, axis=1, keepdims=True)
    weight[rows] *= np.where(size > max_norm, max_norm / (size + 1e-7), 1)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Row input[...] of weight for each place: a table of vectors, one for each word.

    Args:
        input: row numbers (...).
        weight: (num_embeddings, embedding_dim) -> result (..., embedding_dim).
        padding_idx: the row that gets no gradient.
        max_norm: rows in use whose norm (of order norm_type) exceeds it are first scaled down, in weight.
        scale_grad_by_freq: divide a row's gradient by how often it is in use here.

    Raises:
        IndexError: a row number outside [0, num_embeddings).
    """
    if sparse:
        raise NotImplementedError("sparse=True: minidl has no sparse gradients. Fix: leave it out")
    if padding_idx is not None and not -len(weight) <= padding_idx < len(weight):
        raise ValueError(f"embedding: padding_idx {padding_idx} for a weight with {len(weight)} rows")
    if some_outside(input.array, len(weight)):
        raise IndexError(
            f"embedding: row numbers {input.array.min()} to {input.array.max()} for a weight with "
            f"{len(weight)} rows. Fix: count from 0, or make num_embeddings larger"
        )
    if max_norm is not None:
        _shorten_rows(weight.array, np.unique(input.array), max_norm, norm_type)
    return _embedding(input, weight, padding_idx=padding_idx, by_frequency=scale_grad_by_freq)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """(...) int64 labels -> (..., num_classes) with a 1 at each label; -1: as many classes as needed."""
    labels = tensor.array
    if labels.dtype != np.int64:
        raise TypeError(f"one_hot needs int64 labels, not {labels.dtype}. Fix: y.long()")
    if num_classes <= 0 and not labels.size:
        raise ValueError("one_hot of no labels: how many classes there are is unknown. Fix: give num_classes")
    classes = int(labels.max()) + 1 if num_classes == -1 else num_classes
    check_labels("one_hot", labels, classes)
    classes = np.arange(classes, like=labels)
    return Tensor((labels[..., None] == classes).astype(np.int64))


# -- dropout ---------------------------------------------------------------------------------------


def _drop(input: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]) -> Tensor:
    """One draw for each element of `shape`, which is broadcast."""
    refuse_inplace(inplace)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p={p} is no probability, it must lie in [0, 1]")
    if not training or p == 0:
        return input
    need_float(input, "dropout")
    if input.device == "cuda":
        keep_mask = importlib.import_module("minidl.kernels.cuda.dropout").keep_mask
        return input * Tensor(keep_mask(shape, p, input.dtype, lambda: random_generator().integers(2**63)))
    kept = random_generator().random(shape, np.float32) >= p
    return input * Tensor(np.multiply(kept, 1 / input.dtype.type(1 - p or 1)))


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each number becomes 0 with probability p, or else is divided by 1 - p (Srivastava et al. 2014).

    So its mean stays. Drawn anew at each call, from what `manual_seed` starts. training=False: input itself.
    """
    return _drop(input, p, training, inplace, input.shape)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of signals (N, C, L) or (C, L) (Tompson et al. 2015)."""
    if input.ndim not in (2, 3):
        raise ShapeError(f"dropout1d(input: {input.shape}): input must be (N, C, L) or (C, L)")
    return _drop(input, p, training, inplace, (*input.shape[:-1], 1))


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of images (N, C, H, W) (Tompson et al. 2015). Always with the axis N."""
    if input.ndim < 2:
        raise ShapeError(f"dropout2d(input: {input.shape}): input must be (N, C, H, W)")
    return _drop(input, p, training, inplace, input.shape[:2] + (1,) * (input.ndim - 2))


# -- lengths and angles ----------------------------------------------------------------------------


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input divided by its p-norm along `dim`, or by eps where that is larger."""
    return input / clamp(norm(input, p, dim, keepdim=True), min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (|x1| |x2|) along `dim`: the cosine of their angle. Lengths below eps count as eps.

    x1 and x2 are broadcast against each other; the result lacks the axis `dim`.
    """
    try:
        shape = np.broadcast_shapes(x1.shape, x2.shape)
    except ValueError:
        raise ShapeError(
            f"cosine_similarity(x1: {x1.shape}, x2: {x2.shape}): shapes do not broadcast"
        ) from None
    dtype = result_dtype(x1.array, x2.array)
    a, b = (_unit(broadcast_to(x.to(dtype), shape), dim, eps) for x in (x1, x2))
    return (a * b).sum(dim)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    size = norm(x, 2, dim, keepdim=True)
    return x / (size + (clamp(size, min=eps) - size).detach())  # the limit has no gradient, as in PyTorch
