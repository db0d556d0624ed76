"""The gate builder shows what the unit does; diagrams hold every cell."""

from itertools import product

import pytest

from minidl import viz
from minidl.viz.lessons import gates


@pytest.fixture
def builder():
    widget = gates.gate_builder(goal="NAND")
    yield widget
    widget.close()


def test_names_follow_the_truth_tables():
    assert gates.GATES[0, 0, 0, 1] == "AND"
    assert gates.GATES[0, 1, 1, 0] == "XOR"
    assert gates.GATES[1, 0, 1, 1] == "a if b"
    assert len(set(gates.NAMES)) == 16


def test_moving_a_slider_shows_and_collects_the_gate(builder):
    builder.controls["threshold"].value = 1.0
    builder.wait()
    assert builder.error is None
    assert "threshold 1: OR. Goal NAND: 2 of 4 rows wrong. Collected 2 of 16 gates." in builder.svg
    for name, value in (("a", -1.0), ("b", -1.0), ("threshold", -1.0)):
        builder.controls[name].value = value
        builder.wait()
    assert "NAND. Goal NAND: reached." in builder.svg


def test_reset_empties_the_collection(builder):
    builder.controls["threshold"].value = 1.0
    builder.wait()
    builder.reset()
    assert builder.state.found == {(0, 0, 0, 1)}
    assert builder.controls["threshold"].value == 2.0


def test_the_sliders_reach_exactly_14_gates(builder):
    values = [step / 2 for step in range(-8, 9)]
    for builder.state.a, builder.state.b, builder.state.threshold in product(
        values[4:13], values[4:13], values
    ):
        gates._collect(builder.state)
    missing = set(gates.GATES) - builder.state.found
    assert {gates.GATES[table] for table in missing} == {"XOR", "XNOR"}


def test_the_builder_draws_weights_of_zero(builder):
    builder.state.a = builder.state.b = 0.0
    assert "never" in gates.draw_builder(builder.state).svg()


def test_the_line_passes_where_the_sum_is_the_threshold(builder):
    builder.state.a, builder.state.b, builder.state.threshold = 1.5, -0.5, 2.0
    for x, y in zip(*gates._boundary(builder.state, (-0.4, 1.4)), strict=True):
        assert 1.5 * x - 0.5 * y == pytest.approx(2.0)


def test_a_wiring_diagram_names_every_cell():
    net = {"memory": (["set", "memory", "memory"], ["reset"], 2)}
    picture = gates.draw_net(net, {"set": (0, 0), "reset": (0, 1), "memory": (1, 0.5)}, "A memory cell.")
    assert isinstance(picture, viz.Picture)
    for text in ("set", "reset", "memory", "θ = 2"):
        assert text in picture.svg()


def test_figures_have_a_row_for_each_signal_and_a_square_for_each_gate():
    figure = gates.plot_timing({"set": [0, 1, 0], "q": [0, 0, 1]}, "A latch remembers")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["q", "set"]
    assert len(gates.plot_gates({"found": (viz.BLUE, [(0, 0, 0, 1)])}, "One gate").axes) == 16
