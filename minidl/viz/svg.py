"""Writing a picture as SVG, fast enough for live frames: a heat map travels as an embedded palette PNG."""

import base64
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from itertools import groupby
from math import isfinite

import matplotlib
import numpy as np

FONT = "system-ui,-apple-system,Segoe UI,Roboto,Noto Sans,DejaVu Sans,sans-serif"
NOT_A_NUMBER = (160, 160, 160)  # grey: no value here
LIFT = np.array([np.nan])
UP = 2  # PNG's filter of a row: what it adds to the row above, so that smooth fields pack well


def write(picture) -> str:
    """A `Picture` as one SVG string. Clipped shapes sit in nested `<svg>`s: no ids that could collide."""
    parts, clip = [], None
    for kind, shape in _joined(picture.shapes):
        if shape["clip"] != clip:
            parts += [_close(clip), _open(shape["clip"])]
            clip = shape["clip"]
        parts.append(WRITERS[kind](shape))
    parts.append(_close(clip))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{picture.width}" height="{picture.height}" '
        f'viewBox="0 0 {picture.width} {picture.height}" role="img" aria-label="{escape(picture.alt)}" '
        f'fill="currentColor" stroke-linecap="round" font-family="{FONT}" style="display:block">'
        f"{''.join(parts)}</svg>"
    )


def _joined(shapes) -> Iterator[tuple[str, dict]]:
    """The shapes; neighbouring lines of one look become one: a browser needs time for each element."""
    for (kind, *_), alike in groupby(shapes, _look):
        first, *others = (shape for _, shape in alike)
        yield kind, first | _one_track([first, *others]) if others else first


def _look(item) -> tuple:
    """Equal for shapes that may become one."""
    kind, shape = item
    style = [shape[key] for key in ("color", "width", "opacity", "dash", "clip")] if kind == "line" else []
    return kind, *(style or [id(shape)])


def _one_track(lines) -> dict[str, np.ndarray]:
    """Coordinates of all lines, with NaN between two: there the pen is lifted."""
    return {
        axis: np.concatenate([part for line in lines for part in (line[axis], LIFT)]) for axis in ("xs", "ys")
    }


def _open(clip) -> str:
    if clip is None:
        return ""
    x, y, w, h = (f"{value:.1f}" for value in clip)
    return f'<svg x="{x}" y="{y}" width="{w}" height="{h}" viewBox="{x} {y} {w} {h}" overflow="hidden">'


def _close(clip) -> str:
    return "" if clip is None else "</svg>"


def _paint(color) -> str:
    return "currentColor" if color is None else color


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _opacity(shape, of: str = "") -> str:
    """A whole element's opacity costs a layer in the browser; that `of` its stroke or fill alone does not."""
    return "" if shape["opacity"] == 1 else f' {of}opacity="{shape["opacity"]:.3g}"'


def _outline(shape) -> str:
    fill, stroke = _paint(shape["fill"]), _paint(shape["stroke"])
    if stroke == "none":
        return f'fill="{fill}"{_opacity(shape, "fill-")}'
    opacity = _opacity(shape, "stroke-" if fill == "none" else "")
    return f'fill="{fill}" stroke="{stroke}" stroke-width="{shape["width"]:.3g}"{opacity}'


def _track(xs, ys) -> str:
    """The `d` of a path in steps from point to point; the pen is lifted over points that are not finite."""
    steps, pen, last_x, last_y = [], "m", 0, 0
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if not (isfinite(x) and isfinite(y)):
            pen = "m"
            continue
        x, y = round(10 * x), round(10 * y)  # rounded before the step: no drift
        steps.append(f"{pen}{(x - last_x) / 10:g},{(y - last_y) / 10:g}")
        pen, last_x, last_y = " ", x, y
    return "".join(steps)


def _line(shape) -> str:
    dash = ' stroke-dasharray="6 4"' if shape["dash"] else ""
    if not len(shape["xs"]):
        return ""
    return (
        f'<path d="{_track(shape["xs"], shape["ys"])}" fill="none" stroke="{_paint(shape["color"])}" '
        f'stroke-width="{shape["width"]:.3g}" stroke-linejoin="round"{dash}{_opacity(shape, "stroke-")}/>'
    )


def _points(shape) -> str:
    seen = np.isfinite(shape["xs"]) & np.isfinite(shape["ys"])
    places = np.stack([shape["xs"], shape["ys"]], axis=1)[seen]
    colors = tuple(_paint(shape["colors"][i]) for i in np.flatnonzero(seen).tolist())
    return f"<g{_opacity(shape)}>{_dots(places.tobytes(), colors, shape['r'], _paint(shape['stroke']))}</g>"


@lru_cache(maxsize=64)  # few dots move from frame to frame
def _dots(places: bytes, colors: tuple[str, ...], r: float, rim: str) -> str:
    """A dot is a line of no length with round ends; all dots of a colour that do not touch are one path.

    The rims of such a set lie under its dots, and the sets lie on each other: dots that overlap stay apart.
    Without rims they melt together anyway.
    """
    xy = np.frombuffer(places).reshape(-1, 2)
    sets = [0] * len(xy) if rim == "none" else _apart(xy, 2 * r + 1)
    paths = defaultdict(str)  # (set, 0 for the rims and 1 for the dots, colour) -> d
    for (x, y), color, apart in zip(xy.tolist(), colors, sets, strict=True):
        spot = f"M{_number(x)},{_number(y)}h0"
        paths[apart, 1, color] += spot
        if rim != "none":
            paths[apart, 0, rim] += spot
    widths = [2 * r + 1, 2 * r - (rim != "none")]  # a rim is one pixel wide, half of it inside
    return "".join(
        f'<path d="{d}" stroke="{color}" stroke-width="{widths[dot]:.3g}"/>'
        for (_, dot, color), d in sorted(paths.items())
    )


def _apart(places: np.ndarray, distance: float) -> list[int]:
    """A number for each of the places (n, 2); those with the same number are at least `distance` apart.

    Squares as on a chessboard, of four colours: two of one colour lie `distance` apart. The number says the
    colour of the place's square, and how many came before it into that square.
    """
    squares = np.floor(places / distance).astype(int)
    _, square = np.unique(squares @ (1, 1 << 20), return_inverse=True)
    order = np.argsort(square, kind="stable")
    first = np.searchsorted(square[order], square[order])
    earlier = np.empty(len(order), int)
    earlier[order] = np.arange(len(order)) - first
    return (4 * earlier + squares % 2 @ (1, 2)).tolist()


def _circle(shape) -> str:
    x, y = _number(shape["x"]), _number(shape["y"])
    return f'<circle cx="{x}" cy="{y}" r="{shape["r"]:.4g}" {_outline(shape)}/>'


def _rect(shape) -> str:
    round_corners = f' rx="{shape["radius"]:.3g}"' if shape["radius"] else ""
    return f"<rect {_place(shape)}{round_corners} {_outline(shape)}/>"


def _place(shape) -> str:
    x, y, w, h = (_number(shape[key]) for key in "xywh")
    return f'x="{x}" y="{y}" width="{w}" height="{h}"'


def _polygon(shape) -> str:
    return f'<path d="{_track(shape["xs"], shape["ys"])}Z" stroke-linejoin="round" {_outline(shape)}/>'


def _text(shape) -> str:
    x, y = _number(shape["x"]), _number(shape["y"])
    anchor = "" if shape["anchor"] == "start" else f' text-anchor="{shape["anchor"]}"'
    color = "" if shape["color"] is None else f' fill="{shape["color"]}"'
    turn = f' transform="rotate({shape["rotate"]:.4g} {x} {y})"' if shape["rotate"] else ""
    bold = ' font-weight="bold"' if shape["bold"] else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{shape["size"]:.3g}"{anchor}{color}{bold}{turn}>'
        f"{escape(shape['s'], quote=False)}</text>"
    )


def _image(shape) -> str:
    data = base64.b64encode(palette_png(color_index(shape), palette(shape["colormap"]))).decode()
    look = "" if shape["smooth"] else ' style="image-rendering:pixelated"'
    return f'<image href="data:image/png;base64,{data}" {_place(shape)} preserveAspectRatio="none"{look}/>'


WRITERS = {
    "line": _line,
    "points": _points,
    "circle": _circle,
    "rect": _rect,
    "polygon": _polygon,
    "text": _text,
    "image": _image,
}

_palettes: dict = {}


def palette(colormap) -> np.ndarray:
    """A matplotlib colormap, or its name, as (256, 3) bytes: 255 colours, then the one for NaN."""
    colormap = matplotlib.colormaps[colormap] if isinstance(colormap, str) else colormap
    if colormap.name not in _palettes:
        colors = colormap(np.linspace(0, 1, 255), bytes=True)[:, :3]
        _palettes[colormap.name] = np.concatenate([colors, [NOT_A_NUMBER]]).astype(np.uint8)
    return _palettes[colormap.name]


def color_index(shape) -> np.ndarray:
    """The palette index of each cell: 0..254 from low to high, 255 for NaN."""
    values = np.asarray(shape["values"], np.float32)
    scaled = np.clip((values - shape["low"]) * (254 / (shape["high"] - shape["low"])) + 0.5, 0, 254)
    return np.where(np.isnan(scaled), 255, scaled).astype(np.uint8)


def palette_png(index: np.ndarray, colors: np.ndarray) -> bytes:
    """(h, w) palette indices and (256, 3) colours as PNG bytes: 0.1 ms for 100 x 100. Unused colours go."""
    height, width = index.shape
    used = np.bincount(index.ravel(), minlength=256) > 0
    index = (np.cumsum(used) - 1).astype(np.uint8)[index]
    rows = np.full((height, width + 1), UP, np.uint8)  # each row begins with its filter
    rows[:, 1:] = index
    rows[1:, 1:] -= index[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, palette
    body = [
        (b"IHDR", header),
        (b"PLTE", colors[used].tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in body
    )
