"""The network sorts as NumPy's stable sort does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.kernels.cuda import resources, sorting
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import SCALARS, float32, int32
from tests.kernels.cuda.strided import pairs, same


@settings(max_examples=40)
@given(pairs(dtypes=("float32", "int64", "bool", "float64"), min_dims=1, max_dims=3, max_side=9), st.data())
def test_sorted_as_numpy_sorts(pair, data):
    host, x = pair
    axis = data.draw(st.integers(-host.ndim, host.ndim - 1))
    same(np.argsort(x, axis=axis, stable=True), np.argsort(host, axis=axis, stable=True))
    same(np.sort(x, axis), np.sort(host, axis))
    same(np.sort(x, None), np.sort(host, None))


@pytest.mark.parametrize("n", [1, 2, 3, 64, 257])
def test_equal_values_keep_their_order_and_nan_is_last(n):
    host = np.random.default_rng(n).integers(0, 5, (2, n)).astype(np.float32)
    host[:, n // 2] = np.nan
    host[0, 0] = -np.inf
    host[1, -1] = np.inf
    same(asarray(host).argsort(1), np.argsort(host, 1, kind="stable"))


def test_the_values_that_occur():
    host = np.int64([[3, 1, 3], [0, 1, 3]])
    same(np.unique(asarray(host)), np.unique(host))
    same(np.bincount(asarray(host).reshape(-1)), np.bincount(host.reshape(-1)))
    same(np.bincount(asarray(host).reshape(-1), minlength=7), np.bincount(host.reshape(-1), minlength=7))


def test_machine_code(needs_toolkit):
    resources.expect(sorting.compare, (float32[::1], int32[::1], *[int32] * 5), registers=32)
    for scalar in SCALARS.values():
        assert sorting.compare.specialize(scalar[::1], int32[::1], *[int32] * 5, capability=(8, 0))
