"""From Python to machine code: Numba and NVVM make PTX, nvJitLink makes a cubin, the disk keeps it.

    function --Numba--> LLVM --NVVM--> PTX --nvJitLink--> cubin --> a file       all without a GPU

The first two steps take about a second a kernel and the import of Numba half a second more; loading a cubin
takes a millisecond. Its key holds all that it depends on: the sources of this folder and of the kernel's own
file, the constants that a factory put into the kernel, the types, the options, the GPU and the compiler.
"""

import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import os
import re
import sys
import threading
import types as python
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minidl.kernels.cuda import driver, language

FOLDER = Path(__file__).parent
COMPILERS = ("numba-cuda", "numba", "nvidia-cuda-nvcc-cu12", "nvidia-cuda-nvcc", "nvidia-nvjitlink-cu12")
"""Packages on which machine code depends."""

_lock = threading.RLock()


# -- the steps -------------------------------------------------------------------------------------


def ptx(kernel: driver.Kernel, types: tuple, capability: tuple[int, int]) -> str:
    """The kernel as PTX, the assembler of a machine that stands for all GPUs."""
    numba_cuda = language.numba_cuda()
    with _lock, _targeting(capability):
        text, _ = numba_cuda.compile(
            kernel.function,
            tuple(t.numba for t in types),
            device=False,
            abi="numba",
            cc=capability,
            fastmath=kernel.fastmath,
            launch_bounds=kernel.launch_bounds,
        )
    return text if isinstance(text, str) else text.decode()


def returned(function: language.Device, types: tuple, capability: tuple[int, int]) -> str:
    """Compile device code as a kernel that calls it would, and say which type it gives, by Numba's name."""
    with _lock, _targeting(capability):
        compiled = function.dispatcher.compile_device(tuple(t.numba for t in types))
    return str(compiled.signature.return_type)


@contextlib.contextmanager
def _targeting(capability: tuple[int, int]):
    """Device functions are compiled for "the current device", which there may be none of: say which."""
    dispatcher = importlib.import_module("numba.cuda.dispatcher")
    asked = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: python.SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = asked


def entry_of(text: str) -> str:
    """The kernel's name in its PTX."""
    return re.search(r"\.visible \.entry (\w+)\(", text).group(1)


def cubin(text: str, capability: tuple[int, int], max_registers: int | None = None) -> tuple[bytes, str]:
    """PTX -> (machine code for GPUs of one compute capability, what the assembler says about it)."""
    linking = importlib.import_module("cuda.bindings.nvjitlink")
    options = ["-arch=sm_{}{}".format(*capability), "-O3", "-verbose", "-Xptxas=-v"]
    if max_registers:
        options.append(f"-maxrregcount={max_registers}")
    source = text.encode()
    linker = linking.create(len(options), options)
    try:
        linking.add_data(linker, linking.InputType.PTX, source, len(source), "kernel")
        linking.complete(linker)
        image = bytearray(linking.get_linked_cubin_size(linker))
        linking.get_linked_cubin(linker, image)
        log = bytearray(linking.get_info_log_size(linker))
        linking.get_info_log(linker, log)
    finally:
        linking.destroy(linker)
    return bytes(image), log.decode(errors="replace")


# -- kept on disk ----------------------------------------------------------------------------------


def machine_code(kernel: driver.Kernel, types: tuple, capability: tuple[int, int]) -> tuple[bytes, str]:
    """(cubin, name of its entry) of a kernel, from disk if it was compiled before."""
    key = key_of(kernel, types, capability)
    for folder in folders() if key else ():
        with contextlib.suppress(OSError):
            entry, _, image = (folder / f"{key}.cubin").read_bytes().partition(b"\n")
            return image, entry.decode()
    text = ptx(kernel, types, capability)
    image, _ = cubin(text, capability, kernel.max_registers)
    entry = entry_of(text)
    if key:
        _keep(f"{key}.cubin", entry.encode() + b"\n" + image)
    return image, entry


def folders() -> list[Path]:
    """Where machine code is kept: beside the sources, or in the user's folder if that is read-only."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [FOLDER / "__pycache__", users / "minidl"]


def _keep(name: str, content: bytes) -> None:
    """Write a file in one step, so that nobody reads half of it; a disk that is full stops no computation."""
    for folder in folders():
        part = folder / f"{name}.{os.getpid()}.{threading.get_ident()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        else:
            return


def key_of(kernel: driver.Kernel, types: tuple, capability: tuple[int, int]) -> str | None:
    """A digest of all that the machine code depends on; None if that is unknown, as in a notebook's cell."""
    try:
        parts = [_described(kernel), *(t.name for t in types), str(capability)]
    except (TypeError, OSError):
        return None
    options = (kernel.fastmath, kernel.max_registers, kernel.launch_bounds)
    parts += [repr(options), _compiler_version(), *_digests(FOLDER)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _described(value) -> str:
    """A constant of a kernel, in words that change if the kernel does."""
    if value is None or isinstance(value, (bool, int, float, str, np.generic, np.dtype, language.Scalar)):
        return repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_described, value))})"
    if isinstance(value, type) and issubclass(value, np.generic):
        return value.__name__
    if isinstance(value, (driver.Kernel, language.Device)):
        return f"{_described_function(value.function)} {getattr(value, 'options', '')}"
    if type(value).__module__.startswith("minidl.kernels.cuda."):  # `cuda`, instructions
        return repr(value)
    raise TypeError(f"{value!r} is no constant that a kernel can be known by.")


def _described_function(function: Callable) -> str:
    """Where its source stands, what is in that file, the constants around it, the functions that it calls."""
    code, variables = function.__code__, inspect.getclosurevars(function)
    called = {n: v for n, v in variables.globals.items() if isinstance(v, language.Device)}
    inner = ", ".join(f"{n}={_described(v)}" for n, v in (*variables.nonlocals.items(), *called.items()))
    place = f"{function.__qualname__} {code.co_firstlineno} {code.co_code.hex()} {code.co_names}"
    return f"{place} {_digest(Path(inspect.getfile(function)))} ({inner})"


@functools.cache
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@functools.cache
def _digests(folder: Path) -> tuple[str, ...]:
    return tuple(_digest(file) for file in sorted(folder.glob("*.py")))


@functools.cache
def _compiler_version() -> str:
    """Numba's and NVIDIA's compilers, and Python, whose byte code Numba reads."""
    found = [sys.version]
    for package in COMPILERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(found)
