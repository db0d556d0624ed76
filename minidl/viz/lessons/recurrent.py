"""Recurrent networks: the unrolled graph, how much of a gradient comes back through it, and figures."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from ..controls import button, choice, slider
from ..picture import Picture
from ..theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SEQUENTIAL
from ..widget import Widget

# The unrolled graph, as a still picture


def unrolled(word: str = "emma") -> Picture:
    """The network as a loop on the left; on the right the same, once for each letter of a word."""
    picture = Picture(
        800,
        330,
        alt="""Left, one box h with a loop U. Right, the loop unrolled: five boxes in a row, joined by U; each
        reads a letter from below through W and forecasts the next one above through V.""",
    )
    top, middle, bottom = 70, 172, 282
    read, wanted = f".{word}", f"{word}."
    _column(picture, 74, "x", "o", "h", labels=True)
    loop = 128  # height of the way back
    picture.line([96, 130, 130, 20, 20, 40], [middle, middle, loop, loop, middle, middle], ORANGE, 3)
    picture.arrow(36, middle, 50, middle, ORANGE, 3)
    picture.text(138, loop + 8, "U", 16, bold=True, color=ORANGE)
    picture.text(186, middle, "=", 26, "middle", "middle", bold=True)
    places = np.linspace(310, 745, len(read))
    for t, (x, letter, following) in enumerate(zip(places, read, wanted, strict=True)):
        _column(picture, x, letter, following, f"h{_below(t + 1)}")
        before = 222 if t == 0 else places[t - 1] + 24
        picture.arrow(before, middle, x - 24, middle, ORANGE, 3)
        picture.text(
            (before + x) / 2 - 14 * (t == 0),
            middle - 12,
            "h₀ = 0" if t == 0 else "U",
            15,
            "middle",
            bold=True,
            color=ORANGE,
        )
    picture.text(310 - 34, bottom + 34, "it reads ...", 13)
    picture.text(310 - 34, top - 40, "... and should say", 13, color=GREEN, bold=True)
    return picture


def _column(picture: Picture, x: float, reads: str, says: str, state: str, labels: bool = False) -> None:
    top, middle, bottom = 70, 172, 282
    picture.arrow(x, bottom - 18, x, middle + 24, BLUE, 2.5)
    picture.arrow(x, middle - 22, x, top + 18, GREEN, 2.5)
    picture.rect(x - 22, middle - 22, 44, 44, fill="#ffffff", stroke=ORANGE, width=2, radius=6)
    picture.text(x, middle, state, 16, "middle", "middle", color=INK, bold=True)
    picture.text(x, bottom, reads, 18, "middle", "middle", color=BLUE, bold=True)
    picture.text(x, top, says, 18, "middle", "middle", color=GREEN, bold=True)
    if labels:
        picture.text(x - 12, (middle + bottom) / 2 + 4, "W", 16, "end", "middle", bold=True, color=BLUE)
        picture.text(x - 12, (top + middle) / 2 - 10, "V", 16, "end", "middle", bold=True, color=GREEN)


def _below(number: int) -> str:
    return "".join(chr(ord("₀") + int(digit)) for digit in str(number))


# How much of the gradient arrives

UNITS = 24
MATRICES = ("orthogonal", "random", "triangular")


def recurrent_matrix(kind: str, rho: float, seed: int = 0, units: int = UNITS) -> NDArray:
    """A matrix (units, units) with spectral radius rho.

    "orthogonal" turns and mirrors, then scales by rho; "random" has normal entries; "triangular" passes
    things on to lower units only, and has rho all along its diagonal.
    """
    drawn = np.random.default_rng(seed).normal(size=(units, units))
    if kind == "orthogonal":
        return rho * np.linalg.qr(drawn)[0]
    if kind == "random":
        return rho * drawn / np.abs(np.linalg.eigvals(drawn)).max()
    return rho * (np.eye(units) + 0.3 * np.tril(drawn, -1) / np.sqrt(units))


def arriving(U: NDArray, steps: int, bend: bool, drive: float = 0.5, seed: int = 0) -> NDArray:
    """The norm of dh_T/dh_(T-k) for k = 0 ... steps, T = steps: at most that share of a gradient arrives.

    Args:
        U: recurrent matrix (H, H).
        bend: tanh, or no activation.
        drive: the spread of what the inputs add to each sum.
    """
    rng, h, slopes = np.random.default_rng(seed), np.zeros(len(U)), []
    for _ in range(steps):
        z = U @ h + drive * rng.normal(size=len(U))
        h = np.tanh(z) if bend else z
        slopes.append(1 - h**2 if bend else np.ones(len(U)))
    product, norms = np.eye(len(U)), [1.0]
    for slope in reversed(slopes):
        product = product @ (slope[:, None] * U)  # the Jacobian of a step: diag(slope) U
        norms.append(np.linalg.norm(product, 2))
    return np.array(norms)


def gradient_walk() -> Widget:
    """How much of the gradient arrives, so many steps back? The unrolled graph, the product of Jacobians."""
    state = SimpleNamespace()
    controls = [
        slider("rho", "spectral radius ρ", 0.5, 1.5, 0.9, 0.01, on_change=_solve),
        slider("steps", "steps T", 5, 50, 30, on_change=_solve),
        choice("matrix", "matrix U", MATRICES, "random", on_change=_solve),
        choice("bend", "activation", {"none (linear)": False, "tanh": True}, False, on_change=_solve),
        slider("drive", "input strength (tanh)", 0.0, 2.0, 0.5, 0.05, on_change=_solve),
        button("New weights", _redraw),
    ]
    for control in controls:
        if control.name:
            setattr(state, control.name, control.value)
    _restore(state)
    return Widget(state, _draw, controls, step=_step_back, reset=_restore, describe=_describe, fps=8)


# The state: rho, steps, matrix, bend, drive (the controls), seed, norms (steps + 1,), and back: how far the
# gradient has walked.


def _restore(state) -> None:
    state.seed = 0
    _solve(state)


def _redraw(state) -> None:
    state.seed += 1
    _solve(state)


def _solve(state) -> None:
    U = recurrent_matrix(state.matrix, state.rho, state.seed)
    state.norms = arriving(U, state.steps, state.bend, state.drive, state.seed)
    state.back = state.steps


def _step_back(state) -> None:
    """One step back; from the beginning, start anew at the end."""
    state.back = 0 if state.back >= state.steps else state.back + 1
    if state.back == state.steps:
        raise StopIteration


def amount(share: float) -> str:
    """A share for people: "12%", "3.4 times", "2e-07"."""
    if share >= 0.995:
        return f"{share:.3g} times" if share < 1000 else f"{share:.0e} times"
    return f"{100 * share:.2g}%" if share > 1e-4 else f"{share:.0e}"


def _describe(state) -> str:
    steps, share = "1 step" if state.back == 1 else f"{state.back} steps", state.norms[state.back]
    network = f"ρ = {state.rho:.2f}, {state.matrix} U, {'tanh' if state.bend else 'linear'}: {steps} back"
    of = "" if share >= 0.995 else " of"
    return (
        f"{network}, the gradient has at most {amount(share)}{of} its size;"
        f" ρ to the power of {state.back} is {amount(state.rho**state.back)}."
    )


def _draw(state) -> Picture:
    picture = Picture(780, 480)
    left, right, y = 62, 742, 76
    gap = (right - left) / state.steps
    r = min(13.0, 0.36 * gap)
    for k in range(state.steps + 1):
        x, seen = right - k * gap, k <= state.back
        share = float(state.norms[k]) if seen else 0.0
        if k < state.steps:
            picture.line([x - gap + r, x - r], [y, y], GREY, 1)
        if k < state.back:
            picture.line([x - gap + r, x - r], [y, y], _color(state.norms[k + 1]), _width(state.norms[k + 1]))
        picture.circle(x, y, r, fill="#ffffff", stroke=GREY, width=1)
        if seen:
            picture.circle(x, y, r, fill=_color(share), stroke="none", opacity=_ink(share))
    picture.text(right + r, 22, "the loss: step T", 14, "end", bold=True)
    picture.arrow(right, 30, right, y - r - 3)
    at = right - state.back * gap
    if state.back > 5:
        picture.text(max(at - r, 4), y + r + 24, f"{state.back} steps back", 14, bold=True)
    picture.text(left - r, 22, "first state", 14)
    picture.text(330, 22, "the gradient walks this way", 14, "middle", color=ORANGE, bold=True)
    picture.arrow(230, 38, 170, 38, ORANGE, 2.5)
    picture.text(330, 44, "red: above 1", 14, "middle", color=RED, bold=True)
    _draw_norms(picture, state)
    return picture


def _color(share: float) -> str:
    return RED if share > 1.05 else ORANGE


def _ink(share: float) -> float:
    """Full colour for 1 and more, none for a ten-thousandth."""
    return float(np.clip(1 + np.log10(max(share, 1e-12)) / 4, 0, 1))


def _width(share: float) -> float:
    return 1 + 5 * _ink(share)


def _draw_norms(picture: Picture, state) -> None:
    back = np.arange(state.steps + 1)
    axes = picture.axes(
        (0, 130, 780, 350),
        (1.02 * state.steps, -0.02 * state.steps),
        (1e-8, 1e4),
        "steps back",
        "share that arrives",
        "Norm of the product of the Jacobians",
        log="y",
    )
    axes.line(back, np.ones(len(back)), GREY, 1)
    walked = back[: state.back + 1]
    axes.line(walked, state.norms[: state.back + 1], BLUE, 4)
    axes.line(back, state.rho**back, None, 2, dash=True)
    axes.points(walked[-1:], np.clip(state.norms[state.back : state.back + 1], 1.2e-8, 8e3), BLUE, 6)
    power = "ρ to the power of the steps"
    axes.legend({"measured": BLUE, power: None}, "bottom left", dashed=[power])


# Static figures

STYLES = ("-", "--", ":")


def plot_bigrams(p: NDArray, letters: str) -> plt.Figure:
    """Probabilities (27, 27): which letter follows (column) which (row)."""
    fig, ax = plt.subplots(figsize=(7, 6.2))
    image = ax.imshow(p, SEQUENTIAL, vmin=0, vmax=0.5)
    ax.set(xticks=range(len(letters)), xticklabels=letters, yticks=range(len(letters)), yticklabels=letters)
    ax.tick_params(length=0, labelsize=9)
    ax.set(xlabel="next letter", ylabel="letter read", title="What follows what (· is both start and end)")
    fig.colorbar(image, ax=ax, label="probability (0.5 and more: darkest)", shrink=0.8)
    return fig


def plot_jacobians(linear: dict, tanh: dict) -> plt.Figure:
    """Norms of products: (kind, rho) -> one curve for each seed. Left without activation, right with tanh."""
    fig, panels = plt.subplots(1, 2, figsize=(8.4, 3.9), sharey=True)
    for ax, runs in zip(panels, (linear, tanh), strict=True):
        for (kind, rho), curves in runs.items():
            color, back = {0.9: BLUE, 1.0: GREEN, 1.1: RED}[rho], np.arange(len(curves[0]))
            for curve, style in zip(curves, STYLES, strict=False):
                wide = 3.5 if kind == "orthogonal" else 1.2
                ax.semilogy(back, curve, "-" if kind == "orthogonal" else style, color=color, lw=wide)
            if ax is panels[0] and kind == "orthogonal":
                ax.text(back[-1] + 1, curves[0][-1], f"ρ = {rho}", color=color, va="center", weight="bold")
        ax.set(xlabel="steps back T", xlim=(0, 80 if ax is panels[0] else 62), ylim=(1e-8, 1e4))
        ax.set_xticks(range(0, len(back), 20))
    panels[0].set(ylabel="norm of the product of Jacobians")
    panels[0].plot([], [], color=GREY, lw=3.5, label="ρ times orthogonal")
    panels[0].plot([], [], color=GREY, lw=1.2, label="random, three seeds")
    panels[0].legend(loc="lower left")
    panels[0].set_title("Linear: ρ to the power of T")
    panels[1].set_title("With tanh: below it in the end")
    return fig


def plot_cliff(w: NDArray, loss: NDArray, runs: dict[str, list[NDArray]], ignorance: float) -> plt.Figure:
    """Left a loss (n,) over one weight w (n,), right the losses of training runs by name."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.6), width_ratios=[1, 1.35])
    left.plot(w, loss, color=PURPLE)
    left.set(xlabel="weight w of one unit", ylabel="loss after 50 steps", title="The cliff", ylim=(-0.1, 3.2))
    for (name, curves), color in zip(runs.items(), (RED, BLUE), strict=False):
        for index, (curve, style) in enumerate(zip(curves, STYLES, strict=False)):
            right.plot(curve, style, color=color, lw=1.4, label=name if index == 0 else "_")
    right.axhline(ignorance, color=GREY, lw=1.5)
    right.text(300, ignorance * 1.05, "knowing nothing", color=GREY, ha="right")
    right.set(xlabel="training step", ylabel="loss (nats a letter)", yscale="log", ylim=(1.9, 300))
    right.set(
        yticks=[2, 5, 10, 20, 50, 100], yticklabels=[2, 5, 10, 20, 50, 100], title="The same three starts"
    )
    right.minorticks_off()
    right.legend(loc="upper right")
    return fig


def plot_learning(curves: list[NDArray], every: int, tables: dict[str, float]) -> plt.Figure:
    """Validation losses, measured `every` so many steps, and the losses of the tables as lines."""
    fig, ax = plt.subplots(figsize=(7.4, 3.7))
    last = every * (len(curves[0]) - 1)
    for index, (curve, style) in enumerate(zip(curves, STYLES, strict=False)):
        ax.plot(every * np.arange(len(curve)), curve, style, color=BLUE, label="RNN" if index == 0 else "_")
    heights = sorted(tables.values())
    for name, value in tables.items():
        ax.plot([0, last], [value, value], color=ORANGE, lw=1.2)
        crowded = any(0 < other - value < 0.03 for other in heights)
        ax.text(1.01 * last, value, name, color=ORANGE, va="top" if crowded else "bottom")
    ax.set(xlim=(0, 1.2 * last), ylim=(1.95, 2.75), xticks=np.linspace(0, last, 5))
    ax.set(
        xlabel="training step", ylabel="validation loss (nats a letter)", title="Past the tables, one by one"
    )
    ax.legend(loc="upper right")
    return fig


def plot_surprise(words: list[str], network: list[NDArray], table: list[NDArray]) -> plt.Figure:
    """-ln p of each letter of a few words, and of their ends: what the network and what a table paid."""
    fig, panels = plt.subplots(
        1, len(words), figsize=(9, 3), sharey=True, width_ratios=[len(word) + 1 for word in words]
    )
    for ax, word, paid, rival in zip(panels, words, network, table, strict=True):
        places = np.arange(len(word) + 1)
        ax.bar(places - 0.2, rival, 0.38, color=ORANGE, label="bigram")
        ax.bar(places + 0.2, paid, 0.38, color=BLUE, label="RNN")
        if paid[-1] < 0.1:  # too low a bar to be seen
            number = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 9}
            ax.text(places[-1] + 0.22, paid[-1] + 0.06, f"{paid[-1]:.2f}", color=BLUE, **number)
        ax.set(xticks=places, xticklabels=[*word, "·"])
        ax.tick_params(axis="x", length=0)
    panels[0].set_ylabel("surprise (nats)")
    panels[-1].legend(loc="upper right", fontsize=9)
    fig.supxlabel("the letter that came (· is the end)", fontsize=11)
    fig.suptitle("Long names: it sees the end coming", fontsize=12, fontweight="bold", x=0.01, ha="left")
    return fig
