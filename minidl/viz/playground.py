"""The playground: a network of minidl's own layers learns points in the plane while you watch and meddle.

What is drawn is what the model has: `playground.model` is an `nn.Sequential`, its optimizer one of `optim`,
and `playground.code()` is a plain program that repeats the whole run and ends at the same loss.
"""

from itertools import pairwise
from types import SimpleNamespace

import ipywidgets
import numpy as np

from minidl import data, nn, no_grad, optim, tensor
from minidl.nn import functional as F
from minidl.ops.creation import random_generator
from minidl.train import train_step

from .controls import Control, button, choice, slider, toggle
from .picture import SMALL, Axes, Picture
from .theme import BLUE, GREY, ORANGE
from .widget import ENGINE_LOCK, Widget

OWN = "own points"
DATASETS = {
    "moons": data.make_moons,
    "circles": data.make_circles,
    "XOR": data.make_xor,
    "spirals": data.make_spirals,
    OWN: None,
}
ACTIVATIONS = {"tanh": nn.Tanh, "ReLU": nn.ReLU, "sigmoid": nn.Sigmoid}
OPTIMIZERS = {
    "SGD": (optim.SGD, {}),
    "SGD with momentum": (optim.SGD, {"momentum": 0.9}),
    "Adam": (optim.Adam, {}),
}
PENALTIES = [0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]
BATCHES = {"10": 10, "50": 50, "all": 1_000_000}  # more than anyone clicks
TRAIN, TEST = 200, 200  # points
CURVE = 300  # points of a loss curve at the most
LOWEST, HIGHEST = 1.2, 2.0  # nats: the top of the loss axis, at least and at the most

SIZE = 880, 520  # pixels of the picture
PLANE, LOSS = (490, 0, 390, 350), (490, 352, 390, 168)  # the boxes on the right
LEFT, RIGHT, TOP, BOTTOM = (
    52,
    452,
    34,
    498,
)  # the network: middles of the outer columns, the rows
TILE, PITCH = 46, 58  # pixels: a unit's map, and from one to the next
CELLS = 60  # cells along each side of the plane; a unit's map has a third
COARSE = 3
SHADES, LEVELS = 64, 12  # colours of a unit's map, thicknesses of a line: the fewer, the lighter the picture
QUIET = np.errstate(over="ignore", invalid="ignore")  # a wild learning rate is told in words, by train_step


# The run: data, model, steps


def new_data(state) -> None:
    """Make the training and test points that the controls ask for, and start again."""
    maker = DATASETS[state.dataset]
    x, y = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    if maker:
        x, y = maker(TRAIN + TEST, state.noise, state.data_seed)
    state.made, state.test = (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])
    start(state)


def start(state) -> None:
    """A new model with fresh weights, before its first step."""
    state.model = build(state.layers, state.width, state.activation, state.seed)
    optimizer, options = OPTIMIZERS[state.optimizer_name]
    state.optimizer = optimizer(state.model.parameters(), lr=rate(state), **options)
    state.order = np.random.default_rng(state.seed)
    state.phases: list[dict] = []  # what `code` writes down: settings, and steps taken under them
    state.steps, state.every, state.curve = 0, 1, []
    state.shown = None  # the unit whose map is enlarged, (layer, unit); None: the output
    note(state)


def build(layers: int, width: int, activation: str, seed: int) -> nn.Sequential:
    """The model that `minidl.manual_seed(seed)` starts; the random numbers of others stay as they are."""
    sizes, modules = [2, *[width] * layers], []
    kept = random_generator().bit_generator.state
    random_generator().bit_generator.state = np.random.default_rng(seed).bit_generator.state
    for inputs, outputs in pairwise(sizes):
        modules += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    model = nn.Sequential(*modules, nn.Linear(sizes[-1], 1))
    random_generator().bit_generator.state = kept
    return model


def rate(state) -> float:
    """The learning rate as the slider shows it, with two digits."""
    return float(f"{state.lr:.2g}")


def points(state) -> tuple[np.ndarray, np.ndarray]:
    """All training points: those that were made, then those that were clicked. x (N, 2), y (N,)."""
    x, y = state.made
    if state.clicked:
        x = np.concatenate([x, np.array([place for place, _ in state.clicked], np.float32)])
        y = np.concatenate([y, [label for _, label in state.clicked]])
    return x, y


@QUIET
def step(state) -> None:
    """One step of the optimizer on one batch.

    Raises:
        StopIteration: there are no points yet.
        FloatingPointError: the loss is not finite.
    """
    x, y = points(state)
    if not len(x):
        raise StopIteration
    settings = {
        "lr": rate(state),
        "weight_decay": state.weight_decay,
        "batch_size": min(state.batch_size, len(x)),
        "points": len(x),
    }
    state.optimizer.param_groups[0].update(lr=settings["lr"], weight_decay=settings["weight_decay"])
    batch = state.order.permutation(len(x))[: settings["batch_size"]]
    target = tensor(y[batch, None].astype(np.float32))
    train_step(state.model, tensor(x[batch]), target, state.optimizer, F.binary_cross_entropy_with_logits)
    if not state.phases or any(state.phases[-1][name] != value for name, value in settings.items()):
        state.phases.append({"steps": 0, **settings})
    state.phases[-1]["steps"] += 1
    state.steps += 1
    if state.steps % state.every == 0:
        note(state)


def note(state) -> None:
    """Add the losses of this step to the curve; when it is long, keep every second point."""
    state.curve.append((state.steps, measure(state, *points(state))[0], measure(state, *state.test)[0]))
    if len(state.curve) > CURVE:
        state.every *= 2
        state.curve = [entry for entry in state.curve if entry[0] % state.every == 0]


@QUIET
def measure(state, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Mean loss (nats) and accuracy on points x (N, 2), y (N,); NaN where there are none."""
    if not len(x):
        return float("nan"), float("nan")
    with no_grad():
        logits = state.model(tensor(x))
        loss = F.binary_cross_entropy_with_logits(logits, tensor(y[:, None].astype(np.float32)))
    return loss.item(), float(((logits.array[:, 0] > 0) == y).mean())


def describe(state) -> str:
    """One sentence: steps, losses, accuracies, parameters."""
    size = sum(p.numel() for p in state.model.parameters())
    begin = f"Step {state.steps}, {size} parameters"
    if not len(points(state)[0]):
        return f"{begin}. Click in the plane to set points."
    loss, right = measure(state, *points(state))
    text = f"{begin}: training loss {loss:.3f}, {right:.0%} right"
    loss, right = measure(state, *state.test)
    return f"{text}; test loss {loss:.3f}, {right:.0%} right." if len(state.test[0]) else f"{text}."


# The picture


def draw(state) -> Picture:
    """The network with a map for each unit, the plane as the chosen unit sees it, the losses."""
    picture = Picture(*SIZE, alt=describe(state))
    fields, columns = unit_fields(state), places(state)
    draw_weights(picture, state, columns)
    for layer, (field, column) in enumerate(zip(fields, columns, strict=True)):
        draw_column(picture, state, layer, field, column)
    picture.text(4, SIZE[1] - 6, "Lines: blue weights are positive, orange negative. Click a map.", SMALL)
    draw_plane(picture, state, fields)
    draw_losses(picture, state)
    return picture


def limits(state) -> tuple[tuple[float, float], tuple[float, float]]:
    """The square that is shown: (left, right), (bottom, top)."""
    return ((-1.5, 2.5), (-1.75, 2.25)) if state.dataset == "moons" else ((-1.6, 1.6), (-1.6, 1.6))


@QUIET
def unit_fields(state) -> list[np.ndarray]:
    """What every unit says at every place, one forward pass: (units, CELLS, CELLS) for each column.

    The columns: the inputs, the hidden layers after their activation, the output as a probability.
    """
    (left, right), (bottom, top) = limits(state)
    edge = (np.arange(CELLS) + 0.5) / CELLS
    across, up = np.meshgrid(left + (right - left) * edge, bottom + (top - bottom) * edge)
    value = tensor(np.stack([across.ravel(), up.ravel()], axis=1).astype(np.float32))
    outputs = [value]
    with no_grad():
        for i, module in enumerate(state.model):
            value = module(value)
            if i % 2:
                outputs.append(value)
        outputs.append(value.sigmoid())
    return [output.array.T.reshape(-1, CELLS, CELLS) for output in outputs]


def value_range(state, layer: int, field: np.ndarray) -> tuple[float, float]:
    """The values that are drawn in full orange and in full blue."""
    if layer == 0:
        largest = float(np.abs(limits(state)).max())
        return -largest, largest
    if layer == state.layers + 1 or state.activation == "sigmoid":
        return 0.0, 1.0
    largest = 1.0 if state.activation == "tanh" else max(float(field.max()), 1e-6)
    return -largest, largest


def places(state) -> list[list[tuple[float, float]]]:
    """The middle of every unit's map in pixels, column by column."""
    sizes = [2, *[state.width] * state.layers, 1]
    middles = np.linspace(LEFT, RIGHT, len(sizes))
    centre = (TOP + BOTTOM) / 2
    return [
        [(float(x), centre + PITCH * (i - (size - 1) / 2)) for i in range(size)]
        for x, size in zip(middles, sizes, strict=True)
    ]


def draw_weights(picture: Picture, state, columns) -> None:
    """A line for each weight: blue positive, orange negative, as thick as it is large within its layer."""
    for linear, (left, right) in zip(list(state.model)[::2], pairwise(columns), strict=True):
        weight = linear.weight.array
        level = np.rint(weight * (LEVELS / max(float(np.abs(weight).max()), 1e-6))) / LEVELS
        lines = [(abs(v), v > 0, a, b) for b, row in enumerate(level.tolist()) for a, v in enumerate(row)]
        for share, positive, a, b in sorted(lines):  # thick ones on top; one path for those that look alike
            ends = [left[a][0] + TILE / 2, right[b][0] - TILE / 2]
            color = BLUE if positive else ORANGE
            picture.line(ends, [left[a][1], right[b][1]], color, 0.4 + 4 * share, 0.25 + 0.65 * share)


def draw_column(picture: Picture, state, layer: int, field: np.ndarray, column) -> None:
    """The maps of a layer, small, under its name; the enlarged one has a thick frame."""
    last = state.layers + 1
    name = {0: "inputs", last: "output"}.get(layer, f"hidden {layer}")
    picture.text(column[0][0], 18, name, 13, "middle", bold=True)
    for unit, (x, y) in enumerate(column):
        low, high = value_range(state, layer, field[unit])
        box = (x - TILE / 2, y - TILE / 2, TILE, TILE)
        small = field[unit, ::-1][COARSE // 2 :: COARSE, COARSE // 2 :: COARSE]
        shades = np.rint((small - low) * (SHADES / (high - low)))
        picture.heatmap(shades, box, low=0, high=SHADES, smooth=True)
        chosen = state.shown == (layer, unit) or (state.shown is None and layer == last)
        picture.rect(*box, stroke=None, width=3 if chosen else 1)
        if layer == 0:
            picture.text(x - TILE / 2 - 6, y, "x" + "₁₂"[unit], 14, "end", "middle")


def plane_axes(picture: Picture, state, title: str = "") -> Axes:
    """The axes of the large map."""
    return picture.axes(PLANE, *limits(state), "x₁", "x₂", title, equal=True)


def draw_plane(picture: Picture, state, fields) -> None:
    """The chosen unit's map, large, with the training points (large) and the test points (small)."""
    layer, unit = state.shown or (state.layers + 1, 0)
    field = fields[layer][unit]
    low, high = value_range(state, layer, field)
    title = "Output: the probability of blue"
    if state.shown:
        name = f"hidden {layer}, unit {unit + 1}" if layer else f"input x{'₁₂'[unit]}"
        title = f"{name[0].upper()}{name[1:]}: orange {low:.3g}, blue {high:.3g}"
    axes = plane_axes(picture, state, title)
    axes.heatmap(field, low=low, high=high, smooth=True)
    if state.show_test:
        x, y = state.test
        axes.points(*x.T, np.where(y, BLUE, ORANGE), 2, "none", 0.8)
    x, y = points(state)
    axes.points(*x.T, np.where(y, BLUE, ORANGE), 4)


def draw_losses(picture: Picture, state) -> None:
    """Training and test loss over the steps; the axis grows by doubling."""
    steps, train, test = np.array(state.curve, float).T
    end = 100 * 2 ** max(0, int(np.ceil(np.log2(max(state.steps, 1) / 100))))
    top = min(HIGHEST, max([LOWEST, *train[np.isfinite(train)], *test[np.isfinite(test)]]))
    axes = picture.axes(LOSS, (0, end), (0, top), "step", "loss (nats)")
    axes.line(steps, train, GREY).line(steps, test, None, 1.5, dash=True)
    axes.legend({"training": GREY} | ({"test": None} if len(state.test[0]) else {}), dashed=["test"])


# The export


PROGRAM = '''"""A run of the playground: {title}."""

import numpy as np

import minidl
from minidl import data, nn, optim
from minidl.nn import functional as F
from minidl.train import train_step

{data}
x, y = minidl.tensor(x), minidl.tensor(y[:, None].astype("float32"))

minidl.manual_seed({seed})
model = nn.Sequential(
{layers}
)
optimizer = optim.{optimizer}
order = np.random.default_rng({seed})


def train(steps, lr, weight_decay, batch_size, points):
    """Train on batches of the first `points` points."""
    optimizer.param_groups[0].update(lr=lr, weight_decay=weight_decay)
    for _ in range(steps):
        batch = order.permutation(points)[:batch_size]
        train_step(model, x[batch], y[batch], optimizer, F.binary_cross_entropy_with_logits)


{phases}
with minidl.no_grad():
    loss = F.binary_cross_entropy_with_logits(model(x), y)
print(f"training loss {{loss.item():.8f}}")
'''


def code(state) -> str:
    """The run so far as a program: same data, same start, same steps, same loss.

    Raises:
        ValueError: there are no points.
    """
    if not len(points(state)[0]):
        raise ValueError("Playground: no points yet, nothing to write down. Click in the plane first.")
    optimizer, options = OPTIMIZERS[state.optimizer_name]
    settings = ", ".join(f"{name}={value!r}" for name, value in ({"lr": rate(state)} | options).items())
    calls = [", ".join(f"{name}={value!r}" for name, value in phase.items()) for phase in state.phases]
    hidden = f"{state.layers} hidden layer{'s' if state.layers > 1 else ''} of {state.width}"
    return PROGRAM.format(
        title=f"{state.dataset}, {hidden} {state.activation} unit{'s' if state.width > 1 else ''}",
        data=data_code(state),
        seed=state.seed,
        layers="\n".join(f"    nn.{module!r}," for module in state.model),
        optimizer=f"{optimizer.__name__}(model.parameters(), {settings})",
        phases="".join(f"train({call})\n" for call in calls),
    )


def data_code(state) -> str:
    """The lines that make the training points."""
    places, labels = [place for place, _ in state.clicked], [label for _, label in state.clicked]
    maker = DATASETS[state.dataset]
    if maker is None:
        return f'x = np.array({places}, "float32")\ny = np.array({labels})'
    made = f"x, y = data.{maker.__name__}(n={TRAIN + TEST}, noise={state.noise!r}, seed={state.data_seed})\n"
    made += f"x, y = x[:{TRAIN}], y[:{TRAIN}]  # the others are for testing"
    if not places:
        return made
    return f'{made}\nx = np.append(x, np.array({places}, "float32"), axis=0)\ny = np.append(y, {labels})'


# The widget


class Playground(Widget):
    """A network that learns points in the plane, live.

    The learning rate, the penalty and the batch size may change while it trains; other settings start again.
    A press in the plane adds a training point, a press on a unit's map enlarges it.

    Args:
        dataset: "moons", "circles", "XOR", "spirals" or "own points".
        noise: standard deviation of the points about their shape.
        layers, width: hidden layers (1 to 4), and units in each (1 to 8).
        activation: "tanh", "ReLU" or "sigmoid".
        optimizer: "SGD", "SGD with momentum" or "Adam".
        lr: learning rate, 0.001 to 3.
        weight_decay: strength of the L2 penalty; each step adds weight_decay * w to w's gradient.
    """

    def __init__(
        self,
        dataset: str = "moons",
        noise: float = 0.05,
        layers: int = 2,
        width: int = 8,
        activation: str = "tanh",
        optimizer: str = "SGD with momentum",
        lr: float = 0.1,
        weight_decay: float = 0.0,
    ):
        controls = [
            choice("dataset", "data", DATASETS.keys(), dataset, self._other_data),
            slider("noise", "noise", 0.0, 0.3, noise, 0.01, on_change=new_data),
            choice("layers", "hidden layers", [1, 2, 3, 4], layers, start),
            choice("width", "units in each", list(range(1, 9)), width, start),
            choice("activation", "activation", ACTIVATIONS.keys(), activation, start),
            choice("optimizer_name", "optimizer", OPTIMIZERS.keys(), optimizer, start),
            slider("lr", "learning rate", 0.001, 3.0, lr, step=0.02, log=True),
            choice("weight_decay", "L2 penalty", PENALTIES, weight_decay),
            choice("batch_size", "batch", BATCHES, BATCHES["all"]),
            slider("steps_per_frame", "steps a frame", 1, 100, 10),
            choice("label", "a click adds", {"blue (1)": 1, "orange (0)": 0}, 1),
            toggle("show_test", "show test points", True),
            button("New data", self._draw_again("data_seed", new_data)),
            button("New weights", self._draw_again("seed", start)),
            button("Remove my points", self._forget),
            button("Export as code", self._export),
        ]
        for control in controls:
            _narrow(control)
        state = SimpleNamespace(seed=0, data_seed=0, clicked=[])
        vars(state).update({control.name: control.value for control in controls if control.name})
        new_data(state)
        super().__init__(
            state, draw, controls, step=step, reset=self._restart, describe=describe, on_pointer=press
        )
        self._program = ipywidgets.Textarea(
            description="program",
            rows=18,
            layout=ipywidgets.Layout(width=f"{SIZE[0]}px", display="none"),
            style={"description_width": "initial"},
        )
        self.children = [*self.children, self._program]

    @property
    def model(self) -> nn.Sequential:
        """The network, as it is now."""
        return self.state.model

    @property
    def loss(self) -> float:
        """Mean loss on all training points (nats)."""
        with ENGINE_LOCK:
            return measure(self.state, *points(self.state))[0]

    def code(self) -> str:
        """The run so far as a program of its own; it prints the loss that the playground has now."""
        with ENGINE_LOCK:
            return code(self.state)

    def close(self) -> None:
        super().close()
        self._program.close()

    def _export(self, state) -> None:
        self._program.value = code(state)
        self._program.layout.display = ""

    def _restart(self, state) -> None:
        state.seed, state.data_seed, state.clicked = 0, 0, []
        new_data(state)

    def _other_data(self, state) -> None:
        state.clicked = []
        new_data(state)

    def _forget(self, state) -> None:
        state.clicked = []
        start(state)

    def _draw_again(self, seed: str, action):
        def again(state):
            setattr(state, seed, getattr(state, seed) + 1)
            action(state)

        return again


def _narrow(control: Control) -> None:
    if isinstance(control.box, ipywidgets.IntSlider | ipywidgets.FloatSlider | ipywidgets.FloatLogSlider):
        control.box.layout.width = "270px"


def press(state, kind: str, px: float, py: float) -> None:
    """A press in the plane adds a point there; a press on a unit's map enlarges it."""
    if kind != "down":
        return
    axes = plane_axes(Picture(*SIZE), state)
    if axes.contains(px, py):
        x, y = axes.inverse(px, py)
        state.clicked = [*state.clicked, ((round(float(x), 2), round(float(y), 2)), state.label)]
        return
    for layer, column in enumerate(places(state)):
        for unit, (x, y) in enumerate(column):
            if max(abs(px - x), abs(py - y)) <= TILE / 2:
                state.shown = (layer, unit) if layer <= state.layers else None
