"""The one door to the GPU: what a kernel is, how it is launched, and what is missing where none runs.

    @kernel                                      a Python function, not yet compiled
    def double(x, out, n): ...

    double[blocks, threads](x, out, x.size)      with a GPU: compiled at its first launch, then queued
    with simulated(): double[1, 32](...)         without one: the simulator runs its source

A launch costs some microseconds, as much as a kernel that reads ten megabytes. So little happens in it: the
types of the arguments choose a kernel that is already loaded, and their values are packed, by one call of
`struct`, into the bytes that the hardware reads.

All work goes into one stream, in which it runs in the order of the calls; a launch returns at once. An error
inside a kernel shows at a later call (start Python with CUDA_LAUNCH_BLOCKING=1 to see at which). Neither
Numba nor the CUDA libraries are imported before they are needed.
"""

import contextlib
import ctypes
import functools
import importlib
import importlib.util
import math
import numbers
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minidl.kernels.cuda.language import (
    FULL_WARP,
    INSTALL,
    SCALARS,
    Device,
    Flat,
    Scalar,
    boolean,
    cuda,
    device,
    float32,
    float64,
    int32,
    int64,
    numba_cuda_installed,
    uint8,
    uint32,
    uint64,
)

__all__ = [
    "FULL_WARP", "SCALARS", "Device", "Event", "Flat", "Kernel", "Properties", "Scalar", "active",
    "available", "boolean", "checked_shape", "cuda", "device", "device_name", "device_properties", "float32",
    "float64", "int32", "int64", "kernel", "missing", "packer", "require", "simulated", "simulating",
    "synchronize", "uint8", "uint32", "uint64",
]  # fmt: skip

MAX_THREADS = 1024
"""Threads in a block, on every NVIDIA GPU."""
MAX_GRID = (2**31 - 1, 65535, 65535)
"""Blocks in a grid along x, y, z."""
MAX_BLOCK = (1024, 1024, 64)
"""Threads in a block along x, y, z."""
STATIC_SHARED_BYTES = 48 * 1024
"""Shared memory that a block gets without asking."""


# -- kernels ---------------------------------------------------------------------------------------


class Kernel:
    """A function that runs on the device once for each thread of a grid.

    `kernel[grid, block](*args)` launches it: grid and block are a number, or a tuple of up to three. With a
    third number, `kernel[grid, block, bytes]`, each block gets that much dynamic shared memory.

    Arguments: contiguous arrays of the device (the kernel sees them flat), Python's int (as int32), float (as
    float32) and bool, and NumPy's scalars, which keep their type.
    """

    def __init__(self, function: Callable, fastmath=False, max_registers=None, launch_bounds=None):
        self.function, self.fastmath = function, fastmath
        self.max_registers, self.launch_bounds = max_registers, launch_bounds
        self._loaded: dict[tuple, _Loaded] = {}
        functools.update_wrapper(self, function)

    def __call__(self, *args):
        name = self.__name__
        raise TypeError(f"{name} is a kernel: launch it with {name}[blocks, threads](...).")

    def __repr__(self) -> str:
        return f"<kernel {self.__qualname__}>"

    def __getitem__(self, configuration: tuple) -> Callable[..., None]:
        grid, block, shared_bytes = configuration if len(configuration) == 3 else (*configuration, 0)
        shape = checked_shape(grid, block)
        return functools.partial(_launch, self, shape, shared_bytes)

    def specialize(self, *types: Scalar | Flat, capability: tuple[int, int]) -> str:
        """The kernel's PTX for arguments of these types on GPUs of a compute capability. Needs no GPU."""
        return _compiling().ptx(self, types, capability)


def kernel(function: Callable | None = None, **options) -> Any:
    """Decorate a function as a kernel.

    fastmath: division, square root, exp, log and tanh by the fast approximations of the hardware, the
    smallest numbers rounded to 0, nan and infinity taken for impossible. False unless a kernel says that it
    can bear that: tanh would be right to three digits only. Multiply and add are fused in any case.
    max_registers: registers a thread at most, so that more blocks fit on a multiprocessor.
    launch_bounds: (threads a block, blocks a multiprocessor), from which the compiler finds that itself.
    """
    return functools.partial(Kernel, **options) if function is None else Kernel(function, **options)


def _compiling():
    return importlib.import_module("minidl.kernels.cuda.compiling")


def _triple(size: int | tuple[int, ...]) -> tuple[int, ...]:
    sizes = size if isinstance(size, tuple) else (size,)
    if not 1 <= len(sizes) <= 3 or not all(isinstance(n, numbers.Integral) for n in sizes):
        raise TypeError(f"launch: a grid or block is a whole number or a tuple of up to three, not {size!r}.")
    return (*map(int, sizes), 1, 1)[:3]


@functools.lru_cache(4096, typed=True)
def checked_shape(grid: int | tuple, block: int | tuple) -> tuple[int, ...]:
    """(grid x, y, z, block x, y, z) of a launch, if hardware can run it.

    >>> checked_shape((4, 2), 256)
    (4, 2, 1, 256, 1, 1)
    """
    blocks, threads = _triple(grid), _triple(block)
    if not all(1 <= n <= most for n, most in zip(blocks, MAX_GRID, strict=True)):
        raise ValueError(
            f"launch: a grid of {grid} blocks. Each side must be from 1 to {MAX_GRID}; with nothing to do, "
            "return before the launch."
        )
    fits = all(1 <= n <= most for n, most in zip(threads, MAX_BLOCK, strict=True))
    if not fits or math.prod(threads) > MAX_THREADS:
        raise ValueError(f"launch: a block of {block} threads. It may have 1 to {MAX_THREADS} (64 along z).")
    return blocks + threads


# -- arguments -------------------------------------------------------------------------------------


class _View(NamedTuple):
    """An array as an argument, kept on the CudaArray: its type, and what the GPU or the simulator gets."""

    type: Flat
    packed: bytes
    array: np.ndarray | None


def _view(array, name: str, position: int) -> _View:
    """The flat view of a CudaArray for launches."""
    view = array._device_view
    if view is None:
        view = array._device_view = _new_view(array, name, position)
    if (view.array is not None) != simulating():
        where = "in the simulator" if view.array is not None else "on the GPU"
        raise RuntimeError(f"{name}: argument {position} lives {where}, the launch does not.")
    return view


def _new_view(array, name: str, position: int) -> _View:
    scalar = SCALARS.get(array.dtype)
    if scalar is None:
        known = ", ".join(s.name for s in SCALARS.values())
        raise TypeError(f"{name}: argument {position} has dtype {array.dtype}; kernels know {known}.")
    if not array.packed:
        raise TypeError(
            f"{name}: argument {position} of shape {array.shape} has strides {array.strides}, and kernels "
            "take contiguous arrays. Pass `contiguous(x)`."
        )
    block, size, itemsize = array.memory, int(array.size), array.dtype.itemsize
    host = None
    if block.simulated:
        host = block.buffer[array.offset : array.offset + size * itemsize].view(array.dtype)
    # As Numba lays an array out: two unused pointers, elements, bytes an element, data, shape, strides.
    packed = struct.pack("7q", 0, 0, size, itemsize, block.pointer + array.offset, size, itemsize)
    return _View(scalar[::1], packed, host)


PLAIN = {int: int32, float: float32, bool: boolean}
"""What Python's numbers become."""


def _number(value, name: str, position: int) -> tuple[Scalar, Any]:
    """The type of a number as an argument, and its value."""
    kind = type(value)
    if kind is int:
        if not -(2**31) <= value < 2**31:
            raise OverflowError(
                f"{name}: argument {position} is {value}, too large for the int32 that a Python int becomes. "
                "Pass np.int64(...)."
            )
        return int32, value
    if kind is float:
        return float32, float(np.float32(value))
    if kind is bool:
        return boolean, value
    if isinstance(value, np.generic) and value.dtype in SCALARS:
        return SCALARS[value.dtype], value.item()
    hint = " Move it to the device with `asarray(x)`." if isinstance(value, np.ndarray) else ""
    raise TypeError(
        f"{name}: argument {position} is a {kind.__name__}; a kernel takes arrays of the device and numbers."
        + hint
    )


# -- launches --------------------------------------------------------------------------------------


class _Loaded:
    """A kernel in the GPU's memory, for one combination of argument types."""

    def __init__(self, function, types: tuple[Scalar | Flat, ...]):
        self.function, self._struct, self._threads = function, packer(types), threading.local()
        self._pack = self._struct.pack_into

    def packed(self, values: list) -> int:
        """The address of cuLaunchKernel's options, which point to the arguments: each thread has its own."""
        try:
            buffer, options = self._threads.room
        except AttributeError:
            buffer, options = self._threads.room = self._room()
        self._pack(buffer, 0, *values)
        return ctypes.addressof(options)

    def _room(self):
        buffer = ctypes.create_string_buffer(max(1, self._struct.size))
        size = ctypes.c_size_t(self._struct.size)
        options = (ctypes.c_void_p * 5)(PTR, ctypes.addressof(buffer), SIZE, ctypes.addressof(size), END)
        options.kept = buffer, size
        return buffer, options


def _launch(kernel: Kernel, shape: tuple[int, ...], shared_bytes: int, *args) -> None:
    """Run a kernel over a grid: queued on the GPU, or at once in the simulator."""
    if capture is not None:
        keep_for_capture(*(value.memory for value in args if hasattr(value, "memory")))
    if _simulations:
        _simulate(kernel, shape, shared_bytes, args)
        return
    gpu = current()
    types, values = _typed(args, kernel.__name__)
    loaded = kernel._loaded.get(types) or _load(kernel, types, gpu)
    if shared_bytes > STATIC_SHARED_BYTES:
        _allow_shared(int(loaded.function), shared_bytes)
    try:
        options = loaded.packed(values)
    except (OverflowError, struct.error):  # a number is too large for its type: which, or is it to be inf?
        options = loaded.packed(_typed(args, kernel.__name__, plain={})[1])
    gpu.launch(loaded.function, shape, shared_bytes, options)


def _typed(args: tuple, name: str, plain: dict = PLAIN) -> tuple[tuple, list]:
    """(types, values to be packed) of the arguments; those of a plain kind are taken as they are."""
    types, values = [], []
    for value in args:
        scalar = plain.get(type(value))
        if scalar is not None:
            types.append(scalar)
            values.append(value)
        elif hasattr(value, "memory"):
            view = _view(value, name, len(types) + 1)
            types.append(view.type)
            values.append(view.packed)
        else:
            scalar, number = _number(value, name, len(types) + 1)
            types.append(scalar)
            values.append(number)
    return tuple(types), values


def _simulate(kernel: Kernel, shape: tuple[int, ...], shared_bytes: int, args: tuple) -> None:
    name, given = kernel.__name__, []
    for position, value in enumerate(args, 1):
        if hasattr(value, "memory"):
            given.append(_view(value, name, position).array)
        else:
            scalar, number = _number(value, name, position)
            given.append(scalar(number))
    run = functools.partial(_simulator().run, kernel, shape[:3], shape[3:], tuple(given), shared_bytes)
    simulate(run)


def simulate(run: Callable[[], Any]) -> None:
    """Do a piece of work of the simulated device; while a graph is captured, only write it down."""
    if capture is None:
        run()
    else:
        capture.record(run)


def _simulator():
    return importlib.import_module("minidl.kernels.cuda.simulator")


def packer(types: tuple[Scalar | Flat, ...]) -> struct.Struct:
    """How arguments lie in the bytes of a launch: as in a C struct, an array as 56 bytes that begin at a
    multiple of 8.

    >>> packer((float32[::1], boolean, float32)).size
    64
    """
    return struct.Struct("@" + "".join("0q56s" if isinstance(t, Flat) else t.code for t in types))


def _load(kernel: Kernel, types: tuple, gpu: "_Gpu") -> _Loaded:
    """Compile a kernel (or take it from disk) and put it into the GPU's memory."""
    image, entry = _compiling().machine_code(kernel, types, gpu.capability)
    module = call("cuModuleLoadData", image)
    function = call("cuModuleGetFunction", module, entry.encode())
    kernel._loaded[types] = loaded = _Loaded(function, types)
    return loaded


@functools.lru_cache(1024)
def _allow_shared(function: int, shared_bytes: int) -> None:
    attribute = bindings().CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    call("cuFuncSetAttribute", function, attribute, shared_bytes)


# -- captures --------------------------------------------------------------------------------------

capture: Any = None
"""The graph that is being captured (see graphs.py), or None."""


def keep_for_capture(*blocks) -> None:
    """The graph that is captured works on these blocks: it keeps them from being given away."""
    if capture is not None:
        capture.keep(*blocks)


def refuse_in_capture(what: str) -> None:
    """Raise RuntimeError if a graph is being captured: `what` would happen once, not at each replay."""
    if capture is not None:
        raise RuntimeError(
            f"{what}: not while a graph is captured. A replay repeats what the GPU does: it "
            "neither sends data from or to the host nor waits. Copy inputs into the arrays before it."
        )


# -- the CUDA driver -------------------------------------------------------------------------------


def bindings():
    """NVIDIA's bindings of the CUDA driver, which numba-cuda brings with it."""
    return importlib.import_module("cuda.bindings.driver")


def call(name: str, *args):
    """Call a function of the CUDA driver; raise RuntimeError with its error, or return its results."""
    status, *results = getattr(bindings(), name)(*args)
    check(name, status)
    return results[0] if len(results) == 1 else tuple(results)


def check(name: str, status) -> None:
    """Raise RuntimeError (MemoryError if there is none left) unless a function's status is success."""
    if int(status) == 0:
        return
    _, what = bindings().cuGetErrorName(status)
    _, text = bindings().cuGetErrorString(status)
    kind = MemoryError if what == b"CUDA_ERROR_OUT_OF_MEMORY" else RuntimeError
    raise kind(
        f"{name}: {what.decode()}, {text.decode()}. If an earlier kernel is to blame, "
        "CUDA_LAUNCH_BLOCKING=1 in the environment shows which."
    )


class Properties(NamedTuple):
    """What a device is: bytes of memory, number of multiprocessors, compute capability (9, 0)."""

    name: str
    memory: int
    multiprocessors: int
    capability: tuple[int, int]


SIMULATED = Properties("simulated GPU", 2**30, 4, (8, 0))
"""The simulator's device: small, so that tests see several rounds of blocks."""

PTR, SIZE, END = 1, 2, 0
"""Marks of cuLaunchKernel's list of options: the packed arguments, their size, the end."""


class _Gpu:
    """The GPU, its context (which other libraries of the process share), and our stream."""

    def __init__(self):
        require()
        call("cuInit", 0)
        self.device = call("cuDeviceGet", 0)
        self.context = call("cuDevicePrimaryCtxRetain", self.device)
        call("cuCtxSetCurrent", self.context)
        # Flag 0: ordered with the default stream, in which other libraries work.
        self.stream = call("cuStreamCreate", 0)
        self.capability = (
            self._attribute("COMPUTE_CAPABILITY_MAJOR"),
            self._attribute("COMPUTE_CAPABILITY_MINOR"),
        )
        self._launch = bindings().cuLaunchKernel

    def _attribute(self, name: str) -> int:
        attribute = getattr(bindings().CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
        return call("cuDeviceGetAttribute", attribute, self.device)

    @functools.cached_property
    def properties(self) -> Properties:
        name = call("cuDeviceGetName", 128, self.device).split(b"\0")[0].decode()
        memory = call("cuDeviceTotalMem", self.device)
        return Properties(name, memory, self._attribute("MULTIPROCESSOR_COUNT"), self.capability)

    def launch(self, function, shape: tuple[int, ...], shared_bytes: int, options: int) -> None:
        """Queue a kernel; options is the address of cuLaunchKernel's list of them."""
        status = self._launch(function, *shape, shared_bytes, self.stream, 0, options)[0]
        if int(status) != 0:
            check("cuLaunchKernel", status)


@functools.cache
def _gpu() -> _Gpu:
    return _Gpu()


_here = threading.local()


def current() -> _Gpu:
    """The GPU, ready for calls from this thread. Raises RuntimeError where there is none."""
    try:
        return _here.gpu
    except AttributeError:
        gpu = _gpu()
        call("cuCtxSetCurrent", gpu.context)
        _here.gpu = gpu
        return gpu


# -- which world -----------------------------------------------------------------------------------


@functools.cache
def missing() -> str:
    """What kernels lack to run on a GPU here, and how to get it; empty if nothing."""
    if not numba_cuda_installed():
        return f"numba-cuda is not installed: {INSTALL}."
    try:
        (status,) = bindings().cuInit(0)
        count = bindings().cuDeviceGetCount()[1] if int(status) == 0 else 0
    except ImportError:
        return f"the CUDA bindings are not installed: {INSTALL}."
    except RuntimeError:
        return "no NVIDIA driver was found: this machine has no GPU, or its driver is to be installed."
    if not count:
        return "the NVIDIA driver found no GPU (or CUDA_VISIBLE_DEVICES hides it)."
    return ""


def available() -> bool:
    """Are a GPU and numba-cuda there?"""
    return not missing()


def require() -> None:
    """Raise RuntimeError, which says what is missing, unless kernels can run, on a GPU or simulated."""
    if not simulating() and missing():
        raise RuntimeError(
            f"CUDA: {missing()} To run kernels on the CPU, slowly, use `with driver.simulated():`."
        )


_simulations = 0
_simulations_lock = threading.Lock()


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """Within it, device arrays live in host memory and the simulator runs the kernels.

    It holds for the whole process, so that an array may be used by any thread.
    """
    global _simulations
    with _simulations_lock:
        _simulations += 1
    try:
        yield
    finally:
        with _simulations_lock:
            _simulations -= 1


def simulating() -> bool:
    """Does the simulator run the kernels?"""
    return _simulations > 0


def active() -> bool:
    """Can kernels be launched: on a GPU, or in the simulator?"""
    return simulating() or available()


def synchronize() -> None:
    """Wait until the device has done all that it was given."""
    refuse_in_capture("synchronize")
    if not simulating():
        call("cuStreamSynchronize", current().stream)


def device_properties() -> Properties:
    """What the device is."""
    return SIMULATED if simulating() else current().properties


def device_name() -> str:
    """The device's name, for titles of figures and benchmarks."""
    return device_properties().name


class Event:
    """A moment in the device's work. `end.milliseconds_since(start)` waits for it, and measures."""

    def __init__(self):
        refuse_in_capture("Event")
        if simulating():
            self._moment = time.perf_counter()
            return
        gpu = current()
        self._event = call("cuEventCreate", 0)
        call("cuEventRecord", self._event, gpu.stream)

    def milliseconds_since(self, earlier: "Event") -> float:
        if hasattr(self, "_moment"):
            return 1e3 * (self._moment - earlier._moment)
        call("cuEventSynchronize", self._event)
        return call("cuEventElapsedTime", earlier._event, self._event)

    def __del__(self, at_the_end=sys.is_finalizing):
        if hasattr(self, "_event") and not at_the_end():
            bindings().cuEventDestroy(self._event)
