"""Answers to the exercises of notebook 00: right ones written differently, wrong ones with their message."""

import numpy as np

RIGHT = {
    "00.1": [lambda p, t: (t - p) * (t - p), lambda p, t: np.square(p - t)],
    "00.2": [
        lambda p, t: sum((a - b) ** 2 for a, b in zip(p, t, strict=True)) / len(p),
        lambda p, t: np.dot(p - t, p - t) / p.size,
    ],
}

WRONG = {
    "00.1": [
        (lambda p, t: t - p, "cancel"),
        (lambda p, t: p - t, "cancel"),
        (lambda p, t: abs(t - p), "absolute error"),
        (lambda p, t: (p - t) ** 2 / 2, "0.5"),
    ],
    "00.2": [
        (lambda p, t: np.sum((p - t) ** 2), "sum"),
        (lambda p, t: np.square(np.mean(p - t)), "averaged first"),
        (lambda p, t: ((p - t) ** 2)[0], "gives 0.25, expected 3.3125"),
    ],
}
