"""The layer that multiplies by a matrix, and the layers that only reshape."""

import math

from minidl import ops
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.module import Module, Parameter


class Linear(Module):
    """y = x W^T + b.

    Shape: x (..., in_features) -> (..., out_features); weight (out_features, in_features), bias
    (out_features,). Both start uniform in +-1/sqrt(in_features), as PyTorch's.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype=None):
        self.in_features, self.out_features = in_features, out_features
        dtype = dtype or "float32"
        bound = 1 / math.sqrt(in_features) if in_features else 0
        self.weight = Parameter(ops.zeros(out_features, in_features, dtype=dtype))
        self.bias = Parameter(ops.zeros(out_features, dtype=dtype)) if bias else None
        init.uniform_(self.weight, -bound, bound)
        if bias:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self):
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"


class Identity(Module):
    """Gives back what it gets."""

    def forward(self, x):
        return x


class Flatten(Module):
    """The axes start_dim ... end_dim as one: (N, C, H, W) -> (N, C*H*W) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x):
        return ops.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self):
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
