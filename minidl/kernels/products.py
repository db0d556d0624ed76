"""Matrix products, split over the pool of `threads.py`.

NumPy leaves products to a BLAS library with threads of its own, which go on spinning after each product and
take the cores from our kernels. So BLAS is held to one thread, and a large product is cut into bands of its
rows or columns, one for each thread of our pool (`cpu/blas.py`).
"""

from __future__ import annotations

import functools
import importlib.util

import numpy as np

from minidl.kernels.threads import split, thread_count, ways

SMALL = 100_000
"""Floating-point operations from where BLAS might use threads."""


@functools.cache
def _library():
    """NumPy's library for our threads, now held to one thread of its own; None where it is to use several."""
    if thread_count() == 1 or importlib.util.find_spec("numba") is None:
        return None
    try:
        from threadpoolctl import threadpool_limits

        from minidl.kernels.cpu import blas
    except ImportError:
        return None
    if blas.address(np.dtype(np.float32)) is None:
        return None
    threadpool_limits(1, user_api="blas")
    return blas


def _is_turned(x: np.ndarray) -> bool | None:
    """Do rows lie in memory one after the other (no), or columns (yes)? None if neither."""
    rows, columns = x.strides
    if columns == x.itemsize and rows >= columns * x.shape[1]:
        return False
    return True if rows == x.itemsize and columns >= rows * x.shape[0] else None


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`np.matmul(a, b)`: (..., M, K), (..., K, N) -> (..., M, N), broadcast over the leading axes."""
    if a.ndim != 2 or b.ndim != 2 or type(a) is not np.ndarray:
        return np.matmul(a, b)
    work = 2 * a.size * b.shape[1]
    if work < SMALL:
        return a.dot(b)  # the same as np.matmul, in less time for small ones
    if a.dtype != b.dtype or a.shape[1] != len(b) or (library := _library()) is None:
        return np.matmul(a, b)
    turned_a, turned_b, function = _is_turned(a), _is_turned(b), library.address(a.dtype)
    longest = max(len(a), b.shape[1])
    if ways(longest, work) == 1 or None in (turned_a, turned_b, function):
        return np.matmul(a, b)
    out = np.empty((len(a), b.shape[1]), a.dtype)
    operands = a.T if turned_a else a, b.T if turned_b else b
    split(longest, work, library.product, function, *operands, out, turned_a, turned_b, len(a) == longest)
    return out
