"""Pooling: each window of a signal or an image becomes one number, its largest value or its mean.

Shapes: (N, C, L) or (N, C, H, W) -> the same with fewer places; the batch axis may be missing.

The table of `kernels/reference/pooling.py` says for every window where it looks; what differs from one
function to the next is only how that table is made.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from minidl import kernels
from minidl.nn.functional.convolution import INTEGERS, check_input, sizes
from minidl.tensor import Tensor, op

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "avg_pool1d",
    "avg_pool2d", "max_pool1d", "max_pool2d",
]  # fmt: skip


@functools.lru_cache(256)
def _window_positions(size, kernel, stride, padding, dilation, ceil_mode):
    """Where the taps of each window stand on an axis: (kernel, out), below 0 and from `size` on padding."""
    span = dilation * (kernel - 1) + 1
    out = (size + 2 * padding - span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:
        out -= 1  # the last window must start in the input or before it
    if out < 1:
        raise ValueError(f"a window spans {span}, the input with its padding {size + 2 * padding}")
    return np.arange(out) * stride - padding + np.arange(kernel)[:, None] * dilation


@functools.lru_cache(256)
def _window_places(size, *window):
    """The kernels' table of windows: positions outside of the axis become `size`, which means nothing."""
    positions = _window_positions(size, *window)
    places = np.where((positions >= 0) & (positions < size), positions, size)
    if (places.min(axis=0) == size).any():
        raise ValueError("a window lies wholly in the padding. Fix: use less padding or dilation")
    return places


def _windows(input, n, kernel_size, stride, padding, dilation, ceil_mode):
    """For each axis of space what `_window_positions` and `_window_places` want to know."""
    kernel = sizes("kernel_size", kernel_size, n, 1)
    stride = kernel if stride is None or stride in ((), []) else sizes("stride", stride, n, 1)
    padding, dilation = sizes("padding", padding, n), sizes("dilation", dilation, n, 1)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding {padding} must be at most half of the kernel {kernel}")
    axes = zip(input.shape[-n:], kernel, stride, padding, dilation, strict=True)
    return [(*axis, bool(ceil_mode)) for axis in axes]


@functools.lru_cache(256)
def adaptive_places(size, out):
    """The table of `out` bins that share an axis of n: floor(i n / out) up to ceil((i + 1) n / out)."""
    ends = -(-np.arange(1, out + 1) * size // out) if out else np.arange(0)
    positions = np.arange(out) * size // max(out, 1)
    positions = positions + np.arange((ends - positions).max(initial=1))[:, None]
    return np.where(positions < ends, positions, size)


def _adaptive_tables(input, output_size, n):
    if isinstance(output_size, (tuple, list)) and n > 1:
        output_size = [s if o is None else o for o, s in zip(output_size, input.shape[-n:], strict=False)]
    out = sizes("output_size", output_size, n, strict=True)
    return [adaptive_places(*axis) for axis in zip(input.shape[-n:], out, strict=True)]


# -- the largest -------------------------------------------------------------------------------------


def _max_tables(input, kernel_size, stride, padding, dilation, ceil_mode, n):
    check_input(input, n, input.shape[-n - 1 :], INTEGERS)
    windows = _windows(input, n, kernel_size, stride, padding, dilation, ceil_mode)
    return [_window_places(*axis) for axis in windows]


def _adaptive_max_tables(input, output_size, n):
    check_input(input, n, input.shape[1:])
    return _adaptive_tables(input, output_size, n)


def _largest(x, tables):
    size = x.shape[-len(tables) :]
    values, index = kernels.find("max_pool", x)(x, tables)
    return values, (lambda g: kernels.find("max_pool_backward", g)(g, index, size),)


@op
def _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, n):
    return _largest(input, _max_tables(input, kernel_size, stride, padding, dilation, ceil_mode, n))


@op
def _adaptive_max_pool(input, output_size, n):
    return _largest(input, _adaptive_max_tables(input, output_size, n))


def _pooled(pool, tables_of, input, settings, return_indices):
    """The values, and if wanted where they stand in the flattened space of input."""
    values = pool(input, *settings)
    if not return_indices:
        return values
    x = input.array
    _, index = kernels.find("max_pool", x)(x, tables_of(x, *settings))
    return values, Tensor(index.astype(np.int64, copy=False))


def max_pool1d(
    input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The largest value of each window of a signal: `max_pool2d` in one direction."""
    if input.dtype.kind != "f" and not return_indices:  # as in PyTorch
        raise TypeError(f"max_pool1d: values must be floating-point, not {input.dtype}. Fix: input.float()")
    settings = (kernel_size, stride, padding, dilation, ceil_mode, 1)
    return _pooled(_max_pool, _max_tables, input, settings, return_indices)


def max_pool2d(
    input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The largest value of each window (Riesenhuber & Poggio 1999). Of equal ones the first has the gradient.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: how many values a window has in each direction.
        stride: the step from window to window; None is kernel_size, so that windows touch but do not overlap.
        padding: places of -infinity on both sides, at most half of kernel_size.
        dilation: the distance between the values of a window.
        ceil_mode: let the last window reach over the end, so that no value is left out.
        return_indices: also return where each maximum stands, counted through H * W.

    Returns:
        (N, C, H', W') with H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1 (ceil
        instead of floor in ceil_mode), or the pair (values, indices).
    """
    settings = (kernel_size, stride, padding, dilation, ceil_mode, 2)
    return _pooled(_max_pool, _max_tables, input, settings, return_indices)


def adaptive_max_pool1d(input: Tensor, output_size, return_indices=False):
    """The largest value of each of `output_size` bins: (N, C, L) -> (N, C, output_size)."""
    return _pooled(_adaptive_max_pool, _adaptive_max_tables, input, (output_size, 1), return_indices)


def adaptive_max_pool2d(input: Tensor, output_size, return_indices=False):
    """The largest value of each bin of `adaptive_avg_pool2d`: (N, C, H, W) -> (N, C, *output_size)."""
    return _pooled(_adaptive_max_pool, _adaptive_max_tables, input, (output_size, 2), return_indices)


# -- the mean ----------------------------------------------------------------------------------------


def window_sizes(tables, ends):
    """How many places before `ends` each window has: an array that broadcasts to the output."""
    return math.prod(np.ix_(*[(places < end).sum(axis=0) for places, end in zip(tables, ends, strict=True)]))


def average(x, tables, count):
    """Sums over windows divided by `count`, one number or an array that broadcasts; integers towards 0."""
    tables, size = [(places, None) for places in tables], x.shape[-len(tables) :]
    total = kernels.find("resample", x)(x, tables)
    if x.dtype.kind != "f":
        return (total - np.fmod(total, count)) // count, None
    count = np.asarray(count, x.dtype, like=x)
    return total / count, (lambda g: kernels.find("resample_backward", g)(g / count, tables, size),)


def _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, n):
    check_input(input, n, input.shape[-n - 1 :], ("int64",))
    size = input.shape[-n:]
    windows = _windows(input, n, kernel_size, stride, padding, 1, ceil_mode)
    tables = [_window_places(*axis) for axis in windows]
    if divisor_override is not None:
        (count,) = sizes("divisor_override", divisor_override, 1, -math.inf)
        if count == 0:
            raise ValueError("divisor_override must not be 0")
    elif count_include_pad:
        ends = [s + p for s, _, _, p, *_ in windows]
        count = window_sizes([_window_positions(*axis) for axis in windows], ends)
    else:
        count = window_sizes(tables, size)
    return average(input, tables, count)


def _adaptive_avg_pool(input, output_size, n):
    check_input(input, n, input.shape[-n:])
    tables = _adaptive_tables(input, output_size, n)
    return average(input, tables, window_sizes(tables, input.shape[-n:]))


@op
def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window of a signal: `avg_pool2d` in one direction."""
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1)


@op
def avg_pool2d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window (LeCun et al. 1989).

    Args:
        input: (N, C, H, W) or (C, H, W); int64 is divided as in C, towards 0.
        kernel_size, stride, padding, ceil_mode: as in `max_pool2d`; the padding is zeros.
        count_include_pad: do zeros of the padding count as values? What ceil_mode adds never does.
        divisor_override: divide the sum by this number instead.

    Returns:
        (N, C, H', W').
    """
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 2)


@op
def adaptive_avg_pool1d(input, output_size):
    """The mean of each of `output_size` bins: (N, C, L) -> (N, C, output_size)."""
    return _adaptive_avg_pool(input, output_size, 1)


@op
def adaptive_avg_pool2d(input, output_size):
    """The mean of each bin, whatever the size of the image: (N, C, H, W) -> (N, C, *output_size).

    Bin i of an axis goes from floor(i H / H') up to ceil((i + 1) H / H'): bins of a size that does not
    divide H overlap by one place. output_size=1 is the mean over space (global pooling, Lin et al. 2014).

    Args:
        output_size: H' and W', or one number for both; None keeps a size.
    """
    return _adaptive_avg_pool(input, output_size, 2)
