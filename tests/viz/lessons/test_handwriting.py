"""Notebook 08's figures show the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from minidl.viz.lessons.handwriting import plot_confusion, plot_overfitting, plot_units


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def record(epoch, loss, accuracy):
    return {
        "epoch": epoch,
        "loss": loss,
        "accuracy": accuracy,
        "val_loss": 2 * loss,
        "val_accuracy": accuracy / 2,
    }


def test_overfitting_shows_each_run_and_each_size():
    runs = [[record(1, 0.4, 0.5), record(2, 0.1, 0.9)], [record(1, 0.3, 0.5), record(2, 0.2, 0.8)]]
    left, right = plot_overfitting(runs, {1000: record(2, 0.1, 0.9), 250: record(2, 0.1, 1.0)}).axes
    assert [list(line.get_ydata()) for line in left.lines] == [[0.4, 0.1], [0.3, 0.2], [0.8, 0.2], [0.6, 0.4]]
    assert [text.get_text() for text in left.get_legend().texts] == ["training", "validation"]
    training, validation = right.lines
    assert list(training.get_xdata()) == [250, 1000]
    assert np.allclose(validation.get_ydata(), [50, 45])


def test_confusion_shows_counts_with_true_digits_down_the_side():
    ax = plot_confusion(np.array([[5, 2], [0, 7]])).axes[0]
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (0, 0): "5",
        (1, 0): "2",
        (0, 1): "",
        (1, 1): "7",
    }
    assert ax.images[0].get_array()[0, 1] == 2 and ax.images[0].get_array().trace() == 0


def test_units_with_the_largest_weights_come_first():
    weights = np.linspace(0, 0.3, 5)[:, None] * np.ones((5, 784))
    panels = plot_units(weights, count=3, cols=2).axes
    assert [panel.images[0].get_array().max() for panel in panels[:3]] == pytest.approx([0.3, 0.225, 0.15])
    assert not panels[3].images
