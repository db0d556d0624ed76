"""Answers to the exercises of notebook 06: right ones written differently, wrong ones with their message."""

import numpy as np

from minidl import scalar
from minidl.course.exercises import n06_autograd as n06


def ready_count_backward(value):
    """Kahn's way: a value passes on its gradient when all its users have."""
    users = dict.fromkeys(scalar.ancestors(value), 0)
    for v in users:
        for x in v.inputs:
            users[x] += 1
    value.grad, ready = 1.0, [value]
    while ready:
        v = ready.pop()
        if not v.vjp:
            continue
        for x, dx in zip(v.inputs, v.vjp(v.grad), strict=True):
            x.grad += dx
            users[x] -= 1
            if users[x] == 0:
                ready.append(x)


def axis_by_axis(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    for i, n in enumerate(shape):
        if n == 1:
            g = g.sum(i, keepdims=True)
    return g


def square_and_multiply(x):
    out = x
    for _ in range(3):
        out = out * out * x
    return out


def one_by_one(x):
    out = x
    for _ in range(14):
        out = out * x
    return out


RIGHT = {
    "06.1": [
        lambda a, b: (a * b**-1, lambda g: [g * b**-1, -g * a * b**-2]),
        lambda a, b: [a / b, lambda g: np.array([g / b, -g * a / b**2])],
        lambda a, b: scalar.Value(a / b, "divide", (), lambda g: (g / b, -g * a / b**2)),  # behind @op
    ],
    "06.2": [ready_count_backward, lambda value: value.backward()],
    "06.3": [axis_by_axis],
    "06.4": [square_and_multiply],
}

WRONG = {
    "06.1": [
        (lambda a, b: (a / b, lambda g: (g / b, g * a / b**2)), "wrong sign"),
        (lambda a, b: (a / b, lambda g: (1 / b, -a / b**2)), "multiply both gradients by g"),
        (lambda a, b: a / b, "two things"),
        (lambda a, b: (a / b, [g / b for g in (1, 2)]), "not known yet"),
        (lambda a, b: (a / b, (lambda g: g / b, lambda g: -g * a / b**2)), "returns both"),
        (lambda a, b: (a / b, lambda g: g * (1 / b - a / b**2)), "two gradients"),
        (lambda a, b: print(a / b), "is a `return` missing?"),
    ],
    "06.2": [
        (n06.backward_overwriting, "used twice"),
        (n06.backward_unseeded, "starts the walk"),
        (n06.backward_passing_totals, "passes on the first part again"),
        (n06.backward_assigning, "add (+=)"),
        (n06.backward_every_way, "ran more than once"),
        (n06.backward_dictionary_oldest_first, "from the oldest on"),
    ],
    "06.3": [
        (lambda g, shape: g, "shape"),
        (lambda g, shape: axis_by_axis(g, g.shape[g.ndim - len(shape) :]), "stretched from size 1"),
        (lambda g, shape: g.sum(0) if g.ndim > len(shape) == 1 else axis_by_axis(g, shape), "sum over each"),
        (lambda g, shape: axis_by_axis(g, shape) / (g.size // np.prod(shape, dtype=int)), "mean"),
    ],
    "06.4": [
        (one_by_one, "14 multiplications"),
        (lambda x: x**15, "is allowed here"),
        (lambda x: square_and_multiply(x) * x, "power 16"),
        (lambda x: x.data**15, "not float"),
    ],
}
