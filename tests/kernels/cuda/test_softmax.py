"""Softmax on the GPU against the reference: rows in registers, long rows, other axes, extremes."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import resources, softmax
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32
from tests.draw import Draw

NAMES = ("softmax", "log_softmax")
LONG = 1300
"""Columns of a row that is too long for registers."""


def assert_same(name, x, g, axis=-1):
    with np.errstate(all="ignore"):
        want = getattr(reference, name)(x.astype(np.float64), axis)
        want_dx = getattr(reference, f"{name}_backward")(g.astype(np.float64), want, axis)
    got = getattr(softmax, name)(asarray(x), axis)
    dx = getattr(softmax, f"{name}_backward")(asarray(g), got, axis).get()
    for mine, right in ((got.get(), want), (dx, want_dx)):
        assert (mine.shape, mine.dtype) == (x.shape, x.dtype)
        scale = max(1, np.abs(g).sum(axis).max(initial=0))
        np.testing.assert_allclose(mine, right, rtol=5e-6, atol=2e-6 * scale)


def drawn(shape, dtype=np.float32, scale=5):
    rng = np.random.default_rng(0)
    return (scale * rng.normal(size=shape)).astype(dtype), rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape",
    [(1, 1), (9, 2), (20, 10), (3, 31), (2, 32), (5, 33), (2, 100), (2, 700), (2, LONG), (0, 3), (3, 0)],
)
def test_same_as_the_reference(name, dtype, shape):
    assert_same(name, *drawn(shape, dtype))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(12))
def test_drawn_axes(name, seed):
    draw = Draw(seed)
    shape = tuple(draw.number(1, 6) for _ in range(draw.number(1, 4)))
    x, g = (draw.array(shape, "float32") for _ in range(2))
    assert_same(name, x, g, draw.number(-len(shape), len(shape) - 1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", [3, 40, LONG])
def test_extremes(name, columns):
    x, g = drawn((9, columns))
    for i, value in enumerate([np.nan, np.inf, -np.inf, 1e30, -1e30, 88, -88, -0.0]):
        x[i, i % columns] = value
    x[8] = -np.inf
    assert_same(name, x, g)


@pytest.mark.parametrize("name", NAMES)
def test_long_rows_that_start_with_minus_infinity(name):
    x, g = drawn((3, LONG))
    x[0, :700], x[1, :-1], x[2, ::2] = -np.inf, -np.inf, -np.inf
    assert_same(name, x, g)


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match=r"softmax\(int64 \(3,\)\): floats of one shape"):
        softmax.softmax(asarray(np.arange(3)), 0)


def test_machine_code(needs_toolkit):
    array = float32[::1]
    for log in (False, True):
        for lanes, kept in (softmax.row_groups(n) for n in (10, softmax.IN_REGISTERS // 4)):
            run = softmax.row_kernel(float32, lanes, kept, log)
            resources.expect(run, (array, array, int32, int32), registers=128)
            run = softmax.row_backward_kernel(float32, lanes, kept, log)
            resources.expect(run, (array, array, array, int32, int32), registers=128)
        resources.expect(softmax.long_row_kernel(float32, log), (array, array, int32), registers=40)
        resources.expect(softmax.long_row_backward_kernel(float32, log), (*[array] * 3, int32), registers=40)


def test_float64_compiles_without_spills(needs_toolkit):
    lanes, kept = softmax.row_groups(softmax.IN_REGISTERS // 8)
    run = softmax.row_kernel(float64, lanes, kept, True)
    resources.expect(run, (float64[::1], float64[::1], int32, int32))
