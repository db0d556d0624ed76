"""Samples of minidl/nn/functional/pooling.py."""

from tests.samples.kinds import Distinct

SAMPLES = {
    "max_pool": [
        (lambda m, x: m.F.max_pool2d(x, 2), Distinct((2, 2, 4, 5))),
        (lambda m, x: m.F.max_pool2d(x, 3, 1, 1, 1, True), Distinct((2, 3, 4))),
        (lambda m, x: m.F.max_pool2d(x, (2, 3), (2, 1), (1, 0), dilation=(2, 1)), Distinct((1, 1, 5, 4))),
        (lambda m, x: m.F.max_pool1d(x, 3, stride=2, padding=1, ceil_mode=True), Distinct((2, 2, 6))),
    ],
    "adaptive_max_pool": [
        (lambda m, x: m.F.adaptive_max_pool2d(x, (2, 3)), Distinct((2, 2, 5, 4))),
        (lambda m, x: m.F.adaptive_max_pool1d(x, 3), Distinct((2, 7))),
    ],
    "avg_pool1d": [
        (lambda m, x: m.F.avg_pool1d(x, 2), (2, 3, 5)),
        (lambda m, x: m.F.avg_pool1d(x, 3, 2, 1, True, False), (2, 6)),
    ],
    "avg_pool2d": [
        (lambda m, x: m.F.avg_pool2d(x, 2), (2, 2, 4, 5)),
        (lambda m, x: m.F.avg_pool2d(x, (3, 2), 1, 1, divisor_override=5), (2, 4, 3)),
        (lambda m, x: m.F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), (1, 1, 5, 6)),
    ],
    "adaptive_avg_pool1d": [(lambda m, x: m.F.adaptive_avg_pool1d(x, 3), (2, 2, 7))],
    "adaptive_avg_pool2d": [
        (lambda m, x: m.F.adaptive_avg_pool2d(x, (2, 3)), (2, 2, 5, 4)),
        (lambda m, x: m.F.adaptive_avg_pool2d(x, (None, 5)), (2, 3, 3)),
    ],
}
