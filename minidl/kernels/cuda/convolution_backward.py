"""The gradients of a convolution to its weights and bias.

    dweight[channel, tap] = sum over pixels of g[channel, pixel] window[tap, pixel]

    block: 128 channels x 128 taps of dweight (or 64 x 64), some thousand pixels
      for 8 pixels after 8 pixels                       one barrier a round
          next g, next windows                          global memory -> registers, under way while we compute
          acc (8, 8) += g x windows                     tiles.py
          registers -> the other half of shared memory

Here the taps of a thread stay the same, and its pixel moves on: eight further, a carry into the next row, a
carry into the next image, without a division. Weights are few and pixels many, so many blocks share a tile:
each sums over its part of the pixels into an array of its own, and these are added, always in the same order.

Eight threads that are neighbours read eight pixels, so they write to eight rows of the tile in shared memory.
Rows are four numbers longer than they need be: then these writes meet no bank conflict.
"""

import functools

import numpy as np

from minidl.kernels.cuda import driver, reductions
from minidl.kernels.cuda.array import CudaArray, contiguous, empty, zeros
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, device, float32, int32, kernel
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, load4, store, udiv
from minidl.kernels.cuda.tiles import DEPTH, PATCH, multiply_tiles, threads_of, tile_places
from minidl.kernels.cuda.windows import (
    FEW,
    NOWHERE,
    QUAD,
    Windows,
    check_arrays,
    forward_windows,
    pixel_of,
    place_code,
    resident,
)

__all__ = ["convolution_backward_bias", "convolution_backward_weight"]

GAP = 4
"""Unused numbers at the end of a row in shared memory."""
LARGE, SMALL = 128, 64
"""Rows and columns of a tile."""
PART = 512
"""Pixels that are worth a block of their own."""
THREADS = 256
"""Threads of a block of the plain kernel."""


# -- pixels ----------------------------------------------------------------------------------------


@device
def moved(image, row, column, height, width, images, rows, columns):
    """A pixel so many images, rows and columns further (rows < height, columns < width)."""
    column = int32(column + columns)
    if column >= width:
        column, row = int32(column - width), int32(row + 1)
    row = int32(row + rows)
    if row >= height:
        row, image = int32(row - height), int32(image + 1)
    return int32(image + images), row, column


@functools.cache
def part_loader(size: int, threads: int):
    """How a tile (DEPTH pixels, size) comes to shared memory: thread t has pixel t % DEPTH and `pieces` rows.

    Returns put(register, tile, at), the pieces, and how far apart they are.
    """
    pieces, jump = size * DEPTH // threads, threads // DEPTH

    @device
    def put(register, tile, at):
        for q in range(pieces):
            store(tile, at + q * jump, register[q])

    return put, pieces, jump


@functools.cache
def pixel_loader(tile: int, threads: int, flat: bool):
    """How g and the windows of one pixel come to registers.

    Returns:
        choose(offsets, places, table, at, tap, taps): the taps of a thread, which it keeps.
        fetch_g(register, g, at, room, area, here): `room` rows of g. here: is there a pixel?
        fetch_x(register, x, base, spot, offsets, places, last): windows.
    """
    _, pieces, jump = part_loader(tile, threads)
    _, inside = place_code(flat)

    @device
    def choose(offsets, places, table, at, tap, taps):
        for q in range(pieces):
            k = int32(tap + q * jump)
            offsets[q], places[q] = int32(0), int32(NOWHERE)
            if k < taps:
                entry = int32(at + (k // QUAD) * 2 * QUAD + k % QUAD)
                offsets[q], places[q] = load(table, entry), load(table, entry + QUAD)

    @device
    def fetch_g(register, g, at, room, area, here):
        for q in range(pieces):
            value = float32(0)
            if here and q * jump < room:
                value = load(g, int32(at + q * jump * area))
            register[q] = value

    @device
    def fetch_x(register, x, base, spot, offsets, places, last):
        for q in range(pieces):
            value = float32(0)
            if inside(int32(spot + places[q]), last):
                value = load(x, int32(base + offsets[q]))
            register[q] = value

    return choose, fetch_g, fetch_x


# -- the kernels -----------------------------------------------------------------------------------


@functools.cache
def weight_kernel(tile: int, flat: bool):
    """dweight (parts, groups m, taps), for tiles of tile x tile."""
    threads, warps = threads_of(tile, tile), tile // PATCH[1]
    put, pieces, _ = part_loader(tile, threads)
    choose, fetch_g, fetch_x = pixel_loader(tile, threads, flat)
    pack, _ = place_code(flat)
    steps, row_step = DEPTH // 2 if tile == LARGE else DEPTH, tile + GAP  # two rounds need fewer registers
    multiply, place = multiply_tiles(row_step, row_step, steps), tile_places(tile, tile)
    half, both = DEPTH * (tile + GAP), 2 * DEPTH * (tile + GAP)
    patch_rows, patch_columns = PATCH

    @kernel(launch_bounds=(threads, resident(tile) // threads))
    def convolve_weight(
        g, x, out, table, m, taps, pixels, groups, part, x_group, x_width, last, step_y, step_x,
        move_image, move_row, move_column,
    ):  # fmt: skip
        left_tile = cuda.shared.array(both, float32, 16)
        right_tile = cuda.shared.array(both, float32, 16)
        acc = cuda.local.array((8, 8), float32)
        p = cuda.local.array(8, float32)
        q = cuda.local.array(8, float32)
        next_g = cuda.local.array(pieces, float32)
        next_x = cuda.local.array(pieces, float32)
        offsets = cuda.local.array(pieces, int32)
        places = cuda.local.array(pieces, int32)
        t = int32(cuda.threadIdx.x)
        z, row0, column0 = place(int32(cuda.blockIdx.x), m, taps)
        number = int32(udiv(z, groups))
        group = int32(z - number * groups)
        height, width, top, left = load4(table, 0)
        area, first = int32(height * width), load(table, 5)
        begin = int32(number * part)
        mine, far = int32(t % DEPTH), int32(t // DEPTH)
        image, y, c = pixel_of(begin + mine, height, width)
        choose(offsets, places, table, first, column0 + far, taps)
        room, plane = int32(m - row0 - far), int32(group * m + row0 + far)
        warp, lane = int32(t // int32(32)), int32(t % int32(32))
        i = int32((warp // warps) * patch_rows + (lane // 8) * 4)
        j = int32((warp % warps) * patch_columns + (lane % 8) * 4)
        for a in range(8):
            for b in range(8):
                acc[a, b] = float32(0)
        to, now, count = int32(mine * row_step + far), int32(half), int32(min(part, pixels - begin))
        rest = int32(count + DEPTH)  # one round more: the first only fetches
        while rest > 0:
            rest = int32(rest - DEPTH)
            if rest > 0:
                h, w = int32(y * step_y + top), int32(c * step_x + left)
                base = int32((image * groups + group) * x_group + h * x_width + w)
                at = int32((image * groups * m + plane) * area + y * width + c)
                spot = pack(h, w) if mine < rest else int32(NOWHERE)
                fetch_g(next_g, g, at, room, area, mine < rest)
                fetch_x(next_x, x, base, spot, offsets, places, last)
                image, y, c = moved(image, y, c, height, width, move_image, move_row, move_column)
            if rest < count:
                for k in range(0, DEPTH, steps):
                    at_k = int32(now + k * row_step)
                    multiply(acc, p, q, left_tile, right_tile, at_k + i, at_k + j)
            now = int32(half - now)
            if rest > 0:
                put(next_g, left_tile, now + to)
                put(next_x, right_tile, now + to)
            cuda.syncthreads()
        write(acc, out, (number * groups + group) * m * taps, row0 + i, column0 + j, m, taps)

    return convolve_weight


@device
def write(acc, out, begin, i, j, m, n):
    """A thread's 8 x 8 numbers, of rows i, i + 16 and on, columns j, j + 32 and on -> out (m, n)."""
    for p in range(8):
        row = int32(i + (p // 4) * 16 + p % 4)
        if row < m:
            for q in range(8):
                column = int32(j + (q // 4) * 32 + q % 4)
                if column < n:
                    store(out, int32(begin + row * n + column), acc[p, q])


@functools.cache
def plain_weight_kernel(number: Scalar, flat: bool):
    """A block for each weight: its threads go over all pixels, then their sums meet."""
    fold = reductions.fold_block(formula("add", number), number, THREADS)
    pack, inside = place_code(flat)

    @kernel
    def convolve_weight_plain(
        g, x, out, table, m, taps, pixels, groups, part, x_group, x_width, last, step_y, step_x,
        move_image, move_row, move_column,
    ):  # fmt: skip
        block = int32(cuda.blockIdx.x)
        channel = int32(udiv(block, taps))
        k = int32(block - channel * taps)
        height, width, top, left = load4(table, 0)
        entry = int32(load(table, 5) + (k // QUAD) * 2 * QUAD + k % QUAD)
        offset, move = load(table, entry), load(table, entry + QUAD)
        group = int32(udiv(channel, m))
        pixel = int32(cuda.threadIdx.x)
        image, y, c = pixel_of(pixel, height, width)
        total = number(0)
        while pixel < pixels:
            h, w = int32(y * step_y + top), int32(c * step_x + left)
            if inside(int32(pack(h, w) + move), last):
                base = int32((image * groups + group) * x_group + h * x_width + w)
                at = int32(((image * groups * m + channel) * height + y) * width + c)
                total += load(g, at) * load(x, int32(base + offset))
            pixel = int32(pixel + THREADS)
            image, y, c = moved(image, y, c, height, width, move_image, move_row, move_column)
        total = fold(total)
        if cuda.threadIdx.x == 0:
            store(out, block, total)

    return convolve_weight_plain


# -- on the host -----------------------------------------------------------------------------------


def plan(m: int, taps: int, groups: int, pixels: int, multiprocessors: int) -> tuple[int, int]:
    """The tile, and into how many parts the pixels are cut, so that the multiprocessors have something to do.

    >>> plan(256, 2304, 1, 50_000, 132), plan(6, 25, 1, 50_000, 132)
    ((128, 7), (64, 97))
    """
    tile = LARGE if m > SMALL and taps > SMALL else SMALL
    blocks = -(-m // tile) * -(-taps // tile) * groups
    per_multiprocessor = resident(tile) // threads_of(tile, tile)
    return tile, max(1, min(per_multiprocessor * multiprocessors // blocks, pixels // PART))


def _run(g: CudaArray, x: CudaArray, w: Windows, groups: int, taps: int) -> CudaArray:
    """dweight (O, taps): in parts, then their sum."""
    m, area = g.shape[1] // groups, w.out_size[0] * w.out_size[1]
    pixels, width = len(g) * area, w.out_size[1]
    plain = m <= FEW or g.dtype != np.float32
    tile, parts = plan(m, taps, groups, pixels, driver.device_properties().multiprocessors)
    part = -(-pixels // parts // DEPTH) * DEPTH
    parts = 1 if plain else -(-pixels // part)
    out = empty((parts, g.shape[1], taps), g.dtype)
    step = THREADS if plain else DEPTH
    move = (step // area, step // width % w.out_size[0], step % width)
    sizes = (m, taps, pixels, groups, part, x.shape[1] // groups * w.size[0] * w.size[1], w.size[1], w.last)
    args = (contiguous(g), contiguous(x), out, w.table, *sizes, *w.step, *move)
    if plain:
        plain_weight_kernel(SCALARS[g.dtype], w.flat)[out.size, THREADS](*args)
    else:
        blocks = -(-m // tile) * -(-taps // tile) * groups * parts
        weight_kernel(tile, w.flat)[blocks, threads_of(tile, tile)](*args)
    return out[0] if parts == 1 else reductions.reduce("add", out, (0,))


def convolution_backward_weight(g, x, kernel, stride, padding, dilation, groups):
    """`reference.convolution_backward_weight`, for one or two axes of space."""
    check_arrays("convolution_backward_weight", x.shape[2:], g, x)
    shape = (g.shape[1], x.shape[1] // groups, *kernel)
    if not g.size or not x.size:
        return zeros(shape, g.dtype)
    window = map(tuple, (x.shape[2:], g.shape[2:], kernel, stride, padding, dilation))
    w = forward_windows(shape[1], *window, driver.simulating())
    return _run(g, x, w, groups, shape[1] * w.taps).reshape(shape)


def convolution_backward_bias(g):
    """`reference.convolution_backward_bias`."""
    return reductions.reduce("add", g, (0, *range(2, g.ndim)))
