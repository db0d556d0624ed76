"""Matrix products on tensor cores (from compute capability 8.0 on), which read float32 rounded to TF32.

    a number in float32   1 bit sign, 8 bits exponent, 23 bits mantissa
    a number in TF32      1 bit sign, 8 bits exponent, 10 bits mantissa; sums are still float32

One instruction of a warp multiplies 16 x 8 by 8 x 8 numbers, so the arithmetic is several times faster than
one multiply-add at a time; the price is a relative error of 2^-11 in each factor. So it is done only where it
is allowed (`products.allow_tf32`).

    block: a tile of out; warp: 64 x 32 of it, 4 x 4 pieces of 16 x 8
      for k0 in 0, 16, ... K
          the next tiles: global memory -> shared memory, in the background (cp.async), no registers needed
          wait for the tiles of this round; barrier
          for 8 steps of k: 24 numbers a lane from shared memory, rounded; 16 instructions

The lanes of a warp read 8 places x 4 steps of k at once. Rows of a tile are padded by 4 (along k) or 8
numbers, so that these lie in 32 different banks.
"""

import functools

from minidl.kernels.cuda.driver import cuda, device, float32, int32, kernel
from minidl.kernels.cuda.gemm import column_bias, no_bias
from minidl.kernels.cuda.instructions import (
    copy_async4,
    copy_commit,
    copy_wait,
    load,
    mma_tf32,
    store,
    to_tf32,
    udiv,
)
from minidl.kernels.cuda.tiles import tile_places

DEPTH = 16
"""Steps along k of a tile."""
PATCH = (64, 32)
"""Rows and columns of a warp."""
CAPABILITY = (8, 0)
"""The first compute capability with these instructions."""


def threads_of(tile: int) -> int:
    """Threads of a block."""
    return 32 * (tile // PATCH[0]) * (tile // PATCH[1])


@functools.cache
def product_kernel(tile: int, along_k: tuple[bool, bool], biased: bool = False):
    """The kernel for a tile size and a layout, as `gemm.product_kernel`; operands have rows of 4 n."""
    warps = tile // PATCH[1]
    first_a, stage_a, half_a, place_a, step_a = tile_copier(tile, along_k[0])
    first_b, stage_b, half_b, place_b, step_b = tile_copier(tile, along_k[1])
    both_a, both_b = 2 * half_a, 2 * half_b
    a_along_k, b_along_k = along_k
    patch_rows, patch_columns = PATCH
    multiply, place = multiply_tiles((place_a, step_a), (place_b, step_b)), tile_places(tile, tile)
    begin = starter(biased)

    @kernel(launch_bounds=(threads_of(tile), 2))
    def product_tf32(a, b, bias, out, m, n, depth, parts, part, batch_a, batch_b):
        left = cuda.shared.array(both_a, float32, 16)
        right = cuda.shared.array(both_b, float32, 16)
        acc = cuda.local.array((4, 4, 4), float32)
        x = cuda.local.array((4, 4), float32)
        t = int32(cuda.threadIdx.x)
        warp, lane = int32(t // int32(32)), int32(t % int32(32))
        i = int32((warp // warps) * patch_rows + lane // 4)
        j = int32((warp % warps) * patch_columns)
        z, row0, column0 = place(int32(cuda.blockIdx.x), m, n)
        matrix = int32(udiv(z, parts))
        k0 = int32((z - matrix * parts) * part)
        rest = int32(min(part, depth - k0))
        row, k_a = first_a(t)
        column, k_b = first_b(t)
        to_left, to_right = int32(row * place_a + k_a * step_a), int32(column * place_b + k_b * step_b)
        row, column = int32(row + row0), int32(column + column0)
        room_a, room_b = int32(m - row), int32(n - column)
        row_a, row_b = int32(depth if a_along_k else m), int32(depth if b_along_k else n)
        at_a = int32(matrix * batch_a + (row * depth + k0 + k_a if a_along_k else (k0 + k_a) * m + row))
        at_b = int32(matrix * batch_b + (column * depth + k0 + k_b if b_along_k else (k0 + k_b) * n + column))
        move_a, move_b = int32(DEPTH if a_along_k else DEPTH * m), int32(DEPTH if b_along_k else DEPTH * n)
        from_left = int32(i * place_a + lane % 4 * step_a)
        from_right = int32((j + lane // 4) * place_b + lane % 4 * step_b)
        begin(acc, bias, column0 + j + lane % 4 * 2, n)
        stage_a(left, to_left, a, at_a, room_a, rest - k_a, row_a)
        stage_b(right, to_right, b, at_b, room_b, rest - k_b, row_b)
        copy_commit()
        here_a, here_b = int32(0), int32(0)
        while rest > 0:
            rest = int32(rest - DEPTH)
            at_a, at_b = int32(at_a + move_a), int32(at_b + move_b)
            if rest > 0:
                stage_a(left, to_left + half_a - here_a, a, at_a, room_a, rest - k_a, row_a)
                stage_b(right, to_right + half_b - here_b, b, at_b, room_b, rest - k_b, row_b)
            copy_commit()
            copy_wait(1)
            cuda.syncthreads()
            multiply(acc, x, left, right, here_a + from_left, here_b + from_right)
            cuda.syncthreads()
            here_a, here_b = int32(half_a - here_a), int32(half_b - here_b)
        write(acc, out, z * m * n, row0 + i, column0 + j + lane % 4 * 2, m, n)

    return product_tf32


@functools.cache
def tile_copier(width: int, along_k: bool):
    """How one operand's tile comes to shared memory: as [place][k] if it lies along k, else as [k][place].

    Returns:
        first(t): the place and the k with which thread t begins.
        stage(tile, to, x, at, room, rest, row): starts the copies, zeros outside; as `fetch` in tiles.py.
        HALF, PLACE, STEP: numbers of a tile; how far apart places, and steps of k, are in it.
    """
    threads = threads_of(width)
    in_row = (DEPTH if along_k else width) // 4  # pieces of four neighbours
    pieces, jump = width * DEPTH // 4 // threads, threads // in_row
    padded = DEPTH + 4 if along_k else width + 8
    half = padded * (width if along_k else DEPTH)

    @device
    def first(t):
        far, near = int32(t // int32(in_row)), int32(t % int32(in_row) * 4)
        return (far, near) if along_k else (near, far)

    @device
    def stage(tile, to, x, at, room, rest, row):
        for q in range(pieces):
            inside = (q * jump < room and rest > 0) if along_k else (room > 0 and q * jump < rest)
            source = int32(at + q * jump * row) if inside else int32(0)
            copy_async4(tile, to + q * jump * padded, x, source, int32(16) if inside else int32(0))

    return first, stage, half, padded if along_k else 1, 1 if along_k else padded


@functools.cache
def multiply_tiles(layout_a: tuple[int, int], layout_b: tuple[int, int]):
    """acc += the product of two tiles in shared memory, from this lane's places in them on."""
    (place_a, step_a), (place_b, step_b) = layout_a, layout_b

    @device
    def multiply(acc, a, left, right, i, j):
        for k in range(0, DEPTH, 8):
            for p in range(4):
                for e in range(4):
                    at = i + (16 * p + e % 2 * 8) * place_a + (k + e // 2 * 4) * step_a
                    a[p, e] = to_tf32(load(left, at))
            for q in range(4):
                at = j + 8 * q * place_b + k * step_b
                low, high = to_tf32(load(right, at)), to_tf32(load(right, at + 4 * step_b))
                for p in range(4):
                    acc[p, q, 0], acc[p, q, 1], acc[p, q, 2], acc[p, q, 3] = mma_tf32(
                        acc[p, q, 0], acc[p, q, 1], acc[p, q, 2], acc[p, q, 3],
                        a[p, 0], a[p, 1], a[p, 2], a[p, 3], low, high,
                    )  # fmt: skip

    return multiply


@functools.cache
def starter(biased: bool):
    """Device code that sets a lane's 4 x 4 x 4 sums to the bias of their columns, or 0."""
    bias_of = column_bias if biased else no_bias

    @device
    def begin(acc, bias, j, n):
        for q in range(4):
            for e in range(4):
                c = int32(j + q * 8 + e % 2)
                value = bias_of(bias, c, n)
                for p in range(4):
                    acc[p, q, e] = value

    return begin


@device
def write(acc, out, start, i, j, m, n):
    """Write a lane's numbers: rows i, i + 8, i + 16 ..., columns j, j + 1, j + 8, j + 9 ..."""
    for p in range(4):
        for q in range(4):
            for e in range(4):
                r, c = int32(i + p * 16 + e // 2 * 8), int32(j + q * 8 + e % 2)
                if r < m and c < n:
                    store(out, start + r * n + c, acc[p, q, e])
