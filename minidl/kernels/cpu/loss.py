"""Softmax cross-entropy, compiled: one row at a time while it is in the cache.

The row's largest value, its exponentials, their sum and the gradient need four walks over C numbers; done
row by row they all hit the first-level cache, and no temporary of shape (N, C) is made but the gradient.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def _softmax_cross_entropy(logits, labels, dlogits):
    n, classes = logits.shape
    loss = 0.0
    for i in range(n):
        row, out = logits[i], dlogits[i]
        top = row.max()
        total = row[0] - row[0]  # zero of the row's own type
        for c in range(classes):
            out[c] = np.exp(row[c] - top)
            total += out[c]
        loss += np.log(total) - (row[labels[i]] - top)
        scale = 1 / (total * n)
        for c in range(classes):
            out[c] *= scale
        out[labels[i]] -= 1 / n
    return loss / n


def softmax_cross_entropy(logits, labels):
    """`reference.softmax_cross_entropy`."""
    logits = np.ascontiguousarray(logits)
    dlogits = np.empty_like(logits)
    loss = _softmax_cross_entropy(logits, np.ascontiguousarray(labels), dlogits)
    return logits.dtype.type(loss), dlogits
