"""Optimiser steps, compiled: one pass over everything instead of one pass a term.

    for part of the flat arrays               split over threads
        for element                           vectors; as fast as memory delivers w, g and the state
            load w, g, state -> update in registers -> store w, state

NumPy reads and writes the whole of each array for every `*=` and `+=`: some fifteen trips through memory for
Adam. State that is None leaves no trace in the compiled loop.
"""

import math

import numpy as np

from minidl.kernels.cpu.compiling import compiled, inline
from minidl.kernels.threads import split

WORK = 40
"""Work an element, as `split` counts it."""


@inline
def _part(x, start, stop):
    return None if x is None else x[start:stop]


def _in_parts(kernel, arrays, constants, *switches):
    """Run the kernel on parts of the flat arrays, with constants in their precision."""
    w = arrays[0]
    numbers = [w.dtype.type(c) for c in constants]  # float64 would creep in otherwise
    split(w.size, WORK * w.size, kernel, *arrays, *numbers, *switches)


@compiled
def _sgd(w, g, velocity, lr, momentum, keep, weight_decay, nesterov, start, stop):
    w, g, velocity = _part(w, start, stop), _part(g, start, stop), _part(velocity, start, stop)
    for i in range(w.size):
        d = g[i]
        if weight_decay != 0:
            d += weight_decay * w[i]
        if velocity is not None:
            velocity[i] = momentum * velocity[i] + keep * d
            d = d + momentum * velocity[i] if nesterov else velocity[i]
        w[i] -= lr * d


def sgd_step(w, g, velocity, lr, momentum, dampening, weight_decay, nesterov, first):
    """`reference.sgd_step`."""
    if velocity is not None and first:
        velocity[...] = 0
    keep = 1 if first else 1 - dampening
    _in_parts(_sgd, (w, g, velocity), (lr, momentum, keep, weight_decay), nesterov)


@compiled
def _adam(w, g, m, v, largest, shrink, l2, lr, beta1, keep1, beta2, keep2, scale, eps, start, stop):
    w, g, m = _part(w, start, stop), _part(g, start, stop), _part(m, start, stop)
    v, largest = _part(v, start, stop), _part(largest, start, stop)
    for i in range(w.size):
        wi, d = w[i] * shrink, g[i]
        if l2 != 0:
            d += l2 * wi
        m[i] = beta1 * m[i] + keep1 * d
        v[i] = vi = beta2 * v[i] + keep2 * d * d
        if largest is not None:
            largest[i] = vi = np.maximum(largest[i], vi)
        w[i] = wi - lr * m[i] / (np.sqrt(vi) * scale + eps)


def adam_step(w, g, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """`reference.adam_step`."""
    shrink = 1 - lr * weight_decay if decoupled else 1
    l2 = 0 if decoupled else weight_decay
    rate = lr / (1 - beta1**step)
    scale = 1 / math.sqrt(1 - beta2**step)
    constants = (shrink, l2, rate, beta1, 1 - beta1, beta2, 1 - beta2, scale, eps)
    _in_parts(_adam, (w, g, m, v, largest), constants)


@compiled
def _adagrad(w, g, total, rate, eps, weight_decay, start, stop):
    w, g, total = _part(w, start, stop), _part(g, start, stop), _part(total, start, stop)
    for i in range(w.size):
        d = g[i]
        if weight_decay != 0:
            d += weight_decay * w[i]
        total[i] += d * d
        w[i] -= rate * d / (np.sqrt(total[i]) + eps)


def adagrad_step(w, g, total, lr, lr_decay, eps, weight_decay, step):
    """`reference.adagrad_step`."""
    _in_parts(_adagrad, (w, g, total), (lr / (1 + (step - 1) * lr_decay), eps, weight_decay))


@compiled
def _rmsprop(w, g, square, velocity, mean, lr, alpha, keep, eps, weight_decay, momentum, start, stop):
    w, g, square = _part(w, start, stop), _part(g, start, stop), _part(square, start, stop)
    velocity, mean = _part(velocity, start, stop), _part(mean, start, stop)
    for i in range(w.size):
        d = g[i]
        if weight_decay != 0:
            d += weight_decay * w[i]
        square[i] = spread = alpha * square[i] + keep * d * d
        if mean is not None:
            mean[i] = alpha * mean[i] + keep * d
            spread -= mean[i] * mean[i]
        d /= np.sqrt(spread) + eps
        if velocity is not None:
            velocity[i] = d = momentum * velocity[i] + d
        w[i] -= lr * d


def rmsprop_step(w, g, square, velocity, mean, lr, alpha, eps, weight_decay, momentum):
    """`reference.rmsprop_step`."""
    constants = (lr, alpha, 1 - alpha, eps, weight_decay, momentum)
    _in_parts(_rmsprop, (w, g, square, velocity, mean), constants)
