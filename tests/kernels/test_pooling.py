"""Compiled pooling and resampling against the reference: ragged windows, padding, ties, nan, views."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.kernels import WORTH_COMPILING, reference
from minidl.nn.functional.pooling import adaptive_places
from tests.parity import assert_parity, written

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import pooling as compiled


@st.composite
def tables(draw):
    """The size of an axis and a table of windows on it: regular ones with padding, or uneven bins."""
    size = draw(st.integers(1, 40))
    if draw(st.booleans()):
        return size, adaptive_places(size, draw(st.integers(1, 9)))
    kernel = draw(st.integers(1, min(5, size)))
    padding, dilation = draw(st.integers(0, kernel // 2)), draw(st.integers(1, 2))
    span = dilation * (kernel - 1) + 1
    if span > size:
        return size, np.arange(size)[None]
    stride = draw(st.integers(1, 3))
    out = (size + 2 * padding - span) // stride + 1
    places = np.arange(out) * stride - padding + np.arange(kernel)[:, None] * dilation
    places = np.where((places >= 0) & (places < size), places, size)
    return size, places[:, places.min(axis=0) < size]


@st.composite
def cases(draw, special=(np.nan, np.inf, -np.inf)):
    """An array (batch, channels, *size) with ties and special values, and a table for each axis of space."""
    axes = draw(st.lists(tables(), min_size=1, max_size=2))
    shape = (draw(st.integers(0, 3)), draw(st.integers(1, 3)), *[size for size, _ in axes])
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(-3, 4, shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    if draw(st.booleans()):
        x[rng.random(shape) < 0.2] = draw(st.sampled_from(special))
    if draw(st.booleans()):
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    return x, [places for _, places in axes]


def assert_same(got, want):
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@given(cases())
def test_the_largest_and_where_it_stands(case):
    x, tables = case
    (got, at), (want, index) = compiled.max_pool(x, tables), reference.max_pool(x, tables)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(at, index)
    g = np.random.default_rng(0).normal(size=want.shape).astype(x.dtype)
    size = x.shape[2:]
    assert_same(compiled.max_pool_backward(g, at, size), reference.max_pool_backward(g, index, size))


@given(tables(), st.integers(1, 40), st.integers(1, 4), st.integers(0, 99))
def test_pairs_of_neighbours_need_no_table(vertical, pairs, planes, seed):
    """Windows two wide that move by two have a kernel of their own, for planes of whole vectors."""
    (height, rows), rng = vertical, np.random.default_rng(seed)
    x = rng.integers(-2, 3, (planes, height, 2 * pairs)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    columns = np.arange(2 * pairs).reshape(pairs, 2).T
    (got, at), (want, index) = compiled.max_pool(x, [rows, columns]), reference.max_pool(x, [rows, columns])
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(at, index)


@given(cases(special=(np.inf,)), st.booleans())
def test_sums_of_windows(case, weighted):
    x, tables = case
    rng = np.random.default_rng(1)
    pairs = [(p, rng.random(p.shape).astype(x.dtype) * (p < n) if weighted else None)
             for p, n in zip(tables, x.shape[2:], strict=True)]  # fmt: skip
    want = reference.resample(x, pairs)
    assert_same(compiled.resample(x, pairs), want)
    g = rng.normal(size=want.shape).astype(x.dtype)
    size = x.shape[2:]
    assert_same(compiled.resample_backward(g, pairs, size), reference.resample_backward(g, pairs, size))


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_any_number_of_threads_gives_the_same(use_threads, threads):
    use_threads(threads)
    x = np.random.default_rng(0).normal(size=(16, 16, 64, 64)).astype(np.float32)
    tables = [np.arange(32) * 2 + np.arange(2)[:, None]] * 2
    for got, want in zip(compiled.max_pool(x, tables), reference.max_pool(x, tables), strict=True):
        np.testing.assert_array_equal(got, want)
    pairs = [(places, None) for places in tables]
    assert_same(compiled.resample(x, pairs), reference.resample(x, pairs))


CALLS = [
    "m.F.max_pool2d(x, 2)", "m.F.max_pool2d(x, 3, 2, 1)", "m.F.max_pool2d(x, 2, 1, 0, 2)",
    "m.F.max_pool2d(x, 3, 2, ceil_mode=True, return_indices=True)", "m.F.avg_pool2d(x, 3, 2, 1)",
    "m.F.avg_pool2d(x, 2, count_include_pad=False)", "m.F.adaptive_avg_pool2d(x, 1)",
    "m.F.adaptive_avg_pool2d(x, (5, 3))", "m.F.adaptive_max_pool2d(x, 4)",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_as_pytorch_at_sizes_that_are_compiled(call):
    x = np.random.default_rng(0).normal(size=(5, 4, 17, 20)).astype(np.float32)
    assert x.size > WORTH_COMPILING
    assert_parity(written(call), x)
