"""Clipping of gradients: PyTorch's norms, in place, in an optimiser's flat buffers too."""

import inspect
import math

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.nn import utils
from minidl.tensor import Tensor
from tests.parity import assert_equal, ours, theirs

GRADIENTS = [
    [],
    [((3, 4), np.float32), ((), np.float32), None],
    [((5,), np.float64), ((2, 1), np.float32)],
    [((2, 2), np.float32), ((3,), np.float64)],
    [((0, 3), np.float32), ((4,), np.float32)],
    [((0,), np.float64)],
    [None, None],
]


def parameters(m, gradients, scale=1.0):
    rng, made = np.random.default_rng(0), []
    for gradient in gradients:
        shape, dtype = gradient or ((2,), np.float32)
        p = m.nn.Parameter(m.tensor(np.zeros(shape, dtype)))
        p.grad = None if gradient is None else m.tensor(np.asarray(scale * rng.normal(size=shape), dtype))
        made.append(p)
    return made


def assert_clipped_alike(clip, gradients, scale=1.0):
    """`clip(nn.utils, parameters)` returns and leaves the same in minidl and PyTorch, or both refuse."""
    us, ts = parameters(theirs(), gradients, scale), parameters(ours(), gradients, scale)
    try:
        want = clip(theirs().nn.utils, us)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            clip(utils, ts)
        return
    mine = clip(utils, ts)
    tolerance = {"rtol": 2e-6} if any(t.dtype == np.float32 for t in ts) else None
    assert (mine is None) == (want is None)
    if want is not None:
        assert_equal(mine, want, tolerance)
    for t, u in zip(ts, us, strict=True):
        assert (t.grad is None) == (u.grad is None)
        if u.grad is not None:
            assert_equal(t.grad, u.grad, tolerance)


@pytest.mark.parametrize("norm_type", [2, 1, 3.0, 0.5, 0, -1, -2.5, math.inf, -math.inf, "inf"])
@pytest.mark.parametrize("gradients", GRADIENTS)
def test_norms_like_pytorchs(gradients, norm_type):
    for max_norm in (0.1, 1, 100.0):
        assert_clipped_alike(lambda m, ps, n=max_norm: m.clip_grad_norm_(ps, n, norm_type), gradients)
        assert_clipped_alike(lambda m, ps, n=max_norm: m.clip_grad_norm_(iter(ps), n, norm_type), gradients)


@pytest.mark.parametrize("gradients", GRADIENTS[1:-1])
def test_values_like_pytorchs(gradients):
    for value in (0.1, 1, 100.0, -0.5, 0):
        assert_clipped_alike(lambda m, ps, v=value: m.clip_grad_value_(ps, v), gradients)


@pytest.mark.parametrize("scale", [math.nan, math.inf, 1e30, 1e-30])
def test_nan_and_infinity_like_pytorchs(scale):
    assert_clipped_alike(lambda m, ps: m.clip_grad_norm_(ps, 1.0), GRADIENTS[1], scale)
    assert_clipped_alike(lambda m, ps: m.clip_grad_norm_(ps, 1.0, math.inf), GRADIENTS[1], scale)
    assert_clipped_alike(lambda m, ps: m.clip_grad_value_(ps, 1.0), GRADIENTS[1], scale)
    assert_clipped_alike(lambda m, ps: m.clip_grad_norm_(ps, 1.0, 2.0, True), GRADIENTS[1], scale)


def test_without_gradients_nothing_happens():
    for ps in ([], parameters(ours(), [None])):
        utils.clip_grad_value_(ps, 1.0)
        assert utils.clip_grad_norm_(ps, 1.0).item() == 0


def test_one_parameter_and_the_two_halves():
    assert_clipped_alike(lambda m, ps: m.clip_grad_norm_(ps[0], 0.5), GRADIENTS[1])
    assert_clipped_alike(lambda m, ps: m.clip_grad_value_(ps[0], 0.5), GRADIENTS[1])
    assert_clipped_alike(lambda m, ps: m.get_total_norm(ps[0].grad), GRADIENTS[1])
    assert_clipped_alike(lambda m, ps: m.get_total_norm([p.grad for p in ps], 1.0), GRADIENTS[2])

    def halves(m, ps):
        norm = m.get_total_norm([p.grad for p in ps if p.grad is not None])
        m.clip_grads_with_norm_(ps, 0.5, norm)
        return norm

    assert_clipped_alike(halves, GRADIENTS[1])


def test_clipping_reaches_an_optimisers_flat_buffers():
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    before = [p.array.copy() for p in model.parameters()]
    (100 * model(minidl.ones(4, 3))).sum().backward()
    norm = utils.clip_grad_norm_(model.parameters(), 1.0)
    assert norm.item() > 100
    assert all(p._grad.base is optimizer._flat[0][0].gradient for p in model.parameters())
    optimizer.step()
    moved = [p.array - w for p, w in zip(model.parameters(), before, strict=True)]
    assert math.sqrt(sum((m**2).sum() for m in moved)) == pytest.approx(1, rel=1e-5)
    utils.clip_grad_value_(model.parameters(), 0.01)
    assert np.abs(optimizer._flat[0][0].gradient).max() == np.float32(0.01)


@pytest.mark.parametrize("name", utils.clip_grad.__all__)
def test_signatures_are_pytorchs(name):
    want, mine = (inspect.signature(getattr(m.nn.utils, name)).parameters for m in (theirs(), ours()))
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in want.values()]


@pytest.mark.parametrize("clip", [utils.clip_grad_norm_, utils.clip_grad_value_])
def test_foreach_is_refused_by_name(clip):
    with pytest.raises(NotImplementedError, match="foreach=True"):
        clip([Tensor(np.zeros(2))], 1.0, foreach=True)


def test_refusals_say_what_to_do():
    p = nn.Parameter(minidl.ones(0))
    p.grad = minidl.ones(0)
    with pytest.raises(RuntimeError, match=r"no norm of order inf.*leave that parameter out"):
        utils.clip_grad_norm_(p, 1.0, math.inf)
    p = nn.Parameter(minidl.ones(1))
    p.grad = minidl.tensor([math.nan])
    with pytest.raises(RuntimeError, match=r"order 2.0 of all gradients is nan.*smaller lr"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
