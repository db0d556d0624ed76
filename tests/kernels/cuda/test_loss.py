"""Softmax cross-entropy on the GPU against the reference."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import loss, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, int32, int64


def drawn(n, classes, dtype=np.float32):
    rng = np.random.default_rng(0)
    return (4 * rng.normal(size=(n, classes))).astype(dtype), rng.integers(0, classes, n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (64, 10), (5, 65), (3, 1000), (3, 1500), (40, 33)])
def test_same_as_the_reference(shape, dtype):
    z, y = drawn(*shape, dtype)
    want, want_d = reference.softmax_cross_entropy(z.astype(np.float64), y)
    got, d = (a.get() for a in loss.softmax_cross_entropy(asarray(z), asarray(y)))
    assert (got.shape, got.dtype, d.dtype, d.shape) == ((), z.dtype, z.dtype, z.shape)
    np.testing.assert_allclose(got, want, rtol=3e-6)
    np.testing.assert_allclose(d, want_d, rtol=1e-5, atol=1e-7)


def test_nothing():
    loss_of_none, d = loss.softmax_cross_entropy(asarray(np.ones((0, 3), np.float32)), asarray(np.arange(0)))
    assert np.isnan(loss_of_none.item()) and d.shape == (0, 3)


def test_views():
    z, y = drawn(6, 8)
    want, want_d = reference.softmax_cross_entropy(z.T, y[:4].repeat(2) % 6)
    got, d = loss.softmax_cross_entropy(asarray(z).T, asarray(y[:4].repeat(2) % 6))
    np.testing.assert_allclose(got.get(), want, rtol=3e-6)
    np.testing.assert_allclose(d.get(), want_d, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("classes", [5, 1500])
@pytest.mark.parametrize("bad", [-1, 5, 1500, 2**40])
def test_a_label_that_is_no_class_gives_nan(classes, bad):
    z, y = drawn(3, classes)
    y[1] = bad if bad not in range(classes) else -7
    got, d = (a.get() for a in loss.softmax_cross_entropy(asarray(z), asarray(y)))
    assert np.isnan(got)
    assert np.isnan(d[1]).all() and np.isfinite(d[[0, 2]]).all()


def test_extremes():
    z, y = drawn(5, 6)
    z[0, 1], z[1, 2], z[2, 3], z[3] = 1e30, -1e30, -np.inf, 88
    y[2] = 3
    with np.errstate(all="ignore"):
        want, want_d = reference.softmax_cross_entropy(z, y)
    got, d = (a.get() for a in loss.softmax_cross_entropy(asarray(z), asarray(y)))
    np.testing.assert_allclose(got, want, rtol=3e-6)
    np.testing.assert_allclose(d, want_d, rtol=1e-5, atol=1e-7)


def test_errors():
    z, y = map(asarray, drawn(3, 4))
    with pytest.raises(
        TypeError, match=r"softmax_cross_entropy\(logits: float32 \(4, 3\), labels: int64 \(3,\)\)"
    ):
        loss.softmax_cross_entropy(z.T, y)
    with pytest.raises(TypeError, match=r"labels must be int64, not float32. Fix: y.long\(\)"):
        loss.softmax_cross_entropy(z, y.astype(np.float32))


def test_machine_code(needs_toolkit):
    arrays = (float32[::1], int64[::1], float32[::1], float32[::1])
    for lanes, kept in ((16, 1), (32, 32)):
        resources.expect(
            loss.row_kernel(float32, lanes, kept), (*arrays, int32, int32, float32), registers=128
        )
    resources.expect(loss.long_row_kernel(float32), (*arrays, int32, float32), registers=48)
