"""minidl: the engine of the course, small enough to read in an evening.

Read `scalar.py` first (automatic differentiation of single numbers), then `tensor.py` (the same idea for
arrays), `ops/`, `nn/functional/`, `nn/module.py`, `optim/`, `train.py`. The words are PyTorch's.
"""

import importlib

from numpy import bool_ as bool  # noqa: F401
from numpy import float32, float64, int64  # noqa: F401

from minidl.ops import *  # noqa: F403
from minidl.tensor import ShapeError, Tensor, enable_grad, is_grad_enabled, no_grad, trace  # noqa: F401

_LAZY = ("classic", "data", "kernels", "nn", "optim", "progress", "scalar", "testing", "train", "viz")


def __getattr__(name: str):
    """Parts that are not always needed are imported when they are first named."""
    if name in _LAZY:
        return importlib.import_module(f"minidl.{name}")
    raise AttributeError(f"module 'minidl' has no attribute {name!r}")
