"""The widget of notebook 09: parts, the greedy choice, the refit, and the controls."""

import numpy as np
import pytest

from minidl.viz.lessons.bump import (
    BUMP,
    RELU,
    TARGETS,
    X,
    best_part,
    build_the_bump,
    bump,
    curve,
)


@pytest.fixture
def widget():
    widget = build_the_bump()
    yield widget
    widget.close()


def press(widget, *buttons):
    for button in buttons:
        widget.controls[button].click()
        widget.wait()
    assert widget.error is None


def error(widget):
    total = sum((curve(part) for part in widget.state.parts), np.zeros_like(X))
    return np.sqrt(np.mean((TARGETS[widget.state.target] - total) ** 2))


def test_a_steep_bump_is_one_inside_and_returns_to_zero():
    y = bump([0.0, 0.4, 0.5, 0.6, 1.0], position=0.5, width=0.4, steepness=300)
    np.testing.assert_allclose(y, [0, 1, 1, 1, 0], atol=1e-9)


@pytest.mark.parametrize(
    "part",
    [
        {"kind": BUMP, "position": 0.4, "width": 0.2, "steepness": 50.0, "height": -0.7},
        {"kind": RELU, "position": 0.3, "slope": 2.5},
    ],
)
def test_the_greedy_choice_finds_a_part_that_is_on_its_grid(part):
    found = best_part(curve(part), part["kind"])
    assert found == pytest.approx(part)


@pytest.mark.parametrize("kind", [BUMP, RELU])
@pytest.mark.parametrize("target", TARGETS)
def test_every_greedy_part_and_the_refit_lower_the_error(widget, kind, target):
    widget.controls["kind"].value, widget.controls["target"].value = kind, target
    press(widget, "Remove the last")
    errors = [error(widget)]
    for _ in range(8):
        press(widget, "Place the best next one")
        errors.append(error(widget))
    assert np.all(np.diff(errors) < 0)
    press(widget, "Refit all heights")
    assert error(widget) <= errors[-1] + 1e-12


def test_the_greedy_choice_needs_four_bumps_for_the_goal_of_the_notebook(widget):
    press(widget, "Remove the last", *["Place the best next one"] * 3)
    assert float(widget._status.value.split("average error ")[1][:5]) > 0.05
    press(widget, "Place the best next one")
    assert "8 hidden units" in widget._status.value
    assert float(widget._status.value.split("average error ")[1][:5]) < 0.05


def test_keep_remove_and_reset(widget):
    first = widget.svg
    assert "2 hidden units" in widget._status.value
    press(widget, "Keep this part")
    widget.controls["kind"].value = RELU
    widget.wait()
    assert "3 hidden units" in widget._status.value
    press(widget, "Remove the last", "Remove the last", "Remove the last", "Refit all heights")
    assert "0 hidden units" in widget._status.value
    widget.reset()
    assert widget.svg == first
