"""The table of a model: right numbers, and no trace of the call that measured them."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.instruments import summary
from minidl.instruments.table import Table, brief


class Noisy(nn.Module):
    """Everything that a call may leave behind: a buffer, random numbers, a mode that differs."""

    def __init__(self):
        self.norm = nn.BatchNorm1d(3)
        self.dropout = nn.Dropout(0.5)
        self.dropout.eval()
        self.linear = nn.Linear(3, 3)
        self.twin = self.linear
        self.unused = nn.Linear(1, 1)
        self.register_buffer("calls", minidl.zeros(1))
        self.calls_in_training = 0

    def forward(self, x):
        self.calls += minidl.rand(1)
        self.calls_in_training += self.training
        return self.twin(self.linear(self.dropout(self.norm(x)))), [x]


def test_the_table_of_a_small_convolutional_network():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Sequential(nn.Flatten(), nn.Linear(100, 10))
    )
    text = repr(summary(model, (2, 1, 12, 12))).splitlines()
    assert [line.split() for line in text[2:9]] == [
        ["(model)", "Sequential", "(2,", "10)", "0", "20.8", "k", "19.8", "k"],
        ["0", "Conv2d", "(2,", "4,", "10,", "10)", "40", "15.2", "k", "4.51", "k"],
        ["1", "ReLU", "(2,", "4,", "10,", "10)", "0", "800", "6.4", "k"],
        ["2", "MaxPool2d", "(2,", "4,", "5,", "5)", "0", "800", "4", "k"],
        ["3", "Sequential", "(2,", "10)", "0", "4.02", "k", "4.92", "k"],
        ["0", "Flatten", "(2,", "100)", "0", "0", "0"],
        ["1", "Linear", "(2,", "10)", "1,010", "4.02", "k", "4.92", "k"],
    ]
    assert text[7].startswith("    0")
    assert text[-1].startswith("1,050 parameters (1,050 trained), 4.2 kB; forward: ")


def test_nothing_is_left_behind():
    model = Noisy()
    model.linear.weight.requires_grad_(False)
    before = {k: v.array.copy() for k, v in model.state_dict().items()}
    random = minidl.get_rng_state()
    text = repr(summary(model, (4, 3)))
    assert (minidl.get_rng_state() == random).all()
    assert all((v.array == before[k]).all() for k, v in model.state_dict().items())
    assert model.training
    assert model.norm.training
    assert not model.dropout.training
    assert model.calls_in_training == 0
    assert not any(m._hooks or m._pre_hooks for m in model.modules())
    assert model.linear.bias.grad is None
    assert "22 parameters (13 trained)" not in text
    assert "20 parameters (11 trained)" in text


def test_shared_and_unused_layers():
    lines = {
        line.split()[0]: line.split()
        for line in repr(summary(Noisy(), (4, 3))).splitlines()
        if line[0] == " "
    }
    assert lines["linear"][1:5] == ["Linear", "(4,", "3)", "12"]
    assert lines["twin"][1:] == ["Linear", "(again)", "-", "0", "-", "-"]
    assert lines["unused"][1:] == ["Linear", "-", "2", "-", "-"]


def test_inputs_are_tensors_or_shapes():
    table = summary(nn.Embedding(10, 4), minidl.tensor([[1, 2, 3]]))
    assert "(1, 3, 4)" in repr(table)
    assert "float64" not in repr(summary(nn.Linear(3, 2).double(), (1, 3)))
    assert "(5, 2, 4), (1, 2, 4), (1, 2, 4)" in repr(summary(nn.LSTM(3, 4), (5, 2, 3)))
    assert "10 parameters" not in repr(summary(nn.Linear(3, 2)))
    assert "8 parameters (8 trained), 32 B" in repr(summary(nn.Linear(3, 2)))


def test_an_error_in_the_model_leaves_nothing_behind():
    model = Noisy()
    before = minidl.get_rng_state()
    with pytest.raises(RuntimeError):
        summary(model, (4, 7))
    assert model.training
    assert (minidl.get_rng_state() == before).all()
    assert not any(m._hooks for m in model.modules())


def test_tables_as_text_and_html():
    table = Table(("<name", "size"), [("a<b", 1), ("  c", 22)], "note & all")
    assert repr(table).splitlines() == [
        "name  size",
        "----------",
        "a<b      1",
        "  c     22",
        "----------",
        "note & all",
    ]
    html = table._repr_html_()
    assert "a&lt;b" in html
    assert "note &amp; all" in html
    assert html.count("<tr>") == 3
    assert repr(Table(("a", "b"), [(None, 1.5)])).splitlines()[-1] == "   1.5"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (999.7, "1 k"), (1234567, "1.23 M"), (5e12, "5 T"), (None, "-"), (0.25, "0.25")],
)
def test_brief_numbers(number, text):
    assert brief(number) == text
    if number:
        assert brief(1000 * number, "B").endswith("B")


def test_numbers_agree_with_the_counter():
    from minidl.instruments import FlopCounter

    model = nn.Linear(7, 3)
    with FlopCounter(model) as count, minidl.no_grad():
        model(minidl.zeros(2, 7))
    assert count.total.flops == 2 * 2 * 7 * 3 + 6
    assert np.isfinite(count.total.bytes)
    assert brief(count.total.flops) in repr(summary(model, (2, 7)))
