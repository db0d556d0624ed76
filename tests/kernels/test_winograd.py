"""Winograd's 3x3 convolutions: as the reference, close to float64, and used where they pay."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.kernels import reference

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import convolution, lanes, winograd

NAMES = ("convolution", "convolution_backward_input", "convolution_backward_weight")
ONE = (1, 1)


def arguments(batch, channels, outputs, size, padding=ONE):
    """What the three kernels get, and a bias for the first."""
    rng = np.random.default_rng(0)
    out = tuple(n + 2 * p - 2 for n, p in zip(size, padding, strict=True))
    shapes = (batch, channels, *size), (outputs, channels, 3, 3), (batch, outputs, *out), (outputs,)
    x, w, g, bias = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    window = ONE, padding, ONE, 1
    return (x, w, out, *window, bias), (g, w, size, *window), (g, x, (3, 3), *window)


def by_winograd(calls):
    """Results of the three kernels by Winograd's way."""
    (x, w, out, *window, groups, bias), (g, _, size, *_), _ = calls
    return (
        winograd.product("forward", x, w, out, window, groups, bias),
        winograd.product("input", g, w, size, window, groups, None),
        winograd.dots(g, x, (3, 3), window, groups),
    )


def wanted(calls):
    return [getattr(reference, name)(*call) for name, call in zip(NAMES, calls, strict=True)]


def assert_same(got, want):
    for name, a, b in zip(NAMES, got, want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, np.float32)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max(), err_msg=name)


@contextlib.contextmanager
def always(**settings):
    """Winograd's way for all that it can do, with these settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ({"WORTH_IT": np.inf} | settings).items():
            patch.setattr(winograd, name, value)
        winograd._plan.cache_clear()
        yield
    winograd._plan.cache_clear()


def test_the_matrices_make_a_correlation():
    pairs, from_patch, to_tile, from_kernel = winograd._matrices(winograd.NEAR, winograd.FAR)
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=6), rng.normal(size=3)
    y = to_tile @ pairs @ ((from_kernel @ w) * (pairs @ from_patch @ x))
    np.testing.assert_allclose(y, np.correlate(x, w), rtol=1e-12)


SHAPES = [  # batch, channels, outputs, size, padding
    (16, 16, 16, (8, 8), (1, 1)),
    (1, 1, 1, (3, 3), (0, 0)),
    (3, 5, 7, (1, 9), (1, 2)),
    (33, 2, 9, (9, 6), (2, 0)),
    (5, 9, 2, (16, 13), (1, 1)),  # cut into bands
    (2, 40, 30, (32, 7), (2, 1)),
    (20, 3, 50, (5, 2), (1, 1)),
]


@pytest.mark.parametrize("shape", SHAPES)
@always()
def test_same_as_the_reference(shape):
    calls = arguments(*shape)
    assert_same(by_winograd(calls), wanted(calls))


@st.composite
def drawn(draw):
    channels, outputs = draw(st.integers(1, 19)), draw(st.integers(1, 19))
    size, padding = ((draw(st.integers(a, b)), draw(st.integers(a, b))) for a, b in ((3, 14), (0, 2)))
    return draw(st.sampled_from([1, 3, 8, 16, 19])), channels, outputs, size, padding


@given(drawn())
@always()
def test_any_shape_same_as_the_reference(shape):
    calls = arguments(*shape)
    assert_same(by_winograd(calls), wanted(calls))


@always(STRIP=0)
def test_short_strips_and_large_images(monkeypatch):
    calls = arguments(20, 6, 9, (24, 11))
    monkeypatch.setattr(lanes, "CACHE", 2500 * lanes.WIDTH)
    plan = winograd._plan("forward", (20, 6, 24, 11), (20, 9, 24, 11), (3, 3), (ONE, ONE, ONE), 1, 1)
    assert plan.bands.count == 6
    assert plan.length == plan.block[1]
    assert_same(by_winograd(calls), wanted(calls))


@pytest.mark.parametrize("channels", [16, 64])
def test_errors_are_those_of_single_precision(channels):
    calls = arguments(16, channels, 32, (12, 12))
    exact = [[a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in call] for call in calls]
    for got, want in zip(by_winograd(calls), wanted(exact), strict=True):
        assert np.abs(got - want).max() < 3e-6 * np.abs(want).max()


CHOICES = [  # batch, channels, outputs, size, padding; is it worth it?
    ((32, 16, 16, (32, 32), (1, 1)), True),
    ((32, 64, 64, (8, 8), (1, 1)), True),
    ((32, 3, 16, (32, 32), (1, 1)), False),  # too few channels share a transform
    ((32, 64, 64, (3, 3), (1, 1)), False),  # tiles are larger than the image
    ((1, 64, 64, (4, 8), (1, 1)), False),  # most lanes would be empty
]


@pytest.mark.parametrize(("shape", "worth"), CHOICES)
def test_it_is_used_where_it_pays(shape, worth):
    calls = arguments(*shape)
    used = by_winograd(calls)
    assert [result is not None for result in used] == [worth] * 3
    if worth:
        for name, call, result in zip(NAMES, calls, used, strict=True):
            np.testing.assert_array_equal(getattr(convolution, name)(*call), result)


CHANGES = [{"stride": (2, 1)}, {"dilation": (1, 2)}, {"groups": 2}, {"kernel": (3, 1)}, {"padding": (3, 1)}]


@pytest.mark.parametrize("change", CHANGES)
def test_what_it_cannot_do_is_left_to_direct_sums(change):
    settings = {"kernel": (3, 3), "stride": ONE, "padding": ONE, "dilation": ONE, "groups": 1} | change
    kernel, *window, groups = settings.values()
    shape = (32, 16, 32, 32)
    assert winograd._plan("forward", shape, shape, kernel, tuple(window), groups, 1) is None


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
@pytest.mark.parametrize("position", [0, 1])
@np.errstate(all="ignore")
def test_infinity_and_nan_come_out_where_they_do_in_the_reference(value, position):
    calls = arguments(16, 32, 32, (11, 8))
    assert all(result is not None for result in by_winograd(calls))
    for name, call in zip(NAMES, calls, strict=True):
        call[position].flat[47] = value
        want, got = getattr(reference, name)(*call), getattr(convolution, name)(*call)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_any_number_of_threads_gives_the_same(use_threads, threads):
    use_threads(threads)
    calls = arguments(50, 16, 20, (16, 16))
    first, again = by_winograd(calls), by_winograd(calls)
    assert_same(first, wanted(calls))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_views_are_read_as_they_lie():
    (x, w, out, *rest), (g, *_), _ = calls = arguments(16, 16, 16, (8, 8))
    wide, turned = np.repeat(x, 2, axis=-1)[..., ::2], np.asfortranarray(w)
    backward, weights = (np.asfortranarray(g), turned, *calls[1][2:]), (g, wide, *calls[2][2:])
    views = (wide, turned, out, *rest), backward, weights
    for a, b in zip(by_winograd(views), by_winograd(calls), strict=True):
        np.testing.assert_array_equal(a, b)
