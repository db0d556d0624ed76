"""Recorder and Scrubber: go back to any recorded step, never disturb the model."""

import numpy as np
import pytest

from minidl import nn, viz


def set_weights(model, value):
    for parameter in model.parameters():
        parameter.array[...] = value


def weights(model):
    return {float(value) for parameter in model.parameters() for value in parameter.array.ravel()}


@pytest.fixture
def recorder():
    """Steps 0..40, at each of which all weights equal the step."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    recorder = viz.Recorder(model, every=10)
    for step in range(41):
        set_weights(model, step)
        recorder.record(step, 1 / (1 + step))
    return recorder


@pytest.mark.parametrize(("step", "found"), [(0, 0), (10, 10), (19, 10), (20, 20), (99, 40)])
def test_restore_brings_the_weights_back(recorder, step, found):
    assert recorder.restore(step) == found
    assert weights(recorder.model) == {found}


def test_what_is_kept_is_a_copy(recorder):
    set_weights(recorder.model, 77)
    recorder.restore(20)
    assert weights(recorder.model) == {20}


def test_memory_is_bounded_by_doubling_the_interval():
    model = nn.Linear(1, 1)
    recorder = viz.Recorder(model, every=1, limit=10)
    for step in range(1000):
        set_weights(model, step)
        recorder.record(step, 0.0)
        assert len(recorder.steps) <= 10
    assert np.diff(recorder.steps).tolist() == [recorder.every] * (len(recorder.steps) - 1)
    assert recorder.steps[-1] > 1000 - 2 * recorder.every
    for step in recorder.steps:
        recorder.restore(step)
        assert weights(model) == {step}


def test_bad_input_is_refused(recorder):
    with pytest.raises(ValueError, match="step 3 comes after step 40"):
        recorder.record(3, 0.0)
    with pytest.raises(ValueError, match="first copy is of step 0"):
        recorder.restore(-1)
    with pytest.raises(ValueError, match="at least"):
        viz.Recorder(nn.Linear(1, 1), every=0)
    with pytest.raises(ValueError, match="fewer than two steps"):
        viz.Scrubber(viz.Recorder(nn.Linear(1, 1)), None)


def draw_model(model):
    return viz.Picture(100, 60).text(5, 30, f"weights {max(weights(model)):.0f}")


def test_the_scrubber_shows_the_past_and_leaves_the_model_alone(recorder):
    scrubber = viz.Scrubber(recorder, draw_model)
    assert "weights 40" in scrubber.svg
    scrubber.controls["step"].value = 20
    scrubber.wait()
    assert scrubber.error is None and "weights 20" in scrubber.svg and weights(recorder.model) == {40}
    scrubber.close()


def test_a_fork_trains_on_from_the_chosen_step(recorder):
    begun = []

    def retrain(model, lr):
        begun.append((weights(model), lr))
        set_weights(model, -1)
        return [lr, lr / 2]

    scrubber = viz.Scrubber(recorder, draw_model, retrain, lr=0.5)
    scrubber.controls["step"].value = 30
    scrubber.controls["Fork"].click()
    scrubber.wait()
    assert (
        begun == [({30}, pytest.approx(0.5))]
        and "weights 30" in scrubber.svg
        and "fork at 30, lr 0.5" in scrubber.svg
    )
    assert weights(recorder.model) == {40} and "fork at step 30" in scrubber._status.value
    scrubber.controls["step"].value = 20
    scrubber.controls["Fork"].click()
    scrubber.wait()
    assert "fork at 30, lr 0.5" in scrubber.svg and "fork at 20, lr 0.5" in scrubber.svg  # told apart
    scrubber.reset()
    assert scrubber.state.forks == [] and "fork at" not in scrubber.svg
    scrubber.close()
