"""The first widget learns the line, and flies off when the step is too large."""

import pytest

from minidl.viz.lessons import line, timeline


@pytest.fixture
def widget():
    widget = line.widget()
    yield widget
    widget.close()


def test_it_finds_the_line(widget):
    widget.step(200)
    assert widget.state.w == pytest.approx(line.TRUE_W, abs=0.3)
    assert widget.state.b == pytest.approx(line.TRUE_B, abs=0.3)
    assert widget.state.errors[-1] < 0.3 < widget.state.errors[0]
    assert widget.error is None


def test_too_large_a_rate_diverges_and_stops(widget):
    widget.controls["lr"].value = 1.2
    widget.play()
    widget.wait(20)
    assert not widget.playing
    assert widget.state.errors[-1] > 1e6
    assert widget.error is None


def test_by_hand_and_reset(widget):
    before = widget.svg
    widget.controls["hand_w"].value = 1.5
    widget.wait()
    assert widget.state.w == 1.5
    assert widget.svg != before
    widget.reset()
    assert (widget.state.w, widget.state.steps) == (0, 0)


def test_the_timeline_names_every_event():
    svg = timeline.draw().svg()
    assert all(f"{year} {name}" in svg for _, events in timeline.ROWS for year, name, *_ in events)
