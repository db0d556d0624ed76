"""Notebook 25: masked attention, who may look at whom, rotary positions, one step with a memory of keys and
values, and a tape that one layer of attention cannot read."""

import inspect
from collections.abc import Callable

import numpy as np

import minidl
from minidl import nn, optim, tensor
from minidl.course.contest import Contest
from minidl.course.diagnose import numeric
from minidl.course.exercise import Exercise, Mistake
from minidl.nn import functional as F
from minidl.train import train_step

# 25.1  Attention with a mask


def _softmax(scores, axis=-1):
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def attention_for_all(q, k, v, allowed):
    """Queries (N, T, d), keys (N, S, d), values (N, S, m) and allowed (N, T, S) to outputs (N, T, m)."""
    scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])  # (N, T, S)
    scores = np.where(allowed, scores, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) @ v


def _attention_by(
    scale: Callable = lambda q, v: np.sqrt(q.shape[-1]),
    mask: Callable = lambda scores, allowed: np.where(allowed, scores, -np.inf),
    weights: Callable = _softmax,
) -> Callable:
    """Attention with another divisor, another mask or other weights."""

    def wrong(q, k, v, allowed):
        scores = mask(q @ k.swapaxes(1, 2) / scale(q, v), allowed)
        return weights(scores) @ v

    return wrong


def _masked_afterwards(q, k, v, allowed):
    return _softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])) * allowed @ v


def _attention_cases() -> list[tuple]:
    rng = np.random.default_rng(0)

    def case(N, T, S, d, m, allowed):
        return (*(2 * rng.normal(size=s) for s in ((N, T, d), (N, S, d), (N, S, m))), allowed)

    # every place is open somewhere along each axis, so that no softmax is over nothing, along none of them
    some = rng.random((3, 4, 6)) < 0.6
    some[:, 0], some[:, :, 0] = True, True
    some[0] |= ~some.any(axis=0)
    past = np.tril(np.ones((5, 5), bool))
    return [
        case(3, 4, 6, 8, 3, some),
        case(2, 5, 5, 2, 2, np.stack([past, past.T])),
        case(1, 3, 4, 9, 1, np.ones((1, 3, 4), bool)),
    ]


def _judge_large_scores(answer: Callable) -> str | None:
    """Scores in the thousands: they must neither overflow nor leave a row without weights."""
    rng = np.random.default_rng(5)
    q, k = 50 * rng.normal(size=(2, 4, 3)), 50 * rng.normal(size=(2, 5, 3))
    case = q, k, rng.normal(size=(2, 5, 2)), np.ones((2, 4, 5), bool)
    largest = (q @ k.swapaxes(1, 2)).max(axis=-1)  # of each row
    got, want = numeric(answer(*case)), attention_for_all(*case)
    if np.allclose(got, want):
        return None
    if np.isfinite(got).all():
        return (
            "right while the scores are small. With scores in the thousands it is not: there the largest of"
            " a row gets nearly all of the weight"
        )
    if np.isfinite(got[largest == largest.max()]).all():
        return (
            "right while the scores are small. With scores in the thousands one maximum for several rows"
            " leaves those far below it with e⁻¹⁰⁰⁰ = 0 alone, and 0 / 0 is nan. Subtract each row's own:"
            " `scores.max(axis=-1, keepdims=True)`"
        )
    return (
        "right while the scores are small. With scores in the thousands it overflows: np.exp(1000) is inf,"
        " and inf / inf is nan. Subtract each row's largest score first; the weights stay the same (see 08.1)"
    )


ATTENTION = Exercise(
    "25.1",
    reference=attention_for_all,
    cases=_attention_cases,
    judge=_judge_large_scores,
    mistakes=[
        Mistake(
            _attention_by(scale=lambda q, v: 1.0),
            "the scale is missing: divide the scores by √d, or the softmax saturates as d grows",
        ),
        Mistake(
            _attention_by(scale=lambda q, v: q.shape[-1]),
            "divided by d: the *variance* of a score is d, its size is √d",
        ),
        Mistake(
            _attention_by(scale=lambda q, v: 1 / np.sqrt(q.shape[-1])),
            "multiplied by √d: the scores should become smaller, divide",
        ),
        Mistake(
            _attention_by(scale=lambda q, v: np.sqrt(v.shape[-1])),
            "divided by the root of the values' width: d is the width of query and key, whose product it is",
        ),
        Mistake(
            _attention_by(scale=lambda q, v: np.sqrt(q.shape[1])),
            "divided by the root of the length: d is the number of features, the last axis of q",
        ),
        Mistake(
            _attention_by(weights=lambda s: _softmax(s, axis=1)),
            "the softmax runs over the queries: each *query* has one unit of attention to give, over the"
            " keys, the last axis of the scores (N, T, S)",
        ),
        Mistake(
            _attention_by(weights=lambda s: _softmax(s, axis=0)),
            "the softmax runs over the batch: each query has one unit of attention to give, over the keys,"
            " the last axis of the scores",
        ),
        Mistake(
            _attention_by(weights=lambda s: _softmax(s, axis=(1, 2))),
            "one softmax for all queries together: each query shares out a whole unit of its own",
        ),
        Mistake(
            _attention_by(weights=lambda s: np.exp(s)),
            "the weights of a query do not add up to 1: divide by their sum",
        ),
        Mistake(
            _attention_by(mask=lambda s, a: s),
            "the mask is not used: queries look where they may not",
        ),
        Mistake(
            _attention_by(mask=lambda s, a: np.where(a, -np.inf, s)),
            "the mask is upside down: here True means *may be looked at*",
        ),
        Mistake(
            _attention_by(mask=lambda s, a: s * a),
            "a score of 0 is not a weight of 0, since e⁰ = 1: put -inf where the mask is False",
        ),
        Mistake(
            _attention_by(mask=lambda s, a: s + a),
            "True is added as 1: that moves scores a little and hides nothing. Put -inf where it is False",
        ),
        Mistake(
            _masked_afterwards,
            "masked after the softmax: the weights that are left no longer add up to 1. Mask the scores",
        ),
        Mistake(
            lambda q, k, v, a: _softmax(np.where(a, q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]), -np.inf)),
            "these are the weights: one more product, with the values",
        ),
    ],
    hints=[
        "Four lines: scores, mask, softmax, mean of the values. Write the shape behind each.",
        "`k.swapaxes(1, 2)` is (N, d, S), so `q @ k.swapaxes(1, 2)` holds a score for each query and key.",
        "`np.where(allowed, scores, -np.inf)`: e to the power -inf is exactly 0.",
    ],
    reasoning="""
    Each query compares itself with all keys, the mask takes some of them out of the competition *before* the
    softmax, and what is left is shared out and adds up to 1. Subtracting the largest score of a row is the
    trick of exercise 08.1: the weights are the same, and a score of 1,000 no longer overflows.
    """,
    praise="Right: everything else in a transformer is linear layers, norms and sums.",
)

# 25.2  Who may look at whom


def who_may_look(lengths, T):
    """May query i look at key j? lengths (N,) of sequences padded to T: bool (N, T, T)."""
    places = np.arange(T)
    causal = places[None, :] <= places[:, None]  # (T, T): key j, query i
    real = places < np.asarray(lengths)[:, None]  # (N, T): is key j a real one?
    return causal & real[:, None, :]


def _looking_by(rule: Callable) -> Callable:
    """rule(i, j, length): query i (T, 1), key j (1, T), length (N, 1, 1)."""

    def wrong(lengths, T):
        i, j, n = np.arange(T)[:, None], np.arange(T)[None, :], np.asarray(lengths)[:, None, None]
        return rule(i, j, n) & np.ones((len(lengths), T, T), bool)

    return wrong


def _judge_type(answer: Callable) -> str | None:
    """0 and 1 are no mask: minidl refuses such numbers, or adds them to the scores."""
    if numeric(answer([2, 1], 3)).dtype.kind != "b":
        return (
            "the right places, but as numbers instead of True and False. Attention *adds* a mask of numbers"
            " to the scores, so 0 and 1 would hide nothing, and `~` makes -2 of 1, which counts as true. Turn"
            " it into truth values: `np.asarray(..., dtype=bool)`"
        )
    return None


LOOKING = Exercise(
    "25.2",
    reference=who_may_look,
    judge=_judge_type,
    cases=[([4, 2, 3], 4), ([5], 6), ([1, 5, 2], 5)],
    mistakes=[
        Mistake(
            _looking_by(lambda i, j, n: (j < i) & (j < n)),
            "no position sees itself, and the first sees nothing at all: a softmax over nothing is nan. Key j"
            " is allowed up to and including j = i",
        ),
        Mistake(
            _looking_by(lambda i, j, n: (j <= i + 1) & (j < n)),
            "each position sees its right neighbour, which is the very character it should predict: the loss"
            " would fall to nearly 0, and the model would write nonsense",
        ),
        Mistake(
            _looking_by(lambda i, j, n: (j >= i) & (j < n)),
            "the triangle is transposed: rows are queries. This one looks at the future and not at the past",
        ),
        Mistake(
            _looking_by(lambda i, j, n: (j <= i) & (i < n)),
            "padded queries get an empty row here, and a softmax over nothing is nan. What must not be looked"
            " *at* is a column, a key; let padded queries look, nobody reads their answer",
        ),
        Mistake(
            _looking_by(lambda i, j, n: (j <= i) & (j <= n)),
            "one padded key too many: with length n the real ones are 0 ... n - 1",
        ),
        Mistake(
            _looking_by(lambda i, j, n: (j <= i) & (j < n - 1)),
            "the last real key is hidden: with length n the real ones are 0 ... n - 1",
        ),
        Mistake(
            _looking_by(lambda i, j, n: j < n),
            "the padding is right, but everybody looks into the future: key j must not come after query i",
        ),
        Mistake(
            _looking_by(lambda i, j, n: j <= i),
            "causal, but padding can be looked at: with length n, keys from n on are not real",
        ),
        Mistake(
            _looking_by(lambda i, j, n: (j <= i) | (j < n)),
            "both conditions must hold: & instead of |",
        ),
        Mistake(
            _looking_by(lambda i, j, n: (j <= i) & (j >= n)),
            "this allows the padding and hides the real keys",
        ),
        Mistake(
            _looking_by(lambda i, j, n: ~((j <= i) & (j < n))),
            "upside down: here True means *may be looked at* (in nn.MultiheadAttention it means hidden)",
        ),
    ],
    hints=[
        "Two conditions on the key j: one compares it with the query i, the other with the length.",
        "`np.arange(T)[None, :] <= np.arange(T)[:, None]` is (T, T), rows are queries.",
        "The second is (N, T). Give it an axis for the queries, `[:, None, :]`, and join both with &.",
    ],
    reasoning="""
    Row i, column j. Causal: $j \\le i$, the diagonal included, since what stands at position i is known when
    i + 1 is predicted. Padding: $j <$ length, whoever asks. Under the causal mask real queries never see
    padding at the end anyway; without it (in an encoder) the second condition does all the work.
    """,
    praise="Right. The diagonal belongs to the past, the padding to nobody.",
)

# 25.3  Rotary positions


def turned(x, positions):
    """x (T, d) with its pairs of neighbours (2i, 2i + 1) turned by the angle position · 10000^(-2i/d)."""
    d = x.shape[1]
    rates = 10000.0 ** (-2 * np.arange(d // 2) / d)
    angles = np.outer(positions, rates)  # (T, d/2)
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = x[:, 0::2], x[:, 1::2]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=2).reshape(x.shape)


def _turned_by(
    turn: Callable = lambda a, b, cos, sin: (a * cos - b * sin, a * sin + b * cos),
    rate: Callable = lambda i, d: 10000.0 ** (-2 * i / d),
    place: Callable = lambda p: np.asarray(p),
) -> Callable:
    """Turned with another formula, other rates or other positions."""

    def wrong(x, positions):
        d = x.shape[1]
        angles = np.outer(place(positions), rate(np.arange(d // 2), d))
        return np.stack(turn(x[:, 0::2], x[:, 1::2], np.cos(angles), np.sin(angles)), axis=2).reshape(x.shape)

    return wrong


def _halves(x, positions):
    d = x.shape[1]
    angles = np.outer(positions, 10000.0 ** (-2 * np.arange(d // 2) / d))
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = x[:, : d // 2], x[:, d // 2 :]
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=1)


def _not_woven(x, positions):
    d = x.shape[1]
    angles = np.outer(positions, 10000.0 ** (-2 * np.arange(d // 2) / d))
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = x[:, 0::2], x[:, 1::2]
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=1)


def _added(x, positions):
    d = x.shape[1]
    angles = np.outer(positions, 10000.0 ** (-2 * np.arange(d // 2) / d))
    return x + np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


TURNED = Exercise(
    "25.3",
    reference=turned,
    cases=lambda: [
        (np.random.default_rng(1).normal(size=(5, 8)), np.arange(5)),
        (np.random.default_rng(2).normal(size=(3, 4)), np.array([7, 100, 3])),
        (np.random.default_rng(3).normal(size=(1, 6)), np.array([40])),
    ],
    mistakes=[
        Mistake(
            _halves,
            "the pairs are i and i + d/2, as in `rotate` above. That is just as good, but asked are the"
            " paper's neighbours (0, 1), (2, 3) ...: x[:, 0::2] and x[:, 1::2]",
        ),
        Mistake(
            _not_woven,
            "turned rightly, put back wrongly: the pairs were neighbours, so they must be woven together"
            " again, not set one half behind the other",
        ),
        Mistake(
            _turned_by(lambda a, b, cos, sin: (a * cos + b * sin, b * cos - a * sin)),
            "turned the other way round, by minus the angle: a cos - b sin comes first",
        ),
        Mistake(
            _turned_by(lambda a, b, cos, sin: (a * cos + b * sin, a * sin + b * cos)),
            "without the minus this is no rotation, lengths change: a cos - b sin",
        ),
        Mistake(
            _turned_by(lambda a, b, cos, sin: (a * cos - b * sin, a * sin - b * cos)),
            "the second coordinate has a plus: a sin + b cos. With the minus it is a mirror image",
        ),
        Mistake(
            _turned_by(lambda a, b, cos, sin: (a * sin - b * cos, a * cos + b * sin)),
            "cos and sin are swapped: at position 0 nothing should turn",
        ),
        Mistake(
            _turned_by(lambda a, b, cos, sin: (a * sin + b * cos, a * cos - b * sin)),
            "the two coordinates of each pair came out in the wrong order",
        ),
        Mistake(
            _turned_by(lambda a, b, cos, sin: (a * cos - b * sin, b)),
            "the first coordinate of each pair moves, the second stays as it was: both move",
        ),
        Mistake(
            _turned_by(rate=lambda i, d: 10000.0 ** (-i / d)),
            "the exponent is -2i/d: i counts the d/2 pairs, so it should run from 0 to almost -1",
        ),
        Mistake(
            _turned_by(rate=lambda i, d: 10000.0 ** (-4 * i / d)),
            "the exponent is -2i/d with the whole width d; yours falls twice as fast",
        ),
        Mistake(
            _turned_by(rate=lambda i, d: 10000.0 ** (2 * i / d)),
            "the sign of the exponent: later pairs turn more slowly, yours whirl",
        ),
        Mistake(
            _turned_by(rate=lambda i, d: np.ones(len(i))),
            "all pairs turn at the same rate: then position 7 looks almost like position 1 (7 ≈ 1 + 2π). Give"
            " pair i the rate 10000^(-2i/d)",
        ),
        Mistake(
            _turned_by(place=lambda p: np.arange(len(p))),
            "positions are counted from 0 here instead of taken from the argument: with a memory of keys the"
            " first row may stand at position 40",
        ),
        Mistake(
            _turned_by(place=lambda p: np.asarray(p) + 1),
            "every position is one too large: position 0 turns nothing",
        ),
        Mistake(_added, "this adds a position code, as the sinusoidal ones do; rotary positions *turn* x"),
    ],
    hints=[
        "Rates first (d/2 of them), then angles: `np.outer(positions, rates)` is (T, d/2).",
        "`a, b = x[:, 0::2], x[:, 1::2]` are the first and second coordinates of all pairs. To weave"
        " them again: `np.stack([..., ...], axis=2).reshape(x.shape)`.",
        "A point (a, b) turned by φ: (a cos φ - b sin φ, a sin φ + b cos φ).",
    ],
    reasoning="""
    Each pair of features is a point in a plane and is turned by its own clock: pair 0 by one radian a
    position, the last ones hardly at all. Lengths stay, and the scalar product of two turned vectors depends
    on the difference of their angles alone, so on how far apart they stand.
    """,
    praise="Right: a rotation for every pair, and lengths stay as they were.",
)

# 25.4  One step with a memory


def next_step(x, keys, values, W_q, W_k, W_v):
    """One head with rotary positions reads one more x (d,): its output (d,), keys and values (t + 1, d).

    keys (t, d), turned already, and values (t, d) are those of the positions before."""
    here = np.array([len(keys)])
    q, k = turned((W_q @ x)[None], here), turned((W_k @ x)[None], here)  # (1, d)
    keys = np.concatenate([keys, k])
    values = np.concatenate([values, (W_v @ x)[None]])
    scores = q @ keys.T / np.sqrt(len(x))  # (1, t + 1)
    weights = np.exp(scores - scores.max())
    return (weights @ values)[0] / weights.sum(), keys, values


def _step_by(
    place: Callable = lambda t: t,
    turn_q: bool = True,
    turn_k: bool = True,
    turn_v: bool = False,
    join: Callable = lambda old, new: np.concatenate([old, new]),
    look: Callable = lambda old, joined: joined,
    scale: Callable = np.sqrt,
    project: Callable = lambda W, x: W @ x,
) -> Callable:
    """A step with other positions, other turns, another way to keep the memory."""

    def wrong(x, keys, values, W_q, W_k, W_v):
        here = np.array([place(len(keys))])
        q, k, v = (project(W, x)[None] for W in (W_q, W_k, W_v))
        q, k, v = (turned(a, here) if t else a for a, t in ((q, turn_q), (k, turn_k), (v, turn_v)))
        all_keys, all_values = join(keys, k), join(values, v)
        if not len(all_keys):
            raise ValueError("nothing to look at")
        seen = look(keys, all_keys), look(values, all_values)
        weights = _softmax(q @ seen[0].T / scale(len(x)))
        return (weights @ seen[1])[0], all_keys, all_values

    return wrong


def _turned_again(x, keys, values, W_q, W_k, W_v):
    q = turned((W_q @ x)[None], np.array([len(keys)]))
    keys = np.concatenate([keys, (W_k @ x)[None]])
    keys = turned(keys, np.arange(len(keys)))
    values = np.concatenate([values, (W_v @ x)[None]])
    return (_softmax(q @ keys.T / np.sqrt(len(x))) @ values)[0], keys, values


def _forgetful(x, keys, values, W_q, W_k, W_v):
    return next_step(x, keys, values, W_q, W_k, W_v)[0], keys, values


def _step_cases() -> list[tuple]:
    rng = np.random.default_rng(4)
    return [
        tuple(1.5 * rng.normal(size=s) for s in ((d,), (t, d), (t, d), (d, d), (d, d), (d, d)))
        for t, d in ((3, 4), (6, 8), (1, 2))
    ]


STEP = Exercise(
    "25.4",
    reference=next_step,
    cases=_step_cases,
    mistakes=[
        Mistake(
            _step_by(place=lambda t: 0),
            "the new one is not turned, or turned as if it stood at position 0. It stands behind the t that"
            " are in memory: this is the commonest fault of a KV cache, and only long texts show it",
        ),
        Mistake(
            _step_by(place=lambda t: t + 1),
            "the position is one too large: with t keys in memory (0 ... t - 1) the new one stands at t",
        ),
        Mistake(
            _step_by(place=lambda t: t - 1),
            "the position is one too small: t - 1 is taken by the last key in memory",
        ),
        Mistake(
            _step_by(turn_k=False),
            "the new key is not turned, those in memory are: turn query and key",
        ),
        Mistake(
            _step_by(turn_q=False),
            "the query is not turned: then the score depends on where a key stands, not on the distance",
        ),
        Mistake(
            _step_by(turn_v=True),
            "the value is turned too: positions belong into the scores, so only query and key turn",
        ),
        Mistake(
            _turned_again,
            "the keys in memory are turned again at each step: they have been turned when they came in",
        ),
        Mistake(
            _step_by(join=lambda old, new: np.concatenate([new, old])),
            "the new key and value are put in front: position t stands in row t, so append",
        ),
        Mistake(
            _step_by(join=lambda old, new: new),
            "the memory is overwritten: it looks at itself alone. Append to what was there",
        ),
        Mistake(
            _step_by(look=lambda old, joined: old),
            "it looks at the memory before its own key and value are in it: a position sees itself too",
        ),
        Mistake(
            _forgetful,
            "the output is right, but key and value are not kept: return the longer arrays",
        ),
        Mistake(
            _step_by(scale=lambda d: 1.0),
            "the memory is right. The scores are not divided by √d",
        ),
        Mistake(
            _step_by(scale=lambda d: d),
            "the memory is right. The scores are divided by d instead of √d",
        ),
        Mistake(
            _step_by(project=lambda W, x: x @ W),
            "`x @ W` is W transposed times x: write `W @ x`",
        ),
    ],
    hints=[
        "How many positions were before this one? `len(keys)` says it, so it stands at that position.",
        "Turn query and key there, append key and value, then attention of one query over all keys.",
        "`turned` wants rows: `turned((W_k @ x)[None], np.array([len(keys)]))` is (1, d), ready to append.",
    ],
    reasoning="""
    Under the causal mask nothing that comes later changes what earlier positions computed. So their keys and
    values can be kept, and a new position costs one row instead of a whole square. No mask is needed: what is
    in memory *is* the past.
    """,
    praise="Right, position included. A character now costs t products instead of t².",
)

# 25.5  The tape

LETTERS, DIGITS, PAIRS, GAP, ASKED = 26, 10, 8, 8, 4
BLANK = LETTERS + DIGITS
LENGTH = 2 * PAIRS + GAP + ASKED
MOST_PARAMETERS, BAR, STEPS = 5_000, 0.9, 300


def tape(n, rng):
    """n tapes (n, 28) of letters 0-25, digits 26-35 and blanks 36, and the answers (n, 4), digits 0-9.

    Eight letters, each with its digit behind it, then blanks, then four of the letters again."""
    letters = rng.permuted(np.tile(np.arange(LETTERS), (n, 1)), axis=1)[:, :PAIRS]
    digits = rng.integers(0, DIGITS, (n, PAIRS))
    asked = rng.permuted(np.tile(np.arange(PAIRS), (n, 1)), axis=1)[:, :ASKED]
    pairs = np.stack([letters, LETTERS + digits], axis=2).reshape(n, 2 * PAIRS)
    blanks, each = np.full((n, GAP), BLANK), np.arange(n)[:, None]
    return np.concatenate([pairs, blanks, letters[each, asked]], axis=1), digits[each, asked]


class Tape(nn.Module):
    """Each place learns of its left neighbour first; then one attention finds the digit behind the letter."""

    def __init__(self, E=20):
        self.embed = nn.Embedding(37, E)  # 26 letters, 10 digits, the blank
        self.mix, self.norm = nn.Linear(2 * E, E), nn.LayerNorm(E)
        self.look, self.out = nn.MultiheadAttention(E, 2, batch_first=True), nn.Linear(E, 10)

    def forward(self, tokens):
        x = self.embed(tokens)  # (N, T, E)
        left = minidl.cat([0 * x[:, :1], x[:, :-1]], dim=1)
        x = self.mix(minidl.cat([x, left], dim=2))
        return self.out(self.norm(x + self.look(x, x, x, need_weights=False)[0]))


def build():
    """An embedding, a look at the left neighbour, one attention."""
    return Tape()


def _loss(logits, answers):
    return F.cross_entropy(logits[:, -ASKED:].flatten(0, 1), answers.flatten())


def train_on_tapes(model, seed=0) -> float:
    """Train by the exercise's recipe; the share of right answers on 250 other tapes."""
    rng, optimizer = np.random.default_rng(seed), optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(STEPS):
        x, y = tape(32, rng)
        train_step(model, tensor(x), tensor(y), optimizer, _loss)
    x, y = tape(250, np.random.default_rng(1000 + seed))
    model.eval()
    with minidl.no_grad():
        return float((model(tensor(x)).numpy()[:, -ASKED:].argmax(axis=-1) == y).mean())


def _form(model: nn.Module) -> str | None:
    with minidl.no_grad():
        out = model(tensor(tape(3, np.random.default_rng(0))[0]))
    wanted = (3, LENGTH, DIGITS)
    if out.shape != wanted:
        return f"three tapes (3, {LENGTH}) give shape {out.shape}: ten logits at each place, {wanted}"
    return None


def _verdict(count: int, found: float) -> str | None:
    if found < 0.15:
        return f"{found:.0%} right: that is guessing, something blocks the way from the tape to the answer"
    if found < 0.35:
        return (
            f"{found:.0%} right: about what the commonest digit of each tape gets. It knows which digits are"
            f" there, not whose. What at a digit's place says which letter stood before it?"
        )
    return None if found >= BAR else f"{found:.0%} right with {count:,} parameters: the bar is {BAR:.0%}"


CONTEST = Contest(MOST_PARAMETERS, _form, train_on_tapes, _verdict)


def _praise_tape(answer: Callable) -> str:
    count, found = CONTEST.measure(answer)
    return f"{found:.0%} right with {count:,} parameters, after {STEPS} steps. How few are enough?"


TAPE = Exercise(
    "25.5",
    reference=build,
    judge=CONTEST.judge,
    hints=[
        "The query is a letter. The same letter stands on the tape, and the digit one place behind it. If you"
        " attend to the letter, what is its value? If to the digit, what is its key?",
        "A digit's place should carry two things: the digit (as its value) and the letter to its left (as its"
        " key). Who brings the letter there?",
        "`minidl.cat([0 * x[:, :1], x[:, :-1]], dim=1)` is x moved one place to the right: the left neighbour"
        " of each place. Join both with a linear layer, then attend.",
    ],
    reasoning="""
    One attention compares *one place* with *one place*. The letter that is asked can find its twin, but the
    digit stands next to the twin. So the neighbour must be brought in first. Two layers of attention can do
    that, if the first learns to look exactly one place back (with a position code), and the second to match
    what it brought: that pair is called an induction head, and notebook 31 watches one form. Our GPT of two
    layers (27,000 parameters) found it within the 300 steps from two of three starts, smaller ones did not.
    Moving x by one place does the first half without learning: then hundreds of parameters are enough.
    """,
    praise=_praise_tape,
    code="\n\n\n".join(inspect.getsource(part).rstrip() for part in (Tape, build)),
)

EXERCISES = [ATTENTION, LOOKING, TURNED, STEP, TAPE]
