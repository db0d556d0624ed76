"""minidl: the engine of the course, small enough to read in an evening.

Read `scalar.py` first (automatic differentiation of single numbers), then `tensor.py` (the same idea for
arrays), `ops/`, `nn/functional/`, `nn/module.py`, `optim/`, `train.py`. The words are PyTorch's.
"""

import importlib

from numpy import bool_ as bool  # noqa: F401
from numpy import float32, float64, inf, int8, int16, int32, int64, nan, pi, uint8  # noqa: F401
from numpy import float32 as float  # noqa: F401
from numpy import float64 as double  # noqa: F401
from numpy import int16 as short  # noqa: F401
from numpy import int32 as int  # noqa: F401
from numpy import int64 as long  # noqa: F401

from minidl.devices import device  # noqa: F401
from minidl.ops import *  # noqa: F403
from minidl.serialization import load, save  # noqa: F401
from minidl.tensor import ShapeError, Tensor, enable_grad, is_grad_enabled, no_grad, trace  # noqa: F401

_LAZY = (
    "autograd", "classic", "cuda", "data", "instruments", "kernels", "nn", "optim", "progress", "scalar",
    "testing", "train", "viz",
)  # fmt: skip


def __getattr__(name: str):
    """Parts that are not always needed are imported when they are first named."""
    if name in _LAZY:
        return importlib.import_module(f"minidl.{name}")
    raise AttributeError(f"module 'minidl' has no attribute {name!r}")
