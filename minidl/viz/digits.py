"""A pad to draw digits on: what is drawn, what a network sees of it, and what it says.

The ink is drawn by the browser itself, so that it follows the hand also while the kernel is busy. (A canvas
that is drawn by commands from Python, as ipycanvas's, shows a stroke only after the kernel has answered.)
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import traitlets

from minidl.data import center_digit

from .controls import button
from .picture import Picture
from .pointer import PointerView
from .theme import BLUE, GREY
from .widget import Widget

SIDE = 280  # pixels of the pad, ten for each that the network sees
PEN = 22  # pixels: after scaling about as broad as MNIST's strokes
NEAR = 2.0  # pixels: a stroke's points are at least this far apart
LEFT, TOP = 1, 26  # the pad's corner in the picture
WIDTH, HEIGHT = 680, 334
SEEN = 140  # pixels: the side of what the network sees, five for each of its own
INK, PAPER = "#1a1a1a", "#ffffff"  # as on paper in both themes

# One handwriting, in a square of 100 by 100: "x,y x,y ...", "|" lifts the pen, "/" in place of a space
# makes a corner.
SAMPLES = (
    "52,12 30,24 22,52 32,80 52,88 72,76 78,48 68,22 50,12",
    "38,26 54,12/52,88",
    "26,30 38,14 60,14 68,32 54,56 24,86/48,82 76,86",
    "28,18 52,10 68,26 46,46/70,58 66,82 42,90 24,78",
    "58,10 38,36 20,62/84,60 | 64,38 60,92",
    "72,12/36,14/32,44 56,42 72,60 62,84 40,90 24,80",
    "64,12 40,34 28,64 40,88 64,84 68,64 50,54 32,66",
    "22,16/78,14 60,46 46,90",
    "66,20 46,12 32,26 48,46 68,66 58,88 36,86 30,68 52,46 68,30 64,18",
    "68,30 52,12 32,22 34,42 54,46 68,30/66,60 58,90",
)


def read_strokes(text: str, size: float = SIDE) -> list[np.ndarray]:
    """Strokes written as text: "x,y x,y/x,y | x,y x,y" in a square of 100 by 100, y downwards.

    A smooth curve runs through the points; "/" between two points makes a corner, "|" lifts the pen.
    Returns: one array (n, 2) a stroke, in pixels of a square of this size.
    """
    strokes = []
    for stroke in text.split("|"):
        points = [
            [np.array(point.split(","), float) for point in piece.split()] for piece in stroke.split("/")
        ]
        joined = [[*before[-1:], *piece] for before, piece in zip([[], *points], points, strict=False)]
        strokes.append(np.concatenate([_curve(np.array(piece)) for piece in joined]) * size / 100)
    return strokes


def _curve(points: np.ndarray, pieces: int = 8) -> np.ndarray:
    """A Catmull-Rom curve through the points (n, 2)."""
    ends = np.concatenate([points[:1], points, points[-1:]])
    a, b, c, d = ends[:-3, None], ends[1:-2, None], ends[2:-1, None], ends[3:, None]  # (n - 1, 1, 2)
    t = np.linspace(0, 1, pieces + 1)[:-1, None]
    curve = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])


def rasterise(strokes: Sequence, size: int = SIDE, width: float = PEN) -> np.ndarray:
    """The picture of strokes drawn with a round pen: 0 paper, 1 ink, greys at the edges.

    Shape: strokes, each (n, 2) of x, y in pixels (y downwards) -> (size, size) float32.
    Each pixel's grey is how far it lies inside the nearest segment's edge, from half a pixel outside (0) to
    half a pixel inside (1).
    """
    far = np.full((size, size), np.inf, np.float32)  # to the nearest segment
    reach = width / 2 + 1
    for stroke in strokes:
        points = np.asarray(stroke, float)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise ValueError(
                f"rasterise: a stroke has shape {points.shape}; give finite points (n, 2) of x, y in pixels."
            )
        for a, b in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            low = np.clip(np.floor(np.minimum(a, b) - reach), 0, size).astype(int)
            high = np.clip(np.ceil(np.maximum(a, b) + reach), 0, size).astype(int)
            box = far[low[1] : high[1], low[0] : high[0]]
            np.minimum(box, _distance(low, high, a, b), out=box)
    return np.clip(width / 2 + 0.5 - far, 0, 1)


def _distance(low, high, a, b) -> np.ndarray:
    """From the centres of the pixels low...high to the segment from a to b."""
    x = np.arange(low[0], high[0], dtype=np.float32)[None, :] + np.float32(0.5 - a[0])
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None] + np.float32(0.5 - a[1])
    dx, dy = (np.float32(value) for value in b - a)
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, np.float32(1e-12)), 0, 1)
    return np.hypot(x - along * dx, y - along * dy)


class PadView(PointerView):
    """The pad in the page: a PointerView whose ink needs no answer from the kernel."""

    _esm = "".join(
        [
            Path(__file__).with_name("pointer.js").read_text().partition("export default")[0],
            Path(__file__).with_name("digits.js").read_text(),
        ]
    )
    drawn = traitlets.Int(0).tag(sync=True)  # strokes ended and in the picture
    ink = traitlets.Dict().tag(sync=True)


class InkWidget(Widget):
    """A widget with a square to draw in: `pad` is its left, top, side and the pen's width, in pixels.

    `state.drawn` counts the strokes that are ended and in the picture.
    """

    pad: tuple[int, int, int, int]

    def _make_view(self, size):
        x, y, side, width = self.pad
        ink = {"x": x, "y": y, "side": side, "width": width, "color": INK}
        self._pad = PadView(self.point, value=self.svg, ink=ink, layout=size)
        return self._pad

    def _look(self):
        picture, text = super()._look()
        if not self._closed:
            self._pad.drawn = self.state.drawn  # tells the page before the picture comes
        return picture, text


class DigitPad(InkWidget):
    """Draw a digit with mouse, pen, finger or keys, and see what a network makes of it.

    Args:
        predict: predict(image (28, 28) float32, 0 paper to 1 ink) -> ten probabilities. The image is
            centred and scaled by `data.center_digit`.
        strokes: what is drawn at first, each (n, 2) in pixels of the pad (280 x 280); a 3 by default. The
            first stroke of your own takes its place.

    `.strokes`, `.image` and `.probabilities` (None while the pad is empty) are what the pad shows.
    A pad with more to show has a `size` of its own and replaces `_explain`, `_tell` and `_touch`.
    """

    size = (WIDTH, HEIGHT)
    pad = (LEFT, TOP, SIDE, PEN)

    def __init__(self, predict: Callable, strokes: Sequence | None = None):
        strokes = read_strokes(SAMPLES[3]) if strokes is None else strokes
        state = SimpleNamespace(predict=predict, drawn=0, shown=3)
        _show(state, strokes)
        actions = [button("Undo", _undo), button("Draw one for me", _next_sample)]
        super().__init__(
            state, self._paint, actions, reset=_clear, describe=self._tell, on_pointer=self._touch
        )
        self._reset_button.description, self._reset_button.icon = "Clear", "eraser"
        self._reset_button.tooltip = "an empty pad (also the Delete key)"

    def _paint(self, state) -> Picture:
        """The pad, and what the network makes of what is on it."""
        if state.changed:
            _recognise(state)
        picture = Picture(*self.size, alt=f"A drawing pad. {self._tell(state)}")
        _draw_pad(picture, state)
        self._explain(picture, state)
        return picture

    def _explain(self, picture: Picture, state) -> None:
        _draw_answer(picture, state)

    def _tell(self, state) -> str:
        return _describe(state)

    def _touch(self, state, kind: str, x: float, y: float) -> None:
        _pointer(state, kind, x, y)

    def draw(self, strokes: Sequence) -> None:
        """Put these strokes on the pad, each (n, 2) in pixels, and return when it has answered."""
        self._post(lambda: _show(self.state, strokes))
        self.wait()

    @property
    def strokes(self) -> list[np.ndarray]:
        return [np.array(stroke) for stroke in self.state.strokes]

    @property
    def image(self) -> np.ndarray:
        return self.state.image

    @property
    def probabilities(self) -> np.ndarray | None:
        return self.state.probabilities


# What changes the state


def _show(state, strokes) -> None:
    """Strokes that are not the learner's own: the first own one replaces them."""
    state.strokes = [np.asarray(stroke, float).tolist() for stroke in strokes]
    state.own, state.pressed, state.changed = False, False, True


def _clear(state) -> None:
    _show(state, [])


def _undo(state) -> None:
    state.strokes, state.pressed, state.changed = state.strokes[:-1], False, True


def _next_sample(state) -> None:
    state.shown = (state.shown + 1) % 10
    _show(state, read_strokes(SAMPLES[state.shown]))


def _pointer(state, kind: str, x: float, y: float) -> None:
    at = (x - LEFT, y - TOP)
    inside = all(0 <= value <= SIDE for value in at)
    if kind == "clear":
        _clear(state)
    elif kind == "down" and inside:
        state.strokes = [*(state.strokes if state.own else []), [at]]
        state.own = state.pressed = state.changed = True
    elif kind == "move" and state.pressed:
        at = tuple(min(max(value, 0.0), float(SIDE)) for value in at)
        if math.dist(at, state.strokes[-1][-1]) >= NEAR:
            state.strokes[-1].append(at)
            state.changed = True
    elif kind == "up" and state.pressed:
        state.pressed = False
        state.drawn += 1


def _recognise(state) -> None:
    """Bring image and probabilities up to date with the strokes."""
    drawing = rasterise(state.strokes)
    if not drawing.any():
        state.image, state.probabilities = np.zeros((28, 28), np.float32), None
    else:
        state.image = center_digit(drawing)
        found = np.asarray(state.predict(state.image), float)
        if found.size != 10 or not np.isfinite(found).all() or abs(found.sum() - 1) > 0.01 or found.min() < 0:
            raise ValueError(
                f"DigitPad: predict(image (28, 28)) returned shape {found.shape}, sum {found.sum():.3g}; it "
                "must return ten probabilities that add up to 1. Fix: softmax of the network's ten outputs"
            )
        state.probabilities = found.ravel()
    state.changed = False


# What is seen


def _percent(p: float) -> str:
    return "over 99 %" if p > 0.99 else "under 1 %" if p < 0.01 else f"{100 * p:.0f} %"


def _describe(state) -> str:
    if state.probabilities is None:
        return "The pad is empty: draw a digit, large."
    best = int(state.probabilities.argmax())
    return f"Read as {best}, probability {_percent(state.probabilities[best])}."


def _draw_answer(picture: Picture, state) -> None:
    """The network's view of the pad with the answer, and the ten probabilities."""
    left = LEFT + SIDE + 30
    picture.text(left, 16, "the network sees", bold=True)
    picture.heatmap(state.image, (left, TOP, SEEN, SEEN), "gray").rect(left, TOP, SEEN, SEEN, opacity=0.4)
    picture.text(left, TOP + SEEN + 18, "28 × 28, centred", 12)
    if state.probabilities is not None:
        best = int(state.probabilities.argmax())
        picture.text(left, TOP + SEEN + 56, "and reads")
        picture.text(left + 112, TOP + SIDE - 6, str(best), 90, "middle", color=BLUE, bold=True)
        _draw_bars(picture, state.probabilities, left + SEEN + 34)


def _draw_pad(picture: Picture, state) -> None:
    picture.text(LEFT, 16, "your digit", bold=True)
    picture.rect(LEFT, TOP, SIDE, SIDE, PAPER, GREY)
    if not state.strokes:
        picture.text(LEFT + SIDE / 2, TOP + SIDE / 2, "draw here", 18, "middle", "middle", GREY)
    for stroke in state.strokes:
        x, y = (np.array(stroke) + np.array([LEFT, TOP])).T
        if len(stroke) == 1:
            picture.circle(x[0], y[0], PEN / 2, INK, "none")
        picture.line(x, y, INK, PEN)
    hint = "keys: arrows move, space draws, Delete clears"
    if state.strokes and not state.own:
        hint = "your first stroke clears the pad"
    picture.text(LEFT, TOP + SIDE + 18, hint, 12)


def _draw_bars(picture: Picture, probabilities: np.ndarray, left: float) -> None:
    picture.text(left, 16, "probability", bold=True)
    step, length = SIDE / 10, 90
    for digit, p in enumerate(probabilities):
        middle, best = TOP + (digit + 0.5) * step, digit == probabilities.argmax()
        picture.text(left, middle, str(digit), 14, valign="middle", bold=best)
        picture.rect(left + 16, middle - 9, max(1.0, length * p), 18, BLUE if best else GREY, "none")
        if p >= 0.01:
            picture.text(left + 22 + length * p, middle, _percent(p), 12, valign="middle")
