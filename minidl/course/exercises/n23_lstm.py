"""Notebook 23: the error of knowing nothing, a GRU step, the product of forget gates, four forecasters and
their leaks, a better start."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

import minidl
from minidl import nn, optim, tensor
from minidl.course.exercise import Exercise, Mistake
from minidl.nn import functional as F

# 23.1  The error of knowing nothing


def know_nothing(marks, low, high):
    """The best constant answer for the sum of `marks` uniform numbers, and its mean squared error."""
    return marks * (low + high) / 2, marks * (high - low) ** 2 / 12


def _constant_by(error: Callable, answer: Callable = lambda k, a, b: k * (a + b) / 2) -> Callable:
    return lambda marks, low, high: (answer(marks, low, high), error(marks, low, high))


def _variance(k, a, b):
    return k * (b - a) ** 2 / 12


def _square_mean(a, b):
    return (a * a + a * b + b * b) / 3


KNOW_NOTHING = Exercise(
    "23.1",
    reference=know_nothing,
    cases=[(2, 0.0, 1.0), (2, -1.0, 1.0), (3, 0.0, 10.0), (5, 2.0, 4.0), (1, -3.0, 0.0)],
    mistakes=[
        Mistake(
            _constant_by(lambda k, a, b: k * k * (b - a) ** 2 / 12),
            "the error grows with the square of the marks: that holds for one number taken several times. The"
            " marked numbers are independent, and then variances add",
        ),
        Mistake(
            _constant_by(lambda k, a, b: (b - a) ** 2 / 12),
            "this is the variance of one number: the sum has one for each mark",
        ),
        Mistake(
            _constant_by(lambda k, a, b: np.sqrt(_variance(k, a, b))),
            "this is the standard deviation: the mean *squared* error is its square",
        ),
        Mistake(
            _constant_by(lambda k, a, b: k * (b - a) ** 2),
            "the 1/12 is missing: integrate (u - mean)² over the interval and divide by its length",
        ),
        Mistake(
            _constant_by(lambda k, a, b: k * (b - a) / 12),
            "right where high - low is 1. Numbers twice as far apart have four times the variance",
        ),
        Mistake(
            _constant_by(lambda k, a, b: k / 12),
            "this is for numbers between 0 and 1: low and high do not appear in the error",
        ),
        Mistake(
            _constant_by(lambda k, a, b: k * _square_mean(a, b)),
            "k times the mean of u² is not the error: subtract the square of the mean from each first",
        ),
        Mistake(
            _constant_by(lambda k, a, b: _variance(k, a, b) + (k * (a + b) / 2) ** 2),
            "this is the error of the answer 0: the best constant is the mean of the sum, and gives less",
        ),
        Mistake(
            _constant_by(_variance, lambda k, a, b: (a + b) / 2),
            "the error is right. The constant is the mean of one number: the answer is a sum of several",
        ),
        Mistake(
            _constant_by(_variance, lambda k, a, b: k / 2),
            "the error is right. The constant is right for numbers between 0 and 1 alone",
        ),
        Mistake(
            _constant_by(_variance, lambda k, a, b: 1.0),
            "1 is the best constant for two numbers between 0 and 1. What is it for others?",
        ),
        Mistake(lambda k, a, b: know_nothing(k, a, b)[::-1], "both are right, but the constant comes first"),
        Mistake(_variance, "the error is right: return the constant too, `answer, error`"),
    ],
    hints=[
        "Which constant a makes the mean of (S - a)² smallest? Take the derivative by a.",
        "It is the mean of S, so the error is the variance of S. For independent numbers both add up.",
        "One number between low and high: mean (low + high) / 2, variance (high - low)² / 12.",
    ],
    reasoning=r"""
    The derivative of $E(S-a)^2$ by $a$ is $-2\,E(S-a)$, zero at $a = E\,S$; what remains is the variance.
    Means always add; variances do because the numbers are independent. One number between low and high is
    $\text{low} + (\text{high}-\text{low})\,u$ with $u$ between 0 and 1: the factor comes out squared. With
    the numbers between −1 and 1 of the paper of 1997 the bar would be $2 \cdot 4/12 = 2/3$.
    """,
    praise="Right. Whoever reports an error should report this one beside it.",
)

# 23.2  A step of the GRU


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def gru_step(x, h, W, U, b, d):
    """One step of the GRU: x (N, D), h (N, H), blocks r, z, n in W (3H, D), U (3H, H), b and d (3H,)."""
    r_x, z_x, n_x = np.split(x @ W.T + b, 3, axis=1)
    r_h, z_h, n_h = np.split(h @ U.T + d, 3, axis=1)
    r = 1 / (1 + np.exp(-(r_x + r_h)))
    z = 1 / (1 + np.exp(-(z_x + z_h)))
    n = np.tanh(n_x + r * n_h)
    return (1 - z) * n + z * h


def _gru_by(
    new: Callable = lambda h, z, n: (1 - z) * n + z * h,
    candidate: Callable = lambda n_x, n_h, r, d: np.tanh(n_x + r * n_h),
    order: str = "rzn",
    gate: Callable = _sigmoid,
    keep_b: float = 1.0,
    keep_d: float = 1.0,
) -> Callable:
    """A step with other formulas: new(h, z, n), candidate(n_x, n_h, r, d_n), the order of the blocks."""

    def wrong(x, h, W, U, b, d):
        from_x = dict(zip(order, np.split(x @ W.T + keep_b * b, 3, axis=1), strict=True))
        from_h = dict(zip(order, np.split(h @ U.T + keep_d * d, 3, axis=1), strict=True))
        d_n = dict(zip(order, np.split(d, 3), strict=True))["n"]
        r, z = (gate(from_x[key] + from_h[key]) for key in "rz")
        return new(h, z, candidate(from_x["n"], from_h["n"], r, d_n))

    return wrong


def _reset_before(x, h, W, U, b, d):
    (W_r, W_z, W_n), (U_r, U_z, U_n) = np.split(W, 3), np.split(U, 3)
    (b_r, b_z, b_n), (d_r, d_z, d_n) = np.split(b, 3), np.split(d, 3)
    r = _sigmoid(x @ W_r.T + b_r + h @ U_r.T + d_r)
    z = _sigmoid(x @ W_z.T + b_z + h @ U_z.T + d_z)
    n = np.tanh(x @ W_n.T + b_n + (r * h) @ U_n.T + d_n)
    return (1 - z) * n + z * h


def _gru_cases() -> list[tuple]:
    rng = np.random.default_rng(0)
    return [
        tuple(rng.normal(size=s) for s in ((N, D), (N, H), (3 * H, D), (3 * H, H), (3 * H,), (3 * H,)))
        for N, D, H in ((4, 3, 2), (2, 2, 3), (1, 3, 3))
    ]


GRU_STEP = Exercise(
    "23.2",
    reference=gru_step,
    cases=_gru_cases,
    mistakes=[
        Mistake(
            _gru_by(lambda h, z, n: z * n + (1 - z) * h),
            "z and 1 - z are exchanged. Papers differ here too; in this notebook z is the share that is kept",
        ),
        Mistake(
            _reset_before,
            "here r multiplies h before the product with U. Cho's paper has it so; this notebook's variant"
            " (minidl's and PyTorch's) multiplies what comes out, r (U h + d)",
        ),
        Mistake(
            _gru_by(order="zrn"),
            "the blocks are r, z, n: you take z first",
        ),
        Mistake(_gru_by(order="nrz"), "the blocks are r, z, n: you take n first"),
        Mistake(_gru_by(order="nzr"), "the blocks are r, z, n: you take them from the other end"),
        Mistake(
            _gru_by(gate=lambda a: a),
            "a gate lies between 0 and 1: r and z are still the bare sums, without a sigmoid",
        ),
        Mistake(
            _gru_by(gate=np.tanh),
            "a gate lies between 0 and 1; tanh goes down to -1, and a door cannot be opened to less than 0",
        ),
        Mistake(
            _gru_by(candidate=lambda n_x, n_h, r, d: _sigmoid(n_x + r * n_h)),
            "n is what may be written, and must be able to be negative: tanh, not a sigmoid",
        ),
        Mistake(
            _gru_by(candidate=lambda n_x, n_h, r, d: n_x + r * n_h),
            "n is still the bare sum: its tanh is missing",
        ),
        Mistake(
            _gru_by(candidate=lambda n_x, n_h, r, d: np.tanh(n_x + n_h)),
            "r is computed and never used: it multiplies what h brings to n",
        ),
        Mistake(
            _gru_by(candidate=lambda n_x, n_h, r, d: np.tanh(r * (n_x + n_h))),
            "r multiplies what h brings to n, and leaves alone what x brings",
        ),
        Mistake(
            _gru_by(candidate=lambda n_x, n_h, r, d: np.tanh(n_x + r * (n_h - d) + d)),
            "almost: d's part of n stands inside the bracket that r multiplies, r (U h + d)",
        ),
        Mistake(
            _gru_by(lambda h, z, n: n + z * h),
            "n is added whole: only the share 1 - z of it is written. So h stays between -1 and 1",
        ),
        Mistake(
            _gru_by(lambda h, z, n: np.tanh((1 - z) * n + z * h)),
            "the tanh around the new state is one too many. It would shrink the state at every step: the old"
            " trouble again",
        ),
        Mistake(_gru_by(lambda h, z, n: n), "this returns the candidate n: z has no say yet"),
        Mistake(_gru_by(keep_d=0.0), "the bias d is missing: it belongs to what h brings"),
        Mistake(_gru_by(keep_b=0.0), "the bias b is missing: it belongs to what x brings"),
        Mistake(
            lambda *case: (gru_step(*case), gru_step(*case)),
            "the numbers are right. But a GRU has one state, h: return it alone",
        ),
    ],
    hints=[
        "Two sums, x @ W.T + b and h @ U.T + d, each (N, 3H). `np.split(..., 3, axis=1)` gives their blocks.",
        "r and z are sigmoids of block by block sums. For n the two parts stay apart: r multiplies only the"
        " part of h, its bias d included.",
        "The new state is a mean of n and h with the weights 1 - z and z.",
    ],
    reasoning="""
    The same four ideas as in the LSTM, with fewer parts: z is the forget gate, 1 - z the input gate, and the
    state is its own output. Since the new state is a weighted mean of n and the old state, it can never leave
    the interval from -1 to 1.
    """,
    praise="Right: the same as nn.GRUCell, with three blocks where the LSTM has four.",
)

# 23.3  The product of forget gates


def along_the_cell(f):
    """How much of the gradient at the last cell state reaches each earlier one: f (T, H) -> (T, H)."""
    T, H = f.shape
    reaches = np.ones((T, H))
    for t in range(T - 2, -1, -1):
        reaches[t] = reaches[t + 1] * f[t + 1]
    return reaches


def _own_gate_too(f):
    return np.cumprod(f[::-1], axis=0)[::-1]


def _divided(f):
    whole = np.cumprod(f, axis=0)
    return whole[-1] / whole


def _gate_cases() -> list[tuple]:
    rng = np.random.default_rng(1)
    cases = [(rng.uniform(0.3, 1, (T, H)),) for T, H in ((4, 2), (6, 3), (3, 3))]
    closed = rng.uniform(0.5, 1, (5, 2))
    closed[2, 0] = 0.0
    return [*cases, (closed,)]


ALONG = Exercise(
    "23.3",
    reference=along_the_cell,
    cases=_gate_cases,
    mistakes=[
        Mistake(
            _own_gate_too,
            "one gate too many: f[t] stands between c[t-1] and c[t]. On the way from c[T-1] back to c[t] lie"
            " f[t+1] and later ones; the last row is 1",
        ),
        Mistake(
            lambda f: np.cumprod(f, axis=0),
            "this product runs from the first step on: how much of the beginning is left at t. The gradient"
            " comes from the end",
        ),
        Mistake(
            lambda f: np.vstack([np.ones_like(f[:1]), np.cumprod(f[:-1], axis=0)]),
            "this product runs from the first step on. The gradient starts with 1 in the last row",
        ),
        Mistake(
            lambda f: along_the_cell(f)[::-1],
            "the right numbers in reverse: row t belongs to step t, so the row of ones is the last",
        ),
        Mistake(
            lambda f: np.vstack([np.cumsum(f[:0:-1], axis=0)[::-1], np.ones_like(f[:1])]),
            "you add the gates. The chain rule multiplies what lies on the way",
        ),
        Mistake(
            lambda f: np.vstack([f[1:], np.ones_like(f[:1])]),
            "this is one step of the way: the rows are to be multiplied up to the end",
        ),
        Mistake(
            _divided,
            "right as long as no gate is 0. One gate of the test is, and 0 / 0 is nan: multiply from the end"
            " instead of dividing",
        ),
        Mistake(
            lambda f: along_the_cell(f).prod(axis=1),
            "the units are multiplied with each other. Each has its own belt: keep (T, H)",
        ),
        Mistake(
            lambda f: along_the_cell(f)[0],
            "this is the first row alone: return one row for each step",
        ),
    ],
    hints=[
        "The last row is how much of the gradient at c[T-1] reaches c[T-1]: 1. And the row before?",
        "c[t+1] = f[t+1] c[t] + ..., so each step back multiplies by f[t+1].",
        "With NumPy: `np.cumprod(f[::-1], axis=0)[::-1]` multiplies from the end, but one gate too many.",
    ],
    reasoning="""
    Along the belt each step back multiplies by the gate that it passes, and row t has passed the gates t+1
    to T-1. In one line: a row of ones, put behind `np.cumprod(f[:0:-1], axis=0)[::-1]`. With f = 0.5 a
    hundred steps leave 2 to the power of -99; with f = 0.99 they leave 0.37. (There are other ways, through
    h and the gates; this is the one that was built in.)
    """,
    praise="Right. This product is what the network may keep near 1, and learn to keep there.",
)

# 23.4  Four forecasters

LAGS, HELD_BACK = 9, 69  # years that predict the next; years for the test, from 1940 on
FAULTS = {
    "scale": "mean and spread for the scaling are taken from all years",
    "peek": "the inputs hold the very number that is to be forecast",
    "shuffle": "the examples are shuffled before the test years are held back",
    "smooth": "each year is first replaced by the mean of itself and both its neighbours",
    "none": "nothing: it is honest",
}
WARDS = ("smooth", "none", "shuffle", "scale")


class Forecaster:
    """Prepares a series (n,) for a forecast of the next year: `.prepare(values)` returns a dict of arrays,
    train_x (., 9), train_y (.,), test_x (69, 9), test_y (69,), scaled."""

    def __init__(self, fault: str):
        self._fault = fault

    def prepare(self, values) -> dict[str, np.ndarray]:
        values, fault = np.array(values, float), self._fault
        if fault == "smooth":
            padded = np.pad(values, 1, mode="edge")
            values = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        known = values if fault == "scale" else values[:-HELD_BACK]
        values = (values - known.mean()) / known.std()
        windows = np.lib.stride_tricks.sliding_window_view(values, LAGS + 1)
        x, y = windows[:, 1:] if fault == "peek" else windows[:, :-1], windows[:, -1]
        if fault == "shuffle":
            order = np.random.default_rng(0).permutation(len(y))
            x, y = x[order], y[order]
        cut = len(y) - HELD_BACK
        parts = {"train_x": x[:cut], "train_y": y[:cut], "test_x": x[cut:], "test_y": y[cut:]}
        return {name: part.copy() for name, part in parts.items()}


def forecasters() -> list[Forecaster]:
    """The forecasters A, B, C and D."""
    return [Forecaster(fault) for fault in WARDS]


SIGNS = {
    "scale": "Raise the last value alone by 1000: which of its training numbers move?",
    "shuffle": "Give it the series 0, 1, 2, ...: are all its training targets below its test targets?",
    "smooth": "Give it zeros with a single 1, far from the end: how many years does the 1 touch?",
    "none": "Raise everything after the cut: does any of its training numbers move?",
}


def judge_forecasters(answer) -> str | None:
    words = [str(word).strip().lower() for word in answer] if _is_list(answer) else []
    if len(words) != len(WARDS):
        return "give a list of four words, one for each of A, B, C and D"
    for name, word, truth in zip("ABCD", words, WARDS, strict=True):
        if word not in FAULTS:
            return f"{word!r} is not on the list; its words are {', '.join(FAULTS)}"
        if word != truth:
            return f"forecaster {name}: not {word!r}. {SIGNS[truth]}"
    return None


def _is_list(answer) -> bool:
    return isinstance(answer, Sequence | np.ndarray) and not isinstance(answer, str)


DIAGNOSIS = Exercise(
    "23.4",
    reference=list(WARDS),
    judge=judge_forecasters,
    hints=[
        "What may depend on what? Training numbers must not move when a value after the cut does; a forecast"
        " must not move when a later value does.",
        "The instrument: `prepare(values)` and `prepare(changed)`. Which of the four arrays differ, where?",
        "Three probes find all of them: the last value raised by 1000; the series 0, 1, 2, ...; and a single"
        " 1 among zeros.",
    ],
    reasoning="""
    **A** smears a single 1 over three years: every input holds a third of the *next* year, the one that is to
    be forecast: `smooth`. **B** answers no probe: honest. **C** has targets from all years in both parts, so
    its training years lie around each test year: `shuffle`. **D** moves all its training numbers when the
    last value is raised: `scale`. Not one of them raises an error. The smoothed one would boast of the best
    score by far, the scaled one of no better score at all: a leak need not show in the result.

    ```python
    values = data.series("sunspots").value
    raised = values.copy()
    raised[-1] += 1000
    for forecaster in forecasters():
        before, after = forecaster.prepare(values), forecaster.prepare(raised)
        moved = {name: np.sum(before[name] != after[name]) for name in before}
        ramp = forecaster.prepare(np.arange(309))
        in_order = ramp["train_y"].max() < ramp["test_y"].min()
        single = forecaster.prepare(np.arange(309) == 100)["train_y"]
        print(moved, in_order, "touched:", np.sum(single != np.median(single)))
    ```
    """,
    praise="All four. The score would not have told you; changing one number did.",
    code='diagnosis = ["smooth", "none", "shuffle", "scale"]',
)

# 23.5  A better start

LENGTH, UNITS, RATE, BATCH = 100, 16, 0.03, 32
BAR, EVERY, SOLVED = 500, 50, 0.01
SEEDS = (0, 1)


def start(lstm):
    """Memories of 1 to 99 steps: forget gates that leave so much, input gates closed as far."""
    H = lstm.hidden_size
    spans = np.log(np.linspace(1, 99, H)).astype("float32")
    with minidl.no_grad():
        lstm.bias_ih_l0[H : 2 * H] += tensor(spans)
        lstm.bias_ih_l0[:H] -= tensor(spans)


class _Reader(nn.Module):
    def __init__(self, layer: nn.LSTM):
        self.layer, self.out = layer, nn.Linear(layer.hidden_size, 1)

    def forward(self, x):
        return self.out(self.layer(x)[0][-1])[:, 0]


def _adding(n: int, rng: np.random.Generator):
    x, each = np.zeros((LENGTH, n, 2), "float32"), np.arange(n)
    x[..., 0] = rng.random((LENGTH, n))
    x[rng.integers(0, LENGTH // 2, n), each, 1] = 1
    x[rng.integers(LENGTH // 2, LENGTH, n), each, 1] = 1
    return tensor(x), tensor((x[..., 0] * x[..., 1]).sum(0))


def _race(layer: nn.LSTM, seed: int) -> tuple[int, float]:
    """Train as the notebook does: the steps taken (BAR at the most), and the error on held-out sequences."""
    rng, (x_held, y_held) = np.random.default_rng(seed), _adding(1000, np.random.default_rng(999))
    model = _Reader(layer)
    optimizer = optim.Adam(model.parameters(), lr=RATE)
    for step in range(BAR + 1):
        if step % EVERY == 0:
            with minidl.no_grad():
                error = F.mse_loss(model(x_held), y_held).item()
            if error < SOLVED or step == BAR or not np.isfinite(error):
                return step, error
        x, y = _adding(BATCH, rng)
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    raise AssertionError("the loop ends by itself")


def _started(answer: Callable, seed: int) -> nn.LSTM:
    minidl.manual_seed(seed)
    layer = nn.LSTM(2, UNITS)
    answer(layer)
    return layer


def judge_start(answer) -> str | None:
    if not callable(answer):
        return "start should be a function that takes an LSTM and changes its weights"
    before, first = _started(lambda layer: None, 0).state_dict(), _started(answer, 0).state_dict()
    if any(not np.isfinite(weight.numpy()).all() for weight in first.values()):
        return "after start some weights are nan or inf. A logarithm of 0?"
    if {name: w.shape for name, w in first.items()} != {name: w.shape for name, w in before.items()}:
        return "start changed the shape of the weights; change their values, in place"
    if all(np.array_equal(before[name].numpy(), first[name].numpy()) for name in before):
        return (
            "start leaves all weights as they were. Change them in place, as in"
            " `lstm.bias_ih_l0[16:32] += 1` under `with minidl.no_grad():`"
        )
    for seed in SEEDS:
        steps, error = _race(_started(answer, seed), seed)
        if not error < SOLVED:
            return f"with seed {seed} the error after {steps} steps is {error:.2f}; below {SOLVED} is asked"
    return None


@functools.lru_cache(maxsize=4)
def _praise_start(answer) -> str:
    steps = [_race(_started(answer, seed), seed)[0] for seed in SEEDS]
    return f"solved after {steps[0]} and {steps[1]} steps. A start of 1 needs more than {BAR}."


START = Exercise(
    "23.5",
    reference=start,
    judge=judge_start,
    hints=[
        "A forget gate of σ(b) keeps a number for about 1 + e^b steps. What would you wish for here?",
        "All cells with long memories, and input gates half open: then each cell collects a hundred numbers"
        " that nobody asked for. What must be closed when the memory is long?",
        "Spread the memories evenly from 1 to 99 steps, and let the input gate's bias be minus the forget"
        " gate's: rows 0 to 15 belong to i, rows 16 to 31 to f.",
    ],
    reasoning="""
    A gate with the bias b keeps the share σ(b) = 1 - 1/(1 + e^b) at each step, so a memory lasts about
    1 + e^b steps. Corentin Tallec and Yann Ollivier proposed in 2018 to draw memories of all lengths up to
    that of the task, and to close the input gates in proportion, so that a cell that keeps for long is
    written to rarely. This is their idea, spread evenly. It can be beaten: you know weights that solve the
    task without any training.
    """,
    praise=_praise_start,
)

EXERCISES = [KNOW_NOTHING, GRU_STEP, ALONG, DIAGNOSIS, START]
