"""Softmax along the last axis, compiled: some rows at a time while they are in the first-level cache.

    for group of rows                  split over threads; some thousand numbers
        for row                        its largest value, and x - largest
        for number of the group        e^(...): one long loop of vectors, however short the rows are
        for row                        the sum, and what is to be done with it

A loop for the largest value or the sum does not become vectors by itself: the order of additions matters, and
so does nan. Sums may be reordered here. The largest value is found among whole numbers: the bits of floats,
read so, are in the order of the floats, once those of negative ones are turned around.
"""

import numpy as np

from minidl.kernels import reference
from minidl.kernels.cpu.activation import FLOAT32, in_order
from minidl.kernels.cpu.compiling import compiled, copy, inline, inner
from minidl.kernels.cpu.elementary import exp
from minidl.kernels.threads import split

GROUP = 4096
"""Numbers in a group: 16 KB."""
WORK = 120
"""Work a number, as `split` counts it."""

f32, i32 = np.float32, np.int32
REORDERED = {"reassoc", "contract"}


# -- one row ---------------------------------------------------------------------------------------


@inline
def _in_order_of_size(bits):
    """The bits of a float as a whole number in the same order; and the way back."""
    return i32(bits ^ i32(i32(bits >> i32(31)) & i32(0x7FFFFFFF)))


@inner
def _largest(bits):
    """The largest value of a row, as bits. With nan in the row it is any: then the exponentials hold nan."""
    top = i32(-0x80000000)
    for j in range(len(bits)):
        top = max(top, _in_order_of_size(bits[j]))
    return _in_order_of_size(top)


@inner(fastmath=REORDERED)
def total_of(row):
    """The sum of a row."""
    total = f32(0)
    for j in range(len(row)):
        total += row[j]
    return total


@inner(fastmath=REORDERED)
def _product_of(a, b):
    """The scalar product of two rows."""
    total = f32(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


# -- a group of rows -------------------------------------------------------------------------------


@inner(fastmath={"contract"})
def _exponentials(x):
    """x becomes e^x. (With a second array the compiler would have to ask whether they overlap.)"""
    for i in range(len(x)):
        x[i] = exp(x[i])


@inner
def exponentials(x, out, tops):
    """tops: the largest value of each row of x; out = e^(x - top)."""
    bits, top_bits = x.view(np.int32), tops.view(np.int32)
    for i in range(len(x)):
        row, to = x[i], out[i]
        top_bits[i] = _largest(bits[i])
        top = tops[i]
        for j in range(len(row)):
            to[j] = row[j] - top
    _exponentials(out.reshape(-1))


@inline
def rows_of_a_group(columns):
    """How many rows make a group."""
    return max(1, GROUP // columns)


@compiled
def _softmax(x, out, first, last):
    x, out = x[first:last], out[first:last]
    step = rows_of_a_group(x.shape[1])
    tops = np.empty(step, np.float32)
    for start in range(0, len(x), step):
        part = out[start : start + step]
        exponentials(x[start : start + step], part, tops)
        for i in range(len(part)):
            row = part[i]
            scale = f32(1) / total_of(row)
            for j in range(len(row)):
                row[j] *= scale


@compiled
def _softmax_backward(g, y, out, first, last):
    g, y, out = g[first:last], y[first:last], out[first:last]
    for i in range(len(y)):
        gi, yi, to = g[i], y[i], out[i]
        total = _product_of(gi, yi)
        for j in range(len(to)):
            to[j] = yi[j] * (gi[j] - total)


@compiled
def _log_softmax(x, out, first, last):
    x, out = x[first:last], out[first:last]
    step = rows_of_a_group(x.shape[1])
    tops = np.empty(step, np.float32)
    for start in range(0, len(x), step):
        read, part = x[start : start + step], out[start : start + step]
        exponentials(read, part, tops)
        for i in range(len(part)):
            row, to = read[i], part[i]
            top, log_total = tops[i], np.log(total_of(to))
            for j in range(len(to)):
                to[j] = row[j] - top - log_total


@compiled
def _log_softmax_backward(g, y, out, first, last):
    g, y, out = g[first:last], y[first:last], out[first:last]
    step = rows_of_a_group(y.shape[1])
    for start in range(0, len(y), step):
        part = out[start : start + step]
        copy(y[start : start + step], part)
        _exponentials(part.reshape(-1))
        for i in range(len(part)):
            gi, to = g[start + i], part[i]
            total = total_of(gi)
            for j in range(len(to)):
                to[j] = gi[j] - to[j] * total


# -- the kernels -----------------------------------------------------------------------------------


def _each_row(specification, kernel, axis, *arrays):
    """The kernel on all rows of float32 arrays of one shape; the specification for other axes and types."""
    x = arrays[0]
    if axis not in (-1, x.ndim - 1) or not x.size or any(a.dtype is not FLOAT32 for a in arrays):
        return specification(*arrays, axis)
    out = np.empty(x.shape, np.float32)
    rows = [in_order(a).reshape(-1, x.shape[-1]) for a in (*arrays, out)]
    split(len(rows[0]), WORK * x.size, kernel, *rows)
    return out


def softmax(x, axis):
    """`reference.softmax`."""
    return _each_row(reference.softmax, _softmax, axis, x)


def softmax_backward(g, out, axis):
    """`reference.softmax_backward`."""
    return _each_row(reference.softmax_backward, _softmax_backward, axis, g, out)


def log_softmax(x, axis):
    """`reference.log_softmax`."""
    return _each_row(reference.log_softmax, _log_softmax, axis, x)


def log_softmax_backward(g, out, axis):
    """`reference.log_softmax_backward`."""
    return _each_row(reference.log_softmax_backward, _log_softmax_backward, axis, g, out)
