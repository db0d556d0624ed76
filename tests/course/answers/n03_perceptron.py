"""Notebook 03: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import math

import numpy as np

from minidl import data


def update_by_cases(w, b, x, y):
    score = sum(wi * xi for wi, xi in zip(w, x, strict=True)) + b
    if score >= 0 and y == 0:
        return [wi - xi for wi, xi in zip(w, x, strict=True)], b - 1
    if score < 0 and y == 1:
        return [wi + xi for wi, xi in zip(w, x, strict=True)], b + 1
    return list(w), b


def update_through_signs(w, b, x, y):
    sign = 2 * y - 1
    if sign * (w @ x + b) <= 0 and (y == 0 or w @ x + b < 0):
        w, b = w + sign * x, b + sign
    return w, b


def update_in_place(w, b, x, y):
    error = y - int(w @ x + b >= 0)
    w += error * x
    return w, b + error


def update_with_a_rate(w, b, x, y):
    error = y - int(w @ x + b >= 0)
    return w + 0.1 * error * x, b + 0.1 * error


def margin_by_loop(w, b, x, y):
    length = (sum(v * v for v in w) + b**2) ** 0.5
    return min(int(c) * (float(np.dot(w, row)) + b) / length for row, c in zip(x, y, strict=True))


def margin_augmented(w, b, x, y):
    u = np.append(w, b)
    z = np.column_stack([x, np.ones(len(x))]) * y[:, None]
    return (z @ (u / np.linalg.norm(u))).min()


def bound_augmented(w, b, x, y):
    gamma = margin_augmented(w, b, x, y)
    z = np.column_stack([x, np.ones(len(x))])
    return (np.linalg.norm(z, axis=1).max() / gamma) ** 2 if gamma > 0 else float("inf")


def bound_of_the_table(w, b, x, y):
    gamma = margin_by_loop(w, b, x, y)
    z = np.column_stack([x, np.ones(len(x))])
    return (np.linalg.norm(z) / gamma) ** 2 if gamma > 0 else float("inf")


def ten_with_outer(W, x, y):
    change = np.zeros(10)
    change[y] += 1
    change[(W @ x).argmax()] -= 1
    return W + np.outer(change, x)


def ten_by_lists(W, x, y):
    scores = [float(np.dot(row, x)) for row in W]
    winner = scores.index(max(scores))
    rows = [row.copy() for row in W]
    if winner != y:
        rows[y], rows[winner] = rows[y] + x, rows[winner] - x
    return rows


def ten_in_place(W, x, y):
    winner = np.argmax(W @ x)
    if winner != y:
        W[y] += x
        W[winner] -= x
    return W


def _fit_mean_pictures():
    digits = data.mnist()
    threes, fives = (digits.train_images[digits.train_labels == digit] / 255 for digit in (3, 5))
    w = (fives.mean(0) - threes.mean(0)).ravel()
    return w, -w @ ((fives.mean(0) + threes.mean(0)).ravel() / 2)


def mean_pictures(images):
    w, b = _fit_mean_pictures()
    return np.where(images.reshape(len(images), -1) / 255 @ w + b >= 0, 1, -1)


def nearest_neighbour(images):
    digits = data.mnist()
    chosen = np.flatnonzero(np.isin(digits.train_labels, (3, 5)))[:3000]
    known = digits.train_images[chosen].reshape(len(chosen), -1).astype(np.float32)
    asked = images.reshape(len(images), -1).astype(np.float32)
    distance = (known**2).sum(1) - 2 * asked @ known.T
    return np.where(digits.train_labels[chosen] == 5, 1, -1)[distance.argmin(1)][:, None]


RIGHT = {
    "03.1": [update_by_cases, update_through_signs],
    "03.2": [margin_by_loop, margin_augmented],
    "03.3": [bound_augmented],
    "03.4": [ten_with_outer, ten_by_lists],
    "03.5": [nearest_neighbour],
}

WRONG = {
    "03.1": [
        (update_in_place, "changes its first argument in place"),
        (update_with_a_rate, "gives"),
        (lambda w, b, x, y: (update_by_cases(w, 0, x, y)[0], b + y - int(w @ x >= 0)), "from the score"),
        (lambda w, b, x, y: w + (y - int(w @ x + b >= 0)) * x, "return both"),
        (lambda w, b, x, y: (w + x, b + 1) if y != int(w @ x + b >= 0) else (w, b), "every mistake adds x"),
    ],
    "03.2": [
        (lambda w, b, x, y: (y * (x @ w + b)).min() / np.linalg.norm(w), "distance to the line in the plane"),
        (lambda w, b, x, y: (y * (x @ w + b)).max() / np.sqrt(w @ w + b * b), "gives"),
        (lambda w, b, x, y: max(0, margin_by_loop(w, b, x, y)), "do not cut it off"),
        (lambda w, b, x, y: -(y * (x @ w + b)).min() / np.sqrt(w @ w + b * b), "wrong sign"),
    ],
    "03.3": [
        (lambda w, b, x, y: np.square(x).sum(1).max() / margin_by_loop(w, b, x, y) ** 2, "expected"),
        (
            lambda w, b, x, y: (np.square(x).sum(1).max() + 1) / margin_by_loop(w, b, x, y) ** 2,
            "promises nothing",
        ),
        (bound_of_the_table, "without `axis=1`"),
        (lambda w, b, x, y: math.sqrt(bound_augmented(w, b, x, y)), "this is R/γ"),
    ],
    "03.4": [
        (ten_in_place, "changes its first argument in place"),
        (lambda W, x, y: W + np.outer(np.arange(10) == y, x), "right or wrong"),
        (lambda W, x, y: ten_with_outer(W, x, y).T, "is transposed"),
    ],
    "03.5": [
        (lambda images: np.full(len(images), -1), "says -1 to every image"),
        (lambda images: np.where(mean_pictures(images) > 0, 5, 3), "say -1 for a 3 and +1 for a 5"),
        (lambda images: mean_pictures(images) > 0, "say -1 for a 3 and +1 for a 5"),
        (lambda images: -mean_pictures(images), "are the classes swapped?"),
        (lambda images: mean_pictures(images)[:10], "expected one answer for each image"),
        (lambda images: print(len(images)), "is a `return` missing?"),
        (mean_pictures, "the bar is 96%"),
        (0.97, "should be a function"),
    ],
}
