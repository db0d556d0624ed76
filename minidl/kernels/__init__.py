"""Hot kernels, each in several versions under one name.

`reference/` is clear NumPy and is the specification. `cpu/` holds some of the same functions compiled by
Numba, `cuda/` those for arrays in a GPU's memory. `find` chooses: small arrays take the reference, because
compiled code pays off only from some thousand elements, and because importing Numba costs a quarter of a
second that a small model need not wait for. Without Numba everything works, on the reference. What lies on
the GPU stays there: a kernel that `cuda/` lacks says so.
"""

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable

import numpy as np

from minidl.kernels import reference
from minidl.kernels.memory import keep_freed_memory

keep_freed_memory()


class DeviceArray:
    """The base of arrays that lie in a GPU's memory: what is one takes its kernels from `cuda/`."""

    __slots__ = ()


COMPILED = {
    "adagrad_step": "optim",
    "adam_step": "optim",
    "add_rows": "embedding",
    "attention": "attention",
    "attention_backward": "attention",
    "convolution": "convolution",
    "convolution_backward_bias": "convolution",
    "convolution_backward_input": "convolution",
    "convolution_backward_weight": "convolution",
    "exp": "activation",
    "gelu": "activation",
    "gelu_backward": "activation",
    "gelu_tanh": "activation",
    "gelu_tanh_backward": "activation",
    "gru_sequence": "recurrent",
    "gru_sequence_backward": "recurrent",
    "log_softmax": "softmax",
    "log_softmax_backward": "softmax",
    "lstm_sequence": "recurrent",
    "lstm_sequence_backward": "recurrent",
    "max_pool": "pooling",
    "max_pool_backward": "pooling",
    "relu": "activation",
    "relu_backward": "activation",
    "resample": "pooling",
    "resample_backward": "pooling",
    "rmsprop_step": "optim",
    "rnn_sequence": "recurrent",
    "rnn_sequence_backward": "recurrent",
    "sgd_step": "optim",
    "sigmoid": "activation",
    "sigmoid_backward": "activation",
    "silu": "activation",
    "silu_backward": "activation",
    "softmax": "softmax",
    "softmax_backward": "softmax",
    "softmax_cross_entropy": "loss",
    "standardize": "normalization",
    "standardize_backward": "normalization",
    "take_rows": "embedding",
    "tanh": "activation",
    "tanh_backward": "activation",
}
"""Kernel name -> module of `kernels/cpu` that holds its compiled version."""

WORTH_COMPILING = 4096
"""Elements from which a compiled kernel beats NumPy's few passes and its own call overhead."""


CHOICE = os.environ.get("MINIDL_KERNELS", "cpu")
"""Start Python with MINIDL_KERNELS=reference, and every kernel is the specification."""


def find(name: str, array: np.ndarray | DeviceArray) -> Callable:
    """The version of kernel `name` for this array.

    Raises:
        NotImplementedError: the array lies on a GPU, and there is no such kernel for it.
    """
    if type(array) is not np.ndarray and isinstance(array, DeviceArray):
        return _on_gpu(name)
    if array.size < WORTH_COMPILING or name not in COMPILED or array.dtype.kind != "f":
        return getattr(reference, name)
    return _compiled(name, CHOICE)


@functools.cache
def _compiled(name: str, choice: str) -> Callable:
    if choice == "reference" or importlib.util.find_spec("numba") is None:
        return getattr(reference, name)
    return getattr(importlib.import_module(f"minidl.kernels.cpu.{COMPILED[name]}"), name)


@functools.cache
def _on_gpu(name: str) -> Callable:
    """The family's file is where the reference has it."""
    family = getattr(reference, name).__module__.rpartition(".")[2]
    try:
        return getattr(importlib.import_module(f"minidl.kernels.cuda.{family}"), name)
    except (AttributeError, ModuleNotFoundError):
        raise NotImplementedError(
            f"there is no GPU kernel {name!r}. Fix: compute this step on the CPU, as in f(x.cpu()).to('cuda')"
        ) from None
