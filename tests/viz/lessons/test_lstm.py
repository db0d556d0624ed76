"""The gate theatre: its gates are nn.LSTM's, its controls edit the sequence, Play reads it to the end."""

import numpy as np
import pytest

import minidl
from minidl import nn, tensor
from minidl.viz.lessons import lstm


class Reader(nn.Module):
    def __init__(self, units):
        self.layer, self.out = nn.LSTM(2, units), nn.Linear(units, 1)


@pytest.fixture
def widget():
    minidl.manual_seed(0)
    widget = lstm.theatre({"four": Reader(4), "one": Reader(1)})
    yield widget
    assert widget.error is None
    widget.close()


def texts(picture):
    return [shape["s"] for kind, shape in picture.shapes if kind == "text"]


def test_gates_and_states_are_those_of_the_layer():
    minidl.manual_seed(1)
    layer, x = nn.LSTM(2, 5), np.random.default_rng(0).random((12, 2), dtype="float32")
    inside = lstm.gates(layer, x)
    h, (_, c) = layer(tensor(x[:, None]))
    assert np.allclose(inside["h"], h.detach().numpy()[:, 0], atol=1e-6)
    assert np.allclose(inside["c"][-1], c.detach().numpy()[0, 0], atol=1e-6)
    assert np.allclose(inside["c"][0], (inside["i"] * inside["g"])[0])
    for gate in "ifo":
        assert inside[gate].shape == (12, 5) and (inside[gate] > 0).all() and (inside[gate] < 1).all()


def test_the_answer_is_the_models(widget):
    state = widget.state
    x = np.stack([state.numbers, state.marks], axis=1)[: state.length, None].astype("float32")
    model = state.models["four"]
    answers = model.out(model.layer(tensor(x))[0]).detach().numpy()[:, 0, 0]
    assert np.allclose(lstm.play(state)[1], answers, atol=1e-5)
    assert f"the answer is {answers[-1]:.2f}" in lstm._describe(state)
    assert lstm.play(state)[2][-1] == pytest.approx(float((x[:, 0, 0] * x[:, 0, 1]).sum()))


def test_controls_edit_the_sequence(widget):
    widget.controls["at"].value = 3
    widget.wait()
    assert widget.controls["number"].value == pytest.approx(widget.state.numbers[2])
    widget.controls["number"].value = 0.42
    widget.wait()
    assert widget.state.numbers[2] == 0.42
    before = widget.state.marks.copy()
    widget.controls["Mark or unmark it"].click()
    widget.wait()
    assert np.flatnonzero(widget.state.marks != before).tolist() == [2]
    numbers = widget.state.numbers.copy()
    widget.controls["New numbers"].click()
    widget.wait()
    assert (widget.state.numbers != numbers).any() and widget.state.marks.sum() == 2


def test_the_next_step_does_not_take_over_the_number(widget):
    numbers = widget.state.numbers.copy()
    widget.controls["number"].value = 0.11
    widget.controls["at"].value = 12
    widget.wait()
    assert np.flatnonzero(widget.state.numbers != numbers).tolist() == [7]


def test_length_and_network_change_the_picture(widget):
    for name, value in (("length", 50), ("actor", "one"), ("length", 4)):
        before = widget.svg
        widget.controls[name].value = value
        widget.wait()
        assert widget.svg != before
    assert "of 4:" in lstm._describe(widget.state)
    assert "2 marks" in lstm._describe(widget.state)  # taken along
    widget.controls["at"].value = 40  # beyond the end: the last step
    widget.wait()
    assert widget.state.place == 3


def test_play_reads_to_the_end_and_stops(widget):
    widget.step()
    assert widget.state.now == 1  # from the end it begins anew
    widget.controls["length"].value = 6
    widget.wait()
    widget.play()
    widget.wait(20)
    assert not widget.playing and widget.state.now == 6


def test_the_pointer_sets_numbers_and_marks(widget):
    width, (top, height) = lstm.ACROSS / widget.state.length, lstm.BARS
    x, before = lstm.LEFT + 4.5 * width, widget.state.marks[4]
    widget.point("down", x, top + height / 2)
    widget.point("down", x, lstm.MARKS)
    widget.point("up", x, lstm.MARKS)
    widget.point("down", 5.0, lstm.MARKS)  # left of the sequence
    widget.point("down", x, 400.0)  # in the gates
    widget.wait()
    assert widget.state.numbers[4] == 0.5 and widget.state.marks[4] != before
    assert widget.controls["at"].value == 5 and widget.controls["number"].value == 0.5


def test_each_cell_has_its_number_beside_every_gate(widget):
    words = texts(lstm._draw(widget.state))
    assert "cell" in words
    assert [words.count(number) for number in "234"] == 3 * [len(lstm.SHOWN)]
    widget.state.actor = "one"
    words = texts(lstm._draw(widget.state))
    assert "1" in words and "2" not in words


def test_reset_restores(widget):
    first = widget.svg
    widget.controls["number"].value = 0.9
    widget.controls["New numbers"].click()
    widget.controls["actor"].value = "one"
    widget.step()
    assert widget.svg != first
    widget.reset()
    assert widget.svg == first


def test_the_cell_names_its_parts():
    words = texts(lstm.cell())
    for each in ("forget gate", "input gate", "output gate", "candidate", "old c", "new c", "new h"):
        assert each in words


def test_figures_hold_what_they_are_given():
    rng = np.random.default_rng(0)
    runs = [[1.0, 0.2, 0.1], [1.0, 0.3], [0.9, 0.2]]
    fig = lstm.plot_task(rng.random((10, 2)), runs, every=50)
    assert len(fig.axes[0].patches) == 10 and len(fig.axes[1].lines) == 4
    sizes = {"RNN": np.array([0.0, 1e-9, 1.0]), "LSTM": np.ones(3)}
    lines = lstm.plot_gradients(sizes).axes[0].lines
    assert [len(line.get_xdata()) for line in lines] == [2, 3]  # what underflowed is left out
    fig = lstm.plot_errors({("LSTM", 50): runs, ("RNN", 100): runs}, every=50)
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["T = 50", "T = 100"]
    marks = [line.get_marker() for line in lstm.plot_starts({"+1": [300, np.inf, 200]}, 1000).axes[0].lines]
    assert marks == ["o", "x", "o"]
    level, spots = rng.random(24), rng.random(9)
    fig = lstm.plot_forecasts(level, [level] * 3, [level] * 3, spots, [spots] * 3, spots)
    assert [len(ax.lines) for ax in fig.axes] == [7, 5]
    assert fig.axes[0].lines[0].get_xdata()[-1] == pytest.approx(2002 - 1 / 12)
    assert fig.axes[1].lines[0].get_xdata()[-1] == 2008
