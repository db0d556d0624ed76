"""Samples of minidl/ops/reductions.py."""

from tests.samples.kinds import Distinct, Positive, Values

WHOLE = Values([[3, -2, 0], [7, 5, -4]])
ZEROS = Values([[0.5, 0.0, -2.0], [0.0, 3.0, 0.0]])

SAMPLES = {
    "sum": [
        (lambda m, a: m.sum(a), (3, 4)),
        (lambda m, a: a.sum(1), (3, 4)),
        (lambda m, a: a.sum((0, -1), keepdim=True), (2, 3, 4)),
        (lambda m, a: a.sum(), ()),
        (lambda m, a: a.sum(0), (0, 3)),
        (lambda m, i: i.sum(0), WHOLE),
    ],
    "mean": [
        (lambda m, a: a.mean(), (3, 4)),
        (lambda m, a: a.mean(-1, keepdim=True), (3, 4)),
        (lambda m, a: a.mean((0, 1)), (2, 3)),
    ],
    "prod": [
        (lambda m, a: m.prod(a), (2, 3)),
        (lambda m, a: a.prod(1, keepdim=True), ZEROS),
        (lambda m, a: a.prod(-2), (2, 3, 2)),
    ],
    "cumsum": [(lambda m, a: m.cumsum(a, 1), (2, 5)), (lambda m, a: a.cumsum(-2), (3, 2))],
    "var": [
        (lambda m, a: m.var(a), (5,)),
        (lambda m, a: a.var(1, correction=0), (3, 4)),
        (lambda m, a: a.var((0, 2), unbiased=False), (2, 3, 2)),
    ],
    "std": [(lambda m, a: a.std(0, keepdim=True), (4, 3)), (lambda m, a: m.std(a, False), (4, 3))],
    "amax": [(lambda m, a: m.amax(a, 1), Distinct((3, 4))), (lambda m, a: a.max(), Distinct((5,)))],
    "amin": [(lambda m, a: m.amin(a, (0, 1)), Distinct((3, 4))), (lambda m, a: a.min(), Distinct((2, 3)))],
    "argmax": [(lambda m, a: m.argmax(a, 1), Distinct((3, 4))), (lambda m, a: a.argmax(), (5,))],
    "argmin": [(lambda m, a: m.argmin(a, -2, True), Distinct((3, 4)))],
    "argsort": [
        (lambda m, a: m.argsort(a, 0, descending=True), (4, 3)),
        (lambda m, a: a.sort(1).values, Distinct((3, 4))),
        (lambda m, a: m.topk(a, 2, dim=0).values, Distinct((3, 4))),
    ],
    "values_at": [
        (lambda m, a: a.max(1).values, Distinct((3, 4))),
        (lambda m, a: a.min(0, keepdim=True)[0], Distinct((3, 4))),
        (lambda m, a: a.sort(-1, descending=True)[0], Distinct((2, 3, 4))),
    ],
    "median": [(lambda m, a: m.median(a), Distinct((3, 4)))],
    "middle": [(lambda m, a: a.median(1).values, Distinct((3, 4)))],
    "all": [(lambda m, i: m.all(i, 1), WHOLE)],
    "any": [(lambda m, i: i.any((0, 1), keepdim=True), WHOLE)],
    "count_nonzero": [(lambda m, i: m.count_nonzero(i, 1), WHOLE)],
    "logsumexp": [(lambda m, a: m.logsumexp(a, 1), (3, 4)), (lambda m, a: a.logsumexp((0, 1), True), (3, 4))],
    "softmax": [(lambda m, a: m.softmax(a, 1), (3, 4)), (lambda m, a: a.softmax(dim=0), (3, 4))],
    "log_softmax": [(lambda m, a: m.log_softmax(a, -1), (3, 4)), (lambda m, a: a.log_softmax(0), ())],
    "norm": [
        (lambda m, a: m.norm(a), (3, 4)),
        (lambda m, a: a.norm(dim=1, keepdim=True), (3, 4)),
        (lambda m, a: a.norm(1, (0, 1)), (3, 4)),
        (lambda m, a: m.norm(a, 3, 0), (3, 4)),
        (lambda m, a: m.norm(a, 0.5, 0), (3, 4)),
        (lambda m, a: m.norm(a, float("inf"), -1), Distinct((3, 4))),
        (lambda m, a: m.norm(a, -1), Positive((3, 4))),
    ],
}
