"""The GPU, in PyTorch's words: is there one, what is it, how much of its memory is in use?

Models and tensors go there by `.to("cuda")`; the kernels are in `kernels/cuda`.
"""

from __future__ import annotations

from minidl.devices import gpu_part


def is_available() -> bool:
    """Can tensors be moved to "cuda"? `python -m minidl.kernels.cuda` says what is missing."""
    return gpu_part("driver").active()


def device_count() -> int:
    """1 with a GPU, else 0: minidl uses the first one."""
    return int(is_available())


def get_device_name() -> str:
    """What the GPU is called.

    Raises:
        RuntimeError: there is none, or numba-cuda is not installed.
    """
    gpu_part("driver").require()
    return gpu_part("driver").device_name()


def synchronize() -> None:
    """Wait until the GPU has done all that it was given. Time a piece of work only between two of these."""
    gpu_part("driver").require()
    gpu_part("driver").synchronize()


def memory_allocated() -> int:
    """Bytes of the GPU's memory that arrays hold."""
    return gpu_part("memory").pool().statistics().in_use


def max_memory_allocated() -> int:
    """The most bytes that arrays have held at a time."""
    return gpu_part("memory").pool().statistics().peak


def empty_cache() -> None:
    """Give memory that is kept for the next arrays back to the system."""
    gpu_part("memory").pool().release()
