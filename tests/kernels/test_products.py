"""Products cut into bands for several threads are NumPy's products."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.kernels import products, threads

SIZES = st.sampled_from([0, 1, 2, 3, 17, 64])


@pytest.fixture(params=[1, 2, 3])
def _threads(request, use_threads):
    """Everything is worth cutting, for so many threads."""
    use_threads(request.param)
    products._library.cache_clear()
    with threads.splitting_all():
        yield
    products._library.cache_clear()


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 5, 300])
@pytest.mark.parametrize("n", [1, 5, 200])
@pytest.mark.parametrize("turned", ["", "a", "b", "ab"])
def test_large_products(dtype, m, n, turned):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((1000, m) if "a" in turned else (m, 1000)).astype(dtype)
    b = rng.standard_normal((n, 1000) if "b" in turned else (1000, n)).astype(dtype)
    a, b = (a.T if "a" in turned else a), (b.T if "b" in turned else b)
    out = products.matmul(a, b)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, a.astype(np.float64) @ b, rtol=1e-3, atol=1e-3)


@settings(max_examples=40)
@given(m=SIZES, k=SIZES, n=SIZES, batch=st.sampled_from([(), (2,), (1, 3)]))
def test_small_empty_and_batched_products(m, k, n, batch):
    a, b = np.ones((*batch, m, k), np.float32), np.full((*batch, k, n), 2, np.float32)
    np.testing.assert_array_equal(products.matmul(a, b), np.matmul(a, b))


@pytest.mark.usefixtures("_threads")
def test_unequal_dtypes_and_sizes_are_as_numpys():
    a, b = np.ones((300, 200), np.float32), np.ones((200, 300))
    assert products.matmul(a, b).dtype == np.float64
    with pytest.raises(ValueError, match="200"):
        products.matmul(a, a)


@pytest.mark.usefixtures("_threads")
@pytest.mark.filterwarnings("error")
def test_no_warning_from_another_thread():
    a = np.full((400, 400), 1e30, np.float32)
    with np.errstate(all="ignore"):
        assert np.isinf(products.matmul(a, a)).all()
