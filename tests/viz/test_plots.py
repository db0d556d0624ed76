"""The figures that notebooks share."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt

from minidl import viz


@pytest.fixture(autouse=True)
def agg():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_the_boundary_is_the_predicted_field_the_right_way_up():
    x = np.array([[-1.0, -1.0], [1.0, 2.0]])
    ax = viz.plot_boundary(plt.subplots()[1], lambda points: points[:, 1] > 0, x, [0, 1], margin=0)
    field, extent = ax.images[0].get_array(), ax.images[0].get_extent()
    assert list(extent) == [-1, 1, -1, 2] and ax.images[0].origin == "lower"
    assert field[0].max() == 0 and field[-1].min() == 1


def test_the_model_is_asked_once():
    asked = []
    viz.plot_boundary(plt.subplots()[1], lambda p: asked.append(1) or p[:, 0], np.eye(2), [0, 1])
    assert len(asked) == 1


def test_history_with_and_without_accuracy():
    plain = viz.plot_history(SimpleNamespace(loss=[3.0, 2.0, 1.0], epochs=[{"epoch": 1, "loss": 2.0}]))
    assert len(plain.axes) == 1 and plain.axes[0].lines[0].get_ydata().tolist() == [3, 2, 1]
    epochs = [{"epoch": i, "accuracy": 0.5 + i / 10, "val_accuracy": 0.5} for i in (1, 2)]
    both = viz.plot_history(SimpleNamespace(loss=[1.0], epochs=epochs))
    assert [line.get_ydata().tolist() for line in both.axes[1].lines] == [[60, 70], [50, 50]]


def test_images_in_rows():
    figure = viz.plot_images(np.zeros((5, 4, 4)), labels=range(5), cols=3)
    assert [ax.get_title(loc="center") for ax in figure.axes] == ["0", "1", "2", "3", "4", ""]


@pytest.mark.parametrize(
    "call",
    [
        lambda: viz.plot_images(np.zeros((4, 4))),
        lambda: viz.plot_images(np.zeros((2, 4, 4)), labels=[1]),
        lambda: viz.plot_boundary(None, None, np.zeros((3, 3)), [0, 1, 0]),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()
