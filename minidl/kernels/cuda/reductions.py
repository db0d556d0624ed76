"""Many numbers to one: sums, products, extremes, truth; where an extreme is; running sums.

Any reduction is made of steps of one shape: of an array (A, R, B), axis R goes.

    B = 1, rows        a group of 1 to 256 threads a row; neighbours read neighbours; then the group folds
                       its results by shuffles, half of it at a time, and warps meet in shared memory
    B > 1, columns     32 columns by 8 rows of threads: each row of 32 reads neighbours, goes down the
                       columns in steps of 8, and the 8 results of a column meet in shared memory

Long axes are split into pieces, one a group; a second step of the same kind folds the pieces' results. So a
sum over everything is two kernels that keep all multiprocessors busy, and since a thread adds at most some
dozen numbers before results meet in a tree, rounding errors grow with the logarithm of the length, as in
NumPy's pairwise sums. There are no atomic additions: the order never changes, nor does the result.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minidl.kernels.cuda import elementwise
from minidl.kernels.cuda.array import CudaArray, contiguous, empty, is_packed, packed_strides
from minidl.kernels.cuda.driver import (
    FULL_WARP,
    SCALARS,
    Device,
    Scalar,
    boolean,
    cuda,
    device,
    int32,
    int64,
    kernel,
)
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, store, udiv

__all__ = ["argreduce", "cumulate", "fold_lanes", "reduce"]

WARP, THREADS = 32, 256
"""Threads of a warp, and of a block."""
COLUMNS, ROWS = 32, 8
"""Threads of a block that folds columns: across and down."""
PIECE = 64
"""Numbers that a thread folds at most, one after the other."""
BUSY = 264
"""Blocks that keep a large GPU busy; for fewer, axes are split more finely, down to some numbers a thread."""
FEW = 8
"""Numbers a thread should at least fold where an axis is split for more blocks."""


# -- device code -----------------------------------------------------------------------------------


@functools.cache
def fold_lanes(f: Device, lanes: int) -> Device:
    """Device code that folds the values of `lanes` neighbouring threads of a warp; each gets the result.

    A butterfly: every lane takes the value of its neighbour, then of the lane two away, four away ...
    """
    rounds = lanes.bit_length() - 1

    @device
    def fold(x):
        for k in range(rounds):
            x = f(x, cuda.shfl_xor_sync(FULL_WARP, x, 1 << k))
        return x

    return fold


@functools.cache
def fold_block(f: Device, number: Scalar, threads: int) -> Device:
    """Device code that folds the values of a block of 2, 4, 8, 16 or 32 warps; each thread gets it."""
    warps = threads // WARP
    in_warp, across_warps = fold_lanes(f, WARP), fold_lanes(f, warps)

    @device
    def fold(x):
        x = in_warp(x)
        if warps > 1:
            of_warps = cuda.shared.array(warps, number)
            thread = int32(cuda.threadIdx.x)
            cuda.syncthreads()
            if thread & (WARP - 1) == 0:
                store(of_warps, udiv(thread, WARP), x)
            cuda.syncthreads()
            x = across_warps(load(of_warps, int32(thread & (warps - 1))))
        return x

    return fold


def _along(f: Device, number: Scalar, convert: Scalar, start) -> Device:
    """Device code that folds x[first], x[first + step], ... before `stop`: every fourth, then those four."""

    @device
    def read(x, i):
        return number(convert(load(x, i)))

    @device
    def along(x, first, stop, step):
        a, b, c, d = start, start, start, start
        i = int32(first)
        while i + 3 * step < stop:
            a = f(a, read(x, i))
            b = f(b, read(x, int32(i + step)))
            c = f(c, read(x, int32(i + 2 * step)))
            d = f(d, read(x, int32(i + 3 * step)))
            i = int32(i + 4 * step)
        while i < stop:
            a = f(a, read(x, i))
            i = int32(i + step)
        return f(f(a, b), f(c, d))

    return along


@functools.cache
def rows_kernel(f: Device, number: Scalar, convert: Scalar, result: Scalar, start, lanes: int):
    """(A, R) -> (A, pieces) by groups of `lanes` threads; start: the value that changes nothing."""
    along = _along(f, number, convert, start)
    fold = fold_lanes(f, lanes) if lanes <= WARP else fold_block(f, number, lanes)

    @kernel
    def fold_rows(x, out, results, length, pieces, piece):
        thread = int32(cuda.grid(1))
        here = int32(udiv(thread, lanes))
        lane = int32(thread & (lanes - 1))
        total = start
        if here < results:
            row = int32(udiv(here, pieces))
            begin = int32((here - row * pieces) * piece)
            stop = int32(row * length + min(begin + piece, length))
            total = along(x, int32(row * length + begin + lane), stop, lanes)
        total = fold(total)
        if lane == 0 and here < results:
            store(out, here, result(total))

    return fold_rows


@functools.cache
def columns_kernel(f: Device, number: Scalar, convert: Scalar, result: Scalar, start):
    """(A, R, B) -> (A, pieces, B)."""
    along = _along(f, number, convert, start)

    @kernel
    def fold_columns(x, out, length, width, pieces, piece, tiles):
        of_rows = cuda.shared.array(THREADS, number)
        down = int32(cuda.threadIdx.y)
        across = int32(cuda.threadIdx.x)
        here = int32(udiv(cuda.blockIdx.x, tiles))  # which piece of which A
        column = int32((cuda.blockIdx.x - here * tiles) * COLUMNS + across)
        total = start
        if column < width:
            a = int32(udiv(here, pieces))
            begin = int32((here - a * pieces) * piece)
            stop = int32((a * length + min(begin + piece, length)) * width)
            total = along(x, int32((a * length + begin + down) * width + column), stop, int32(ROWS * width))
        store(of_rows, int32(down * COLUMNS + across), total)
        cuda.syncthreads()
        if down == 0 and column < width:
            for row in range(1, ROWS):
                total = f(total, load(of_rows, int32(row * COLUMNS + across)))
            store(out, int32(here * width + column), result(total))

    return fold_columns


# -- which formula, from where, in which type ------------------------------------------------------


def _start(name: str, number: Scalar):
    """The value that changes nothing."""
    if name not in ("maximum", "minimum"):
        return number({"add": 0, "multiply": 1, "logical_and": 1, "logical_or": 0}[name])
    if number.dtype.kind == "f":
        return number(-math.inf if name == "maximum" else math.inf)
    limits = np.iinfo(number.dtype)
    return number(limits.min if name == "maximum" else limits.max)


def _computed(name: str, dtype: np.dtype) -> Scalar:
    """The type in which results meet: shuffles carry 32 or 64 bits."""
    if name.startswith("logical"):
        return int32
    wide = {"bool": int32, "uint8": int32, "uint32": int64, "uint64": int64}
    return wide.get(dtype.name) or SCALARS[dtype]


@device
def both(x, y):
    return x & y


@device
def either(x, y):
    return x | y


@functools.cache
def _formula(name: str, number: Scalar) -> Device:
    """The formula, with its result in the type of its operands: int32 + int32 is int64 in Numba."""
    f = {"logical_and": both, "logical_or": either}.get(name) or formula(name, number)

    @device
    def in_its_type(x, y):
        return number(f(x, y))

    return in_its_type


@functools.lru_cache(1024)
def result_dtype(name: str, dtype: np.dtype, wanted=None) -> np.dtype:
    """NumPy's dtype of a reduction: sums of booleans and small whole numbers are int64."""
    out = getattr(np, name).reduce(np.ones(1, dtype), dtype=wanted).dtype
    if out not in SCALARS:
        raise TypeError(f"{name}: gives {out}, which kernels on the GPU do not know. Fix: x.float() first")
    return out


# -- steps -----------------------------------------------------------------------------------------


def _pieces(length: int, others: int, threads: int) -> tuple[int, int]:
    """How many pieces an axis is split into, and their length: short sums a thread, and enough blocks."""
    needed = -(-length // (PIECE * threads))
    wished = min(-(-BUSY // others), length // (FEW * threads))
    pieces = max(1, needed, wished)
    piece = -(-length // pieces)
    return -(-length // piece), piece


def _lanes(length: int, rows: int) -> int:
    """Threads for a row: a power of two, up to a warp; a block for rows that are long, or long and few."""
    if length > 1024 or (length >= THREADS and rows < BUSY):
        return THREADS
    return min(WARP, 1 << max(0, length - 1).bit_length())


class Step(NamedTuple):
    """A launch but for its arrays: run(x, out, *rest), out (size,) of a dtype."""

    run: Callable
    size: int
    dtype: np.dtype
    rest: tuple


class Plan(NamedTuple):
    """How to reduce. copied: x is packed first. shape, strides: of the result, turned if x is."""

    copied: bool
    steps: tuple[Step, ...]
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _fold(name: str, sizes: tuple[int, int, int], dtype: np.dtype) -> list[Step]:
    """Steps from (A, R, B), packed, to (A B,) of a dtype: one, or two where axis R is split."""
    a, length, b = sizes
    number = _computed(name, dtype)
    convert = boolean if name.startswith("logical") else number
    f, start = _formula(name, number), _start(name, number)
    if b == 1:
        lanes = _lanes(length, a)
        pieces, piece = _pieces(length, a, lanes) if lanes == THREADS else (1, length)
    else:
        tiles = -(-b // COLUMNS)
        pieces, piece = _pieces(length, a * tiles, ROWS)
    to = dtype if pieces == 1 else number.dtype
    types = f, number, convert, SCALARS[to], start
    if b == 1:
        run = rows_kernel(*types, lanes)[-(-a * pieces * lanes // THREADS), THREADS]
        rest = a * pieces, length, pieces, piece
    else:
        run = columns_kernel(*types)[a * pieces * tiles, (COLUMNS, ROWS)]
        rest = length, b, pieces, piece, tiles
    step = Step(run, a * pieces * b, to, rest)
    return [step] if pieces == 1 else [step, *_fold(name, (a, pieces, b), dtype)]


def _runs(shape: Sequence[int], axes: Sequence[int]) -> list[tuple[int, bool]]:
    """Neighbouring axes with the same fate as one: (length, goes), ... from the first axis to the last.

    >>> _runs((2, 3, 4, 5), (0, 2, 3))
    [(2, True), (3, False), (20, True)]
    """
    runs = []
    for axis, length in enumerate(shape):
        goes = axis in axes
        if length == 1:
            continue
        if runs and runs[-1][1] == goes:
            runs[-1] = runs[-1][0] * length, goes
        else:
            runs.append((length, goes))
    return runs


def _steps(name: str, runs: list[tuple[int, bool]], dtype: np.dtype) -> list[Step]:
    """Steps that fold all runs of axes that go, the last one first."""
    steps = []
    while any(goes for _, goes in runs):
        at = max(i for i, (_, goes) in enumerate(runs) if goes)
        before, after = math.prod(n for n, _ in runs[:at]), math.prod(n for n, _ in runs[at + 1 :])
        steps += _fold(name, (before, runs[at][0], after), dtype)
        left = runs[:at] + runs[at + 1 :]
        runs = _runs([n for n, _ in left], [i for i, (_, goes) in enumerate(left) if goes])
    return steps


@functools.lru_cache(1 << 12)
def _plan(name, shape, strides, given: np.dtype, axes, keepdims: bool, wanted) -> Plan:
    """How to reduce an array of this layout over these axes."""
    axes = tuple(range(len(shape))) if axes is None else normalize_axis_tuple(axes, len(shape))
    dtype, itemsize = result_dtype(name, given, wanted), given.itemsize
    order = sorted(range(len(shape)), key=lambda axis: -strides[axis])  # as x lies in memory
    copied = not is_packed([shape[i] for i in order], [strides[i] for i in order], itemsize)
    if copied:
        order = list(range(len(shape)))
    runs = _runs([shape[i] for i in order], [i for i, axis in enumerate(order) if axis in axes])
    steps = _steps(name, runs, dtype) if math.prod(shape) else []
    folded = [1 if i in axes else n for i, n in enumerate(shape)]
    in_order = packed_strides(tuple(folded[i] for i in order), dtype.itemsize)
    left = [i for i in range(len(shape)) if keepdims or i not in axes]
    shape, strides = tuple(folded[i] for i in left), tuple(in_order[order.index(i)] for i in left)
    return Plan(copied, tuple(steps), dtype, shape, strides)


# -- functions for CudaArray -----------------------------------------------------------------------


def reduce(name: str, x: CudaArray, axes, keepdims: bool = False, dtype=None, initial=None) -> CudaArray:
    """NumPy's `name`.reduce over axes: "add", "multiply", "maximum", "minimum", "logical_and", "logical_or".

    Args:
        axes: None for all, a number, or some. initial: folded in as one number more.

    Raises:
        ValueError: an extreme of nothing.
    """
    _check_size(name, x)
    axes = tuple(axes) if isinstance(axes, list) else axes
    plan = _plan(name, x.shape, x.strides, x.dtype, axes, keepdims, dtype)
    if not x.size:
        return _of_nothing(name, plan.shape, plan.dtype, initial)
    if not plan.steps:
        out = empty(plan.shape, plan.dtype)
        elementwise.copy(x.reshape(plan.shape), out)
    else:
        x = x.copy() if plan.copied else x
        out = CudaArray(x.memory, x.dtype, (x.size,), None, x.offset)
        for step in plan.steps:
            given, out = out, empty((step.size,), step.dtype)
            step.run(given, out, *step.rest)
        out = CudaArray(out.memory, out.dtype, plan.shape, plan.strides)
    return out if initial is None else elementwise.ufunc(name, (out, initial), out)


def _check_size(name: str, x: CudaArray) -> None:
    if x.size > 2**30:
        raise NotImplementedError(f"{name} of an array of {x.size} elements: at most 2^30. Fix: in parts")
    if x.dtype == np.uint64 and name in ("maximum", "minimum"):
        raise NotImplementedError(f"{name} along axes of uint64. Fix: x.astype(np.int64)")


def _of_nothing(name, shape, dtype, initial):
    if initial is None and name in ("maximum", "minimum") and math.prod(shape):
        raise ValueError(f"{name} over an axis of length 0: nothing has no extreme. Fix: give `initial`")
    out = empty(shape, dtype)
    if out.size:
        elementwise.copy(_start(name, int64) if initial is None else initial, out)
    return out


# -- where an extreme is ---------------------------------------------------------------------------


@functools.cache
def _better(name: str) -> Device:
    """Device code: is (x, i) to be chosen before (y, j)? nan before all others, of equals the first."""

    @device
    def larger(x, i, y, j):
        if x != x or y != y:
            return x != x and (y == y or i < j)
        return x > y or (x == y and i < j)

    @device
    def smaller(x, i, y, j):
        if x != x or y != y:
            return x != x and (y == y or i < j)
        return x < y or (x == y and i < j)

    return larger if name == "argmax" else smaller


@functools.cache
def position_kernel(name: str, number: Scalar, lanes: int):
    """(A, R, B) -> (A, B) places along R, by groups of `lanes` threads (1 or a warp), one for each result."""
    better = _better(name)
    rounds = lanes.bit_length() - 1

    @kernel
    def position(x, out, results, length, width):
        thread = int32(cuda.grid(1))
        here = int32(udiv(thread, lanes))
        lane = int32(thread & (lanes - 1))
        a = int32(udiv(min(here, results - 1), width))
        first = int32(a * length * width + min(here, results - 1) - a * width)
        place = int32(min(lane, length - 1))
        best = number(load(x, int32(first + place * width)))
        for r in range(int32(place + lanes), length, lanes):
            value = number(load(x, int32(first + r * width)))
            if better(value, r, best, place):
                best, place = value, int32(r)
        for k in range(rounds):
            value = cuda.shfl_xor_sync(FULL_WARP, best, 1 << k)
            r = cuda.shfl_xor_sync(FULL_WARP, place, 1 << k)
            if better(value, r, best, place):
                best, place = value, int32(r)
        if lane == 0 and here < results:
            store(out, here, int64(place))

    return position


def argreduce(name: str, x: CudaArray, axis: int | None, keepdims: bool = False) -> CudaArray:
    """ "argmax" or "argmin" along an axis, or of all elements in a row (None): int64, the first of equals.

    nan counts as larger (for argmin: smaller) than everything, as in NumPy.
    """
    flat = axis is None
    given = x.shape
    x = contiguous(x)
    if flat:
        x, axis = x.reshape(-1), 0
    (axis,) = normalize_axis_tuple(axis, x.ndim)
    before, length, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    results, width = math.prod(before + after), math.prod(after)
    if not length and results:
        raise ValueError(f"{name} over an axis of length 0: nothing has no extreme")
    out = empty((*before, *after), np.int64)
    if results:
        _check_size(name, x)
        lanes = WARP if width == 1 and length > 1 else 1
        run = position_kernel(name, _computed("maximum", x.dtype), lanes)
        run[-(-results * lanes // THREADS), THREADS](x, out, results, length, width)
    if keepdims:
        return out.reshape([1] * len(given) if flat else [*before, 1, *after])
    return out


# -- running sums ----------------------------------------------------------------------------------


@functools.cache
def down_kernel(f: Device, number: Scalar, result: Scalar):
    """Running results along R of (A, R, B), a thread a column."""

    @kernel
    def run_down(x, out, columns, length, width):
        here = int32(cuda.grid(1))
        if here < columns:
            a = int32(udiv(here, width))
            i = int32(a * length * width + here - a * width)
            total = number(load(x, i))
            store(out, i, result(total))
            for _ in range(1, length):
                i = int32(i + width)
                total = f(total, number(load(x, i)))
                store(out, i, result(total))

    return run_down


@functools.cache
def along_kernel(f: Device, number: Scalar, result: Scalar, start):
    """Running results along the rows of (A, R), a block a row, a tile of a number a thread at a time.

    In a warp each lane takes in the lane 1 before, then 2 before, 4, 8, 16: then it holds all before it.
    """
    warps = THREADS // WARP

    @device
    def in_warp(x, lane):
        for k in range(5):
            before = cuda.shfl_up_sync(FULL_WARP, x, 1 << k)
            if lane >= 1 << k:
                x = f(before, x)
        return x

    @kernel
    def run_along(x, out, length):
        of_warps = cuda.shared.array(warps, number)
        thread = int32(cuda.threadIdx.x)
        lane, warp = int32(thread & (WARP - 1)), int32(thread // WARP)
        first = int32(cuda.blockIdx.x * length)
        carried = start
        for tile in range(0, length, THREADS):
            place = int32(tile + thread)
            value = start
            if place < length:
                value = number(load(x, int32(first + place)))
            value = in_warp(value, lane)
            if lane == WARP - 1:
                store(of_warps, warp, value)
            cuda.syncthreads()
            for w in range(warps):
                if w == warp:
                    value = f(carried, value)
                carried = f(carried, load(of_warps, w))
            cuda.syncthreads()
            if place < length:
                store(out, int32(first + place), result(value))

    return run_along


def cumulate(name: str, x: CudaArray, axis: int, dtype=None) -> CudaArray:
    """NumPy's `name`.accumulate: running "add", "multiply", "maximum" or "minimum" along an axis."""
    (axis,) = normalize_axis_tuple(axis, x.ndim)
    _check_size(name, x)
    dtype = result_dtype(name, x.dtype, dtype)
    out = empty(x.shape, dtype)
    if not x.size:
        return out
    x, length = contiguous(x), x.shape[axis]
    width = math.prod(x.shape[axis + 1 :])
    number = _computed(name, dtype)
    f = _formula(name, number)
    if width == 1 and length > 1:
        run = along_kernel(f, number, SCALARS[dtype], _start(name, number))
        run[x.size // length, THREADS](x, out, length)
    else:
        columns = x.size // length
        run = down_kernel(f, number, SCALARS[dtype])
        run[-(-columns // THREADS), THREADS](x, out, columns, length, width)
    return out
