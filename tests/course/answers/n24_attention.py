"""Notebook 24: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import itertools
import math

import numpy as np

from minidl import cat, nn, tensor
from minidl.nn import functional as F


def general_by_loops(s, h, W):
    n, steps, size = s.shape
    contexts, weights = np.zeros((n, steps, size)), np.zeros((n, steps, h.shape[1]))
    for i, t in itertools.product(range(n), range(steps)):
        scores = [float(s[i, t] @ W @ state) for state in h[i]]
        parts = [math.exp(score - max(scores)) for score in scores]
        weights[i, t] = np.array(parts) / sum(parts)
        contexts[i, t] = sum(weight * state for weight, state in zip(weights[i, t], h[i], strict=True))
    return contexts, weights


def general_of_minidl(s, h, W):
    s, h, W = tensor(s), tensor(h), tensor(W)
    weights = F.softmax((s @ W) @ h.transpose(1, 2), dim=-1)
    return [weights @ h, weights]


def general_undivided(s, h, W):
    scores = np.einsum("nth,hk,nsk->nts", s, W, h)
    parts = np.exp(scores - scores.max(axis=-1)[..., None])
    return parts @ h, parts


def general_with_maximum(along):
    """The general score with one maximum along these axes subtracted."""

    def answer(s, h, W):
        e = np.einsum("nta,ab,nsb->nts", s, W, h)
        parts = np.exp(e - np.max(e, axis=along, keepdims=True))
        weights = parts / parts.sum(axis=-1)[..., None]
        return np.einsum("nts,nsh->nth", weights, h), weights

    return answer


def credit_by_jacobian(a, h, g):
    return (np.diag(a) - np.outer(a, a)) @ (h @ g)


def credit_by_autograd(a, h, g):
    scores = tensor(np.log(a), requires_grad=True)
    ((F.softmax(scores, dim=0) @ tensor(h)) * tensor(g)).sum().backward()
    return scores.grad


def masked_by_loops(scores, lengths):
    weights = np.zeros_like(scores)
    for n, length in enumerate(lengths):
        real = scores[n, :, :length]
        parts = np.exp(real - real.max(axis=1, keepdims=True))
        weights[n, :, :length] = parts / parts.sum(axis=1, keepdims=True)
    return weights


def masked_with_a_large_number(scores, lengths):
    hidden = np.arange(scores.shape[2]) >= lengths[:, None, None]
    return F.softmax(tensor(np.where(hidden, -1e30, scores)), dim=2)


def softmax(scores, axis=-1):
    parts = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return parts / parts.sum(axis=axis, keepdims=True)


def masked_by_adding(low):
    """Adds a negative number at padding: not enough where the score is larger, unless it is infinite."""

    def answer(scores, lengths):
        real = np.arange(scores.shape[2]) < lengths[:, None, None]
        return softmax(scores + np.where(real, 0, low))

    return answer


def masked_by_multiples(scores, lengths):
    padding = np.arange(scores.shape[2])[None, None] >= lengths[:, None, None]
    return softmax(scores + padding * -np.inf)


def masked_by(low):
    """Not infinity at the padding, but a number."""

    def answer(scores, lengths):
        padding = np.arange(scores.shape[2]) >= lengths[:, None, None]
        return softmax(np.where(padding, low, scores))

    return answer


def masked_rows(low):
    """Hides the decoder's steps instead of the places."""

    def answer(scores, lengths):
        weights = np.zeros_like(scores)
        for n, length in enumerate(lengths):
            hidden = scores[n].copy()
            hidden[length:] = low
            weights[n] = softmax(hidden)
        return weights

    return answer


def masked_in_place(low):
    def answer(scores, lengths):
        for n, length in enumerate(lengths):
            scores[n, :, length:] = low
        return softmax(scores)

    return answer


def masked_after_the_maximum(scores, lengths):
    hidden = np.arange(scores.shape[2]) >= lengths[:, None, None]
    parts = np.exp(np.where(hidden, -np.inf, scores - scores.max(axis=2, keepdims=True)))
    return parts / parts.sum(axis=2, keepdims=True)


def masked_behind_the_exponential(scores, lengths):
    real = np.arange(scores.shape[2]) < lengths[:, None, None]
    parts = np.where(real, np.exp(scores), 0)
    return parts / parts.sum(axis=-1)[..., None]


def masked_by_factor(scores, lengths):
    parts = (np.arange(scores.shape[2]) < lengths[:, None, None]) * np.exp(scores)
    return parts / parts.sum(axis=-1, keepdims=True)


def masked_without_a_maximum(scores, lengths):
    hidden = scores.copy()
    for n, length in enumerate(lengths):
        hidden[n, :, length:] = -1e9
    return np.exp(hidden) / np.exp(hidden).sum(axis=2, keepdims=True)


def masked_with_maximum(along):
    """One maximum along these axes subtracted, behind the mask."""

    def answer(scores, lengths):
        hidden = np.arange(scores.shape[2]) >= lengths[:, None, None]
        masked = np.where(hidden, -np.inf, scores)
        parts = np.exp(masked - np.max(masked, axis=along, keepdims=True))
        return parts / parts.sum(axis=2, keepdims=True)

    return answer


def masked_along_the_steps(scores, lengths):
    hidden = np.arange(scores.shape[2]) >= lengths[:, None, None]
    return softmax(np.where(hidden, -1e30, scores), axis=1)


def align_forwards(said, right):
    """From the front, with the fewest edits of what is left; leaving out is tried first."""
    left = {(i, len(right)): len(said) - i for i in range(len(said) + 1)}
    left |= {(len(said), j): len(right) - j for j in range(len(right) + 1)}
    for i, j in itertools.product(reversed(range(len(said))), reversed(range(len(right)))):
        put = left[i + 1, j + 1] + (said[i] != right[j])
        left[i, j] = min(put, left[i + 1, j] + 1, left[i, j + 1] + 1)
    i = j = 0
    pairs = []
    while i < len(said) or j < len(right):
        if i < len(said) and left[i, j] == left[i + 1, j] + 1:
            pairs.append([said[i], None])
            i += 1
        elif j < len(right) and left[i, j] == left[i, j + 1] + 1:
            pairs.append([None, right[j]])
            j += 1
        else:
            pairs.append([said[i], right[j]])
            i, j = i + 1, j + 1
    return pairs


def align_by_place(said, right):
    return list(itertools.zip_longest(said, right))


def align_without_replacing(said, right):
    pairs = []
    for a, b in align_forwards(said, right):
        pairs += [(a, b)] if a == b or None in (a, b) else [(a, None), (None, b)]
    return pairs


def align_inside(said, right):
    """Stops at the border of the table."""
    pairs = align_forwards(said, right)
    while pairs and None in pairs[0]:
        pairs = pairs[1:]
    return pairs


def table(said, right):
    D = np.add.outer(np.arange(len(said) + 1), np.arange(len(right) + 1))
    for i, j in np.ndindex(len(said), len(right)):
        D[i + 1, j + 1] = min(D[i, j + 1] + 1, D[i + 1, j] + 1, D[i, j] + (said[i] != right[j]))
    return D


def align_without_borders(said, right):
    """Asks for all neighbours everywhere."""
    D, i, j, pairs = table(said, right), len(said), len(right), []
    while i or j:
        if D[i, j] == D[i - 1, j - 1] + (said[i - 1] != right[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((said[i], right[j]))
        elif D[i, j] == D[i - 1, j] + 1:
            i -= 1
            pairs.append((said[i], None))
        else:
            j -= 1
            pairs.append((None, right[j]))
    return pairs[::-1]


def align_to_the_smallest(said, right):
    """Goes to the smallest neighbour, upwards if in doubt, without asking what the step costs."""
    D, i, j, pairs = table(said, right), len(said), len(right), []
    while i or j:
        up = D[i - 1, j] if i else np.inf
        left = D[i, j - 1] if j else np.inf
        across = D[i - 1, j - 1] if i and j else np.inf
        least = min(up, left, across)
        i, j = i - (least in (up, across)), j - (least != up and least in (left, across))
        pairs.append((i, j))
    ends = [(len(said), len(right)), *pairs]
    steps = [(a, b, c, d) for (a, b), (c, d) in itertools.pairwise(ends)]
    return [(said[c] if c < a else None, right[d] if d < b else None) for a, b, c, d in steps][::-1]


def align_greedily(said, right):
    """Takes equal symbols where it can, else leaves out on one side and then puts in the other."""
    pairs, said, right = [], list(said), list(right)
    while said and right:
        if said[0] == right[0] or len(pairs) == 1:
            pairs.append((said.pop(0), right.pop(0)))
        else:
            pairs += [(said.pop(0), None), (None, right.pop(0))]
    return pairs + [(a, None) for a in said] + [(None, b) for b in right]


class Normed(nn.Module):
    """With a LayerNorm on the encoder's states."""

    def __init__(self, size=108):
        self.see, self.hear = nn.Embedding(26, 24), nn.Embedding(41, 24)
        self.encoder = nn.GRU(24, size // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(24, size, batch_first=True)
        self.norm = nn.LayerNorm(size)
        self.mix, self.out = nn.Linear(2 * size, size), nn.Linear(size, 40)

    def forward(self, x, told):
        h, last = self.encoder(self.see(x))
        h = self.norm(h)
        s, _ = self.decoder(self.hear(told), cat([last[0], last[1]], dim=1).unsqueeze(0))
        looks = F.softmax(s @ h.transpose(1, 2), dim=2) @ h
        return self.out(self.mix(cat([s, looks], dim=2)).tanh())


class Small(nn.Module):
    """One vector of 24 numbers."""

    def __init__(self, symbols=40, told=41):
        self.see, self.hear = nn.Embedding(26, 8), nn.Embedding(told, 8)
        self.encoder, self.decoder = (nn.GRU(8, 24, batch_first=True) for _ in range(2))
        self.out = nn.Linear(24, symbols)

    def forward(self, x, told):
        return self.out(self.decoder(self.hear(told), self.encoder(self.see(x))[1])[0])


class Probabilities(Small):
    def forward(self, x, told):
        return F.softmax(super().forward(x, told), dim=2)


class ReadsAhead(Small):
    def __init__(self):
        super().__init__()
        self.decoder = nn.GRU(8, 12, batch_first=True, bidirectional=True)

    def forward(self, x, told):
        return self.out(self.decoder(self.hear(told))[0])


RIGHT = {
    "24.1": [general_by_loops, general_of_minidl],
    "24.2": [credit_by_jacobian, credit_by_autograd],
    "24.3": [masked_by_loops, masked_with_a_large_number, masked_by_adding(-np.inf)],
    "24.4": [align_forwards],
    "24.5": [Normed],
}

WRONG = {
    "24.1": [
        (lambda s, h, W: (h, F.softmax(tensor(s @ W @ h.transpose(0, 2, 1)), dim=1)), "value 1 of 2"),
        (
            lambda s, h, W: (lambda w: (w @ tensor(h), w))(
                F.softmax(tensor(s @ W @ h.transpose(0, 2, 1)), dim=1)
            ),
            "over the wrong axis",
        ),
        (
            lambda s, h, W: (lambda e: (e / e.sum(-1, keepdims=True) @ h, e / e.sum(-1, keepdims=True)))(
                np.exp(s @ W @ h.transpose(0, 2, 1))
            ),
            "large scores overflow",
        ),
        (general_undivided, "do not add up to 1"),
        (
            lambda s, h, W: (lambda w: (np.matmul(w, np.matmul(h, W)), w))(general_by_loops(s, h, W)[1]),
            "a mean of W h",
        ),
        (general_with_maximum(None), "subtracted from all scores of the batch"),
        (general_with_maximum((1, 2)), "subtract each row's own"),
        (general_with_maximum(1), "the maximum is taken along axis 1"),
        (lambda s, h, W: general_by_loops(s, h, W.T), "turned round"),
        (lambda s, h, W: general_by_loops(s, h, W / math.sqrt(len(W))), "root of H"),
        (lambda s, h, W: general_by_loops(s, h, W)[0], "return the weights too"),
        (lambda s, h, W: s @ W @ h, "raises"),
    ],
    "24.2": [
        (lambda a, h, g: np.array([g @ state for state in h]), "dL/da"),
        (lambda a, h, g: a * (h @ g), "takes from all the others"),
        (lambda a, h, g: a * (h @ g) * (1 - a), "its own weight"),
        (lambda a, h, g: a * (h @ g) - (a @ h) @ g, "the factor a is missing"),
        (lambda a, h, g: -credit_by_jacobian(a, h, g), "wrong sign"),
        (lambda a, h, g: h.T @ a, "shape"),
    ],
    "24.3": [
        (lambda scores, lengths: softmax(scores), "the padding is looked at"),
        (
            lambda scores, lengths: softmax(
                np.where(np.arange(scores.shape[2]) < lengths[:, None, None], scores, 0)
            ),
            "e to the 0 is 1",
        ),
        (
            lambda scores, lengths: softmax(scores) * (np.arange(scores.shape[2]) < lengths[:, None, None]),
            "no longer adds up",
        ),
        (lambda scores, lengths: masked_by_loops(scores, lengths - (lengths > 1)), "has "),
        (
            lambda scores, lengths: masked_by_loops(scores, np.minimum(lengths + 1, scores.shape[2])),
            "still looked at",
        ),
        *((masked_by_adding(low), "replace the score, do not add to it") for low in (-1e9, -1e30, -1e100)),
        (masked_by_multiples, "0 times -inf is nan"),
        *((masked_by(low), "not low enough") for low in (-100, -1000.0, -1e6)),
        *((masked_rows(low), "hide places, axis 2") for low in (-1e9, -np.inf)),
        (lambda scores, lengths: np.nan_to_num(masked_rows(-np.inf)(scores, lengths)), "hide places, axis 2"),
        *((masked_in_place(low), "scores of the caller are overwritten") for low in (-1e9, -np.inf)),
        (masked_after_the_maximum, "masked too late"),
        (masked_behind_the_exponential, "large real scores overflow"),
        (masked_by_factor, "inf times 0 is nan"),
        (masked_without_a_maximum, "large real scores overflow"),
        (masked_with_maximum(None), "subtracted from all scores of the batch"),
        (masked_with_maximum((1, 2)), "subtracted from all scores of a sequence"),
        (masked_along_the_steps, "the mask is right, but the softmax runs along axis 1"),
    ],
    "24.4": [
        (align_by_place, "place against place"),
        (align_without_replacing, "never put one symbol on a different one"),
        (align_inside, "the first symbols of what is said are missing"),
        (lambda said, right: align_forwards(said, right)[::-1], "from last to first"),
        (lambda said, right: [pair[::-1] for pair in align_forwards(said, right)], "swapped"),
        (
            lambda said, right: [pair for pair in align_forwards(said, right) if pair[0] != pair[1]],
            "only the edits",
        ),
        (align_greedily, "only if the numbers"),
        (align_to_the_smallest, "may be the wrong one of several: the step's price must add up"),
        (align_without_borders, "Does the walk step over the border?"),
        (lambda said, right: [*align_forwards(said, right), (None, None)], "says nothing"),
        (
            lambda said, right: [(a or "", b or "") for a, b in align_forwards(said, right)],
            "the pair holds None",
        ),
        (lambda said, right: len(align_forwards(said, right)), "list of pairs"),
        (lambda said, right: print(said), "is a `return` missing?"),
        (lambda said, right: [(a, b) for a in said for b in right], "appear once"),
    ],
    "24.5": [
        (Small, "of the 100,000 weights: the bar is 13.5%"),
        (lambda: Normed(128), "at most 100,000"),
        (lambda: Small(41), "logits (3, 7, 40)"),
        (lambda: Small(told=40), "40 is START, so its embedding needs 41 rows"),
        (Probabilities, "return the logits"),
        (ReadsAhead, "reads ahead"),
        (lambda: Small, "must return an nn.Module"),
        (Small(), "build itself"),
    ],
}
