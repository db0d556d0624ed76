"""Linear, Identity, Flatten beside PyTorch's."""

import numpy as np
import pytest

import minidl
from minidl import nn
from tests.parity import assert_module_parity, ours, theirs


@pytest.mark.parametrize("make", [
    lambda m: m.nn.Linear(3, 2), lambda m: m.nn.Linear(3, 2, False), lambda m: m.nn.Linear(3, 1, bias=True),
    lambda m: m.nn.Identity(), lambda m: m.nn.Flatten(), lambda m: m.nn.Flatten(0),
    lambda m: m.nn.Flatten(start_dim=-2, end_dim=-1),
])  # fmt: skip
def test_modules_equal_pytorchs(make):
    for shape in [(4, 3), (2, 5, 3), (0, 3)]:
        assert_module_parity(make, np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert repr(make(ours())) == repr(make(theirs()))


def test_starting_weights_are_uniform_within_one_over_root_in_features():
    minidl.manual_seed(0)
    layer = nn.Linear(100, 400)
    for p in layer.parameters():
        assert abs(p.array).max() <= 0.1
        assert abs(p.array.std() / (0.1 / np.sqrt(3)) - 1) < 0.1
    before = layer.weight.tolist()
    layer.reset_parameters()
    assert layer.weight.tolist() != before


def test_dtype_and_device():
    layer = nn.Linear(3, 2, dtype=minidl.float64, device="cpu")
    assert layer.weight.dtype == layer.bias.dtype == np.float64
    with pytest.raises(RuntimeError, match="CUDA"):
        nn.Linear(3, 2, device="cuda")


def test_no_inputs_at_all():
    assert nn.Linear(0, 2)(minidl.ones(3, 0)).shape == (3, 2)
