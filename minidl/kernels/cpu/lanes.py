"""Images as lanes: a pixel of WIDTH images is one vector.

What several kernels of images share: turning a chunk of WIDTH images into vectors and back, and cutting
images into bands of rows, each a lane of its own, where there are too few images to fill the lanes or where
a whole one is too large for the cache.
"""

import functools
from typing import NamedTuple

import numpy as np

from minidl.kernels.cpu.compiling import inner
from minidl.kernels.cpu.simd import WIDTH, copy, turn

FULL_ENOUGH = 0.8
"""Share of lanes in use from which cutting images into more bands gains nothing."""
CACHE = 5 << 18
"""Bytes of lanes that stay in the second-level cache; larger images are cut into bands."""

_NOTHING = np.empty(0, np.float32)


class Lanes(NamedTuple):
    """The images of an array as lanes: lane i of a chunk begins at starts[chunk, i]."""

    numbers: np.ndarray  # flat
    starts: np.ndarray  # (chunks, WIDTH)
    step: int  # from one channel to the next
    run: int  # numbers in a channel
    nobody: np.ndarray  # where lanes without an image point to


class Bands(NamedTuple):
    """How images are cut into bands of rows."""

    count: int  # in each image
    frame: tuple[int, int]  # if there are several: zeros before the first row, rows with all zeros
    reads: tuple[int, int]  # rows from one band of the source to the next; rows that a band reads
    writes: int  # rows that a band writes


def grid(rows, columns, width):
    """row * width + column for all pairs."""
    return (rows[:, None] * width + columns).ravel()


@inner
def two_spaces(space, first, surrounded):
    """Two parts of a space that begin where a vector does: one across two cache lines costs twice.

    The first part, of so many floats, is cleared if its images have zeros around them.
    """
    start = -(space.ctypes.data // 4) % WIDTH
    middle = start + first
    if surrounded:
        space[start:middle] = 0
    return space[start:middle], space[middle:]


@inner
def into_lanes(images, chunk, channels, inside, plane, lanes):
    """Write a chunk of images to address `lanes`, a plane for each channel; what lies around them stays zero.

    inside: where in a plane each number of a channel's run goes.
    """
    starts, turned = images.starts[chunk], images.run // WIDTH * WIDTH
    for c in range(channels):
        source, target = images.numbers.ctypes.data + 4 * c * images.step, lanes + 4 * c * plane
        for p in range(0, turned, WIDTH):
            turn(source + 4 * p, starts.ctypes.data, target, inside.ctypes.data + 8 * p)
        for p in range(turned, images.run):
            for lane in range(WIDTH):
                copy(source + 4 * (starts[lane] + p), target + 4 * (inside[p] + lane))


@inner
def out_of_lanes(plane, inside, images, chunk, channel):
    """Write one channel, whose numbers are `inside` the plane at this address, back to a chunk of images."""
    starts, turned = images.starts[chunk], images.run // WIDTH * WIDTH
    target = images.numbers.ctypes.data + 4 * channel * images.step
    for p in range(0, turned, WIDTH):
        turn(plane, inside.ctypes.data + 8 * p, target + 4 * p, starts.ctypes.data)
    for p in range(turned, images.run):
        for lane in range(WIDTH):
            copy(plane + 4 * (inside[p] + lane), target + 4 * (starts[lane] + p))


def best_bands(batch, rows, threads, size):
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


def read_lanes(x, bands):
    """Lanes of what is read, for bands with the zeros above and below."""
    if bands.count > 1:
        before, rows = bands.frame
        framed = np.zeros((*x.shape[:2], rows, x.shape[3]), np.float32)
        framed[:, :, before : before + x.shape[2]] = x
        x = framed
    return _as_lanes(x, bands.count, *bands.reads)


def written_lanes(y, bands):
    """Lanes of what is written."""
    return _as_lanes(y, bands.count, bands.writes, bands.writes)


def make_spaces(size, parts):
    """Space for each part, from the thread that asks: what others allocate goes back to the system."""
    return np.empty((parts, size + WIDTH), np.float32)
