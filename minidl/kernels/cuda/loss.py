"""Softmax cross-entropy: a row is read once, and its loss and its gradient come out of the same registers.

    up to 4096 bytes      a group of 1 to 32 threads a row, which keeps it in registers, as in `softmax.py`
    beyond                a block a row, in two passes over it

Nothing of shape (N, C) is written but the gradient. The losses of the rows are added up by `reductions.py`,
in an order that never changes.

To look at the labels, the host would have to wait for the device. So the kernels check them: with a label
outside [0, C) nothing is read where it points to, and the loss and the row's gradient are nan.
"""

import functools
import math

from minidl.kernels.cuda import reductions
from minidl.kernels.cuda.array import CudaArray, contiguous, empty, full
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, device, int32, kernel
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, store, udiv
from minidl.kernels.cuda.reductions import THREADS, fold_lanes
from minidl.kernels.cuda.softmax import IN_REGISTERS, long_row_totals, row_groups, row_reader

__all__ = ["softmax_cross_entropy"]


@functools.cache
def picked(number: Scalar):
    """Device code: the logit at a row's label; nan for a label that is no class."""
    nothing = number(math.nan)

    @device
    def picked(x, first, label, columns):
        if label < 0 or label >= columns:
            return nothing
        return load(x, int32(first + label))

    return picked


@functools.cache
def row_kernel(number: Scalar, lanes: int, kept: int):
    """losses (rows,) / rows, and the gradient (rows, columns) of their sum; `kept` numbers a thread."""
    read_row, total_of = row_reader(number, lanes, kept), fold_lanes(formula("add", number), lanes)
    at_label = picked(number)

    @kernel
    def cross_entropy_rows(x, labels, losses, dx, rows, columns, share):
        values = cuda.local.array(kept, number)
        thread = int32(cuda.grid(1))
        row = int32(udiv(thread, lanes))
        lane = int32(thread & (lanes - 1))
        first = int32(row * columns)
        stop = columns if row < rows else 0
        top = read_row(values, x, first, lane, stop)
        total = number(0)
        for q in range(kept):
            values[q] = math.exp(values[q] - top)
            total += values[q]
        total = total_of(total)
        if row < rows:
            label = load(labels, row)
            right = at_label(x, first, label, columns)
            if lane == 0:
                store(losses, row, share * (math.log(total) + (top - right)))
            scale = share / total if right == right else right
            for q in range(kept):
                j = int32(q * lanes + lane)
                if j < stop:
                    value = values[q] * scale
                    store(dx, int32(first + j), value - share if j == label else value)

    return cross_entropy_rows


@functools.cache
def long_row_kernel(number: Scalar):
    """`row_kernel` for long rows, a block each."""
    totals, at_label = long_row_totals(number), picked(number)

    @kernel
    def cross_entropy_long_rows(x, labels, losses, dx, columns, share):
        row = int32(cuda.blockIdx.x)
        first = int32(row * columns)
        top, total = totals(x, first, columns)
        label = load(labels, row)
        right = at_label(x, first, label, columns)
        if cuda.threadIdx.x == 0:
            store(losses, row, share * (math.log(total) + (top - right)))
        scale = share / total if right == right else right
        for j in range(int32(cuda.threadIdx.x), columns, THREADS):
            i = int32(first + j)
            value = math.exp(load(x, i) - top) * scale
            store(dx, i, value - share if j == label else value)

    return cross_entropy_long_rows


def softmax_cross_entropy(logits: CudaArray, labels: CudaArray) -> tuple[CudaArray, CudaArray]:
    """`reference.softmax_cross_entropy`. A label that is no class makes the loss and its row of d nan."""
    if logits.ndim != 2 or logits.dtype.kind != "f" or labels.shape != logits.shape[:1]:
        raise TypeError(
            f"softmax_cross_entropy(logits: {logits.dtype} {logits.shape}, labels: {labels.dtype} "
            f"{labels.shape}): logits must be floats (N, C), labels (N,) whole numbers"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"softmax_cross_entropy: labels must be int64, not {labels.dtype}. Fix: y.long()")
    n, columns = logits.shape
    if not logits.size:
        return full((), math.nan, logits.dtype), empty(logits.shape, logits.dtype)
    x, labels, number = contiguous(logits), contiguous(labels), SCALARS[logits.dtype]
    losses, dx = empty((n,), x.dtype), empty(x.shape, x.dtype)
    if columns * x.itemsize > IN_REGISTERS:
        long_row_kernel(number)[n, THREADS](x, labels, losses, dx, columns, number(1 / n))
    else:
        lanes, kept = row_groups(columns)
        run = row_kernel(number, lanes, kept)[-(-n * lanes // THREADS), THREADS]
        run(x, labels, losses, dx, n, columns, number(1 / n))
    return reductions.reduce("add", losses, None), dx
