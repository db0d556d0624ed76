"""Exercises of notebook 01: cells of 1943 and units with weights."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from minidl.classic import NerveNet, threshold_unit
from minidl.course.exercise import Exercise, Mistake

THREE = np.array(list(product([0, 1], repeat=3)))  # (8, 3): all votes of a, b, c
SEVEN = np.array(list(product([0, 1], repeat=7)))  # (128, 7)


def _recognise(answer, behave, mistakes: Sequence[Mistake]) -> str | None:
    """The message of the mistake that behaves like the answer."""
    mine = behave(answer)
    return next((m.message for m in mistakes if np.array_equal(behave(m.answer), mine)), None)


def _cell_problem(name: str, cell) -> str | None:
    """What is wrong with the form of a cell, if anything."""
    if not isinstance(cell, list | tuple) or len(cell) != 3:
        form = "(excitatory names, inhibitory names, threshold), such as (['a', 'b'], [], 2)"
        return f"{name} should be a cell: {form}"
    for synapses in cell[:2]:
        if isinstance(synapses, int) or not all(isinstance(each, str) for each in synapses):
            return f"{name}: a cell listens to names, so write ['a', 'b'] and not {synapses!r}"
    if isinstance(cell[2], int | float) and cell[2] < 1:
        return (
            f"{name}: a threshold of {cell[2]} is met in silence. A cell of 1943 needs at least one active"
            " synapse: θ is 1 or more"
        )
    return None


def _net_problem(net, wanted: Sequence[str]) -> str | None:
    """What is wrong with the form of a net, if anything."""
    if not isinstance(net, dict):
        return "a net is a dict: {name: (excitatory names, inhibitory names, threshold), ...}"
    missing = [name for name in wanted if name not in net]
    if missing:
        return f"the net has no cell called {missing[0]!r}; it has {', '.join(map(repr, net))}"
    for name, cell in net.items():
        problem = _cell_problem(name, cell)
        if problem:
            return problem
        for synapses in cell[:2]:
            if isinstance(synapses, str) and len(synapses) > 1:
                return f"{name}: a single name needs its brackets too, [{synapses!r}] and not {synapses!r}"
    return None


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# 01.1

MAJORITY_MISTAKES = [
    Mistake(
        (["a", "b", "c"], [], 1),
        "this is OR: a single vote fires it. How many votes of three are more than half?",
    ),
    Mistake(
        (["a", "b", "c"], [], 3),
        "this is AND: it waits until all three agree. Two votes are a majority already.",
    ),
    Mistake(
        (["a", "b"], [], 2), "c has no synapse, so c has no vote: b and c together would be a majority too."
    ),
    Mistake(
        (["a", "b"], ["c"], 2),
        "c inhibits, and inhibition here is absolute: a no-vote would be silence, but this makes each vote"
        " of c a veto.",
    ),
]


def _votes(cell) -> np.ndarray:
    signals = {name: np.stack([column, column]) for name, column in zip("abc", THREE.T, strict=True)}
    return NerveNet({"majority": cell}).run(signals)["majority"][1]


def _judge_majority(cell) -> str | None:
    problem = _cell_problem("majority", cell)
    if problem:
        return problem
    fires, votes = _votes(cell), THREE.sum(axis=1)
    wrong = np.flatnonzero(fires != (votes >= 2))
    if not wrong.size:
        return None
    first = wrong[0]
    verb = "fires" if fires[first] else "is silent"
    return _recognise(cell, _votes, MAJORITY_MISTAKES) or (
        f"with (a, b, c) = {tuple(THREE[first].tolist())} the cell {verb}, and {votes[first]} of 3 have voted"
        f" ({wrong.size} of the 8 cases are wrong, this is the first)"
    )


# 01.2

ILLUSION = {
    "chilled": (["cool"], [], 1),
    "ended": (["chilled"], ["cool"], 1),
    "heat": (["warm", "ended"], [], 1),
    "cold": (["chilled", "cool"], [], 2),
}
ILLUSION_MISTAKES = [
    Mistake(
        ILLUSION | {"cold": (["cool"], [], 1)},
        "`cold` fires after a single step of cooling, so a brief touch feels cold too. The paper's cell"
        " needs two steps in a row: the signal now, and the signal one step ago that some cell has kept.",
    ),
    Mistake(
        ILLUSION | {"ended": (["chilled"], [], 1)},
        "`heat` follows every cooling, also one that goes on. It must fire only when the cooling has"
        " ended: cool then AND NOT cool one step later.",
    ),
    Mistake(
        ILLUSION | {"heat": (["warm", "ended"], [], 2)},
        "`heat` waits for both causes at once. Each of them alone should do.",
    ),
    Mistake(
        ILLUSION | {"heat": (["warm"], [], 1)},
        "`heat` is honest: it never fires for a brief cooling, so there is no illusion.",
    ),
    Mistake(
        ILLUSION | {"heat": (["warm", "chilled"], ["cool"], 1)},
        "right idea, but now `cool` inhibits `heat` itself: a warm receptor that fires at the same time is"
        " silenced too, and the illusion comes a step too early. Give `cool AND NOT cool` a cell of its own.",
    ),
]


def _skin() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(43)
    return {name: generator.integers(0, 2, (40, 6)) for name in ("warm", "cool")}


def _feel(net) -> np.ndarray:
    history = NerveNet(net).run(_skin())
    return np.stack([history["heat"], history["cold"]])[:, 4:]


def _equations() -> np.ndarray:
    """What the paper's two equations say, from step 4 on."""
    warm, cool = (signal.astype(bool) for signal in _skin().values())
    heat = warm[3:-1] | (cool[1:-3] & ~cool[2:-2])
    cold = cool[2:-2] & cool[3:-1]
    return np.stack([heat, cold]).astype(int)


def _judge_illusion(net) -> str | None:
    problem = _net_problem(net, ("heat", "cold"))
    if problem:
        return problem
    mine, wanted = _feel(net), _equations()
    if np.array_equal(mine, wanted):
        return None
    known = _recognise(net, _feel, ILLUSION_MISTAKES)
    if known:
        return known
    rows = {"`heat`": (mine[0], wanted[0]), "`cold`": (mine[1], wanted[1])}
    for name, (got, want) in rows.items():
        if np.array_equal(got[1:], want[:-1]):
            return f"{name} is right but one step late: every cell on the way costs one step"
        if np.array_equal(got[:-1], want[1:]):
            return f"{name} is right but one step early: a cell that only repeats makes a delay"
    return _scene_that_differs(net) or (
        "right for warm alone and for one cooling alone, wrong when they mix: does an inhibition that should"
        " stop one signal stop the other too?"
    )


SCENES = {  # 12 steps of (warm, cool)
    "warm at step 4 and nothing else": ({4}, set()),
    "cool at step 4 and nothing else": (set(), {4}),
    "cool at steps 4, 5 and 6": (set(), {4, 5, 6}),
}


def _scene_that_differs(net) -> str | None:
    """The first simple scene in which the net does not feel what the equations say, in words."""
    for scene, (warm, cool) in SCENES.items():
        signals = {"warm": [int(t in warm) for t in range(12)], "cool": [int(t in cool) for t in range(12)]}
        history = NerveNet(net).run(signals)
        wanted = {
            "heat": {t + 1 for t in warm} | {t + 3 for t in cool if t + 1 not in cool},
            "cold": {t + 2 for t in cool if t + 1 in cool},
        }
        for name, when in wanted.items():
            fires = set(np.flatnonzero(history[name]).tolist())
            if fires != when:
                return f"{scene}: `{name}` should fire {_steps(when)}, yours fires {_steps(fires)}"
    return None


def _steps(when: set[int]) -> str:
    listed = ", ".join(map(str, sorted(when)))
    return f"at step{'' if len(when) == 1 else 's'} {listed}" if when else "at no step"


# 01.3

FULL_ADDER = [([1, 1, 1], 2), ([1, 1, 1, -2], 1)]
ADDER_MISTAKES = [
    Mistake(
        [([1, 1, 1], 2), ([1, 1, 1, -1], 1)],
        "a carry of weight -1 is too weak: 1 + 1 leaves 2 - 1 = 1, which still reaches the threshold, but"
        " the sum bit of 1 + 1 is 0. Write down the condition for exactly two active inputs.",
    ),
    Mistake(
        [([1, 1, 1], 2), ([1, 1, 1, -3], 1)],
        "a carry of weight -3 is too strong: 1 + 1 + 1 leaves 3 - 3 = 0 and the sum bit is silent, but"
        " three is 11 in binary. Write down the condition for all three.",
    ),
    Mistake(
        [([1, 1, 1], 2), ([1, 1, 1, 0], 1)],
        "the second unit does not listen to the carry: it is OR, so it fires for 1 + 1 too. Its fourth"
        " weight is what makes the difference.",
    ),
    Mistake(
        [([1, 1, 1], 2), ([-2, 1, 1, 1], 1)],
        "the -2 is on a, not on the carry: a unit hears a, b, c first and the earlier unit last, so the"
        " carry's weight is the fourth.",
    ),
    Mistake(
        [([1, 1, 1], 3), ([1, 1, 1, -2], 1)],
        "the carry waits for three inputs, but 1 + 1 already makes a carry.",
    ),
]


def _units_problem(units, inputs: int, first_names: str) -> str | None:
    """What is wrong with the form of a chain of units, if anything."""
    pairs = isinstance(units, list | tuple) and all(
        isinstance(u, list | tuple) and len(u) == 2 for u in units
    )
    if not pairs:
        return "write a list of units, each one a pair (weights, threshold)"
    for index, (weights, _) in enumerate(units):
        if np.ndim(weights) != 1 or len(weights) != inputs + index:
            earlier = f" and {_plural(index, 'earlier unit')}" if index else ""
            return (
                f"unit {index + 1} hears {first_names}{earlier}, so it needs {inputs + index} weights,"
                f" not {np.size(weights)}"
            )
    return None


def _chain(units, x: np.ndarray) -> np.ndarray:
    """Each unit hears the inputs and all units before it. x: (N, n) -> (N, number of units)."""
    inputs = x.shape[1]
    for weights, threshold in units:
        x = np.column_stack([x, threshold_unit(x, weights, threshold)])
    return x[:, inputs:]


def _add(units) -> np.ndarray:
    return _chain(units, THREE)


def _judge_adder(units) -> str | None:
    problem = _units_problem(units, 3, "a, b, c")
    if problem:
        return problem
    if len(units) != 2:
        return f"two units, please: first the carry, then the sum; this has {len(units)}"
    count = THREE.sum(axis=1)
    carry, total = _add(units).T
    if np.array_equal(2 * carry + total, count):
        return None
    for name, got, want in (("carry", carry, count >= 2), ("sum", total, count % 2)):
        wrong = np.flatnonzero(got != want)
        if wrong.size:
            first = wrong[0]
            return _recognise(units, _add, ADDER_MISTAKES) or (
                f"with (a, b, c) = {tuple(THREE[first].tolist())} the {name} is {got[first]}, but"
                f" {count[first]} is"
                f" {count[first]:02b} in binary ({wrong.size} of 8 cases are wrong)"
            )


# 01.4

FLIP_FLOP = {"set": (["press"], ["q"], 1), "q": (["set", "q"], ["press"], 1)}
PRESSES = (3, 14, 25, 33, 44, 52)
SETTLE = 5  # steps after a press when q may still be on its way
FLIP_FLOP_MISTAKES = [
    Mistake(
        {"q": (["press", "q"], [], 1)},
        "the first press turns q on and nothing turns it off: it is a latch without a reset. Who could"
        " inhibit q when it is on and the button is pressed?",
    ),
    Mistake(
        {"q": (["press"], [], 1)},
        "q only echoes the button one step later and forgets. A cell that remembers has a synapse on itself.",
    ),
    Mistake(
        {"q": (["q"], ["press"], 1)},
        "q never fires. It starts silent, so on the first press something must set it, and nothing may"
        " inhibit it at the very step when that signal arrives.",
    ),
    Mistake(
        {"or": (["press", "q"], [], 1), "and": (["press", "q"], [], 2), "q": (["or"], ["and"], 1)},
        "XOR of q and the button is the right idea, but this loop is two cells long: one pulse chases"
        " round it, so q flickers, on every second step only. The cell that remembers needs a synapse on"
        " itself, a loop of one.",
    ),
]


def _press() -> np.ndarray:
    button = np.zeros(60, dtype=int)
    button[list(PRESSES)] = 1
    return button


def _toggle(net) -> np.ndarray:
    return NerveNet(net).run({"press": _press()})["q"]


def _judge_flip_flop(net) -> str | None:
    problem = _net_problem(net, ("q",))
    if problem:
        return problem
    q, wanted = _toggle(net), np.cumsum(_press()) % 2
    unsettled = np.zeros(len(q), dtype=bool)
    for at in PRESSES:
        unsettled[at + 1 : at + 1 + SETTLE] = True
        wanted[at] = 1 - wanted[at]  # at the moment of the press, q still shows the old state
    wrong = np.flatnonzero((q != wanted) & ~unsettled)
    if not wrong.size:
        return None
    pressed = sum(at < wrong[0] for at in PRESSES)
    when = f"after press number {pressed}" if pressed else "before the first press"
    return _recognise(net, _toggle, FLIP_FLOP_MISTAKES) or (
        f"{when} q should be {wanted[wrong[0]]}, but at step {wrong[0]} it is {q[wrong[0]]}"
    )


# 01.5

PARITY = [
    ([1] * 7, 4),
    ([1] * 7 + [-4], 2),
    ([1] * 7 + [-4, -2], 1),
]
PLAIN_UNITS = 8
PLAIN = [([1] * 7 + [0] * k, k + 1) for k in range(7)] + [([0] * 7 + [1, -1, 1, -1, 1, -1, 1], 1)]
PARITY_MISTAKES = [
    Mistake(PLAIN, "this is the plain net: all 128 inputs right with 8 units. Now use fewer."),
    Mistake(
        [([1] * 7, 1)],
        "this is OR of the seven. One threshold is one change of mind, and parity changes its mind seven"
        " times on the way from 0 to 7.",
    ),
]


def _parity(units) -> np.ndarray:
    return _chain(units, SEVEN)[:, -1]


def _judge_parity(units) -> str | None:
    problem = _units_problem(units, 7, "the 7 inputs")
    if problem:
        return problem
    if not len(units):
        return "the list is empty: it needs at least one unit"
    count = SEVEN.sum(axis=1)
    wrong = np.flatnonzero(_parity(units) != count % 2)
    if wrong.size:
        first = wrong[np.argmin(count[wrong])]
        return (
            f"{wrong.size} of the 128 inputs are wrong with {_plural(len(units), 'unit')}; the first"
            f" has {count[first]} active, so its parity is {count[first] % 2}"
        )
    if len(units) >= PLAIN_UNITS:
        return f"all 128 right with {len(units)} units, but the plain net needs {PLAIN_UNITS}. Fewer, please."
    return None


def _praise_parity(units) -> str:
    if len(units) == 3:
        return "All 128 inputs right with 3 units. Nobody can do it with fewer: see the solution for why."
    return f"All 128 inputs right with {len(units)} units, fewer than {PLAIN_UNITS}. It can be done with 3."


EXERCISES = [
    Exercise(
        "01.1",
        reference=(["a", "b", "c"], [], 2),
        code='majority = (["a", "b", "c"], [], 2)',
        judge=_judge_majority,
        mistakes=MAJORITY_MISTAKES,
        hints=[
            "Each voter excites the cell, nobody inhibits it. What is left to choose is one number.",
            "The cell fires when the number of votes reaches the threshold. Which number of votes is the"
            " smallest majority?",
        ],
        reasoning="""
            Three equal excitatory synapses count the votes. Two votes of three are a majority, so the
            threshold is 2. Thresholds 1 and 3 give OR and AND: one cell, one dial, three laws of
            government.
            """,
        praise="Two of three is a majority, and one cell can count to two.",
    ),
    Exercise(
        "01.2",
        reference=ILLUSION,
        code="""illusion = {
    "chilled": (["cool"], [], 1),            # cool, one step ago
    "ended": (["chilled"], ["cool"], 1),     # cool two steps ago, but not one step ago
    "heat": (["warm", "ended"], [], 1),
    "cold": (["chilled", "cool"], [], 2),
}""",
        judge=_judge_illusion,
        mistakes=ILLUSION_MISTAKES,
        hints=[
            "Delays first. A cell that only repeats `cool`, with threshold 1, fires for cool(t-1). Call it"
            " `chilled`; whoever listens to it hears cool(t-2).",
            "`cold` is an AND of two signals: `cool` itself and `chilled`.",
            '"cool two steps ago AND NOT cool one step ago" is one cell: excited by `chilled`, inhibited'
            " by `cool`. `heat` is an OR of that cell and `warm`.",
        ],
        reasoning="""
            Work from the inside out, as the paper does. `chilled` keeps the signal for a step: chilled(t) =
            cool(t-1). Then chilled AND cool gives cold(t) = cool(t-2) AND cool(t-1). For the illusion,
            `ended` fires at t when chilled(t-1) AND NOT cool(t-1), which is cool(t-2) AND NOT cool(t-1);
            one more step to `heat` turns this into cool(t-3) AND NOT cool(t-2). This is the net of the
            paper's Figure 1e.
            """,
        praise="The net of Figure 1e, and with it a sensation that is wrong for a reason you can point at.",
    ),
    Exercise(
        "01.3",
        reference=FULL_ADDER,
        code="""full_adder_units = [
    ([1, 1, 1], 2),       # carry: at least two
    ([1, 1, 1, -2], 1),   # sum: the carry takes two away
]""",
        judge=_judge_adder,
        mistakes=ADDER_MISTAKES,
        hints=[
            "The carry is the majority of exercise 01.1. Give a, b and c the weight 1 in the sum as well.",
            "Call the weight of the carry v and the threshold θ. The sum must fire for one active input"
            " and for three, and be silent for none and for two. That makes four inequalities.",
            "None: 0 < θ. One: 1 ≥ θ. Two: 2 + v < θ. Three: 3 + v ≥ θ. Take θ = 1 and see what is left"
            " for v.",
        ],
        reasoning="""
            With weights 1 for the inputs, v for the carry and threshold θ, the four counts give

            | active | carry | the sum should | condition |
            |---|---|---|---|
            | 0 | 0 | be silent | 0 < θ |
            | 1 | 0 | fire | 1 ≥ θ |
            | 2 | 1 | be silent | 2 + v < θ |
            | 3 | 1 | fire | 3 + v ≥ θ |

            With θ = 1 the last two say v < -1 and v ≥ -2, so v = -2 is the whole number that does it: the
            carry stands for two, and takes two away. What is left is the sum bit.
            """,
        praise="A full adder in two units. Weights save cells: with absolute inhibition it took four.",
    ),
    Exercise(
        "01.4",
        reference=FLIP_FLOP,
        code="""flip_flop = {
    "set": (["press"], ["q"], 1),         # pressed while q is off
    "q": (["set", "q"], ["press"], 1),    # holds itself; every press puts it out
}""",
        judge=_judge_flip_flop,
        mistakes=FLIP_FLOP_MISTAKES,
        hints=[
            "Start from the latch: q excites itself. A press must turn it on when it is off, and off when"
            " it is on: two different events.",
            '"Pressed while q is off" is one cell: excited by `press`, inhibited by `q`. Let it set q.',
            "Turning off: what if every press inhibits q? The cell that sets q acts one step later than"
            " the press, so it is not in the way.",
        ],
        reasoning="""
            `set` fires one step after a press that finds q silent. q is held by its own synapse and put out
            by every press. If q was on, the press silences it and `set` stays silent, since q inhibited it.
            If q was off, the press has nothing to put out, and one step later `set` lights q. The synaptic
            delay, so far a nuisance, is what keeps the two cases apart. Let a third cell, `press` AND
            `q`, be the button of the next such pair, and you have a binary counter.
            """,
        praise=lambda net: (
            f"A bit that flips, with {_plural(len(net), 'cell')}."
            + (" One cell alone could not: it would have to compute q XOR press." if len(net) == 2 else "")
        ),
    ),
    Exercise(
        "01.5",
        reference=PARITY,
        code="""parity = [
    ([1] * 7, 4),               # is there a 4 in the count?
    ([1] * 7 + [-4], 2),        # take it away: is there a 2?
    ([1] * 7 + [-4, -2], 1),    # take it away: is there a 1 left?
]""",
        judge=_judge_parity,
        mistakes=PARITY_MISTAKES,
        hints=[
            "The full adder of 01.3 gives the parity of three bits with two units. Parities can be"
            " chained: three such adders make seven bits, with six units.",
            "Why did the carry have the weight -2? It stands for 'two of the active inputs', and takes"
            " them away.",
            "Write the count, 0 to 7, in binary: 4, 2, 1. First ask for the 4.",
        ],
        reasoning="""
            The count of active inputs is a number from 0 to 7: three binary digits, and parity is the last
            of them. The first unit finds the digit worth 4. The second hears the same inputs, less 4 if the
            first fired, and finds the digit worth 2. The third hears what is then left, 0 or 1: the parity.

            Two units cannot do it: walk from the smallest sum of the first unit to its largest by seven
            flips. The first unit switches at most once on the way, so it is constant on four neighbouring
            stops; there the second is constant on two, and parity is not.
            """,
        praise=_praise_parity,
    ),
]
