"""Damage a stored pattern, and watch a Hopfield network repair it cell by cell (notebook 02)."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike

from ..controls import choice, slider
from ..picture import Picture
from ..theme import BLUE
from ..widget import Widget

STORED = {
    "0 and 1": (0, 1),
    "3 and 8": (3, 8),
    "4 and 9": (4, 9),
    "only 7": (7,),
    "0, 1 and 2": (0, 1, 2),
    "all ten": tuple(range(10)),
}
FLIP, ERASE = "flip pixels", "erase from below"
VISITS = 28  # cells visited in one step: a round of 784 takes about a second at 25 frames a second
BOX = (8, 28, 224, 224)  # where the cells are drawn: x, y, width, height in pixels


def corrupt_and_recall(
    patterns: ArrayLike, weights_of: Callable[[np.ndarray], ArrayLike], shape: tuple[int, int] = (28, 28)
) -> Widget:
    """A widget: choose what is stored and how the cue is damaged or paint on it; Play lets the cells vote.

    patterns: (10, N) of -1 and +1, the ten digits in order, with N = height * width.
    weights_of: patterns (P, N) -> weights (N, N), called whenever other digits are to be stored.
    """
    patterns = np.asarray(patterns)
    expected = (10, shape[0] * shape[1])
    if patterns.shape != expected or not np.isin(patterns, (-1, 1)).all():
        raise ValueError(
            f"corrupt_and_recall: patterns has shape {patterns.shape}; it must be {expected},"
            f" ten patterns of {shape[0]} x {shape[1]} cells, each -1 or +1"
        )
    state = SimpleNamespace(patterns=patterns, weights_of=weights_of, shape=shape, ink=0)
    controls = [
        choice("stored", "Stored digits", STORED, STORED["0 and 1"], on_change=_store),
        choice("cue", "Cue", list(range(10)), 0, on_change=_damage),
        choice("kind", "Damage", [FLIP, ERASE], FLIP, on_change=_damage),
        slider("amount", "Damaged (%)", 0, 100, 30, 5, on_change=_damage),
    ]
    for control in controls:
        setattr(state, control.name, control.value)
    _store(state)
    return Widget(state, _draw, controls, step=_step, reset=_store, describe=_describe, on_pointer=_paint)


def _store(state: SimpleNamespace) -> None:
    """Compute the weights, then damage the cue."""
    state.weight = np.asarray(state.weights_of(state.patterns[list(state.stored)]), float)
    state.lowest = -0.5 * np.abs(state.weight).sum()  # no state lies deeper
    _damage(state)


def _damage(state: SimpleNamespace) -> None:
    """Put the damaged cue into the cells. A larger amount damages the same pixels and more."""
    state.generator = np.random.default_rng(0)
    state.cells = state.patterns[state.cue].astype(float)
    n = len(state.cells)
    suffering = state.generator.permutation(n) if state.kind == FLIP else np.arange(n)[::-1]
    suffering = suffering[: round(n * state.amount / 100)]
    state.cells[suffering] = -state.cells[suffering] if state.kind == FLIP else -1
    _restart(state)


def _restart(state: SimpleNamespace) -> None:
    """Begin a new energy curve from the cells as they are."""
    state.visits, state.energies, state.order = [0], [], np.array([], int)
    _vote(state)


def _vote(state: SimpleNamespace) -> None:
    """What all others tell each cell, once for each picture, and the energy that follows from it.

    einsum, since for one small product BLAS wakes threads, and waits for them on a busy machine.
    """
    state.votes = np.einsum("ij,j->i", state.weight, state.cells)
    state.energies.append(-0.5 * float(state.cells @ state.votes))


def _at_rest(state: SimpleNamespace) -> bool:
    return bool((state.cells * state.votes >= 0).all())


def _step(state: SimpleNamespace) -> None:
    """Visit some cells, each once a round, in random order."""
    if _at_rest(state):
        raise StopIteration
    if not len(state.order):
        state.order = state.generator.permutation(len(state.cells))
    visited, state.order = state.order[:VISITS], state.order[VISITS:]
    for cell in visited:
        if state.cells[cell] * (state.weight[cell] @ state.cells) < 0:
            state.cells[cell] *= -1
    state.visits.append(state.visits[-1] + len(visited))
    _vote(state)


def _paint(state: SimpleNamespace, kind: str, x: float, y: float) -> None:
    """Press and draw: the first pixel decides whether this stroke is ink or paper."""
    x, y = (x - BOX[0]) / BOX[2], (y - BOX[1]) / BOX[3]
    inside = 0 <= x < 1 and 0 <= y < 1
    cells = state.cells.reshape(state.shape)
    row, column = int(y * state.shape[0]), int(x * state.shape[1])
    if kind != "move":
        state.ink = -cells[row, column] if kind == "down" and inside else 0
    if inside and state.ink:
        cells[row : row + 2, column : column + 2] = state.ink
        _restart(state)


def _overlaps(state: SimpleNamespace) -> dict[int, float]:
    """1 when all cells are as in the stored digit, 0 when half are, -1 for its negative."""
    return {digit: float(state.patterns[digit] @ state.cells) / len(state.cells) for digit in state.stored}


def _describe(state: SimpleNamespace) -> str:
    closest, overlap = max(_overlaps(state).items(), key=lambda item: abs(item[1]))
    damage = f"{state.amount} % {'flipped' if state.kind == FLIP else 'erased'}"
    sentence = f"Stored: {_names(state.stored)}. Cue: {state.cue}, {damage}. After {state.visits[-1]} visits"
    sentence += f" the cells match {closest} best, with overlap {overlap:.2f}"
    return sentence + ("; no cell wants to change." if _at_rest(state) else ".")


def _names(digits: tuple[int, ...]) -> str:
    return ", ".join(map(str, digits))


def _draw(state: SimpleNamespace) -> Picture:
    picture = Picture(720, 264)
    picture.text(BOX[0], 18, "The cells (paint on them)", bold=True)
    picture.heatmap(state.cells.reshape(state.shape), BOX, "gray_r", low=-1)
    picture.rect(*BOX, opacity=0.5)
    _draw_stored(picture, state)
    _draw_energy(picture, state)
    return picture


def _draw_stored(picture: Picture, state: SimpleNamespace) -> None:
    """What is stored, each with its overlap, in two columns of five."""
    picture.text(254, 18, "Stored, and overlap", bold=True)
    for place, (digit, overlap) in enumerate(_overlaps(state).items()):
        x, y = 254 + 96 * (place // 5), 28 + 46 * (place % 5)
        pattern = state.patterns[digit].reshape(state.shape)
        picture.heatmap(pattern, (x, y, 40, 40), "gray_r", low=-1)
        picture.rect(x, y, 40, 40, opacity=0.5)
        picture.text(x + 46, y + 20, f"{overlap:.2f}", valign="middle", bold=overlap > 0.95)


def _draw_energy(picture: Picture, state: SimpleNamespace) -> None:
    """The energy after each step; its scale belongs to what is stored, so that curves can be compared."""
    depth = max(-state.lowest / 1000, 1e-9)
    axes = picture.axes(
        (448, 0, 268, 258),
        xlim=(0, max(2 * len(state.cells), state.visits[-1])),
        ylim=(-1.08 * depth, 0.08 * depth),
        xlabel="visits to a cell",
        ylabel="energy (thousands)",
        title="Energy",
    )
    visits, energies = np.array(state.visits), np.array(state.energies) / 1000
    axes.line(visits, energies, BLUE).points(visits[-1:], energies[-1:], BLUE, r=5)
