"""Exercises of notebook 02: weights from images, a second cell, the energy of a flip, recall, more memory."""

import functools

import numpy as np

from minidl import data
from minidl.course.exercise import Exercise, Mistake

# 02.1 weights from pictures


def weights_from_images(images):
    patterns = 2 * np.asarray(images, dtype=int).reshape(len(images), -1) - 1  # 0, 1 -> -1, +1
    weight = patterns.T @ patterns
    np.fill_diagonal(weight, 0)
    return weight


def _rows(images):
    return np.asarray(images, dtype=int).reshape(len(images), -1)


def _signed(images):
    return 2 * _rows(images) - 1


def _without_diagonal(weight):
    return weight * (1 - np.eye(len(weight), dtype=int))


def _image_cases():
    generator = np.random.default_rng(21)
    return [(generator.integers(0, 2, shape),) for shape in ((2, 2, 3), (3, 4, 4), (1, 2, 2), (5, 3, 3))]


# 02.2 a second cell


def second_cell_step(w1, w2, x, lr):
    rest = x - (w1 @ x) * w1  # what the first cell has not accounted for
    y2 = w2 @ rest
    return w2 + lr * y2 * (rest - y2 * w2)


def _second_cell(decay=lambda y: y**2, rest=None, change_only=False):
    """second_cell_step with one thing changed."""

    def step(w1, w2, x, lr):
        left = rest(w1, x) if rest else x - (w1 @ x) * w1
        y2 = w2 @ left
        change = lr * (y2 * left - decay(y2) * w2)
        return change if change_only else w2 + change

    return step


def _sanger(w1, w2, x, lr):
    y1, y2 = w1 @ x, w2 @ x
    return w2 + lr * y2 * (x - y1 * w1 - y2 * w2)


def _rest_for_y2_only(w1, w2, x, lr):
    y2 = w2 @ (x - (w1 @ x) * w1)
    return w2 + lr * y2 * (x - y2 * w2)


def _cell_cases():
    generator = np.random.default_rng(22)
    return [(*generator.normal(size=(3, n)), lr) for n, lr in ((2, 0.1), (3, 0.05), (5, 0.01), (2, 0.3))]


# 02.3 the energy of a flip


def energy_change(weight, state, i):
    return 2 * state[i] * (weight[i] @ state)


def _energy(weight, state, factor=-0.5):
    return factor * state @ weight @ state


def _energy_after(weight, state, i):
    flipped = np.array(state)
    flipped[i] *= -1
    return _energy(weight, flipped)


def _memory_cases():
    generator = np.random.default_rng(23)
    cases = []
    for n, stored in ((4, 1), (6, 2), (9, 4), (12, 6)):
        patterns = generator.choice([-1, 1], (stored, n))
        cases.append((_without_diagonal(patterns.T @ patterns), generator.choice([-1, 1], n)))
    return cases


def _flip_cases():
    return [(*case, i) for case in _memory_cases() for i in (0, 2, 3)]


# 02.4 recall


def settle(weight, state, rounds):
    state = np.array(state)
    for _ in range(rounds):
        for i in range(len(state)):
            h = weight[i] @ state
            if h != 0:
                state[i] = 1 if h > 0 else -1
    return state


def _settle(decide, all_at_once=False, rounds_of=lambda rounds: rounds):
    """settle with another decision decide(h, s_i), or with h computed once a round."""

    def wrong(weight, state, rounds):
        state = np.array(state)
        for _ in range(rounds_of(rounds)):
            seen = state.copy() if all_at_once else state
            for i in range(len(state)):
                state[i] = decide(weight[i] @ seen, state[i])
        return state

    return wrong


def _ask_the_first_state(weight, state, rounds):
    settled = np.array(state)
    for _ in range(rounds):
        for i in range(len(state)):
            settled[i] = _keep_on_tie(weight[i] @ state, settled[i])
    return settled


def _keep_on_tie(h, s):
    return np.sign(h) if h else s


def _settle_cases():
    """Among them: a tie, a pair of cells that swaps for ever when both change at once, a slow repair."""
    two = np.array([[0, 1], [1, 0]])
    tie = np.array([[0, 1, -1], [1, 0, 0], [-1, 0, 0]])
    chain = np.array([[0, -1, 0, 0, 1], [-1, 0, 3, 0, 0], [0, 3, 0, 5, 0], [0, 0, 5, 0, 7], [1, 0, 0, 7, 0]])
    cases = [(two, np.array([1, -1]), 1), (two, np.array([1, -1]), 4)]
    cases += [(tie, np.array([1, 1, 1]), 1), (tie, np.array([-1, -1, -1]), 2)]
    cases += [(chain, np.array([1, -1, -1, -1, 1]), 1), (chain, np.array([1, -1, 1, -1, 1]), 3)]
    return cases + [(*case, 3) for case in _memory_cases()]


# 02.5 store more


@functools.cache
def ten_digits():
    """The first training image of each digit as -1 and +1: (10, 784)."""
    images, labels, *_ = data.mnist()
    return np.array([np.where(images[labels == digit][0].ravel() > 127, 1, -1) for digit in range(10)])


def store_ten(patterns):
    patterns = np.asarray(patterns)
    weight = np.zeros((patterns.shape[1], patterns.shape[1]))
    unsure = np.ones(patterns.shape, dtype=bool)
    while unsure.any():
        for k, pattern in enumerate(patterns):
            unsure[k] = pattern * (weight @ pattern) < len(pattern)  # votes wrongly, or only just right
            weight[unsure[k]] += np.outer(pattern[unsure[k]], pattern)
            np.fill_diagonal(weight, 0)
    return weight


def restored(weight, share=0.1):
    """How many of the ten digits come back without an error, each with a share of its pixels flipped."""
    patterns, generator = ten_digits(), np.random.default_rng(25)
    cells = np.where(generator.random(patterns.shape) < share, -patterns, patterns).T.astype(
        float
    )  # (784, 10)
    for _ in range(8):
        for i in generator.permutation(len(cells)):
            h = weight[i] @ cells
            cells[i] = np.where(h == 0, cells[i], np.sign(h))
    return int((cells.T == patterns).all(axis=1).sum())


def _centred(patterns, weight) -> bool:
    """True for Hebb's rule on patterns less their mean (of each pixel, or of all), up to a factor."""
    for mean in (patterns.mean(axis=0), patterns.mean(), patterns.mean(axis=1, keepdims=True)):
        rest = patterns - mean
        for form in (rest.T @ rest, _without_diagonal(rest.T @ rest)):
            size = np.linalg.norm(weight)
            if size and np.allclose(weight / size, form / np.linalg.norm(form), atol=1e-9):
                return True
    return False


def judge_memory(store):
    patterns = ten_digits()
    weight = store(patterns.copy())
    if weight is None:
        return "your function returns None: is a `return` missing?"
    weight = np.asarray(weight, dtype=float)
    n = patterns.shape[1]
    if weight.shape != (n, n):
        return f"the weights have shape {weight.shape}; {n} cells need one weight for each pair: ({n}, {n})"
    if not np.isfinite(weight).all():
        return "some weights are NaN or infinite: a rule that repeats must stop growing somewhere"
    count = restored(weight)
    if count >= 8:
        return None
    if _centred(patterns, weight):
        return (
            f"{count} of 10: the mean is out of the weights, but not out of the states: the cells that vote"
            " still carry it, and it falsifies every sum. Look instead at which cells vote wrongly, and teach"
            " only those"
        )
    stay = restored(weight, share=0)
    if stay >= 8:
        return (
            f"undamaged digits stay as they are, but with 10 % of the pixels flipped only {count} of 10 come"
            " back: each cell listens too much to itself and too little to the others (look at the diagonal)"
        )
    return (
        f"{count} of 10 digits come back when 10 % of their pixels are flipped, {stay} of 10 when none are;"
        " the aim is 8 (plain Hebb: 0)"
    )


EXERCISES = [
    Exercise(
        "02.1",
        reference=weights_from_images,
        cases=_image_cases,
        mistakes=[
            Mistake(
                lambda images: _without_diagonal(_rows(images).T @ _rows(images)),
                "your patterns are still 0 and 1: with 0 for paper, two white pixels agree and yet their"
                " weight learns nothing, and no weight can ever fall. Map 0 to -1 first.",
            ),
            Mistake(
                lambda images: _signed(images).T @ _signed(images),
                "the diagonal is not 0: each cell would vote for staying as it is, and the proof that the"
                " energy falls assumes W_ii = 0.",
            ),
            Mistake(
                lambda images: _without_diagonal(np.outer(_signed(images)[-1], _signed(images)[-1])),
                "only the last image is in the weights: each image overwrites the one before. Add them up.",
            ),
            Mistake(
                lambda images: (
                    _without_diagonal(_signed(images).T @ _signed(images)) / _signed(images).shape[1]
                ),
                "right, divided by the number of cells. Many books do that, and recall would be the same;"
                " here the weights stay whole numbers.",
            ),
            Mistake(
                lambda images: _without_diagonal(_signed(images).T @ _signed(images)) / len(images),
                "right, divided by the number of images: that is the average of the outer products, the"
                " rule is their sum.",
            ),
            Mistake(
                lambda images: _signed(images) @ _signed(images).T,
                "this compares images with images (one row for each image). Weights join cells with cells:"
                " the sum runs over the images.",
            ),
        ],
        hints=[
            "Three steps: flatten each image to a row of cells; turn 0 into -1; sum the outer products.",
            "`2 * x - 1` maps 0, 1 to -1, +1. With the patterns as rows of P, the sum of all outer"
            " products is `P.T @ P`.",
            "`np.fill_diagonal(weight, 0)` works in place and returns None.",
        ],
        reasoning="""Entry (i, j) of `P.T @ P` is the sum over the images of pixel i times pixel j: +1 for
        each image in which the two agree, -1 for each in which they differ. That is Hebb's rule for every
        pair.""",
        praise="Right: pixels that agree excite each other, pixels that differ inhibit each other.",
    ),
    Exercise(
        "02.2",
        reference=second_cell_step,
        cases=_cell_cases,
        mistakes=[
            Mistake(
                _second_cell(decay=lambda y: 0),
                "the decay is missing: this is Hebb's plain rule on the rest, and its length runs away.",
            ),
            Mistake(
                _second_cell(decay=lambda y: y),
                "the decay is y2 w2, it should be y2² w2: a bare y2 is negative half of the time, and then"
                " the weights grow instead of shrinking.",
            ),
            Mistake(
                _second_cell(decay=lambda y: -(y**2)),
                "the decay has the wrong sign: it makes long weights longer.",
            ),
            Mistake(
                _second_cell(rest=lambda w1, x: x),
                "the second cell still sees all of x, so it finds the first component again. Give it"
                " x - y1 w1.",
            ),
            Mistake(
                _second_cell(rest=lambda w1, x: x - w1),
                "you subtract w1 itself; what the first cell accounts for is y1 w1: how much, times in which"
                " direction.",
            ),
            Mistake(
                _sanger,
                "your y2 looks at all of x. That is Sanger's rule of 1989, and it works too; here the"
                " second cell sees only the rest: y2 = w2 · (x - y1 w1).",
            ),
            Mistake(
                _rest_for_y2_only,
                "y2 comes from the rest, but the change still adds y2 times all of x. The second cell sees"
                " only the rest, in both places.",
            ),
            Mistake(
                _second_cell(change_only=True),
                "this is the change alone; return the new weights, w2 plus the change.",
            ),
        ],
        hints=[
            "Compute y1 first, then the rest of the input: x - y1 w1.",
            "Now forget the first cell: the second one applies Oja's rule to the rest.",
            "y2 is w2 times the rest, and the change is lr (y2 rest - y2² w2).",
        ],
        reasoning="""Along w1 the rest has no variance left (when w1 has length 1), so the direction of
        largest variance in the rest is the second component of x. A third cell would take the rest of the
        rest. Sanger (1989) showed that all cells may learn at the same time.""",
        praise="Right: the second cell learns from what the first one leaves over.",
    ),
    Exercise(
        "02.3",
        reference=energy_change,
        cases=_flip_cases,
        mistakes=[
            Mistake(
                lambda weight, state, i: state[i] * (weight[i] @ state),
                "half of it: from s to -s the cell moves by 2 s, not by s.",
            ),
            Mistake(
                lambda weight, state, i: -2 * state[i] * (weight[i] @ state),
                "the sign is turned round: this is energy before minus energy after. A cell that agrees"
                " with its h costs energy when it flips.",
            ),
            Mistake(
                lambda weight, state, i: 4 * state[i] * (weight[i] @ state),
                "twice too much: the energy has a factor 1/2, because the sum over i and j counts each"
                " pair twice.",
            ),
            Mistake(
                lambda weight, state, i: 2 * (weight[i] @ state),
                "s_i is missing: whether a flip costs or gains energy depends on where the cell stands now.",
            ),
            Mistake(
                lambda weight, state, i: -2 * abs(weight[i] @ state),
                "this is always a fall. The proof flips only cells that disagree with h; here any cell may be"
                " asked, and a cell that agrees climbs.",
            ),
            Mistake(
                lambda weight, state, i: -(np.sign(weight[i] @ state) - state[i]) * (weight[i] @ state),
                "you let the cell decide by sign(h). The question is what the flip would cost, whether the"
                " cell wants it or not: s_i' is -s_i.",
            ),
            Mistake(
                _energy_after, "this is the energy after the flip; the question is by how much it changes."
            ),
        ],
        hints=[
            "In the proof, ΔE = -(s_i' - s_i) h_i. What is s_i' when the cell flips?",
            "s_i' - s_i = -2 s_i.",
        ],
        reasoning="""With s_i' = -s_i, ΔE = -(s_i' - s_i) h_i = 2 s_i h_i: one row of the weights instead
        of all of them, N products instead of 2 N². If s_i and h_i have the same sign, a flip climbs;
        recall never does it.""",
        praise="Right, and 2N times cheaper than computing the energy twice.",
    ),
    Exercise(
        "02.4",
        reference=settle,
        cases=_settle_cases,
        mistakes=[
            Mistake(
                _settle(_keep_on_tie, all_at_once=True),
                "all cells change at once: each decides by the old state of the others. Two cells can then"
                " swap for ever. Let cell i see what cell i - 1 has just become.",
            ),
            Mistake(
                _ask_the_first_state,
                "h is always computed from the state you were given, so no cell ever hears what another has"
                " become. Compute it from the copy that you change.",
            ),
            Mistake(
                _settle(lambda h, s: np.sign(h), all_at_once=True),
                "all cells change at once, and a tie (h = 0) makes a cell 0. Visit them one after the other.",
            ),
            Mistake(
                _settle(lambda h, s: 1 if h >= 0 else -1, all_at_once=True),
                "all cells change at once, and a tie (h = 0) makes a cell +1. Visit them one after the"
                " other.",
            ),
            Mistake(
                _settle(lambda h, s: np.sign(h)),
                "np.sign(0) is 0: at a tie a cell becomes 0 and drops out. At h = 0 a cell stays as it is.",
            ),
            Mistake(
                _settle(lambda h, s: 1 if h >= 0 else -1),
                "at a tie (h = 0) your cell becomes +1; it should stay as it is, or pure chance decides"
                " for ink.",
            ),
            Mistake(
                _settle(lambda h, s: 1 if h > 0 else -1),
                "at a tie (h = 0) your cell becomes -1; it should stay as it is, or pure chance decides"
                " for paper.",
            ),
            Mistake(
                _settle(_keep_on_tie, rounds_of=lambda rounds: 1),
                "one round only: a cell may have to change its mind after the others have.",
            ),
            Mistake(
                _settle(lambda h, s: -_keep_on_tie(h, -s)),
                "your cells go against h: the energy rises at each step.",
            ),
        ],
        hints=[
            "Copy the state first: `state = np.array(state)`. Then two loops, rounds outside, cells inside.",
            "`h = weight[i] @ state` must be computed inside the inner loop: an earlier cell may just have"
            " flipped.",
            "Three cases: h > 0, h < 0, h == 0.",
        ],
        reasoning="""The place of the line that computes h matters more than it looks. Inside the inner loop
        each cell sees the state as it is now, and each flip lowers the energy. Outside it, the proof is
        lost.""",
        praise="Right: one cell at a time, so the energy never rises.",
    ),
    Exercise(
        "02.5",
        reference=store_ten,
        judge=judge_memory,
        hints=[
            "What do the ten digits have in common, and what does Hebb's rule do with what is common to all?",
            "Hebb's rule strengthens weights even where a cell would already vote correctly. Which cells of a"
            " pattern need the lesson, and which could skip it?",
            "Go through the patterns several times; apply Hebb's rule only to cells with"
            " pattern * (weight @ pattern) below some margin (784, say). Keep the diagonal at 0.",
        ],
        reasoning="""Still local, and still Hebb, but each cell learns only **when it would be wrong or
        nearly so**. The common background is then learned once instead of ten times. This is a perceptron
        in each cell, the subject of the next notebook. The weights are no longer symmetric, so the energy
        argument no longer holds; it works nevertheless. Symmetric alternatives: the pseudo-inverse,
        `np.linalg.pinv(P) @ P` without its diagonal (Personnaz, Guyon and Dreyfus, 1985), which is not
        local.""",
        praise=lambda store: (
            f"Your memory brings back {restored(np.asarray(store(ten_digits()), float))} of 10 digits;"
            " Hebb's plain rule brings back none. How far can you raise the number of patterns?"
        ),
    ),
]
