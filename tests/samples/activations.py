"""Samples of minidl/nn/functional/activations.py."""

SAMPLES = {
    "softplus": [
        (lambda m, a: m.F.softplus(a), (3, 4)),
        (lambda m, a: m.F.softplus(a * 30, beta=2.0, threshold=5.0), (3,)),
    ],
    "gelu": [(lambda m, a: m.F.gelu(a), (3, 4)), (lambda m, a: m.F.gelu(a, approximate="tanh"), (3, 4))],
    "softmax": [(lambda m, a: m.F.softmax(a, dim=1), (3, 4)), (lambda m, a: m.F.softmax(a, dim=0), (3, 4))],
    "log_softmax": [(lambda m, a: m.F.log_softmax(a, dim=-1), (3, 4))],
}

COMPOSED = [
    (lambda m, a: m.F.leaky_relu(a, 0.2), (3, 4)),
    (lambda m, a: m.F.elu(a, 0.7), (3, 4)),
    (lambda m, a: m.F.silu(a), (3, 4)),
]
