"""Standardisation: what fits into registers is read once, and mean, variance and result come out of them.

There are two shapes of work, by which axes mean and variance are taken over.

    The last ones (layer, group and RMS norm): rows
        a group of 1 to 32 threads a row, or a block, which keeps it in registers, up to 8192 float32:
            mean, by shuffles     the squares of x - mean, the same way     the result, from registers
        beyond: a block a row, in three passes, of which caches serve the later ones

    All but some in the middle (batch norm): channels of (N, C, P)
        block: a piece of a channel, 16 numbers a thread, in registers:
            its mean, then the squares of x - its mean          (pieces' mean and squares)
        warp: a channel's pieces to one mean and variance       (Chan et al. 1979, equation 2.1)
        block: the same piece again, standardised

Where P is 1, or small, neighbours in memory are different channels: then a block takes 32 channels at a time.
A thread finds its next number by additions: divisions would cost more than to read it.

Backward, the means of h and h n are two more sums over rows or channels; dL/dweight and dL/dbias are always
sums over channels, first of pieces, then of those.

Sums are made in trees, of few numbers a thread, and pieces meet in float64; the order of additions never
changes. What fits neither shape is computed as the reference says it, by one kernel an operation.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minidl.kernels.cuda.array import CudaArray, contiguous, empty
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, device, float64, int32, kernel
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, store, udiv, umod
from minidl.kernels.cuda.reductions import BUSY, THREADS, WARP, fold_block, fold_lanes
from minidl.kernels.reference import normalization as reference
from minidl.kernels.reference.normalization import moments, sum_to

__all__ = ["moments", "standardize", "standardize_backward", "sum_to"]

IN_WARP, IN_BLOCK = 32 * WARP, 32 * THREADS
"""Numbers of a row up to which a warp, or a block, keeps it in registers: 32 a thread; half of float64."""
KEPT, FEW = 16, 4
"""Numbers a thread of a piece of a channel; fewer where there would be too few blocks."""
MOST = 2**30
"""Elements of an array, so that their numbers, and those beyond the end, fit into 32 bits."""


# -- shapes of work --------------------------------------------------------------------------------


class Middle(NamedTuple):
    """An array seen as (N, C, P), where something varies along C only."""

    n: int
    c: int
    p: int


@functools.lru_cache(1024)
def middle(shape: tuple[int, ...], varying: tuple[int, ...]) -> Middle | None:
    """`shape` as (N, C, P), if these axes (those of size 1 apart) are neighbours.

    >>> middle((8, 3, 5, 5), (1,)), middle((8, 3, 5, 5), ()), middle((8, 3, 5), (0, 2))
    (Middle(n=8, c=3, p=25), Middle(n=1, c=1, p=600), None)
    """
    axes = [i for i in varying if shape[i] != 1]
    if not axes:
        return Middle(1, 1, math.prod(shape))
    first, last = axes[0], axes[-1] + 1
    if any(shape[i] != 1 and i not in axes for i in range(first, last)):
        return None
    return Middle(math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:]))


@functools.lru_cache(1024)
def _of_parameter(shape: tuple[int, ...], own: tuple[int, ...]) -> Middle | None:
    """Along what an array of shape `own`, broadcast against one of `shape`, varies."""
    padded = (1,) * (len(shape) - len(own)) + own
    if len(own) > len(shape) or any(n not in (1, m) for n, m in zip(padded, shape, strict=True)):
        return None
    return middle(shape, tuple(i for i, n in enumerate(padded) if n != 1))


class Rows(NamedTuple):
    """How rows (A, R) and parameters meet: element j of row i has parameter (i % groups) * per + j // places.

    Layer norm: groups 1, per R, places 1. Group norm: groups of `per` channels with `places` numbers each.
    """

    count: int
    length: int
    groups: int
    per: int
    places: int


class Work(NamedTuple):
    """How to do it: on rows, or on channels if `rows` is None.

    statistics, parameters: along what mean and variance vary, and weight and bias.
    """

    statistics: Middle
    parameters: Middle
    rows: Rows | None


@functools.lru_cache(1024)
def work_for(shape, axes, parameters, own, centred: bool) -> Work | None:
    """The shape of work; None if it fits none.

    Args:
        axes: those of the means; none: mean and variance are constants, whose shapes are `own`.
        parameters: shapes of weight and bias, those that there are.
    """
    if math.prod(shape) == 0 or None in own:
        return None
    if axes:
        axes = normalize_axis_tuple(axes, len(shape))
        statistics = middle(shape, tuple(i for i in range(len(shape)) if i not in axes))
    else:
        found = {_of_parameter(shape, s) for s in own}
        statistics = found.pop() if len(found) == 1 else None
    found = {_of_parameter(shape, s) for s in parameters} or {statistics}
    if statistics is None or len(found) > 1 or None in found:
        return None
    (along,) = found
    rows = _rows(statistics, along if parameters else None) if axes and statistics.n == 1 else None
    few = rows is not None and rows.length > IN_BLOCK and rows.count < BUSY
    if along == statistics and centred and (rows is None or few):
        return Work(statistics, along, None)
    return None if rows is None else Work(statistics, along, rows)


def _rows(statistics: Middle, along: Middle | None) -> Rows | None:
    """Rows of `statistics` and parameters along C of (N, C, P), if a row takes whole numbers of both."""
    count, length = statistics.c, statistics.p
    if along is None:
        return Rows(count, length, 1, length, 1)
    _, c, p = along
    if length % p or (c * p) % length:
        return None
    return Rows(count, length, c * p // length, length // p, p)


# -- rows ------------------------------------------------------------------------------------------


@functools.cache
def parameter_place(simple: bool) -> Callable:
    """Device code: where the parameter of element j of a row lies. simple: at j."""

    @device
    def place(row, j, groups, per, places):
        if simple:
            return j
        return int32(umod(row, groups) * per + udiv(j, places))

    return place


@functools.cache
def total_of(number: Scalar, lanes: int):
    """Device code that adds up a number of each thread of a row."""
    add = formula("add", number)
    return fold_lanes(add, lanes) if lanes <= WARP else fold_block(add, number, lanes)


@functools.cache
def rows_kernel(number: Scalar, lanes: int, kept: int, centred: bool, simple: bool, weighted, shifted):
    """Rows in registers: `lanes` threads a row, `kept` numbers a thread."""
    total, place = total_of(number, lanes), parameter_place(simple)

    @kernel
    def standardize_rows(x, weight, bias, out, means, variances, rows, length, groups, per, places, eps):
        values = cuda.local.array(kept, number)
        thread = int32(cuda.grid(1))
        row, lane = int32(udiv(thread, lanes)), int32(thread & (lanes - 1))
        first = int32(row * length)
        stop = length if row < rows else 0
        mean, variance = number(0), number(0)
        for q in range(kept):
            j = int32(q * lanes + lane)
            values[q] = load(x, int32(first + j)) if j < stop else number(0)
            mean += values[q]
        mean = total(mean) / number(length) if centred else number(0)
        for q in range(kept):
            if q * lanes + lane < stop:
                values[q] -= mean
                variance += values[q] * values[q]
        variance = total(variance) / number(length)
        if lane == 0 and row < rows:
            store(variances, row, variance)
            if centred:
                store(means, row, mean)
        scale = number(1) / math.sqrt(variance + eps)
        for q in range(kept):
            j = int32(q * lanes + lane)
            if j < stop:
                value, k = values[q] * scale, place(row, j, groups, per, places)
                value = value * load(weight, k) if weighted else value
                store(out, int32(first + j), value + load(bias, k) if shifted else value)

    return standardize_rows


@functools.cache
def rows_backward_kernel(number: Scalar, lanes: int, kept: int, centred: bool, simple: bool, weighted):
    """dx of rows in registers; scales: 1 / sqrt(variance + eps) of each row, for dL/dweight."""
    total, place = total_of(number, lanes), parameter_place(simple)

    @kernel
    def standardize_rows_backward(
        g, x, means, variances, weight, dx, scales, rows, length, groups, per, places, eps
    ):
        hs = cuda.local.array(kept, number)
        normals = cuda.local.array(kept, number)
        thread = int32(cuda.grid(1))
        row, lane = int32(udiv(thread, lanes)), int32(thread & (lanes - 1))
        first = int32(row * length)
        stop = length if row < rows else 0
        mean, scale, mean_h, mean_hn = number(0), number(0), number(0), number(0)
        if row < rows:
            mean = load(means, row) if centred else number(0)
            scale = number(1) / math.sqrt(load(variances, row) + eps)
            if lane == 0:
                store(scales, row, scale)
        for q in range(kept):
            j = int32(q * lanes + lane)
            hs[q], normals[q] = number(0), number(0)
            if j < stop:
                h = load(g, int32(first + j))
                hs[q] = h * load(weight, place(row, j, groups, per, places)) if weighted else h
                normals[q] = (load(x, int32(first + j)) - mean) * scale
            mean_h += hs[q]
            mean_hn += hs[q] * normals[q]
        mean_h = total(mean_h) / number(length) if centred else number(0)
        mean_hn = total(mean_hn) / number(length)
        for q in range(kept):
            j = int32(q * lanes + lane)
            if j < stop:
                store(dx, int32(first + j), (hs[q] - normals[q] * mean_hn - mean_h) * scale)

    return standardize_rows_backward


@functools.cache
def row_total(number: Scalar, squared: bool):
    """Device code: a thread's part of the sum of x - shift over a row, or of its squares, 16 at a time."""

    @device
    def of_row(x, first, length, shift):
        sum_, thread = number(0), int32(cuda.threadIdx.x)
        for tile in range(0, length, THREADS * KEPT):
            part = number(0)
            for q in range(KEPT):
                j = int32(tile + q * THREADS + thread)
                if j < length:
                    value = load(x, int32(first + j)) - shift
                    part += value * value if squared else value
            sum_ += part
        return sum_

    return of_row


@functools.cache
def long_rows_kernel(number: Scalar, centred: bool, simple: bool, weighted: bool, shifted: bool):
    """`rows_kernel` for long rows, a block each."""
    total, place = total_of(number, THREADS), parameter_place(simple)
    sum_of, squares_of = row_total(number, False), row_total(number, True)

    @kernel
    def standardize_long_rows(x, weight, bias, out, means, variances, length, groups, per, places, eps):
        row, thread = int32(cuda.blockIdx.x), int32(cuda.threadIdx.x)
        first = int32(row * length)
        mean = number(0)
        if centred:
            mean = total(sum_of(x, first, length, number(0))) / number(length)
        variance = total(squares_of(x, first, length, mean)) / number(length)
        if thread == 0:
            store(variances, row, variance)
            if centred:
                store(means, row, mean)
        scale = number(1) / math.sqrt(variance + eps)
        for j in range(thread, length, THREADS):
            value, k = (load(x, int32(first + j)) - mean) * scale, place(row, j, groups, per, places)
            value = value * load(weight, k) if weighted else value
            store(out, int32(first + j), value + load(bias, k) if shifted else value)

    return standardize_long_rows


@functools.cache
def long_rows_backward_kernel(number: Scalar, centred: bool, simple: bool, weighted: bool):
    """`rows_backward_kernel` for long rows, a block each."""
    total, place = total_of(number, THREADS), parameter_place(simple)

    @device
    def h_at(g, weight, row, j, first, groups, per, places):
        h = load(g, int32(first + j))
        return h * load(weight, place(row, j, groups, per, places)) if weighted else h

    @kernel
    def standardize_long_rows_backward(
        g, x, means, variances, weight, dx, scales, length, groups, per, places, eps
    ):
        row, thread = int32(cuda.blockIdx.x), int32(cuda.threadIdx.x)
        first = int32(row * length)
        mean = load(means, row) if centred else number(0)
        scale = number(1) / math.sqrt(load(variances, row) + eps)
        mean_h, mean_hn = number(0), number(0)
        for tile in range(0, length, THREADS * KEPT):
            part_h, part_hn = number(0), number(0)
            for q in range(KEPT):
                j = int32(tile + q * THREADS + thread)
                if j < length:
                    h = h_at(g, weight, row, j, first, groups, per, places)
                    part_h += h
                    part_hn += h * ((load(x, int32(first + j)) - mean) * scale)
            mean_h += part_h
            mean_hn += part_hn
        mean_h = total(mean_h) / number(length) if centred else number(0)
        mean_hn = total(mean_hn) / number(length)
        if thread == 0:
            store(scales, row, scale)
        for j in range(thread, length, THREADS):
            normal = (load(x, int32(first + j)) - mean) * scale
            h = h_at(g, weight, row, j, first, groups, per, places)
            store(dx, int32(first + j), (h - normal * mean_hn - mean_h) * scale)

    return standardize_long_rows_backward


# -- channels --------------------------------------------------------------------------------------


class Walk(NamedTuple):
    """How blocks go through (N, C, P): each takes a piece of a channel, or of 32 channels if P is small.

    A thread's next element is `down` further along (N, P), which is `whole` N and `part` P.
    """

    channels: int
    kept: int
    c: int
    p: int
    count: int

    @property
    def down(self) -> int:
        return THREADS // self.channels

    @property
    def pieces(self) -> int:
        return -(-self.count // (self.down * self.kept))

    @property
    def blocks(self) -> int:
        return self.pieces * -(-self.c // self.channels)

    @property
    def numbers(self) -> tuple[int, ...]:
        """What the kernels get: C, P, N P, pieces, whole, part."""
        return self.c, self.p, self.count, self.pieces, *divmod(self.down, self.p)


@functools.lru_cache(1024)
def walk_through(along: Middle) -> Walk:
    """The walk that keeps a GPU busy, if there is enough to do."""
    channels = WARP if along.p < WARP // 4 and along.c > 1 else 1
    walk = Walk(channels, KEPT, along.c, along.p, along.n * along.p)
    return walk if walk.blocks >= BUSY else walk._replace(kept=FEW)


@functools.cache
def first_place(channels: int, kept: int):
    """Device code: channel and piece of a thread, its place t in (N, P), and n, p and index of that."""
    down = THREADS // channels

    @device
    def first(c_size, p_size, pieces):
        thread, block = int32(cuda.threadIdx.x), int32(cuda.blockIdx.x)
        tile = int32(udiv(block, pieces))
        piece = int32(block - tile * pieces)
        c = int32(tile * channels + (thread & (channels - 1)))
        t = int32(piece * down * kept + udiv(thread, channels))
        n = int32(udiv(t, p_size))
        p = int32(t - n * p_size)
        return c, piece, t, n, p, int32((n * c_size + c) * p_size + p)

    return first


@device
def next_place(n, p, i, c_size, p_size, whole, part):
    """The same of the thread's next element."""
    n, p = int32(n + whole), int32(p + part)
    i = int32(i + whole * c_size * p_size + part)
    if p >= p_size:
        return int32(n + 1), int32(p - p_size), int32(i + (c_size - 1) * p_size)
    return n, p, i


@functools.cache
def total_down(number: Scalar, channels: int):
    """Device code that adds up the numbers of a block that are of one channel; each thread gets the sum."""
    if channels == 1:
        return total_of(number, THREADS)
    rows = THREADS // WARP

    @device
    def total(x):
        numbers = cuda.shared.array(THREADS, number)
        thread = int32(cuda.threadIdx.x)
        cuda.syncthreads()
        store(numbers, thread, x)
        cuda.syncthreads()
        sum_ = number(0)
        for k in range(rows):
            sum_ += load(numbers, int32(k * WARP + (thread & (WARP - 1))))
        return sum_

    return total


@functools.cache
def moments_kernel(number: Scalar, channels: int, kept: int):
    """means, squares (C, pieces): the mean of a piece, and the sum of squares of its distances from that.

    A mean in float32 of numbers around 10,000 is right to 0.001 only. The distances from it are exact; their
    own mean corrects it.
    """
    first_of, total, down = first_place(channels, kept), total_down(number, channels), THREADS // channels

    @kernel
    def piece_moments(x, means, squares, c_size, p_size, count, pieces, whole, part):
        values = cuda.local.array(kept, number)
        c, piece, t, n, p, i = first_of(c_size, p_size, pieces)
        stop = count if c < c_size else 0
        size = number(min(down * kept, count - piece * down * kept))
        mean, off, square = number(0), number(0), number(0)
        for q in range(kept):
            values[q] = load(x, i) if t + q * down < stop else number(0)
            mean += values[q]
            n, p, i = next_place(n, p, i, c_size, p_size, whole, part)
        mean = total(mean) / size
        for q in range(kept):
            if t + q * down < stop:
                value = values[q] - mean
                off += value
                square += value * value
        off = total(off) / size
        square = total(square) - size * off * off
        if cuda.threadIdx.x < channels and c < c_size:
            store(means, int32(c * pieces + piece), float64(mean) + float64(off))
            store(squares, int32(c * pieces + piece), square)

    return piece_moments


@functools.cache
def merge_kernel(number: Scalar):
    """Means and variances of channels from those of their pieces, a warp a channel, in float64."""
    total = total_of(float64, WARP)

    @kernel
    def merge_pieces(means, squares, mean, variance, c_size, count, pieces, piece_size):
        thread = int32(cuda.grid(1))
        c, lane = int32(udiv(thread, WARP)), int32(thread & (WARP - 1))
        stop = pieces if c < c_size else 0
        middle, square = float64(0), float64(0)
        for k in range(lane, stop, WARP):
            size = float64(min(piece_size, count - k * piece_size))
            middle += size * load(means, int32(c * pieces + k))
        middle = total(middle) / float64(count)
        for k in range(lane, stop, WARP):
            size = float64(min(piece_size, count - k * piece_size))
            away = load(means, int32(c * pieces + k)) - middle
            square += float64(load(squares, int32(c * pieces + k))) + size * away * away
        square = total(square) / float64(count)
        if lane == 0 and c < c_size:
            store(mean, c, number(middle))
            store(variance, c, number(square))

    return merge_pieces


@functools.cache
def channels_kernel(number: Scalar, channels: int, kept: int, weighted: bool, shifted: bool):
    """(x - mean) / sqrt(variance + eps) * weight + bias, all of them (C,)."""
    first_of, down = first_place(channels, kept), THREADS // channels

    @kernel
    def standardize_channels(
        x, mean, variance, weight, bias, out, c_size, p_size, count, pieces, whole, part, eps
    ):
        values = cuda.local.array(kept, number)
        places = cuda.local.array(kept, int32)
        c, _, t, n, p, i = first_of(c_size, p_size, pieces)
        if c < c_size:
            middle = load(mean, c)
            scale = number(1) / math.sqrt(load(variance, c) + eps)
            scale = scale * load(weight, c) if weighted else scale
            shift = load(bias, c) if shifted else number(0)
            for q in range(kept):  # all reads before all writes: for all the compiler knows, out could be x
                values[q] = load(x, i) if t + q * down < count else number(0)
                places[q] = i
                n, p, i = next_place(n, p, i, c_size, p_size, whole, part)
            for q in range(kept):
                if t + q * down < count:
                    store(out, places[q], (values[q] - middle) * scale + shift)

    return standardize_channels


@functools.cache
def sums_kernel(number: Scalar, channels: int, kept: int, centred: bool, of_channel: bool):
    """parts (2, C, pieces): sums of g, and of g times standardised x, over pieces of channels.

    Statistics are those of the channel; or else of row n groups + c // per, with 1 / sqrt(variance + eps) for
    the variance.
    """
    first_of, total, down = first_place(channels, kept), total_down(number, channels), THREADS // channels

    @kernel
    def channel_sums(
        g, x, means, variances, parts, c_size, p_size, count, pieces, whole, part, groups, per, eps
    ):
        c, piece, t, n, p, i = first_of(c_size, p_size, pieces)
        stop = count if c < c_size else 0
        of_g, of_gn, mean, scale = number(0), number(0), number(0), number(0)
        row = int32(udiv(c, per))
        if of_channel and c < c_size:
            mean = load(means, c)
            scale = number(1) / math.sqrt(load(variances, c) + eps)
        for q in range(kept):
            if t + q * down < stop:
                if not of_channel:
                    mean = load(means, int32(n * groups + row)) if centred else number(0)
                    scale = load(variances, int32(n * groups + row))
                slope = load(g, i)
                of_g += slope
                of_gn += slope * ((load(x, i) - mean) * scale)
            n, p, i = next_place(n, p, i, c_size, p_size, whole, part)
        of_g, of_gn = total(of_g), total(of_gn)
        if cuda.threadIdx.x < channels and c < c_size:
            store(parts, int32(c * pieces + piece), of_g)
            store(parts, int32((c_size + c) * pieces + piece), of_gn)

    return channel_sums


@functools.cache
def channels_backward_kernel(number: Scalar, channels: int, kept: int, own: bool, weighted: bool):
    """dx from sums (2, C) of g and of g times standardised x. own: mean and variance depend on x."""
    first_of, down = first_place(channels, kept), THREADS // channels

    @kernel
    def standardize_channels_backward(
        g, x, mean, variance, weight, sums, dx, c_size, p_size, count, pieces, whole, part, eps
    ):
        values = cuda.local.array(kept, number)
        places = cuda.local.array(kept, int32)
        c, _, t, n, p, i = first_of(c_size, p_size, pieces)
        if c < c_size:
            middle, mean_g, slope = load(mean, c), number(0), number(0)
            scale = number(1) / math.sqrt(load(variance, c) + eps)
            if own:
                mean_g = load(sums, c) / number(count)
                slope = scale * (load(sums, int32(c_size + c)) / number(count))
            scale = scale * load(weight, c) if weighted else scale
            for q in range(kept):
                values[q] = number(0)
                if t + q * down < count:
                    values[q] = load(g, i)
                    if own:
                        values[q] -= mean_g + (load(x, i) - middle) * slope
                places[q] = i
                n, p, i = next_place(n, p, i, c_size, p_size, whole, part)
            for q in range(kept):
                if t + q * down < count:
                    store(dx, places[q], values[q] * scale)

    return standardize_channels_backward


# -- launches --------------------------------------------------------------------------------------


def row_threads(rows: int, length: int, itemsize: int) -> tuple[int, int]:
    """Threads for a row (0 if it is too long for registers), and numbers that each keeps.

    >>> row_threads(4096, 10, 4), row_threads(4096, 768, 4), row_threads(64, 768, 4)
    ((16, 1), (32, 24), (256, 3))
    """
    most = itemsize // 4  # float64 takes two registers
    if length > IN_BLOCK // most:
        return 0, 0
    lanes = min(WARP, 1 << (length - 1).bit_length())
    if length > IN_WARP // most or (length >= THREADS and rows < BUSY * (THREADS // WARP)):
        lanes = THREADS
    kept = -(-length // lanes)
    return lanes, kept if kept <= FEW else -(-kept // FEW) * FEW


def _or(x: CudaArray | None, stand_in: CudaArray) -> CudaArray:
    """An argument that the kernel does not read may be anything."""
    return stand_in if x is None else contiguous(x)


def _standardize_rows(x, weight, bias, rows: Rows, eps, centred, shape):
    """Result, means and variances of rows; shape: of the last two."""
    number, flags = SCALARS[x.dtype], (weight is not None, bias is not None)
    out, var = empty(x.shape, x.dtype), empty(shape, x.dtype)
    mean = empty(shape, x.dtype) if centred else None
    arrays = x, _or(weight, x), _or(bias, x), out, _or(mean, var), var
    simple, meeting = (rows.groups, rows.places) == (1, 1), (rows.groups, rows.per, rows.places)
    lanes, kept = row_threads(rows.count, rows.length, x.itemsize)
    if lanes:
        run = rows_kernel(number, lanes, kept, centred, simple, *flags)[_blocks(rows, lanes), THREADS]
        run(*arrays, rows.count, rows.length, *meeting, number(eps))
    else:
        run = long_rows_kernel(number, centred, simple, *flags)[rows.count, THREADS]
        run(*arrays, rows.length, *meeting, number(eps))
    return out, mean, var


def _blocks(rows: Rows, lanes: int) -> int:
    return -(-rows.count * lanes // THREADS)


def _rows_backward(g, x, mean, var, weight, rows: Rows, eps) -> tuple[CudaArray, CudaArray]:
    """dx, and 1 / sqrt(variance + eps) of each row."""
    number, centred = SCALARS[x.dtype], mean is not None
    dx, scales = empty(x.shape, x.dtype), empty((rows.count,), x.dtype)
    arrays = g, x, _or(mean, var), var, _or(weight, x), dx, scales
    simple, meeting = (rows.groups, rows.places) == (1, 1), (rows.groups, rows.per, rows.places)
    flags = centred, simple, weight is not None
    lanes, kept = row_threads(rows.count, rows.length, x.itemsize)
    if lanes:
        run = rows_backward_kernel(number, lanes, kept, *flags)[_blocks(rows, lanes), THREADS]
        run(*arrays, rows.count, rows.length, *meeting, number(eps))
    else:
        run = long_rows_backward_kernel(number, *flags)[rows.count, THREADS]
        run(*arrays, rows.length, *meeting, number(eps))
    return dx, scales


def _channel_moments(x, along: Middle, shape) -> tuple[CudaArray, CudaArray]:
    """Mean and variance of channels."""
    number, walk = SCALARS[x.dtype], walk_through(along)
    means, squares = (empty((walk.c, walk.pieces), dtype) for dtype in (np.float64, x.dtype))
    run = moments_kernel(number, walk.channels, walk.kept)[walk.blocks, THREADS]
    run(x, means, squares, *walk.numbers)
    mean, var = empty(shape, x.dtype), empty(shape, x.dtype)
    run = merge_kernel(number)[-(-walk.c * WARP // THREADS), THREADS]
    run(means, squares, mean, var, walk.c, walk.count, walk.pieces, walk.down * walk.kept)
    return mean, var


def _channel_sums(g, x, mean, var, along: Middle, rows: Rows | None, eps) -> CudaArray:
    """(2, C): sums of g and of g times standardised x. With rows, var holds 1 / sqrt(variance + eps)."""
    number, walk = SCALARS[x.dtype], walk_through(along)
    parts = empty((2, walk.c, walk.pieces), x.dtype)
    kind = mean is not None, rows is None
    run = sums_kernel(number, walk.channels, walk.kept, *kind)[walk.blocks, THREADS]
    meeting = (1, 1) if rows is None else (rows.groups, rows.per)
    run(g, x, _or(mean, var), var, parts, *walk.numbers, *meeting, number(eps))
    return parts.sum(2) if walk.pieces > 1 else parts.reshape(2, walk.c)


def _fits(x: CudaArray, *others: CudaArray | None) -> bool:
    """Are all of one type of floats, and not too many?"""
    return x.dtype.kind == "f" and x.size <= MOST and all(a is None or a.dtype == x.dtype for a in others)


def _shapes(*arrays: CudaArray | None) -> tuple[tuple[int, ...], ...]:
    return tuple(a.shape for a in arrays if a is not None)


# -- the kernels -----------------------------------------------------------------------------------


def standardize(x, mean, var, weight, bias, axes, eps, centred):
    """`reference.standardize`."""
    axes, constants = tuple(axes), (mean, var) if not axes else ()
    own = tuple(None if a is None else a.shape for a in constants)
    work = work_for(x.shape, axes, _shapes(weight, bias), own, centred)
    if work is None or not _fits(x, weight, bias, *constants):
        return reference.standardize(x, mean, var, weight, bias, axes, eps, centred)
    x = contiguous(x)
    if axes:
        here = normalize_axis_tuple(axes, x.ndim)
        shape = tuple(1 if i in here else n for i, n in enumerate(x.shape))
        if work.rows is not None:
            return _standardize_rows(x, weight, bias, work.rows, eps, centred, shape)
        mean, var = _channel_moments(x, work.statistics, shape)
    walk, number = walk_through(work.statistics), SCALARS[x.dtype]
    out = empty(x.shape, x.dtype)
    flags = weight is not None, bias is not None
    run = channels_kernel(number, walk.channels, walk.kept, *flags)[walk.blocks, THREADS]
    constants = contiguous(mean), contiguous(var), _or(weight, x), _or(bias, x)
    run(x, *constants, out, *walk.numbers, number(eps))
    return out, mean, var


def standardize_backward(g, x, mean, var, weight, shape, axes, eps):
    """`reference.standardize_backward`."""
    axes, own = tuple(axes), () if axes else tuple(None if a is None else a.shape for a in (mean, var))
    parameters = _shapes(weight) + (() if shape is None else (tuple(shape),))
    work = work_for(x.shape, axes, parameters, own, mean is not None)
    if work is None or not _fits(x, g, mean, var, weight):
        return reference.standardize_backward(g, x, mean, var, weight, shape, axes, eps)
    g, x, var = contiguous(g), contiguous(x), contiguous(var)
    mean = None if mean is None else contiguous(mean)
    if work.rows is not None:
        dx, scales = _rows_backward(g, x, mean, var, weight, work.rows, eps)
        if shape is None:
            return dx, None, None
        sums = _channel_sums(g, x, mean, scales, work.parameters, work.rows, eps)
    else:
        dx, sums = _channels_backward(g, x, mean, var, weight, work.statistics, shape, axes, eps)
    return dx, *((None, None) if shape is None else (sums[1].reshape(shape), sums[0].reshape(shape)))


def _channels_backward(g, x, mean, var, weight, along: Middle, shape, axes, eps):
    """dx and the sums (2, C), which it is made of."""
    number, walk, own = SCALARS[x.dtype], walk_through(along), bool(axes)
    sums = _channel_sums(g, x, mean, var, along, None, eps) if own or shape is not None else x
    dx = empty(x.shape, x.dtype)
    flags = own, weight is not None
    run = channels_backward_kernel(number, walk.channels, walk.kept, *flags)[walk.blocks, THREADS]
    run(g, x, mean, var, _or(weight, x), sums, dx, *walk.numbers, number(eps))
    return dx, sums
