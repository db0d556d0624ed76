"""Notebook 25: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import math

import numpy as np

import minidl
from minidl import nn, tensor
from minidl.course.exercises.n25_transformer import turned
from minidl.nn import functional as F


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def attention_by_loops(q, k, v, allowed):
    out = np.zeros((*q.shape[:2], v.shape[2]))
    for n in range(len(q)):
        for t in range(q.shape[1]):
            seen = np.flatnonzero(allowed[n, t])
            scores = np.array([q[n, t] @ k[n, s] / math.sqrt(q.shape[2]) for s in seen])
            out[n, t] = sum(w * v[n, s] for w, s in zip(softmax(scores), seen, strict=True))
    return out


def attention_of_minidl(q, k, v, allowed):
    return F.scaled_dot_product_attention(*map(tensor, (q, k, v)), tensor(allowed))


def attention_renormalised(q, k, v, allowed):
    """Masked after the softmax and divided by what is left: another way that is right."""
    w = softmax(np.einsum("ntd,nsd->nts", q, k) * q.shape[-1] ** -0.5) * allowed
    return w / w.sum(-1, keepdims=True) @ v


def attention_with(factor=1.0, axis=-1, mask=lambda s, a: np.where(a, s, -1e30), final=True):
    def answer(q, k, v, allowed):
        w = softmax(mask(factor * np.einsum("ntd,nsd->nts", q, k) / math.sqrt(q.shape[2]), allowed), axis)
        return w @ v if final else w

    return answer


def scale_by(divisor):
    return lambda q, k, v, a: softmax(np.where(a, q @ k.transpose(0, 2, 1) / divisor(q, k, v), -1e30)) @ v


def attention_naive(shift=lambda s: 0, clip=np.inf):
    """Right for small scores: e to the power of a score, minus something or with a lid on it."""

    def answer(q, k, v, a):
        s = np.where(a, np.einsum("ntd,nsd->nts", q, k) / math.sqrt(q.shape[2]), -np.inf)
        e = np.exp(np.minimum(s, clip) - shift(s))
        return e / e.sum(axis=-1, keepdims=True) @ v

    return answer


def looking_by_loops(lengths, T):
    return [[[j <= i and j < n for j in range(T)] for i in range(T)] for n in lengths]


def looking_by_tril(lengths, T):
    return np.stack([np.tril(np.ones((T, T), bool)) * (np.arange(T) < n) for n in lengths])


def looking_if(rule):
    return lambda lengths, T: np.array(
        [[[rule(i, j, n) for j in range(T)] for i in range(T)] for n in lengths]
    )


def turned_by_complex_numbers(x, positions):
    d = x.shape[1]
    z = x[:, 0::2] + 1j * x[:, 1::2]
    z = z * np.exp(1j * np.asarray(positions)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d))
    return np.stack([z.real, z.imag], axis=2).reshape(x.shape)


def turned_by_loops(x, positions):
    out = x.copy()
    d = x.shape[1]
    for row, place in enumerate(positions):
        for i in range(0, d, 2):
            c, s = math.cos(place / 10000 ** (i / d)), math.sin(place / 10000 ** (i / d))
            out[row, i], out[row, i + 1] = (
                c * x[row, i] - s * x[row, i + 1],
                s * x[row, i] + c * x[row, i + 1],
            )
    return out


def turned_with(sign=1, power=1.0, base=10000.0, shift=0, count=False):
    def answer(x, positions):
        d = x.shape[1]
        places = np.arange(len(x)) if count else np.asarray(positions) + shift
        angles = sign * np.outer(places, base ** (-power * np.arange(0, d, 2) / d))
        z = (x[:, 0::2] + 1j * x[:, 1::2]) * np.exp(1j * angles)
        return np.stack([z.real, z.imag], axis=2).reshape(x.shape)

    return answer


def turned_halves(x, positions):
    d = x.shape[1]
    z = (x[:, : d // 2] + 1j * x[:, d // 2 :]) * np.exp(
        1j * np.outer(positions, 10000.0 ** (-np.arange(0, d, 2) / d))
    )
    return np.concatenate([z.real, z.imag], axis=1)


def step_by_lists(x, keys, values, W_q, W_k, W_v):
    t, d = keys.shape
    q, k = (turned_by_complex_numbers((W @ x).reshape(1, -1), [t])[0] for W in (W_q, W_k))
    keys, values = [*keys, k], [*values, W_v @ x]
    w = np.exp([q @ key / math.sqrt(d) for key in keys])
    return sum(a * value for a, value in zip(w / w.sum(), values, strict=True)), keys, values


def step_with(shift=None, again=False, turn_v=False, front=False, keep=True, root=True, past=False):
    """A step with one fault; shift None: the new one stands at position 0."""

    def answer(x, keys, values, W_q, W_k, W_v):
        at = [0 if shift is None else len(keys) + shift]
        q, k, v = turned((W_q @ x)[None], at), turned((W_k @ x)[None], at), (W_v @ x)[None]
        v = turned(v, at) if turn_v else v
        new_keys = np.vstack([k, keys] if front else [keys, k])
        new_values = np.vstack([v, values] if front else [values, v])
        if again:
            new_keys = turned(np.vstack([keys, (W_k @ x)[None]]), np.arange(len(keys) + 1))
        seen = (keys, values) if past else (new_keys, new_values)
        out = softmax(q @ seen[0].T / (math.sqrt(len(x)) if root else 1)) @ seen[1]
        return (out[0], new_keys, new_values) if keep else (out[0], keys, values)

    return answer


class Shifted(nn.Module):
    """The tape's reader by hand-made heads: queries from the place itself, keys from its left neighbour."""

    def __init__(self, E=24):
        self.embed, self.out = nn.Embedding(37, E), nn.Linear(E, 10)
        self.q, self.k = nn.Linear(E, E, bias=False), nn.Linear(E, E, bias=False)

    def forward(self, tokens):
        x = self.embed(tokens)
        left = minidl.cat([minidl.zeros(len(x), 1, x.shape[2]), x[:, :-1]], dim=1)
        return self.out(F.scaled_dot_product_attention(self.q(x), self.k(left), x))


class OneLayer(nn.Module):
    """Attention without the neighbour: knows which digits there are, not whose."""

    def __init__(self, E=32, out=10):
        self.embed, self.out = nn.Embedding(37, E), nn.Linear(E, out)
        self.look, self.norm = nn.MultiheadAttention(E, 2, batch_first=True), nn.LayerNorm(E)

    def forward(self, tokens):
        x = self.embed(tokens)
        return self.out(self.norm(x + self.look(x, x, x, need_weights=False)[0]))


class Deaf(nn.Module):
    """Never looks at the tape."""

    def __init__(self):
        self.bias = nn.Parameter(minidl.zeros(10))

    def forward(self, tokens):
        return self.bias.expand(*tokens.shape, 10)


class Empty(nn.Module):
    def forward(self, tokens):
        return minidl.zeros(*tokens.shape, 10)


RIGHT = {
    "25.1": [attention_by_loops, attention_of_minidl, attention_renormalised, attention_with()],
    "25.2": [looking_by_loops, looking_by_tril, lambda lengths, T: tensor(looking_by_tril(lengths, T))],
    "25.3": [turned_by_complex_numbers, turned_by_loops],
    "25.4": [step_by_lists, step_with(shift=0)],
    "25.5": [Shifted],
}

WRONG = {
    "25.1": [
        (scale_by(lambda q, k, v: 1), "the scale is missing"),
        (scale_by(lambda q, k, v: q.shape[2]), "divided by d"),
        (scale_by(lambda q, k, v: math.sqrt(v.shape[2])), "the values' width"),
        (scale_by(lambda q, k, v: math.sqrt(q.shape[1])), "the root of the length"),
        (scale_by(lambda q, k, v: 1 / math.sqrt(q.shape[2])), "multiplied by √d"),
        (attention_with(axis=1), "over the queries"),
        (attention_with(axis=0), "over the batch"),
        (attention_with(axis=(1, 2)), "one softmax for all queries"),
        (attention_with(mask=lambda s, a: s), "the mask is not used"),
        (attention_with(mask=lambda s, a: np.where(a, -np.inf, s)), "upside down"),
        (attention_with(mask=lambda s, a: s * a), "a score of 0 is not a weight of 0"),
        (attention_with(mask=lambda s, a: s + a), "True is added as 1"),
        (attention_with(final=False), "these are the weights"),
        (
            lambda q, k, v, a: softmax(q @ k.swapaxes(1, 2) / q.shape[2] ** 0.5) * a @ v,
            "masked after the softmax",
        ),
        (attention_naive(), "it overflows"),
        (attention_naive(lambda s: s.max()), "one maximum for several rows"),
        (attention_naive(lambda s: s.max(axis=(1, 2), keepdims=True)), "one maximum for several rows"),
        (attention_naive(clip=500), "nearly all of the weight"),
        (lambda q, k, v, a: q @ k.T @ v, "raises"),
        (lambda q, k, v, a: print(q.shape), "is a `return` missing?"),
    ],
    "25.2": [
        (looking_if(lambda i, j, n: j < i and j < n), "no position sees itself"),
        (looking_if(lambda i, j, n: j <= i + 1 and j < n), "its right neighbour"),
        (looking_if(lambda i, j, n: i <= j < n), "transposed"),
        (looking_if(lambda i, j, n: j <= i < n), "empty row"),
        (looking_if(lambda i, j, n: j <= i and j <= n), "one padded key too many"),
        (looking_if(lambda i, j, n: j <= i and j < n - 1), "the last real key is hidden"),
        (looking_if(lambda i, j, n: j < n), "into the future"),
        (looking_if(lambda i, j, n: j <= i), "padding can be looked at"),
        (looking_if(lambda i, j, n: j <= i or j < n), "& instead of |"),
        (looking_if(lambda i, j, n: not (j <= i and j < n)), "upside down"),
        (looking_if(lambda i, j, n: n <= j <= i), "hides the real keys"),
        (lambda lengths, T: np.tril(np.ones((T, T), bool)), "shape"),
        (lambda lengths, T: 1 * looking_by_tril(lengths, T), "as numbers instead of True and False"),
        (
            lambda lengths, T: looking_by_tril(lengths, T).astype(float),
            "as numbers instead of True and False",
        ),
        (
            lambda lengths, T: [
                [[int(j <= i and j < n) for j in range(T)] for i in range(T)] for n in lengths
            ],
            "as numbers instead of True and False",
        ),
    ],
    "25.3": [
        (turned_halves, "the pairs are i and i + d/2"),
        (turned_with(sign=-1), "the other way round"),
        (turned_with(power=0.5), "so it should run from 0 to almost -1"),
        (turned_with(power=2), "falls twice as fast"),
        (turned_with(power=-1), "yours whirl"),
        (turned_with(power=0), "the same rate"),
        (turned_with(count=True), "counted from 0"),
        (turned_with(shift=1), "one too large"),
        (turned_with(base=1000.0), "has"),
        (lambda x, positions: x, "has"),
    ],
    "25.4": [
        (step_with(), "position 0"),
        (step_with(shift=1), "one too large"),
        (step_with(shift=-1), "one too small"),
        (step_with(shift=0, again=True), "turned again"),
        (step_with(shift=0, turn_v=True), "the value is turned too"),
        (step_with(shift=0, front=True), "put in front"),
        (step_with(shift=0, keep=False), "not kept"),
        (step_with(shift=0, root=False), "not divided by √d"),
        (step_with(shift=0, past=True), "before its own key"),
        (lambda x, keys, values, *W: step_by_lists(x, keys, values, *(w.T for w in W)), "W transposed"),
        (lambda *given: step_by_lists(*given)[0], "returns"),
    ],
    "25.5": [
        (lambda: OneLayer(16), "not whose"),
        (Deaf, "something blocks"),
        (lambda: OneLayer(80), "at most 5,000"),
        (lambda: OneLayer(16, out=9), "ten logits at each place"),
        (Empty, "no parameters"),
        (lambda: nn.Linear, "must return an nn.Module"),
        (OneLayer(8), "build itself"),
    ],
}
