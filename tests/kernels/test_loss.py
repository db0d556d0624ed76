"""Compiled softmax cross-entropy against the reference: any shape, extremes, threads, layouts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import kernels
from minidl.kernels import reference
from tests.parity import assert_parity, written

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import loss as compiled


def drawn(n, classes, dtype=np.float32, scale=5):
    rng = np.random.default_rng(0)
    return (scale * rng.normal(size=(n, classes))).astype(dtype), rng.integers(0, classes, n)


def assert_same(logits, labels):
    """Loss and gradient as the reference in float64."""
    with np.errstate(all="ignore"):
        want, want_d = reference.softmax_cross_entropy(logits.astype(np.float64), labels)
        loss, d = compiled.softmax_cross_entropy(logits, labels)
    assert loss.dtype == d.dtype == logits.dtype
    assert d.shape == logits.shape
    np.testing.assert_allclose(loss, want, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(d, want_d, rtol=5e-6, atol=1e-6 / len(logits))


@given(
    n=st.integers(1, 200),
    classes=st.integers(1, 200),
    dtype=st.sampled_from([np.float32, np.float64]),
    scale=st.sampled_from([1, 50]),
)
def test_same_as_the_reference(n, classes, dtype, scale):
    assert_same(*drawn(n, classes, dtype, scale))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_extremes(value):
    logits, labels = drawn(4, 70)
    for column in (0, labels[1]):
        logits[1, column] = value
        assert_same(logits, labels)


def test_a_certain_answer_has_no_loss_and_no_gradient():
    logits, labels = np.zeros((300, 40), np.float32), np.full(300, 7)
    logits[:, 7] = 1000
    loss, d = compiled.softmax_cross_entropy(logits, labels)
    assert loss == 0
    assert not d.any()


@pytest.mark.parametrize(
    "layout", [lambda a: a[:, ::2], np.asfortranarray, lambda a: np.broadcast_to(a[:1], a.shape)]
)
def test_any_layout(layout):
    logits, labels = drawn(80, 60)
    logits = layout(logits)
    labels = labels % logits.shape[1]
    assert_same(logits, labels)
    assert_same(logits, labels.astype(np.int32))
    loss, d = reference.softmax_cross_entropy(logits, labels)
    want, want_d = reference.softmax_cross_entropy(logits.copy(), labels)
    np.testing.assert_allclose(loss, want, rtol=1e-6)
    np.testing.assert_allclose(d, want_d, rtol=1e-6)


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_any_number_of_threads_gives_the_same_bits(use_threads, threads):
    logits, labels = drawn(4001, 65)
    use_threads(1)
    want, want_d = compiled.softmax_cross_entropy(logits, labels)
    use_threads(threads)
    assert_same(logits, labels)
    loss, d = compiled.softmax_cross_entropy(logits, labels)
    assert loss == want
    np.testing.assert_array_equal(d, want_d)


def test_gradients_of_large_arrays():
    logits, labels = drawn(kernels.WORTH_COMPILING // 64 + 1, 65)
    assert_parity(written("m.F.cross_entropy(x, y)"), logits, labels)
