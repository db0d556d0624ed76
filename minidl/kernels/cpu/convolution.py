"""Convolution with sixteen images at once: each image is one lane of every vector.

A pixel of WIDTH images is one vector, so a convolution needs no shuffles, and any stride, dilation, padding
or size of image is as good as any other: they only change the tables of offsets that say where a place of the
output looks (`_Plan`). Images are turned into lanes on the way in and back on the way out, with zeros around:

    for chunk of WIDTH images                         split over threads
        turn x into lanes                             (C, rows, columns, WIDTH)
        for group, for block of output channels       weights packed in this order
            for block of places                       anywhere in the image
                for k = (channel, dy, dx)             micro-kernel: registers only
                    y[rows, places] += w[rows, k] * x[columns[places] + steps[k]]
            turn y back

The gradient of x is the same product with other tables. With a stride, the places of x fall into phases, of
which each sees its own part of the kernel. The gradient of the weights sums over places and lanes instead:
the micro-kernel multiplies vectors of g by vectors of x, and lanes are added at the very end.

A batch that does not fill the lanes is cut into bands of rows, each a lane of its own.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from minidl.kernels import reference
from minidl.kernels.cpu.compiling import compiled
from minidl.kernels.cpu.simd import BLOCKS, WIDTH, copy, micro_kernel, turn
from minidl.kernels.threads import split, thread_count

PLACES = 64
"""Places whose g, for all rows of a block, stay in the first-level cache while weights move over them."""
FULL_ENOUGH = 0.8
"""Share of lanes in use from which cutting images into more bands gains nothing."""
CACHE = 5 << 18
"""Bytes of lanes that stay in the second-level cache; larger images are cut into bands."""
WORTH_A_PHASE = 0.9
"""Share of the work that must be left to give places at the edges, which see less, kernels of their own."""

_products = [micro_kernel(*block, spread=True) for block in BLOCKS]
_dots = [micro_kernel(*block, spread=False) for block in BLOCKS]
_product_high, _product_middle, _product_one = _products
_dot_high, _dot_middle, _dot_one = _dots

_NOTHING = np.empty(0, np.float32)


# -- where things lie --------------------------------------------------------------------------------


class Lanes(NamedTuple):
    """The images of an array as lanes: lane i of a chunk begins at starts[chunk, i]."""

    numbers: np.ndarray  # flat
    starts: np.ndarray  # (chunks, WIDTH)
    step: int  # from one channel to the next
    run: int  # numbers in a channel
    nobody: np.ndarray  # where lanes without an image point to


class Tables(NamedTuple):
    """Offsets in lanes, in floats. Phase p has entries ks[p] : ks[p + 1] and places ps[p] : ps[p + 1]."""

    plane: int  # floats of one channel
    inside: np.ndarray  # where each number of a channel's run goes
    entries: np.ndarray  # where the weight of entry k stands in the weights of a group
    steps: np.ndarray  # where entry k looks, from a place on
    columns: np.ndarray  # where a place begins to look
    targets: np.ndarray  # where the result of a place goes
    ks: np.ndarray
    ps: np.ndarray


class _Phase(NamedTuple):
    """Along one axis: places i, the source position of each, the taps they see and how far from there."""

    places: np.ndarray
    sources: np.ndarray
    taps: np.ndarray
    shifts: np.ndarray


class _Axis(NamedTuple):
    before: int  # zeros before the first element
    length: int  # zeros, elements, zeros
    phases: list[_Phase]

    def band(self, rows: int):
        """The same for the first `rows` places, in a space that has its zeros already."""
        (phase,) = self.phases
        phase = phase._replace(places=phase.places[:rows], sources=phase.sources[:rows])
        return _Axis(0, phase.sources[-1] + phase.shifts.max() + 1, [phase])

    def without_zeros(self, size: int):
        """Places that see the same taps on the `size` elements become a phase, if that saves much."""
        phases: list[_Phase] = []
        for phase in self.phases:
            seen = phase.sources[:, None] + phase.shifts - self.before
            sees = (seen >= 0) & (seen < size)
            for taps in np.unique(sees, axis=0):
                same = (sees == taps).all(axis=1)
                places = phase.places[same], phase.sources[same]
                phases.append(_Phase(*places, phase.taps[taps], phase.shifts[taps]))
        work, before = (sum(len(p.places) * len(p.taps) for p in ps) for ps in (phases, self.phases))
        return self._replace(phases=phases) if work < WORTH_A_PHASE * before else self


def _forward_axis(size, kernel, out, stride, padding, dilation):
    phase = _Phase(np.arange(out), np.arange(out) * stride, np.arange(kernel), np.arange(kernel) * dilation)
    reach = phase.sources[-1] + phase.shifts[-1] + 1
    return _Axis(padding, max(padding + size, reach), [phase])


def _backward_axis(size, kernel, out, stride, padding, dilation):
    """Place r of x was seen as tap k by output i = (r + padding - k dilation) / stride, if that is whole."""
    places, taps = np.arange(size), np.arange(kernel)
    phases = []
    for rest in range(stride):
        r, k = places[(places + padding) % stride == rest], taps[taps * dilation % stride == rest]
        phases.append(_Phase(r, (r + padding - rest) // stride, k, (rest - k * dilation) // stride))
    phases = [p for p in phases if len(p.places)]
    sources = [p.sources[:, None] + p.shifts for p in phases if len(p.taps)]
    before = max(0, -min((s.min() for s in sources), default=0))
    length = max(before + out, max((s.max() + before + 1 for s in sources), default=0))
    return _Axis(before, length, [p._replace(sources=p.sources + before) for p in phases])


def _grid(rows, columns, width):
    """row * width + column for all pairs."""
    return (rows[:, None] * width + columns).ravel()


def _tables(vertical, horizontal, size, kernel_width, out_width, channels, channel_stride, vectors):
    """Tables of both axes, for a source of this size.

    Places of a phase are filled up to whole blocks: the last one is done again.
    """
    row, channel = horizontal.length, np.arange(channels)[:, None]
    plane = vertical.length * row
    inside = _grid(np.arange(size[0]) + vertical.before, np.arange(size[1]) + horizontal.before, row)
    entries, steps, columns, targets = [], [], [], []
    for y in vertical.phases:
        for x in horizontal.phases:
            entries.append((channel * channel_stride + _grid(y.taps, x.taps, kernel_width)).ravel())
            steps.append((channel * plane + _grid(y.shifts, x.shifts, row)).ravel() * WIDTH)
            fill = (0, -len(y.places) * len(x.places) % vectors)
            columns.append(np.pad(_grid(y.sources, x.sources, row), fill, "edge") * WIDTH)
            targets.append(np.pad(_grid(y.places, x.places, out_width), fill, "edge") * WIDTH)
    bounds = [np.cumsum([0, *map(len, tables)]) for tables in (steps, columns)]
    joined = [np.concatenate(tables) for tables in (entries, steps, columns, targets)]
    joined[1] = np.pad(joined[1], (0, vectors))  # blocks of entries may reach beyond the last one
    return Tables(plane * WIDTH, inside * WIDTH, *joined, *bounds)


# -- compiled ----------------------------------------------------------------------------------------


@compiled
def _two_spaces(space, first, surrounded):
    """Two parts of a space that begin where a vector does: one across two cache lines costs twice.

    The first part, of so many floats, is cleared if its images have zeros around them.
    """
    start = -(space.ctypes.data // 4) % WIDTH
    middle = start + first
    if surrounded:
        space[start:middle] = 0
    return space[start:middle], space[middle:]


@compiled
def _into_lanes(images, chunk, channels, inside, plane, lanes):
    """Write a chunk of images into `lanes`; what lies around them stays zero."""
    starts, turned = images.starts[chunk], images.run // WIDTH * WIDTH
    for c in range(channels):
        source, target = images.numbers.ctypes.data + 4 * c * images.step, lanes.ctypes.data + 4 * c * plane
        for p in range(0, turned, WIDTH):
            turn(source + 4 * p, starts.ctypes.data, target, inside.ctypes.data + 8 * p)
        for p in range(turned, images.run):
            for lane in range(WIDTH):
                copy(source + 4 * (starts[lane] + p), target + 4 * (inside[p] + lane))


@compiled
def _out_of_lanes(lanes, images, chunk, channel, rows):
    """Write one channel, which begins at address `lanes`, back to the images of a chunk."""
    starts, turned = images.starts[chunk], images.run // WIDTH * WIDTH
    target = images.numbers.ctypes.data + 4 * channel * images.step
    for p in range(0, turned, WIDTH):
        turn(lanes + 4 * p * WIDTH, rows.ctypes.data, target + 4 * p, starts.ctypes.data)
    for p in range(turned, images.run):
        for lane in range(WIDTH):
            copy(lanes + 4 * (p * WIDTH + lane), target + 4 * (starts[lane] + p))


@compiled
def _pack(weight, row_stride, outputs, entries, packed):
    """packed[group, block, k, row] = the weight of entry k for this output; 0 behind the last output."""
    groups, _, count, rows = packed.shape
    size = weight.size // groups
    for g in range(groups):
        for o in range(outputs):
            first = g * size + o * row_stride
            for k in range(count):
                packed[g, o // rows, k, o % rows] = weight[first + entries[k]]


@compiled
def _multiply(rows, weight, x, columns, steps, y, length, targets, bias, entries):
    """One block of places for one block of outputs."""
    if rows == BLOCKS[0][0]:
        _product_high(weight, 1, rows, x, columns, steps, y, length, targets, bias, entries)
    elif rows == BLOCKS[1][0]:
        _product_middle(weight, 1, rows, x, columns, steps, y, length, targets, bias, entries)
    else:
        _product_one(weight, 1, rows, x, columns, steps, y, length, targets, bias, entries)


@compiled
def _block(tables, lanes, vectors, weight, rows, bias, sums, length):
    """All places of one block of outputs."""
    for phase in range(len(tables.ps) - 1):
        k, entries = tables.ks[phase], tables.ks[phase + 1] - tables.ks[phase]
        steps, a = tables.steps.ctypes.data + 8 * k, weight + 4 * k * rows
        for i in range(tables.ps[phase], tables.ps[phase + 1], vectors):
            columns, targets = tables.columns.ctypes.data + 8 * i, tables.targets.ctypes.data + 8 * i
            _multiply(rows, a, lanes, columns, steps, sums.ctypes.data, length, targets, bias, entries)


@compiled
def _convolution(x, y, tables, vectors, channels, packed, outputs, bias, space, start, stop):
    groups, blocks, entries, rows = packed.shape
    length = y.run * WIDTH
    lanes, sums = _two_spaces(space, groups * channels * tables.plane, tables.plane > x.run * WIDTH)
    every = np.arange(WIDTH) * WIDTH
    for chunk in range(start, stop):
        _into_lanes(x, chunk, groups * channels, tables.inside, tables.plane, lanes)
        for g in range(groups):
            seen = lanes.ctypes.data + 4 * g * channels * tables.plane
            for b in range(blocks):
                weight = packed.ctypes.data + 4 * (g * blocks + b) * entries * rows
                first = bias.ctypes.data + 4 * (g * blocks + b) * rows
                _block(tables, seen, vectors, weight, rows, first, sums, length)
                for m in range(min(rows, outputs - b * rows)):
                    done, output = sums.ctypes.data + 4 * m * length, g * outputs + b * rows + m
                    _out_of_lanes(done, y, chunk, output, every)


@compiled
def _add_products(rows, g, length, x, steps, columns, total, places):
    """total[row, k] += sum over places and lanes of g[row, place] x[steps[k] + columns[place]]."""
    if rows == BLOCKS[0][0]:
        _dot_high(g, length, WIDTH, x, steps, columns, total, 0, 0, 0, places)
    elif rows == BLOCKS[1][0]:
        _dot_middle(g, length, WIDTH, x, steps, columns, total, 0, 0, 0, places)
    else:
        _dot_one(g, length, WIDTH, x, steps, columns, total, 0, 0, 0, places)


@compiled
def _group_weights(g_address, places, x_address, tables, rows, vectors, total):
    """Add what one chunk gives to the weights of one group: total (blocks of outputs, of entries, sums)."""
    length, sums = places * WIDTH, total.ctypes.data
    for p in range(0, places, PLACES):
        columns, count = tables.columns.ctypes.data + 8 * p, min(PLACES, places - p)
        for b in range(total.shape[0]):
            a = g_address + 4 * (b * rows * length + p * WIDTH)
            for k in range(total.shape[1]):
                steps = tables.steps.ctypes.data + 8 * k * vectors
                to = sums + 4 * (b * total.shape[1] + k) * total.shape[2]
                _add_products(rows, a, length, x_address, steps, columns, to, count)


@compiled
def _weights(x, g, tables, rows, vectors, channels, outputs, total, space, start, stop):
    """Add what these chunks give to the gradient of the weights, `total`, block by block for each group."""
    groups, length = len(total), g.run * WIDTH
    lanes, turned = _two_spaces(space, groups * channels * tables.plane, tables.plane > x.run * WIDTH)
    every = np.arange(g.run) * WIDTH
    for chunk in range(start, stop):
        _into_lanes(x, chunk, groups * channels, tables.inside, tables.plane, lanes)
        _into_lanes(g, chunk, groups * outputs, every, length, turned)
        for group in range(groups):
            g_address = turned.ctypes.data + 4 * group * outputs * length
            x_address = lanes.ctypes.data + 4 * group * channels * tables.plane
            _group_weights(g_address, g.run, x_address, tables, rows, vectors, total[group])


@compiled(fastmath={"reassoc"})
def _sum(row):
    total = row.dtype.type(0)
    for i in range(row.size):
        total += row[i]
    return total


@compiled
def _bias(g, total, start, stop):
    """total[o] = the sum of g (N, O, places), for these outputs."""
    for o in range(start, stop):
        for n in range(len(g)):
            total[o] += _sum(g[n, o])


# -- plans -------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """How a convolution with these shapes is done."""

    block: tuple[int, int]  # rows and vectors of the micro-kernel
    bands: int  # of rows, into which each image is cut
    frame: tuple[int, int]  # if there are several: zeros before the first row, rows with all zeros
    reads: tuple[int, int]  # rows from one band of the source to the next; rows that a band reads
    writes: int  # rows that a band writes
    tables: Tables
    channels: int  # of the source, in a group
    output_stride: int  # from one output of the product to the next, in the weights


def _best_block(outputs):
    """(rows, vectors) of the micro-kernel that computes least for nothing. One row is slow: it loads most."""
    return min(BLOCKS, key=lambda block: -(-outputs // block[0]) * (block[0] + 1))


def _best_bands(batch, rows, threads, size):
    """Into how many bands to cut images of so many rows, which need `size` bytes of cache.

    So many that the cache holds them, lanes are full and no thread is idle.
    """

    def use(bands):
        chunks = -(-batch * bands // WIDTH)
        return batch * bands / (WIDTH * chunks) * min(1, chunks / threads)

    choices = [b for b in range(1, rows + 1) if rows % b == 0]
    choices = [b for b in choices if size / b <= CACHE] or choices[-1:]
    return next((b for b in choices if use(b) >= FULL_ENOUGH), max(choices, key=use))


@functools.lru_cache(256)
def _plan(direction, source, weight, target, window, groups, threads):
    """The plan for "forward", "input" or "weight" (the gradients).

    Args:
        source, target: shapes (N, C, H, W) of what is read and what is written (for "weight" g).
        weight: the shape (O, C / groups, KH, KW).
        window: stride, padding and dilation, two numbers each.
    """
    backward = direction == "input"
    per_output, per_channel = math.prod(weight[1:]), math.prod(weight[2:])
    size, out = (target[2:], source[2:]) if backward else (source[2:], target[2:])
    axes = zip(size, weight[2:], out, *window, strict=True)
    vertical, horizontal = itertools.starmap(_backward_axis if backward else _forward_axis, axes)
    block, frame = _best_block(target[1] // groups), (vertical.before, vertical.length)
    bands, area = 1, source[2:]
    if len(vertical.phases) == 1:
        space = 4 * WIDTH * source[1] * vertical.length * horizontal.length
        bands = _best_bands(source[0], target[2], threads, space)
    rows = target[2] // bands
    if bands > 1:
        vertical = vertical.band(rows)
        area = (vertical.length, source[3])
    elif direction != "weight":
        vertical = vertical.without_zeros(source[2])
    strides = (per_channel, per_output) if not backward else (per_output, per_channel)
    channels = source[1] // groups
    tables = _tables(vertical, horizontal, area, weight[3], target[3], channels, strides[0], block[1])
    shift = rows if backward else rows * window[0][0]
    return _Plan(block, bands, frame, (shift, area[0]), rows, tables, channels, strides[1])


@functools.lru_cache(256)
def _starts(batch, bands, image, band):
    """(chunks, WIDTH) starts of lanes, band after band and image after image, and how many there are."""
    starts = (np.arange(batch)[:, None] * image + np.arange(bands) * band).ravel()
    return np.pad(starts, (0, -len(starts) % WIDTH)).reshape(-1, WIDTH), len(starts)


def _as_lanes(array, bands, shift, rows):
    """Lanes of an array (N, C, H, W): band b of an image begins at row b * shift and has `rows` rows.

    Lanes that are left over read, and write, an image of zeros that belongs to nobody.
    """
    batch, _, height, width = array.shape
    starts, filled = _starts(batch, bands, array.size // batch, shift * width)
    nobody = _NOTHING
    if filled < starts.size:
        nobody, starts = np.zeros(array.size // batch, np.float32), starts.copy()
        starts.reshape(-1)[filled:] = (nobody.ctypes.data - array.ctypes.data) // 4
    return Lanes(array.reshape(-1), starts, height * width, rows * width, nobody)


def _source(x, plan):
    """Lanes of what is read, for bands with the zeros above and below."""
    if plan.bands > 1:
        before, rows = plan.frame
        framed = np.zeros((*x.shape[:2], rows, x.shape[3]), np.float32)
        framed[:, :, before : before + x.shape[2]] = x
        x = framed
    return _as_lanes(x, plan.bands, *plan.reads)


def _target(y, plan):
    return _as_lanes(y, plan.bands, plan.writes, plan.writes)


# -- what is called ----------------------------------------------------------------------------------


def _suits(x, other) -> bool:
    """Is this what the kernels here are written for?"""
    return x.dtype == other.dtype == np.float32 and x.size > 0 and other.size > 0


def _finite(weight) -> bool:
    """Are all weights finite? Otherwise it matters which zeros around an image they meet."""
    return math.isfinite(weight.sum())


def _image(array):
    """(A, B, L) -> (A, B, 1, L): a signal is an image one row high. Contiguous, as the kernels want it."""
    return np.ascontiguousarray(array if array.ndim == 4 else array[:, :, None])


def _two(settings, fill):
    """Settings for two axes; those of a signal are for the second one."""
    return tuple(settings) if len(settings) == 2 else (fill, *settings)


def _window(stride, padding, dilation):
    return _two(stride, 1), _two(padding, 0), _two(dilation, 1)


def _spaces(size, chunks):
    """Space for each thread, from the thread that asks: what others allocate goes back to the system."""
    return [np.empty(size + WIDTH, np.float32) for _ in range(min(chunks, thread_count()))]


def _product(direction, x, weight, result, window, groups, bias):
    """The convolution of x, or its transpose ("input"): an array (N, C, *result)."""
    x, weight = _image(x), _image(weight)
    outputs = len(weight) // groups if direction == "forward" else weight.shape[1]
    y = np.empty((len(x), outputs * groups, *_two(result, 1)), np.float32)
    plan = _plan(direction, x.shape, weight.shape, y.shape, _window(*window), groups, thread_count())
    rows, vectors = plan.block
    blocks = -(-outputs // rows)
    packed = np.zeros((groups, blocks, len(plan.tables.entries), rows), np.float32)
    _pack(weight.reshape(-1), plan.output_stride, outputs, plan.tables.entries, packed)
    first = np.zeros((groups, blocks * rows), np.float32)
    if bias is not None:
        first[:, :outputs] = bias.reshape(groups, outputs)
    source, target = _source(x, plan), _target(y, plan)
    constants = (source, target, plan.tables, vectors, plan.channels, packed, outputs, first)
    work = 2.0 * y[0].size * len(x) * len(plan.tables.entries)
    spaces = _spaces(x.shape[1] * plan.tables.plane + rows * target.run * WIDTH, len(source.starts))
    split(len(source.starts), work, lambda *part: _convolution(*constants, spaces.pop(), *part))
    return y.reshape(*y.shape[:2], *result)


def convolution(x, weight, out, stride, padding, dilation, groups, bias=None):
    """`reference.convolution`."""
    if not _suits(x, weight) or not _finite(weight):
        return reference.convolution(x, weight, out, stride, padding, dilation, groups, bias)
    return _product("forward", x, weight, out, (stride, padding, dilation), groups, bias)


def convolution_backward_input(g, weight, size, stride, padding, dilation, groups):
    """`reference.convolution_backward_input`."""
    if not _suits(g, weight) or not _finite(weight):
        return reference.convolution_backward_input(g, weight, size, stride, padding, dilation, groups)
    return _product("input", g, weight, size, (stride, padding, dilation), groups, None)


def _from_blocks(total, block, outputs, entries):
    """(groups, blocks of outputs, of entries, sums) -> (groups, outputs, entries): without what is spoilt."""
    sums = total[..., : math.prod(block)].reshape(*total.shape[:3], *block).swapaxes(2, 3)
    return sums.reshape(len(total), total.shape[1] * block[0], -1)[:, :outputs, :entries]


def convolution_backward_weight(g, x, kernel, stride, padding, dilation, groups):
    """`reference.convolution_backward_weight`."""
    if not _suits(g, x):
        return reference.convolution_backward_weight(g, x, kernel, stride, padding, dilation, groups)
    images, gradients, outputs = _image(x), _image(g), g.shape[1] // groups
    weight = (g.shape[1], x.shape[1] // groups, *_two(kernel, 1))
    window = _window(stride, padding, dilation)
    plan = _plan("weight", images.shape, weight, gradients.shape, window, groups, thread_count())
    entries, (rows, vectors) = len(plan.tables.entries), plan.block
    blocks, filled = (-(-outputs // rows), -(-entries // vectors)), -(-rows * vectors // WIDTH) * WIDTH
    lanes = (_source(images, plan), _target(gradients, plan))
    constants = (*lanes, plan.tables, rows, vectors, plan.channels, outputs)
    size = x.shape[1] * plan.tables.plane + (g.shape[1] + rows) * lanes[1].run * WIDTH
    chunks, totals = len(lanes[0].starts), {}
    spaces = [(np.zeros((groups, *blocks, filled), np.float32), space) for space in _spaces(size, chunks)]

    def part(start, stop):
        totals[start], space = spaces.pop()
        _weights(*constants, totals[start], space, start, stop)

    split(chunks, 2.0 * g.size * entries, part)
    parts = [_from_blocks(totals[start], plan.block, outputs, entries) for start in sorted(totals)]
    return functools.reduce(np.add, parts).reshape(*weight[:2], *kernel)


def convolution_backward_bias(g):
    """`reference.convolution_backward_bias`."""
    total = np.zeros(g.shape[1], g.dtype)
    places = math.prod(g.shape[2:])
    if g.size:
        flat = np.ascontiguousarray(g).reshape(*g.shape[:2], places)
        split(g.shape[1], 1.0 * g.size, lambda start, stop: _bias(flat, total, start, stop))
    return total
