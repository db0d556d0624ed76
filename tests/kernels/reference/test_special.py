"""The error function against Python's own."""

import math

import numpy as np
import pytest

from minidl.kernels.reference import erf

POINTS = np.concatenate([np.linspace(-7, 7, 20_001), np.geomspace(1e-300, 1, 300), [1e4, -1e4]])


def test_erf_is_right_to_the_last_digits():
    want = np.array([math.erf(x) for x in POINTS])
    np.testing.assert_allclose(erf(POINTS), want, rtol=2e-15, atol=0)


def test_float32_is_the_rounded_float64():
    x = POINTS.astype(np.float32)
    out = erf(x)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, erf(x.astype(np.float64)).astype(np.float32))


@pytest.mark.parametrize(
    ("x", "want"), [(np.inf, 1), (-np.inf, -1), (6, 1), (1e300, 1), (0, 0), (np.nan, np.nan)]
)
def test_the_ends_are_exact(x, want):
    np.testing.assert_array_equal(erf(np.array([x, x])), [want, want])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 5), (8193,)])
def test_every_shape_keeps_its_shape(shape):
    x = np.random.default_rng(0).normal(size=shape)
    assert erf(x).shape == shape
    np.testing.assert_allclose(erf(x).ravel(), [math.erf(v) for v in x.ravel()], rtol=2e-15)
