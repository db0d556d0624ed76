"""The compiled convolution against the reference: ragged sizes, every setting, strides, empty batches."""

import itertools

import numpy as np
import pytest

from minidl.kernels import reference

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import convolution as compiled

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


def test_what_has_no_compiled_form_takes_the_reference():
    assert_same(arguments(SHAPES[2], (1, 1, 1), np.float64))
    assert_same(arguments(SHAPES[1], (1, 1, 1), np.float32, groups=3))


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
def test_any_number_of_threads_gives_the_same(monkeypatch, threads):
    monkeypatch.setenv("MINIDL_NUM_THREADS", threads)
    assert_same(arguments((32, 16, 16, (16, 16), (3, 3)), (1, 1, 1), np.float32))
