"""The synthetic sets have the geometry that their docstrings promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import data

MAKERS = [data.make_moons, data.make_circles, data.make_xor, data.make_spirals, data.make_blobs]


@pytest.mark.parametrize("make", MAKERS)
@given(n=st.integers(2, 60), noise=st.floats(0, 2), seed=st.integers(0, 100))
def test_classes_are_balanced_and_points_reproducible(make, n, noise, seed):
    x, y = make(n, noise, seed)
    assert (x.shape, x.dtype) == ((n, 2), np.float32)
    assert (y.shape, y.dtype) == ((n,), np.int64)
    assert np.bincount(y, minlength=2).tolist() == [n - n // 2, n // 2]
    again_x, again_y = make(n, noise, np.random.default_rng(seed))
    np.testing.assert_array_equal(x, again_x)
    np.testing.assert_array_equal(y, again_y)


@pytest.mark.parametrize("make", MAKERS)
def test_seeds_differ_and_order_is_shuffled(make):
    assert not np.array_equal(make(seed=0)[0], make(seed=1)[0])
    half = make(1000)[1][:500].mean()
    assert 0.4 < half < 0.6
    assert abs(np.diff(make(1000)[1])).mean() < 0.7  # not simply alternating


@pytest.mark.parametrize("make", MAKERS)
def test_noise_is_the_standard_deviation_of_what_is_added(make):
    spread = (make(4000, noise=0.3)[0] - make(4000, noise=0.0)[0]).std(axis=0)
    np.testing.assert_allclose(spread, 0.3, rtol=0.05)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("wrong", [{"n": 1}, {"noise": -0.1}, {"noise": float("nan")}])
def test_impossible_wishes_are_refused_by_name(make, wrong):
    with pytest.raises(ValueError, match=f"{make.__name__}: {next(iter(wrong))}="):
        make(**wrong)


def test_moons_lie_on_two_half_circles():
    x, y = data.make_moons(500, noise=0)
    upper, lower = x[y == 0], x[y == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1, rtol=1e-5)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1, rtol=1e-5)
    assert (upper[:, 1] >= 0).all() and (lower[:, 1] <= 0.5).all()


def test_circles_have_radius_one_and_a_half():
    x, y = data.make_circles(500, noise=0)
    np.testing.assert_allclose(np.hypot(*x.T), np.where(y == 0, 1, 0.5), rtol=1e-5)


def test_xor_is_the_sign_of_the_product():
    x, y = data.make_xor(500, noise=0)
    np.testing.assert_array_equal(y, x.prod(axis=1) < 0)
    assert abs(x).max() <= 1


def test_blobs_sit_at_their_centers():
    x, y = data.make_blobs(500, noise=0)
    np.testing.assert_array_equal(x, np.stack([y - 0.5, y - 0.5], axis=1))


def test_spirals_turn_one_and_a_half_times_and_stay_apart():
    x, y = data.make_spirals(500, noise=0)
    radius = np.hypot(*x.T)
    angle = np.arctan2(x[:, 1], x[:, 0])
    expected = 3 * np.pi * radius + np.pi * y
    np.testing.assert_allclose(np.cos(angle - expected), 1, atol=1e-4)
    outer = radius > 0.3
    a, b = x[outer & (y == 0)], x[outer & (y == 1)]
    gap = np.linalg.norm(a[:, None] - b[None], axis=2).min()
    assert gap > 0.25
