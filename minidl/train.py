"""The training loop that the notebooks write first, with what a real one needs around it.

Progress bar, history, checkpoints written atomically, and an interruption that keeps what was trained.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minidl.nn import functional as F
from minidl.nn.module import Module
from minidl.optim import Optimizer
from minidl.progress import progress
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


def save_checkpoint(
    path: str | Path, model: Module, optimizer: Optimizer | None = None, **numbers: float
) -> None:
    """Write weights, optimiser state and `numbers` to one safetensors file.

    The file appears under its name only when it is complete: a process killed half-way leaves the previous
    checkpoint untouched.
    """
    from safetensors.numpy import save

    arrays = {f"model.{k}": np.ascontiguousarray(t.array) for k, t in model.state_dict().items()}
    about = {"numbers": numbers}
    if optimizer is not None:
        state = optimizer.state_dict()
        about |= {"groups": state["groups"], "steps": state["steps"]}
        for i, flats in enumerate(state["state"]):
            for j, buffers in enumerate(flats):
                arrays |= {f"optimizer.{i}.{j}.{name}": a for name, a in buffers.items()}
    write_atomically(path, save(arrays, metadata={"minidl": json.dumps(about)}))


def load_checkpoint(path: str | Path, model: Module, optimizer: Optimizer | None = None) -> dict[str, float]:
    """Put a checkpoint's values into the model (and optimiser) and return its numbers.

    Raises:
        ValueError: the file is no complete checkpoint. RuntimeError: it is one of another model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {}).get("minidl", "{}"))
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no complete safetensors file ({error}). Fix: use an older checkpoint"
        ) from error
    model.load_state_dict({k.removeprefix("model."): a for k, a in arrays.items() if k.startswith("model.")})
    if optimizer is not None:
        if "groups" not in about:
            raise ValueError(f"{path} holds no optimiser state. Fix: save_checkpoint(path, model, optimizer)")
        state = [[{} for _ in flats] for flats in about["steps"]]
        for key, array in arrays.items():
            if key.startswith("optimizer."):
                _, i, j, name = key.split(".")
                state[int(i)][int(j)][name] = array
        optimizer.load_state_dict({"groups": about["groups"], "steps": about["steps"], "state": state})
    return about.get("numbers", {})


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write beside the target and rename: the name shows the old content or the new, never a part."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
