"""Where the windows of a convolution look: tables, made once for each shape, that its kernels read.

A convolution is a product whose second factor is never written down. The rows of that factor are *taps* (a
channel, a row and a column of the kernel), its columns are *pixels* (an image, a row and a column of out):

    row k, column p:   x[base of p + offset of k]    if (place of p + place of k) lies inside, else 0

So each tap has two numbers, and each pixel two; to find a number of the factor takes two additions. A place
is (h, w), packed into one number as h 2^16 + w, so that both tests are done at once:

    t = place of p + place of k,  u = last - t:  inside if in neither t nor u one of both numbers is negative

The gradient to the input is a convolution too, but with a stride its places fall into *phases* that see
different taps: at stride 2, even rows see the even rows of the kernel, odd rows the odd ones. Each phase is a
dense convolution of stride 1, and all of them are blocks of one launch.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from minidl.kernels.cuda.array import CudaArray, asarray
from minidl.kernels.cuda.driver import device, int32
from minidl.kernels.cuda.instructions import udiv

NOWHERE = 1 << 30
"""A place that stays outside, whatever is added: row 2^14, or column 2^30 of a signal."""
LIMIT = 1 << 14
"""Rows or columns of an image, with its padding, at most."""
ELEMENTS = 2**31
"""Arrays are indexed by int32, so they have fewer elements than that."""
HEADER = 8
"""Numbers at the beginning of a phase: see `Phase`."""
QUAD = 4
"""Taps whose numbers lie together, four offsets before four places, to be read in two accesses."""
ROUND = 8
"""Taps of a phase are filled up to a multiple of this, by some that look nowhere."""
NEGATIVE = -0x7FFF8000
"""The signs of both numbers of a place: bits 31 and 15."""
FEW = 4
"""Output channels of a group for which a tile, that has 32 rows at least, is mostly empty."""


def resident(rows: int) -> int:
    """Threads of a multiprocessor for which a kernel of tiles of so many rows is compiled.

    For 512 of them a thread may have 128 registers, for 384 it may have 168: smaller tiles have fewer threads
    to fetch for them, and each must hold more.
    """
    return 512 if rows == 128 else 384


# -- device code -----------------------------------------------------------------------------------


@device
def pixel_of(pixel, height, width):
    """(image, row, column) of a pixel, counted through all images of height x width."""
    row = int32(udiv(pixel, width))
    image = int32(udiv(row, height))
    return image, int32(row - image * height), int32(pixel - row * width)


@functools.cache
def place_code(flat: bool):
    """(pack, inside) for images, or for signals (flat), of which the column is the place.

    pack(h, w): the place. inside(place, last): is it from (0, 0) to `last`?
    """

    @device
    def pack(h, w):
        return int32(w) if flat else int32(h * 65536 + w)

    @device
    def inside(place, last):
        if flat:
            return place >= 0 and place <= last
        return int32(int32(place | int32(last - place)) & int32(NEGATIVE)) == 0

    return pack, inside


# -- phases ----------------------------------------------------------------------------------------


class Axis(NamedTuple):
    """One phase along one axis: results first, first + step, ... and what they see.

    Result i of `count` sees, for each of the kernel's places in `taps`, place i * stride + start + shift.
    """

    first: int
    count: int
    start: int
    taps: tuple[int, ...]
    shifts: tuple[int, ...]


def forward_axis(out: int, kernel: int, padding: int, dilation: int) -> list[Axis]:
    """Of a convolution: one phase."""
    taps = tuple(range(kernel))
    return [Axis(0, out, -padding, taps, tuple(k * dilation for k in taps))]


def backward_axis(size: int, kernel: int, stride: int, padding: int, dilation: int) -> list[Axis]:
    """Of the gradient to the input: place h sees (h + padding - k dilation) / stride where that is whole.

    >>> backward_axis(5, 3, 2, 1, 1)[1]  # places 1, 3 see what lies before them (k = 2) and after (k = 0)
    Axis(first=1, count=2, start=0, taps=(0, 2), shifts=(1, 0))
    """
    phases = []
    for first in range(min(stride, size)):
        seen = [(k, first + padding - k * dilation) for k in range(kernel)]
        seen = [(k, place // stride) for k, place in seen if place % stride == 0]
        start = min((place for _, place in seen), default=0)
        shifts = tuple(place - start for _, place in seen)
        phases.append(Axis(first, -(-(size - first) // stride), start, tuple(k for k, _ in seen), shifts))
    return phases


class Phase(NamedTuple):
    """What a kernel reads of a phase before all else, two times four numbers.

    height, width: its results. top, left: the place that the first sees. depth: the length of a row of
    weights. table: where its taps begin. out: where its results begin. weight: the depths before it.
    """

    height: int
    width: int
    top: int
    left: int
    depth: int
    table: int
    out: int
    weight: int


class Windows(NamedTuple):
    """Everything that depends on shapes alone: `table` and `sources` are on the device.

    flat: is it a signal? size: (height, width) of what is gathered. step: of the window, from result to
    result. out_size, out_step: of the whole result, and from result to result of a phase. last: the last
    place inside. taps: places of the kernel.
    """

    table: CudaArray
    sources: CudaArray
    phases: tuple[Phase, ...]
    flat: bool
    size: tuple[int, int]
    step: tuple[int, int]
    out_size: tuple[int, int]
    out_step: tuple[int, int]
    last: int
    taps: int

    @property
    def most(self) -> int:
        """Results of the largest phase in an image."""
        return max(phase.height * phase.width for phase in self.phases)

    @property
    def depth(self) -> int:
        """Numbers in the rows of weights, of all phases together."""
        return sum(phase.depth for phase in self.phases)


def two_axes(*settings: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Sizes, kernels, strides ... of a signal as those of an image of one row; paddings come last."""
    fill = [1] * (len(settings) - 1) + [0]
    return tuple((f, *s) if len(s) == 1 else tuple(s) for s, f in zip(settings, fill, strict=True))


def check_arrays(name: str, size: tuple[int, ...], *arrays: CudaArray) -> None:
    """Signals and images only, of one type of numbers, and small enough for an index of 32 bits."""
    if len(size) not in (1, 2):
        raise NotImplementedError(
            f"{name} of size {size}: the GPU kernel has one or two axes of space. "
            "Fix: compute this step on the CPU, as in f(x.cpu()).to('cuda')"
        )
    if any(x.dtype != arrays[0].dtype or x.dtype.kind == "b" for x in arrays):
        given = ", ".join(f"{x.dtype} {x.shape}" for x in arrays)
        raise TypeError(f"{name}({given}): all must be numbers of one type. Fix: x.float()")
    check_elements(name, *arrays)


def check_elements(name: str, *arrays: CudaArray) -> None:
    """Each array must be small enough for an index of 32 bits."""
    for x in arrays:
        if x.size >= ELEMENTS:
            raise NotImplementedError(
                f"{name}: an array of shape {x.shape} has {x.size} elements, and the kernel counts up to "
                "2^31. Fix: smaller batches"
            )


def _check_places(name: str, size: tuple[int, int], axes: list[tuple[Axis, ...]], step) -> None:
    """Do the numbers of a place fit into 16 bits each?"""
    for n, phases, s in zip(size, zip(*axes, strict=True), step, strict=True):
        reach = max(max(p.start + (p.count - 1) * s + max(p.shifts, default=0), n) for p in phases)
        if reach - min(0, *(p.start for p in phases)) >= LIMIT:
            raise NotImplementedError(
                f"{name} of images of size {size}: with padding, a side must be below {LIMIT}. "
                "Fix: cut the image into pieces"
            )


@functools.lru_cache(512)
def forward_windows(channels, size, out, kernel, stride, padding, dilation, simulated) -> Windows:
    """Of a convolution (channels: those of one group). All are tuples of one or two numbers.

    simulated: the tables are for the simulator, not the GPU.
    """
    flat = len(size) == 1
    out_size, size, kernel, stride, dilation, padding = two_axes(out, size, kernel, stride, dilation, padding)
    axes = [forward_axis(*axis) for axis in zip(out_size, kernel, padding, dilation, strict=True)]
    return _windows("convolution", channels, kernel, axes, flat, size, stride, out_size, (1, 1), None)


@functools.lru_cache(512)
def backward_windows(channels, size, out, kernel, stride, padding, dilation, simulated, inner) -> Windows:
    """Of the gradient to the input (size): g (out) is gathered, from `channels` outputs of one group.

    inner: the channels of a group of the input, which lie between weights of one output and the next.
    """
    flat = len(size) == 1
    out, size, kernel, stride, dilation, padding = two_axes(out, size, kernel, stride, dilation, padding)
    settings = zip(size, kernel, stride, padding, dilation, strict=True)
    axes = [backward_axis(*axis) for axis in settings]
    name = "convolution_backward_input"
    return _windows(name, channels, kernel, axes, flat, out, (1, 1), size, stride, inner)


def _windows(name, channels, kernel, axes, flat, size, step, out_size, out_step, inner) -> Windows:
    """The tables of all phases, one after the other: their headers first."""
    pairs = list(itertools.product(*axes))
    if not flat:
        _check_places(name, size, pairs, step)
    phases, taps, all_sources = [], [], []
    at, weight = HEADER * len(pairs), 0
    for y, x in pairs:
        offsets, places, sources = _taps(channels, kernel, y, x, flat, size, inner)
        depth = len(offsets) if inner is None else -(-len(offsets) // QUAD) * QUAD
        filled = max(ROUND, -(-len(offsets) // ROUND) * ROUND)
        table = np.stack([_filled(offsets, filled, 0), _filled(places, filled, NOWHERE)])
        taps.append(table.reshape(2, -1, QUAD).swapaxes(0, 1).ravel())
        all_sources.append(_filled(sources, filled, -1))
        first = y.first * out_size[1] + x.first
        phases.append(Phase(y.count, x.count, y.start, x.start, depth, at, first, weight))
        at, weight = at + 2 * filled, weight + depth
    table = np.concatenate([np.array(phases).ravel(), *taps]).astype(np.int32)
    sources = np.concatenate(all_sources).astype(np.int32)
    last = size[1] - 1 if flat else (size[0] - 1) * 65536 + size[1] - 1
    return Windows(
        asarray(table),
        asarray(sources),
        tuple(phases),
        flat,
        size,
        step,
        out_size,
        out_step,
        last,
        math.prod(kernel),
    )


def _taps(channels, kernel, y: Axis, x: Axis, flat: bool, size, inner: int | None):
    """For each tap: its offset, its place, and where its weight is, from that of channel 0, output 0 on."""
    channel = np.arange(channels)[:, None, None]
    dy, dx = np.array(y.shifts, np.int64)[:, None], np.array(x.shifts, np.int64)
    i, j = np.array(y.taps, np.int64)[:, None], np.array(x.taps, np.int64)
    offsets = channel * (size[0] * size[1]) + dy * size[1] + dx
    places = np.broadcast_to(dx + 0 * dy if flat else dy * 65536 + dx, offsets.shape)
    sources = channel * ((inner or 1) * kernel[0] * kernel[1]) + i * kernel[1] + j
    return offsets.ravel(), places.ravel(), sources.ravel()


def _filled(values: np.ndarray, length: int, value: int) -> np.ndarray:
    return np.concatenate([values, np.full(length - len(values), value, np.int64)])
