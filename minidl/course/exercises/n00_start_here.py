"""Exercises of notebook 00: the squared error, to learn how exercises work."""

import numpy as np

from minidl.course.exercise import Exercise, Mistake


def squared_error(prediction, target):
    return (prediction - target) ** 2


def mean_squared_error(predictions, targets):
    return ((predictions - targets) ** 2).mean()


def _arrays():
    a, b = np.array([1.0, 2.0, 4.0, -3.0]), np.array([0.5, 2.0, 1.0, -1.0])
    return [(a, b), (b, a), (np.array([2.0, 5.0]), np.array([0.0, 6.0]))]


EXERCISES = [
    Exercise(
        "00.1",
        reference=squared_error,
        cases=[(3.0, 1.0), (1.0, 3.5), (2.0, 2.0), (-1.0, 0.5)],
        mistakes=[
            Mistake(
                lambda p, t: p - t, "that is the error itself; too high and too low would cancel. Square it"
            ),
            Mistake(
                lambda p, t: t - p, "that is the error itself; too high and too low would cancel. Square it"
            ),
            Mistake(
                lambda p, t: abs(p - t), "that is the absolute error; the squared one punishes large misses"
            ),
            Mistake(
                lambda p, t: p**2 - t**2, "square the difference, not each number: (a - b)² is not a² - b²"
            ),
            Mistake(lambda p, t: 2 * (p - t), "that doubles the difference; `** 2` is the square in Python"),
        ],
        hints=["What is the difference to the target?", "`d ** 2` is d times itself."],
        reasoning="The square removes the sign of a miss; a miss twice as large counts four times.",
        praise="Right. You will meet this number in every notebook of this part.",
    ),
    Exercise(
        "00.2",
        reference=mean_squared_error,
        cases=_arrays,
        mistakes=[
            Mistake(lambda p, t: ((p - t) ** 2).sum(), "that is the sum; divide by the number of points"),
            Mistake(
                lambda p, t: (p - t) ** 2, "that is one error a point; return a single number, their mean"
            ),
            Mistake(
                lambda p, t: (p - t).mean() ** 2,
                "you averaged first: misses above and below cancel. Square first",
            ),
            Mistake(lambda p, t: np.abs(p - t).mean(), "that is the mean absolute error; square instead"),
            Mistake(
                lambda p, t: np.sqrt(((p - t) ** 2).mean()), "that is its square root; leave the root away"
            ),
        ],
        hints=["NumPy subtracts and squares whole arrays at once.", "An array has a method `.mean()`."],
        reasoning="Subtract, square, average: in that order. NumPy does each for all points at once.",
        praise="Right. This is the loss that the line in the widget walks down.",
    ),
]
