"""Rows of a table: looked up, and added into.

    take_rows     a thread copies four neighbours of a row, in one access of 128 bits
    add_rows      a warp looks at 32 row numbers at once, and adds those rows of g that belong to its row:

        block: row v of the table, 32 columns
            warp w: row numbers 128 w ... 128 w + 127 of every 1024
                ballot: which of 32 are v?            32 comparisons in two instructions
                for each of those: total += g[j, columns]
            the totals of the eight warps are added up in shared memory

The order of additions never changes, so neither does a sum. But each row of the table looks at all row
numbers: V N comparisons for each 32 columns, which beside the reading of g is little for a table of some
hundred rows, and too much for one of 50,000. There, where few rows meet, every thread adds its number of g by
an atomic addition. In what order these happen is chance, and with it the last digits of a sum.
"""

import functools
import math

from minidl.kernels.cuda.array import CudaArray, contiguous, empty, zeros
from minidl.kernels.cuda.driver import FULL_WARP, SCALARS, Scalar, cuda, int32, kernel, uint32
from minidl.kernels.cuda.instructions import load, load4, store, store4, udiv
from minidl.kernels.cuda.pointwise import is_aligned

__all__ = ["add_rows", "take_rows"]

THREADS, WARP, WARPS = 256, 32, 8
"""Threads in a block and in a warp, warps in a block."""
AHEAD = 4
"""Row numbers, and numbers of g, that a thread reads before it uses them: it waits once, not four times."""
COMPARED = 2**26
"""Comparisons of row numbers, over all blocks, up to which `add_rows` makes them. By the instructions that
they take, a large GPU makes about a million a microsecond."""
MOST = 2**31 - 2**20
"""Elements of an array, so that their numbers fit into 32 bits."""


# -- looking up ------------------------------------------------------------------------------------


@functools.cache
def take_kernel(number: Scalar, width: int):
    """out[j] = table[rows[j]], `width` elements a thread; nan where there is no such row."""
    nothing = number(math.nan)

    @kernel
    def take(table, rows, out, n, count, columns):
        i = int32(cuda.grid(1) * width)
        if i < n:
            j = int32(udiv(i, columns))
            row = load(rows, j)
            inside = row >= 0 and row < count
            at = int32(row * columns + i - j * columns)
            if width == 4:
                a, b, c, d = nothing, nothing, nothing, nothing
                if inside:
                    a, b, c, d = load4(table, at)
                store4(out, i, a, b, c, d)
            else:
                store(out, i, load(table, at) if inside else nothing)

    return take


def _check(name: str, values: CudaArray, rows: CudaArray, size: int) -> None:
    if values.ndim != 2 or rows.ndim != 1 or rows.dtype.kind not in "iu" or values.dtype.kind != "f":
        raise TypeError(
            f"{name}({values.dtype} {values.shape}, rows: {rows.dtype} {rows.shape}): a matrix of floats and "
            "one axis of whole numbers are needed. Fix: x.float(), rows.long()"
        )
    if max(size, values.size) > MOST:
        raise NotImplementedError(f"{name} of {max(size, values.size)} elements: at most {MOST}")


def take_rows(table: CudaArray, rows: CudaArray) -> CudaArray:
    """`reference.take_rows`. A row number outside [0, V) gives nan: to refuse it, the host would wait."""
    count, columns = table.shape[0], table.shape[-1]
    _check("take_rows", table, rows, rows.size * columns)
    out = empty((rows.size, columns), table.dtype)
    if not out.size:
        return out
    table, rows = contiguous(table), contiguous(rows)
    width = 4 if table.itemsize == 4 and columns % 4 == 0 and is_aligned(table) else 1
    run = take_kernel(SCALARS[table.dtype], width)[-(-out.size // (width * THREADS)), THREADS]
    run(table, rows, out, out.size, count, columns)
    return out


# -- adding ----------------------------------------------------------------------------------------


@functools.cache
def add_kernel(number: Scalar):
    """out[v] = the sum of those rows of g (n, columns) whose number is v: a block for 32 columns of a row."""

    @kernel
    def add(rows, g, out, n, columns, tiles):
        totals = cuda.shared.array(THREADS, number)
        thread = int32(cuda.threadIdx.x)
        lane, warp = int32(thread & (WARP - 1)), int32(udiv(thread, WARP))
        v = int32(udiv(cuda.blockIdx.x, tiles))
        column = int32((cuda.blockIdx.x - v * tiles) * WARP + lane)
        total = number(0)
        mine = cuda.local.array(AHEAD, int32)
        addends = cuda.local.array(AHEAD, number)
        for start in range(int32(warp * WARP * AHEAD), n, THREADS * AHEAD):
            for q in range(AHEAD):
                j = int32(start + q * WARP + lane)
                mine[q] = 1 if j < n and load(rows, min(j, n - 1)) == v else 0
            for q in range(AHEAD):
                first = int32(start + q * WARP)
                found = uint32(cuda.ballot_sync(FULL_WARP, mine[q]))
                while found != 0:
                    for k in range(AHEAD):
                        rest = uint32(found & uint32(found - 1))  # without its lowest bit
                        i = int32((first + cuda.popc(uint32((found ^ rest) - 1))) * columns + column)
                        addends[k] = load(g, i) if found != 0 and column < columns else number(0)
                        found = rest
                    total += (addends[0] + addends[1]) + (addends[2] + addends[3])
        store(totals, thread, total)
        cuda.syncthreads()
        if warp == 0 and column < columns:
            for k in range(1, WARPS):
                total += load(totals, int32(k * WARP + lane))
            store(out, int32(v * columns + column), total)

    return add


@kernel
def add_atomically(rows, g, out, n, count, columns):
    """out[rows[j]] += g[j], a thread an element of g (n elements)."""
    i = int32(cuda.grid(1))
    if i < n:
        j = int32(udiv(i, columns))
        row = load(rows, j)
        if row >= 0 and row < count:
            cuda.atomic.add(out, int32(row * columns + i - j * columns), load(g, i))


def add_rows(rows: CudaArray, g: CudaArray, count: int) -> CudaArray:
    """`reference.add_rows`. Rows of g whose number is outside [0, count) are left out."""
    columns = g.shape[-1]
    _check("add_rows", g, rows, count * columns)
    if not g.size or not count:
        return zeros((count, columns), g.dtype)
    rows, g = contiguous(rows), contiguous(g)
    tiles = -(-columns // WARP)
    if count * tiles * rows.size > COMPARED:
        out = zeros((count, columns), g.dtype)
        add_atomically[-(-g.size // THREADS), THREADS](rows, g, out, g.size, count, columns)
    else:
        out = empty((count, columns), g.dtype)
        add_kernel(SCALARS[g.dtype])[count * tiles, THREADS](rows, g, out, rows.size, columns, tiles)
    return out
