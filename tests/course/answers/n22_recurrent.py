"""Notebook 22: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import math

import numpy as np

import minidl
from minidl import nn, tensor
from minidl.course.exercises.n22_recurrent import LETTERS, piles


def states_by_index(x, h0, W, U, b):
    h = np.empty((len(x) + 1, *h0.shape))
    h[0] = h0
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] @ W.T + h[t] @ U.T + b)
    return h[1:]


def states_by_minidl(x, h0, W, U, b):
    layer = nn.RNN(x.shape[2], h0.shape[1], dtype=minidl.float64)
    biases = {"bias_ih_l0": b, "bias_hh_l0": np.zeros_like(b)}
    layer.load_state_dict({"weight_ih_l0": W, "weight_hh_l0": U} | biases)
    return layer(tensor(x), tensor(h0[None]))[0]


def states_as_list(x, h0, W, U, b):
    after = [h0]
    for now in x:
        sums = np.concatenate([now, after[-1]], axis=1) @ np.concatenate([W, U], axis=1).T
        after.append(np.tanh(sums + b))
    return after[1:]


def states_overwritten(x, h0, W, U, b):
    h, after = h0.copy(), []
    for now in x:
        h[...] = np.tanh(now @ W.T + h @ U.T + b)
        after.append(h)
    return after


def states_in_place(x, h0, W, U, b):
    after = []
    for now in x:
        h0[...] = np.tanh(now @ W.T + h0 @ U.T + b)
        after.append(h0.copy())
    return after


def states_kept_too_early(x, h0, W, U, b):
    h, after = h0, []
    for now in x:
        after.append(h)
        h = np.tanh(now @ W.T + h @ U.T + b)
    return after


def states_of_sums(x, h0, W, U, b):
    z, after = h0, []
    for t in range(len(x)):
        z = x[t] @ W.T + z @ U.T + b
        after.append(np.tanh(z))
    return after


def states_for_columns(x, h0, W, U, b):
    h, after = h0, []
    for now in x:
        h = np.tanh(W @ now + U @ h + b)
        after.append(h)
    return np.stack(after)


def states_without_transposes(x, h0, W, U, b):
    h, after = h0, []
    for now in x:
        h = np.tanh(now @ W + h @ U + b)
        after.append(h)
    return np.stack(after)


def states_W_as_it_is(x, h0, W, U, b):
    h, after = h0, []
    for now in x:
        h = np.tanh(now @ W + h @ U.T + b)
        after.append(h)
    return np.stack(after)


def gradient_by_autograd(d, h, U):
    """Inputs are chosen so that the states come out as h; then autograd."""
    weight = tensor(U, requires_grad=True)
    state, total = tensor(h[0]), 0
    for t in range(len(d)):
        from_input = np.arctanh(h[t + 1]) - h[t] @ U.T
        state = (tensor(from_input) + state @ weight.T).tanh()
        total = total + (state * tensor(d[t])).sum()
    total.backward()
    return weight.grad


def gradient_by_einsum(d, h, U):
    delta, later = np.zeros_like(d), 0
    for t in range(len(d) - 1, -1, -1):
        delta[t] = (d[t] + later) * (1 + h[t + 1]) * (1 - h[t + 1])
        later = np.einsum("nj,jk->nk", delta[t], U)
    return np.einsum("tnj,tnk->jk", delta, h[:-1])


def gradient_name_by_name(d, h, U):
    dU = 0 * U
    for n in range(d.shape[1]):
        later = np.zeros(len(U))
        for t in range(len(d))[::-1]:
            blame = np.diag(1 - h[t + 1, n] ** 2) @ (d[t, n] + later)
            dU += np.outer(blame, h[t, n])
            later = U.T @ blame
    return dU


def gradient_elman(d, h, U):
    return np.einsum("tnj,tnk->jk", d * (1 - h[1:] ** 2), h[:-1])


def gradient_in_place(d, h, U):
    for t in range(len(d) - 1, -1, -1):
        d[t] *= 1 - h[t + 1] ** 2
        if t:
            d[t - 1] += d[t] @ U
    return np.einsum("tnj,tnk->jk", d, h[:-1])


def gradient_of_own_forecasts(d, h, U):
    dU, later = 0, 0
    for t in reversed(range(len(d))):
        delta = (d[t] + later) * (1 - h[t + 1] ** 2)
        dU = dU + delta.T @ h[t]
        later = d[t] @ U
    return dU


def gradient_piled_up(d, h, U):
    dU, later = 0, 0
    for t in range(len(d) - 1, -1, -1):
        delta = (d[t] + later) * (1 - h[t + 1] ** 2)
        dU = dU + delta.T @ h[t]
        later += delta @ U
    return dU


def gradient_without_the_first(d, h, U):
    dU, later = 0, 0
    for t in range(len(d) - 1, 0, -1):
        delta = (d[t] + later) * (1 - h[t + 1] ** 2)
        dU, later = dU + delta.T @ h[t], delta @ U
    return dU


def clip_by_concatenation(gradients, limit):
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in gradients]))
    return [g * min(1, limit / (norm + 1e-12)) for g in gradients]


def clip_as_pytorch(gradients, limit):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    return tuple(g * min(1.0, limit / (norm + 1e-6)) for g in gradients)


def clip_by_minidl(gradients, limit):
    weights = [tensor(np.zeros_like(g), requires_grad=True) for g in gradients]
    for weight, g in zip(weights, gradients, strict=True):
        weight.grad = tensor(g.copy())
    nn.utils.clip_grad_norm_(weights, limit)
    return [weight.grad for weight in weights]


def clip_norm(gradients):
    return max(np.sqrt(sum((g**2).sum() for g in gradients)), 1e-12)


def norm_of(gradients):
    return math.sqrt(sum((g**2).sum() for g in gradients))


def clip_in_place(gradients, limit):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    for g in gradients:
        g *= min(1, limit / max(norm, 1e-12))
    return gradients


def reheat_by_logits(p, tau):
    z = np.log(p) / tau
    e = np.exp(z - z.max(axis=1)[:, None])
    return e / e.sum(axis=1)[:, None]


def reheat_with_a_little(p, tau):
    z = np.log(p + 1e-9) / tau
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def reheat_all_at_once(p, tau):
    z = np.log(p) / tau
    e = np.exp(z - z.max())
    return e / e.sum()


def reheat_with_one_maximum(p, tau):
    z = np.log(p) / tau
    e = np.exp(z - z.max())
    return e / e.sum(axis=1, keepdims=True)


def reheat_by_rows(p, tau):
    return [
        [(q / max(row)) ** (1 / tau) / sum((r / max(row)) ** (1 / tau) for r in row) for q in row]
        for row in p
    ]


def _table(letters, start, memory):
    """Counts from `start` on after so many letters."""
    counts = np.full((27**memory, 27), float(start))
    for name in letters:
        padded = "." * memory + name + "."
        for end in range(memory, len(padded)):
            row = 0
            for letter in padded[end - memory : end]:
                row = 27 * row + LETTERS.index(letter)
            counts[row, LETTERS.index(padded[end])] += 1
    return counts


def _forecast(counts, memory):
    p = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)

    def next_letter(prefix):
        row = 0
        for letter in ("." * memory + prefix)[len(prefix) :] if memory else "":
            row = 27 * row + LETTERS.index(letter)
        return p[row]

    return next_letter


class KneserNey:
    """Counts of up to five letters; in the shorter ones a letter counts once for each letter before them."""

    def __init__(self, longest=4, discount=0.75):
        self.longest, self.discount, self.counts = longest, discount, {}
        whole = {}
        for name in piles()[0]:
            padded = "." * longest + name + "."
            for end in range(longest, len(padded)):
                for back in range(longest + 1):
                    row = whole.setdefault(padded[end - back : end], np.zeros(27))
                    row[LETTERS.index(padded[end])] += 1
        for piece, row in whole.items():
            if piece:
                self.counts[piece[1:]] = self.counts.get(piece[1:], 0) + (row > 0)
        start = {piece: row for piece, row in whole.items() if len(piece) == longest or piece[:1] == "."}
        self.counts |= start

    def __call__(self, prefix):
        p, padded = np.full(27, 1 / 27), "." * self.longest + prefix
        for back in range(self.longest + 1):
            row = self.counts.get(padded[len(padded) - back :])
            if row is None:
                break
            kept, given = np.maximum(row - self.discount, 0), np.minimum(row, self.discount).sum()
            p = (kept + given * p) / row.sum()
        return p


bigram = _forecast(_table(piles()[0], 0.1, 1), 1)
trigram = _forecast(_table(piles()[0], 0.1, 2), 2)
blend = KneserNey()


def by_heart(prefix):
    seen = np.full(27, 1e-3)
    for name in piles()[1]:
        if name.startswith(prefix):
            seen[LETTERS.index((name + ".")[len(prefix)])] += 1
    return seen / seen.sum()


frequencies = _table(piles()[0][:500], 1, 0)[0]


def reads_nothing(prefix):
    return frequencies / frequencies.sum()


RIGHT = {
    "22.1": [states_by_index, states_by_minidl, states_as_list],
    "22.2": [gradient_by_autograd, gradient_by_einsum, gradient_name_by_name],
    "22.3": [clip_by_concatenation, clip_as_pytorch, clip_by_minidl],
    "22.4": [reheat_by_logits, reheat_by_rows],
    "22.5": [blend, lambda prefix: list(blend(prefix)), lambda prefix: tensor(blend(prefix))],
}

WRONG = {
    "22.1": [
        (states_overwritten, "all steps hold the last state"),
        (states_in_place, "changes its second argument in place"),
        (lambda x, h0, W, U, b: states_by_index(x, h0, W, U.T, b), "U is not transposed"),
        (lambda x, h0, W, U, b: states_by_index(x, 0 * h0, W, U, b), "should begin with h0"),
        (lambda *case: states_by_index(*case)[::-1], "in reverse"),
        (lambda *case: states_by_index(*case)[-1], "last state alone"),
        (lambda x, h0, W, U, b: np.tanh(x @ W.T + h0 @ U.T + b), "begins with h0 again"),
        (lambda x, h0, W, U, b: np.tanh(x @ W + b), "raises ValueError"),
        (states_kept_too_early, "make the new state first"),
        (states_of_sums, "you hand on z: tanh comes first"),
        (states_W_as_it_is, "W is not transposed"),
        (states_without_transposes, "W and U are not transposed"),
        (states_for_columns, "is for a column"),
    ],
    "22.2": [
        (gradient_elman, "Elman left it out"),
        (gradient_of_own_forecasts, "you pass on d alone"),
        (gradient_piled_up, "not +="),
        (gradient_without_the_first, "the first step is left out"),
        (gradient_in_place, "changes its first argument in place"),
        (lambda *case: gradient_by_einsum(*case).T, "transposed"),
        (lambda *case: -gradient_by_einsum(*case), "wrong sign"),
        (lambda *case: 2 * gradient_by_einsum(*case), "factor of 2"),
        (lambda d, h, U: gradient_by_einsum(d, h, U.T), "U.T on the way back"),
        (lambda d, h, U: gradient_by_einsum(d, h, U) / d.shape[1], "number of names"),
        (lambda d, h, U: gradient_by_einsum(d, h, U) / len(d), "mean over the steps"),
        (lambda d, h, U: U, "differ"),
    ],
    "22.3": [
        (clip_in_place, "changes its first argument in place"),
        (lambda gradients, limit: [np.minimum(np.maximum(g, -limit), limit) for g in gradients], "bends"),
        (lambda gradients, limit: [clip_by_concatenation([g], limit)[0] for g in gradients], "bends"),
        (lambda gradients, limit: [g / clip_norm(gradients) * limit for g in gradients], "always becomes"),
        (lambda gradients, limit: [limit / norm_of(gradients) * g for g in gradients], "must stay"),
        (lambda gradients, limit: [limit / np.float64(norm_of(gradients)) * g for g in gradients], "nan"),
        (lambda gradients, limit: [limit * g / clip_norm([g]) for g in gradients], "and always"),
        (lambda gradients, limit: [g / max(1, clip_norm(gradients)) for g in gradients], "no say"),
        (lambda gradients, limit: [1.0 * g for g in gradients], "come back as they were"),
    ],
    "22.4": [
        (lambda p, tau: p ** (1 / tau) / (p ** (1 / tau)).sum(axis=1, keepdims=True), "0 / 0 is nan"),
        (lambda p, tau: reheat_by_logits(p, 1 / tau), "likelier"),
        (lambda p, tau: p, "this is p again"),
        (lambda p, tau: p / tau / (p / tau).sum(axis=1, keepdims=True), "changes nothing"),
        (lambda p, tau: reheat_by_logits(np.exp(p), tau), "softmax wants logits"),
        (lambda p, tau: np.log(p) / tau, "take their softmax"),
        (reheat_with_a_little, "must stay impossible"),
        (lambda p, tau: reheat_by_logits(p + 1e-5, tau), "must stay impossible"),
        (reheat_all_at_once, "its own distribution"),
        (reheat_with_one_maximum, "one maximum for all rows"),
        (lambda p, tau: (lambda q: q / q.sum(1)[:, None])((p / np.max(p)) ** (1 / tau)), "one maximum"),
        (lambda p, tau: p ** (1 / tau) / (p ** (1 / tau)).sum(), "its own distribution"),
    ],
    "22.5": [
        (bigram, "more memory than one letter"),
        (trigram, "more memory, or better guesses"),
        (KneserNey(3, 0.3), "more memory, or better guesses"),
        (KneserNey(3), "Close"),
        (_forecast(_table(piles()[0], 0, 1), 1), "infinitely much"),
        (lambda prefix: np.full(27, 1 / 27), "same whatever the prefix"),
        (reads_nothing, "same whatever the prefix"),
        (lambda prefix: np.log(blend(prefix)), "Logits?"),
        (lambda prefix: "a", "gives 'a', it should give 27 probabilities"),
        (lambda prefix: dict(zip(LETTERS, blend(prefix), strict=True)), "it should give 27 probabilities"),
        (lambda prefix: 2 * blend(prefix), "adds up to 2"),
        (lambda prefix: blend(prefix)[1:], "26 numbers"),
        (lambda prefix: blend(prefix) * (np.nan if not prefix else 1), "nan or inf"),
        (lambda prefix: blend(prefix) * (2 if len(prefix) == 2 else 1), "add up to 1"),
        (lambda prefix: np.roll(blend(prefix), -1), "you have it last"),
        (by_heart, "too good to be true"),
        (blend("chr"), "should be a function"),
    ],
}
