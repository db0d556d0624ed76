"""Exercises of notebook 08: softmax, cross-entropy, recall and precision, a fair split, a small network."""

import inspect
from collections.abc import Callable

import numpy as np

from minidl import nn
from minidl.course.contest import Contest, ten_logits, train_on_digits
from minidl.course.exercise import Exercise, Mistake

MOST_PARAMETERS, BAR = 20_000, 0.965

# 08.1  Softmax


def safe_softmax(z):
    """Logits (N, C) of any size to probabilities (N, C)."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _naive(z):
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def _down_the_columns(z):
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def _one_sum_for_all(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def _not_normalised(z):
    return np.exp(z - z.max(axis=1, keepdims=True))


def _one_maximum_for_all(z):
    e = np.exp(z - z.max())
    return e / e.sum(axis=1, keepdims=True)


def _by_the_largest(z):
    e = np.exp(z / np.abs(z).max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _by_the_largest_of_all(z):
    e = np.exp(z / np.abs(z).max())
    return e / e.sum(axis=1, keepdims=True)


def _clipped(z):
    e = np.exp(np.clip(z, -500, 500))
    return e / e.sum(axis=1, keepdims=True)


def _no_exponential(z):
    return z / z.sum(axis=1, keepdims=True)


def _hardest(z):
    return np.eye(z.shape[1])[z.argmax(axis=1)]


SOFTMAX = Exercise(
    "08.1",
    reference=safe_softmax,
    cases=[
        (np.array([[1.0, 2.0, 4.0], [0.5, -1.0, 0.0]]),),
        (np.array([[1000.0, 0.0, 999.0], [1.0, 2.0, 3.0]]),),
        (np.array([[-1000.0, -1001.0, -1003.0, -1000.0]]),),
    ],
    mistakes=[
        Mistake(
            _naive,
            "e to the power 1000 overflows to inf, and inf / inf is nan. Only differences of logits matter:"
            " what may you subtract from a row first?",
        ),
        Mistake(
            _down_the_columns,
            "summed down the columns (axis 0): the classes of one image lie along a row, axis 1",
        ),
        Mistake(
            _one_sum_for_all,
            "one sum for the whole array: each row is an image of its own and must add up to 1",
        ),
        Mistake(_not_normalised, "the rows do not add up to 1: divide each by its sum"),
        Mistake(
            _one_maximum_for_all,
            "the largest logit of the whole array was subtracted from every row: a row far below it"
            " underflows to 0 / 0. Each row needs its own maximum",
        ),
        Mistake(
            _by_the_largest,
            "dividing the logits changes their differences, and so the probabilities: subtract instead",
        ),
        Mistake(
            _by_the_largest_of_all,
            "dividing the logits changes their differences, and so the probabilities: subtract instead",
        ),
        Mistake(
            _clipped,
            "clipping makes 1000 and 999 equal, though one is e times as likely as the other: subtract"
            " instead",
        ),
        Mistake(_no_exponential, "without the exponential, negative logits give negative probabilities"),
        Mistake(_hardest, "this is the winner alone, with probability 1: the others keep their share"),
    ],
    hints=[
        "Add the same number to all logits of a row. What happens to the softmax?",
        "Nothing: $e^{z_i + c} = e^c e^{z_i}$, and $e^c$ cancels. Choose $c$ so that no exponent is above 0.",
        "`z.max(axis=1, keepdims=True)` has shape (N, 1).",
    ],
    reasoning="""
    Subtracting a row's maximum leaves the probabilities as they are. The largest exponent is then 0, so the
    sum lies between 1 and C: neither overflow nor division by zero is possible. Small terms may underflow to
    0, which is what they are worth.
    """,
    praise="Right, and finite for any logits. This is how every library computes it.",
)

# 08.2  Cross-entropy


def cross_entropy(z, y):
    """Mean of -log softmax(z)[n, y[n]] in nats: logits (N, C), labels (N,)."""
    z = z - z.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(z).sum(axis=1))
    return (log_sum - z[np.arange(len(y)), y]).mean()


def _log_p(z) -> np.ndarray:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def _of_right(z, y) -> np.ndarray:
    return _log_p(z)[np.arange(len(y)), y]


def _by_probability(z, y):
    return -np.log(safe_softmax(z)[np.arange(len(y)), y]).mean()


def _burst(z, y):
    return -np.log(_naive(z)[np.arange(len(y)), y]).mean()


def _hidden(floor: float, put: Callable) -> Mistake:
    """The probabilities held above 0 by a small number: added (np.add) or as a floor (np.maximum)."""
    return Mistake(
        lambda z, y: -np.log(put(safe_softmax(z)[np.arange(len(y)), y], floor)).mean(),
        "a small number inside the logarithm hides the problem: a miss that costs 1000 nats is booked as"
        f" {-np.log(floor):.0f}. Take the logarithm before the numbers get small",
    )


def _log_sum_bursts(z, y):
    return (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean()


def _moved_on_one_side(z, y):
    log_sum = np.log(np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1))
    return (log_sum - z[np.arange(len(y)), y]).mean()


CROSS_ENTROPY = Exercise(
    "08.2",
    reference=cross_entropy,
    cases=[
        (np.array([[1.0, 2.0, 4.0], [0.5, -1.0, 0.0]]), np.array([2, 1])),
        (np.array([[0.0, 0.0, 1.0, 0.3], [2.0, 0.0, 0.0, -1.0], [0.0, 3.0, 0.0, 1.0]]), np.array([0, 0, 3])),
        (np.array([[-1000.0, 0.0], [1.0, 3.0]]), np.array([0, 1])),
        (np.array([[1000.0, 990.0]]), np.array([1])),
    ],
    mistakes=[
        Mistake(
            _by_probability,
            "a probability underflows to 0 and its logarithm is -inf. Take the logarithm before the numbers"
            " get small: log p = z_y - log of the sum",
        ),
        Mistake(_burst, "exp(1000) overflows: subtract each row's maximum first, as in 08.1"),
        Mistake(
            _log_sum_bursts,
            "the logarithm comes early enough, but exp(1000) in the sum overflows: subtract each row's"
            " maximum first, as in 08.1",
        ),
        Mistake(
            _moved_on_one_side,
            "the row's maximum was subtracted inside the sum, but not from the right class's logit: both"
            " must move",
        ),
        *(
            _hidden(floor, put)
            for floor in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, 1e-20, 1e-100, 1e-300)
            for put in (np.add, np.maximum)
        ),
        Mistake(lambda z, y: -_of_right(z, y).sum(), "this is the sum over the images: the mean is asked"),
        Mistake(
            lambda z, y: _of_right(z, y).mean(),
            "the minus is missing: log p is negative, a loss counts upwards from 0",
        ),
        Mistake(
            lambda z, y: -_of_right(z, y).mean() / np.log(2),
            "this is in bits (log to base 2): nats need the natural logarithm",
        ),
        Mistake(lambda z, y: -_of_right(z, y).mean() / np.log(10), "this uses log10: nats need np.log"),
        Mistake(
            lambda z, y: -np.exp(_of_right(z, y)).mean(),
            "this averages the probabilities themselves: the logarithm is missing",
        ),
        Mistake(
            lambda z, y: -_log_p(z)[:, y].mean(),
            "`log_p[:, y]` takes all N labels for each of the N rows: pair them, with [np.arange(len(y)), y]",
        ),
        Mistake(
            lambda z, y: -_log_p(z).mean(),
            "this averages over all classes: only the right class of each image counts",
        ),
        Mistake(
            lambda z, y: -_of_right(z, y).sum() / z.size,
            "divided by N·C: the mean is over the N images, the classes are not counted",
        ),
        Mistake(
            lambda z, y: -z[np.arange(len(y)), y].mean(),
            "this is the right class's logit alone: the logarithm of the sum over all classes is missing",
        ),
        Mistake(
            lambda z, y: -_of_right(z, y),
            "this is one loss an image: average them",
        ),
    ],
    hints=[
        r"$-\log p_y = -z_y + \log\sum_j e^{z_j}$. Which part can overflow?",
        "Subtracting the row's maximum from all its logits changes neither side.",
        "`z[np.arange(len(y)), y]` picks the right class's logit of each row.",
    ],
    reasoning="""
    The logarithm undoes the exponential of the right class exactly, so it is never computed. What is left is
    the logarithm of a sum whose largest term is 1 after the subtraction: at least 0, at most log C. This
    pair, log-sum-exp and the picked logit, is also inside `F.cross_entropy`, which is why it wants logits and
    not probabilities.
    """,
    praise="Right, in nats, and no logit can break it.",
)

# 08.3  Recall and precision


def recall_and_precision(confusion):
    """Counts (C, C), rows true and columns answered, to recall (C,) and precision (C,)."""
    found = np.diag(confusion)
    recall = found / confusion.sum(axis=1)
    precision = found / np.maximum(confusion.sum(axis=0), 1)
    return recall, precision


def _precision_with(empty: float) -> Callable:
    def wrong(confusion):
        called = confusion.sum(axis=0)
        with np.errstate(invalid="ignore"):
            precision = np.diag(confusion) / called
        return recall_and_precision(confusion)[0], np.where(called == 0, empty, precision)

    return wrong


def _off_the_diagonal(confusion):
    recall, precision = recall_and_precision(confusion)
    return 1 - recall, np.where(confusion.sum(axis=0) > 0, 1 - precision, 0)


RECALL = Exercise(
    "08.3",
    reference=recall_and_precision,
    cases=[
        (np.array([[8, 1, 1], [0, 5, 0], [6, 2, 12]]),),
        (np.array([[3, 0], [4, 0]]),),
        (np.array([[7, 3, 0, 0], [1, 9, 2, 0], [0, 5, 5, 1], [0, 0, 2, 20]]),),
    ],
    mistakes=[
        Mistake(
            lambda c: recall_and_precision(c)[::-1],
            "the two are swapped: recall divides by what there was (the row, the true digits), precision by"
            " what was called so (the column)",
        ),
        Mistake(
            _precision_with(np.nan),
            "a class that was never answered gives 0 / 0, nan: the exercise asks for precision 0 there",
        ),
        Mistake(
            _precision_with(1.0),
            "a class that was never answered has precision 0 here, not 1: silence is not merit",
        ),
        Mistake(
            lambda c: (np.diag(c) / c.sum(),) * 2,
            "divided by the count of everything: recall wants the sum of the row, precision that of the"
            " column",
        ),
        Mistake(
            lambda c: (np.trace(c) / c.sum(),) * 2,
            "this is the accuracy, one number for all: recall and precision are asked for each class",
        ),
        Mistake(
            lambda c: (recall_and_precision(c)[0],) * 2,
            "both are the recall: precision divides by the sum of the column",
        ),
        Mistake(
            lambda c: tuple(part.mean() for part in recall_and_precision(c)),
            "these are means over the classes: give one number for each class",
        ),
        Mistake(_off_the_diagonal, "these are the shares that are wrong: the diagonal counts what is right"),
        Mistake(lambda c: recall_and_precision(c)[0], "only the recall is returned: return both"),
    ],
    hints=[
        "What is right stands on the diagonal: `np.diag`.",
        "The row of 3 holds all real threes, whatever was answered. The column of 3 holds all that was called"
        " 3. Sum along the row: `axis=1`.",
        "Against 0 / 0: `np.maximum(count, 1)`. Where the count is 0, the diagonal is 0 too.",
    ],
    reasoning="""
    Row sums are what there was, column sums what was said. The diagonal belongs to both. A network that
    answers 3 to everything has recall 1 for 3, and a precision of a tenth: one number without the other
    flatters.
    """,
    praise="Right: the row for recall, the column for precision.",
)

# 08.4  A stratified split


def stratified_split(labels, share, generator):
    """Indices for training and validation; each class gives round(share * count) to validation."""
    training, validation = [], []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = round(share * len(members))
        validation.append(members[:count])
        training.append(members[count:])
    return np.concatenate(training), np.concatenate(validation)


def _judge_split(answer: Callable) -> str | None:
    """None if the answer splits several label arrays as asked, else what is wrong."""
    for counts, share in (((40, 25, 10), 0.2), ((7, 90, 30, 13), 0.3)):
        labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
        result = answer(labels.copy(), share, np.random.default_rng(2))
        if result is None:
            return "returns None: is a `return` missing?"
        if not isinstance(result, tuple | list) or len(result) != 2:
            return "return two things: the indices for training and those for validation"
        training, validation = (np.asarray(part).ravel() for part in result)
        complaint = (
            _judge_piles(labels, training, validation)
            or _judge_counts(labels, share, training, validation)
            or _judge_chance(answer, labels, share, validation)
        )
        if complaint:
            return complaint
    return None


def _judge_piles(labels, training, validation) -> str | None:
    if any(part.dtype.kind not in "iu" for part in (training, validation)):
        return "indices are whole numbers, which pick examples: labels or truth values do not do"
    together = np.sort(np.concatenate([training, validation]))
    if np.array_equal(together, np.sort(labels)):
        return "these are the labels: return the places at which the examples stand"
    if np.array_equal(together, np.sort(np.concatenate([np.arange(n) for n in np.bincount(labels)]))):
        return (
            "these count within each class, every class from 0: shuffle the places in the whole row,"
            " np.flatnonzero(labels == label)"
        )
    both = np.intersect1d(training, validation)
    if both.size:
        return (
            f"{both.size} examples are in both piles, {both[0]} for one: then validation asks what was"
            " learnt by heart"
        )
    if not np.array_equal(together, np.arange(len(labels))):
        return (
            f"{len(np.unique(together))} of the {len(labels)} examples are used, in {len(together)} places:"
            " each must be in one pile, once"
        )
    return None


def _judge_counts(labels, share, training, validation) -> str | None:
    everyone = np.bincount(labels)
    wanted = np.array([round(share * count) for count in everyone])
    found = np.bincount(labels[validation], minlength=len(wanted))
    if np.array_equal(found, wanted):
        return None
    if np.array_equal(everyone - found, wanted):
        return "the piles are swapped: return training first, then validation, which is the small one"
    if found.sum() == round(share * len(labels)):
        return (
            f"the validation pile has the right size, but {found.tolist()} of the classes instead of"
            f" {wanted.tolist()}: split class by class"
        )
    for cut, name in ((np.floor, "down"), (np.ceil, "up")):
        if np.array_equal(found, cut(np.round(share * everyone, 9))):
            return (
                f"the validation pile has {found.tolist()} of the classes instead of {wanted.tolist()}: yours"
                f" always go {name} to a whole number, `round` goes to the nearest"
            )
    return f"the validation pile has {found.tolist()} of the classes instead of {wanted.tolist()}"


def _judge_chance(answer, labels, share, validation) -> str | None:
    firsts = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    firsts = np.concatenate([members[: round(share * len(members))] for members in firsts])
    if np.array_equal(np.sort(validation), np.sort(firsts)):
        return (
            "each class gives its first examples: files are often sorted by writer or by date, so draw at"
            " random, with generator.permutation"
        )
    repeat, other = (
        np.asarray(answer(labels.copy(), share, np.random.default_rng(seed))[1]) for seed in (2, 3)
    )
    if not np.array_equal(np.sort(repeat.ravel()), np.sort(validation)):
        return "the same generator gives another split the second time: use `generator`, not np.random"
    if np.array_equal(np.sort(other.ravel()), np.sort(validation)):
        return "another generator gives the same split: the order must come from `generator`"
    return None


SPLIT = Exercise(
    "08.4",
    reference=stratified_split,
    judge=_judge_split,
    hints=[
        "One class at a time: `np.flatnonzero(labels == label)` are its places.",
        "`generator.permutation(places)` shuffles them. The first `round(share * len(places))` go to"
        " validation, the rest to training.",
        "`np.concatenate` joins the pieces of all classes.",
    ],
    reasoning="""
    Within each class it is the plain split of the notebook: shuffle, then cut. Cutting one shuffled row twice
    cannot put an example into both piles. Done class by class, no class can be missing from either pile by
    bad luck, which matters when it has ten examples and hardly when it has ten thousand.
    """,
    praise="Right: disjoint, complete, drawn at random, and each class has its share.",
)

# 08.5  Small is beautiful


class HalfSize(nn.Module):
    """Rows (N, 784) to rows (N, 196): the mean of each 2 x 2 pixels, moved to both sides of 0."""

    def forward(self, x):
        blocks = x.reshape(len(x), 14, 2, 14, 2).mean((2, 4))
        return 3 * blocks.reshape(len(x), 196) - 0.4


def build():
    """A network of 19,506 parameters: 196 pixels, two hidden layers."""
    layers = [nn.Linear(196, 72), nn.ReLU(), nn.Linear(72, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(HalfSize(), *layers)


def _form(model: nn.Module) -> str | None:
    return ten_logits(
        model, (784,), "three images (3, 784) give shape {shape}: ten logits for each are needed, (3, 10)"
    )


def _verdict(count: int, found: float) -> str | None:
    if found < 0.2:
        return f"{found:.1%} right with {count:,} parameters: that is guessing, something blocks the training"
    if found < BAR:
        return f"{found:.2%} right with {count:,} parameters: the bar is {BAR:.1%}"
    return None


def train_small(model: nn.Module) -> float:
    """Train by the exercise's recipe; the share of the 10,000 judged right."""
    return train_on_digits(model, (784,), epochs=5, batch_size=128, lr=3e-3)


CONTEST = Contest(MOST_PARAMETERS, _form, train_small, _verdict)


def _praise_small(answer: Callable) -> str:
    count, found = CONTEST.measure(answer)
    return f"{found:.2%} right with {count:,} parameters, the bar was {BAR:.1%}. How small can it get?"


SMALL = Exercise(
    "08.5",
    reference=build,
    judge=CONTEST.judge,
    hints=[
        "784 inputs times 25 units are 19,600 weights, nearly all of the budget. Are 784 inputs needed?",
        "Neighbouring pixels say nearly the same. Averaging each 2 × 2 of them leaves 196 inputs, and room"
        " for four times as many units.",
        "A layer of your own: `class HalfSize(nn.Module)` with `forward(self, x)`, in which"
        " `x.reshape(len(x), 14, 2, 14, 2)` has the pixels of a block on axes 2 and 4.",
        "Still half a percent short? Most inputs are 0 or small, and the first steps are slow. Stretch them,"
        " so that their mean is near 0 and their spread near 1.",
    ],
    reasoning="""
    A digit is still legible at 14 × 14. Averaging costs no parameters, and spends the budget on hidden units
    instead of on nearly equal pixels. Moving and stretching the inputs costs none either, and lets the same
    five epochs go further. That neighbours belong together is knowledge that the plain network does not have:
    convolution (notebook 17) builds it in properly, and reaches far more with far less.
    """,
    praise=_praise_small,
    code="\n\n\n".join(inspect.getsource(part).rstrip() for part in (HalfSize, build)),
)

EXERCISES = [SOFTMAX, CROSS_ENTROPY, RECALL, SPLIT, SMALL]
