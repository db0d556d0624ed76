"""Elements chosen by numbers, slices, masks and arrays of places; and put or added there.

Numbers, slices, None and ... make views. For masks and arrays of places everything is brought to one form:
the picked axes are neighbours and are read as a single one,

    x (A, P, R)    flat (B,)    out (A, B, R)        out[a, b, r] = x[a, flat[b], r]

so one kernel gathers, one scatters and one adds, whatever the index was. In `flat` a mask becomes the places
where it is True, found by a running sum; several arrays become one by counting row by row.

Results never depend on the order in which threads run, except for sums of floats in `add_at`: where an index
names a place twice, the last value stays, as in NumPy. For that each place first remembers the largest b that
wants it.

What must be known on the host waits for the GPU, once for each index: how many elements a mask has, and
whether places are out of range. Places that come from the host (a list, a NumPy array) are checked there,
without waiting. While a graph is captured nothing can be read back: a place out of range then reads nan (0 in
whole numbers) and writes nothing.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import numpy as np

from minidl.kernels.cuda import driver, elementwise, reductions
from minidl.kernels.cuda.array import (
    NUMBERS,
    CudaArray,
    asarray,
    contiguous,
    copy_into,
    empty,
    full,
    packed_strides,
    zeros,
)
from minidl.kernels.cuda.driver import cuda, int32, kernel
from minidl.kernels.cuda.instructions import load, store, udiv

__all__ = ["add_at", "arange", "broadcast_to", "get_item", "nonzero", "put_along_axis", "set_item", "take"]

THREADS = 256
"""Threads in a block."""
ADDED = tuple(map(np.dtype, ("float32", "float64", "int32", "int64", "uint32", "uint64")))
"""Dtypes that the hardware can add to memory in one step."""


# -- kernels ---------------------------------------------------------------------------------------


@kernel
def count_from(out, start, step, n):
    """out[i] = start + i * step."""
    i = int32(cuda.grid(1))
    if i < n:
        store(out, i, start + i * step)


@kernel
def count_on(index, flat, wrong, size, n):
    """flat = flat * size + index: one more axis counted row by row. Negative places count from the end.

    Out of range: flat becomes -1 and stays so, and wrong[0] becomes 1.
    """
    b = int32(cuda.grid(1))
    if b < n:
        place = load(index, b)
        if place < 0:
            place += size
        before = load(flat, b)
        if place < 0 or place >= size:
            cuda.atomic.max(wrong, 0, 1)
            store(flat, b, -1)
        elif before >= 0:
            store(flat, b, int32(before * size + place))


@kernel
def count_along(index, flat, wrong, size, picked, inner, n):
    """Where x[a, index[a, b, r], r] is in x (A, size, R), for an index (A, picked, R)."""
    o = int32(cuda.grid(1))
    if o < n:
        rest = int32(udiv(o, inner))
        r = int32(o - rest * inner)
        a = int32(udiv(rest, picked))
        place = load(index, o)
        if place < 0:
            place += size
        if place < 0 or place >= size:
            cuda.atomic.max(wrong, 0, 1)
            store(flat, o, -1)
        else:
            store(flat, o, int32((a * size + place) * inner + r))


@kernel
def keep_places(mask, running, flat, n):
    """flat = the places where the mask is True; running: how many there are up to each place."""
    i = int32(cuda.grid(1))
    if i < n and load(mask, i):
        store(flat, int32(load(running, i) - 1), i)


@functools.cache
def gather_kernel(missing):
    """out[a, b, r] = x[a, flat[b], r], or `missing` where flat is -1."""

    @kernel
    def gather(x, flat, out, size, picked, inner, n):
        o = int32(cuda.grid(1))
        if o < n:
            rest = int32(udiv(o, inner))
            r = int32(o - rest * inner)
            a = int32(udiv(rest, picked))
            place = load(flat, int32(rest - a * picked))
            if place >= 0:
                store(out, o, load(x, int32((a * size + place) * inner + r)))
            else:
                store(out, o, missing)

    return gather


@kernel
def claim(flat, owner, n):
    """owner[p] = the largest b with flat[b] = p."""
    b = int32(cuda.grid(1))
    if b < n:
        place = load(flat, b)
        if place >= 0:
            cuda.atomic.max(owner, place, b)


@functools.cache
def put_kernel(add: bool):
    """x[a, flat[b], r] = values[a, b, r], by the owner of the place only; or add: += for all b."""

    @kernel
    def put(values, flat, owner, x, size, picked, inner, n):
        o = int32(cuda.grid(1))
        if o < n:
            rest = int32(udiv(o, inner))
            r = int32(o - rest * inner)
            a = int32(udiv(rest, picked))
            b = int32(rest - a * picked)
            place = load(flat, b)
            if place >= 0:
                at = int32((a * size + place) * inner + r)
                if add:
                    cuda.atomic.add(x, at, load(values, o))
                elif load(owner, place) == b:
                    store(x, at, load(values, o))

    return put


def _blocks(n: int) -> int:
    return -(-n // THREADS)


# -- views -----------------------------------------------------------------------------------------


def get_item(x: CudaArray, index) -> CudaArray:
    """x[index]: a view for numbers, slices, None and ...; else a copy."""
    parts = index if type(index) is tuple else (index,)
    if all(map(_is_basic, parts)):
        return basic_view(x, parts)
    plan = _Plan(x, parts)
    return plan.get(*plan.flat_places())


def _is_basic(part) -> bool:
    kind = type(part)
    return kind is int or kind is slice or part is None or part is Ellipsis or isinstance(part, np.integer)


def _ellipsis_filled(x: CudaArray, parts: Sequence, used: int) -> list:
    """The parts of an index with ... written out as slices, one part for each axis or new axis."""
    dots = sum(part is Ellipsis for part in parts)
    if used > x.ndim or dots > 1:
        raise IndexError(f"an index for {used} axes, with {dots} times ..., of an array of shape {x.shape}")
    place = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    return [*parts[:place], *[slice(None)] * (x.ndim - used), *parts[place + 1 :]]


def basic_view(x: CudaArray, parts: Sequence) -> CudaArray:
    """The view that numbers, slices, None and ... choose."""
    used = sum(part is not None and part is not Ellipsis for part in parts)
    shape, strides, offset, axis = [], [], 0, 0
    for part in _ellipsis_filled(x, parts, used):
        if part is None:
            shape.append(1)
            strides.append(0)
            continue
        n, step = x.shape[axis], x.strides[axis]
        if isinstance(part, slice):
            first, stop, by = part.indices(n)
            count = len(range(first, stop, by))
            shape.append(count)
            strides.append(step * by)
            offset += first * step if count else 0
        else:
            place = operator.index(part)
            if not -n <= place < n:
                raise IndexError(
                    f"index {place} of axis {axis} of shape {x.shape}: it must lie in [{-n}, {n - 1}]"
                )
            offset += place % n * step
        axis += 1
    return x._view(tuple(shape), tuple(strides), offset)


def broadcast_to(x: CudaArray, shape: Sequence[int]) -> CudaArray:
    """A read-only view in which axes of size 1, and new ones before the first, are repeated."""
    shape = (shape,) if isinstance(shape, int) else tuple(map(operator.index, shape))
    lead = len(shape) - x.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[lead:], strict=True)):
        raise ValueError(f"an array of shape {x.shape} cannot be broadcast to {shape}")
    own = zip(x.shape, x.strides, shape[lead:], strict=True)
    return x._view(
        shape, (0,) * lead + tuple(step if n == m else 0 for n, step, m in own), writeable=shape == x.shape
    )


# -- places ----------------------------------------------------------------------------------------


def arange(start, stop=None, step=1, dtype=None) -> CudaArray:
    """start, start + step, ... up to but without stop, counted on the GPU."""
    start, stop = (0, start) if stop is None else (start, stop)
    n = max(0, math.ceil((stop - start) / step))
    out = empty(
        n, np.arange(0, 1, step).dtype if dtype is None and isinstance(start, int) else dtype or np.float64
    )
    if n:
        kind = np.float64 if out.dtype.kind == "f" else np.int64
        count_from[_blocks(n), THREADS](out, kind(start), kind(step), n)
    return out


def places_of(mask: CudaArray) -> CudaArray:
    """Where a mask is True, counted row by row: int32 (count,). Waits for the GPU, to know the count."""
    mask = contiguous(mask).reshape(-1)
    if not mask.size:
        return empty(0, np.int32)
    running = reductions.cumulate("add", mask, 0, np.int32)
    flat = empty(running[-1].item(), np.int32)
    if flat.size:
        keep_places[_blocks(mask.size), THREADS](mask, running, flat, mask.size)
    return flat


def nonzero(x: CudaArray) -> tuple[CudaArray, ...]:
    """Where the elements that are not 0 stand, int64 for each axis. Waits for the GPU, to know how many."""
    flat = places_of(x if x.dtype == np.bool_ else x != 0).astype(np.int64)
    steps = packed_strides(x.shape, 1)
    return tuple(flat // step % n for n, step in zip(x.shape, steps, strict=True))


def _as_pick(part):
    """A mask, or an array of places, on the host or here."""
    if not isinstance(part, CudaArray):
        part = np.asarray(part)
        part = part.astype(np.int64) if part.shape == (0,) and part.dtype.kind == "f" else part
    if part.dtype.kind not in "iub":
        raise IndexError(f"{part.dtype} values are no index: it must hold whole numbers or booleans")
    return part


def refuse_wrong(wrong: CudaArray, index: Sequence, sizes: Sequence[int]) -> None:
    """Raise IndexError if wrong[0] is not 0; not while a graph is captured."""
    if driver.capture is None and wrong.item():
        shapes = ", ".join(str(i.shape) for i in index)
        raise IndexError(
            f"an index of shape {shapes} holds places beyond the axes, which have {tuple(sizes)} elements"
        )


class _Plan:
    """x[index] for masks and arrays of places, brought to x (A, P, R) and places on the axis P.

    view: x after slices and None, its picked axes side by side. shape: of the result. picks: for each array,
    how many of the picked axes it names.
    """

    def __init__(self, x: CudaArray, parts: Sequence):
        parts = [
            part if part is None or isinstance(part, slice) or part is Ellipsis else _as_pick(part)
            for part in parts
        ]
        used = sum(_axes_named(part) for part in parts)
        parts = _ellipsis_filled(x, parts, used)
        seen, order, runs, self.picks, axis = [], [], 0, [], 0
        for part in parts:
            named = 1 if part is None else _axes_named(part)
            if part is None or isinstance(part, slice):
                seen.append(part)
                order.append(False)
            else:
                self.picks.append((part, named))
                seen += [slice(None)] * named
                runs += not (order and order[-1])
                order += [True] * named
                _check_mask(part, x.shape[axis : axis + named])
            axis += part is not None and named
        x = basic_view(x, seen)
        picked = [i for i, is_picked in enumerate(order) if is_picked]
        if runs > 1:  # picked apart from each other: their axes come first
            x = x.transpose([*picked, *(i for i, is_picked in enumerate(order) if not is_picked)])
            picked = list(range(len(picked)))
        first, end = picked[0], picked[-1] + 1
        self.view, self.before, self.sizes, self.after = x, x.shape[:first], x.shape[first:end], x.shape[end:]

    def flat_places(self, check: bool = True) -> tuple[CudaArray, tuple[int, ...], bool]:
        """(places on the axis P, their shape, can none occur twice?)."""
        if (
            len(self.picks) == 1
            and self.picks[0][0].dtype == np.bool_
            and isinstance(self.picks[0][0], CudaArray)
        ):
            flat = places_of(self.picks[0][0])
            return flat, flat.shape, True
        index, sizes, axis = [], [], 0
        for pick, named in self.picks:
            own = self.sizes[axis : axis + named]
            axis += named
            index += pick.nonzero() if pick.dtype == np.bool_ else [pick]
            sizes += own
        shape = np.broadcast_shapes(*(i.shape for i in index))
        return (*flat_index(index, sizes, shape), False)

    def _rows(self) -> tuple[CudaArray, tuple[int, int, int]]:
        """The view, packed, and (A, P, R)."""
        sizes = math.prod(self.before), math.prod(self.sizes), math.prod(self.after)
        return contiguous(self.view), sizes

    def get(self, flat: CudaArray, shape: tuple[int, ...], unique: bool = False) -> CudaArray:
        """The chosen elements."""
        x, (_, size, inner) = self._rows()
        out = empty((*self.before, *shape, *self.after), x.dtype)
        gather(x, flat, out, size, inner)
        return out

    def put(self, values, flat, shape, unique: bool, add: bool = False) -> None:
        """Values, broadcast to the shape of the chosen elements, written there or added."""
        x, (_, size, inner) = self._rows()
        values = spread(values, (*self.before, *shape, *self.after), x.dtype)
        scatter(values, flat, x, size, inner, add)
        if x is not self.view:
            copy_into(x, self.view)


def _axes_named(part) -> int:
    """How many axes of x a part of an index names."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if not isinstance(part, slice) and part.dtype == np.bool_ else 1


def _check_mask(part, shape: tuple[int, ...]) -> None:
    if part.dtype == np.bool_ and part.shape != shape:
        raise IndexError(f"a mask of shape {part.shape} for axes of shape {shape}: they must be equal")


def flat_index(
    index: Sequence, sizes: Sequence[int], shape: tuple[int, ...]
) -> tuple[CudaArray, tuple[int, ...]]:
    """Places on several axes as one, counted row by row; and their shape."""
    if not any(isinstance(i, CudaArray) for i in index):
        return asarray(_flat_on_host(index, sizes).astype(np.int32)), shape
    n = math.prod(shape)
    flat, wrong = zeros(shape, np.int32), zeros(1, np.int32)
    for i, size in zip(index, sizes, strict=True):
        i = contiguous(broadcast_to(asarray(i), shape))
        if n:
            count_on[_blocks(n), THREADS](i, flat, wrong, size, n)
    refuse_wrong(wrong, index, sizes)
    return flat, shape


def _flat_on_host(index: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    for i, size in zip(index, sizes, strict=True):
        outside = (i < -size) | (i >= size)
        if outside.any():
            raise IndexError(f"index {i[outside].flat[0]} must lie in [{-size}, {size - 1}]")
    flat = 0
    for i, size in zip(index, sizes, strict=True):
        flat = flat * size + np.where(i < 0, i + size, i)
    return np.asarray(flat)


# -- gather, scatter, add --------------------------------------------------------------------------


def gather(x: CudaArray, flat: CudaArray, out: CudaArray, size: int, inner: int) -> None:
    """out[a, b, r] = x[a, flat[b], r]."""
    if out.size:
        run = gather_kernel(math.nan if out.dtype.kind == "f" else 0)
        run[_blocks(out.size), THREADS](x, flat, out, size, flat.size, inner, out.size)


def scatter(
    values: CudaArray, flat: CudaArray, x: CudaArray, size: int, inner: int, add: bool = False
) -> None:
    """x[a, flat[b], r] = values[a, b, r], the last one where a place is named twice; or += with add."""
    if not values.size:
        return
    values = values.copy() if values.overlaps(x) else values
    owner = flat
    if add and x.dtype not in ADDED:
        raise TypeError(f"np.add.at of {x.dtype}: the GPU adds {', '.join(map(str, ADDED))}. Fix: convert it")
    if not add:
        owner = full(size, -1, np.int32)
        claim[_blocks(flat.size), THREADS](flat, owner, flat.size)
    put_kernel(add)[_blocks(values.size), THREADS](
        values, flat, owner, x, size, flat.size, inner, values.size
    )


def spread(values, shape: tuple[int, ...], dtype) -> CudaArray:
    """Values that can be broadcast to a shape, written out."""
    if isinstance(values, CudaArray) and values.dtype == dtype and values.shape == shape:
        return contiguous(values)
    out = empty(shape, dtype)
    copy_into(_without_leading_ones(values, len(shape)), out)
    return out


def set_item(x: CudaArray, index, values) -> None:
    """x[index] = values, an array here or a number."""
    parts = index if type(index) is tuple else (index,)
    if all(map(_is_basic, parts)):
        view = basic_view(x, parts)
        copy_into(_without_leading_ones(values, view.ndim), view)
        return
    if not x.writeable:
        raise ValueError(f"an array of shape {x.shape} is read-only, as what was broadcast is. Fix: x.copy()")
    if len(parts) == 1 and _is_number(values) and isinstance(index, CudaArray) and index.dtype == np.bool_:
        fill_where(x, index, values)
        return
    plan = _Plan(x, parts)
    plan.put(values, *plan.flat_places())


def _without_leading_ones(values, ndim: int):
    """Values without leading axes of size 1 that the place has not."""
    while isinstance(values, CudaArray) and values.ndim > ndim and values.shape[0] == 1:
        values = values.reshape(values.shape[1:])
    return values


def _is_number(x) -> bool:
    return isinstance(x, NUMBERS) or (isinstance(x, (np.ndarray, CudaArray)) and not x.ndim)


def fill_where(x: CudaArray, mask: CudaArray, value) -> None:
    """x[mask] = one number, without knowing how many elements that are."""
    _check_mask(mask, x.shape[: mask.ndim])
    mask = mask.reshape((*mask.shape, *[1] * (x.ndim - mask.ndim)))
    value = value if isinstance(value, CudaArray) else x.dtype.type(value)
    copy_into(elementwise.where(mask, value, x), x)


def add_at(x: CudaArray, index, values) -> None:
    """np.add.at: x[index] += values, for a place that is named twice both of them.

    Floats are added in the order in which threads come, so sums may differ in the last digit from run to run.
    """
    parts = index if type(index) is tuple else (index,)
    if all(map(_is_basic, parts)):
        view = basic_view(x, parts)
        elementwise.ufunc("add", (view, values), view)
        return
    plan = _Plan(x, parts)
    plan.put(values, *plan.flat_places(), add=True)


# -- along one axis --------------------------------------------------------------------------------


def take(x: CudaArray, indices, axis: int | None = None, mode: str = "raise") -> CudaArray:
    """The elements (axis None), or the slices along an axis, at some places."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = range(x.ndim)[axis]
    size = x.shape[axis]
    if mode == "clip":
        indices = np.clip(indices, 0, max(size - 1, 0))
    elif mode == "wrap":
        indices = indices % max(size, 1)
    if isinstance(indices, (int, np.integer)):
        return basic_view(x, (*[slice(None)] * axis, indices)).copy()
    return get_item(x, (*[slice(None)] * axis, indices))


def _flat_along(x: CudaArray, indices: CudaArray, axis: int) -> CudaArray:
    """Where x[..., indices[..., b, ...], ...] is in x, which is packed."""
    size, inner, n = x.shape[axis], math.prod(x.shape[axis + 1 :]), indices.size
    flat, wrong = empty(indices.shape, np.int32), zeros(1, np.int32)
    if n:
        index = contiguous(indices)
        count_along[_blocks(n), THREADS](index, flat, wrong, size, indices.shape[axis], inner, n)
        refuse_wrong(wrong, [indices], [size])
    return flat


def _along(name: str, x: CudaArray, indices, axis: int | None) -> tuple[CudaArray, CudaArray, int]:
    """x and indices with equal axes but one, and that one."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    indices, axis = asarray(_as_pick(indices)), range(x.ndim)[axis]
    if indices.ndim != x.ndim:
        raise ValueError(f"{name}: indices of shape {indices.shape} must have as many axes as x, {x.shape}")
    shapes = [(*a.shape[:axis], 1, *a.shape[axis + 1 :]) for a in (x, indices)]
    shape = list(np.broadcast_shapes(*shapes))
    shape[axis] = indices.shape[axis]
    indices = broadcast_to(indices, shape)
    shape[axis] = x.shape[axis]
    return broadcast_to(x, shape), indices, axis


def take_along_axis(x: CudaArray, indices, axis: int | None = -1) -> CudaArray:
    """out[i, j] = x[i, indices[i, j]] (for axis 1)."""
    x, indices, axis = _along("take_along_axis", x, indices, axis)
    x, out = contiguous(x), empty(indices.shape, x.dtype)
    gather(x, _flat_along(x, indices, axis), out, x.size, 1)
    return out


def put_along_axis(x: CudaArray, indices, values, axis: int | None) -> None:
    """x[i, indices[i, j]] = values[i, j] (for axis 1), in place."""
    if not x.writeable:
        raise ValueError(f"an array of shape {x.shape} is read-only, as what was broadcast is. Fix: x.copy()")
    whole, indices, axis = _along("put_along_axis", x, indices, axis)
    packed = contiguous(whole)
    scatter(
        spread(values, indices.shape, x.dtype), _flat_along(packed, indices, axis), packed, packed.size, 1
    )
    if packed.memory is not x.memory:
        copy_into(packed.reshape(x.shape), x)
