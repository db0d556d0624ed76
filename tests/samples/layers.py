"""Samples of minidl/nn/functional/layers.py."""

from tests.samples.kinds import Values

PLACES = Values([[2, 0, 2], [4, 2, 0]])

SAMPLES = {
    "linear": [
        (lambda m, x, w, b: m.F.linear(x, w, b), (4, 3), (2, 3), (2,)),
        (lambda m, x, w: m.F.linear(x, w), (2, 5, 3), (2, 3)),
        (lambda m, x, w, b: m.F.linear(x, w, b), (3,), (2, 3), (2,)),
        (lambda m, x, w, b: m.F.linear(x, w, b), (2, 4, 3), (3,), ()),
    ],
    "embedding": [
        (lambda m, i, w: m.F.embedding(i, w), PLACES, (5, 3)),
        (lambda m, i, w: m.F.embedding(i, 2 * w), Values(3), (5, 3)),
        (lambda m, i, w: m.F.embedding(i, w).transpose(0, 2), PLACES, (5, 3)),
    ],
}

COMPOSED = [
    (lambda m, a: m.F.normalize(a), (3, 4)),
    (lambda m, a: m.F.normalize(a, p=3, dim=(0, 1)), (3, 4)),
    (lambda m, a, b: m.F.cosine_similarity(a, b), (3, 4), (4,)),
    (lambda m, a, b: m.F.cosine_similarity(a, b, dim=0, eps=0.1), (3, 4), (3, 1)),
]
