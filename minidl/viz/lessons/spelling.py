"""A network that learns to spell, and the names that it would write at this moment."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

import minidl
from minidl import nn, optim, tensor
from minidl.nn import functional as F

from ..controls import button, choice, slider, toggle
from ..picture import Picture
from ..theme import BLUE, GREY, ORANGE
from ..widget import Widget

BATCH, NAMES, LONGEST = 32, 14, 14  # names in a batch; names shown, and the most letters of one
EVERY = 100  # steps between two looks at the validation names
SMOOTH = 0.97  # how much of the running mean of the loss is kept at a step


def naming(
    build: Callable,
    sample: Callable,
    training: tuple[NDArray, NDArray],
    validation: tuple[NDArray, NDArray],
    known: set[str],
    tables: dict[str, float],
) -> Widget:
    """Names appear as it learns. Names it has read are grey, its own inventions blue.

    Args:
        build: build(hidden_size) -> a module from letters (T, N) to logits (T, N, 27).
        sample: sample(model, dice (n, longest), temperature) -> n names.
        training, validation: letters read (T, N), and letters wanted (T, N), -1 after the end.
        known: the training names.
        tables: validation losses of other models, as lines in the picture.
    """
    given = {"training": training, "validation": [part[:, :300] for part in validation]}
    state = SimpleNamespace(build=build, sample=sample, known=known, tables=tables, **given)
    controls = [
        choice("hidden", "hidden units", (4, 16, 64, 128), 64, on_change=_start),
        slider("lr", "learning rate", 0.0003, 0.3, 0.01, log=True),
        slider("temperature", "temperature", 0.1, 2.0, 0.8, 0.05),
        toggle("clip", "clip gradients to length 1", True),
        button("New dice", _throw),
        button("New weights", _new_weights),
    ]
    state.hidden = 64
    _restore(state)
    return Widget(
        state, _draw, controls, step=_step, reset=_restore, describe=_describe, fps=20, steps_per_frame=3
    )


# The state: the controls' hidden, lr, temperature, clip; seed and dice (NAMES, LONGEST); model, optimizer,
# step, mean (the running mean of the training loss), losses and checks as (step, nats).


def _restore(state) -> None:
    state.seed, state.throw = 0, 0
    _start(state)
    state.dice = np.random.default_rng(0).random((NAMES, LONGEST))


def _start(state) -> None:
    minidl.manual_seed(state.seed)
    state.rng = np.random.default_rng(state.seed)
    state.model = state.build(state.hidden)
    state.optimizer = optim.Adam(state.model.parameters(), lr=0.01)
    state.step, state.mean, state.losses, state.checks = 0, math.log(27), [], []
    _examine(state)


def _new_weights(state) -> None:
    state.seed += 1
    _start(state)


def _throw(state) -> None:
    state.throw += 1
    state.dice = np.random.default_rng(state.throw).random((NAMES, LONGEST))


def _loss(model, read: NDArray, wanted: NDArray):
    return F.cross_entropy(model(read).reshape(-1, 27), tensor(wanted.ravel()), ignore_index=-1)


def _examine(state) -> None:
    with minidl.no_grad():
        state.checks.append((state.step, _loss(state.model, *state.validation).item()))


def _step(state) -> None:
    """One batch of names, one step of Adam."""
    read, wanted = (part[:, chosen] for chosen in [_chosen(state)] for part in state.training)
    longest = int((wanted >= 0).any(axis=1).sum())
    loss = _loss(state.model, read[:longest], wanted[:longest])
    state.optimizer.zero_grad()
    loss.backward()
    if state.clip:
        nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimizer.param_groups[0]["lr"] = state.lr
    state.optimizer.step()
    state.step += 1
    state.mean = SMOOTH * state.mean + (1 - SMOOTH) * loss.item()
    if state.step % 5 == 0:
        state.losses.append((state.step, state.mean))
    if state.step % EVERY == 0:
        _examine(state)


def _chosen(state) -> NDArray:
    return state.rng.integers(0, state.training[0].shape[1], BATCH)


def written(state) -> list[str]:
    """The names that the network writes now, always with the same dice."""
    return state.sample(state.model, state.dice, state.temperature)


def _describe(state) -> str:
    beaten = [name for name, value in state.tables.items() if state.checks[-1][1] < value]
    return (
        f"Step {state.step}: the last validation loss is {state.checks[-1][1]:.2f} nats a letter, below"
        f" {', '.join(beaten) if beaten else 'none of the tables'}. It writes"
        f" {', '.join(written(state)[:3])} ..."
    )


def _draw(state) -> Picture:
    picture = Picture(780, 390)
    end = max(500, 1.05 * state.step)
    axes = picture.axes(
        (0, 0, 450, 390), (0, end), (1.8, 3.4), "training step", "loss (nats a letter)", "How well it spells"
    )
    for name, value in state.tables.items():
        axes.line([0, end], [value, value], ORANGE, 1.5)
        axes.text(0.985 * end, value + 0.02, name, 12, "end", color=ORANGE)
    if state.losses:
        axes.line(*np.array(state.losses).T, GREY, 1.5)
    axes.line(*np.array(state.checks).T, BLUE, 2).points(*np.array(state.checks).T, BLUE, 3)
    axes.legend({"validation": BLUE, "training, smoothed": GREY})
    picture.text(478, 22, f"What it writes, temperature {state.temperature:.2f}", 14, bold=True)
    for place, name in enumerate(written(state)):
        old = name in state.known
        y = 52 + 23 * place
        picture.text(478, y, name.capitalize() or "(nothing)", 16, color=GREY if old else BLUE, bold=not old)
    picture.text(640, 52, "blue: new", 13, color=BLUE, bold=True)
    picture.text(640, 72, "grey: a name", 13, color=GREY)
    picture.text(640, 90, "it has read", 13, color=GREY)
    return picture
