"""Notebook 19: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import numpy as np

from minidl.course.exercises.n19_gpu_kernels import add_bias, grid
from minidl.kernels.cuda.driver import cuda, device, float32, kernel
from minidl.kernels.cuda.instructions import load, store

# 19.1


def place_by_columns(bx, by, tx, ty, width, height, columns):
    return bx * width + tx + columns * (height * by + ty)


def place_in_numpy(bx, by, tx, ty, width, height, columns):
    return np.ravel_multi_index((by * height + ty, bx * width + tx), (10_000, columns))


# 19.2


def answer(grid=grid, kernel=add_bias):
    return {"grid": grid, "kernel": kernel}


def grid_by_adding(rows, columns):
    return (columns + 31) // 32, (rows + 7) // 8


def bias_with_early_return(x, bias, out, rows, columns):
    row = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    column = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if row >= rows or column >= columns:
        return
    i = row * columns + column
    store(out, i, load(bias, column) + load(x, i))


def bias_in_two_steps(x, bias, out, rows, columns):
    """Each number is written twice, everywhere."""
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        i = row * columns + column
        out[i] = x[i]
        out[i] += bias[column]


def bias_without_guard(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    out[row * columns + column] = x[row * columns + column] + bias[column]


def bias_guarded_flat(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    i = row * columns + column
    if i < rows * columns:
        out[i] = x[i] + bias[column]


def bias_guarded_flat_by_the_rest(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    i = row * columns + column
    if i < rows * columns:
        out[i] = x[i] + bias[i % columns]


def bias_by_two_indices(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        out[row, column] = x[row, column] + bias[column]


def bias_at_half_places(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        out[row * columns + column] = x[2 * (row * columns + column) / 2] + bias[column]


def bias_up_to(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row <= rows and column <= columns:
        out[row * columns + column] = x[row * columns + column] + bias[column]


def bias_but_the_last_row(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows - 1 and column < columns:
        out[row * columns + column] = x[row * columns + column] + bias[column]


def bias_but_the_last_column(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns - 1:
        out[row * columns + column] = x[row * columns + column] + bias[column]


def bias_guards_swapped(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row < columns and column < rows:
        out[row * columns + column] = x[row * columns + column] + bias[column]


def bias_row_first(x, bias, out, rows, columns):
    row, column = cuda.grid(2)
    if row < rows and column < columns:
        out[row * columns + column] = x[row * columns + column] + bias[column]


def bias_along_one_axis(x, bias, out, rows, columns):
    i = cuda.grid(1)
    if i < rows * columns:
        out[i] = x[i] + bias[i % columns]


def bias_of_the_row(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        out[row * columns + column] = x[row * columns + column] + bias[min(row, columns - 1)]


def no_bias(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        out[row * columns + column] = x[row * columns + column]


def bias_writes_nothing(x, bias, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        value = x[row * columns + column] + bias[column]
        x[row * columns + column] = value


def bias_down_the_columns(x, bias, out, rows, columns):
    """Right, but neighbouring threads walk down a column."""
    column, row = cuda.grid(2)
    i = row * (32 * cuda.gridDim.x) + column
    if i < rows * columns:
        place = i % rows * columns + i // rows
        out[place] = x[place] + bias[i // rows]


# 19.3


def transpose_flat(x, out, rows, columns):
    """A flat tile, with `load` and `store`."""
    tile = cuda.shared.array(1056, float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    top, left = 32 * cuda.blockIdx.y, 32 * cuda.blockIdx.x
    if top + ty < rows and left + tx < columns:
        store(tile, 33 * ty + tx, load(x, (top + ty) * columns + left + tx))
    cuda.syncthreads()
    if left + ty < columns and top + tx < rows:
        store(out, (left + ty) * rows + top + tx, load(tile, 33 * tx + ty))


def transpose_turning_first(x, out, rows, columns):
    """The tile is turned when it is written, not when it is read."""
    tile = cuda.shared.array((32, 33), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    tile[tx, ty] = x[row * columns + column] if row < rows and column < columns else float32(0)
    cuda.syncthreads()
    if cuda.blockIdx.x * 32 + ty < columns and cuda.blockIdx.y * 32 + tx < rows:
        out[(cuda.blockIdx.x * 32 + ty) * rows + cuda.blockIdx.y * 32 + tx] = tile[ty, tx]


def transpose_directly(x, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        out[column * rows + row] = x[row * columns + column]


def transpose_reading_columns(x, out, rows, columns):
    row, column = cuda.blockIdx.y * 32 + cuda.threadIdx.x, cuda.blockIdx.x * 32 + cuda.threadIdx.y
    if row < rows and column < columns:
        value = x[row * columns + column]
        out[column * rows + row] = value


@device
def move(x, i, out, j):
    out[j] = x[i]


def transpose_directly_by_a_function(x, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        move(x, row * columns + column, out, column * rows + row)


@device
def entry(tile, i, j):
    return tile[i, j]


def transpose_with_conflicts_in_a_function(x, out, rows, columns):
    tile = cuda.shared.array((32, 32), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        tile[ty, tx] = x[row * columns + column]
    cuda.syncthreads()
    column, row = cuda.blockIdx.y * 32 + tx, cuda.blockIdx.x * 32 + ty
    if row < columns and column < rows:
        out[row * rows + column] = entry(tile, tx, ty)


def transpose_by_two_indices(x, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        out[column, row] = x[row, column]


def transpose_without_padding(x, out, rows, columns):
    tile = cuda.shared.array((32, 32), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        tile[ty, tx] = x[row * columns + column]
    cuda.syncthreads()
    column, row = cuda.blockIdx.y * 32 + tx, cuda.blockIdx.x * 32 + ty
    if row < columns and column < rows:
        out[row * rows + column] = tile[tx, ty]


def transpose_without_barrier(x, out, rows, columns):
    tile = cuda.shared.array((32, 33), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        tile[ty, tx] = x[row * columns + column]
    column, row = cuda.blockIdx.y * 32 + tx, cuda.blockIdx.x * 32 + ty
    if row < columns and column < rows:
        out[row * rows + column] = tile[tx, ty]


def transpose_barrier_in_guard(x, out, rows, columns):
    tile = cuda.shared.array((32, 33), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        tile[ty, tx] = x[row * columns + column]
        cuda.syncthreads()
    column, row = cuda.blockIdx.y * 32 + tx, cuda.blockIdx.x * 32 + ty
    if row < columns and column < rows:
        out[row * rows + column] = tile[tx, ty]


def transpose_tiles_in_place(x, out, rows, columns):
    tile = cuda.shared.array((32, 33), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        tile[ty, tx] = x[row * columns + column]
    cuda.syncthreads()
    if row < rows and column < columns:
        out[row * columns + column] = tile[tx, ty]


def transpose_tiles_not_turned(x, out, rows, columns):
    tile = cuda.shared.array((32, 33), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        tile[ty, tx] = x[row * columns + column]
    cuda.syncthreads()
    column, row = cuda.blockIdx.y * 32 + tx, cuda.blockIdx.x * 32 + ty
    if row < columns and column < rows:
        out[row * rows + column] = tile[ty, tx]


def transpose_with_the_guard_of_x(x, out, rows, columns):
    tile = cuda.shared.array((32, 33), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        tile[ty, tx] = x[row * columns + column]
    cuda.syncthreads()
    column, row = cuda.blockIdx.y * 32 + tx, cuda.blockIdx.x * 32 + ty
    if row < rows and column < columns:
        out[row * rows + column] = tile[tx, ty]


def copies(x, out, rows, columns):
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        out[row * columns + column] = x[row * columns + column]


def writes_nothing(x, out, rows, columns):
    tile = cuda.shared.array((32, 33), float32)
    tile[cuda.threadIdx.y, cuda.threadIdx.x] = 1


# 19.4


def sum_by_shuffles(x, out, n):
    """Each warp by itself, then one thread adds the eight."""
    warps = cuda.shared.array(8, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    value = x[i] if i < n else float32(0)
    step = 16
    while step > 0:
        value += cuda.shfl_xor_sync(0xFFFFFFFF, value, step)
        step //= 2
    if t % 32 == 0:
        warps[t // 32] = value
    cuda.syncthreads()
    if t == 0:
        for w in range(1, 8):
            value += warps[w]
        out[cuda.blockIdx.x] = value


def sum_interleaved(x, out, n):
    room = cuda.shared.array(256, float32)
    t = cuda.threadIdx.x
    i = cuda.blockIdx.x * 256 + t
    room[t] = float32(0)
    if i < n:
        room[t] = x[i]
    step = 1
    while step < 256:
        cuda.syncthreads()
        if t % (2 * step) == 0:
            room[t] += room[t + step]
        step *= 2
    if t == 0:
        out[cuda.blockIdx.x] = room[0]


def sum_interleaved_in_one_line(x, out, n):
    room = cuda.shared.array(256, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    room[t] = x[i] if i < n else float32(0)
    cuda.syncthreads()
    h = 1
    while h < 256:
        if t % (2 * h) == 0: room[t] += room[t + h]  # fmt: skip  # noqa: E701
        cuda.syncthreads()
        h *= 2
    if t == 0:
        out[cuda.blockIdx.x] = room[0]


def sum_halving_in_one_line(x, out, n):
    room = cuda.shared.array(256, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    room[t] = x[i] if i < n else float32(0)
    cuda.syncthreads()
    h = 128
    while h > 0:
        if t < h: room[t] += room[t + h]  # fmt: skip  # noqa: E701
        cuda.syncthreads()
        h //= 2
    if t == 0:
        out[cuda.blockIdx.x] = room[0]


def sum_with(first=True, each=True, inside=False, zero=True, start=128, stop=0, add=False, alone=False):
    """A sum with one fault."""

    def block_sum(x, out, n):
        room = cuda.shared.array(256, float32)
        t, i = cuda.threadIdx.x, cuda.grid(1)
        if zero:
            room[t] = x[i] if i < n else float32(0)
        else:
            if i < n:
                room[t] = x[i]
        if first:
            cuda.syncthreads()
        step = start
        while step > stop:
            if t < step:
                room[t] += room[t + step]
                if inside:
                    cuda.syncthreads()
            if each:
                cuda.syncthreads()
            step //= 2
        if t == 0:
            if add:
                out[cuda.blockIdx.x] += room[0]
            else:
                out[cuda.blockIdx.x] = room[0]

    return block_sum


def sum_without_guard(x, out, n):
    room = cuda.shared.array(256, float32)
    t = cuda.threadIdx.x
    room[t] = x[cuda.grid(1)]
    cuda.syncthreads()
    if t == 0:
        out[cuda.blockIdx.x] = room[0]


def sum_by_two_indices(x, out, n):
    room = cuda.shared.array(256, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    room[t] = x[cuda.blockIdx.x, t] if i < n else float32(0)


def sum_by_one(x, out, n):
    if cuda.threadIdx.x == 0:
        total = float32(0)
        for i in range(256):
            if cuda.grid(1) + i < n:
                total += x[cuda.grid(1) + i]
        out[cuda.blockIdx.x] = total


def sum_by_one_in_one_line(x, out, n):
    total = float32(0)
    for i in range(256):
        if cuda.threadIdx.x == 0 and cuda.grid(1) + i < n: total += x[cuda.grid(1) + i]  # fmt: skip  # noqa: E701
    if cuda.threadIdx.x == 0:
        out[cuda.blockIdx.x] = total


def sum_into_out(x, out, n):
    i = cuda.grid(1)
    if i < n:
        out[cuda.blockIdx.x] += x[i]


def sum_by_all(x, out, n):
    room = cuda.shared.array(256, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    room[t] = x[i] if i < n else float32(0)
    cuda.syncthreads()
    total = float32(0)
    for k in range(256):
        total += room[k]
    out[cuda.blockIdx.x] = total


def sum_of_the_first_block(x, out, n):
    room = cuda.shared.array(256, float32)
    t = cuda.threadIdx.x
    room[t] = x[t]
    cuda.syncthreads()
    step = 128
    while step > 0:
        if t < step:
            room[t] += room[t + step]
        cuda.syncthreads()
        step //= 2
    if t == 0:
        out[cuda.blockIdx.x] = room[0]


def sum_writes_nothing(x, out, n):
    room = cuda.shared.array(256, float32)
    room[cuda.threadIdx.x] = float32(0)


# 19.5


def build_with(rows, columns, high, wide, claim=None, barrier=True, late=0):
    """A block of high x wide threads makes a tile of rows x columns; with a fault, if asked for."""
    threads, p_count, q_count = high * wide, rows // high, columns // wide
    room_left, room_right = 8 * rows, 8 * columns

    @kernel
    def product(a, b, out, n):
        left = cuda.shared.array(room_left, float32)
        right = cuda.shared.array(room_right, float32)
        sums = cuda.local.array((p_count, q_count), float32)
        x = cuda.local.array(p_count, float32)
        t = cuda.threadIdx.x
        tx, ty = t % wide, t // wide
        row, column = cuda.blockIdx.y * rows, cuda.blockIdx.x * columns
        for p in range(p_count):
            for q in range(q_count):
                sums[p, q] = float32(0)
        for k0 in range(0, n - late, 8):
            for i in range(room_left // threads):
                e = t + threads * i
                store(left, e, load(a, (row + e // 8) * n + k0 + e % 8))
            for i in range(room_right // threads):
                e = t + threads * i
                store(right, e, load(b, (k0 + e // columns) * n + column + e % columns))
            if barrier:
                cuda.syncthreads()
            for k in range(8):
                for p in range(p_count):
                    x[p] = load(left, (ty + high * p) * 8 + k)
                for q in range(q_count):
                    y = load(right, k * columns + tx + wide * q)
                    for p in range(p_count):
                        sums[p, q] += x[p] * y
            cuda.syncthreads()
        for p in range(p_count):
            for q in range(q_count):
                store(out, (row + ty + high * p) * n + column + tx + wide * q, sums[p, q])

    return lambda: (product, claim or (rows, columns), threads)


RIGHT = {
    "19.1": [place_by_columns, place_in_numpy],
    "19.2": [
        answer(grid_by_adding, bias_with_early_return),
        answer(kernel=bias_in_two_steps),
        answer(lambda rows, columns: [np.int64(-(-columns // 32)), -(-rows // 8)]),
    ],
    "19.3": [transpose_flat, transpose_turning_first, kernel(transpose_flat)],
    "19.4": [
        sum_by_shuffles,
        sum_interleaved,
        sum_interleaved_in_one_line,
        sum_halving_in_one_line,
        sum_with(),
    ],
    "19.5": [build_with(64, 128, 8, 16)],
}

WRONG = {
    "19.1": [
        (lambda bx, by, tx, ty, w, h, n: (bx * w + tx) * n + by * h + ty, "x and y are swapped"),
        (lambda bx, by, tx, ty, w, h, n: ty * n + tx, "all blocks get the same"),
        (lambda bx, by, tx, ty, w, h, n: (by + ty) * n + bx + tx, "not at bx"),
        (lambda bx, by, tx, ty, w, h, n: (by * w + ty) * n + bx * w + tx, "not `width`"),
        (lambda bx, by, tx, ty, w, h, n: (by * h + ty) * n + bx * h + tx, "not `height`"),
        (lambda bx, by, tx, ty, w, h, n: (by * w + ty) * n + bx * h + tx, "width and height are swapped"),
        (lambda bx, by, tx, ty, w, h, n: by * h + ty + bx * w + tx, "are added"),
        (lambda bx, by, tx, ty, w, h, n: (by * h + ty) * w + bx * w + tx, "that of a block"),
        (lambda bx, by, tx, ty, w, h, n: bx * w * h + ty * w + tx, "block by block"),
        (lambda bx, by, tx, ty, w, h, n: (by * h + ty, bx * w + tx), "has shape (2,)"),
    ],
    "19.2": [
        (answer(lambda rows, columns: grid(rows, columns)[::-1]), "x comes first"),
        (answer(lambda rows, columns: (columns, rows)), "these are threads"),
        (answer(lambda rows, columns: (columns // 32, rows // 8)), "rounded down"),
        (answer(lambda rows, columns: (columns // 32 + 1, rows // 8 + 1)), "one block too many"),
        (answer(lambda rows, columns: (-(-columns // 8), -(-rows // 32))), "32 wide and 8 high"),
        (answer(lambda rows, columns: (columns / 32, rows / 8)), "whole numbers"),
        (answer(lambda rows, columns: (-(-columns // 32), float(-(-rows // 8)))), "whole numbers"),
        (answer(lambda rows, columns: (-(-rows // 32), -(-columns // 8))), "rows and columns are swapped"),
        (answer(lambda rows, columns: (100, 100)), "more blocks than"),
        (answer(lambda rows, columns: (1, 1)), "too few blocks"),
        (answer(lambda rows, columns: 6), "give two numbers"),
        (answer(kernel=bias_without_guard), "a thread beyond the edge"),
        (answer(kernel=bias_guarded_flat), "a thread beyond the edge"),
        (answer(kernel=bias_guarded_flat_by_the_rest), "on 37 × 70: the numbers are right, but some are"),
        (answer(kernel=bias_by_two_indices), "on 16 × 64: this array is flat and takes one index"),
        (answer(kernel=bias_at_half_places), "divide by // (as in half //= 2)"),
        (answer(kernel=bias_up_to), "a thread beyond the edge"),
        (answer(kernel=bias_but_the_last_row), "the last row is missing"),
        (answer(kernel=bias_but_the_last_column), "the last column is missing"),
        (answer(kernel=bias_guards_swapped), "768 numbers were never written. cuda.grid(2) gives x first"),
        (answer(kernel=bias_row_first), "768 numbers were never written. cuda.grid(2) gives x first"),
        (answer(kernel=bias_along_one_axis), "only the first row was written"),
        (answer(kernel=bias_of_the_row), "the bias of the row"),
        (answer(kernel=no_bias), "the bias is not added"),
        (answer(kernel=bias_writes_nothing), "nothing was written"),
        (answer(kernel=bias_down_the_columns), "neighbours in a row"),
        (add_bias, 'give {"grid"'),
    ],
    "19.3": [
        (transpose_directly, "not coalesced: in `out[column * rows + row]"),
        (transpose_reading_columns, "not coalesced: in `value = x[row"),
        (transpose_directly_by_a_function, "22% of what travels is of use. It happens in a function"),
        (transpose_without_padding, "33 wide"),
        (transpose_with_conflicts_in_a_function, "(x16.5) in a function that your kernel calls"),
        (transpose_by_two_indices, "on 64 × 96: this array is flat and takes one index"),
        (transpose_without_barrier, "RaceError"),
        (transpose_barrier_in_guard, "DivergentBarrier"),
        (transpose_tiles_in_place, "stands in its old place"),
        (transpose_tiles_not_turned, "none of them is turned"),
        (transpose_with_the_guard_of_x, "were never written"),
        (copies, "a copy of x"),
        (writes_nothing, "nothing was written"),
    ],
    "19.4": [
        (sum_with(first=False), "a barrier is missing"),
        (sum_with(each=False), "a barrier is missing"),
        (sum_with(each=False, inside=True), "only some threads come"),
        (sum_with(zero=False), "must put a 0"),
        (sum_with(start=64), "the first 128"),
        (sum_with(stop=1), "every second"),
        (sum_with(stop=128), "the first number of each block"),
        (sum_with(add=True), "assign, do not add"),
        (sum_with(start=256), "BadIndex"),
        (sum_without_guard, "guards x"),
        (sum_by_two_indices, "this array is flat and takes one index"),
        (sum_by_one, "one thread adds"),
        (sum_by_one_in_one_line, "one thread adds"),
        (sum_into_out, "many threads write the same place"),
        (sum_by_all, "every thread adds"),
        (sum_of_the_first_block, "only the first block"),
        (sum_writes_nothing, "nothing was written"),
    ],
    "19.5": [
        (build_with(64, 64, 8, 8), "12.8 FLOP a byte: the bar is 16"),
        (build_with(128, 128, 32, 32), "rounds of shared memory a multiply-add: the bar"),
        (build_with(128, 128, 8, 8), "spill"),
        (build_with(128, 128, 16, 16, barrier=False), "RaceError"),
        (build_with(128, 128, 16, 16, late=8), "wrong numbers"),
        (build_with(64, 64, 8, 8, claim=(64, 128)), "never written"),
        (build_with(64, 64, 8, 8, claim=(96, 64)), "does not divide"),
        (build_with(64, 128, 8, 16, claim=(128, 64)), "the order is (rows, columns)"),
        (lambda: build_with, "three things"),
        (lambda: (build_with, 128, 256), "the tile is 128: give two numbers"),
        (lambda: (build_with, (128, 128), (16, 16)), "all stand on one axis"),
        (lambda: (3, (128, 128), 256), "not a kernel"),
    ],
}
