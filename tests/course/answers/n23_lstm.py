"""Notebook 23: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import math

import numpy as np

import minidl
from minidl import nn, tensor
from minidl.course.exercises.n23_lstm import WARDS


def nothing_by_loops(marks, low, high):
    mean = variance = 0.0
    for _ in range(marks):
        mean += low + (high - low) / 2
        variance += (high**3 - low**3) / 3 / (high - low) - ((high + low) / 2) ** 2
    return [mean, variance]


def nothing_by_numpy(marks, low, high):
    u = np.linspace(low, high, 100_001)
    u = (u[1:] + u[:-1]) / 2
    return marks * u.mean(), marks * u.var()


def nothing_by_dice(marks, low, high):
    sums = np.random.default_rng(0).uniform(low, high, (10**5, marks)).sum(1)
    return sums.mean(), sums.var()


def gru_by_minidl(x, h, W, U, b, d):
    cell = nn.GRUCell(x.shape[1], h.shape[1], dtype=minidl.float64)
    cell.load_state_dict({"weight_ih": W, "weight_hh": U, "bias_ih": b, "bias_hh": d})
    return cell(tensor(x), tensor(h))


def gru_by_loops(x, h, W, U, b, d):
    H, new = h.shape[1], np.empty_like(h)

    def squash(value):
        return (math.tanh(value / 2) + 1) / 2

    for row in range(len(x)):
        from_x, from_h = W @ x[row] + b, U @ h[row] + d
        for j in range(H):
            r, z = (squash(from_x[j + k * H] + from_h[j + k * H]) for k in (0, 1))
            n = math.tanh(from_x[j + 2 * H] + r * from_h[j + 2 * H])
            new[row, j] = n + z * (h[row, j] - n)
    return new


def gru_of_the_paper(x, h, W, U, b, d):
    swapped = [np.concatenate([np.split(a, 3)[k] for k in (1, 0, 2)]) for a in (W, U, b, d)]
    return gru_by_loops(x, h, *swapped)


def gru_one_minus(x, h, W, U, b, d):
    H = h.shape[1]
    signs = np.r_[np.ones(H), -np.ones(H), np.ones(H)]  # σ(-a) = 1 - σ(a)
    return gru_by_loops(x, h, W * signs[:, None], U * signs[:, None], b * signs, d * signs)


def gru_not_transposed(x, h, W, U, b, d):
    return np.split(x @ W + b, 3, axis=1)[0]


def gru_in_place(x, h, W, U, b, d):
    h[...] = gru_by_loops(x, h, W, U, b, d)
    return h


def along_by_cumprod(f):
    return np.concatenate([np.cumprod(f[:0:-1], axis=0)[::-1], np.ones((1, f.shape[1]))])


def along_by_prod(f):
    return [f[t + 1 :].prod(axis=0) for t in range(len(f))]


def along_by_division(f):
    return np.cumprod(f, axis=0)[-1] / np.cumprod(f, axis=0)


def along_in_place(f):
    for t in range(len(f) - 2, -1, -1):
        f[t] = f[t] * f[t + 1]
    return f


def start_sly(lstm):
    """The weights of the cell by hand, in unit 0; its readout has still to be found."""
    H = lstm.hidden_size
    with minidl.no_grad():
        for weight in lstm.parameters():
            weight *= 0
        lstm.weight_ih_l0[:H, 1] += 40
        lstm.bias_ih_l0[:H] -= 20
        lstm.bias_ih_l0[H : 2 * H] += 20
        lstm.weight_ih_l0[2 * H : 3 * H, 0] += 0.3
        lstm.bias_ih_l0[3 * H :] += 20


def start_closed(lstm):
    with minidl.no_grad():
        lstm.bias_ih_l0[:16] -= 4
        lstm.bias_ih_l0[16:32] += 4


def start_with_one(lstm):
    with minidl.no_grad():
        lstm.bias_ih_l0[16:32] += 1


def start_wrong_rows(lstm):
    with minidl.no_grad():
        lstm.bias_ih_l0[:16] += 4
        lstm.bias_ih_l0[16:32] -= 4


def start_on_a_copy(lstm):
    return lstm.bias_ih_l0.detach().numpy() + 1


def start_without_end(lstm):
    with minidl.no_grad():
        lstm.bias_ih_l0[16:32] += tensor(np.log(np.arange(16) * 6.6).astype("float32"))


RIGHT = {
    "23.1": [nothing_by_loops, nothing_by_numpy],
    "23.2": [gru_by_minidl, gru_by_loops],
    "23.3": [along_by_cumprod, along_by_prod],
    "23.4": [WARDS, [word.upper() + " " for word in WARDS], np.array(WARDS)],
    "23.5": [start_sly],
}

WRONG = {
    "23.1": [
        (lambda marks, low, high: nothing_by_loops(marks, low, high)[::-1], "the constant comes first"),
        (lambda marks, low, high: nothing_by_loops(marks, low, high)[1], "return the constant too"),
        (lambda marks, low, high: (marks * (low + high) / 2, (high - low) ** 2 / 12), "one number"),
        (
            lambda marks, low, high: (marks * (low + high) / 2, (marks * (high - low)) ** 2 / 12),
            "square of the marks",
        ),
        (
            lambda marks, low, high: (marks * (low + high) / 2, nothing_by_loops(marks, low, high)[1] ** 0.5),
            "standard deviation",
        ),
        (lambda marks, low, high: (marks / 2, marks / 12), "expected"),
        (nothing_by_dice, "expected"),
    ],
    "23.2": [
        (gru_of_the_paper, "you take z first"),
        (gru_one_minus, "exchanged"),
        (gru_not_transposed, "raises ValueError"),
        (gru_in_place, "changes its second argument in place"),
        (lambda *case: gru_by_loops(*case).T, "transposed"),
        (lambda x, h, W, U, b, d: np.tanh(gru_by_loops(x, h, W, U, b, d)), "one too many"),
    ],
    "23.3": [
        (lambda f: np.cumprod(f[::-1], axis=0)[::-1], "one gate too many"),
        (lambda f: np.cumprod(f, axis=0), "from the first step on"),
        (along_by_division, "0 / 0 is nan"),
        (along_in_place, "changes its first argument in place"),
        (lambda f: along_by_cumprod(f)[::-1], "in reverse"),
        (lambda f: along_by_cumprod(f)[0], "first row alone"),
        (lambda f: 1 - along_by_cumprod(f), "differ"),
    ],
    "23.4": [
        (["none", "none", "none", "none"], "forecaster A: not 'none'"),
        (["smooth", "peek", "shuffle", "scale"], "forecaster B: not 'peek'"),
        (["smooth", "none", "none", "scale"], "forecaster C: not 'none'"),
        (["smooth", "none", "shuffle", "none"], "forecaster D: not 'none'"),
        (["smooth", "none", "shuffle"], "four words"),
        ("smooth", "four words"),
        (["smooth", "none", "shuffle", "flu"], "not on the list"),
    ],
    "23.5": [
        (start_with_one, "below 0.01 is asked"),
        (start_wrong_rows, "below 0.01 is asked"),
        (start_on_a_copy, "leaves all weights as they were"),
        (start_without_end, "nan or inf"),
        (0.5, "should be a function"),
    ],
}
