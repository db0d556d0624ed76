"""The playground: it learns every data set, its export ends at the same loss, its controls work."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.viz import playground
from minidl.viz.playground import Playground


@pytest.fixture
def make():
    """A factory of playgrounds that are closed after the test; no worker thread may outlive it."""
    made = []

    def factory(**settings):
        made.append(Playground(**settings))
        return made[-1]

    yield factory
    for each in made:
        each.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "minidl-widget"]


def train(widget, steps):
    for _ in range(0, steps, 100):
        widget.step(100)
    assert widget.error is None


def click(widget, x, y):
    """Press at a place of the plane."""
    axes = playground.plane_axes(playground.Picture(*playground.SIZE), widget.state)
    widget.point("down", float(axes.x(x)), float(axes.y(y)))
    widget.point("up", float(axes.x(x)), float(axes.y(y)))
    widget.wait()


def printed_loss(program):
    """Run a program in a fresh Python, return the loss that it prints."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert run.returncode == 0, run.stderr
    words = run.stdout.split()
    assert words[:2] == ["training", "loss"] and len(words) == 3
    return float(words[2])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("dataset", "noise", "steps"),
    [("moons", 0.05, 500), ("circles", 0.05, 500), ("XOR", 0.0, 1000), ("spirals", 0.05, 2000)],
)
def test_it_learns_every_data_set(make, dataset, noise, steps, seed):
    widget = make(dataset=dataset, noise=noise)
    for _ in range(seed):
        widget.controls["New data"].click()
        widget.controls["New weights"].click()
    train(widget, steps)
    assert playground.measure(widget.state, *playground.points(widget.state))[1] >= 0.97
    assert playground.measure(widget.state, *widget.state.test)[1] >= 0.93


def test_the_export_repeats_the_run_with_all_that_was_changed_on_the_way(make):
    widget = make(dataset="circles", width=3, activation="ReLU", optimizer="Adam", lr=0.03)
    widget.step(30)
    widget.controls["lr"].value = 0.0123
    widget.controls["weight_decay"].value = 0.01
    widget.step(20)
    widget.controls["batch_size"].value = 10
    click(widget, 0.5, -0.25)
    widget.step(40)
    assert [phase["steps"] for phase in widget.state.phases] == [30, 20, 40]
    assert [phase["points"] for phase in widget.state.phases] == [200, 200, 201]
    assert widget.state.optimizer.param_groups[0]["lr"] == 0.012
    assert printed_loss(widget.code()) == pytest.approx(widget.loss, rel=1e-5)
    widget.controls["Export as code"].click()
    widget.wait()
    assert widget._program.value == widget.code() and widget._program.layout.display == ""


def test_the_export_of_own_points_and_of_no_step(make):
    widget = make(dataset="own points", layers=1, width=2)
    for label, x, y in [(1, -1, 1), (0, 1, 1), (1, 1, -1), (0, -1, -1)]:
        widget.controls["label"].value = label
        click(widget, x, y)
    x, y = playground.points(widget.state)
    assert np.allclose(x, [[-1, 1], [1, 1], [1, -1], [-1, -1]], atol=0.02) and y.tolist() == [1, 0, 1, 0]
    assert printed_loss(widget.code()) == pytest.approx(widget.loss, rel=1e-5)
    widget.step(50)
    assert printed_loss(widget.code()) == pytest.approx(widget.loss, rel=1e-5)


def test_without_points_nothing_is_trained_or_written(make):
    widget = make(dataset="own points")
    widget.play()
    widget.wait()
    assert not widget.playing and widget.state.steps == 0 and "Click in the plane" in widget._status.value
    with pytest.raises(ValueError, match="no points yet"):
        widget.code()


def test_rate_and_penalty_change_while_it_trains_but_the_architecture_starts_anew(make):
    widget = make()
    model = widget.model
    widget.step(5)
    widget.controls["lr"].value, widget.controls["weight_decay"].value = 0.5, 0.1
    widget.step(1)
    assert widget.model is model and widget.state.steps == 6
    settings = widget.state.optimizer.param_groups[0]
    assert settings["lr"] == 0.5 and settings["weight_decay"] == 0.1
    widget.controls["layers"].value, widget.controls["width"].value = 3, 5
    widget.controls["activation"].value, widget.controls["optimizer_name"].value = "sigmoid", "Adam"
    widget.wait()
    assert widget.state.steps == 0 and isinstance(widget.state.optimizer, optim.Adam)
    assert [p.shape for p in widget.model.parameters()] == [(5, 2), (5,), *[(5, 5), (5,)] * 2, (1, 5), (1,)]
    assert isinstance(widget.model[1], nn.Sigmoid) and "hidden 3" in widget.svg


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ["tanh", "ReLU", "sigmoid"])
def test_the_maps_are_what_the_model_says(make, layers, activation):
    widget = make(layers=layers, width=3, activation=activation)
    fields = playground.unit_fields(widget.state)
    assert [len(field) for field in fields] == [2, *[3] * layers, 1]
    place = np.stack([field[17, 42] for field in fields[0]])
    with minidl.no_grad():
        value = minidl.tensor(place[None])
        for i, module in enumerate(widget.model):
            value = module(value)
            if i % 2:
                assert np.allclose(value.numpy()[0], fields[(i + 1) // 2][:, 17, 42], atol=1e-5)
    assert value.sigmoid().item() == pytest.approx(float(fields[-1][0, 17, 42]), abs=1e-5)


def test_a_press_on_a_map_enlarges_it(make):
    widget = make()
    (x, y), out = playground.places(widget.state)[1][3], playground.places(widget.state)[-1][0]
    widget.point("down", x, y)
    widget.wait()
    assert widget.state.shown == (1, 3) and "Hidden 1, unit 4" in widget.svg
    widget.point("down", *out)
    widget.wait()
    assert widget.state.shown is None and len(playground.points(widget.state)[0]) == 200


def test_points_are_added_removed_and_reset(make):
    widget = make()
    first = widget.svg
    click(widget, 2, 2)
    assert len(playground.points(widget.state)[0]) == 201
    widget.step(3)
    widget.controls["Remove my points"].click()
    widget.wait()
    assert widget.svg == first
    click(widget, 2, 2)
    widget.controls["New data"].click()
    widget.controls["dataset"].value = "spirals"
    widget.wait()
    assert widget.state.clicked == [] and widget.svg != first
    widget.reset()
    assert widget.svg == first


def test_a_wild_rate_stops_with_a_message(make):
    widget = make(activation="ReLU", layers=4, optimizer="SGD with momentum")
    for p in widget.model.parameters():
        p.array[...] = 1e30
    widget.step(1)
    assert isinstance(widget.error, FloatingPointError) and "smaller lr" in widget._status.value
    widget.reset()
    assert widget.error is None


def test_it_leaves_the_random_numbers_of_others_alone(make):
    minidl.manual_seed(3)
    wanted = minidl.rand(2).tolist()
    minidl.manual_seed(3)
    make().step(2)
    assert minidl.rand(2).tolist() == wanted


def test_the_curve_stays_short(make):
    widget = make(layers=1, width=1)
    train(widget, 700)
    assert len(widget.state.curve) <= playground.CURVE and widget.state.every == 4
    assert widget.state.curve[-1][0] == 700
