"""Pooling and resampling: a thread for each result walks through its window, which it reads from tables.

    tables rows (KY, out_h), columns (KX, out_w)      thread (plane, y, x) looks at rows[:, y], columns[:, x]

Neighbouring threads have neighbouring windows, so they read neighbours, and both tables stay in the cache:
the kernels run at the speed of memory. Where windows are large, `resample` goes along one axis after the
other, as the reference does; else it does two axes at once, which saves writing what lies between.

The tables are made on the host, as they depend on shapes alone. Each is sent to the device once, and found
again by its content.

`resample_backward` gathers, with every table turned round: its sums are always in the same order. For
`max_pool_backward` only the positions are known, so it adds atomically: where windows overlap, a place may
get several numbers, in any order, and the last bit of their sum may differ from run to run.
"""

import functools
import math

import numpy as np

from minidl.kernels.cuda import driver
from minidl.kernels.cuda.array import CudaArray, asarray, contiguous, empty, zeros
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, int32, kernel
from minidl.kernels.cuda.instructions import load, store, udiv
from minidl.kernels.cuda.windows import check_elements, pixel_of
from minidl.kernels.reference.pooling import turned_table

__all__ = ["max_pool", "max_pool_backward", "resample", "resample_backward"]

THREADS = 256
FUSED = 64
"""Numbers of a window, at most, for which two axes are done at once."""


# -- tables ----------------------------------------------------------------------------------------


class _Content:
    """A table as a key: equal content is equal."""

    __slots__ = ("array", "key")

    def __init__(self, array: np.ndarray):
        self.array = array
        self.key = (array.tobytes(), array.shape, array.dtype)

    def __eq__(self, other) -> bool:
        return self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@functools.lru_cache(512)
def _uploaded(table: _Content, dtype: np.dtype, simulated: bool) -> CudaArray:
    return asarray(table.array.astype(dtype))


def on_device(table: np.ndarray, dtype=np.int32) -> CudaArray:
    """A table of the host on the device, sent only if none of the same content was sent before."""
    return _uploaded(_Content(table), np.dtype(dtype), driver.simulating())


@functools.lru_cache(512)
def _turned(places: _Content, weights: _Content | None, size: int):
    return turned_table(places.array, None if weights is None else weights.array, size)


ONE = np.zeros((1, 1), np.int64)
"""The table of an axis that stays as it is, of one place."""


# -- the kernels -----------------------------------------------------------------------------------


@kernel
def max_pool_kernel(x, rows, columns, values, index, n, height, width, out_h, out_w, kernel_h, kernel_w):
    """The first of the largest numbers of a window, or the last nan, and its place in the image."""
    i = int32(cuda.grid(1))
    if i < n:
        plane, y, c = pixel_of(i, out_h, out_w)
        begin = int32(plane * height * width)
        best, at = load(x, begin), int32(-1)
        for p in range(kernel_h):
            row = int32(load(rows, int32(p * out_h + y)))
            if row < height:
                for q in range(kernel_w):
                    column = int32(load(columns, int32(q * out_w + c)))
                    if column < width:
                        place = int32(row * width + column)
                        value = load(x, int32(begin + place))
                        if at < 0 or value > best or value != value:
                            best, at = value, place
        store(values, i, best)
        store(index, i, at)


@kernel
def add_at_maxima(g, index, dx, n, windows, area):
    """dx[plane, index[plane, i]] += g[plane, i], atomically. windows: of a plane; area: places of a plane."""
    i = int32(cuda.grid(1))
    if i < n:
        cuda.atomic.add(dx, int32(udiv(i, windows) * area + load(index, i)), load(g, i))


@functools.cache
def resample_kernel(number: Scalar, weighted: tuple[bool, bool]):
    """out (planes, out_h, out_w, inner) from x (planes, height, width, inner), along one axis or both.

    weighted: do rows, do columns have weights?
    """
    weighted_rows, weighted_columns = weighted

    @kernel
    def resample_windows(
        x, rows, columns, row_weights, column_weights, out,
        n, height, width, out_h, out_w, kernel_h, kernel_w, inner,
    ):  # fmt: skip
        i = int32(cuda.grid(1))
        if i < n:
            pixel = int32(udiv(i, inner))
            plane, y, c = pixel_of(pixel, out_h, out_w)
            total = number(0)
            for q in range(kernel_w):
                column = int32(load(columns, int32(q * out_w + c)))
                if column < width:
                    begin = int32((plane * height * width + column) * inner + i - pixel * inner)
                    part = number(0)
                    for p in range(kernel_h):
                        row = int32(load(rows, int32(p * out_h + y)))
                        if row < height:
                            value = load(x, int32(begin + row * width * inner))
                            if weighted_rows:
                                value = number(value * load(row_weights, int32(p * out_h + y)))
                            part = number(part + value)
                    if weighted_columns:
                        part = number(part * load(column_weights, int32(q * out_w + c)))
                    total = number(total + part)
            store(out, i, total)

    return resample_windows


# -- on the host -----------------------------------------------------------------------------------


def _blocks(n: int) -> int:
    return -(-n // THREADS)


def max_pool(x, tables):
    """`reference.max_pool`, for one or two axes; the positions are int32."""
    if len(tables) not in (1, 2):
        raise NotImplementedError(
            f"max_pool of {x.shape} along {len(tables)} axes: the GPU kernel has one or two. "
            "Fix: compute this step on the CPU, as in f(x.cpu()).to('cuda')"
        )
    batch, size = x.shape[: x.ndim - len(tables)], x.shape[x.ndim - len(tables) :]
    shape = (*batch, *(places.shape[1] for places in tables))
    values, index = empty(shape, x.dtype), empty(shape, np.int32)
    check_elements("max_pool", x, values)
    if values.size:
        rows, columns = tables if len(tables) == 2 else (ONE, *tables)
        height, width = size if len(size) == 2 else (1, *size)
        sizes = (height, width, rows.shape[1], columns.shape[1], len(rows), len(columns))
        arrays = (contiguous(x), on_device(rows), on_device(columns), values, index)
        max_pool_kernel[_blocks(values.size), THREADS](*arrays, values.size, *sizes)
    return values, index


def max_pool_backward(g, index, size):
    """`reference.max_pool_backward`; numbers for the same place are added in any order."""
    batch = g.shape[: g.ndim - len(size)]
    dx = zeros((*batch, *size), g.dtype)
    check_elements("max_pool_backward", g, dx)
    if g.size:
        windows, area = g.size // math.prod(batch), math.prod(size)
        add_at_maxima[_blocks(g.size), THREADS](contiguous(g), contiguous(index), dx, g.size, windows, area)
    return dx


def _along(x, axis: int, rows, columns, axes: int) -> CudaArray:
    """x resampled along `axis` (columns), or along it (rows) and the next one."""
    planes, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + axes :])
    height, width = x.shape[axis : axis + 2] if axes == 2 else (1, x.shape[axis])
    places, weights = zip(rows, columns, strict=True)
    (kernel_h, out_h), (kernel_w, out_w) = (p.shape for p in places)
    out = empty((*x.shape[:axis], *(out_h, out_w)[2 - axes :], *x.shape[axis + axes :]), x.dtype)
    check_elements("resample", x, out)
    if out.size and planes and inner:
        tables = [on_device(p) for p in places]
        factors = [x if w is None else on_device(w, x.dtype) for w in weights]
        run = resample_kernel(SCALARS[x.dtype], tuple(w is not None for w in weights))
        sizes = (height, width, out_h, out_w, kernel_h, kernel_w, inner)
        run[_blocks(out.size), THREADS](x, *tables, *factors, out, out.size, *sizes)
    return out


def resample(x, tables):
    """`reference.resample`, along any number of axes."""
    tables, axis, x = list(tables), x.ndim - len(tables), contiguous(x)
    while tables:
        first = tables.pop(0)
        if tables and len(first[0]) * len(tables[0][0]) <= FUSED:
            x = _along(x, axis, first, tables.pop(0), 2)
            axis += 2
        else:
            x = _along(x, axis, (ONE, None), first, 1)
            axis += 1
    return x


def resample_backward(g, tables, size):
    """`reference.resample_backward`: `resample` by turned tables, which are kept."""
    turned = [
        _turned(_Content(places), None if weights is None else _Content(weights), n)
        for (places, weights), n in zip(tables, size, strict=True)
    ]
    return resample(g, turned)
