"""The perceptron in the plane: its boundary, the margin of a set of points, and a learner to step."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minidl.classic import Perceptron

from ..controls import button, choice, slider
from ..picture import Axes, Picture
from ..theme import BLUE, GREEN, GREY, INK, ORANGE, RED
from ..widget import Widget

MOST = 200  # mistakes that the stepper follows
SMALLEST = 1e-3  # margin below which the points count as not separable: the bound would be above a million
NUDGE = 0.05  # how far a button moves a point
REACH = 18  # pixels within which a press takes hold of a point

WAYS = {"← left": (-1, 0), "→ right": (1, 0), "↑ up": (0, 1), "↓ down": (0, -1)}
SIZE = 800, 390  # pixels of the picture
PLANE, WALLS = (0, 0, 390, 390), (410, 0, 390, 390)  # the boxes of its two halves

POINTS = {  # name: (the + points, the − points)
    "a wide gap": (
        [(0.75, 0.55), (0.95, 0.1), (0.5, 0.85), (0.9, 0.85), (0.35, 0.55)],
        [(-0.35, -0.3), (0.1, -0.75), (-0.6, 0.15), (-0.25, -0.85), (0.45, -0.45)],
    ),
    "a narrow gap": (
        [(0.7, 0.85), (0.2, 0.35), (-0.5, -0.35), (-0.8, -0.6), (-0.2, 0.7)],
        [(0.7, 0.6), (0.2, 0.1), (-0.5, -0.6), (-0.8, -0.95), (0.6, -0.5)],
    ),
    "no line (XOR)": ([(0.6, -0.6), (-0.6, 0.6)], [(0.6, 0.6), (-0.6, -0.6)]),
}


def widest_margin(x: ArrayLike, y: ArrayLike, steps: int = 3000) -> float:
    """The margin γ of the best separator through the origin of the vectors (x, 1); 0 if none was found.

    γ is the distance from the origin to the convex hull of the vectors z = y (x, 1): the shortest vector w of
    the hull has w·z >= |w|² for all of them. w starts at one z; each step moves weight inside the hull from
    the z that lies farthest along w to the one that lies least along it, as far as shortens w most.
    The value returned is min w·z / |w|, a margin that w really has, so (R / γ)² is a valid bound.

    x: (N, n). y: (N,) of -1 and +1.
    Mitchell, Demyanov & Malozemov, "Finding the point of a polyhedron closest to the origin", 1974.
    """
    y = np.asarray(y, float)[:, None]
    z = y * np.column_stack([x, np.ones(len(y))])  # (N, n + 1)
    share = np.zeros(len(z))  # w = share @ z, share >= 0, sum 1
    share[0], w = 1.0, z[0].copy()
    for _ in range(steps):
        along = z @ w
        least, most = int(along.argmin()), int(np.where(share > 0, along, -np.inf).argmax())
        gap, way = along[most] - along[least], z[least] - z[most]
        if gap <= 1e-9:
            break
        move = min(share[most], gap / (way @ way))
        share[least] += move
        share[most] -= move
        w += move * way
    length = float(np.linalg.norm(w))
    return max(0.0, float((z @ w).min()) / length) if length > SMALLEST else 0.0


def boundary(weight: ArrayLike, bias: float, reach: float = 10.0) -> tuple[NDArray, NDArray]:
    """The line w·x + b = 0 in the plane: its point nearest to the origin, and its two ends.

    Returns foot (2,) and ends (2, 2), `reach` away from the foot on both sides.
    Raises: ValueError if w is zero.
    """
    weight = np.asarray(weight, float)
    length = float(np.linalg.norm(weight))
    if not length:
        raise ValueError("boundary: the weight is zero, so there is no line: every point has the same score")
    unit = weight / length
    foot, along = -bias / length * unit, np.array([-unit[1], unit[0]])
    return foot, np.array([foot - reach * along, foot + reach * along])


def plot_unit(
    ax, weight: ArrayLike, bias: float, color: str = INK, label: str | None = None, **style
) -> None:
    """Draw a unit on matplotlib axes: its boundary, and its weight vector as an arrow towards the + side."""
    foot, ends = boundary(weight, bias)
    ax.plot(*ends.T, color=color, label=label, scalex=False, scaley=False, **style)
    arrow = {
        "arrowstyle": "-|>",
        "color": color,
        "linewidth": 2,
        "mutation_scale": 16,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate("", xy=foot + np.asarray(weight, float), xytext=foot, arrowprops=arrow)


def learn(x: NDArray, y: NDArray, most: int) -> tuple[Perceptron, list[int], list[float]]:
    """Run the perceptron through at most `most` mistakes, over the examples in order, round and round.

    x: (N, n). y: (N,). Returns the model, the index of the example of each mistake, and the length of (w, b)
    before the first mistake and after each.
    """
    model, mistakes, lengths = Perceptron(x.shape[1]), [], [0.0]
    while len(mistakes) < most and (index := next_mistake(model, x, y, mistakes)) is not None:
        model.update(x[index], y[index])
        mistakes.append(index)
        lengths.append(float(np.hypot(np.linalg.norm(model.weight), model.bias)))
    return model, mistakes, lengths


def next_mistake(model: Perceptron, x: NDArray, y: NDArray, mistakes: list[int]) -> int | None:
    """The example that is wrong next, in order after the last mistake and round; None when all are right."""
    wrong = np.flatnonzero(model.predict(x) != y)
    if not wrong.size:
        return None
    start = mistakes[-1] + 1 if mistakes else 0
    return int(wrong[np.argmax(wrong >= start)])  # argmax of all False is 0: round to the first one


def stepper() -> Widget:
    """Points to drag and a perceptron to step: one mistake at a time, counted against Novikoff's bound."""
    state = SimpleNamespace(preset=next(iter(POINTS)), selected=1)
    _load(state)
    controls = [
        choice("preset", "Points", list(POINTS), state.preset, _load),
        slider("selected", "Selected point", 1, 2 * max(len(plus) for plus, _ in POINTS.values()), 1),
        *(button(label, _nudge(*way)) for label, way in WAYS.items()),
        button("Change its class", _flip),
        button("Forget", _forget),
    ]

    def press(state, kind: str, px: float, py: float) -> None:
        before = state.selected
        _drag(state, kind, px, py)
        if state.selected != before:
            widget.controls["selected"].value = state.selected

    widget = Widget(state, _draw, controls, step=_step, reset=_load, describe=_describe, on_pointer=press)
    return widget


# The state: x (N, 2), y (N,), selected (from 1), held (an index or None), and what follows from the points:
# model, mistakes, lengths (see `learn`), gamma, radius, bound.


def _load(state) -> None:
    """Put the preset's points in place, the classes in turn, and forget what was learnt."""
    plus, minus = POINTS[state.preset]
    state.x = np.array([point for pair in zip(plus, minus, strict=True) for point in pair])
    state.y, state.held, state.mistakes = np.tile([1, -1], len(plus)), None, []
    _relearn(state)


def _relearn(state) -> None:
    """The points have changed: make as many mistakes as before, on the points as they are now."""
    state.model, state.mistakes, state.lengths = learn(state.x, state.y, len(state.mistakes))
    state.gamma = widest_margin(state.x, state.y)
    state.radius = float(np.sqrt((state.x**2).sum(axis=1).max() + 1))
    state.bound = (state.radius / state.gamma) ** 2 if state.gamma else np.inf


def _forget(state) -> None:
    state.mistakes = []
    _relearn(state)


def _step(state) -> None:
    if len(state.mistakes) >= MOST or _next(state) is None:
        raise StopIteration
    state.model, state.mistakes, state.lengths = learn(state.x, state.y, len(state.mistakes) + 1)


def _next(state) -> int | None:
    return next_mistake(state.model, state.x, state.y, state.mistakes)


def _chosen(state) -> int:
    """The index of the selected point; the last one when there are fewer."""
    return min(state.selected, len(state.x)) - 1


def _place(state, index: int, where: ArrayLike) -> None:
    state.x[index] = np.clip(where, -1, 1)
    _relearn(state)


def _nudge(dx: int, dy: int) -> Callable:
    return lambda state: _place(state, _chosen(state), state.x[_chosen(state)] + NUDGE * np.array([dx, dy]))


def _flip(state) -> None:
    state.y[_chosen(state)] *= -1
    _relearn(state)


def _drag(state, kind: str, px: float, py: float) -> None:
    """Take hold of the nearest point, move it, let it go."""
    axes = _plane(Picture(*SIZE))
    if kind == "down":
        away = np.hypot(axes.x(state.x[:, 0]) - px, axes.y(state.x[:, 1]) - py)
        state.held = int(away.argmin()) if away.min() <= REACH else None
        state.selected = state.selected if state.held is None else state.held + 1
    elif state.held is not None:
        _place(state, state.held, axes.inverse(px, py))
        state.held = None if kind == "up" else state.held


def _describe(state) -> str:
    made, wrong = len(state.mistakes), int((state.model.predict(state.x) != state.y).sum())
    right = f"{wrong} of the {len(state.x)} points wrong" if wrong else f"all {len(state.x)} points right"
    if state.gamma:
        promise = f"γ = {state.gamma:.3f}, R = {state.radius:.2f}: at most {int(state.bound + 1e-9)} mistakes"
    else:
        promise = "no line separates these points, so nothing is promised"
    stop = "; it would go on and on" if wrong and made == MOST else ""
    return f"{made} mistake{'' if made == 1 else 's'} made, {right}{stop}; {promise}."


# Drawing


def _plane(picture: Picture) -> Axes:
    labels = {"xlabel": "x₁", "ylabel": "x₂", "title": "Drag the points, then step"}
    return picture.axes(PLANE, (-1.15, 1.15), (-1.15, 1.15), **labels, equal=True)


def _draw(state) -> Picture:
    picture = Picture(*SIZE)
    axes = _plane(picture)
    _draw_sides(axes, state.model)
    _draw_points(axes, state)
    _draw_walls(picture, state)
    return picture


def _draw_sides(axes: Axes, model: Perceptron) -> None:
    """Tint the two sides of the boundary; draw it, and the direction of w."""
    if not model.weight.any():
        axes.rect(-2, -2, 4, 4, fill=BLUE if model.bias >= 0 else ORANGE, opacity=0.12)
        return
    foot, ends = boundary(model.weight, model.bias)
    unit = model.weight / np.linalg.norm(model.weight)
    for side, color in ((1, BLUE), (-1, ORANGE)):
        corners = np.vstack([ends, ends[::-1] + side * 20 * unit])
        axes.polygon(*corners.T, fill=color, opacity=0.12)
    axes.line(*ends.T, width=2.5)
    axes.arrow(*foot, *(foot + 0.35 * unit), width=2.5)
    axes.text(*(foot + 0.43 * unit), "w", bold=True, anchor="middle", valign="middle")


def _draw_points(axes: Axes, state) -> None:
    """Each point with its sign; red rings: wrong (thick: the next mistake); a thin ring: selected."""
    wrong, upcoming = state.model.predict(state.x) != state.y, _next(state)
    for index, ((x1, x2), label) in enumerate(zip(state.x, state.y, strict=True)):
        if wrong[index]:
            axes.circle(x1, x2, 14, stroke=RED, width=5 if index == upcoming else 2)
        if index == _chosen(state):
            axes.circle(x1, x2, 19, stroke=None, width=1.5)
        axes.circle(x1, x2, 10, fill=BLUE if label > 0 else ORANGE, stroke="#ffffff")
        sign = {"anchor": "middle", "valign": "middle", "color": "#ffffff", "bold": True}
        axes.text(x1, x2, "+" if label > 0 else "−", size=16, **sign)


def _draw_walls(picture: Picture, state) -> None:
    """The length of (w, b) against the number of mistakes, between the two walls of Novikoff's proof."""
    made, bound = len(state.mistakes), state.bound
    right = max(10.0, 1.25 * made, min(1.1 * bound, 2.0 * made + 30))
    k, top = np.linspace(0, right, 200), 1.1 * state.radius * float(np.sqrt(right))
    labels = {"xlabel": "mistakes k", "ylabel": "length of (w, b)", "title": "Between the two walls"}
    axes = picture.axes(WALLS, (0, right), (0, top), **labels)
    names = {"at most √k · R": ORANGE, "this perceptron": GREEN}
    axes.line(k, state.radius * np.sqrt(k), color=ORANGE)
    if state.gamma:
        axes.line(k, state.gamma * k, color=BLUE)
        axes.line([bound, bound], [0, top], color=GREY, dash=True)
        names["at least k · γ"] = BLUE
    axes.line(np.arange(made + 1), state.lengths, color=GREEN, width=3)
    axes.points([made], state.lengths[-1:], color=GREEN, r=5)
    axes.legend(names, corner="top left")
