"""Matrix products against NumPy's: layouts, ragged tiles, batches, parts of K; and what a kernel costs."""

import numpy as np
import pytest

from minidl.kernels.cuda import driver, products, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32

RNG = np.random.default_rng(0)
KERNEL = (float32[::1],) * 3 + (int32,) * 7


def drawn(*shape, dtype=np.float32):
    return (RNG.integers(-9, 9, shape) if dtype == np.int64 else RNG.normal(size=shape)).astype(dtype)


def assert_product(a, b, on_device=lambda a, b: (asarray(a), asarray(b)), atol=1e-4):
    want = np.matmul(a, b)
    got = products.matmul(*on_device(a, b))
    assert got.shape == want.shape and got.dtype == want.dtype
    np.testing.assert_allclose(got.get(), want, atol=atol, rtol=1e-5)


SIZES = [
    (1, 1, 1),
    (5, 3, 7),
    (64, 64, 8),
    (65, 63, 9),
    (128, 128, 16),
    (130, 132, 12),
    (33, 200, 40),
    (200, 1, 64),
]


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
@pytest.mark.parametrize("flip_a", [False, True])
@pytest.mark.parametrize("flip_b", [False, True])
def test_layouts(m, n, k, flip_a, flip_b):
    a, b = drawn(m, k), drawn(k, n)

    def on_device(a, b):
        left = asarray(np.ascontiguousarray(a.T)).T if flip_a else asarray(a)
        return left, asarray(np.ascontiguousarray(b.T)).T if flip_b else asarray(b)

    assert_product(a, b, on_device)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
@pytest.mark.parametrize(("m", "n", "k"), SIZES[:4])
def test_other_types(m, n, k, dtype):
    assert_product(drawn(m, k, dtype=dtype), drawn(k, n, dtype=dtype), atol=1e-12)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 5, 4), (3, 4, 6)),
        ((3, 5, 4), (4, 6)),
        ((5, 4), (3, 4, 6)),
        ((2, 1, 5, 4), (3, 4, 6)),
        ((2, 3, 5, 4), (3, 4, 6)),
        ((1, 5, 4), (2, 4, 6)),
        ((4,), (4, 6)),
        ((5, 4), (4,)),
        ((4,), (4,)),
        ((3, 5, 4), (4,)),
        ((4,), (3, 4, 6)),
        ((0, 4), (4, 3)),
        ((3, 0), (0, 2)),
        ((0, 3, 4), (0, 4, 2)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_vectors_and_nothing(a, b, dtype):
    assert_product(drawn(*a, dtype=dtype), drawn(*b, dtype=dtype))


@pytest.mark.parametrize("cut", [np.s_[:, ::2], np.s_[1:, :8], np.s_[::-1]])
def test_views_are_packed(cut):
    a, b = drawn(20, 16), drawn(16, 12)
    view = asarray(a)[cut]
    width = view.shape[1]
    np.testing.assert_allclose(products.matmul(view, asarray(b[:width])).get(), a[cut] @ b[:width], atol=1e-4)


def test_a_product_into_an_array():
    a, b, out = drawn(6, 4), drawn(4, 5), asarray(drawn(5, 6)).T
    assert products.matmul(asarray(a), asarray(b), out=out) is out
    np.testing.assert_allclose(out.get(), a @ b, atol=1e-5)


def test_long_products_are_cut_into_parts():
    assert products.plan(64, 64, 4096, 1, 132) == (64, 16)
    assert products.plan(64, 64, 255, 1, 132) == (64, 1)
    assert products.plan(4096, 4096, 4096, 1, 132) == (128, 1)
    a, b = drawn(20, 1100), drawn(1100, 24)
    assert products.plan(20, 24, 1100, 1, driver.device_properties().multiprocessors)[1] > 1
    assert_product(a, b)
    assert_product(a, b, lambda a, b: (asarray(np.ascontiguousarray(a.T)).T, asarray(b)))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="inner sizes"):
        products.matmul(asarray(drawn(2, 3)), asarray(drawn(2, 3)))
    with pytest.raises(TypeError, match="one type"):
        products.matmul(asarray(drawn(2, 2)), asarray(drawn(2, 2, dtype=np.float64)))
    with pytest.raises(ValueError, match="no axis"):
        products.matmul(asarray(np.float32(2)), asarray(drawn(2, 2)))


@pytest.mark.parametrize("along_k", [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("tile", [64, 128])
def test_costs(tile, along_k, needs_toolkit):
    """Two blocks a multiprocessor, and three of four instructions multiply and add."""
    kernel = products.product_kernel(tile, tile, along_k, (True, True, True))
    resources.expect(kernel, KERNEL, registers=128, share=0.75)


@pytest.mark.parametrize("tile", [64, 128])
def test_costs_of_ragged_ones(tile, needs_toolkit):
    resources.expect(
        products.product_kernel(tile, tile, (True, False), (False, False, False)), KERNEL, share=0.6
    )


def test_costs_of_other_types(needs_toolkit):
    types = (float64[::1],) * 3 + (int32,) * 5
    resources.expect(products.plain_kernel(float64, (True, False)), types)
