"""Pooling and resampling on the GPU against the reference: windows, bins, padding, ties, nan, views."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import pooling, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32, int64
from minidl.nn.functional.pooling import adaptive_places


def windows(size, kernel, stride, padding=0, dilation=1):
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    places = np.arange(out) * stride - padding + np.arange(kernel)[:, None] * dilation
    return np.where((places >= 0) & (places < size), places, size)


TABLES = [  # sizes of the axes, a table for each
    ((8, 6), [windows(8, 2, 2), windows(6, 2, 2)]),
    ((9, 13), [windows(9, 3, 2, 1), windows(13, 3, 2, 1)]),
    ((7, 10), [windows(7, 3, 1, 1), windows(10, 2, 3, 1, 2)]),
    ((17, 5), [adaptive_places(17, 4), adaptive_places(5, 3)]),
    ((1, 1), [windows(1, 1, 1)] * 2),
    ((300,), [windows(300, 5, 3, 2)]),
    ((40,), [adaptive_places(40, 7)]),
    ((3, 20), [adaptive_places(3, 5), adaptive_places(20, 1)]),
]
BATCHES = [(2, 3), (0, 3), ()]


def drawn(shape, dtype=np.float32, ties=True):
    rng = np.random.default_rng(0)
    return (rng.integers(-3, 4, shape) if ties else rng.normal(size=shape)).astype(dtype)


def assert_pooled(x, tables, view=asarray):
    values, index = pooling.max_pool(view(x), tables)
    want, at = reference.max_pool(x, tables)
    assert (values.shape, values.dtype) == (want.shape, want.dtype)
    np.testing.assert_array_equal(values.get(), want)
    np.testing.assert_array_equal(index.get(), at)
    return index, at


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("size", "tables"), TABLES)
def test_the_largest_and_where_it_stands(batch, size, tables):
    x = drawn((*batch, *size))
    index, at = assert_pooled(x, tables)
    g = drawn(at.shape, ties=False)
    got = pooling.max_pool_backward(asarray(g), index, size)
    want = reference.max_pool_backward(g, at, size)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got.get(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("size", "tables"), TABLES[1:4])
def test_special_values(value, size, tables):
    x = drawn((2, 3, *size))
    x[np.random.default_rng(1).random(x.shape) < 0.3] = value
    assert_pooled(x, tables)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64, np.uint8])
def test_other_types(dtype):
    size, tables = TABLES[1]
    _, at = assert_pooled(drawn((2, 2, *size)).astype(dtype), tables)
    if np.dtype(dtype).kind == "f":
        g = drawn(at.shape, dtype, ties=False)
        got = pooling.max_pool_backward(asarray(g), asarray(at), size).get()
        np.testing.assert_allclose(got, reference.max_pool_backward(g, at, size), rtol=1e-12)


def test_views():
    size, tables = TABLES[0]
    assert_pooled(drawn((2, 3, *size)), tables, lambda x: asarray(np.repeat(x, 2, axis=-1))[..., ::2])
    assert_pooled(drawn((2, *size)), tables, lambda x: asarray(x[:, ::-1].copy())[:, ::-1])


def weighted(tables, size, dtype):
    rng = np.random.default_rng(1)
    return [(p, rng.random(p.shape).astype(dtype) * (p < n)) for p, n in zip(tables, size, strict=True)]


@pytest.mark.parametrize("fused", [pooling.FUSED, 0])
@pytest.mark.parametrize("weights", ["both", "one", "none"])
@pytest.mark.parametrize(("size", "tables"), TABLES)
def test_sums_of_windows(monkeypatch, size, tables, weights, fused):
    monkeypatch.setattr(pooling, "FUSED", fused)
    x, pairs = drawn((2, 3, *size), ties=False), weighted(tables, size, np.float32)
    if weights != "both":
        pairs = [(p, w if i == 1 and weights == "one" else None) for i, (p, w) in enumerate(pairs)]
    want, got = reference.resample(x, pairs), pooling.resample(asarray(x), pairs)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got.get(), want, rtol=1e-5, atol=1e-5)
    g = drawn(want.shape, ties=False)
    want, got = (
        reference.resample_backward(g, pairs, size),
        pooling.resample_backward(asarray(g), pairs, size),
    )
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got.get(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
@pytest.mark.parametrize("batch", [(2, 1), (0, 2)])
def test_three_axes_and_other_types(dtype, batch):
    size = (5, 4, 6)
    pairs = [(np.arange(n)[None, ::-1].copy(), None) for n in size]
    if dtype == np.float64:
        pairs = weighted([adaptive_places(n, 3) for n in size], size, dtype)
    x = np.abs(drawn((*batch, *size))).astype(dtype)
    want, got = reference.resample(x, pairs), pooling.resample(asarray(x), pairs)
    assert got.dtype == dtype
    np.testing.assert_allclose(got.get(), want, rtol=1e-12)
    np.testing.assert_allclose(
        pooling.resample(asarray(x).swapaxes(-1, -2), pairs[:1] + pairs[:0:-1]).get(),
        reference.resample(x.swapaxes(-1, -2), pairs[:1] + pairs[:0:-1]),
        rtol=1e-12,
    )


def test_a_table_is_sent_once():
    table = windows(8, 2, 2)
    assert pooling.on_device(table) is pooling.on_device(table.copy())
    assert pooling.on_device(table) is not pooling.on_device(table, np.float32)


def test_errors():
    with pytest.raises(NotImplementedError, match=r"max_pool of \(2, 2, 2\) along 3 axes"):
        pooling.max_pool(asarray(np.zeros((2, 2, 2), np.float32)), [windows(2, 1, 1)] * 3)


def test_machine_code(needs_toolkit):
    for number in (float32, float64):
        a, t = number[::1], int32[::1]
        resources.expect(pooling.max_pool_kernel, (a, t, t, a, t, *[int32] * 7), registers=48)
        for weights in ((False, False), (True, True)):
            types = (a, t, t, a, a, a, *[int32] * 8)
            resources.expect(pooling.resample_kernel(number, weights), types, registers=64)
        for index in (int32, int64):
            resources.expect(pooling.add_at_maxima, (a, index[::1], a, *[int32] * 3), registers=32)
