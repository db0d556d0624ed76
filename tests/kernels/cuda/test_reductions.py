"""Reductions, places of extremes and running sums against NumPy; precision and order of float32 sums."""

import itertools

import numpy as np
import pytest

from minidl.kernels.cuda import compiling, reductions, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32, int64
from tests.draw import Draw

NAMES = ["add", "multiply", "maximum", "minimum", "logical_and", "logical_or"]
DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]


def assert_same(got, want, rtol=1e-5, atol=1e-5):
    got, want = got.get(), np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def drawn(draw, shape, dtype):
    x = draw.array(shape, dtype, high=2 if dtype in ("bool", "uint8") else 4)
    return np.sign(x) * np.exp(0.1 * x).astype(dtype) if np.dtype(dtype).kind == "f" else x


@pytest.mark.parametrize("seed", range(60))
def test_drawn_reductions(seed):
    draw = Draw(seed)
    name, dtype = NAMES[seed % 6], DTYPES[(seed // 6) % 6]
    shape = tuple(draw.number(1, 9) for _ in range(draw.number(1, 4)))
    x = drawn(draw, shape, dtype)
    turned = draw.rng.permutation(x.ndim).tolist() if draw.number(0, 1) else list(range(x.ndim))
    axes = tuple(i for i in range(x.ndim) if draw.number(0, 1)) if draw.number(0, 3) else None
    mine = asarray(x).transpose(*turned)
    for keepdims in (False, True):
        want = getattr(np, name).reduce(x.transpose(turned), axis=axes, keepdims=keepdims)
        assert_same(reductions.reduce(name, mine, axes, keepdims), want)


@pytest.mark.parametrize("axes", [0, 1, None, -1, (0, 1), ()])
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 2), (5, 40), (2, 1100), (700, 5), (1, 9000), (9000, 1), (600, 33)]
)
def test_lengths_from_one_to_several_pieces(shape, axes):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert_same(reductions.reduce("add", asarray(x), axes), x.sum(axes), 1e-5, 2e-5)
    assert_same(reductions.reduce("maximum", asarray(x), axes), x.max(axes))


@pytest.mark.parametrize("axes", [0, 1, 2, (0, 2), (0, 2, 3), (1, 3), (2, 3), (1, 2), None])
def test_axes_of_images(axes):
    x = np.random.default_rng(0).normal(size=(3, 5, 6, 7)).astype(np.float32)
    assert_same(reductions.reduce("add", asarray(x), axes), x.sum(axes))
    assert_same(
        reductions.reduce("add", asarray(x).transpose(2, 0, 3, 1), axes), x.transpose(2, 0, 3, 1).sum(axes)
    )


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("place", [0, 37, 699])
def test_nan_wins(name, place):
    x = np.random.default_rng(0).normal(size=(2, 700)).astype(np.float32)
    x[1, place] = np.nan
    for axis in (0, 1):
        assert_same(reductions.reduce(name, asarray(x), axis), getattr(np, name).reduce(x, axis))


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_dtype_of_sums(dtype):
    for given in DTYPES:
        x = np.ones((3, 2), given)
        assert_same(reductions.reduce("add", asarray(x), 1, dtype=dtype), x.sum(1, dtype=dtype))


def test_initial_and_nothing():
    x = np.zeros((0, 3), np.float32)
    for name, start in (("add", 0), ("multiply", 1), ("logical_and", True)):
        assert_same(reductions.reduce(name, asarray(x), 0), getattr(np, name).reduce(x, 0))
        assert getattr(np, name).reduce(x, None) == start == reductions.reduce(name, asarray(x), None).item()
    assert reductions.reduce("add", asarray(x), 1).shape == (0,)
    with pytest.raises(ValueError, match="maximum over an axis of length 0"):
        reductions.reduce("maximum", asarray(x), 0)
    assert_same(reductions.reduce("maximum", asarray(x), 0, initial=-np.inf), x.max(0, initial=-np.inf))
    y = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert_same(reductions.reduce("maximum", asarray(y), 1, initial=4), y.max(1, initial=4))
    assert_same(reductions.reduce("add", asarray(y), 1, initial=4), y.sum(1, initial=4))


def test_long_sums_are_as_precise_as_pairwise_ones():
    x = np.random.default_rng(0).random((1, 40_000)).astype(np.float32)
    exact = x.astype(np.float64).sum()
    for axes, array in ((None, x), (1, x), (0, x.T.copy())):
        got = reductions.reduce("add", asarray(array), axes).get().item()
        assert abs(got - exact) / exact < 3e-7


def test_order_of_a_sum_does_not_change():
    x = np.random.default_rng(0).normal(size=(300, 70)).astype(np.float32)
    a, b = (reductions.reduce("add", asarray(x), None).get() for _ in range(2))
    assert a == b


# -- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_drawn_places(seed):
    draw = Draw(seed)
    shape = tuple(draw.number(1, 9) for _ in range(draw.number(1, 3)))
    x = draw.array(shape, ["float32", "int64", "bool"][seed % 3], high=3 if seed % 3 < 2 else 2)
    if x.dtype.kind == "f":
        x = np.round(x)
        x[draw.rng.random(x.shape) < 0.1] = np.nan
    for name, axis in itertools.product(("argmax", "argmin"), [None, *range(x.ndim)]):
        want = getattr(np, name)(x, axis)
        assert_same(reductions.argreduce(name, asarray(x), axis), want)
        want = getattr(np, name)(x, axis, keepdims=True)
        assert_same(reductions.argreduce(name, asarray(x), axis, keepdims=True), want)


def test_place_in_long_rows():
    x = np.random.default_rng(0).integers(0, 50, (3, 1000)).astype(np.float32)
    for axis in (0, 1, None):
        assert_same(reductions.argreduce("argmax", asarray(x), axis), x.argmax(axis))
    with pytest.raises(ValueError, match="argmax over an axis of length 0"):
        reductions.argreduce("argmax", asarray(x[:0]), 0)


# -- running sums ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (7,), (300,), (1000,), (3, 33), (3, 300), (0, 3), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_running_sums(shape, dtype):
    x = (np.random.default_rng(0).normal(size=shape) > 0.3).astype(dtype)
    for axis in range(x.ndim):
        assert_same(reductions.cumulate("add", asarray(x), axis), np.cumsum(x, axis))
        assert_same(reductions.cumulate("add", asarray(x), axis, np.float64), np.cumsum(x, axis, np.float64))


def test_running_products_and_extremes():
    x = np.random.default_rng(0).normal(size=(4, 290)) * 0.1 + 1
    assert_same(reductions.cumulate("multiply", asarray(x), 1), np.cumprod(x, 1))
    assert_same(reductions.cumulate("maximum", asarray(x).T, 1), np.maximum.accumulate(x.T, 1))


# -- machine code ----------------------------------------------------------------------------------


def test_machine_code(needs_toolkit):
    add = reductions._formula("add", float32)
    for lanes in (8, 32, 256):
        rows = reductions.rows_kernel(add, float32, float32, float32, float32(0), lanes)
        resources.expect(rows, (float32[::1], float32[::1], *[int32] * 4), registers=40)
    columns = reductions.columns_kernel(add, float32, float32, float32, float32(0))
    resources.expect(columns, (float32[::1], float32[::1], *[int32] * 5), registers=40)


def test_every_reduction_compiles(needs_toolkit):
    """The formula of each; and a kernel for each type of array and of results, whatever the formula."""
    kernels = {}
    for name, dtype in itertools.product(NAMES, map(np.dtype, DTYPES)):
        number = reductions._computed(name, reductions.result_dtype(name, dtype))
        f, start = reductions._formula(name, number), reductions._start(name, number)
        assert compiling.returned(f, (number, number), (8, 0)) == number.dtype.name
        run = reductions.rows_kernel(f, number, number, number, start, 256)
        kernels[reductions.SCALARS[dtype][::1], number[::1]] = run
    for arrays, run in kernels.items():
        assert run.specialize(*arrays, *[int32] * 4, capability=(8, 0))


def test_places_and_running_sums_compile(needs_toolkit):
    for number in (float32, float64, int64, int32):
        run = reductions.position_kernel("argmin", number, 32)
        run.specialize(number[::1], int64[::1], *[int32] * 3, capability=(8, 0))
        run = reductions.along_kernel(reductions._formula("add", number), number, number, number(0))
        run.specialize(number[::1], number[::1], int32, capability=(8, 0))
