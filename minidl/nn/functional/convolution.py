"""Convolution, its transpose, and the columns of windows that both are made of.

Shapes: N batch, C input and O output channels, L or H, W space. In all of them the batch axis may be missing.
"""

from __future__ import annotations

import math

import numpy as np

from minidl import kernels
from minidl.tensor import op, same_dtype

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "fold", "unfold"]

INTEGERS = ("int8", "int16", "int32", "int64", "uint8")
SPACE = {1: "L", 2: "H, W", 3: "D, H, W"}


def sizes(name: str, value, n: int, least: int = 0, strict: bool = False) -> tuple[int, ...]:
    """A setting as n numbers, one for each axis of space; a single number counts for all of them.

    Args:
        least: the smallest number allowed.
        strict: refuse a tuple of one number where n is more.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values):
        raise TypeError(f"{name}={value!r} must be an int or a tuple of ints")
    if len(values) == 1 and not strict:
        values *= n
    if len(values) != n:
        raise ValueError(f"{name}={value!r} must be one number or {n}, one for each axis of space")
    if min(values) < least:
        raise ValueError(f"{name}={value!r} must be at least {least}")
    return values


def check_input(x, n: int, filled: tuple[int, ...], also: tuple[str, ...] = ()) -> None:
    """x must be (N, C, *size) or (C, *size) with n sizes; the sizes in `filled` must not be 0.

    Args:
        also: dtypes that the op takes beside the floating-point ones.
    """
    if x.dtype.kind != "f" and x.dtype.name not in also:
        raise TypeError(f"values must be floating-point, not {x.dtype}. Fix: input.float()")
    if x.ndim not in (n + 1, n + 2):
        raise ValueError(f"input must be (N, C, {SPACE[n]}) or (C, {SPACE[n]}). Fix: reshape or unsqueeze it")
    if 0 in filled:
        raise ValueError("only the batch may be empty. Fix: check the shape of input")


def _check_channels(input, weight, bias, n, groups, transposed) -> int:
    """Do input, weight and bias fit together? Returns the number of groups."""
    check_input(input, n, input.shape[-n - 1 :], ("int64",) if transposed else INTEGERS)
    same_dtype(*(a for a in (input, weight, bias) if a is not None))
    (groups,) = sizes("groups", groups, 1, 1)
    axes = "(C, O / groups" if transposed else "(O, C / groups"
    if weight.ndim != n + 2 or 0 in weight.shape or len(weight) % groups:
        raise ValueError(f"weight must be {axes}, *kernel), no size 0, the first divisible by groups")
    per_group = weight.shape[1] * groups
    channels, outputs = (len(weight), per_group) if transposed else (per_group, len(weight))
    if input.shape[-n - 1] != channels:
        raise ValueError(
            f"the weight is for {channels} channels, but input has {input.shape[-n - 1]} on axis {-n - 1}. "
            "Fix: check in_channels and groups, or move the channels there (permute)"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"bias must be ({outputs},), one number for each output channel")
    return groups


def _batched(x, n: int):
    return x if x.ndim == n + 2 else x[None]


def _result(input, out, dinput, dweight):
    """What the op returns: the batch axis as input has it, and the vjp."""
    shape, before = out.shape, input.shape
    return out.reshape(shape[len(shape) - len(before) :]), (
        lambda g: dinput(g.reshape(shape)).reshape(before),
        lambda g: dweight(g.reshape(shape)),
        lambda g: kernels.find("convolution_backward_bias", g)(g.reshape(shape)),
    )


def padding_ends(padding, kernel, stride, dilation) -> list[tuple[int, int]]:
    """How many zeros stand before and after each axis. "same" puts the odd one after, as PyTorch does."""
    if not isinstance(padding, str):
        return [(p, p) for p in sizes("padding", padding, len(kernel))]
    if padding not in ("same", "valid"):
        raise ValueError(f'padding={padding!r} must be "same", "valid" or numbers')
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if max(stride) > 1:
        raise ValueError(f'padding="same" works only with stride 1, not {stride}. Fix: give it as numbers')
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return [(r // 2, r - r // 2) for r in reach]


def _conv(n, input, weight, bias, stride, padding, dilation, groups):
    groups = _check_channels(input, weight, bias, n, groups, transposed=False)
    stride, dilation = sizes("stride", stride, n, 1), sizes("dilation", dilation, n, 1)
    x, kernel, size = _batched(input, n), weight.shape[2:], input.shape[-n:]
    ends = padding_ends(padding, kernel, stride, dilation)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padded = [s + a + b for s, (a, b) in zip(size, ends, strict=True)]
    out = tuple((p - span) // s + 1 for p, span, s in zip(padded, spans, stride, strict=True))
    if min(out) < 1:
        raise ValueError(
            f"the kernel spans {spans}, more than the padded input {padded}. Fix: pad, or a smaller kernel"
        )
    window = (stride, [a for a, _ in ends], dilation, groups)
    y = kernels.find("convolution", x)(x, weight, out, *window, bias)
    return _result(
        input, y,
        lambda g: kernels.find("convolution_backward_input", g)(g, weight, size, *window),
        lambda g: kernels.find("convolution_backward_weight", g)(g, x, kernel, *window),
    )  # fmt: skip


def _conv_transpose(n, input, weight, bias, stride, padding, output_padding, groups, dilation):
    groups = _check_channels(input, weight, bias, n, groups, transposed=True)
    stride, dilation = sizes("stride", stride, n, 1), sizes("dilation", dilation, n, 1)
    padding, extra = sizes("padding", padding, n), sizes("output_padding", output_padding, n)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError("output_padding must be smaller than stride or dilation")
    x, kernel, places = _batched(input, n), weight.shape[2:], input.shape[-n:]
    axes = zip(places, stride, padding, kernel, dilation, extra, strict=True)
    size = tuple((i - 1) * s - 2 * p + d * (k - 1) + 1 + e for i, s, p, k, d, e in axes)
    if min(size) < 1:
        raise ValueError(f"an output of size {size} does not exist. Fix: use less padding")
    window = (stride, padding, dilation, groups)
    y = kernels.find("convolution_backward_input", x)(x, weight, size, *window)
    if bias is not None:
        y += bias.reshape(-1, *[1] * n)
    return _result(
        input, y,
        lambda g: kernels.find("convolution", g)(g, weight, places, *window),
        lambda g: kernels.find("convolution_backward_weight", x)(x, g, kernel, *window),
    )  # fmt: skip


@op
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """A kernel moved along a signal.

    y[n, o, i] = bias[o] + sum over c, k of weight[o, c, k] input[n, c, i s + k d - p]

    Args:
        input: (N, C, L) or (C, L).
        weight: (O, C / groups, K).
        bias: (O,) or None.
        stride: s, the step from place to place.
        padding: p, the zeros on both sides; "valid" is none, "same" as many as keep L (only with stride 1).
        dilation: d, the distance between the kernel's entries (Yu & Koltun 2016).
        groups: input and output channels fall into so many groups, each connected only within itself;
            groups=C is a depthwise convolution.

    Returns:
        (N, O, L') with L' = floor((L + 2 p - d (K - 1) - 1) / s) + 1.

    Raises:
        ShapeError: channels or sizes do not fit, or the kernel is larger than the padded input.
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


@op
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """A kernel moved over an image (LeCun et al. 1989); `conv1d` in two directions.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (O, C / groups, KH, KW).
        bias: (O,) or None.
        stride, padding, dilation: a number, or one for each direction; see `conv1d`.

    Returns:
        (N, O, H', W').
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


@op
def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transpose of `conv1d`: each input value stamps the kernel, times itself, onto the output.

    It is what `conv1d` does to gradients on their way back, used forwards to make a signal longer
    (Zeiler et al. 2010).

    Args:
        input: (N, C, L) or (C, L).
        weight: (C, O / groups, K).
        bias: (O,) or None.
        padding: how many values are cut off on both sides of the output.
        output_padding: how many places are added at its end; smaller than stride or dilation. It chooses
            among the several lengths that a `conv1d` with this stride takes to the same L.

    Returns:
        (N, O, L') with L' = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.
    """
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op
def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transpose of `conv2d`: (N, C, H, W) and weight (C, O / groups, KH, KW) -> (N, O, H', W').

    Settings as in `conv_transpose1d`, a number or one for each direction.
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _blocks(size, kernel_size, dilation, padding, stride):
    """What the kernels of fold and unfold need of the windows on an image of this size."""
    kernel = sizes("kernel_size", kernel_size, 2, 1, strict=True)
    dilation, padding = (
        sizes("dilation", dilation, 2, 1, strict=True),
        sizes("padding", padding, 2, strict=True),
    )
    stride = sizes("stride", stride, 2, 1, strict=True)
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    out = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
    if min(out) < 1:
        raise ValueError(f"kernel_size={kernel} with dilation {dilation} does not fit into the padded {size}")
    return kernel, out, (stride, padding, dilation)


@op
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Every window of an image as a column ("im2col"): (N, C, H, W) -> (N, C KH KW, number of windows).

    A convolution is weight.reshape(O, -1) @ unfold(input, ...).
    """
    check_input(input, 2, input.shape[-3:], ("bool",))
    kernel, out, window = _blocks(input.shape[-2:], kernel_size, dilation, padding, stride)
    columns = kernels.find("unfold", input)(_batched(input, 2), kernel, out, *window)
    before, stacked = input.shape, columns.shape
    shape = (*before[:-3], before[-3] * math.prod(kernel), math.prod(out))

    def dinput(g):
        g = g.reshape(stacked)
        return kernels.find("fold", g)(g, before[-2:], *window).reshape(before)

    return columns.reshape(shape), (dinput,)


@op
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns put back as an image, overlapping windows added up: (N, C KH KW, L) -> (N, C, *output_size).

    The adjoint of `unfold`, not its inverse: a pixel that lies in m windows comes back m times.
    """
    check_input(input, 1, input.shape[-2:], ("bool",))
    size = sizes("output_size", output_size, 2, strict=True)
    kernel, out, window = _blocks(size, kernel_size, dilation, padding, stride)
    channels, rest = divmod(input.shape[-2], math.prod(kernel))
    if rest or input.shape[-1] != math.prod(out):
        raise ValueError(
            f"input must be (N, C * {math.prod(kernel)}, {math.prod(out)}): the kernel's entries for each "
            f"channel, and {out[0]} * {out[1]} windows. Fix: give the settings that unfold had"
        )
    columns = input.reshape(-1, channels, *kernel, *out)
    image = kernels.find("fold", input)(columns, size, *window)

    before, stacked = input.shape, image.shape

    def dinput(g):
        g = g.reshape(stacked)
        return kernels.find("unfold", g)(g, kernel, out, *window).reshape(before)

    return image.reshape(*before[:-2], channels, *size), (dinput,)
