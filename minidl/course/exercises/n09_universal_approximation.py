"""Exercises of notebook 09: what a network can represent, and what depth is good for."""

import inspect

import numpy as np

from minidl.course.exercise import Exercise, Mistake


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, float)))


# 09.1


def bump(x, left, right, height, steepness):
    def step(edge):
        return 1 / (1 + np.exp(-steepness * (x - edge)))

    return height * (step(left) - step(right))


def _both_added(x, left, right, height, steepness):
    return height * (sigmoid(steepness * (x - left)) + sigmoid(steepness * (x - right)))


def _upside_down(x, left, right, height, steepness):
    return -bump(x, left, right, height, steepness)


def _edge_not_scaled(x, left, right, height, steepness):
    return height * (sigmoid(steepness * x - left) - sigmoid(steepness * x - right))


def _multiplied(x, left, right, height, steepness):
    return height * sigmoid(steepness * (x - left)) * sigmoid(steepness * (right - x))


def _one_edge(x, left, right, height, steepness):
    return height * sigmoid(steepness * (x - left))


def _hard_steps(x, left, right, height, steepness):
    return height * ((x >= left) & (x < right))


def _height_on_one(x, left, right, height, steepness):
    return height * sigmoid(steepness * (x - left)) - sigmoid(steepness * (x - right))


def _height_forgotten(x, left, right, height, steepness):
    return bump(x, left, right, 1, steepness)


def _steepness_forgotten(x, left, right, height, steepness):
    return bump(x, left, right, height, 1)


def _mirrored_fall_added(x, left, right, height, steepness):
    return height * (sigmoid(steepness * (x - left)) + sigmoid(steepness * (right - x)))


# 09.2


def relu_weights(knots, values):
    slopes = np.diff(values) / np.diff(knots)
    weights = np.diff(slopes, prepend=0)  # the first slope, then each change of slope
    return weights, values[0]


def _slopes_themselves(knots, values):
    return np.diff(values) / np.diff(knots), values[0]


def _no_bias(knots, values):
    return relu_weights(knots, values)[0], 0.0


def _rises(knots, values):
    return np.diff(np.diff(values), prepend=0), values[0]


def _first_slope_lost(knots, values):
    return np.diff(np.diff(values) / np.diff(knots)), values[0]


def _first_weight_zero(knots, values):
    slopes = np.diff(values) / np.diff(knots)
    return np.diff(slopes, prepend=slopes[0]), values[0]


def _equal_cells(knots, values):
    return np.diff(np.diff(values) * (len(knots) - 1), prepend=0), values[0]


def _first_distance(knots, values):
    return np.diff(np.diff(values) / (knots[1] - knots[0]), prepend=0), values[0]


def _rises_themselves(knots, values):
    return np.diff(values), values[0]


def _one_too_many(knots, values):
    slopes = np.diff(values) / np.diff(knots)
    return np.diff(slopes, prepend=0, append=0), values[0]


def _line_at_zero(knots, values):
    """The bias of y = slope * x + bias for the first piece."""
    weights, bias = relu_weights(knots, values)
    return weights, bias - weights[0] * knots[0]


def _bias_first(knots, values):
    weights, bias = relu_weights(knots, values)
    return bias, weights


def flat_weights(answer, knots, values):
    """An answer's weights and bias; a layer's shapes, (1, units) and (1,), will do as well."""
    result = answer(knots, values)
    if not isinstance(result, tuple | list) or len(result) != 2:
        return result
    weights, bias = result
    if np.ndim(weights) == 2 and len(weights) == 1:
        weights = weights[0]
    return weights, bias[0] if np.shape(bias) == (1,) else bias


def _turned_round(knots, values):
    weights, bias = relu_weights(knots, values)
    return np.append(weights[:1], -weights[1:]), bias


# 09.3


def pieces(w, b, v):
    turns = {}
    for wi, bi, vi in zip(w, b, v, strict=True):
        if wi != 0:
            kink = -bi / wi
            turns[kink] = turns.get(kink, 0) + vi * abs(wi)
    return 1 + sum(turn != 0 for turn in turns.values())


def _units_plus_one(w, b, v):
    return len(w) + 1


def _kinks(w, b, v):
    return pieces(w, b, v) - 1


def _distinct_plus_one(w, b, v):
    return 1 + len({-bi / wi for wi, bi in zip(w, b, strict=True) if wi != 0})


def _no_cancelling(w, b, v):
    return 1 + len({-bi / wi for wi, bi, vi in zip(w, b, v, strict=True) if wi != 0 and vi != 0})


def _sign_of_w(w, b, v):
    """v * w in place of v * |w|."""
    turns = {}
    for wi, bi, vi in zip(w, b, v, strict=True):
        if wi != 0:
            turns[-bi / wi] = turns.get(-bi / wi, 0) + vi * wi
    return 1 + sum(turn != 0 for turn in turns.values())


def _size_of_w_left_out(w, b, v):
    """v in place of v * |w|."""
    turns = {}
    for wi, bi, vi in zip(w, b, v, strict=True):
        if wi != 0:
            turns[-bi / wi] = turns.get(-bi / wi, 0) + vi
    return 1 + sum(turn != 0 for turn in turns.values())


def _each_unit_its_own(w, b, v):
    return 1 + sum(wi != 0 and vi != 0 for wi, vi in zip(w, v, strict=True))


# 09.4


def zigzag(x, k):
    for _ in range(k):
        x = np.where(x < 1 / 3, 3 * x, np.where(x < 2 / 3, 2 - 3 * x, 3 * x - 2))
    return x


def _added(x, k):
    return k * zigzag(x, 1)


def _once_only(x, k):
    return zigzag(x, 1)


def _power(x, k):
    return zigzag(x, 1) ** k


def _once_too_often(x, k):
    return zigzag(x, k + 1)


def _once_too_few(x, k):
    return zigzag(x, k - 1)


def _pieces_times(x, k):
    return zigzag(x, 3**k)


def _three_times(x, k):
    return zigzag(x, 3 * k)


def _tent(x, k):
    for _ in range(k):
        x = 1 - abs(2 * x - 1)
    return x


def _jumps(x, k):
    for _ in range(k):
        x = 3 * x % 1
    return x


def _flat_middle(x, k):
    for _ in range(k):
        up, stop, again = (np.maximum(x - knot, 0) for knot in (0, 1 / 3, 2 / 3))
        x = 3 * up - 3 * stop + 3 * again
    return x


# 09.5

TOLERANCE = 0.01
BASELINE = 136  # the numbers of 45 corners, which equal cells need
GRID = np.linspace(0, 1, 10_001)
WAVE = np.cos(4 * np.pi * GRID)


def fold_twice_then_corners(n=7):
    """Two tents turn x into u, and cos(4 pi x) into cos(pi u); n corners draw that."""
    u = np.linspace(0, 1, 2001)
    share = np.cumsum(np.sqrt(np.abs(np.cos(np.pi * u))))  # more corners where it bends more
    knots = np.interp(np.arange(n) / n, share / share[-1], u)
    features = np.column_stack([np.maximum(u[:, None] - knots, 0), np.ones_like(u)])
    care = np.ones((len(u), 1))
    for _ in range(50):  # least squares again and again, with more care where the error is large
        heights = np.linalg.lstsq(care * features, care[:, 0] * np.cos(np.pi * u), rcond=None)[0]
        error = np.abs(features @ heights - np.cos(np.pi * u))
        care *= np.sqrt(error / error.max() + 1e-3)[:, None]
    *weights, bias = heights
    tent, corner = np.array([2.0, -4.0]), np.array([0.0, -0.5])
    return [
        (np.ones((2, 1)), corner),
        (np.tile(tent, (2, 1)), corner),
        (np.tile(tent, (n, 1)), -knots),
        (np.array([weights]), np.array([bias])),
    ]


def count_numbers(network) -> int:
    """Weights and biases of a list of layers, zeros included."""
    return sum(np.size(W) + np.size(b) for W, b in network)


def run_layers(network, x):
    """The output (N,) of layers [(W, b), ...] at x (N,), ReLU between them.

    Raises: ValueError on shapes that do not fit, numbers that are not finite.
    """
    h = np.reshape(np.asarray(x, float), (-1, 1))
    for index, (W, b) in enumerate(network):
        W, b = np.asarray(W, float), np.asarray(b, float)
        if W.ndim != 2 or W.shape[1] != h.shape[1]:
            raise ValueError(
                f"the weights of layer {index} have shape {W.shape}; they must be (units, {h.shape[1]}), "
                f"since {h.shape[1]} value{'s come' if h.shape[1] > 1 else ' comes'} in"
            )
        if b.shape != (len(W),):
            raise ValueError(
                f"the biases of layer {index} have shape {b.shape}; with {len(W)} units they must be "
                f"({len(W)},)"
            )
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise ValueError(f"layer {index} holds numbers that are not finite")
        h = h @ W.T + b
        if index < len(network) - 1:
            h = np.maximum(h, 0)
    if h.shape[1] != 1:
        raise ValueError(f"the last layer has {h.shape[1]} units; the output is one number, so it needs one")
    return h[:, 0]


def judge_network(network) -> str | None:
    """Is this network within 0.01 of cos(4 pi x) on [0, 1], with fewer numbers than equal cells take?"""
    if not isinstance(network, tuple | list) or not network:
        return "give a list of pairs (W, b), one for each layer"
    if any(not isinstance(layer, tuple | list) or len(layer) != 2 for layer in network):
        return "every layer must be a pair (W, b): weights of shape (units, inputs), biases of shape (units,)"
    try:
        error = np.abs(run_layers(network, GRID) - WAVE)
    except (TypeError, ValueError) as problem:
        return str(problem)
    worst, numbers = int(error.argmax()), count_numbers(network)
    if error[worst] > TOLERANCE:
        return (
            f"{numbers} numbers, but the largest error is {error[worst]:.3g}, at x = {GRID[worst]:.3f}; "
            f"{TOLERANCE} is allowed"
        )
    if numbers >= BASELINE:
        return f"close enough, with {numbers} numbers. Equal cells need {BASELINE}: beat them"
    return None


def praise_network(network) -> str:
    numbers = count_numbers(network)
    if numbers > 60:
        return f"{numbers} numbers instead of {BASELINE}. Four half waves: have you folded them all into one?"
    return f"{numbers} numbers instead of {BASELINE}. The solution below takes 39."


X = np.array([-0.5, 0.1, 0.25, 0.4, 0.55, 0.9, 1.3])

EXERCISES = [
    Exercise(
        "09.1",
        reference=bump,
        cases=[(X, 0.2, 0.6, 1.0, 5.0), (X, 0.15, 0.45, -2.0, 20.0), (X, 0.5, 0.75, 3.0, 8.0)],
        mistakes=[
            Mistake(
                _both_added,
                "to the right of the bump your curve stays at twice the height: the second sigmoid must take "
                "away what the first has added, so that the sum returns to 0",
            ),
            Mistake(_upside_down, "upside down: the step at `left` must go up, the one at `right` down"),
            Mistake(
                _edge_not_scaled,
                "the bump is shifted: sigmoid(steepness * x - left) steps at left / steepness. The bias "
                "must be "
                "-steepness * left, so that the step sits where x = left",
            ),
            Mistake(
                _multiplied,
                "nearly: a product of two sigmoids looks like a bump, but an output unit can only add. Take "
                "the difference of two rising ones",
            ),
            Mistake(_one_edge, "this is one step: it goes up at `left` and never comes back down"),
            Mistake(
                _hard_steps,
                "the edges are vertical, whatever the steepness: use sigmoids, which need 1 / steepness "
                "of room to rise",
            ),
            Mistake(
                _height_on_one,
                "only the first step is multiplied by the height; the second takes away 1, so the curve does "
                "not return to 0",
            ),
            Mistake(
                _height_forgotten,
                "the bump has the height 1, whatever `height` says: multiply, as the output weights do",
            ),
            Mistake(
                _steepness_forgotten,
                "the edges are always equally soft: `steepness` must multiply the distance x - edge",
            ),
            Mistake(
                _mirrored_fall_added,
                "a rising and a falling sigmoid add up to 1 outside the bump and 2 inside: take the bias "
                "of 1 "
                "(times height) off, or subtract two rising ones",
            ),
        ],
        hints=[
            "One sigmoid that is 0 to the left of `left` and 1 to the right of it. What must happen at "
            "`right`?",
            "`sigmoid(steepness * (x - left))` rises at `left`. Take away the same sigmoid moved to `right`.",
        ],
        reasoning="A unit computes σ(wx + b). With w = s and b = -s·left its sum is 0 at x = left, and "
        "there it "
        "steps. The same unit at `right`, with the output weight -height, brings the sum back to 0.",
        praise="Up at one edge, down at the other: two units, one bump. The sum of such bumps is the "
        "whole theorem.",
    ),
    Exercise(
        "09.2",
        reference=relu_weights,
        cases=[
            (np.array([0.0, 0.5, 1.0, 3.0]), np.array([1.0, 2.0, 1.0, 4.0])),
            (np.array([-1.0, 0.0, 0.25, 1.0, 2.0]), np.array([-2.0, 0.5, 0.5, 3.0, 1.0])),
            (np.array([2.0, 4.0]), np.array([3.0, 0.0])),
        ],
        call=flat_weights,
        mistakes=[
            Mistake(
                _slopes_themselves,
                "these are the slopes themselves. But a ReLU that has started never stops: behind knot i the "
                "slopes of all ReLUs so far add up, so each weight must be the *change* of slope at its knot",
            ),
            Mistake(
                _no_bias,
                "the weights are right, the bias is not: at the first knot all ReLUs are 0, and the curve "
                "must "
                "be values[0] there",
            ),
            Mistake(
                _rises,
                "you take rises for slopes: divide by the distance of the knots (it is not always the same)",
            ),
            Mistake(
                _rises_themselves,
                "you take rises for weights. Divide each by the distance of its knots: that is the slope; "
                "a weight is the *change* of slope at its knot",
            ),
            Mistake(
                _equal_cells,
                "`* n` gives the slopes where all knots are 1/n apart; these are not. Divide each rise by "
                "the distance of its own two knots",
            ),
            Mistake(
                _first_distance,
                "you divide every rise by the first distance; each pair of knots has its own",
            ),
            Mistake(
                _one_too_many,
                "one weight too many: no ReLU starts at the last knot, what comes behind it does not matter",
            ),
            Mistake(
                _line_at_zero,
                "the weights are right, the bias is not: this is where the first line meets x = 0. But the "
                "first ReLU measures from its knot, and is 0 there",
            ),
            Mistake(_bias_first, "the right numbers in the wrong order: first the weights, then the bias"),
            Mistake(
                _first_slope_lost,
                "one weight is missing: the first ReLU brings the first slope, from 0",
            ),
            Mistake(
                _first_weight_zero,
                "the first weight is 0, so the curve starts flat: left of the first knot the slope is 0, "
                "and the "
                "first ReLU must bring the whole first slope",
            ),
            Mistake(
                _turned_round,
                "each change has the wrong sign: it is the slope after the knot minus the slope before it",
            ),
        ],
        hints=[
            "What is the output at the first knot, where every ReLU is still 0?",
            "Compute the slope between each knot and the next. Between knots i and i+1 the slope is the "
            "sum of "
            "the first i+1 weights.",
            "`np.diff(slopes, prepend=0)` gives the first slope and then all changes.",
        ],
        reasoning="At the first knot only the bias is there. Behind knot i the ReLUs 0 to i are on, and "
        "the slope is "
        "the sum of their weights; that sum must be slope i. So the weights are the differences of the "
        "slopes.",
        praise="A network without training: every number in it has a reason.",
    ),
    Exercise(
        "09.3",
        reference=pieces,
        cases=[
            ([1, 2, -1], [0, -1, 2], [1, 1, 1]),
            ([1, -1], [0, 0], [1, -1]),
            ([1, -1], [0, 0], [1, 1]),
            ([2, 4], [-1, -2], [1, 1]),
            ([0, 1], [3, -1], [2, 1]),
            ([1, 1, 1], [0, -1, -2], [1, 0, -2]),
            ([1, -2], [-1, 2], [2, -1]),
            ([1, 2, 3, -1], [1, 1, -2, 5], [3, -1, 2, 2]),
        ],
        rtol=0,
        atol=0.1,
        mistakes=[
            Mistake(
                _units_plus_one,
                "units + 1 is the most that is possible, not what these units make: some share a kink, some "
                "have none",
            ),
            Mistake(_kinks, "one too few: a line that is cut at n places falls into n + 1 pieces"),
            Mistake(
                _distinct_plus_one,
                "you count every kink, also where the output does not bend: a unit with output weight 0 "
                "is not "
                "heard, and two units with the same kink may cancel",
            ),
            Mistake(
                _no_cancelling,
                "two units with the same kink may cancel: relu(x) - relu(-x) is x, a straight line. Add "
                "up the "
                "changes of slope at each kink",
            ),
            Mistake(
                _sign_of_w,
                "a unit with a negative w also turns the slope by +|w| as x grows: it ends a descent. The "
                "change "
                "of slope is v * |w|",
            ),
            Mistake(
                _size_of_w_left_out,
                "you add up the output weights v alone. But relu(2x) rises twice as steeply as relu(x): the "
                "change of slope is v * |w|",
            ),
            Mistake(
                _each_unit_its_own,
                "two units can have their kink at the same place; that is one kink only",
            ),
        ],
        hints=[
            "Where is the kink of relu(w x + b)? And when has a unit none?",
            "By how much does the slope of v * relu(w x + b) change there, going to the right? Try w = 1 "
            "and w = -1.",
            "Collect the changes kink by kink (a dictionary does it), and count the kinks whose sum is "
            "not 0.",
        ],
        reasoning="The unit bends where wx + b = 0, at x = -b/w. Going right, its slope changes from 0 to "
        "w if w > 0, "
        "and from w to 0 if w < 0: by |w| in both cases, times v. Changes at the same place add up, to 0 "
        "perhaps. "
        "Every kink that is left starts a new piece, and the first piece needs no kink. So n units make "
        "at most "
        "n + 1.",
        praise="Exact. And it is a proof: n units make at most n + 1 pieces.",
    ),
    Exercise(
        "09.4",
        reference=zigzag,
        cases=[
            (np.array([0.05, 0.2, 0.4, 0.55, 0.8, 0.97]), 1),
            (np.array([0.05, 0.2, 0.41, 0.56, 0.8]), 2),
            (np.linspace(0.01, 0.98, 13), 3),
        ],
        mistakes=[
            Mistake(
                _added,
                "you added k copies. Adding leaves the kinks where they are, 3 pieces for every k; feed "
                "the output "
                "back in as the next input",
            ),
            Mistake(_once_only, "k is not used: this is the zigzag once, with 3 pieces"),
            Mistake(
                _power,
                "you raised the output to the power k; composing means to apply the map to its own output",
            ),
            Mistake(_once_too_often, "applied k + 1 times: one too many"),
            Mistake(_once_too_few, "applied k - 1 times: one too few"),
            Mistake(
                _pieces_times,
                "applied 3^k times. k times is enough: 3^k is the number of pieces that come out",
            ),
            Mistake(_three_times, "applied 3k times: each application already makes three pieces of one"),
            Mistake(
                _jumps,
                "it goes up three times and jumps back in between; the zigzag has no jumps, its middle piece "
                "runs down",
            ),
            Mistake(
                _flat_middle,
                "in the middle your curve is flat: a ReLU of weight -3 only stops the first one. To run down "
                "the slope must change from 3 to -3",
            ),
            Mistake(_tent, "this is the tent, with 2 pieces; the zigzag goes up a third time"),
        ],
        hints=[
            "Write the map for k = 1 first: slope 3, then -3, then 3.",
            "Then a loop: `for _ in range(k): x = once(x)`.",
            "In ReLUs the map is 3 relu(x) - 6 relu(x - 1/3) + 6 relu(x - 2/3).",
        ],
        reasoning="The output of one round is the next round's input. Every piece of the curve so far "
        "runs through all "
        "of [0, 1], so the next round cuts it in three: $3^k$ pieces from $3k$ ReLUs. With $K$ units in "
        "all that is "
        "$3^{K/3} \\approx 1.442^K$, against the tent's $2^{K/2} \\approx 1.414^K$. No other zigzag does "
        "better: "
        "$m^{1/m}$ is largest at $m = 3$.",
        praise="3^k pieces from 3k ReLUs. For each unit spent that is a little better than the tent.",
    ),
    Exercise(
        "09.5",
        reference=fold_twice_then_corners(),
        judge=judge_network,
        hints=[
            "Start from the interpolation with 45 corners, and move the corners: a straight piece is "
            "enough where "
            "the curve hardly bends.",
            "Interpolation touches the curve at the knots and errs to one side only. Let the line cross "
            "the curve "
            "instead: half the error. `np.linalg.lstsq` finds such heights.",
            "The wave goes down and up twice. Fold x with the tent first; then what is left to draw is "
            "half a wave.",
        ],
        reasoning="cos(4πx) is cos(πu), where u goes 0, 1, 0, 1, 0 as x goes from 0 to 1: u is the tent "
        "of the tent. "
        "Two layers of two ReLUs fold, 10 numbers. Then half a wave is left for 7 corners, placed more "
        "densely where "
        "it bends, with heights by least squares that cares most where the error is largest: 21 numbers, "
        "and 8 for the output. Depth pays where a pattern "
        "repeats.",
        praise=praise_network,
        code=inspect.getsource(fold_twice_then_corners) + "\n\nnetwork = fold_twice_then_corners()",
    ),
]
