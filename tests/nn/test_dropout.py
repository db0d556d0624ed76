"""Dropout modules: they act in training only."""

import numpy as np
import pytest

import minidl
from minidl import nn
from tests.parity import ours, theirs

MODULES = [
    (nn.Dropout, (200, 50)),
    (nn.Dropout1d, (20, 50, 4)),
    (nn.Dropout1d, (50, 20)),
    (nn.Dropout2d, (20, 30, 3, 3)),
]


@pytest.mark.parametrize(("module", "shape"), MODULES)
def test_training_and_evaluation(module, shape):
    minidl.manual_seed(0)
    layer, x = module(0.25), minidl.ones(shape)
    y = layer(x).array
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((y == 0).mean() - 0.25) < 0.15
    assert layer.eval()(x) is x


@pytest.mark.parametrize(
    "text",
    ["Dropout()", "Dropout(0.2)", "Dropout1d(p=0.1)", "Dropout2d(0.3)", "Dropout(0.5, False)", "Dropout(0)"],
)
def test_text_is_pytorchs(text):
    assert repr(eval(text, vars(ours().nn))) == repr(eval(text, vars(theirs().nn)))


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_what_is_no_probability(p):
    for module in (nn.Dropout, nn.Dropout1d, nn.Dropout2d):
        with pytest.raises(ValueError, match=rf"p={p}"):
            module(p)


def test_inplace_is_refused():
    with pytest.raises(NotImplementedError, match="inplace"):
        nn.Dropout(inplace=True)(minidl.ones(2))
