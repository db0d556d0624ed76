"""3x3 convolutions by Winograd's minimal filtering: 36 multiplications where the direct way needs 144.

A polynomial of four coefficients times one of three is known by its values at six points, and the value of a
product is the product of the values: six multiplications instead of twelve. The transpose of this map takes
six neighbours to the four outputs of a filter of three taps. So that costs six as well, in two dimensions 36
instead of 144 (Winograd 1980; Lavin & Gray 2016: "F(4x4, 3x3)"):

    y = A^T [(G w G^T) * (B^T x B)] A                 x a patch of 6x6, w 3x3, y a tile of 4x4

B, G and A are small constant matrices (`_matrices`), their products mostly additions. What a patch costs is
shared by all outputs, what a tile costs by all channels; between them lie 36 small matrix products:

    for chunk of WIDTH images                         split over threads
        turn x into lanes                             (C, rows, columns, WIDTH), as in `convolution.py`
        for strip of tiles                            so many that v and m stay in the second-level cache
            for channel, tile
                v[:, channel, tile] = B^T x B         additions, in registers
            for p of the 36 points
                m[p] = u[p] v[p]                      (O, C) times (C, tiles): micro-kernel
            for output, tile
                y[output, tile] = A^T m A
        turn y back

The gradient of x is the same with weights turned round. The gradient of the weights is the adjoint,
G^T [sum over tiles and images of (A g A^T) * (B^T x B)] G: per point, products of all outputs and channels.

Sums of large terms that cancel cost digits. With the points 0, 3/4, -3/4, 3/2, -3/2 and infinity errors are
twice those of direct sums, for the gradient of the weights five times; with the textbook's 0, 1, -1, 2, -2
about seven times. Infinities do not cancel: when a result is not finite, None is returned, and the direct way
says where they belong.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from minidl.kernels.cpu.blocks import add_products, add_up, best_block, filled, from_blocks, multiply, pack
from minidl.kernels.cpu.compiling import bounds, compiled, inner
from minidl.kernels.cpu.lanes import (
    Bands,
    best_bands,
    grid,
    into_lanes,
    make_spaces,
    out_of_lanes,
    read_lanes,
    two_spaces,
    written_lanes,
)  # fmt: skip
from minidl.kernels.cpu.simd import WIDTH, sandwich
from minidl.kernels.threads import split, thread_count, ways

TAPS, SIDE = 3, 4
"""Sides of the kernel and of a tile; a patch has as many more as the kernel overlaps."""
PATCH = SIDE + TAPS - 1
NEAR, FAR = 0.75, 1.5
"""The points: 0, both of these, their negatives, infinity. Few binary digits, and small errors."""
PRODUCTS, TRANSFORMS, WORTH_IT = 0.35, 2.5, 0.9
"""Time of the products and, if there were one channel or output to share them, of the transforms, as parts of
the time of direct sums (measured); and the part of it that is worth the larger errors."""
STRIP = 5 << 18
"""Bytes of values that stay in the second-level cache, or almost: short strips are worse."""


def _matrices(a, b):
    """Matrices of the points 0, a, -a, b, -b and infinity: pairs, from_patch, to_tile, from_kernel.

    Values at a point and its negative have the same even and odd part: B^T = pairs from_patch and A^T =
    to_tile pairs, where pairs makes sums and differences. G = from_kernel.
    """
    pairs = np.eye(PATCH)
    pairs[1:3, 1:3] = pairs[3:5, 3:5] = [[1, 1], [1, -1]]
    aa, bb = a * a, b * b
    from_patch = [
        [aa * bb, 0, -aa - bb, 0, 1, 0],
        [0, 0, -bb, 0, 1, 0], [0, -a * bb, 0, a, 0, 0],  # even and odd part at a
        [0, 0, -aa, 0, 1, 0], [0, -b * aa, 0, b, 0, 0],
        [0, aa * bb, 0, -aa - bb, 0, 1],
    ]  # fmt: skip
    to_tile = [[1, 1, 0, 1, 0, 0], [0, 0, a, 0, b, 0], [0, aa, 0, bb, 0, 0], [0, 0, a * aa, 0, b * bb, 1]]
    points = np.array([0, a, -a, b, -b])
    others = [np.prod([p - q for q in points if q != p]) for p in points]
    from_kernel = [*(points[:, None] ** np.arange(TAPS) / np.array(others)[:, None]), [0, 0, 1]]
    return pairs, np.array(from_patch), np.array(to_tile), np.array(from_kernel)


_PAIRS, _FROM_PATCH, _TO_TILE, _FROM_KERNEL = _matrices(NEAR, FAR)
_values_of_patch = sandwich(_PAIRS, _FROM_PATCH)
_tile_of_values = sandwich(_TO_TILE, _PAIRS)
_values_of_tile = sandwich(_PAIRS.T, _TO_TILE.T)
_kernel_of_values = sandwich(_FROM_KERNEL.T)
_KERNEL = np.kron(_FROM_KERNEL, _FROM_KERNEL).astype(np.float32)  # (points, taps) in two dimensions
_ONES = np.linalg.pinv(_TO_TILE @ _PAIRS).sum(1)  # A^T makes a tile of ones of it
_BIAS = np.outer(_ONES, _ONES).astype(np.float32).ravel()


# -- where things lie --------------------------------------------------------------------------------


class Tiles(NamedTuple):
    """Where the numbers of a tile, a patch, or their values at the points lie, in floats."""

    channel: int  # from one channel to the next
    starts: np.ndarray  # where each tile begins
    steps: np.ndarray  # where its numbers lie, from there


class Side(NamedTuple):
    """The images on one side of the product."""

    channels: int
    inside: np.ndarray  # where each number of a channel goes in its plane of lanes
    image: Tiles  # in lanes
    strip: Tiles  # values at the points, for a strip of tiles: (points, channels, tiles)
    space: int  # floats of a strip


def _strip(channels, tiles, length):
    """Places of values. Points are an odd number of vectors apart: even ones share lines of a cache."""
    step = (channels * length | 1) * WIDTH
    starts = np.arange(-(-tiles // length) * length) % length
    return Tiles(length * WIDTH, starts * WIDTH, np.arange(PATCH * PATCH) * step), PATCH * PATCH * step


def _side(channels, rows, size, before, tiles, side, length):
    """Channels (filled up to `rows`) of images of this size, in tiles (patches) of this side."""
    height, width = (SIDE * (n - 1) + side for n in tiles)
    height, width = max(height, before[0] + size[0]), max(width, before[1] + size[1])
    axes = [np.arange(n) + b for n, b in zip(size, before, strict=True)]
    starts = grid(np.arange(tiles[0]) * SIDE, np.arange(tiles[1]) * SIDE, width)
    steps = grid(np.arange(side), np.arange(side), width)
    image = Tiles(height * width * WIDTH, starts * WIDTH, steps * WIDTH)
    strip, space = _strip(-(-channels // rows) * rows, math.prod(tiles), length)
    return Side(channels, grid(*axes, width) * WIDTH, image, strip, space)


# -- compiled ----------------------------------------------------------------------------------------

_READ_PATCH, _READ_TILE, _WRITE_TILE = range(3)


@inner
def _transform(which, channels, first, stop, source, seen, target, given):
    """Transform tiles first : stop of all channels from address to address."""
    steps, places = seen.steps.ctypes.data, given.steps.ctypes.data
    for c in range(channels):
        for i in range(first, stop):
            a = source + 4 * (c * seen.channel + seen.starts[i])
            b = target + 4 * (c * given.channel + given.starts[i])
            if which == _READ_PATCH:
                _values_of_patch(a, steps, b, places)
            elif which == _READ_TILE:
                _values_of_tile(a, steps, b, places)
            else:
                _tile_of_values(a, steps, b, places)


@inner
def _products(weight, bias, v, seen, m, given, tiles, vectors):
    """m[p, o, tile] = bias[o, p] + sum over channels of weight[o, p, channel] v[p, channel, tile]."""
    blocks, points, channels, rows = weight.shape
    steps = np.arange(channels) * seen.channel
    for p in range(points):
        for b in range(blocks):
            a, first = weight[b, p].ctypes.data, bias[b, p].ctypes.data
            to = m + 4 * (given.steps[p] + b * rows * given.channel)
            for i in range(0, tiles, vectors):
                columns, x = seen.starts.ctypes.data + 8 * i, v + 4 * seen.steps[p]
                multiply(rows, a, x, columns, steps.ctypes.data, to, given.channel, columns, first, channels)


@compiled
def _convolution(x, y, read, write, length, vectors, weight, bias, sums, spaces, start, stop):
    """The parts `start` ... of all chunks, each with a space of its own, and the sum of its results."""
    for part in range(start, stop):
        first, last = bounds(len(x.starts), len(spaces), part)
        space = spaces[part]
        sums[part] = _convolve(x, y, read, write, length, vectors, weight, bias, space, first, last)


@inner
def _convolve(x, y, read, write, length, vectors, weight, bias, space, start, stop):
    """Write y for these chunks of x. Returns the sum of all results: finite if they are."""
    total, planes = np.float32(0), read.channels * read.image.channel
    cleared, rest = two_spaces(space, planes, True)
    lanes, v, m = cleared.ctypes.data, rest.ctypes.data, rest.ctypes.data + 4 * read.space
    sums = rest[read.space + write.space :]
    tiles = read.image.starts.size
    for chunk in range(start, stop):
        into_lanes(x, chunk, read.channels, read.inside, read.image.channel, lanes)
        for i in range(0, tiles, length):
            end = min(tiles, i + length)
            _transform(_READ_PATCH, read.channels, i, end, lanes, read.image, v, read.strip)
            _products(weight, bias, v, read.strip, m, write.strip, end - i, vectors)
            _transform(_WRITE_TILE, write.channels, i, end, m, write.strip, sums.ctypes.data, write.image)
        total += add_up(sums[: write.channels * write.image.channel])
        for o in range(write.channels):
            out_of_lanes(sums.ctypes.data + 4 * o * write.image.channel, write.inside, y, chunk, o)
    return total


@inner
def _dots(d, given, v, seen, tiles, rows, vectors, total):
    """total[p, output, channel] += sums over tiles and lanes of d[p, output, tile] v[p, channel, tile]."""
    points, blocks, others, _ = total.shape
    channels = np.arange(others * vectors) * seen.channel
    for p in range(points):
        x = v + 4 * seen.steps[p]
        for b in range(blocks):
            a = d + 4 * (given.steps[p] + b * rows * given.channel)
            for c in range(others):
                columns, to = channels.ctypes.data + 8 * c * vectors, total[p, b, c].ctypes.data
                add_products(rows, a, given.channel, x, columns, seen.starts.ctypes.data, to, tiles)


@inner
def _to_taps(total, taps):
    """taps = G^T total G, from sums at the points (points, n) to those of the kernel (taps, n)."""
    count = total.shape[1]
    points, places = np.arange(PATCH * PATCH) * count, np.arange(TAPS * TAPS) * count
    for i in range(0, count, WIDTH):
        source, target = total.ctypes.data + 4 * i, taps.ctypes.data + 4 * i
        _kernel_of_values(source, points.ctypes.data, target, places.ctypes.data)


@compiled
def _weights(x, g, read, write, length, block, taps, spaces, start, stop):
    """The parts `start` ... of all chunks, each with taps and a space of its own."""
    for part in range(start, stop):
        first, last = bounds(len(x.starts), len(spaces), part)
        _taps(x, g, read, write, length, block, taps[part], spaces[part], first, last)


@inner
def _taps(x, g, read, write, length, block, taps, space, start, stop):
    """What these chunks give to the gradient of the weights: taps (taps, blocks, blocks, sums)."""
    (rows, vectors), planes = block, read.channels * read.image.channel
    cleared, rest = two_spaces(space, planes + write.channels * write.image.channel, True)
    x_lanes, v = cleared.ctypes.data, rest.ctypes.data
    g_lanes, d = x_lanes + 4 * planes, v + 4 * read.space
    total = rest[read.space + write.space :][: PATCH * PATCH * taps[0].size]
    total = total.reshape((PATCH * PATCH, *taps.shape[1:]))
    total[:] = 0
    tiles = read.image.starts.size
    for chunk in range(start, stop):
        into_lanes(x, chunk, read.channels, read.inside, read.image.channel, x_lanes)
        into_lanes(g, chunk, write.channels, write.inside, write.image.channel, g_lanes)
        for i in range(0, tiles, length):
            end = min(tiles, i + length)
            _transform(_READ_PATCH, read.channels, i, end, x_lanes, read.image, v, read.strip)
            _transform(_READ_TILE, write.channels, i, end, g_lanes, write.image, d, write.strip)
            _dots(d, write.strip, v, read.strip, end - i, rows, vectors, total)
    _to_taps(total.reshape(PATCH * PATCH, taps[0].size), taps.reshape(TAPS * TAPS, taps[0].size))


# -- plans -------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """How a convolution with these shapes is done."""

    block: tuple[int, int]  # rows and vectors of the micro-kernel
    length: int  # tiles in a strip
    bands: Bands
    read: Side
    write: Side
    work: float  # floating-point operations


def _cut(batch, channels, size, before, out, threads):
    """Bands of images of this size, with zeros before them; the size, zeros and results of one band."""
    tiles = -(-out[0] // SIDE)
    height, width = (
        max(b + s, -(-n // SIDE) * SIDE + TAPS - 1) for s, b, n in zip(size, before, out, strict=True)
    )
    space = 4 * WIDTH * channels * height * width
    count = best_bands(batch, tiles if out[0] % SIDE == 0 else 1, threads, space)
    rows, reads = out[0] // count, size[0]
    if count > 1:
        reads = rows + TAPS - 1
    bands = Bands(count, (before[0], height), (rows, reads), rows)
    return bands, (reads, size[1]), (before[0] if count == 1 else 0, before[1]), (rows, out[1])


def _strip_length(tiles, vectors, channels):
    """How many tiles to transform at a time, for so many channels and outputs together: whole vectors."""
    most = STRIP // (4 * WIDTH * PATCH * PATCH * channels)
    blocks = -(-tiles // vectors)
    strips = -(-blocks // max(1, most // vectors))
    return -(-blocks // strips) * vectors


@functools.lru_cache(256)
def _plan(direction, source, target, kernel, window, groups, threads):
    """The plan for "forward", "input" or "weight" (the gradients); None where direct sums are better.

    Args:
        source, target: shapes (N, C, H, W) of what is read and what is written (for "weight" g).
        window: stride, padding and dilation.
    """
    stride, padding, dilation = window
    fits = kernel == (TAPS, TAPS) and stride == dilation == (1, 1) and groups == 1 and max(padding) < TAPS
    if not fits:
        return None
    before = [TAPS - 1 - p if direction == "input" else p for p in padding]
    bands, size, before, out = _cut(*source[:2], source[2:], before, target[2:], threads)
    tiles = [-(-n // SIDE) for n in out]
    count, weights = math.prod(tiles), direction == "weight"
    block = best_block(target[1], source[1] if weights else count)
    rows, vectors = (block[0], 1) if weights else block
    lanes = -(-source[0] * bands.count // WIDTH) * WIDTH
    done = lanes * (-(-count // vectors) * vectors + weights)  # sums over lanes cost as much as a tile
    waste = done * SIDE * SIDE / (source[0] * math.prod(target[2:]))
    if waste * (PRODUCTS + TRANSFORMS * (1 / source[1] + 1 / target[1])) > WORTH_IT:
        return None
    length = _strip_length(count, vectors, source[1] + target[1])
    read = _side(source[1], block[1] if weights else 1, size, before, tiles, PATCH, length)
    write = _side(target[1], rows, out, (0, 0), tiles, SIDE, length)
    return _Plan(block, length, bands, read, write, 2.0 * done * PATCH * PATCH * source[1] * target[1])


# -- what is called ----------------------------------------------------------------------------------


def _settings(window):
    """Stride, padding and dilation as tuples, which a cache can keep."""
    return tuple(tuple(setting) for setting in window)


def _space(plan):
    """Floats for both sides: lanes, and a strip of values."""
    return sum(side.channels * side.image.channel + side.space for side in (plan.read, plan.write))


def _values_of_kernels(weight, backward, rows):
    """u = G w G^T, packed for `multiply`: (blocks, points, channels, rows). Backward: of w turned round."""
    per_channel, per_output = TAPS * TAPS, weight[0].size
    outputs, channels, taps = *weight.shape[:2], np.arange(per_channel)[:, None]
    if backward:
        outputs, channels, taps = channels, outputs, taps[::-1]
        per_channel, per_output = per_output, per_channel
    blocks, entries = -(-outputs // rows), (taps + np.arange(channels) * per_channel).ravel()
    packed = np.zeros((1, blocks, len(entries), rows), np.float32)
    pack(weight.reshape(-1), per_output, outputs, entries, packed)
    values = np.matmul(_KERNEL, packed.reshape(blocks, TAPS * TAPS, channels * rows))
    return values.reshape(blocks, PATCH * PATCH, channels, rows)


def product(direction, x, weight, result, window, groups, bias):
    """The convolution of x, or its transpose ("input"): (N, C, *result), or None if direct is better."""
    window, outputs = _settings(window), len(weight) if direction == "forward" else weight.shape[1]
    y_shape = (len(x), outputs, *result)
    plan = _plan(direction, x.shape, y_shape, weight.shape[2:], window, groups, thread_count())
    if plan is None:
        return None
    y, (rows, vectors) = np.empty(y_shape, np.float32), plan.block
    values = _values_of_kernels(np.ascontiguousarray(weight), direction == "input", rows)
    first = np.zeros((len(values), 1, rows), np.float32)
    if bias is not None:
        first.reshape(-1)[:outputs] = bias
    source, target = read_lanes(np.ascontiguousarray(x), plan.bands), written_lanes(y, plan.bands)
    constants = (source, target, plan.read, plan.write, plan.length, vectors, values, first * _BIAS[:, None])
    parts = ways(len(source.starts), plan.work)
    sums = np.empty(parts, np.float32)
    split(parts, plan.work, _convolution, *constants, sums, make_spaces(_space(plan), parts))
    return y if np.isfinite(sums).all() else None


def dots(g, x, kernel, window, groups):
    """The gradient of the weights: (O, C, 3, 3), or None if direct is better."""
    plan = _plan("weight", x.shape, g.shape, tuple(kernel), _settings(window), groups, thread_count())
    if plan is None:
        return None
    (rows, vectors), outputs, channels = plan.block, g.shape[1], x.shape[1]
    shape = (TAPS * TAPS, -(-outputs // rows), -(-channels // vectors), filled(plan.block))
    source = read_lanes(np.ascontiguousarray(x), plan.bands)
    target = written_lanes(np.ascontiguousarray(g), plan.bands)
    constants = (source, target, plan.read, plan.write, plan.length, plan.block)
    parts = ways(len(source.starts), plan.work)
    taps = np.empty((parts, *shape), np.float32)
    spaces = make_spaces(_space(plan) + PATCH * PATCH * math.prod(shape[1:]), parts)
    split(parts, plan.work, _weights, *constants, taps, spaces)
    with np.errstate(all="ignore"):  # infinities
        taps = [from_blocks(some, plan.block, outputs, channels) for some in taps]
        dw = np.ascontiguousarray(np.moveaxis(functools.reduce(np.add, taps), 0, -1))
    return dw.reshape(outputs, channels, TAPS, TAPS) if math.isfinite(add_up(dw.ravel())) else None
