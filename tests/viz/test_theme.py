"""The theme: colours that read everywhere, figures that come out the same, a sentence under each."""

import itertools

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from minidl import viz
from minidl.viz import theme


def linear(color):
    """sRGB to linear light."""
    c = np.array(to_rgb(color))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2.2 contrast ratio."""
    light = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] + 0.05 for c in (a, b))
    return light[1] / light[0]


@pytest.mark.parametrize("color", viz.PALETTE)
@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_colours_read_on_a_light_and_on_a_dark_page(color, page):
    assert contrast(color, page) >= 3


# Machado, Oliveira and Fernandes (2009), severity 1: linear light as a dichromat sees it
DICHROMATS = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


@pytest.mark.parametrize("eye", DICHROMATS)
def test_colours_differ_for_colour_blind_readers(eye):
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

    def lab(color):
        xyz = to_xyz @ np.clip(np.array(DICHROMATS[eye]) @ linear(color), 0, 1) / [0.9505, 1, 1.089]
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    for a, b in itertools.combinations(viz.PALETTE, 2):
        assert np.linalg.norm(lab(a) - lab(b)) > 10, f"{a} and {b} look alike to a {eye} eye"


def make_figure():
    figure, ax = plt.subplots()
    ax.plot([0, 1, 2], [1, 0, 1])
    ax.set(xlabel="step", ylabel="loss", title="A loss")
    return figure


def test_the_same_figure_gives_the_same_bytes():
    assert theme.figure_png(make_figure()) == theme.figure_png(make_figure())


def test_a_heavy_figure_is_stored_lighter():
    figure, ax = plt.subplots()
    ax.imshow(np.random.default_rng(0).random((200, 300)), "viridis")
    assert len(theme.figure_png(figure)) < 200_000


def test_show_closes_the_figure_and_prints_its_sentence(capsys):
    figure = make_figure()
    viz.show(figure, alt="The loss falls\nand rises.")
    assert capsys.readouterr().out.splitlines()[-1] == "Figure: The loss falls and rises."
    assert not plt.fignum_exists(figure.number)


def test_a_long_sentence_is_broken_between_words(capsys):
    alt = "Left, the loss falls to zero; " + "right, " * 20 + "the share of right answers grows."
    viz.show(make_figure(), alt=alt)
    _, _, sentence = capsys.readouterr().out.partition("Figure: ")
    assert len(sentence.splitlines()) > 1 and max(map(len, sentence.splitlines())) <= 110
    assert sentence.split() == alt.split()


def test_show_takes_a_picture_with_its_own_sentence(capsys):
    viz.show(viz.Picture(100, 80, alt="An empty page."))
    assert "Figure: An empty page." in capsys.readouterr().out


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_show_refuses_a_figure_without_a_sentence(alt):
    with pytest.raises(ValueError, match="alt is empty"):
        viz.show(make_figure(), alt)


def test_type_is_large_enough():
    sizes = (
        "font.size",
        "axes.titlesize",
        "axes.labelsize",
        "xtick.labelsize",
        "ytick.labelsize",
        "legend.fontsize",
    )
    assert min(plt.rcParams[name] for name in sizes) >= 10


@pytest.fixture(autouse=True)
def agg():
    plt.switch_backend("agg")
    yield
    plt.close("all")
