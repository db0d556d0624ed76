"""Drawing a network: units as circles, weights as lines."""

from itertools import pairwise

import numpy as np

from .picture import SMALL, Picture
from .theme import BLUE, GREY, ORANGE

MOST_UNITS = 12  # a wider layer is drawn with its first units and dots


def draw_network(
    sizes, weights=None, labels=(), picture: Picture | None = None, box=None, alt: str = ""
) -> Picture:
    """A fully connected network, inputs on the left. Blue lines are positive weights, orange ones negative.

    Args:
        sizes: units in each layer, [2, 3, 1].
        weights: arrays (out, in), one between each two layers; a line is as thick as its weight is large.
        labels: a name for each layer.
        picture, box: where to draw, (x, y, width, height) in pixels; a picture of its own by default.
    """
    sizes = list(sizes)
    weights = None if weights is None else [_plain(w) for w in weights]
    _check(sizes, weights)
    picture = picture or Picture(120 * len(sizes), 40 * min(max(sizes), MOST_UNITS) + 50, alt)
    picture.alt = picture.alt or f"A network with layers of {', '.join(map(str, sizes))} units."
    x, y, w, h = box or (0, 0, picture.width, picture.height)
    h -= SMALL + 10 if labels else 0
    r = min(12, 0.36 * h / min(max(sizes), MOST_UNITS), 0.2 * w / len(sizes))
    columns = [_column(n, x + w * (i + 0.5) / len(sizes), y, h) for i, n in enumerate(sizes)]
    largest = max((np.abs(w).max() for w in weights), default=1) or 1 if weights else 1
    for i, (left, right) in enumerate(pairwise(columns)):
        for a, (x0, y0) in enumerate(left):
            for b, (x1, y1) in enumerate(right):
                value = weights[i][b, a] / largest if weights else None
                _connect(picture, [x0, x1], [y0, y1], value)
    for size, column in zip(sizes, columns, strict=True):
        for cx, cy in column:
            picture.circle(cx, cy, r, fill="#ffffff").circle(cx, cy, r, fill=GREY, opacity=0.5)
        if size > MOST_UNITS:
            picture.text(column[0][0], y + h - 4, f"... {size}", SMALL, "middle")
    for label, column in zip(labels, columns, strict=False):
        picture.text(column[0][0], y + h + SMALL, label, SMALL, "middle")
    return picture


def _plain(weight) -> np.ndarray:
    return np.asarray(getattr(weight, "array", weight), float)


def _check(sizes, weights) -> None:
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"draw_network: sizes is {sizes}; give at least two layers of at least one unit.")
    wanted = list(zip(sizes[1:], sizes[:-1], strict=True))
    if weights is not None and [w.shape for w in weights] != wanted:
        shapes = [w.shape for w in weights]
        raise ValueError(
            f"draw_network: weights have shapes {shapes}, sizes {sizes} want (out, in) = {wanted}."
        )


def _column(n: int, x: float, top: float, height: float) -> list[tuple[float, float]]:
    """The middles of a layer's circles, a row's height apart, centred."""
    shown, rows = min(n, MOST_UNITS), min(n, MOST_UNITS) + (n > MOST_UNITS)
    return [(x, top + height * (i + 0.5) / rows) for i in range(shown)]


def _connect(picture: Picture, xs, ys, value) -> None:
    if value is None:
        picture.line(xs, ys, GREY, 1, opacity=0.6)
    else:
        picture.line(xs, ys, BLUE if value > 0 else ORANGE, 0.5 + 4 * abs(value), opacity=0.85)
