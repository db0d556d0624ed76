"""Hot kernels, each in several versions under one name.

`reference/` is clear NumPy and is the specification. `cpu/` holds some of the same functions compiled by
Numba. `find` chooses: small arrays take the reference, because compiled code pays off only from some thousand
elements, and because importing Numba costs a quarter of a second that a small model need not wait for.
Without Numba everything works, on the reference.
"""

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable

import numpy as np

from minidl.kernels import reference

COMPILED = {
    "adam_step": "optim",
    "convolution": "convolution",
    "convolution_backward_input": "convolution",
    "convolution_backward_weight": "convolution",
    "sgd_step": "optim",
    "softmax_cross_entropy": "loss",
}
"""Kernel name -> module of `kernels/cpu` that holds its compiled version."""

WORTH_COMPILING = 4096
"""Elements from which a compiled kernel beats NumPy's few passes and its own call overhead."""


def find(name: str, array: np.ndarray) -> Callable:
    """The version of kernel `name` for this array. MINIDL_KERNELS=reference forces the specification."""
    if name not in COMPILED or array.size < WORTH_COMPILING or array.dtype.kind != "f":
        return getattr(reference, name)
    return _compiled(name, os.environ.get("MINIDL_KERNELS", "cpu"))


@functools.cache
def _compiled(name: str, choice: str) -> Callable:
    if choice == "reference" or importlib.util.find_spec("numba") is None:
        return getattr(reference, name)
    return getattr(importlib.import_module(f"minidl.kernels.cpu.{COMPILED[name]}"), name)
