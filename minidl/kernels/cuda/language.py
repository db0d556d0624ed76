"""The words in which kernels are written: types, `cuda`, and functions that kernels call.

Each is an object of ours that Numba and the simulator understand alike. Numba asks any object that it meets
in a kernel for `_numba_type_`; only then is Numba loaded (half a second). So a file full of kernels is
imported in a moment, and without Numba as well.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

INSTALL = 'pip install "numba-cuda[cu12]"'
"""For NVIDIA drivers from 525 on; [cu13] from 580 on."""

FULL_WARP = 0xFFFFFFFF
"""Mask of the shuffle instructions: all 32 lanes take part."""


# -- types -----------------------------------------------------------------------------------------


class Flat:
    """The type of a flat array in device memory, `float32[::1]`. There is one for each type of numbers."""

    def __init__(self, element: "Scalar"):
        self.element, self.name = element, f"{element.name}[::1]"

    def __repr__(self) -> str:
        return self.name

    @property
    def numba(self):
        return self.element.numba[::1]


class Scalar:
    """A type of numbers. In a kernel `float32(x)` converts x; on the host it is a key of launches."""

    def __init__(self, name: str, code: str):
        self.name, self.code = name, code
        self.dtype = np.dtype("bool" if name == "boolean" else name)
        self._flat = Flat(self)

    def __call__(self, x):
        return self.dtype.type(x)

    def __getitem__(self, key) -> Flat:
        if key != slice(None, None, 1):
            raise TypeError(f"{self.name}[{key}]: kernels take flat arrays only, {self.name}[::1].")
        return self._flat

    def __repr__(self) -> str:
        return self.name

    @property
    def numba(self):
        """The same type in Numba."""
        return getattr(numba_cuda().types, self.name)

    @property
    def _numba_type_(self):
        """What Numba sees where a kernel says `float32`: a function that converts."""
        return numba_cuda().types.NumberClass(self.numba)


float32, float64 = Scalar("float32", "f"), Scalar("float64", "d")
int32, int64 = Scalar("int32", "i"), Scalar("int64", "q")
uint32, uint64 = Scalar("uint32", "I"), Scalar("uint64", "Q")
uint8, boolean = Scalar("uint8", "B"), Scalar("boolean", "?")
SCALARS = {s.dtype: s for s in (float32, float64, int32, int64, uint32, uint64, uint8, boolean)}


# -- Numba's language, without Numba ---------------------------------------------------------------


def numba_cuda():
    """The module numba.cuda, from numba-cuda: what Numba itself has under that name is not enough."""
    if not numba_cuda_installed():
        raise RuntimeError(f"CUDA: numba-cuda is not installed: {INSTALL}.")
    if not hasattr(np, "row_stack"):
        np.row_stack = np.vstack  # NumPy 2.5 has dropped a name that numba-cuda 0.30 looks up
    return importlib.import_module("numba.cuda")


def numba_cuda_installed() -> bool:
    """Is numba-cuda there?"""
    return importlib.util.find_spec("numba_cuda") is not None


class _Namespace:
    """`cuda`, and the names in it. Numba and the simulator give them meaning; a call from Python says so."""

    def __init__(self, path: str, *names: str, **inner: tuple[str, ...]):
        self._path = path
        for name in names:
            setattr(self, name, _Namespace(f"{path}.{name}"))
        for name, parts in inner.items():
            setattr(self, name, _Namespace(f"{path}.{name}", *parts))

    def __call__(self, *args, **options):
        raise RuntimeError(f"{self._path} was called from Python: it has a meaning only inside a kernel.")

    def __repr__(self) -> str:
        return self._path

    @property
    def _numba_type_(self):
        """What Numba sees where a kernel says `cuda`: its own module of that name."""
        module = numba_cuda()
        return module.types.Module(module)


AXES = ("x", "y", "z")

cuda = _Namespace(
    "cuda",
    *("grid", "gridsize", "laneid", "warpsize"),
    *("syncthreads", "syncthreads_and", "syncthreads_count", "syncthreads_or", "syncwarp", "threadfence"),
    *("shfl_sync", "shfl_up_sync", "shfl_down_sync", "shfl_xor_sync", "ballot_sync", "all_sync", "any_sync"),
    *("activemask", "popc", "clz", "ffs", "fma", "selp"),
    threadIdx=AXES,
    blockIdx=AXES,
    blockDim=AXES,
    gridDim=AXES,
    shared=("array",),
    local=("array",),
    atomic=("add", "sub", "max", "min", "exch", "cas"),
)
"""The language in which kernels are written, in both worlds: `cuda.threadIdx.x`, `cuda.syncthreads()`."""


class Device:
    """A function that kernels call: put into the code of each of them."""

    def __init__(self, function: Callable, **options):
        self.function, self.options = function, options
        functools.update_wrapper(self, function)

    def __call__(self, *args):
        raise RuntimeError(f"{self.__name__} is device code: a kernel may call it, Python may not.")

    def __repr__(self) -> str:
        return f"<device function {self.__qualname__}>"

    @functools.cached_property
    def dispatcher(self):
        return numba_cuda().jit(self.function, device=True, forceinline=True, **self.options)

    @property
    def _numba_type_(self):
        return self.dispatcher._numba_type_


def device(function: Callable | None = None, **options) -> Any:
    """Decorate a function that kernels call. `@device(fastmath=True)` as for `kernel`."""
    return functools.partial(Device, **options) if function is None else Device(function, **options)
