"""Gates and nets of all-or-none cells: truth tables, wiring and timing diagrams, the gate builder."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

from minidl import viz
from minidl.classic import threshold_unit

CORNERS = np.array(list(product([0, 1], repeat=2)))  # (a, b) = 00, 01, 10, 11
NAMES = (
    "never", "AND", "a, not b", "a", "b, not a", "b", "XOR", "OR",
    "NOR", "XNOR", "NOT b", "a if b", "NOT a", "b if a", "NAND", "always",
)  # fmt: skip
GATES = dict(zip(product([0, 1], repeat=4), NAMES, strict=True))  # {outputs at CORNERS: name}
CELL = 22  # radius of a cell in a wiring diagram, in pixels


def plot_gates(groups: Mapping[str, tuple[str, Sequence[tuple]]], title: str) -> plt.Figure:
    """The sixteen gates as squares with a dot at each corner: filled where the gate fires.

    groups: {label: (colour, truth tables)}; a gate takes the colour of the first group that has it.
    """
    fig, axes = plt.subplots(2, 8, figsize=(7.6, 2.9))
    for ax, (table, name) in zip(axes.flat, GATES.items(), strict=True):
        color = next((color for color, tables in groups.values() if table in tables), viz.GREY)
        faces = [color if fires else "white" for fires in table]
        ax.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color=color, lw=1, zorder=0)
        ax.scatter(*CORNERS.T, s=55, c=faces, edgecolors=color, linewidths=1.5, clip_on=False)
        ax.set(xlim=(-0.3, 1.3), ylim=(-0.3, 1.3), xticks=[], yticks=[], aspect="equal")
        ax.set_title(name, fontsize=10, fontweight="normal", loc="center")
        ax.spines[:].set_visible(False)
    for ax in axes[:, 0]:
        ax.set(ylabel="b")
    for ax in axes[1]:
        ax.set(xlabel="a")
    handles = [plt.Line2D([], [], marker="o", ls="", color=color) for color, _ in groups.values()]
    fig.legend(handles, groups, loc="outside lower center", ncols=len(groups))
    fig.suptitle(title, fontweight="bold", x=0.01, ha="left", fontsize=12)
    return fig


def plot_timing(history: Mapping[str, Sequence[int]], title: str, names: Sequence[str] = ()) -> plt.Figure:
    """A timing diagram: one line a signal (all, or `names`), high while it fires.

    history: {name: (T,) of 0s and 1s}.
    """
    names = list(names or history)
    steps = len(history[names[0]])
    fig, ax = plt.subplots(figsize=(7.0, 0.9 + 0.42 * len(names)))
    for row, name in enumerate(reversed(names)):
        signal, color = np.asarray(history[name]), viz.PALETTE[(len(names) - 1 - row) % len(viz.PALETTE)]
        level = row + 0.6 * np.append(signal, signal[-1])
        ax.fill_between(range(steps + 1), row, level, step="post", color=color, alpha=0.3, linewidth=0)
        ax.step(range(steps + 1), level, where="post", color=color)
    ax.set(xlim=(0, steps), ylim=(-0.2, len(names) - 0.1), xlabel="time (synaptic delays)", title=title)
    ax.set_xticks(range(0, steps + 1, 1 if steps <= 20 else 2))
    ax.set_yticks([row + 0.3 for row in range(len(names))], list(reversed(names)))
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return fig


def draw_net(net: Mapping[str, tuple], places: Mapping[str, tuple[float, float]], alt: str) -> viz.Picture:
    """A wiring diagram: a circle is a cell with its threshold, an arrow excites, a line with a ring inhibits.

    net: {name: (excitatory names, inhibitory names, threshold)}. places: {name: (column, row)}.
    """
    top = 72 if any(name in excitatory for name, (excitatory, _, _) in net.items()) else 40  # room for loops
    spots = {
        name: (60 + 150 * column, top + 84 * row, CELL if name in net else 8)
        for name, (column, row) in places.items()
    }
    width, height = max(x for x, _, _ in spots.values()), max(y for _, y, _ in spots.values())
    picture = viz.Picture(width + 90, height + 48, alt)
    for name, (excitatory, inhibitory, _) in net.items():
        for other in dict.fromkeys(excitatory):
            draw = _draw_loops if other == name else _draw_excitation
            draw(picture, spots[other], spots[name], list(excitatory).count(other))
        for other in dict.fromkeys(inhibitory):
            _draw_inhibition(picture, spots[other], spots[name])
    for name, (x, y, radius) in spots.items():
        if name in net:
            picture.circle(x, y, radius, width=2)
            picture.text(x, y, f"θ = {net[name][2]}", 13, "middle", "middle")
            picture.text(x, y + radius + 16, name, 13, "middle", bold=True)
        else:
            picture.circle(x, y, 5, fill=viz.GREY)
            picture.text(x - 12, y, name, 13, "end", "middle", bold=True)
    return picture


def _draw_excitation(picture, source, target, count: int) -> None:
    """`count` parallel arrows from rim to rim."""
    x0, y0, x1, y1, ux, uy = _rims(source, target)
    for shift in 8 * (np.arange(count) - (count - 1) / 2):
        nx, ny = -shift * uy, shift * ux
        picture.arrow(x0 + nx, y0 + ny, x1 + nx, y1 + ny, viz.BLUE)


def _draw_loops(picture, cell, _, count: int) -> None:
    """`count` arrows out of the top of a cell and back into it."""
    x, y, radius = cell
    for ring in range(count):
        r, foot = 14 + 7 * ring, 8 + 5 * ring
        angle = np.linspace(-0.3 * math.pi, 1.05 * math.pi, 40)
        xs, ys = x + r * np.cos(angle), y - radius - r + 4 - r * np.sin(angle)
        picture.line(xs, ys, viz.BLUE)
        picture.arrow(xs[-1], ys[-1], x - foot, y - math.sqrt(radius**2 - foot**2), viz.BLUE)


def _draw_inhibition(picture, source, target) -> None:
    x0, y0, x1, y1, ux, uy = _rims(source, target, gap=10)
    picture.line([x0, x1], [y0, y1], viz.ORANGE)
    picture.circle(x1 + 5 * ux, y1 + 5 * uy, 5, stroke=viz.ORANGE, width=2)


def _rims(source, target, gap: float = 1) -> tuple[float, float, float, float, float, float]:
    """The line between two centres, from rim to rim less `gap` pixels, and its direction."""
    (x0, y0, r0), (x1, y1, r1) = source, target
    length = math.hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    return x0 + r0 * ux, y0 + r0 * uy, x1 - (r1 + gap) * ux, y1 - (r1 + gap) * uy, ux, uy


# The gate builder


def truth_table(state) -> tuple[int, ...]:
    """The outputs of the state's unit at the four corners."""
    return tuple(threshold_unit(CORNERS, [state.a, state.b], state.threshold).tolist())


def gate_builder(goal: str = "NAND") -> viz.Widget:
    """Two weights and a threshold: which gates can you build with one unit? Each gate you meet is kept."""
    state = SimpleNamespace(a=1.0, b=1.0, threshold=2.0, goal=goal, found={(0, 0, 0, 1)})
    controls = [
        viz.slider("a", "weight of a", -2.0, 2.0, 1.0, step=0.5, on_change=_collect),
        viz.slider("b", "weight of b", -2.0, 2.0, 1.0, step=0.5, on_change=_collect),
        viz.slider("threshold", "threshold θ", -4.0, 4.0, 2.0, step=0.5, on_change=_collect),
        viz.choice("goal", "goal", NAMES, goal),
    ]
    return viz.Widget(state, draw_builder, controls, describe=describe_builder)


def _collect(state) -> None:
    state.found = state.found | {truth_table(state)}


def describe_builder(state) -> str:
    """What the unit is, how far the goal is, how many gates were met."""
    table, goal = truth_table(state), NAMES.index(state.goal)
    wrong = sum(mine != wanted for mine, wanted in zip(table, list(GATES)[goal], strict=True))
    progress = "reached" if not wrong else f"{wrong} of 4 rows wrong"
    return (
        f"Weights {state.a:g} and {state.b:g}, threshold {state.threshold:g}: {GATES[table]}."
        f" Goal {state.goal}: {progress}. Collected {len(state.found)} of 16 gates."
    )


def draw_builder(state) -> viz.Picture:
    """The unit, its square of inputs with the line w·x = θ, its truth table, the gates collected so far."""
    picture = viz.Picture(640, 400, describe_builder(state))
    table, goal = truth_table(state), list(GATES)[NAMES.index(state.goal)]
    _draw_unit(picture, state)
    _draw_square(picture, state, table, goal)
    _draw_table(picture, state, table, goal)
    _draw_tray(picture, state, table)
    return picture


def _draw_unit(picture, state) -> None:
    picture.text(10, 20, GATES[truth_table(state)], 18, bold=True)
    for name, weight, y in (("a", state.a, 70), ("b", state.b, 190)):
        color = viz.BLUE if weight > 0 else viz.ORANGE
        picture.circle(24, y, 13, width=1.5)
        picture.text(24, y, name, 14, "middle", "middle", bold=True)
        if weight:
            picture.arrow(38, y, 98, 130 + (y - 130) * 0.32, color, width=1 + 1.5 * abs(weight))
        label, above = f"{weight:+g}" if weight else "0", y < 130
        picture.text(66, y - 18 if above else y + 28, label, 14, "middle")
    picture.circle(126, 130, 30, width=2)
    picture.text(126, 130, f"≥ {state.threshold:g}", 15, "middle", "middle")
    picture.arrow(158, 130, 186, 130)


def _draw_square(picture, state, table, goal) -> None:
    lim = (-0.4, 1.4)
    look = {"title": "fires in the shaded half", "xticks": (0, 1), "yticks": (0, 1), "equal": True}
    axes = picture.axes((200, 0, 250, 256), lim, lim, "a", "b", **look)
    side = np.linspace(*lim, 121)
    shade = state.a * side[None, :] + state.b * side[:, None] >= state.threshold
    xs, ys = _boundary(state, lim)
    axes.heatmap(shade * 0.35).line(xs, ys, viz.BLUE, 2.5)
    for (a, b), fires, wanted in zip(CORNERS, table, goal, strict=True):
        axes.circle(a, b, 9, fill=viz.BLUE if fires else "#ffffff", stroke=viz.BLUE, width=2)
        if fires != wanted:
            axes.circle(a, b, 15, stroke=viz.RED, width=2.5)


def _boundary(state, lim) -> tuple[list[float], list[float]]:
    """The line a·w_a + b·w_b = θ, long enough to cross the square; nothing when both weights are 0."""
    if not state.a and not state.b:
        return [], []
    normal = np.array([state.a, state.b]) / math.hypot(state.a, state.b)
    foot = normal * state.threshold / math.hypot(state.a, state.b)
    ends = foot + np.outer([-4, 4], [-normal[1], normal[0]]) * (lim[1] - lim[0])
    return ends[:, 0].tolist(), ends[:, 1].tolist()


def _draw_table(picture, state, table, goal) -> None:
    columns = (480, 505, 548, 602)
    for x, head in zip(columns, ("a", "b", "out", "goal"), strict=True):
        picture.text(x, 40, head, 14, "middle", bold=True)
    picture.line([466, 626], [50, 50], width=1, opacity=0.6)
    for row, ((a, b), fires, wanted) in enumerate(zip(CORNERS, table, goal, strict=True)):
        y = 74 + 28 * row
        for x, value in zip(columns[:2], (a, b), strict=True):
            picture.text(x, y, value, 14, "middle")
        picture.text(columns[2], y, fires, 14, "middle", bold=True)
        if fires != wanted:
            picture.circle(columns[2], y - 5, 11, stroke=viz.RED, width=2.5)
        picture.text(columns[3], y, wanted, 14, "middle")
    picture.text(546, 208, f"goal: {state.goal}", 14, "middle")
    picture.text(546, 230, "reached" if table == goal else "not yet", 14, "middle", bold=True)


def _draw_tray(picture, state, table) -> None:
    picture.text(10, 280, f"collected: {len(state.found)} of 16", 14, bold=True)
    for index, (gate, name) in enumerate(GATES.items()):
        x, y, met = 42 + 79 * (index % 8), 300 + 54 * (index // 8), gate in state.found
        color, opacity = (viz.BLUE, 1.0) if met else (viz.GREY, 0.7)
        if gate == table:
            picture.rect(x - 36, y - 10, 72, 48, stroke=viz.BLUE, width=2, radius=6)
        for (a, b), fires in zip(CORNERS, gate, strict=True):
            fill = color if fires else "none"
            picture.circle(x - 7 + 14 * a, y + 14 - 14 * b, 4, fill, color, opacity=opacity)
        picture.text(x, y + 33, name, 12, "middle", bold=met)
