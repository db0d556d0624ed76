"""Optimisers: thirty steps like PyTorch's, and the flat buffers behind them."""

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.nn import functional as F
from minidl.tensor import Tensor

SETTINGS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3}),
]


def problem(width):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 3))
    return model, rng.normal(size=(16, 6)).astype(np.float32), rng.integers(0, 3, 16)


@pytest.mark.parametrize("width", [5, 900], ids=["small", "compiled"])
@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_thirty_steps_like_pytorchs(name, settings, width):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model, x, y = problem(width)
    theirs = torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.Tanh(), torch.nn.Linear(width, 3))
    model.load_state_dict(theirs.state_dict())
    ours_opt = getattr(optim, name)(model.parameters(), **settings)
    their_opt = getattr(torch.optim, name)(theirs.parameters(), **settings)
    for _ in range(30):
        ours_opt.zero_grad()
        F.cross_entropy(model(Tensor(x)), Tensor(y)).backward()
        ours_opt.step()
        their_opt.zero_grad()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y)).backward()
        their_opt.step()
    for p, q in zip(model.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=2e-3, atol=2e-4)


def test_parameters_without_gradient_stay_and_keep_their_step_count():
    a, b, c = (nn.Parameter(minidl.ones(2)) for _ in range(3))
    optimizer = optim.Adam([a, b, c], lr=0.1)
    (a.sum() + c.sum()).backward()
    optimizer.step()
    assert b.tolist() == [1, 1]
    assert a.tolist() == c.tolist() != [1, 1]
    optimizer.zero_grad()
    (a.sum() + b.sum() + c.sum()).backward()
    optimizer.step()
    np.testing.assert_allclose(b.array, 0.9, rtol=1e-5)  # its own first step, bias-corrected as such


def test_one_flat_slice_for_a_whole_model():
    model, x, y = problem(5)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model(Tensor(x)), Tensor(y)).backward()
    flat = optimizer._flat[0][0]
    assert [(s.start, s.stop) for s, _ in flat.ranges()] == [(0, flat.weight.size)]
    assert all(p.array.base is flat.weight and p._grad.base is flat.gradient for p in model.parameters())


def test_a_second_optimiser_takes_over_without_loss():
    model, x, y = problem(5)
    first, second = (optim.SGD(model.parameters(), lr=0.1) for _ in range(2))
    before = [p.array.copy() for p in model.parameters()]
    F.cross_entropy(model(Tensor(x)), Tensor(y)).backward()
    gradients = [p.grad.array.copy() for p in model.parameters()]
    first.step()
    for p, w, g in zip(model.parameters(), before, gradients, strict=True):
        np.testing.assert_allclose(p.array, w - np.float32(0.1) * g, rtol=1e-5, atol=1e-7)
    second.step()
    for p, w, g in zip(model.parameters(), before, gradients, strict=True):
        np.testing.assert_allclose(p.array, w - np.float32(0.2) * g, rtol=1e-4, atol=1e-6)


def test_groups_and_live_changes():
    a, b = nn.Parameter(minidl.ones(1)), nn.Parameter(minidl.ones(1))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 1.0}], lr=0.1)
    (a + b).sum().backward()
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item()], [0.9, 0], atol=1e-6)
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()
    assert a.item() == pytest.approx(0.4)


def test_zero_grad_to_none_or_zeros():
    p = nn.Parameter(minidl.ones(2))
    optimizer = optim.SGD([p], lr=0.1)
    p.sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert p.grad is None


def test_state_dict_goes_on_exactly():
    minidl.manual_seed(0)
    model, x, y = problem(5)
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(model, optimizer):
        optimizer.zero_grad()
        F.cross_entropy(model(Tensor(x)), Tensor(y)).backward()
        optimizer.step()

    for _ in range(3):
        step(model, optimizer)
    twin, _, _ = problem(5)
    twin.load_state_dict(model.state_dict())
    twin_optimizer = optim.Adam(twin.parameters())
    twin_optimizer.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        step(model, optimizer)
        step(twin, twin_optimizer)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert (p.array == q.array).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD([]), "at least one parameter"),
        (lambda: optim.SGD([nn.Parameter(minidl.ones(1))], lr=-1), "invalid lr"),
        (lambda: optim.SGD([nn.Parameter(minidl.ones(1))], nesterov=True), "nesterov"),
        (lambda: optim.Adam([nn.Parameter(minidl.ones(1))], betas=(1.0, 0.9)), "betas"),
        (lambda: optim.SGD([nn.Parameter(minidl.ones(1)) * 2]), "leaf"),
        (lambda: optim.SGD([nn.Parameter(minidl.ones(1))] * 2), "twice"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
