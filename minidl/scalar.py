"""Automatic differentiation of single numbers: the engine that notebook 06 builds from a blank page.

Three pieces with the names that `tensor.py` has for arrays: a value that remembers how it was made, `op`,
which makes a differentiable operation of a function on floats, and `backward`.
"""

from __future__ import annotations

import itertools
import math

_birth = itertools.count()


class Value:
    """A number with a gradient. `inputs` and `vjp` say how it was made; a leaf has neither."""

    def __init__(self, data: float, name: str = "", inputs: tuple[Value, ...] = (), vjp=None):
        self.data, self.grad = float(data), 0.0
        self.name, self.inputs, self.vjp = name, inputs, vjp
        self.order = next(_birth)  # a result is always younger than its inputs

    def __repr__(self):
        return f"Value({self.data:.4g}, grad={self.grad:.4g})"

    def backward(self) -> None:
        """Add d(self)/d(v) to `v.grad` for every value that self was computed from."""
        gradients = {self: 1.0}
        for value in sorted(ancestors(self), key=lambda v: -v.order):  # youngest first
            g = gradients[value]
            value.grad += g
            if value.vjp is not None:
                for x, dx in zip(value.inputs, value.vjp(g), strict=True):
                    gradients[x] = gradients.get(x, 0.0) + dx


def ancestors(value: Value) -> set[Value]:
    """Everything that `value` was computed from, and itself. By a stack, not recursion: graphs are deep."""
    found, stack = set(), [value]
    while stack:
        v = stack.pop()
        if v not in found:
            found.add(v)
            stack.extend(v.inputs)
    return found


def op(function):
    """Make a differentiable op of a function on floats that returns `(output, vjp)`."""

    def call(*inputs):
        inputs = tuple(x if isinstance(x, Value) else Value(x) for x in inputs)
        out, vjp = function(*(x.data for x in inputs))
        return Value(out, function.__name__, inputs, vjp)

    return call


@op
def add(a, b):
    return a + b, lambda g: (g, g)


@op
def mul(a, b):
    return a * b, lambda g: (g * b, g * a)


@op
def pow(a, b):
    return a**b, lambda g: (g * b * a ** (b - 1), g * a**b * math.log(a) if a > 0 else 0.0)


@op
def exp(x):
    out = math.exp(x)
    return out, lambda g: (g * out,)


@op
def log(x):
    return math.log(x), lambda g: (g / x,)


@op
def tanh(x):
    out = math.tanh(x)
    return out, lambda g: (g * (1 - out * out),)


@op
def relu(x):
    return max(x, 0.0), lambda g: (g * (x > 0),)


Value.__add__ = Value.__radd__ = add
Value.__mul__ = Value.__rmul__ = mul
Value.__pow__ = pow
Value.__neg__ = lambda a: a * -1
Value.__sub__ = lambda a, b: a + -1 * b
Value.__rsub__ = lambda a, b: b + -a
Value.__truediv__ = lambda a, b: a * (b**-1 if isinstance(b, Value) else 1 / b)
Value.__rtruediv__ = lambda a, b: b * a**-1
