"""The GPU, in PyTorch's words: is there one, what is it, how much of its memory is in use?

Models and tensors go there by `.to("cuda")`; the kernels are in `kernels/cuda`.
"""

from __future__ import annotations

import importlib


def _part(name: str):
    """A file of `kernels/cuda`, which is not imported before it is needed."""
    return importlib.import_module(f"minidl.kernels.cuda.{name}")


def is_available() -> bool:
    """Can tensors be moved to "cuda"? `python -m minidl.kernels.cuda` says what is missing."""
    return _part("driver").active()


def device_count() -> int:
    """1 with a GPU, else 0: minidl uses the first one."""
    return int(is_available())


def get_device_name() -> str:
    """What the GPU is called.

    Raises:
        RuntimeError: there is none, or numba-cuda is not installed.
    """
    _part("driver").require()
    return _part("driver").device_name()


def synchronize() -> None:
    """Wait until the GPU has done all that it was given. Time a piece of work only between two of these."""
    _part("driver").require()
    _part("driver").synchronize()


def memory_allocated() -> int:
    """Bytes of the GPU's memory that arrays hold."""
    return _part("memory").pool().statistics().in_use


def max_memory_allocated() -> int:
    """The most bytes that arrays have held at a time."""
    return _part("memory").pool().statistics().peak


def empty_cache() -> None:
    """Give memory that is kept for the next arrays back to the system."""
    _part("memory").pool().release()
