"""Contests: exercises whose answer is a function that builds a network, which a judge trains and examines."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

import minidl
from minidl import data, nn, optim
from minidl.nn import functional as F
from minidl.train import evaluate, train_step


class Contest:
    """The judge of `build()`, which returns an untrained network of a limited size.

    Args:
        most: the most parameters that the network may have.
        form: form(untrained network) -> what is wrong with what it returns, or None.
        train: train(network) -> how well it does afterwards.
        verdict: verdict(number of parameters, how well it does) -> why that is not enough, or None.
        unit: what the notebook calls parameters.
    """

    def __init__(self, most: int, form: Callable, train: Callable, verdict: Callable, unit="parameters"):
        self.most, self.form, self.train, self.verdict, self.unit = most, form, train, verdict, unit
        self.measure = functools.cache(self._measure)  # praise asks again for what the judge has found

    def _measure(self, answer: Callable) -> tuple[int, float | str]:
        """(number of parameters, how well the trained network does or what is wrong before training)."""
        minidl.manual_seed(0)
        model = answer()
        if not isinstance(model, nn.Module):
            kind = type(model).__name__
            return 0, f"returns {kind}: build() must return an nn.Module, such as nn.Sequential"
        count = sum(parameter.numel() for parameter in model.parameters())
        if count > self.most:
            return count, f"{count:,} {self.unit}: at most {self.most:,} are allowed"
        if not count:
            return count, "this has no parameters, so there is nothing to train"
        return count, self.form(model) or self.train(model)

    def judge(self, answer: Callable) -> str | None:
        """What is wrong with an answer, or None."""
        if not callable(answer) or isinstance(answer, nn.Module):
            return "give the function build itself: it is called to get a fresh, untrained network"
        count, found = self.measure(answer)
        return found if isinstance(found, str) else self.verdict(count, found)


def ten_logits(model: nn.Module, shape: tuple[int, ...], says: str) -> str | None:
    """What is wrong with the outputs for three images of this shape, or None; `says` has a {shape} in it."""
    with minidl.no_grad():
        out = model(minidl.zeros(3, *shape))
    if out.shape != (3, 10):
        return says.format(shape=out.shape)
    if (out.numpy() >= 0).all() and np.allclose(out.numpy().sum(axis=1), 1, atol=1e-4):
        return (
            "the ten outputs are positive and add up to 1: return the logits, without a softmax."
            " The loss has one inside, and two flatten the slope"
        )
    return None


@functools.cache
def _piles(shape: tuple[int, ...]) -> tuple[data.TensorDataset, data.TensorDataset]:
    """The first 50,000 official training digits to learn from, the other 10,000 to judge by."""
    mnist = data.mnist()
    pixels, labels = (mnist.train_images.reshape(-1, *shape) / 255).astype("float32"), mnist.train_labels
    cut = slice(None, 50_000), slice(50_000, None)
    return tuple(data.TensorDataset(pixels[part], labels[part]) for part in cut)


def train_on_digits(model: nn.Module, shape: tuple, epochs: int, batch_size: int, lr: float) -> float:
    """Train on 50,000 digits, by Adam with a rate that falls to 0; the share of 10,000 others read right.

    shape: how the network gets one image, (784,) or (1, 28, 28).
    """
    learn, judge = _piles(shape)
    loader = data.DataLoader(learn, batch_size, shuffle=True)
    optimizer, step, steps = optim.Adam(model.parameters(), lr=lr), 0, epochs * len(loader)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
            train_step(model, x, y, optimizer, F.cross_entropy)
            step += 1
    return evaluate(model, data.DataLoader(judge, 1000))["accuracy"]
