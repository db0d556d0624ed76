"""Notebook 04: equality by hand, a certificate, every counting question, counting dichotomies, few units."""

from collections.abc import Sequence
from itertools import product
from math import comb

import numpy as np
from numpy.typing import NDArray

from minidl.classic import threshold_unit
from minidl.course.diagnose import numeric
from minidl.course.exercise import Exercise, Mistake

SQUARE = np.array(list(product([0, 1], repeat=2)))


def _bits(point) -> str:
    return "".join(str(int(bit)) for bit in point)


def _array(what: str, value, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The value as numbers of this shape. Raises: ValueError that says what was found."""
    numbers = numeric(value)
    if numbers is None:
        raise ValueError(f"{what}: expected numbers of shape {shape}, found something else")
    if len(shape) < 2 and numbers.size == np.prod(shape):
        numbers = numbers.reshape(shape)  # [[1, 1]] for [1, 1] is a matter of taste
    if numbers.shape != shape:
        raise ValueError(f"{what}: expected shape {shape}, found {numbers.shape}")
    return numbers.astype(float)


# 04.1


def judge_equality(answer) -> str | None:
    """Does (hidden weights, hidden thresholds, output weights, output threshold) compute x1 = x2?"""
    if not isinstance(answer, tuple | list) or len(answer) != 4:
        return "give four things: hidden weights, hidden thresholds, output weights, output threshold"
    names = ("hidden weights", "hidden thresholds", "output weights", "output threshold")
    shapes = ((2, 2), (2,), (2,), ())
    try:
        w, t, v, c = (_array(*each) for each in zip(names, answer, shapes, strict=True))
    except ValueError as error:
        return str(error)
    hidden, wanted = threshold_unit(SQUARE, w, t), np.array([1, 0, 0, 1])
    output = threshold_unit(hidden, v, c)
    if (output == wanted).all():
        return None
    if (output == 1 - wanted).all():
        return "this is XOR: right up to a NOT, all four rows are the wrong way round"
    return _hidden_fault(hidden, wanted) or (
        f"the hidden layer is fine, the output unit is not: wrong for input "
        f"{', '.join(_bits(x) for x in SQUARE[output != wanted])}. Draw the hidden points and look for "
        f"the line"
    )


def _hidden_fault(hidden: NDArray, wanted: NDArray) -> str | None:
    """Why no output unit could work behind these hidden points; None when one could."""
    for one in np.flatnonzero(wanted == 1):
        for zero in np.flatnonzero(wanted == 0):
            if (hidden[one] == hidden[zero]).all():
                return (
                    f"inputs {_bits(SQUARE[one])} and {_bits(SQUARE[zero])} need different answers but "
                    f"land on the "
                    f"same hidden point ({hidden[one][0]}, {hidden[one][1]}): what the hidden layer "
                    f"merges, "
                    "no output unit can part"
                )
    if (hidden[wanted == 1].sum(axis=0) == hidden[wanted == 0].sum(axis=0)).all():
        return (
            "the hidden points are again the four corners with crossing diagonals: your hidden units "
            "only copy "
            "(or mirror) the inputs, so the output unit is a single line once more"
        )
    return None


EQUALITY = ([[1, 1], [-1, -1]], [2, 0], [1, 1], 1)

# 04.2


def alarm(x) -> NDArray[np.int64]:
    """(x1 and x2) or (x3 and x4). x: (..., 4) of 0s and 1s -> (...)."""
    x = np.asarray(x)
    return (x[..., 0] * x[..., 1] + x[..., 2] * x[..., 3] > 0).astype(int)


def judge_certificate(answer) -> str | None:
    """Do (points answered 1, points answered 0) have the same average?"""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return "give two lists: inputs that the alarm answers with 1, and inputs that it answers with 0"
    groups = []
    for value, right in zip(answer, (1, 0), strict=True):
        points = numeric(value)
        if points is None or points.ndim != 2 or points.shape[1] != 4 or not len(points):
            return "each of the two lists holds inputs of four bits, such as [(1, 1, 0, 0), (0, 0, 1, 1)]"
        if not np.isin(points, (0, 1)).all():
            return "an input is made of 0s and 1s; the average may be a fraction, the points may not"
        groups.append((right, points.astype(int)))
    if all((alarm(points) == 1 - right).all() for right, points in groups):
        return "the two lists are swapped: first the inputs that the alarm answers with 1"
    for right, points in groups:
        for point in points[alarm(points) != right]:
            return f"the alarm answers {_bits(point)} with {1 - right}: it belongs in the other list"
    averages = [points.mean(axis=0) for _, points in groups]
    if np.allclose(*averages):
        return None
    shown = ["(" + ", ".join(f"{value:.3g}" for value in average) + ")" for average in averages]
    return (
        f"the averages differ: {shown[0]} for the 1s, {shown[1]} for the 0s, so a unit may still part these"
    )


CERTIFICATE = ([(1, 1, 0, 0), (0, 0, 1, 1)], [(1, 0, 1, 0), (0, 1, 0, 1)])

# 04.3


def counting_network(wanted):
    weights = np.diff(wanted)
    threshold = 1 - wanted[0]
    return weights, threshold


def staircase_answers(answer, wanted: Sequence[int]) -> dict[str, int] | None:
    """What the network answers when 0, 1, ..., n inputs are on; hidden unit k fires when k or more are on."""
    made = answer(wanted)
    if made is None:
        return None
    if not isinstance(made, tuple | list) or len(made) != 2:
        raise ValueError("return two things: the output weights and the output threshold")
    n = len(wanted) - 1
    weights, threshold = _array("output weights", made[0], (n,)), _array("output threshold", made[1], ())
    hidden = np.arange(n + 1)[:, None] >= np.arange(1, n + 1)
    fires = threshold_unit(hidden, weights, threshold).tolist()
    return {f"{count} on": fired for count, fired in enumerate(fires)}


def _levels_for_steps(wanted):
    return wanted[1:], 1


def _threshold_always_one(wanted):
    return np.diff(wanted), 1


def _parity_always(wanted):
    return [(-1) ** k for k in range(len(wanted) - 1)], 1


def _steps_reversed(wanted):
    return -np.diff(wanted), wanted[0]


def _steps_reversed_threshold_kept(wanted):
    return -np.diff(wanted), 1 - wanted[0]


def _threshold_always_zero(wanted):
    return np.diff(wanted), 0


def _threshold_is_the_first_answer(wanted):
    return np.diff(wanted), wanted[0]


# 04.4


def dichotomies(points: int, inputs: int) -> int:
    return 2 * sum(comb(points - 1, k) for k in range(inputs + 1))


def _forgot_threshold(points, inputs):
    return 2 * sum(comb(points - 1, k) for k in range(inputs))


def _forgot_minus_one(points, inputs):
    return 2 * sum(comb(points, k) for k in range(inputs + 1))


def _forgot_two(points, inputs):
    return sum(comb(points - 1, k) for k in range(inputs + 1))


def _everything(points, inputs):
    return 2**points


def _silent_at_no_inputs(points, inputs):
    if points == 1:
        return 2
    if inputs == 0:
        return 1
    return _silent_at_no_inputs(points - 1, inputs) + _silent_at_no_inputs(points - 1, inputs - 1)


def _no_stop_at_one_point(points, inputs):
    if inputs == 0:
        return 2
    return _no_stop_at_one_point(points - 1, inputs) + _no_stop_at_one_point(points - 1, inputs - 1)


def _last_term_only(points, inputs):
    return 2 * comb(points - 1, inputs)


# 04.5

SIZES = range(2, 11)


def parity_units(n):
    units, digits = [], []
    for digit in [2**k for k in reversed(range(n.bit_length()))]:  # for n = 10: 8, 4, 2, 1
        units.append(([1] * n + [-d for d in digits], digit))  # less the digits found so far
        digits.append(digit)
    return units


def run_units(units, n: int) -> NDArray[np.int64]:
    """The last unit's answer for all inputs of n bits; unit i reads the inputs, then the i units before it.

    Raises: ValueError that names the first unit with a wrong number of weights.
    """
    if not isinstance(units, tuple | list) or not len(units):
        raise ValueError("return a list of pairs (weights, threshold), one for each unit")
    seen = np.array(list(product([0, 1], repeat=n)))
    for i, unit in enumerate(units):
        if not isinstance(unit, tuple | list) or len(unit) != 2:
            raise ValueError(f"unit {i} should be a pair (weights, threshold)")
        weights = _array(f"weights of unit {i} ({n} inputs, {i} units before it)", unit[0], (n + i,))
        fires = threshold_unit(seen, weights, _array(f"threshold of unit {i}", unit[1], ()))
        seen = np.column_stack([seen, fires])
    return seen[:, -1]


def judge_parity(answer) -> str | None:
    """Does answer(n) give units that compute the parity of n bits, fewer than the staircase's n + 1?"""
    if not callable(answer):
        return "this should be a function: parity_units(n) returns the list of units for n inputs"
    for n in SIZES:
        try:
            output = run_units(answer(n), n)
        except ValueError as error:
            return f"for n = {n}: {error}"
        cube = np.array(list(product([0, 1], repeat=n)))
        wrong = np.flatnonzero(output != cube.sum(axis=1) % 2)
        if len(wrong) == len(cube):
            return f"for n = {n} every answer is the wrong way round: this is even parity"
        if len(wrong):
            first = cube[wrong[0]]
            return (
                f"for n = {n}, {len(wrong)} of the {len(cube)} answers are wrong; the first is input "
                f"{_bits(first)} ({first.sum()} on), answered with {output[wrong[0]]}"
            )
    for n in SIZES:
        count = len(answer(n))
        if count > n:
            return (
                f"all answers are right, but {n} inputs take {count} units, and the staircase needs {n + 1}: "
                "beat it for every n. A unit may listen to the units before it as well"
            )
    return None


def praise_parity(answer) -> str:
    most = SIZES[-1]
    if all(len(answer(n)) == n.bit_length() for n in SIZES):
        return (
            f"All right, with {most.bit_length()} units for {most} inputs. Nobody can do it with fewer: "
            "the solution has the proof."
        )
    return (
        f"All right, with {len(answer(most))} units for {most} inputs instead of {most + 1}. "
        "Can you save more?"
    )


EXERCISES = [
    Exercise(
        "04.1",
        reference=EQUALITY,
        judge=judge_equality,
        mistakes=[
            Mistake(
                ([[1, 1], [1, 1]], [2, 2], [1, 1], 1),
                "both hidden units ask the same question (are both on?), so you have one line only; "
                "input 00 must "
                "be caught by the other unit",
            ),
            Mistake(
                ([[1, 1], [-1, -1]], [2, 0], [1, 1], 2),
                "the output unit asks for both hidden units at once, but 'both on' and 'both off' never "
                "happen together",
            ),
        ],
        hints=[
            "The two inputs are equal in two cases. Give each case a hidden unit of its own.",
            "One hidden unit fires for 11 only: AND. The other fires for 00 only: negative weights, "
            "threshold 0. "
            "The output unit fires when either does.",
        ],
        reasoning="Equality is true in two corners of the square, and each corner can be cut off by one "
        "line: "
        "`x1 + x2 >= 2` cuts off 11, `-x1 - x2 >= 0` cuts off 00. The output unit is an OR of the two. "
        "In the hidden space 01 and 10 both land on (0, 0), and one line parts them from the rest. "
        "Keeping OR and NAND, and turning only the output unit round (weights -1, -1, threshold -1), "
        "works as well.",
        praise="Equality, with two hidden units. Each of them cuts off a corner, the output unit collects.",
        code="equality = ([[1, 1], [-1, -1]], [2, 0], [1, 1], 1)",
    ),
    Exercise(
        "04.2",
        reference=CERTIFICATE,
        judge=judge_certificate,
        mistakes=[
            Mistake(
                ([(1, 1, 0, 0), (0, 0, 1, 1)], [(0, 0, 0, 0), (1, 1, 1, 1)]),
                "the averages agree, but look at 1111: both pairs are on, so the alarm rings; it cannot "
                "stand among the 0s",
            )
        ],
        hints=[
            "Start with the two inputs that ring the alarm and have as few bits on as possible. "
            "What is the sum of the two?",
            "You need two silent inputs with the same sum (1, 1, 1, 1): split the four bits so that "
            "neither half "
            "holds a whole pair.",
        ],
        reasoning="1100 and 0011 ring the alarm; their average is (½, ½, ½, ½). So is the average of "
        "1010 and 0101, "
        "where the alarm is silent. A unit's weighted sum at the average would have to be at least the "
        "threshold "
        "(average of two sums that are) and below it (average of two sums that are). So there is no "
        "such unit.",
        praise="A proof in four points. Note that the alarm never gets less likely when a bit goes on, "
        "and still no unit computes it.",
        code="certificate = ([(1, 1, 0, 0), (0, 0, 1, 1)], [(1, 0, 1, 0), (0, 1, 0, 1)])",
    ),
    Exercise(
        "04.3",
        reference=counting_network,
        cases=[
            ([0, 1, 0, 1, 0],),
            ([0, 0, 1, 1],),
            ([1, 0, 0, 1],),
            ([0, 0, 1, 1, 0, 0],),
            ([1, 0, 1, 1, 0, 1, 0],),
            ([1, 1, 1, 0, 0],),
            ([0, 0, 0],),
        ],
        call=staircase_answers,
        mistakes=[
            Mistake(
                _levels_for_steps,
                "the weights are the wanted answers themselves. But with k inputs on, the first k "
                "hidden units fire "
                "together and their weights add up: a weight must be the change from one count to the next",
            ),
            Mistake(
                _threshold_always_one,
                "right whenever the answer for 'none on' is 0, wrong when it is 1: with no input on no "
                "hidden unit "
                "fires, so only the threshold can make the output fire",
            ),
            Mistake(
                _parity_always,
                "you return parity's weights +1, -1, +1, ... whatever is wanted; they must follow from "
                "`wanted`",
            ),
            Mistake(
                _steps_reversed,
                "all changes have the wrong sign: from count k-1 to k it is wanted[k] - wanted[k-1]",
            ),
            Mistake(
                _steps_reversed_threshold_kept,
                "all changes have the wrong sign: from count k-1 to k it is wanted[k] - wanted[k-1]",
            ),
            Mistake(
                _threshold_is_the_first_answer,
                "the threshold is the wrong way round: with no input on the sum is 0. Where wanted[0] is 0 "
                "the output must then be silent, but a threshold of 0 lets it fire",
            ),
            Mistake(
                _threshold_always_zero,
                "right whenever the answer for 'none on' is 1, wrong when it is 0: with no input on the "
                "sum is 0, and 0 reaches your threshold, so the output fires where it should be silent",
            ),
        ],
        hints=[
            "With k inputs on, hidden units 1 to k fire. What is the output unit's sum then?",
            "Choose the weights so that the sum with k inputs on is wanted[k] - wanted[0]: each weight "
            "is a difference.",
            "The sum is wanted[k] - wanted[0]. It must reach the threshold exactly when wanted[k] is 1.",
        ],
        reasoning="With k inputs on, the first k hidden units fire, so the output's sum is the sum of "
        "the first k "
        "weights. If weight k is `wanted[k] - wanted[k-1]`, that sum telescopes to `wanted[k] - "
        "wanted[0]`. It reaches "
        "`1 - wanted[0]` exactly where `wanted[k]` is 1. So n hidden units compute any function of n "
        "inputs that "
        "depends on their number only; parity is the one that needs every step.",
        praise="One hidden layer answers every question about a count. Parity was only the hardest of them.",
    ),
    Exercise(
        "04.4",
        reference=dichotomies,
        cases=[(1, 2), (4, 2), (5, 2), (7, 2), (8, 3), (3, 5), (10, 1), (12, 4), (6, 0), (12, 5)],
        rtol=0.0,
        atol=0.5,
        mistakes=[
            Mistake(
                _forgot_threshold,
                "one term short: four points in the plane give 14, yours gives 8. The sum runs to k = "
                "inputs, "
                "inclusive: the threshold is one more thing to choose, beside the weights",
            ),
            Mistake(
                _forgot_minus_one,
                "too many: a single point has 2 dichotomies. The first point is the start, so the "
                "choices run over "
                "the other points - 1",
            ),
            Mistake(
                _forgot_two,
                "half of it: every dichotomy can be turned round, 1s for 0s. One point alone has 2",
            ),
            Mistake(
                _everything,
                "that is the number of all dichotomies, 2 to the power of points; beyond inputs + 1 points "
                "not every one of them is separable (XOR is not). A recursion without its stop at 0 inputs "
                "gives the same",
            ),
            Mistake(
                _silent_at_no_inputs,
                "with 0 inputs a unit is only a threshold, and that still makes 2 dichotomies: all 1, all 0",
            ),
            Mistake(
                _no_stop_at_one_point,
                "your function calls itself with fewer and fewer points and never stops: one point has 2 "
                "dichotomies, whatever the number of inputs",
            ),
            Mistake(
                _last_term_only,
                "only the last term of the sum: the rule adds up, since every new point brings C(N, n) "
                "+ C(N, n-1)",
            ),
        ],
        hints=[
            "You can write the rule itself: a function that calls itself with one point fewer. Where "
            "does it stop?",
            "Two stops: one point has 2 dichotomies; with 0 inputs only the threshold is left, which "
            "also makes 2.",
            "Or find the sum: unrolling gives Pascal's triangle, 2 · (binomials of points - 1, from 0 "
            "to inputs).",
        ],
        reasoning="Unrolling C(N+1, n) = C(N, n) + C(N, n-1) from C(1, n) = C(N, 0) = 2 is Pascal's "
        "triangle: "
        "C(N, n) = 2 Σ binom(N-1, k) for k = 0 to n. All 2^N dichotomies are separable while N ≤ n+1, "
        "exactly half of them at N = 2(n+1) (Cover 1965), and almost none much beyond.",
        praise="Cover's count. Try points = 2 * (inputs + 1): exactly half of all dichotomies, for "
        "every number of inputs.",
    ),
    Exercise(
        "04.5",
        reference=parity_units,
        judge=judge_parity,
        hints=[
            "The staircase's output unit may also look at the inputs: it knows the count s itself. How "
            "often must it be corrected by -2? That saves half of the units.",
            "You need not make the count smaller by 2 again and again. With n = 10, what could a unit that "
            "asks 'is s at least 8?' subtract at once?",
            "Write the count in binary. The first unit finds the largest power of 2 that is at most n, the "
            "second sees what is left and looks for the next smaller one, and so on down to 1.",
        ],
        reasoning="""
        The units read off the count s in binary. For 8 to 15 inputs: u₁ = [s ≥ 8], u₂ = [s - 8u₁ ≥ 4], u₃ =
        [s - 8u₁ - 4u₂ ≥ 2], and the last, [s - 8u₁ - 4u₂ - 2u₃ ≥ 1], is the bit of the ones: parity. One
        unit for each binary digit of n, because each listens to those before it. Depth pays.

        **No fewer will do.** Take the first unit: it reads only inputs. Walk from the corner with its
        smallest sum to the one with its largest, n steps that never lower the sum: the unit switches at
        most once on the way, so it is constant on a stretch with at least half of the n+1 stops, and on
        the whole smaller cube between that stretch's two ends. Stay in that cube: there the first unit is
        a constant, and the second becomes a unit that reads only inputs. Each unit halves the stops at
        worst. After all K units, the answer included, a stretch of at least (n+1)/2^K stops is left, and
        the answer is constant on it. Parity is not constant on two stops, so 2^K ≥ n+1: for n = 10, K ≥ 4.
        """,
        praise=praise_parity,
    ),
]
