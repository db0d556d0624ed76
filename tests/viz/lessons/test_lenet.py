"""Notebook 18: the pad that looks through the layers, its figures, and the recorded runs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import minidl
from minidl import no_grad, tensor
from minidl.nn import functional as F
from minidl.viz.digits import LEFT, SAMPLES, TOP, read_strokes
from minidl.viz.lessons import lenet, lenet_runs
from minidl.viz.lessons.lenet import STAGES, LayerPad, activations

WITH_PLACES = {name: stage for name, stage in STAGES.items() if stage.field}


@pytest.fixture(scope="module")
def model():
    """The notebook's own network, untrained."""
    cells = {}
    source = next(source for source in lenet_runs.recipe_cells() if source.startswith("def lenet"))
    exec(source, cells | {"nn": minidl.nn}, cells)
    minidl.manual_seed(0)
    return eval("lenet()", cells | {"nn": minidl.nn})


@pytest.fixture
def pad(model):
    pad = LayerPad(model)
    yield pad
    pad.close()


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def sentence(pad):
    assert pad.error is None
    return pad._status.value


# Geometry


@pytest.mark.parametrize("name", STAGES)
def test_every_unit_is_found_where_it_is_drawn(name):
    stage = STAGES[name]
    for unit in np.ndindex(stage.maps):
        x, y = stage.corner(unit)
        assert stage.unit(x + 0.5, y + 0.5) == stage.unit(x + stage.cell - 0.5, y + stage.cell - 0.5) == unit
        assert all(other.unit(x + 0.5, y + 0.5) is None for other in STAGES.values() if other is not stage)


@pytest.mark.parametrize("name", STAGES)
def test_beside_and_between_the_maps_there_is_no_unit(name):
    stage = STAGES[name]
    values = np.ones(stage.maps)
    h, w = stage.sheet(values).shape
    right, bottom = stage.left + stage.cell * w, stage.top + stage.cell * h
    for x, y in ((stage.left - 1, stage.top), (right + 1, stage.top), (stage.left, bottom + 1)):
        assert stage.unit(x, y) is None
    for row, column in np.argwhere(np.isnan(stage.sheet(values))):
        assert (
            stage.unit(stage.left + stage.cell * (column + 0.5), stage.top + stage.cell * (row + 0.5)) is None
        )


@pytest.mark.parametrize("name", WITH_PLACES)
def test_a_unit_sees_the_pixels_that_poison_it_and_no_others(model, name):
    stage = WITH_PLACES[name]
    images = np.full((784, 784), 0.5, np.float32)
    np.fill_diagonal(images, np.nan)
    with no_grad():
        maps = model[: stage.depth](tensor(images.reshape(784, 1, 28, 28))).numpy()
    last = stage.maps[1] - 1
    for row, column in ((0, 0), (last // 2, last // 2), (1, last), (last, 2)):
        top, left, side = stage.pixels((0, row, column))
        seen = np.zeros((28, 28), bool)
        seen[max(top, 0) : top + side, max(left, 0) : left + side] = True
        assert np.array_equal(np.isnan(maps[:, 0, row, column]).reshape(28, 28), seen)


def test_activations_are_the_models_own(model):
    image = np.random.default_rng(0).random((28, 28))
    found = activations(model, image)
    assert list(found) == [*STAGES, "logits"]
    with no_grad():
        x = tensor(image[None, None].astype("float32"))
        assert np.array_equal(found["logits"], model(x).numpy()[0])
        assert np.array_equal(found["C3"], model[:5](x).numpy()[0])


# The pad


def test_the_pad_shows_what_the_network_says(pad, model):
    found = activations(model, pad.image)
    for name, values in found.items():
        assert np.array_equal(pad.activations[name], values)
    probabilities = F.softmax(tensor(found["logits"]), dim=0).numpy()
    assert np.allclose(pad.probabilities, probabilities)
    assert f"Read as {probabilities.argmax()}" in sentence(pad)


@pytest.mark.parametrize(
    "layer, unit, words",
    [
        ("C1", (5, 27, 0), "C1, map 6, row 28, column 1"),
        ("S2", (0, 3, 4), "sees 6 × 6 pixels"),
        ("C3", (15, 9, 9), "sees 14 × 14 pixels"),
        ("S4", (9, 0, 4), "sees 16 × 16 pixels"),
        ("C5", (0, 1, 2), "C5, 33,"),
        ("F6", (0, 3, 20), "F6, 84,"),
    ],
)
def test_pressing_on_a_unit_chooses_it(pad, layer, unit, words):
    pad.choose(layer, unit)
    assert pad.chosen == (layer, unit) and words in sentence(pad)
    value = pad.activations[layer].reshape(STAGES[layer].maps)[unit]
    assert f"says {value:.2f}" in sentence(pad)


def test_dragging_over_a_map_follows_and_a_mere_move_does_not(pad):
    before = len(pad.strokes)
    for kind, column in (("down", 2), ("move", 3), ("move", 7)):
        x, y = STAGES["C1"].corner((1, 4, column))
        pad.point(kind, x + 1, y + 1)
    pad.point("up", x + 1, y + 1)
    x, y = STAGES["S4"].corner((0, 0, 0))
    pad.point("move", x + 1, y + 1)
    pad.wait()
    assert pad.chosen == ("C1", (1, 4, 7)) and len(pad.strokes) == before and pad.error is None


def test_a_stroke_that_ends_on_a_map_remains_a_stroke(pad):
    chosen = pad.chosen
    x, y = STAGES["C3"].corner((0, 0, 0))
    pad.point("down", LEFT + 200, TOP + 60)
    pad.point("move", LEFT + 100, TOP + 200)
    pad.point("move", x + 1, y + 1)
    pad.point("up", x + 1, y + 1)
    pad.wait()
    assert pad.chosen == chosen and len(pad.strokes) == 1 and pad.error is None
    assert len(pad.strokes[0]) == 3


def test_another_digit_changes_all_layers_and_an_empty_pad_shows_none(pad):
    before, picture = dict(pad.activations), pad.svg
    pad.draw(read_strokes(SAMPLES[8]))
    assert all((pad.activations[name] != before[name]).any() for name in before) and pad.svg != picture
    pad.reset()
    assert pad.probabilities is None and "empty" in sentence(pad)
    pad.choose("C1", (0, 0, 0))
    assert "empty" in sentence(pad)


def test_at_first_the_unit_of_c3_that_says_most_is_chosen(pad):
    layer, unit = pad.chosen
    assert layer == "C3" and pad.activations["C3"][unit] == pad.activations["C3"].max()
    pad.draw(read_strokes(SAMPLES[8]))
    assert pad.chosen == (layer, unit)  # another digit, the same unit


# Figures


def test_choice_shows_errors_and_slid_accuracies():
    runs = {0: [{"right": [0.9, 0.98], "slid": 0.6}], 2: [{"right": [0.95, 0.99], "slid": 0.9}] * 2}
    left, right = lenet.plot_choice(runs).axes
    assert np.allclose([line.get_ydata() for line in left.lines], [[10, 2], [5, 1], [5, 1]])
    assert [list(line.get_ydata()) for line in right.lines] == [[60], [90, 90]]
    assert len(left.get_legend().texts) == 2


def test_filters_stand_above_their_maps():
    filters, maps = np.arange(50.0).reshape(2, 5, 5), np.arange(32.0).reshape(2, 4, 4)
    *panels, weight, response = lenet.plot_filters(filters, np.zeros((4, 4)), maps).axes
    shown = [panel.images[0].get_array() if panel.images else None for panel in panels]
    assert shown[0] is None and np.array_equal(shown[2], filters[1]) and np.array_equal(shown[5], maps[1])
    assert (weight.get_ylabel(), weight.get_ylim()) == ("weight", (-49, 49))
    assert (response.get_ylabel(), response.get_ylim()) == ("response", (0, 31))


def test_fields_name_their_side():
    field = np.zeros((28, 28), bool)
    field[3:9, 4:10] = True
    panels = lenet.plot_fields(np.zeros((28, 28)), {"S2": field, "S4": ~field}).axes
    assert [panel.get_title(loc="left") for panel in panels] == ["S2: 6 × 6", "S4: 28 × 28"]


def test_erased_marks_the_square_that_hurts_most():
    answers = np.full((576, 10), 0.05)
    answers[:, 7], answers[24 * 5 + 11, [7, 3]] = 0.55, [0.1, 0.5]
    above = lenet.plot_erased(np.zeros((2, 28, 28)), [7, 7], [answers, answers]).axes[0]
    assert above.patches[0].get_xy() == (10.5, 4.5) and above.get_title(loc="left") == "7 read as 3"


def test_windows_stand_in_a_column_for_each_map():
    windows = np.arange(3 * 2 * 4.0).reshape(3, 2, 2, 2)
    panels = lenet.plot_windows(windows).axes
    assert len(panels) == 6 and np.array_equal(panels[4].images[0].get_array(), windows[1, 1])


def test_the_architecture_names_every_layer():
    picture = lenet.architecture()
    words = {shape["s"] for kind, shape in picture.shapes if kind == "text"}
    assert {*STAGES, "6 of 28 × 28", "16 of 5 × 5", "120", "84", "10"} <= words


# The recorded runs


def test_the_recorded_runs_have_the_notebooks_recipe():
    assert lenet_runs.RUNS["code"] == lenet_runs.fingerprint(), (
        "the recipe cells of notebook 18 have changed: run python -m minidl.viz.lessons.lenet_runs again"
    )


def test_three_seeds_and_three_shifts_are_recorded():
    runs = lenet_runs.RUNS
    assert len(runs["test"]) == 3 and min(runs["test"]) >= 9_900
    assert list(runs["validation"]) == [0, 1, 2]
    for seeds in runs["validation"].values():
        assert len(seeds) == 3 and all(len(run["right"]) == 10 for run in seeds)


def test_the_fingerprint_sees_code_and_not_its_layout(monkeypatch):
    prints = []
    for code in ("a = 3", "a  =  3  # three", "a = 4"):
        monkeypatch.setattr(lenet_runs, "recipe_cells", lambda code=code: ["import os", code])
        prints.append(lenet_runs.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_the_notebooks_table_names_the_recorded_errors():
    errors = [100 - right / 100 for right in lenet_runs.RUNS["test"]]
    assert f"{min(errors):.2f} to {max(errors):.2f} %" in lenet_runs.NOTEBOOK.read_text(encoding="utf-8")
