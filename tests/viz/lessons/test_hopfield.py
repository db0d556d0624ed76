"""The corrupt-and-recall widget: repairs, never climbs, obeys its controls and the pointer."""

import numpy as np
import pytest

from minidl.classic import Hopfield
from minidl.viz.lessons.hopfield import BOX, ERASE, STORED, corrupt_and_recall


def hebb(patterns):
    return Hopfield(patterns.shape[1]).store(patterns).weight


@pytest.fixture
def patterns():
    return np.random.default_rng(0).choice([-1, 1], (10, 100))


@pytest.fixture
def widget(patterns):
    widget = corrupt_and_recall(patterns, hebb, shape=(10, 10))
    yield widget
    widget.close()


def test_playing_repairs_the_cue_and_stops_by_itself(widget, patterns):
    assert (widget.state.cells != patterns[0]).sum() == 30
    widget.play()
    widget.wait()
    assert np.array_equal(widget.state.cells, patterns[0])
    assert widget.error is None
    assert not widget.playing


def test_energy_never_rises(widget):
    widget.controls["stored"].value = STORED["all ten"]
    widget.controls["amount"].value = 50
    widget.step(40)
    assert len(widget.state.energies) > 1
    assert np.diff(widget.state.energies).max() <= 0
    assert min(widget.state.energies) >= widget.state.lowest


def test_erasing_takes_the_lower_half(widget, patterns):
    widget.controls["kind"].value = ERASE
    widget.controls["amount"].value = 50
    widget.wait()
    assert np.array_equal(widget.state.cells[:50], patterns[0][:50])
    assert (widget.state.cells[50:] == -1).all()


def test_more_than_half_flipped_recalls_the_negative(widget, patterns):
    widget.controls["stored"].value = STORED["only 7"]
    widget.controls["cue"].value = 7
    widget.controls["amount"].value = 80
    widget.step(20)
    assert np.array_equal(widget.state.cells, -patterns[7])
    assert "overlap -1.00; no cell wants to change" in widget._describe(widget.state)


def test_painting_flips_the_pixel_under_the_pointer_and_restarts_the_curve(widget):
    widget.step(2)
    before = widget.state.cells.copy()
    widget.point("down", BOX[0] + 1, BOX[1] + 1)
    widget.point("move", BOX[0] + BOX[2] - 1, BOX[1] + BOX[3] - 1)
    widget.point("move", 0, 0)
    widget.wait()
    assert widget.state.cells[0] == widget.state.cells[-1] == -before[0]
    assert widget.state.visits == [0]
    assert widget.error is None


def test_a_stroke_that_begins_outside_paints_nothing(widget):
    before = widget.state.cells.copy()
    for kind, x in (("down", 0), ("move", BOX[0] + 1), ("up", BOX[0] + 1), ("move", BOX[0] + 1)):
        widget.point(kind, x, BOX[1] + 1)
    widget.wait()
    assert np.array_equal(widget.state.cells, before)


def test_reset_restores_the_controls_and_the_cue(widget):
    first = widget.svg
    widget.controls["stored"].value = STORED["all ten"]
    widget.step(3)
    assert widget.svg != first
    widget.reset()
    assert widget.svg == first
    assert widget.controls["stored"].value == STORED["0 and 1"]


def test_patterns_of_the_wrong_form_are_refused(patterns):
    with pytest.raises(ValueError, match=r"patterns has shape \(10, 100\); it must be \(10, 784\)"):
        corrupt_and_recall(patterns, hebb)
    with pytest.raises(ValueError, match="each -1 or \\+1"):
        corrupt_and_recall((patterns + 1) // 2, hebb, shape=(10, 10))


def test_the_votes_belong_to_the_cells_that_are_shown(widget):
    for change in (
        lambda: widget.step(3),
        lambda: widget.point("down", BOX[0] + 1, BOX[1] + 1),
        lambda: setattr(widget.controls["amount"], "value", 60),
        lambda: setattr(widget.controls["stored"], "value", STORED["3 and 8"]),
    ):
        change()
        widget.wait()
        assert np.allclose(widget.state.votes, widget.state.weight @ widget.state.cells)
        assert widget.state.energies[-1] == -0.5 * float(widget.state.cells @ widget.state.votes)
