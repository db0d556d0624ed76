"""Optimiser steps, compiled: one pass over everything instead of one pass a term.

NumPy reads and writes the whole of each array for every `*=` and `+=`: some fifteen trips through memory for
Adam. Here each element is loaded once, updated in registers and stored once.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def _sgd(w, g, velocity, lr, momentum, keep, weight_decay, nesterov):
    for i in range(w.size):
        d = g[i] + weight_decay * w[i]
        velocity[i] = momentum * velocity[i] + keep * d
        w[i] -= lr * (d + momentum * velocity[i] if nesterov else velocity[i])


def sgd_step(w, g, velocity, lr, momentum, dampening, weight_decay, nesterov, first):
    """`reference.sgd_step`. Without momentum `velocity` may be any array of w's shape."""
    number = w.dtype.type
    if first or not momentum:
        velocity[...] = 0
    keep = 1 if first or not momentum else 1 - dampening
    _sgd(w, g, velocity, number(lr), number(momentum), number(keep), number(weight_decay), nesterov)


@njit(cache=True, nogil=True, error_model="numpy")
def _adam(w, g, m, v, one, shrink, l2, lr, beta1, beta2, scale, eps):
    for i in range(w.size):
        wi = w[i] * shrink
        d = g[i] + l2 * wi
        m[i] = beta1 * m[i] + (one - beta1) * d
        v[i] = beta2 * v[i] + (one - beta2) * d * d
        w[i] = wi - lr * m[i] / (np.sqrt(v[i]) * scale + eps)


def adam_step(w, g, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """`reference.adam_step`."""
    number = w.dtype.type  # all constants in the array's precision, or float64 would creep in
    shrink = 1 - lr * weight_decay if decoupled else 1
    l2 = 0 if decoupled else weight_decay
    rate = lr / (1 - beta1**step)
    scale = 1 / math.sqrt(1 - beta2**step)
    constants = (1, shrink, l2, rate, beta1, beta2, scale, eps)
    _adam(w, g, m, v, *(number(c) for c in constants))
