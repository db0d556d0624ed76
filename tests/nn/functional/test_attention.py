"""Scaled dot-product attention beside PyTorch's, and the op beside its composed twin."""

from functools import partial

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from minidl.tensor import Tensor
from tests.parity import assert_parity, ours

NEAR = {"rtol": 1e-4, "atol": 1e-5}


def attention(m, *ts, **settings):
    return m.F.scaled_dot_product_attention(*ts, **settings)


def normal(rng, *shape, dtype=np.float32):
    return rng.normal(size=shape).astype(dtype)


def sequences(rng, lead, length, span, width, features, dtype=np.float32):
    """Query, key and value."""
    shapes = (length, width), (span, width), (span, features)
    return [normal(rng, *lead, *shape, dtype=dtype) for shape in shapes]


def drawn_mask(rng, kind, *shape, dtype=np.float32):
    """A mask with some queries that may look at nothing."""
    look = rng.random(shape) < 0.7
    look &= rng.random((*shape[:-1], 1)) < 0.8
    if kind == "bool":
        return look
    return np.where(look, normal(rng, *shape, dtype=dtype), -np.inf).astype(dtype)


@pytest.mark.parametrize("kind", [None, "causal", "bool", "float"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attention_equals_pytorchs(kind, dtype):
    rng = np.random.default_rng(0)
    for _ in range(40):
        least = int(kind == "float")  # PyTorch gives float masks no gradient where something is empty
        lead = tuple(rng.integers(least, 4, rng.integers(0, 4)))
        length, span, width, features = rng.integers(least, 6, 4)
        arrays = sequences(rng, lead, length, span, width, features, dtype)
        settings = {"is_causal": True} if kind == "causal" else {}
        if rng.random() < 0.5:
            settings["scale"] = float(rng.normal())
        if kind in ("bool", "float"):
            axes = (*lead, length, span)[rng.integers(0, len(lead) + 1) :]
            shape = [1 if rng.random() < 0.3 else n for n in axes]
            arrays.append(drawn_mask(rng, kind, *shape, dtype=dtype))
        assert_parity(partial(attention, **settings), *arrays, tolerance=NEAR)


@pytest.mark.parametrize("constant", [(), (3,), (0, 1, 2)])
def test_gradients_through_masks_are_finite(constant):
    rng = np.random.default_rng(1)
    mask = drawn_mask(rng, "float", 5, 4)
    mask[2] = -np.inf
    q, k, v = sequences(rng, (2, 3), 5, 4, 3, 2)
    assert_parity(attention, q, k, v, mask, constant=constant, tolerance=NEAR)
    ts = [Tensor(a).requires_grad_(i not in constant) for i, a in enumerate([q, k, v, mask])]
    out = attention(ours(), *ts)
    assert (out.array[..., 2, :] == 0).all()
    out.sum().backward()
    assert all(np.isfinite(t.grad.array).all() for t in ts if t.requires_grad)


@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        ((2, 1, 3, 4), (3, 5, 4), (1, 3, 5, 2)),
        ((2, 3, 3, 4), (5, 4), (5, 2)),
        ((3, 4), (2, 5, 4), (2, 5, 4)),
        ((2, 3, 4), (2, 5, 4), (1, 5, 4)),
        ((1, 3, 4), (2, 5, 4), (6, 2, 5, 4)),
    ],
)
def test_leading_axes_broadcast(q, k, v):
    rng = np.random.default_rng(2)
    assert_parity(attention, normal(rng, *q), normal(rng, *k), normal(rng, *v), tolerance=NEAR)


@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        ((2, 4, 3, 2), (2, 2, 5, 2), (2, 2, 5, 3)),
        ((2, 6, 3, 2), (2, 1, 5, 2), (2, 3, 5, 2)),
        ((4, 3, 2), (2, 3, 2), (4, 3, 2)),
        ((2, 2, 4, 3, 2), (2, 2, 2, 3, 2), (2, 2, 1, 3, 2)),
    ],
)
@pytest.mark.parametrize("is_causal", [False, True])
def test_grouped_queries(q, k, v, is_causal):
    rng = np.random.default_rng(3)
    arrays = [normal(rng, *shape) for shape in (q, k, v)]
    settings = {"enable_gqa": True, "is_causal": is_causal}
    assert_parity(lambda m, *ts: attention(m, *ts, **settings), *arrays, tolerance=NEAR)


def test_float_masks_of_a_float64_query_may_be_float32():
    rng = np.random.default_rng(4)
    arrays = sequences(rng, (2,), 3, 4, 2, 2, np.float64)
    assert_parity(attention, *arrays, normal(rng, 3, 4), constant=(3,))


def test_views():
    rng = np.random.default_rng(5)
    q, k, v = (normal(rng, 2, 6, 3, 8).transpose(0, 2, 1, 3)[..., ::2] for _ in range(3))
    assert_parity(lambda m, *ts: attention(m, *ts, is_causal=True), q, k, v, tolerance=NEAR)


def test_the_op_is_its_composed_twin():
    rng = np.random.default_rng(6)
    arrays = [*sequences(rng, (2, 3), 4, 5, 3, 2, np.float64), rng.normal(size=(4, 5))]
    g = Tensor(rng.normal(size=(2, 3, 4, 2)))
    results = []
    for composed in (False, True):
        q, k, v, mask = ts = [Tensor(a).requires_grad_() for a in arrays]
        if composed:
            out = F.softmax(q @ k.transpose(-1, -2) / 3**0.5 + mask, dim=-1) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask)
        out.backward(g)
        results.append([out.detach().array, *(t.grad.array for t in ts)])
    for fused, twin in zip(*results, strict=True):
        np.testing.assert_allclose(fused, twin, rtol=1e-10, atol=1e-12)


def test_dropout_drops_weights_and_scales_the_others():
    minidl.manual_seed(0)
    q, k = minidl.randn(200, 2, requires_grad=True), minidl.randn(50, 2)
    plain = F.scaled_dot_product_attention(q, k, minidl.eye(50)).array
    dropped = F.scaled_dot_product_attention(q, k, minidl.eye(50), dropout_p=0.25)
    kept = dropped.array != 0
    assert kept.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(dropped.array[kept], plain[kept] / 0.75, rtol=1e-5)
    dropped.sum().backward()
    assert q.grad.array.any()


def test_dropout_of_everything_equals_pytorchs():
    arrays = sequences(np.random.default_rng(7), (2,), 3, 4, 2, 2)
    assert_parity(lambda m, *ts: attention(m, *ts, dropout_p=1.0), *arrays)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_with_dropout(dtype):
    """The same draw twice: backward agrees with differences."""
    from minidl.testing import gradcheck

    ts = [
        Tensor(a).requires_grad_() for a in sequences(np.random.default_rng(8), (2,), 3, 4, 2, 2, np.float64)
    ]

    def call(*ts):
        minidl.manual_seed(3)
        return F.scaled_dot_product_attention(*ts, dropout_p=0.4)

    assert gradcheck(call, ts)


Q = np.ones((2, 4, 3), np.float32)
REFUSED = [
    (lambda m, q: attention(m, q[0, 0], q[0, 0], q[0, 0]), "at least two axes"),
    (
        lambda m, q: attention(m, q, q[..., :2], q),
        r"query: \(2, 4, 3\).*key: \(2, 4, 2\).*query \(..., L, E\)",
    ),
    (lambda m, q: attention(m, q, q, q[:, :3]), "attention.*Fix"),
    (lambda m, q: attention(m, m.cat([q, q]), q, q), "attention.*Fix"),
    (lambda m, q: attention(m, q, q.double(), q), "float32 and float64"),
    (lambda m, q: attention(m, *[(q * 1).long()] * 3), "floating-point"),
    (lambda m, q: attention(m, q, q, q, (q @ q.transpose(-1, -2)).double()), "attn_mask is float64"),
    (lambda m, q: attention(m, q, q, q, (q @ q.transpose(-1, -2)).long()), "attn_mask is int64"),
    (lambda m, q: attention(m, q, q, q, q), r"attn_mask: \(2, 4, 3\)"),
    (lambda m, q: attention(m, q[0], q[0], q[0], q @ q.transpose(-1, -2)), r"attn_mask: \(2, 4, 4\)"),
    (lambda m, q: attention(m, q, q, q, m.ones(4, 4), is_causal=True), "not both"),
    (lambda m, q: attention(m, q, q, q, dropout_p=1.5), "p"),
    (lambda m, q: attention(m, m.cat([q, q[:1]]), q, q, enable_gqa=True), "3 heads of the query, 2"),
    (lambda m, q: attention(m, q[0], q[0], q[0], enable_gqa=True), "axes"),
    (lambda m, q: attention(m, q, q, q, None, 0.0, False, 0.5), "positional"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_pytorch_refuses_is_refused(call, message):
    assert_parity(call, Q)
    with pytest.raises((ValueError, TypeError), match=message):
        call(ours(), Tensor(Q))
