"""Samples of minidl/nn/functional/normalization.py."""


def batch(m, x, *parameters, **settings):
    return m.F.batch_norm(x, None, None, *parameters, training=True, **settings)


def evaluated(m, x, w, b):
    mean, var = m.tensor([0.5, -1.0, 2.0], dtype=x.dtype), m.tensor([1.0, 0.3, 4.0], dtype=x.dtype)
    return m.F.batch_norm(x, mean, var, w, b, eps=0.1)


SAMPLES = {
    "standardize": [
        (batch, (4, 3), (3,), (3,)),
        (lambda m, x: batch(m, x, eps=0.1), (2, 3, 4)),
        (evaluated, (2, 3, 2, 2), (3,), (3,)),
        (lambda m, x, w, b: m.F.group_norm(x, 2, w, b), (2, 4, 3), (4,), (4,)),
        (lambda m, x: m.F.group_norm(x, 3), (2, 3, 2, 2)),
        (lambda m, x, w, b: m.F.layer_norm(x, (3, 4), w, b), (2, 3, 4), (3, 4), (3, 4)),
        (lambda m, x, b: m.F.layer_norm(x, (4,), None, b, 0.1), (2, 3, 4), (4,)),
        (lambda m, x, w: m.F.rms_norm(x, (4,), w), (2, 3, 4), (4,)),
        (lambda m, x: m.F.rms_norm(x, [3, 4], eps=0.1), (2, 3, 4)),
    ],
}
