"""Figures of notebook 08: what is learnt by heart, who is taken for whom, what hidden units look at."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from minidl import viz


def plot_overfitting(runs: Sequence[Sequence[dict]], sizes: Mapping[int, dict]) -> plt.Figure:
    """Left the losses of some runs; right the accuracies after training on ever more images.

    runs: for each seed the records of `History.epochs`. sizes: {number of images: last record}.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.3))
    kinds = {"": (viz.BLUE, "training"), "val_": (viz.ORANGE, "validation")}
    for prefix, (color, name) in kinds.items():
        for run in runs:
            epochs, losses = zip(*((record["epoch"], record[f"{prefix}loss"]) for record in run), strict=True)
            left.plot(epochs, losses, color=color, label=name if run is runs[0] else None)
        shares = [100 * sizes[images][f"{prefix}accuracy"] for images in sorted(sizes)]
        right.plot(sorted(sizes), shares, "o-", color=color, label=name)
    left.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, 1), title="The losses part company")
    right.set(xscale="log", xlabel="training images", ylabel="right (%)", title="More images close the gap")
    right.set_xticks(sorted(sizes), [f"{images:,}" for images in sorted(sizes)])
    right.minorticks_off()
    left.legend()
    right.legend(loc="lower right")
    return fig


def plot_confusion(confusion: np.ndarray) -> plt.Figure:
    """Counts (C, C), rows true and columns answered; the more mistakes, the darker."""
    fig, ax = plt.subplots(figsize=(5.2, 4.6))
    mistakes = np.where(np.eye(len(confusion), dtype=bool), 0, confusion)
    ax.imshow(mistakes, viz.SEQUENTIAL, vmax=2 * max(1, mistakes.max()))
    for (row, column), count in np.ndenumerate(confusion):
        ax.text(column, row, count or "", ha="center", va="center", fontsize=9)
    ticks = range(len(confusion))
    ax.set(xticks=ticks, yticks=ticks, xlabel="answered", ylabel="true digit")
    ax.set_title("Rare mistakes, and not at random")
    return fig


def plot_units(weights: np.ndarray, count: int = 24, cols: int = 12) -> plt.Figure:
    """The `count` units with the largest weights (units, 784) as pictures: blue positive, orange negative."""
    largest = np.argsort(-(weights**2).sum(axis=1))[:count]
    fig, panels = plt.subplots(-(-count // cols), cols, figsize=(0.7 * cols, 0.8 * -(-count // cols)))
    for ax in panels.flat:
        ax.axis("off")
    for ax, unit in zip(panels.flat, largest, strict=False):
        ax.imshow(weights[unit].reshape(28, 28), viz.DIVERGING, vmin=-0.4, vmax=0.4)
    fig.suptitle("Blobs and edges, and a pale rim", fontsize=12, fontweight="bold", x=0.01, ha="left")
    return fig
