"""The perceptron's stepper: obeys the theorem, its controls and the pointer; and the geometry under it."""

import numpy as np
import pytest

from minidl.viz.lessons import perceptron


@pytest.fixture
def widget():
    widget = perceptron.stepper()
    yield widget
    assert widget.error is None
    widget.close()


def test_widest_margin_of_two_points_is_known():
    # (2, 1) and -(−2, 1) = (2, −1): the shortest vector between them is (2, 0)
    assert perceptron.widest_margin([[2.0], [-2.0]], [1, -1]) == pytest.approx(2.0)
    assert perceptron.widest_margin([[1.0, 1.0], [3.0, 0.0]], [1, 1]) == pytest.approx(np.sqrt(3))


def test_widest_margin_is_a_margin_and_none_is_wider():
    generator = np.random.default_rng(0)
    for _ in range(10):
        u = generator.standard_normal(3)
        x = generator.uniform(-1, 1, (30, 2))
        score = np.column_stack([x, np.ones(30)]) @ u / np.linalg.norm(u)
        x, score = x[np.abs(score) > 0.1], score[np.abs(score) > 0.1]
        y, planted = np.where(score > 0, 1, -1), np.abs(score).min()
        found = perceptron.widest_margin(x, y)
        assert found >= planted - 1e-9
        tries = generator.standard_normal((20_000, 3))
        tries /= np.linalg.norm(tries, axis=1, keepdims=True)
        z = y[:, None] * np.column_stack([x, np.ones(len(x))])
        assert (z @ tries.T).min(axis=0).max() <= found + 1e-6


def test_no_margin_where_no_line_separates():
    x = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
    assert perceptron.widest_margin(x, [-1, -1, 1, 1]) == 0.0


def test_boundary_lies_where_the_score_is_zero():
    foot, ends = perceptron.boundary([3.0, -4.0], 5.0)
    assert np.allclose(np.vstack([foot, ends]) @ [3.0, -4.0] + 5.0, 0)
    with pytest.raises(ValueError, match="the weight is zero"):
        perceptron.boundary([0.0, 0.0], 1.0)


@pytest.mark.parametrize("preset", ["a wide gap", "a narrow gap"])
def test_playing_ends_within_the_bound(widget, preset):
    widget.controls["preset"].value = preset
    widget.wait()
    widget.step(1)
    assert len(widget.state.mistakes) == 1
    widget.step(perceptron.MOST)
    state = widget.state
    assert np.array_equal(state.model.predict(state.x), state.y)
    assert 1 < len(state.mistakes) <= state.bound
    made = np.arange(len(state.lengths))
    assert (state.lengths >= made * state.gamma - 1e-9).all()
    assert (state.lengths <= np.sqrt(made) * state.radius + 1e-9).all()


def test_xor_never_settles(widget):
    widget.controls["preset"].value = "no line (XOR)"
    widget.step(perceptron.MOST + 5)
    assert len(widget.state.mistakes) == perceptron.MOST
    assert max(widget.state.lengths) < 3
    assert "nothing is promised" in widget._describe(widget.state)


def test_a_point_follows_the_pointer_and_selects_itself(widget):
    axes = perceptron._plane(perceptron.Picture(*perceptron.SIZE))
    start, gamma = widget.state.x[4].copy(), widget.state.gamma
    widget.point("down", float(axes.x(start[0])), float(axes.y(start[1])))
    widget.point("move", float(axes.x(-0.1)), float(axes.y(0.2)))
    widget.point("up", float(axes.x(-0.1)), float(axes.y(0.2)))
    widget.wait()
    assert np.allclose(widget.state.x[4], [-0.1, 0.2], atol=0.02)
    assert widget.controls["selected"].value == widget.state.selected == 5
    assert widget.state.gamma != gamma
    assert widget.state.held is None


def test_buttons_move_and_flip_the_selected_point(widget):
    widget.controls["selected"].value = 3
    before, label = widget.state.x[2].copy(), widget.state.y[2]
    widget.controls["← left"].click()
    widget.controls["Change its class"].click()
    widget.wait()
    assert np.allclose(widget.state.x[2], before - [perceptron.NUDGE, 0])
    assert widget.state.y[2] == -label


def test_reset_brings_the_points_back(widget):
    first = widget.svg
    widget.step(3)
    widget.controls["↑ up"].click()
    widget.controls["preset"].value = "a narrow gap"
    widget.wait()
    assert widget.svg != first
    widget.reset()
    assert widget.svg == first
