"""Notebook 22: the loop of a recurrent network, its gradient through time, clipping, temperature, and a model
of names to beat."""

import functools
import inspect
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from minidl import data
from minidl.course.diagnose import numeric, short
from minidl.course.exercise import Exercise, Mistake

# 22.1  The loop


def states(x, h0, W, U, b):
    """The states h_1 ... h_T (T, N, H) from x (T, N, D), h0 (N, H), W (H, D), U (H, H), b (H,)."""
    h, after = h0, []
    for now in x:
        h = np.tanh(now @ W.T + h @ U.T + b)
        after.append(h)
    return np.stack(after)


def _loop_by(
    step: Callable = lambda now, h, W, U, b: np.tanh(now @ W.T + h @ U.T + b),
    start: Callable = lambda h0: h0,
    hand_on: bool = True,
) -> Callable:
    """The loop with another step, another start, or without handing the state on."""

    def wrong(x, h0, W, U, b):
        h, after = start(h0), []
        for now in x:
            new = step(now, h, W, U, b)
            after.append(new)
            h = new if hand_on else h
        return np.stack(after)

    return wrong


def _sums_handed_on(x, h0, W, U, b):
    """tanh is put on what is returned, but the next step hears the bare sum."""
    z, after = h0, []
    for now in x:
        z = now @ W.T + z @ U.T + b
        after.append(np.tanh(z))
    return np.stack(after)


def _kept_too_early(x, h0, W, U, b):
    """Each state is put on the list before it is made anew: h_0 ... h_(T-1)."""
    return np.concatenate([h0[None], states(x, h0, W, U, b)[:-1]])


def _loop_cases() -> list[tuple]:
    rng = np.random.default_rng(0)
    return [
        tuple(rng.normal(size=s) for s in ((T, N, D), (N, H), (H, D), (H, H), (H,)))
        for T, N, D, H in ((4, 2, 3, 5), (3, 3, 3, 3), (1, 2, 2, 4))
    ]


STATES = Exercise(
    "22.1",
    reference=states,
    cases=_loop_cases,
    mistakes=[
        Mistake(
            _loop_by(hand_on=False),
            "every step begins with h0 again: the new state must take the old one's place, or nothing is"
            " remembered",
        ),
        Mistake(_loop_by(start=np.zeros_like), "the first step begins with 0: it should begin with h0"),
        Mistake(
            _loop_by(lambda now, h, W, U, b: np.tanh(now @ W.T + h @ U + b)),
            "U is not transposed. Rows are names, so h @ U.T; U is square, and nothing complains",
        ),
        Mistake(
            _loop_by(lambda now, h, W, U, b: np.tanh(now @ W + h @ U.T + b)),
            "W is not transposed. It is (H, D) and a name is a row of D numbers, so x[t] @ W.T",
        ),
        Mistake(
            _loop_by(lambda now, h, W, U, b: np.tanh(now @ W + h @ U + b)),
            "W and U are not transposed. W is (H, D) and a name is a row of D numbers, so x[t] @ W.T, and"
            " h @ U.T in the same way",
        ),
        Mistake(
            _loop_by(lambda now, h, W, U, b: np.tanh(W @ now + U @ h + b)),
            "W @ x[t] is for a column: here a name is a row, so x[t] @ W.T, and h @ U.T in the same way",
        ),
        Mistake(_sums_handed_on, "you hand on z: tanh comes first, and the next step hears h"),
        Mistake(
            _loop_by(lambda now, h, W, U, b: now @ W.T + h @ U.T + b),
            "the tanh is missing: without it the whole network is one linear map of its inputs",
        ),
        Mistake(
            _loop_by(lambda now, h, W, U, b: 1 / (1 + np.exp(-(now @ W.T + h @ U.T + b)))),
            "this is a sigmoid: the notebook's units use tanh",
        ),
        Mistake(_loop_by(lambda now, h, W, U, b: np.tanh(now @ W.T + h @ U.T)), "the bias b is missing"),
        Mistake(
            _loop_by(lambda now, h, W, U, b: np.tanh(now @ W.T + b)),
            "the old state has no say: U h is missing from the sum",
        ),
        Mistake(
            _loop_by(lambda now, h, W, U, b: np.tanh(now @ W.T + b) + h @ U.T),
            "tanh goes over the whole sum, the old state's part included",
        ),
        Mistake(
            _loop_by(lambda now, h, W, U, b: h + np.tanh(now @ W.T + h @ U.T + b)),
            "the new state is added to the old one: here it replaces it. (To add is an idea of notebook 23)",
        ),
        Mistake(
            lambda x, h0, *weights: np.concatenate([h0[None], states(x, h0, *weights)]),
            "one state too many: h0 is given, return h_1 to h_T alone",
        ),
        Mistake(
            _kept_too_early,
            "these are h_0 to h_(T-1): make the new state first, then keep it",
        ),
        Mistake(
            lambda *case: states(*case)[-1],
            "this is the last state alone: return one for each step, (T, N, H)",
        ),
        Mistake(
            lambda *case: np.repeat(states(*case)[-1:], len(case[0]), axis=0),
            "all steps hold the last state: the same array was kept T times and overwritten. Keep a new one",
        ),
        Mistake(lambda *case: states(*case)[::-1], "right, but in reverse: the first step comes first"),
        Mistake(
            lambda x, *rest: states(x[::-1], *rest),
            "it reads from the end: begin with x[0], the first letters",
        ),
        Mistake(
            lambda *case: states(*case).swapaxes(0, 1),
            "the axes are (N, T, H): time comes first, (T, N, H). `np.stack` puts it there",
        ),
    ],
    hints=[
        "A loop over the first axis of x; before it, h = h0.",
        "In the loop h = tanh(x_t Wᵀ + h Uᵀ + b), a name in each row, and h is kept in a list.",
        "`np.stack(list)` makes (T, N, H) of T arrays (N, H).",
    ],
    reasoning="""
    The line that matters is `h = ...`: the name h is bound to the new state, so that the next round reads it.
    Everything that the network knows of the past goes through that line.
    """,
    praise="Right: nn.RNN, in one line and a loop.",
)

# 22.2  The gradient of U


def gradient_of_U(d, h, U):
    """dL/dU (H, H) from what each state does to the loss by its own forecast, d (T, N, H); h (T+1, N, H)."""
    dU, later = np.zeros_like(U), np.zeros_like(d[0])
    for t in reversed(range(len(d))):
        delta = (d[t] + later) * (1 - h[t + 1] ** 2)
        dU += delta.T @ h[t]
        later = delta @ U
    return dU


def _back_by(
    delta: Callable = lambda d, later, slope: (d + later) * slope,
    hand_on: Callable = lambda delta, d, later, U: delta @ U,
    slope: Callable = lambda h, t: 1 - h[t + 1] ** 2,
    heard: Callable = lambda h, t: h[t],
    own: Callable = lambda d, t: d[t],
    order: Callable = lambda T: reversed(range(T)),
    collect: Callable = lambda parts, N: sum(parts),
) -> Callable:
    """The walk back with one of its parts replaced."""

    def wrong(d, h, U):
        parts, later = [], np.zeros_like(d[0])
        for t in order(len(d)):
            now = delta(own(d, t), later, slope(h, t))
            parts.append(now.T @ heard(h, t))
            later = hand_on(now, own(d, t), later, U)
        return collect(parts, d.shape[1])

    return wrong


def _back_cases() -> list[tuple]:
    rng = np.random.default_rng(1)
    return [
        (rng.normal(size=(T, N, H)), rng.uniform(-0.9, 0.9, (T + 1, N, H)), rng.normal(size=(H, H)))
        for T, N, H in ((4, 2, 3), (3, 3, 3), (6, 2, 2))
    ]


GRADIENT = Exercise(
    "22.2",
    reference=gradient_of_U,
    cases=_back_cases,
    mistakes=[
        Mistake(
            _back_by(hand_on=lambda delta, d, later, U: 0 * later),
            "the way through the next state is missing: h_t reaches the loss through h_(t+1) as well. Elman"
            " left it out in 1990, and his gradient was not the gradient either",
        ),
        Mistake(
            _back_by(own=lambda d, t: d[t] * (t == len(d) - 1)),
            "only the last step's d is used: every state has a forecast of its own, so add d[t] at every"
            " step",
        ),
        Mistake(
            _back_by(collect=lambda parts, N: parts[-1]),
            "this is the part of the first step alone: overwritten instead of added up. U takes part in every"
            " step",
        ),
        Mistake(
            _back_by(collect=lambda parts, N: parts[0]),
            "this is the part of the last step alone: U takes part in every step, so its gradient is a sum",
        ),
        Mistake(
            _back_by(collect=lambda parts, N: sum(parts) / len(parts)),
            "a mean over the steps: a weight that is used T times collects T parts, and they add",
        ),
        Mistake(
            _back_by(collect=lambda parts, N: sum(parts) / N),
            "divided by the number of names: that is in d already, d is the derivative of the mean loss",
        ),
        Mistake(
            _back_by(slope=lambda h, t: np.ones_like(h[t])),
            "the slope of tanh is missing: (1 - h²), at every step",
        ),
        Mistake(
            _back_by(slope=lambda h, t: 1 - h[t] ** 2),
            "the slope is taken at the state before: the tanh of this step put out h[t + 1]",
        ),
        Mistake(
            _back_by(slope=lambda h, t: h[t + 1] * (1 - h[t + 1])),
            "h (1 - h) is the slope of the sigmoid: tanh has 1 - h²",
        ),
        Mistake(
            _back_by(slope=lambda h, t: 1 - np.tanh(h[t + 1]) ** 2),
            "tanh is taken twice: h is what tanh put out already, so its slope is 1 - h²",
        ),
        Mistake(
            _back_by(hand_on=lambda delta, d, later, U: delta @ U.T),
            "U.T on the way back. Forward it was h @ U.T, so backward it is delta @ U; U is square, and"
            " nothing complains",
        ),
        Mistake(
            _back_by(delta=lambda d, later, slope: d * slope + later),
            "the slope multiplies the own forecast's part alone: what comes from the next state passes the"
            " same tanh",
        ),
        Mistake(
            _back_by(delta=lambda d, later, slope: d + later * slope),
            "the slope multiplies the later part alone: what comes from the own forecast passes the same"
            " tanh",
        ),
        Mistake(
            _back_by(hand_on=lambda delta, d, later, U: (d + later) @ U),
            "what is handed back has not passed the slope: hand on delta @ U, not (d + later) @ U",
        ),
        Mistake(
            _back_by(hand_on=lambda delta, d, later, U: d @ U),
            "later must carry delta, which has heard all later steps; you pass on d alone",
        ),
        Mistake(
            _back_by(hand_on=lambda delta, d, later, U: later + delta @ U),
            "later piles up: delta has heard all later steps already. Write later = delta @ U, not +=",
        ),
        Mistake(
            _back_by(collect=lambda parts, N: sum(parts[:-1])),
            "the first step is left out: U took part there too, with h[0]. Walk down to t = 0",
        ),
        Mistake(
            _back_by(hand_on=lambda delta, d, later, U: delta),
            "the blame is handed back without U: the next state hears this one through U",
        ),
        Mistake(
            _back_by(heard=lambda h, t: h[t + 1]),
            "U multiplied the state *before*, h[t]: you take the one it helped to make",
        ),
        Mistake(
            _back_by(order=range),
            "the walk goes forwards: blame comes from later steps, so begin with the last",
        ),
    ],
    hints=[
        "Two ways: h_t acts through d[t] at once, and through the next state. Begin at the end, where there"
        " is no next state: later = 0.",
        "At step t: delta = (d[t] + later) times the slope 1 - h[t + 1]². Then later = delta @ U.",
        "Each step's part is deltaᵀ h[t], (H, N) times (N, H). Add them.",
    ],
    reasoning=r"""
    $h_t$ acts on the loss by its own forecast, `d[t]`, and by $z_{t+1} = W x_{t+1} + U h_t + b$, whose blame
    is $\delta_{t+1}$: together $d_t + U^\top\delta_{t+1}$, then the slope of the tanh of *this* step. The sum
    runs over all steps, since one and the same U took part in all of them.
    """,
    praise="Right. The term with U is the whole difference between looking back one step and looking back.",
)

# 22.3  Clip


def clip(gradients, limit):
    """New arrays, all scaled by one factor so that their common norm is at most `limit`."""
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    factor = limit / norm if norm > limit else 1.0
    return [factor * g for g in gradients]


def _norm(g) -> float:
    return float(np.sqrt((np.asarray(g) ** 2).sum()))


def _clip_by(factor: Callable) -> Callable:
    """Scaled by factor(gradients, limit)."""
    return lambda gradients, limit: [factor(gradients, limit) * g for g in gradients]


def _all(gradients) -> float:
    return float(np.sqrt(sum((g**2).sum() for g in gradients)))


def _clip_cases() -> list[tuple]:
    rng = np.random.default_rng(2)

    def draw(*shapes, size=1.0):
        return [size * rng.normal(size=shape) for shape in shapes]

    uneven = [10 * rng.normal(size=(2, 3)), 0.01 * rng.normal(size=4)]
    return [
        (draw((3, 2), (3,), size=5.0), 1.0),
        (draw((2, 2), (4,), (3, 1), size=0.1), 2.0),
        (uneven, 0.5),
        (draw((5,), (2, 4), size=3.0), 2.0),
        ([np.zeros((2, 2)), np.zeros(3)], 1.0),
    ]


CLIP = Exercise(
    "22.3",
    reference=clip,
    cases=_clip_cases,
    mistakes=[
        Mistake(
            lambda gradients, limit: gradients,
            "the gradients come back as they were: where their common norm is above `limit`, all of them are"
            " multiplied by limit / norm",
        ),
        Mistake(
            lambda gradients, limit: [np.clip(g, -limit, limit) for g in gradients],
            "every number is cut off for itself: that bends the direction. Scale all of them by one factor",
        ),
        Mistake(
            lambda gradients, limit: [g * min(1.0, limit / max(_norm(g), 1e-12)) for g in gradients],
            "each array is scaled by its own norm: that bends the direction. One norm, and one factor, for"
            " all",
        ),
        Mistake(
            _clip_by(lambda gs, limit: limit / _all(gs)),
            "the norm always becomes `limit`: gradients shorter than the limit must stay, so the factor is"
            " min(1, limit / norm)",
        ),
        Mistake(
            _clip_by(lambda gs, limit: limit / np.float64(_all(gs))),
            "the norm always becomes `limit`, and zeros become nan: gradients shorter than the limit must"
            " stay, so the factor is min(1, limit / norm)",
        ),
        Mistake(
            lambda gradients, limit: [g * limit / max(_norm(g), 1e-12) for g in gradients],
            "each array is scaled by its own norm, and always: one norm for all together, and one factor,"
            " min(1, limit / norm)",
        ),
        Mistake(
            _clip_by(lambda gs, limit: limit / (_all(gs) + 1e-6)),
            "the norm always becomes `limit`: gradients shorter than the limit must stay, so the factor is"
            " min(1, limit / norm)",
        ),
        Mistake(
            _clip_by(lambda gs, limit: limit / max(_all(gs), 1e-12)),
            "the norm always becomes `limit`: gradients shorter than the limit must stay, so the factor is"
            " min(1, limit / norm)",
        ),
        Mistake(
            _clip_by(lambda gs, limit: max(1.0, limit / max(_all(gs), 1e-12))),
            "max where min should be: the factor is never more than 1",
        ),
        Mistake(
            _clip_by(lambda gs, limit: min(1.0, 1 / max(_all(gs), 1e-12))),
            "right where the limit is 1: it has no say otherwise",
        ),
        Mistake(
            _clip_by(lambda gs, limit: limit / _all(gs) ** 2 if _all(gs) ** 2 > limit else 1.0),
            "the square root is missing: the norm is the root of the sum of the squares",
        ),
        Mistake(
            _clip_by(lambda gs, limit: min(1.0, limit / max(sum(map(_norm, gs)), 1e-12))),
            "the norms are added. All numbers together are one long vector: add the squares, then take the"
            " root",
        ),
        Mistake(
            _clip_by(lambda gs, limit: min(1.0, limit / max(max(map(_norm, gs)), 1e-12))),
            "this looks at the array with the largest norm alone: the norm is that of all numbers together",
        ),
        Mistake(
            _clip_by(lambda gs, limit: min(1.0, limit / max(max(np.abs(g).max() for g in gs), 1e-12))),
            "this is the largest number, not the norm: add the squares of all, then take the root",
        ),
        Mistake(
            _clip_by(lambda gs, limit: min(1.0, limit / max(sum(np.abs(g).sum() for g in gs), 1e-12))),
            "these are absolute values added up: the norm here is the root of the sum of the squares",
        ),
        Mistake(
            lambda gradients, limit: np.concatenate([g.ravel() for g in clip(gradients, limit)]),
            "the numbers are right, but in one long array: return a list with the old shapes",
        ),
    ],
    hints=[
        "All numbers of all arrays are one long vector. How long is it?",
        "norm = sqrt of the sum of (g**2).sum() over the list; the factor is limit / norm, but never above"
        " 1.",
        "Return a new list, [factor * g for g in gradients]; `g *= factor` would change the arrays you were"
        " given.",
    ],
    reasoning="""
    One factor for everything, so the vector keeps its direction and the step still goes downhill. To cut off
    every number for itself is the older habit; it keeps a step short, too, but turns it. minidl's and
    PyTorch's `clip_grad_norm_` do this in place, with a millionth added to the norm.
    """,
    praise="Right: same direction, never longer than the limit.",
)

# 22.4  Temperature


def reheat(p, tau):
    """Probabilities p (N, K) at the temperature tau: p ** (1 / tau), made to add up to 1."""
    hot = (p / p.max(axis=1, keepdims=True)) ** (1 / tau)  # the largest is 1: no underflow to 0 / 0
    return hot / hot.sum(axis=1, keepdims=True)


def _normal(q, axis=1):
    return q / q.sum(axis=axis, keepdims=True)


def _softmax(z):
    return _normal(np.exp(z - z.max(axis=1, keepdims=True)))


def _heat_cases() -> list[tuple]:
    rng = np.random.default_rng(3)
    p = [_normal(rng.random(shape) ** 3 + 0.01) for shape in ((4, 5), (3, 3), (2, 27))]
    with_zero = np.array([[0.5, 0.5, 0.0], [0.7, 0.2, 0.1]])
    apart = np.array([[0.98, 0.01, 0.01], [0.34, 0.33, 0.33]])  # (0.34 / 0.98) ** 1000 is 0
    return [
        *((p[0], 0.5), (p[1], 2.0), (p[2], 1.0), (p[2], 0.002)),
        *((with_zero, 1.5), (with_zero, 5.0), (apart, 0.001)),
    ]


REHEAT = Exercise(
    "22.4",
    reference=reheat,
    cases=_heat_cases,
    mistakes=[
        Mistake(
            lambda p, tau: _normal(p ** (1 / tau)),
            "right until tau is small: at 0.002 all powers become 0, and 0 / 0 is nan. Divide by the largest"
            " probability first",
        ),
        Mistake(
            lambda p, tau: _normal((p / p.max()) ** (1 / tau)),
            "one maximum for all rows: a row whose largest lies far below it underflows to 0, and 0 / 0 is"
            " nan. Divide each row by its own, p.max(axis=1, keepdims=True)",
        ),
        Mistake(
            lambda p, tau: _normal(p / tau),
            "this is p again: dividing the *probabilities* changes nothing once they add up to 1. The logits"
            " are divided, and a logit is ln p",
        ),
        Mistake(
            lambda p, tau: _softmax(p / tau),
            "softmax wants logits, and p are probabilities: ln p is a logit that leads to p",
        ),
        Mistake(
            lambda p, tau: _normal(p**tau),
            "the wrong way round: logits are *divided* by tau, so p is taken to the power of 1/tau, and a low"
            " temperature makes the likely likelier",
        ),
        Mistake(
            lambda p, tau: p ** (1 / tau),
            "these do not add up to 1: divide each row by its sum",
        ),
        Mistake(
            lambda p, tau: (p / p.max(axis=1, keepdims=True)) ** (1 / tau),
            "these do not add up to 1: divide each row by its sum",
        ),
        Mistake(
            lambda p, tau: _normal((p / p.max(axis=1, keepdims=True)) ** (1 / tau), axis=0),
            "the columns add up to 1: each row is a forecast, so sum along axis 1",
        ),
        Mistake(
            lambda p, tau: _normal(p ** (1 / tau), axis=0),
            "the columns add up to 1: each row is a forecast, so sum along axis 1",
        ),
        Mistake(
            lambda p, tau: _normal(p ** (1 / tau), axis=None),
            "all rows together add up to 1. But each row is its own distribution: divide it by its own sum",
        ),
        Mistake(
            lambda p, tau: _normal((p / p.max(axis=1, keepdims=True)) ** (1 / tau), axis=None),
            "all rows together add up to 1. But each row is its own distribution: divide it by its own sum",
        ),
        Mistake(
            lambda p, tau: _normal((p / p.max()) ** (1 / tau), axis=None),
            "all rows together add up to 1. But each row is its own distribution: divide it by its own sum",
        ),
        *[
            Mistake(
                lambda p, tau, little=little: _softmax(np.log(p + little) / tau),
                "what is impossible must stay impossible: the little that you add to p grows at a high"
                " temperature. ln 0 is -inf, and exp(-inf) is 0: nothing has to be added",
            )
            for little in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
        ],
        Mistake(
            lambda p, tau: np.log(p) / tau,
            "these are the logits at this temperature: take their softmax",
        ),
        Mistake(
            lambda p, tau: np.eye(p.shape[1])[p.argmax(axis=1)],
            "this is temperature 0: only the likeliest is left",
        ),
    ],
    hints=[
        "Which logits lead to p? Softmax of ln p is p itself. So ln p will do.",
        "exp(ln p / tau) is p to the power of 1/tau. Then divide by the sum of the row.",
        "0.1 to the power of 500 is 0 for a computer. Dividing a row by its largest number first changes"
        " nothing in the end, and makes the largest power 1.",
    ],
    reasoning=r"""
    Logits are known up to a constant, since softmax divides it out: $\ln p$ is one choice. Divided by $\tau$
    and put through exp it is $p^{1/\tau}$. At $\tau = 1$ that is $p$, at $\tau \to 0$ all goes to the
    likeliest, at $\tau \to \infty$ all that are possible become equal. What is impossible stays impossible.
    """,
    praise="Right, and it survives a temperature of 0.001.",
)

# 22.5  A model of names

LETTERS = ".abcdefghijklmnopqrstuvwxyz"
BAR, TOO_GOOD = 2.00, 1.75  # nats a letter


@functools.cache
def piles() -> tuple[list[str], list[str]]:
    """The notebook's names to learn from, and those in the drawer."""
    names = data.names()
    order = np.random.default_rng(0).permutation(len(names))
    return [names[i] for i in order[2000:]], [names[i] for i in order[:1000]]


def followers(names, longest=4):
    """What followed each run of up to `longest` letters in these names; dots stand before a name."""
    counts = defaultdict(lambda: np.zeros(27))
    for name in names:
        padded = "." * longest + name + "."
        for end in range(longest, len(padded)):
            for back in range(longest + 1):
                counts[padded[end - back : end]][LETTERS.index(padded[end])] += 1
    return dict(counts)


@functools.cache
def _counts() -> dict[str, np.ndarray]:
    return followers(piles()[0])


def next_letter(prefix):
    """Counts with four letters of memory, which ask the shorter ones where they have seen little."""
    p = np.full(27, 1 / 27)
    padded = "...." + prefix
    for back in range(5):
        seen = _counts().get(padded[len(padded) - back :])
        if seen is None:
            break
        doubt = 3 * np.count_nonzero(seen)  # many kinds of letters came: the next may be new, too
        p = (seen + doubt * p) / (seen.sum() + doubt)
    return p


def _forecasts(answer: Callable) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Its probabilities (n, 27) at each letter of the drawer, the letters that came, the prefixes."""
    asked, came, before = {}, [], []
    for name in piles()[1]:
        for end, letter in enumerate(name + "."):
            before.append(name[:end])
            came.append(LETTERS.index(letter))
            if name[:end] not in asked:
                p = answer(name[:end])
                p = p.detach() if hasattr(p, "detach") else p
                asked[name[:end]] = np.asarray(p.numpy() if hasattr(p, "numpy") else p, float).ravel()
    return np.stack([asked[prefix] for prefix in before]), np.array(came), before


@functools.lru_cache(maxsize=8)
def _score(answer: Callable) -> float:
    p, came, _ = _forecasts(answer)
    return float(-np.log(p[np.arange(len(came)), came]).mean())


def judge_names(answer) -> str | None:
    if not callable(answer):
        return "next_letter should be a function that takes the letters so far and returns 27 probabilities"
    for prefix in ("", "chr"):
        problem = _form_of(answer(prefix), prefix)
        if problem:
            return problem
    p, came, before = _forecasts(answer)
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(axis=1), 1, atol=1e-3)):
        wrong = before[int(np.argmax(~np.isfinite(p).all(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-3)))]
        return f'after "{wrong}" these are no probabilities that add up to 1'
    given = p[np.arange(len(came)), came]
    if (given == 0).any():
        place = int(np.argmin(given))
        return (
            f'after "{before[place]}" you give "{LETTERS[came[place]]}" the probability 0, and it came: that'
            " costs infinitely much. Leave a little for everything"
        )
    nats = float(-np.log(given).mean())
    if nats < TOO_GOOD:
        return f"{nats:.2f} nats is too good to be true: has it seen the names in the drawer?"
    if nats < BAR:
        return None
    return _advice(p, came, nats)


def _form_of(p, prefix: str) -> str | None:
    """What is wrong with one answer; None when it is 27 probabilities."""
    given, p = p, numeric(p)
    if p is None:
        return f'next_letter("{prefix}") gives {short(given)}, it should give 27 probabilities'
    p = p.astype(float).ravel()
    if p.shape != (27,):
        return f'next_letter("{prefix}") gives {p.size} numbers, it should give 27: the dot and a to z'
    if not np.isfinite(p).all():
        return f'next_letter("{prefix}") has nan or inf in it'
    if p.min() < 0:
        return f'next_letter("{prefix}") has negative numbers in it. Logits? Then take their softmax'
    if abs(p.sum() - 1) > 1e-3:
        return f'next_letter("{prefix}") adds up to {p.sum():.3g}: probabilities add up to 1'
    return None


def _advice(p: np.ndarray, came: np.ndarray, nats: float) -> str:
    rolled = float(-np.log(np.maximum(p[np.arange(len(came)), came - 1], 1e-12)).mean())
    if nats > 3 and rolled < 2.7:
        return f"{nats:.2f} nats. The dot comes first, then a to z: you have it last"
    if np.ptp(p, axis=0).max() < 1e-9:
        return f"{nats:.2f} nats: the answer is the same whatever the prefix. Ask what came before"
    for bound, words in (
        (2.3, "more memory than one letter"),
        (2.05, "more memory, or better guesses for the rare"),
    ):
        if nats > bound:
            return f"{nats:.2f} nats; below {BAR:.2f} is asked. It needs {words}"
    return f"{nats:.2f} nats; below {BAR:.2f} is asked. Close: average several models that err differently"


def _praise_names(answer) -> str:
    nats = _score(answer)
    return (
        f"{nats:.3f} nats a letter, perplexity {np.exp(nats):.2f}. The notebook's three networks averaged"
        " come to 1.96, with counts in the average to 1.91."
    )


NAMES = Exercise(
    "22.5",
    reference=next_letter,
    judge=judge_names,
    hints=[
        "Three networks that started differently err differently. What do you get if you average their"
        " *probabilities*? (Feed `encode([prefix])[0]`, and take the last step.)",
        "Tables: the one for four letters is bad only where it has seen little. Let it say how little, and"
        " ask the table for three letters for the rest, and that one the table for two ...",
        "A rule for how far to trust a row: it was seen n times, with k kinds of letters. Give the shorter"
        " memory the weight k / (n + k), or a few times k.",
    ],
    reasoning="""
    The solution has no network. A row that was seen n times and had k kinds of successors keeps n parts of
    its own counts and asks the next shorter memory for 3k parts. (The rule with k is called Witten-Bell,
    after a paper of 1991; Alistair Moffat had used it before to compress text. The 3 was chosen on the
    validation names.) It beats one RNN of this notebook. The two err differently, so their mean beats both:
    the average of the three spellers is about 0.06 nats below one of them, and counts in the average gain
    0.05 more.

    ```python
    def next_letter(prefix):
        read = encode([prefix])[0]
        with minidl.no_grad():
            p = [F.softmax(model(read)[-1, 0], dim=0).numpy() for model in spellers]
        return np.mean(p, axis=0)
    ```
    """,
    praise=_praise_names,
    code="from collections import defaultdict\n\n\n"
    + inspect.getsource(followers)
    + "\n\ncounts = followers(training)\n\n\n"
    + inspect.getsource(next_letter).replace("_counts()", "counts").rstrip(),
)

EXERCISES = [STATES, GRADIENT, CLIP, REHEAT, NAMES]
