"""The gradient's walk back has the norms of the network's Jacobians. The speller writes as it learns."""

import numpy as np
import pytest

import minidl
from minidl import nn, tensor
from minidl.viz.lessons import recurrent, spelling


@pytest.fixture
def walk():
    widget = recurrent.gradient_walk()
    yield widget
    assert widget.error is None
    widget.close()


def texts(picture):
    return [shape["s"] for kind, shape in picture.shapes if kind == "text"]


def set_and_wait(widget, **values):
    for name, value in values.items():
        widget.controls[name].value = value
    widget.wait()


# The product of Jacobians


@pytest.mark.parametrize("kind", recurrent.MATRICES)
@pytest.mark.parametrize("rho", [0.5, 0.9, 1.3])
def test_matrices_have_the_spectral_radius(kind, rho):
    U = recurrent.recurrent_matrix(kind, rho, seed=3, units=12)
    assert U.shape == (12, 12)
    assert np.abs(np.linalg.eigvals(U)).max() == pytest.approx(rho, rel=1e-6)
    assert (U != recurrent.recurrent_matrix(kind, rho, seed=4, units=12)).any()


def test_without_activation_the_norms_are_those_of_the_powers():
    U = recurrent.recurrent_matrix("random", 0.9, units=6)
    powers = [np.linalg.norm(np.linalg.matrix_power(U, k), 2) for k in range(8)]
    assert np.allclose(recurrent.arriving(U, 7, bend=False), powers)
    turned = recurrent.recurrent_matrix("orthogonal", 0.8)
    assert np.allclose(recurrent.arriving(turned, 20, bend=False), 0.8 ** np.arange(21))


def test_with_tanh_the_norms_are_those_of_autograds_jacobian():
    units, steps = 5, 6
    U = recurrent.recurrent_matrix("random", 1.2, units=units)
    rng = np.random.default_rng(7)
    inputs = [0.5 * rng.normal(size=units) for _ in range(steps)]
    rows = []
    for unit in range(units):
        first = tensor(np.zeros(units), requires_grad=True)
        h = first
        for x in inputs:
            h = (tensor(U) @ h + tensor(x)).tanh()
        h[unit].backward()
        rows.append(first.grad.numpy())
    norms = recurrent.arriving(U, steps, bend=True, drive=0.5, seed=7)
    assert norms[0] == 1 and norms[-1] == pytest.approx(np.linalg.norm(rows, 2))


def test_the_triangular_matrix_stretches_before_it_shrinks():
    norms = recurrent.arriving(recurrent.recurrent_matrix("triangular", 0.9), 400, bend=False)
    assert norms.max() > 5 and norms[-1] < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_within_the_sliders_fifty_steps_the_triangular_matrix_shrinks_again(seed):
    norms = recurrent.arriving(recurrent.recurrent_matrix("triangular", 0.9, seed), 50, bend=False)
    assert 20 < norms.argmax() < 45 and norms[-1] < 0.99 * norms.max()


# The walk


def test_the_widget_tells_what_the_product_is(walk):
    assert walk.state.back == walk.state.steps == 30
    set_and_wait(walk, matrix="orthogonal")
    assert np.allclose(walk.state.norms, 0.9 ** np.arange(31))
    assert "30 steps back, the gradient has at most 4.2% of its size" in recurrent._describe(walk.state)
    set_and_wait(walk, bend=True, matrix="random", rho=1.2)
    U = recurrent.recurrent_matrix("random", 1.2, walk.state.seed)
    assert np.allclose(walk.state.norms, recurrent.arriving(U, 30, True, walk.state.drive, walk.state.seed))
    assert "tanh" in recurrent._describe(walk.state)


def test_every_control_changes_the_picture(walk):
    for change in ({"rho": 1.4}, {"steps": 50}, {"matrix": "orthogonal"}, {"bend": True}, {"drive": 0.1}):
        before = walk.svg
        set_and_wait(walk, **change)
        assert walk.svg != before, change
    before = walk.svg
    walk.controls["New weights"].click()
    walk.wait()
    assert walk.svg != before


def test_extreme_settings_can_be_drawn(walk):
    for change in ({"rho": 1.5, "steps": 50, "matrix": "triangular"}, {"rho": 0.5}, {"steps": 5}):
        set_and_wait(walk, **change)
        assert walk.error is None and "nan" not in walk.svg


def test_play_walks_to_the_first_state_and_stops(walk):
    set_and_wait(walk, steps=6)
    walk.step()
    assert walk.state.back == 0
    walk.step()
    assert walk.state.back == 1 and "1 step back" in recurrent._describe(walk.state)
    walk.play()
    walk.wait(20)
    assert not walk.playing and walk.state.back == 6


def test_reset_restores(walk):
    first = walk.svg
    set_and_wait(walk, rho=1.3, matrix="triangular", bend=True, steps=12)
    walk.controls["New weights"].click()
    walk.step()
    assert walk.svg != first
    walk.reset()
    assert walk.svg == first


def test_amounts_in_words():
    assert recurrent.amount(0.042) == "4.2%" and recurrent.amount(1.0) == "1 times"
    assert recurrent.amount(26.83) == "26.8 times" and recurrent.amount(2e5) == "2e+05 times"
    assert recurrent.amount(3e-7) == "3e-07"


# The speller


class Speller(nn.Module):
    def __init__(self, hidden):
        self.rnn, self.out = nn.RNN(27, hidden), nn.Linear(hidden, 27)

    def forward(self, read):
        return self.out(self.rnn(tensor(np.eye(27, dtype="float32")[read]))[0])


def fake_sample(model, dice, temperature):
    """Names that depend on everything they should depend on."""
    weight = float(np.abs(model.out.weight.detach().numpy()).sum())
    return [f"n{int(1000 * (row.sum() + temperature)) % 997}{int(1e4 * weight) % 89}" for row in dice]


@pytest.fixture
def speller():
    rng = np.random.default_rng(0)
    wanted = rng.integers(1, 4, (5, 400))
    wanted[4] = 0
    read = np.vstack([np.zeros((1, 400), int), wanted[:-1]])
    piles = (read[:, :300], wanted[:, :300]), (read[:, 300:], wanted[:, 300:])
    widget = spelling.naming(Speller, fake_sample, *piles, {"abe"}, {"bigram": 2.4, "trigram": 2.2})
    yield widget
    assert widget.error is None
    widget.close()


def test_it_learns_and_says_so(speller):
    first = speller.state.checks[0][1]
    assert first == pytest.approx(np.log(27), abs=0.3) and "none of the tables" in speller._first_text
    speller.step(100)
    assert [step for step, _ in speller.state.checks] == [0, 100]
    assert speller.state.checks[-1][1] < 1.5  # three letters at random: ln 3 and a bit
    with minidl.no_grad():
        loss = spelling._loss(speller.state.model, *speller.state.validation).item()
    assert loss == pytest.approx(speller.state.checks[-1][1])
    words = spelling._describe(speller.state)
    assert "Step 100" in words and "bigram, trigram" in words and f"{loss:.2f}" in words


def test_what_is_shown_is_what_the_model_writes(speller):
    speller.step(3)
    names = spelling.written(speller.state)
    assert names == fake_sample(speller.state.model, speller.state.dice, speller.state.temperature)
    shown = texts(spelling._draw(speller.state))
    assert all(name.capitalize() in shown for name in names)


def test_temperature_and_dice_change_the_names_alone(speller):
    speller.step(2)
    names, weights = spelling.written(speller.state), speller.state.model.out.weight.detach().numpy().copy()
    set_and_wait(speller, temperature=1.7)
    warm = spelling.written(speller.state)
    speller.controls["New dice"].click()
    speller.wait()
    assert names != warm != spelling.written(speller.state)
    assert (
        np.array_equal(weights, speller.state.model.out.weight.detach().numpy()) and speller.state.step == 2
    )


def test_hidden_units_and_new_weights_start_anew(speller):
    speller.step(2)
    set_and_wait(speller, hidden=16)
    assert speller.state.step == 0 and speller.state.model.rnn.hidden_size == 16
    before = speller.state.model.out.weight.detach().numpy().copy()
    speller.controls["New weights"].click()
    speller.wait()
    assert (before != speller.state.model.out.weight.detach().numpy()).any()


def test_rate_and_clipping_are_used(speller):
    set_and_wait(speller, lr=0.0003)
    speller.step()
    assert speller.state.optimizer.param_groups[0]["lr"] == pytest.approx(0.0003)
    set_and_wait(speller, lr=0.3, clip=False)
    speller.step(20)
    assert np.isfinite(speller.state.mean)


def test_reset_of_the_speller_restores(speller):
    first = speller.svg
    set_and_wait(speller, hidden=16, temperature=1.2)
    speller.controls["New dice"].click()
    speller.controls["New weights"].click()
    speller.step(7)
    assert speller.svg != first
    speller.reset()
    assert speller.svg == first


# Pictures


def test_the_unrolled_graph_names_its_parts():
    words = texts(recurrent.unrolled("emma"))
    assert words.count("U") == 5 and "h₀ = 0" in words and "h₅" in words
    assert {"W", "V", "x", "o", "h"} <= set(words) and words.count("m") == 4


def test_figures_hold_what_they_are_given():
    letters = "·abcdefghijklmnopqrstuvwxyz"
    assert recurrent.plot_bigrams(np.full((27, 27), 1 / 27), letters).axes[0].get_xlabel() == "next letter"
    runs = {(kind, rho): [np.ones(5)] * 3 for kind in ("orthogonal", "random") for rho in (0.9, 1.0, 1.1)}
    fig = recurrent.plot_jacobians(runs, runs)
    assert [len(ax.lines) for ax in fig.axes] == [18 + 2, 18]
    runs = {"no limit": [np.ones(9)] * 3, "clipped": [np.ones(9)] * 3}
    fig = recurrent.plot_cliff(np.arange(4.0), np.ones(4), runs, 3.3)
    assert [len(ax.lines) for ax in fig.axes] == [1, 7]
    fig = recurrent.plot_learning([np.array([3.0, 2.2, 2.0])] * 3, 250, {"bigram": 2.41, "trigram": 2.18})
    assert fig.axes[0].lines[0].get_xdata()[-1] == 500 and len(fig.axes[0].lines) == 5
    fig = recurrent.plot_surprise(["al", "emma"], [np.ones(3), np.ones(5)], [np.ones(3), np.ones(5)])
    assert [len(ax.patches) for ax in fig.axes] == [6, 10]
