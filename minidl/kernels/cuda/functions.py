"""NumPy's functions for arrays on the GPU.

`np.where(x > 0, x, 0)` asks x what to do: NumPy calls `x.__array_function__(np.where, ...)`, which looks the
function up in the table that this file fills. Most are a few lines, made of views, of one function of
`elementwise.py` or `reductions.py`, or of other functions here. What is not in the table is refused by name;
nothing is computed on the CPU in secret.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import itertools
import math
import operator
from collections.abc import Callable, Sequence

import numpy as np

from minidl.kernels.cuda import array, elementwise, indexing, reductions, sorting
from minidl.kernels.cuda.array import CudaArray, contiguous, copy_into, empty, reduced

__all__ = ["FUNCTIONS", "call_function", "call_ufunc", "matmul"]

FUNCTIONS: dict[Callable, Callable] = {}
"""NumPy's function -> ours."""


def implements(*functions: Callable) -> Callable[[Callable], Callable]:
    """Decorate the GPU version of NumPy's functions."""

    def register(ours):
        FUNCTIONS.update(dict.fromkeys(functions, ours))
        return ours

    return register


def call_function(function: Callable, args: tuple, settings: dict):
    """NumPy's function of arrays of which at least one is on the GPU.

    Raises:
        NotImplementedError: there is no GPU version.
    """
    ours = FUNCTIONS.get(function)
    if ours is None:
        name = f"{function.__module__}.{function.__name__}".replace("numpy", "np")
        raise NotImplementedError(f"{name} has no GPU version. Fix: move the array with .cpu(), or .get()")
    return ours(*args, **settings)


# -- ufuncs ----------------------------------------------------------------------------------------


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple, out, settings: dict):
    """A ufunc, or its `reduce`, `accumulate` or `at`, of arrays of which at least one is on the GPU."""
    call = METHODS.get(method)
    if call is None or ufunc.nout != 1 or (settings and _is_unknown(settings)):
        what = f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
        settings = f" with {', '.join(sorted(settings))}" if settings else ""
        raise NotImplementedError(f"{what}{settings} has no GPU version. Fix: move the array with .cpu()")
    return call(ufunc.__name__, inputs, out, settings)


def _is_unknown(settings: dict) -> bool:
    known = {"dtype", "axis", "keepdims", "initial", "casting", "where"}
    return not settings.keys() <= known or settings.get("where", True) is not True


def _apply(name, inputs, out, settings):
    if out is not None and not (isinstance(out, CudaArray) and out.writeable):
        what = "is read-only" if isinstance(out, CudaArray) else "is on the CPU, an input on the GPU"
        raise ValueError(f"np.{name}: the out of shape {out.shape} {what}. Fix: out=empty_like(x)")
    if name == "matmul":
        return matmul(*inputs, out)
    return elementwise.ufunc(name, inputs, out, settings.get("dtype"))


def _reduce(name, inputs, out, settings):
    initial = settings.get("initial")
    initial = None if initial is np._NoValue else initial
    axis, keepdims = settings.get("axis", 0), settings.get("keepdims", False)
    return reduced(name, inputs[0], axis, settings.get("dtype"), out, keepdims, initial)


def _accumulate(name, inputs, out, settings):
    return reductions.cumulate(name, inputs[0], settings.get("axis", 0), settings.get("dtype"))


def _at(name, inputs, out, settings):
    x, index, values = inputs
    if name not in ("add", "subtract"):
        raise NotImplementedError(f"np.{name}.at has no GPU version; add and subtract have. Fix: use .cpu()")
    indexing.add_at(x, index, values if name == "add" else -values)


METHODS = {"__call__": _apply, "reduce": _reduce, "accumulate": _accumulate, "at": _at}


# -- products --------------------------------------------------------------------------------------


@functools.cache
def _products():
    return importlib.import_module("minidl.kernels.cuda.products")


def matmul(a: CudaArray, b: CudaArray, out: CudaArray | None = None) -> CudaArray:
    """np.matmul: a vector is a row on the left and a column on the right, which the result does not show."""
    for x in (a, b):
        if not isinstance(x, CudaArray) or not x.ndim:
            raise TypeError(
                f"matmul: one operand is a {type(x).__name__}, the other is on the GPU; both must be there, "
                "with at least one axis. Fix: y.to('cuda')"
            )
    if a.ndim == b.ndim == 1 and a.shape == b.shape:  # a sum, for which many threads share the work
        return reduced("add", a * b, out=out)
    return _products().matmul(a, b, out)


@implements(np.dot)
def dot(a, b, out=None):
    """Matrices and vectors as `matmul`; numbers as a product."""
    if not (np.ndim(a) and np.ndim(b)):
        return elementwise.ufunc("multiply", (a, b), out)
    if b.ndim > 2:
        raise NotImplementedError(f"np.dot of {a.shape} and {b.shape} has no GPU version. Fix: np.matmul")
    return matmul(a, b, out)


@implements(np.outer)
def outer(a, b, out=None):
    """Every element of one times every element of the other."""
    return elementwise.ufunc("multiply", (a.reshape(-1, 1), b.reshape(-1)), out)


# -- new arrays ------------------------------------------------------------------------------------


@implements(np.empty_like)
def empty_like(x, dtype=None, order="K", subok=True, shape=None, *, device=None):
    """Shape and dtype of x, if nothing else is said."""
    return empty(x.shape if shape is None else shape, x.dtype if dtype is None else dtype)


@implements(np.zeros_like)
def zeros_like(x, dtype=None, order="K", subok=True, shape=None, *, device=None):
    return array.zeros(x.shape if shape is None else shape, x.dtype if dtype is None else dtype)


@implements(np.full_like)
def full_like(x, fill_value, dtype=None, order="K", subok=True, shape=None, *, device=None):
    out = empty_like(x, dtype, shape=shape)
    out.fill(fill_value)
    return out


@implements(np.ones_like)
def ones_like(x, dtype=None, order="K", subok=True, shape=None, *, device=None):
    return full_like(x, 1, dtype, shape=shape)


# With like=x, NumPy's functions that make arrays come here: np.zeros(3, like=x).


@implements(np.empty)
def _empty(shape, dtype=float, order="C", *, device=None):
    return empty(shape, dtype)


@implements(np.zeros)
def _zeros(shape, dtype=float, order="C", *, device=None):
    return array.zeros(shape, dtype)


@implements(np.ones)
def _ones(shape, dtype=None, order="C", *, device=None):
    return array.ones(shape, float if dtype is None else dtype)


@implements(np.full)
def _full(shape, fill_value, dtype=None, order="C", *, device=None):
    return array.full(shape, fill_value, dtype)


@implements(np.arange)
def arange(start, stop=None, step=1, dtype=None, *, device=None):
    return indexing.arange(start, stop, step, dtype)


@implements(np.eye)
def eye(N, M=None, k=0, dtype=float, order="C", *, device=None):
    rows, columns = indexing.arange(N), indexing.arange(N if M is None else M)
    return (rows[:, None] + k == columns).astype(dtype)


@implements(np.asarray, np.asanyarray)
def _asarray(x, dtype=None, order=None, *, device=None, copy=None):
    x = array.asarray(x, dtype)
    return contiguous(x) if order == "C" else x


@implements(np.ascontiguousarray)
def _ascontiguousarray(x, dtype=None):
    return contiguous(array.asarray(x, dtype))


@implements(np.array)
def _array(x, dtype=None, *, copy=True, order="K", subok=False, ndmin=0):
    given = x
    x = array.asarray(x, dtype)
    return x.copy() if copy and x is given else x


@implements(np.copy)
def copy(x, order="K", subok=False):
    return x.copy(order)


@implements(np.copyto)
def copyto(dst, src, casting="same_kind", where=True):
    """dst[...] = src, or only where a mask is True."""
    if not isinstance(dst, CudaArray):
        raise TypeError("np.copyto: the source is on the GPU, the target is not. Fix: copy x.get()")
    copy_into(src if where is True else elementwise.where(where, src, dst), dst)


# -- the same elements in another arrangement ------------------------------------------------------


@implements(np.ndim)
def ndim(x):
    return x.ndim


@implements(np.shape)
def shape(x):
    return x.shape


@implements(np.size)
def size(x, axis=None):
    return x.size if axis is None else x.shape[axis]


@implements(np.reshape)
def reshape(x, shape, order="C", *, copy=None):
    return x.reshape(shape)


@implements(np.ravel)
def ravel(x, order="C"):
    return x.reshape(-1)


@implements(np.transpose, np.permute_dims)
def transpose(x, axes=None):
    return x.T if axes is None else x.transpose(tuple(axes))


@implements(np.swapaxes)
def swapaxes(x, axis1, axis2):
    return x.swapaxes(axis1, axis2)


@implements(np.moveaxis)
def moveaxis(x, source, destination):
    """Some axes put at other places; the rest keep their order."""
    source, destination = array._axes_tuple(source, x.ndim), array._axes_tuple(destination, x.ndim)
    order = [axis for axis in range(x.ndim) if axis not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return x.transpose(order)


@implements(np.squeeze)
def squeeze(x, axis=None):
    return x.squeeze(axis)


@implements(np.expand_dims)
def expand_dims(x, axis):
    """New axes of size 1, at these places of the result."""
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    new, old = array._axes_tuple(axis, x.ndim + count), iter(range(x.ndim))
    return x._of_axes([None if i in new else next(old) for i in range(x.ndim + count)])


@implements(np.atleast_1d)
def atleast_1d(*arrays):
    wide = tuple(x if x.ndim else x.reshape(1) for x in arrays)
    return wide[0] if len(wide) == 1 else wide


@implements(np.atleast_2d)
def atleast_2d(*arrays):
    wide = tuple(x if x.ndim > 1 else x.reshape(1, -1) for x in arrays)
    return wide[0] if len(wide) == 1 else wide


@implements(np.broadcast_to)
def broadcast_to(x, shape, subok=False):
    return indexing.broadcast_to(x, shape)


@implements(np.broadcast_arrays)
def broadcast_arrays(*arrays, subok=False):
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple(indexing.broadcast_to(array.asarray(x), shape) for x in arrays)


@implements(np.flip)
def flip(x, axis=None):
    """A view that goes backwards along some axes, or all."""
    axes = array._axes_tuple(axis, x.ndim)
    return x[tuple(slice(None, None, -1 if i in axes else None) for i in range(x.ndim))]


@implements(np.roll)
def roll(x, shift, axis=None):
    """Elements moved along axes; what leaves at the end enters at the start."""
    if axis is None:
        return roll(x.reshape(-1), int(np.sum(shift)), 0).reshape(x.shape)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    shifts = np.broadcast_to(np.asarray(shift), (len(axes),)).tolist()
    for by, i in zip(shifts, axes, strict=True):
        i, before = range(x.ndim)[i], (slice(None),) * range(x.ndim)[i]
        cut = x.shape[i] - by % builtins.max(x.shape[i], 1)
        x = concatenate([x[(*before, slice(cut, None))], x[(*before, slice(cut))]], i)
    return x


@implements(np.tile)
def tile(x, reps):
    """The array laid side by side with itself."""
    reps = tuple(reps) if isinstance(reps, (tuple, list)) else (reps,)
    reps = (1,) * (x.ndim - len(reps)) + reps
    sizes = (1,) * (len(reps) - x.ndim) + x.shape
    pairs = x.reshape([k for n in sizes for k in (1, n)])
    wide = indexing.broadcast_to(pairs, [k for pair in zip(reps, sizes, strict=True) for k in pair])
    return wide.copy().reshape([r * n for r, n in zip(reps, sizes, strict=True)])


@implements(np.repeat)
def repeat(x, repeats, axis=None):
    """Each element, or slice along an axis, repeated in its place. `repeats` is known on the host."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    counts = repeats.get() if isinstance(repeats, CudaArray) else repeats
    return indexing.take(x, np.repeat(np.arange(x.shape[axis]), counts), axis)


@implements(np.diagonal)
def diagonal(x, offset=0, axis1=0, axis2=1):
    """A view of a diagonal, as the last axis; read-only, as NumPy has it."""
    i, j = range(x.ndim)[axis1], range(x.ndim)[axis2]
    rows, columns = builtins.max(-offset, 0), builtins.max(offset, 0)
    n = builtins.max(0, builtins.min(x.shape[i] - rows, x.shape[j] - columns))
    rest = [k for k in range(x.ndim) if k not in (i, j)]
    start = rows * x.strides[i] + columns * x.strides[j] if n else 0
    shape = (*(x.shape[k] for k in rest), n)
    return x._view(
        shape, (*(x.strides[k] for k in rest), x.strides[i] + x.strides[j]), start, writeable=False
    )


@implements(np.diag)
def diag(x, k=0):
    """A vector becomes a matrix with it on a diagonal; of a matrix, the diagonal."""
    if x.ndim == 2:
        return diagonal(x, k)
    n = len(x) + abs(k)
    out = array.zeros((n, n), x.dtype)
    place = diagonal(out, k)
    place.writeable = True
    copy_into(x, place)
    return out


def _triangle(x, keep):
    rows, columns = indexing.arange(x.shape[-2])[:, None], indexing.arange(x.shape[-1])
    return elementwise.where(keep(rows, columns), x, x.dtype.type(0))


@implements(np.tril)
def tril(x, k=0):
    """0 above a diagonal."""
    return _triangle(x, lambda row, column: row + k >= column)


@implements(np.triu)
def triu(x, k=0):
    """0 below a diagonal."""
    return _triangle(x, lambda row, column: row + k <= column)


# -- joined and cut --------------------------------------------------------------------------------


def _all_here(name: str, arrays: Sequence) -> list[CudaArray]:
    arrays = list(arrays)
    for x in arrays:
        if not isinstance(x, CudaArray):
            raise TypeError(
                f"np.{name}: an array of shape {np.shape(x)} is on the CPU, another one on the GPU. "
                "Fix: y.to('cuda') for a tensor, asarray(y) for an array"
            )
    if not arrays:
        raise ValueError(f"np.{name} of no arrays")
    return arrays


@implements(np.concatenate)
def concatenate(arrays, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Arrays joined along an axis that they have."""
    arrays = _all_here("concatenate", arrays)
    if axis is None:
        arrays, axis = [x.reshape(-1) for x in arrays], 0
    first = arrays[0]
    axis = array._axes_tuple(axis, first.ndim)[0]
    before, after = first.shape[:axis], first.shape[axis + 1 :]
    if any((x.ndim, x.shape[:axis], x.shape[axis + 1 :]) != (first.ndim, before, after) for x in arrays):
        shapes = ", ".join(str(x.shape) for x in arrays)
        raise ValueError(f"np.concatenate({shapes}, axis={axis}): all axes but that one must be equal")
    if out is None:
        own = np.result_type(*(x.dtype for x in arrays)) if dtype is None else dtype
        out = empty((*before, builtins.sum(x.shape[axis] for x in arrays), *after), own)
    end = 0
    for x in arrays:
        start, end = end, end + x.shape[axis]
        copy_into(x, out[(*(slice(None),) * axis, slice(start, end))])
    return out


@implements(np.stack)
def stack(arrays, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Arrays of one shape joined along a new axis."""
    arrays = _all_here("stack", arrays)
    if len({x.shape for x in arrays}) > 1:
        raise ValueError(f"np.stack of {', '.join(str(x.shape) for x in arrays)}: all shapes must be equal")
    return concatenate([expand_dims(x, axis) for x in arrays], axis, out, dtype=dtype)


@implements(np.split, np.array_split)
def split(x, indices_or_sections, axis=0):
    """Views of pieces along an axis: so many equal ones, or those between some places."""
    n, axis = x.shape[axis], range(x.ndim)[axis]
    bounds = indices_or_sections
    if isinstance(bounds, (int, np.integer)):
        whole, more = divmod(n, bounds)
        bounds = np.cumsum([whole + (i < more) for i in range(bounds)])[:-1]
    ends = [0, *map(operator.index, bounds), n]
    return [x[(*(slice(None),) * axis, slice(a, b))] for a, b in itertools.pairwise(ends)]


@implements(np.pad)
def pad(x, pad_width, mode="constant", constant_values=0):
    """A constant around the array."""
    if mode != "constant":
        raise NotImplementedError(
            f"np.pad with mode={mode!r} has no GPU version. Fix: move the array with .cpu()"
        )
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    out = array.full([a + n + b for n, (a, b) in zip(x.shape, widths, strict=True)], constant_values, x.dtype)
    copy_into(x, out[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, widths, strict=True))])
    return out


# -- element by element ----------------------------------------------------------------------------


@implements(np.where)
def where(condition, x=None, y=None):
    """x where the condition holds, else y; without them, where the condition holds."""
    if x is None and y is None:
        return indexing.nonzero(condition)
    return elementwise.where(condition, x, y)


@implements(np.clip)
def clip(x, a_min=None, a_max=None, out=None, *, min=None, max=None):
    low, high = a_min if min is None else min, a_max if max is None else max
    return elementwise.clip(x, low, high, out)


@implements(np.round, np.around)
def round(x, decimals=0, out=None):
    """The nearest number with so many decimals, the even one of two."""
    if x.dtype.kind != "f":
        return x.copy()
    if not decimals:
        return elementwise.ufunc("rint", (x,), out)
    scale = 10.0 ** abs(decimals)
    return np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale


@implements(np.isclose)
def isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|a - b| <= atol + rtol |b|; equal infinities are close, and nan to nan if equal_nan."""
    near = np.isfinite(b) & (abs(a - b) <= atol + rtol * abs(b)) | (a == b)
    return near | (a != a) & (b != b) if equal_nan else near


@implements(np.allclose)
def allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    return bool(isclose(a, b, rtol, atol, equal_nan).all())


@implements(np.array_equal)
def array_equal(a, b, equal_nan=False):
    return a.shape == b.shape and bool((a == b).all())


@implements(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """nan and the infinities replaced by numbers."""
    limits = np.finfo(x.dtype)
    out = elementwise.where(x != x, x.dtype.type(nan), x)
    out = elementwise.where(out == math.inf, x.dtype.type(limits.max if posinf is None else posinf), out)
    return elementwise.where(out == -math.inf, x.dtype.type(limits.min if neginf is None else neginf), out)


# -- many numbers to one ---------------------------------------------------------------------------


def _given(value):
    return None if value is np._NoValue else value


def _reduction(name: str, *functions: Callable) -> None:
    """Register `name`.reduce as NumPy's functions of this signature."""

    @implements(*functions)
    def reduce(x, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True):
        kept = _given(keepdims) or False
        return reduced(name, x, axis, dtype, out, kept, _given(initial))


def _reduction_of_own_dtype(name: str, *functions: Callable) -> None:
    @implements(*functions)
    def reduce(x, axis=None, out=None, keepdims=False, initial=None, where=True):
        return reduced(name, x, axis, None, out, _given(keepdims) or False, _given(initial))


_reduction("add", np.sum)
_reduction("multiply", np.prod)
_reduction_of_own_dtype("maximum", np.max, np.amax)
_reduction_of_own_dtype("minimum", np.min, np.amin)
_reduction_of_own_dtype("logical_or", np.any)
_reduction_of_own_dtype("logical_and", np.all)


def _position(name: str, function: Callable) -> None:
    @implements(function)
    def position(x, axis=None, out=None, *, keepdims=False):
        return reductions.argreduce(name, x, axis, bool(_given(keepdims)))


_position("argmax", np.argmax)
_position("argmin", np.argmin)


def _count(x, axis) -> int:
    return math.prod(x.shape[i] for i in array._axes_tuple(axis, x.ndim))


def _real(x, dtype):
    """What means of x are computed in."""
    return np.dtype(dtype) if dtype is not None else x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)


@implements(np.mean)
def mean(x, axis=None, dtype=None, out=None, keepdims=False, *, where=True):
    """The sum divided by the count; the mean of nothing is nan."""
    dtype = _real(x, dtype)
    total = reduced("add", x, axis, dtype, None, _given(keepdims) or False)
    return elementwise.ufunc("divide", (total, dtype.type(_count(x, axis))), total if out is None else out)


@implements(np.var)
def var(
    x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, mean=None, correction=None
):
    """Mean squared distance from the mean."""
    dtype = _real(x, dtype)
    ddof = ddof if _given(correction) is None else correction
    centred = x.astype(dtype, copy=False)
    centred = centred - centred.mean(axis, keepdims=True)
    total = (centred * centred).sum(axis, keepdims=_given(keepdims) or False)
    return elementwise.ufunc("divide", (total, dtype.type(builtins.max(_count(x, axis) - ddof, 0))), total)


@implements(np.std)
def std(
    x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, mean=None, correction=None
):
    return np.sqrt(var(x, axis, dtype, None, ddof, keepdims, correction=correction))


def _running(name: str, function: Callable) -> None:
    @implements(function)
    def running(x, axis=None, dtype=None, out=None):
        x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
        return reductions.cumulate(name, x, axis, dtype)


_running("add", np.cumsum)
_running("multiply", np.cumprod)


@implements(np.count_nonzero)
def count_nonzero(x, axis=None, *, keepdims=False):
    """How many elements are not 0, on the host if of all: waits for the GPU."""
    count = (x != 0).sum(axis, np.int64, keepdims=keepdims)
    return count.item() if axis is None and not keepdims else count


@implements(np.nanmin)
def nanmin(x, axis=None):
    return elementwise.where(x != x, x.dtype.type(math.inf), x).min(axis)


@implements(np.nanmax)
def nanmax(x, axis=None):
    return elementwise.where(x != x, x.dtype.type(-math.inf), x).max(axis)


@implements(np.diff)
def diff(x, n=1, axis=-1):
    before = (slice(None),) * range(x.ndim)[axis]
    return diff(x[(*before, slice(1, None))] - x[(*before, slice(-1))], n - 1, axis) if n else x


@implements(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """The p-norm of vectors: sum(|x|^p)^(1/p); of all elements without axis and ord."""
    if ord is None:
        x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    axes = x.ndim if axis is None else len(axis) if isinstance(axis, tuple) else 1
    if axes > 1 or isinstance(ord, str):
        raise NotImplementedError(
            f"np.linalg.norm of matrices, ord={ord!r}, has no GPU version. Fix: use .cpu()"
        )
    if ord in (None, 2):
        return np.sqrt((x * x).sum(axis, keepdims=keepdims))
    if ord == 0:
        return (x != 0).sum(axis, x.dtype, keepdims=keepdims)
    if math.isinf(ord):
        return (abs(x).max if ord > 0 else abs(x).min)(axis, keepdims=keepdims)
    if ord == 1:
        return abs(x).sum(axis, keepdims=keepdims)
    return (abs(x) ** float(ord)).sum(axis, keepdims=keepdims) ** (1 / ord)


# -- choosing elements -----------------------------------------------------------------------------


@implements(np.take)
def take(x, indices, axis=None, out=None, mode="raise"):
    if not isinstance(x, CudaArray):
        raise TypeError(
            f"np.take: an array of shape {np.shape(x)} is on the CPU, its index on the GPU. Fix: x.to('cuda')"
        )
    result = indexing.take(x, indices, axis, mode)
    if out is not None:
        copy_into(result, out)
    return result if out is None else out


FUNCTIONS |= {
    np.nonzero: indexing.nonzero,
    np.put_along_axis: indexing.put_along_axis,
    np.take_along_axis: indexing.take_along_axis,
    np.argsort: sorting.argsort,
    np.sort: sorting.sort,
}


@implements(np.argwhere)
def argwhere(x):
    """Places of the elements that are not 0: (count, axes)."""
    if not x.ndim:
        return argwhere(x.reshape(1))[:, :0]
    return stack(indexing.nonzero(x), 1)


@implements(np.flatnonzero)
def flatnonzero(x):
    return indexing.nonzero(x.reshape(-1))[0]


@implements(np.ravel_multi_index)
def ravel_multi_index(multi_index, dims, mode="raise", order="C"):
    """Places on several axes as one, counted row by row."""
    modes, flat = (mode,) * len(dims) if isinstance(mode, str) else mode, 0
    for place, n, how in zip(multi_index, dims, modes, strict=True):
        if how == "raise":
            raise NotImplementedError(
                "np.ravel_multi_index with mode='raise' has no GPU version. Fix: 'wrap'"
            )
        flat = flat * n + (place % n if how == "wrap" else np.clip(place, 0, n - 1))
    return flat


@implements(np.bincount)
def bincount(x, weights=None, minlength=0):
    """How often each whole number occurs: waits for the GPU, to know the largest one."""
    if weights is not None:
        raise NotImplementedError("np.bincount with weights has no GPU version. Fix: np.add.at")
    out = array.zeros(builtins.max(minlength, int(x.max()) + 1 if x.size else 0), np.int64)
    indexing.add_at(out, x, 1)
    return out


@implements(np.unique)
def unique(x, return_index=False, return_inverse=False, return_counts=False, axis=None, **settings):
    """The values that occur, in order: waits for the GPU, to know how many."""
    if return_index or return_inverse or return_counts or axis is not None:
        raise NotImplementedError("np.unique of more than the values has no GPU version. Fix: use .cpu()")
    values = sorting.sort(x, None)
    new = array.ones(values.shape, bool)
    copy_into(values[1:] != values[:-1], new[1:])
    return values[new]


# -- facts -----------------------------------------------------------------------------------------


@implements(np.may_share_memory)
def may_share_memory(a, b, max_work=None):
    """Do the bytes from first to last element overlap?"""
    return isinstance(a, CudaArray) and isinstance(b, CudaArray) and a.size > 0 < b.size and a.overlaps(b)


FUNCTIONS[np.shares_memory] = may_share_memory


@implements(np.result_type)
def result_type(*operands):
    return np.result_type(*(x.dtype if isinstance(x, CudaArray) else x for x in operands))
