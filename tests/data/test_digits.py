"""`center_digit` does what MNIST's makers did: it leaves their own digits as they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import data
from minidl.data import center_digit


@pytest.fixture(scope="module")
def digits():
    return data.mnist().test_images[:400].astype(np.float32) / 255


def test_official_digits_come_back_as_they_are(digits):
    off = [abs(center_digit(digit) - digit).max() for digit in digits]
    assert np.mean(np.array(off) < 1e-5) > 0.99  # three digits of the 10,000 are not quite 20 pixels tall


@pytest.mark.parametrize(("zoom", "top", "left"), [(1, 0, 9), (3, 7, 1), (10, 13, 40)])
def test_enlarged_and_shifted_digits_come_back_as_they_were(digits, zoom, top, left):
    for digit in digits[:40]:
        drawn = np.zeros((28 * zoom + 17, 28 * zoom + 45))
        drawn[top : top + 28 * zoom, left : left + 28 * zoom] = np.kron(digit, np.ones((zoom, zoom)))
        np.testing.assert_allclose(center_digit(drawn), digit, atol=1e-5)


def test_other_scales_change_a_digit_little(digits):
    """A digit drawn 2.5 times as large (each pixel 5 x 5, then halved) keeps nearly all its ink in place."""
    for digit in digits[:40]:
        drawn = np.kron(digit, np.ones((5, 5))).reshape(70, 2, 70, 2).mean(axis=(1, 3))
        again = center_digit(drawn)
        assert np.corrcoef(again.ravel(), digit.ravel())[0, 1] > 0.9


def test_all_ink_and_a_single_dot_fill_the_box():
    box = np.zeros((28, 28), np.float32)
    box[4:24, 4:24] = 1
    dot = np.zeros((50, 40))
    dot[3, 39] = 1
    np.testing.assert_allclose(center_digit(np.ones((100, 100))), box, atol=1e-6)
    np.testing.assert_allclose(center_digit(dot), box, atol=1e-6)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_ink_fits_the_box_and_is_centered(height, width, seed):
    generator = np.random.default_rng(seed)
    ink = generator.uniform(0.1, 1, (height, width))
    image = np.pad(ink, generator.integers(0, 30, (2, 2)))
    picture = center_digit(image)
    assert (picture.shape, picture.dtype) == ((28, 28), np.float32)
    assert picture.min() >= 0 and picture.max() <= 1 + 1e-6
    rows, cols = picture.sum(axis=1), picture.sum(axis=0)
    extent = [np.count_nonzero(rows), np.count_nonzero(cols)]
    assert max(extent) == 20
    assert abs(extent[0] / 20 - height / max(height, width)) <= 0.05
    assert abs(extent[1] / 20 - width / max(height, width)) <= 0.05
    for mass in (rows, cols):
        assert abs(np.arange(28) @ mass / mass.sum() - 14) <= 0.5 + 1e-5


def test_edges_are_softened():
    """A stroke whose edge falls within a pixel gives grey, in proportion to the area."""
    stroke = np.zeros((40, 40))
    stroke[:, :3] = 1  # scaled by 20/40: one and a half pixels
    stroke[0, :] = stroke[-1, :] = 1  # so that the cut-out keeps its width
    row = center_digit(stroke)[14]
    assert sorted(row[row > 0].round(5)) == [0.5, 1.0]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((28, 28)), r"the image \(28, 28\) is empty; draw a digit first"),
        (np.zeros((0, 0)), "is empty"),
        (np.zeros((1, 28, 28)), r"shape \(1, 28, 28\); give one grey picture \(H, W\)"),
        (np.full((28, 28), 255), "Divide by 255"),
        (np.full((28, 28), -0.5), "must be 0"),
        (np.full((28, 28), np.nan), "must be 0"),
    ],
)
def test_what_is_not_a_drawing_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        center_digit(image)
