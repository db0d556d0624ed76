"""LeNet from inside: what each layer makes of a digit, and which pixels each unit sees (notebook 18)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

from minidl import no_grad, tensor, viz
from minidl.nn import Module
from minidl.nn import functional as F

from ..digits import DigitPad
from ..picture import Picture
from ..theme import BLUE, GREEN, GREY, INK, ORANGE, SEQUENTIAL


@dataclass(frozen=True)
class Stage:
    """A layer of LeNet-5 under its name of 1998, and where its maps lie in the widget.

    depth: how many modules of the network lead to its output.
    maps: (number, height, width); a layer without places counts as one map of units in rows.
    field: a unit sees field x field pixels; the unit in row i begins at pixel row step * i - 2. 0: all.
    top, cell: pixels of the widget; columns: maps in a row.
    """

    depth: int
    maps: tuple[int, int, int]
    field: int
    step: int
    top: int
    cell: int
    columns: int
    left: int = 308

    def sheet(self, values: np.ndarray) -> np.ndarray:
        """The maps (number, h, w) side by side, with lines of nan between them."""
        (count, h, w), gap = self.maps, self.gap
        rows = -(-count // self.columns)
        sheet = np.full((rows * (h + gap) - gap, self.columns * (w + gap) - gap), np.nan, np.float32)
        for number, one in enumerate(values.reshape(self.maps)):
            row, column = divmod(number, self.columns)
            sheet[row * (h + gap) :, column * (w + gap) :][:h, :w] = one
        return sheet

    def unit(self, x: float, y: float) -> tuple[int, int, int] | None:
        """The unit (map, row, column) drawn at a pixel of the widget; None between and beside them."""
        (count, h, w), gap = self.maps, self.gap
        across, down = (x - self.left) / self.cell, (y - self.top) / self.cell
        if across < 0 or down < 0 or across >= self.columns * (w + gap):
            return None
        number = int(down // (h + gap)) * self.columns + int(across // (w + gap))
        row, column = int(down % (h + gap)), int(across % (w + gap))
        return (number, row, column) if number < count and row < h and column < w else None

    def corner(self, unit: tuple[int, int, int]) -> tuple[float, float]:
        """Where a unit is drawn: the pixels of its cell's corner."""
        number, row, column = unit
        down, across = divmod(number, self.columns)
        _, h, w = self.maps
        x, y = across * (w + self.gap) + column, down * (h + self.gap) + row
        return self.left + self.cell * x, self.top + self.cell * y

    def pixels(self, unit: tuple[int, int, int]) -> tuple[int, int, int]:
        """What the unit sees: first row, first column, side. Parts may lie in the padding."""
        _, row, column = unit
        return (self.step * row - 2, self.step * column - 2, self.field) if self.field else (0, 0, 28)

    @property
    def gap(self) -> int:
        return 2 if self.maps[1] == 28 else 1


STAGES = {
    "C1": Stage(2, (6, 28, 28), 5, 1, top=26, cell=2, columns=6),
    "S2": Stage(3, (6, 14, 14), 6, 2, top=110, cell=4, columns=6),
    "C3": Stage(5, (16, 10, 10), 14, 2, top=194, cell=4, columns=8),
    "S4": Stage(6, (16, 5, 5), 16, 4, top=306, cell=7, columns=8),
    "C5": Stage(9, (1, 4, 30), 0, 0, top=411, cell=6, columns=1),
    "F6": Stage(11, (1, 4, 21), 0, 0, top=411, cell=6, columns=1, left=508),
}
KINDS = {"C1": "convolution", "S2": "pooling", "C3": "convolution", "S4": "pooling", "C5": "120", "F6": "84"}
SEEN = (12, 372, 140)  # what the network sees: left, top, side; windows reach 2 pixels of its over the rim
PATCH = (174, 372, 118)  # what the chosen unit sees, enlarged
ANSWER = (308, 468, 34.8)  # the ten answers: left, top, width of a column


def activations(model: Module, image: np.ndarray) -> dict[str, np.ndarray]:
    """What each layer says about an image (28, 28): {"C1": (6, 28, 28), ..., "logits": (10,)}."""
    layers, found, done = list(model), {}, 0
    x = tensor(np.ascontiguousarray(image, np.float32)[None, None])
    with no_grad():
        for name, depth in {**{name: stage.depth for name, stage in STAGES.items()}, "logits": 12}.items():
            for layer in layers[done:depth]:
                x = layer(x)
            found[name], done = x.numpy()[0], depth
    return found


class LayerPad(DigitPad):
    """Draw a digit and see what every layer of a LeNet makes of it; press on a unit to see what it sees.

    `.activations` is what is shown, by the names of 1998; `.chosen` is (layer, (map, row, column)), at first
    the unit of C3 that says most.
    """

    size = (668, 544)

    def __init__(self, model: Module, strokes: Sequence | None = None):
        self.model, self.chosen, self._held = model, ("C3", (0, 4, 4)), False
        self.activations: dict[str, np.ndarray] = {}
        super().__init__(self._read, strokes)

    def _read(self, image: np.ndarray) -> np.ndarray:
        first, self.activations = not self.activations, activations(self.model, image)
        if first:
            self.chosen = ("C3", _strongest(self.activations["C3"]))
        return F.softmax(tensor(self.activations["logits"]), dim=0).numpy()

    def _touch(self, state, kind: str, x: float, y: float) -> None:
        """On a map: choose a unit, also while the pointer is drawn along. Elsewhere: the pad's own affair."""
        self._held = kind == "down" or (kind == "move" and self._held)
        for name, stage in STAGES.items():
            unit = stage.unit(x, y)
            if unit and self._held and not state.pressed:
                self.chosen = (name, unit)
                return
        super()._touch(state, kind, x, y)

    def choose(self, layer: str, unit: tuple[int, int, int]) -> None:
        """Choose a unit (map, row, column) of a layer, and return when it is shown."""
        x, y = STAGES[layer].corner(unit)
        for kind in ("down", "up"):
            self.point(kind, x + 1, y + 1)
        self.wait()

    def _tell(self, state) -> str:
        text = super()._tell(state)
        if state.probabilities is None:
            return text
        name, unit = self.chosen
        stage = STAGES[name]
        sees = f"{stage.field} × {stage.field} pixels" if stage.field else "the whole digit"
        number = unit[1] * stage.maps[2] + unit[2] + 1
        where = f"map {unit[0] + 1}, row {unit[1] + 1}, column {unit[2] + 1}" if stage.field else f"{number}"
        value = self.activations[name].reshape(stage.maps)[unit]
        return f"{text} Unit {name}, {where}, says {value:.2f} and sees {sees}."

    def _explain(self, picture: Picture, state) -> None:
        for name, stage in STAGES.items():
            self._draw_stage(picture, name, stage, empty=state.probabilities is None)
        self._draw_chosen(picture, state)
        if state.probabilities is not None:
            _draw_answers(picture, state.probabilities)

    def _draw_stage(self, picture: Picture, name: str, stage: Stage, empty: bool) -> None:
        count, h, w = stage.maps
        title = f"{name}  {KINDS[name]}" + (f", {count} maps of {h} × {w}" if stage.field else " units")
        picture.text(stage.left, stage.top - 8, title, 12, bold=self.chosen[0] == name)
        values = np.zeros(stage.maps) if empty else self.activations[name]
        sheet = stage.sheet(values)
        box = (stage.left, stage.top, stage.cell * sheet.shape[1], stage.cell * sheet.shape[0])
        picture.heatmap(sheet, box, SEQUENTIAL, high=max(float(values.max()), 1e-6))
        picture.rect(*box, opacity=0.4)

    def _draw_chosen(self, picture: Picture, state) -> None:
        """The chosen unit in its map, its window in the digit, and the window enlarged."""
        name, unit = self.chosen
        stage = STAGES[name]
        x, y = stage.corner(unit)
        picture.rect(x - 2, y - 2, stage.cell + 4, stage.cell + 4, stroke=ORANGE, width=2)
        left, top, side = SEEN
        picture.text(left, top - 17, "the network sees", 12, bold=True)
        picture.heatmap(state.image, (left, top, side, side), "gray")
        row, column, field = stage.pixels(unit)
        scale = side / 28
        window = (left + scale * column, top + scale * row, scale * field, scale * field)
        picture.rect(*window, stroke=ORANGE, width=2)
        left, top, side = PATCH
        picture.text(left, top - 17, "the unit sees", 12, bold=True)
        padded = np.pad(state.image, 2)[row + 2 :, column + 2 :][:field, :field]
        picture.heatmap(padded, (left, top, side, side), "gray")
        picture.rect(left, top, side, side, stroke=ORANGE, width=2)
        picture.text(SEEN[0], 540, "press on a unit of any layer", 12)


def _strongest(maps: np.ndarray) -> tuple[int, int, int]:
    """The unit (map, row, column) that says most."""
    number, row, column = np.unravel_index(maps.argmax(), maps.shape)
    return int(number), int(row), int(column)


def _draw_answers(picture: Picture, probabilities: np.ndarray) -> None:
    """Ten columns, one for each digit."""
    left, top, width = ANSWER
    picture.text(left, top - 5, "probability", 12)
    best = int(probabilities.argmax())
    for digit, p in enumerate(probabilities):
        x, height = left + width * digit, max(1.0, 28 * float(p))
        color = BLUE if digit == best else GREY
        picture.rect(x, top + 30 - height, width - 8, height, color, "none")
        picture.text(x + (width - 8) / 2, top + 46, str(digit), 14, "middle", bold=digit == best)


# Figures


def architecture() -> Picture:
    """LeNet from the pixels to ten answers: the maps of each layer as a stack, drawn to scale."""
    alt = (
        "From left to right: a 28 by 28 picture; C1, 6 maps of 28 by 28; S2, 6 of 14 by 14; C3, 16 of 10 by"
        " 10; S4, 16 of 5 by 5; then C5 with 120 units, F6 with 84, and ten answers."
    )
    picture, base = Picture(730, 206, alt=alt), 140
    lefts = {"": 8, "C1": 112, "S2": 246, "C3": 350, "S4": 462, "C5": 574, "F6": 634, "answers": 688}
    stacks = {"": (1, 28, 28)} | {name: STAGES[name].maps for name in ("C1", "S2", "C3", "S4")}
    for name, (count, side, _) in stacks.items():
        size, color = 2.9 * side, {"C": BLUE, "S": GREEN}.get(name[:1], INK)
        for layer in reversed(range(count)):
            x, y = lefts[name] + 3 * layer, base - size - 3 * layer
            picture.rect(x, y, size, size, "#ffffff", color)
        middle = lefts[name] + (size + 3 * (count - 1)) / 2
        picture.text(middle, base + 20, name or "picture", 14, "middle", bold=True)
        picture.text(middle, base + 38, f"{count} of {side} × {side}" if name else "28 × 28", 12, "middle")
    for name, count in (("C5", 120), ("F6", 84), ("answers", 10)):
        left = lefts[name]
        picture.rect(left, base - count, 10, count, "#ffffff", BLUE if name == "C5" else INK)
        picture.text(left + 5, base + 20, name, 14, "middle", bold=name != "answers")
        picture.text(left + 5, base + 38, str(count), 12, "middle")
    picture.text(8, 200, "blue: filters of 5 × 5", 12, color=BLUE)
    picture.text(160, 200, "green: the largest of each 2 × 2", 12, color=GREEN)
    return picture


def plot_choice(runs: Mapping[int, Sequence[Mapping]]) -> plt.Figure:
    """Left validation errors over the epochs, right what is read when slid by 4 pixels.

    runs: for each shift in training, for each seed: {"right": accuracies, "slid": accuracy}.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.3), width_ratios=(1.5, 1))
    for (shift, seeds), color in zip(runs.items(), (viz.ORANGE, viz.BLUE, viz.GREEN), strict=False):
        for number, run in enumerate(seeds):
            epochs, errors = np.arange(1, len(run["right"]) + 1), 100 * (1 - np.array(run["right"]))
            label = None if number else f"shifts of up to {shift}"
            left.semilogy(epochs, errors, color=color, lw=1.5, label=label)
        right.plot([shift] * len(seeds), [100 * run["slid"] for run in seeds], "o", color=color)
    left.set(xlabel="epoch", ylabel="validation error (%)", title="One pixel wins, by a hair")
    left.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    left.minorticks_off()
    left.legend()
    right.set(xlabel="shift in training (pixels)", ylabel="right (%)", ylim=(0, 104), xticks=list(runs))
    right.set_title("Slid by 4 pixels")
    return fig


def plot_filters(filters: np.ndarray, image: np.ndarray, maps: np.ndarray) -> plt.Figure:
    """Filters (n, 5, 5) above the maps (n, h, w) that they make of an image (h, w)."""
    fig, panels = plt.subplots(2, len(filters) + 1, figsize=(1.2 * (len(filters) + 1), 2.7))
    for ax in panels.flat:
        ax.set_axis_off()
    limit, high = np.abs(filters).max(), maps.max()
    for number, (above, below) in enumerate(panels.T[1:]):
        weights = above.imshow(filters[number], viz.DIVERGING, vmin=-limit, vmax=limit)
        above.set_title(f"filter {number + 1}", fontsize=10, fontweight="normal")
        responses = below.imshow(maps[number], viz.SEQUENTIAL, vmin=0, vmax=high)
    fig.colorbar(weights, ax=panels[0], label="weight")
    fig.colorbar(responses, ax=panels[1], label="response")
    panels[1, 0].imshow(image, "gray_r")
    panels[1, 0].set_title("digit", fontsize=10, fontweight="normal")
    fig.suptitle("What each filter wants, and where it finds it", fontweight="bold", x=0.01, ha="left")
    return fig


def plot_fields(image: np.ndarray, fields: Mapping[str, np.ndarray]) -> plt.Figure:
    """For each layer the pixels (28, 28) that its middle unit sees, on a digit (28, 28)."""
    fig, panels = plt.subplots(1, len(fields), figsize=(8.4, 2.5), sharey=True)
    for ax, (name, field) in zip(panels, fields.items(), strict=True):
        ax.imshow(image, "gray_r")
        ax.imshow(np.where(field, 1.0, np.nan), viz.DIVERGING, vmin=-1, vmax=1, alpha=0.5)
        side = field.any(axis=0).sum()
        ax.set(title=f"{name}: {side} × {side}", xlabel="pixel column", xticks=[0, 9, 18, 27])
    panels[0].set(ylabel="pixel row", yticks=[0, 9, 18, 27])
    return fig


def plot_erased(images: np.ndarray, truth: Sequence[int], after: Sequence[np.ndarray]) -> plt.Figure:
    """Digits (n, 28, 28) and, for each place of a 5 x 5 eraser, the probability left of the truth.

    after: for each digit the answers (576, 10) to its erased copies.
    """
    fig, panels = plt.subplots(2, len(images), figsize=(1.45 * len(images), 3.4))
    for image, label, answers, (above, below) in zip(images, truth, after, panels.T, strict=True):
        worst = int(answers[:, label].argmin())
        row, column = divmod(worst, 24)
        above.imshow(image, "gray_r")
        above.add_patch(
            plt.Rectangle((column - 0.5, row - 0.5), 5, 5, fill=False, edgecolor=viz.ORANGE, lw=2)
        )
        above.set_title(f"{label} read as {answers[worst].argmax()}", fontsize=10, fontweight="normal")
        extent = (1.5, 25.5, 25.5, 1.5)  # a square is drawn at its middle
        shown = below.imshow(answers[:, label].reshape(24, 24), "Oranges_r", vmin=0, vmax=1, extent=extent)
        below.contour(image, [127], colors=viz.INK, linewidths=0.8)
        below.set(xlim=(-0.5, 27.5), ylim=(27.5, -0.5))
    for ax in panels.flat:
        ax.set_axis_off()
    fig.colorbar(shown, ax=panels[1], label="probability left", ticks=[0, 0.5, 1])
    fig.suptitle("One square less, another answer", fontweight="bold", x=0.01, ha="left")
    return fig


def plot_windows(windows: np.ndarray) -> plt.Figure:
    """For each map a column of the windows (maps, count, h, w) that excite it most."""
    maps, count = windows.shape[:2]
    fig, panels = plt.subplots(count, maps, figsize=(0.55 * maps, 0.55 * count + 0.5))
    for number, column in enumerate(panels.T):
        column[0].set_title(str(number + 1), fontsize=10, fontweight="normal", loc="center")
        for ax, window in zip(column, windows[number], strict=True):
            ax.imshow(window, "gray_r", vmin=0, vmax=max(window.max(), 1))
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color=viz.GREY)
    fig.suptitle("What excites each of the 16 maps of C3 most", fontweight="bold", x=0.01, ha="left")
    return fig
