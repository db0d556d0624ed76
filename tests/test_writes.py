"""Values changed in place between forward and backward: never a wrong gradient, at most a refusal."""

import gc

import numpy as np
import pytest

import minidl
from minidl import optim, writes
from minidl.nn import functional as F
from minidl.tensor import Tensor
from tests.ops.test_ops import CASES, tensors_of, wants_gradient
from tests.parity import ours

REFUSED = "changed in place after the forward pass.*Fix: change a copy"


def gradients(sample, changed=None):
    """The gradients of a sample call; with one of its inputs doubled in place after the forward pass."""
    call, *inputs = sample
    leaves = tensors_of(inputs, np.float64)
    ts = [t * 1 if t.requires_grad else t for t in leaves]
    out = call(ours(), *ts)
    if changed is not None:
        with minidl.no_grad():
            ts[changed].mul_(2.0)
    if out.requires_grad:
        out.backward(minidl.ones_like(out))
    return [t.grad.array for t in leaves if t.grad is not None]


@pytest.mark.parametrize("sample", CASES)
def test_every_op_gives_the_same_gradient_or_refuses(sample):
    right = gradients(sample)
    for i, (kind, t) in enumerate(zip(sample[1:], tensors_of(sample[1:], np.float64), strict=True)):
        if not wants_gradient(kind, t.array):
            continue
        try:
            result = gradients(sample, changed=i)
        except RuntimeError as error:
            assert "changed in place" in str(error)
            continue
        for a, b in zip(result, right, strict=True):
            np.testing.assert_array_equal(a, b)


NEED_ONLY_THE_SHAPE = [
    lambda x: x.reshape(2, 8)[:, 1:].sum(dim=1),
    lambda x: F.embedding(minidl.tensor([[0, 1, 1]]), x.reshape(4, 4)),
    lambda x: F.unfold(x, 2),
    lambda x: F.fold(x.reshape(1, 4, 4), 3, 2),
    lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2) + F.adaptive_avg_pool2d(x, 2),
    lambda x: x.topk(2)[0].sum() + x.sort()[0].sum(),
]


@pytest.mark.parametrize("call", NEED_ONLY_THE_SHAPE)
def test_what_needs_only_the_shape_keeps_no_values(call):
    x = minidl.ones(1, 1, 4, 4, requires_grad=True)
    h = x * 1
    y = call(h)
    with minidl.no_grad():
        h.mul_(2.0)
    y.sum().backward()
    assert x.grad is not None


def squared():
    x = minidl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    h = x * 1
    return x, h, (h * h).sum()


def test_a_changed_element_is_noticed():
    _, h, loss = squared()
    with minidl.no_grad():
        h[0] = 5.0
    with pytest.raises(RuntimeError, match=rf"mul: an array of shape \(3,\).*{REFUSED}"):
        loss.backward()


def test_a_change_through_a_view_is_noticed():
    _, h, loss = squared()
    with minidl.no_grad():
        h[1:].mul_(2.0)
    with pytest.raises(RuntimeError, match=REFUSED):
        loss.backward()


def test_changed_results_are_noticed():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()  # its gradient needs y
    loss = (y * 3).sum()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match=f"exp.*{REFUSED}"):
        loss.backward()


def test_a_step_between_forward_and_backward_is_noticed():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    late = (w * w).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match=REFUSED):
        late.backward()
    (w * w).sum().backward()


def test_what_is_not_needed_may_change():
    x, h, loss = squared()
    other = minidl.zeros(3)
    other[1] = 4.0
    x_plus = h + 1
    with minidl.no_grad():
        x_plus.mul_(7.0)
    loss.backward()
    np.testing.assert_array_equal(x.grad.array, [2, 4, 6])


def test_a_write_before_the_forward_pass_is_fine():
    x = minidl.zeros(3)
    x[0] = 2.0
    w = minidl.ones(3).requires_grad_()
    (w * x).sum().backward()
    np.testing.assert_array_equal(w.grad.array, [2, 0, 0])


def test_places_are_forgotten_with_their_arrays():
    gc.collect()
    before = len(writes._places)
    for _ in range(10):
        Tensor(np.zeros(5)).zero_()
    gc.collect()
    assert len(writes._places) <= before
