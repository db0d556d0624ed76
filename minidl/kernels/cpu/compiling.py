"""`@compiled`: how every kernel of this folder is compiled, and how its machine code is kept.

Numba compiles a function at its first call, in some tenths of a second, and keeps the machine code in a file:
beside the source, or in a folder of the user if that is read-only. Four things are added here.

- Where no folder can be written, the kernel still works: it is compiled anew in each process.
- A disk that is full stops no computation.
- Numba compares the kernel's own file with the one that was compiled, but kernels take pieces from other
  files. So the key of an entry holds a digest of the whole folder: after an upgrade nothing stale is loaded.
- Two processes that compile at the same time never load each other's half-written entries (`Files`).
"""

import contextlib
import functools
import hashlib
from pathlib import Path

import llvmlite.binding as llvm
from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime import rtsys
from numba.extending import register_jitable


def _prefer_wide_vectors() -> None:
    """LLVM uses half of each 512-bit register unless it is told otherwise: a third slower on exp and tanh."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and not config.CPU_FEATURES:
        config.CPU_NAME = llvm.get_host_cpu_name()
        config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"


_prefer_wide_vectors()


OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Without Python's lock, divisions as NumPy's, and no second entry for callers in C."""


@functools.cache
def digest(folder: Path = Path(__file__).parent) -> str:
    """A fingerprint of all sources of the folder."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()


class Files(IndexDataCacheFile):
    """Numba's index and numbered files, where each file also says whose code it holds.

    Numba writes the index before the code. Another process may find a number there whose file still holds
    older code, or code that a third process has written under the same number: that is compiled anew.
    """

    def save(self, key, data):
        super().save(key, (key, data))

    def load(self, key):
        owner, data = super().load(key) or (None, None)
        return data if owner == key else None


class _Cache(FunctionCache):
    """Numba's files, with our key, and silent where they cannot be written."""

    def __init__(self, function, depends_on=lambda signature: ""):
        self._depends_on = depends_on
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = Files(self.cache_path, self._impl.filename_base, stamp)

    def _index_key(self, signature, codegen):
        return (*super()._index_key(signature, codegen), digest(), self._depends_on(signature))

    def load_overload(self, signature, target_context):
        # Numba would load all that it needs to compile: 0.1 s that code from disk need not wait for.
        rtsys.initialize(target_context)
        return self._load_overload(signature, target_context)

    def save_overload(self, signature, data):
        with contextlib.suppress(OSError):
            super().save_overload(signature, data)


def compiled(function=None, **options):
    """Compile a kernel at its first call, and keep it on disk.

    `@compiled`, or with more options of `numba.njit`: `@compiled(fastmath={"contract"})`.
    """
    if function is None:
        return functools.partial(compiled, **options)
    return keep(njit(**OPTIONS, **options)(function), function)


def inner(function=None, **options):
    """Compile a part of kernels that only kernels call: without what a call from Python would need."""
    if function is None:
        return functools.partial(inner, **options)
    return register_jitable(**OPTIONS, no_cpython_wrapper=True, **options)(function)


def keep(kernel, function, *depends_on):
    """Keep a kernel's machine code beside the source of a function.

    depends_on: a function of the argument types that names what else the code depends on.
    """
    with contextlib.suppress(RuntimeError):  # no folder can be written
        kernel._cache = _Cache(function, *depends_on)  # what cache=True does, with our kind of cache
    return kernel


def inline(function):
    """A piece of kernels: put into the code of each kernel that calls it, never called itself."""
    return njit(inline="always", error_model="numpy")(function)


@inline
def bounds(n, parts, part):
    """Where one of so many parts of range(n) starts, and where it ends."""
    return n * part // parts, n * (part + 1) // parts


@inner
def copy(x, to):
    """As `to[:] = x` of tables, without code for an error that cannot come: it takes seconds to compile."""
    for i in range(to.shape[0]):
        for j in range(to.shape[1]):
            to[i, j] = x[i, j]


def is_kept() -> bool:
    """Is there a folder in which compiled kernels of this package are kept?"""
    try:
        _Cache(is_kept)
    except RuntimeError:
        return False
    return True
