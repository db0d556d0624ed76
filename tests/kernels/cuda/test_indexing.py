"""Indexing of CudaArray is NumPy's: views, masks, arrays of places, and errors."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl.kernels.cuda import driver, indexing, resources
from minidl.kernels.cuda.array import asarray, zeros
from minidl.kernels.cuda.driver import SCALARS, boolean, float32, float64, int32, int64, uint8
from minidl.kernels.cuda.indexing import arange
from tests.kernels.cuda.strided import numbers, pairs, same

quick = settings(max_examples=60)


@given(pairs(min_side=1), st.data())
def test_basic_indices_are_views(pair, data):
    host, x = pair
    index = data.draw(hnp.basic_indices(host.shape, allow_newaxis=True, max_dims=6))
    mine, wanted = x[index], host[index]
    same(mine, wanted)
    assert mine.memory is x.memory


def drawn_index(data, shape):
    """A mixture of arrays of places, masks, slices, numbers and None, and its part of a broadcast shape."""
    common = tuple(data.draw(st.lists(st.integers(0, 3), max_size=2)))
    rng, index, axis = np.random.default_rng(data.draw(st.integers(0, 99))), [], 0
    while axis < len(shape):
        kinds = ["slice", "places", "number", "none", "one"] + ["mask"] * (not any(map(_is_mask, index)))
        kind = data.draw(st.sampled_from(kinds))
        n = shape[axis]
        if kind == "none":
            index.append(None)
            continue
        if kind == "mask":
            mask = rng.random(shape[axis : axis + 1]) < 0.5
            common = () if common != () and mask.sum() != common[-1] else common
            index.append(mask if common == () else slice(None))
        elif kind == "slice":
            index.append(data.draw(st.sampled_from([slice(None), slice(1, None), slice(None, None, -1)])))
        elif kind == "number":
            index.append(int(rng.integers(-n, n)))
        else:
            own = tuple(1 if kind == "one" else m for m in common)
            index.append(rng.integers(-n, n, own).astype(data.draw(st.sampled_from(["int64", "int32"]))))
        axis += 1
    return tuple(index)


def _is_mask(part):
    return isinstance(part, np.ndarray) and part.dtype == bool


def on_device(index, some=lambda: True):
    return tuple(asarray(i) if isinstance(i, np.ndarray) and some() else i for i in index)


def is_valid(host, index):
    try:
        return host[index].size <= 4000
    except IndexError:
        return False


@quick
@given(pairs(dtypes=("float32", "int64", "bool"), min_side=1, max_dims=3), st.data())
def test_reading_by_masks_and_places(pair, data):
    host, x = pair
    index = drawn_index(data, host.shape)
    if is_valid(host, index):
        same(x[on_device(index)], host[index])
        same(x[on_device(index, lambda: data.draw(st.booleans()))], host[index])


@quick
@given(pairs(dtypes=("float32", "int64", "bool"), min_side=1, max_dims=3), st.data())
def test_writing_by_masks_and_places(pair, data):
    host, x = pair
    host = host.copy()
    index = drawn_index(data, host.shape)
    if is_valid(host, index):
        values = numbers(np.random.default_rng(0), host[index].shape, host.dtype)
        values = values if data.draw(st.booleans()) else host.dtype.type(1)
        host[index] = values
        x[on_device(index)] = asarray(values) if isinstance(values, np.ndarray) else values
        same(x, host)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_add_at_adds_all_of_one_place(dtype):
    rng = np.random.default_rng(0)
    host, rows = numbers(rng, (5, 3), dtype), rng.integers(-5, 5, 40)
    g, x = numbers(rng, (40, 3), dtype), asarray(host)
    np.add.at(host, rows, g)
    np.add.at(x, asarray(rows), asarray(g))
    same(x, host, rtol=1e-5, atol=1e-5)
    np.add.at(host, (rows, 1), g[:, 0])
    np.add.at(x, (rows, 1), asarray(g)[:, 0])
    np.subtract.at(host, slice(1, 3), 1)
    np.subtract.at(x, slice(1, 3), asarray(np.ones(3, dtype)))
    same(x, host, rtol=1e-5, atol=1e-5)


def test_the_last_of_equal_places_stays():
    for _ in range(3):
        x = zeros(4)
        x[asarray(np.int64([2, 0, 2, 2, 0]))] = asarray(np.float32([1, 2, 3, 4, 5]))
        same(x, np.float32([5, 0, 4, 0]))


@quick
@given(pairs(dtypes=("float32", "int64"), min_dims=1, min_side=1, max_dims=3), st.data())
def test_along_an_axis(pair, data):
    host, x = pair
    axis = data.draw(st.integers(-host.ndim, host.ndim - 1))
    rng, n = np.random.default_rng(data.draw(st.integers(0, 99))), host.shape[axis]
    count = data.draw(st.integers(0, n))
    shape = list(host.shape)
    shape[axis] = count
    index = rng.integers(-n, n, shape)
    same(np.take_along_axis(x, asarray(index), axis), np.take_along_axis(host, index, axis))
    host, values = host.copy(), numbers(rng, shape, host.dtype)
    np.put_along_axis(host, index, values, axis)
    np.put_along_axis(x, asarray(index), asarray(values), axis)
    same(x, host)


@quick
@given(pairs(min_side=1, min_dims=1), st.data())
def test_take(pair, data):
    host, x = pair
    axis = data.draw(st.none() | st.integers(-host.ndim, host.ndim - 1))
    n = host.size if axis is None else host.shape[axis]
    index = np.random.default_rng(0).integers(
        -n, n, tuple(data.draw(st.lists(st.integers(0, 3), max_size=2)))
    )
    same(np.take(x, asarray(index), axis), np.take(host, index, axis))
    same(np.take(x, index, axis), np.take(host, index, axis))
    same(np.take(x, n - 1, axis), np.take(host, n - 1, axis))
    for mode in ("clip", "wrap"):
        same(np.take(x, asarray(index + 3), axis, mode=mode), np.take(host, index + 3, axis, mode=mode))


@quick
@given(pairs(max_side=4))
def test_where_what_is_not_0_stands(pair):
    host, x = pair
    if host.ndim:
        for mine, wanted in zip(x.nonzero(), host.nonzero(), strict=True):
            same(mine, wanted)
        same(np.flatnonzero(x), np.flatnonzero(host))
    same(np.argwhere(x), np.argwhere(host))
    assert np.count_nonzero(x) == np.count_nonzero(host)


@pytest.mark.parametrize("where", [asarray, np.asarray])
def test_places_beyond_the_axis_are_refused(where):
    x = zeros((3, 4))
    for index in ([3], [0, -4], [[0], [7]]):
        index = where(np.int64(index))
        with pytest.raises(IndexError, match=r"beyond the axes|must lie in \[-3, 2\]"):
            x[index]
        with pytest.raises(IndexError):
            x[index] = 1
        with pytest.raises(IndexError):
            np.take(x, index, 0)
    with pytest.raises(IndexError, match="beyond the axes"):
        np.take_along_axis(x, asarray(np.int64([[0], [4], [0]])), 1)
    same(x, np.zeros((3, 4), np.float32))


def test_wrong_indices_say_what_is_wrong():
    x = zeros((3, 4))
    for index, message in (
        (5, r"index 5 of axis 0 of shape \(3, 4\)"),
        ((0, 0, 0), "an index for 3 axes"),
        ((..., ...), "2 times"),
        (asarray(np.ones(3, np.float32)), "float32 values are no index"),
        (asarray(np.ones((3, 3), bool)), r"a mask of shape \(3, 3\) for axes of shape \(3, 4\)"),
    ):
        with pytest.raises(IndexError, match=message):
            x[index]


def test_a_mask_may_be_all_or_nothing():
    host = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = asarray(host)
    for mask in (host >= 0, host < 0):
        same(x[asarray(mask)], host[mask])
    x[x > 2] = 0
    host[host > 2] = 0
    same(x, host)
    x[x[:, 0] > -1] += 1
    same(x, host + 1)


def test_values_of_the_array_itself():
    host = np.arange(6, dtype=np.float32)
    x, rows = asarray(host), np.int64([5, 4, 3, 2, 1, 0])
    x[asarray(rows)] = x
    host[rows] = host.copy()
    same(x, host)
    x[1:] = x[:-1]
    host[1:] = host[:-1].copy()
    same(x, host)


def test_counting_needs_no_copy_from_the_host(monkeypatch):
    monkeypatch.setattr("minidl.kernels.cuda.memory.copy_to_device", lambda *_: pytest.fail("a copy"))
    for args in ((5,), (2, 9), (2, 9, 3), (9, 2, -2), (0,), (0.5, 3.0), (0, 1, 0.25)):
        same(arange(*args), np.arange(*args))
    same(np.arange(4, dtype=np.float32, like=zeros(1)), np.arange(4, dtype=np.float32))


class Capture(list):
    """Stands for a graph that is captured: work is written down, and nothing may be read back."""

    record = list.append

    def keep(self, *blocks):
        """Nothing to keep."""


@pytest.mark.skipif(driver.available(), reason="the stand-in is for the simulator")
def test_in_a_captured_graph_a_wrong_place_reads_nan(monkeypatch):
    x, index = asarray(np.float32([1, 2, 3])), asarray(np.int64([0, 9, 2]))
    capture = Capture()
    monkeypatch.setattr(driver, "capture", capture)
    out = x[index]
    x[index] = 7
    monkeypatch.undo()
    for work in capture:
        work()
    np.testing.assert_array_equal(out.get(), [1, np.nan, 3])
    same(x, np.float32([7, 2, 7]))


def test_machine_code(needs_toolkit):
    places, sizes = int32[::1], (int32,) * 4
    expect = functools.partial(resources.expect, registers=32)
    expect(indexing.gather_kernel(math.nan), (float32[::1], places, float32[::1], *sizes))
    expect(indexing.put_kernel(False), (float32[::1], places, places, float32[::1], *sizes))
    expect(indexing.put_kernel(True), (float32[::1], places, places, float32[::1], *sizes))
    expect(indexing.count_on, (int64[::1], places, places, int32, int32))
    expect(indexing.count_along, (int64[::1], places, places, *sizes))


def test_every_type_compiles(needs_toolkit):
    """The simulator knows no types: only the compiler does."""

    def compiles(kernel, *types):
        assert kernel.specialize(*types, capability=(8, 0))

    places, sizes = int32[::1], (int32,) * 4
    for index in (int64[::1], int32[::1], uint8[::1]):
        compiles(indexing.count_on, index, places, places, int32, int32)
        compiles(indexing.count_along, index, places, places, *sizes)
    for scalar in SCALARS.values():
        x, missing = scalar[::1], math.nan if scalar in (float32, float64) else 0
        compiles(indexing.gather_kernel(missing), x, places, x, *sizes)
        compiles(indexing.put_kernel(False), x, places, places, x, *sizes)
        if scalar.dtype in indexing.ADDED:
            compiles(indexing.put_kernel(True), x, places, places, x, *sizes)
        wide = float64 if scalar in (float32, float64) else int64
        compiles(indexing.count_from, x, wide, wide, int32)
    compiles(indexing.keep_places, boolean[::1], places, places, int32)
    compiles(indexing.claim, places, places, int32)
