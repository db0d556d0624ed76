"""Notebook 07: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import numpy as np

from minidl import ops, tensor
from minidl.nn import functional as F


def delta_by_loops(delta2, W2, z1):
    result = [[0.0] * len(z1[0]) for _ in z1]
    for n, row in enumerate(z1):
        for j, z in enumerate(row):
            h = 1 / (1 + np.exp(-z))
            result[n][j] = sum(delta2[n][k] * W2[k][j] for k in range(len(W2))) * (h - h * h)
    return result


def delta_by_autograd(delta2, W2, z1):
    z = tensor(z1, requires_grad=True)
    (ops.sigmoid(z) @ tensor(W2).T).backward(tensor(delta2))
    return z.grad


def delta_divided_by_n(delta2, W2, z1):
    h = 1 / (1 + np.exp(-z1))
    return (delta2 @ W2) * h * (1 - h) / len(z1)


def delta_minus(delta2, W2, z1):
    h = 1 / (1 + np.exp(-z1))
    return -(delta2 @ W2) * h * (1 - h)


def gradients_by_einsum(delta, x):
    return [np.einsum("nj,ni->ji", delta, x), np.ones(len(x)) @ delta]


def gradients_by_outer(delta, x):
    return sum(np.outer(d, row) for d, row in zip(delta, x, strict=True)), sum(delta)


def gradients_swapped(delta, x):
    return delta.sum(axis=0), delta.T @ x


def weights_alone(delta, x):
    return delta.T @ x


def step_by_autograd(x, t, W1, b1, W2, b2, lr):
    parameters = [tensor(each, requires_grad=True) for each in (W1, b1, W2, b2)]
    hidden = ops.tanh(F.linear(tensor(x), *parameters[:2]))
    F.binary_cross_entropy_with_logits(F.linear(hidden, *parameters[2:]), tensor(t)).backward()
    return [p.detach() - lr * p.grad for p in parameters]


def step_in_place(x, t, W1, b1, W2, b2, lr):
    new = step_by_autograd(x, t, W1, b1, W2, b2, lr)
    for old, value in zip((W1, b1, W2, b2), new, strict=True):
        old[...] = value.numpy()
    return W1, b1, W2, b2


def half_a_step(x, t, W1, b1, W2, b2, lr):
    return step_by_autograd(x, t, W1, b1, W2, b2, lr / 2)


def gradients_instead(x, t, W1, b1, W2, b2, lr):
    new = step_by_autograd(x, t, W1, b1, W2, b2, 1.0)
    return [old - each.numpy() for old, each in zip((W1, b1, W2, b2), new, strict=True)]


def recipe(**changes):
    return {"hidden": [8], "activation": "tanh", "lr": 0.03, "seed": 2} | changes


RIGHT = {
    "07.1": [delta_by_loops, delta_by_autograd],
    "07.2": [gradients_by_einsum, gradients_by_outer],
    "07.3": [step_by_autograd],
    "07.4": [("detour", "memory", "bias"), ["Detour", "memory ", "BIAS"]],
    "07.5": [recipe(hidden=(np.int64(8),), seed=3), recipe(hidden=np.array([8]))],
}

WRONG = {
    "07.1": [
        (delta_divided_by_n, "once too often"),
        (delta_minus, "sign"),
        (lambda delta2, W2, z1: delta2, "shape"),
    ],
    "07.2": [
        (gradients_swapped, "comes first"),
        (weights_alone, "return both"),
        (lambda delta, x: (delta.T @ x, delta.sum(0)[None]), "shape (1, H)"),
        (lambda delta, x: [delta.T @ x, delta * 1.0], "must be added"),
    ],
    "07.3": [
        (step_in_place, "in place"),
        (half_a_step, "half_a_step"),
        (gradients_instead, "those are the four gradients"),
    ],
    "07.4": [
        (["slope", "slope", "slope"], "patient A does not have 'slope'"),
        (["detour", "uphill", "bias"], "the very first step"),
        (["detour", "memory", "slope"], "patient C does not have 'slope'"),
        (["detour", "memory"], "give three words"),
        (["detour", "memory", "flu"], "not on the list"),
    ],
    "07.5": [
        (recipe(hidden=[3], seed=2), "13 parameters, but"),
        (recipe(hidden=[8, 8]), "105 parameters. The network above has 105"),
        (recipe(hidden=8), "hidden is a list"),
        (recipe(activation="step"), "activation is"),
        (recipe(lr=0), "lr lies between"),
        ([8], "give a dict"),
    ],
}
