"""Time travel: keep a model's weights while it trains, look at any moment again, and fork from it."""

import bisect
import copy
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from .controls import button, slider
from .picture import Picture
from .theme import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from .widget import Widget


class Recorder:
    """Copies of a model's weights, one every few steps of training.

        recorder = Recorder(model, every=10)
        for step in range(1000): ...; recorder.record(step, loss)

    Args:
        model: anything with `state_dict()` and `load_state_dict()`.
        every: steps between two copies.
        limit: copies at the most; when there are more, every second one goes and `every` doubles.
    """

    def __init__(self, model, every: int = 10, limit: int = 200):
        if every < 1 or limit < 2:
            raise ValueError(f"Recorder: every is {every} and limit {limit}; they must be at least 1 and 2.")
        self.model, self.every, self.limit = model, every, limit
        self.steps: list[int] = []  # of the copies
        self.losses: dict[int, float] = {}  # of every recorded step
        self._copies: list[np.ndarray] = []

    def record(self, step: int, loss: float) -> None:
        """Note the loss of a step, and keep the weights when it is their turn. Steps must grow."""
        if self.losses and step <= next(reversed(self.losses)):
            raise ValueError(f"Recorder.record: step {step} comes after step {next(reversed(self.losses))}.")
        self.losses[step] = float(loss)
        if step % self.every == 0:
            self.steps.append(step)
            self._copies.append(_flat(self.model))
            if len(self.steps) > self.limit:
                self._thin()

    def _thin(self) -> None:
        self.every *= 2
        kept = [i for i, step in enumerate(self.steps) if step % self.every == 0]
        self.steps = [self.steps[i] for i in kept]
        self._copies = [self._copies[i] for i in kept]

    def restore(self, step: int, model=None) -> int:
        """Put the weights of the last copy at or before `step` into the model (or into another of its kind).

        Returns: the step of that copy.
        """
        at = bisect.bisect_right(self.steps, step) - 1
        if at < 0:
            first = f"the first copy is of step {self.steps[0]}" if self.steps else "nothing was recorded"
            raise ValueError(f"Recorder.restore: no copy at or before step {step}: {first}.")
        _load(self.model if model is None else model, self._copies[at])
        return self.steps[at]


def _flat(model) -> np.ndarray:
    """All weights, one after the other."""
    return np.concatenate([np.ravel(getattr(t, "array", t)) for t in model.state_dict().values()])


def _load(model, flat: np.ndarray) -> None:
    weights, start = {}, 0
    for name, tensor in model.state_dict().items():
        size, shape = int(np.prod(tensor.shape)), tensor.shape
        weights[name] = flat[start : start + size].reshape(shape).astype(tensor.dtype)
        start += size
    model.load_state_dict(weights)


class Scrubber(Widget):
    """A slider over the recorded steps: the model as it was then, on its loss curve.

    Args:
        recorder: what was recorded; a copy of its model is shown, the model itself stays as it is.
        draw_model: draw_model(model) -> Picture.
        retrain: retrain(model, lr) -> losses; brings "Fork": train on from here under another learning rate.
        lr: the learning rate that the slider begins with.
    """

    CURVES = 340  # pixels: the width of the loss curves
    FORKS = (ORANGE, GREEN, PURPLE, RED)

    def __init__(
        self, recorder: Recorder, draw_model: Callable, retrain: Callable | None = None, lr: float = 0.1
    ):
        if len(recorder.steps) < 2:
            raise ValueError(
                "Scrubber: fewer than two steps were recorded. Call recorder.record(step, loss) in training."
            )
        self.recorder, self._draw_model = recorder, draw_model
        self._model = copy.deepcopy(recorder.model)
        first, last = recorder.steps[0], recorder.steps[-1]
        controls = [slider("step", "step", first, last, last, step=recorder.every)]
        if retrain:
            controls.append(slider("lr", "learning rate of the fork", lr / 100, lr * 100, lr, log=True))
            controls.append(button("Fork", lambda state: self._fork(state, retrain)))
        super().__init__(SimpleNamespace(forks=[]), self._picture, controls, describe=self._sentence)

    def _fork(self, state, retrain) -> None:
        at = self.recorder.restore(state.step, self._model)
        state.forks = [*state.forks, (at, state.lr, np.asarray(retrain(self._model, state.lr), float))][
            -len(self.FORKS) :
        ]

    def _picture(self, state) -> Picture:
        self.recorder.restore(state.step, self._model)
        model = self._draw_model(self._model)
        picture = Picture(model.width + self.CURVES, max(model.height, 240))
        picture.paste(model)
        self._draw_curves(picture, state, (model.width, 0, self.CURVES, picture.height))
        return picture

    def _draw_curves(self, picture: Picture, state, box) -> None:
        steps, losses = np.array(list(self.recorder.losses.items()), float).T
        end = max([steps[-1], *(at + len(fork) for at, _, fork in state.forks)])
        finite = losses[np.isfinite(losses)]
        top = 1.05 * finite.max() if finite.size and finite.max() > 0 else 1.0
        axes = picture.axes(
            box, (0, end), (min(0, *finite, 0), top), "step", "loss", "Loss, and where you are"
        )
        loss, (low, high) = self.recorder.losses[state.step], axes.ylim
        free = high - (high - low) * (10 + 18 * (1 + len(state.forks))) / axes.box[3]  # below the legend
        marker = [low, min(high, max(free, loss))]
        axes.line([state.step] * 2, marker, GREY, 1.5, dash=True).line(steps, losses, BLUE)
        for color, (at, _, fork) in zip(self.FORKS, state.forks, strict=False):
            axes.line(at + np.arange(len(fork)), fork, color)
        axes.points([state.step], [loss], BLUE, 5)
        names = {
            f"fork at {at}, lr {lr:.2g}": color
            for color, (at, lr, _) in zip(self.FORKS, state.forks, strict=False)
        }
        axes.legend({"recorded": BLUE} | names)

    def _sentence(self, state) -> str:
        forks = "".join(f"; fork at step {at} with lr {lr:.2g}" for at, lr, _ in state.forks)
        return f"step {state.step} of {self.recorder.steps[-1]}{forks}"
