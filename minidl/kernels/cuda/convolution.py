"""Convolution as a product whose second factor, the windows, is never written down (implicit GEMM).

    out[channel, pixel] = sum over taps of weight[channel, tap] window[tap, pixel]

    block: 128 channels x 128 pixels of out (or 64, 32 channels), for one group and one phase
      for 8 taps after 8 taps                           one barrier a round
          next weights, next windows                    global memory -> registers, under way while we compute
          acc (8, 8) += weights x windows               tiles.py: the heart of every product
          registers -> the other half of shared memory

A pixel is a place in any image of the batch. Each thread fetches for one pixel, whose place it keeps in a
register; the taps come from a table (windows.py), the same for all threads of a warp, so to find a number
takes two additions and a test, and no division.

The gradient to the input is the same kernel with other tables and with the weights transposed into the order
of those tables. Strides split it into phases: blocks of the same launch. A group with few output channels
(depthwise convolution), and float64, have a kernel of one thread a result.
"""

import functools

import numpy as np

from minidl.kernels.cuda import driver
from minidl.kernels.cuda.array import CudaArray, contiguous, empty
from minidl.kernels.cuda.convolution_backward import convolution_backward_bias, convolution_backward_weight
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, device, float32, int32, kernel
from minidl.kernels.cuda.instructions import load, load4, store, store4, udiv
from minidl.kernels.cuda.tiles import DEPTH, PATCH, multiply_tiles, threads_of, tile_loader, tile_places
from minidl.kernels.cuda.unfolding import fold, unfold
from minidl.kernels.cuda.windows import (
    FEW,
    HEADER,
    NOWHERE,
    QUAD,
    Windows,
    backward_windows,
    check_arrays,
    forward_windows,
    pixel_of,
    place_code,
    resident,
)

__all__ = [
    "convolution", "convolution_backward_bias", "convolution_backward_input", "convolution_backward_weight",
    "fold", "unfold",
]  # fmt: skip

THREADS = 256
"""Threads of a block of the kernels without tiles."""


# -- windows -> shared memory ----------------------------------------------------------------------


@functools.cache
def window_loader(columns: int, threads: int, flat: bool):
    """How the tile (DEPTH taps, columns) of windows comes to shared memory.

    A thread has one pixel, or `across` of them `lanes` apart, and `quads` times four taps of a round.

    Returns:
        begin(base, spot, t, column, count, ...): where the thread's pixels are, as index and as place.
        fetch(register, x, table, at, base, spot, last): global memory -> register (taps, across).
        put(register, tile, at): register -> shared memory.
        the shape of register, and lanes.
    """
    pack, inside = place_code(flat)
    lanes = min(threads, columns)
    across, quads = columns // lanes, DEPTH // QUAD // (threads // lanes)
    taps = quads * QUAD

    @device
    def begin(base, spot, t, column, count, height, width, top, left, step_y, step_x, x_image, x_width):
        for c in range(across):
            pixel = int32(column + t % lanes + c * lanes)
            base[c], spot[c] = int32(0), int32(NOWHERE)
            if pixel < count:
                image, y, x = pixel_of(pixel, height, width)
                h, w = int32(y * step_y + top), int32(x * step_x + left)
                base[c], spot[c] = int32(image * x_image + h * x_width + w), pack(h, w)

    @device
    def fetch(register, x, table, at, base, spot, last):
        offsets = cuda.local.array(4, int32)
        places = cuda.local.array(4, int32)
        for q in range(quads):
            offsets[0], offsets[1], offsets[2], offsets[3] = load4(table, at + 2 * QUAD * q)
            places[0], places[1], places[2], places[3] = load4(table, at + 2 * QUAD * q + QUAD)
            for e in range(QUAD):
                for c in range(across):
                    value = float32(0)
                    if inside(int32(spot[c] + places[e]), last):
                        value = load(x, int32(base[c] + offsets[e]))
                    register[q * QUAD + e, c] = value

    @device
    def put(register, tile, at):
        for k in range(taps):
            for c in range(across):
                store(tile, at + k * columns + c * lanes, register[k, c])

    return begin, fetch, put, (taps, across), lanes


# -- the kernels -----------------------------------------------------------------------------------


@functools.cache
def convolution_kernel(rows: int, columns: int, flat: bool, wide: tuple[bool, bool], biased: bool):
    """The kernel for a tile size. wide: may weights and out be accessed four at a time?"""
    threads, warps = threads_of(rows, columns), columns // PATCH[1]
    first_a, fetch_a, put_a, pieces_a, _ = tile_loader(rows, threads, True, wide[0])
    begin_x, fetch_x, put_x, shape_x, lanes = window_loader(columns, threads, flat)
    taps, across = shape_x
    multiply, place, write = multiply_tiles(rows, columns), tile_places(rows, columns), writer(wide[1])
    half_a, half_x = DEPTH * rows, DEPTH * columns
    both_a, both_x = 2 * half_a, 2 * half_x
    patch_rows, patch_columns = PATCH

    @kernel(launch_bounds=(threads, resident(rows) // threads))
    def convolve(
        a, x, bias, out, table, m, images, groups, most, x_group, x_width, last, step_y, step_x,
        area, out_step_y, out_step_x,
    ):  # fmt: skip
        left_tile = cuda.shared.array(both_a, float32, 16)
        right_tile = cuda.shared.array(both_x, float32, 16)
        acc = cuda.local.array((8, 8), float32)
        p = cuda.local.array(8, float32)
        q = cuda.local.array(8, float32)
        next_a = cuda.local.array((pieces_a, 4), float32)
        next_x = cuda.local.array(shape_x, float32)
        base = cuda.local.array(across, int32)
        spot = cuda.local.array(across, int32)
        t = int32(cuda.threadIdx.x)
        z, row0, column0 = place(int32(cuda.blockIdx.x), m, int32(images * most))
        phase = int32(udiv(z, groups))
        group = int32(z - phase * groups)
        height, width, top, left = load4(table, HEADER * phase)
        depth, at, first_out, first_weight = load4(table, HEADER * phase + 4)
        count = int32(images * height * width)
        if column0 >= count:
            return
        begin_x(base, spot, t, column0, count, height, width, top, left, step_y, step_x,
                int32(groups * x_group), x_width)  # fmt: skip
        for c in range(across):
            base[c] = int32(base[c] + group * x_group)
        row, k_a = first_a(t)
        room, at_a = int32(m - row0 - row), int32(first_weight * groups * m + k_a)
        at_a = int32(at_a + (group * m + row0 + row) * depth)
        at = int32(at + (t // lanes) * taps * 2)
        to_left, to_right = int32(k_a * rows + row), int32((t // lanes) * taps * columns + t % lanes)
        warp, lane = int32(t // int32(32)), int32(t % int32(32))
        i = int32((warp // warps) * patch_rows + (lane // 8) * 4)
        j = int32((warp % warps) * patch_columns + (lane % 8) * 4)
        start(acc, bias, biased, group * m, row0 + i, m)
        rest, from_left, from_right = int32(depth), i, j
        fetch_a(next_a, a, at_a, room, rest - k_a, depth)
        fetch_x(next_x, x, table, at, base, spot, last)
        put_a(next_a, left_tile, to_left)
        put_x(next_x, right_tile, to_right)
        cuda.syncthreads()
        while rest > 0:
            rest, at_a, at = int32(rest - DEPTH), int32(at_a + DEPTH), int32(at + 2 * DEPTH)
            to_left, to_right = int32(to_left ^ half_a), int32(to_right ^ half_x)
            if rest > 0:
                fetch_a(next_a, a, at_a, room, rest - k_a, depth)
                fetch_x(next_x, x, table, at, base, spot, last)
            multiply(acc, p, q, left_tile, right_tile, from_left, from_right)
            from_left, from_right = int32(from_left ^ half_a), int32(from_right ^ half_x)
            if rest > 0:
                put_a(next_a, left_tile, to_left)
                put_x(next_x, right_tile, to_right)
            cuda.syncthreads()
        write(acc, out, group * m * area + first_out, row0 + i, column0 + j, m, count, height, width,
              int32(groups * m * area), area, out_step_y, out_step_x)  # fmt: skip

    return convolve


@device
def start(acc, bias, biased, begin, i, m):
    """Set a thread's 8 x 8 sums to the bias of their rows, or 0."""
    for p in range(8):
        row = int32(i + (p // 4) * 16 + p % 4)
        value = float32(0)
        if biased and row < m:
            value = load(bias, int32(begin + row))
        for q in range(8):
            acc[p, q] = value


@functools.cache
def writer(wide: bool):
    """Device code that writes a thread's 8 x 8 numbers: rows i, i + 16 and on, pixels j, j + 32 and on.

    wide: pixels follow each other in memory and images have a multiple of four of them.
    """

    @device
    def write(acc, out, begin, i, j, m, count, height, width, image_step, area, step_y, step_x):
        at = cuda.local.array(8, int32)
        for q in range(8):
            at[q] = int32(-1)
            pixel = int32(j + (q // 4) * 32 + q % 4)
            if pixel < count and (not wide or q % 4 == 0):
                image, y, x = pixel_of(pixel, height, width)
                at[q] = int32(begin + image * image_step + y * step_y + x * step_x)
        for p in range(8):
            row = int32(i + (p // 4) * 16 + p % 4)
            if row < m:
                if wide:
                    for half in range(2):
                        q = 4 * half
                        if at[q] >= 0:
                            to = int32(at[q] + row * area)
                            store4(out, to, acc[p, q], acc[p, q + 1], acc[p, q + 2], acc[p, q + 3])
                else:
                    for q in range(8):
                        if at[q] >= 0:
                            store(out, int32(at[q] + row * area), acc[p, q])

    return write


@functools.cache
def plain_kernel(number: Scalar, flat: bool, biased: bool):
    """A thread for each result of a phase. Arguments as those of the tiled kernel; the grid: (n, phases)."""
    pack, inside = place_code(flat)

    @kernel
    def convolve_plain(
        a, x, bias, out, table, m, images, groups, most, x_group, x_width, last, step_y, step_x,
        area, out_step_y, out_step_x,
    ):  # fmt: skip
        phase, rows = int32(cuda.blockIdx.y), int32(groups * m)
        height, width, top, left = load4(table, HEADER * phase)
        depth, at, first_out, first_weight = load4(table, HEADER * phase + 4)
        i = int32(cuda.grid(1))
        if i < images * rows * height * width:
            plane, r, c = pixel_of(i, height, width)
            image = int32(udiv(plane, rows))
            row = int32(plane - image * rows)
            h, w = int32(r * step_y + top), int32(c * step_x + left)
            base = int32((image * groups + udiv(row, m)) * x_group + h * x_width + w)
            spot, at_a = pack(h, w), int32(first_weight * rows + row * depth)
            total = number(0)
            if biased:
                total = load(bias, row)
            for k in range(depth):
                tap = int32(at + (k // QUAD) * 2 * QUAD + k % QUAD)
                if inside(int32(spot + load(table, tap + QUAD)), last):
                    total += load(a, int32(at_a + k)) * load(x, int32(base + load(table, tap)))
            store(out, int32(plane * area + first_out + r * out_step_y + c * out_step_x), total)

    return convolve_plain


@kernel
def pack_weights(weight, table, sources, packed, groups, inner, outputs, taps):
    """packed[phase][group, inner channel, k] = the weight of tap k. The grid: (n, phases).

    weight: (groups, outputs, inner, taps).
    """
    phase, rows = int32(cuda.blockIdx.y), int32(groups * inner)
    depth, at, _, first = load4(table, HEADER * phase + 4)
    i = int32(cuda.grid(1))
    if i < rows * depth:
        row = int32(udiv(i, depth))
        group = int32(udiv(row, inner))
        headers = int32(HEADER * cuda.gridDim.y)
        source = load(sources, int32((at - headers) // 2 + i - row * depth))
        begin = int32((group * outputs * inner + row - group * inner) * taps)
        value = load(weight, int32(begin + max(source, 0)))
        store(packed, int32(first * rows + i), value if source >= 0 else float32(0))


# -- on the host -----------------------------------------------------------------------------------


def plan(m: int, pixels: int, batch: int, multiprocessors: int) -> tuple[int, int]:
    """Channels and pixels of a tile: as large as leaves each multiprocessor something to do.

    >>> plan(128, 100_000, 1, 132), plan(6, 50_000, 1, 132), plan(256, 2000, 1, 132)
    ((128, 128), (32, 128), (64, 64))
    """
    rows = 32 if m <= 32 else 64 if m <= 64 else 128
    if -(-m // rows) * -(-pixels // 128) * batch >= multiprocessors:
        return rows, 128
    return min(rows, 64), 64


def _run(a: CudaArray, x: CudaArray, bias, out: CudaArray, w: Windows, groups: int) -> None:
    """out (N, groups M, *size) from weights a (groups M, depth) of each phase and the gathered x."""
    x, m, area = contiguous(x), out.shape[1] // groups, w.out_size[0] * w.out_size[1]
    sizes = (m, len(out), groups, w.most, x.shape[1] // groups * w.size[0] * w.size[1], w.size[1], w.last)
    steps = (*w.step, area, w.out_step[0] * w.out_size[1], w.out_step[1])
    biased, phases = bias is not None, len(w.phases)
    arrays = (a, x, contiguous(bias) if biased else a, out, w.table)
    if m <= FEW or x.dtype != np.float32:
        grid = (-(-w.most * len(out) * out.shape[1] // THREADS), phases)
        plain_kernel(SCALARS[x.dtype], w.flat, biased)[grid, THREADS](*arrays, *sizes, *steps)
        return
    pixels, batch = w.most * len(out), groups * phases
    rows, columns = plan(m, pixels, batch, driver.device_properties().multiprocessors)
    wide_a = all(phase.depth % 4 == 0 for phase in w.phases) and a.offset % 16 == 0
    wide = (wide_a, phases == 1 and area % 4 == 0 and out.offset % 16 == 0)
    blocks = -(-m // rows) * -(-pixels // columns) * batch
    run = convolution_kernel(rows, columns, w.flat, wide, biased)
    run[blocks, threads_of(rows, columns)](*arrays, *sizes, *steps)


def convolution(x, weight, out, stride, padding, dilation, groups, bias=None):
    """`reference.convolution`, for one or two axes of space."""
    y = empty((len(x), len(weight), *out), x.dtype)
    check_arrays("convolution", x.shape[2:], x, weight, *(() if bias is None else (bias,)), y)
    window = map(tuple, (x.shape[2:], out, weight.shape[2:], stride, padding, dilation))
    if y.size:
        w = forward_windows(weight.shape[1], *window, driver.simulating())
        _run(contiguous(weight), x, bias, y, w, groups)
    return y


def convolution_backward_input(g, weight, size, stride, padding, dilation, groups):
    """`reference.convolution_backward_input`, for one or two axes of space.

    A weight that is infinite or nan makes results nan beyond the places that it reaches: where a tap looks
    outside, it is multiplied by 0.
    """
    inner, outputs = weight.shape[1], len(weight) // groups
    dx = empty((len(g), groups * inner, *size), g.dtype)
    check_arrays("convolution_backward_input", size, g, weight, dx)
    window = map(tuple, (size, g.shape[2:], weight.shape[2:], stride, padding, dilation))
    if dx.size:
        w = backward_windows(outputs, *window, driver.simulating(), inner)
        packed = empty((groups * inner, max(w.depth, 1)), weight.dtype)
        grid = (max(1, -(-groups * inner * max(p.depth for p in w.phases) // THREADS)), len(w.phases))
        pack_weights[grid, THREADS](
            contiguous(weight), w.table, w.sources, packed, groups, inner, outputs, w.taps
        )
        _run(packed, g, None, dx, w, groups)
    return dx
