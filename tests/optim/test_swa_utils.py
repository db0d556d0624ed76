"""Running averages of weights: PyTorch's numbers and keys."""

import inspect

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.optim import swa_utils
from tests.parity import assert_equal, ours, theirs, written

AVERAGES = [
    "{}",
    "{'multi_avg_fn': U.get_ema_multi_avg_fn(0.9)}",
    "{'avg_fn': U.get_ema_avg_fn(0.5)}",
    "{'avg_fn': U.get_swa_avg_fn()}",
    "{'multi_avg_fn': U.get_swa_multi_avg_fn()}",
    "{'avg_fn': lambda average, current, n: average * n + current}",
]


def model(m):
    return m.nn.Sequential(m.nn.Linear(3, 4), m.nn.BatchNorm1d(4), m.nn.Linear(4, 2).double())


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("average", AVERAGES)
def test_averages_like_pytorchs(average, use_buffers):
    tolerance = None
    if "swa_multi" in average:  # PyTorch's has 1 / (n + 1) in float32, and refuses integers
        tolerance, use_buffers = {"rtol": 1e-6}, False
    torch_model, mine = model(theirs()), model(ours())
    both = [
        m.optim.swa_utils.AveragedModel(
            net, use_buffers=use_buffers, **written(average, U=m.optim.swa_utils)(m)
        )
        for m, net in ((theirs(), torch_model), (ours(), mine))
    ]
    rng = np.random.default_rng(0)
    for step in range(4):
        for name, value in torch_model.state_dict().items():
            new = 7 * step if "batches" in name else rng.random(tuple(value.shape))
            value.copy_(theirs().tensor(new))
            mine.state_dict()[name].copy_(minidl.tensor(new, dtype=mine.state_dict()[name].dtype))
        both[0].update_parameters(torch_model)
        both[1].update_parameters(mine)
        want, got = (b.state_dict() for b in both)
        assert list(got) == list(want)
        for name in want:
            assert_equal(got[name], want[name], tolerance)


def test_an_average_beside_an_optimiser_in_flat_buffers():
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    average = swa_utils.AveragedModel(net, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
    x, expected = minidl.ones(3, 2), None
    for _ in range(5):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()
        average.update_parameters(net)
        now = net.weight.array.copy()
        expected = now if expected is None else (expected + now) / 2
    np.testing.assert_allclose(average.module.weight.array, expected, rtol=1e-6)
    assert average.n_averaged.item() == 5
    assert not np.allclose(average(x).array, net(x).array)


@pytest.mark.parametrize("name", swa_utils.__all__)
def test_signatures_are_pytorchs(name):
    want, mine = (inspect.signature(getattr(m.optim.swa_utils, name)).parameters for m in (theirs(), ours()))
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in want.values()]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: swa_utils.get_ema_avg_fn(1.5), ValueError, "decay=1.5"),
        (lambda: swa_utils.get_ema_multi_avg_fn(-0.1), ValueError, "decay=-0.1"),
        (
            lambda: swa_utils.AveragedModel(nn.ReLU(), avg_fn=max, multi_avg_fn=max),
            AssertionError,
            "not both",
        ),
        (lambda: swa_utils.AveragedModel(nn.ReLU(), "cuda"), RuntimeError, "cuda"),
        (
            lambda: swa_utils.AveragedModel(nn.ReLU()).update_parameters(nn.Linear(1, 1)),
            ValueError,
            "argument",
        ),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
