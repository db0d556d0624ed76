"""Samples of minidl/ops/indexing.py."""

from tests.samples.kinds import Values

MASK = Values([[True, False, True], [False, False, True]])

SAMPLES = {
    "masked_fill": [(lambda m, a, c: a.masked_fill(c, -1.0), (2, 3), MASK)],
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
}
