"""Backpropagation: the chain of a network with one hidden layer, and what a network says of the plane."""

import numpy as np

from minidl import no_grad, tensor
from minidl.nn import Module

from ..picture import Picture
from ..theme import BLUE, GREEN, INK, ORANGE

PLACES = 96, 270, 420, 594, 742  # pixels: the middles of the five boxes
BOX, FORWARD, BACKWARD = (84, 46), 66, 158  # box size; the rows of the two walks
CELLS = 80  # along each side of a surface


def chain() -> Picture:
    """Five stations, forward above and backward below, with the shape of everything."""
    alt = (
        "Forward, from x through z1, h and z2 to the loss L. Backward, from L: the blame delta 2, "
        "times W2, times the slope of tanh, is the blame delta 1. Blame times what came in is a gradient."
    )
    picture = Picture(800, 262, alt=alt)
    values = [("x", "N × D"), ("z₁", "N × H"), ("h", "N × H"), ("z₂", "N × 1"), ("L", "a number")]
    blames = [None, ("δ₁", "N × H"), ("δ₂ W₂", "N × H"), ("δ₂", "N × 1"), ("1", "a number")]
    for at, value, blame in zip(PLACES, values, blames, strict=True):
        _station(picture, at, FORWARD, BLUE, *value)
        if blame:
            _station(picture, at, BACKWARD, ORANGE, *blame)
    labels = ["W₁, b₁", "tanh", "W₂, b₂", "targets t"], ["", "⊙ (1 − h²)", "× W₂", "(p − t) / N"]
    for i in range(4):
        left, right = PLACES[i] + BOX[0] / 2 + 5, PLACES[i + 1] - BOX[0] / 2 - 5
        middle = (left + right) / 2
        picture.arrow(left, FORWARD, right, FORWARD, BLUE)
        picture.text(middle, FORWARD - 32, labels[0][i], 14, "middle")
        if i:
            picture.arrow(right, BACKWARD, left, BACKWARD, ORANGE)
            picture.text(middle, BACKWARD + 40, labels[1][i], 14, "middle")
    for at, gradient in ((PLACES[1], "dL/dW₁ = δ₁ᵀ x    (H × D)"), (PLACES[3], "dL/dW₂ = δ₂ᵀ h    (1 × H)")):
        picture.arrow(at, BACKWARD + BOX[1] / 2 + 4, at, 232, GREEN)
        picture.text(at, 250, gradient, 14, "middle", bold=True)
    picture.text(4, 16, "forward: what each unit says", 13, color=BLUE, bold=True)
    picture.text(4, BACKWARD + 5, "backward:", 13, color=ORANGE, bold=True)
    picture.text(4, BACKWARD + 23, "blame for the error", 13, color=ORANGE, bold=True)
    return picture


def _station(picture: Picture, x: float, y: float, color: str, name: str, shape: str) -> None:
    w, h = BOX
    picture.rect(x - w / 2, y - h / 2, w, h, fill="#ffffff", stroke=color, width=2, radius=6)
    picture.text(x, y - 3, name, 16, "middle", color=INK, bold=True)
    picture.text(x, y + 16, shape, 12, "middle", color=INK)


def surface(model: Module, x: np.ndarray, y: np.ndarray, size: int = 330, reach: float = 1.5) -> Picture:
    """The probability of class 1 (blue) at each place, and the points x (N, 2) of the classes y (N,)."""
    edge = reach * np.linspace(-1, 1, CELLS)
    across, up = np.meshgrid(edge, edge)
    with no_grad():
        field = model(tensor(np.stack([across.ravel(), up.ravel()], axis=1).astype(np.float32))).sigmoid()
    picture = Picture(size, size)
    limits = (-reach, reach)
    axes = picture.axes(None, limits, limits, "x₁", "x₂", "Blue or orange?", equal=True)
    axes.heatmap(field.numpy().reshape(CELLS, CELLS), low=0, high=1, smooth=True)
    axes.points(*x.T, np.where(y, BLUE, ORANGE), 3)
    return picture
