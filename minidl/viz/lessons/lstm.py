"""Gates: the cell as a picture, the gates of an LSTM on a sequence that the learner edits, and figures."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike, NDArray

from minidl import nn

from ..controls import button, choice, slider
from ..picture import Picture
from ..theme import BLUE, DIVERGING, GREEN, GREY, INK, ORANGE, PURPLE, RED, SEQUENTIAL
from ..widget import Widget

# The cell


def cell() -> Picture:
    """The belt of the cell state on top, the three gates and the candidate below it."""
    picture = Picture(
        800,
        316,
        alt="""The cell state runs along a straight belt: it is multiplied by the forget gate, then the
        candidate times the input gate is added. Off the belt, tanh of it times the output gate is h.""",
    )
    belt, gates, inputs = 52, 204, 288  # heights of the belt, of the gates and of the line of inputs
    picture.line([40, 700], [belt, belt], BLUE, 5).arrow(690, belt, 762, belt, BLUE, 5)
    picture.text(40, belt - 16, "old c", bold=True, color=BLUE)
    picture.text(762, belt - 16, "new c", anchor="end", bold=True, color=BLUE)
    picture.line([40, 560], [inputs, inputs], GREY, 2)
    picture.text(40, inputs + 20, "input x, old h", 13)
    boxes = [(180, "f = σ", "forget gate"), (310, "i = σ", "input gate"), (430, "g = tanh", "candidate")]
    for x, formula, words in [*boxes, (560, "o = σ", "output gate")]:
        _box(picture, x, gates, formula, GREEN if words == "candidate" else ORANGE)
        picture.arrow(x, inputs, x, gates + 19, GREY)
        picture.text(x + 8, gates + 40, words, 13)
    picture.arrow(180, gates - 19, 180, belt + 15, ORANGE)
    picture.line([310, 310], [gates - 19, 128], ORANGE).arrow(310, 128, 356, 128, ORANGE)
    picture.line([430, 430], [gates - 19, 128], GREEN).arrow(430, 128, 384, 128, GREEN)
    picture.arrow(370, 114, 370, belt + 15, GREEN)
    picture.line([660, 660], [belt, 84], BLUE)
    _box(picture, 660, 102, "tanh", BLUE)
    picture.arrow(660, 121, 660, gates - 14, BLUE)
    picture.arrow(600, gates, 646, gates, ORANGE)
    picture.arrow(674, gates, 762, gates, INK)
    picture.text(762, gates - 10, "new h", anchor="end", bold=True)
    for x, y, sign in ((180, belt, "×"), (370, belt, "+"), (370, 128, "×"), (660, gates, "×")):
        picture.circle(x, y, 14, fill="#ffffff", stroke=INK, width=2)
        picture.text(x, y, sign, 18, "middle", "middle", color=INK, bold=True)
    return picture


def _box(picture: Picture, x: float, y: float, words: str, color: str) -> None:
    picture.rect(x - 40, y - 18, 80, 36, fill="#ffffff", stroke=color, width=2, radius=6)
    picture.text(x, y, words, 14, "middle", "middle", color=INK, bold=True)


# The gates of a layer


def gates(layer: nn.LSTM, x: ArrayLike) -> dict[str, NDArray]:
    """What happens inside one layer on one sequence x (T, D): i, f, g, o, c and h, each (T, H)."""
    weights = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
    w, u, b, d = (np.asarray(weight.detach().numpy(), float) for weight in weights)
    from_input = np.asarray(x, float) @ w.T + b + d
    h = c = np.zeros(layer.hidden_size)
    steps = []
    for row in from_input:
        i, f, g, o = np.split(row + u @ h, 4)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        steps.append((i, f, g, o, c, h))
    return dict(zip("ifgoch", map(np.array, zip(*steps, strict=True)), strict=True))


def _sigmoid(z: NDArray) -> NDArray:
    return 0.5 + 0.5 * np.tanh(0.5 * z)


# The gate theatre

LONGEST, FIRST_LENGTH = 60, 30  # steps
FIRST_SEED = 13  # its marked numbers are 0.29 and 0.78, apart enough to be told in the picture
LEFT, ACROSS, SIZE = 158, 600, (780, 608)  # pixels: the labels' room, the time axis, the picture
BARS = 26, 70  # top and height of the numbers
MARKS = 108  # the middle of the row of marks
ROW, GAP, FIRST_ROW = 52, 14, 128  # height of a row of units, room between two, top of the first
SHOWN = [  # what a row shows, its name, a word on its colours
    ("i", "input gate", "0 white, 1 dark"),
    ("f", "forget gate", "0 white, 1 dark"),
    ("o", "output gate", "0 white, 1 dark"),
    ("written", "written: i · g", "− orange, + blue"),
    ("c", "cell state c", "each on its own scale"),
]


def theatre(models: dict[str, nn.Module]) -> Widget:
    """When do the gates open? Numbers and marks to edit; the gates, the cell and the answer follow.

    Args:
        models: name -> a module with `.layer`, an nn.LSTM of two inputs, and `.out`, an nn.Linear.
    """
    names = list(models)
    state = SimpleNamespace(models=models, actor=names[0], length=FIRST_LENGTH, at=8)
    _restore(state)

    def select(state) -> None:
        state.place = min(state.at, state.length) - 1
        widget.controls["number"].value = round(float(state.numbers[state.place]), 2)

    def press(state, kind: str, px: float, py: float) -> None:
        if (place := _pressed(state, kind, px, py)) is not None:
            state.place = place
            widget.controls["at"].value = place + 1
            widget.controls["number"].value = round(float(state.numbers[place]), 2)

    controls = [
        choice("actor", "network", names, names[0]),
        slider("length", "length of the sequence", 4, LONGEST, FIRST_LENGTH, on_change=_resize),
        slider("at", "step to edit", 1, LONGEST, state.at, on_change=select),
        slider("number", "its number", 0.0, 1.0, state.number, 0.01, on_change=_edit),
        button("Mark or unmark it", _toggle),
        button("New numbers", _redraw),
    ]
    widget = Widget(
        state, _draw, controls, step=_step, reset=_restore, describe=_describe, on_pointer=press, fps=8
    )
    return widget


# The state: models, actor, length, numbers (LONGEST,), marks (LONGEST,), at (from 1) and place (from 0) of
# the step to edit, number, seed of the numbers, and now: how many steps have been read.


def _restore(state) -> None:
    state.seed = FIRST_SEED - 1
    _redraw(state)
    state.place = state.at - 1
    state.number = round(float(state.numbers[state.place]), 2)
    _to_the_end(state)


def _redraw(state) -> None:
    """New numbers, and a mark in each half."""
    state.seed += 1
    rng = np.random.default_rng(state.seed)
    state.numbers, state.marks = rng.random(LONGEST).round(2), np.zeros(LONGEST)
    half = state.length // 2
    state.marks[[rng.integers(0, half), rng.integers(half, state.length)]] = 1


def _to_the_end(state) -> None:
    state.now = state.length


def _resize(state) -> None:
    """A shorter sequence takes the marks beyond its end along; the reader stands at the end."""
    outside = np.flatnonzero(state.marks[state.length :]) + state.length
    free = np.flatnonzero(state.marks[: state.length] == 0)
    state.marks[outside] = 0
    state.marks[free[len(free) - min(len(outside), len(free)) :]] = 1
    _to_the_end(state)


def _edit(state) -> None:
    state.numbers[state.place] = state.number


def _toggle(state) -> None:
    state.marks[state.place] = 1 - state.marks[state.place]


def _step(state) -> None:
    """Read one step; from the end, begin anew."""
    state.now = 1 if state.now >= state.length else state.now + 1
    if state.now == state.length:
        raise StopIteration


def _pressed(state, kind: str, px: float, py: float) -> int | None:
    """Press or drag a bar to set its number, press below it to mark it. Returns the place, or None."""
    place = int((px - LEFT) // (ACROSS / state.length))
    if not 0 <= place < state.length or kind == "up":
        return None
    top, height = BARS
    if top - 8 <= py <= top + height + 2:
        state.numbers[place] = round(float(np.clip((top + height - py) / height, 0, 1)), 2)
    elif kind == "down" and abs(py - MARKS) < 10:
        state.marks[place] = 1 - state.marks[place]
    else:
        return None
    return place


def play(state) -> tuple[dict[str, NDArray], NDArray, NDArray]:
    """Gates and states (T, H), the answer after each step (T,), and the true sum so far (T,)."""
    model, x = state.models[state.actor], np.stack([state.numbers, state.marks], axis=1)[: state.length]
    inside = gates(model.layer, x)
    inside["written"] = inside["i"] * inside["g"]
    weight, bias = model.out.weight.detach().numpy()[0], float(model.out.bias.detach().numpy()[0])
    return inside, inside["h"] @ weight + bias, np.cumsum(x[:, 0] * x[:, 1])


def _describe(state) -> str:
    _, answers, sums = play(state)
    marks = int(state.marks[: state.length].sum())
    return (
        f"After step {state.now} of {state.length}: the answer is {answers[state.now - 1]:.2f},"
        f" the sum so far {sums[state.now - 1]:.2f}. {marks} mark{'' if marks == 1 else 's'} in the sequence."
    )


def _draw(state) -> Picture:
    picture = Picture(*SIZE)
    inside, answers, sums = play(state)
    _draw_numbers(picture, state)
    order = np.argsort(-np.abs(state.models[state.actor].out.weight.detach().numpy()[0]))
    for row, (key, name, colors) in enumerate(SHOWN):
        top = FIRST_ROW + row * (ROW + GAP)
        values = inside[key][: state.now, order].T
        signed = key in ("written", "c")
        reach = max(float(np.abs(values).max()), 1e-3) if signed else 1.0
        if key == "c":  # each cell on its own scale
            values = values / np.maximum(np.abs(values).max(axis=1, keepdims=True), 0.02 * reach)
            reach = 1.0
        box = (LEFT, top, ACROSS * state.now / state.length, ROW)
        colormap, low = (DIVERGING, -reach) if signed else (SEQUENTIAL, 0.0)
        picture.heatmap(values, box, colormap, low, reach)
        picture.rect(LEFT, top, ACROSS, ROW, opacity=0.4)
        picture.text(4, top + 20, name, 14, bold=True)
        picture.text(4, top + 38, colors, 12)
        for place in range(len(order)):
            middle = top + (place + 0.5) * ROW / len(order)
            picture.text(LEFT - 6, middle, place + 1, 11, "end", "middle")
    picture.text(LEFT - 6, FIRST_ROW - 8, "cell", 12, "end")
    _draw_answers(picture, state, answers, sums)
    return picture


def _draw_numbers(picture: Picture, state) -> None:
    (top, height), width = BARS, ACROSS / state.length
    picture.text(4, top + 20, "numbers", 14, bold=True)
    picture.text(4, top + 38, "0 to 1", 12)
    picture.text(4, MARKS, "marks", 14, valign="middle", bold=True)
    for place in range(state.length):
        left, marked = LEFT + place * width, bool(state.marks[place])
        tall = max(1.0, height * float(state.numbers[place]))
        color = ORANGE if marked else GREY
        picture.rect(left + 0.1 * width, top + height - tall, 0.8 * width, tall, fill=color, stroke="none")
        picture.circle(
            left + width / 2, MARKS, min(5.0, 0.4 * width), fill=ORANGE if marked else "none", stroke=color
        )
    at = LEFT + (min(state.place, state.length - 1) + 0.5) * width
    picture.polygon([at - 6, at + 6, at], [top - 14, top - 14, top - 4], fill=PURPLE)


def _draw_answers(picture: Picture, state, answers: NDArray, sums: NDArray) -> None:
    """What the network would answer if the sequence ended here, and the sum of the marks so far."""
    top = FIRST_ROW + len(SHOWN) * (ROW + GAP)
    height, width = 112, ACROSS / state.length
    high = max(1.5, float(sums[-1]) * 1.15, min(3.0, float(answers.max()) * 1.1))
    low = min(0.0, max(-1.0, float(answers.min())))

    def y(values):
        return np.clip(top + height - height * (np.asarray(values) - low) / (high - low), top, top + height)

    steps = LEFT + (np.arange(state.length) + 0.5) * width
    picture.rect(LEFT, top, ACROSS, height, opacity=0.4)
    for tick in np.arange(np.ceil(low), high, 1):
        picture.text(LEFT - 6, float(y(tick)), f"{tick:.0f}", 12, "end", "middle")
        picture.line([LEFT - 4, LEFT], [float(y(tick))] * 2, width=1)
    picture.line(steps[: state.now], y(sums[: state.now]), ORANGE, 2.5, dash=True)
    picture.line(steps[: state.now], y(answers[: state.now]), BLUE, 2.5)
    picture.points(steps[state.now - 1 : state.now], y(answers[state.now - 1 : state.now]), BLUE, 5)
    picture.text(4, top + 20, "answer, if it", 14, bold=True, color=BLUE)
    picture.text(4, top + 38, "ended here", 14, bold=True, color=BLUE)
    picture.text(4, top + 64, "sum so far", 14, bold=True, color=ORANGE)
    every = 5 if state.length > 12 else 1
    for step in range(every, state.length + 1, every):
        picture.text(float(steps[step - 1]), top + height + 6, step, 12, "middle", "top")
    picture.text(LEFT + ACROSS / 2, top + height + 24, "step", 14, "middle", "top")


# Static figures

COLORS = {"RNN": GREY, "LSTM": BLUE, "GRU": ORANGE}
NOTHING = 1 / 6  # the error of the best constant


def plot_task(x: NDArray, runs: list[list[float]], every: int) -> plt.Figure:
    """One sequence (T, 2) of numbers and marks; beside it the error of a network, `every` so many steps."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), width_ratios=[1.25, 1])
    marked = x[:, 1] > 0
    left.bar(np.arange(len(x)), x[:, 0], color=np.where(marked, ORANGE, "#b0b0b0"), width=0.8)
    left.set(title="Add the two marked numbers", xlabel="step t", ylabel="number", ylim=(0, 1.05))
    for run, style in zip(runs, ("-", "--", ":"), strict=False):
        right.plot(every * np.arange(len(run)), run, style, color=GREY)
    right.axhline(NOTHING, color=RED, linewidth=1)
    right.text(1000, NOTHING + 0.022, "the best constant", color=RED, ha="right")
    right.set(title="The RNN learns nothing", xlabel="training step", ylabel="error (MSE)", ylim=(0, 0.4))
    return fig


def plot_gradients(arrived: dict[str, NDArray]) -> plt.Figure:
    """How much of the gradient arrives at each step: name -> (T,), the last step first in size."""
    fig, ax = plt.subplots(figsize=(7.4, 3.7))
    styles = [(GREY, "-"), (ORANGE, "-"), (BLUE, ":"), (BLUE, "-"), (BLUE, "--")]
    for (name, size), (color, line) in zip(arrived.items(), styles, strict=False):
        seen = size > 0  # what underflows has no place on this axis
        ax.semilogy(np.flatnonzero(seen) + 1, size[seen] / size[-1], line, color=color, label=name)
    ax.set(title="Before training: what arrives of the last step's gradient", xlabel="step t")
    ax.set(ylabel="|dL/dx at t| / |dL/dx at T|", ylim=(1e-20, 10))
    ax.legend(loc="lower right")
    return fig


def plot_errors(runs: dict[tuple[str, int], list[list[float]]], every: int) -> plt.Figure:
    """The held-out error of each run: (model, T) -> runs, measured `every` so many steps."""
    lengths = sorted({length for _, length in runs})
    fig, panels = plt.subplots(1, len(lengths), figsize=(8, 3.4), sharey=True)
    for ax, length in zip(panels, lengths, strict=True):
        for (name, T), curves in runs.items():
            for index, curve in enumerate(curves if T == length else []):
                label = name if index == 0 else "_"
                ax.plot(every * np.arange(len(curve)), curve, color=COLORS[name], label=label)
                ax.plot(every * (len(curve) - 1), curve[-1], "o", color=COLORS[name], markersize=5)
        ax.axhline(NOTHING, color=RED, linewidth=1)
        ax.set_title(f"T = {length}", fontweight="normal")
        ax.set(xlabel="training step", yscale="log", ylim=(0.002, 1.2))
    panels[0].set_ylabel("error on held-out sequences (MSE)")
    panels[0].legend(loc="lower right")
    fig.suptitle(
        "A long shelf, then a fall; for the RNN no fall", fontsize=12, fontweight="bold", x=0.01, ha="left"
    )
    return fig


def plot_starts(steps: dict[str, list[float]], most: int) -> plt.Figure:
    """Training steps until the problem was solved, a dot for each seed; inf: not within `most`."""
    fig, ax = plt.subplots(figsize=(7.4, 2.9))
    for row, counts in enumerate(steps.values()):
        for seed, count in enumerate(counts):
            done = np.isfinite(count)
            place = (min(count, most), row + 0.16 * (seed - 1))
            ax.plot(*place, "o" if done else "x", color=BLUE if done else RED, markersize=9, mew=2)
    ax.set(yticks=range(len(steps)), yticklabels=list(steps), xlim=(0, 1.06 * most))
    ax.set(
        title="How an LSTM starts decides when it learns",
        xlabel=f"training steps until solved (a dot is a seed; × not within {most:,})",
    )
    ax.invert_yaxis()
    return fig


def plot_forecasts(
    level: NDArray,
    by_level: list[NDArray],
    by_change: list[NDArray],
    spots: NDArray,
    sun: list[NDArray],
    line: NDArray,
) -> plt.Figure:
    """The test years of two series, and three forecasts of each: CO2 to the end of 2001, sunspots to 2008."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.5))
    months, years = 2002 - np.arange(len(level), 0, -1) / 12, 2009 - np.arange(len(spots), 0, -1)
    _plot_forecast(
        left, months, level, {"LSTM on levels": (by_level, ORANGE), "LSTM on changes": (by_change, BLUE)}
    )
    left.set(title="CO₂: levels it never saw", xlabel="year", ylabel="CO₂ (ppm)", ylim=(345, 385))
    _plot_forecast(right, years, spots, {"LSTM": (sun, BLUE), "line, 9 years": ([line], ORANGE)})
    right.set(title="Sunspots: the line mostly wins", xlabel="year", ylabel="sunspot number", ylim=(0, 300))
    return fig


def _plot_forecast(
    ax, time: NDArray, truth: NDArray, forecasts: dict[str, tuple[list[NDArray], str]]
) -> None:
    ax.plot(time, truth, color="#a8a8a8", linewidth=4, label="measured")
    for name, (runs, color) in forecasts.items():
        for index, run in enumerate(runs):
            ax.plot(time, run, color=color, linewidth=1.2, label=name if index == 0 else "_")
    ax.legend(loc="upper left")
