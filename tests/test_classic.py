"""Units before gradients: what each promises, on drawn inputs, and what each refuses."""

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import classic
from minidl.classic import Hopfield, McCullochPitts, NerveNet, Oja, Perceptron, threshold_unit

CORNERS = np.array(list(itertools.product([0, 1], repeat=2)))
seeds = st.integers(0, 2**32 - 1)


def test_docstring_examples():
    assert doctest.testmod(classic).failed == 0


# threshold unit and the unit of 1943


def test_threshold_unit_fires_at_the_threshold_itself():
    assert threshold_unit([[1, 1], [1, 0]], [0.5, 0.5], 1.0).tolist() == [1, 0]


def test_threshold_unit_many_units_share_the_inputs():
    layer = threshold_unit(CORNERS, [[1, 1], [1, 1], [-1, 0]], [1, 2, 0])
    assert layer.shape == (4, 3)
    assert layer.T.tolist() == [[0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0]]


def test_one_weighted_unit_realises_14_of_the_16_gates():
    found = {
        tuple(threshold_unit(CORNERS, [a, b], t))
        for a, b in itertools.product([-1, 0, 1], repeat=2)
        for t in np.arange(-2, 3) + 0.5
    }
    missing = set(itertools.product([0, 1], repeat=4)) - found
    assert missing == {(0, 1, 1, 0), (1, 0, 0, 1)}


@given(
    excitatory=st.lists(st.integers(0, 4), max_size=6),
    inhibitory=st.lists(st.integers(0, 4), max_size=3),
    threshold=st.integers(0, 7),
)
def test_mcculloch_pitts_is_its_definition(excitatory, inhibitory, threshold):
    unit = McCullochPitts(excitatory, inhibitory, threshold)
    x = np.array(list(itertools.product([0, 1], repeat=5)))
    expected = [
        int(sum(row[i] for i in excitatory) >= threshold and not any(row[i] for i in inhibitory)) for row in x
    ]
    assert unit(x).tolist() == expected


def test_one_inhibitory_synapse_silences_any_excitation():
    unit = McCullochPitts(excitatory=[0] * 100, inhibitory=[1], threshold=1)
    assert unit(CORNERS).tolist() == [0, 0, 1, 0]


def test_a_unit_with_threshold_one_never_fires_unless_excited():
    assert McCullochPitts([], [0], 1)(CORNERS).tolist() == [0, 0, 0, 0]
    assert McCullochPitts([], [0], 0)(CORNERS).tolist() == [1, 1, 0, 0]


# nets in time

LATCH = {"q": (["set", "q"], ["reset"], 1)}


def test_a_loop_remembers_until_it_is_inhibited():
    q = NerveNet(LATCH).run({"set": [0, 1, 0, 0, 0, 0, 0], "reset": [0, 0, 0, 0, 1, 0, 0]})["q"]
    assert q.tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_runs_side_by_side_are_separate_runs():
    signals = np.random.default_rng(0).integers(0, 2, (2, 12, 5))
    together = NerveNet(LATCH).run({"set": signals[0], "reset": signals[1]})["q"]
    alone = [NerveNet(LATCH).run({"set": signals[0, :, i], "reset": signals[1, :, i]})["q"] for i in range(5)]
    assert np.array_equal(together, np.stack(alone, axis=1))


def test_cells_act_together_whatever_their_order():
    ring = {"x": (["z", "go"], [], 1), "y": (["x"], [], 1), "z": (["y"], [], 1)}
    go = {"go": [1, 0, 0, 0, 0, 0, 0, 0]}
    history = NerveNet(ring).run(go)
    assert history["z"].tolist() == [0, 0, 0, 1, 0, 0, 1, 0]
    backwards = NerveNet(dict(reversed(ring.items()))).run(go)
    assert all(np.array_equal(history[name], backwards[name]) for name in ring)


# perceptron


@settings(max_examples=50, deadline=None)
@given(seed=seeds, n=st.integers(1, 40), features=st.integers(1, 6))
def test_perceptron_mistakes_stay_below_the_bound(seed, n, features):
    generator = np.random.default_rng(seed)
    truth = generator.standard_normal(features + 1)
    truth /= np.linalg.norm(truth)
    x = generator.standard_normal((n, features))
    margin = np.column_stack([x, np.ones(n)]) @ truth
    keep = np.abs(margin) > 0.1
    x, margin = x[keep], margin[keep]
    if len(x) == 0:
        return
    perceptron = Perceptron(features)
    mistakes = perceptron.fit(x, np.sign(margin), epochs=100_000)
    bound = ((x**2).sum(axis=1).max() + 1) / np.abs(margin).min() ** 2
    assert mistakes[-1] == 0
    assert sum(mistakes) <= bound
    assert (perceptron.predict(x) == np.sign(margin)).all()


def test_perceptron_update_by_hand():
    perceptron = Perceptron(2)
    assert perceptron.update([1, 2], +1) is False  # 0 >= 0 already says +1
    assert perceptron.update([1, 2], -1) is True
    assert perceptron.weight.tolist() == [-1, -2]
    assert perceptron.bias == -1
    assert perceptron.predict([[1, 2], [-1, -1]]).tolist() == [-1, 1]


def test_perceptron_never_settles_on_xor():
    mistakes = Perceptron(2).fit(CORNERS, [-1, 1, 1, -1], epochs=50)
    assert len(mistakes) == 50
    assert min(mistakes) > 0


# Oja


@pytest.mark.parametrize("seed", range(5))
def test_oja_finds_the_first_principal_component(seed):
    generator = np.random.default_rng(seed)
    axes = np.linalg.qr(generator.standard_normal((5, 5)))[0]
    x = generator.standard_normal((2000, 5)) * [2.0, 1.0, 0.7, 0.5, 0.3] @ axes.T
    x -= x.mean(axis=0)
    unit = Oja(5, generator).fit(x, lr=0.005, epochs=5)
    first = np.linalg.svd(x, full_matrices=False)[2][0]
    assert abs(unit.weight @ first) > 0.99
    assert np.linalg.norm(unit.weight) == pytest.approx(1, abs=0.05)


def test_oja_update_by_hand():
    unit = Oja(2, np.random.default_rng(0))
    unit.weight = np.array([1.0, 0.0])
    assert unit.update([2.0, 1.0], lr=0.1) == 2.0
    assert unit.weight == pytest.approx([1.0, 0.2])


def test_oja_says_when_the_learning_rate_is_too_large():
    x = np.random.default_rng(0).standard_normal((200, 3)) * 10
    with pytest.raises(ValueError, match=r"Oja\.update: lr 1 is too large for an input of length"):
        Oja(3, np.random.default_rng(0)).fit(x, lr=1.0)


# Hopfield


@settings(max_examples=50, deadline=None)
@given(seed=seeds, n=st.integers(1, 30), stored=st.integers(1, 10))
def test_hopfield_energy_never_rises(seed, n, stored):
    generator = np.random.default_rng(seed)
    net = Hopfield(n).store(generator.choice([-1, 1], (stored, n)))
    state = generator.choice([-1.0, 1.0], n)
    energy = net.energy(state)
    for unit in generator.integers(n, size=5 * n):
        flipped = net.update(state, unit)
        assert net.energy(state) <= energy
        assert flipped == (net.energy(state) < energy)
        energy = net.energy(state)


@pytest.mark.parametrize("seed", range(5))
def test_hopfield_stored_patterns_are_fixed_points_and_attract(seed):
    generator = np.random.default_rng(seed)
    patterns = generator.choice([-1, 1], (5, 200))
    net = Hopfield(200).store(patterns)
    assert np.array_equal(net.weight, net.weight.T)
    assert not net.weight.diagonal().any()
    for pattern in patterns:
        assert np.array_equal(net.recall(pattern, 3, generator), pattern)
        corrupted = np.where(generator.random(200) < 0.15, -pattern, pattern)
        assert np.array_equal(net.recall(corrupted, 20, generator), pattern)


def test_hopfield_storing_in_two_goes_is_storing_at_once():
    patterns = np.random.default_rng(0).choice([-1, 1], (3, 20))
    at_once = Hopfield(20).store(patterns)
    assert np.array_equal(Hopfield(20).store(patterns[0]).store(patterns[1:]).weight, at_once.weight)


def test_hopfield_recall_leaves_its_argument_alone():
    net = Hopfield(4).store([1, 1, -1, -1])
    state = np.array([-1.0, 1.0, -1.0, -1.0])
    assert net.recall(state, 5, np.random.default_rng(0)).tolist() == [1, 1, -1, -1]
    assert state.tolist() == [-1, 1, -1, -1]


# what is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: threshold_unit([1, 0, 1], [1, 1], 1), r"threshold_unit: expected 2 inputs .* shape \(3,\)"),
        (
            lambda: threshold_unit([1, 0], [[1, 1], [1, 1]], [1, 2, 3]),
            r"weights \(2, 2\) but threshold \(3,\)",
        ),
        (lambda: threshold_unit([1, 0], 1, 1), r"weights must be \(n,\) or \(m, n\), not \(\)"),
        (lambda: threshold_unit([1, np.nan], [1, 1], 1), r"x \(2,\) contains NaN or infinity"),
        (lambda: threshold_unit("ab", [1, 1], 1), "x must be a rectangular array of numbers"),
        (lambda: McCullochPitts([0], [], 1.5), "threshold is a whole number >= 0, not 1.5"),
        (lambda: McCullochPitts([0], [], -1), "threshold is a whole number >= 0, not -1"),
        (
            lambda: McCullochPitts([-1]),
            r"excitatory must be a list .*, not \[-1\]",
        ),
        (lambda: McCullochPitts([0], 1), "inhibitory must be a list of input numbers"),
        (lambda: McCullochPitts([0, 2])([1, 0]), r"listens to input 2, but x \(2,\) has 2 inputs"),
        (lambda: McCullochPitts([0])([0.5, 0]), r"x \(2,\) must hold only 0 and 1, found 0.5"),
        (
            lambda: NerveNet(LATCH).run({"set": [0, 1]}),
            "cell 'q' listens to 'reset', which is no input and no cell",
        ),
        (
            lambda: NerveNet(LATCH).run({"set": [0, 1], "reset": [0]}),
            r"one shape \(T, ...\).*'reset': \(1,\)",
        ),
        (lambda: NerveNet(LATCH).run({"set": 1, "reset": 0}), "time first"),
        (lambda: NerveNet({"q": ("q", "", 1)}).run({"q": [1]}), r"\['q'\] is both an input and a cell"),
        (lambda: NerveNet({"q": ("q", "", 1)}).run({}), "one shape"),
        (lambda: Perceptron(0), "whole number >= 1, not 0"),
        (lambda: Perceptron(2).predict([1, 2, 3]), "Perceptron: expected 2 inputs on the last axis"),
        (lambda: Perceptron(2).update([1, 2], 0), r"y \(\) must hold only -1 and 1, found 0"),
        (lambda: Perceptron(2).update([[1, 2]], 1), r"x must have shape \(2,\), not \(1, 2\)"),
        (
            lambda: Perceptron(2).fit([[1, 2]], [1, -1]),
            r"fit: y must have shape \(1,\), not \(2,\)",
        ),
        (lambda: Perceptron(2).fit(np.zeros((0, 2)), []), r"x must be \(N, 2\) with N >= 1"),
        (lambda: Perceptron(2).fit([[1, 2]], [0]), "must hold only -1 and 1, found 0"),
        (lambda: Oja(2).fit([1.0, 2.0]), r"Oja.fit: x must be \(N, 2\)"),
        (lambda: Oja(2).update([1.0], 0.1), r"Oja.update: x must have shape \(2,\), not \(1,\)"),
        (lambda: Hopfield(3).store([[0, 1, 1]]), "Hopfield.store: the state .* found 0"),
        (
            lambda: Hopfield(3).recall([1, 1], 1, np.random.default_rng(0)),
            "recall: expected 3 inputs",
        ),
        (lambda: Hopfield(3).energy([1, 2, 1]), "Hopfield.energy.* found 2"),
    ],
)
def test_bad_input_is_refused_with_a_reason(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
