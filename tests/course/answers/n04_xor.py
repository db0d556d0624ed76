"""Notebook 04: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import numpy as np


def by_runs(wanted):
    weights = [wanted[k] - wanted[k - 1] for k in range(1, len(wanted))]
    return weights, 0.5 - wanted[0]


def doubled(wanted):
    wanted = 2 * np.array(wanted, dtype=np.float32)
    return wanted[1:] - wanted[:-1], float(1 - wanted[0])


def too_many_weights(wanted):
    return list(wanted), 1


def weights_alone(wanted):
    return np.diff(wanted)


def threshold_of_two(wanted):
    return np.diff(wanted), 2 - wanted[0]


def by_recursion(points, inputs):
    if points == 1 or inputs == 0:
        return 2
    return sum_of_rows(points, inputs)


def sum_of_rows(points, inputs):
    """Cover's rule, row by row."""
    row = [2] * (inputs + 1)
    for _ in range(points - 1):
        row = [2] + [row[n] + row[n - 1] for n in range(1, inputs + 1)]
    return row[inputs]


def one_term_too_many(points, inputs):
    return by_recursion(points, inputs + 1)


def wrong_stop(points, inputs):
    row = [1] * (inputs + 1)
    for _ in range(points - 1):
        row = [1] + [row[n] + row[n - 1] for n in range(1, inputs + 1)]
    return row[inputs]


ONES = [1] * 8
STAIRCASE = [(ONES + [0] * i, i + 1) for i in range(8)] + [([0] * 8 + [1, -1] * 4, 1)]
STAIRCASE_INVERTED = [*STAIRCASE[:-1], ([0] * 8 + [-1, 1] * 4, 0)]
CORRECTED = [(ONES + [0] * i, 2 * i + 2) for i in range(4)] + [(ONES + [-2] * 4, 1)]
AS_ARRAYS = [
    (np.array(ONES), 7.5),
    (np.array([*ONES, -8.0]), 3.5),
    (np.array([*ONES, -8.0, -4.0]), 1.5),
    (np.array([*ONES, -8.0, -4.0, -2.0]), 0.5),
]

RIGHT = {
    "04.1": [
        ([[1, 1], [-1, -1]], [1, -1], [-1, -1], -1),
        (np.array([[2.0, -2.0], [-2.0, 2.0]]), np.array([1.0, 1.0]), np.array([-1.0, -1.0]), 0.0),
        [[[1, 1], [1, 1]], [1, 2], [-1, 1], 0],
    ],
    "04.2": [
        ([[0, 0, 1, 1], [1, 1, 0, 0]], [[1, 0, 0, 1], [0, 1, 1, 0]]),
        (np.array([[1, 1, 0, 0], [0, 0, 1, 1]]), [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]]),
    ],
    "04.3": [by_runs, doubled],
    "04.4": [by_recursion, sum_of_rows],
    "04.5": [CORRECTED, AS_ARRAYS],
}

WRONG = {
    "04.1": [
        (([[1, 1], [-1, -1]], [1, -1], [1, 1], 2), "this is XOR"),
        (([[1, 0], [0, 1]], [1, 1], [1, 1], 2), "only copy"),
        (([[1, 1], [1, 1]], [1, 1], [1, 1], 1), "land on the same hidden point"),
        (([[1, 1], [-1, -1]], [2, 0], [1, -1], 1), "the hidden layer is fine"),
        (([1, 1, -1, -1], [2, 0], [1, 1], 1), "hidden weights: expected shape (2, 2)"),
        (([[1, 1], [-1, -1]], [2, 0], [1, 1]), "give four things"),
    ],
    "04.2": [
        (([(1, 0, 1, 0), (0, 1, 0, 1)], [(1, 1, 0, 0), (0, 0, 1, 1)]), "swapped"),
        (([(1, 1, 0, 0), (0, 0, 1, 0)], [(1, 0, 1, 0), (0, 1, 0, 1)]), "does not belong"),
        (([(1, 1, 0, 0), (0, 0, 1, 1)], [(1, 0, 1, 0), (0, 1, 0, 0)]), "averages differ"),
        (([(1, 1, 0, 0)], [(0.5, 0.5, 0.5, 0.5)]), "made of 0s and 1s"),
        (([(1, 1)], [(0, 1)]), "inputs of four bits"),
    ],
    "04.3": [
        (too_many_weights, "output weights: expected shape (4,)"),
        (weights_alone, "return two things"),
        (threshold_of_two, "threshold_of_two([0, 1, 0, 1, 0]) has 0 at [1]"),
    ],
    "04.4": [(one_term_too_many, "one_term_too_many"), (wrong_stop, "half of it")],
    "04.5": [
        (STAIRCASE, "with 9 units"),
        (STAIRCASE_INVERTED, "the wrong way round"),
        (CORRECTED[:-1], "of the 256 answers are wrong"),
        ([(ONES, 8), (ONES, 4)], "weights of unit 1"),
        ([([*ONES, 0], 1)], "weights of unit 0"),
    ],
}
