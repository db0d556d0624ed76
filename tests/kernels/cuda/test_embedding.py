"""Rows of a table on the GPU against the reference: wide and narrow, few and many, and numbers outside."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import embedding, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32, int64

SIZES = [
    (1, 1, 1),
    (5, 3, 9),
    (3, 4, 300),
    (65, 40, 20),
    (2, 33, 1),
    (7, 128, 257),
    (2, 3, 2100),
    (4, 5, 0),
    (4, 0, 3),
]


def drawn(count, columns, n, dtype=np.float32, rows=np.int64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, columns)).astype(dtype)
    return x, rng.integers(0, count, n).astype(rows), rng.normal(size=(n, columns)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [np.int64, np.int32])
@pytest.mark.parametrize("size", SIZES)
def test_take_rows(size, dtype, rows):
    table, at, _ = drawn(*size, dtype, rows)
    got = embedding.take_rows(asarray(table), asarray(at))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.get(), reference.take_rows(table, at))


def test_take_rows_of_views():
    table, at, _ = drawn(6, 8, 10)
    got = embedding.take_rows(asarray(table)[1:, 1:5], asarray(at % 5)[::2])
    np.testing.assert_array_equal(got.get(), table[1:, 1:5][(at % 5)[::2]])
    flat = asarray(table).reshape(-1)[1:45].reshape(11, 4)  # begins where 128 bits cannot be read
    np.testing.assert_array_equal(embedding.take_rows(flat, asarray(at)).get(), flat.get()[at])


@pytest.mark.parametrize("columns", [3, 8])
@pytest.mark.parametrize("bad", [-1, 6, 2**40])
def test_a_row_that_is_not_there_is_nan(columns, bad):
    table, at, _ = drawn(6, columns, 5)
    at[2] = bad
    got = embedding.take_rows(asarray(table), asarray(at)).get()
    assert np.isnan(got[2]).all()
    np.testing.assert_array_equal(np.delete(got, 2, 0), table[np.delete(at, 2)])


@pytest.mark.parametrize("compared", [embedding.COMPARED, 0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_add_rows(monkeypatch, size, dtype, compared):
    monkeypatch.setattr(embedding, "COMPARED", compared)
    _, at, g = drawn(*size, dtype, np.int32 if size[0] == 5 else np.int64)
    got = embedding.add_rows(asarray(at), asarray(g), size[0])
    assert got.dtype == dtype and got.shape == size[:2]
    right = reference.add_rows(at, g.astype(np.float64), size[0])
    np.testing.assert_allclose(got.get(), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("compared", [embedding.COMPARED, 0])
def test_add_rows_leaves_out_what_is_outside(monkeypatch, compared):
    monkeypatch.setattr(embedding, "COMPARED", compared)
    _, at, g = drawn(4, 3, 40)
    at[[0, 7, 39]] = -1, 4, 2**33
    inside = (at >= 0) & (at < 4)
    got = embedding.add_rows(asarray(at), asarray(g), 4).get()
    np.testing.assert_allclose(got, reference.add_rows(at[inside], g[inside], 4), rtol=1e-5, atol=1e-6)


def test_add_rows_of_views():
    _, at, g = drawn(4, 6, 8)
    got = embedding.add_rows(asarray(at)[::-1], asarray(g)[:, ::2], 4).get()
    np.testing.assert_allclose(got, reference.add_rows(at[::-1], g[:, ::2], 4), rtol=1e-5, atol=1e-6)


def test_errors():
    table, at, _ = map(asarray, drawn(4, 6, 8))
    with pytest.raises(TypeError, match=r"take_rows\(float32 \(4, 6\), rows: float32 \(8,\)\)"):
        embedding.take_rows(table, at.astype(np.float32))


def test_machine_code(needs_toolkit):
    for number in (float32, float64):
        a, rows = number[::1], int64[::1]
        for width in (1, 4) if number is float32 else (1,):
            resources.expect(embedding.take_kernel(number, width), (a, rows, a, *[int32] * 3), registers=24)
        resources.expect(embedding.add_kernel(number), (rows, a, a, *[int32] * 3), registers=48)
        resources.expect(embedding.add_atomically, (rows, a, a, *[int32] * 3), registers=32)
