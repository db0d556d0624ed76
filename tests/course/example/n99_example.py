"""A file of exercises as small as it gets, with one exercise of each kind."""

import numpy as np

from minidl.course.exercise import Exercise, Mistake


def mean_rows(x):
    """The mean of the rows. x (N, D) -> (D,)"""
    return np.mean(x, axis=0)


def clip_in_place(x, limit):
    np.clip(x, -limit, limit, out=x)


class Counter:
    def __init__(self, start):
        self.value = start

    def up(self):
        self.value += 1
        return self.value


def build_cases():
    return [(np.arange(6.0).reshape(3, 2),), (np.array([[1.0, 2.5], [3.0, 5.0], [4.0, 4.5], [9.0, 9.0]]),)]


def judge_sum(weights):
    return None if sum(weights) == 2 else f"the weights sum to {sum(weights)}, not to 2"


EXERCISES = [
    Exercise(
        "99.1",
        mean_rows,
        cases=build_cases,
        mistakes=[
            Mistake(lambda x: np.sum(x, axis=0), "that is the sum: divide by how many rows there are"),
            Mistake(lambda x: np.mean(x, axis=1), "those are the means of the columns' rows: the other axis"),
        ],
        hints=["Which axis disappears?", "`axis=0` runs **down** the rows."],
        reasoning="The rows are examples, so axis 0 goes: $\\frac{1}{N}\\sum_n x_n$.",
        praise="Right, whatever N is.",
    ),
    Exercise(
        "99.2",
        14,
        mistakes=[Mistake(16, "two of them no line can separate")],
        hints=["Count.", "Two are missing."],
        reasoning="All but XOR and its opposite.",
    ),
    Exercise(
        "99.3",
        [1, 1],
        judge=judge_sum,
        mistakes=[Mistake([0, 0], "with no weights nothing happens")],
        hints=["Add them.", "Two ones do it."],
        reasoning="Any pair with sum 2.",
        code="weights = [1, 1]",
        praise=lambda weights: f"Right: {weights[0]} + {weights[1]} = 2.",
    ),
    Exercise("99.4", clip_in_place, cases=[(np.array([-3.0, 0.5, 2.0]), 1.0)]),
    Exercise("99.5", Counter, cases=[(0,), (5,)], call=lambda cls, start: cls(start).up()),
]
