"""The training loop that the notebooks write first, with what a real one needs around it.

Progress bar, history, checkpoints written atomically, and an interruption that keeps what was trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minidl.nn import functional as F
from minidl.nn.module import Module
from minidl.ops import Generator, default_generator
from minidl.optim import Optimizer
from minidl.progress import progress
from minidl.serialization import load, save
from minidl.tensor import Tensor, no_grad


@dataclass
class History:
    """What happened: `loss` of every step (nats or the loss's own unit), one dict an epoch in `epochs`."""

    loss: list[float] = field(default_factory=list)
    epochs: list[dict] = field(default_factory=list)
    interrupted: bool = False

    def __repr__(self):
        last = {k: round(v, 4) for k, v in self.epochs[-1].items()} if self.epochs else {}
        return f"History({len(self.epochs)} epochs, {len(self.loss)} steps, last: {last})"


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of rows whose largest logit is the label's: logits (N, C), labels (N,)."""
    return float((logits.array.argmax(axis=1) == labels.array).mean())


def _is_classification(labels: Tensor) -> bool:
    return labels.array.dtype.kind in "iu"


def evaluate(model: Module, loader, loss_fn: Callable = F.cross_entropy) -> dict[str, float]:
    """Mean loss over a loader, and accuracy if the targets are labels; in eval mode, without gradients."""
    was_training, total, right, count = model.training, 0.0, 0.0, 0
    model.eval()
    with no_grad():
        for x, y in loader:
            out = model(x)
            total += loss_fn(out, y).item() * len(x)
            right += accuracy(out, y) * len(x) if _is_classification(y) else 0
            count += len(x)
    model.train(was_training)
    if not count:
        raise ValueError("evaluate: the loader gave no batches. Fix: check the data set and drop_last")
    result = {"loss": total / count}
    return {**result, "accuracy": right / count} if _is_classification(y) else result


def train_step(
    model: Module, x: Tensor, y: Tensor, optimizer: Optimizer, loss_fn: Callable
) -> tuple[float, Tensor]:
    """Forward, loss, backward, update. Returns the loss and the outputs.

    Raises:
        FloatingPointError: the loss is nan or inf; the weights are left as they were.
    """
    if not len(x):
        raise ValueError("train_step: an empty batch. Fix: check the data set and the loader")
    out = model(x)
    loss = loss_fn(out, y)
    value = loss.item()
    if not np.isfinite(value):
        raise FloatingPointError(
            f"the loss is {value}; the weights were left as they were before this step. "
            "Fix: a smaller lr, inputs scaled to about [-1, 1], or a check of the data for nan"
        )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return value, out


def fit(
    model: Module,
    loader,
    optimizer: Optimizer,
    loss_fn: Callable = F.cross_entropy,
    epochs: int = 1,
    validation=None,
    on_epoch: Callable[[dict], bool | None] | None = None,
    checkpoint: str | Path | None = None,
    show_progress: bool = True,
) -> History:
    """Train for `epochs` passes over the loader.

    Args:
        loader: gives (x, y) batches; `len(loader)` batches an epoch.
        validation: a second loader, evaluated after each epoch.
        on_epoch: called with the epoch's dict; returning True stops training (early stopping).
        checkpoint: file that receives model and optimiser after each epoch, atomically.

    Ctrl-C (or the notebook's stop button) ends training and returns the history so far: the model keeps
    what it learned, and `history.interrupted` is True.
    """
    if not len(loader):
        raise ValueError("fit: the loader gives no batches. Fix: check the data set and drop_last")
    history = History()
    model.train()
    with progress(epochs * len(loader), "training", show=show_progress) as bar:
        try:
            for epoch in range(1, epochs + 1):
                record = _train_epoch(model, loader, optimizer, loss_fn, history, bar)
                if validation is not None:
                    result = evaluate(model, validation, loss_fn)
                    record |= {f"val_{k}": v for k, v in result.items()}
                history.epochs.append({"epoch": epoch, **record})
                if checkpoint is not None:
                    save_checkpoint(checkpoint, model, optimizer, epoch=epoch)
                if on_epoch is not None and on_epoch(history.epochs[-1]):
                    break
        except KeyboardInterrupt:
            history.interrupted = True
            print(f"interrupted after {len(history.loss)} steps; the model keeps what it learned")
    return history


def _train_epoch(model, loader, optimizer, loss_fn, history, bar) -> dict[str, float]:
    start, total, right, count = time.perf_counter(), 0.0, 0.0, 0
    for x, y in loader:
        loss, out = train_step(model, x, y, optimizer, loss_fn)
        history.loss.append(loss)
        total, count = total + loss * len(x), count + len(x)
        right += accuracy(out, y) * len(x) if _is_classification(y) else 0
        bar.advance(f"loss {loss:.4f}")
    record = {"loss": total / count, "seconds": time.perf_counter() - start}
    return {**record, "accuracy": right / count} if _is_classification(y) else record


# -- checkpoints ---------------------------------------------------------------------------------------


def save_checkpoint(path: str | Path, model: Module, optimizer: Optimizer | None = None, **parts) -> None:
    """Write weights, optimiser state, the state of minidl's random numbers and `parts` to one file.

    The file appears under its name only when it is complete: a process killed half-way leaves the previous
    checkpoint untouched.

    Args:
        parts: more objects with a state, as scheduler=scheduler or generator=generator; numbers, as epoch=3.
    """
    parts = {"model": model, "optimizer": optimizer, "random": default_generator, **parts}
    save({name: _state_of(part) for name, part in parts.items() if part is not None}, path)


def load_checkpoint(path: str | Path, model: Module, optimizer: Optimizer | None = None, **parts) -> dict:
    """Put a checkpoint's values into the model, optimiser and `parts`, and return the numbers that it holds.

    With an optimiser, training goes on from where it was, bit for bit: with the same random numbers, too.

    Raises:
        ValueError: the file is no complete checkpoint, or lacks a part. RuntimeError: it is of another model.
    """
    saved = load(path)
    resumed = {"optimizer": optimizer, "random": default_generator} if optimizer is not None else {}
    wanted = {k: part for k, part in {"model": model, **resumed, **parts}.items() if part is not None}
    for name in wanted:
        if name not in saved:
            raise ValueError(f"{path} holds no {name} state. Fix: give save_checkpoint the {name} as well")
    for name, part in wanted.items():
        (part.set_state if isinstance(part, Generator) else part.load_state_dict)(saved[name])
    return {name: value for name, value in saved.items() if not isinstance(value, (dict, Tensor))}


def _state_of(part):
    """What can be saved of an object: a generator's or a module's state, or itself if it is a number."""
    if isinstance(part, Generator):
        return part.get_state()
    return part.state_dict() if hasattr(part, "state_dict") else part
