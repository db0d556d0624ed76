"""The ball on a surface: its derivatives, the bound that it shows, its controls and the pointer."""

import numpy as np
import pytest

from minidl.viz.lessons import surface

KINDS = [surface.BOWL, surface.RAVINE, surface.MINIMA]


@pytest.fixture
def widget():
    widget = surface.ball()
    yield widget
    assert widget.error is None
    widget.close()


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_agree_with_finite_differences(kind):
    h = 1e-5
    for a, b in np.random.default_rng(0).uniform(-1.5, 1.5, (10, 2)):
        for axis, (da, db) in enumerate([(h, 0), (0, h)]):
            slope = surface.loss(kind, 7, a + da, b + db) - surface.loss(kind, 7, a - da, b - db)
            assert surface.gradient(kind, 7, a, b)[axis] == pytest.approx(slope / (2 * h), abs=1e-6)
            bend = surface.gradient(kind, 7, a + da, b + db) - surface.gradient(kind, 7, a - da, b - db)
            assert surface.hessian(kind, 7, a, b)[axis] == pytest.approx(bend / (2 * h), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bound_exists_everywhere_on_the_map(kind):
    places = [(a, b) for a in np.linspace(*surface.XLIM, 21) for b in np.linspace(*surface.YLIM, 21)]
    bounds = [surface.bound(kind, 7.0, a, b) for a, b in places]
    assert np.isfinite(bounds).all() and min(bounds) > 0


@pytest.mark.parametrize("stretch", [1.0, 10.0, 50.0])
def test_on_the_bowl_the_bound_decides(widget, stretch):
    widget.controls["stretch"].value = stretch
    for factor, at_rest in [(0.95, True), (1.05, False)]:
        widget.controls["lr"].value = factor * surface.bound(surface.BOWL, stretch, 0, 0)
        widget.wait()
        widget.state.path = widget.state.path[:1]
        widget.step(5000)
        assert surface._at_rest(widget.state) == at_rest
        assert surface._diverged(widget.state) != at_rest
        steps = len(widget.state.path)
        widget.step(10)
        assert len(widget.state.path) == steps


def test_two_minima_are_found_from_two_sides(widget):
    widget.controls["kind"].value = surface.MINIMA
    widget.wait()
    ends = []
    for a in (-0.8, 0.8):
        widget.state.path = [(a, 1.0)]
        widget.step(2000)
        assert "at rest" in surface._describe(widget.state)
        ends.append(widget.state.path[-1][0])
    assert ends[0] < -1 < 1 < ends[1]
    assert surface.loss(surface.MINIMA, 1, ends[0], 0) == pytest.approx(surface._lowest(surface.MINIMA))


def test_the_pointer_places_the_ball(widget):
    widget.step(3)
    axes = surface._map(surface.Picture(*surface.SIZE), widget.state)
    widget.point("down", float(axes.x(1.0)), float(axes.y(-0.5)))
    widget.point("up", float(axes.x(1.0)), float(axes.y(-0.5)))
    widget.wait()
    assert np.allclose(widget.state.path, [(1.0, -0.5)])
    widget.point("down", 775.0, 100.0)  # outside the map
    widget.wait()
    assert len(widget.state.path) == 1


def test_play_ends_by_itself_and_reset_restores(widget):
    first = widget.svg
    widget.controls["lr"].value = 0.5
    widget.wait()
    widget.play()
    widget.wait(20)
    assert not widget.playing and "Diverged" in surface._describe(widget.state)
    widget.controls["kind"].value = surface.RAVINE
    widget.wait()
    assert len(widget.state.path) == 1 and widget.svg != first
    widget.reset()
    assert widget.svg == first
