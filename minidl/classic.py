"""Units before gradients, 1943-1982: threshold units, the perceptron, Oja's rule, the Hopfield network.

The first two kinds of unit speak {0, 1}; the perceptron and the Hopfield network speak {-1, +1}.
The learning rules descend from Hebb's idea (The Organization of Behavior, 1949): a synapse between
two cells that are active together grows stronger, in symbols Δw = lr · y · x. The perceptron applies it
after each mistake, Oja's rule adds the decay that keeps w bounded, the Hopfield network applies it once
for each stored pattern.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def threshold_unit(x: ArrayLike, weights: ArrayLike, threshold: ArrayLike) -> NDArray[np.int64]:
    """Fire (1) where the weighted sum of the inputs reaches the threshold, else stay silent (0).

        y = 1 if w·x >= threshold else 0

    x: (..., n). weights: (n,) for one unit, or (m, n) for m units that share the inputs.
    threshold: a number, or (m,). Returns 0s and 1s of shape (...), or (..., m).

    >>> threshold_unit([[0, 0], [0, 1], [1, 0], [1, 1]], [1, 1], 2).tolist()  # AND
    [0, 0, 0, 1]
    """
    x = _numbers("threshold_unit", "x", x)
    weights = _numbers("threshold_unit", "weights", weights)
    threshold = _numbers("threshold_unit", "threshold", threshold)
    if weights.ndim not in (1, 2):
        raise ValueError(f"threshold_unit: weights must be (n,) or (m, n), not {weights.shape}")
    _last_axis("threshold_unit", x, weights.shape[-1])
    if threshold.shape not in ((), weights.shape[:-1]):
        raise ValueError(
            f"threshold_unit: weights {weights.shape} but threshold {threshold.shape}: give one number,"
            " or one for each row of weights"
        )
    return (x @ weights.T >= threshold).astype(np.int64)


class McCullochPitts:
    """The unit of 1943: all-or-none inputs, equal excitatory synapses, absolute inhibition.

        y = 1 if (active excitatory synapses >= threshold) and (no active inhibitory synapse) else 0

    excitatory, inhibitory: indices into the last axis of the input; an index listed twice makes two synapses.
    threshold: a whole number >= 0. (The paper's units have at least 1, so none fires unless it is excited.)
    Calling it: x (..., n) of 0s and 1s -> (...) of 0s and 1s.

    McCulloch & Pitts, "A logical calculus of the ideas immanent in nervous activity",
    Bulletin of Mathematical Biophysics 5, 1943.

    >>> and_not = McCullochPitts(excitatory=[0], inhibitory=[1], threshold=1)
    >>> and_not([[0, 0], [0, 1], [1, 0], [1, 1]]).tolist()
    [0, 0, 1, 0]
    """

    def __init__(self, excitatory: ArrayLike = (), inhibitory: ArrayLike = (), threshold: int = 1):
        self.excitatory = _indices("excitatory", excitatory)
        self.inhibitory = _indices("inhibitory", inhibitory)
        if threshold != int(threshold) or threshold < 0:
            raise ValueError(f"McCullochPitts: the threshold is a whole number >= 0, not {threshold}")
        self.threshold = int(threshold)

    def __call__(self, x: ArrayLike) -> NDArray[np.int64]:
        x = _values("McCullochPitts", "x", x, (0, 1))
        synapses = np.concatenate([self.excitatory, self.inhibitory])
        if x.ndim == 0 or synapses.max(initial=-1) >= x.shape[-1]:
            raise ValueError(
                f"McCullochPitts: a synapse listens to input {synapses.max(initial=0)}, but x {x.shape} has"
                f" {x.shape[-1] if x.ndim else 0} inputs on its last axis, counted from 0"
            )
        excited = x[..., self.excitatory].sum(axis=-1) >= self.threshold
        inhibited = x[..., self.inhibitory].any(axis=-1)
        return (excited & ~inhibited).astype(np.int64)


class NerveNet:
    """Cells of 1943 in time: at each step every cell looks at what all fired one synaptic delay ago.

    cells: {name: (excitatory names, inhibitory names, threshold)}; every other name is an input.

    >>> net = NerveNet({"or": ("ab", "", 1), "and": ("ab", "", 2), "xor": (["or"], ["and"], 1)})
    >>> net.run({"a": [1, 1, 1, 1], "b": [0, 0, 0, 0]})["xor"].tolist()  # two cells deep: two steps late
    [0, 0, 1, 1]
    """

    def __init__(self, cells: Mapping[str, tuple[Sequence[str], Sequence[str], int]]):
        self.cells = dict(cells)

    def run(self, signals: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.int64]]:
        """Run from silence for as long as the inputs last.

        signals: {input name: (T, ...)} of 0s and 1s, time first; further axes are runs side by side.
        Returns {name: (T, ...)} for all inputs and cells.
        """
        inputs = {
            name: _values("NerveNet", f"signal {name!r}", each, (0, 1)) for name, each in signals.items()
        }
        place = {name: index for index, name in enumerate([*inputs, *self.cells])}
        self._check(inputs)
        units = {name: self._unit(cell, place) for name, cell in self.cells.items()}
        first = next(iter(inputs.values()))
        state = np.zeros((*first.shape, len(place)), dtype=np.int64)  # (T, ..., inputs and cells)
        state[..., : len(inputs)] = np.stack(list(inputs.values()), axis=-1)
        for t in range(1, len(state)):
            for name, unit in units.items():
                state[t, ..., place[name]] = unit(state[t - 1])
        return {name: state[..., index] for name, index in place.items()}

    def _unit(self, cell, place: Mapping[str, int]) -> McCullochPitts:
        excitatory, inhibitory, threshold = cell
        return McCullochPitts([place[n] for n in excitatory], [place[n] for n in inhibitory], threshold)

    def _check(self, inputs: Mapping[str, NDArray]) -> None:
        known = [*inputs, *self.cells]
        for name, (excitatory, inhibitory, _) in self.cells.items():
            missing = [other for other in [*excitatory, *inhibitory] if other not in known]
            if missing:
                raise ValueError(
                    f"NerveNet: cell {name!r} listens to {missing[0]!r}, which is no input and no cell"
                )
        if set(inputs) & set(self.cells):
            raise ValueError(f"NerveNet: {sorted(set(inputs) & set(self.cells))} is both an input and a cell")
        if len({each.shape for each in inputs.values()}) != 1 or next(iter(inputs.values())).ndim == 0:
            shapes = {name: each.shape for name, each in inputs.items()}
            raise ValueError(f"NerveNet: the signals need one shape (T, ...), time first, not {shapes}")


class Perceptron:
    """A threshold unit that learns from its mistakes.

        predict  ŷ = +1 if w·x + b >= 0 else -1
        update   if ŷ != y:  w += y x,  b += y

    Both start at zero. If some (w, b) of length 1 separates the data with margin γ, and no (x, 1) is longer
    than R, then the number of mistakes never exceeds (R / γ)² (Novikoff 1962).

    weight: (n_features,). bias: a float. y: -1 or +1.
    Rosenblatt, "The perceptron: a probabilistic model for information storage and organization in the brain",
    Psychological Review 65, 1958; Principles of Neurodynamics, 1962.
    """

    def __init__(self, n_features: int):
        self.weight, self.bias = np.zeros(_size("Perceptron", n_features)), 0.0

    def predict(self, x: ArrayLike) -> NDArray[np.int64]:
        """x (..., n_features) -> (...) of -1 and +1."""
        x = _last_axis("Perceptron", _numbers("Perceptron", "x", x), len(self.weight))
        return np.where(x @ self.weight + self.bias >= 0, 1, -1)

    def update(self, x: ArrayLike, y: int) -> bool:
        """Learn from one example x (n_features,) of class y. Returns True if it was a mistake."""
        x = _shape("Perceptron.update", "x", _numbers("Perceptron.update", "x", x), self.weight.shape)
        y = _shape("Perceptron.update", "y", _values("Perceptron.update", "y", y, (-1, 1)), ())
        return self._learn(x, int(y))

    def _learn(self, x: NDArray, y: int) -> bool:
        mistake = bool((self.weight @ x + self.bias >= 0) != (y > 0))
        if mistake:
            self.weight = self.weight + y * x
            self.bias += y
        return mistake

    def fit(self, x: ArrayLike, y: ArrayLike, epochs: int = 100) -> list[int]:
        """Show all examples in order, `epochs` times or until an epoch passes without a mistake.

        x: (N, n_features). y: (N,). Returns the number of mistakes in each epoch.
        """
        x = _table("Perceptron.fit", x, len(self.weight))
        y = _shape("Perceptron.fit", "y", _values("Perceptron.fit", "y", y, (-1, 1)), x.shape[:1])
        mistakes = []
        while len(mistakes) < epochs and 0 not in mistakes:
            mistakes.append(sum(self._learn(*example) for example in zip(x, y.tolist(), strict=True)))
        return mistakes


class Oja:
    """Hebb's rule with the decay that keeps it bounded; it finds the first principal component.

        y = w·x        w += lr · y · (x - y w)

    The term y x is Hebb's; the term -y² w pulls the length of w towards 1.
    weight: (n_features,), at first a random direction of length 1. The data must have mean 0.
    Oja, "Simplified neuron model as a principal component analyzer",
    Journal of Mathematical Biology 15, 1982.
    """

    def __init__(self, n_features: int, generator: np.random.Generator | None = None):
        self.generator = np.random.default_rng() if generator is None else generator
        weight = self.generator.standard_normal(_size("Oja", n_features))
        self.weight = weight / np.linalg.norm(weight)

    def update(self, x: ArrayLike, lr: float) -> float:
        """Learn from one example x (n_features,). Returns y = w·x as it was before the change."""
        x = _shape("Oja.update", "x", _numbers("Oja.update", "x", x), self.weight.shape)
        y = float(self.weight @ x)
        weight = self.weight + lr * y * (x - y * self.weight)
        if not weight @ weight < 1e6:
            raise ValueError(
                f"Oja.update: lr {lr:g} is too large for an input of length {np.linalg.norm(x):.3g}, so the"
                f" weight runs away; take lr well below 1 / length² = {1 / (x @ x):.2g}, or scale the data"
            )
        self.weight = weight
        return y

    def fit(self, x: ArrayLike, lr: float = 0.01, epochs: int = 1) -> "Oja":
        """Show all examples x (N, n_features) `epochs` times, each time in a new random order."""
        x = _table("Oja.fit", x, len(self.weight))
        for _ in range(epochs):
            for example in self.generator.permutation(x):
                self.update(example, lr)
        return self


class Hopfield:
    """A memory of ±1 patterns: every unit listens to all the others, each pattern is a valley of the energy.

        store    W = Σ p pᵀ, with W_ii = 0        (Hebb's rule: units that agree excite each other)
        update   s_i = sign(Σ_j W_ij s_j), unchanged where the sum is 0
        energy   E = -1/2 sᵀ W s, which no update of one unit can raise

    weight: (n_units, n_units), symmetric. Patterns and states: (n_units,) of -1 and +1.
    Hopfield, "Neural networks and physical systems with emergent collective computational abilities",
    Proceedings of the National Academy of Sciences 79, 1982.
    """

    def __init__(self, n_units: int):
        self.weight = np.zeros((_size("Hopfield", n_units), n_units))

    def store(self, patterns: ArrayLike) -> "Hopfield":
        """Add patterns (P, n_units), or one (n_units,), to what is remembered. Returns itself."""
        patterns = np.atleast_2d(self._states("store", patterns))
        self.weight += patterns.T @ patterns
        np.fill_diagonal(self.weight, 0)
        return self

    def update(self, state: NDArray, unit: int) -> bool:
        """Let one unit of state (n_units,) decide, in place. Returns True if it flipped."""
        drive = self.weight[unit] @ state
        flips = bool(drive * state[unit] < 0)
        if flips:
            state[unit] = -state[unit]
        return flips

    def recall(self, state: ArrayLike, steps: int, generator: np.random.Generator) -> NDArray:
        """Update every unit once a step, in random order; stop after `steps` steps, or when none flips.

        state: (n_units,), left as it is. Returns the new state.
        """
        state = self._states("recall", state).copy()
        _shape("Hopfield.recall", "state", state, self.weight.shape[:1])
        for _ in range(steps):
            if not sum(self.update(state, unit) for unit in generator.permutation(len(state))):
                break
        return state

    def energy(self, state: ArrayLike) -> NDArray[np.float64]:
        """E = -1/2 sᵀ W s. state: (..., n_units) -> (...)."""
        state = self._states("energy", state)
        return -0.5 * np.sum(state @ self.weight * state, axis=-1)

    def _states(self, method: str, states: ArrayLike) -> NDArray[np.float64]:
        name = f"Hopfield.{method}"
        states = _values(name, "the state", states, (-1, 1)).astype(np.float64)
        return _last_axis(name, states, len(self.weight))


def _numbers(name: str, argument: str, value: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: {argument} must be a rectangular array of numbers ({error})") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {argument} {array.shape} contains NaN or infinity")
    return array


def _values(name: str, argument: str, value: ArrayLike, allowed: tuple[int, int]) -> NDArray[np.int64]:
    array = _numbers(name, argument, value)
    strange = array[~np.isin(array, allowed)]
    if strange.size:
        raise ValueError(
            f"{name}: {argument} {array.shape} must hold only {allowed[0]} and {allowed[1]},"
            f" found {strange[0]:g}"
        )
    return array.astype(np.int64)


def _indices(argument: str, value: ArrayLike) -> NDArray[np.int64]:
    array = _numbers("McCullochPitts", argument, value)
    if array.ndim != 1 or (array != np.floor(array)).any() or (array < 0).any():
        raise ValueError(
            f"McCullochPitts: {argument} must be a list of input numbers such as [0, 2], not {value!r}"
        )
    return array.astype(np.int64)


def _size(name: str, n: int) -> int:
    if n != int(n) or n < 1:
        raise ValueError(f"{name}: the number of inputs must be a whole number >= 1, not {n}")
    return int(n)


def _last_axis(name: str, array: NDArray, n: int) -> NDArray:
    if array.ndim == 0 or array.shape[-1] != n:
        raise ValueError(f"{name}: expected {n} inputs on the last axis, got an array of shape {array.shape}")
    return array


def _shape(name: str, argument: str, array: NDArray, shape: tuple[int, ...]) -> NDArray:
    if array.shape != shape:
        raise ValueError(f"{name}: {argument} must have shape {shape}, not {array.shape}")
    return array


def _table(name: str, x: ArrayLike, n: int) -> NDArray[np.float64]:
    x = _last_axis(name, _numbers(name, "x", x), n)
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"{name}: x must be (N, {n}) with N >= 1 examples, not {x.shape}")
    return x
