"""Matrix products against NumPy's: layouts, ragged tiles, batches, parts of K, epilogues; and their cost."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import gemm, products, resources, tf32, vectors
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32

RNG = np.random.default_rng(0)


@pytest.fixture
def cut(monkeypatch):
    """Tiles and parts of K as a test wants them."""

    def fix(tile, parts):
        monkeypatch.setattr(products, "cut", lambda *sizes: (tile, parts))
        products._plan.cache_clear()

    yield fix
    products._plan.cache_clear()


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
    (33, 70, 40),
    (100, 1, 64),
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
    a, b = drawn(6, 4), drawn(4, 5)
    for out in (asarray(drawn(6, 5)), asarray(drawn(5, 6)).T, asarray(drawn(6, 5, dtype=np.float64))):
        assert products.matmul(asarray(a), asarray(b), out=out) is out
        np.testing.assert_allclose(out.get(), a @ b, atol=1e-5)
    same = asarray(drawn(4, 4))
    want = same.get() @ same.get()
    np.testing.assert_allclose(products.matmul(same, same, out=same).get(), want, atol=1e-5)


def test_operands_that_begin_anywhere():
    """Not at a multiple of 16 bytes, so that nothing can be read four at a time."""
    a, b = drawn(9, 8), drawn(9, 8)
    x, y = asarray(a).reshape(-1)[1:65].reshape(8, 8), asarray(b)[1:]
    np.testing.assert_allclose(products.matmul(x, y).get(), a.ravel()[1:65].reshape(8, 8) @ b[1:], atol=1e-5)


@pytest.mark.parametrize("parts", [1, 2])
def test_large_tiles(parts, cut):
    cut(128, parts)
    assert_product(drawn(130, 20), drawn(20, 136))
    assert_product(drawn(131, 17), drawn(17, 129))
    assert_product(drawn(132, 12), drawn(136, 12).T, lambda a, b: (asarray(a), asarray(b.T.copy()).T))
    assert_product(drawn(12, 132).T, drawn(12, 8), lambda a, b: (asarray(a.T.copy()).T, asarray(b)))


def test_work_is_cut_to_fill_the_multiprocessors():
    assert products.cut(4096, 4096, 4096, 1, 132) == (128, 1)
    assert products.cut(512, 512, 512, 64, 132) == (128, 1)
    assert products.cut(512, 512, 64, 1, 132) == (64, 1)
    tile, parts = products.cut(64, 64, 4096, 1, 132)
    assert tile == 64 and parts >= 16


@pytest.mark.parametrize("sizes", [(20, 24, 70), (3, 5, 41), (65, 8, 40)])
def test_parts_of_k_are_added_in_order(sizes, cut):
    cut(64, 3)
    m, n, k = sizes
    a, b = drawn(m, k), drawn(k, n)
    assert_product(a, b)
    x, y = asarray(a.T.copy()).T, asarray(b)
    np.testing.assert_array_equal(products.matmul(x, y).get(), products.matmul(x, y).get())


def test_a_batch_in_parts(cut):
    cut(64, 2)
    assert_product(drawn(3, 5, 40), drawn(3, 40, 8))
    assert_product(drawn(2, 1, 5, 40), drawn(3, 40, 6))


# -- a matrix and a vector -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "k"), [(1, 1), (5, 7), (9, 1), (64, 40), (33, 129), (131, 70), (132, 20), (8, 5003), (1, 9000)]
)
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_a_matrix_and_a_vector(count, k, column, flip):
    """Both layouts; k in parts, and not."""
    matrix, vector = drawn(count, k), drawn(k)

    def on_device(a, b):
        m = asarray(np.ascontiguousarray(matrix.T)).T if flip else asarray(matrix)
        return (m, asarray(b)) if column else (asarray(a), m.T)

    a, b = (matrix, vector[:, None]) if column else (vector[None], matrix.T)
    assert_product(a, b, on_device, atol=5e-4)
    np.testing.assert_array_equal(*(products.matmul(*on_device(a, b)).get() for _ in range(2)))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("k", [8, 7, 3000])
def test_batches_of_a_matrix_and_a_vector(k, flip):
    matrices, column, rows = drawn(3, 12, k), drawn(k, 1), drawn(3, 1, k)

    def turned(x):
        return asarray(np.ascontiguousarray(x.swapaxes(1, 2))).swapaxes(1, 2) if flip else asarray(x)

    for vector in (column, rows.swapaxes(1, 2)):
        assert_product(matrices, vector, lambda a, b: (turned(a), asarray(b)), atol=5e-4)
    for vector in (column.T, rows):
        assert_product(vector, matrices.swapaxes(1, 2), lambda a, b: (asarray(a), turned(b)), atol=5e-4)


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize(("rows", "k", "n"), [(1, 8, 12), (1, 3001, 5), (6, 8, 1), (5, 2052, 1)])
def test_a_layer_of_one_row_or_one_output(rows, k, n, activation):
    x, weight, bias = drawn(rows, k), drawn(n, k), drawn(n)
    for w in (asarray(weight), asarray(weight.T.copy()).T):
        got = products.linear(asarray(x), w, asarray(bias), activation)
        np.testing.assert_allclose(got.get(), reference_linear(x, weight, bias, activation), atol=1e-3)


def test_vectors_that_begin_anywhere():
    """Not at a multiple of 16 bytes, so that nothing can be read four at a time."""
    a, b = drawn(8, 8), drawn(9)
    np.testing.assert_allclose(products.matmul(asarray(a), asarray(b)[1:]).get(), a @ b[1:], atol=1e-5)
    np.testing.assert_allclose(products.matmul(asarray(b)[1:], asarray(a)).get(), b[1:] @ a, atol=1e-5)


# -- tensor cores --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip_a", [False, True])
@pytest.mark.parametrize("flip_b", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), [(4, 8, 4), (68, 72, 20), (132, 64, 40)])
@pytest.mark.parametrize(("tile", "parts"), [(64, 2), (128, 1)])
def test_tensor_cores(m, n, k, flip_a, flip_b, tile, parts, cut):
    cut(tile, parts)
    a, b = drawn(m, k), drawn(k, n)
    x = asarray(a.T.copy()).T if flip_a else asarray(a)
    y = asarray(b.T.copy()).T if flip_b else asarray(b)
    got = products.matmul(x, y, tf32=True).get()
    wrong = np.abs(got - a @ b)
    assert 1e-6 < wrong.max() and (wrong < 2**-10 * (np.abs(a) @ np.abs(b))).all()


def test_tensor_cores_take_batches():
    a, b = drawn(3, 4, 8), drawn(3, 8, 12)
    got = products.matmul(asarray(a), asarray(b), tf32=True).get()
    np.testing.assert_allclose(got, a @ b, atol=0.02)


def test_tensor_cores_are_used_only_where_they_may_be(monkeypatch):
    a, b = drawn(4, 8), drawn(8, 4)
    exact = products.matmul(asarray(a), asarray(b)).get()
    monkeypatch.setattr(products, "allow_tf32", True)
    assert not np.array_equal(products.matmul(asarray(a), asarray(b)).get(), exact)
    assert np.array_equal(products.matmul(asarray(a), asarray(b), tf32=False).get(), exact)
    ragged = products.matmul(asarray(a[:, :7]), asarray(b[:7])).get()
    np.testing.assert_allclose(ragged, a[:, :7] @ b[:7], atol=1e-5)


# -- with a bias and an activation ---------------------------------------------------------------------


ACTIVATIONS = (None, "relu", "gelu", "sigmoid", "tanh")


def reference_linear(x, weight, bias, activation):
    y = x @ weight.T if bias is None else x @ weight.T + bias
    return y if activation is None else getattr(reference, activation)(y)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("rows", "k", "n", "parts"), [((5,), 7, 3, 1), ((2, 33), 8, 68, 1), ((12,), 40, 8, 2)]
)
def test_linear(rows, k, n, parts, dtype, activation, cut):
    cut(64, parts)
    x, weight, bias = drawn(*rows, k, dtype=dtype), drawn(n, k, dtype=dtype), drawn(n, dtype=dtype)
    for b in (bias, None):
        got = products.linear(asarray(x), asarray(weight), None if b is None else asarray(b), activation)
        want = reference_linear(x, weight, b, activation)
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got.get(), want, atol=2e-4 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_linear_on_tensor_cores(activation, monkeypatch):
    monkeypatch.setattr(products, "allow_tf32", True)
    x, weight, bias = drawn(6, 8), drawn(12, 8), drawn(12)
    got = products.linear(asarray(x), asarray(weight), asarray(bias), activation).get()
    np.testing.assert_allclose(got, reference_linear(x, weight, bias, activation), atol=0.02)


def test_linear_of_nothing():
    assert products.linear(asarray(drawn(0, 3)), asarray(drawn(2, 3))).shape == (0, 2)
    bias = drawn(2)
    got = products.linear(asarray(drawn(4, 0)), asarray(drawn(2, 0)), asarray(bias))
    np.testing.assert_array_equal(got.get(), np.tile(bias, (4, 1)))


# -- refusals ------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="inner sizes"):
        products.matmul(asarray(drawn(2, 3)), asarray(drawn(2, 3)))
    with pytest.raises(TypeError, match="one type"):
        products.matmul(asarray(drawn(2, 2)), asarray(drawn(2, 2, dtype=np.float64)))
    with pytest.raises(ValueError, match="no axis"):
        products.matmul(asarray(np.float32(2)), asarray(drawn(2, 2)))

    with pytest.raises(ValueError, match="out must be"):
        products.matmul(asarray(drawn(2, 2)), asarray(drawn(2, 2)), out=asarray(drawn(2, 3)))
    with pytest.raises(TypeError, match="not on the GPU"):
        products.matmul(asarray(drawn(2, 2)), drawn(2, 2))
    with pytest.raises(ValueError, match=r"linear of x \(2, 3\)"):
        products.linear(asarray(drawn(2, 3)), asarray(drawn(3, 2)))
    with pytest.raises(ValueError, match="activation 'swish'"):
        products.linear(asarray(drawn(2, 3)), asarray(drawn(2, 3)), activation="swish")


# -- what kernels cost ---------------------------------------------------------------------------------

LAYOUTS = [(True, False), (True, True), (False, False), (False, True)]
"""a b, a b^T and a^T b, what the forward and backward of a layer ask for, and a^T b^T."""
SHORT, LONG = (True, None), (False, "gelu")
"""Epilogues. Is out written four at a time, and after which activation (and a bias, if any)?"""
FOUR, ONE = (True, True), (False, False)
"""How many numbers of a and of b are read at a time. Singly needs most registers: with both epilogues."""
LOOPS = [
    *((layout, FOUR, SHORT) for layout in LAYOUTS),
    *((layout, ONE, LONG) for layout in LAYOUTS),
    ((True, False), ONE, SHORT),
    ((True, True), (True, False), LONG),
    ((False, False), (False, True), SHORT),
    ((False, True), ONE, SHORT),
]


def types_of(biased):
    return (float32[::1],) * 2 + (float32[::1] if biased else int32, float32[::1]) + (int32,) * 7


@pytest.mark.parametrize(("along_k", "wide", "epilogue"), LOOPS)
def test_costs(along_k, wide, epilogue, needs_toolkit):
    """Two blocks a multiprocessor, and five of six instructions of a whole round multiply and add.

    (All 640 variants were without spills in 2026.)
    """
    wide_out, activation = epilogue
    biased = activation is not None
    kernel = gemm.product_kernel(128, along_k, (*wide, wide_out), biased, activation)
    usual = (along_k, wide) == (LAYOUTS[0], FOUR)
    resources.expect(kernel, types_of(biased), registers=128, share=0.84, everywhere=usual)


@pytest.mark.parametrize("along_k", LAYOUTS)
def test_costs_of_small_tiles(along_k, needs_toolkit):
    """Both ways to read a, and b, in both layouts."""
    wide = along_k[0] != along_k[1]
    kernel = gemm.product_kernel(64, along_k, (wide,) * 3, not wide)
    resources.expect(kernel, types_of(not wide), registers=160, share=0.8 if wide else 0.75)


@pytest.mark.parametrize(("wide", "activation"), [(True, None), (False, "gelu")])
def test_costs_of_vectors(wide, activation, needs_toolkit):
    """Room for 32 warps a multiprocessor at least."""
    types = types_of(activation is not None)
    kernel = vectors.rows_kernel(wide, activation is not None, activation)
    resources.expect(kernel, (*types, int32), registers=64)
    resources.expect(vectors.columns_kernel(wide, activation is not None, activation), types, registers=64)


@pytest.mark.parametrize("along_k", [(True, False), (False, True)])
def test_costs_on_tensor_cores(along_k, needs_toolkit):
    """The instructions are 32 of 240, but each keeps a tensor core busy for eight cycles."""
    kernel = tf32.product_kernel(128, along_k)
    resources.expect(kernel, types_of(False), registers=128, share=0.12, architectures=(80, 90))


def test_costs_of_other_kernels(needs_toolkit):
    types = (float64[::1],) * 2 + (int32, float64[::1]) + (int32,) * 5
    resources.expect(gemm.plain_kernel(float64, (True, False)), types)
    resources.expect(gemm.sum_kernel(True, "gelu"), (float32[::1],) * 3 + (int32,) * 4, registers=40)
