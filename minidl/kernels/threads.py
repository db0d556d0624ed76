"""One pool of threads for all compiled kernels.

The idea: kernels are compiled without the lock of Python (`nogil`), so plain Python threads run them at the
same time, each on its own part of the batch. Two widgets may train at once, no second pool waits in the way,
and handing over a part costs some ten microseconds, which is why small work stays where it is.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

WORTH_SPLITTING = 1_000_000
"""Floating-point operations from which a second thread gains more than handing over costs."""


def thread_count() -> int:
    """How many threads kernels use: MINIDL_NUM_THREADS, else OMP_NUM_THREADS, else the cores we have."""
    for name in ("MINIDL_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="minidl-kernel")


def split(n: int, work: float, function: Callable[[int, int], None]) -> None:
    """Call function(start, stop) until range(n) is covered, in several threads if the work is worth it.

    Args:
        work: floating-point operations altogether.
        function: a compiled kernel on its part; parts must not write to the same place.
    """
    available = thread_count()
    threads = min(available, n, 1 + int(work / WORTH_SPLITTING))
    if threads <= 1:
        function(0, n)
        return
    bounds = [n * i // threads for i in range(threads + 1)]
    pool, parts = _pool(available), itertools.pairwise(bounds)
    first = next(parts)
    others = [pool.submit(function, *part) for part in parts]
    function(*first)
    for other in others:
        other.result()
