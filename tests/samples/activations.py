"""Samples of minidl/nn/functional/activations.py."""

from tests.samples.kinds import Constant

SAMPLES = {
    "leaky_relu": [(lambda m, a: m.F.leaky_relu(a), (3, 4)), (lambda m, a: m.F.leaky_relu(a, -0.3), (3, 4))],
    "hardtanh": [
        (lambda m, a: m.F.hardtanh(a), (3, 4)),
        (lambda m, a: m.F.relu6(4 * a), (3, 4)),
        (lambda m, a: m.F.hardswish(3 * a), (3, 4)),
    ],
    "exponential_unit": [
        (lambda m, a: m.F.elu(a, 0.7), (3, 4)),
        (lambda m, a: m.F.celu(a, 2.0), (3, 4)),
        (lambda m, a: m.F.selu(a), (3, 4)),
    ],
    "softplus": [
        (lambda m, a: m.F.softplus(a), (3, 4)),
        (lambda m, a: m.F.softplus(a * 30, beta=2.0, threshold=5.0), (3,)),
    ],
    "logsigmoid": [(lambda m, a: m.F.logsigmoid(5 * a), (3, 4))],
    "silu": [(lambda m, a: m.F.silu(a), (3, 4))],
    "gelu": [(lambda m, a: m.F.gelu(a), (3, 4)), (lambda m, a: m.F.gelu(a, approximate="tanh"), (3, 4))],
}

COMPOSED = [
    (lambda m, a: m.F.relu(a), (3, 4)),
    (lambda m, a: m.F.mish(a), (3, 4)),
    (lambda m, a: m.F.softsign(a), (3, 4)),
    (lambda m, a: m.F.glu(a), (3, 4)),
    (lambda m, a: m.F.glu(a, 0), (2, 3)),
    (lambda m, a: m.F.softmin(a, dim=1), (3, 4)),
    (lambda m, a, w: m.F.prelu(a, w), (3, 4, 2), (4,)),
    (lambda m, a, w: m.F.prelu(a, w), (3,), Constant((1,))),
]
