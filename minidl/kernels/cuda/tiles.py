"""The heart of every product: a tile of the result in registers, tiles of the operands in shared memory.

    block: a tile of (rows, columns) of the result, 128 x 128 or 64 x 64
      for k0 in 0, DEPTH, ... K                         one barrier a round
          next (rows, DEPTH), (DEPTH, columns)          global memory -> registers, under way while we compute
          for k in DEPTH                                from shared memory:
              a = 8 numbers, b = 8 numbers              four accesses of 128 bits
              acc (8, 8) += a[:, None] * b              64 multiply-adds
          registers -> the other half of shared memory

Each number that is read from global memory is used 64 or 128 times, each that is read from shared memory 8
times, so the multiply-adds are most of what a multiprocessor has to issue. A warp owns a patch of 32 x 64,
4 x 8 lanes of 8 x 8: its lanes read the same few numbers at once, and meet no bank conflict.

Both operands lie in shared memory as [k][place], so that the eight numbers of a thread are neighbours. They
may come from memory either way round: along k (rows of A) or along the place (rows of B).
"""

import functools

from minidl.kernels.cuda.driver import device, float32, int32
from minidl.kernels.cuda.instructions import load, load4, store, store4

DEPTH = 8
"""Steps along k of a tile."""
PATCH = (32, 64)
"""Rows and columns of a warp."""


def threads_of(rows: int, columns: int) -> int:
    """Threads of a block that makes a tile."""
    return 32 * (rows // PATCH[0]) * (columns // PATCH[1])


@device
def eight(out, tile, i, j):
    """Two times four numbers of a tile."""
    out[0], out[1], out[2], out[3] = load4(tile, i)
    out[4], out[5], out[6], out[7] = load4(tile, j)


@device
def multiply_add(acc, a, b):
    """acc (8, 8) += a (8) x b (8)."""
    for m in range(8):
        for n in range(8):
            acc[m, n] += a[m] * b[n]


@functools.cache
def multiply_tiles(rows: int, columns: int):
    """acc += the product of two tiles in shared memory, from this thread's places in them on."""

    @device
    def multiply(acc, a, b, left, right, i, j):
        for k in range(DEPTH):
            eight(a, left, i + k * rows, i + k * rows + 16)
            eight(b, right, j + k * columns, j + k * columns + 32)
            multiply_add(acc, a, b)

    return multiply


@functools.cache
def tile_loader(width: int, threads: int, along_k: bool, wide: bool):
    """How one operand's tile (DEPTH, width) comes to shared memory.

    Args:
        along_k: do neighbours in memory differ in k, or in their place?
        wide: by accesses of 128 bits; otherwise one by one, for operands whose rows are no multiple of four.

    Returns:
        first(t): the place and the k with which thread t begins.
        fetch(register, x, at, place, k, places, stop, step): global memory -> register (PIECES, 4), zeros
            outside of `places` and from `stop` on; step: how far apart rows are in memory.
        put(register, tile, begin, t): register -> shared memory.
    """
    in_row = (DEPTH if along_k else width) // 4  # pieces of four neighbours
    pieces, jump = width * DEPTH // 4 // threads, threads // in_row

    @device
    def first(t):
        return (t // in_row, t % in_row * 4) if along_k else (t % in_row * 4, t // in_row)

    @device
    def fetch(register, x, at, place, k, places, stop, step):
        for q in range(pieces):
            i = place + q * jump if along_k else place
            j = k if along_k else k + q * jump
            for e in range(4):
                register[q, e] = float32(0)
            if wide:
                if i < places and j < stop:
                    register[q, 0], register[q, 1], register[q, 2], register[q, 3] = load4(
                        x, at + q * jump * step
                    )
            else:
                for e in range(4):
                    if (i < places and j + e < stop) if along_k else (i + e < places and j < stop):
                        register[q, e] = load(x, at + q * jump * step + e)

    @device
    def put(register, tile, begin, t):
        for q in range(pieces):
            if along_k:
                at = int32(begin + t % in_row * 4 * width + t // in_row + q * jump)
                for e in range(4):
                    store(tile, at + e * width, register[q, e])
            else:
                at = int32(begin + (t + q * threads) * 4)
                store4(tile, at, register[q, 0], register[q, 1], register[q, 2], register[q, 3])

    return first, fetch, put, pieces
