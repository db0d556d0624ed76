"""Optimiser steps, compiled: one pass over everything instead of one pass a term.

NumPy reads and writes the whole of each array for every `*=` and `+=`: some fifteen trips through memory for
Adam. Here each element is loaded once, updated in registers and stored once. State that is None leaves no
trace in the compiled loop.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def _sgd(w, g, velocity, lr, momentum, keep, weight_decay, nesterov):
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
    constants = (lr, momentum, keep, weight_decay)  # in the array's precision, or float64 would creep in
    _sgd(w, g, velocity, *(w.dtype.type(c) for c in constants), nesterov)


@njit(cache=True, nogil=True, error_model="numpy")
def _adam(w, g, m, v, largest, shrink, l2, lr, beta1, keep1, beta2, keep2, scale, eps):
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
    _adam(w, g, m, v, largest, *(w.dtype.type(c) for c in constants))
