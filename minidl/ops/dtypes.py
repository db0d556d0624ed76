"""Which dtypes there are, and which one a result has: PyTorch's rules of promotion."""

from __future__ import annotations

import numpy as np

from minidl.devices import Array

KINDS = (("bool",), ("uint8", "int8", "int16", "int32", "int64"), ("float32", "float64"))
RANK = {np.dtype(name): rank for rank, names in enumerate(KINDS) for name in names}
"""Every dtype of minidl: 0 for booleans, 1 for whole numbers, 2 for floating-point ones."""


def as_dtype(dtype, default=np.float32) -> np.dtype:
    """`dtype` as NumPy writes it; the default for None. Python's float, int, bool are the widest of a kind.

    Raises:
        TypeError: not a dtype. A string is none, as in PyTorch.
        NotImplementedError: half precision, complex numbers and others that minidl has not.
    """
    if dtype is None:
        return np.dtype(default)
    if not isinstance(dtype, (np.dtype, type)):
        raise TypeError(f"dtype {dtype!r} is not a dtype. Fix: write it as in minidl.float32")
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc":
        raise TypeError(f"dtype {dtype}: a tensor holds numbers and booleans only")
    if dtype not in RANK:
        raise NotImplementedError(
            f"dtype {dtype} is not part of minidl. Fix: use one of {', '.join(map(str, RANK))}"
        )
    return dtype


def float_dtype(dtype, name: str) -> np.dtype:
    """`as_dtype` for what only floating-point numbers can hold."""
    if as_dtype(dtype).kind != "f":
        raise TypeError(f"{name} needs a floating-point dtype, not {np.dtype(dtype)}. Fix: minidl.float32")
    return as_dtype(dtype)


PYTHON_DTYPES = {bool: np.dtype(np.bool_), int: np.dtype(np.int64), float: np.dtype(np.float32)}
"""What Python's own numbers become."""


def scalar_dtype(x) -> np.dtype:
    """The dtype of a number, Python's or NumPy's: bool, int64, or the default float32."""
    x = x.item() if isinstance(x, np.generic) else x
    return next(dtype for kind, dtype in PYTHON_DTYPES.items() if isinstance(x, kind))


def as_float(x: np.ndarray) -> np.ndarray:
    """Integers and booleans enter real functions as float32."""
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def need_float(x: np.ndarray, why: str) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{why} needs floating-point values, not {x.dtype}. Fix: x.float()")


def is_real(x) -> bool:
    """Is it a floating-point array or number?"""
    return x.dtype.kind == "f" if hasattr(x, "dtype") else isinstance(x, float)


def refuse_bool(*operands, fix: str = "x.long()") -> None:
    for x in operands:
        if isinstance(x, bool) or (isinstance(x, (*Array, np.generic)) and x.dtype.kind == "b"):
            raise TypeError(f"booleans are not numbers here. Fix: {fix}")


def narrow(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`values` in `dtype`; refused if one is too large for it. uint8 takes -1 as 255, as in PyTorch."""
    if dtype.kind in "iu":
        top = np.iinfo(dtype).max
        low = -top if dtype.kind == "u" else np.iinfo(dtype).min
        if not np.all((values >= low) & (values <= top)):
            raise RuntimeError(f"values beyond [{low}, {top}] for dtype {dtype}. Fix: choose a wider dtype")
    return values.astype(dtype)


# -- promotion ---------------------------------------------------------------------------------------


def _is_float_array(x) -> bool:
    return isinstance(x, Array) and x.dtype.kind == "f"


def promote(a, b):
    """Two operands in their common dtype; a Python number beside a floating-point array stays as it is."""
    if type(a) is type(b) and isinstance(a, Array):
        if a.dtype == b.dtype:
            return a, b
    elif (_is_float_array(a) and type(b) in PYTHON_DTYPES) or (
        _is_float_array(b) and type(a) in PYTHON_DTYPES
    ):
        return a, b
    return promote_all(a, b)


def promote_all(*operands) -> list[np.ndarray]:
    """All operands as arrays of their common dtype. Numbers that it cannot hold wrap around."""
    dtype = result_dtype(*operands)
    arrays = [x if isinstance(x, Array) else np.asarray(x, type(x)) for x in operands]
    return [x.astype(dtype, copy=False) for x in arrays]


def result_dtype(*operands) -> np.dtype:
    """bool < int < float decides first; in the winning kind, arrays count before 0-d arrays before numbers.

    So float32 * 2.0 and float32 * (0-d float64) are float32, int64 * 0.5 is float32, and
    int64 * (0-d float64) is float64.
    """
    best, result = -1, None
    for x in operands:
        if isinstance(x, Array):
            dtype, level = as_dtype(x.dtype), 2 if x.ndim else 1
        elif isinstance(x, (np.generic, *PYTHON_DTYPES)):
            dtype, level = scalar_dtype(x), 0
        else:
            raise TypeError(f"an operand is a {type(x).__name__}. Fix: give tensors or numbers")
        rank = 3 * RANK[dtype] + level
        if rank >= best:
            result = dtype if rank > best else np.promote_types(result, dtype)
            best = rank
    return result
