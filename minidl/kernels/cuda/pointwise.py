"""One factory makes a kernel from any formula, for any types and any layout.

    for o in all elements of out               a thread takes every so manieth
        i, j, k = where its inputs are         nothing to compute if all lie in memory as out does
        out[o] = f(a[i], b[j], c[k])           converted before and after

Such a kernel does so little arithmetic that it is as fast as memory is. So the aim is to move few bytes in
few instructions: float32 numbers go four at a time (128 bits, the widest access there is); a broadcast input
is read as it lies, never copied out; a number travels with the launch. The layout of views is simplified
first: axes that lie one after the other in all arrays become one.

Which kernel, which grid, where things begin: all this depends on shapes, strides and types only, and a model
asks for the same ones in every step. So a plan is made once and kept.

All kernels have three inputs. Those that a formula does not need are the number 0, and cost nothing.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minidl.kernels.cuda import driver
from minidl.kernels.cuda.array import CudaArray, asarray
from minidl.kernels.cuda.driver import Device, Scalar, boolean, cuda, device, float32, int32, kernel
from minidl.kernels.cuda.instructions import load, load4, store, store4, udiv

__all__ = ["is_aligned", "pointwise"]

THREADS = 256
"""Threads in a block."""
MAX_BLOCKS = 2112
"""Blocks of a grid: each of 132 multiprocessors gets eight of them twice. More elements take more rounds."""
MOST = 2**31 - 4 * THREADS * MAX_BLOCKS
"""Elements of an array: their numbers must fit into 32 bits, those of the round after the last one too."""


# -- reading an input ------------------------------------------------------------------------------


@device
def element(a, i):
    """One element."""
    return load(a, i)


@device
def number(a, i):
    """An input that is a number, wherever we are."""
    return a


@device
def four_elements(a, i):
    """Elements i to i + 3."""
    return load4(a, i)


@device
def four_times(a, i):
    """Element i, for four outputs."""
    x = load(a, i)
    return x, x, x, x


@device
def four_numbers(a, i):
    return a, a, a, a


READERS = {
    1: {"element": element, "repeated": element, "number": number},
    4: {"element": four_elements, "repeated": four_times, "number": four_numbers},
}
"""Elements at a time -> kind of input -> how it is read."""


# -- the factory -----------------------------------------------------------------------------------


def _with_three_inputs(f: Device, inputs: int) -> Device:
    @device
    def of_one(a, b, c):
        return f(a)

    @device
    def of_two(a, b, c):
        return f(a, b)

    return (of_one, of_two, f)[inputs - 1]


def _step(f: Device, types: tuple[Scalar, ...], kinds: tuple[str, ...], width: int) -> Device:
    """Device code that reads `width` elements of each input, applies f, and writes them."""
    read_a, read_b, read_c = (READERS[width][kind] for kind in kinds)
    to_a, to_b, to_c, to_out = types

    @device
    def one(a, i, b, j, c, k, out, o):
        store(out, o, to_out(f(to_a(read_a(a, i)), to_b(read_b(b, j)), to_c(read_c(c, k)))))

    @device
    def four(a, i, b, j, c, k, out, o):
        a0, a1, a2, a3 = read_a(a, i)
        b0, b1, b2, b3 = read_b(b, j)
        c0, c1, c2, c3 = read_c(c, k)
        store4(out, o, f(a0, b0, c0), f(a1, b1, c1), f(a2, b2, c2), f(a3, b3, c3))

    return one if width == 1 else four


@functools.cache
def flat_kernel(f: Device, inputs: int, types: tuple[Scalar, ...], kinds: tuple[str, ...], width: int):
    """A kernel for arrays that lie in memory as out does; types: of a, b, c as f takes them, and of out."""
    f = _with_three_inputs(f, inputs)
    step, step_one = _step(f, types, kinds, width), _step(f, types, kinds, 1)

    @kernel
    def flat(a, b, c, out, n):
        start = int32(cuda.grid(1))
        stride = int32(cuda.gridsize(1) * width)
        whole = int32(n - n % width)
        for i in range(int32(start * width), whole, stride):
            step(a, i, b, i, c, i, out, i)
        if width > 1:
            i = int32(whole + start)
            if i < n:
                step_one(a, i, b, i, c, i, out, i)

    return flat


@functools.cache
def strided_kernel(
    f: Device, inputs: int, types: tuple[Scalar, ...], kinds: tuple[str, ...], width: int, dims: int
):
    """A kernel for arrays of any layout, with their axes in an array of whole numbers.

    layout: five numbers for each axis, the last axis first: its length, and how far apart neighbours along
    it are in a, b, c and out. Then the places where a, b, c and out begin.
    """
    step = _step(_with_three_inputs(f, inputs), types, kinds, width)
    begin = 5 * dims

    @kernel
    def strided(a, b, c, out, layout, n):
        for t in range(int32(cuda.grid(1)), n, int32(cuda.gridsize(1))):
            rest = int32(t)
            i, j = load(layout, begin), load(layout, begin + 1)
            k, o = load(layout, begin + 2), load(layout, begin + 3)
            for axis in range(dims):
                at = rest
                if axis < dims - 1:
                    length = load(layout, 5 * axis)
                    quotient = int32(udiv(rest, length))
                    at = int32(rest - quotient * length)
                    rest = quotient
                i = int32(i + at * load(layout, 5 * axis + 1))
                j = int32(j + at * load(layout, 5 * axis + 2))
                k = int32(k + at * load(layout, 5 * axis + 3))
                o = int32(o + at * load(layout, 5 * axis + 4))
            step(a, i, b, j, c, k, out, o)

    return strided


# -- formulas of one input whose axes are turned ---------------------------------------------------

TILE, TILE_ROWS, PITCH = 32, 8, 33
"""A tile of 32 x 32, by 32 x 8 threads; in shared memory a row is longer by one, so that the 32 elements of a
column lie in 32 different banks."""
CELLS = TILE * PITCH
"""Elements of a tile in shared memory."""


@functools.cache
def turn_kernel(f: Device, scalar: Scalar, number: Scalar, result: Scalar):
    """out[b, r, c] = f(x[b, c, r]) by tiles, so that both reads and writes go along memory.

    x's steps are 1 along r, x_c and x_b along c and b; out's are 1 along c, out_r and out_b along r and b.
    """

    @kernel
    def turn(x, out, rows, columns, x_first, x_c, x_b, out_first, out_r, out_b, row_tiles, column_tiles):
        tile = cuda.shared.array(CELLS, scalar)
        across, down = int32(cuda.threadIdx.x), int32(cuda.threadIdx.y)
        rest = int32(udiv(cuda.blockIdx.x, column_tiles))
        column = int32((cuda.blockIdx.x - rest * column_tiles) * TILE)
        b = int32(udiv(rest, row_tiles))
        row = int32((rest - b * row_tiles) * TILE)
        for k in range(down, TILE, TILE_ROWS):
            if column + k < columns and row + across < rows:
                i = int32(x_first + b * x_b + (column + k) * x_c + row + across)
                store(tile, int32(k * PITCH + across), load(x, i))
        cuda.syncthreads()
        for k in range(down, TILE, TILE_ROWS):
            if row + k < rows and column + across < columns:
                o = int32(out_first + b * out_b + (row + k) * out_r + column + across)
                store(out, o, result(f(number(load(tile, int32(across * PITCH + k))))))

    return turn


# -- layouts ---------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """How an operand lies in memory, strides in bytes. aligned: does it begin where 128 bits can be read?"""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    packed: bool
    aligned: bool

    def steps(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Strides in elements when broadcast to a shape: 0 along axes where it is repeated."""
        missing = len(shape) - len(self.shape)
        own = zip(self.shape, self.strides, strict=True)
        return (0,) * missing + tuple(0 if n == 1 else step // self.dtype.itemsize for n, step in own)

    @property
    def span(self) -> tuple[int, int]:
        """Elements of memory from the first address to the last, and how many of them lie before x[0, 0]."""
        ways = [(n - 1) * (s // self.dtype.itemsize) for n, s in zip(self.shape, self.strides, strict=True)]
        return 1 + sum(map(abs, ways)), -sum(way for way in ways if way < 0)


def is_aligned(x: CudaArray) -> bool:
    """Does it begin where 128 bits can be read at once?"""
    return (x.memory.pointer + x.offset) % 16 == 0


def _layout(x) -> Layout | None:
    """The layout of an array, None for a number."""
    return Layout(x.shape, x.strides, x.dtype, x.packed, is_aligned(x)) if isinstance(x, CudaArray) else None


def collapse(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Fewer axes for the same elements: axes of 1 are dropped, neighbours merged where all arrays allow it.

    >>> collapse((2, 3, 4), [(12, 4, 1), (0, 4, 1)])
    ([2, 12], [[12, 1], [0, 1]])
    """
    sizes, steps = [], []
    for size, *step in zip(shape, *strides, strict=True):
        if size == 1:
            continue
        if sizes and all(before == size * here for before, here in zip(steps[-1], step, strict=True)):
            sizes[-1] *= size
            steps[-1] = step
        else:
            sizes.append(size)
            steps.append(step)
    if not sizes:
        return [1], [[0] for _ in strides]
    return sizes, [list(each) for each in zip(*steps, strict=True)]


# -- plans -----------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """A launch but for its arrays: run(*inputs, *unused, out, *rest).

    views: for operands that are not packed, the size of the memory they lie in, and where in it they begin.
    """

    run: Callable
    views: tuple[tuple[int, int] | None, ...]
    unused: tuple[int, ...]
    rest: tuple


@functools.lru_cache(1 << 14)
def _plan(f: Device, types: tuple[Scalar, ...], layouts: tuple[Layout | None, ...], simulated: bool) -> Plan:
    """How to launch f; layouts: of its inputs (None for a number) and of out."""
    out, arrays = layouts[-1], [x for x in layouts if x is not None]
    if all(x.packed and x.shape == out.shape for x in arrays):
        return _flat_plan(f, types, layouts)
    order = sorted(range(len(out.shape)), key=lambda axis: -abs(out.strides[axis]))  # as out lies in memory
    steps = [(0,) * len(order) if x is None else x.steps(out.shape) for x in layouts]
    sizes, steps = collapse([out.shape[i] for i in order], [[s[i] for i in order] for s in steps])
    views = tuple(None if x is None or x.packed else x.span for x in layouts)
    if len(layouts) == len(arrays) == 2 and _are_turned(types, sizes, *steps):
        return _turned_plan(f, types, arrays[0].dtype, sizes, steps, views)
    return _strided_plan(f, types, layouts, sizes, steps, views, simulated)


def _blocks(work: int) -> int:
    return min(MAX_BLOCKS, -(-work // THREADS))


def _filled(inputs: int, given: Sequence, filler) -> tuple:
    """Something for each input and for out: `filler` for the inputs that the formula has not."""
    return (*given[:inputs], *[filler] * (3 - inputs), *given[inputs:])


def _all_float32(types: Sequence[Scalar], layouts: Sequence[Layout | None]) -> bool:
    return all(t is float32 for t in types) and all(x is None or x.dtype == np.float32 for x in layouts)


def _flat_plan(f, types, layouts) -> Plan:
    inputs, size = len(layouts) - 1, math.prod(layouts[-1].shape)
    width = 4 if _all_float32(types, layouts) and all(x is None or x.aligned for x in layouts) else 1
    kinds = ["number" if x is None else "element" for x in layouts[:-1]]
    run = flat_kernel(f, inputs, _filled(inputs, types, int32), _filled(inputs, kinds, "number"), width)
    run = run[_blocks(-(-size // width)), THREADS]
    return Plan(run, (None,) * len(layouts), (0,) * (3 - inputs), (size,))


def _strided_plan(f, types, layouts, sizes, steps, views, simulated) -> Plan:
    inputs, starts = len(layouts) - 1, [view[1] if view else 0 for view in views]
    width = _width(types, layouts, sizes, steps, views)
    kinds = [
        "number" if x is None else "element" if s[-1] else "repeated"
        for x, s in zip(layouts, steps, strict=True)
    ]
    if width == 4:
        sizes, steps = [*sizes[:-1], sizes[-1] // 4], [[*s[:-1], 4 * s[-1]] for s in steps]
    axes = zip(sizes, *_filled(inputs, steps, [0] * len(sizes)), strict=True)
    numbers = [n for axis in reversed(list(axes)) for n in axis]
    layout = _on_device((*numbers, *_filled(inputs, starts, 0)), simulated)
    kinds, size = _filled(inputs, kinds[:-1], "number"), math.prod(sizes)
    run = strided_kernel(f, inputs, _filled(inputs, types, int32), kinds, width, len(sizes))
    return Plan(run[_blocks(size), THREADS], views, (0,) * (3 - inputs), (layout, size))


def _width(types, layouts, sizes, steps, views) -> int:
    """4 if all are float32 that along the last axis go on in steps of 1, or stay, in aligned groups."""
    if sizes[-1] % 4 or steps[-1][-1] != 1 or not _all_float32(types, layouts):
        return 1
    for x, s, view in zip(layouts, steps, views, strict=True):
        start = view[1] if view else 0
        if (
            s[-1] not in (0, 1)
            or (s[-1] and not x.aligned)
            or (s[-1] and any(n % 4 for n in (start, *s[:-1])))
        ):
            return 1
    return 4


@functools.cache
def _on_device(numbers: tuple[int, ...], simulated: bool) -> CudaArray:
    """Whole numbers in device memory, for ever: a recorded graph may read them."""
    return asarray(np.array(numbers, np.int32))


def _are_turned(types, sizes, x: list[int], out: list[int]) -> bool:
    """Are there two axes of which one is the last in x's memory, and the other in out's?"""
    return len(sizes) in (2, 3) and out[-1] == 1 and x[-1] >= TILE and 1 in x and types[0] is not boolean


def _turned_plan(f, types, dtype, sizes, steps, views) -> Plan:
    x, out = steps
    r = x.index(1)
    b = next((i for i in range(len(sizes) - 1) if i != r), None)
    batch, x_b, out_b = (1, 0, 0) if b is None else (sizes[b], x[b], out[b])
    tiles = -(-sizes[r] // TILE), -(-sizes[-1] // TILE)
    x_first, out_first = (view[1] if view else 0 for view in views)
    run = turn_kernel(f, driver.SCALARS[dtype], *types)[batch * tiles[0] * tiles[1], (TILE, TILE_ROWS)]
    return Plan(run, views, (), (sizes[r], sizes[-1], x_first, x[-1], x_b, out_first, out[r], out_b, *tiles))


# -- a launch --------------------------------------------------------------------------------------


def pointwise(f: Device, types: tuple[Scalar, ...], inputs: Sequence, out: CudaArray) -> CudaArray:
    """out = f(inputs), element by element.

    Args:
        f: device function of as many numbers as there are inputs, up to three.
        types: what inputs are converted to before f, and what its result is converted to.
        inputs: arrays that can be broadcast to out's shape, and NumPy scalars of those types.
    """
    if not out.size:
        return out
    if out.size > MOST:
        raise NotImplementedError(f"an array of {out.size} elements: at most {MOST}. Fix: do it in parts")
    operands = (*inputs, out)
    plan = _plan(f, types, tuple(map(_layout, operands)), driver.simulating())
    flat = [x if view is None else _memory_of(x, *view) for x, view in zip(operands, plan.views, strict=True)]
    plan.run(*flat[:-1], *plan.unused, flat[-1], *plan.rest)
    return out


def _memory_of(x: CudaArray, size: int, before: int) -> CudaArray:
    """The memory of a view, from its first element there to its last, as a flat array."""
    return CudaArray(x.memory, x.dtype, (size,), None, x.offset - before * x.itemsize)
