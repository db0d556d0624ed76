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


def recursion_by_the_book(points, inputs):
    """What the hint says, without a memory: 2^points calls, so the cases must stay small."""
    if points == 1 or inputs == 0:
        return 2
    return recursion_by_the_book(points - 1, inputs) + recursion_by_the_book(points - 1, inputs - 1)


def staircase(n):
    return [([1] * n + [0] * i, i + 1) for i in range(n)] + [([0] * n + [(-1) ** i for i in range(n)], 1)]


def staircase_inverted(n):
    return [*staircase(n)[:-1], ([0] * n + [(-1) ** (i + 1) for i in range(n)], 0)]


def corrected(n):
    """The output hears the count itself, and is corrected by -2 at every second count."""
    return [([1] * n + [0] * i, 2 * i + 2) for i in range(n // 2)] + [([1] * n + [-2] * (n // 2), 1)]


def as_arrays(n):
    digits = [2**k for k in range(10) if 2**k <= n][::-1]
    return tuple((np.concatenate([np.ones(n), -np.array(digits[:i])]), d - 0.5) for i, d in enumerate(digits))


def eights_first(n):
    """Digits 8, 4, 2, 1 for every n: right, but wasteful for few inputs."""
    return [([1] * n + [-8, -4, -2][:i], d) for i, d in enumerate((8, 4, 2, 1))]


def for_eight(n):
    return as_arrays(8)


RIGHT = {
    "04.1": [
        ([[1, 1], [-1, -1]], [1, -1], [-1, -1], -1),
        (np.array([[2.0, -2.0], [-2.0, 2.0]]), np.array([1.0, 1.0]), np.array([-1.0, -1.0]), 0.0),
        [[[1, 1], [1, 1]], [1, 2], [-1, 1], 0],
        ([[1, 1], [-1, -1]], [[2], [0]], [[1, 1]], [1]),
    ],
    "04.2": [
        ([[0, 0, 1, 1], [1, 1, 0, 0]], [[1, 0, 0, 1], [0, 1, 1, 0]]),
        (np.array([[1, 1, 0, 0], [0, 0, 1, 1]]), [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]]),
    ],
    "04.3": [by_runs, doubled],
    "04.4": [by_recursion, sum_of_rows, recursion_by_the_book],
    "04.5": [corrected, as_arrays],
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
        (([(1, 1, 0, 0), (0, 0, 1, 0)], [(1, 0, 1, 0), (0, 1, 0, 1)]), "it belongs in the other list"),
        (([(1, 1, 0, 0), (0, 0, 1, 1)], [(1, 0, 1, 0), (0, 1, 0, 0)]), "averages differ"),
        (([(1, 1, 0, 0)], [(0.5, 0.5, 0.5, 0.5)]), "made of 0s and 1s"),
        (([(1, 1)], [(0, 1)]), "inputs of four bits"),
    ],
    "04.3": [
        (too_many_weights, "output weights: expected shape (4,)"),
        (weights_alone, "return two things"),
        (threshold_of_two, "the value for '1 on' gives 0, expected 1"),
        (lambda wanted: (np.diff(wanted), wanted[0]), "the threshold is the wrong way round"),
    ],
    "04.4": [(one_term_too_many, "one_term_too_many"), (wrong_stop, "half of it")],
    "04.5": [
        (staircase, "all answers are right, but 2 inputs take 3 units"),
        (eights_first, "all answers are right, but 2 inputs take 4 units"),
        (staircase_inverted, "the wrong way round"),
        (lambda n: corrected(n)[:-1], "for n = 2, 3 of the 4 answers are wrong"),
        (for_eight, "for n = 2: weights of unit 0 (2 inputs, 0 units before it)"),
        (lambda n: [([1] * n, 2), ([1] * n, 1)], "weights of unit 1"),
        (lambda n: [[*([1] * n), 1]], "should be a pair"),
        (as_arrays(8), "should be a function"),
    ],
}
