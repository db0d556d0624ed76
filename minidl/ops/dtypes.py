"""Which dtype a result has: PyTorch's rules of promotion."""

import numpy as np


def scalar_dtype(x):
    """The dtype of a Python number: bool, int64, or the default float32."""
    return np.bool_ if isinstance(x, bool) else np.int64 if isinstance(x, int) else np.float32


_NUMBERS = (float, int, bool)  # Python's own: NumPy's scalars carry a width


def _is_float_array(x) -> bool:
    return type(x) is np.ndarray and x.dtype.kind == "f"


def promote(a, b):
    """Two operands in a common dtype: bool < int < float, and among floats the wider array's.

    As in PyTorch, numbers and 0-d tensors only raise the kind, never the width: float32 * 2.0 and
    float32 * float64 0-d are float32; int64 * 0.5 is float32.
    """
    if type(a) is np.ndarray and type(b) is np.ndarray:
        if a.dtype == b.dtype:
            return a, b
    elif (_is_float_array(a) and type(b) in _NUMBERS) or (_is_float_array(b) and type(a) in _NUMBERS):
        return a, b
    a, b = (x if isinstance(x, np.ndarray) else np.asarray(x, number_dtype(x)) for x in (a, b))
    dtype = common_dtype(a, b)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def number_dtype(x):
    return x.dtype if isinstance(x, np.generic) else scalar_dtype(x) if isinstance(x, (int, float)) else None


def common_dtype(a, b):
    rank = {"b": 0, "u": 1, "i": 1, "f": 2}
    ra, rb = rank[a.dtype.kind], rank[b.dtype.kind]
    if ra != rb:
        if (a.ndim and b.ndim) or (ra > rb) == (a.ndim > 0):
            return a.dtype if ra > rb else b.dtype
        return np.dtype(np.float32) if 2 in (ra, rb) else (a if ra > rb else b).dtype
    if (a.ndim > 0) != (b.ndim > 0):
        return a.dtype if a.ndim else b.dtype
    return np.result_type(a, b)


def as_float(x):
    """Integers and booleans enter real functions as float32."""
    return x if x.dtype.kind == "f" else x.astype(np.float32)
