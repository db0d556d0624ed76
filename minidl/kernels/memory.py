"""Large arrays from memory that is kept.

The C library gives blocks of more than 128 KiB back to the system when an array dies, and the system clears
every page anew for the next one: a training step, which makes the same arrays again and again, loses up to a
third of its time to that. With higher thresholds the process keeps what it has used. This is for glibc
(Linux); elsewhere nothing is changed.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names and numbers of malloc.h
KEPT = 256 << 20
"""Bytes of free memory that may be kept."""
LARGEST = 32 << 20
"""Bytes of a block from which it goes back to the system: the highest value that glibc takes."""


def keep_freed_memory() -> None:
    """Raise glibc's thresholds for this process."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
