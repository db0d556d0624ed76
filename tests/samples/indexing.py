"""Samples of minidl/ops/indexing.py."""

from tests.samples.kinds import Values

MASK = Values([[True, False, True], [False, False, True]])
PLACES = Values([[0, 0, 2, 1], [1, 1, 1, 0]])

SAMPLES = {
    "masked_fill": [
        (lambda m, a, c: a.masked_fill(c, -1.0), (2, 3), MASK),
        (lambda m, a, c, v: m.masked_fill(a, c, v), (3,), MASK, ()),
    ],
    "getitem": [
        (lambda m, a: a[1], (3, 4)),
        (lambda m, a: a[:, ::2], (3, 4)),
        (lambda m, a: a[..., None, 1:], (2, 3)),
        (lambda m, a: a[[0, 0, 2]], (3, 2)),
        (lambda m, a, i: a[i], (3, 2), Values([2, 0, 2, 2])),
        (lambda m, a, i: a[1, :, i], (2, 3, 4), Values([2, 0, 2])),
        (lambda m, a, i: a[i, :, [[1], [-1]]], (2, 3, 4), Values([0, 1, 1])),
        (lambda m, a, c: a[c], (2, 3), MASK),
        (lambda m, a, c: a[c, [0, 3, 0]], (2, 3, 4), MASK),
        (lambda m, a, c: a[:, c, None], (4, 2, 3), MASK),
        (lambda m, a: a.split(2, 1)[1], (3, 5)),
    ],
    "gather": [
        (lambda m, a, i: m.gather(a, 1, i), (2, 3), PLACES),
        (lambda m, a, i: a.gather(0, i), (3, 5), PLACES),
        (lambda m, a, i: a.gather(-1, i), (), Values(0)),
    ],
    "scatter": [
        (lambda m, a, i: m.scatter(a, 1, i, 2.0), (2, 3), PLACES),
        (lambda m, a, i, b: a.scatter(0, i, b), (3, 3), Values([[0, 1, 2], [1, 2, 0]]), (2, 3)),
    ],
    "scatter_add": [(lambda m, a, i, b: a.scatter_add(1, i, b), (3, 3), PLACES, (2, 4))],
    "index_select": [
        (lambda m, a, i: m.index_select(a, 1, i), (2, 3, 2), Values([2, 0, 2])),
        (lambda m, a, i: a.index_select(-1, i), (3,), Values(1)),
    ],
}

COMPOSED = [
    (lambda m, a, i: m.take_along_dim(a, i, dim=1), (2, 3), Values([[0, -1, 0]])),
    (lambda m, a, i: a.take_along_dim(i), (2, 3), PLACES),
    (lambda m, a, c: m.masked_select(a, c), (3,), MASK),
    (lambda m, a: m.repeat_interleave(a, 2, dim=1), (2, 3)),
    (lambda m, a, n: a.repeat_interleave(n, 0), (3, 2), Values([2, 0, 3])),
]
