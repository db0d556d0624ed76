"""The network that learns to spell while one looks on."""

import numpy as np
import pytest

from minidl import nn, tensor
from minidl.viz.lessons import spelling


class Speller(nn.Module):
    def __init__(self, hidden):
        self.rnn, self.out = nn.RNN(27, hidden), nn.Linear(hidden, 27)

    def forward(self, read):
        return self.out(self.rnn(tensor(np.eye(27, dtype="float32")[read]))[0])


def sample(model, dice, temperature):
    return [f"{temperature:.1f}"] * len(dice)


@pytest.fixture
def widget():
    read = np.zeros((4, 40), int)
    read[1:3] = np.random.default_rng(0).integers(1, 27, (2, 40))
    wanted = np.concatenate([read[1:], np.full((1, 40), -1)])
    wanted[2] = 0
    widget = spelling.naming(Speller, sample, (read, wanted), (read, wanted), {"0.8"}, {"bigram": 2.4})
    yield widget
    assert widget.error is None
    widget.close()


def test_it_learns_and_is_examined(widget):
    before = widget.state.mean
    widget.step(2 * spelling.EVERY)
    assert widget.state.step == 2 * spelling.EVERY
    assert widget.state.mean < before
    assert [step for step, _ in widget.state.checks][-1] == 2 * spelling.EVERY
    assert widget.state.checks[-1][1] < widget.state.checks[0][1]


def test_reset_is_the_beginning(widget):
    start = spelling._draw(widget.state).svg()
    widget.step(5)
    assert spelling._draw(widget.state).svg() != start
    widget.reset()
    widget.wait()
    assert spelling._draw(widget.state).svg() == start


def test_temperature_and_size_reach_the_network(widget):
    widget.controls["temperature"].value = 1.5
    widget.controls["hidden"].value = 4
    widget.wait()
    assert widget.state.model.rnn.hidden_size == 4
    assert ">1.5<" in spelling._draw(widget.state).svg()
