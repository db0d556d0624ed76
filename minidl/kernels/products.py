"""Matrix products, split over the pool of `threads.py`.

NumPy leaves products to a BLAS library with threads of its own, which go on spinning after each product and
take the cores from our kernels. So BLAS is held to one thread, and a large product is cut into bands of its
rows or columns, one for each thread of our pool. NumPy releases the lock of Python during a product, so the
bands are computed at the same time.
"""

from __future__ import annotations

import functools
import importlib.util

import numpy as np

from minidl.kernels.threads import WORTH_SPLITTING, split, thread_count

SMALL = 100_000
"""Floating-point operations from where BLAS might use threads."""


@functools.cache
def _holds_blas() -> bool:
    """Hold BLAS to one thread, once. Is there a reason to cut products?"""
    if thread_count() == 1 or importlib.util.find_spec("numba") is None:
        return False
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return False
    threadpool_limits(1, user_api="blas")
    return True


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`np.matmul(a, b)`: (..., M, K), (..., K, N) -> (..., M, N), broadcast over the leading axes."""
    if a.ndim != 2 or b.ndim != 2 or type(a) is not np.ndarray:
        return np.matmul(a, b)
    work = 2 * a.size * b.shape[1]
    if work < SMALL:
        return a.dot(b)  # the same as np.matmul, in less time for small ones
    if not _holds_blas() or work < WORTH_SPLITTING or a.dtype != b.dtype:
        return np.matmul(a, b)
    out = np.empty((len(a), b.shape[1]), a.dtype)
    if len(a) >= b.shape[1]:
        split(len(a), work, lambda start, stop: np.matmul(a[start:stop], b, out=out[start:stop]))
    else:
        split(b.shape[1], work, lambda start, stop: np.matmul(a, b[:, start:stop], out=out[:, start:stop]))
    return out
