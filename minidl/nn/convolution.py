"""Layers that move one small set of weights over a signal or an image."""

import math

from minidl import ops
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.functional.convolution import padding_ends, sizes
from minidl.nn.module import Module, Parameter
from minidl.tensor import Tensor

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What the four layers share: their settings, weight (first, second / groups, *kernel_size), and bias."""

    axes: int
    function = None
    transposed = False

    def _build(self, in_channels, out_channels, kernel_size, stride, dilation, groups, bias, device, dtype):
        (self.groups,) = sizes("groups", groups, 1, 1)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{type(self).__name__}: groups={groups} must divide in_channels={in_channels} and "
                f"out_channels={out_channels}"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = sizes("kernel_size", kernel_size, self.axes, 1, strict=True)
        self.stride = sizes("stride", stride, self.axes, 1)
        self.dilation = sizes("dilation", dilation, self.axes, 1)
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter(
            ops.empty(first, second // groups, *self.kernel_size, device=device, dtype=dtype)
        )
        self.bias = Parameter(ops.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight and bias anew: uniform in +-1/sqrt(fan_in), fan_in = weights of one output, as PyTorch's."""
        fan_in = math.prod(self.weight.shape[1:])
        bound = 1 / math.sqrt(fan_in) if fan_in else 0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self):
        zeros, ones = (0,) * self.axes, (1,) * self.axes
        usual = {"padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1}
        shown = [str(self.in_channels), str(self.out_channels)]
        shown += [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        shown += [f"{name}={getattr(self, name)}" for name in usual if getattr(self, name) != usual[name]]
        shown += ["bias=False"] if self.bias is None else []
        shown += [f"padding_mode={self.padding_mode}"] if self.padding_mode != "zeros" else []
        return ", ".join(shown)


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ):
        self._build(in_channels, out_channels, kernel_size, stride, dilation, groups, bias, device, dtype)
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode={padding_mode!r} must be one of {', '.join(PADDING_MODES)}")
        ends = padding_ends(padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else tuple(before for before, _ in ends)
        self.output_padding, self.padding_mode = (0,) * self.axes, padding_mode

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            ends = padding_ends(padding, self.kernel_size, self.stride, self.dilation)
            widths = [width for pair in reversed(ends) for width in pair]  # F.pad starts with the last axis
            input, padding = ops.pad(input, widths, mode=self.padding_mode), 0
        settings = (self.stride, padding, self.dilation, self.groups)
        return type(self).function(input, self.weight, self.bias, *settings)


class Conv1d(_Conv):
    """A kernel moved along a signal (`functional.conv1d`).

    y[n, o, i] = bias[o] + sum over c, k of weight[o, c, k] x[n, c, i s + k d - p]

    Shape: x (N, C, L) or (C, L) -> (N, O, L'), L' = floor((L + 2 p - d (K - 1) - 1) / s) + 1. weight
    (O, C / groups, K) and bias (O,) start uniform in +-1/sqrt(C / groups * K). Settings as in the function;
    besides:

    Args:
        padding_mode: what stands in the padding: "zeros", or the signal mirrored ("reflect"), its last value
            ("replicate"), the signal from its other end ("circular").
    """

    axes, function = 1, staticmethod(F.conv1d)


class Conv2d(_Conv):
    """A kernel moved over an image (LeCun et al. 1989).

    Shape: x (N, C, H, W) or (C, H, W) -> (N, O, H', W'), H' as L' in `Conv1d`. weight (O, C / groups, KH, KW)
    and bias (O,) start uniform in +-1/sqrt(C / groups * KH * KW). Settings as in `Conv1d`, a number or one
    for each direction.
    """

    axes, function = 2, staticmethod(F.conv2d)


class _ConvTranspose(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        bias: bool = True,
        dilation=1,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ):
        if padding_mode != "zeros":
            raise ValueError(f'{type(self).__name__}: padding_mode={padding_mode!r} must be "zeros"')
        self._build(in_channels, out_channels, kernel_size, stride, dilation, groups, bias, device, dtype)
        self.padding = sizes("padding", padding, self.axes)
        self.output_padding = sizes("output_padding", output_padding, self.axes)
        self.padding_mode = padding_mode

    def forward(self, input: Tensor, output_size=None) -> Tensor:
        extra = self.output_padding if output_size is None else self._output_padding(input, output_size)
        settings = (self.stride, self.padding, extra, self.groups, self.dilation)
        return type(self).function(input, self.weight, self.bias, *settings)

    def _output_padding(self, input, output_size) -> tuple[int, ...]:
        """What must be added to the smallest output to get `output_size`."""
        if len(output_size) not in (self.axes, input.ndim):
            raise ValueError(f"output_size={output_size} must hold {self.axes} or {input.ndim} numbers")
        places, wanted = input.shape[-self.axes :], output_size[-self.axes :]
        axes = zip(places, self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in axes]
        extra = tuple(w - m for w, m in zip(wanted, least, strict=True))
        if not all(0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
            raise ValueError(
                f"output_size={output_size} for input {input.shape}: it must lie between {least} and {most}"
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d`: every value stamps the kernel onto a longer signal (Zeiler et al. 2010).

    Shape: x (N, C, L) or (C, L) -> (N, O, L'), L' = (L - 1) s - 2 p + d (K - 1) + output_padding + 1. weight
    (C, O / groups, K) and bias (O,) start uniform in +-1/sqrt(O / groups * K). Called with `output_size`, it
    chooses output_padding so that L' is that size.
    """

    axes, function = 1, staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """The transpose of `Conv2d`, which makes images larger: as `ConvTranspose1d` in two directions.

    Shape: x (N, C, H, W) or (C, H, W) -> (N, O, H', W'). weight (C, O / groups, KH, KW), bias (O,).
    """

    axes, function = 2, staticmethod(F.conv_transpose2d)
