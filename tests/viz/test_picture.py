"""Pictures: every shape in both outputs, the same each time, nothing lost at the edges."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from minidl import viz
from minidl.viz.picture import nice_ticks

SVG = "{http://www.w3.org/2000/svg}"


def pixels(picture):
    """The PNG as (height, width, 3), one pixel for each of the picture's."""
    image = Image.open(io.BytesIO(picture.png())).convert("RGB")
    assert image.size == (2 * picture.width, 2 * picture.height)
    return np.asarray(image.resize((picture.width, picture.height), Image.BOX)).astype(int)


def tags(picture):
    return [element.tag.removeprefix(SVG) for element in ElementTree.fromstring(picture.svg()).iter()]


SHAPES = {  # method, arguments, SVG tag, a pixel that it must change
    "line": ([[10, 90], [40, 40]], {"color": viz.BLUE, "width": 4}, "path", (50, 40)),
    "points": ([[50], [40]], {"r": 5}, "path", (50, 40)),
    "circle": ([50, 40, 8], {"fill": viz.RED}, "circle", (50, 40)),
    "rect": ([20, 20, 60, 40], {"fill": viz.GREEN, "radius": 4}, "rect", (50, 40)),
    "polygon": ([[20, 80, 50], [20, 20, 70]], {}, "path", (50, 40)),
    "arrow": ([10, 40, 90, 40], {}, "path", (50, 40)),
    "text": ([50, 40, "■■■"], {"anchor": "middle", "valign": "middle", "size": 20}, "text", (50, 41)),
    "heatmap": ([np.ones((2, 3))], {"box": (20, 20, 60, 40)}, "image", (50, 40)),
}


@pytest.mark.parametrize("method", SHAPES)
def test_each_shape_is_in_both_outputs(method):
    args, style, tag, (x, y) = SHAPES[method]
    picture = viz.Picture(100, 80, alt="One shape.")
    assert getattr(picture, method)(*args, **style) is picture
    assert tag in tags(picture)
    assert pixels(picture)[y, x].min() < 200  # white before


@pytest.mark.parametrize("method", SHAPES)
def test_each_shape_can_be_drawn_in_data_coordinates(method):
    args, style, tag, _ = SHAPES[method]
    picture = viz.Picture(300, 200)
    axes = picture.axes(xlim=(0, 100), ylim=(0, 80))
    style = {key: value for key, value in style.items() if key != "box"}
    before = picture.png()
    assert getattr(axes, method)(*args, **style) is axes
    assert tag in tags(picture) and picture.png() != before


def example():
    picture = viz.Picture(400, 200, alt='Points & "lines" <here>.')
    axes = picture.axes((0, 0, 200, 200), (-1, 1), (-1, 1), "x (cm)", "y (cm)", "A <b> & c")
    axes.heatmap(np.linspace(-1, 1, 100).reshape(10, 10)).points([0, 0.5], [0, 0.5], [viz.BLUE, viz.ORANGE])
    axes = picture.axes((200, 0, 200, 200), (1, 100), (1e-3, 1), "step", "loss", log="xy")
    axes.line([1, 10, 100], [1, np.nan, 1e-3]).legend({"training": viz.BLUE})
    return picture


def test_a_legend_shows_a_dashed_line_dashed():
    axes = viz.Picture(200, 100).axes()
    axes.legend({"loss": viz.BLUE, "bound": None}, dashed=["bound"])
    samples = [shape["dash"] for kind, shape in axes.picture.shapes if kind == "line"][-2:]
    assert samples == [False, True]


def test_a_picture_comes_out_the_same_each_time():
    assert example().svg() == example().svg()
    assert example().png() == example().png()


def test_text_is_escaped_and_the_sentence_is_the_label():
    root = ElementTree.fromstring(example().svg())
    assert root.get("role") == "img" and root.get("aria-label") == 'Points & "lines" <here>.'
    assert "A <b> & c" in [element.text for element in root.iter(SVG + "text")]
    assert (root.get("width"), root.get("height")) == ("400", "200")


def test_ink_is_the_colour_of_the_page_s_text():
    assert 'stroke="currentColor"' in viz.Picture(10, 10).line([0, 9], [0, 9]).svg()


def test_a_shape_in_axes_is_cut_at_the_frame():
    picture = viz.Picture(300, 200)
    axes = picture.axes(xlim=(0, 1), ylim=(0, 1), xticks=(), yticks=())
    plain = pixels(picture)
    axes.rect(-9, -9, 20, 20, fill=viz.RED)
    changed = np.argwhere((pixels(picture) != plain).any(axis=2))
    x, y, w, h = axes.box
    top, left = changed.min(axis=0)
    bottom, right = changed.max(axis=0)
    assert left >= x - 2 and top >= y - 2 and right <= x + w + 2 and bottom <= y + h + 2
    clip = next(
        e for e in ElementTree.fromstring(picture.svg()).iter(SVG + "svg") if e.get("overflow") == "hidden"
    )
    assert float(clip.get("width")) == pytest.approx(w, abs=0.1)


def test_a_point_on_the_frame_is_whole_and_one_outside_is_not_there():
    picture = viz.Picture(300, 200)
    axes = picture.axes(xlim=(0, 1), ylim=(0, 1), xticks=(), yticks=())
    plain = pixels(picture)
    axes.points([0, 1.01, 0.5], [0.5, 0.5, -0.01], [viz.RED, viz.BLUE, viz.BLUE], r=5, stroke="none")
    changed = np.argwhere((pixels(picture) != plain).any(axis=2))
    x, y, _, h = axes.box
    assert changed.mean(axis=0) == pytest.approx((y + h / 2, x), abs=1)
    assert (np.ptp(changed, axis=0) >= 9).all()


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_inverse_undoes_the_scales(log):
    axes = viz.Picture(300, 200).axes(xlim=(1, 50), ylim=(0.1, 9), log=log)
    assert axes.inverse(axes.x(20.0), axes.y(3.0)) == pytest.approx((20, 3))
    assert axes.contains(axes.x(20.0), axes.y(3.0)) and not axes.contains(-5, 0)


def test_equal_axes_have_square_units():
    axes = viz.Picture(500, 200).axes(xlim=(0, 2), ylim=(0, 1), equal=True)
    assert axes.x(1) - axes.x(0) == pytest.approx(axes.y(0) - axes.y(1))


@pytest.mark.parametrize("ylim", [(0, 2), (2, 0)])
def test_heatmap_rows_follow_the_y_axis(ylim):
    """Row 0 lies at the smallest y, whichever way the axis runs."""
    picture = viz.Picture(200, 200)
    axes = picture.axes(xlim=(0, 2), ylim=ylim, xticks=(), yticks=())
    axes.heatmap([[1, -1], [-1, -1]])
    seen = pixels(picture)
    first = seen[int(axes.y(0.5)), int(axes.x(0.5))]
    assert first[2] > first[0]  # blue, high
    other = seen[int(axes.y(1.5)), int(axes.x(0.5))]
    assert other[0] > other[2]  # orange, low


def test_nan_is_grey_in_a_heatmap_and_a_gap_in_a_line():
    picture = viz.Picture(40, 40).heatmap([[np.nan]])
    assert pixels(picture)[20, 20].tolist() == [160, 160, 160]
    path = viz.Picture(90, 90).line([0, 1, 2, 3, 4], [0, 1, np.nan, 3, 4]).svg()
    assert path.count("m0,0 1,1m2,2 1,1") == 1 and "nan" not in path


def test_a_long_curve_keeps_its_spike():
    ys = np.zeros(100_000)
    ys[54_321] = 1
    picture = viz.Picture(300, 200)
    axes = picture.axes(xlim=(0, len(ys)), ylim=(0, 1))
    axes.line(np.arange(len(ys)), ys)
    drawn = picture.shapes[-1][1]["ys"]
    assert len(drawn) < 2000 and drawn.min() == pytest.approx(axes.y(1.0))


def test_paste_moves_a_picture_with_its_frames():
    small = viz.Picture(100, 80)
    small.axes(xticks=(), yticks=()).rect(-1, -1, 9, 9, fill=viz.RED, stroke="none")
    large = viz.Picture(300, 200).paste(small, 150, 100)
    assert (pixels(large)[100:180, 150:250] == pixels(small)).mean() > 0.99
    assert (pixels(large)[:90] == 255).all()


def test_ticks_are_round_numbers_inside_the_limits():
    for low, high in [(0, 1), (-3, 7), (0.01, 0.014), (0, 12345), (5, -5)]:
        ticks = nice_ticks(low, high)
        assert 2 <= len(ticks) <= 7 and min(low, high) <= ticks.min() and ticks.max() <= max(low, high)


def test_a_picture_shows_itself_as_png_and_sentence():
    data, size = viz.Picture(30, 20, alt="A page.")._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"} and "A page." in data["text/plain"]
    assert size["image/png"] == {"width": 30, "height": 20}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.line([1, 2], [1]), "same length"),
        (lambda p: p.points([1, 2], [1, 2], [viz.RED]), "2 points but 1 colours"),
        (lambda p: p.heatmap([1, 2]), r"shape \(2,\).*\(h, w\)"),
        (lambda p: p.axes(xlim=(1, 1)), "finite numbers that differ"),
        (lambda p: p.axes(ylim=(0, np.inf)), "finite numbers that differ"),
        (lambda p: p.axes(ylim=(0, 1), log="y"), "positive"),
        (lambda p: p.axes((0, 0, 40, 30)), "larger box"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(viz.Picture(300, 200))
