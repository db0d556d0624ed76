"""Activations, compiled: each number is read once, and everything happens to it in registers.

    for part of the array          split over threads
        for i in part              8 or 16 numbers at a time, in vectors
            out[i] = f(x[i])

NumPy computes 1 / (1 + exp(-x)) in four passes over memory, and a gelu in a dozen. Here both are one, so that
the backward can afford to compute again what it needs from x: nothing else is kept.
"""

import math

import numpy as np

from minidl.kernels import reference
from minidl.kernels.cpu import elementary
from minidl.kernels.cpu.compiling import compiled, inline
from minidl.kernels.threads import split

MOVE, CURVE = 15, 110
"""Work a number, as `split` counts it: of moving it, and of a curve."""

f32, FLOAT32 = np.float32, np.dtype(np.float32)
ROOT_2_OVER_PI, CUBIC = f32(math.sqrt(2 / math.pi)), f32(0.044715)
DENSITY_AT_0 = f32(1 / math.sqrt(2 * math.pi))


# -- one number ------------------------------------------------------------------------------------


@inline
def _bell(x):
    """e^(-x^2 / 2), the normal density but for its factor."""
    return elementary.exp(f32(-0.5) * x * x)


@inline
def _normal(x, bell):
    """The normal distribution function Phi(x), relative error 3e-7 near 0 and 1e-6 in the tail.

    Phi(-|x|) e^(x^2 / 2) is a polynomial in t = 1 / (1 + 0.3 |x|), fitted on [0, 14]. So nothing cancels in
    the tail, where 1 + erf would.
    """
    t = f32(1) / (f32(1) + f32(0.3) * abs(x))
    p = f32(0.0356766659) * t + f32(-0.157210894)
    p = p * t + f32(0.20636684)
    p = p * t + f32(-0.0536957949)
    p = p * t + f32(0.128567986)
    p = p * t + f32(0.099911588)
    p = p * t + f32(0.120754257)
    p = p * t + f32(0.119629279)
    tail = p * t * bell
    return f32(1) - tail if x > f32(0) else tail


@inline
def _tanh_normal(x):
    """(1 + tanh u) / 2 is sigmoid(2 u): one exponential, and nothing cancels."""
    return elementary.sigmoid(f32(2) * ROOT_2_OVER_PI * x * (f32(1) + CUBIC * x * x))


# -- all numbers of a part -------------------------------------------------------------------------


@compiled
def _gate(g, x, out, start, stop):
    g, x, out = g[start:stop], x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = f32(0) if x[i] <= f32(0) else g[i]


@compiled(fastmath={"contract"})
def _exp(x, out, start, stop):
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = elementary.exp(x[i])


@compiled(fastmath={"contract"})
def _tanh(x, out, start, stop):
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = elementary.tanh(x[i])


@compiled(fastmath={"contract"})
def _tanh_backward(g, y, out, start, stop):
    g, y, out = g[start:stop], y[start:stop], out[start:stop]
    for i in range(len(y)):
        out[i] = g[i] * (f32(1) - y[i] * y[i])


@compiled(fastmath={"contract"})
def _sigmoid(x, out, start, stop):
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = elementary.sigmoid(x[i])


@compiled(fastmath={"contract"})
def _sigmoid_backward(g, y, out, start, stop):
    g, y, out = g[start:stop], y[start:stop], out[start:stop]
    for i in range(len(y)):
        out[i] = g[i] * y[i] * (f32(1) - y[i])


@compiled(fastmath={"contract"})
def _silu(x, out, start, stop):
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = x[i] * elementary.sigmoid(x[i])


@compiled(fastmath={"contract"})
def _silu_backward(g, x, out, start, stop):
    g, x, out = g[start:stop], x[start:stop], out[start:stop]
    for i in range(len(x)):
        s = elementary.sigmoid(x[i])
        out[i] = g[i] * s * (f32(1) + x[i] * (f32(1) - s))


@compiled(fastmath={"contract"})
def _gelu(x, out, start, stop):
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = x[i] * _normal(x[i], _bell(x[i]))


@compiled(fastmath={"contract"})
def _gelu_backward(g, x, out, start, stop):
    g, x, out = g[start:stop], x[start:stop], out[start:stop]
    for i in range(len(x)):
        bell = _bell(x[i])
        out[i] = g[i] * (_normal(x[i], bell) + x[i] * (DENSITY_AT_0 * bell))


@compiled(fastmath={"contract"})
def _gelu_tanh(x, out, start, stop):
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = x[i] * _tanh_normal(x[i])


@compiled(fastmath={"contract"})
def _gelu_tanh_backward(g, x, out, start, stop):
    g, x, out = g[start:stop], x[start:stop], out[start:stop]
    for i in range(len(x)):
        p, square = _tanh_normal(x[i]), CUBIC * x[i] * x[i]
        density = f32(2) * p * (f32(1) - p) * ROOT_2_OVER_PI * (f32(1) + f32(3) * square)
        out[i] = g[i] * (p + x[i] * density)


# -- the kernels -----------------------------------------------------------------------------------


def in_order(a):
    """The array, or a copy, such that it lies in memory row after row and has the type that kernels know."""
    return a if a.flags.carray else a.copy()


def _each(specification, kernel, work, *arrays):
    """The kernel on all numbers of float32 arrays of one shape; the specification for any others."""
    for a in arrays:
        if a.dtype is not FLOAT32:
            return specification(*arrays)
    out = np.empty(arrays[0].shape, np.float32)
    flat = [in_order(a).ravel() for a in (*arrays, out)]
    split(out.size, work * out.size, kernel, *flat)
    return out


def relu(x):
    """`reference.relu`."""
    return _each(lambda x, _: reference.relu(x), _gate, MOVE, x, x)


def relu_backward(g, out):
    """`reference.relu_backward`."""
    return _each(reference.relu_backward, _gate, MOVE, g, out)


def exp(x):
    """`reference.exp`."""
    return _each(reference.exp, _exp, CURVE, x)


def tanh(x):
    """`reference.tanh`."""
    return _each(reference.tanh, _tanh, CURVE, x)


def tanh_backward(g, out):
    """`reference.tanh_backward`."""
    return _each(reference.tanh_backward, _tanh_backward, MOVE, g, out)


def sigmoid(x):
    """`reference.sigmoid`."""
    return _each(reference.sigmoid, _sigmoid, CURVE, x)


def sigmoid_backward(g, out):
    """`reference.sigmoid_backward`."""
    return _each(reference.sigmoid_backward, _sigmoid_backward, MOVE, g, out)


def silu(x):
    """`reference.silu`."""
    return _each(reference.silu, _silu, CURVE, x)


def silu_backward(g, x):
    """`reference.silu_backward`."""
    return _each(reference.silu_backward, _silu_backward, CURVE, g, x)


def gelu(x):
    """`reference.gelu`."""
    return _each(reference.gelu, _gelu, CURVE, x)


def gelu_backward(g, x):
    """`reference.gelu_backward`."""
    return _each(reference.gelu_backward, _gelu_backward, CURVE, g, x)


def gelu_tanh(x):
    """`reference.gelu_tanh`."""
    return _each(reference.gelu_tanh, _gelu_tanh, CURVE, x)


def gelu_tanh_backward(g, x):
    """`reference.gelu_tanh_backward`."""
    return _each(reference.gelu_tanh_backward, _gelu_tanh_backward, CURVE, g, x)
