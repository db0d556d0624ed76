"""Sharing GPU memory with other libraries (CuPy, PyTorch, Numba, JAX), without a copy.

Two protocols, each in both directions:

    __cuda_array_interface__   a dict with pointer, shape, strides, dtype and stream
    DLPack                     a C struct in a capsule, with a function that gives the memory back

    torch.from_dlpack(x)   cupy.asarray(x)      others read our memory, and keep it alive
    from_dlpack(t)         asarray(t)           we read theirs, and keep t alive

All our work is in one stream, which waits for the default stream and is waited for by it. Another stream of
the consumer is made to wait for ours by `synchronize`. In the simulator arrays lie in host memory, and DLPack
says so: there `np.from_dlpack(x)` shares them.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np

from minidl.kernels.cuda import driver
from minidl.kernels.cuda.array import CudaArray, checked_dtype

__all__ = ["cuda_array_interface", "dlpack_device", "from_cuda_array_interface", "from_dlpack", "to_dlpack"]


class SharedBlock:
    """Memory of another library, in place of a `memory.Block`.

    pointer: its address. nbytes: its size. buffer: its bytes, in the simulator. owner: what keeps it alive.
    """

    __slots__ = ("__weakref__", "buffer", "nbytes", "owner", "pointer")
    pool = None

    def __init__(self, pointer: int, nbytes: int, owner, on_host: bool):
        self.pointer, self.nbytes, self.owner, self.buffer = pointer, nbytes, owner, None
        if on_host:
            self.buffer = (
                np.frombuffer((ctypes.c_uint8 * nbytes).from_address(pointer), np.uint8)
                if nbytes
                else np.empty(0, np.uint8)
            )

    @property
    def simulated(self) -> bool:
        return self.buffer is not None


def _shared(pointer, shape, strides, dtype, owner, on_host, writeable=True) -> CudaArray:
    """An array in another library's memory. strides in bytes, None if packed."""
    dtype = checked_dtype(dtype)
    shape = tuple(shape)
    if strides is None:
        return CudaArray(
            SharedBlock(pointer, math.prod(shape) * dtype.itemsize, owner, on_host),
            dtype,
            shape,
            writeable=writeable,
        )
    spans = [(n - 1) * step for n, step in zip(shape, strides, strict=True)] if math.prod(shape) else []
    below, above = -sum(s for s in spans if s < 0), sum(s for s in spans if s > 0)
    block = SharedBlock(pointer - below, below + above + dtype.itemsize, owner, on_host)
    return CudaArray(block, dtype, shape, tuple(strides), below, writeable)


def _stream() -> int:
    return int(driver.current().stream)


# -- __cuda_array_interface__ ----------------------------------------------------------------------


def cuda_array_interface(x: CudaArray) -> dict:
    """The dict of version 3 of the protocol. In the simulator there is none: AttributeError."""
    if x.memory.simulated:
        raise AttributeError("__cuda_array_interface__: this array is in the simulator, not on a GPU")
    return {
        "shape": x.shape,
        "typestr": x.dtype.str,
        "data": (x.memory.pointer + x.offset if x.size else 0, not x.writeable),
        "strides": None if x.packed else x.strides,
        "stream": _stream(),
        "version": 3,
    }


def from_cuda_array_interface(x) -> CudaArray:
    """An array in the memory of any object that has `__cuda_array_interface__`."""
    if driver.simulating():
        raise RuntimeError(
            "the array is on the GPU, and now the simulator is in use. Fix: leave `simulated()`"
        )
    facts = x.__cuda_array_interface__
    if facts.get("mask") is not None:
        raise NotImplementedError("an array with a mask cannot be shared. Fix: fill what is masked")
    _wait_for(facts.get("stream"))
    pointer, read_only = facts["data"]
    return _shared(pointer, facts["shape"], facts.get("strides"), facts["typestr"], x, False, not read_only)


def _wait_for(stream: int | None) -> None:
    """Let what the other library has queued happen before what we do; 1 and 2 are default streams."""
    if stream not in (None, 1):
        driver.call("cuStreamSynchronize", int(stream))


# -- DLPack ----------------------------------------------------------------------------------------


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class _DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device", _Device), ("ndim", ctypes.c_int32), ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    ]  # fmt: skip


class _Managed(ctypes.Structure):
    """DLManagedTensor: a tensor, and how to give it back."""


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13
"""DLPack's numbers of devices."""
CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
"""DLPack's numbers of kinds of elements, by NumPy's letter."""
NAME, USED_NAME = b"dltensor", b"used_dltensor"
"""What a capsule is called before and after somebody has taken the tensor out."""

_python = ctypes.pythonapi
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destructor)(
    ("PyCapsule_New", _python)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _python))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _python)
)
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_SetName", _python))

_lent: dict[int, tuple] = {}
"""Address of a struct that we gave away -> what must live until it comes back."""


@_Deleter
def _come_back(managed) -> None:
    """The consumer needs the tensor no more."""
    _lent.pop(ctypes.addressof(managed.contents), None)


@_Destructor
def _capsule_ends(capsule) -> None:
    """A capsule is collected: if nobody has taken the tensor out, it comes back now."""
    if _is_valid(capsule, NAME):
        _lent.pop(_pointer(capsule, NAME), None)


def dlpack_device(x: CudaArray) -> tuple[int, int]:
    """(kind of device, its number)."""
    return (CPU, 0) if x.memory.simulated else (CUDA, 0)


def to_dlpack(x: CudaArray, stream: int | None = None, device=None, copy: bool | None = None):
    """A capsule with x, for `from_dlpack` of another library."""
    if device not in (None, dlpack_device(x)):
        raise BufferError(f"__dlpack__: x is on device {dlpack_device(x)}, not on {device}. Fix: x.get()")
    x = x.copy() if copy else x
    if not x.memory.simulated and stream not in (None, -1, 0, 1):
        driver.synchronize()
    n = x.ndim
    sizes = (ctypes.c_int64 * n)(*x.shape)
    steps = (ctypes.c_int64 * n)(*(step // x.itemsize for step in x.strides))
    kind = _DataType(CODES[x.dtype.kind], 8 * x.itemsize, 1)
    tensor = _Tensor(x.memory.pointer + x.offset, _Device(*dlpack_device(x)), n, kind, sizes, steps, 0)
    managed = _Managed(tensor, None, _come_back)
    _lent[ctypes.addressof(managed)] = managed, sizes, steps, x.memory
    return _new(ctypes.addressof(managed), NAME, _capsule_ends)


class _Borrowed:
    """A tensor that was taken out of a capsule: given back when it is collected."""

    def __init__(self, capsule):
        address = id(capsule)
        if not _is_valid(address, NAME):
            raise ValueError("from_dlpack: the capsule holds no tensor, or somebody has taken it out")
        self.managed = _Managed.from_address(_pointer(address, NAME))
        _rename(address, USED_NAME)

    def __del__(self):
        managed = getattr(self, "managed", None)
        if managed is not None and managed.deleter:
            managed.deleter(ctypes.pointer(managed))


def from_dlpack(x) -> CudaArray:
    """An array in the memory of any object that has `__dlpack__`, as tensors of PyTorch have."""
    if isinstance(x, CudaArray):
        return x
    device, _ = x.__dlpack_device__()
    on_host = driver.simulating()
    if device not in ((CPU,) if on_host else (CUDA, CUDA_MANAGED)):
        here = "the simulator's arrays are on the host" if on_host else "ours are on the GPU"
        raise TypeError(f"from_dlpack: x is on a device of kind {device}, {here}. Fix: move x there first")
    borrowed = _Borrowed(x.__dlpack__() if on_host else x.__dlpack__(stream=1))
    t = borrowed.managed.tensor
    letters = {code: letter for letter, code in CODES.items()}
    if t.dtype.code not in letters or t.dtype.lanes != 1:
        raise TypeError(f"from_dlpack: no kernel works on elements of kind {t.dtype.code}. Fix: convert x")
    dtype = np.dtype(f"{letters[t.dtype.code]}{t.dtype.bits // 8}")
    shape = t.shape[: t.ndim]
    strides = [s * dtype.itemsize for s in t.strides[: t.ndim]] if t.strides else None
    return _shared((t.data or 0) + t.offset, shape, strides, dtype, borrowed, on_host)
