"""Statistics of activations and gradients: right numbers, every step, and no hooks left behind."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.instruments import Statistics


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 2)), nn.ReLU())


def test_the_numbers_are_those_of_outputs_and_gradients():
    model, x = mlp(), minidl.randn(5, 3)
    hidden = model[1](model[0](x))
    with Statistics(model) as statistics:
        out = model(x)
        (out * 2).sum().backward()
    rows = {(row.module, row.kind): row for row in statistics.rows}
    assert set(rows) == {
        (name, kind) for name in ("0", "1", "2.0", "3") for kind in ("activation", "gradient")
    }
    row, values = rows["1", "activation"], hidden.array.astype(np.float64)
    assert row.mean == pytest.approx(values.mean())
    assert row.std == pytest.approx(values.std())
    assert row.norm == pytest.approx(np.sqrt((values**2).sum()))
    assert row.saturated == np.mean(np.abs(values) > 0.94)
    assert row.zeros == 0
    assert rows["3", "activation"].zeros == np.mean(out.array == 0)
    assert rows["3", "activation"].saturated is None
    gradient = rows["3", "gradient"]
    assert (gradient.mean, gradient.std, gradient.norm) == (2, 0, pytest.approx(np.sqrt(40)))
    assert rows["2.0", "gradient"].zeros == np.mean(out.array == 0)


def test_saturation_is_measured_from_both_ends():
    for module, values, share in [
        (nn.Tanh(), [-9, 0, 9, 1], 0.5),
        (nn.Sigmoid(), [-9, 0, 9, 1], 0.5),
        (nn.Hardtanh(-2, 5), [-9, 0, 9, 4.7], 0.5),
        (nn.ReLU6(), [-9, 3, 9, 4], 0.5),
    ]:
        with Statistics(module) as statistics:
            module(minidl.tensor(values, dtype=minidl.float32))
        assert statistics.rows[0].saturated == share


def test_steps_are_calls_of_the_model():
    model = mlp()
    with Statistics(model, modules=["2"]) as statistics:
        for scale in (1.0, 2.0, 3.0):
            (model(minidl.ones(1, 3)).sum() * 0 + scale).backward()
    assert [row.step for row in statistics.rows] == [0, 0, 1, 1, 2, 2]
    assert len(statistics.series("2", "activation", "std")) == 3
    assert statistics.series("2", "gradient", "norm") == [0, 0, 0]


def test_no_hooks_are_left_and_nothing_changes():
    model, x = mlp(), minidl.randn(5, 3)
    want = model(x).tolist()
    with Statistics(model) as statistics:
        assert model(x).tolist() == want
        with minidl.no_grad():
            model(x)
    model(x)
    assert {row.step for row in statistics.rows} == {0, 1}
    assert not any(m._hooks or m._pre_hooks for m in model.modules())


def test_of_a_tuple_the_first_tensor_is_taken():
    lstm = nn.LSTM(2, 3)
    with Statistics(lstm) as statistics:
        lstm(minidl.ones(4, 1, 2))[0].sum().backward()
    assert [(row.module, row.kind) for row in statistics.rows] == [("", "activation"), ("", "gradient")]


def test_an_unknown_module_is_refused():
    with pytest.raises(AttributeError, match="no attribute `9`"), Statistics(mlp(), modules=["9"]):
        pass


def test_the_table_shows_the_last_step():
    model = mlp()
    with Statistics(model, ["1"]) as statistics:
        model(minidl.zeros(1, 3)).sum().backward()
        model(minidl.full((1, 3), 1e4)).sum().backward()
    text = repr(statistics).splitlines()
    assert text[0].split() == ["module", "of", "mean", "std", "norm", "zeros", "saturated"]
    assert text[2].split()[:2] == ["1", "activation"]
    assert text[2].endswith("0.0%     100.0%")
    assert text[-1] == "step 1"
    assert repr(statistics.table(0)) != repr(statistics)
    assert "<td" in statistics._repr_html_()
