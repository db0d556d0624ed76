"""Sequence ops on packed rows: gradients for ragged batches, and the kernels' manners."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.nn.functional import recurrent
from minidl.tensor import Tensor
from minidl.testing import gradcheck

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
RAGGED = np.array([4, 4, 2, 1])


def arguments(kind, n=4, rows=11, inputs=3, width=2, projected=None):
    """Random rows, states and weights of one layer in one direction, as float64 arrays."""
    rng, height, out = np.random.default_rng(0), GATES[kind] * width, projected or width
    states = [(n, out), (n, width)] if kind == "lstm" else [(n, width)]
    weights = [(height, inputs), (height, out), (height,), (height,)] + [(out, width)] * bool(projected)
    return [rng.normal(size=s) for s in [(rows, inputs), *states, *weights]], len(states)


def call(kind, count, x, *ts, **settings):
    """Every output as one vector."""
    h, last = getattr(recurrent, kind)(x, ts[:count], *ts[count:], **settings)
    return sum([(t * (i + 1)).square().sum() for i, t in enumerate([h, *last])], Tensor(np.zeros(())))


@pytest.mark.parametrize(("kind", "projected"), [("rnn", None), ("lstm", None), ("lstm", 1), ("gru", None)])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_sequences_of_different_lengths(kind, projected, reverse):
    arrays, count = arguments(kind, projected=projected)
    ts = [Tensor(a).requires_grad_() for a in arrays]
    assert gradcheck(lambda *ts: call(kind, count, *ts, batch_sizes=RAGGED, reverse=reverse), ts)


@pytest.mark.parametrize("kind", GATES)
def test_reading_backwards_is_reading_the_reversed_sequence(kind):
    arrays, count = arguments(kind, n=2, rows=10)
    x, *rest = map(Tensor, arrays)
    sizes = np.full(5, 2)
    backwards = Tensor(arrays[0].reshape(5, 2, 3)[::-1].reshape(10, 3))
    function = getattr(recurrent, kind)
    a, last_a = function(x, rest[:count], *rest[count:], batch_sizes=sizes, reverse=True)
    b, last_b = function(backwards, rest[:count], *rest[count:], batch_sizes=sizes, reverse=False)
    np.testing.assert_allclose(a.array.reshape(5, 2, 2)[::-1], b.array.reshape(5, 2, 2))
    for s, t in zip(last_a, last_b, strict=True):
        np.testing.assert_allclose(s.array, t.array)


@pytest.mark.parametrize("kind", GATES)
def test_gradients_of_inputs_alone_and_of_weights_alone(kind):
    """What wants no gradient gets none, and changes no other."""
    arrays, count = arguments(kind)
    settings = {"batch_sizes": RAGGED, "reverse": False}
    everything = [Tensor(a).requires_grad_() for a in arrays]
    call(kind, count, *everything, **settings).backward()
    for chosen in range(len(arrays)):
        ts = [Tensor(a).requires_grad_(i == chosen) for i, a in enumerate(arrays)]
        call(kind, count, *ts, **settings).backward()
        assert [t.grad is not None for t in ts] == [i == chosen for i in range(len(ts))]
        np.testing.assert_allclose(ts[chosen].grad.array, everything[chosen].grad.array)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_keep_dtypes_and_their_inputs(kind, dtype):
    arrays, _ = arguments(kind)
    given = [a.astype(dtype) for a in arrays]
    before = [x.copy() for x in given]
    projection = [None] * (kind == "lstm")
    *out, saved = getattr(reference, f"{kind}_sequence")(*given, *projection, RAGGED)
    gradients = [np.ones_like(x) for x in out]
    back = getattr(reference, f"{kind}_sequence_backward")(*gradients, saved, RAGGED)
    assert {x.dtype for x in [*out, *back] if x is not None} == {np.dtype(dtype)}
    assert all((x == y).all() for x, y in zip(given, before, strict=True))
    assert all((g == 1).all() for g in gradients)


@pytest.mark.parametrize("kind", GATES)
def test_a_gradient_of_x_that_nobody_needs_is_not_computed(kind):
    arrays, _ = arguments(kind)
    *out, saved = getattr(reference, f"{kind}_sequence")(*arrays, *[None] * (kind == "lstm"), RAGGED)
    back = getattr(reference, f"{kind}_sequence_backward")
    none, *others = back(*out, saved, RAGGED, input_gradient=False)
    some, *same = back(*out, saved, RAGGED)
    assert none is None and some.shape == arrays[0].shape
    for a, b in zip(others, same, strict=True):
        assert a is b is None or (a == b).all()


@pytest.mark.parametrize("kind", GATES)
def test_gradients_of_the_last_states_alone_and_twice(kind):
    """Nothing of one backward is left for the next."""
    arrays, count = arguments(kind)
    ts = [Tensor(a).requires_grad_() for a in arrays]
    h, last = getattr(recurrent, kind)(
        ts[0], ts[1 : 1 + count], *ts[1 + count :], batch_sizes=RAGGED, reverse=False
    )
    for output in [*last, h, last[-1]]:
        for t in ts:
            t.grad = None
        output.square().sum().backward(retain_graph=True)
    first = [t.grad.array.copy() for t in ts]
    for t in ts:
        t.grad = None
    last[-1].square().sum().backward(retain_graph=True)
    for a, t in zip(first, ts, strict=True):
        np.testing.assert_array_equal(a, t.grad.array)


def saturated(sign, blocks):
    """One step of one input 1 whose weights drive every gate of two units to its end."""
    x, w_ih, w_hh = np.ones((1, 1)), np.full((2 * blocks, 1), sign * 1e4), np.zeros((2 * blocks, 2))
    return [a.astype(np.float32) for a in (x, w_ih, w_hh)]


@pytest.mark.parametrize(("sign", "lstm", "gru"), [(1, np.tanh(1), 1), (-1, 0, -1)])
def test_saturated_gates_neither_overflow_nor_warn(sign, lstm, gru):
    state, one = np.zeros((1, 2), np.float32), np.array([1])
    x, *weights = saturated(sign, 4)
    h, *_ = reference.lstm_sequence(x, state, state, *weights, None, None, None, one)
    np.testing.assert_allclose(h, [[lstm] * 2], atol=1e-7)
    x, *weights = saturated(sign, 3)
    h, *_ = reference.gru_sequence(x, state + 1, *weights, None, None, one)
    np.testing.assert_allclose(h, [[gru] * 2])
