"""Attention on the GPU against the reference: masks, dropout, ragged tiles, batches; and its cost."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import attention, attention_backward, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, int32

RNG = np.random.default_rng(0)
ARRAY = float32[::1]


def drawn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def case(lead, queries, keys, depth, size, dtype=np.float32):
    """g, q, k, v."""
    shapes = (queries, size), (queries, depth), (keys, depth), (keys, size)
    return tuple(drawn(*lead, *shape).astype(dtype) for shape in shapes)


def on_device(x):
    return None if x is None else asarray(x)


def assert_same(g, q, k, v, bias=None, keep=None, scale=0.3, causal=False, move=on_device, rtol=2e-5):
    """Forward, gradients of q, k, v, and that of the bias."""
    exact = [None if x is None else x.astype(np.float64) for x in (g, q, k, v, bias, keep)]
    settings = scale, causal
    want = reference.attention(*exact[1:], *settings)
    want_grads = reference.attention_backward(*exact, *settings, *want)
    given = [move(x) for x in (g, q, k, v)] + [on_device(bias), on_device(keep)]
    got = attention.attention(*given[1:], *settings)
    grads = attention.attention_backward(*given, *settings, *got)
    names = "out", "log_total", "dq", "dk", "dv"
    if bias is not None:
        want_grads += (reference.attention_backward_bias(*exact, *settings, *want),)
        grads += (attention.attention_backward_bias(*given, *settings, *got),)
        names += ("dbias",)
    for name, mine, right in zip(names, (*got, *grads), (*want, *want_grads), strict=True):
        assert (mine.shape, mine.dtype) == (right.shape, q.dtype), name
        size = np.abs(right[np.isfinite(right)]).max(initial=1)
        np.testing.assert_allclose(mine.get(), right, rtol=rtol, atol=rtol * size, err_msg=name)


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queries", "keys", "depth", "size", "causal"),
    [
        (1, 1, 1, 1, False),
        (64, 64, 8, 8, True),
        (9, 66, 5, 33, False),
        (66, 9, 9, 6, False),
        (67, 65, 12, 20, True),
        (3, 9, 70, 101, False),
        (5, 4, 128, 128, True),
    ],
)
def test_ragged_tiles(queries, keys, depth, size, causal):
    assert_same(*case((), queries, keys, depth, size), causal=causal)


SHAPES = [(1, 1, 7, 1), (7, 9), (1, 9), (2, 1, 1, 9), (1, 3, 7, 9), (2, 3, 7, 9), (1,)]


@pytest.mark.parametrize("shape", SHAPES)
def test_biases_are_broadcast(shape):
    assert_same(*case((2, 3), 7, 9, 4, 4), bias=drawn(*shape))


def test_a_bias_repeated_along_a_middle_axis():
    assert_same(*case((2, 2, 2), 5, 6, 4, 4), bias=drawn(2, 1, 2, 5, 6))


def test_a_broadcast_view_as_bias():
    bias = np.broadcast_to(drawn(1, 6), (2, 5, 6))
    _, q, k, v = case((2,), 5, 6, 4, 4)
    want = reference.attention(q, k, v, bias, None, 0.5, False)[0]
    view = np.broadcast_to(asarray(np.ascontiguousarray(bias[:1, :1])), (2, 5, 6))
    got = attention.attention(*map(asarray, (q, k, v)), view, None, 0.5, False)[0]
    np.testing.assert_allclose(got.get(), want, atol=1e-5)


@pytest.mark.parametrize(("keys", "causal"), [(68, False), (9, True)])
def test_dropout(keys, causal):
    keep = (RNG.random((2, 10, keys)) < 0.5).astype(np.float32) * 2
    assert_same(*case((2,), 10, keys, 8, 8), bias=drawn(10, keys), keep=keep, causal=causal)


def test_queries_without_keys():
    bias = np.where(RNG.random((70, 7)) < 0.3, -np.inf, 0).astype(np.float32)
    alone = [0, 9, 65]
    bias[alone] = -np.inf
    g, q, k, v = case((2,), 70, 7, 4, 4)
    assert_same(g, q, k, v, bias=bias)
    out, log_total = attention.attention(*map(asarray, (q, k, v, bias)), None, 1.0, False)
    assert (out.get()[:, alone] == 0).all() and np.isinf(log_total.get()[:, alone]).all()


@pytest.mark.parametrize("shift", [-200, 200])
def test_scores_far_from_zero(shift):
    """e^score would be 0 for every key, or infinite."""
    assert_same(*case((), 6, 70, 4, 4), bias=shift + drawn(6, 70), rtol=1e-4)


def test_keys_that_are_seen_only_later():
    """A whole tile of hidden keys comes first."""
    bias = np.zeros((5, 70), np.float32)
    bias[:, :65] = -np.inf
    assert_same(*case((), 5, 70, 4, 4), bias=bias)


@pytest.mark.parametrize(
    "leads",
    [
        ((2, 3), (2, 3), (2, 3)),
        ((2, 1), (1, 3), (2, 3)),
        ((2, 3), (), ()),
        ((), (3,), (3,)),
        ((3,), (2, 3), (1, 3)),
        ((), (), (2,)),
    ],
)
def test_batches_are_broadcast(leads):
    lead = np.broadcast_shapes(*leads)
    own = [drawn(*own, *shape) for own, shape in zip(leads, [(5, 4), (7, 4), (7, 6)], strict=True)]
    assert_same(drawn(*lead, 5, 6), *own)


def test_heads_of_a_projection():
    """q, k, v as views (N, H, T, E) of what lies as (N, T, H, E)."""

    def view(x):
        return asarray(np.ascontiguousarray(x.swapaxes(1, 2))).swapaxes(1, 2)

    assert_same(*case((2, 3), 20, 20, 8, 8), causal=True, move=view)


@pytest.mark.parametrize(("queries", "keys", "depth", "size"), [(3, 4, 0, 5), (3, 4, 5, 0), (0, 4, 2, 3)])
def test_nothing(queries, keys, depth, size):
    assert_same(*case((2,), queries, keys, depth, size))


def test_no_keys():
    g, q, k, v = (asarray(x) for x in case((2,), 3, 0, 4, 5))
    out, log_total = attention.attention(q, k, v, None, None, 1.0, False)
    assert not out.get().any() and np.isinf(log_total.get()).all()
    grads = attention.attention_backward(g, q, k, v, None, None, 1.0, False, out, log_total)
    assert [x.shape for x in grads] == [(2, 3, 4), (2, 0, 4), (2, 0, 5)] and not grads[0].get().any()


@pytest.mark.parametrize(
    ("size", "dtype", "causal"), [(8, np.float64, False), (8, np.float64, True), (130, np.float32, True)]
)
def test_the_chain_of_kernels(size, dtype, causal):
    """Other types, and heads too large for the chip."""
    given = case((2,), 7, 9, size, 6, dtype)
    keep = (RNG.random((2, 7, 9)) < 0.5).astype(dtype)
    bias = drawn(7, 9).astype(dtype)
    bias[3] = -np.inf
    assert_same(*given, bias=bias, keep=keep, causal=causal, rtol=1e-12 if dtype == np.float64 else 2e-5)


def test_wrong_types_are_refused():
    _, q, k, v = case((), 3, 3, 2, 2)
    with pytest.raises(TypeError, match="floats of one dtype"):
        attention.attention(asarray(q), asarray(k.astype(np.float64)), asarray(v), None, None, 1.0, False)


# -- costs -----------------------------------------------------------------------------------------

PLAIN, WIDE, RAGGED = (
    ((True, True), True, False, False),
    ((True, True), True, True, True),
    ((False, False), True, True, True),
)
"""Access by four; causal, biased, dropped. The more options, the more a thread has to hold, at each width.

(All 384 variants were without spills in 2026. Gradients need fewer registers at width 32 than at 64.)
"""

TYPES = (ARRAY,) * 7 + (*[int32] * 4, float32, *[int32] * 8)
GRADIENT_TYPES = (ARRAY,) * 9 + (*[int32] * 4, float32, *[int32] * 9)


@pytest.mark.parametrize(("width", "variant"), [(32, PLAIN), (64, RAGGED), (128, RAGGED)])
def test_costs(width, variant, needs_toolkit):
    kernel = attention.attention_kernel(width, *variant)
    resources.expect(kernel, TYPES, share=0.75, everywhere=width == 64)


@pytest.mark.parametrize("of", ["q", "k", "v"])
@pytest.mark.parametrize(("width", "variant"), [(64, WIDE), (128, RAGGED)])
def test_costs_of_gradients(width, variant, of, needs_toolkit):
    kernel = attention_backward.gradient_kernel(of, width, *variant)
    resources.expect(kernel, GRADIENT_TYPES, share=0.75, everywhere=(of, variant) == ("v", WIDE))
