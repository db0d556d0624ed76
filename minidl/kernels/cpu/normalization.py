"""Norms, compiled. What a norm needs to know of many numbers are two sums; then each number is moved once.

Two pictures, by what mean and variance are taken over:

    rows (layer, RMS and group norm)         runs (batch norm)
    numbers that lie side by side            a channel of a sample is a run, with one weight and one bias

    for row          split over threads      for run          split over threads
        its sums                                 its sums
        each number moved                    sums of the runs of each channel
                                             for run          split over threads
                                                 each number moved

A row is read from memory once and then from the cache. Weight and bias are rows too; in group norm there are
as many of them as groups, which take turns. A run is moved forward by out = (x - mean) a + b, backward by
dx = g a + (x - mean) b + c. Sums are added up in float32 over a block, and in float64 over blocks: vectors
without loss of digits. Only x is kept for the backward, which centres and scales it again.
"""

import math

import numpy as np

from minidl.kernels import reference
from minidl.kernels.cpu.activation import in_order
from minidl.kernels.cpu.compiling import bounds, compiled, inline, inner
from minidl.kernels.threads import split, ways

BLOCK = 1024
"""Numbers, or rows, that are added up in float32."""
SHORT = 8
"""Numbers in a run from which it is worth a loop of its own."""
WORK = 50
"""Work a number, as `split` counts it."""

f32, FLOAT32 = np.float32, np.dtype(np.float32)
REORDERED = {"reassoc", "contract"}


# -- sums: in float32 over a block, in float64 over blocks -----------------------------------------


@inline
def _sum(row):
    total = 0.0
    for start in range(0, len(row), BLOCK):
        part, block = f32(0), row[start : start + BLOCK]
        for j in range(len(block)):
            part += block[j]
        total += part
    return total


@inline
def _squares(row, mean):
    """The sum of (row - mean)^2."""
    total = 0.0
    for start in range(0, len(row), BLOCK):
        part, block = f32(0), row[start : start + BLOCK]
        for j in range(len(block)):
            part += (block[j] - mean) * (block[j] - mean)
        total += part
    return total


@inline
def _products(g, row, mean):
    """The sum of g (row - mean)."""
    total = 0.0
    for start in range(0, len(row), BLOCK):
        part, of_g, block = f32(0), g[start : start + BLOCK], row[start : start + BLOCK]
        for j in range(len(block)):
            part += of_g[j] * (block[j] - mean)
        total += part
    return total


# -- rows ------------------------------------------------------------------------------------------


@compiled(fastmath=REORDERED)
def _rows(weights, biases, eps, centred, x, out, means, variances, first, last):
    """weights, biases (G, D): row i, counted from `first`, takes number i modulo G."""
    x, out, means, variances = x[first:last], out[first:last], means[first:last], variances[first:last]
    share, kind = 1.0 / x.shape[1], first % len(weights)
    for i in range(len(x)):
        row, to, weight, bias = x[i], out[i], weights[kind], biases[kind]
        mean = means[i] = f32(_sum(row) * share) if centred else f32(0)
        variance = variances[i] = f32(_squares(row, mean) * share)
        scale = f32(1) / np.sqrt(variance + eps)
        for j in range(len(row)):
            to[j] = (row[j] - mean) * scale * weight[j] + bias[j]
        kind = kind + 1 if kind + 1 < len(weights) else 0


@inner(fastmath=REORDERED)
def _move_rows_backward(weights, centred, first, dx, g, x, means, scales):
    share, kind = 1.0 / x.shape[1], first % len(weights)
    for i in range(len(x)):
        gi, row, to, weight, mean, scale = g[i], x[i], dx[i], weights[kind], means[i], scales[i]
        for j in range(len(gi)):
            to[j] = gi[j] * weight[j]
        m = f32(_sum(to) * share) if centred else f32(0)
        k = f32(_products(to, row, mean) * share) * scale * scale
        for j in range(len(gi)):
            to[j] = (to[j] - m - (row[j] - mean) * k) * scale
        kind = kind + 1 if kind + 1 < len(weights) else 0


@inner(fastmath={"contract"})
def _columns(totals, first, g, x, means, scales):
    """totals (2, G, D), in float64: add the gradients of weights and biases."""
    count = totals.shape[1]
    part, kind = np.zeros(totals.shape, np.float32), first % count
    for i in range(len(x)):
        gi, row, mean, scale = g[i], x[i], means[i], scales[i]
        dweight, dbias = part[0, kind], part[1, kind]
        for j in range(len(gi)):
            dweight[j] += gi[j] * ((row[j] - mean) * scale)
            dbias[j] += gi[j]
        kind = kind + 1 if kind + 1 < count else 0
        if i % (BLOCK * count) == 0 or i + 1 == len(x):
            totals += part
            part[:] = 0


@compiled
def _rows_backward(weights, centred, dx, g, x, means, scales, totals, wanted, start, stop):
    """The parts `start` ... of len(totals): dx, and, if wanted, totals of weights and biases."""
    for part in range(start, stop):
        first, last = bounds(len(x), len(totals), part)
        gi, xi, mean, scale = g[first:last], x[first:last], means[first:last], scales[first:last]
        _move_rows_backward(weights, centred, first, dx[first:last], gi, xi, mean, scale)
        if wanted:
            _columns(totals[part], first, gi, xi, mean, scale)


# -- runs ------------------------------------------------------------------------------------------


@compiled(fastmath=REORDERED)
def _run_sums(x, sums, start, stop):
    x, sums = x[start:stop], sums[start:stop]
    for i in range(len(x)):
        sums[i] = _sum(x[i])


@compiled(fastmath=REORDERED)
def _run_squares(x, means, sums, start, stop):
    x, means, sums = x[start:stop], means[start:stop], sums[start:stop]
    for i in range(len(x)):
        sums[i] = _squares(x[i], means[i])


@compiled(fastmath=REORDERED)
def _run_gradients(g, x, means, sums, products, start, stop):
    g, x, means = g[start:stop], x[start:stop], means[start:stop]
    sums, products = sums[start:stop], products[start:stop]
    for i in range(len(x)):
        sums[i], products[i] = _sum(g[i]), _products(g[i], x[i], means[i])


@compiled(fastmath={"contract"})
def _move(x, means, a, b, out, start, stop):
    """out = (x - mean) a + b."""
    x, means, a, b, out = x[start:stop], means[start:stop], a[start:stop], b[start:stop], out[start:stop]
    for i in range(len(x)):
        row, to, mean, factor, last = x[i], out[i], means[i], a[i], b[i]
        for j in range(len(row)):
            to[j] = (row[j] - mean) * factor + last


@compiled(fastmath={"contract"})
def _mix(g, x, means, a, b, c, out, start, stop):
    """out = g a + (x - mean) b + c."""
    g, x, means, out = g[start:stop], x[start:stop], means[start:stop], out[start:stop]
    a, b, c = a[start:stop], b[start:stop], c[start:stop]
    for i in range(len(x)):
        gi, row, to, mean, of_g, of_x, last = g[i], x[i], out[i], means[i], a[i], b[i], c[i]
        for j in range(len(row)):
            to[j] = gi[j] * of_g + (row[j] - mean) * of_x + last


# -- whole arrays of rows --------------------------------------------------------------------------


def _of_a_turn(axes, shape, x):
    """The shape (1, groups..., row...) of what weights are for, until rows take the first one again."""
    last = x.ndim - len(axes)
    return (1, *x.shape[last if shape is None or len(shape) == len(axes) else 1 :])


def _weights(parameter, value, turn, length):
    """A parameter as rows (G, D); the value everywhere if it is None."""
    whole = np.empty(turn, np.float32)
    whole[...] = value if parameter is None else parameter
    return whole.reshape(-1, length)


def _standardize_rows(x, weight, bias, axes, eps, centred):
    shape = None if weight is bias is None else (bias if weight is None else weight).shape
    small = (*x.shape[: x.ndim - len(axes)], *[1] * len(axes))
    size, turn = math.prod(small), _of_a_turn(axes, shape, x)
    out, mean, var = np.empty(x.shape, np.float32), np.empty(small, np.float32), np.empty(small, np.float32)
    rows = [in_order(x).reshape(size, -1), out.reshape(size, -1), mean.reshape(-1), var.reshape(-1)]
    parameters = [_weights(p, v, turn, x.size // size) for p, v in ((weight, 1), (bias, 0))]
    split(size, WORK * x.size, _rows, *parameters, f32(eps), centred, *rows)
    return out, mean if centred else None, var


def _standardize_rows_backward(g, x, mean, scale, weight, axes, shape):
    size, dx, centred = scale.size, np.empty(x.shape, np.float32), mean is not None
    turn, work = _of_a_turn(axes, shape, x), 2 * WORK * x.size
    weights = _weights(weight, 1, turn, x.size // size)
    g, x, to = [in_order(a).reshape(size, -1) for a in (g, x, dx)]
    means, scales = [a.reshape(-1) for a in (mean if centred else np.zeros_like(scale), scale)]
    parts, wanted = ways(size, work), shape is not None
    totals = np.zeros((parts, 2, *(weights.shape if wanted else (0, 0))))
    split(parts, work, _rows_backward, weights, centred, to, g, x, means, scales, totals, wanted)
    return dx, *_parameter_gradients(sum(totals), turn, shape)


def _parameter_gradients(totals, whole, shape):
    """Two arrays of the shape `whole`, added up to that of weight and bias."""
    if shape is None:
        return None, None
    return [reference.sum_to(total.reshape(whole), shape).astype(np.float32) for total in totals]


# -- whole arrays of runs --------------------------------------------------------------------------


class _Runs:
    """Arrays (N, C, places...) as runs, and small arrays (N, C, 1...) with one number for each run."""

    def __init__(self, x):
        self.shape = (*x.shape[:2], *[1] * (x.ndim - 2))
        self.size = len(x) * x.shape[1]
        self.count = x.size // x.shape[1]

    def of(self, x):
        return in_order(x).reshape(self.size, -1)

    def one_each(self, a):
        """A small array that is broadcast, as a row."""
        return np.broadcast_to(a, self.shape).astype(np.float32).reshape(-1)

    def each(self, kernel, *arrays):
        """The kernel on all runs."""
        split(self.size, WORK * arrays[0].size, kernel, *arrays)

    def sums(self, kernel, *arrays, count=1):
        """What the kernel adds up over each run, in float64: small arrays."""
        sums = np.empty((count, self.size))
        self.each(kernel, *arrays, *sums)
        return sums.reshape(count, *self.shape)


def _standardize_runs(x, mean, var, weight, bias, axes, eps):
    runs, out = _Runs(x), np.empty(x.shape, np.float32)
    rows = runs.of(x)
    if axes:
        mean = (runs.sums(_run_sums, rows)[0].sum(0, keepdims=True) / runs.count).astype(np.float32)
        squares = runs.sums(_run_squares, rows, runs.one_each(mean))[0]
        var = (squares.sum(0, keepdims=True) / runs.count).astype(np.float32)
    factor = 1 / np.sqrt(var + f32(eps)) * (1 if weight is None else weight)
    small = [runs.one_each(a) for a in (mean, factor, 0 if bias is None else bias)]
    runs.each(_move, rows, *small, runs.of(out))
    return out, mean, var


def _standardize_runs_backward(g, x, mean, scale, weight, axes, shape):
    runs, dx = _Runs(x), np.empty(x.shape, np.float32)
    rows, means = [runs.of(a) for a in (g, x)], runs.one_each(mean)
    sums, products = runs.sums(_run_gradients, *rows, means, count=2)
    products *= scale  # now of g times the standardised x
    factor = scale if weight is None else scale * weight
    a, nothing = runs.one_each(factor), np.zeros_like(means)
    if axes:
        m, k = [total.sum(0, keepdims=True) / runs.count for total in (sums, products)]
        b, c = runs.one_each(-k * scale * factor), runs.one_each(-m * factor)
        runs.each(_mix, *rows, means, a, b, c, runs.of(dx))
    else:
        runs.each(_move, rows[0], nothing, a, nothing, runs.of(dx))
    return dx, *_parameter_gradients((products, sums), runs.shape, shape)


# -- what is called --------------------------------------------------------------------------------


def _layout(axes, *arrays):
    """ "rows" or "runs"; None for what the kernels here are not written for."""
    x = arrays[0]
    if not x.size or any(a is not None and a.dtype is not FLOAT32 for a in arrays):
        return None
    if axes and axes[0] and axes[-1] in (-1, x.ndim - 1):
        return "rows"
    return "runs" if x.size >= SHORT * len(x) * x.shape[1] else None


def standardize(x, mean, var, weight, bias, axes, eps, centred):
    """`reference.standardize`."""
    layout = _layout(axes, x, mean, var, weight, bias)
    if layout == "rows":
        return _standardize_rows(x, weight, bias, axes, eps, centred)
    if layout == "runs":
        return _standardize_runs(x, mean, var, weight, bias, axes, eps)
    return reference.standardize(x, mean, var, weight, bias, axes, eps, centred)


def standardize_backward(g, x, mean, var, weight, shape, axes, eps):
    """`reference.standardize_backward`."""
    layout = _layout(axes, x, g, mean, var, weight)
    if layout is None:
        return reference.standardize_backward(g, x, mean, var, weight, shape, axes, eps)
    backward = _standardize_rows_backward if layout == "rows" else _standardize_runs_backward
    return backward(g, x, mean, 1 / np.sqrt(var + f32(eps)), weight, axes, shape)
