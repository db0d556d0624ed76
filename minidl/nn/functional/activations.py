"""Activations: what happens to each number between two linear maps, and softmax.

Shapes: the same in and out, where nothing else is said. `inplace=True` is refused: results are new tensors.
"""

from __future__ import annotations

import numpy as np

from minidl import kernels, ops
from minidl.ops import abs, sigmoid, tanh, where
from minidl.ops.dtypes import need_float, refuse_bool
from minidl.ops.shapes import axis_of
from minidl.tensor import ShapeError, Tensor, op, same_dtype

__all__ = [
    "celu", "elu", "gelu", "glu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax",
    "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softmin",
    "softplus", "softsign", "tanh",
]  # fmt: skip


def refuse_inplace(inplace: bool) -> None:
    if inplace:
        raise NotImplementedError(
            "inplace=True is not part of minidl: results are new tensors. Fix: leave it out, x = relu(x)"
        )


# -- straight lines --------------------------------------------------------------------------------


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); the gradient at 0 is 0 (Fukushima 1969, Nair & Hinton 2010)."""
    refuse_inplace(inplace)
    return ops.relu(input)


@op
def leaky_relu(input, negative_slope=0.01, inplace=False):
    """x where positive, negative_slope * x elsewhere (Maas et al. 2013)."""
    refuse_inplace(inplace)
    need_float(input, "an activation")
    positive = input > 0
    return np.where(positive, input, input * negative_slope), (
        lambda g: np.where(positive, g, g * negative_slope),
    )


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, weight * x elsewhere: a slope that is learned (He et al. 2015).

    input (N, C, ...), weight () or (1,) for all alike, or (C,) for one slope a channel.
    """
    need_float(input, "an activation")
    same_dtype(input, weight)
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(
            f"prelu(input: {input.shape}, weight: {weight.shape}): weight must hold one slope, or one for "
            f"each of {channels} channels. Fix: put the channels on axis 1"
        )
    slope = weight.reshape(-1, *[1] * (input.ndim - 2)) if weight.numel() > 1 else weight.reshape(())
    positive = input > 0
    return where(positive, input, slope * where(positive, 0, input))


@op(rule="min_val must not be greater than max_val")
def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """x limited to [min_val, max_val]; the gradient is 0 at the limits and beyond."""
    refuse_inplace(inplace)
    refuse_bool(input)
    if min_val > max_val or (min_val < 0 and input.dtype.kind == "u"):
        raise ValueError(f"[{min_val}, {max_val}] for {input.dtype} values")
    low, high = np.asarray([min_val, max_val]).astype(input.dtype)
    return np.clip(input, low, high), (lambda g: np.where((input <= low) | (input >= high), 0, g),)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6) (Krizhevsky 2010)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6: sigmoid by three straight lines."""
    need_float(input, "an activation")
    return relu6(input + 3, inplace) / 6


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x hardsigmoid(x): `silu` without an exponential (Howard et al. 2019)."""
    return input * hardsigmoid(input, inplace)


# -- exponentials ----------------------------------------------------------------------------------


@op
def _exponential_unit(x, alpha, scale=1.0, rate=1.0):
    """scale x where positive, scale alpha (e^(rate x) - 1) elsewhere."""
    need_float(x, "an activation")
    curve = alpha * np.expm1(rate * np.minimum(x, 0))
    return scale * np.where(x <= 0, curve, x), (
        lambda g: g * scale * np.where(x <= 0, rate * (curve + alpha), 1),
    )


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha (e^x - 1) elsewhere (Clevert et al. 2016)."""
    refuse_inplace(inplace)
    return _exponential_unit(input, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha (e^(x / alpha) - 1) elsewhere: an `elu` of slope 1 at 0 (Barron 2017)."""
    refuse_inplace(inplace)
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0. Fix: relu is what alpha near 0 tends to")
    return _exponential_unit(input, alpha, rate=1 / alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 elu(x, 1.6733): layers of it keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    refuse_inplace(inplace)
    return _exponential_unit(input, alpha=1.6732632423543772, scale=1.0507009873554805)


def _log1p_exp(x):
    """log(1 + e^x), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@op
def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + e^(beta x)) / beta: a smooth ReLU; x itself where beta x exceeds the threshold."""
    need_float(input, "an activation")
    scaled = input * beta
    linear = scaled > threshold
    return np.where(linear, input, _log1p_exp(scaled) / beta), (
        lambda g: np.where(linear, g, g / (1 + np.exp(-scaled))),
    )


@op
def logsigmoid(input):
    """log(1 / (1 + e^-x)), without overflow."""
    need_float(input, "an activation")
    return -_log1p_exp(-input), (lambda g: g / (1 + np.exp(input)),)


@op
def silu(input, inplace=False):
    """x sigmoid(x), also called swish (Elfwing et al. 2018)."""
    refuse_inplace(inplace)
    need_float(input, "an activation")
    return kernels.find("silu", input)(input), (lambda g: kernels.find("silu_backward", input)(g, input),)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus(x)) (Misra 2020)."""
    refuse_inplace(inplace)
    return input * tanh(softplus(input))


@op
def gelu(input, approximate="none"):
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016).

    approximate="tanh": Phi(x) ~ (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, as in GPT-2.
    """
    need_float(input, "an activation")
    if approximate not in ("none", "tanh"):
        raise ValueError(f'approximate must be "none" or "tanh", not {approximate!r}')
    name = "gelu" if approximate == "none" else "gelu_tanh"
    return kernels.find(name, input)(input), (lambda g: kernels.find(f"{name}_backward", input)(g, input),)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (1 + abs(input))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), a and b the halves of x along `dim`, which it cuts in two (Dauphin et al. 2017)."""
    need_float(input, "a gated linear unit")
    if not input.ndim or input.shape[axis_of(dim, input.ndim)] % 2:
        raise ShapeError(f"glu(input: {input.shape}, dim={dim}): only an axis of even size has two halves")
    a, b = input.unflatten(dim, (2, -1)).unbind(axis_of(dim, input.ndim))
    return a * sigmoid(b)


# -- softmax ---------------------------------------------------------------------------------------


def _axis_of_classes(dim: int | None, ndim: int) -> int:
    """PyTorch's old choice where no dim is given."""
    return (0 if ndim in (0, 1, 3) else 1) if dim is None else dim


def softmax(input: Tensor, dim: int | None = None, *, dtype=None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`: positive numbers that add up to 1.

    Give `dim`. Without it PyTorch takes 0 for tensors of 0, 1 or 3 axes and else 1, and warns.
    """
    return ops.softmax(input, _axis_of_classes(dim, input.ndim), dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype=None) -> Tensor:
    """log(softmax(x)) along `dim`, without overflow."""
    return ops.log_softmax(input, _axis_of_classes(dim, input.ndim), dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, *, dtype=None) -> Tensor:
    """softmax(-x): the smallest gets the largest share."""
    return softmax(-input, dim, dtype=dtype)
