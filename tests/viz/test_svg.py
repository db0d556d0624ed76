"""SVG for live frames: few elements and bytes, every shape where it was asked for."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minidl import viz
from minidl.viz import playground, svg
from minidl.viz.playground import Playground

SVG = "{http://www.w3.org/2000/svg}"


def elements(picture, tag):
    return list(ElementTree.fromstring(picture.svg()).iter(SVG + tag))


def tracks(d):
    """The points of each track of a path in steps, as a browser reads them."""
    found, at = [], np.zeros(2)
    for track in d.split("m")[1:]:
        steps = np.array([pair.split(",") for pair in track.split()], float)
        found.append(at + np.cumsum(steps, axis=0))
        at = found[-1][-1]
    return found


def test_a_line_of_steps_does_not_drift_and_is_lifted_over_nan():
    xs, ys = np.random.default_rng(0).normal(0, 0.33, (2, 5000)).cumsum(axis=1)
    ys[2000] = np.nan
    first, second = tracks(viz.Picture(9, 9).line(xs, ys).svg().split(' d="')[1].split('"')[0])
    drawn = np.concatenate([first, [[np.nan, np.nan]], second])
    wanted = np.stack([xs, ys], axis=1)
    assert np.abs(drawn - wanted)[np.isfinite(ys)].max() <= 0.05 + 1e-6


def test_neighbouring_lines_of_one_look_are_one_path():
    picture = viz.Picture(90, 90)
    for x in range(10):
        picture.line([x, x], [0, 9], viz.BLUE)
    picture.line([5, 5], [0, 9], viz.RED).line([6, 6], [0, 9], viz.RED, dash=True)
    blue, *others = elements(picture, "path")
    assert [track.tolist() for track in tracks(blue.get("d"))] == [[[x, 0], [x, 9]] for x in range(10)]
    assert [path.get("stroke") for path in others] == [viz.RED, viz.RED]


def test_lines_on_both_sides_of_another_shape_or_frame_stay_two():
    picture = viz.Picture(300, 200)
    picture.line([0, 9], [0, 9]).circle(5, 5, 2).line([0, 9], [9, 0])
    assert len(elements(picture, "path")) == 2
    axes = viz.Picture(300, 200).line([0, 9], [0, 9]).axes(xticks=(), yticks=()).line([0, 1], [0, 1])
    assert len(elements(axes.picture, "path")) == 2


@pytest.mark.parametrize(
    ("draw", "attribute"),
    [
        (lambda p: p.line([0, 9], [0, 9], opacity=0.4), "stroke-opacity"),
        (lambda p: p.rect(0, 0, 9, 9, opacity=0.4), "stroke-opacity"),
        (lambda p: p.rect(0, 0, 9, 9, viz.RED, "none", opacity=0.4), "fill-opacity"),
        (lambda p: p.circle(5, 5, 3, viz.RED, viz.BLUE, opacity=0.4), "opacity"),
        (lambda p: p.points([5], [5], opacity=0.4), "opacity"),
    ],
)
def test_only_shapes_of_two_paints_need_a_layer_of_their_own(draw, attribute):
    assert re.findall(r'([a-z-]*opacity)="0.4"', draw(viz.Picture(10, 10)).svg()) == [attribute]


coordinates = st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60)), max_size=40)


@settings(deadline=None, max_examples=50)
@given(coordinates, st.floats(1, 20))
def test_places_with_one_number_are_apart(places, distance):
    places = np.array(places, float).reshape(-1, 2)
    numbers = np.array(svg._apart(places, distance))
    assert len(numbers) == len(places)
    for number in set(numbers.tolist()):
        same = places[numbers == number]
        gaps = np.hypot(*(same[:, None] - same[None]).transpose(2, 0, 1))[np.triu_indices(len(same), 1)]
        assert (gaps >= distance - 1e-9).all()


def test_dots_have_their_place_their_colour_and_their_rim():
    xs, ys, colors = [10, 40.25, np.nan, 12], [10, 20, 5, 10], [viz.RED, viz.BLUE, viz.RED, viz.BLUE]
    paths = elements(viz.Picture(90, 90).points(xs, ys, colors, r=4), "path")
    drawn = [(path.get("stroke"), path.get("stroke-width"), path.get("d")) for path in paths]
    assert drawn == [
        ("#ffffff", "9", "M40.2,20h0"),
        (viz.BLUE, "7", "M40.2,20h0"),
        ("#ffffff", "9", "M10,10h0"),
        (viz.RED, "7", "M10,10h0"),
        ("#ffffff", "9", "M12,10h0"),  # it overlaps the one before: its rim lies over that one
        (viz.BLUE, "7", "M12,10h0"),
    ]
    (bare,) = elements(viz.Picture(90, 90).points([10], [10], r=2, stroke="none"), "path")
    assert (bare.get("stroke"), bare.get("stroke-width")) == (viz.BLUE, "4")
    assert elements(viz.Picture(90, 90).points([], []), "path") == []


def test_hundreds_of_dots_are_few_elements():
    x, y = np.random.default_rng(0).uniform(20, 280, (2, 400))
    picture = viz.Picture(300, 300).points(x, y, np.where(x > y, viz.BLUE, viz.ORANGE))
    paths = elements(picture, "path")
    assert sum(path.get("d").count("h0") for path in paths) == 800  # dots and rims
    assert len(paths) < 80 and len(picture.svg()) < 15_000


images = st.integers(1, 9).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 255), min_size=width, max_size=width), min_size=1)
)


@settings(deadline=None, max_examples=50)
@given(images)
def test_a_palette_png_gives_back_every_colour(index):
    index = np.array(index, np.uint8)
    colors = svg.palette(viz.DIVERGING)
    png = svg.palette_png(index, colors)
    seen = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert (seen == colors[index]).all()
    assert int.from_bytes(png[33:37], "big") == 3 * len(np.unique(index))  # PLTE: no colour without a use


@pytest.mark.parametrize(("layers", "most_bytes", "most_elements"), [(2, 40_000, 220), (4, 60_000, 300)])
def test_the_playground_s_picture_is_light(layers, most_bytes, most_elements):
    widget = Playground("moons", layers=layers)
    widget.step(50)
    root = ElementTree.fromstring(widget.svg)
    assert len(widget.svg) < most_bytes and len(list(root.iter())) < most_elements
    weights = sum(linear.weight.numel() for linear in list(widget.model)[::2])
    network = [path.get("d") for path in root.findall(SVG + "path")]
    assert sum(len(tracks(d)) for d in network) >= weights  # and no weight is missing
    widths = {path.get("stroke-width") for path in root.findall(SVG + "path")}
    assert len(widths) <= playground.LEVELS + 4  # beside the weights: frame, curves, and the legend's two
    widget.close()
