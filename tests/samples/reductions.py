"""Samples of minidl/ops/reductions.py."""

from tests.samples.kinds import Distinct

SAMPLES = {
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
}
