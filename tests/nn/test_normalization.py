"""Norm layers beside PyTorch's: several batches, running statistics, state, text."""

import numpy as np
import pytest

import minidl
from minidl import nn
from tests.parity import assert_module_parity, calls, ours, theirs

NEAR = {"rtol": 1e-4, "atol": 2e-5}
LAYERS = calls("""
    BatchNorm1d(3)
    BatchNorm1d(3, 1e-3, 0.5)
    BatchNorm1d(3, momentum=None)
    BatchNorm1d(3, affine=False)
    BatchNorm1d(3, track_running_stats=False)
    BatchNorm1d(3, bias=False)
    LayerNorm(2)
    LayerNorm((3, 2), 0.1)
    LayerNorm([3, 2], elementwise_affine=False)
    LayerNorm(2, bias=False)
    RMSNorm(2)
    RMSNorm((3, 2), 0.1)
    RMSNorm(2, elementwise_affine=False)
    GroupNorm(3, 3)
    GroupNorm(1, 3, 0.1)
    GroupNorm(1, 3, affine=False)
    GroupNorm(3, 3, bias=False)
""")


def made(call):
    return lambda m: eval(f"m.nn.{call}", {"m": m})


@pytest.mark.parametrize("call", LAYERS)
def test_layers_equal_pytorchs(call):
    x = np.random.default_rng(0).normal(1, 2, (4, 3, 2)).astype(np.float32)
    assert_module_parity(made(call), x, modes=(True, True, False, True, False), tolerance=NEAR)
    assert repr(made(call)(ours())) == repr(made(call)(theirs()))


@pytest.mark.parametrize(("call", "shape"), [("BatchNorm1d(3)", (5, 3)), ("BatchNorm2d(3)", (2, 3, 4, 5))])
def test_batch_norm_of_vectors_and_images(call, shape):
    x = np.random.default_rng(0).normal(1, 2, shape).astype(np.float32)
    assert_module_parity(made(call), x, modes=(True, False), tolerance=NEAR)


def test_running_statistics_tend_to_those_of_the_data():
    minidl.manual_seed(0)
    layer = nn.BatchNorm1d(2)
    for _ in range(200):
        layer(minidl.randn(50, 2) * 3 + 5)
    np.testing.assert_allclose(layer.running_mean.array, 5, atol=0.5)
    np.testing.assert_allclose(layer.running_var.array, 9, rtol=0.2)
    assert layer.num_batches_tracked.item() == 200
    layer.reset_parameters()
    assert layer.running_mean.tolist() == [0, 0] and layer.running_var.tolist() == [1, 1]
    assert layer.num_batches_tracked.item() == 0


def test_the_count_of_batches_stays_a_whole_number():
    layer = nn.BatchNorm1d(2, dtype=minidl.float64).float()
    layer(minidl.randn(4, 2))
    assert layer.running_mean.dtype == np.float32
    assert layer.num_batches_tracked.dtype == np.int64
    assert layer.num_batches_tracked.shape == ()


def test_no_grad_does_not_stop_the_statistics():
    layer = nn.BatchNorm1d(2)
    with minidl.no_grad():
        layer(minidl.ones(4, 2))
    np.testing.assert_allclose(layer.running_mean.array, 0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.BatchNorm1d(3)(minidl.ones(2, 3, 4, 4)), r"BatchNorm1d.*\(2, 3, 4, 4\).*2 or 3 axes"),
        (lambda: nn.BatchNorm2d(3)(minidl.ones(2, 3, 4)), r"BatchNorm2d.*\(2, 3, 4\).*4 axes"),
        (lambda: nn.BatchNorm1d(3)(minidl.ones(1, 3)), "single value"),
        (lambda: nn.BatchNorm1d(3)(minidl.ones(2, 4)), r"running_mean: \(3,\).*must be \(4,\)"),
        (lambda: nn.GroupNorm(2, 3), "num_channels=3 .* num_groups=2"),
        (lambda: nn.LayerNorm(3)(minidl.ones(2, 4)), r"\(2, 4\).*\(3,\)"),
        (lambda: nn.LayerNorm(3)(minidl.ones(2, 3).double()), "float64"),
    ],
)
def test_refusals_say_why(call, words):
    with pytest.raises(ValueError, match=words):
        call()
