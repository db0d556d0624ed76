"""Samples of minidl/nn/functional/layers.py."""

SAMPLES = {
    "linear": [
        (lambda m, x, w, b: m.F.linear(x, w, b), (4, 3), (2, 3), (2,)),
        (lambda m, x, w: m.F.linear(x, w), (2, 5, 3), (2, 3)),
        (lambda m, x, w, b: m.F.linear(x, w, b), (3,), (2, 3), (2,)),
    ],
}

COMPOSED = [
    (lambda m, a: m.F.normalize(a), (3, 4)),
]
