"""Samples of minidl/ops/products.py."""

SAMPLES = {
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
}
