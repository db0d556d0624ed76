"""Static figures that several notebooks share."""

import numpy as np

from .theme import BLUE, DIVERGING, ORANGE, PALETTE


def plot_boundary(
    ax, predict, x, y, low: float = 0.0, high: float = 1.0, margin: float = 0.15, cells: int = 100
):
    """What a model says about every place in the plane, where it changes its mind, and the points it learned.

    Args:
        ax: matplotlib axes.
        predict: predict(points (n, 2) float32) -> n numbers, from `low` (orange) to `high` (blue).
        x: points (n, 2). y: classes (n,), the larger one is blue.
        margin: room around the points, as a part of their extent.
    """
    x, y = np.asarray(x), np.asarray(y).ravel()
    if x.ndim != 2 or x.shape[1] != 2 or len(x) != len(y):
        raise ValueError(
            f"plot_boundary: x has shape {x.shape} and y {y.shape}; they must be (n, 2) and (n,)."
        )
    lows, highs = x.min(0) - margin * np.ptp(x, axis=0), x.max(0) + margin * np.ptp(x, axis=0)
    across, up = np.meshgrid(np.linspace(lows[0], highs[0], cells), np.linspace(lows[1], highs[1], cells))
    points = np.stack([across.ravel(), up.ravel()], axis=1).astype(np.float32)
    scores = predict(points)
    field = np.asarray(getattr(scores, "array", scores), float).reshape(cells, cells)
    extent = (lows[0], highs[0], lows[1], highs[1])
    ax.imshow(field, DIVERGING, vmin=low, vmax=high, extent=extent, origin="lower", aspect="auto")
    middle = (low + high) / 2
    if field.min() < middle < field.max():
        ax.contour(across, up, field, [middle], colors="black", linewidths=1)
    colors = np.where(y == y.max(), BLUE, ORANGE)
    ax.scatter(x[:, 0], x[:, 1], 28, colors, edgecolors="white", linewidths=0.8)
    return ax


def plot_history(history):
    """A figure of the loss of every step and, when there are any, the accuracies of every epoch."""
    import matplotlib.pyplot as plt

    curves = {"accuracy": "training", "val_accuracy": "validation"}
    curves = {key: name for key, name in curves.items() if any(key in epoch for epoch in history.epochs)}
    figure, axes = plt.subplots(1, 1 + bool(curves), figsize=(7, 3), squeeze=False)
    axes[0, 0].plot(history.loss, linewidth=1)
    axes[0, 0].set(xlabel="step", ylabel="loss", title="Loss", ylim=(0, None))
    for color, (key, name) in zip(PALETTE, curves.items(), strict=False):
        at = [epoch["epoch"] for epoch in history.epochs if key in epoch]
        values = [100 * epoch[key] for epoch in history.epochs if key in epoch]
        axes[0, 1].plot(at, values, "o-", color=color, label=name)
    if curves:
        axes[0, 1].set(xlabel="epoch", ylabel="accuracy (%)", title="Accuracy")
        axes[0, 1].xaxis.get_major_locator().set_params(integer=True)
        axes[0, 1].legend()
    return figure


def plot_images(images, labels=None, cols: int = 10, title: str = ""):
    """Images (n, h, w) in rows of `cols`, with a label over each. Returns the figure."""
    import matplotlib.pyplot as plt

    images = np.asarray(getattr(images, "array", images))
    if images.ndim != 3 or (labels is not None and len(labels) != len(images)):
        count = "" if labels is None else f" with {len(labels)} labels"
        raise ValueError(
            f"plot_images: images has shape {images.shape}{count}; it must be (n, h, w), a label each."
        )
    rows = -(-len(images) // cols)
    tall = 1.0 if labels is not None else 0.75
    figure, axes = plt.subplots(
        rows, cols, figsize=(0.7 * cols, tall * rows + 0.35 * bool(title)), squeeze=False
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for i, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(image, "gray_r")
        if labels is not None:
            ax.set_title(str(labels[i]), fontsize=10, fontweight="normal", loc="center", pad=2)
    if title:
        figure.suptitle(title, fontweight="bold", x=0.01, ha="left")
    return figure
