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
from minidl.kernels.cpu import winograd
from minidl.kernels.cpu.activation import MOVE
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
from minidl.kernels.cpu.simd import WIDTH
from minidl.kernels.threads import split, thread_count, ways

PLACES = 64
"""Places whose g, for all rows of a block, stay in the first-level cache while weights move over them."""
WORTH_A_PHASE = 0.9
"""Share of the work that must be left to give places at the edges, which see less, kernels of their own."""


# -- where things lie --------------------------------------------------------------------------------


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


def _tables(vertical, horizontal, size, kernel_width, out_width, channels, channel_stride, vectors):
    """Tables of both axes, for a source of this size.

    Places of a phase are filled up to whole blocks: the last one is done again.
    """
    row, channel = horizontal.length, np.arange(channels)[:, None]
    plane = vertical.length * row
    inside = grid(np.arange(size[0]) + vertical.before, np.arange(size[1]) + horizontal.before, row)
    entries, steps, columns, targets = [], [], [], []
    for y in vertical.phases:
        for x in horizontal.phases:
            entries.append((channel * channel_stride + grid(y.taps, x.taps, kernel_width)).ravel())
            steps.append((channel * plane + grid(y.shifts, x.shifts, row)).ravel() * WIDTH)
            fill = (0, -len(y.places) * len(x.places) % vectors)
            columns.append(np.pad(grid(y.sources, x.sources, row), fill, "edge") * WIDTH)
            targets.append(np.pad(grid(y.places, x.places, out_width), fill, "edge") * WIDTH)
    bounds = [np.cumsum([0, *map(len, tables)]) for tables in (steps, columns)]
    joined = [np.concatenate(tables) for tables in (entries, steps, columns, targets)]
    joined[1] = np.pad(joined[1], (0, vectors))  # blocks of entries may reach beyond the last one
    return Tables(plane * WIDTH, inside * WIDTH, *joined, *bounds)


# -- compiled ----------------------------------------------------------------------------------------


@inner
def _block(tables, lanes, vectors, weight, rows, bias, sums, length):
    """All places of one block of outputs."""
    for phase in range(len(tables.ps) - 1):
        k, entries = tables.ks[phase], tables.ks[phase + 1] - tables.ks[phase]
        steps, a = tables.steps.ctypes.data + 8 * k, weight + 4 * k * rows
        for i in range(tables.ps[phase], tables.ps[phase + 1], vectors):
            columns, targets = tables.columns.ctypes.data + 8 * i, tables.targets.ctypes.data + 8 * i
            multiply(rows, a, lanes, columns, steps, sums.ctypes.data, length, targets, bias, entries)


@compiled
def _convolution(x, y, tables, vectors, channels, packed, outputs, bias, spaces, start, stop):
    """The parts `start` ... of all chunks, each in a space of its own."""
    for part in range(start, stop):
        first, last = bounds(len(x.starts), len(spaces), part)
        _convolve(x, y, tables, vectors, channels, packed, outputs, bias, spaces[part], first, last)


@inner
def _convolve(x, y, tables, vectors, channels, packed, outputs, bias, space, start, stop):
    groups, blocks, entries, rows = packed.shape
    length = y.run * WIDTH
    lanes, sums = two_spaces(space, groups * channels * tables.plane, tables.plane > x.run * WIDTH)
    every = np.arange(y.run) * WIDTH
    for chunk in range(start, stop):
        into_lanes(x, chunk, groups * channels, tables.inside, tables.plane, lanes.ctypes.data)
        for g in range(groups):
            seen = lanes.ctypes.data + 4 * g * channels * tables.plane
            for b in range(blocks):
                weight = packed.ctypes.data + 4 * (g * blocks + b) * entries * rows
                first = bias.ctypes.data + 4 * (g * blocks + b) * rows
                _block(tables, seen, vectors, weight, rows, first, sums, length)
                for m in range(min(rows, outputs - b * rows)):
                    done, output = sums.ctypes.data + 4 * m * length, g * outputs + b * rows + m
                    out_of_lanes(done, every, y, chunk, output)


@inner
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
                add_products(rows, a, length, x_address, steps, columns, to, count)


@compiled
def _weights(x, g, tables, rows, vectors, channels, outputs, totals, spaces, start, stop):
    """The parts `start` ... of all chunks, each with a total and a space of its own."""
    for part in range(start, stop):
        first, last = bounds(len(x.starts), len(spaces), part)
        total, space = totals[part], spaces[part]
        _add_weights(x, g, tables, rows, vectors, channels, outputs, total, space, first, last)


@inner
def _add_weights(x, g, tables, rows, vectors, channels, outputs, total, space, start, stop):
    """Add what these chunks give to the gradient of the weights, `total`, block by block for each group."""
    groups, length = len(total), g.run * WIDTH
    lanes, turned = two_spaces(space, groups * channels * tables.plane, tables.plane > x.run * WIDTH)
    every = np.arange(g.run) * WIDTH
    for chunk in range(start, stop):
        into_lanes(x, chunk, groups * channels, tables.inside, tables.plane, lanes.ctypes.data)
        into_lanes(g, chunk, groups * outputs, every, length, turned.ctypes.data)
        for group in range(groups):
            g_address = turned.ctypes.data + 4 * group * outputs * length
            x_address = lanes.ctypes.data + 4 * group * channels * tables.plane
            _group_weights(g_address, g.run, x_address, tables, rows, vectors, total[group])


@compiled
def _bias(g, total, start, stop):
    """total[o] = the sum of g (N, O, places), for these outputs."""
    for o in range(start, stop):
        for n in range(len(g)):
            total[o] += add_up(g[n, o])


# -- plans -------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """How a convolution with these shapes is done."""

    block: tuple[int, int]  # rows and vectors of the micro-kernel
    bands: Bands  # into which each image is cut
    tables: Tables
    channels: int  # of the source, in a group
    output_stride: int  # from one output of the product to the next, in the weights


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
    others = per_output if direction == "weight" else math.prod(target[2:])
    block = best_block(target[1] // groups, others)
    frame = vertical.before, vertical.length
    bands, area = 1, source[2:]
    if len(vertical.phases) == 1:
        space = 4 * WIDTH * source[1] * vertical.length * horizontal.length
        bands = best_bands(source[0], target[2], threads, space)
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
    cut = Bands(bands, frame, (shift, area[0]), rows)
    return _Plan(block, cut, tables, channels, strides[1])


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


def _product(direction, x, weight, result, window, groups, bias):
    """The convolution of x, or its transpose ("input"): an array (N, C, *result)."""
    x, weight = _image(x), _image(weight)
    outputs = len(weight) // groups if direction == "forward" else weight.shape[1]
    y = np.empty((len(x), outputs * groups, *_two(result, 1)), np.float32)
    plan = _plan(direction, x.shape, weight.shape, y.shape, _window(*window), groups, thread_count())
    rows, vectors = plan.block
    blocks = -(-outputs // rows)
    packed = np.zeros((groups, blocks, len(plan.tables.entries), rows), np.float32)
    pack(weight.reshape(-1), plan.output_stride, outputs, plan.tables.entries, packed)
    first = np.zeros((groups, blocks * rows), np.float32)
    if bias is not None:
        first[:, :outputs] = bias.reshape(groups, outputs)
    source, target = read_lanes(x, plan.bands), written_lanes(y, plan.bands)
    constants = (source, target, plan.tables, vectors, plan.channels, packed, outputs, first)
    work = 2.0 * y[0].size * len(x) * len(plan.tables.entries)
    parts = ways(len(source.starts), work)
    spaces = make_spaces(x.shape[1] * plan.tables.plane + rows * target.run * WIDTH, parts)
    split(parts, work, _convolution, *constants, spaces)
    return y.reshape(*y.shape[:2], *result)


def _dots(g, x, kernel, window, groups):
    """The gradient of the weights: an array (O, C / groups, *kernel)."""
    images, gradients, outputs = _image(x), _image(g), g.shape[1] // groups
    weight = (g.shape[1], x.shape[1] // groups, *_two(kernel, 1))
    plan = _plan("weight", images.shape, weight, gradients.shape, _window(*window), groups, thread_count())
    entries, (rows, vectors) = len(plan.tables.entries), plan.block
    shape = (groups, -(-outputs // rows), -(-entries // vectors), filled(plan.block))
    lanes = (read_lanes(images, plan.bands), written_lanes(gradients, plan.bands))
    constants = (*lanes, plan.tables, rows, vectors, plan.channels, outputs)
    size = x.shape[1] * plan.tables.plane + (g.shape[1] + rows) * lanes[1].run * WIDTH
    work = 2.0 * g.size * entries
    parts = ways(len(lanes[0].starts), work)
    totals = np.zeros((parts, *shape), np.float32)
    split(parts, work, _weights, *constants, totals, make_spaces(size, parts))
    weights = [from_blocks(total, plan.block, outputs, entries) for total in totals]
    return functools.reduce(np.add, weights).reshape(*weight[:2], *kernel)


def convolution(x, weight, out, stride, padding, dilation, groups, bias=None):
    """`reference.convolution`."""
    if not _suits(x, weight) or not _finite(weight):
        return reference.convolution(x, weight, out, stride, padding, dilation, groups, bias)
    window = stride, padding, dilation
    y = winograd.product("forward", x, weight, out, window, groups, bias)
    return _product("forward", x, weight, out, window, groups, bias) if y is None else y


def convolution_backward_input(g, weight, size, stride, padding, dilation, groups):
    """`reference.convolution_backward_input`."""
    if not _suits(g, weight) or not _finite(weight):
        return reference.convolution_backward_input(g, weight, size, stride, padding, dilation, groups)
    window = stride, padding, dilation
    dx = winograd.product("input", g, weight, size, window, groups, None)
    return _product("input", g, weight, size, window, groups, None) if dx is None else dx


def convolution_backward_weight(g, x, kernel, stride, padding, dilation, groups):
    """`reference.convolution_backward_weight`."""
    if not _suits(g, x):
        return reference.convolution_backward_weight(g, x, kernel, stride, padding, dilation, groups)
    window = stride, padding, dilation
    dw = winograd.dots(g, x, kernel, window, groups)
    return _dots(g, x, kernel, window, groups) if dw is None else dw


def convolution_backward_bias(g):
    """`reference.convolution_backward_bias`."""
    total = np.zeros(g.shape[1], g.dtype)
    places = math.prod(g.shape[2:])
    if g.size:
        flat = np.ascontiguousarray(g).reshape(*g.shape[:2], places)
        split(g.shape[1], MOVE * g.size, _bias, flat, total)
    return total
