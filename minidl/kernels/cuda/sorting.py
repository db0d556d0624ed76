"""Sorting along an axis: Batcher's bitonic network (1968), a fixed plan of comparisons.

    for size in 2, 4, 8 ... n            runs of this length become sorted, alternately up and down
        for distance in size/2 ... 1     every element meets the one that far away; exchanged if needed

All n/2 comparisons of a step are independent, so each step is one kernel; nothing depends on the data. The
n (log2 n)^2 / 4 comparisons are more than a sort on the CPU makes, but a GPU makes thousands at a time.
Places are exchanged, not values, and decide between equal ones, which makes the order stable; nan is the
largest. The axis is filled up to a power of two with places beyond its end, larger than everything.
"""

from __future__ import annotations

import numpy as np

from minidl.kernels.cuda.array import CudaArray, contiguous, empty
from minidl.kernels.cuda.driver import cuda, device, int32, kernel
from minidl.kernels.cuda.indexing import take_along_axis
from minidl.kernels.cuda.instructions import load, store, udiv

__all__ = ["argsort", "sort"]

THREADS = 256
"""Threads in a block."""


@device
def stands_after(x, row, length, i, j):
    """Does element i of a row belong behind element j? i and j are places before sorting."""
    if i >= length or j >= length:
        return i > j
    a, b = load(x, int32(row * length + i)), load(x, int32(row * length + j))
    if a != a or b != b:
        return (a != a and b == b) or (a != a and i > j)
    return a > b or (a == b and i > j)


@kernel
def start_places(order, width, n):
    """order[row, i] = i."""
    t = int32(cuda.grid(1))
    if t < n:
        store(order, t, int32(t & (width - 1)))


@kernel
def compare(x, order, length, width, size, distance, n):
    """One step of the network: each thread has one pair of places of order (rows, width)."""
    t = int32(cuda.grid(1))
    if t < n:
        half = int32(width >> 1)
        row = int32(udiv(t, half))
        pair = int32(t - row * half)
        first = int32(2 * pair - (pair & (distance - 1)))
        here = int32(row * width + first)
        there = int32(here + distance)
        i, j = load(order, here), load(order, there)
        upwards = (first & size) == 0
        if stands_after(x, row, length, i, j) == upwards:
            store(order, here, j)
            store(order, there, i)


def _order_of_rows(x: CudaArray) -> CudaArray:
    """Places that sort each row of x (A, R), which is packed: int32 (A, R)."""
    rows, length = x.shape
    width = 1 << max(1, (length - 1).bit_length())
    order = empty((rows, width), np.int32)
    start_places[-(-order.size // THREADS), THREADS](order, width, order.size)
    pairs, size = order.size // 2, 2
    while size <= width:
        distance = size // 2
        while distance:
            compare[-(-pairs // THREADS), THREADS](x, order, length, width, size, distance, pairs)
            distance //= 2
        size *= 2
    return order[:, :length]


def argsort(x: CudaArray, axis: int | None = -1, kind=None, order=None, *, stable=None) -> CudaArray:
    """The places that sort the values along an axis, int64; equal ones stay in their order."""
    if axis is None or not x.ndim:
        return argsort(x.reshape(-1), 0)
    rows = x.swapaxes(axis, -1)
    if not x.size:
        return empty(x.shape, np.int64)
    places = _order_of_rows(contiguous(rows).reshape(-1, rows.shape[-1]))
    return places.astype(np.int64, "C").reshape(rows.shape).swapaxes(axis, -1)


def sort(x: CudaArray, axis: int | None = -1, kind=None, order=None, *, stable=None) -> CudaArray:
    """The values along an axis in order; nan comes last."""
    if axis is None or not x.ndim:
        x, axis = x.reshape(-1), 0
    return take_along_axis(x, argsort(x, axis), axis)
