"""Convolution without copying windows.

An image is written once into a flat space where its rows follow one another with zeros between them. Then
what entry k of the kernel sees of output place i lies at offset[k] + i, for all i of the image, so a
convolution is the micro-kernel's product with a table of offsets:

    for image                                             split over threads
        for block of places (VECTORS * WIDTH)             the columns of the product
            for block of output channels (ROWS)           the rows; weights packed in this order
                for k = (channel, dy, dx)                 micro-kernel: registers only
                    y[rows, places] += w[rows, k] * x[offset[k] + places]

The gradient of x is the same with kernels turned round and channels exchanged. The gradient of the weights
sums over places instead: rows are the k, columns the output channels, for which g is written places first.
"""

import numpy as np
from numba import njit

from minidl.kernels import reference
from minidl.kernels.cpu.simd import ROWS, VECTORS, WIDTH, micro_kernel
from minidl.kernels.threads import split

_full = micro_kernel(ROWS, VECTORS, b_table=True)
_two = micro_kernel(ROWS, 2, b_table=True)
_one = micro_kernel(ROWS, 1, b_table=True)
WEIGHT_ROWS = 2 * ROWS if WIDTH == 16 else 8
_weight = micro_kernel(WEIGHT_ROWS, 1, a_table=True, add=True)
COMPILE = {"cache": True, "nogil": True, "error_model": "numpy"}


class _Plan:
    """Where things lie in the flat space of one image: row length, size, offset of each kernel entry.

    Row r, column i of the image is at (r + top) * row + left + i. The zeros at the start of a row serve as
    the zeros at the end of the row before.
    """

    def __init__(self, size, kernel, out, padding, dilation, channels):
        (h, w), (kh, kw), (oh, ow) = size, kernel, out
        (top, left), (dh, dw) = padding, dilation
        self.row = max(left + w, ow + (kw - 1) * dw - left)
        self.places = (oh - 1) * self.row + ow
        reach = (kh - 1) * dh * self.row + (kw - 1) * dw
        self.plane = max((top + h) * self.row, self.places + reach) + left + VECTORS * WIDTH
        steps = np.arange(kh)[:, None] * dh * self.row + np.arange(kw) * dw
        self.offsets = (np.arange(channels)[:, None] * self.plane + steps.ravel()).ravel()


@njit(**COMPILE)
def _spread(image, flat, row, plane, top, left):
    """Write the image (C, H, W) into the flat space; all the rest of it stays zero."""
    channels, height, width = image.shape
    for c in range(channels):
        for r in range(height):
            start = c * plane + (r + top) * row + left
            for i in range(width):
                flat[start + i] = image[c, r, i]


@njit(**COMPILE)
def _products(flat, packed, offsets, places, sums):
    """sums[o, i] = sum over k of packed[o, k] * flat[offsets[k] + i], block by block."""
    blocks, entries, rows = packed.shape
    x, w, table, c = flat.ctypes.data, packed.ctypes.data, offsets.ctypes.data, sums.ctypes.data
    length = sums.shape[1]
    for i in range(0, places, VECTORS * WIDTH):
        left = places - i
        for b in range(blocks):
            a, to = w + 4 * b * entries * rows, c + 4 * (b * rows * length + i)
            if left > 2 * WIDTH:
                _full(a, 1, rows, x + 4 * i, table, to, length, entries)
            elif left > WIDTH:
                _two(a, 1, rows, x + 4 * i, table, to, length, entries)
            else:
                _one(a, 1, rows, x + 4 * i, table, to, length, entries)


@njit(**COMPILE)
def _forward(x, packed, offsets, places, row, plane, top, left, y, start, stop):
    channels, outputs, height, width = x.shape[1], y.shape[1], y.shape[2], y.shape[3]
    flat = np.zeros(channels * plane, np.float32)
    sums = np.empty((packed.shape[0] * packed.shape[2], places + VECTORS * WIDTH), np.float32)
    for n in range(start, stop):
        _spread(x[n], flat, row, plane, top, left)
        _products(flat, packed, offsets, places, sums)
        for o in range(outputs):
            for r in range(height):
                for i in range(width):
                    y[n, o, r, i] = sums[o, r * row + i]


@njit(**COMPILE)
def _weights(x, g, offsets, places, row, plane, top, left, total, start, stop):
    """total[k, o] += sum over images and places of x[offset[k] + place] g[o, place]."""
    outputs, height, width = g.shape[1], g.shape[2], g.shape[3]
    columns = total.shape[1]
    flat = np.zeros(x.shape[1] * plane, np.float32)
    turned = np.zeros((places, columns), np.float32)
    for n in range(start, stop):
        _spread(x[n], flat, row, plane, top, left)
        for r in range(height):
            for i in range(width):
                for o in range(outputs):
                    turned[r * row + i, o] = g[n, o, r, i]
        for k in range(0, total.shape[0], WEIGHT_ROWS):
            for o in range(0, columns, WIDTH):
                to = total.ctypes.data + 4 * (k * columns + o)
                table, b = offsets.ctypes.data + 8 * k, turned.ctypes.data + 4 * o
                _weight(flat.ctypes.data, table, 1, b, columns, to, columns, places)


def _pack(weight):
    """(O, C, KH, KW) -> (blocks of ROWS outputs, C * KH * KW, ROWS), zeros behind the last output."""
    outputs, entries = len(weight), weight[0].size
    blocks = -(-outputs // ROWS)
    packed = np.zeros((blocks * ROWS, entries), np.float32)
    packed[:outputs] = weight.reshape(outputs, entries)
    return np.ascontiguousarray(packed.reshape(blocks, ROWS, entries).swapaxes(1, 2))


def _suits(x, stride, padding, groups) -> bool:
    """Is this the common case that the kernels here are written for?"""
    return x.dtype == np.float32 and set(stride) == {1} and groups == 1 and x.size > 0 and min(padding) >= 0


def _images(*arrays):
    """(A, B, L) -> (A, B, 1, L): a signal is an image one row high. Contiguous, as the kernels want them."""
    return [np.ascontiguousarray(a if a.ndim == 4 else a[:, :, None]) for a in arrays]


def _both(settings, fill):
    """Settings of one axis for two."""
    return tuple(settings) if len(settings) == 2 else (fill, *settings)


def _plan(x, kernel, out, padding, dilation):
    space = (_both(kernel, 1), _both(out, 1), _both(padding, 0), _both(dilation, 1))
    return _Plan(x.shape[2:], *space, x.shape[1])


def convolution(x, weight, out, stride, padding, dilation, groups):
    """`reference.convolution`."""
    if not _suits(x, stride, padding, groups):
        return reference.convolution(x, weight, out, stride, padding, dilation, groups)
    images, w = _images(x, weight)
    plan = _plan(images, weight.shape[2:], out, padding, dilation)
    y = np.empty((len(x), len(weight), *_both(out, 1)), np.float32)
    inside = (plan.offsets, plan.places, plan.row, plan.plane, *_both(padding, 0))
    packed = _pack(w)
    split(len(x), 2.0 * y.size * w[0].size, lambda a, b: _forward(images, packed, *inside, y, a, b))
    return y.reshape(len(x), len(weight), *out)


def convolution_backward_input(g, weight, size, stride, padding, dilation, groups):
    """`reference.convolution_backward_input`: the convolution of g with the kernels turned round."""
    kernel = weight.shape[2:]
    around = [d * (k - 1) - p for k, p, d in zip(kernel, padding, dilation, strict=True)]
    if not _suits(g, stride, around, groups):
        return reference.convolution_backward_input(g, weight, size, stride, padding, dilation, groups)
    turned = np.flip(weight, tuple(range(2, weight.ndim))).swapaxes(0, 1)
    return convolution(g, turned, size, stride, around, dilation, groups)


def convolution_backward_weight(g, x, kernel, stride, padding, dilation, groups):
    """`reference.convolution_backward_weight`."""
    if not _suits(x, stride, padding, groups) or not g.size:
        return reference.convolution_backward_weight(g, x, kernel, stride, padding, dilation, groups)
    images, gradients = _images(x, g)
    plan = _plan(images, kernel, g.shape[2:], padding, dilation)
    entries, outputs = len(plan.offsets), g.shape[1]
    offsets = np.zeros(-(-entries // WEIGHT_ROWS) * WEIGHT_ROWS, np.int64)
    offsets[:entries] = plan.offsets
    columns = -(-outputs // WIDTH) * WIDTH
    inside = (offsets, plan.places, plan.row, plan.plane, *_both(padding, 0))
    totals = []

    def part(start, stop):
        total = np.zeros((len(offsets), columns), np.float32)
        _weights(images, gradients, *inside, total, start, stop)
        totals.append(total)

    split(len(x), 2.0 * g.size * entries, part)
    return sum(totals)[:entries, :outputs].T.reshape(outputs, x.shape[1], *kernel)
