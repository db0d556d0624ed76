"""A ball on a surface: gradient descent in two weights, with the stability bound beside the learning rate."""

from functools import lru_cache
from types import SimpleNamespace

import contourpy
import numpy as np
from numpy.typing import NDArray

from ..controls import choice, slider
from ..picture import Axes, Picture
from ..theme import GREEN, GREY, ORANGE, RED, SEQUENTIAL
from ..widget import Widget

BOWL, RAVINE, MINIMA = "bowl", "curved ravine", "two minima"
START = {BOWL: (-2.2, 1.1), RAVINE: (-1.9, 1.2), MINIMA: (0.5, 1.2)}
XLIM, YLIM = (-2.5, 2.5), (-1.5, 1.5)
LEVELS = 0.05 * 2.0 ** np.arange(11)  # of the contour lines, above the lowest point of the surface
FAR = 1e3  # a ball this far from the middle has diverged
REST = 1e-5  # a slope below this counts as level ground
SIZE = 780, 340  # pixels of the picture
MAP, CURVE = (0, 0, 490, 340), (500, 72, 280, 268)  # the boxes of the map and of the loss
GAUGE = 516, 18, 252, 50  # the box of the scale of learning rates
RATES = 0.01, 4.0  # its ends
FLOOR = 1e-9  # the smallest loss that the curve shows


def loss(kind: str, stretch: float, a, b):
    """The height of the surface at (a, b): numbers or arrays of one shape."""
    if kind == BOWL:
        return (a**2 + stretch * b**2) / 2
    if kind == RAVINE:
        return (a - 1) ** 2 / 8 + 2 * (b + 1 - a**2 / 2) ** 2
    return (a**2 - 1.7) ** 2 / 4 + a / 4 + b**2


def gradient(kind: str, stretch: float, a: float, b: float) -> NDArray:
    """The two partial derivatives of `loss`: (2,)."""
    if kind == BOWL:
        return np.array([a, stretch * b])
    if kind == RAVINE:
        off = b + 1 - a**2 / 2  # how far from the floor of the ravine
        return np.array([(a - 1) / 4 - 4 * a * off, 4 * off])
    return np.array([a * (a**2 - 1.7) + 1 / 4, 2 * b])


def hessian(kind: str, stretch: float, a: float, b: float) -> NDArray:
    """The second partial derivatives of `loss`: (2, 2)."""
    if kind == BOWL:
        return np.diag([1.0, stretch])
    if kind == RAVINE:
        off = b + 1 - a**2 / 2
        return np.array([[1 / 4 - 4 * off + 4 * a**2, -4 * a], [-4 * a, 4.0]])
    return np.diag([3 * a**2 - 1.7, 2.0])


def bound(kind: str, stretch: float, a: float, b: float) -> float:
    """2 / λ with the largest curvature λ at (a, b): larger learning rates overshoot ever farther."""
    return 2 / float(np.linalg.eigvalsh(hessian(kind, stretch, a, b))[-1])  # every surface has λ > 0


def ball() -> Widget:
    """Gradient descent on three surfaces: click to place the ball, change the learning rate as it rolls."""
    state = SimpleNamespace(kind=BOWL, stretch=10.0, lr=0.1)
    _restart(state)
    controls = [
        choice("kind", "Surface", [BOWL, RAVINE, MINIMA], state.kind, _restart),
        slider(
            "stretch", "Stretch of the bowl", 1.0, 100.0, state.stretch, 0.04, log=True, on_change=_forget
        ),
        slider("lr", "Learning rate", *RATES, state.lr, 0.02, log=True),
    ]
    return Widget(state, _draw, controls, step=_step, describe=_describe, on_pointer=_place)


# The state: kind, stretch, lr, and the path: the places (a, b) of the ball so far.


def _restart(state) -> None:
    """Put the ball at the place where this surface begins."""
    state.path = [START[state.kind]]


def _forget(state) -> None:
    """The surface has changed under the ball: a new path from where it began."""
    state.path = state.path[:1]


def _step(state) -> None:
    """One step of gradient descent; nothing is left to do on level ground, or when the ball has diverged."""
    if _diverged(state) or _at_rest(state):
        raise StopIteration
    place = np.array(state.path[-1]) - state.lr * _slope(state)
    state.path.append(tuple(place.tolist()))


def _place(state, kind: str, px: float, py: float) -> None:
    """Press or drag: the ball goes there, and a new path begins."""
    axes = _map(Picture(*SIZE), state)
    if kind != "up" and axes.contains(px, py):
        state.path = [axes.inverse(px, py)]


def _slope(state) -> NDArray:
    return gradient(state.kind, state.stretch, *state.path[-1])


def _bound(state) -> float:
    return bound(state.kind, state.stretch, *state.path[-1])


def _diverged(state) -> bool:
    return max(map(abs, state.path[-1])) > FAR


def _at_rest(state) -> bool:
    return float(np.linalg.norm(_slope(state))) < REST


def _describe(state) -> str:
    steps, (a, b) = len(state.path) - 1, state.path[-1]
    if _diverged(state):
        first = bound(state.kind, state.stretch, *state.path[0])
        return (
            f"Diverged after {steps} steps with the learning rate {state.lr:.3g};"
            f" the bound 2/λ was {first:.3g} where the ball began."
        )
    height, limit = loss(state.kind, state.stretch, a, b), _bound(state)
    side = "below" if state.lr < limit else "NOT below"
    rest = ", at rest" if _at_rest(state) else ""
    return (
        f"Step {steps}: ball at ({a:.2f}, {b:.2f}){rest}, loss {height:.3g};"
        f" the learning rate {state.lr:.3g} is {side} the bound 2/λ = {limit:.3g} here."
    )


# Drawing


@lru_cache(maxsize=32)
def _relief(kind: str, stretch: float) -> tuple[NDArray, list[NDArray]]:
    """The bands between the contour lines, as colours from 0 to 1, and the lines, each (points, 2)."""
    a, b = np.linspace(*XLIM, 160), np.linspace(*YLIM, 96)
    heights = loss(kind, stretch, *np.meshgrid(a, b))
    heights = heights - heights.min()
    contours = contourpy.contour_generator(a, b, heights)
    lines = [np.vstack([line[::3], line[-1:]]) for level in LEVELS for line in contours.lines(level)]
    return np.digitize(heights, LEVELS) / len(LEVELS), lines


def _map(picture: Picture, state) -> Axes:
    labels = {"xlabel": "weight a", "ylabel": "weight b", "title": f"{state.kind}, from above"}
    return picture.axes(MAP, XLIM, YLIM, **labels, equal=True)


def _draw(state) -> Picture:
    picture = Picture(*SIZE)
    axes = _map(picture, state)
    bands, lines = _relief(state.kind, state.stretch)
    axes.heatmap(0.6 * bands, SEQUENTIAL)
    for line in lines:
        axes.line(*line.T, color=GREY, width=1, opacity=0.7)
    recent = np.array(state.path[-400:])
    axes.line(*recent.T, color=ORANGE)
    axes.points(*recent[-100:].T, color=ORANGE, r=3, stroke="none")
    axes.points(*recent[-1:].T, color=ORANGE, r=9)
    _draw_gauge(picture, state)
    _draw_curve(picture, state)
    return picture


def _draw_gauge(picture: Picture, state) -> None:
    """A scale of learning rates: green below the bound at the ball, red above it, and the chosen one."""
    left, top, width, _ = GAUGE
    limit = _bound(state)

    def at(lr: float) -> float:
        return left + width * float(np.log(np.clip(lr, *RATES) / RATES[0]) / np.log(RATES[1] / RATES[0]))

    picture.text(left, top, f"rate {state.lr:.2g}", bold=True)
    picture.text(left + width, top, f"bound 2/λ here: {limit:.2g}", anchor="end")
    picture.rect(left, top + 20, at(limit) - left, 12, fill=GREEN)
    picture.rect(at(limit), top + 20, left + width - at(limit), 12, fill=RED)
    picture.polygon(at(state.lr) + np.array([-8, 8, 0]), top + np.array([8, 8, 22]), fill=None)
    for lr in (0.01, 0.1, 1):
        picture.line([at(lr)] * 2, [top + 32, top + 37], width=1)
        picture.text(at(lr), top + 40, lr, size=12, anchor="middle", valign="top")


def _draw_curve(picture: Picture, state) -> None:
    """The loss above the lowest point, after each step."""
    steps, path = len(state.path) - 1, np.array(state.path).T
    heights = np.maximum(loss(state.kind, state.stretch, *path) - _lowest(state.kind), FLOOR)
    right = max(20, 2 ** int(np.ceil(np.log2(steps + 1))))
    end = "diverged" if _diverged(state) else "at rest" if _at_rest(state) else ""
    title = end or "loss above the lowest point"
    axes = picture.axes(CURVE, (0, right), (FLOOR / 3, 1e6), "step", "", title, log="y")
    axes.line(np.arange(steps + 1), heights, color=ORANGE)
    axes.points([steps], heights[-1:], color=ORANGE, r=5)


@lru_cache(maxsize=3)
def _lowest(kind: str) -> float:
    """The loss at the deepest point: 0, except on the surface with two minima."""
    if kind != MINIMA:
        return 0.0
    return float(loss(kind, 1.0, np.linspace(-2, 0, 100_001), 0.0).min())
