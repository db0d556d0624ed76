"""Standardisation: numbers shifted to mean 0 and scaled to variance 1. Every norm is this, over some axes."""

import math

import numpy as np

__all__ = ["moments", "standardize", "standardize_backward", "sum_to"]


def mean_over(x, axes):
    """The mean over axes, kept as 1; 0 of nothing. Added up in float64: float32 loses digits over many."""
    count = max(math.prod(x.shape[i] for i in axes), 1)
    return (x.sum(axes, keepdims=True, dtype=np.float64) / count).astype(x.dtype)


def moments(x, axes, centred):
    """Mean and variance (divided by n) over axes, kept as 1; if not centred, None and the mean square."""
    mean = mean_over(x, axes) if centred else None
    return mean, mean_over(np.square(x - mean if centred else x), axes)


def sum_to(a, shape):
    """`a` summed over the axes along which an array of this shape, broadcast against it, does not vary."""
    extra = a.ndim - len(shape)
    axes = (*range(extra), *[extra + i for i, n in enumerate(shape) if n == 1])
    return a.sum(axes).reshape(shape)


def standardize(x, mean, var, weight, bias, axes, eps, centred):
    """(x - mean) / sqrt(var + eps) * weight + bias.

    Args:
        x: any shape; the other arrays are broadcast against it. Without weight, bias: 1, 0.
        axes: mean and variance are x's own over these. If there are none, they are `mean` and `var`.
        centred: if not, the mean is taken to be 0, and the variance to be the mean square.

    Returns:
        The result, mean (None if not centred) and variance.
    """
    if axes:
        mean, var = moments(x, axes, centred)
    out = (x if mean is None else x - mean) * (1 / np.sqrt(var + eps))
    out = out if weight is None else out * weight
    return (out if bias is None else out + bias), mean, var


def standardize_backward(g, x, mean, var, weight, shape, axes, eps):
    """dL/dx, and dL/dweight and dL/dbias in their shape (None, None if that is None).

    With n = (x - mean) / sqrt(var + eps), h = g * weight and means over `axes`, over which mean and variance
    are x's own:  dx = (h - mean(h) - n * mean(h * n)) / sqrt(var + eps), without mean(h) if mean is None.
    Without axes mean and variance are constants, and dx = h / sqrt(var + eps).
    """
    scale = 1 / np.sqrt(var + eps)
    normal = (x if mean is None else x - mean) * scale
    dx = h = g if weight is None else g * weight
    if axes:
        dx = h - normal * mean_over(h * normal, axes)
        if mean is not None:
            dx -= mean_over(h, axes)
    dweight, dbias = (None, None) if shape is None else (sum_to(g * normal, shape), sum_to(g, shape))
    return dx * scale, dweight, dbias
