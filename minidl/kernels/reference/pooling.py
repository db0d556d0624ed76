"""Pooling and resampling: numbers that are gathered along one axis of space after the other.

The idea: one table says everything. `places[k, i]` is the position on the axis which the k-th tap of window i
looks at; the position just after the last means "nothing there". Pooling windows, the uneven bins of adaptive
pooling, the two neighbours of linear interpolation are only different tables.

`tables` holds one table (K, out) for each of the last axes of x; the axes before them are a batch.
"""

import math

import numpy as np

__all__ = ["max_pool", "max_pool_backward", "resample", "resample_backward"]


def _along(axis, ndim, values):
    """A vector shaped so that it lies along one of ndim axes."""
    return values.reshape([-1 if i == axis else 1 for i in range(ndim)])


def max_pool(x, tables):
    """The largest value of each window, and where it stands.

    The largest of a rectangle is the largest of its rows' largest: one axis at a time, the last one first.
    Of equal values the first counts, of several nan the last.

    Args:
        x: (..., *size).
        tables: of places; each window has at least one place in x.

    Returns:
        values (..., *out), and the position of each in x, counted through all of *size (an integer).
    """
    values, index, step = x, None, 1
    for axis, places in reversed(list(enumerate(tables, x.ndim - len(tables)))):
        size = x.shape[axis]
        inside = np.where(places == size, places.min(axis=0), places)
        places = np.maximum.accumulate(inside)  # "nothing" sees a neighbour once more: the maximum stays
        best = values.take(places[0], axis)
        tap = np.zeros(best.shape, np.min_scalar_type(len(places)))
        for k, row in enumerate(places[1:], 1):
            seen = values.take(row, axis)
            better = (seen > best) | (seen != seen)  # or nan
            np.maximum(tap, better * tap.dtype.type(k), out=tap)
            np.maximum(best, seen, out=best)
        at = places[tap, _along(axis, x.ndim, np.arange(places.shape[1]))]
        index = at * step + (0 if index is None else np.take_along_axis(index, at, axis))
        values, step = best, step * size
    return values, index


def max_pool_backward(g, index, size):
    """dL/dx (..., *size) of `max_pool`: each g is added where its maximum stood."""
    batch, length = g.shape[: g.ndim - len(size)], math.prod(size)
    first = np.arange(math.prod(batch)).reshape(*batch, *[1] * len(size)) * length
    dx = np.zeros((*batch, *size), g.dtype)
    np.add.at(dx.reshape(-1), (first + index).ravel(), g.ravel())
    return dx


def resample(x, tables):
    """Weighted sums along each axis: out[i] = sum over k of weights[k, i] x[places[k, i]].

    Args:
        x: (..., *size).
        tables: pairs (places, weights); weights None are all 1.

    Returns:
        (..., *out).
    """
    for axis, (places, weights) in enumerate(tables, x.ndim - len(tables)):
        x = _gather(x, axis, places, weights)
    return x


def resample_backward(g, tables, size):
    """dL/dx (..., *size) of `resample`: the same with every table turned round."""
    turned = [turned_table(places, weights, n) for (places, weights), n in zip(tables, size, strict=True)]
    return resample(g, turned)


def _gather(x, axis, places, weights):
    if (places == x.shape[axis]).any():
        nothing = np.zeros((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype)
        x = np.concatenate([x, nothing], axis)
    total = None
    for k, row in enumerate(places):
        seen = x.take(row, axis)
        if weights is not None:
            seen *= _along(axis, x.ndim, weights[k])
        total = seen if total is None else np.add(total, seen, out=total)
    return total


def turned_table(places, weights, size):
    """The transposed table: for each of the `size` inputs the outputs that look at it, with their weights."""
    outputs = places.shape[1]
    order = np.argsort(places, axis=None, kind="stable")
    count = np.bincount(places.ravel(), minlength=size)[:size]
    order = order[: count.sum()]  # without those that look at nothing
    looked_at = places.ravel()[order]
    slot = np.arange(len(order)) - (np.cumsum(count) - count)[looked_at]
    turned = np.full((max(count.max(), 1), size), outputs)
    turned[slot, looked_at] = order % outputs
    if weights is None:
        return turned, None
    shares = np.zeros(turned.shape, weights.dtype)
    shares[slot, looked_at] = weights.ravel()[order]
    return turned, shares
