"""Compiled attention against the reference: masks, dropout, ragged blocks, views, queries without keys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.kernels import WORTH_COMPILING, reference
from minidl.nn import functional as F
from tests.parity import assert_parity, written

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import attention as compiled

LEADS = [(), (3,), (2, 3), (1, 2, 1, 2), (2, 0)]


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def assert_same(q, k, v, bias, keep, causal, tolerance=1e-5):
    """Forward and backward, with the same scale."""
    given = q, k, v, bias, keep, 0.3, causal
    got, want = compiled.attention(*given), reference.attention(*given)
    g = normal(np.random.default_rng(1), *want[0].shape).astype(q.dtype)
    got += tuple(compiled.attention_backward(g, *given, *got))
    want += tuple(reference.attention_backward(g, *given, *want))
    for a, b in zip(got, want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=tolerance)


@st.composite
def cases(draw):
    rng, lead = np.random.default_rng(draw(st.integers(0, 99))), draw(st.sampled_from(LEADS))
    queries, keys = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    features, values = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    shapes = (queries, features), (keys, features), (keys, values)
    q, k, v = (normal(rng, *lead, *shape) for shape in shapes)
    if draw(st.booleans()):  # heads between time and features, as a view of one product has them
        q, k = (np.repeat(a, 2, axis=-2)[..., ::2, :] for a in (q, k))
        v = np.repeat(v, 2, axis=-1)[..., ::2]
    shared = draw(st.sampled_from(["none", "q", "k"]))
    if lead and shared != "none":
        q, k = (q[:1], k) if shared == "q" else (q, k[:1])
    bias = keep = None
    if draw(st.booleans()):
        bias = normal(rng, *draw(st.sampled_from([(keys,), (queries, 1), (queries, keys), (*lead, 1, keys)])))
        bias[rng.random(bias.shape) < 0.3] = -np.inf
    if draw(st.booleans()):
        keep = (rng.random((*lead, queries, keys)) < 0.7).astype(np.float32) / np.float32(0.7)
    arrays = [q, k, v, bias, keep]
    if draw(st.integers(0, 4)) == 0:
        arrays = [None if a is None else a.astype(np.float64) for a in arrays]
    return (*arrays, draw(st.booleans()))


@given(cases())
def test_same_as_the_reference(case):
    assert_same(*case)


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_any_number_of_threads_gives_the_same(use_threads, threads):
    use_threads(threads)
    q, k, v = normal(np.random.default_rng(0), 4, 130, 3, 5, 24).transpose(2, 0, 3, 1, 4)
    assert_same(q, k, v, None, None, True)
    assert_same(q, k, v, normal(np.random.default_rng(1), 5, 130, 130), None, False)


def test_results_lie_in_memory_as_the_query_does():
    """So that heads are put side by side again without a copy."""
    q, k, v = normal(np.random.default_rng(0), 2, 40, 3, 4, 8).transpose(2, 0, 3, 1, 4)
    out, log_total = compiled.attention(q, k, v, None, None, 1.0, True)
    gradients = compiled.attention_backward(out, q, k, v, None, None, 1.0, True, out, log_total)
    for a in (out, *gradients):
        assert a.transpose(0, 2, 1, 3).flags.c_contiguous


def test_large_scores_and_nan():
    q, k, v = normal(np.random.default_rng(0), 3, 50, 16)
    q *= 100
    assert_same(q, k, v, None, None, False, tolerance=2e-4)
    q[3, 0] = np.nan
    assert_same(q, k, v, None, None, False, tolerance=2e-4)


def test_memory_does_not_grow_with_the_square_of_the_length():
    length = 3000
    q = minidl.tensor(normal(np.random.default_rng(0), 1, length, 4)).requires_grad_()
    out = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    seen, todo, held = set(), [out.grad_fn.vjp], 0
    while todo:
        cell = todo.pop()
        if isinstance(cell, np.ndarray) and id(cell) not in seen:
            seen.add(id(cell))
            held += cell.size
        elif isinstance(cell, tuple):
            todo += cell
        elif hasattr(cell, "__closure__"):
            todo += [c.cell_contents for c in cell.__closure__ or ()]
    assert held <= 3 * q.numel()


@pytest.mark.parametrize(
    "settings", ["is_causal=True", "scale=0.2", "attn_mask=ts[3]", "attn_mask=ts[3].detach() > 0"]
)
def test_attention_beside_pytorch(settings):
    rng = np.random.default_rng(0)
    arrays = [normal(rng, 2, 3, 70, 24) for _ in range(3)]
    assert arrays[0].size >= WORTH_COMPILING
    arrays += [normal(rng, 3, 70, 70)] * ("ts[3]" in settings)
    call = written(f"m.F.scaled_dot_product_attention(*ts[:3], {settings})")
    assert_parity(call, *arrays, tolerance={"rtol": 1e-4, "atol": 1e-5})


@pytest.mark.parametrize("settings", ["is_causal=True", ""])
def test_heads_that_are_views_of_one_product(settings):
    call = (
        f"m.F.scaled_dot_product_attention(*x.permute(2, 0, 3, 1, 4), {settings}).transpose(1, 2).flatten(2)"
    )
    assert_parity(written(call), normal(np.random.default_rng(0), 2, 70, 3, 4, 12))
