"""Starting weights: distributions, patterns, gains; PyTorch's names, arguments and refusals."""

import inspect

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import init
from tests.parity import assert_parity, theirs, written

NAMES = [name for name in dir(init) if name.endswith("_") and not name.startswith("_")]


@pytest.fixture(autouse=True)
def seeded():
    minidl.manual_seed(0)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_pytorchs(name):
    want = inspect.signature(getattr(theirs().nn.init, name)).parameters.values()
    have = inspect.signature(getattr(init, name)).parameters.values()
    assert [(p.name, p.default) for p in have] == [(p.name, p.default) for p in want]


@pytest.mark.parametrize("call", [
    "m.nn.init.constant_(x, 3)", "m.nn.init.zeros_(x)", "m.nn.init.ones_(x)", "m.nn.init.eye_(x)",
    "m.nn.init.dirac_(x)", "m.nn.init.dirac_(x, 2)", "m.nn.init.dirac_(tensor=x, groups=1)",
])  # fmt: skip
@pytest.mark.parametrize(
    "shape", [(3,), (2, 3), (4, 2, 3), (2, 3, 4, 3), (3, 2, 2, 2, 2), (2, 2, 1, 1, 1, 1), (0, 3)]
)
def test_patterns(call, shape):
    for dtype in ("float32", "int64"):
        assert_parity(
            written(call.replace("(x", "(x.detach()").replace("=x", "=x.detach()")), np.full(shape, 7, dtype)
        )


@pytest.mark.parametrize("name", [
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "sigmoid", "tanh", "relu", "leaky_relu",
    "selu", "swish",
])  # fmt: skip
@pytest.mark.parametrize("param", [None, 0.2, 1, True, "a"])
def test_gains(name, param):
    if param is None or name in ("leaky_relu", "swish"):
        assert_parity(lambda m, x: m.nn.init.calculate_gain(name, param), np.ones(1))


SHAPE = (300, 40, 5)  # fan_in 200, fan_out 1500
SPREAD = {
    "uniform_": ({"a": -1, "b": 3}, 1, 4 / np.sqrt(12)),
    "normal_": ({"mean": 2, "std": 0.5}, 2, 0.5),
    "xavier_uniform_": ({"gain": 2}, 0, 2 * np.sqrt(2 / 1700)),
    "xavier_normal_": ({}, 0, np.sqrt(2 / 1700)),
    "kaiming_uniform_": ({"nonlinearity": "relu"}, 0, np.sqrt(2 / 200)),
    "kaiming_normal_": ({"a": 1, "mode": "fan_out"}, 0, np.sqrt(1 / 1500)),
}


@pytest.mark.parametrize("name", SPREAD)
def test_mean_and_standard_deviation(name):
    settings, mean, std = SPREAD[name]
    w = getattr(init, name)(minidl.empty(SHAPE), **settings).array
    assert w.dtype == np.float32
    assert abs(w.mean() - mean) < 0.02 * std
    assert abs(w.std() / std - 1) < 0.02
    if "uniform" in name:
        assert abs(w - mean).max() <= std * np.sqrt(3) * 1.0001


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -2, 2), (0, 0.02, -2, 2), (1, 2, 0, 1), (0, 1, 3, 5), (5, 1, -1, 0)]
)
def test_truncated_normal(mean, std, a, b):
    """Its mean against the density summed up on a grid."""
    w = init.trunc_normal_(minidl.empty(50_000), mean, std, a, b).array
    assert w.min() >= a and w.max() <= b
    grid = np.linspace(max(a, mean - 8 * std), min(b, mean + 8 * std), 20_001)
    density = np.exp(-(((grid - mean) / std) ** 2) / 2 + (((np.clip(mean, a, b) - mean) / std) ** 2) / 2)
    want = (grid * density).sum() / density.sum()
    spread = np.sqrt((np.square(grid - want) * density).sum() / density.sum())
    assert abs(w.mean() - want) < 0.03 * spread
    assert abs(w.std() / spread - 1) < 0.03


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (4, 2, 3), (1, 1)])
def test_orthogonal_rows_or_columns(shape):
    w = init.orthogonal_(minidl.empty(shape, dtype=minidl.float64), gain=2).array.reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_orthogonal_matrices_are_evenly_distributed():
    """Without the choice of signs the diagonal of qr's q would lean to one side."""
    traces = [np.trace(init.orthogonal_(minidl.empty(3, 3)).array) for _ in range(400)]
    assert abs(np.mean(traces)) < 0.2


def test_a_generator_of_ones_own():
    draws = [
        init.normal_(minidl.empty(5), generator=minidl.Generator().manual_seed(7)).tolist() for _ in range(2)
    ]
    assert draws[0] == draws[1]


def test_parameters_are_filled_in_place():
    layer = nn.Linear(3, 2)
    assert init.zeros_(layer.weight) is layer.weight
    assert not layer.weight.array.any() and layer.weight.requires_grad


def test_nothing_to_fill():
    for name in NAMES:
        extra = (1.0,) if name == "constant_" else ()
        shape = (0, 3, 1) if name == "dirac_" else (0, 3)
        assert getattr(init, name)(minidl.empty(shape), *extra).shape == shape


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: init.uniform_(minidl.empty(2), 1, 0), "a=1 must not exceed b=0"),
        (lambda: init.normal_(minidl.empty(2), 0, -1), "std=-1"),
        (lambda: init.normal_(minidl.zeros(2, dtype=minidl.int64)), "normal_.*int64"),
        (lambda: init.trunc_normal_(minidl.empty(2), a=1, b=0), "a=1 must not exceed b=0"),
        (lambda: init.trunc_normal_(minidl.empty(2), std=0), "std=0"),
        (lambda: init.xavier_uniform_(minidl.empty(2)), r"\(2,\).*two axes"),
        (lambda: init.kaiming_normal_(minidl.empty(2, 2), mode="fan"), "mode.*'fan'"),
        (lambda: init.kaiming_normal_(minidl.empty(2, 2), nonlinearity="x"), "'x'.*leaky_relu"),
        (lambda: init.eye_(minidl.empty(2)), r"eye_ of shape \(2,\)"),
        (lambda: init.dirac_(minidl.empty(3, 2, 1), 2), r"dirac_\(\(3, 2, 1\), groups=2\)"),
        (lambda: init.orthogonal_(minidl.empty(2)), r"orthogonal_ of shape \(2,\)"),
    ],
)
def test_refusals_say_why(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
