"""Writing a picture as PNG on white, through matplotlib's Agg: what a stored notebook shows."""

import io

from .svg import color_index, palette
from .theme import INK, lighten

POINT = 0.72  # points in a pixel at 100 pixels an inch
ANCHOR = {"start": "left", "middle": "center", "end": "right"}


def write(picture) -> bytes:
    """A `Picture` as PNG bytes, two dots for each pixel; the same picture gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(picture.width / 100, picture.height / 100), dpi=200, layout="none")
    FigureCanvasAgg(figure)
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, picture.width), ylim=(picture.height, 0))
    page.set_axis_off()
    for order, (kind, shape) in enumerate(picture.shapes):
        artist = WRITERS[kind](page, shape)
        artist.set_zorder(order)
        _clip(page, artist, shape["clip"])
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return lighten(file.getvalue())


def _clip(page, artist, clip) -> None:
    from matplotlib.transforms import Bbox, TransformedBbox

    if clip is None:
        artist.set_clip_on(False)
    else:
        x, y, w, h = clip
        artist.set_clip_box(TransformedBbox(Bbox.from_bounds(x, y, w, h), page.transData))


def _paint(color):
    return INK if color is None else color


def _outline(shape) -> dict:
    return {
        "facecolor": _paint(shape["fill"]),
        "edgecolor": _paint(shape["stroke"]),
        "linewidth": shape["width"] * POINT,
        "alpha": shape["opacity"],
    }


def _line(page, shape):
    from matplotlib.lines import Line2D

    style = (0, (4, 2.5)) if shape["dash"] else "solid"
    return page.add_line(
        Line2D(
            shape["xs"],
            shape["ys"],
            color=_paint(shape["color"]),
            linewidth=shape["width"] * POINT,
            linestyle=style,
            alpha=shape["opacity"],
            solid_capstyle="round",
            solid_joinstyle="round",
        )
    )


def _points(page, shape):
    colors = [_paint(color) for color in shape["colors"]]
    size = (2 * shape["r"] * POINT) ** 2
    edge = _paint(shape["stroke"])
    return page.scatter(
        shape["xs"], shape["ys"], size, colors, edgecolors=edge, linewidths=POINT, alpha=shape["opacity"]
    )


def _circle(page, shape):
    from matplotlib.patches import Circle

    return page.add_patch(Circle((shape["x"], shape["y"]), shape["r"], **_outline(shape)))


def _rect(page, shape):
    from matplotlib.patches import FancyBboxPatch

    radius = min(shape["radius"], shape["w"] / 2, shape["h"] / 2)
    style = f"round,pad=0,rounding_size={radius}" if radius else "square,pad=0"
    return page.add_patch(
        FancyBboxPatch((shape["x"], shape["y"]), shape["w"], shape["h"], boxstyle=style, **_outline(shape))
    )


def _polygon(page, shape):
    from matplotlib.patches import Polygon

    return page.add_patch(Polygon(list(zip(shape["xs"], shape["ys"], strict=True)), **_outline(shape)))


def _text(page, shape):
    return page.text(
        shape["x"],
        shape["y"],
        shape["s"],
        fontsize=shape["size"] * POINT,
        color=_paint(shape["color"]),
        fontweight="bold" if shape["bold"] else "normal",
        ha=ANCHOR[shape["anchor"]],
        va="baseline",
        rotation=-shape["rotate"],
        rotation_mode="anchor",
        parse_math=False,
    )


def _image(page, shape):
    x, y, w, h = (shape[key] for key in "xywh")
    pixels = palette(shape["colormap"])[color_index(shape)]
    look = "bilinear" if shape["smooth"] else "nearest"
    image = page.imshow(pixels, extent=(x, x + w, y + h, y), interpolation=look, aspect="auto")
    page.set(xlim=(0, page.figure.bbox.width / 2), ylim=(page.figure.bbox.height / 2, 0))  # imshow moves them
    return image


WRITERS = {
    "line": _line,
    "points": _points,
    "circle": _circle,
    "rect": _rect,
    "polygon": _polygon,
    "text": _text,
    "image": _image,
}
