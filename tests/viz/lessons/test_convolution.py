"""Notebook 17: the kernel painter does what it shows, and the figures show the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from minidl import data
from minidl.viz.digits import read_strokes
from minidl.viz.lessons import convolution as lesson
from minidl.viz.lessons.convolution import BRUSHES, KERNELS, LEFT, SIDE, TOP, ZOOM, KernelPainter


@pytest.fixture(scope="module")
def photo():
    return lesson.grey_photo(data.photograph())


@pytest.fixture
def painter(photo):
    painter = KernelPainter(photo)
    yield painter
    painter.close()


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def by_hand(x, w):
    k = len(w)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(float), (k, k))
    return np.einsum("ijab,ab->ij", windows, w)


def press(painter, box, row, column, rows, columns):
    """Press in the middle of a cell of a part that is laid out in cells."""
    left, top, width, height = box
    x, y = left + width * (column + 0.5) / columns, top + height * (row + 0.5) / rows
    for kind in ("down", "up"):
        painter.point(kind, x, y)
    painter.wait()


def area(painter, name):
    return lesson._areas(painter.state)[name]


def draw(painter, points):
    """A stroke on the picture, from its pixels (x, y)."""
    (x, y), *others = [(LEFT + ZOOM * a, TOP + ZOOM * b) for a, b in points]
    painter.point("down", x, y)
    for at in others:
        painter.point("move", *at)
    painter.point("up", *(others or [(x, y)])[-1])
    painter.wait()


def said(painter):
    assert painter.error is None
    return painter._status.value


# The painter


@pytest.mark.parametrize("name", KERNELS)
def test_each_named_kernel_is_loaded_and_answers(painter, name):
    painter.controls["preset"].value = name
    painter.wait()
    assert np.array_equal(painter.kernel, KERNELS[name])
    assert painter.controls["size"].value == len(KERNELS[name])
    assert np.allclose(painter.response, by_hand(painter.image, painter.kernel), atol=1e-4)
    assert f"add up to {np.sum(KERNELS[name]):g} " in said(painter)


def test_pictures_keep_their_brightness_and_differences_stay_within_one(painter, photo):
    assert painter.divisor == 4  # Sobel's positive weights
    assert np.abs(painter.response / painter.divisor).max() <= 1
    painter.paint(np.ones((5, 5)))
    assert painter.divisor == 25
    assert 0 <= painter.response.min() / 25 and painter.response.max() / 25 <= 1.0001
    painter.paint(np.zeros((3, 3)))
    assert painter.divisor == 1 and not painter.response.any()


def test_two_pixels_aside_fetches_from_the_right(painter, photo):
    painter.controls["preset"].value = "two pixels aside"
    painter.wait()
    assert np.allclose(painter.response, photo[2:-2, 4:])


def test_pressing_a_cell_paints_it_and_pressing_again_empties_it(painter):
    painter.controls["brush"].value = 4
    press(painter, area(painter, "kernel"), 0, 1, 3, 3)
    assert painter.kernel[0, 1] == 4 and painter.controls["preset"].value == "your own"
    press(painter, area(painter, "kernel"), 0, 1, 3, 3)
    assert painter.kernel[0, 1] == 0


def test_a_stroke_over_the_kernel_paints_every_cell(painter):
    left, top, side, _ = area(painter, "kernel")
    painter.controls["brush"].value = 2
    painter.point("down", left + 5, top + 5)
    for x in (side / 2, side - 5):
        painter.point("move", left + x, top + 5)
    painter.point("up", left + side - 5, top + 5)
    painter.wait()
    assert painter.kernel[0].tolist() == [2, 2, 2]


@pytest.mark.parametrize("number", range(len(BRUSHES)))
def test_swatches_choose_the_brush(painter, number):
    press(painter, area(painter, "swatches"), 0, number, 1, len(BRUSHES))
    assert painter.controls["brush"].value == painter.state.brush == BRUSHES[number]


def test_pressing_the_response_moves_the_window(painter):
    press(painter, area(painter, "response"), 10, 20, SIDE - 2, SIDE - 2)
    assert painter.state.place == [10, 20]
    assert f"row 10, column 20 the products sum up to {painter.response[10, 20]:+.2f}" in said(painter)
    painter.controls["size"].value = 5
    press(painter, area(painter, "response"), SIDE - 5, SIDE - 5, SIDE - 4, SIDE - 4)
    assert painter.state.place == [SIDE - 5] * 2


def test_a_larger_kernel_has_a_rim_of_zeros_and_a_smaller_one_loses_its_rim(painter):
    painter.controls["size"].value = 5
    painter.wait()
    assert np.array_equal(painter.kernel, np.pad(KERNELS["Sobel x"], 1))
    press(painter, area(painter, "kernel"), 0, 0, 5, 5)
    assert painter.kernel[0, 0] == 1
    painter.controls["size"].value = 3
    painter.wait()
    assert np.array_equal(painter.kernel, KERNELS["Sobel x"]) and painter.response.shape == (148, 148)


def test_turning_a_kernel_turns_sobels_sign(painter):
    before = painter.response.copy()
    painter.controls["Turn by 180°"].click()
    painter.wait()
    assert np.allclose(painter.response, -before)
    painter.controls["Empty kernel"].click()
    painter.wait()
    assert not painter.kernel.any()


def test_ink_is_black_on_the_cat_and_wiped_by_button_or_key(painter, photo):
    for wipe in (lambda: painter.controls["Wipe your ink"].click(), lambda: painter.point("clear", 0, 0)):
        draw(painter, [(30, 40), (60, 40)])
        assert painter.image[40, 30:60].max() == 0 and np.array_equal(painter.image[60:], photo[60:])
        wipe()
        painter.wait()
        assert np.array_equal(painter.image, photo)


def test_paper_shows_a_digit_until_the_first_own_stroke(painter):
    painter.controls["ground"].value = "paper"
    painter.wait()
    assert painter.image.max() == 1 and (painter.image == 0).sum() > 500
    draw(painter, [(10, 10), (10, 20)])
    assert painter.image[60:].min() == 1 and painter.image[15, 10] == 0
    draw(painter, [(140, 140)])  # a second one stays beside the first
    assert painter.image[140, 140] == painter.image[15, 10] == 0
    assert len(read_strokes("1,1 2,2")) == 1 and painter.state.drawn == 2


def test_reset_brings_everything_back(painter, photo):
    painter.controls["ground"].value = "paper"
    painter.paint(np.ones((5, 5)))
    draw(painter, [(10, 10), (50, 50)])
    painter.reset()
    assert np.array_equal(painter.kernel, KERNELS["Sobel x"]) and np.array_equal(painter.image, photo)
    assert painter.controls["preset"].value == "Sobel x" and painter.controls["size"].value == 3


def test_what_is_no_grey_photo_or_no_kernel_is_refused(photo):
    with pytest.raises(ValueError, match=r"shape \(10, 10\); give a grey picture \(150, 150\)"):
        KernelPainter(np.zeros((10, 10)))
    with pytest.raises(ValueError, match="0 to 1"):
        KernelPainter(255 * photo)
    painter = KernelPainter(photo)
    with pytest.raises(ValueError, match=r"shape \(4, 4\); give \(3, 3\) or \(5, 5\)"):
        painter.paint(np.zeros((4, 4)))
    painter.close()


# Figures


def test_the_window_is_framed_where_it_is():
    x, w = np.arange(30).reshape(5, 6), np.ones((3, 3), int)
    picture, _, response = lesson.plot_window(x, w, by_hand(x, w), (1, 2)).axes
    (frame,), (spot,) = picture.patches, response.patches
    assert frame.get_xy() == spot.get_xy() == (1.5, 0.5)
    assert (frame.get_width(), spot.get_width()) == (3, 1)
    assert [text.get_text() for text in picture.texts] == [str(number) for number in range(30)]


def test_edges_are_signed_but_amounts_begin_at_zero(photo):
    across = by_hand(photo, np.array(KERNELS["Sobel x"]))
    first, signed, amount = lesson.plot_edges(photo, {"x": across, "both": np.abs(across)}).axes
    low, high = signed.images[0].get_clim()
    assert low == -high and amount.images[0].get_clim() == (0, high)
    assert np.array_equal(first.images[0].get_array(), photo)


def test_the_matrix_leaves_out_what_is_not_connected():
    matrix = np.array([[1.0, 0, 2], [0, 1, 0]])
    _, right = lesson.plot_matrix(matrix, np.array([[1, 2]])).axes
    assert np.array_equal(right.images[0].get_array().mask, matrix == 0)


def luminance(color):
    """Relative luminance, as WCAG 2.2 has it."""
    c = np.array(to_rgb(color))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def test_the_numbers_of_the_matrix_stand_out_from_their_colours():
    kernel = np.arange(1.0, 10).reshape(3, 3)
    for ax in lesson.plot_matrix(kernel.reshape(1, 9), kernel).axes:
        for text in ax.texts:
            ground = ax.images[0].to_rgba(float(text.get_text()))
            dark, light = sorted(luminance(color) for color in (text.get_color(), ground))
            assert (light + 0.05) / (dark + 0.05) > 4.1, text.get_text()


def test_slides_show_each_seed_and_the_mean():
    runs = {"MLP": np.array([[0.9, 0.3], [0.8, 0.1]]), "other": np.array([[0.9, 0.9], [0.9, 0.8]])}
    ax = lesson.plot_slides(runs).axes[0]
    assert [text.get_text() for text in ax.get_legend().texts] == ["MLP", "other"]
    mean = next(line for line in ax.lines if line.get_label() == "MLP")
    assert np.allclose(mean.get_ydata(), [85, 20])
    assert sum(len(line.get_ydata()) == 2 for line in ax.lines) == 2 * 3 + 1  # and the line of guessing


def test_drift_shows_each_network():
    ax = lesson.plot_drift({"a": np.array([0, 1, 0.5]), "b": np.array([0, 0.2, 0])}).axes[0]
    assert [list(line.get_ydata()) for line in ax.lines] == [[0, 1, 0.5], [0, 0.2, 0]]


def test_the_photo_is_grey_and_half_as_large(photo):
    assert photo.shape == (SIDE, SIDE) and photo.dtype == np.float32
    assert 0 <= photo.min() < 0.1 and 0.6 < photo.max() <= 1
    white = lesson.grey_photo(np.full((300, 400, 3), 255, np.uint8))
    assert np.allclose(white, 1)


def test_digits_are_centred_with_their_ink_kept():
    digits = data.mnist().train_images[:50]
    frames = lesson.centred(digits)
    assert frames.shape == (50, 1, 36, 36) and frames.dtype == np.float32
    assert np.allclose(frames.sum(axis=(1, 2, 3)), digits.sum(axis=(1, 2)) / 255, rtol=1e-5)
    for (frame,), axis in ((frame, axis) for frame in frames for axis in (0, 1)):
        ink = np.flatnonzero(frame.any(axis=axis))
        assert ink[0] >= 8 and ink[-1] < 28 and 0 <= 35 - ink[-1] - ink[0] <= 1
