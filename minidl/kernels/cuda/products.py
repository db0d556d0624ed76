"""Matrix products.

    grid: tiles of columns, tiles of rows, matrices of the batch times parts of K
    block: see `tiles.py`

A product of two large matrices keeps every multiprocessor busy with tiles of 128 x 128. Smaller ones have too
few of those, so their tiles are 64 x 64; and where even these are few but K is long (gradients of weights),
blocks share a tile, each sums up a part of K, and a second kernel adds the parts, always in the same order.

Operands may be transposed: a tile is loaded either way round, so nothing is copied. What else is not packed
(slices of columns, say) is packed first. Other types than float32 have a plain tiled kernel.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from minidl.kernels.cuda import driver, reductions
from minidl.kernels.cuda.array import CudaArray, contiguous, copy_into, empty, zeros
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, float32, int32, kernel
from minidl.kernels.cuda.instructions import load, store, store4, udiv
from minidl.kernels.cuda.tiles import DEPTH, PATCH, multiply_tiles, threads_of, tile_loader

__all__ = ["matmul"]

LARGE, SMALL = 128, 64
"""Rows and columns of a tile."""
PART = 256
"""Steps along k that are worth a block of their own."""
SIDE = 16
"""Rows and columns of a tile of the plain kernel."""


# -- float32 -------------------------------------------------------------------------------------------


@functools.cache
def product_kernel(rows: int, columns: int, along_k: tuple[bool, bool], wide: tuple[bool, bool, bool]):
    """The kernel for a tile size and a layout.

    along_k: do neighbours of a, of b differ in k?  wide: may a, b and the result be accessed four at a time?
    """
    threads, warps = threads_of(rows, columns), columns // PATCH[1]
    first_a, fetch_a, put_a, pieces_a = tile_loader(rows, threads, along_k[0], wide[0])
    first_b, fetch_b, put_b, pieces_b = tile_loader(columns, threads, along_k[1], wide[1])
    a_along_k, b_along_k = along_k
    multiply = multiply_tiles(rows, columns)
    half_a, half_b = DEPTH * rows, DEPTH * columns
    both_a, both_b = 2 * half_a, 2 * half_b
    patch_rows, patch_columns = PATCH
    write = writer(wide[2])

    @kernel(launch_bounds=(threads, 2))
    def product(a, b, out, m, n, depth, parts, part, batch_a, batch_b):
        left = cuda.shared.array(both_a, float32, 16)
        right = cuda.shared.array(both_b, float32, 16)
        acc = cuda.local.array((8, 8), float32)
        x = cuda.local.array(8, float32)
        y = cuda.local.array(8, float32)
        next_a = cuda.local.array((pieces_a, 4), float32)
        next_b = cuda.local.array((pieces_b, 4), float32)
        t = int32(cuda.threadIdx.x)
        warp, lane = int32(t // int32(32)), int32(t % int32(32))
        i = int32((warp // warps) * patch_rows + (lane // 8) * 4)
        j = int32((warp % warps) * patch_columns + (lane % 8) * 4)
        row0, column0 = int32(cuda.blockIdx.y * rows), int32(cuda.blockIdx.x * columns)
        z = int32(cuda.blockIdx.z)
        matrix = int32(udiv(z, parts))
        k = int32((z - matrix * parts) * part)
        stop = int32(min(k + part, depth))
        place_a, k_a = first_a(t)
        place_b, k_b = first_b(t)
        place_a, k_a = int32(place_a + row0), int32(k_a + k)
        place_b, k_b = int32(place_b + column0), int32(k_b + k)
        step_a, step_b = int32(depth if a_along_k else m), int32(depth if b_along_k else n)
        at_a = int32(matrix * batch_a + (place_a * depth + k_a if a_along_k else k_a * m + place_a))
        at_b = int32(matrix * batch_b + (place_b * depth + k_b if b_along_k else k_b * n + place_b))
        move_a, move_b = int32(DEPTH if a_along_k else DEPTH * m), int32(DEPTH if b_along_k else DEPTH * n)
        for p in range(8):
            for q in range(8):
                acc[p, q] = float32(0)
        fetch_a(next_a, a, at_a, place_a, k_a, m, stop, step_a)
        fetch_b(next_b, b, at_b, place_b, k_b, n, stop, step_b)
        put_a(next_a, left, 0, t)
        put_b(next_b, right, 0, t)
        cuda.syncthreads()
        begin_a, begin_b = int32(0), int32(0)
        while k < stop:
            k = int32(k + DEPTH)
            k_a, k_b = int32(k_a + DEPTH), int32(k_b + DEPTH)
            at_a, at_b = int32(at_a + move_a), int32(at_b + move_b)
            if k < stop:
                fetch_a(next_a, a, at_a, place_a, k_a, m, stop, step_a)
                fetch_b(next_b, b, at_b, place_b, k_b, n, stop, step_b)
            multiply(acc, x, y, left, right, begin_a + i, begin_b + j)
            begin_a, begin_b = int32(begin_a ^ half_a), int32(begin_b ^ half_b)
            if k < stop:
                put_a(next_a, left, begin_a, t)
                put_b(next_b, right, begin_b, t)
            cuda.syncthreads()
        write(acc, out, z * m * n, row0 + i, column0 + j, m, n)

    return product


@functools.cache
def writer(wide: bool):
    """Device code that writes a thread's 8 x 8 numbers: rows i ... i + 3 and i + 16 ..., columns likewise."""

    @driver.device
    def write(acc, out, begin, i, j, m, n):
        for p in range(8):
            r = int32(i + (p // 4) * 16 + p % 4)
            if r < m:
                for half in range(2):
                    c = int32(j + half * 32)
                    at = int32(begin + r * n + c)
                    if wide:
                        if c < n:
                            q = 4 * half
                            store4(out, at, acc[p, q], acc[p, q + 1], acc[p, q + 2], acc[p, q + 3])
                    else:
                        for e in range(4):
                            if c + e < n:
                                store(out, at + e, acc[p, 4 * half + e])

    return write


# -- other types ---------------------------------------------------------------------------------------


@functools.cache
def plain_kernel(number: Scalar, along_k: tuple[bool, bool]):
    """A thread for each number of the result, tiles of 16 x 16."""
    a_along_k, b_along_k = along_k
    size = SIDE * SIDE

    @kernel
    def plain_product(a, b, out, m, n, depth, batch_a, batch_b):
        left = cuda.shared.array(size, number)
        right = cuda.shared.array(size, number)
        x, y, z = int32(cuda.threadIdx.x), int32(cuda.threadIdx.y), int32(cuda.blockIdx.z)
        row, column = int32(cuda.blockIdx.y * SIDE + y), int32(cuda.blockIdx.x * SIDE + x)
        begin_a, begin_b = int32(z * batch_a), int32(z * batch_b)
        total = number(0)
        for k0 in range(0, depth, SIDE):
            k = int32(k0 + x)
            value = number(0)
            if row < m and k < depth:
                value = load(a, begin_a + (row * depth + k if a_along_k else k * m + row))
            store(left, y * SIDE + x, value)
            k = int32(k0 + y)
            value = number(0)
            if column < n and k < depth:
                value = load(b, begin_b + (column * depth + k if b_along_k else k * n + column))
            store(right, y * SIDE + x, value)
            cuda.syncthreads()
            for step in range(SIDE):
                total += load(left, y * SIDE + step) * load(right, step * SIDE + x)
            cuda.syncthreads()
        if row < m and column < n:
            store(out, (z * m + row) * n + column, total)

    return plain_product


# -- on the host ---------------------------------------------------------------------------------------


class Operand(NamedTuple):
    """A batch of matrices: packed, as it lies or transposed; `batch`: numbers from one to the next, or 0."""

    array: CudaArray
    transposed: bool
    batch: int


def operand(x: CudaArray, lead: tuple[int, ...]) -> Operand:
    """A factor of a product with these leading axes, copied only if its layout is neither of the two."""
    rows, columns = x.shape[-2:]
    own = x.shape[:-2]
    if math.prod(own) > 1 and (own != lead or 0 in x.strides[: len(own)]):  # broadcast along some axes only
        x, own = contiguous(np.broadcast_to(x, (*lead, rows, columns))), lead
    if math.prod(own) == 1:
        x = x.reshape(rows, columns)
    flipped = x.swapaxes(-1, -2)
    if not x.flags.c_contiguous and flipped.flags.c_contiguous:
        return Operand(flipped, True, 0 if x.ndim == 2 else rows * columns)
    return Operand(contiguous(x), False, 0 if x.ndim == 2 else rows * columns)


def _is_wide(x: CudaArray, row: int) -> bool:
    return row % 4 == 0 and x.offset % 16 == 0


def _tiles(m: int, n: int, tile: int) -> int:
    return -(-m // tile) * -(-n // tile)


def plan(m: int, n: int, k: int, batch: int, multiprocessors: int) -> tuple[int, int]:
    """The tile, and into how many parts K is cut, so that the multiprocessors have something to do."""
    if _tiles(m, n, LARGE) * batch >= multiprocessors:
        return LARGE, 1
    blocks = _tiles(m, n, SMALL) * batch
    return SMALL, max(1, min(2 * multiprocessors // blocks, k // PART))


def _product_float32(a: Operand, b: Operand, out: CudaArray, m: int, n: int, k: int, batch: int) -> None:
    tile, parts = plan(m, n, k, batch, driver.device_properties().multiprocessors)
    part = -(-k // parts // DEPTH) * DEPTH
    parts = -(-k // part)
    along_k = (not a.transposed, b.transposed)
    wide = (
        _is_wide(a.array, k if along_k[0] else m),
        _is_wide(b.array, k if along_k[1] else n),
        _is_wide(out, n),
    )
    target = out if parts == 1 else empty((batch, parts, m, n), np.float32)
    grid = (-(-n // tile), -(-m // tile), batch * parts)
    product_kernel(tile, tile, along_k, wide)[grid, threads_of(tile, tile)](
        a.array, b.array, target, m, n, k, parts, part, a.batch, b.batch
    )
    if parts > 1:
        copy_into(reductions.reduce("add", target, (1,), False).reshape(out.shape), out)


def _product(a: CudaArray, b: CudaArray, out: CudaArray) -> None:
    """out (..., M, N) = a (..., M, K) b (..., K, N); out is packed and not empty, K is not 0."""
    lead, (m, n), k = out.shape[:-2], out.shape[-2:], a.shape[-1]
    batch, left, right = math.prod(lead), operand(a, lead), operand(b, lead)
    if right.batch == 0 and batch > 1 and not left.transposed and left.batch:  # one tall matrix
        m, batch, left = m * batch, 1, Operand(left.array, False, 0)
    if a.dtype == np.float32:
        _product_float32(left, right, out, m, n, k, batch)
        return
    grid = (-(-n // SIDE), -(-m // SIDE), batch)
    plain_kernel(SCALARS[a.dtype], (not left.transposed, right.transposed))[grid, (SIDE, SIDE)](
        left.array, right.array, out, m, n, k, left.batch, right.batch
    )


def matmul(a: CudaArray, b: CudaArray, out: CudaArray | None = None) -> CudaArray:
    """`np.matmul`: (..., M, K), (..., K, N) -> (..., M, N); a vector is one row (left) or column (right).

    Raises:
        ValueError: shapes that do not fit. TypeError: operands of different types, or booleans.
    """
    if a.dtype != b.dtype or a.dtype == np.bool_:
        raise TypeError(
            f"matmul of {a.dtype} and {b.dtype}: both must be numbers of one type. Fix: x.astype(...)"
        )
    if not a.ndim or not b.ndim:
        raise ValueError("matmul: an operand has no axis. Fix: use * for numbers")
    left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul of {a.shape} and {b.shape}: inner sizes must agree")
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*lead, left.shape[-2], right.shape[-1])
    result = zeros(shape, a.dtype) if not left.shape[-1] else empty(shape, a.dtype)
    if result.size and left.shape[-1]:
        _product(left, right, result)
    result = result[..., 0] if b.ndim == 1 else result
    result = (result[..., 0] if b.ndim == 1 else result[..., 0, :]) if a.ndim == 1 else result
    if out is None:
        return result
    copy_into(result, out)
    return out
