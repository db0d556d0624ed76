"""The compiled convolution against the reference: ragged sizes, every setting, strides, empty batches."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.kernels import WORTH_COMPILING, reference
from tests.parity import assert_parity, written

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import convolution as compiled
from minidl.kernels.cpu import lanes

NAMES = ("convolution", "convolution_backward_input", "convolution_backward_weight")
SHAPES = [  # batch, channels, outputs, size, kernel
    (1, 1, 1, (5, 7), (1, 1)),
    (3, 1, 6, (12, 33), (5, 5)),
    (2, 17, 20, (9, 8), (3, 2)),
    (2, 3, 16, (40,), (7,)),
    (0, 2, 3, (6, 6), (3, 3)),
]
SETTINGS = itertools.product((1, 2), (0, 1, 3), (1, 2))  # stride, padding, dilation
CASES = [(shape, settings) for settings in SETTINGS for shape in SHAPES]


def arguments(shape, settings, dtype, groups=1):
    """What the three kernels get for one convolution; None where the kernel does not fit into the input."""
    (batch, channels, outputs, size, kernel), (stride, padding, dilation) = shape, settings
    out = tuple(
        (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(size, kernel, strict=True)
    )
    if min(out) < 1:
        return None
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, channels * groups, *size)).astype(dtype)
    w = rng.normal(size=(outputs * groups, channels, *kernel)).astype(dtype)
    g = rng.normal(size=(batch, outputs * groups, *out)).astype(dtype)
    window = *([value] * len(size) for value in (stride, padding, dilation)), groups
    return (x, w, out, *window), (g, w, size, *window), (g, x, kernel, *window)


def assert_same(calls):
    for name, call in zip(NAMES, calls, strict=True):
        want, got = getattr(reference, name)(*call), getattr(compiled, name)(*call)
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_allclose(got, want, atol=2e-5 * max(1, np.abs(want).max(initial=0)), err_msg=name)


@pytest.mark.parametrize(("shape", "settings"), CASES)
def test_same_as_the_reference(shape, settings):
    calls = arguments(shape, settings, np.float32)
    if calls is not None:
        assert_same(calls)


@st.composite
def drawn(draw):
    """Shape, settings and groups of any convolution of one or two axes."""
    axes = draw(st.integers(1, 2))
    size = tuple(draw(st.lists(st.integers(1, 13), min_size=axes, max_size=axes)))
    kernel = tuple(draw(st.lists(st.integers(1, 5), min_size=axes, max_size=axes)))
    shape = (draw(st.sampled_from([0, 1, 5, 16, 19, 33])), draw(st.integers(1, 4)), draw(st.integers(1, 9)))
    settings = (draw(st.integers(1, 4)), draw(st.integers(0, 6)), draw(st.integers(1, 3)))
    return (*shape, size, kernel), settings, draw(st.integers(1, 3))


@given(drawn(), st.sampled_from([np.float32, np.float32, np.float64]))
def test_any_shape_same_as_the_reference(case, dtype):
    shape, settings, groups = case
    calls = arguments(shape, settings, dtype, groups)
    if calls is not None:
        assert_same(calls)


def test_bias_is_where_the_sums_start():
    (x, w, *rest), (g, *_), _ = arguments(SHAPES[2], (1, 1, 1), np.float32, groups=2)
    bias = np.arange(len(w), dtype=np.float32)
    want = reference.convolution(x, w, *rest, bias)
    np.testing.assert_allclose(compiled.convolution(x, w, *rest, bias), want, rtol=1e-5, atol=1e-4)
    want = reference.convolution_backward_bias(g)
    np.testing.assert_allclose(compiled.convolution_backward_bias(g), want, rtol=1e-5, atol=1e-5)
    assert not compiled.convolution_backward_bias(g[:0]).any()


def test_large_images_are_cut_into_bands(monkeypatch):
    calls = arguments((20, 3, 5, (24, 11), (3, 3)), (2, 1, 1), np.float32)
    want = [getattr(compiled, name)(*call) for name, call in zip(NAMES, calls, strict=True)]
    monkeypatch.setattr(lanes, "CACHE", 40_000)
    compiled._plan.cache_clear()
    assert_same(calls)
    compiled._plan.cache_clear()
    np.testing.assert_array_equal(compiled.convolution(*calls[0]), want[0])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("settings", [(1, 2, 1), (2, 1, 1)])
@np.errstate(all="ignore")
def test_infinity_and_nan_come_out_where_they_do_in_the_reference(value, position, settings):
    calls = arguments(SHAPES[2], settings, np.float32)
    for name, call in zip(NAMES, calls, strict=True):
        call[position].flat[7] = value
        want, got = getattr(reference, name)(*call), getattr(compiled, name)(*call)
        assert not np.isfinite(want).all()
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3, err_msg=name)


def test_views_are_read_as_they_lie():
    (x, w, *rest), (g, *_), (*_, kernel, stride, padding, dilation, groups) = arguments(
        SHAPES[2], (1, 1, 1), np.float32
    )
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    turned = np.asfortranarray(w)
    np.testing.assert_array_equal(
        compiled.convolution(wide, turned, *rest), compiled.convolution(x, w, *rest)
    )
    window = (kernel, stride, padding, dilation, groups)
    got = compiled.convolution_backward_weight(np.asfortranarray(g), wide, *window)
    np.testing.assert_array_equal(got, compiled.convolution_backward_weight(g, x, *window))


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_any_number_of_threads_gives_the_same(use_threads, threads):
    use_threads(threads)
    assert_same(arguments((64, 16, 16, (16, 16), (3, 3)), (1, 1, 1), np.float32))


CALLS = [
    "m.F.conv2d(x, y, z, padding=1)", "m.F.conv2d(x, y, z, stride=2, padding=2, dilation=2)",
    "m.F.conv2d(x, y[:, :2], z, groups=2)", "m.F.conv_transpose2d(x, y, z[:4], stride=2, padding=1)",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_as_pytorch_at_sizes_that_are_compiled(call):
    rng = np.random.default_rng(0)
    shapes = [(18, 4, 12, 15), (4 if "transpose" in call else 6, 4, 3, 3), (6,)]
    x, w, b = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    assert x.size > WORTH_COMPILING
    tolerance = {"rtol": 2e-5, "atol": 2e-5}  # sums of some thousand products
    assert_parity(written(call), x, w, b, tolerance=tolerance)
