"""Notebook 03: the rule for classes 0 and 1, the margin, Novikoff's bound, ten digits, an open contest."""

import functools
import inspect
import math
from collections.abc import Callable

import numpy as np

from minidl import data
from minidl.course.exercise import Exercise, Mistake

BAR = 0.96  # share of the 3s and 5s of the official test set that 03.5 asks for

# 03.1  The rule for a unit that says 0 or 1


def update(w, b, x, y):
    """Rosenblatt's rule for classes 0 and 1: returns the new (w, b)."""
    output = 1 if w @ x + b >= 0 else 0
    error = y - output  # +1: it stayed silent and should have fired; -1: it fired and should not have
    return w + error * x, b + error


def _update_by(error: Callable, sign: int = 1, bias: bool = True) -> Callable:
    """The rule with another idea of what the error is: error(y, output, score)."""

    def wrong(w, b, x, y):
        score = w @ x + b
        step = sign * error(y, 1 if score >= 0 else 0, score)
        return w + step * x, b + (step if bias else 0)

    return wrong


def _update_cases() -> list[tuple]:
    w, zero = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    fires, silent = np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])
    return [
        (w, 0.0, fires, 0),
        (w, 0.0, fires, 1),
        (w, 0.0, silent, 1),
        (w, 0.0, silent, 0),
        (w, -4.0, np.array([2.0, -0.5, 3.0]), 1),
        (w, 4.0, np.array([2.0, -0.5, 3.0]), 0),
        (w, -5.0, np.array([2.0, -0.5, 3.0]), 1),
        (w, 3.0, silent, 0),
        (zero, 0.0, silent, 0),
    ]


UPDATE = Exercise(
    "03.1",
    reference=update,
    cases=_update_cases,
    mistakes=[
        Mistake(
            _update_by(lambda y, output, _: y if y != output else 0),
            "with y = 0 the step y·x is zero, so this unit can never learn to keep silent: it needs a step"
            " that is -1 when it fired and should not have",
        ),
        Mistake(
            _update_by(lambda y, output, _: 2 * y - 1),
            "it also changes the weights when the answer was right: Rosenblatt's unit learns from mistakes"
            " only",
        ),
        Mistake(
            _update_by(lambda y, output, _: y),
            "it adds x for every example of class 1, right or wrong, and does nothing for class 0:"
            " compare y with what the unit said first",
        ),
        Mistake(
            _update_by(lambda y, output, _: y - output, sign=-1),
            "the step has the wrong sign: after it, the unit is even surer of its wrong answer",
        ),
        Mistake(
            _update_by(lambda y, output, _: y - output, bias=False),
            "the bias never changes: it is a weight too, on an input that is always 1, and takes the same"
            " step",
        ),
        Mistake(
            lambda w, b, x, y: (w + (y - int(w @ x >= 0)) * x, b + (y - int(w @ x >= 0))),
            "the bias is missing from the score: the unit fires if w·x + b is 0 or more",
        ),
        Mistake(
            lambda w, b, x, y: w + (y - (w @ x + b >= 0)) * x,
            "right for the weights, but the bias has learnt something too: return both, `w, b`",
        ),
        Mistake(
            _update_by(lambda y, output, _: abs(y - output)),
            "every mistake adds x: a unit that fired and should not have must subtract it",
        ),
        Mistake(
            _update_by(lambda y, output, _: 2 * (y - output)),
            "the step is twice too long: y minus the output is already -1, 0 or +1",
        ),
        Mistake(
            _update_by(lambda y, output, score: y - (1 if score > 0 else 0)),
            "a score of exactly 0 counts as firing (score >= 0), so with y = 0 it is a mistake",
        ),
        Mistake(
            _update_by(lambda y, output, score: y - score),
            "the error is taken from the score before the threshold: a different rule (notebook 05 is about"
            " it). Here the unit's answer counts, which is 0 or 1",
        ),
    ],
    hints=[
        "There are four cases: y is 0 or 1, the output is 0 or 1. In which of them do the weights change,"
        " and in which direction?",
        "The difference `y - output` is 0 when the unit was right, +1 or -1 when it was wrong.",
    ],
    reasoning="""
    With classes ±1 the sign of the step was y itself. With classes 0 and 1 it must come from the comparison:
    `y - output` is +1 when the unit stayed silent and should have fired, -1 when it fired and should not
    have, and 0 when it was right. So no `if` is needed: a right answer takes a step of length zero. In this
    form, w += (y - output) x, the rule will return in notebook 05 with a softer output.
    """,
    praise="Right: the step (y - output) is 0, +1 or -1, and the `if` has disappeared.",
)

# 03.2  The margin


def margin(w, b, x, y):
    """The smallest y (w·x + b), measured with a separator (w, b) of length 1."""
    return np.min(y * (x @ w + b)) / np.sqrt(w @ w + b * b)


def _length(w, b=0.0) -> float:
    return math.sqrt(w @ w + b * b)


def _margin_cases() -> list[tuple]:
    x = np.array([[2.0, 1.0], [0.5, 2.0], [-1.0, -0.5], [-2.0, 1.0]])
    y = np.array([1, 1, -1, -1])
    return [
        (np.array([3.0, 0.0]), 4.0, x + 3, y * 0 + 1),
        (np.array([2.0, 1.0]), -0.5, x, y),
        (np.array([-4.0, -2.0]), 1.0, x, -y),
        (np.array([1.0, 2.0]), 2.5, x, y),
    ]


MARGIN = Exercise(
    "03.2",
    reference=margin,
    cases=_margin_cases,
    mistakes=[
        Mistake(
            lambda w, b, x, y: np.min(y * (x @ w + b)),
            "the length is missing: doubling w and b would double this number, though the line stays where"
            " it is",
        ),
        Mistake(
            lambda w, b, x, y: np.min(y * (x @ w + b)) / _length(w),
            "this is the distance to the line in the plane of x. The proof treats b as one more weight, so"
            " the length is that of the longer vector (w, b)",
        ),
        Mistake(
            lambda w, b, x, y: np.min(y * (x @ w + b)) / (w @ w + b * b),
            "divided by the square of the length: take its root",
        ),
        Mistake(
            lambda w, b, x, y: np.min(x @ w + b) / _length(w, b),
            "the labels are missing: for an example of class -1 a negative score is the good one",
        ),
        Mistake(
            lambda w, b, x, y: np.min(np.abs(x @ w + b)) / _length(w, b),
            "the absolute value hides points on the wrong side: there the margin must come out negative",
        ),
        Mistake(
            lambda w, b, x, y: max(0.0, np.min(y * (x @ w + b)) / _length(w, b)),
            "a margin below 0 says how far the worst example is on the wrong side: do not cut it off at 0",
        ),
        Mistake(
            lambda w, b, x, y: np.mean(y * (x @ w + b)) / _length(w, b),
            "this is the mean: the proof needs a number that every example reaches, so the smallest",
        ),
        Mistake(
            lambda w, b, x, y: y * (x @ w + b) / _length(w, b),
            "right for each example; the margin of the whole set is the smallest of these numbers",
        ),
        Mistake(
            lambda w, b, x, y: np.min(y * (x @ w)) / _length(w),
            "the bias is missing, in the score and in the length",
        ),
    ],
    hints=[
        "The score of an example is w·x + b. Multiply it by the label: positive means right, and how far.",
        "Now make it independent of the scale: the length of (w, b) is the square root of w·w + b².",
        "One example has the least of it. That one is the margin.",
    ],
    reasoning="""
    The theorem speaks of a separator ũ of length 1 in the space where the bias is one more weight. Our (w,
    b) has some length; dividing by it gives ũ. What is left is the smallest y (ũ·x̃) over the set, and it is
    negative as soon as one example lies on the wrong side.
    """,
    praise="Right: the worst example decides, and the scale of (w, b) does not matter.",
)

# 03.3  Novikoff's bound


def mistake_bound(w, b, x, y):
    """(R / γ)²: R is the length of the longest (x, 1), γ the margin of (w, b); inf unless γ > 0."""
    gamma = margin(w, b, x, y)
    if gamma <= 0:
        return np.inf
    longest = np.max((x**2).sum(axis=1) + 1)  # R²: the constant input adds its 1
    return longest / gamma**2


def _bound_by(
    radius2: Callable, gamma: Callable = margin, formula: Callable = lambda r2, g: r2 / g**2
) -> Callable:
    def wrong(w, b, x, y):
        g = gamma(w, b, x, y)
        return math.inf if g <= 0 else formula(radius2(x), g)

    return wrong


def _longest2(x) -> float:
    return float(np.max((x**2).sum(axis=1) + 1))


BOUND = Exercise(
    "03.3",
    reference=mistake_bound,
    cases=lambda: [*_margin_cases(), (np.array([1.0, 0.0]), 0.0, np.eye(2), np.array([1, -1]))],
    mistakes=[
        Mistake(
            _bound_by(lambda x: float(np.max((x**2).sum(axis=1)))),
            "R misses the constant input: the vectors of the proof are (x, 1), so R² is the largest |x|² + 1",
        ),
        Mistake(
            _bound_by(_longest2, formula=lambda r2, g: math.sqrt(r2) / g),
            "this is R/γ: the bound is its square",
        ),
        Mistake(
            _bound_by(_longest2, formula=lambda r2, g: g**2 / r2),
            "upside down: a wide margin must give a small bound",
        ),
        Mistake(
            _bound_by(_longest2, formula=lambda r2, g: r2 / g),
            "γ must be squared too",
        ),
        Mistake(
            lambda w, b, x, y: _longest2(x) / margin(w, b, x, y) ** 2,
            "a negative margin has a harmless-looking square: when (w, b) does not separate the set, the"
            " theorem promises nothing, and the answer is np.inf",
        ),
        Mistake(
            _bound_by(lambda x: float(np.mean((x**2).sum(axis=1) + 1))),
            "R is the length of the longest example, not of the average one: every mistake may be the"
            " longest",
        ),
        Mistake(
            _bound_by(lambda x: float((x**2).sum() + len(x))),
            "R is the length of the longest row (x, 1); this is the length of the whole table, which"
            " `np.linalg.norm` gives without `axis=1`",
        ),
        Mistake(
            _bound_by(_longest2, gamma=lambda w, b, x, y: float(np.min(y * (x @ w + b)))),
            "the margin was not divided by the length of (w, b), so the bound would change with its scale",
        ),
    ],
    hints=[
        "γ is what `margin` returns. What does the theorem say when it is zero or negative?",
        "R² is the largest |x|² + 1: square, sum along each row, add the 1 of the constant input, take the"
        " maximum.",
    ],
    reasoning="""
    Both ingredients live in the space of (x, 1): R² = max |x|² + 1, and γ from 03.2. If γ ≤ 0 then (w, b)
    does not separate the set. Another may, but this one proves nothing: "no promise" is written as infinity.
    """,
    praise="Right. Any separator gives a valid bound; the one with the widest margin gives the best.",
)

# 03.4  Ten perceptrons


def update_ten(W, x, y):
    """The perceptron rule for ten classes: returns the new W."""
    winner = np.argmax(W @ x)
    W = W.copy()
    if winner != y:
        W[y] += x
        W[winner] -= x
    return W


def _ten_by(change: Callable) -> Callable:
    """The rule with another way to change the rows: change(W, x, y, winner) works in place on a copy."""

    def wrong(W, x, y):
        W = W.copy()
        change(W, x, y, int(np.argmax(W @ x)))
        return W

    return wrong


def _ten_cases() -> list[tuple]:
    generator = np.random.default_rng(4)
    W = generator.integers(-3, 4, (10, 6)).astype(float)
    examples = generator.integers(0, 2, (6, 6)).astype(float) + np.eye(6)
    winners = (examples @ W.T).argmax(axis=1)
    wrong = [(W, x, int(winner + 3) % 10) for x, winner in zip(examples, winners, strict=True)]
    return [*wrong, (W, examples[0], int(winners[0])), (np.zeros((10, 6)), examples[1], 7)]


def _add(W, x, y, winner):
    if winner != y:
        W[y] += x


def _subtract(W, x, y, winner):
    if winner != y:
        W[winner] -= x


def _swapped(W, x, y, winner):
    W[y] -= x
    W[winner] += x


def _against_all(W, x, y, winner):
    if winner != y:
        W -= x
        W[y] += 2 * x


def _always_against_all(W, x, y, winner):
    W -= x
    W[y] += 2 * x


def _always_add(W, x, y, winner):
    W[y] += x


def _each_alone(W, x, y, winner):
    wanted, fires = np.arange(10) == y, W @ x >= 0
    W += np.outer(wanted.astype(float) - fires, x)


TEN = Exercise(
    "03.4",
    reference=update_ten,
    cases=_ten_cases,
    mistakes=[
        Mistake(
            _ten_by(_add), "only the right row learns: the row that won unjustly must be pushed down by x"
        ),
        Mistake(_ten_by(_subtract), "only the winner is punished: the right row must be raised by x"),
        Mistake(
            _ten_by(_swapped), "the signs are swapped: raise the row of the right digit, lower the winner"
        ),
        Mistake(
            _ten_by(_against_all),
            "all nine other rows are lowered: eight of them did not win, and did nothing wrong",
        ),
        Mistake(
            _ten_by(_always_against_all),
            "it changes all rows for every example: only after a mistake, and only the two rows involved",
        ),
        Mistake(
            _ten_by(_always_add),
            "it adds x for every example, right or wrong: compare the winner with y first",
        ),
        Mistake(
            _ten_by(_each_alone),
            "these are ten perceptrons that learn alone, each with its own threshold. Here only the largest"
            " score wins, and only the winner and the right row change",
        ),
    ],
    hints=[
        "`W @ x` are ten scores, `np.argmax` finds the winner.",
        "If the winner is not y: row y gets + x, row `winner` gets - x. The other eight rows stay.",
        "`W = W.copy()` first, so that the caller's matrix stays as it is.",
    ],
    reasoning="""
    Two rows are involved in a mistake: the one that should have won and the one that did. Raising the first
    by x and lowering the second by x moves their difference by 2|x|² in the right direction, exactly as one
    perceptron that compares the two classes would. Novikoff's proof carries over (C. Kesler's construction,
    in Nilsson's Learning Machines of 1965): stack the ten rows into one long vector, and this is the rule of
    this notebook.
    """,
    praise="Right: one row up, one row down, eight left alone.",
)

# 03.5  Beat the plain perceptron


def prepare(images):
    """uint8 images (N, 28, 28) to grey values 0..1, with a constant 1 at the end: (N, 785)."""
    x = np.asarray(images, dtype=np.float64).reshape(len(images), -1) / 255
    return np.column_stack([x, np.ones(len(x))])


@functools.cache
def trained(epochs=6):
    """The averaged perceptron on the training digits 3 (-1) and 5 (+1): (785,)."""
    digits = data.mnist()
    chosen = np.isin(digits.train_labels, (3, 5))
    x, y = prepare(digits.train_images[chosen]), np.where(digits.train_labels[chosen] == 5, 1, -1)
    w, total, generator = np.zeros(785), np.zeros(785), np.random.default_rng(0)
    for _ in range(epochs):
        for i in generator.permutation(len(y)):
            if y[i] * (w @ x[i]) <= 0:
                w += y[i] * x[i]
            total += w
    return total


def classify(images):
    """-1 for a 3, +1 for a 5: (N, 28, 28) -> (N,)."""
    return np.where(prepare(images) @ trained() >= 0, 1, -1)


@functools.cache
def _test_digits() -> tuple[np.ndarray, np.ndarray]:
    """The official test digits 3 and 5: images (1902, 28, 28), labels (1902,) of -1 and +1."""
    digits = data.mnist()
    chosen = np.isin(digits.test_labels, (3, 5))
    return digits.test_images[chosen], np.where(digits.test_labels[chosen] == 5, 1, -1)


def _share_right(answer: Callable) -> float:
    images, labels = _test_digits()
    return float(np.mean(np.ravel(answer(images.copy())) == labels))


def judge(answer: Callable) -> str | None:
    """Measure a classifier of 3 (-1) and 5 (+1) on the official test digits; None when it clears the bar."""
    if not callable(answer):
        return "this should be a function of images (N, 28, 28) that returns N answers"
    images, labels = _test_digits()
    answers = answer(images.copy())
    if answers is None:
        return "returns None: is a `return` missing?"
    answers = np.asarray(answers)
    if answers.shape not in (labels.shape, (*labels.shape, 1)):
        return f"returns shape {answers.shape}, expected one answer for each image: {labels.shape}"
    values = np.unique(answers)
    if not np.isin(values, (-1, 1)).all():
        found = ", ".join(f"{value:g}" for value in values[:4])
        return f"answers with {found}{', ...' if len(values) > 4 else ''}: say -1 for a 3 and +1 for a 5"
    if len(values) == 1:
        return f"says {values[0]:+g} to every image: has it learnt anything?"
    right = float(np.mean(answers.ravel() == labels))
    if right < 0.5:
        return (
            f"{right:.1%} right is worse than tossing a coin: are the classes swapped? -1 is a 3, +1 is a 5"
        )
    if right < BAR:
        return f"{right:.2%} of the {len(labels)} official test digits are right, the bar is {BAR:.0%}"
    return None


CONTEST = Exercise(
    "03.5",
    reference=classify,
    judge=judge,
    hints=[
        "Two things were thrown away on the way: the grey values of the pixels, and all the weight vectors"
        " but the last.",
        "Averaging the weights over all examples is one line more in the loop: `total += w` after every"
        " example, right or wrong.",
        "For more than 97 %, do as the Mark I did and put association units before the perceptron: 2,000 of"
        " them, each looking at 20 pixels chosen at random, with random signs and a threshold. Only the last"
        " layer learns.",
    ],
    reasoning="""
    This one uses grey values and the average of all weight vectors. Random association units in front of it
    go further; a kernel perceptron (Freund & Schapire, 1999) further still. Choosing among such ideas by
    looking at the test digits again and again would be a quiet way of training on them: hold back some
    training digits for that.
    """,
    praise=lambda answer: (
        f"{_share_right(answer):.2%} of the 1902 official test digits, the bar was {BAR:.0%}."
    ),
    code="\n\n\n".join(
        ["import functools", *(inspect.getsource(part).rstrip() for part in (prepare, trained, classify))]
    ),
)

EXERCISES = [UPDATE, MARGIN, BOUND, TEN, CONTEST]
