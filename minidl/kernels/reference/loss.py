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
    n, classes = logits.shape
    right = np.arange(0, logits.size, classes) + labels  # where the labels stand, counted through all rows
    d = np.subtract(logits, np.maximum.reduce(logits, 1, keepdims=True), order="C")
    flat = d.ravel()
    picked = flat[right]
    np.exp(d, d)
    total = np.add.reduce(d, 1, keepdims=True)
    loss = (np.add.reduce(np.log(total), None) - np.add.reduce(picked)) / n
    d /= total
    flat[right] -= 1
    d /= n
    return loss, d
