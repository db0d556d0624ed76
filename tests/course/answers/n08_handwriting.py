"""Notebook 08: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import math

import numpy as np

from minidl import nn, tensor
from minidl.nn import functional as F


def softmax_by_loops(z):
    rows = []
    for row in z:
        e = [math.exp(value - max(row)) for value in row]
        rows.append([value / sum(e) for value in e])
    return rows


def softmax_of_minidl(z):
    return F.softmax(tensor(np.asarray(z, "float64")), dim=1)


def cross_entropy_by_loops(z, y):
    total = 0.0
    for row, label in zip(z, y, strict=True):
        top = max(row)
        total += top + math.log(sum(math.exp(value - top) for value in row)) - row[label]
    return total / len(y)


def cross_entropy_by_logaddexp(z, y):
    return float(np.mean(np.logaddexp.reduce(z, axis=1) - np.take_along_axis(z, y[:, None], 1)[:, 0]))


def cross_entropy_by_floor(z, y, floor):
    return -np.log(np.maximum(softmax_of_minidl(z).numpy()[range(len(y)), y], floor)).mean()


def recall_by_loops(confusion):
    recall, precision = [], []
    for i, row in enumerate(confusion):
        called = sum(other[i] for other in confusion)
        recall.append(row[i] / sum(row))
        precision.append(row[i] / called if called else 0)
    return [recall, precision]


def split_by_sorting(labels, share, generator):
    order = generator.permutation(len(labels))
    training, validation = [], []
    for label in sorted(set(labels.tolist())):
        places = [int(i) for i in order if labels[i] == label]
        cut = round(share * len(places))
        validation += places[:cut]
        training += places[cut:]
    return training, validation


def split_plainly(labels, share, generator):
    order = generator.permutation(len(labels))
    cut = round(share * len(labels))
    return order[cut:], order[:cut]


def split_the_first(labels, share, generator):
    training, validation = [], []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        cut = round(share * len(places))
        training, validation = [*training, *places[cut:]], [*validation, *places[:cut]]
    return training, validation


def split_overlapping(labels, share, generator):
    training, validation = split_by_sorting(labels, share, generator)
    return training + validation, validation


def split_by_two_draws(labels, share, generator):
    _, validation = split_by_sorting(labels, share, generator)
    training, _ = split_by_sorting(labels, share, generator)
    return training, validation


def split_forgetting(labels, share, generator):
    training, validation = split_by_sorting(labels, share, generator)
    return training[:-5], validation


def split_by_floor(labels, share, generator):
    places = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    cuts = [int(share * len(part)) for part in places]
    pairs = list(zip(places, cuts, strict=True))
    return np.concatenate([p[cut:] for p, cut in pairs]), np.concatenate([p[:cut] for p, cut in pairs])


def split_within_classes(labels, share, generator):
    training, validation = [], []
    for count in np.bincount(labels):
        order = generator.permutation(count)
        training += order[round(share * count) :].tolist()
        validation += order[: round(share * count)].tolist()
    return training, validation


def split_with_own_dice(labels, share, generator):
    return split_by_sorting(labels, share, np.random.default_rng())


def split_fixed(labels, share, generator):
    return split_by_sorting(labels, share, np.random.default_rng(0))


class EveryOther(nn.Module):
    """Every other pixel of every other row."""

    def forward(self, x):
        return x.reshape(len(x), 28, 28)[:, 1::2, 1::2].reshape(len(x), 196)


class Probabilities(nn.Module):
    def forward(self, x):
        return F.softmax(x, dim=1)


class Blocks(nn.Module):
    """The mean of each 2 x 2 pixels, then one wide layer."""

    def __init__(self):
        self.hidden, self.out = nn.Linear(196, 92), nn.Linear(92, 10)

    def forward(self, x):
        x = x.reshape(len(x), 28, 28)
        x = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
        return self.out(F.relu(self.hidden(0.75 * x.reshape(len(x), 196) - 0.4)))


def plain(hidden):
    return nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))


RIGHT = {
    "08.1": [softmax_by_loops, softmax_of_minidl],
    "08.2": [cross_entropy_by_loops, cross_entropy_by_logaddexp],
    "08.3": [recall_by_loops],
    "08.4": [split_by_sorting],
    "08.5": [Blocks],
}

WRONG = {
    "08.1": [
        (lambda z: np.exp(z) / np.exp(z).sum(1)[:, None], "inf / inf is nan"),
        (lambda z: np.exp(z - z.max(1)[:, None]), "do not add up to 1"),
        (lambda z: np.array(softmax_by_loops(z.T)).T, "axis 1"),
        (lambda z: softmax_by_loops(z / np.abs(z).max()), "subtract instead"),
        (lambda z: np.array(softmax_by_loops(z)) * 2, "factor"),
        (lambda z: np.exp(z - np.max(z)) / np.exp(z - np.max(z)).sum(1, keepdims=True), "its own maximum"),
    ],
    "08.2": [
        (lambda z, y: math.log2(math.e) * cross_entropy_by_loops(z, y), "in bits"),
        (lambda z, y: cross_entropy_by_loops(z, y) * len(y), "the mean is asked"),
        (lambda z, y: -cross_entropy_by_loops(z, y), "the minus is missing"),
        (
            lambda z, y: -np.log(softmax_of_minidl(z).numpy()[range(len(y)), y]).mean(),
            "underflows to 0",
        ),
        (lambda z, y: F.softmax(tensor(z), dim=1).numpy()[range(len(y)), y].mean(), "gives"),
        (lambda z, y: cross_entropy_by_floor(z, y, 1e-7), "booked as 16"),
        (lambda z, y: cross_entropy_by_floor(z, y, 1e-300), "booked as 691"),
        (
            lambda z, y: np.mean([np.log(np.exp(a).sum()) - a[k] for a, k in zip(z, y, strict=True)]),
            "in the sum overflows",
        ),
        (lambda z, y: cross_entropy_by_loops(z, y) - z.max(1).mean(), "both must move"),
    ],
    "08.3": [
        (lambda c: recall_by_loops(c)[::-1], "swapped"),
        (lambda c: (np.diag(c) / c.sum(1), np.diag(c) / c.sum(0)), "0 / 0"),
        (lambda c: (np.trace(c) / c.sum(), np.trace(c) / c.sum()), "this is the accuracy"),
    ],
    "08.4": [
        (split_plainly, "split class by class"),
        (split_the_first, "its first examples"),
        (split_overlapping, "in both piles"),
        (split_by_two_draws, "in both piles"),
        (split_forgetting, "each must be in one pile"),
        (split_with_own_dice, "the second time"),
        (split_fixed, "another generator"),
        (lambda labels, share, generator: split_by_sorting(labels, share, generator)[::-1], "swapped"),
        (lambda labels, share, generator: split_by_sorting(labels, share, generator)[0], "return two things"),
        (lambda labels, share, generator: split_by_sorting(labels, 0.5, generator), "instead of"),
        (split_by_floor, "always go down"),
        (split_within_classes, "within each class"),
        (
            lambda labels, share, g: [labels[part] for part in split_by_sorting(labels, share, g)],
            "the labels",
        ),
        (lambda labels, share, generator: print(share), "is a `return` missing?"),
    ],
    "08.5": [
        (lambda: plain(25), "the bar is 96.5%"),
        (lambda: plain(26), "at most 20,000"),
        (lambda: nn.Sequential(plain(10), Probabilities()), "without a softmax"),
        (lambda: nn.Sequential(EveryOther(), nn.Linear(196, 9)), "ten logits"),
        (lambda: nn.Linear, "must return an nn.Module"),
        (lambda: EveryOther(), "no parameters"),
        (plain(25), "build itself"),
    ],
}
