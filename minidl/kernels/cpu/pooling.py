"""Pooling and resampling, one plane at a time while it is in the cache.

The tables that say where a window looks are the same for every plane. So they are joined once into offsets
(taps, places), and the largest values of WIDTH windows are found at once, in registers:

    for plane                                        images * channels, split over threads
        for WIDTH places
            for tap of the window
                larger than the best so far?         gathered from the plane; no branch

Gathering is slow. The usual window is two wide and moves by two: then the larger of each pair of neighbours
in the plane comes first, without a table, and the best rows of pairs second.

NumPy makes each of these steps over the whole batch, out of the cache. Resampling (averages, linear
interpolation) goes along one axis after the other, as the reference does.
"""

import functools
import math

import numpy as np

from minidl.kernels import reference
from minidl.kernels.cpu.compiling import compiled, inner
from minidl.kernels.cpu.simd import WIDTH, largest, largest_of_pairs
from minidl.kernels.reference.pooling import turned_table
from minidl.kernels.threads import split

PAIR, TAP = 25, 40
"""Work, as `split` counts it: of a number in a plane of pairs, and of one that is found by a table."""

# -- the largest -------------------------------------------------------------------------------------


@compiled
def _max_pool(planes, offsets, values, index, start, stop):
    taps, count = offsets.shape
    places = values.shape[1]
    best, at = np.empty(count, np.float32), np.empty(count, np.int32)
    for n in range(start, stop):
        source = planes.ctypes.data + 4 * n * planes.shape[1]
        for p in range(0, count, WIDTH):
            first = offsets.ctypes.data + 4 * p
            largest(source, first, count, taps, best.ctypes.data + 4 * p, at.ctypes.data + 4 * p)
        for p in range(places):
            values[n, p] = best[p]
            index[n, p] = at[p]


@compiled
def _max_pool_of_pairs(planes, rows, columns, values, index, start, stop):
    """Windows two wide that move by two; rows (taps, rows of the result) hold where each row begins.

    Whole vectors are read and written: what is too much of a row is overwritten by the next.
    """
    (taps, height), (count, size), places = rows.shape, planes.shape, values.shape[1]
    last, best = np.zeros(size + 2 * WIDTH, np.float32), np.empty(places + WIDTH, np.float32)
    at = np.empty(places + WIDTH, np.int32)
    for i in range(size):
        last[i] = planes[count - 1, i]
    for n in range(start, stop):
        source = planes.ctypes.data + 4 * n * size if n < count - 1 else last.ctypes.data
        for i in range(height):
            for j in range(0, columns, WIDTH):
                table, to = rows.ctypes.data + 8 * i, 4 * (i * columns + j)
                found = best.ctypes.data + to, at.ctypes.data + to
                largest_of_pairs(source, 2 * j, table, height, taps, *found)
        for p in range(places):
            values[n, p] = best[p]
            index[n, p] = at[p]


@compiled
def _max_pool_backward(g, index, dx, start, stop):
    for n in range(start, stop):
        dx[n] = 0
        for i in range(g.shape[1]):
            dx[n, index[n, i]] += g[n, i]


@functools.lru_cache(256)
def _joined(size, shapes, *tables):
    """Offsets (taps, places) in a plane of this size; "nothing" sees a neighbour of its window once more."""
    offsets = np.zeros((1, 1), np.int32)
    for n, shape, table in zip(size, shapes, tables, strict=True):
        places = np.frombuffer(table, np.int64).reshape(shape)
        inside = np.maximum.accumulate(np.where(places == n, places.min(axis=0), places))
        offsets = offsets[:, None, :, None] * n + inside[None, :, None, :]
        offsets = offsets.reshape(offsets.shape[0] * shape[0], -1)
    return np.pad(offsets, ((0, 0), (0, -offsets.shape[1] % WIDTH))).astype(np.int32)


def _are_pairs(size, tables) -> bool:
    """Are the windows all neighbours two by two, inside planes of which whole vectors can be read?"""
    if len(tables) != 2 or math.prod(size) < 2 * WIDTH or (tables[0] == size[0]).any():
        return False
    return tables[1].shape == (2, size[1] / 2) and (tables[1].T.ravel() == np.arange(size[1])).all()


def max_pool(x, tables):
    """`reference.max_pool`, with the positions as int32."""
    size, batch = x.shape[x.ndim - len(tables) :], x.shape[: x.ndim - len(tables)]
    out = tuple(table.shape[1] for table in tables)
    if x.dtype != np.float32 or not x.size or not math.prod(out) or math.prod(size) > np.iinfo(np.int32).max:
        return reference.max_pool(x, tables)
    planes = np.ascontiguousarray(x).reshape(math.prod(batch), -1)
    values = np.empty((len(planes), math.prod(out)), np.float32)
    index = np.empty(values.shape, np.int32)
    if _are_pairs(size, tables):
        rows = np.ascontiguousarray(tables[0] * size[1])
        given = (planes, rows, out[1], values, index)
        pool, work = _max_pool_of_pairs, PAIR * planes.size
    else:
        shapes, places = tuple(t.shape for t in tables), [t.astype(np.int64).tobytes() for t in tables]
        given = (planes, _joined(size, shapes, *places), values, index)
        pool, work = _max_pool, TAP * values.size * len(given[1])
    split(len(planes), work, pool, *given)
    return values.reshape(*batch, *out), index.reshape(*batch, *out)


def max_pool_backward(g, index, size):
    """`reference.max_pool_backward`."""
    batch, out = g.shape[: g.ndim - len(size)], g.shape[g.ndim - len(size) :]
    dx = np.empty((*batch, *size), g.dtype)
    flat = [np.ascontiguousarray(a).reshape(math.prod(batch), math.prod(out)) for a in (g, index)]
    planes = dx.reshape(math.prod(batch), math.prod(size))
    split(len(planes), TAP * dx.size, _max_pool_backward, *flat, planes)
    return dx


# -- sums --------------------------------------------------------------------------------------------


@inner
def _gather_rows(planes, n, places, weights, total):
    """total[i] = sum over k of weights[k, i] planes[n, places[k, i]], row by row; the last column stays 0."""
    height, width = planes.shape[1:]
    for i in range(places.shape[1]):
        for c in range(width):
            total[i, c] = 0
        for k in range(places.shape[0]):
            if places[k, i] < height:
                for c in range(width):
                    total[i, c] += weights[k, i] * planes[n, places[k, i], c]


@inner
def _gather_columns(rows, places, weights, totals, n):
    """totals[n, r, i] = sum over k of weights[k, i] rows[r, places[k, i]]."""
    for r in range(totals.shape[1]):
        for i in range(totals.shape[2]):
            value = weights[0, i] * rows[r, places[0, i]]
            for k in range(1, places.shape[0]):
                value += weights[k, i] * rows[r, places[k, i]]
            totals[n, r, i] = value


@compiled
def _resample(planes, vertical, row_weights, horizontal, column_weights, out, start, stop):
    """A view of each plane would be counted, by all threads at one place, and each wait for the other."""
    rows = np.zeros((vertical.shape[1], planes.shape[2] + 1), planes.dtype)
    for n in range(start, stop):
        _gather_rows(planes, n, vertical, row_weights, rows)
        _gather_columns(rows, horizontal, column_weights, out, n)


@functools.lru_cache(256)
def _table(size, backward, dtype, shape, places, weights):
    """(places, weights) of one axis, turned round for `backward`; places and weights come as bytes."""
    places = np.frombuffer(places, np.int64).reshape(shape)
    if weights is not None:
        weights = np.frombuffer(weights, dtype).reshape(shape)
    if backward:
        places, weights = turned_table(places, weights, size)
    return places, np.ones(places.shape, dtype) if weights is None else weights


def _tables(tables, sizes, backward, dtype):
    """Vertical and horizontal places and weights; a signal is a plane one row high."""
    found = [np.zeros((1, 1), np.int64), np.ones((1, 1), dtype)] * (2 - len(tables))
    for (places, weights), size in zip(tables, sizes, strict=True):
        data = None if weights is None else np.asarray(weights, dtype).tobytes()
        found += _table(size, backward, dtype, places.shape, places.astype(np.int64).tobytes(), data)
    return found


def _resampled(x, tables, out, backward):
    batch, sizes = x.shape[: x.ndim - len(tables)], x.shape[x.ndim - len(tables) :]
    arrays = _tables(tables, out if backward else sizes, backward, x.dtype)
    y = np.empty((*batch, *out), x.dtype)
    planes = np.ascontiguousarray(x).reshape(math.prod(batch), -1, sizes[-1])
    target = y.reshape(len(planes), -1, out[-1])
    work = TAP * (y.size * len(arrays[2]) + y.size // out[-1] * sizes[-1] * len(arrays[0]))
    split(len(planes), work, _resample, planes, *arrays, target)
    return y


def resample(x, tables):
    """`reference.resample`."""
    out = tuple(places.shape[1] for places, _ in tables)
    if len(tables) > 2 or not x.size or not math.prod(out):
        return reference.resample(x, tables)
    return _resampled(x, tables, out, False)


def resample_backward(g, tables, size):
    """`reference.resample_backward`."""
    if len(tables) > 2 or not g.size or not math.prod(size):
        return reference.resample_backward(g, tables, size)
    return _resampled(g, tables, tuple(size), True)
