"""A matrix times a vector: each number of the matrix is read once, so memory is all that counts.

    rows of W follow each other along k: a warp a row       columns do: a block for 128 of them, a warp a k
      lane: 4 numbers of w, 4 of x                             lane: 4 columns, x[k] is the same for all
      four times, before the first is used                     four times, before the first is used
      acc += w x                                               acc += w x
    sum of the lanes                                         sums of the warps, through shared memory

A tile of 64 x 64 would compute 64 columns, of which one is wanted. And to keep memory busy takes many
accesses at once, so each thread has four of 128 bits under way. Where there are few rows, or few columns, but
k is long, several warps share one, and `gemm.sum_kernel` adds what they found. All orders are fixed.
"""

import functools

from minidl.kernels.cuda.driver import cuda, device, float32, int32, kernel
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.gemm import activation_of, column_bias, no_bias
from minidl.kernels.cuda.instructions import load, load4, store, udiv
from minidl.kernels.cuda.reductions import fold_lanes

LANES, WARPS = 32, 8
THREADS = LANES * WARPS
AHEAD = 4
"""Accesses of a thread that are under way at the same time."""
BUSY = 32
"""Warps of a multiprocessor that keep its part of the memory busy: each has a kilobyte at least under way."""
PART = 1024
"""Steps along k that are worth a warp of their own, or a block for columns."""

_sum_of_lanes = fold_lanes(formula("add", float32), LANES)


def cut(
    count: int, depth: int, batch: int, multiprocessors: int, along_k: bool, wide: bool
) -> tuple[int, int, int]:
    """(parts of k, steps of a part, blocks) for a batch of matrices with `count` results each.

    >>> cut(4096, 4096, 1, 132, True, True), cut(4096, 4096, 1, 132, False, True)
    ((1, 4096, 512), (16, 256, 512))
    """
    groups = count if along_k else -(-count // (LANES * (4 if wide else 1)))
    warps, least = groups * batch, PART
    if not along_k:
        warps, least = warps * WARPS, least // WARPS
    parts = max(1, min(BUSY * multiprocessors // warps, depth // least))
    part = -(-depth // parts // 4) * 4
    parts = -(-depth // part)
    blocks = groups * batch * parts
    return parts, part, -(-blocks // WARPS) if along_k else blocks


@functools.cache
def fetcher(wide: bool):
    """Device code: register[s] = one number of x, or four."""

    @device
    def fetch(register, s, x, at):
        if wide:
            register[s, 0], register[s, 1], register[s, 2], register[s, 3] = load4(x, at)
        else:
            register[s, 0] = load(x, at)

    return fetch


@functools.cache
def rows_kernel(wide: bool, biased: bool, activation: str | None):
    """out (batch, parts, count) = f(w (batch, count, depth) x (batch, depth) + bias), a warp a number.

    bias_step: how far apart the biases of neighbours are, 0 or 1.
    """
    width = 4 if wide else 1
    step, fetch, activate = LANES * width, fetcher(wide), activation_of(activation, float32)
    bias_of, last = column_bias if biased else no_bias, (AHEAD - 1) * step

    @kernel
    def rows_times_vector(w, x, bias, out, count, depth, parts, part, batch_w, batch_x, bias_step, size):
        p = cuda.local.array((AHEAD, width), float32)
        q = cuda.local.array((AHEAD, width), float32)
        acc = cuda.local.array(width, float32)
        t = int32(cuda.threadIdx.x)
        i, lane = int32(cuda.blockIdx.x * WARPS + t // int32(LANES)), int32(t % int32(LANES))
        z = int32(udiv(i, count))
        row, matrix = int32(i - z * count), int32(udiv(z, parts))
        k = int32((z - matrix * parts) * part)
        stop = int32(min(k + part, depth)) if i < size else int32(0)
        k = int32(k + lane * width)
        begin_w, begin_x = int32(matrix * batch_w + row * depth), int32(matrix * batch_x)
        for e in range(width):
            acc[e] = float32(0)
        while k + last < stop:
            for s in range(AHEAD):
                fetch(p, s, w, int32(begin_w + k + s * step))
                fetch(q, s, x, int32(begin_x + k + s * step))
            for s in range(AHEAD):
                for e in range(width):
                    acc[e] += p[s, e] * q[s, e]
            k = int32(k + AHEAD * step)
        while k < stop:
            fetch(p, 0, w, int32(begin_w + k))
            fetch(q, 0, x, int32(begin_x + k))
            for e in range(width):
                acc[e] += p[0, e] * q[0, e]
            k = int32(k + step)
        total = acc[0]
        for e in range(1, width):
            total += acc[e]
        total = _sum_of_lanes(total)
        if i < size and lane == 0:
            store(out, i, activate(total + bias_of(bias, row * bias_step, count)))

    return rows_times_vector


@functools.cache
def columns_kernel(wide: bool, biased: bool, activation: str | None):
    """The same for w (batch, depth, count), whose neighbours are numbers of one k."""
    width = 4 if wide else 1
    columns, fetch, activate = LANES * width, fetcher(wide), activation_of(activation, float32)
    bias_of, room, last = column_bias if biased else no_bias, WARPS * LANES * width, (AHEAD - 1) * WARPS

    @kernel
    def columns_times_vector(w, x, bias, out, count, depth, parts, part, batch_w, batch_x, bias_step):
        sums = cuda.shared.array(room, float32)
        p = cuda.local.array((AHEAD, width), float32)
        q = cuda.local.array(AHEAD, float32)
        acc = cuda.local.array(width, float32)
        t, block = int32(cuda.threadIdx.x), int32(cuda.blockIdx.x)
        warp, lane = int32(t // int32(LANES)), int32(t % int32(LANES))
        groups = int32(udiv(count + (columns - 1), columns))
        z = int32(udiv(block, groups))
        column, matrix = int32((block - z * groups) * columns), int32(udiv(z, parts))
        k = int32((z - matrix * parts) * part)
        c = int32(column + lane * width)
        stop = int32(min(k + part, depth)) if c < count else int32(0)
        k = int32(k + warp)
        begin_w, begin_x = int32(matrix * batch_w + c), int32(matrix * batch_x)
        for e in range(width):
            acc[e] = float32(0)
        while k + last < stop:
            for s in range(AHEAD):
                fetch(p, s, w, int32(begin_w + (k + s * WARPS) * count))
                q[s] = load(x, int32(begin_x + k + s * WARPS))
            for s in range(AHEAD):
                for e in range(width):
                    acc[e] += p[s, e] * q[s]
            k = int32(k + AHEAD * WARPS)
        while k < stop:
            fetch(p, 0, w, int32(begin_w + k * count))
            q[0] = load(x, int32(begin_x + k))
            for e in range(width):
                acc[e] += p[0, e] * q[0]
            k = int32(k + WARPS)
        for e in range(width):
            store(sums, warp * columns + e * LANES + lane, acc[e])
        cuda.syncthreads()
        c = int32(column + t)
        if t < columns and c < count:
            total = float32(0)
            for s in range(WARPS):
                total += load(sums, s * columns + t % width * LANES + t // width)
            store(out, z * count + c, activate(total + bias_of(bias, c * bias_step, count)))

    return columns_times_vector
