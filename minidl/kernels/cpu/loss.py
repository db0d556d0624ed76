"""Softmax cross-entropy, compiled: loss and gradient of some rows at a time while they are in the cache.

The loop nest is that of `softmax.py`. The exponentials are written where the gradient is wanted, so no
temporary of shape (N, C) is made. The losses of rows are added up at the end, in one order for any number of
threads.
"""

import numpy as np

from minidl.kernels import reference
from minidl.kernels.cpu.activation import in_order
from minidl.kernels.cpu.compiling import compiled
from minidl.kernels.cpu.softmax import WORK, exponentials, f32, rows_of_a_group, total_of
from minidl.kernels.threads import split


@compiled
def _softmax_cross_entropy(logits, labels, losses, dlogits, share, first, last):
    """share: 1 / N. N may be more than the rows of this part."""
    logits, labels = logits[first:last], labels[first:last]
    losses, dlogits = losses[first:last], dlogits[first:last]
    step = rows_of_a_group(logits.shape[1])
    tops = np.empty(step, np.float32)
    for start in range(0, len(logits), step):
        part = dlogits[start : start + step]
        exponentials(logits[start : start + step], part, tops)
        for i in range(len(part)):
            row, label = part[i], labels[start + i]
            total = total_of(row)
            losses[start + i] = np.log(np.float64(total)) - (logits[start + i, label] - tops[i])
            scale = share / total
            for j in range(len(row)):
                row[j] *= scale
            row[label] -= share


def softmax_cross_entropy(logits, labels):
    """`reference.softmax_cross_entropy`."""
    if logits.dtype != np.float32 or not logits.size:
        return reference.softmax_cross_entropy(logits, labels)
    n = len(logits)
    losses, dlogits = np.empty(n), np.empty(logits.shape, np.float32)
    arrays = in_order(logits), in_order(labels.astype(np.int64, copy=False)), losses, dlogits
    split(n, WORK * logits.size, _softmax_cross_entropy, *arrays, f32(1 / n))
    return f32(losses.mean()), dlogits
