"""Kernels of matrix products, out = f(a b + bias): for float32, for other types, and for sums of parts.

    block -> a tile of out (tile_places), a matrix of the batch, a part of K
        while k < stop
            fetch the next tile of a, b from memory      under way while we
            multiply this one (tiles.py)
            put the next one into shared memory; barrier
        write f(acc + bias)                              the epilogue saves passes over memory

A small result of a long K, as the gradient of a weight is, has few tiles. Then several blocks work on one
tile, each sums up a part of K, and `sum_kernel` adds their numbers, always in the same order.
"""

import functools

from minidl.kernels.cuda import activation as activations
from minidl.kernels.cuda.driver import Device, Scalar, cuda, device, float32, int32, kernel
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, store, store4, udiv, umod
from minidl.kernels.cuda.tiles import (
    DEPTH,
    PATCH,
    multiply_tiles,
    threads_of,
    tile_loader,
    tile_places,
)

ACTIVATIONS = {
    None: lambda number: formula("positive", number),
    "gelu": activations.gelu_of,
    "relu": activations.relu_of,
    "sigmoid": activations.sigmoid_of,
    "tanh": lambda number: formula("tanh", number),
}
"""What can happen to a product before it is written: name -> what makes the formula for a type."""

SIDE = 16
"""Rows and columns of a tile of the plain kernel."""


@functools.cache
def activation_of(name: str | None, number: Scalar) -> Device:
    """Device code for an activation."""
    return ACTIVATIONS[name](number)


@device
def column_bias(bias, c, n):
    """The bias of a column, 0 to the right of the last one."""
    return load(bias, c) if c < n else float32(0)


@device
def no_bias(bias, c, n):
    """In its place where there is none."""
    return float32(0)


# -- float32 -------------------------------------------------------------------------------------------


@functools.cache
def product_kernel(
    tile: int,
    along_k: tuple[bool, bool],
    wide: tuple[bool, bool, bool],
    biased: bool = False,
    activation: str | None = None,
):
    """The kernel for a tile size and a layout.

    along_k: do neighbours of a, of b differ in k?  wide: may a, b and out be accessed four at a time?
    """
    threads, warps = threads_of(tile, tile), tile // PATCH[1]
    first_a, fetch_a, put_a, pieces_a, limit_a = tile_loader(tile, threads, along_k[0], wide[0])
    first_b, fetch_b, put_b, pieces_b, limit_b = tile_loader(tile, threads, along_k[1], wide[1])
    a_along_k, b_along_k = along_k
    multiply, place = multiply_tiles(tile, tile), tile_places(tile, tile)
    half, both = DEPTH * tile, 2 * DEPTH * tile
    patch_rows, patch_columns = PATCH
    begin, write = starter(biased), writer(wide[2], activation)

    @kernel(launch_bounds=(threads, 2))
    def product(a, b, bias, out, m, n, depth, parts, part, batch_a, batch_b):
        left = cuda.shared.array(both, float32, 16)
        right = cuda.shared.array(both, float32, 16)
        later = cuda.shared.array(3, int32)  # what only the end needs: no registers until then
        acc = cuda.local.array((8, 8), float32)
        x = cuda.local.array(8, float32)
        y = cuda.local.array(8, float32)
        next_a = cuda.local.array((pieces_a, 4), float32)
        next_b = cuda.local.array((pieces_b, 4), float32)
        t = int32(cuda.threadIdx.x)
        warp, lane = int32(t // int32(32)), int32(t % int32(32))
        i = int32((warp // warps) * patch_rows + (lane // 8) * 4)
        j = int32((warp % warps) * patch_columns + (lane % 8) * 4)
        z, row0, column0 = place(int32(cuda.blockIdx.x), m, n)
        if t == 0:
            later[0], later[1], later[2] = z * m * n, row0, column0
        matrix = int32(udiv(z, parts))
        k0 = int32((z - matrix * parts) * part)
        rest = int32(min(part, depth - k0))
        row, k_a = first_a(t)
        column, k_b = first_b(t)
        to_left, to_right = int32(k_a * tile + row), int32(k_b * tile + column)
        row, column = int32(row + row0), int32(column + column0)
        room_a, rest_a = limit_a(int32(m - row), int32(rest - k_a))
        room_b, rest_b = limit_b(int32(n - column), int32(rest - k_b))
        step_a, step_b = int32(depth if a_along_k else m), int32(depth if b_along_k else n)
        at_a = int32(matrix * batch_a + (row * depth + k0 + k_a if a_along_k else (k0 + k_a) * m + row))
        at_b = int32(matrix * batch_b + (column * depth + k0 + k_b if b_along_k else (k0 + k_b) * n + column))
        move_a, move_b = int32(DEPTH if a_along_k else DEPTH * m), int32(DEPTH if b_along_k else DEPTH * n)
        begin(acc, bias, column0 + j, n)
        fetch_a(next_a, a, at_a, room_a, rest_a, step_a)
        fetch_b(next_b, b, at_b, room_b, rest_b, step_b)
        put_a(next_a, left, to_left)
        put_b(next_b, right, to_right)
        cuda.syncthreads()
        while rest > 0:
            rest, rest_a, rest_b = int32(rest - DEPTH), int32(rest_a - DEPTH), int32(rest_b - DEPTH)
            at_a, at_b = int32(at_a + move_a), int32(at_b + move_b)
            to_left, to_right = int32(to_left ^ half), int32(to_right ^ half)
            if rest > 0:
                fetch_a(next_a, a, at_a, room_a, rest_a, step_a)
                fetch_b(next_b, b, at_b, room_b, rest_b, step_b)
            multiply(acc, x, y, left, right, i, j)
            i, j = int32(i ^ half), int32(j ^ half)
            if rest > 0:
                put_a(next_a, left, to_left)
                put_b(next_b, right, to_right)
            cuda.syncthreads()
        i, j = int32(later[1] + (i & (half - 1))), int32(later[2] + (j & (half - 1)))
        write(acc, 0, out, later[0], i, j, m, n)

    return product


@functools.cache
def starter(biased: bool):
    """Device code that sets a thread's 8 x 8 sums to the bias of their columns, or 0."""
    bias_of = column_bias if biased else no_bias

    @device
    def begin(acc, bias, j, n):
        for q in range(8):
            c = int32(j + (q // 4) * 32 + q % 4)
            value = bias_of(bias, c, n)
            for p in range(8):
                acc[p, q] = value

    return begin


@functools.cache
def writer(wide: bool, activation: str | None, rows: int = 8):
    """Device code that writes a thread's numbers: rows i ... i + 3, i + 16 ..., columns j, j + 32 and on.

    From row p of acc on it writes `rows`, in halves down to one: no loop, so that all indices of acc are
    constants, however long an activation is.
    """
    activate, half = activation_of(activation, float32), rows // 2
    write_half = writer(wide, activation, half) if half else None

    @device
    def write(acc, p, out, begin, i, j, m, n):
        r = int32(i + (p // 4) * 16 + p % 4)
        if half > 0:
            write_half(acc, p, out, begin, i, j, m, n)
            write_half(acc, p + half, out, begin, i, j, m, n)
        elif r < m:
            for q in range(0, 8, 4):
                c = int32(j + q * 8)
                at = int32(begin + r * n + c)
                if wide:
                    if c < n:
                        x, y = activate(acc[p, q]), activate(acc[p, q + 1])
                        store4(out, at, x, y, activate(acc[p, q + 2]), activate(acc[p, q + 3]))
                else:
                    for e in range(4):
                        if c + e < n:
                            store(out, at + e, activate(acc[p, q + e]))

    return write


@functools.cache
def sum_kernel(biased: bool, activation: str | None):
    """out (Z, area) = f(the sum over axis 1 of given (Z, parts, area) + bias): a thread for each number."""
    activate = activation_of(activation, float32)

    @kernel
    def sum_parts(given, bias, out, area, n, parts, size):
        i = int32(cuda.grid(1))
        if i < size:
            z = udiv(i, area)
            at = int32(z * parts * area + (i - z * area))
            total = float32(0)
            for _ in range(parts):
                total += load(given, at)
                at = int32(at + area)
            if biased:
                total += load(bias, umod(i, n))
            store(out, i, activate(total))

    return sum_parts


# -- other types ---------------------------------------------------------------------------------------


@functools.cache
def plain_kernel(
    number: Scalar, along_k: tuple[bool, bool], biased: bool = False, activation: str | None = None
):
    """A thread for each number of the result, tiles of 16 x 16."""
    a_along_k, b_along_k = along_k
    size = SIDE * SIDE
    place = tile_places(SIDE, SIDE)
    activate = activation_of(activation, number)

    @kernel
    def plain_product(a, b, bias, out, m, n, depth, batch_a, batch_b):
        left = cuda.shared.array(size, number)
        right = cuda.shared.array(size, number)
        x, y = int32(cuda.threadIdx.x), int32(cuda.threadIdx.y)
        z, row, column = place(int32(cuda.blockIdx.x), m, n)
        row, column = int32(row + y), int32(column + x)
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
            if biased:
                total += load(bias, column)
            store(out, (z * m + row) * n + column, activate(total))

    return plain_product
