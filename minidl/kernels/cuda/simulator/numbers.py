"""Arithmetic as Numba's compiler types it, on numbers and on arrays with one number a lane.

int op int            64 bits, and wraps around
float32 op float32    float32
float32 op int        float64, as in NumPy; so does a literal with a point: x * 0.5 is float64
int / int             float64; // and % round down
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator.errors import KernelError

LOWEST, HIGHEST = -(2**63), 2**63 - 1


def wrapped(x: int, bits: int = 64) -> int:
    """A whole number in so many bits, with sign."""
    half = 1 << (bits - 1)
    return (x + half) % (2 * half) - half


def _dtype(x):
    return x.dtype if isinstance(x, (np.ndarray, np.generic)) else None


def is_int(x) -> bool:
    return x.dtype.kind in "iu" if isinstance(x, (np.ndarray, np.generic)) else type(x) is int


def _is_bool(x) -> bool:
    return x.dtype == np.bool_ if isinstance(x, (np.ndarray, np.generic)) else type(x) is bool


def _as_int(x):
    return x.astype(np.int64) if isinstance(x, np.ndarray) else int(x)


def _balanced(a, b):
    """Both operands such that NumPy finds the type that Numba finds."""
    if _dtype(a) is _dtype(b) is not None and a.dtype != np.bool_:
        return a, b
    if _is_bool(a) and not _float(b):
        a = _as_int(a)
    if _is_bool(b) and not _float(a):
        b = _as_int(b)
    if type(a) is int and _float(b):
        a = np.float64(a)
    elif type(b) is int and _float(a):
        b = np.float64(b)
    return a, b


def _float(x) -> bool:
    return x.dtype.kind == "f" if isinstance(x, (np.ndarray, np.generic)) else type(x) is float


def _plain(operate: Callable) -> Callable:
    def run(machine, mask, a, b):
        if type(a) is type(b) is int:
            out = operate(a, b)
            return out if LOWEST <= out <= HIGHEST else wrapped(out)
        return operate(*_balanced(a, b))

    return run


def _divide(machine, mask, a, b):
    if is_int(a) and is_int(b):
        return np.true_divide(a, b)
    a, b = _balanced(a, b)
    return np.true_divide(a, b)


def _whole_division(operate: Callable) -> Callable:
    def run(machine, mask, a, b):
        a, b = _balanced(a, b)
        if is_int(a) and is_int(b) and (mask.of_lanes(b) == 0).any():
            lane = int(mask.places[np.flatnonzero(mask.of_lanes(b) == 0)[0]])
            machine.fail(KernelError, "a whole number is divided by 0", lane)
        if type(a) is type(b) is int:
            return operate(a, b)
        return operate(a, np.where(b == 0, 1, b) if is_int(a) and is_int(b) else b)

    return run


def _power(machine, mask, a, b):
    if type(a) is type(b) is int:
        return wrapped(a**b) if b >= 0 else float(a) ** b
    return operator.pow(np.float64(a) if type(a) is int else a, b)


def _shift(operate: Callable) -> Callable:
    def run(machine, mask, a, b):
        a, b = _balanced(a, b)
        if type(a) is type(b) is int:
            return wrapped(operate(a, b)) if 0 <= b < 64 else 0
        return operate(a, b)

    return run


def _bits(operate: Callable) -> Callable:
    def run(machine, mask, a, b):
        if type(a) is not type(b) and not (_is_bool(a) and _is_bool(b)):
            a, b = _balanced(a, b)
        return operate(a, b)

    return run


ARITHMETIC = {
    "Add": _plain(operator.add), "Sub": _plain(operator.sub), "Mult": _plain(operator.mul), "Div": _divide,
    "FloorDiv": _whole_division(operator.floordiv), "Mod": _whole_division(operator.mod), "Pow": _power,
    "LShift": _shift(operator.lshift), "RShift": _shift(operator.rshift), "BitAnd": _bits(operator.and_),
    "BitOr": _bits(operator.or_), "BitXor": _bits(operator.xor),
}  # fmt: skip
"""(machine, mask, a, b) -> value, by the name of the node in Python's syntax tree."""

COMPARISONS = {
    "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge, "Eq": operator.eq,
    "NotEq": operator.ne, "Is": operator.is_, "IsNot": operator.is_not,
}  # fmt: skip


def negative(x):
    return -_as_int(x) if _is_bool(x) else -x


def inverted(x):
    return ~_as_int(x) if _is_bool(x) else ~x


def truth(x):
    """As a condition: a bool, or an array of them."""
    if isinstance(x, np.ndarray) and x.ndim:
        return x if x.dtype == np.bool_ else x != 0
    return bool(x)


UNARY = {
    "USub": negative,
    "UAdd": lambda x: +x,
    "Invert": inverted,
    "Not": lambda x: np.logical_not(truth(x)),
}


def converted(dtype: np.dtype) -> Callable:
    """float32(x), int32(x) ...: x as that type; whole numbers are cut, then kept in 64 bits."""
    bits, kind = 8 * dtype.itemsize, dtype.kind

    def whole(x: int):
        if dtype == np.uint64:
            return np.uint64(x % 2**64)
        return x % (1 << bits) if kind == "u" else wrapped(x, bits)

    def convert(machine, mask, x):
        if not isinstance(x, np.ndarray) or not x.ndim:
            return whole(int(x)) if kind in "iu" else dtype.type(x)
        if kind == "b":
            return x != 0
        if kind == "f":
            return x.astype(dtype, copy=False)
        if x.dtype.kind == "f":
            x = x.astype(np.int64 if dtype != np.uint64 else np.uint64)
        x = x.astype(dtype, copy=False)
        return x if dtype == np.uint64 else x.astype(np.int64, copy=False)

    return convert


def dtype_of(kind) -> np.dtype:
    """The dtype that float32 and its kin stand for: ours, Numba's or NumPy's. TypeError for anything else."""
    if hasattr(kind, "dtype") and not isinstance(kind, type):
        return np.dtype(kind.dtype)
    name = getattr(kind, "name", None) or getattr(kind, "__name__", None) or kind
    if not isinstance(name, str):
        raise TypeError(f"{kind!r} is no type of numbers")
    return np.dtype({"boolean": "bool"}.get(name, name))
