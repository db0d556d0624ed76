"""Softmax and its logarithm: each row is read once, stays in registers, and is written once.

    up to 4096 bytes      a group of 1 to 32 threads a row: each keeps every 32nd number in registers
                              largest: in registers, then by shuffles     x - largest
                              sum of e^(...): the same way                the result, straight from registers
    beyond                a block a row, in two passes over it: largest and sum together, then the results

Together: when a larger number x turns up, the sum so far is multiplied by e^(old largest - x) (Milakov &
Gimelshein 2018), so that one pass over memory is saved. Other axes than the last are moved there first.

As in NumPy a row with nan, or whose largest number is infinite, becomes nan.
"""

import functools
import math

import numpy as np

from minidl.kernels.cuda.array import CudaArray, contiguous, empty
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, device, int32, kernel
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, store, udiv
from minidl.kernels.cuda.reductions import THREADS, WARP, fold_block, fold_lanes

__all__ = ["log_softmax", "log_softmax_backward", "row_groups", "softmax", "softmax_backward"]

IN_REGISTERS = 4096
"""Bytes of a row up to which a warp keeps it in registers: 32 float32 a thread."""


def row_groups(columns: int) -> tuple[int, int]:
    """Threads for a row, and numbers that each keeps, as powers of two.

    >>> row_groups(10), row_groups(100)
    ((16, 1), (32, 4))
    """
    lanes = min(WARP, 1 << max(0, columns - 1).bit_length())
    return lanes, 1 << max(0, -(-columns // lanes) - 1).bit_length()


@device
def larger(x, y):
    """The larger one; nan is left to the sum of exponentials."""
    return x if x > y else y


@functools.cache
def running_total(number: Scalar):
    """Device code: (largest, sum of e^(x - largest)) so far and a number x -> the same with x."""
    lowest = number(-math.inf)

    @device
    def with_number(top, total, x):
        if x == lowest:
            return top, total
        e = math.exp(-abs(x - top))
        if x > top:
            return x, total * e + number(1)
        return top, total + e

    return with_number


# -- rows in registers -----------------------------------------------------------------------------


@functools.cache
def row_reader(number: Scalar, lanes: int, kept: int):
    """Device code: values (kept,) = every `lanes`th number of a row, -inf from `stop` on; -> its largest."""
    lowest, largest = number(-math.inf), fold_lanes(larger, lanes)

    @device
    def read_row(values, x, first, lane, stop):
        top = lowest
        for q in range(kept):
            j = int32(q * lanes + lane)
            value = lowest
            if j < stop:
                value = load(x, int32(first + j))
            values[q] = value
            top = larger(value, top)
        return largest(top)

    return read_row


@functools.cache
def row_kernel(number: Scalar, lanes: int, kept: int, log: bool):
    """(rows, columns) -> its softmax, or the logarithm of that; `kept` numbers a thread."""
    read_row, total_of = row_reader(number, lanes, kept), fold_lanes(formula("add", number), lanes)

    @kernel
    def softmax_rows(x, out, rows, columns):
        values = cuda.local.array(kept, number)
        thread = int32(cuda.grid(1))
        row = int32(udiv(thread, lanes))
        lane = int32(thread & (lanes - 1))
        first = int32(row * columns)
        stop = columns if row < rows else 0
        top = read_row(values, x, first, lane, stop)
        total = number(0)
        for q in range(kept):
            values[q] -= top
            total += math.exp(values[q])
        total = total_of(total)
        shift, scale = math.log(total), number(1) / total
        for q in range(kept):
            j = int32(q * lanes + lane)
            if j < stop:
                store(out, int32(first + j), values[q] - shift if log else math.exp(values[q]) * scale)

    return softmax_rows


@functools.cache
def row_backward_kernel(number: Scalar, lanes: int, kept: int, log: bool):
    """dx of rows in registers: y (g - sum(g y)), or g - e^y sum(g) for the logarithm."""
    total_of = fold_lanes(formula("add", number), lanes)

    @kernel
    def softmax_rows_backward(g, y, dx, rows, columns):
        gs = cuda.local.array(kept, number)
        ys = cuda.local.array(kept, number)
        thread = int32(cuda.grid(1))
        row = int32(udiv(thread, lanes))
        lane = int32(thread & (lanes - 1))
        first = int32(row * columns)
        stop = columns if row < rows else 0
        total = number(0)
        for q in range(kept):
            j = int32(q * lanes + lane)
            gs[q], ys[q] = number(0), number(0)
            if j < stop:
                gs[q], ys[q] = load(g, int32(first + j)), load(y, int32(first + j))
            total += gs[q] if log else gs[q] * ys[q]
        total = total_of(total)
        for q in range(kept):
            j = int32(q * lanes + lane)
            if j < stop:
                value = gs[q] - math.exp(ys[q]) * total if log else ys[q] * (gs[q] - total)
                store(dx, int32(first + j), value)

    return softmax_rows_backward


# -- long rows -------------------------------------------------------------------------------------


@functools.cache
def long_row_totals(number: Scalar):
    """Device code for a block: the largest number of a row, and the sum of e^(x - largest)."""
    lowest, with_number = number(-math.inf), running_total(number)
    largest, total_of = (
        fold_block(larger, number, THREADS),
        fold_block(formula("add", number), number, THREADS),
    )

    @device
    def totals(x, first, columns):
        top, total = lowest, number(0)
        for j in range(int32(cuda.threadIdx.x), columns, THREADS):
            top, total = with_number(top, total, load(x, int32(first + j)))
        highest = largest(top)
        if top > lowest:
            total *= math.exp(top - highest)
        return highest, total_of(total) + (highest - highest)  # inf - inf is nan

    return totals


@functools.cache
def long_row_kernel(number: Scalar, log: bool):
    """`row_kernel` for long rows, a block each."""
    totals = long_row_totals(number)

    @kernel
    def softmax_long_rows(x, out, columns):
        first = int32(cuda.blockIdx.x * columns)
        top, total = totals(x, first, columns)
        shift, scale = math.log(total), number(1) / total
        for j in range(int32(cuda.threadIdx.x), columns, THREADS):
            value = load(x, int32(first + j)) - top
            store(out, int32(first + j), value - shift if log else math.exp(value) * scale)

    return softmax_long_rows


@functools.cache
def long_row_backward_kernel(number: Scalar, log: bool):
    """`row_backward_kernel` for long rows, a block each."""
    total_of = fold_block(formula("add", number), number, THREADS)

    @kernel
    def softmax_long_rows_backward(g, y, dx, columns):
        first = int32(cuda.blockIdx.x * columns)
        total = number(0)
        for j in range(int32(cuda.threadIdx.x), columns, THREADS):
            i = int32(first + j)
            total += load(g, i) if log else load(g, i) * load(y, i)
        total = total_of(total)
        for j in range(int32(cuda.threadIdx.x), columns, THREADS):
            i = int32(first + j)
            value = load(g, i) - math.exp(load(y, i)) * total if log else load(y, i) * (load(g, i) - total)
            store(dx, i, value)

    return softmax_long_rows_backward


# -- the kernels -----------------------------------------------------------------------------------


def _along_rows(name: str, axis: int, log: bool, in_registers, long, *inputs: CudaArray) -> CudaArray:
    """One of the kernels on all rows along an axis, which is moved to the end if it is another one."""
    x = inputs[0]
    if any(a.dtype != x.dtype or a.shape != x.shape or a.dtype.kind != "f" for a in inputs):
        given = ", ".join(f"{a.dtype} {a.shape}" for a in inputs)
        raise TypeError(f"{name}({given}): floats of one shape and dtype are needed. Fix: x.float()")
    axis = np.lib.array_utils.normalize_axis_index(axis, x.ndim)
    if axis != x.ndim - 1:
        moved = [a.swapaxes(axis, -1) for a in inputs]
        return contiguous(_along_rows(name, -1, log, in_registers, long, *moved).swapaxes(axis, -1))
    arrays = [contiguous(a) for a in inputs]
    out = empty(x.shape, x.dtype)
    if not out.size:
        return out
    columns, number = x.shape[-1], SCALARS[x.dtype]
    rows = x.size // columns
    if columns * x.itemsize > IN_REGISTERS:
        long(number, log)[rows, THREADS](*arrays, out, columns)
    else:
        lanes, kept = row_groups(columns)
        run = in_registers(number, lanes, kept, log)
        run[-(-rows * lanes // THREADS), THREADS](*arrays, out, rows, columns)
    return out


def softmax(x, axis):
    """`reference.softmax`."""
    return _along_rows("softmax", axis, False, row_kernel, long_row_kernel, x)


def softmax_backward(g, out, axis):
    """`reference.softmax_backward`."""
    kernels = row_backward_kernel, long_row_backward_kernel
    return _along_rows("softmax_backward", axis, False, *kernels, g, out)


def log_softmax(x, axis):
    """`reference.log_softmax`."""
    return _along_rows("log_softmax", axis, True, row_kernel, long_row_kernel, x)


def log_softmax_backward(g, out, axis):
    """`reference.log_softmax_backward`."""
    kernels = row_backward_kernel, long_row_backward_kernel
    return _along_rows("log_softmax_backward", axis, True, *kernels, g, out)
