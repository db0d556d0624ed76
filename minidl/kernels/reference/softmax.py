"""Softmax and its logarithm along one axis. The largest value is taken out first, so nothing overflows."""

import numpy as np

__all__ = ["log_softmax", "log_softmax_backward", "softmax", "softmax_backward"]


def _below_top(x, axis):
    """x minus its largest value along the axis."""
    return x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)


def softmax(x, axis):
    """e^x / sum(e^x) along the axis, any shape of at least one axis."""
    out = np.exp(_below_top(x, axis))
    out /= out.sum(axis=axis, keepdims=True)
    return out


def softmax_backward(g, out, axis):
    """dx = out (g - sum(g out)), for out = softmax(x)."""
    return out * (g - (g * out).sum(axis=axis, keepdims=True))


def log_softmax(x, axis):
    """x - log(sum(e^x)) along the axis."""
    x = _below_top(x, axis)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def log_softmax_backward(g, out, axis):
    """dx = g - e^out sum(g), for out = log_softmax(x)."""
    return g - np.exp(out) * g.sum(axis=axis, keepdims=True)
