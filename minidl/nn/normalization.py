"""Norms as layers: numbers standardised over some axes, then scaled and shifted by learned weight and bias.

The formulas are in `nn/functional/normalization.py`. Weights start at 1, biases at 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from minidl import ops
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.module import Module, Parameter
from minidl.tensor import ShapeError, Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"]


class _Norm(Module):
    """What all norms share: weight and bias, either of which may be missing."""

    def _add_parameters(self, shape: tuple[int, ...], weight: bool, bias: bool, device, dtype) -> None:
        self.weight = Parameter(ops.ones(shape, device=device, dtype=dtype)) if weight else None
        self.bias = Parameter(ops.zeros(shape, device=device, dtype=dtype)) if weight and bias else None

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0 again."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _BatchNorm(_Norm):
    axes: tuple[int, ...]
    """How many axes the input may have."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._add_parameters((num_features,), affine, bias, device, dtype)
        tracked = track_running_stats
        self.register_buffer(
            "running_mean", ops.zeros(num_features, device=device, dtype=dtype) if tracked else None
        )
        self.register_buffer(
            "running_var", ops.ones(num_features, device=device, dtype=dtype) if tracked else None
        )
        self.register_buffer("num_batches_tracked", ops.tensor(0) if tracked else None)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """As at the start."""
        self.reset_running_stats()
        super().reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.axes:
            raise ShapeError(
                f"{type(self).__name__}(input: {input.shape}): input must have "
                f"{' or '.join(map(str, self.axes))} axes, (N, C, ...)"
            )
        momentum, stats = self.momentum, (self.running_mean, self.running_var)
        if self.training and self.track_running_stats:
            self.num_batches_tracked.array += 1
            momentum = 1 / self.num_batches_tracked.item() if momentum is None else momentum
        elif self.training:
            stats = (None, None)
        own = self.training or self.running_mean is None
        return F.batch_norm(input, *stats, self.weight, self.bias, own, momentum, self.eps)

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Each channel standardised over the batch (`functional.batch_norm`; Ioffe & Szegedy 2015).

    Shape: (N, C) or (N, C, L), the same out. C = num_features.

    In training it uses the batch's own mean and variance and keeps running ones, which it uses in evaluation:
    running = (1 - momentum) running + momentum new; momentum=None: the average over all batches so far. With
    track_running_stats=False evaluation uses the batch as well. affine=False: no weight and bias.
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Each channel standardised over the batch and all places of an image: `BatchNorm1d` for (N, C, H, W)."""

    axes = (4,)


class LayerNorm(_Norm):
    """Each sample standardised over its last axes (`functional.layer_norm`; Ba et al. 2016).

    Shape: (..., *normalized_shape), the same out; weight and bias normalized_shape.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device=None,
        dtype=None,
    ):
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._add_parameters(self.normalized_shape, elementwise_affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


def _as_shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class RMSNorm(_Norm):
    """`LayerNorm` that leaves the mean where it is (`functional.rms_norm`; Zhang & Sennrich 2019).

    Shape: (..., *normalized_shape), the same out; weight normalized_shape. No bias.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device=None,
        dtype=None,
    ):
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._add_parameters(self.normalized_shape, elementwise_affine, False, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Norm):
    """Each sample standardised over all places and the channels of each group (Wu & He 2018).

    Shape: (N, C, ...), the same out. C = num_channels, a multiple of num_groups; weight and bias (C,).
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ):
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} is no multiple of num_groups={num_groups}"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self._add_parameters((num_channels,), affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
