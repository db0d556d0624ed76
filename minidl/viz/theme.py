"""The look of every figure: colours that a colour-blind reader can tell apart, type that can be read.

The colours have a contrast of at least 3:1 both on white and on a dark page (WCAG 2.2, non-text contrast),
so that the same picture reads in the light and in the dark theme.
"""

import base64
import io
import textwrap

import matplotlib
import numpy as np
from IPython.display import display
from matplotlib.colors import ListedColormap

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0078d0", "#cc6b00", "#07a386", "#b3303f", "#a44498", "#666666"
PALETTE = [BLUE, ORANGE, GREEN, RED, PURPLE, GREY]
INK = "#1a1a1a"  # text and axes on a white page

SHARPNESS = 144  # dots per inch in the file; shown at CSS's 96 per inch, so 1.5 dots for each CSS pixel
CSS_DPI = 96
WRAP = 110  # characters in a line of text under a figure: JupyterLab breaks longer ones inside words
HEAVY = 60_000  # bytes: a heavier PNG is stored with 256 colours


def _blend(*colors: str) -> np.ndarray:
    """256 colours that run evenly through the given ones: (256, 3) in 0..1."""
    stops = np.array([matplotlib.colors.to_rgb(color) for color in colors])
    at = np.linspace(0, len(stops) - 1, 256)
    return np.stack([np.interp(at, np.arange(len(stops)), channel) for channel in stops.T], axis=1)


DIVERGING = ListedColormap(
    _blend("#e58a3a", "#f4c79d", "#ffffff", "#a5cdea", "#4a9bd9"), name="orange_white_blue"
)
SEQUENTIAL = ListedColormap(_blend("#ffffff", "#8fc1e3", "#0078d0", "#00263d"), name="white_blue")


def apply_theme() -> None:
    """Set matplotlib's rcParams for the course; `from minidl import viz` calls it."""
    matplotlib.rcParams.update(
        {
            "figure.figsize": (7.0, 3.8),  # inches: 672 CSS pixels wide
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.fontsize": 10,
            "legend.frameon": False,
            "lines.linewidth": 2,
            "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
            "image.cmap": "gray",
            "image.interpolation": "nearest",  # a cell of data is a cell of colour, and a lighter file
            "grid.alpha": 0.25,
        }
    )


def figure_png(fig) -> bytes:
    """A figure as PNG bytes: the same figure gives the same bytes, at most about 60 kB for a plot."""
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=SHARPNESS, metadata={"Software": None})
    return lighten(file.getvalue())


def lighten(png: bytes) -> bytes:
    """The same PNG, stored with 256 colours when it is heavy."""
    if len(png) <= HEAVY:
        return png
    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(file, format="png", optimize=True)
    return min(png, file.getvalue(), key=len)


def show(figure, alt: str | None = None) -> None:
    """Show a matplotlib figure or a `Picture` as one PNG, and its alternative text under it, in lines.

    Args:
        figure: closed afterwards when it is matplotlib's, so that it appears once.
        alt: one sentence that says what the figure shows; a `Picture` may bring its own.
    """
    alt = " ".join((alt or getattr(figure, "alt", "")).split())
    if not alt:
        raise ValueError(
            "show: alt is empty. Say in one sentence what the figure shows: show(fig, alt='...')."
        )
    if hasattr(figure, "savefig"):
        import matplotlib.pyplot as plt

        png, (width, height) = figure_png(figure), figure.get_size_inches() * CSS_DPI
        plt.close(figure)
    else:
        png, width, height = figure.png(), figure.width, figure.height
    data = {"image/png": base64.b64encode(png).decode(), "text/plain": "<figure>"}
    display(data, metadata={"image/png": {"width": round(width), "height": round(height)}}, raw=True)
    print(textwrap.fill(f"Figure: {alt}", WRAP))
