"""Samples of minidl/ops/arithmetic.py."""

from tests.samples.kinds import Positive, Values

MASK = Values([[True, False, True], [False, False, True]])

SAMPLES = {
    "add": [
        (lambda m, a, b: a + b, (3, 4), (4,)),
        (lambda m, a: 2 + a, (3,)),
        (lambda m, a, b: a + b, (2, 1), (1, 3)),
    ],
    "sub": [(lambda m, a, b: a - b, (3, 1), (2, 1, 4)), (lambda m, a: 1.5 - a, ())],
    "mul": [
        (lambda m, a, b: a * b, (3, 4), (3, 1)),
        (lambda m, a: a * a, (2, 2)),
        (lambda m, a: a * 3, (0, 2)),
    ],
    "div": [(lambda m, a, b: a / b, (3, 4), Positive((4,))), (lambda m, b: 1 / b, Positive((3,)))],
    "pow": [
        (lambda m, a: a**3, (3, 2)),
        (lambda m, a, b: a**b, Positive((3,)), (2, 3)),
        (lambda m, a: 2.0**a, (4,)),
        (lambda m, a: a**0, (4,)),
        (lambda m, a: a**0.5, Positive((4,))),
    ],
    "neg": [(lambda m, a: -a, (3,))],
    "abs": [(lambda m, a: m.abs(a), (3, 4))],
    "square": [(lambda m, a: m.square(a), (3,))],
    "exp": [(lambda m, a: m.exp(a), (3, 1))],
    "log": [(lambda m, a: m.log(a), Positive((3,)))],
    "sqrt": [(lambda m, a: m.sqrt(a), Positive((2, 2)))],
    "sin": [(lambda m, a: m.sin(a), (3,))],
    "cos": [(lambda m, a: m.cos(a), (3,))],
    "tanh": [(lambda m, a: m.tanh(a), (3,))],
    "sigmoid": [(lambda m, a: m.sigmoid(a), (3, 2))],
    "relu": [(lambda m, a: m.relu(a), (3, 5))],
    "clamp": [(lambda m, a: m.clamp(a, -0.5, 0.5), (9,)), (lambda m, a: a.clamp(min=0.1), (4,))],
    "maximum": [(lambda m, a, b: m.maximum(a, b), (3, 4), (4,)), (lambda m, a: m.maximum(a, a), (3,))],
    "minimum": [(lambda m, a, b: m.minimum(a, b), (3, 1), (3, 4))],
    "where": [
        (lambda m, c, a, b: m.where(c, a, b), MASK, (2, 3), (3,)),
        (lambda m, a: m.where(a > 0, a, 0.0), (5,)),
    ],
    "astype": [(lambda m, a: (a.double() * 2).double(), (3,))],
}
