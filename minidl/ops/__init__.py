"""Operations on tensors.

Each op is one function on NumPy arrays that returns its output and its vjp (see `tensor.op`). `g` is
dL/d(output). Names, argument order, defaults and meaning are PyTorch's. One file a family; in
`binding.py`, and only there, the operators and methods of `Tensor` are bound to these functions.
"""

from minidl.ops import arithmetic, binding, creation, indexing, products, reductions, shapes
from minidl.ops.arithmetic import *  # noqa: F403
from minidl.ops.creation import *  # noqa: F403
from minidl.ops.indexing import *  # noqa: F403
from minidl.ops.products import *  # noqa: F403
from minidl.ops.reductions import *  # noqa: F403
from minidl.ops.shapes import *  # noqa: F403

__all__ = [
    *arithmetic.__all__,
    *creation.__all__,
    *indexing.__all__,
    *products.__all__,
    *reductions.__all__,
    *shapes.__all__,
]

binding.bind()
