"""What the words of kernels mean: `cuda.*`, `math.*`, conversions such as int32(x), Python's own functions.

Each function is (machine, mask, *values) -> value.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator.atomics import ATOMIC_WORDS
from minidl.kernels.cuda.simulator.errors import KernelError
from minidl.kernels.cuda.simulator.instructions import INSTRUCTIONS
from minidl.kernels.cuda.simulator.lanes import Mask
from minidl.kernels.cuda.simulator.machine import WARP, Machine
from minidl.kernels.cuda.simulator.memory import STATIC_SHARED_BYTES, LocalArray, SharedArray
from minidl.kernels.cuda.simulator.numbers import ARITHMETIC, converted, dtype_of, truth
from minidl.kernels.cuda.simulator.warps import WARP_WORDS

AXES = {"x": 0, "y": 1, "z": 2}
INDICES = ("threadIdx", "blockIdx", "blockDim", "gridDim")
CONSTANTS = {"inf": math.inf, "pi": math.pi, "nan": math.nan, "e": math.e}
ARRAY_MAKERS = {"cuda.shared.array": "shared", "cuda.local.array": "local"}
ARITHMETIC_WORDS = {
    *(
        f"math.{name}"
        for name in ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "tanh", "erf")
    ),
    *(f"math.{name}" for name in ("erfc", "sin", "cos", "tan", "sinh", "cosh", "pow")),
}
"""Functions that count as one floating-point operation."""


def attribute(path: str) -> Callable | None:
    """`cuda.threadIdx.x` and its kin: a function of the machine, or None."""
    head, _, last = path.rpartition(".")
    if head.startswith("cuda.") and head[5:] in INDICES and last in AXES:
        return lambda machine: machine.index(head[5:], AXES[last])
    if head in ("math", "np", "numpy") and last in CONSTANTS:
        value = np.float64(CONSTANTS[last])
        return lambda machine: value
    return {
        "cuda.laneid": lambda machine: machine.geometry.in_warp,
        "cuda.warpsize": lambda machine: WARP,
    }.get(path)


# -- arrays --------------------------------------------------------------------------------------------


def make_array(machine: Machine, mask: Mask, kind: str, key: tuple, name: str, shape, dtype, alignment=None):
    """cuda.shared.array and cuda.local.array. key: where that stands; a shared array is made there once."""
    shape = tuple(int(n) for n in (shape if isinstance(shape, tuple) else (shape,)))
    dtype = dtype_of(dtype)
    if kind == "local":
        return LocalArray(name, shape, dtype, mask)
    dynamic = shape == (0,)
    key = "dynamic" if dynamic else key
    if key not in machine.shared:
        if dynamic:
            shape = (machine.dynamic_shared // dtype.itemsize,)
        else:
            _reserve(machine, name, shape, dtype)
        machine.shared[key] = SharedArray(name, machine, shape, dtype)
    array = machine.shared[key]
    if array.dtype != dtype:
        machine.fail(KernelError, f"dynamic shared memory is {array.dtype} elsewhere")
    return array


def _reserve(machine: Machine, name: str, shape: tuple, dtype: np.dtype) -> None:
    machine.shared_bytes += math.prod(shape) * dtype.itemsize
    if machine.shared_bytes > STATIC_SHARED_BYTES:
        machine.fail(
            KernelError,
            f"with {name} the block's shared arrays take {machine.shared_bytes:,} bytes, of "
            f"{STATIC_SHARED_BYTES:,}. Fix: smaller tiles, or size 0 here and bytes at the launch",
        )


# -- indices -------------------------------------------------------------------------------------------


def grid(machine, mask, axes):
    """The number of this thread in the whole grid, along the first axes."""
    index = machine.index
    where = [index("blockIdx", i) * machine.block[i] + index("threadIdx", i) for i in range(axes)]
    return where[0] if axes == 1 else tuple(where)


def gridsize(machine, mask, axes):
    sizes = [machine.block[i] * machine.grid[i] for i in range(axes)]
    return sizes[0] if axes == 1 else tuple(sizes)


# -- functions of numbers ------------------------------------------------------------------------------


def plain(function: Callable) -> Callable:
    return lambda machine, mask, *values: function(*values)


def by_element(function: Callable) -> Callable:
    """A function of math that NumPy lacks."""
    each = np.frompyfunc(function, 1, 1)

    def run(machine, mask, x):
        dtype = x.dtype if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f" else np.float64
        out = np.asarray(each(np.asarray(x, np.float64))).astype(dtype)
        return out if out.ndim else out[()]

    return run


def _lgamma(x: float) -> float:
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)


def fused(machine, mask, a, b, c):
    """a b + c, rounded once."""
    dtype = np.result_type(*(getattr(x, "dtype", np.float64) for x in (a, b, c)))
    out = np.asarray(np.asarray(a, np.float64) * b + c).astype(dtype)
    return out if out.ndim else out[()]


def chosen(machine, mask, condition, a, b):
    return np.where(truth(condition), a, b)


def extreme(of_floats: Callable, of_ints: Callable) -> Callable:
    """min and max: of two floats, the one that is not nan."""

    def run(machine, mask, *values):
        out = values[0]
        for value in values[1:]:
            whole = type(out) is type(value) is int
            out = of_ints(out, value) if whole else of_floats(out, value)
        return out

    return run


def popc(machine, mask, x):
    """How many bits are set, of 32 (or 64, of a large number)."""
    count = np.bitwise_count(np.where(np.less(x, 0), np.bitwise_and(x, 0xFFFFFFFF), x).astype(np.uint64))
    return count.astype(np.int64) if count.ndim else int(count)


def clz(machine, mask, x):
    """How many of 32 bits are 0 before the first that is set."""
    out = 32 - np.frexp(np.asarray(np.bitwise_and(x, 0xFFFFFFFF), np.float64))[1].astype(np.int64)
    return out if out.ndim else int(out)


def ffs(machine, mask, x):
    """The place of the lowest bit that is set, from 1 on; 0 if none is."""
    low = np.bitwise_and(x, np.negative(x))
    out = np.frexp(np.asarray(np.bitwise_and(low, 0xFFFFFFFF), np.float64))[1].astype(np.int64)
    return out if out.ndim else int(out)


def rounded(machine, mask, x, digits=None):
    if digits is None:
        out = np.rint(x)
        return out.astype(np.int64) if isinstance(out, np.ndarray) else int(out)
    return np.round(x, int(digits))


def nothing(machine, mask, *values):
    """A fence: writes are seen at once here."""


SAME_NAME = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh",
    "tanh", "trunc", "floor", "ceil", "isfinite", "isnan", "isinf", "fmod", "copysign", "hypot", "ldexp",
)  # fmt: skip
INVERSES = ("sin", "cos", "tan", "sinh", "cosh", "tanh")

WORDS = {
    "cuda.grid": grid, "cuda.gridsize": gridsize, **WARP_WORDS, **ATOMIC_WORDS,
    "cuda.threadfence": nothing, "cuda.threadfence_block": nothing, "cuda.popc": popc, "cuda.clz": clz,
    "cuda.ffs": ffs, "cuda.fma": fused, "math.fma": fused, "cuda.selp": chosen,
    **{f"math.{name}": plain(getattr(np, name)) for name in SAME_NAME},
    **{f"math.a{name}": plain(getattr(np, f"arc{name}")) for name in INVERSES},
    "math.atan2": plain(np.arctan2), "math.fabs": plain(np.abs), "math.pow": plain(np.power),
    "math.erf": by_element(math.erf), "math.erfc": by_element(math.erfc), "math.lgamma": by_element(_lgamma),
    "abs": plain(abs), "min": extreme(np.fmin, min), "max": extreme(np.fmax, max), "len": plain(len),
    "round": rounded, "pow": ARITHMETIC["Pow"], "int": converted(np.dtype(np.int64)),
    "float": converted(np.dtype(np.float64)), "bool": converted(np.dtype(np.bool_)),
}  # fmt: skip


def named(path: str) -> Callable | None:
    """What a name such as cuda.syncthreads does when it is called, or None."""
    return WORDS.get(path)


def instruction(target) -> Callable | None:
    """What an object that a kernel calls does: an instruction or a conversion; None if it is a function."""
    if getattr(target, "__module__", "").endswith("cuda.instructions"):
        return INSTRUCTIONS[target.__name__]
    if getattr(target, "__module__", "") == "math":
        return named(f"math.{target.__name__}")
    if inspect.isfunction(getattr(target, "function", getattr(target, "py_func", target))):
        return None
    try:
        return converted(dtype_of(target))
    except TypeError:
        return None
