"""Attention as a chain of kernels, with the scores in memory: any type of floats, heads of any size.

The formulas of the reference, on the GPU's arrays. `attention.py` says who takes this way.
"""

import numpy as np

from minidl.kernels.cuda.array import CudaArray

__all__ = ["attention", "attention_backward", "attention_backward_bias"]


def _scores(q, k, bias, scale, causal) -> CudaArray:
    """scale q k^T + bias (..., L, S); -inf where a key is kept from a query."""
    scores = np.matmul(q * np.asarray(scale, q.dtype), k.swapaxes(-1, -2))
    if bias is not None:
        scores += bias
    if causal:
        queries, keys = (np.arange(n, like=q) for n in scores.shape[-2:])
        scores = np.where(keys > queries[:, None], np.asarray(-np.inf, q.dtype), scores)
    return scores


def attention(q, k, v, bias, keep, scale, causal):
    """`reference.attention`."""
    weights = _scores(q, k, bias, scale, causal)
    top = weights.max(axis=-1, keepdims=True, initial=-np.inf)
    top = np.where(top == -np.inf, np.asarray(0, q.dtype), top)
    np.exp(weights - top, out=weights)
    total = weights.sum(axis=-1, keepdims=True)
    total = np.where(total == 0, np.asarray(np.inf, q.dtype), total)
    weights /= total
    if keep is not None:
        weights = weights * keep
    return np.matmul(weights, v), (top + np.log(total))[..., 0]


def _gradient_of_scores(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """The weights after dropout, and the gradient of the scores."""
    weights = np.exp(_scores(q, k, bias, scale, causal) - log_total[..., None])
    dscores = np.matmul(g, v.swapaxes(-1, -2))
    if keep is not None:
        dscores *= keep
    dscores -= (g * out).sum(axis=-1, keepdims=True)
    dscores *= weights
    return weights if keep is None else weights * keep, dscores


def attention_backward(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """`reference.attention_backward`."""
    kept, dscores = _gradient_of_scores(g, q, k, v, bias, keep, scale, causal, out, log_total)
    dscores *= np.asarray(scale, g.dtype)
    return np.matmul(dscores, k), np.matmul(dscores.swapaxes(-1, -2), q), np.matmul(kept.swapaxes(-1, -2), g)


def attention_backward_bias(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """`reference.attention_backward_bias`."""
    return _gradient_of_scores(g, q, k, v, bias, keep, scale, causal, out, log_total)[1]
