"""The kernel painter and the figures of notebook 17: paint a small kernel, see what it makes of a picture."""

import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike, NDArray

from minidl import no_grad, tensor
from minidl.nn import functional as F

from ..controls import button, choice, slider
from ..digits import NEAR, SAMPLES, InkWidget, rasterise, read_strokes
from ..picture import Picture
from ..theme import BLUE, DIVERGING, GREEN, GREY, INK, ORANGE, PURPLE, SEQUENTIAL

CAT, PAPER, OWN = "the cat", "paper", "your own"
SIDE = 150  # pixels of the pictures, each shown as a square of ZOOM x ZOOM
ZOOM = 2
PEN = 9  # pixels of the picture: the width of a stroke
LARGEST = 5  # side of the largest kernel
FRAME = 36  # side of the frames around digits
BRUSHES = (-4, -2, -1, 0, 1, 2, 4)
STRONG = 0.4  # a response of this size has the full colour

SIZE = 806, 368  # pixels of the whole widget
LEFT, MIDDLE, RIGHT, TOP = 1, 327, 505, 26
GRID, SWATCHES, LENS = (MIDDLE, TOP, 150), (MIDDLE, 188, 20), (MIDDLE, 238, 90)  # left, top, side

KERNELS = {
    "Sobel x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Sobel y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "blur": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "two pixels aside": [[0] * 5, [0] * 5, [0, 0, 0, 0, 1], [0] * 5, [0] * 5],
}


def respond(x: NDArray, w: NDArray) -> NDArray:
    """The kernel w (K, K) at every place of x (H, W), by minidl: (H - K + 1, W - K + 1)."""
    one = [tensor(np.ascontiguousarray(a, np.float32)[None, None]) for a in (x, w)]
    with no_grad():
        return F.conv2d(*one).numpy()[0, 0]


class KernelPainter(InkWidget):
    """Paint a kernel with mouse, pen or keys; a photograph, or what you draw on it, answers at once.

    Args:
        photo: a grey picture (150, 150), 0 black to 1 white.

    `.image` (150, 150), `.kernel` (3, 3) or (5, 5) and `.response`, the plain sums of products, are what is
    shown. The picture of the response divides by `.divisor`.
    """

    pad = (LEFT, TOP, SIDE * ZOOM, PEN * ZOOM)

    def __init__(self, photo: ArrayLike):
        photo = np.asarray(photo, np.float32)
        if photo.shape != (SIDE, SIDE) or not (photo >= 0).all() or not (photo <= 1).all():
            raise ValueError(
                f"KernelPainter: photo has shape {photo.shape}; give a grey picture ({SIDE}, {SIDE}), 0 to 1."
            )
        first = next(iter(KERNELS))
        state = SimpleNamespace(photo=photo, ground=CAT, preset=first, size=3, brush=1, drawn=0)
        _restart(state)
        controls = [
            button("Turn by 180°", self._turn),
            button("Empty kernel", self._empty),
            button("Wipe your ink", _wipe),
            choice("ground", "Picture", [CAT, PAPER], CAT, _picture_changed),
            choice("preset", "Kernel", [*KERNELS, OWN], first, self._load),
            choice("size", "Size", {"3 × 3": 3, "5 × 5": 5}, 3, self._resize),
            slider("brush", "Paint with", min(BRUSHES), max(BRUSHES), 1),
        ]
        super().__init__(state, _draw, controls, reset=_restart, describe=_describe, on_pointer=self._touch)

    @property
    def image(self) -> NDArray:
        return self.state.image

    @property
    def kernel(self) -> NDArray:
        return _kernel(self.state)

    @property
    def response(self) -> NDArray:
        return self.state.response

    @property
    def divisor(self) -> float:
        return _divisor(self.kernel)[0]

    def paint(self, kernel: ArrayLike) -> None:
        """Put a kernel (3, 3) or (5, 5) in place, and return when the picture has answered."""
        kernel = np.asarray(kernel, float)
        if kernel.shape not in ((3, 3), (5, 5)):
            raise ValueError(f"KernelPainter.paint: kernel has shape {kernel.shape}; give (3, 3) or (5, 5).")
        self._post(lambda: self._put(kernel))
        self.wait()

    # What changes the kernel. The choices follow what is painted; the learner's own kernel has no name.

    def _put(self, kernel: NDArray, name: str = OWN) -> None:
        state = self.state
        state.size, state.cells = len(kernel), _padded(kernel)
        state.preset = name
        for control in ("size", "preset"):
            self.controls[control].value = getattr(state, control)

    def _load(self, state) -> None:
        """A kernel was chosen by its name."""
        if state.preset != OWN:
            self._put(np.array(KERNELS[state.preset], float), state.preset)

    def _resize(self, state) -> None:
        """The size was chosen: what does not fit is cut off."""
        kept = _padded(_kernel(state))
        if not np.array_equal(kept, state.cells):
            self._put(_kernel(state))

    def _turn(self, state) -> None:
        self._put(_kernel(state)[::-1, ::-1])

    def _empty(self, state) -> None:
        self._put(np.zeros((state.size, state.size)))

    def _touch(self, state, kind: str, x: float, y: float) -> None:
        """Ink on the picture, a brush's value on the kernel, a place on the response."""
        if kind == "clear":
            _wipe(state)
            return
        if kind == "down":
            state.grip = next((name for name, box in _areas(state).items() if _inside(box, x, y)), None)
            state.paints = state.brush
        if state.grip == "ink":
            _ink(state, kind, x, y)
        elif state.grip == "swatches":
            self.controls["brush"].value = state.brush = BRUSHES[_cell(_areas(state)["swatches"], 7, x, y)[1]]
        elif state.grip == "kernel":
            self._paint_cell(state, kind, *_cell(_areas(state)["kernel"], state.size, x, y))
        elif state.grip == "response":
            left, top, _, _ = _areas(state)["response"]
            most = SIDE - state.size
            state.place = [int(np.clip((at - start) // ZOOM, 0, most)) for at, start in ((y, top), (x, left))]
        if kind == "up":
            state.grip = None

    def _paint_cell(self, state, kind: str, row: int, column: int) -> None:
        """Set a cell to the brush's value; pressing on a cell that has it empties the cell."""
        kernel = _kernel(state).copy()
        if kind == "down" and kernel[row, column] == state.brush:
            state.paints = 0
        if kernel[row, column] != state.paints:
            kernel[row, column] = state.paints
            self._put(kernel)


# The state: photo, ground, preset, size, brush (controls); cells (5, 5), the kernel with zeros around it;
# strokes, own (are they the learner's?), drawn (strokes so far), image; place, the window's corner; grip,
# what the pointer holds; paints, the value under the brush.


def _restart(state) -> None:
    """Everything as at first; the ink that the page has counted stays counted."""
    state.cells, state.place, state.grip = _padded(np.array(KERNELS[next(iter(KERNELS))])), [55, 73], None
    state.paints = 1
    _wipe(state)


def _padded(kernel: NDArray) -> NDArray:
    return np.pad(np.asarray(kernel, float), (LARGEST - len(kernel)) // 2)


def _kernel(state) -> NDArray:
    rim = (LARGEST - state.size) // 2
    return state.cells[rim : LARGEST - rim, rim : LARGEST - rim]


def _wipe(state) -> None:
    state.strokes, state.own = [], False
    _picture_changed(state)


def _picture_changed(state) -> None:
    """The picture with the ink on it. Paper without ink of one's own shows a digit."""
    if not state.own:
        state.strokes = [stroke.tolist() for stroke in _sample()] if state.ground == PAPER else []
    ink = rasterise([np.array(stroke) for stroke in state.strokes], SIDE, PEN)
    state.image = np.minimum(state.photo if state.ground == CAT else 1, 1 - ink).astype(np.float32)


def _sample() -> list[NDArray]:
    return read_strokes(SAMPLES[3], SIDE)


def _ink(state, kind: str, x: float, y: float) -> None:
    at = [min(max((x - LEFT) / ZOOM, 0.0), float(SIDE)), min(max((y - TOP) / ZOOM, 0.0), float(SIDE))]
    if kind == "down":
        state.strokes, state.own = [*(state.strokes if state.own else []), [at]], True
    elif kind == "move" and ZOOM * math.dist(at, state.strokes[-1][-1]) >= NEAR:
        state.strokes[-1].append(at)
    elif kind == "up":
        state.drawn += 1
    _picture_changed(state)


def _areas(state) -> dict[str, tuple]:
    """Where the widget can be pressed: (left, top, width, height) in pixels."""
    reach = ZOOM * (SIDE - state.size + 1)
    rim = ZOOM * (state.size // 2)
    left, top, side = GRID
    return {
        "ink": (LEFT, TOP, ZOOM * SIDE, ZOOM * SIDE),
        "kernel": (left, top, side, side),
        "swatches": (SWATCHES[0], SWATCHES[1], len(BRUSHES) * (SWATCHES[2] + 1), SWATCHES[2]),
        "response": (RIGHT + rim, TOP + rim, reach, reach),
    }


def _inside(box: tuple, x: float, y: float) -> bool:
    left, top, width, height = box
    return left <= x < left + width and top <= y < top + height


def _cell(box: tuple, columns: int, x: float, y: float) -> tuple[int, int]:
    """The row and column of square cells that a pointer is in, or nearest to."""
    left, top, width, height = box
    side = width / columns
    rows = max(1, round(height / side))
    return int(np.clip((y - top) // side, 0, rows - 1)), int(np.clip((x - left) // side, 0, columns - 1))


def _divisor(kernel: NDArray) -> tuple[float, bool]:
    """What the shown response is divided by, and whether it is a picture (grey) or differences (colours).

    Weights with a positive sum make a picture: divided by the sum, grey stays as bright as it was. Other
    weights take differences: divided by the larger of their two sides, these lie between -1 and 1.
    """
    total = float(kernel.sum())
    if total > 1e-9:
        return total, True
    return max(float(kernel.clip(0).sum()), float(-kernel.clip(max=0).sum())) or 1.0, False


def _describe(state) -> str:
    kernel, (row, column) = _kernel(state), state.place
    grey = "a picture again" if _divisor(kernel)[1] else "differences"
    return (
        f"A kernel of {state.size} × {state.size} whose weights add up to {kernel.sum():g} makes {grey} of"
        f" {state.ground}. In the window at row {row}, column {column} the products sum up to"
        f" {state.response[row, column]:+.2f}."
    )


# Drawing


def _draw(state) -> Picture:
    kernel = _kernel(state)
    state.place = [min(at, SIDE - state.size) for at in state.place]
    state.response = respond(state.image, kernel)
    picture = Picture(*SIZE)
    _draw_image(picture, state)
    _draw_kernel(picture, state, kernel)
    _draw_lens(picture, state, kernel)
    _draw_response(picture, state, kernel)
    return picture


def _draw_image(picture: Picture, state) -> None:
    picture.text(LEFT, 16, "the picture: draw on it", bold=True)
    box = _areas(state)["ink"]
    picture.heatmap(state.image, box, "gray").rect(*box, opacity=0.4)
    row, column = state.place
    side = ZOOM * state.size
    picture.rect(LEFT + ZOOM * column - 1, TOP + ZOOM * row - 1, side + 2, side + 2, stroke=ORANGE, width=2)
    for line, text in enumerate(
        ("keys: Tab to the picture, arrows move, space", "presses; Delete wipes the ink")
    ):
        picture.text(LEFT, TOP + ZOOM * SIDE + 18 + 16 * line, text, 12)


def _draw_kernel(picture: Picture, state, kernel: NDArray) -> None:
    """The kernel's cells with their weights, and the values to paint with."""
    left, top, side = GRID
    picture.text(left, 16, "the kernel: paint it", bold=True)
    picture.heatmap(kernel, (left, top, side, side), DIVERGING, low=-max(BRUSHES), high=max(BRUSHES))
    cell = side / state.size
    for (row, column), weight in np.ndenumerate(kernel):
        x, y = left + cell * column, top + cell * row
        picture.rect(x, y, cell, cell, stroke=GREY)
        text = f"{weight:g}".replace("-", "−")
        picture.text(x + cell / 2, y + cell / 2, text, 16, "middle", "middle", INK, bold=weight != 0)
    left, top, side = SWATCHES
    for number, value in enumerate(BRUSHES):
        x, chosen = left + number * (side + 1), value == state.brush
        picture.heatmap([[value]], (x, top, side, side), DIVERGING, low=-max(BRUSHES), high=max(BRUSHES))
        picture.rect(x, top, side, side, stroke=None if chosen else GREY, width=2.5 if chosen else 1)
        text = f"{value}".replace("-", "−")
        picture.text(x + side / 2, top + side / 2, text, 11, "middle", "middle", INK, bold=chosen)


def _draw_lens(picture: Picture, state, kernel: NDArray) -> None:
    """The pixels under the window, and the sum of their products with the kernel."""
    left, top, side = LENS
    row, column = state.place
    patch = state.image[row : row + state.size, column : column + state.size]
    picture.text(left, top - 8, "the window sees", 12, bold=True)
    picture.heatmap(patch, (left, top, side, side), "gray").rect(
        left, top, side, side, stroke=ORANGE, width=2
    )
    cell = side / state.size
    for (i, j), value in np.ndenumerate(patch if state.size == 3 else np.empty((0, 0))):
        ink = "#ffffff" if value < 0.5 else INK
        picture.text(
            left + cell * (j + 0.5), top + cell * (i + 0.5), f"{value:.2f}", 11, "middle", "middle", ink
        )
    total = f"sum of products {state.response[row, column]:+.2f}".replace("-", "−")
    picture.text(left, top + side + 18, total, 12, bold=True)


def _draw_response(picture: Picture, state, kernel: NDArray) -> None:
    divisor, grey = _divisor(kernel)
    picture.text(RIGHT, 16, f"the response, ÷ {divisor:g}", bold=True)
    picture.rect(RIGHT, TOP, ZOOM * SIDE, ZOOM * SIDE, opacity=0.4)
    shown = state.response / divisor
    look = ("gray", 0.0, 1.0) if grey else (DIVERGING, -STRONG, STRONG)
    box = _areas(state)["response"]
    picture.heatmap(shown, box, *look)
    row, column = state.place
    x, y = box[0] + ZOOM * (column + 0.5), box[1] + ZOOM * (row + 0.5)
    picture.rect(x - 5, y - 5, 10, 10, stroke=ORANGE, width=2)
    key = "black is 0, white is 1" if grey else f"blue is positive, to {STRONG}, orange negative"
    for line, text in enumerate((key, "press on it to move the window")):
        picture.text(RIGHT, TOP + ZOOM * SIDE + 18 + 16 * line, text, 12)


# Figures


def plot_window(x: ArrayLike, w: ArrayLike, y: ArrayLike, place: tuple[int, int]) -> plt.Figure:
    """A picture, a kernel and the sums of products as numbers; the window at a place is framed."""
    x, w, y = (np.asarray(a) for a in (x, w, y))
    parts = {"picture x": x, "kernel w": w, "response y": y}
    fig, panels = plt.subplots(1, 3, figsize=(8, 3), width_ratios=[len(a) for a in parts.values()])
    for ax, (title, values) in zip(panels, parts.items(), strict=True):
        ax.imshow(values, DIVERGING, vmin=-6, vmax=6)
        for (row, column), value in np.ndenumerate(values):
            ax.text(column, row, f"{value:g}", ha="center", va="center")
        ax.set_title(title, fontsize=11)
        ax.set(xticks=range(values.shape[1]), yticks=range(len(values)), xlabel="column")
    panels[0].set_ylabel("row")
    (row, column), k = place, len(w)
    frame = {"fill": False, "edgecolor": ORANGE, "linewidth": 3, "clip_on": False}
    panels[0].add_patch(plt.Rectangle((column - 0.5, row - 0.5), k, k, **frame))
    panels[2].add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))
    return fig


def plot_edges(photo: NDArray, responses: dict[str, NDArray]) -> plt.Figure:
    """A grey photograph, responses to it (blue positive, orange negative), and last an amount (from 0)."""
    fig, panels = plt.subplots(1, 1 + len(responses), figsize=(9.5, 2.8), sharey=True)
    panels[0].imshow(photo, "gray")
    panels[0].set_title("the photograph", fontsize=11)
    for ax, (name, y) in zip(panels[1:], responses.items(), strict=True):
        limit = float(np.quantile(np.abs(y), 0.99))
        colormap, low = (SEQUENTIAL, 0) if y.min() >= 0 else (DIVERGING, -limit)
        ax.imshow(y, colormap, vmin=low, vmax=limit)
        ax.set_title(name, fontsize=11)
    for ax in panels:
        ax.set(xlabel="column (pixels)", xticks=[0, 50, 100], yticks=[0, 50, 100])
    panels[0].set_ylabel("row (pixels)")
    return fig


def plot_matrix(matrix: NDArray, kernel: NDArray) -> plt.Figure:
    """The matrix (places, pixels) that does what a kernel does; each weight of the kernel has its colour."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.4), width_ratios=[1, 3.4])
    for ax, values in ((left, kernel), (right, matrix)):
        ax.imshow(np.where(values == 0, np.nan, values), "tab10", vmin=1, vmax=10)
    for (row, column), value in np.ndenumerate(kernel):
        color = _legible(left.images[0].to_rgba(value))
        left.text(column, row, f"{value:g}", ha="center", va="center", color=color, weight="bold")
    for row, column in np.argwhere(matrix):
        value = matrix[row, column]
        color = _legible(right.images[0].to_rgba(value))
        right.text(column, row, f"{value:g}", ha="center", va="center", color=color, fontsize=8)
    left.set(xticks=[], yticks=[])
    left.set_title("nine weights", fontsize=11)
    right.set_title("the same as a linear layer: white is a weight 0", fontsize=11)
    right.set(xlabel="pixel of the picture, 6 × 6 = 36", ylabel="place of the response")
    return fig


def _legible(ground: tuple[float, ...]) -> str:
    """White or dark ink, by the luminance (WCAG 2.2) of the colour (red, green, blue, ...) under it."""
    channels = np.array(ground[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return INK if linear @ (0.2126, 0.7152, 0.0722) > 0.2 else "white"  # at 0.2 both have 4.2:1


STYLES = (("o:", GREY), ("s--", ORANGE), ("^-", BLUE), ("D-", GREEN))


def plot_slides(shares: dict[str, NDArray]) -> plt.Figure:
    """Shares of right answers (seeds, pixels slid from 0 on): thin lines the seeds, thick ones the mean."""
    fig, ax = plt.subplots(figsize=(7.2, 3.8))
    for (name, runs), (style, color) in zip(shares.items(), STYLES, strict=False):
        runs = 100 * np.asarray(runs)
        ax.plot(runs.T, style[1:], color=color, linewidth=0.8, alpha=0.5)
        ax.plot(runs.mean(axis=0), style, color=color, markersize=5, label=name)
    ax.axhline(10, color=PURPLE, linewidth=1)
    ax.text(0, 11.5, "guessing", color=PURPLE, fontsize=10)
    ax.set(xlabel="slid by (pixels)", ylabel="read right (%)", ylim=(0, 104))
    ax.set_xticks(range(np.shape(next(iter(shares.values())))[1]))
    ax.set_title("Trained in the middle, tested aside")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)
    return fig


def plot_drift(drifts: dict[str, NDArray]) -> plt.Figure:
    """How far what the last layer hears has moved from where it was, against the slide in pixels."""
    fig, ax = plt.subplots(figsize=(7.2, 3.2))
    for (name, drift), (style, color) in zip(drifts.items(), STYLES[1:], strict=False):
        ax.plot(drift, style, color=color, markersize=5, label=name)
    ax.set(
        xlabel="slid by (pixels)",
        ylabel="change of the features\n(share of their length)",
        ylim=(-0.05, None),
    )
    ax.set_xticks(range(len(drift)))
    ax.set_title("Nearly back at every full stride")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)
    return fig


def centred(images: ArrayLike) -> NDArray:
    """Digits (N, 28, 28) of bytes, cut out and put in the middle of frames (N, 1, 36, 36) of 0 to 1.

    MNIST's ink is at most 20 pixels high and wide: 8 on each side are free.
    """
    frames = np.zeros((len(images), 1, FRAME, FRAME), np.float32)
    for image, (picture,) in zip(np.asarray(images), frames, strict=True):
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        top, left = ((FRAME - side) // 2 for side in ink.shape)
        picture[top : top + ink.shape[0], left : left + ink.shape[1]] = ink / 255
    return frames


def grey_photo(photo: ArrayLike, column: int = 60) -> NDArray:
    """A square of a photograph (300, W, 3) of bytes, grey and half as large: (150, 150), 0 to 1."""
    grey = np.asarray(photo) @ np.array([0.299, 0.587, 0.114]) / 255  # how bright the three colours look
    square = grey[: 2 * SIDE, column : column + 2 * SIDE]
    return square.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3)).astype(np.float32)
