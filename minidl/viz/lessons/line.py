"""The first widget of the course: a straight line finds its place among points, by itself or by hand."""

from types import SimpleNamespace

import numpy as np

from minidl import viz

TRUE_W, TRUE_B, NOISE = 1.5, 0.5, 0.4


def points(n: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x and y, each (n,): y = 1.5 x + 0.5 and a little noise."""
    generator = np.random.default_rng(seed)
    x = np.linspace(-2, 2, n)
    return x, TRUE_W * x + TRUE_B + NOISE * generator.standard_normal(n)


X, Y = points()


def error(w: float, b: float) -> float:
    """Mean squared error of the line w x + b."""
    return float(np.mean((w * X + b - Y) ** 2))


def step(state) -> None:
    """One step of gradient descent on the mean squared error; stops when the line has flown off."""
    off = state.w * X + state.b - Y
    state.w -= state.lr * 2 * float(np.mean(off * X))
    state.b -= state.lr * 2 * float(np.mean(off))
    state.steps += 1
    state.errors.append(error(state.w, state.b))
    if state.errors[-1] > 1e6:
        raise StopIteration


def by_hand(state) -> None:
    """Take the line from the sliders and begin a new curve."""
    state.w, state.b, state.steps = state.hand_w, state.hand_b, 0
    state.errors = [error(state.w, state.b)]


def draw(state) -> viz.Picture:
    """The points with the line, and the error so far."""
    picture = viz.Picture(640, 300, alt=describe(state))
    left = picture.axes((0, 0, 330, 300), (-2.2, 2.2), (-4, 5), "x", "y", "the line among the points")
    left.points(X, Y, color=viz.BLUE, r=4)
    ends = np.array([-2.2, 2.2])
    left.line(ends, np.clip(state.w * ends + state.b, -1e4, 1e4), color=viz.ORANGE, width=3)
    errors = np.clip(state.errors[-200:], 0, 10)
    first = max(state.steps - len(errors) + 1, 0)
    right = picture.axes((340, 0, 300, 300), (first, first + 60 + max(len(errors) - 60, 0)), (0, 10), "step",
                         "mean squared error", "the error so far")  # fmt: skip
    right.line(first + np.arange(len(errors)), errors, color=viz.ORANGE, width=2)
    return picture


def describe(state) -> str:
    """One sentence for the status line."""
    return (
        f"Step {state.steps}: y = {state.w:.2f} x + {state.b:.2f}, mean squared error {state.errors[-1]:.3g}."
    )


def widget() -> viz.Widget:
    """Play, step, reset; the line by hand; the learning rate."""
    state = SimpleNamespace(w=0.0, b=0.0, hand_w=0.0, hand_b=0.0, lr=0.05, steps=0, errors=[error(0, 0)])
    controls = [
        viz.slider("hand_w", "slope w", -3.0, 3.0, 0.0, step=0.1, on_change=by_hand),
        viz.slider("hand_b", "offset b", -3.0, 3.0, 0.0, step=0.1, on_change=by_hand),
        viz.slider("lr", "learning rate", 0.01, 1.2, 0.05, log=True),
    ]
    return viz.Widget(state, draw, controls, step=step, describe=describe)
