"""The training cases as a picture: how many times as long as minidl each engine takes."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from minidl.viz.theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, apply_theme, figure_png

LOOK = {  # marker and colour: either alone tells them apart
    "torch": ("o", BLUE, "PyTorch eager"),
    "torch best": ("D", ORANGE, "PyTorch, its best setting"),
    "NumPy": ("s", GREY, "NumPy by hand"),
    "autograd": ("^", GREEN, "autograd"),
    "tinygrad": ("v", PURPLE, "tinygrad"),
    "micrograd": ("P", RED, "micrograd"),
}
TITLES = {"lenet": "LeNet", "resnet": "ResNet"}  # the other cases are abbreviations


def times_as_long(results: dict) -> dict[str, float]:
    """Engine -> its time in units of minidl's."""
    ours = results["minidl"]
    found = {n: r["ratio"] / ours["ratio"] for n, r in results.items() if n in LOOK and "ratio" in r}
    return {**found, "torch best": 1 / ours["ratio_to_best"]}


def draw(figures: dict, file: Path) -> None:
    """One panel for each number of threads; `figures` is what the command writes as JSON."""
    apply_theme()
    panels = figures["training"]
    fig, axes = plt.subplots(1, len(panels), figsize=(8.6, 4.4), sharey=True, sharex=True, squeeze=False)
    for ax, (threads, cases) in zip(axes[0], panels.items(), strict=True):
        for row, results in enumerate(cases.values()):
            for engine, factor in times_as_long(results).items():
                marker, colour, _ = LOOK[engine]
                ax.plot(factor, row, marker, color=colour, markersize=7, markeredgecolor="white", zorder=3)
        ax.axvline(1, color=INK, linewidth=1.5)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_yticks(range(len(cases)), [TITLES.get(case, case.upper()) for case in cases])
        ax.set_ylim(len(cases) - 0.5, -0.5)
        ax.grid(axis="both")
        ax.set_xlabel("times as long as minidl")
        ax.set_title(f"{threads} thread{'s' * (int(threads) > 1)}")
    handles = [
        plt.Line2D([], [], marker=m, color=c, linestyle="", label=text) for m, c, text in LOOK.values()
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=3)
    fig.suptitle("A training step: right of the line is slower than minidl", fontweight="bold", fontsize=12)
    file.write_bytes(figure_png(fig))
    plt.close(fig)
