"""Pictures of neurons, networks and training: static figures with matplotlib, live ones as SVG.

Importing it applies the course's matplotlib theme.
"""

from .controls import button, choice, slider, text, toggle
from .graph import draw_graph
from .network import draw_network
from .picture import Axes, Picture
from .plots import plot_boundary, plot_history, plot_images
from .recorder import Recorder, Scrubber
from .theme import (
    BLUE,
    DIVERGING,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    PURPLE,
    RED,
    SEQUENTIAL,
    apply_theme,
    show,
)
from .widget import ENGINE_LOCK, Widget

__all__ = [
    "BLUE",
    "DIVERGING",
    "ENGINE_LOCK",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "RED",
    "SEQUENTIAL",
    "Axes",
    "Picture",
    "Recorder",
    "Scrubber",
    "Widget",
    "button",
    "choice",
    "draw_graph",
    "draw_network",
    "plot_boundary",
    "plot_history",
    "plot_images",
    "show",
    "slider",
    "text",
    "toggle",
]

apply_theme()
