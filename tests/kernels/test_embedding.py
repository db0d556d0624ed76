"""Adding rows into a table: compiled is the reference, whatever the threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.kernels import reference
from minidl.nn import functional as F
from minidl.ops.indexing import add_rows
from minidl.tensor import Tensor
from tests.parity import assert_parity

pytest.importorskip("numba", reason="Numba is not installed")
compiled = pytest.importorskip("minidl.kernels.cpu.embedding")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40), st.integers(0, 40), st.integers(1, 9), st.sampled_from(["float32", "float64"]),
    st.sampled_from(["int32", "int64"]), st.booleans(),
)  # fmt: skip
def test_compiled_sums_are_the_reference(n, columns, count, dtype, places, strided):
    rng = np.random.default_rng(n)
    rows, g = rng.integers(0, count, n).astype(places), rng.normal(size=(n, columns)).astype(dtype)
    g = np.repeat(g, 2, axis=1)[:, ::2] if strided else g
    mine, want = (f(rows, g, count) for f in (compiled.add_rows, reference.add_rows))
    assert mine.dtype == want.dtype
    np.testing.assert_allclose(mine, want, rtol=1e-6, atol=1e-5)


def test_sums_do_not_depend_on_the_threads(use_threads):
    rng = np.random.default_rng(0)
    rows, g = rng.integers(0, 50, 4000), rng.normal(size=(4000, 130)).astype(np.float32)
    g[7, 3] = np.nan
    sums = []
    for threads in (1, 2, 3):
        use_threads(threads)
        sums.append(add_rows(rows, g, 60))
        table = Tensor(sums[-1])
        np.testing.assert_array_equal(F.embedding(Tensor(rows), table).array, sums[-1][rows])
    np.testing.assert_array_equal(sums[0], sums[1])
    np.testing.assert_array_equal(sums[0], sums[2])
    assert np.isnan(sums[0]).sum() == 1


@pytest.mark.parametrize("settings", [{}, {"padding_idx": 3}, {"scale_grad_by_freq": True}])
def test_embedding_is_pytorchs_above_the_threshold(settings):
    rng = np.random.default_rng(0)
    rows, weight = rng.integers(0, 30, (20, 30)), rng.normal(size=(30, 40)).astype(np.float32)
    assert_parity(lambda m, i, w: m.F.embedding(i, w, **settings), rows, weight)


@pytest.mark.parametrize("kind", [np.int64, np.int32])
@pytest.mark.parametrize("wrong", [-1, 5, -(2**31), 2**31 - 1])
def test_rows_outside_the_table_are_refused(kind, wrong):
    with pytest.raises(IndexError, match="for a weight with 5 rows"):
        F.embedding(Tensor(np.array([0, wrong, 4], kind)), Tensor(np.zeros((5, 2), np.float32)))
