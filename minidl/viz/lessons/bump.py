"""Build the bump: draw a curve with sigmoid pairs or ReLU knots, placed by hand or greedily (notebook 09)."""

from types import SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minidl import viz

X = np.linspace(0, 1, 401)  # where curves are drawn and errors measured
BUMP, RELU = "bump (2 sigmoids)", "corner (1 ReLU)"
UNITS = {BUMP: 2, RELU: 1}
TARGETS = {
    "sine": np.sin(2 * np.pi * X),
    "two hills": np.exp(-(((X - 0.3) / 0.08) ** 2)) + 0.6 * np.exp(-(((X - 0.7) / 0.15) ** 2)),
    "block": np.where((X > 0.35) & (X < 0.65), 0.8, 0.0),
    "sawtooth": 1 - np.abs(1 - (8 * X) % 2),
}  # each starts near 0, so no output bias is needed
START = {"kind": BUMP, "position": 0.25, "width": 0.3, "steepness": 50.0, "height": 0.8, "slope": 4.0}
SHAPES = {BUMP: ("position", "width", "steepness", "height"), RELU: ("position", "slope")}


def sigmoid(z: ArrayLike) -> NDArray:
    """1 / (1 + exp(-z)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * np.asarray(z))


def bump(x: ArrayLike, position: float, width: float, steepness: float) -> NDArray:
    """A bump of height 1 around `position`: one sigmoid rises at its left edge, one falls at its right."""
    offset = np.asarray(x) - position
    return sigmoid(steepness * (offset + width / 2)) - sigmoid(steepness * (offset - width / 2))


def curve(part: dict, x: ArrayLike = X) -> NDArray:
    """What one part adds to the output: a bump times its height, or a ReLU times its slope."""
    if part["kind"] == RELU:
        return part["slope"] * np.maximum(np.asarray(x) - part["position"], 0)
    return part["height"] * bump(x, part["position"], part["width"], part["steepness"])


def best_part(residual: NDArray, kind: str) -> dict:
    """The one part that takes most from the squared error; its height or slope by least squares.

    residual: target minus sum, on X.
    """
    parts, shapes = _CANDIDATES[kind]
    overlap, square = shapes @ residual, (shapes**2).sum(axis=1)
    best = int(np.argmax(overlap**2 / square))
    return parts[best] | {SHAPES[kind][-1]: float(overlap[best] / square[best])}


def _candidates(kind: str) -> tuple[list[dict], NDArray]:
    """A grid of parts of strength 1, and their curves (P, 401)."""
    if kind == RELU:
        parts = [{"kind": kind, "position": p, "slope": 1.0} for p in np.linspace(0, 0.99, 100).tolist()]
    else:
        parts = [
            {"kind": kind, "position": p, "width": w, "steepness": s, "height": 1.0}
            for p in np.linspace(0, 1, 51).tolist()
            for w in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
            for s in (15.0, 50.0, 500.0)
        ]
    return parts, np.array([curve(part) for part in parts])


_CANDIDATES = {kind: _candidates(kind) for kind in (BUMP, RELU)}


def place_best(state) -> None:
    """Add the best next part of the chosen kind; the part on the sliders is left out."""
    rest = TARGETS[state.target] - _total(state.parts)
    state.parts, state.shown = [*state.parts, best_part(rest, state.kind)], False


def refit(state) -> None:
    """All heights and slopes of the placed parts at once, by least squares; nothing moves."""
    if state.parts:
        curves = np.array([curve(part) for part in state.parts])
        factors = np.linalg.lstsq(curves.T, TARGETS[state.target], rcond=None)[0].tolist()
        strengths = [SHAPES[part["kind"]][-1] for part in state.parts]
        state.parts = [
            part | {name: part[name] * factor}
            for part, name, factor in zip(state.parts, strengths, factors, strict=True)
        ]


def _keep(state) -> None:
    if state.shown:
        state.parts, state.shown = [*state.parts, _draft(state)], False


def _remove(state) -> None:
    if state.shown:
        state.shown = False
    else:
        state.parts = state.parts[:-1]


def _show(state) -> None:
    state.shown = True


def _clear(state) -> None:
    state.parts, state.shown = [], True


def _draft(state) -> dict:
    """The part on the sliders."""
    return {name: getattr(state, name) for name in ("kind", *SHAPES[state.kind])}


def _parts(state) -> list[dict]:
    return state.parts + [_draft(state)] * state.shown


def _total(parts: list[dict]) -> NDArray:
    return sum((curve(part) for part in parts), np.zeros_like(X))


def describe(state) -> str:
    """Units spent, and how far the sum is from the target."""
    parts = _parts(state)
    error = np.abs(TARGETS[state.target] - _total(parts))
    units = sum(UNITS[part["kind"]] for part in parts)
    return (
        f"{units} hidden unit{'' if units == 1 else 's'} on the target '{state.target}': "
        f"largest error {error.max():.3f}, average error {error.mean():.3f}."
    )


def draw(state) -> viz.Picture:
    """Above the target and the sum, below each part by itself."""
    picture = viz.Picture(700, 430, alt=describe(state))
    parts, target = _parts(state), TARGETS[state.target]
    title = "the sum of all parts against the target"
    axes = picture.axes((0, 0, 700, 250), (0, 1), (-1.6, 1.6), "", "output", title)
    axes.line(X, target, viz.GREY, 6, 0.9).line(X, _total(parts), viz.BLUE, 2.5)
    axes.legend({"target": viz.GREY, "sum": viz.BLUE}, corner="top right")
    curves = [curve(part) for part in parts]
    limit = max(1.6, *(np.abs(y).max() * 1.1 for y in curves)) if curves else 1.6
    limit = 1.6 * 2 ** np.ceil(np.log2(limit / 1.6))
    title = "each part (dashed orange: the one on the sliders)"
    below = picture.axes((0, 250, 700, 180), (0, 1), (-limit, limit), "input x", "output", title)
    for index, y in enumerate(curves):
        draft = state.shown and index == len(curves) - 1
        below.line(X, y, viz.ORANGE if draft else viz.PURPLE, 2.5 if draft else 1.5, dash=draft)
    return picture


def build_the_bump() -> viz.Widget:
    """How few units draw the curve? Shape a part and keep it, or let the greedy choice place the next."""
    state = SimpleNamespace(parts=[], shown=True, target="sine", **START)
    controls = [
        viz.choice("target", "target", list(TARGETS), "sine"),
        viz.choice("kind", "part", [BUMP, RELU], BUMP, on_change=_show),
        viz.slider("position", "position", 0.0, 1.0, START["position"], 0.01, on_change=_show),
        viz.slider("width", "bump: width", 0.02, 1.0, START["width"], 0.01, on_change=_show),
        viz.slider("steepness", "bump: steepness", 5.0, 500.0, START["steepness"], log=True, on_change=_show),
        viz.slider("height", "bump: height", -2.0, 2.0, START["height"], 0.05, on_change=_show),
        viz.slider("slope", "corner: slope", -16.0, 16.0, START["slope"], 0.25, on_change=_show),
        viz.button("Keep this part", _keep),
        viz.button("Place the best next one", place_best),
        viz.button("Refit all heights", refit),
        viz.button("Remove the last", _remove),
    ]
    return viz.Widget(state, draw, controls, reset=_clear, describe=describe)
