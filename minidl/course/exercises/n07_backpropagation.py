"""Notebook 07: the hidden delta, a layer's gradients, a step by hand, the clinic, spirals on a diet."""

from functools import cache
from itertools import pairwise

import numpy as np

import minidl
from minidl import data, nn, optim
from minidl.course.exercise import Exercise, Mistake
from minidl.nn import functional as F
from minidl.train import train_step as engine_step


def _normal(seed: int, *shapes):
    """Arrays of standard normal numbers, one for each shape."""
    generator = np.random.default_rng(seed)
    return tuple(generator.standard_normal(shape) for shape in shapes)


def _targets(*labels: int):
    """Labels as a column (N, 1)."""
    return np.array(labels, float)[:, None]


# 07.1


def hidden_delta(delta2, W2, z1):
    h = 1 / (1 + np.exp(-z1))
    return (delta2 @ W2) * h * (1 - h)


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _no_slope(delta2, W2, z1):
    return delta2 @ W2


def _slope_of_tanh(delta2, W2, z1):
    return (delta2 @ W2) * (1 - np.tanh(z1) ** 2)


def _slope_at_z(delta2, W2, z1):
    return (delta2 @ W2) * z1 * (1 - z1)


def _value_for_slope(delta2, W2, z1):
    return (delta2 @ W2) * _sigmoid(z1)


def _slope_of_tanh_at_h(delta2, W2, z1):
    return (delta2 @ W2) * (1 - _sigmoid(z1) ** 2)


def _not_transposed_back(delta2, W2, z1):
    return (delta2 @ W2.T) * _sigmoid(z1) * (1 - _sigmoid(z1))


def _forward_again(delta2, W2, z1):
    return (_sigmoid(z1) @ W2.T) * delta2


def _blame_averaged(delta2, W2, z1):
    return hidden_delta(delta2, W2, z1) / len(z1)


# 07.2


def layer_gradients(delta, x):
    return delta.T @ x, delta.sum(axis=0)


def _bias_averaged(delta, x):
    return delta.T @ x, delta.mean(axis=0)


def _both_averaged(delta, x):
    return delta.T @ x / len(x), delta.sum(axis=0) / len(x)


def _weight_averaged(delta, x):
    return delta.T @ x / len(x), delta.sum(axis=0)


def _weight_transposed(delta, x):
    return x.T @ delta, delta.sum(axis=0)


def _sums_multiplied(delta, x):
    return np.outer(delta.sum(axis=0), x.sum(axis=0)), delta.sum(axis=0)


def _bias_over_units(delta, x):
    return delta.T @ x, delta.sum(axis=1)


def _bias_one_number(delta, x):
    return delta.T @ x, delta.sum()


def _bias_a_row(delta, x):
    return delta.T @ x, delta.sum(axis=0, keepdims=True)


def _bias_not_added(delta, x):
    return delta.T @ x, delta


def _bias_first(delta, x):
    return delta.sum(axis=0), delta.T @ x


def _weight_alone(delta, x):
    return delta.T @ x


# 07.3


def one_step(x, t, W1, b1, W2, b2, lr):
    h = np.tanh(x @ W1.T + b1)
    p = 1 / (1 + np.exp(-(h @ W2.T + b2)))
    delta2 = (p - t) / len(x)
    delta1 = (delta2 @ W2) * (1 - h**2)
    W1, b1 = W1 - lr * delta1.T @ x, b1 - lr * delta1.sum(axis=0)
    W2, b2 = W2 - lr * delta2.T @ h, b2 - lr * delta2.sum(axis=0)
    return W1, b1, W2, b2


def _step(x, t, W1, b1, W2, b2, lr, *, late=False, slope=None, mean=True, bias=1.0, error=None):
    """A training step with one thing wrong: `late` changes W2 before it passes the blame back, and so on."""
    h = np.tanh(x @ W1.T + b1)
    p = _sigmoid(h @ W2.T + b2)
    delta2 = (p - t if error is None else error(p, t)) / (len(x) if mean else 1)
    back = W2 - lr * delta2.T @ h if late else W2
    delta1 = (delta2 @ back) * (slope(h) if slope else 1 - h**2)
    moved = W1 - lr * delta1.T @ x, b1 - lr * bias * delta1.sum(axis=0)
    return *moved, W2 - lr * delta2.T @ h, b2 - lr * bias * delta2.sum(axis=0)


def _updated_first(*arguments):
    return _step(*arguments, late=True)


def _uphill(x, t, W1, b1, W2, b2, lr):
    return _step(x, t, W1, b1, W2, b2, -lr)


def _step_without_slope(*arguments):
    return _step(*arguments, slope=np.ones_like)


def _step_with_sigmoid_slope(*arguments):
    return _step(*arguments, slope=lambda h: h * (1 - h))


def _step_with_tanh_twice(*arguments):
    return _step(*arguments, slope=lambda h: 1 - np.tanh(h) ** 2)


def _step_without_mean(*arguments):
    return _step(*arguments, mean=False)


def _biases_forgotten(*arguments):
    return _step(*arguments, bias=0.0)


def _biases_averaged(*arguments):
    return _step(*arguments, bias=1 / len(arguments[0]))


def _squared_error(*arguments):
    return _step(*arguments, error=lambda p, t: (p - t) * p * (1 - p))


def _sum_for_probability(*arguments):
    return _step(*arguments, error=lambda p, t: np.log(p / (1 - p)) - t)


def _forward_twice(x, t, W1, b1, W2, b2, lr):
    W1, b1 = _step(x, t, W1, b1, W2, b2, lr)[:2]
    return W1, b1, *_step(x, t, W1, b1, W2, b2, lr)[2:]


def _gradients_for_weights(x, t, W1, b1, W2, b2, lr):
    old = W1, b1, W2, b2
    return [before - after for before, after in zip(old, _step(x, t, *old, 1.0), strict=True)]


def _output_layer_first(*arguments):
    W1, b1, W2, b2 = _step(*arguments)
    return W2, b2, W1, b1


# 07.4

FAULTS = {
    "slope": "the hidden blame is not multiplied by the slope of tanh",
    "detour": "the hidden blame does not pass through W2",
    "bias": "the gradient of b1 is averaged over the examples, not summed",
    "memory": "gradients are not cleared between steps",
    "uphill": "the step goes up the gradient",
}
WARDS = ("detour", "memory", "bias")  # what patients A, B and C suffer from


class Patient:
    """A network with one hidden layer of three tanh units, and one fault.

    x: (6, 2), t: (6, 1) targets in {0, 1}; weights: {"W1": (3, 2), "b1": (3,), "W2": (1, 3), "b2": (1,)}.
    """

    def __init__(self, fault: str, seed: int):
        w1, b1, w2, b2, self.x = _normal(seed, (3, 2), (3,), (1, 3), (1,), (6, 2))
        self.weights = {"W1": w1, "b1": b1, "W2": w2, "b2": b2}
        self.t = _targets(0, 1, 1, 0, 1, 1)
        self._fault, self._kept = fault, dict.fromkeys(self.weights, 0.0)

    def loss(self) -> float:
        """Mean cross-entropy (nats) of the weights as they are."""
        z = self._forward()[1]
        return float(np.mean(np.logaddexp(0, z) - self.t * z))

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients that its own backward pass computes, by name."""
        h, z = self._forward()
        delta2 = (_sigmoid(z) - self.t) / len(self.x)
        back = delta2 @ (np.sign(self.weights["W2"]) if self._fault == "detour" else self.weights["W2"])
        delta1 = back * (1.0 if self._fault == "slope" else 1 - h**2)
        total = np.mean if self._fault == "bias" else np.sum
        return {
            "W1": delta1.T @ self.x,
            "b1": total(delta1, axis=0),
            "W2": delta2.T @ h,
            "b2": delta2.sum(axis=0),
        }

    def step(self, lr: float = 0.1) -> None:
        """One training step of its own: changes `weights`."""
        for name, gradient in self.gradients().items():
            self._kept[name] = gradient + (self._kept[name] if self._fault == "memory" else 0.0)
            sign = -1 if self._fault == "uphill" else 1
            self.weights[name] = self.weights[name] - sign * lr * self._kept[name]

    def _forward(self):
        h = np.tanh(self.x @ self.weights["W1"].T + self.weights["b1"])
        return h, h @ self.weights["W2"].T + self.weights["b2"]


def clinic() -> list[Patient]:
    """Patients A, B and C, fresh."""
    return [Patient(fault, seed) for seed, fault in enumerate(WARDS)]


EVIDENCE = {
    "slope": "then W1's and b1's gradients would be off by ratios that differ from number to number; "
    "divide gradients() by the differences of loss(), weight by weight",
    "detour": "then W1's and b1's gradients would be off by one ratio for each hidden unit; "
    "divide gradients() by the differences of loss(), weight by weight",
    "bias": "then b1's gradient would be 6 times too small and the other three right; compare gradients() "
    "with the differences of loss()",
    "memory": "then gradients() would be right, the first step too, and only the second step too long; take "
    "two steps, and compare each with lr times gradients()",
    "uphill": "then the very first step would go the wrong way; compare it with -lr times gradients()",
}


def judge_clinic(answer) -> str | None:
    """Is every patient's fault named?"""
    if not isinstance(answer, list | tuple) or len(answer) != len(WARDS):
        return "give three words, one for each of the patients A, B, C"
    for name, said, fault in zip("ABC", answer, WARDS, strict=True):
        word = said.strip().lower() if isinstance(said, str) else said
        if word not in FAULTS:
            return f"patient {name}: {word!r} is not on the list {', '.join(FAULTS)}"
        if word != fault:
            return f"patient {name} does not have {word!r}: {EVIDENCE[word]}"
    return None


# 07.5

STEPS, LARGEST = 1500, 105  # training steps; the parameters of the 2-8-8-1 network of the notebook
ENOUGH = 0.97


@cache
def spirals_score(hidden: tuple[int, ...], activation: str, lr: float, seed: int) -> tuple[int, float]:
    """Parameters and training accuracy of a network on the notebook's spirals, after STEPS steps of Adam."""
    x, y = data.make_spirals(200, 0.05, seed=0)
    x, target = minidl.tensor(x), minidl.tensor(y[:, None].astype("float32"))
    minidl.manual_seed(seed)
    kind = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}[activation]
    sizes, modules = [2, *hidden], []
    for inputs, outputs in pairwise(sizes):
        modules += [nn.Linear(inputs, outputs), kind()]
    model = nn.Sequential(*modules, nn.Linear(sizes[-1], 1))
    optimizer = optim.Adam(model.parameters(), lr=lr)
    for _ in range(STEPS):
        out = engine_step(model, x, target, optimizer, F.binary_cross_entropy_with_logits)[1]
    return sum(p.numel() for p in model.parameters()), float(((out.array[:, 0] > 0) == y).mean())


def _recipe(answer) -> tuple:
    """The answer's settings, checked. Raises: ValueError that says what is wrong with them."""
    if not isinstance(answer, dict) or set(answer) != {"hidden", "activation", "lr", "seed"}:
        raise ValueError('give a dict with "hidden", "activation", "lr" and "seed"')
    hidden = answer["hidden"]
    hidden = hidden.tolist() if isinstance(hidden, np.ndarray) else hidden
    whole = isinstance(hidden, list | tuple) and all(isinstance(n, int | np.integer) for n in hidden)
    if not whole or not all(1 <= n <= 30 for n in hidden) or len(hidden) > 5:
        raise ValueError("hidden is a list of at most five layer sizes from 1 to 30, such as [8, 8]")
    if answer["activation"] not in ("tanh", "relu", "sigmoid"):
        raise ValueError('activation is "tanh", "relu" or "sigmoid"')
    if not 0 < answer["lr"] <= 3:
        raise ValueError("lr lies between 0 and 3")
    return tuple(map(int, hidden)), answer["activation"], float(answer["lr"]), int(answer["seed"])


def judge_spirals(answer) -> str | None:
    """Does a network with fewer parameters than 2-8-8-1 learn the spirals?"""
    try:
        recipe = _recipe(answer)
    except ValueError as error:
        return str(error)
    size = parameters(recipe[0])
    if size >= LARGEST:
        return f"{size} parameters. The network above has {LARGEST}: use fewer"
    right = spirals_score(*recipe)[1]
    if right < ENOUGH:
        return f"{size} parameters, but {right:.1%} right after {STEPS} steps; {ENOUGH:.0%} are asked"
    return None


def parameters(hidden) -> int:
    """Weights and biases of a network 2-hidden-1."""
    return sum((a + 1) * b for a, b in pairwise([2, *hidden, 1]))


def praise_spirals(answer) -> str:
    size, right = spirals_score(*_recipe(answer))
    return f"{size} parameters, {right:.1%} of the points right. Can you save one more unit?"


FEW = {"hidden": [8], "activation": "tanh", "lr": 0.03, "seed": 2}


EXERCISES = [
    Exercise(
        "07.1",
        reference=hidden_delta,
        cases=[
            _normal(0, (5, 2), (2, 3), (5, 3)),
            _normal(1, (4, 1), (1, 2), (4, 2)),
            _normal(2, (3, 3), (3, 3), (3, 3)),
        ],
        mistakes=[
            Mistake(
                _no_slope,
                "the blame arrives at h, behind the activation. To reach z1 it must still pass the sigmoid: "
                "multiply by its slope",
            ),
            Mistake(
                _slope_of_tanh,
                "that is the slope of tanh. These hidden units are sigmoids",
            ),
            Mistake(
                _slope_at_z,
                "z1 (1 - z1) takes the slope in the wrong place: the formula h (1 - h) is written in "
                "terms of the unit's output h, not of its sum z1",
            ),
            Mistake(
                _value_for_slope,
                "you multiply by what the unit says, h. What counts is how much h moves when z1 does: the "
                "slope of the sigmoid at z1",
            ),
            Mistake(
                _slope_of_tanh_at_h,
                "1 - h² is tanh's slope, written for tanh's output. The sigmoid's is another formula in h",
            ),
            Mistake(
                _not_transposed_back,
                "forward used W2.T, so the way back uses W2 as it is: delta2 (N, K) @ W2 (K, H) is (N, H). "
                "With W2.T the shapes fit only where K = H, and the blame goes to the wrong units",
            ),
            Mistake(
                _forward_again,
                "that runs forward once more. The blame runs the other way: start from delta2, go through W2",
            ),
            Mistake(
                _blame_averaged,
                "divided by N once too often: delta2 holds the derivative of the mean loss already",
            ),
        ],
        hints=[
            "Two stations: through W2 back to h, then through the sigmoid back to z1.",
            "First: `delta2 @ W2` has the shape (N, H). Which shape must the slope have?",
            "The sigmoid's slope is h (1 - h), with h = sigmoid(z1), one for each example and unit.",
        ],
        reasoning="""
        The loss depends on $h$ only through $z_2 = h W_2^T + b_2$, so $dL/dh = \\delta_2 W_2$: each hidden
        unit collects the blame of the units that listen to it, weighted as they listen. And $h$ depends on
        $z_1$ element by element, with slope $h(1-h)$.
        """,
        praise="Right, also with several outputs: each hidden unit collects from all that listen to it.",
    ),
    Exercise(
        "07.2",
        reference=layer_gradients,
        cases=[_normal(3, (5, 3), (5, 2)), _normal(4, (4, 4), (4, 4)), _normal(5, (2, 3), (2, 5))],
        mistakes=[
            Mistake(
                _bias_averaged,
                "the weights are right, the bias is averaged. The bias works in every example: its blame is "
                "the sum (the 1/N is already inside delta)",
            ),
            Mistake(
                _both_averaged,
                "divided by N once too often: delta holds the derivative of the mean loss already",
            ),
            Mistake(
                _weight_averaged,
                "the bias is right, the weights are divided by N once too often: delta holds the 1/N already",
            ),
            Mistake(
                _weight_transposed,
                "W is (H, D): a row for each unit. x.T @ delta has a row for each input: transpose it",
            ),
            Mistake(
                _sums_multiplied,
                "you add up first and multiply afterwards. Each example's blame belongs to that example's "
                "input: multiply, then add over the examples",
            ),
            Mistake(
                _bias_over_units,
                "the bias's gradient needs one number for each unit; you added over the units and kept the "
                "examples",
            ),
            Mistake(
                _bias_one_number,
                "the bias's gradient needs one number for each unit, not one for all",
            ),
            Mistake(
                _bias_a_row,
                "the numbers are right, but the bias's gradient has the shape (1, H), and b has (H,): add "
                "over the examples without keeping their axis",
            ),
            Mistake(
                _bias_not_added,
                "the weights are right. For the bias you return the blame as it is, one row for each "
                "example; b is the same in all of them, so its ways to the loss must be added",
            ),
            Mistake(_bias_first, "both are right, but W's gradient comes first, then b's"),
            Mistake(_weight_alone, "that is right for W, but b has a gradient too: return both"),
        ],
        hints=[
            "One weight first: W[j, i] appears in z[n, j] for every example n, times x[n, i].",
            "So dL/dW[j, i] = Σ over n of delta[n, j] · x[n, i]. Which matrix product adds over n?",
            "The bias is a weight whose input is always 1.",
        ],
        reasoning="""
        $z_{nj} = \\sum_i x_{ni} W_{ji} + b_j$. The derivative by $W_{ji}$ is $x_{ni}$, so
        $dL/dW_{ji} = \\sum_n \\delta_{nj} x_{ni}$: the matrix product `delta.T @ x`, of the shape of $W$. The
        bias has derivative 1 in every example, so its gradient is the sum of the blame.
        """,
        praise="Blame times input, added over the examples. Every linear layer in the world learns so.",
    ),
    Exercise(
        "07.3",
        reference=one_step,
        cases=[
            (*_normal(6, (5, 2)), _targets(0, 1, 1, 0, 1), *_normal(7, (3, 2), (3,), (1, 3), (1,)), 0.5),
            (*_normal(8, (3, 4)), _targets(1, 0, 0), *_normal(9, (2, 4), (2,), (1, 2), (1,)), 2.0),
        ],
        mistakes=[
            Mistake(
                _updated_first,
                "W2 was changed before the blame went back through it. All gradients belong to the same "
                "weights, the ones that made the error: compute everything first, then move",
            ),
            Mistake(_uphill, "this walks uphill: the gradient points where the loss grows, so subtract it"),
            Mistake(
                _step_without_slope,
                "W2 and b2 are right, W1 and b1 are not: the hidden blame still needs tanh's slope, 1 - h²",
            ),
            Mistake(
                _step_without_mean,
                "N times too long: the loss is a mean over the examples, so delta2 has a 1/N",
            ),
            Mistake(
                _step_with_sigmoid_slope,
                "h (1 - h) is the sigmoid's slope. Here the hidden units are tanh: 1 - h²",
            ),
            Mistake(
                _step_with_tanh_twice,
                "1 - np.tanh(h)² takes tanh a second time: h is tanh z1 already, so its slope is 1 - h²",
            ),
            Mistake(
                _biases_averaged,
                "the weights are right, the biases are averaged: add the blame over the examples (the 1/N is "
                "inside it already)",
            ),
            Mistake(
                _sum_for_probability,
                "the output's blame is p - t with the probability p; you took the sum z2. Put it through the "
                "sigmoid first",
            ),
            Mistake(
                _forward_twice,
                "W1 and b1 are right. But W2's gradient was made from an h that the new W1 gave: all "
                "gradients belong to the old weights, so compute everything first, then move",
            ),
            Mistake(
                _gradients_for_weights, "those are the four gradients. Return the weights after the step"
            ),
            Mistake(_output_layer_first, "all four are right, in the wrong order: return W1, b1, W2, b2"),
            Mistake(_biases_forgotten, "both weights move, both biases stay. They have gradients too"),
            Mistake(
                _squared_error,
                "there is a factor p (1 - p) at the output. It belongs to the squared error; with "
                "cross-entropy it cancels",
            ),
        ],
        hints=[
            "Three parts, in this order: forward, both blames, then all four updates.",
            "`delta2 = (p - t) / N` and `delta1 = (delta2 @ W2) * (1 - h**2)`, with the old W2.",
        ],
        reasoning="Forward keeps h and p. The blames follow from the weights as they were. Only then does "
        "anything move. Since new arrays are returned, the caller's weights stay untouched.",
        praise="A whole training step in six lines. Everything else in this course makes it faster or wider.",
    ),
    Exercise(
        "07.4",
        reference=list(WARDS),
        judge=judge_clinic,
        mistakes=[
            Mistake(
                ["slope", "memory", "bias"],
                "patient A does not have 'slope': it looks alike, since W1 and b1 are both wrong. But "
                "divide its gradients by the measured ones: the factor is the same for all numbers of a "
                "unit, so nothing that differs from example to example is missing",
            ),
        ],
        hints=[
            "The instrument: move one weight by ±1e-5, take the difference of `loss()`, divide by 2e-5. Put "
            "the weight back. Compare with `gradients()`.",
            "Divide a patient's gradient by the measured one, number by number. A constant factor says much: "
            "which constants do you know here?",
            "If all gradients are right, the fault is in `step`. Take two steps, and note by how much the "
            "weights moved each time.",
        ],
        reasoning="""
        **A** has wrong gradients for W1 and b1, right ones for W2 and b2, so the fault lies between them. The
        ratio to the measured gradient is one number for each hidden unit, $1/|W_2|$ of that unit: blame of
        the right sign came back, but not through the weights: `detour`. Without the slope the ratio would
        differ within a row. **B** has right gradients, and its first step is right; the second is too long,
        by the first one: `memory`. **C** has one wrong gradient, b1's, six times too small, and six is the
        number of examples: `bias`. All three learn, by the way, only worse. Such faults do not stop a
        program; they have to be looked for.

        ```python
        def measured(patient, name, eps=1e-5):
            weight, result = patient.weights[name], np.zeros_like(patient.weights[name])
            for at in np.ndindex(weight.shape):
                old = weight[at]
                weight[at] = old + eps
                up = patient.loss()
                weight[at] = old - eps
                result[at] = (up - patient.loss()) / (2 * eps)
                weight[at] = old
            return result
        ```
        """,
        praise="All three found. Each of them would have trained without an error message, only worse.",
        code='diagnosis = ["detour", "memory", "bias"]',
    ),
    Exercise(
        "07.5",
        reference=FEW,
        judge=judge_spirals,
        hints=[
            "Count first: a network 2-8-8-1 has 24 + 72 + 9 parameters. Which of its parts costs most?",
            "One hidden layer has only 4H + 1 parameters. How wide must it be?",
            "Narrow networks are choosy: try several seeds, and learning rates between 0.02 and 0.1.",
        ],
        reasoning="The 64 weights between two layers of eight are the largest part, and one layer of eight "
        "does without them: 33 parameters, and it learns the spirals from most starts. Seven units (29) "
        "often work, six (25) sometimes. Fewer need luck, or an idea.",
        praise=praise_spirals,
        code='recipe = {"hidden": [8], "activation": "tanh", "lr": 0.03, "seed": 2}',
    ),
]
