"""Windows written out as columns, and columns added back: a thread for each number of the result.

    unfold    a thread for each entry of a column looks where it comes from
    fold      a thread for each place asks which windows saw it, and adds their entries: always in the same
              order, with no atomic addition

The convolution needs neither: it finds its windows while it multiplies.
"""

import functools

from minidl.kernels.cuda.array import contiguous, empty
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, int32, kernel
from minidl.kernels.cuda.instructions import load, store, udiv
from minidl.kernels.cuda.windows import check_arrays, pixel_of, two_axes

__all__ = ["fold", "unfold"]

THREADS = 256


@functools.cache
def unfold_kernel(number: Scalar):
    """columns (planes, *kernel, *out) from x (planes, *size)."""

    @kernel
    def unfold_columns(
        x, columns, n, height, width, out_h, out_w, kernel_h, kernel_w,
        stride_h, stride_w, dilation_h, dilation_w, padding_h, padding_w,
    ):  # fmt: skip
        i = int32(cuda.grid(1))
        if i < n:
            tap, row, column = pixel_of(i, out_h, out_w)
            plane, p, q = pixel_of(tap, kernel_h, kernel_w)
            h = int32(row * stride_h + p * dilation_h - padding_h)
            w = int32(column * stride_w + q * dilation_w - padding_w)
            value = number(0)
            if 0 <= h and h < height and 0 <= w and w < width:
                value = load(x, int32((plane * height + h) * width + w))
            store(columns, i, value)

    return unfold_columns


@functools.cache
def fold_kernel(number: Scalar):
    """x (planes, *size) from columns (planes, *kernel, *out)."""

    @kernel
    def fold_columns(
        columns, x, n, height, width, out_h, out_w, kernel_h, kernel_w,
        stride_h, stride_w, dilation_h, dilation_w, padding_h, padding_w,
    ):  # fmt: skip
        i = int32(cuda.grid(1))
        if i < n:
            plane, h, w = pixel_of(i, height, width)
            total = number(0)
            for p in range(kernel_h):
                a = int32(h + padding_h - p * dilation_h)
                row = int32(udiv(max(a, int32(0)), stride_h))
                if a == row * stride_h and row < out_h:
                    for q in range(kernel_w):
                        b = int32(w + padding_w - q * dilation_w)
                        column = int32(udiv(max(b, int32(0)), stride_w))
                        if b == column * stride_w and column < out_w:
                            tap = int32((plane * kernel_h + p) * kernel_w + q)
                            total = number(total + load(columns, int32((tap * out_h + row) * out_w + column)))
            store(x, i, total)

    return fold_columns


def _run(make, x, result, size, out, kernel, stride, dilation, padding) -> None:
    if result.size:
        axes = two_axes(*map(tuple, (size, out, kernel, stride, dilation, padding)))
        settings = [number for pair in axes for number in pair]
        run = make(SCALARS[x.dtype])
        run[-(-result.size // THREADS), THREADS](contiguous(x), result, result.size, *settings)


def unfold(x, kernel, out, stride, padding, dilation):
    """`reference.unfold`, for one or two axes of space."""
    columns = empty((*x.shape[:2], *kernel, *out), x.dtype)
    check_arrays("unfold", x.shape[2:], x, columns)
    _run(unfold_kernel, x, columns, x.shape[2:], out, kernel, stride, dilation, padding)
    return columns


def fold(columns, size, stride, padding, dilation):
    """`reference.fold`, for one or two axes of space."""
    kernel, out = columns.shape[2 : 2 + len(size)], columns.shape[2 + len(size) :]
    x = empty((*columns.shape[:2], *size), columns.dtype)
    check_arrays("fold", size, columns, x)
    _run(fold_kernel, columns, x, size, out, kernel, stride, dilation, padding)
    return x
