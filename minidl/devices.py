"""Where arrays live: "cpu", NumPy's arrays, or "cuda", arrays in the memory of a GPU (`kernels/cuda`)."""

from __future__ import annotations

import importlib
import threading

import numpy as np

from minidl.kernels import DeviceArray

Array = (np.ndarray, DeviceArray)
"""What a tensor may hold."""


Place = str | None
"""What `device=` takes."""


class _Default(threading.local):
    """Per thread: where new tensors are made."""

    device: str = "cpu"


_default = _Default()


class device(str):
    """device("cpu") or device("cuda"): a place for tensors, which is also the string that names it.

    `with device("cuda"):` makes new tensors there.

    Raises:
        RuntimeError: no GPU can be used; the message says what is missing.
        ValueError: another name.
    """

    def __new__(cls, name: str = "cpu"):
        kind, _, index = str(name).partition(":")
        if kind not in ("cpu", "cuda") or index not in ("", "0"):
            raise ValueError(f"unknown device {name!r}: there are 'cpu' and 'cuda', the first GPU")
        if kind == "cuda":
            gpu_part("driver").require()
        return super().__new__(cls, kind)

    @property
    def type(self) -> str:
        """The kind of place."""
        return str(self)

    def __repr__(self):
        return f"device(type={str(self)!r})"

    def __enter__(self):
        self._before, _default.device = _default.device, self
        return self

    def __exit__(self, *_):
        _default.device = self._before


def asked(name: str | None) -> str:
    """The device that `device=name` asks for; None is that of the `with` around it, or else "cpu"."""
    return _default.device if name is None else str(device(name))


def device_of(array) -> str:
    """Where an array lies."""
    return "cuda" if isinstance(array, DeviceArray) else "cpu"


def moved(array, place: str):
    """The array itself if it lies there, else a copy."""
    if place == device_of(array):
        return array
    return array.get() if place == "cpu" else maker(place).asarray(array)


def to_host(array) -> np.ndarray:
    """The array as NumPy's, copied if it lies on a GPU."""
    return moved(array, "cpu")


def maker(place: str):
    """What has asarray, empty, zeros, ones and full for arrays of a place: there they are made, not sent."""
    return np if place == "cpu" else gpu_part("array")


def gpu_part(name: str):
    """A file of `kernels/cuda`, which is not imported before it is needed."""
    return importlib.import_module(f"minidl.kernels.cuda.{name}")
