"""Notebook 06: a vjp, backward on one's own, undoing a broadcast, few multiplications."""

from collections import Counter

import numpy as np

from minidl import scalar
from minidl.course.exercise import Exercise, Mistake

# 06.1


def divide(a, b):
    return a / b, lambda g: (g / b, -g * a / b**2)


def call_op(op, a, b, g):
    """The output of an op and both gradients as numbers; in words if it does not have the form of an op."""
    returned = op(a, b)
    if returned is None:
        return None
    if hasattr(returned, "vjp"):  # `@op` was put in front: a Value came back
        returned = returned.data, returned.vjp
    if not isinstance(returned, tuple | list) or len(returned) < 2:
        return "not a pair"
    out, vjp = returned[0], returned[1]
    if len(returned) > 2 or (isinstance(vjp, tuple | list) and callable(vjp[0])):
        return "a function for each input"
    if not callable(vjp):
        return "gradients, not a function"
    gradients = vjp(g)
    return (out, *gradients) if np.size(gradients) == 2 else "not two gradients"


def _divide_with(db):
    return lambda a, b: (a / b, lambda g: (g / b, db(a, b, g)))


# 06.2


def my_backward(value):
    gradients = {value: 1.0}
    for v in sorted(scalar.ancestors(value), key=lambda v: -v.order):
        g = gradients[v]
        v.grad += g
        if v.vjp:
            for x, dx in zip(v.inputs, v.vjp(g), strict=True):
                gradients[x] = gradients.get(x, 0.0) + dx


def chain(x, y):
    return scalar.tanh(x * 0.5) * 3


def diamond(x, y):
    shared = x * y
    return shared * shared + scalar.exp(shared) * 2


def twice(x, y):
    return x * x + y


def braid(x, y):
    a = x + y
    b = a * x
    return b * a + b * y


def call_backward(backward, build, a, b):
    """The gradients of the value itself and of both inputs, and how often the busiest vjp ran."""
    x, y = scalar.Value(a), scalar.Value(b)
    out, runs = build(x, y), Counter()

    def counted(value):
        vjp = value.vjp

        def run(g):
            runs[value] += 1
            return vjp(g)

        return run

    for value in scalar.ancestors(out):
        if value.vjp:
            value.vjp = counted(value)
    backward(out)
    return {"value": out.grad, "x": x.grad, "y": y.grad, "runs": max(runs.values(), default=0)}


def backward_assigning(value, g=1.0):
    value.grad = g
    if value.vjp:
        for x, dx in zip(value.inputs, value.vjp(g), strict=True):
            backward_assigning(x, dx)


def backward_every_way(value, g=1.0):
    value.grad += g
    if value.vjp:
        for x, dx in zip(value.inputs, value.vjp(g), strict=True):
            backward_every_way(x, dx)


def backward_overwriting(value):
    value.grad = 1.0
    for v in sorted(scalar.ancestors(value), key=lambda v: -v.order):
        if v.vjp:
            for x, dx in zip(v.inputs, v.vjp(v.grad), strict=True):
                x.grad = dx


def backward_unseeded(value):
    for v in sorted(scalar.ancestors(value), key=lambda v: -v.order):
        if v.vjp:
            for x, dx in zip(v.inputs, v.vjp(v.grad), strict=True):
                x.grad += dx


def backward_oldest_first(value):
    value.grad = 1.0
    for v in sorted(scalar.ancestors(value), key=lambda v: v.order):
        if v.vjp:
            for x, dx in zip(v.inputs, v.vjp(v.grad), strict=True):
                x.grad += dx


def backward_dictionary_oldest_first(value):
    gradients = {value: 1.0}
    for v in sorted(scalar.ancestors(value), key=lambda v: v.order):
        v.grad += gradients.get(v, 0.0)
        if v.vjp:
            for x, dx in zip(v.inputs, v.vjp(gradients.get(v, 0.0)), strict=True):
                gradients[x] = gradients.get(x, 0.0) + dx


def backward_leaves_only(value):
    gradients = {value: 1.0}
    for v in sorted(scalar.ancestors(value), key=lambda v: -v.order):
        if not v.vjp:
            v.grad += gradients[v]
        else:
            for x, dx in zip(v.inputs, v.vjp(gradients[v]), strict=True):
                gradients[x] = gradients.get(x, 0.0) + dx


def backward_passing_totals(value):
    """Depth first; passes on the whole sum so far at each visit."""

    def visit(v, g):
        v.grad += g
        if v.vjp:
            for x, dx in zip(v.inputs, v.vjp(v.grad), strict=True):
                visit(x, dx)

    visit(value, 1.0)


# 06.3


def sum_to_shape(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    return g.sum(axis=stretched, keepdims=True)


def _broadcast_cases():
    rng = np.random.default_rng(0)
    shapes = [
        ((4, 3), (3,)),
        ((4, 3), (4, 1)),
        ((2, 4, 3), (4, 3)),
        ((2, 4, 3), (1, 3)),
        ((2, 4, 3), (3,)),
        ((4, 3), (4, 3)),
        ((5,), ()),
    ]
    return [(rng.normal(size=big), small) for big, small in shapes]


def _mean_to_shape(g, shape):
    g = g.mean(axis=tuple(range(g.ndim - len(shape))))
    return g.mean(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def _leading_axes_only(g, shape):
    return g.sum(axis=tuple(range(g.ndim - len(shape))))


def _one_axis_in_front(g, shape):
    g = g.sum(axis=0) if g.ndim > len(shape) else g
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def _without_keepdims(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1))


def _first_entry(g, shape):
    g = g[(0,) * (g.ndim - len(shape))]
    return g[tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)]


# 06.4


def power_15(x):
    x3 = x * x * x
    x6 = x3 * x3
    return x6 * x6 * x3


def multiplications(answer, at: float = 1.1) -> int:
    """How many operations the answer's graph holds."""
    out = answer(scalar.Value(at))
    return sum(v.vjp is not None for v in scalar.ancestors(out))


def judge_power(answer) -> str | None:
    """Is it x ** 15 by multiplications of Values alone, with the right gradient, and in fewer than 14?"""
    x = scalar.Value(1.1)
    try:
        out = answer(x)
    except Exception as error:
        return f"power_15 raised {type(error).__name__}: {error}"
    if not isinstance(out, scalar.Value):
        return f"return a Value computed from x by multiplications, not {type(out).__name__}"
    names = {v.name for v in scalar.ancestors(out) if v.vjp}
    if names - {"mul"}:
        return f"only * is allowed here; your graph also holds {', '.join(sorted(names - {'mul'}))}"
    power = np.log(out.data) / np.log(1.1) if out.data > 0 else np.nan
    if not np.isclose(power, 15):
        return f"at x = 1.1 the result is x to the power {power:.3g}, not 15"
    out.backward()
    if not np.isclose(x.grad, 15 * 1.1**14):
        return "the value is right, the gradient is not: compute with the Value x itself, not with x.data"
    count = multiplications(answer)
    return (
        f"right, but with {count} multiplications; square what you have got instead" if count > 13 else None
    )


def praise_power(answer) -> str:
    count = multiplications(answer)
    best = "That is the record." if count == 5 else "Five are possible: look for a power that you use twice."
    return f"x to the power 15 with {count} multiplications. {best}"


EXERCISES = [
    Exercise(
        "06.1",
        reference=divide,
        cases=[(3.0, 2.0, 1.0), (1.0, -4.0, 0.5), (-2.5, 0.5, -3.0)],
        call=call_op,
        mistakes=[
            Mistake(
                _divide_with(lambda a, b, g: g * a / b**2),
                "the gradient of b has the wrong sign: a larger b makes 1 / b smaller",
            ),
            Mistake(
                _divide_with(lambda a, b, g: -g * a / b), "the derivative of 1 / b is -1 / b², not -1 / b"
            ),
            Mistake(_divide_with(lambda a, b, g: -g / b**2), "the gradient of b lost its factor a"),
            Mistake(
                lambda a, b: (a / b, lambda g: (1 / b, -a / b**2)),
                "multiply both gradients by g, what arrives from above",
            ),
            Mistake(
                lambda a, b: (a / b, lambda g: (-g * a / b**2, g / b)),
                "the two gradients are in the wrong order: first the one of a",
            ),
            Mistake(lambda a, b: (a / b, lambda g: (g * b, g * a)), "these are the gradients of a * b"),
            Mistake(lambda a, b: a / b, "return two things: the output, and a function of g"),
            Mistake(
                lambda a, b: (a / b, (1 / b, -a / b**2)),
                "the second thing must be a function of g, not numbers: going forward, g is not known yet",
            ),
            Mistake(
                lambda a, b: (a / b, lambda g: g / b, lambda g: -g * a / b**2),
                "our ops have one function of g that returns both gradients, not one function for each input",
            ),
            Mistake(
                lambda a, b: (a / b, lambda g: g / b),
                "your function of g must return two gradients, that of a and that of b",
            ),
        ],
        hints=[
            "The gradient of a: if b stays, a / b is a times the constant 1 / b.",
            "The gradient of b: $a\\,b^{-1}$ has the derivative $-a\\,b^{-2}$.",
            "Multiply each by g: `lambda g: (g * ..., g * ...)`.",
        ],
        reasoning=(
            "The derivative of $a/b$ by $a$ is $1/b$, and by $b$ it is $-a/b^2$. The chain rule multiplies "
            "each by $g$, what the output's change does to the loss."
        ),
        praise="Right. You have just extended the engine: `@op` in front of it, and Values can be divided.",
    ),
    Exercise(
        "06.2",
        reference=my_backward,
        cases=[(chain, 0.7, 2.0), (diamond, 0.7, -1.5), (twice, 3.0, 1.0), (braid, 1.5, -0.5)],
        call=call_backward,
        mistakes=[
            Mistake(
                backward_overwriting,
                "a gradient is overwritten where a value is used twice: add (+=) instead",
            ),
            Mistake(
                backward_unseeded,
                "all gradients are 0: nothing starts the walk. That of the value itself is 1",
            ),
            Mistake(
                backward_oldest_first,
                "you walk from the oldest on: a value passes on its gradient before it has it",
            ),
            Mistake(
                backward_assigning,
                "a gradient is overwritten where a value is used twice: add (+=) instead",
            ),
            Mistake(
                backward_every_way,
                "the gradients are right, but some vjp ran more than once, for each way through the graph: "
                "on 50 doublings this would take years. Let a value wait until it is complete",
            ),
            Mistake(
                backward_dictionary_oldest_first,
                "you walk from the oldest on: a value passes on its gradient before it has it",
            ),
            Mistake(
                backward_leaves_only,
                "the inputs are right, but the values behind them should keep theirs too",
            ),
            Mistake(
                backward_passing_totals,
                "a value visited twice passes on the first part again: wait until it is complete",
            ),
        ],
        hints=[
            "Keep a dictionary from values to their gradients so far; at first only `value` has one, 1.0.",
            "`sorted(scalar.ancestors(value), key=lambda v: -v.order)` goes from the youngest to the oldest.",
            "`zip(v.inputs, v.vjp(g))` pairs each input with what it gets; add that to what it has.",
        ],
        reasoning=(
            "A value's users are all younger than the value. So when its turn comes in the order of age, all "
            "that it gets has arrived, and each vjp runs once."
        ),
        praise="Right, and every vjp ran once. This is the heart of every framework.",
    ),
    Exercise(
        "06.3",
        reference=sum_to_shape,
        cases=_broadcast_cases,
        mistakes=[
            Mistake(_mean_to_shape, "that is the mean; the uses add up, they are not averaged"),
            Mistake(
                _leading_axes_only, "axes added in front are summed, those stretched from size 1 are not"
            ),
            Mistake(
                _without_keepdims, "the sum over a stretched axis removed the axis: it must stay, with size 1"
            ),
            Mistake(_one_axis_in_front, "more than one axis may have been added in front: sum over each"),
            Mistake(_first_entry, "you kept one use and dropped the others: all uses must be added"),
        ],
        hints=[
            "`g.ndim - len(shape)` axes were added in front: sum over them.",
            "Then sum over each axis where `shape` says 1, with `keepdims=True` so that the axis stays.",
        ],
        reasoning="Each number of the input was used once for every place it was copied to, and uses add up.",
        praise="Right. Compare with `sum_to_shape` in minidl/tensor.py: the same idea.",
    ),
    Exercise(
        "06.4",
        reference=power_15,
        judge=judge_power,
        hints=[
            "From $x^a$ and $x^b$ you get $x^{a+b}$ by one multiplication: find a short chain of sums to 15.",
            "1, 2, 3, 6, 12, 15: each is a sum of two that are already there.",
        ],
        reasoning=(
            "Repeated squaring (1, 2, 3, 6, 7, 14, 15) takes six. With $x^3$ used twice it is five: 1, 2, 3, "
            "6, 12, 15. The shortest *addition chain* of a number is hard to find in general; for 15 it has "
            "five sums."
        ),
        praise=praise_power,
    ),
]
