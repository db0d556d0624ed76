"""Notebook 09: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import numpy as np

from minidl.course.exercises.n09_universal_approximation import fold_twice_then_corners


def bump_by_tanh(x, left, right, height, steepness):
    up = np.tanh(steepness * (x - left) / 2)
    return height / 2 * (up - np.tanh(steepness * (x - right) / 2))


def bump_by_layers(x, left, right, height, steepness):
    hidden = 1 / (1 + np.exp(-(np.outer(x, [steepness] * 2) - steepness * np.array([left, right]))))
    return hidden @ np.array([height, -height])


def wide_bump(x, left, right, height, steepness):
    return bump_by_tanh(x, left, right, 2 * height, steepness)


def weights_by_loop(knots, values):
    weights, slope = [], 0.0
    for i in range(len(knots) - 1):
        new = (values[i + 1] - values[i]) / (knots[i + 1] - knots[i])
        weights.append(float(new - slope))
        slope = new
    return weights, float(values[0])


def weights_by_solving(knots, values):
    hinges = np.maximum(knots[1:, None] - knots[:-1], 0)
    return np.linalg.solve(hinges, values[1:] - values[0]), values[0]


def weights_as_a_layer(knots, values):
    """The shapes that the notebook's `corners` has."""
    weights, bias = weights_by_loop(knots, values)
    return np.array([weights]), np.array([bias])


def weights_alone(knots, values):
    return weights_by_loop(knots, values)[0]


def pieces_by_slopes(w, b, v):
    """Look at the slope halfway between all kinks, and outside."""
    w, b, v = (np.asarray(each, float) for each in (w, b, v))
    kinks = np.unique(-b[w != 0] / w[w != 0])
    inside = (kinks[1:] + kinks[:-1]) / 2
    places = np.concatenate([kinks[:1] - 1, inside, kinks[-1:] + 1])
    slopes = ((places[:, None] * w + b > 0) * w) @ v
    return 1 + int((np.abs(np.diff(slopes)) > 1e-9).sum())


def one_too_many(w, b, v):
    return pieces_by_slopes(w, b, v) + 1


def zigzag_by_relus(x, k):
    for _ in range(k):
        up, down, again = (np.maximum(x - knot, 0) for knot in (0, 1 / 3, 2 / 3))
        x = 3 * up - 6 * down + 6 * again
    return x


def zigzag_by_recursion(x, k):
    return x if k == 0 else zigzag_by_recursion(np.abs((3 * x + 1) % 2 - 1), k - 1)


def upside_down_zigzag(x, k):
    return 1 - zigzag_by_relus(x, k)


def in_a_row(cells):
    """Interpolation of cos(4 pi x) in equal cells, one hidden layer."""
    knots = np.linspace(0, 1, cells + 1)
    weights, bias = weights_by_loop(knots, np.cos(4 * np.pi * knots))
    return [(np.ones((cells, 1)), -knots[:-1]), ([weights], [bias])]


def folded_once():
    """One tent, then a whole wave in 15 corners."""
    knots = np.linspace(0, 1, 25)
    weights, bias = weights_by_loop(knots, np.cos(2 * np.pi * knots))
    return [
        ([[1], [1]], [0, -0.5]),
        (np.tile([2.0, -4.0], (24, 1)), -knots[:-1]),
        (np.array([weights]), np.array([bias])),
    ]


FOLDED = fold_twice_then_corners()

RIGHT = {
    "09.1": [bump_by_tanh, bump_by_layers],
    "09.2": [weights_by_loop, weights_by_solving, weights_as_a_layer],
    "09.3": [pieces_by_slopes],
    "09.4": [zigzag_by_relus, zigzag_by_recursion],
    "09.5": [folded_once(), [(W.tolist(), b.tolist()) for W, b in fold_twice_then_corners(8)]],
}

WRONG = {
    "09.1": [
        (wide_bump, "factor"),
        (lambda x, left, right, height, steepness: x * 0, "expected"),
        (lambda x, left, right, height, steepness: np.where((x > left) & (x < right), height, 0), "vertical"),
    ],
    "09.2": [
        (weights_alone, "returns 3 values, expected 2"),
        (lambda knots, values: (list(values), values[0]), "expected"),
        (lambda knots, values: weights_by_loop(knots, values)[::-1], "wrong order"),
    ],
    "09.3": [(one_too_many, "1 too large"), (lambda w, b, v: 2, "expected")],
    "09.4": [(upside_down_zigzag, "upside_down_zigzag"), (lambda x, k: x, "expected")],
    "09.5": [
        (in_a_row(45), "Equal cells need 136"),
        (in_a_row(44), "the largest error is 0.01"),
        (in_a_row(10), "the largest error"),
        (FOLDED[:-1], "the last layer has 7 units"),
        ([(np.ones((1, 2)), [0, -0.5]), *FOLDED[1:]], "weights of layer 0 have shape (1, 2)"),
        ([(FOLDED[0][0], [0]), *FOLDED[1:]], "biases of layer 0"),
        ([FOLDED[0][0]], "a pair (W, b)"),
        (0.5, "a list of pairs"),
    ],
}
