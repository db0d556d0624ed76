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
from minidl.kernels.cuda.instructions import load, load4, store, store4, udiv

DEPTH = 8
"""Steps along k of a tile."""
PATCH = (32, 64)
"""Rows and columns of a warp."""
BAND = 8
"""Rows of tiles that blocks go through together: what they share of A and B stays in the cache."""


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
def multiply_tiles(rows: int, columns: int, steps: int = DEPTH):
    """acc += the product of two tiles in shared memory, from this thread's places in them on.

    The steps along k are two halves, down to one step. So there is no loop: nothing to count, and the
    compiler loads the numbers of one step during the step before.
    """
    half = steps // 2
    multiply_half = multiply_tiles(rows, columns, half) if half else None

    @device
    def multiply(acc, a, b, left, right, i, j):
        if half > 0:
            multiply_half(acc, a, b, left, right, i, j)
            multiply_half(acc, a, b, left, right, i + half * rows, j + half * columns)
        else:
            eight(a, left, i, i + 16)
            eight(b, right, j, j + 32)
            multiply_add(acc, a, b)

    return multiply


@functools.cache
def tile_places(rows: int, columns: int):
    """Which tile a block makes: place(block, m, n) -> (z, first row, first column), z counts whole results.

    blocks 0 3 6 9     The grid has one axis, so that neither rows nor matrices of a batch are limited
           1 4 7 10    to the 65535 blocks of the others. Blocks that run at the same time go down a band
           2 5 8 11    of BAND tiles (here 3) and then to the right, so they share rows and columns.
    """

    @device
    def place(block, m, n):
        high, across = udiv(m + (rows - 1), rows), udiv(n + (columns - 1), columns)
        z = udiv(block, high * across)
        rest = int32(block - z * high * across)
        band = udiv(rest, BAND * across)
        rest = int32(rest - band * BAND * across)
        tall = min(int32(high - band * BAND), int32(BAND))
        column = udiv(rest, tall)
        row = int32(band * BAND + rest - column * tall)
        return int32(z), int32(row * rows), int32(column * columns)

    return place


@functools.cache
def tile_loader(width: int, threads: int, along_k: bool, wide: bool):
    """How one operand's tile (DEPTH, width) comes to shared memory.

    Args:
        along_k: do neighbours in memory differ in k, or in their place?
        wide: by accesses of 128 bits; otherwise one by one, for operands whose rows are no multiple of four.

    Returns:
        first(t): the place and the k in a tile with which thread t begins.
        fetch(register, x, at, room, rest, step): x[at ...] -> register (PIECES, 4), with zeros from `room`
            places and from `rest` steps of k on, both counted from the first; step: how far apart rows are.
        put(register, tile, at): register -> shared memory, at = k * width + place of the first.
        PIECES: how often a thread fetches four neighbours.
        limit(room, rest): the same two for fetch, in one register if all that a thread fetches is in one row.
    """
    in_row = (DEPTH if along_k else width) // 4  # pieces of four neighbours
    pieces, jump = width * DEPTH // 4 // threads, threads // in_row

    @device
    def first(t):
        far, near = int32(t // int32(in_row)), int32(t % int32(in_row) * 4)
        return (far, near) if along_k else (near, far)

    @device
    def fetch(register, x, at, room, rest, step):
        for q in range(pieces):
            i = q * jump if along_k else 0
            j = 0 if along_k else q * jump
            for e in range(4):
                register[q, e] = float32(0)
            if wide:
                if i < room and j < rest:
                    register[q, 0], register[q, 1], register[q, 2], register[q, 3] = load4(
                        x, at + q * jump * step
                    )
            else:
                for e in range(4):
                    if (i < room and j + e < rest) if along_k else (i + e < room and j < rest):
                        register[q, e] = load(x, at + q * jump * step + e)

    @device
    def put(register, tile, at):
        for q in range(pieces):
            if along_k:
                for e in range(4):
                    store(tile, at + q * jump + e * width, register[q, e])
            else:
                to = int32(at + q * jump * width)
                store4(tile, to, register[q, 0], register[q, 1], register[q, 2], register[q, 3])

    @device
    def limit(room, rest):
        if pieces == 1 and (along_k or wide):
            return int32(1), (rest if room > 0 else int32(0))
        return room, rest

    return first, fetch, put, pieces, limit
