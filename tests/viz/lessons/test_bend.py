"""Bend the space: the line exists exactly where the two segments stay apart; nothing straight helps."""

from types import SimpleNamespace

import numpy as np
import pytest

from minidl.viz.lessons import bend


def state(values, sharpness):
    return SimpleNamespace(**values, sharpness=sharpness)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 8.0])
def test_or_and_nand_make_a_line_possible(sharpness):
    normal, offset, gap = bend.best_line(state(bend.OR_NAND, sharpness))
    hidden = bend.bend(bend.CORNERS, [[1, 1], [-1, -1]], [-0.5, 1.5], sharpness)
    assert gap > 1e-3
    assert np.array_equal(hidden @ normal > offset, bend.XOR == 1)


def test_no_straight_map_makes_a_line_possible():
    generator = np.random.default_rng(0)
    for _ in range(200):
        values = dict(zip(bend.COPY, generator.normal(size=6), strict=True))
        assert bend.best_line(state(values, 0.0))[2] == 0


def test_a_line_is_found_exactly_when_one_exists():
    """Against a search over 3,600 directions."""
    generator = np.random.default_rng(1)
    angles = np.linspace(0, 2 * np.pi, 3600)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    for _ in range(200):
        values = dict(zip(bend.COPY, generator.normal(0, 1.5, size=6), strict=True))
        weights, biases = np.array([[values["w11"], values["w12"]], [values["w21"], values["w22"]]]), 0
        values["b1"] = values["b2"] = biases
        shown = bend.bend(bend.CORNERS, weights, biases, 3.0) @ directions
        gap = (shown[bend.XOR == 1].min(axis=0) - shown[bend.XOR == 0].max(axis=0)).max()
        assert bend.best_line(state(values, 3.0))[2] == pytest.approx(max(gap, 0), abs=2e-3)


def test_large_sharpness_is_a_step():
    steps = bend.bend(bend.CORNERS, [[1, 1], [-1, -1]], [-0.5, 1.5], 50.0)
    assert np.allclose(steps, [[0, 1], [1, 1], [1, 1], [1, 0]])


def labels(values, sharpness=2.0):
    """The labels of the corners in the hidden space, each with its height in the picture (0 is the top)."""
    shapes = bend.draw(state(values, sharpness)).shapes
    texts = [shape for kind, shape in shapes if kind == "text" and shape["size"] == 12 and shape["bold"]]
    return {text["s"]: text["y"] for text in texts if text["x"] > 352}


def test_near_points_share_a_label_however_many_they_are():
    """Labels of points that lay 0.1 apart were printed over each other: 11 and 01 read as 1101."""
    assert set(labels({**bend.COPY, "w11": -1.6})) == {"01, 11", "00, 10"}
    assert set(labels({**bend.COPY, "w11": 0.0, "w22": 0.0})) == {"00, 01, 10, 11"}


def test_a_label_stands_on_the_far_side_of_the_line():
    """The line ran through the label of 01 and 10, which stood below its point as all others do."""
    height = labels(bend.OR_NAND)
    assert height["01, 10"] < height["00"] < height["11"]


def test_widget_starts_unsolved_and_a_button_solves_it():
    widget = bend.bend_the_space()
    first = widget.svg
    assert bend.describe(widget.state).startswith("Not separable")
    widget.controls["OR and NAND"].click()
    widget.wait()
    assert widget.error is None
    assert widget.controls["w21"].value == -1
    assert bend.describe(widget.state).startswith("Separable")
    assert widget.svg != first
    widget.controls["sharpness"].value = 0.0
    widget.wait()
    assert bend.describe(widget.state).startswith("Not separable")
    widget.reset()
    assert widget.svg == first
    widget.close()
