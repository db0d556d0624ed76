"""Norms: numbers standardised over some axes, then scaled and shifted by a learned weight and bias.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

They differ in what mean and variance are taken over. For images (N, C, H, W): batch norm over N, H, W, for
each channel; layer norm over C, H, W, for each sample; group norm over H, W and the channels of a group. RMS
norm is layer norm that leaves the mean where it is. Variances are divided by n, not n - 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from minidl import kernels
from minidl.ops.dtypes import need_float
from minidl.tensor import ShapeError, Tensor, describe, op

__all__ = ["batch_norm", "group_norm", "layer_norm", "rms_norm"]


@op
def _standardize(input, weight, bias, axes, eps, mean=None, var=None, centred=True, follow=None):
    """mean and var are those of input over axes, or constants if there are none.

    follow: a function that is called with mean and var.
    """
    out, mean, var = kernels.find("standardize", input)(input, mean, var, weight, bias, axes, eps, centred)
    if follow is not None:
        follow(mean, var)
    shape = next((p.shape for p in (weight, bias) if p is not None), None)
    return out, lambda g: kernels.find("standardize_backward", input)(
        g, input, mean, var, weight, shape, axes, eps
    )


def _check(name: str, input: Tensor, shape: tuple[int, ...], **parameters: Tensor | None) -> None:
    """Each parameter that is there must have this shape, and input's dtype."""
    need_float(input, name)
    for key, t in parameters.items():
        if t is not None and (t.shape != shape or t.dtype != input.dtype):
            raise ShapeError(
                f"{name}(input: {describe(input.array)}, {key}: {describe(t.array)}): {key} must be {shape} "
                f"{input.dtype}. Fix: check the number of channels or features, and dtypes"
            )


def _more_than_one(name: str, input: Tensor, count: int) -> None:
    if count == 1:
        raise ValueError(
            f"{name}(input: {input.shape}): a single value has no variance. Fix: a larger batch, or "
            "evaluation mode"
        )


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel standardised over the batch and all places (Ioffe & Szegedy 2015).

    Args:
        input: (N, C, ...).
        running_mean, running_var, weight, bias: (C,) each, or None.
        training: use the batch's own mean and variance, and move the running ones (if given) towards them in
            place: running = (1 - momentum) running + momentum new, the variance there divided by n - 1.
            Otherwise use the running ones.

    Raises:
        ValueError: training with one value a channel. ShapeError, TypeError: what does not fit.
    """
    if input.ndim < 2:
        raise ShapeError(f"batch_norm(input: {input.shape}): input must be (N, C, ...)")
    stats, channels = (running_mean, running_var), input.shape[1]
    _check("batch_norm", input, (channels,), running_mean=running_mean, running_var=running_var)
    _check("batch_norm", input, (channels,), weight=weight, bias=bias)
    missing = sum(stat is None for stat in stats)
    if missing == 1 or (missing and not training):
        raise ValueError("batch_norm: give running_mean and running_var, or, in training, neither of them")
    along = (1, channels) + (1,) * (input.ndim - 2)
    weight, bias = (None if p is None else p.reshape(along) for p in (weight, bias))
    if not training:
        mean, var = (t.array.reshape(along) for t in stats)
        return _standardize(input, weight, bias, axes=(), eps=eps, mean=mean, var=var)
    _more_than_one("batch_norm", input, input.numel() // max(channels, 1))
    if eps <= 0:
        raise ValueError(f"batch_norm: eps={eps} must be positive in training")
    follow = None
    if running_mean is not None and input.numel():
        follow = functools.partial(_follow, *stats, input.numel() // channels, momentum)
    axes = (0, *range(2, input.ndim))
    return _standardize(input, weight, bias, axes=axes, eps=eps, follow=follow)


def _follow(running_mean, running_var, count, momentum, mean, var) -> None:
    """Move running_mean and running_var, in place, towards a batch's; its variance is made unbiased."""
    for running, new in ((running_mean, mean), (running_var, var * (count / (count - 1)))):
        running.array[...] = (1 - momentum) * running.array + momentum * new.reshape(-1)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each sample standardised over all places and the channels of each group (Wu & He 2018).

    input (N, C, ...), C a multiple of num_groups; weight and bias (C,).
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm(input: {input.shape}, num_groups={num_groups}): input must be (N, C, ...), and "
            "C a multiple of num_groups"
        )
    n, channels, *places = input.shape
    _check("group_norm", input, (channels,), weight=weight, bias=bias)
    _more_than_one("group_norm", input, input.numel() // num_groups)
    grouped = input.reshape(n, num_groups, channels // num_groups, math.prod(places))
    weight, bias = (None if p is None else p.reshape(1, *grouped.shape[1:3], 1) for p in (weight, bias))
    return _standardize(grouped, weight, bias, axes=(2, 3), eps=eps).reshape(input.shape)


def _last_axes(name: str, input: Tensor, normalized_shape, **parameters: Tensor | None) -> tuple[int, ...]:
    """The axes of normalized_shape, which must end input's shape."""
    if not isinstance(normalized_shape, Sequence):
        raise TypeError(f"{name}: normalized_shape={normalized_shape!r} must be a tuple of sizes, as in (8,)")
    shape = tuple(normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{name}(input: {input.shape}, normalized_shape={shape}): input must end in normalized_shape. "
            "Fix: give the sizes of the last axes"
        )
    _check(name, input, shape, **parameters)
    return tuple(range(-len(shape), 0))


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each sample standardised over its last axes (Ba et al. 2016).

    input (..., *normalized_shape); weight and bias of shape normalized_shape.
    """
    axes = _last_axes("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return _standardize(input, weight, bias, axes=axes, eps=eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axes (Zhang & Sennrich 2019).

    input (..., *normalized_shape), weight normalized_shape. eps=None: the distance from 1 to the next number.
    """
    weight = None if weight is None else weight.to(input.dtype)
    axes = _last_axes("rms_norm", input, normalized_shape, weight=weight)
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    return _standardize(input, weight, None, axes=axes, eps=eps, centred=False)
