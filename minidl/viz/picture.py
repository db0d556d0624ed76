"""A picture is a list of shapes that can be written twice: as SVG (live, fast) and as PNG (stored).

    picture = Picture(300, 200, alt="A line through two points.")
    axes = picture.axes(xlim=(0, 1), ylim=(0, 1), xlabel="x", ylabel="y")
    axes.line([0, 1], [0.2, 0.8]).points([0, 1], [0.2, 0.8])
    picture.svg()

A colour is any `#rrggbb`; `None` is ink: the page's text colour, dark on white and light on a dark theme.
"""

import base64
import itertools
import math

import numpy as np

from . import raster, svg
from .theme import BLUE, DIVERGING

SMALL, NORMAL = 12, 14  # type sizes in pixels: tick labels; axis labels and titles
FAR = 1e4  # pixels: shapes are cut here, since browsers draw nothing where coordinates overflow
MANY = 1000  # longer curves are thinned before they are drawn


class Picture:
    """Shapes in pixels: x to the right, y down from the top left corner. Every method returns the picture.

    Args:
        width, height: size in pixels.
        alt: one sentence for those who cannot see it.
    """

    def __init__(self, width: int, height: int, alt: str = ""):
        self.width, self.height, self.alt = int(width), int(height), alt
        self.shapes: list[tuple[str, dict]] = []
        self._clip = None

    def _add(self, kind: str, **shape) -> "Picture":
        self.shapes.append((kind, shape | {"clip": self._clip}))
        return self

    def line(self, xs, ys, color=None, width=2.0, opacity=1.0, dash=False) -> "Picture":
        """A line through the points; it breaks where a coordinate is not finite."""
        xs, ys = _pair("line", xs, ys)
        return self._add("line", xs=xs, ys=ys, color=color, width=width, opacity=opacity, dash=dash)

    def points(self, xs, ys, color=BLUE, r=4.0, stroke="#ffffff", opacity=1.0) -> "Picture":
        """Dots. `color`: one colour, or a list with one for each point."""
        xs, ys = _pair("points", xs, ys)
        colors = _one_a_point(color, xs)
        return self._add("points", xs=xs, ys=ys, colors=colors, r=r, stroke=stroke, opacity=opacity)

    def circle(self, x, y, r, fill="none", stroke=None, width=1.5, opacity=1.0) -> "Picture":
        return self._add("circle", x=x, y=y, r=r, fill=fill, stroke=stroke, width=width, opacity=opacity)

    def rect(self, x, y, w, h, fill="none", stroke=None, width=1.0, radius=0.0, opacity=1.0) -> "Picture":
        return self._add(
            "rect", x=x, y=y, w=w, h=h, fill=fill, stroke=stroke, width=width, radius=radius, opacity=opacity
        )

    def polygon(self, xs, ys, fill=BLUE, stroke="none", width=1.0, opacity=1.0) -> "Picture":
        xs, ys = _pair("polygon", xs, ys)
        return self._add("polygon", xs=xs, ys=ys, fill=fill, stroke=stroke, width=width, opacity=opacity)

    def arrow(self, x0, y0, x1, y1, color=None, width=2.0, opacity=1.0) -> "Picture":
        """An arrow whose tip is at (x1, y1)."""
        length = math.hypot(x1 - x0, y1 - y0)
        if length < 1e-6:
            return self
        ux, uy, head = (x1 - x0) / length, (y1 - y0) / length, min(length, 4 + 3 * width)
        bx, by, side = x1 - ux * head, y1 - uy * head, 0.45 * head
        self.line([x0, bx], [y0, by], color, width, opacity)
        return self.polygon(
            [x1, bx - uy * side, bx + uy * side], [y1, by + ux * side, by - ux * side], color, opacity=opacity
        )

    def text(
        self, x, y, s, size=NORMAL, anchor="start", valign="baseline", color=None, bold=False, rotate=0
    ) -> "Picture":
        """Text at (x, y). anchor: start, middle, end; valign: baseline, middle, top; rotate: in degrees."""
        drop = {"baseline": 0.0, "middle": 0.35, "top": 0.75}[valign] * size
        turn = math.radians(rotate)
        x, y = x - math.sin(turn) * drop, y + math.cos(turn) * drop
        return self._add(
            "text", x=x, y=y, s=str(s), size=size, anchor=anchor, color=color, bold=bold, rotate=rotate
        )

    def heatmap(self, values, box=None, colormap=DIVERGING, low=None, high=None, smooth=False) -> "Picture":
        """An array (h, w) as coloured cells, row 0 on top.

        Args:
            box: (x, y, width, height) in pixels; all of the picture by default.
            colormap: a matplotlib colormap or its name.
            low, high: values of the first and last colour; -1 and 1 for `viz.DIVERGING`, 0 and 1 for others.
            smooth: blend the cells into each other.
        """
        values = np.asarray(values)
        if values.ndim != 2 or not values.size:
            raise ValueError(
                f"heatmap: values has shape {values.shape}, it must be (h, w). Try values.reshape(h, w)."
            )
        low = low if low is not None else (-1.0 if colormap is DIVERGING else 0.0)
        high = 1.0 if high is None else high
        x, y, w, h = box or (0, 0, self.width, self.height)
        return self._add(
            "image", values=values, x=x, y=y, w=w, h=h, colormap=colormap, low=low, high=high, smooth=smooth
        )

    def paste(self, other: "Picture", x: float = 0, y: float = 0) -> "Picture":
        """Another picture's shapes, with its top left corner at (x, y)."""
        for kind, shape in other.shapes:
            moved = {
                key: shape[key] + by for key, by in (("x", x), ("y", y), ("xs", x), ("ys", y)) if key in shape
            }
            if shape["clip"]:
                left, top, w, h = shape["clip"]
                moved["clip"] = (left + x, top + y, w, h)
            self.shapes.append((kind, shape | moved))
        return self

    def axes(self, box=None, xlim=(0, 1), ylim=(0, 1), xlabel="", ylabel="", title="", **options) -> "Axes":
        """Axes inside `box` = (x, y, width, height), labels included: see `Axes`."""
        return Axes(
            self, box or (0, 0, self.width, self.height), xlim, ylim, xlabel, ylabel, title, **options
        )

    def svg(self) -> str:
        """The picture as one SVG string of fixed size, with `alt` as its label."""
        return svg.write(self)

    def png(self) -> bytes:
        """The picture on white as PNG bytes: the same picture gives the same bytes."""
        return raster.write(self)

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {"image/png": base64.b64encode(self.png()).decode(), "text/plain": f"<picture: {self.alt}>"}
        return data, {"image/png": {"width": self.width, "height": self.height}}


class Axes:
    """The same shapes in data coordinates, y upwards, cut at the frame. Every method returns the axes.

    Args:
        box: (x, y, width, height) in pixels of the whole, labels included; `.box` is the frame inside it.
        xlim, ylim: data coordinates at the frame's (left, right) and (bottom, top).
        xlabel, ylabel, title: what is drawn, with units.
        xticks, yticks: numbers, or {number: label}; () for none; chosen when None.
        equal: one unit of x is as long as one of y.
        log: "x", "y" or "xy" for logarithmic axes.
    """

    def __init__(
        self,
        picture,
        box,
        xlim,
        ylim,
        xlabel="",
        ylabel="",
        title="",
        xticks=None,
        yticks=None,
        equal=False,
        log="",
    ):
        self.picture, self.log = picture, log
        self.xlim, self.ylim = _limits("xlim", xlim, "x" in log), _limits("ylim", ylim, "y" in log)
        xticks = _labels(xticks, self.xlim, "x" in log, box[2] / 70)
        yticks = _labels(yticks, self.ylim, "y" in log, box[3] / 45)
        self.box = self._frame(box, xlabel, ylabel, title, xticks, yticks, equal)
        self._draw_frame(xlabel, ylabel, title, xticks, yticks)

    def _frame(self, box, xlabel, ylabel, title, xticks, yticks, equal):
        """The frame that is left when the labels have taken their room."""
        widest = max((len(label) for label in yticks.values()), default=0)
        left = 6 + (0.62 * SMALL * widest + 6 if yticks else 0) + (NORMAL + 6 if ylabel else 0)
        right = 6 + (0.31 * SMALL * len(list(xticks.values())[-1]) if xticks else 0)
        top = 6 + (NORMAL + 8 if title else 0)
        bottom = 6 + (SMALL + 6 if xticks else 0) + (NORMAL + 6 if xlabel else 0)
        x, y, w, h = box[0] + left, box[1] + top, box[2] - left - right, box[3] - top - bottom
        if w < 20 or h < 20:
            raise ValueError(
                f"axes: box {tuple(box)} leaves a frame of {w:.0f} x {h:.0f} pixels. Give it a larger box."
            )
        if equal:
            scale = min(w / abs(self.xlim[1] - self.xlim[0]), h / abs(self.ylim[1] - self.ylim[0]))
            w, h = scale * abs(self.xlim[1] - self.xlim[0]), scale * abs(self.ylim[1] - self.ylim[0])
        return x, y, w, h

    def _draw_frame(self, xlabel, ylabel, title, xticks, yticks):
        picture, (x, y, w, h) = self.picture, self.box
        below = y + h
        across, up = [float(self.x(value)) for value in xticks], [float(self.y(value)) for value in yticks]
        for at in across:  # all marks before all labels: in SVG they are one path
            picture.line([at, at], [below, below + 4], width=1, opacity=0.7)
        for at in up:
            picture.line([x - 4, x], [at, at], width=1, opacity=0.7)
        for at, label in zip(across, xticks.values(), strict=True):
            picture.text(at, below + 6, label, SMALL, "middle", "top")
        for at, label in zip(up, yticks.values(), strict=True):
            picture.text(x - 6, at, label, SMALL, "end", "middle")
        if xlabel:
            picture.text(x + w / 2, below + (SMALL + 8 if xticks else 2) + 4, xlabel, NORMAL, "middle", "top")
        if ylabel:
            widest = max((len(label) for label in yticks.values()), default=0)
            left = x - (0.62 * SMALL * widest + 6 if yticks else 0) - 6
            picture.text(left, y + h / 2, ylabel, NORMAL, "middle", rotate=-90)
        if title:
            picture.text(x, y - 8, title, NORMAL, bold=True)
        picture.rect(x, y, w, h, opacity=0.4)

    def x(self, values):
        """Data to pixels along x."""
        return _scale(values, self.xlim, self.box[0], self.box[2], "x" in self.log)

    def y(self, values):
        """Data to pixels along y."""
        return _scale(values, self.ylim, self.box[1] + self.box[3], -self.box[3], "y" in self.log)

    def inverse(self, px, py) -> tuple[float, float]:
        """Pixels of the picture to data coordinates: what a pointer points at."""
        x, y, w, h = self.box
        return _unscale((px - x) / w, self.xlim, "x" in self.log), _unscale(
            (y + h - py) / h, self.ylim, "y" in self.log
        )

    def contains(self, px, py) -> bool:
        """Is this pixel inside the frame?"""
        x, y, w, h = self.box
        return x <= px <= x + w and y <= py <= y + h

    def _draw(self, method, *args, **style) -> "Axes":
        self.picture._clip = self.box
        try:
            getattr(self.picture, method)(*args, **style)
        finally:
            self.picture._clip = None
        return self

    def line(self, xs, ys, color=None, width=2.0, opacity=1.0, dash=False) -> "Axes":
        xs, ys = _thin(*_pair("line", xs, ys))
        return self._draw("line", self.x(xs), self.y(ys), color, width, opacity, dash)

    def points(self, xs, ys, color=BLUE, r=4.0, stroke="#ffffff", opacity=1.0) -> "Axes":
        """Dots. One on the frame is drawn whole, one whose middle is outside not at all."""
        xs, ys = _pair("points", self.x(xs), self.y(ys))
        x, y, w, h = self.box
        inside = (np.abs(xs - x - w / 2) <= w / 2 + 1e-6) & (np.abs(ys - y - h / 2) <= h / 2 + 1e-6)
        colors = list(itertools.compress(_one_a_point(color, xs), inside))
        self.picture.points(xs[inside], ys[inside], colors, r, stroke, opacity)
        return self

    def circle(self, x, y, r, **style) -> "Axes":
        """A circle; its radius is in pixels."""
        return self._draw("circle", float(self.x(x)), float(self.y(y)), r, **style)

    def rect(self, x, y, w, h, **style) -> "Axes":
        """A rectangle with the corners (x, y) and (x + w, y + h)."""
        left, right = sorted((float(self.x(x)), float(self.x(x + w))))
        top, bottom = sorted((float(self.y(y)), float(self.y(y + h))))
        return self._draw("rect", left, top, right - left, bottom - top, **style)

    def polygon(self, xs, ys, fill=BLUE, **style) -> "Axes":
        return self._draw("polygon", self.x(xs), self.y(ys), fill, **style)

    def arrow(self, x0, y0, x1, y1, color=None, width=2.0, opacity=1.0) -> "Axes":
        ends = float(self.x(x0)), float(self.y(y0)), float(self.x(x1)), float(self.y(y1))
        return self._draw("arrow", *ends, color, width, opacity)

    def text(self, x, y, s, size=NORMAL, anchor="start", valign="baseline", **style) -> "Axes":
        return self._draw("text", float(self.x(x)), float(self.y(y)), s, size, anchor, valign, **style)

    def heatmap(self, values, colormap=DIVERGING, low=None, high=None, smooth=False) -> "Axes":
        """An array (h, w) over the whole frame: column 0 at the smallest x, row 0 at the smallest y."""
        values = np.asarray(values)
        if values.ndim == 2:
            values = values[
                :: -1 if self.ylim[0] < self.ylim[1] else 1, :: 1 if self.xlim[0] < self.xlim[1] else -1
            ]
        return self._draw("heatmap", values, self.box, colormap, low, high, smooth)

    def legend(self, entries: dict[str, str], corner="top right", dashed=()) -> "Axes":
        """Names in their colours: {"training": viz.BLUE, ...}, in a corner; `dashed`: whose lines are."""
        x, y, w, h = self.box
        right, bottom = "right" in corner, "bottom" in corner
        top = y + h - 8 - 18 * len(entries) if bottom else y + 6
        for row, (name, color) in enumerate(entries.items()):
            at, middle = (x + w - 10, top + 9 + 18 * row) if right else (x + 10, top + 9 + 18 * row)
            width, dash = (2, True) if name in dashed else (3, False)
            ends = [at - 18, at] if right else [at, at + 18]
            self.picture.line(ends, [middle, middle], color, width, dash=dash)
            self.picture.text(
                at - 24 if right else at + 24, middle, name, SMALL, "end" if right else "start", "middle"
            )
        return self


def _one_a_point(color, points) -> list:
    """Colours of points, of which one may have been given for all."""
    colors = [color] * len(points) if isinstance(color, str | None) else list(color)
    if len(colors) != len(points):
        raise ValueError(
            f"points: {len(points)} points but {len(colors)} colours. Give one colour, or one a point."
        )
    return colors


def _pair(what: str, xs, ys) -> tuple[np.ndarray, np.ndarray]:
    xs, ys = np.asarray(xs, float), np.asarray(ys, float)
    if xs.ndim != 1 or xs.shape != ys.shape:
        raise ValueError(
            f"{what}: xs has shape {xs.shape} and ys {ys.shape}. Give two lists of the same length."
        )
    return np.clip(xs, -FAR, FAR) if what == "line" else xs, ys


def _limits(what: str, limits, log: bool) -> tuple[float, float]:
    low, high = (float(value) for value in limits)
    if not (math.isfinite(low) and math.isfinite(high)) or low == high or (log and min(low, high) <= 0):
        rule = "two positive numbers" if log else "two finite numbers"
        raise ValueError(f"axes: {what} is ({low}, {high}); it must be {rule} that differ.")
    return low, high


def _scale(values, limits, start, length, log):
    """Data to pixels. What is not positive has no place on a logarithmic axis: NaN."""
    values, (low, high) = np.asarray(values, float), limits
    if log:
        values, low, high = np.log10(np.where(values > 0, values, np.nan)), math.log10(low), math.log10(high)
    return np.clip(start + length * (values - low) / (high - low), -FAR, FAR)


def _unscale(fraction, limits, log) -> float:
    low, high = limits
    return float(low * (high / low) ** fraction if log else low + fraction * (high - low))


def _thin(xs, ys):
    """A long curve as the lowest and highest point of each stretch: fewer points, the same picture."""
    if len(xs) <= MANY:
        return xs, ys
    size = -(-len(xs) // (MANY // 2))
    starts = np.arange(0, len(xs), size)
    edges = np.stack([np.minimum.reduceat(ys, starts), np.maximum.reduceat(ys, starts)], axis=1)
    return np.repeat(xs[starts], 2), edges.ravel()


def nice_step(rough: float) -> float:
    """The next of 1, 2 or 5 times a power of ten: 0.034 -> 0.05."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def nice_ticks(low: float, high: float, most: float = 6) -> np.ndarray:
    """Round numbers (1, 2 or 5 times a power of ten) between two limits, about `most` at the most.

    >>> nice_ticks(0, 1, 5).tolist()
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    low, high = min(low, high), max(low, high)
    step = nice_step((high - low) / max(most, 1))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return np.round(np.arange(first, last + 1) * step, 12)


def _labels(ticks, limits, log, most) -> dict[float, str]:
    """Tick positions with their labels."""
    if isinstance(ticks, dict):
        return {float(at): str(label) for at, label in ticks.items()}
    low, high = min(limits), max(limits)
    if ticks is not None:
        ticks = np.asarray(ticks, float)
    elif log:
        powers = np.arange(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        ticks = 10.0 ** powers[:: max(1, math.ceil(len(powers) / max(most, 2)))]
    else:
        ticks = nice_ticks(low, high, most)
    return {float(at): f"{at + 0.0:.6g}" for at in ticks}
