"""Bend the space: two hidden units move the four corners of the square until one line can tell them apart.

Each hidden unit turns its weighted sum z = w·x + b into h = 1/2 + tanh(s z) / (2 tanh s). The sharpness s
leads from a straight rule (s = 0: h = 1/2 + z/2) to a step (s large: h is 0 or 1). The pair (h1, h2) is the
point's place in the hidden space.
"""

from types import SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minidl import viz

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
XOR = np.array([0, 1, 1, 0])
COPY = {"w11": 1.0, "w12": 0.0, "b1": -0.5, "w21": 0.0, "w22": 1.0, "b2": -0.5}
OR_NAND = {"w11": 1.0, "w12": 1.0, "b1": -0.5, "w21": -1.0, "w22": -1.0, "b2": 1.5}

INPUT_LIMITS, HIDDEN_LIMITS = (-0.5, 1.5), (-0.75, 1.75)
GRID = np.linspace(*INPUT_LIMITS, 13)  # the lines of the square grid
POINTS = 25  # on each of them, to follow its bend
FIELD = 48  # cells along each side of the shaded fields
SHADE = 0.3  # strength of the shading, 1 is full colour
SOFT = 0.03  # hidden distance from the line over which the colour fades in
APART = 1e-9  # a smaller gap counts as none
NEAR = 0.2  # hidden distance below which two labels would overlap


def bend(x: ArrayLike, weights: ArrayLike, biases: ArrayLike, sharpness: float) -> NDArray[np.float64]:
    """Input points (..., 2) to hidden points (..., 2): h = 1/2 + tanh(s z) / (2 tanh s), z = x Wᵀ + b.

    >>> bend([[0, 0], [0, 1]], [[1, 1], [-1, -1]], [-0.5, 1.5], 0).tolist()
    [[0.25, 1.25], [0.75, 0.75]]
    """
    z = np.asarray(x, float) @ np.asarray(weights, float).T + np.asarray(biases, float)
    return 0.5 + 0.5 * (np.tanh(sharpness * z) / np.tanh(sharpness) if sharpness > 0 else z)


def nearest(a: NDArray, b: NDArray) -> tuple[NDArray, NDArray]:
    """The nearest points of two segments, each (2, 2): its two ends. Where they meet: one point, twice."""
    best = None
    for one, other, swap in ((a, b, False), (b, a, True)):
        for end in one:
            foot = _foot(end, other)
            pair = (foot, end) if swap else (end, foot)
            if best is None or _length(pair) < _length(best):
                best = pair
    crossing = _crossing(a, b)
    return best if crossing is None else (crossing, crossing)


def _foot(point: NDArray, segment: NDArray) -> NDArray:
    """The point of a segment that is nearest to a point."""
    start, along = segment[0], segment[1] - segment[0]
    square = along @ along
    share = np.clip((point - start) @ along / square, 0, 1) if square else 0.0
    return start + share * along


def _crossing(a: NDArray, b: NDArray) -> NDArray | None:
    """Where two segments cross, or None; parallel ones do not cross but at an end, which `nearest` finds."""
    directions = np.stack([a[1] - a[0], b[0] - b[1]], axis=1)
    if abs(np.linalg.det(directions)) < 1e-12:
        return None
    shares = np.linalg.solve(directions, b[0] - a[0])
    return a[0] + shares[0] * (a[1] - a[0]) if (shares >= 0).all() and (shares <= 1).all() else None


def _length(pair) -> float:
    return float(np.linalg.norm(pair[0] - pair[1]))


def best_line(state) -> tuple[NDArray, float, float]:
    """The line n·h = c midway between the hidden points of the two answers, and the gap between them.

    Returns n (2,), of length 1 and towards answer 1; c; the gap, 0 when no line exists (then n is 0).
    """
    hidden = _hidden(state, CORNERS)
    one, zero = nearest(hidden[XOR == 1], hidden[XOR == 0])
    gap = _length((one, zero))
    if gap < APART:
        return np.zeros(2), 0.0, 0.0
    normal = (one - zero) / gap
    return normal, float(normal @ (one + zero) / 2), gap


def describe(state) -> str:
    """One sentence: is there a line, and how wide is the gap."""
    gap = best_line(state)[2]
    if gap:
        return f"Separable: one line does it in the hidden space. The two answers are {gap:.2f} apart."
    return "Not separable: in the hidden space the segment that joins the 1s meets the one that joins the 0s."


def draw(state) -> viz.Picture:
    """Left the input plane, right the hidden space, both shaded by the best line's answer if there is one."""
    picture = viz.Picture(700, 350, alt=describe(state))
    normal, offset, gap = best_line(state)
    inputs = picture.axes(
        (0, 0, 345, 350), INPUT_LIMITS, INPUT_LIMITS, "input x₁", "input x₂", "the input plane", equal=True
    )
    hidden = picture.axes(
        (352, 0, 345, 350),
        HIDDEN_LIMITS,
        HIDDEN_LIMITS,
        "hidden unit h₁",
        "hidden unit h₂",
        "the hidden space",
        equal=True,
    )
    inputs.heatmap(_shade(_hidden(state, _mesh(INPUT_LIMITS)) @ normal - offset), smooth=True)
    hidden.heatmap(_shade(_mesh(HIDDEN_LIMITS) @ normal - offset), smooth=True)
    for upright, color in ((True, viz.GREEN), (False, viz.PURPLE)):
        inputs.line(*_grid(upright, points=2).T, color, 1, 0.45)
        hidden.line(*_hidden(state, _grid(upright, POINTS)).T, color, 1, 0.7)
    for number, weights, bias in zip("₁₂", _weights(state), _biases(state), strict=True):
        _draw_rule(inputs, weights, -bias, f"h{number} > ½")
    places = _hidden(state, CORNERS)
    _draw_rule(hidden, normal, offset)
    if not gap:
        hidden.line(*places[XOR == 1].T, viz.BLUE, 2.5).line(*places[XOR == 0].T, viz.ORANGE, 2.5)
    _draw_corners(inputs, CORNERS)
    _draw_corners(hidden, places, normal)
    return picture


def _draw_rule(axes, normal: NDArray, offset: float, label: str = "") -> None:
    """The line n·x = c, if n is not 0. A unit's rule is dashed, its label where the unit is on."""
    length = np.linalg.norm(normal)
    if length < APART:
        return
    normal, foot = normal / length, normal * offset / length**2
    points = foot + np.linspace(-6, 6, 481)[:, None] * np.array([-normal[1], normal[0]])
    axes.line(*points[[0, -1]].T, viz.INK, 2, 0.9, dash=bool(label))
    places = points + (0.08 + 0.12 * abs(normal[0])) * normal
    inside = places[(np.abs(places - np.mean(axes.xlim)) < 0.4 * np.ptp(axes.xlim)).all(axis=1)]
    if label and len(inside):
        axes.text(*inside[-1], label, 12, "middle", "middle", color=viz.INK)


def _draw_corners(axes, places: NDArray, normal: ArrayLike = (0.0, 0.0)) -> None:
    """The four points, the answer inside, the input above or below: on the side away from the line n·h = c.

    Points near each other share a label.
    """
    shared: dict[int, list[int]] = {}  # the first of the neighbours: all of them
    for index, place in enumerate(places):
        x, y = float(axes.x(place[0])), float(axes.y(place[1]))
        if not axes.contains(x, y):
            continue
        color = viz.BLUE if XOR[index] else viz.ORANGE
        axes.picture.circle(x, y, 11, color, "#ffffff", 1.5)
        axes.picture.text(x, y, str(XOR[index]), 13, "middle", "middle", color="#ffffff", bold=True)
        near = (first for first in shared if np.abs(places[first] - place).max() < NEAR)
        shared.setdefault(next(near, index), []).append(index)
    for first, group in shared.items():
        away = normal[1] if XOR[first] else -normal[1]
        x, y = axes.x(places[first, 0]), axes.y(places[first, 1]) + (-24 if away > 0 else 24)
        label = ", ".join(f"{a:.0f}{b:.0f}" for a, b in CORNERS[group])
        axes.picture.text(float(x), float(y), label, 12, "middle", "middle", color=viz.INK, bold=True)


def _grid(upright: bool, points: int) -> NDArray:
    """The grid's upright or level lines one after the other, each of `points` points and a break (NaN)."""
    along = np.append(np.linspace(*INPUT_LIMITS, points), np.nan)
    fixed, along = np.repeat(GRID, len(along)), np.tile(along, len(GRID))
    return np.stack([fixed, along] if upright else [along, fixed], axis=1)


def _mesh(limits: tuple[float, float]) -> NDArray:
    """The centres of the cells of a field over a square: (FIELD, FIELD, 2), row by row upwards."""
    edges = np.linspace(*limits, FIELD + 1)
    xs, ys = np.meshgrid((edges[1:] + edges[:-1]) / 2, (edges[1:] + edges[:-1]) / 2)
    return np.stack([xs, ys], axis=-1)


def _shade(values: NDArray) -> NDArray:
    """Blue where the answer is 1, orange where it is 0; white where there is no line."""
    return SHADE * np.clip(values / SOFT, -1, 1)


def _weights(state) -> NDArray:
    return np.array([[state.w11, state.w12], [state.w21, state.w22]])


def _biases(state) -> NDArray:
    return np.array([state.b1, state.b2])


def _hidden(state, x: NDArray) -> NDArray:
    return bend(x, _weights(state), _biases(state), state.sharpness)


def bend_the_space() -> viz.Widget:
    """Can you bend the plane until one line separates XOR? You set two hidden units and their sharpness."""
    sliders = [
        viz.slider(name, label, -2.0, 2.0, COPY[name], 0.1)
        for name, label in (
            ("w11", "unit 1: weight of x₁"),
            ("w12", "unit 1: weight of x₂"),
            ("b1", "unit 1: bias"),
            ("w21", "unit 2: weight of x₁"),
            ("w22", "unit 2: weight of x₂"),
            ("b2", "unit 2: bias"),
        )
    ]
    sharpness = viz.slider("sharpness", "sharpness", 0.0, 8.0, 2.0, 0.1)

    def fill_in(values: dict[str, float]):
        def action(_state):
            for name, value in values.items():
                widget.controls[name].value = value

        return action

    buttons = [viz.button("OR and NAND", fill_in(OR_NAND)), viz.button("copy the inputs", fill_in(COPY))]
    state = SimpleNamespace(**COPY, sharpness=2.0)
    widget = viz.Widget(state, draw, [*sliders, sharpness, *buttons], describe=describe)
    return widget
