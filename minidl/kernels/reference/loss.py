"""Softmax cross-entropy."""

import numpy as np

__all__ = ["softmax_cross_entropy"]


def softmax_cross_entropy(logits, labels):
    """Mean cross-entropy of softmax(logits), and its gradient before multiplication by dL/d(loss).

    loss = mean_n( log sum_c exp(z_nc) - z_n,label ),  d loss / dz = (softmax(z) - onehot(label)) / N

    Args:
        logits: (N, C).
        labels: (N,) integers in [0, C).

    Returns:
        The loss in nats (0-d) and d loss / d logits (N, C).
    """
    n = len(logits)
    rows = np.arange(n)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exps = np.exp(shifted)
    total = exps.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - shifted[rows, labels]).mean(dtype=logits.dtype)
    dlogits = exps / total
    dlogits[rows, labels] -= 1
    dlogits /= n
    return loss, dlogits
