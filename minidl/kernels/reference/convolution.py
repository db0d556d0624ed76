"""Convolution and its gradients, in any number of spatial dimensions.

The idea: `unfold` writes what each place of the output sees as a column; then a convolution is one matrix
product, weights times columns (Chellapilla et al. 2006). Its gradients are the same two steps backwards: the
product with the transpose, then `fold`, which adds each entry of a column back to the place it came from.

Sizes, kernels, strides, paddings and dilations are tuples, one number for each spatial axis. `padding` is the
number of zeros before the first element; as many as are needed follow after the last.
"""

import math

import numpy as np

__all__ = [
    "convolution", "convolution_backward_bias", "convolution_backward_input", "convolution_backward_weight",
    "fold", "unfold",
]  # fmt: skip


def _frame(size, kernel, out, stride, padding, dilation):
    """The shape of the padded space, and the slices of it where the array of this size lies."""
    spans = [(o - 1) * s + (k - 1) * d + 1 for k, o, s, d in zip(kernel, out, stride, dilation, strict=True)]
    shape = [max(p + n, span) for n, p, span in zip(size, padding, spans, strict=True)]
    return shape, (..., *[slice(p, p + n) for n, p in zip(size, padding, strict=True)])


def _taps(kernel, out, stride, dilation):
    """For each place in the kernel: what it sees of the padded space while the kernel moves over it."""
    for tap in np.ndindex(*kernel):
        starts = [t * d for t, d in zip(tap, dilation, strict=True)]
        ends = [a + (o - 1) * s + 1 for a, o, s in zip(starts, out, stride, strict=True)]
        yield tap, (..., *[slice(*window) for window in zip(starts, ends, stride, strict=True)])


def unfold(x, kernel, out, stride, padding, dilation):
    """Columns of windows: columns[n, c, k, i] = x[n, c, i * stride + k * dilation - padding], or 0 outside.

    Args:
        x: (N, C, *size).

    Returns:
        (N, C, *kernel, *out).
    """
    shape, inside = _frame(x.shape[2:], kernel, out, stride, padding, dilation)
    padded = np.zeros((*x.shape[:2], *shape), x.dtype)
    padded[inside] = x
    columns = np.empty((*x.shape[:2], *kernel, *out), x.dtype)
    for tap, seen in _taps(kernel, out, stride, dilation):
        columns[:, :, *tap] = padded[seen]
    return columns


def fold(columns, size, stride, padding, dilation):
    """The adjoint of `unfold`: every entry of a column is added to the place that it came from.

    Args:
        columns: (N, C, *kernel, *out).

    Returns:
        (N, C, *size).
    """
    kernel, out = columns.shape[2 : 2 + len(size)], columns.shape[2 + len(size) :]
    shape, inside = _frame(size, kernel, out, stride, padding, dilation)
    padded = np.zeros((*columns.shape[:2], *shape), columns.dtype)
    for tap, seen in _taps(kernel, out, stride, dilation):
        padded[seen] += columns[:, :, *tap]
    return padded[inside]


def convolution(x, weight, out, stride, padding, dilation, groups, bias=None):
    """y[n, o, i] = bias[o] + sum over c, k of weight[o, c, k] x[n, c, i * stride + k * dilation - padding].

    With groups, the o-th output sees only the channels c of its own group.

    Args:
        x: (N, C, *size).
        weight: (O, C / groups, *kernel).
        out: the number of places along each axis.
        bias: (O,) or None.

    Returns:
        (N, O, *out).
    """
    columns = unfold(x, weight.shape[2:], out, stride, padding, dilation)
    columns = columns.reshape(len(x), groups, math.prod(weight.shape[1:]), math.prod(out))
    y = np.matmul(_by_group(weight, groups), columns).reshape(len(x), len(weight), *out)
    if bias is not None:
        y += bias.reshape(-1, *[1] * len(out))
    return y


def convolution_backward_input(g, weight, size, stride, padding, dilation, groups):
    """dL/dx of `convolution` for x (N, C, *size), from g (N, O, *out): transposed product, then `fold`.

    Read forwards it is the transposed convolution of g.
    """
    per_group = g.reshape(len(g), groups, len(weight) // groups, math.prod(g.shape[2:]))
    columns = np.matmul(_by_group(weight, groups).swapaxes(1, 2), per_group)
    channels = groups * weight.shape[1]
    return fold(
        columns.reshape(len(g), channels, *weight.shape[2:], *g.shape[2:]), size, stride, padding, dilation
    )


def convolution_backward_weight(g, x, kernel, stride, padding, dilation, groups):
    """dL/dweight (O, C / groups, *kernel) of `convolution`, from g (N, O, *out): g times the columns."""
    shape = (g.shape[1], x.shape[1] // groups, *kernel)
    places = math.prod(g.shape[2:])
    columns = unfold(x, kernel, g.shape[2:], stride, padding, dilation)
    columns = columns.reshape(len(x), groups, math.prod(shape[1:]), places)
    per_group = g.reshape(len(g), groups, g.shape[1] // groups, places)
    return np.matmul(per_group, columns.swapaxes(2, 3)).sum(0).reshape(shape)


def convolution_backward_bias(g):
    """dL/dbias (O,) of `convolution`, from g (N, O, *out): the sum over images and places."""
    return g.sum(axis=(0, *range(2, g.ndim)))


def _by_group(weight, groups):
    """(O, C / groups, *kernel) -> (groups, O / groups, C / groups * K)."""
    return weight.reshape(groups, len(weight) // groups, math.prod(weight.shape[1:]))
