"""Standardisation: what the numbers are afterwards, and how carefully they are added up."""

import numpy as np
import pytest

from minidl.kernels.reference import moments, standardize, standardize_backward


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (-2, -1)])
def test_the_result_has_mean_0_and_variance_1(axes):
    x = np.random.default_rng(0).normal(3, 5, (6, 5, 4))
    out, _, _ = standardize(x, None, None, None, None, axes, 0, True)
    np.testing.assert_allclose(out.mean(axes), 0, atol=1e-12)
    np.testing.assert_allclose(out.var(axes), 1, rtol=1e-12)


def test_many_rows_are_added_up_without_loss():
    x = (np.random.default_rng(0).normal(size=(100_000, 2)) + 100).astype(np.float32)
    mean, var = moments(x, (0,), True)
    assert mean.dtype == var.dtype == np.float32
    np.testing.assert_allclose(mean[0], x.astype(np.float64).mean(0), rtol=1e-7)
    np.testing.assert_allclose(var[0], x.astype(np.float64).var(0), rtol=1e-5)


def test_the_gradient_of_the_sum_is_0():
    """All outputs together always add up to 0, whatever the input."""
    x = np.random.default_rng(0).normal(size=(7, 3))
    _, mean, var = standardize(x, None, None, None, None, (0,), 1e-5, True)
    dx, *_ = standardize_backward(np.ones_like(x), x, mean, var, None, None, (0,), 1e-5)
    np.testing.assert_allclose(dx, 0, atol=1e-12)


def test_nothing_has_moments_too():
    mean, var = moments(np.zeros((0, 3), np.float32), (0,), True)
    assert mean.tolist() == var.tolist() == [[0, 0, 0]]
