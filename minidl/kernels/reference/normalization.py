"""Standardisation: numbers shifted to mean 0 and scaled to variance 1. Every norm is this, over some axes."""

import math

import numpy as np

__all__ = ["moments", "standardize", "standardize_backward"]


def mean_over(x, axes):
    """The mean over axes, kept as 1; 0 of nothing. Added up in float64: float32 loses digits over many."""
    count = max(math.prod(x.shape[i] for i in axes), 1)
    return (x.sum(axes, keepdims=True, dtype=np.float64) / count).astype(x.dtype)


def moments(x, axes, centred):
    """Mean and variance (divided by n) over axes, kept as 1; if not centred, None and the mean square."""
    mean = mean_over(x, axes) if centred else None
    return mean, mean_over(np.square(x - mean if centred else x), axes)


def standardize(x, mean, var, eps, weight, bias):
    """(x - mean) / sqrt(var + eps) * weight + bias.

    Args:
        x: any shape; the other arrays are broadcast against it. Without mean, weight, bias: 0, 1, 0.

    Returns:
        The result; x standardised, before weight and bias; and 1 / sqrt(var + eps).
    """
    scale = 1 / np.sqrt(var + eps)
    normal = (x if mean is None else x - mean) * scale
    out = normal if weight is None else normal * weight
    return (out if bias is None else out + bias), normal, scale


def standardize_backward(g, normal, scale, weight, axes, centred):
    """dL/dx, where mean and variance are x's own over `axes`. With h = g * weight and means over `axes`:

    dx = (h - mean(h) - normal * mean(h * normal)) * scale, without mean(h) if not centred.
    Without axes mean and variance are constants, and dx = h * scale.
    """
    h = g if weight is None else g * weight
    if not axes:
        return h * scale
    dx = h - normal * mean_over(h * normal, axes)
    if centred:
        dx -= mean_over(h, axes)
    dx *= scale
    return dx
