"""An n-dimensional array in the memory of a GPU that speaks NumPy's protocols.

    memory   |. . . . a b c d e f . . . .|      a block of bytes, shared by all views of it
                      ^ offset                  where x[0, 0] begins
    shape (2, 3), strides (12, 4)               bytes of a step: x[i, j] is at offset + 12 i + 4 j

As in NumPy, an array is a way to read a block, so that transposing, slicing, broadcasting and most reshaping
copy nothing. `np.exp(x)`, `x + y`, `np.where(...)`, `x[mask]` find their GPU versions through
`__array_ufunc__` and `__array_function__`; what has none raises NotImplementedError with its name. So code
that is written in NumPy's words runs on both kinds of arrays.

Nothing moves between GPU and host unseen: `asarray` brings numbers here, `get` takes them back, and both
kinds of arrays in one operation are an error. Only `get`, and what is made of it (`item`, `tolist`, `bool`,
`print`, masks as indices), waits for the GPU.
"""

from __future__ import annotations

import functools
import importlib
import math
import operator
from collections.abc import Iterator, Sequence

import numpy as np

from minidl.kernels import DeviceArray
from minidl.kernels.cuda import driver, memory

__all__ = ["CudaArray", "asarray", "contiguous", "empty", "full", "ones", "zeros"]

NUMBERS = (bool, int, float, np.generic)


@functools.cache
def _family(name: str):
    """A file of kernels beside this one; they import this one first."""
    return importlib.import_module(f"minidl.kernels.cuda.{name}")


# -- layouts ---------------------------------------------------------------------------------------


@functools.lru_cache(4096)
def packed_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides of an array whose elements lie row by row without gaps.

    >>> packed_strides((2, 3, 4), 4)
    (48, 16, 4)
    """
    strides, step = [], itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def is_packed(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    """Do the elements lie row by row without gaps?"""
    expected = itemsize
    for n, step in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1:
            if step != expected and n:
                return math.prod(shape) == 0
            expected *= n
    return True


def reshaped_strides(
    shape: Sequence[int], strides: Sequence[int], to: Sequence[int]
) -> tuple[int, ...] | None:
    """Strides that read the same elements in another shape, or None if they would have to be copied.

    Both shapes are walked together, in pieces of equally many elements. Within a piece the old axes must lie
    in memory one after the other.

    >>> reshaped_strides((4, 6), (24, 4), (2, 2, 6)), reshaped_strides((4, 6), (4, 16), (24,))
    ((48, 24, 4), None)
    """
    old = [(n, step) for n, step in zip(shape, strides, strict=True) if n != 1]
    new, i, j = [0] * len(to), 0, 0
    while i < len(old) and j < len(to):
        first, start, sizes = i, j, [old[i][0], to[j]]
        while sizes[0] != sizes[1]:
            if sizes[0] < sizes[1]:
                i += 1
                sizes[0] *= old[i][0]
            else:
                j += 1
                sizes[1] *= to[j]
        if any(old[k][1] != old[k + 1][0] * old[k + 1][1] for k in range(first, i)):
            return None
        step = old[i][1]
        for k in range(j, start - 1, -1):
            new[k], step = step, step * to[k]
        i, j = i + 1, j + 1
    return tuple(new)


def _full_shape(name: str, given: Sequence, size: int) -> tuple[int, ...]:
    """A shape with its -1, if there is one, replaced by what is left for it."""
    shape = tuple(map(operator.index, given))
    known = -math.prod(shape) if -1 in shape else math.prod(shape)
    if shape.count(-1) == 1 and known and size % known == 0:
        shape = tuple(size // known if n == -1 else n for n in shape)
    if math.prod(shape) != size or min(shape, default=0) < 0:
        raise ValueError(f"{name}: an array of {size} elements does not fit into shape {tuple(given)}")
    return shape


def _axes_tuple(axes, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, from one, some, or None for all."""
    return tuple(range(ndim)) if axes is None else np.lib.array_utils.normalize_axis_tuple(axes, ndim)


class Flags:
    """Facts about an array, with NumPy's names."""

    __slots__ = ("_array",)

    def __init__(self, array: CudaArray):
        self._array = array

    @property
    def c_contiguous(self) -> bool:
        return self._array.packed

    @property
    def f_contiguous(self) -> bool:
        return self._array.T.packed

    @property
    def writeable(self) -> bool:
        return self._array.writeable

    @writeable.setter
    def writeable(self, value: bool) -> None:
        self._array.writeable = bool(value)


# -- the array -------------------------------------------------------------------------------------


class CudaArray(DeviceArray, np.lib.mixins.NDArrayOperatorsMixin):
    """A strided array in GPU memory. Make one with `asarray`, `empty`, `zeros`, `ones` or `full`.

    Args:
        memory: the block that holds the elements. dtype: one that kernels know. shape: sizes of the axes.
        strides: bytes from one element to the next along each axis; None if they lie row by row.
        offset: bytes from the block's beginning to the first element. writeable: may it be written to?
    """

    __slots__ = (
        "__weakref__", "_device_view", "dtype", "memory", "offset", "packed", "shape", "size", "strides",
        "writeable",
    )  # fmt: skip
    __hash__ = None

    def __init__(self, memory, dtype, shape, strides=None, offset=0, writeable=True):
        self.memory, self.dtype, self.shape, self.offset = memory, np.dtype(dtype), shape, offset
        self.size, self._device_view, self.writeable = math.prod(shape), None, writeable
        if strides is None:
            self.strides, self.packed = packed_strides(shape, self.dtype.itemsize), True
        else:
            self.strides, self.packed = strides, is_packed(shape, strides, self.dtype.itemsize)

    def _view(self, shape, strides, offset=0, writeable=True) -> CudaArray:
        """The same memory read in another way."""
        writeable = writeable and self.writeable
        return CudaArray(self.memory, self.dtype, shape, strides, self.offset + offset, writeable)

    # -- what it is --------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def flags(self) -> Flags:
        return Flags(self)

    @property
    def bounds(self) -> tuple[int, int]:
        """Addresses of the first byte and of the one after the last."""
        start = end = self.memory.pointer + self.offset
        if not self.size:
            return start, end
        for n, step in zip(self.shape, self.strides, strict=True):
            start, end = start + min(0, (n - 1) * step), end + max(0, (n - 1) * step)
        return start, end + self.itemsize

    def overlaps(self, other: CudaArray) -> bool:
        """May both share elements? True also where their elements only alternate."""
        (a, b), (c, d) = self.bounds, other.bounds
        return a < d and c < b

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[CudaArray]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        text = np.array2string(self.get(), separator=", ", prefix="CudaArray(")
        return f"CudaArray({text}, dtype={self.dtype})"

    # -- to the host -------------------------------------------------------------------------------

    def get(self) -> np.ndarray:
        """A copy as a NumPy array, after waiting for all work on the GPU."""
        if not self.size:
            return np.empty(self.shape, self.dtype)
        order = sorted(range(self.ndim), key=lambda axis: -self.strides[axis])
        turned = self if self.packed else self.transpose(order)
        if not turned.packed:
            return contiguous(self).get()
        out = np.empty(turned.shape, self.dtype)
        memory.copy_to_host(self.memory, out, turned.offset)
        return out if turned is self else out.transpose(np.argsort(order))

    def item(self, *index: int) -> bool | int | float:
        """The only element, or the one at an index, as a Python number: waits for the GPU."""
        one = self[index] if index else self
        if one.size != 1:
            raise ValueError(f"item() of an array of shape {self.shape}: it needs a single element")
        return one.get().item()

    def tolist(self):
        """Nested lists of Python numbers."""
        return self.get().tolist()

    def tobytes(self) -> bytes:
        """The elements, row by row."""
        return self.get().tobytes()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"an array of shape {self.shape} is neither true nor false. Fix: .any() or .all()"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.ndim:
            raise TypeError(f"only a whole number can be an index, not an array of {self.shape} {self.dtype}")
        return self.item()

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            f"an array of shape {self.shape} is in the GPU's memory, and NumPy works on the host. "
            "Fix: x.get() for an array, x.cpu() for a tensor, which copy it"
        )

    def __reduce__(self):
        raise TypeError("an array in the GPU's memory cannot be pickled. Fix: save x.get()")

    # -- copies ------------------------------------------------------------------------------------

    def copy(self, order: str = "C") -> CudaArray:
        """A copy in memory of its own; order "K" keeps the order of the axes in memory."""
        return self.astype(self.dtype, order)

    def __copy__(self) -> CudaArray:
        return self.copy()

    def __deepcopy__(self, memo) -> CudaArray:
        return self.copy()

    def astype(self, dtype, order: str = "K", casting="unsafe", subok=True, copy: bool = True) -> CudaArray:
        """Converted to a dtype; itself if copy=False and nothing changes. order: as in `copy`."""
        dtype = np.dtype(dtype)
        if not copy and dtype == self.dtype and (order != "C" or self.packed):
            return self
        if order == "K" and not self.packed and 0 not in self.strides:
            axes = sorted(range(self.ndim), key=lambda axis: -abs(self.strides[axis]))
            return self.transpose(axes).astype(dtype, "C").transpose(np.argsort(axes))
        out = empty(self.shape, dtype)
        copy_into(self, out)
        return out

    def fill(self, value) -> None:
        """The same number everywhere."""
        copy_into(value, self)

    def flatten(self, order: str = "C") -> CudaArray:
        """A copy with one axis."""
        return self.copy().reshape(-1)

    # -- views -------------------------------------------------------------------------------------

    @property
    def T(self) -> CudaArray:
        """The axes in reverse order."""
        return self._view(self.shape[::-1], self.strides[::-1])

    @property
    def mT(self) -> CudaArray:
        """The last two axes exchanged."""
        return self.swapaxes(-1, -2)

    def transpose(self, *axes) -> CudaArray:
        """Axis i of the result is axis axes[i]; without axes, in reverse order."""
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        if axes is None:
            return self.T
        axes = _axes_tuple(tuple(axes), self.ndim)
        if len(axes) != self.ndim:
            raise ValueError(f"transpose: axes {axes} do not name the {self.ndim} axes of {self.shape}")
        return self._view(tuple(self.shape[i] for i in axes), tuple(self.strides[i] for i in axes))

    def swapaxes(self, axis1: int, axis2: int) -> CudaArray:
        """Two axes exchanged."""
        axes = list(range(self.ndim))
        axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
        return self.transpose(axes)

    def reshape(self, *shape, order: str = "C", copy: bool | None = None) -> CudaArray:
        """The same elements, read row by row, in another shape: a view where no copy is needed."""
        given = shape[0] if len(shape) == 1 and not isinstance(shape[0], (int, np.integer)) else shape
        shape = _full_shape("reshape", given, self.size)
        if self.packed or not self.size:
            return self._view(shape, None)
        strides = reshaped_strides(self.shape, self.strides, shape)
        return self.copy()._view(shape, None) if strides is None else self._view(shape, strides)

    def ravel(self, order: str = "C") -> CudaArray:
        """One axis; a view where no copy is needed."""
        return self.reshape(-1)

    def squeeze(self, axis=None) -> CudaArray:
        """Without axes of size 1: all of them, or those that are named."""
        named = [i for i, n in enumerate(self.shape) if n == 1] if axis is None else axis
        gone = _axes_tuple(named, self.ndim)
        if any(self.shape[i] != 1 for i in gone):
            raise ValueError(f"squeeze: axes {axis} of shape {self.shape} are not all of size 1")
        return self._of_axes([i for i in range(self.ndim) if i not in gone])

    def _of_axes(self, axes: Sequence[int | None]) -> CudaArray:
        """Some axes in an order; None is a new one of size 1."""
        shape = tuple(1 if i is None else self.shape[i] for i in axes)
        return self._view(shape, tuple(0 if i is None else self.strides[i] for i in axes))

    def view(self, dtype) -> CudaArray:
        """The bytes of the elements read as another dtype of the same size."""
        dtype = checked_dtype(dtype)
        if dtype.itemsize != self.itemsize:
            raise ValueError(f"view: elements of {self.dtype} have another size than those of {dtype}")
        return CudaArray(self.memory, dtype, self.shape, self.strides, self.offset, self.writeable)

    # -- NumPy's protocols -------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc, method: str, *inputs, out=(None,), **settings):
        """`np.exp(x)`, `x + y`, `np.add.reduce(x)`, `np.add.at(x, i, y)`: see `functions.call_ufunc`."""
        for x in inputs:
            if type(x) is not CudaArray and _leads_itself(x):
                return NotImplemented
        return _family("functions").call_ufunc(ufunc, method, inputs, out[0], settings)

    def __array_function__(self, function, types, args, settings):
        """`np.where(...)`, `np.concatenate(...)`: see functions.py."""
        if not all(issubclass(t, (CudaArray, np.ndarray)) for t in types):
            return NotImplemented
        return _family("functions").call_function(function, args, settings)

    def __getitem__(self, index):
        return _family("indexing").get_item(self, index)

    def __setitem__(self, index, value):
        _family("indexing").set_item(self, index, value)

    # -- to and from other libraries ---------------------------------------------------------------

    @property
    def __cuda_array_interface__(self) -> dict:
        return _family("exchange").cuda_array_interface(self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _family("exchange").dlpack_device(self)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        return _family("exchange").to_dlpack(self, stream, dl_device, copy)

    # -- NumPy's functions as methods --------------------------------------------------------------

    def sum(self, axis=None, dtype=None, out=None, keepdims=False, initial=None) -> CudaArray:
        """Sum over some axes, or all."""
        return reduced("add", self, axis, dtype, out, keepdims, initial)

    def prod(self, axis=None, dtype=None, out=None, keepdims=False, initial=None) -> CudaArray:
        """Product over some axes, or all."""
        return reduced("multiply", self, axis, dtype, out, keepdims, initial)

    def max(self, axis=None, out=None, keepdims=False, initial=None) -> CudaArray:
        """Largest value over some axes, or all; nan if there is one."""
        return reduced("maximum", self, axis, None, out, keepdims, initial)

    def min(self, axis=None, out=None, keepdims=False, initial=None) -> CudaArray:
        """Smallest value over some axes, or all; nan if there is one."""
        return reduced("minimum", self, axis, None, out, keepdims, initial)

    def any(self, axis=None, out=None, keepdims=False) -> CudaArray:
        """Is an element not 0?"""
        return reduced("logical_or", self, axis, None, out, keepdims)

    def all(self, axis=None, out=None, keepdims=False) -> CudaArray:
        """Is no element 0?"""
        return reduced("logical_and", self, axis, None, out, keepdims)

    def argmax(self, axis=None, out=None, keepdims=False) -> CudaArray:
        """Where the largest value stands; without an axis, in the flattened array."""
        return np.argmax(self, axis, keepdims=keepdims)

    def argmin(self, axis=None, out=None, keepdims=False) -> CudaArray:
        """Where the smallest value stands; without an axis, in the flattened array."""
        return np.argmin(self, axis, keepdims=keepdims)

    def mean(self, axis=None, dtype=None, out=None, keepdims=False) -> CudaArray:
        """Mean over some axes, or all."""
        return np.mean(self, axis, dtype, keepdims=keepdims)

    def var(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False) -> CudaArray:
        """Mean squared distance from the mean, with n - ddof instead of n."""
        return np.var(self, axis, dtype, ddof=ddof, keepdims=keepdims)

    def std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False) -> CudaArray:
        """The square root of `var`."""
        return np.std(self, axis, dtype, ddof=ddof, keepdims=keepdims)

    def cumsum(self, axis=None, dtype=None) -> CudaArray:
        """Running sums along an axis, or of the flattened array."""
        return np.cumsum(self, axis, dtype)

    def cumprod(self, axis=None, dtype=None) -> CudaArray:
        """Running products along an axis, or of the flattened array."""
        return np.cumprod(self, axis, dtype)

    def clip(self, min=None, max=None, out=None) -> CudaArray:
        """Limited to [min, max]."""
        return np.clip(self, min, max, out=out)

    def round(self, decimals: int = 0) -> CudaArray:
        """The nearest number with so many decimals, the even one of two."""
        return np.round(self, decimals)

    def dot(self, other) -> CudaArray:
        """The product of matrices or vectors."""
        return np.dot(self, other)

    def take(self, indices, axis=None, out=None, mode="raise") -> CudaArray:
        """The elements, or the slices along an axis, at some places."""
        return np.take(self, indices, axis, mode=mode)

    def nonzero(self) -> tuple[CudaArray, ...]:
        """Where the elements that are not 0 stand: waits for the GPU, to know how many."""
        return np.nonzero(self)

    def argsort(self, axis=-1, kind=None, order=None, *, stable=None) -> CudaArray:
        """The places that sort the values along an axis."""
        return np.argsort(self, axis, stable=True)


def _leads_itself(x) -> bool:
    """Does an operand want to carry out NumPy's functions itself, as a `Part` does?"""
    return not isinstance(x, (CudaArray, np.ndarray, *NUMBERS)) and hasattr(x, "__array_ufunc__")


def reduced(name, x, axis=None, dtype=None, out=None, keepdims=False, initial=None) -> CudaArray:
    """`name`.reduce over some axes, into `out` if there is one."""
    result = _family("reductions").reduce(name, x, axis, bool(keepdims), dtype, initial)
    if out is None:
        return result
    copy_into(result, out)
    return out


# -- making arrays ---------------------------------------------------------------------------------


def checked_dtype(dtype) -> np.dtype:
    """A dtype that kernels know."""
    dtype = np.dtype(dtype)
    if dtype not in driver.SCALARS:
        known = ", ".join(map(str, driver.SCALARS))
        raise TypeError(f"no GPU kernel works on {dtype}. Fix: convert to one of {known}")
    return dtype


def empty(shape: int | Sequence[int], dtype=np.float32) -> CudaArray:
    """A new array that holds anything."""
    shape = (
        (operator.index(shape),)
        if isinstance(shape, (int, np.integer))
        else tuple(map(operator.index, shape))
    )
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}: no axis can be shorter than 0")
    dtype = checked_dtype(dtype)
    return CudaArray(memory.allocate(math.prod(shape) * dtype.itemsize), dtype, shape)


def zeros(shape: int | Sequence[int], dtype=np.float32) -> CudaArray:
    """A new array, every element 0."""
    out = empty(shape, dtype)
    memory.fill_zero(out.memory, out.nbytes)
    return out


def full(shape: int | Sequence[int], value, dtype=None) -> CudaArray:
    """A new array, `value` everywhere; without a dtype, of that which NumPy would choose."""
    out = empty(shape, np.asarray(value).dtype if dtype is None else dtype)
    out.fill(value)
    return out


def ones(shape: int | Sequence[int], dtype=np.float32) -> CudaArray:
    """A new array, every element 1."""
    return full(shape, 1, dtype)


def asarray(x, dtype=None) -> CudaArray:
    """x on the GPU: itself if it is there, shared with another library's array there, else a copy."""
    if not isinstance(x, CudaArray):
        foreign = not isinstance(x, np.ndarray) and hasattr(x, "__cuda_array_interface__")
        x = _family("exchange").from_cuda_array_interface(x) if foreign else _from_host(x, dtype)
    return x if dtype is None else x.astype(dtype, copy=False)


def _from_host(x, dtype) -> CudaArray:
    host = np.asarray(x, dtype, order="C")
    out = empty(host.shape, host.dtype)
    memory.copy_to_device(host, out.memory)
    return out


def contiguous(x: CudaArray) -> CudaArray:
    """x itself if its elements lie row by row, else a copy that does."""
    return x if x.packed else x.copy()


def copy_into(source, to: CudaArray) -> None:
    """to[...] = source: an array here that can be broadcast, a NumPy array (moved), or a number."""
    if not to.writeable:
        raise ValueError(
            f"an array of shape {to.shape} is read-only, as what was broadcast is. Fix: x.copy()"
        )
    if isinstance(source, np.ndarray) and source.ndim:
        raise TypeError(
            f"the array of shape {to.shape} is on the GPU, the value of shape {source.shape} on the CPU. "
            "Fix: asarray(y) for an array, y.to('cuda') for a tensor"
        )
    if not to.size:
        return
    if isinstance(source, (*NUMBERS, np.ndarray)):
        if to.packed and not source and math.copysign(1, source) > 0:
            memory.fill_zero(to.memory, to.nbytes, to.offset)
            return
    elif source.packed and to.packed and (source.dtype, source.shape) == (to.dtype, to.shape):
        if not source.overlaps(to):
            memory.copy_on_device(source.memory, to.memory, to.nbytes, source.offset, to.offset)
            return
        if source.bounds == to.bounds:
            return
    _family("elementwise").copy(source, to)
