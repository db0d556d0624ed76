"""Sample calls of every op, for gradient checks and for parity with PyTorch.

A sample is `(call, *inputs)`. `call(m, *tensors)` runs with m = minidl and with m = torch alike: they
share their words. Inputs are shapes of normal numbers, or the marked kinds below.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Positive:
    """Numbers in [0.5, 2]."""

    shape: tuple


@dataclass
class Distinct:
    """Numbers no two of which are closer than 0.1: safe for max and min."""

    shape: tuple


@dataclass
class Constant(Positive):
    """Numbers in [0.5, 2] that want no gradient."""


@dataclass
class Values:
    """Exactly these (labels, masks, indices)."""

    values: object


def make(kind, rng, dtype):
    """The array of an input description."""
    if isinstance(kind, Values):
        return np.array(kind.values)
    if isinstance(kind, Positive):
        return rng.uniform(0.5, 2, kind.shape).astype(dtype)
    if isinstance(kind, Distinct):
        n = int(np.prod(kind.shape))
        return (rng.permutation(n).reshape(kind.shape) * 0.3 - 1).astype(dtype)
    return rng.normal(size=kind).astype(dtype)


MASK = Values([[True, False, True], [False, False, True]])
LABELS = Values([2, 0, 1, 1])

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
    "masked_fill": [(lambda m, a, c: a.masked_fill(c, -1.0), (2, 3), MASK)],
    "astype": [(lambda m, a: (a.double() * 2).double(), (3,))],
    "matmul": [
        (lambda m, a, b: a @ b, (3, 4), (4, 2)),
        (lambda m, a, b: a @ b, (5, 3, 4), (4, 2)),
        (lambda m, a, b: a @ b, (3, 4), (4,)),
        (lambda m, a, b: a @ b, (4,), (4, 2)),
        (lambda m, a, b: a @ b, (4,), (4,)),
        (lambda m, a, b: a @ b, (2, 1, 3, 4), (5, 4, 2)),
        (lambda m, a, b: a @ b, (2, 3, 4), (4,)),
        (lambda m, a, b: a @ b, (4,), (2, 4, 3)),
        (lambda m, a, b: a @ b, (0, 4), (4, 2)),
    ],
    "sum": [
        (lambda m, a: m.sum(a), (3, 4)),
        (lambda m, a: a.sum(1), (3, 4)),
        (lambda m, a: a.sum((0, -1), keepdim=True), (2, 3, 4)),
        (lambda m, a: a.sum(), ()),
        (lambda m, a: a.sum(0), (0, 3)),
    ],
    "mean": [
        (lambda m, a: a.mean(), (3, 4)),
        (lambda m, a: a.mean(-1, keepdim=True), (3, 4)),
        (lambda m, a: a.mean((0, 1)), (2, 3)),
    ],
    "var": [
        (lambda m, a: m.var(a), (5,)),
        (lambda m, a: a.var(1, correction=0), (3, 4)),
        (lambda m, a: a.std(0, keepdim=True), (4, 3)),
    ],
    "amax": [(lambda m, a: m.amax(a, 1), Distinct((3, 4))), (lambda m, a: a.max(), Distinct((5,)))],
    "amin": [(lambda m, a: m.amin(a, (0, 1)), Distinct((3, 4))), (lambda m, a: a.min(), Distinct((2, 3)))],
    "logsumexp": [(lambda m, a: m.logsumexp(a, 1), (3, 4)), (lambda m, a: a.logsumexp((0, 1), True), (3, 4))],
    "cumsum": [(lambda m, a: m.cumsum(a, 1), (2, 5)), (lambda m, a: a.cumsum(-2), (3, 2))],
    "reshape": [
        (lambda m, a: a.reshape(2, 6), (3, 4)),
        (lambda m, a: a.view(-1), (2, 3)),
        (lambda m, a: a.flatten(1), (2, 3, 4)),
    ],
    "permute": [(lambda m, a: a.permute(2, 0, 1), (2, 3, 4)), (lambda m, a: a.T, (2, 3))],
    "transpose": [(lambda m, a: a.transpose(0, -1), (2, 3, 4))],
    "squeeze": [
        (lambda m, a: a.squeeze(), (1, 3, 1)),
        (lambda m, a: a.squeeze(1), (2, 3)),
        (lambda m, a: a.squeeze(-1), (2, 1)),
    ],
    "unsqueeze": [(lambda m, a: a.unsqueeze(1), (2, 3)), (lambda m, a: a.unsqueeze(-1), (2,))],
    "broadcast_to": [
        (lambda m, a: a.expand(3, -1, 4), (2, 1)),
        (lambda m, a: m.broadcast_to(a, (2, 3)), (3,)),
    ],
    "flip": [(lambda m, a: m.flip(a, (0,)), (3, 2))],
    "cat": [
        (lambda m, a, b: m.cat((a, b), 1), (2, 3), (2, 1)),
        (lambda m, a, b: m.stack([a, b], dim=1), (2, 3), (2, 3)),
        (lambda m, a: m.cat([a, a]), (2, 3)),
    ],
    "getitem": [
        (lambda m, a: a[1], (3, 4)),
        (lambda m, a: a[:, ::2], (3, 4)),
        (lambda m, a: a[..., None, 1:], (2, 3)),
        (lambda m, a: a[[0, 0, 2]], (3, 2)),
        (lambda m, a, i: a[i], (3, 2), Values([2, 0, 2, 2])),
        (lambda m, a, c: a[c], (2, 3), MASK),
        (lambda m, a: a.split(2, 1)[1], (3, 5)),
    ],
    "gather": [(lambda m, a, i: m.gather(a, 1, i), (2, 3), Values([[0, 0, 2, 1], [1, 1, 1, 0]]))],
    "linear": [
        (lambda m, x, w, b: m.F.linear(x, w, b), (4, 3), (2, 3), (2,)),
        (lambda m, x, w: m.F.linear(x, w), (2, 5, 3), (2, 3)),
        (lambda m, x, w, b: m.F.linear(x, w, b), (3,), (2, 3), (2,)),
    ],
    "softplus": [
        (lambda m, a: m.F.softplus(a), (3, 4)),
        (lambda m, a: m.F.softplus(a * 30, beta=2.0, threshold=5.0), (3,)),
    ],
    "gelu": [(lambda m, a: m.F.gelu(a), (3, 4)), (lambda m, a: m.F.gelu(a, approximate="tanh"), (3, 4))],
    "softmax": [(lambda m, a: m.F.softmax(a, dim=1), (3, 4)), (lambda m, a: m.F.softmax(a, dim=0), (3, 4))],
    "log_softmax": [(lambda m, a: m.F.log_softmax(a, dim=-1), (3, 4))],
    "pick": [
        (lambda m, a, y: m.F.nll_loss(a, y), (4, 3), LABELS),
        (lambda m, a, y, w: m.F.nll_loss(a, y, w, ignore_index=1), (4, 3), LABELS, Constant((3,))),
        (lambda m, a, y: m.F.cross_entropy(a, y, reduction="none"), (2, 3, 2), Values([[0, 1], [2, 2]])),
        (lambda m, a, y: m.F.cross_entropy(a, y, label_smoothing=0.1), (4, 3), LABELS),
        (
            lambda m, a, y, w: m.F.cross_entropy(a, y, w, ignore_index=0, label_smoothing=0.2),
            (4, 3),
            LABELS,
            Constant((3,)),
        ),
        (lambda m, a, p: m.F.cross_entropy(a, m.F.softmax(p, dim=1), label_smoothing=0.1), (4, 3), (4, 3)),
        (lambda m, a, y: m.F.cross_entropy(a, y), (3,), Values(1)),
    ],
    "softmax_cross_entropy": [
        (lambda m, a, y: m.F.cross_entropy(a, y), (4, 3), LABELS),
        (lambda m, a, y: m.F.cross_entropy(a * 100, y), (4, 3), LABELS),
    ],
}

COMPOSED = [
    (lambda m, a: m.F.leaky_relu(a, 0.2), (3, 4)),
    (lambda m, a: m.F.elu(a, 0.7), (3, 4)),
    (lambda m, a: m.F.silu(a), (3, 4)),
    (lambda m, a: m.F.normalize(a), (3, 4)),
    (lambda m, a, b: m.F.mse_loss(a, b), (3, 4), (3, 4)),
    (lambda m, a, b: m.F.mse_loss(a, b, reduction="sum"), (3, 4), (3, 4)),
    (lambda m, a, b: m.F.l1_loss(a, b, reduction="none"), (3, 4), (3, 4)),
    (lambda m, a, b: m.F.huber_loss(a, b, delta=0.4), (3, 4), (3, 4)),
    (lambda m, a, b: m.F.smooth_l1_loss(a, b, beta=0.4), (3, 4), (3, 4)),
    (lambda m, a, b: m.F.binary_cross_entropy(m.sigmoid(a), m.sigmoid(b)), (3, 4), (3, 4)),
    (lambda m, a, b: m.F.binary_cross_entropy_with_logits(a * 20, m.sigmoid(b)), (3, 4), (3, 4)),
    (
        lambda m, a, b, w: m.F.binary_cross_entropy_with_logits(a, m.sigmoid(b), pos_weight=w),
        (3, 4),
        (3, 4),
        Constant((4,)),
    ),
]
