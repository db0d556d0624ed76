"""Scaled dot-product attention."""

import numpy as np

__all__ = ["attention", "attention_backward"]


def attention(q, k, v, bias, keep, scale):
    """out = (softmax(scale q k^T + bias) * keep) v  (Vaswani et al. 2017, eq. 1).

    Each of L queries takes a weighted mean of S values; the weights say how well the keys fit the query. A
    query that is kept from every key (a row of scores that are all -inf) gets weights and output 0.

    Args:
        q: (..., L, E). k: (..., S, E). v: (..., S, V).
        bias: None, or what is added to the scores, broadcast to (..., L, S); -inf takes a key out.
        keep: None, or factors of the weights (..., L, S): dropout.

    Returns:
        out (..., L, V), and the weights (..., L, S) before dropout, which the backward needs.
    """
    weights = np.matmul(q * np.asarray(scale, q.dtype), k.swapaxes(-1, -2))
    if bias is not None:
        weights += bias
    top = weights.max(axis=-1, keepdims=True, initial=-np.inf)
    weights -= np.where(top == -np.inf, 0, top)
    np.exp(weights, out=weights)
    total = weights.sum(axis=-1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    return np.matmul(weights if keep is None else weights * keep, v), weights


def attention_backward(g, q, k, v, keep, scale, weights):
    """Gradients of q, k, v and bias, each in its shape broadcast over the leading axes.

    With w the weights and dw = g v^T:  d scores = w (dw - sum_s w dw).
    """
    kept = weights if keep is None else weights * keep
    dv = np.matmul(kept.swapaxes(-1, -2), g)
    dscores = np.matmul(g, v.swapaxes(-1, -2))
    if keep is not None:
        dscores *= keep
    dscores -= (dscores * weights).sum(axis=-1, keepdims=True)
    dscores *= weights
    scaled = dscores * np.asarray(scale, g.dtype)
    return np.matmul(scaled, k), np.matmul(scaled.swapaxes(-1, -2), q), dv, dscores
