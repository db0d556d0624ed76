"""Activations as modules. The formulas are in `nn/functional/activations.py`, and so are their sources."""

from minidl import ops
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.module import Module, Parameter
from minidl.nn.wrapped import Wrapped
from minidl.tensor import Tensor

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid",
    "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus",
    "Softsign", "Tanh",
]  # fmt: skip


class ReLU(Wrapped, function=F.relu):
    """max(x, 0)."""


class ReLU6(Wrapped, function=F.relu6):
    """min(max(x, 0), 6)."""


class LeakyReLU(Wrapped, function=F.leaky_relu):
    """x where positive, negative_slope * x elsewhere."""


class PReLU(Module):
    """x where positive, weight * x elsewhere: slopes that are learned.

    Shape: (N, C, ...), the same out; weight (num_parameters,): one slope for all, or one for each channel.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device=None, dtype=None):
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(ops.full((num_parameters,), float(init), device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Every slope as at the start."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"


class Hardtanh(Wrapped, function=F.hardtanh):
    """x limited to [min_val, max_val]."""


class Hardsigmoid(Wrapped, function=F.hardsigmoid):
    """relu6(x + 3) / 6."""


class Hardswish(Wrapped, function=F.hardswish):
    """x relu6(x + 3) / 6."""


class Tanh(Wrapped, function=F.tanh):
    """tanh(x)."""


class Sigmoid(Wrapped, function=F.sigmoid):
    """1 / (1 + e^-x)."""


class LogSigmoid(Wrapped, function=F.logsigmoid):
    """log(1 / (1 + e^-x))."""


class Softsign(Wrapped, function=F.softsign):
    """x / (1 + |x|)."""


class SiLU(Wrapped, function=F.silu):
    """x sigmoid(x)."""


class Mish(Wrapped, function=F.mish):
    """x tanh(softplus(x))."""


class GELU(Wrapped, function=F.gelu):
    """x Phi(x), Phi the normal distribution function; approximate="tanh": nearly so."""


class ELU(Wrapped, function=F.elu):
    """x where positive, alpha (e^x - 1) elsewhere."""


class CELU(Wrapped, function=F.celu):
    """x where positive, alpha (e^(x / alpha) - 1) elsewhere."""


class SELU(Wrapped, function=F.selu):
    """1.0507 elu(x, 1.6733)."""


class Softplus(Wrapped, function=F.softplus):
    """log(1 + e^(beta x)) / beta; x where beta x exceeds the threshold."""


class GLU(Wrapped, function=F.glu):
    """a sigmoid(b), a and b the halves of x along `dim`."""


class Softmax(Wrapped, function=F.softmax, without=("dtype",)):
    """exp(x) / sum(exp(x)) along `dim`."""


class Softmin(Wrapped, function=F.softmin, without=("dtype",)):
    """exp(-x) / sum(exp(-x)) along `dim`."""


class LogSoftmax(Wrapped, function=F.log_softmax, without=("dtype",)):
    """log(softmax(x)) along `dim`."""
