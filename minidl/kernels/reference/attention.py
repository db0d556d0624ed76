"""Scaled dot-product attention."""

import numpy as np

__all__ = ["attention", "attention_backward", "attention_backward_bias"]


def _scores(q, k, bias, scale, causal):
    """scale q k^T + bias (..., L, S); -inf where a key is kept from a query."""
    scores = np.matmul(q * np.asarray(scale, q.dtype), k.swapaxes(-1, -2))
    if bias is not None:
        scores += bias
    if causal:
        scores[..., ~np.tri(*scores.shape[-2:], dtype=bool)] = -np.inf
    return scores


def attention(q, k, v, bias, keep, scale, causal):
    """out = (softmax(scale q k^T + bias) * keep) v  (Vaswani et al. 2017, eq. 1).

    Each of L queries takes a weighted mean of S values; the weights say how well the keys fit the query. A
    query that is kept from every key (a row of scores that are all -inf) gets weights and output 0.

    Args:
        q: (..., L, E). k: (..., S, E). v: (..., S, V).
        bias: None, or what is added to the scores, broadcast to (..., L, S); -inf takes a key out.
        keep: None, or factors of the weights (..., L, S): dropout.
        causal: query i is kept from the keys after number i.

    Returns:
        out (..., L, V), and log(sum(e^scores)) (..., L), from which the backward has the weights again; inf
        where there is no key.
    """
    weights = _scores(q, k, bias, scale, causal)
    top = weights.max(axis=-1, keepdims=True, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top)
    weights -= top
    np.exp(weights, out=weights)
    total = weights.sum(axis=-1, keepdims=True)
    total = np.where(total == 0, np.inf, total)
    weights /= total
    if keep is not None:
        weights = weights * keep
    return np.matmul(weights, v), (top + np.log(total))[..., 0].astype(q.dtype)


def _gradient_of_scores(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """The weights after dropout, and the gradient of the scores. With w the weights before it:

    dw = g v^T * keep,  d scores = w (dw - sum_s w dw),  and sum_s w dw = sum_v g out.
    """
    weights = np.exp(_scores(q, k, bias, scale, causal) - log_total[..., None])
    dscores = np.matmul(g, v.swapaxes(-1, -2))
    if keep is not None:
        dscores *= keep
    dscores -= (g * out).sum(axis=-1, keepdims=True)
    dscores *= weights
    return weights if keep is None else weights * keep, dscores


def attention_backward(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """Gradients of q, k and v, each in its shape broadcast over the leading axes.

    Args:
        out, log_total: what `attention` gave.
    """
    kept, dscores = _gradient_of_scores(g, q, k, v, bias, keep, scale, causal, out, log_total)
    dscores *= np.asarray(scale, g.dtype)
    return np.matmul(dscores, k), np.matmul(dscores.swapaxes(-1, -2), q), np.matmul(kept.swapaxes(-1, -2), g)


def attention_backward_bias(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """The gradient of the bias, (..., L, S)."""
    return _gradient_of_scores(g, q, k, v, bias, keep, scale, causal, out, log_total)[1]
