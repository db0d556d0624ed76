"""Writing a picture as SVG, fast enough for live frames: a heat map travels as an embedded palette PNG."""

import base64
import struct
import zlib
from html import escape

import matplotlib
import numpy as np

FONT = "system-ui,-apple-system,Segoe UI,Roboto,Noto Sans,DejaVu Sans,sans-serif"
NOT_A_NUMBER = (160, 160, 160)  # grey: no value here


def write(picture) -> str:
    """A `Picture` as one SVG string. Clipped shapes sit in nested `<svg>`s: no ids that could collide."""
    parts, clip = [], None
    for kind, shape in picture.shapes:
        if shape["clip"] != clip:
            parts += [_close(clip), _open(shape["clip"])]
            clip = shape["clip"]
        parts.append(WRITERS[kind](shape))
    parts.append(_close(clip))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{picture.width}" height="{picture.height}" '
        f'viewBox="0 0 {picture.width} {picture.height}" role="img" aria-label="{escape(picture.alt)}" '
        f'fill="currentColor" font-family="{FONT}" style="display:block">{"".join(parts)}</svg>'
    )


def _open(clip) -> str:
    if clip is None:
        return ""
    x, y, w, h = (f"{value:.1f}" for value in clip)
    return f'<svg x="{x}" y="{y}" width="{w}" height="{h}" viewBox="{x} {y} {w} {h}" overflow="hidden">'


def _close(clip) -> str:
    return "" if clip is None else "</svg>"


def _paint(color) -> str:
    return "currentColor" if color is None else color


def _opacity(shape) -> str:
    return "" if shape["opacity"] == 1 else f' opacity="{shape["opacity"]:.3g}"'


def _outline(shape) -> str:
    fill, stroke = _paint(shape["fill"]), _paint(shape["stroke"])
    return f'fill="{fill}" stroke="{stroke}" stroke-width="{shape["width"]:.3g}"{_opacity(shape)}'


def _track(xs, ys) -> str:
    """The `d` of a path; the pen is lifted over points that are not finite."""
    finite = np.isfinite(xs) & np.isfinite(ys)
    if finite.all():
        return "M" + " ".join([f"{x:.1f},{y:.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True)])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], finite, [False]]).astype(int)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return "".join(_track(xs[start:stop], ys[start:stop]) for start, stop in runs)


def _line(shape) -> str:
    dash = ' stroke-dasharray="6 4"' if shape["dash"] else ""
    if not len(shape["xs"]):
        return ""
    return (
        f'<path d="{_track(shape["xs"], shape["ys"])}" fill="none" stroke="{_paint(shape["color"])}" '
        f'stroke-width="{shape["width"]:.3g}" stroke-linejoin="round" stroke-linecap="round"'
        f"{dash}{_opacity(shape)}/>"
    )


def _points(shape) -> str:
    r = f"{shape['r']:.3g}"
    dots = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{_paint(color)}"/>'
        for x, y, color in zip(shape["xs"].tolist(), shape["ys"].tolist(), shape["colors"], strict=True)
        if x == x and y == y  # NaN has no place
    ]
    return f'<g stroke="{_paint(shape["stroke"])}" stroke-width="1"{_opacity(shape)}>{"".join(dots)}</g>'


def _circle(shape) -> str:
    return f'<circle cx="{shape["x"]:.1f}" cy="{shape["y"]:.1f}" r="{shape["r"]:.4g}" {_outline(shape)}/>'


def _rect(shape) -> str:
    return (
        f'<rect x="{shape["x"]:.1f}" y="{shape["y"]:.1f}" width="{shape["w"]:.1f}" height="{shape["h"]:.1f}" '
        f'rx="{shape["radius"]:.3g}" {_outline(shape)}/>'
    )


def _polygon(shape) -> str:
    return f'<path d="{_track(shape["xs"], shape["ys"])}Z" stroke-linejoin="round" {_outline(shape)}/>'


def _text(shape) -> str:
    x, y = f"{shape['x']:.1f}", f"{shape['y']:.1f}"
    turn = f' transform="rotate({shape["rotate"]:.4g} {x} {y})"' if shape["rotate"] else ""
    bold = ' font-weight="bold"' if shape["bold"] else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{shape["size"]:.3g}" text-anchor="{shape["anchor"]}" '
        f'fill="{_paint(shape["color"])}"{bold}{turn}>{escape(shape["s"], quote=False)}</text>'
    )


def _image(shape) -> str:
    data = base64.b64encode(palette_png(color_index(shape), palette(shape["colormap"]))).decode()
    look = "auto" if shape["smooth"] else "pixelated"
    return (
        f'<image href="data:image/png;base64,{data}" x="{shape["x"]:.1f}" y="{shape["y"]:.1f}" '
        f'width="{shape["w"]:.1f}" height="{shape["h"]:.1f}" preserveAspectRatio="none" '
        f'style="image-rendering:{look}"/>'
    )


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
    """(h, w) palette indices and (256, 3) colours as PNG bytes: 0.2 ms for 100 x 100."""
    height, width = index.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = index
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, palette
    body = [
        (b"IHDR", header),
        (b"PLTE", colors.tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in body
    )
