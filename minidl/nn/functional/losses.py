"""Losses: how wrong an output is, as one number."""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.nn.functional.activations import log_softmax, softplus
from minidl.nn.functional.layers import check_labels
from minidl.ops import abs, clamp, log, where
from minidl.tensor import ShapeError, Tensor, op

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "l1_loss",
    "mse_loss", "nll_loss", "smooth_l1_loss",
]  # fmt: skip


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean", "sum" or "none", not {reduction!r}')
    if reduction == "mean" and not loss.numel():
        raise ValueError("the mean loss of an empty batch does not exist. Fix: skip empty batches")
    return loss.mean() if reduction == "mean" else loss.sum()


def _same_shape(name: str, x: Tensor, target: Tensor) -> None:
    if x.shape != target.shape:
        raise ShapeError(
            f"{name}(input: {x.shape}, target: {target.shape}): losses do not broadcast, shapes must agree. "
            "Fix: squeeze or unsqueeze one of them"
        )


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Squared error (x - t)^2."""
    _same_shape("mse_loss", input, target)
    return _reduce((input - target).square(), reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Absolute error |x - t|."""
    _same_shape("l1_loss", input, target)
    return _reduce(abs(input - target), reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared error up to delta, linear beyond (Huber 1964)."""
    _same_shape("huber_loss", input, target)
    distance = abs(input - target)
    return _reduce(
        where(distance <= delta, 0.5 * distance.square(), delta * (distance - 0.5 * delta)), reduction
    )


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """`huber_loss` divided by beta; beta=0 is l1_loss (Girshick 2015)."""
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) / beta


def binary_cross_entropy(input: Tensor, target: Tensor, weight=None, reduction: str = "mean") -> Tensor:
    """-(t log x + (1 - t) log(1 - x)) for probabilities x; the logarithms are cut at -100 as in PyTorch."""
    _same_shape("binary_cross_entropy", input, target)
    if input.numel() and not (input.array.min() >= 0 and input.array.max() <= 1):
        raise RuntimeError(
            "binary_cross_entropy: input must be probabilities in [0, 1]. Fix: apply sigmoid, or use "
            "binary_cross_entropy_with_logits"
        )
    loss = -(target * clamp(log(input), min=-100) + (1 - target) * clamp(log(1 - input), min=-100))
    return _reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight=None, reduction: str = "mean", pos_weight=None
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without overflow."""
    _same_shape("binary_cross_entropy_with_logits", input, target)
    miss = softplus(-input) if pos_weight is None else softplus(-input) * (1 + (pos_weight - 1) * target)
    loss = (1 - target) * input + miss
    return _reduce(loss if weight is None else loss * weight, reduction)


@op(rule="log-probabilities (N, C, ...) and labels (N, ...)", fix="check which axis holds the classes")
def _pick(logp, labels):
    """-logp[n, labels[n], ...]."""
    index = np.expand_dims(labels, 1)

    def dlogp(g):
        out = np.zeros(logp.shape, g.dtype)
        np.put_along_axis(out, index, -np.expand_dims(g, 1), axis=1)
        return out

    return -np.take_along_axis(logp, index, axis=1).squeeze(1), (dlogp, lambda g: None)


def _share(labels: np.ndarray, counted: np.ndarray, weight, logp: Tensor, dim: int) -> np.ndarray:
    """What each label counts in the mean: its class's weight (1 if None), or 0 where it is ignored."""
    class_weight = np.ones(logp.shape[dim], logp.dtype) if weight is None else weight.array
    return class_weight[labels] * counted


def nll_loss(
    input: Tensor, target: Tensor, weight=None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """-input[n, target[n]]: input (N, C, ...) log-probabilities, target (N, ...) class indices.

    "mean" divides by the summed weight of the labels that count. Unbatched (C,) and () work as well.
    """
    if input.ndim == 1:
        input, target = input.unsqueeze(0), target.reshape(1)
        reduction = "sum" if reduction == "none" else reduction
    labels = target.array
    if labels.dtype.kind not in "iu":
        raise TypeError(f"nll_loss: labels must be integers, not {labels.dtype}. Fix: y.long()")
    if labels.shape != input.shape[:1] + input.shape[2:]:
        raise ShapeError(
            f"nll_loss(input: {input.shape}, target: {target.shape}): input must be (N, C, ...) and target "
            "(N, ...). Fix: put the classes on axis 1, and labels as class numbers, not one-hot"
        )
    counted = labels != ignore_index
    check_labels("cross_entropy / nll_loss", labels[counted], input.shape[1])
    labels = np.where(counted, labels, 0)
    share = _share(labels, counted, weight, input, dim=1)
    loss = _pick(input, Tensor(labels)) * Tensor(share)
    if reduction == "mean":
        if not labels.size:
            raise ValueError("the mean loss of an empty batch does not exist. Fix: skip empty batches")
        return loss.sum() / Tensor(share.sum())
    return _reduce(loss, reduction)


@op
def _softmax_cross_entropy(logits, labels):
    loss, dlogits = kernels.find("softmax_cross_entropy", logits)(logits, labels)
    return loss, (lambda g: dlogits * g, lambda g: None)


def _are_labels(labels: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Are these valid class indices (N,) for logits of shape (N, C)?"""
    fits = len(shape) == 2 and labels.shape == shape[:1] and labels.dtype.kind in "iu" and labels.size
    return bool(fits and labels.min() >= 0 and labels.max() < shape[1])


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight=None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy in nats between softmax(input) and the target: -log of the right class's probability.

    Args:
        input: logits (C,), (N, C) or (N, C, ...).
        target: class indices (N, ...), or class probabilities of input's shape.
        weight: (C,) weight of each class; "mean" divides by the weights that count.
        ignore_index: label that does not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016).

    Raises:
        IndexError: a label outside [0, C). ShapeError, TypeError: input and target do not fit.
        ValueError: the mean of an empty batch.
    """
    plain = weight is None and reduction == "mean" and not label_smoothing
    if plain and _are_labels(target.array, input.shape):
        return _softmax_cross_entropy(input, target)
    dim = 0 if input.ndim == 1 else 1
    logp = log_softmax(input, dim)
    if target.shape == input.shape and target.array.dtype.kind == "f":
        return _soft_cross_entropy(logp, target, weight, reduction, label_smoothing, dim)
    hard = nll_loss(logp, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return hard
    return (1 - label_smoothing) * hard + label_smoothing * _uniform_loss(
        logp, target, weight, ignore_index, reduction
    )


def _class_axis(weight, ndim: int, dim: int) -> Tensor:
    return weight.reshape(*[-1 if i == dim else 1 for i in range(ndim)])


def _soft_cross_entropy(logp, target, weight, reduction, smoothing, dim) -> Tensor:
    """Targets are probabilities; "mean" divides by the number of positions."""
    target = target * (1 - smoothing) + smoothing / logp.shape[dim]
    weighted = logp if weight is None else logp * _class_axis(weight, logp.ndim, dim)
    return _reduce(-(target * weighted).sum(dim), reduction)


def _uniform_loss(logp, target, weight, ignore_index, reduction) -> Tensor:
    """The smoothing part: the mean over classes of -log p, for the labels that count."""
    dim = 0 if logp.ndim == 1 else 1
    weighted = logp if weight is None else logp * _class_axis(weight, logp.ndim, dim)
    counted = target.array != ignore_index
    loss = -weighted.sum(dim) / logp.shape[dim] * Tensor(counted.astype(logp.dtype))
    if reduction != "mean":
        return _reduce(loss, reduction)
    share = _share(np.where(counted, target.array, 0), counted, weight, logp, dim)
    return loss.sum() / Tensor(np.asarray(share.sum(), logp.dtype))
