"""What attention's kernels share: products of tiles whose result goes on being used on the chip.

All of them work on tiles of 64 x 64 scores, one after the other, and know two products:

    row products      s (64, 64) = x y^T       x, y: rows in global memory, such as queries and keys
    weighted sums     acc (64, W) += tile y    tile: 64 x 64 weights in shared memory, y: rows such as values

A thread holds `rows` x 8 numbers of a tile: rows i ... i + 3 (and i + 32 ...), columns j ... j + 3 and
j + 32 ...; eight neighbouring threads hold a row. What it holds of acc lies likewise. Rows of global memory
come through shared memory in pieces of DEPTH steps, the next piece under way while this one is multiplied.

The tile of weights is written by columns and read by steps, both four rows at a time. Neighbouring columns
are 64 numbers apart and would meet in the same banks, so the rows of column c are stored with bits of c mixed
into their number: row ^ (c & 28). Eight threads then touch eight different groups of four banks.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from minidl.kernels.cuda.array import CudaArray, contiguous
from minidl.kernels.cuda.driver import cuda, device, float32, int32
from minidl.kernels.cuda.instructions import load, load4, store, store4, udiv, umod
from minidl.kernels.cuda.tiles import DEPTH, tile_loader

SIDE = 64
"""Queries and keys of a tile."""
SHARING = 8
"""Neighbouring threads that hold a row of a tile."""
WIDTHS = (32, 64, 128)
"""Compiled sizes of a head; what is smaller is filled up with zeros on the chip."""
PIECE = DEPTH * SIDE
"""Numbers of a piece of 64 rows."""
PIECES = 2 * PIECE
"""One is read while the other one is written."""
TILE = SIDE * SIDE
"""Numbers of a tile."""
LOG2E = math.log2(math.e)
"""The hardware knows powers of 2: e^x = 2^(x log2(e))."""


def threads_of(rows: int) -> int:
    """Threads of a block, if each holds so many rows (4 or 8) of a tile."""
    return SIDE // rows * SHARING


def rows_of(width: int) -> int:
    """Rows that a thread holds in the forward pass: as many as there are registers for."""
    return 4 if width > SIDE else 8


def width_of(size: int) -> int:
    """The compiled size for heads of this size.

    >>> width_of(20), width_of(128)
    (32, 128)
    """
    return next(width for width in WIDTHS if size <= width)


# -- products ------------------------------------------------------------------------------------------


@functools.cache
def reader(n: int):
    """Device code: register = n numbers of a tile, four at i, four at i + 32, ..."""

    @device
    def read(register, tile, i):
        for h in range(n // 4):
            e = 4 * h
            register[e], register[e + 1], register[e + 2], register[e + 3] = load4(tile, i + 32 * h)

    return read


@functools.cache
def multiply_steps(rows: int, columns: int, width: int, steps: int):
    """Device code: acc (rows, columns) += a product of so many steps, halved until one is left.

    The left tile is SIDE wide, the right one `width`.
    """
    half = steps // 2
    multiply_half = multiply_steps(rows, columns, width, half) if half else None
    read_a, read_b = reader(rows), reader(columns)

    @device
    def multiply(acc, a, b, left, right, i, j):
        if half > 0:
            multiply_half(acc, a, b, left, right, i, j)
            multiply_half(acc, a, b, left, right, i + half * SIDE, j + half * width)
        else:
            read_a(a, left, i)
            read_b(b, right, j)
            for p in range(rows):
                for q in range(columns):
                    acc[p, q] += a[p] * b[q]

    return multiply


@functools.cache
def row_products(rows: int, wide: bool):
    """Device code: s = x y^T for the 64 rows of x and of y, both (.., depth), that begin at x0 and y0.

    Ends with a barrier: shared memory may be written again.
    """
    first, fetch, put, pieces, limit = tile_loader(SIDE, threads_of(rows), True, wide)
    multiply = multiply_steps(rows, 8, SIDE, DEPTH)

    @device
    def products(s, a, b, left, right, x, begin_x, x0, stop_x, y, begin_y, y0, stop_y, depth, i, j, t):
        next_x = cuda.local.array((pieces, 4), float32)
        next_y = cuda.local.array((pieces, 4), float32)
        for p in range(rows):
            for q in range(8):
                s[p, q] = float32(0)
        row, k = first(t)
        place = int32(k * SIDE + row)
        room_x, rest_x = limit(int32(stop_x - x0 - row), int32(depth - k))
        room_y, rest_y = limit(int32(stop_y - y0 - row), int32(depth - k))
        at_x = int32(begin_x + (x0 + row) * depth + k)
        at_y = int32(begin_y + (y0 + row) * depth + k)
        fetch(next_x, x, at_x, room_x, rest_x, depth)
        fetch(next_y, y, at_y, room_y, rest_y, depth)
        put(next_x, left, place)
        put(next_y, right, place)
        cuda.syncthreads()
        begin, step = int32(0), int32(0)
        while step < depth:
            step, rest_x, rest_y = int32(step + DEPTH), int32(rest_x - DEPTH), int32(rest_y - DEPTH)
            at_x, at_y = int32(at_x + DEPTH), int32(at_y + DEPTH)
            if step < depth:
                fetch(next_x, x, at_x, room_x, rest_x, depth)
                fetch(next_y, y, at_y, room_y, rest_y, depth)
            multiply(s, a, b, left, right, begin + i, begin + j)
            begin = int32(begin ^ PIECE)
            if step < depth:
                put(next_x, left, begin + place)
                put(next_y, right, begin + place)
            cuda.syncthreads()

    return products


@functools.cache
def weighted_sums(rows: int, width: int, wide: bool):
    """Device code: acc += tile y for the rows y0 ... of y (.., size), size at most `width`.

    Its first barrier comes before the tile is read, its last one after.
    """
    room = max(width, SIDE)  # a piece of it is one access for each thread at least
    first, fetch, put, pieces, _ = tile_loader(room, threads_of(rows), False, wide)
    multiply = multiply_steps(rows, width // SHARING, room, 4)
    piece = DEPTH * room

    @device
    def sums(acc, a, b, tile, right, y, begin_y, y0, stop_y, size, i, j, t):
        next_y = cuda.local.array((pieces, 4), float32)
        column, row = first(t)
        place = int32(row * room + column)
        left, rest = int32(size - column), int32(stop_y - y0 - row)
        at, move = int32(begin_y + (y0 + row) * size + column), int32(DEPTH * size)
        fetch(next_y, y, at, left, rest, size)
        put(next_y, right, place)
        cuda.syncthreads()
        begin, step, stop = int32(0), int32(0), int32(min(stop_y - y0, SIDE))
        while step < stop:
            low, high = int32(step & 28), int32(step & 28 | 4)  # mixed into the rows of steps 0-3 and 4-7
            at_low, at_high = int32(step * SIDE + (i ^ low)), int32((step + 4) * SIDE + (i ^ high))
            step, rest, at = int32(step + DEPTH), int32(rest - DEPTH), int32(at + move)
            if step < stop:
                fetch(next_y, y, at, left, rest, size)
            multiply(acc, a, b, tile, right, at_low, begin + j)
            multiply(acc, a, b, tile, right, at_high, begin + 4 * room + j)
            begin = int32(begin ^ piece)
            if step < stop:
                put(next_y, right, begin + place)
            cuda.syncthreads()

    return sums


@functools.cache
def tile_writer(rows: int):
    """Device code: a thread's numbers s (rows, 8) to their places in the tile."""

    @device
    def write(s, tile, i, j):
        for q in range(8):
            column = int32(j + q // 4 * 32 + q % 4)
            at = int32(column * SIDE + (i ^ (column & 28)))
            for h in range(rows // 4):
                p = 4 * h
                store4(tile, at + 32 * h, s[p, q], s[p + 1, q], s[p + 2, q], s[p + 3, q])

    return write


@functools.cache
def result_writer(rows: int, width: int, wide: bool):
    """Device code: acc[p] * factor[p] to the rows of out (.., size) from `row` on, before `stop`."""

    @device
    def write(acc, factor, out, begin, row, stop, size, j):
        for p in range(rows):
            r = int32(row + p // 4 * 32 + p % 4)
            if r < stop:
                for h in range(width // 32):
                    c, q, f = int32(j + 32 * h), 4 * h, factor[p]
                    at = int32(begin + r * size + c)
                    if wide:
                        if c < size:
                            store4(
                                out,
                                at,
                                acc[p, q] * f,
                                acc[p, q + 1] * f,
                                acc[p, q + 2] * f,
                                acc[p, q + 3] * f,
                            )
                    else:
                        for e in range(4):
                            if c + e < size:
                                store(out, at + e, acc[p, q + e] * f)

    return write


# -- scores --------------------------------------------------------------------------------------------


@device
def corner(t):
    """The row and the column at which a thread's part of a tile begins."""
    return int32(udiv(t, SHARING) * 4), int32((t & (SHARING - 1)) * 4)


@functools.cache
def tile_of_block(backwards: bool):
    """Device code: the matrix of a block, and the first row of its tile; backwards: the last tile first.

    Under a causal mask the last queries see most keys. Blocks with much to do should not start last.
    """

    @device
    def place(block, size):
        tiles = udiv(size + (SIDE - 1), SIDE)
        z = udiv(block, tiles)
        tile = int32(block - z * tiles)
        return int32(z), int32((tiles - 1 - tile if backwards else tile) * SIDE)

    return place


@functools.cache
def finish_scores(rows: int, biased: bool, causal: bool, flipped: bool):
    """Device code: products -> scores in base 2, scale s + log2(e) bias; -inf where no key is to be seen.

    scale comes multiplied by log2(e). flipped: the rows of s are keys, not queries.
    """
    hidden = float32(-math.inf)
    to_base_2 = float32(LOG2E)

    @device
    def finish(s, bias, begin, row, column, queries, keys, scale, step_query, step_key):
        for p in range(rows):
            r = int32(row + p // 4 * 32 + p % 4)
            for q in range(8):
                c = int32(column + q // 4 * 32 + q % 4)
                query, key = (c, r) if flipped else (r, c)
                seen = query < queries and key < keys
                if causal:
                    seen = seen and key <= query
                value = hidden
                if seen:
                    value = s[p, q] * scale
                    if biased:
                        value += load(bias, int32(begin + query * step_query + key * step_key)) * to_base_2
                s[p, q] = value

    return finish


# -- on the host -----------------------------------------------------------------------------------------


class Bias(NamedTuple):
    """What is added to the scores, without what is repeated.

    The score of matrix z, query i, key j gets array[z // inner * outer_step + z % inner * inner_step + i *
    query_step + j * key_step]; a step is 0 where the bias is repeated.
    """

    array: CudaArray
    steps: tuple[int, int, int, int, int]
    """(inner, outer_step, inner_step, query_step, key_step)."""


@device
def bias_begin(z, inner, outer_step, inner_step):
    """Where the bias of matrix z begins."""
    return int32(udiv(z, inner) * outer_step + umod(z, inner) * inner_step)


def bias_of(bias: CudaArray | None, lead: tuple[int, ...], q: CudaArray) -> Bias:
    """The bias of scores with these leading axes; the array of q, never read, where there is none."""
    if bias is None:
        return Bias(q, (1, 0, 0, 0, 0))
    bias = bias.astype(q.dtype, copy=False)
    bias = bias.reshape((1,) * (len(lead) + 2 - bias.ndim) + bias.shape)
    bias = bias[tuple(slice(0, 1) if step == 0 else slice(None) for step in bias.strides)]
    own, ones = bias.shape[:-2], (1,) * len(lead)
    for cut in range(len(lead) + 1):
        if own[:cut] in (lead[:cut], ones[:cut]) and own[cut:] in (lead[cut:], ones[cut:]):
            break
    else:  # repeated along axes between others
        cut, own = 0, lead
        bias = np.broadcast_to(bias, (*lead, *bias.shape[-2:]))
    rows, columns = bias.shape[-2:]
    area, inside = rows * columns, math.prod(own[cut:])
    inner_step = area if inside > 1 else 0
    outer_step = area * inside if math.prod(own[:cut]) > 1 else 0
    steps = (outer_step, inner_step, columns if rows > 1 else 0, 1 if columns > 1 else 0)
    return Bias(contiguous(bias), (math.prod(lead[cut:]), *steps))


def batched(x: CudaArray, lead: tuple[int, ...], every: bool = False) -> tuple[CudaArray, int]:
    """Matrices, packed, and how many numbers lie between one and the next of the batch: 0 for only one.

    every: one that serves the whole batch is repeated.
    """
    own, area = x.shape[:-2], math.prod(x.shape[-2:])
    if math.prod(own) == 1 and not every:
        return contiguous(x), 0
    return contiguous(np.broadcast_to(x, (*lead, *x.shape[-2:]))), area


def checked(name: str, *arrays: CudaArray) -> None:
    """Raise TypeError unless the arrays are floats of one type."""
    if any(x.dtype != arrays[0].dtype or x.dtype.kind != "f" for x in arrays):
        given = ", ".join(f"{x.dtype} {x.shape}" for x in arrays)
        raise TypeError(f"{name}({given}): floats of one dtype are needed. Fix: x.float()")


def fits(q: CudaArray, v: CudaArray) -> bool:
    """Do the kernels that work tile by tile know this type and these sizes?"""
    sizes = q.shape[-1], v.shape[-1]
    return q.dtype == np.float32 and 0 < min(sizes) and max(sizes) <= WIDTHS[-1]


def tiles(n: int) -> int:
    """Tiles for n rows."""
    return -(-n // SIDE)


def is_wide(size: int, *arrays: CudaArray) -> bool:
    """May rows of this size be accessed four numbers at a time?"""
    return size % 4 == 0 and all(x.offset % 16 == 0 for x in arrays)
