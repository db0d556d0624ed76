"""Compiled softmax along the last axis against the reference: ragged groups, extremes, threads, layouts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import kernels
from minidl.kernels import reference
from tests.parity import assert_parity, written

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import softmax as compiled

NAMES = ("softmax", "log_softmax")
shapes = st.lists(st.integers(0, 130), min_size=1, max_size=3).map(tuple)


def assert_same(name, x, g, axis=-1):
    """Forward and backward as the reference in float64."""
    with np.errstate(all="ignore"):
        want, got = (getattr(k, name)(a, axis) for k, a in ((reference, x.astype(np.float64)), (compiled, x)))
        backward = f"{name}_backward"
        want_dx = getattr(reference, backward)(g.astype(np.float64), want, axis)
        dx = getattr(compiled, backward)(g, got, axis)
    for mine, right in ((got, want), (dx, want_dx)):
        assert (mine.shape, mine.dtype) == (x.shape, x.dtype)
        np.testing.assert_allclose(
            mine, right, rtol=5e-6, atol=2e-6 * max(1, np.abs(g).sum(axis).max(initial=0))
        )


def drawn(shape, dtype=np.float32, scale=5):
    rng = np.random.default_rng(0)
    return (scale * rng.normal(size=shape)).astype(dtype), rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("name", NAMES)
@given(shape=shapes, dtype=st.sampled_from([np.float32, np.float64]), scale=st.sampled_from([1, 50]))
def test_same_as_the_reference(name, shape, dtype, scale):
    assert_same(name, *drawn(shape, dtype, scale))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shape", [(1, 1), (5000, 1), (1000, 10), (3, compiled.GROUP), (2, 2 * compiled.GROUP + 1)]
)
def test_groups_of_rows(name, shape):
    assert_same(name, *drawn(shape))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", [3, 40, 300])
def test_extremes(name, columns):
    x, g = drawn((9, columns))
    for i, value in enumerate([np.nan, np.inf, -np.inf, 1e30, -1e30, 88, -88, -0.0]):
        x[i, i % columns] = value
    x[8] = -np.inf
    assert_same(name, x, g)
    assert_same(name, np.full_like(x, -3e38), g)
    assert_same(name, np.full_like(x, -0.0), g)


@pytest.mark.parametrize("name", NAMES)
def test_other_axes_and_layouts(name):
    x, g = drawn((30, 4, 50))
    for axis in (0, 1, 2, -2):
        assert_same(name, x, g, axis)
    assert_same(name, x[..., ::2], g[..., ::2])
    assert_same(name, x.T, g.T)
    assert_same(name, x, np.broadcast_to(g[:1], x.shape))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_any_number_of_threads(use_threads, name, threads):
    use_threads(threads)
    assert_same(name, *drawn((4001, 65)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dim", [0, -1])
def test_gradients_of_large_arrays(name, dim):
    x, _ = drawn((kernels.WORTH_COMPILING // 64 + 1, 65))
    assert_parity(written(f"m.{name}(x, {dim})"), x)
    assert_parity(written(f"m.{name}(x, {dim}, dtype=m.float64)"), x)
