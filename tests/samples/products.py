"""Samples of minidl/ops/products.py."""

SAMPLES = {
    "matmul": [
        (lambda m, a, b: a @ b, (3, 4), (4, 2)),
        (lambda m, a, b: a @ b, (5, 3, 4), (4, 2)),
        (lambda m, a, b: a @ b, (3, 4), (4,)),
        (lambda m, a, b: a @ b, (4,), (4, 2)),
        (lambda m, a, b: a @ b, (4,), (4,)),
        (lambda m, a, b: a @ b, (2, 1, 3, 4), (5, 4, 2)),
        (lambda m, a, b: a @ b, (3, 4), (2, 4, 2)),
        (lambda m, a, b: a @ b, (2, 3, 4), (4,)),
        (lambda m, a, b: a @ b, (4,), (2, 4, 3)),
        (lambda m, a, b: a @ b, (0, 4), (4, 2)),
        (lambda m, a, b: a @ b, (3, 0), (0, 2)),
    ],
    "mm": [(lambda m, a, b: m.mm(a, b), (2, 3), (3, 4))],
    "bmm": [(lambda m, a, b: a.bmm(b), (3, 2, 4), (3, 4, 1))],
    "mv": [(lambda m, a, b: m.mv(a, b), (2, 3), (3,))],
    "dot": [(lambda m, a, b: a.dot(b), (3,), (3,))],
}

COMPOSED = [
    (lambda m, a, b: m.outer(a, b), (2,), (3,)),
    (lambda m, a, b: m.einsum("ij,jk->ik", a, b), (2, 3), (3, 4)),
    (lambda m, a, b: m.einsum("bthd,bshd->bhts", a, b), (2, 3, 2, 4), (2, 5, 2, 4)),
    (lambda m, a: m.einsum("ijiki->ki", a), (3, 2, 3, 2, 3)),
    (lambda m, a: m.einsum("i...", a), (2, 3)),
    (lambda m, a, b: m.einsum("...ij, j... -> i...", [a, b]), (1, 2, 3), (3, 4)),
    (lambda m, a, b, c: m.einsum("bi,oij,bj->bo", a, b, c), (4, 2), (3, 2, 5), (4, 5)),
    (lambda m, a, b: m.einsum("ba,aB", a, b), (2, 3), (3, 1)),
    (lambda m, a, b: m.einsum(a, [0, 1], b, [1, ...], [..., 0]), (2, 3), (3, 2, 2)),
]
