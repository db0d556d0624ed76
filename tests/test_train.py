"""The training loop and its checkpoints: interruption, nan, empty batches, a killed process."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, TensorDataset
from minidl.nn import functional as F
from minidl.optim import lr_scheduler, swa_utils
from minidl.train import evaluate, fit, load_checkpoint, save_checkpoint, train_step


@pytest.fixture
def problem():
    minidl.manual_seed(0)
    x = minidl.randn(256, 2)
    y = (x.array.sum(1) > 0).astype(np.int64)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    return model, DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)


def test_fit_learns_and_writes_history(problem):
    model, loader = problem
    history = fit(model, loader, optim.Adam(model.parameters(), lr=0.02), epochs=10, validation=loader)
    assert len(history.loss) == 10 * 8
    assert set(history.epochs[0]) == {"epoch", "loss", "accuracy", "seconds", "val_loss", "val_accuracy"}
    assert history.epochs[-1]["val_accuracy"] > 0.95
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"] / 2
    assert "10 epochs" in repr(history)


def test_fit_with_a_regression_loss(problem):
    x = minidl.randn(64, 3)
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16)
    model = nn.Linear(3, 1)
    history = fit(
        model, loader, optim.Adam(model.parameters(), lr=0.1), F.mse_loss, epochs=30, validation=loader
    )
    assert history.epochs[-1]["val_loss"] < 0.01
    assert "accuracy" not in history.epochs[-1]


def test_on_epoch_stops_early(problem):
    model, loader = problem
    history = fit(
        model, loader, optim.SGD(model.parameters(), lr=0.1), epochs=9, on_epoch=lambda e: e["epoch"] == 3
    )
    assert len(history.epochs) == 3


def test_an_interruption_keeps_what_was_trained(problem, capsys):
    model, loader = problem
    before = model[0].weight.array.copy()

    class Interrupted:
        def __len__(self):
            return len(loader)

        def __iter__(self):
            for i, batch in enumerate(loader):
                if i == 5:
                    raise KeyboardInterrupt
                yield batch

    history = fit(model, Interrupted(), optim.SGD(model.parameters(), lr=0.1), epochs=2)
    assert history.interrupted
    assert len(history.loss) == 5
    assert not (model[0].weight.array == before).all()
    assert "interrupted after 5 steps" in capsys.readouterr().out


def test_a_nan_loss_stops_before_the_weights_change(problem):
    model, _ = problem
    before = model[0].weight.array.copy()
    bad = minidl.tensor([[float("nan"), 1.0]])
    with pytest.raises(FloatingPointError, match=r"loss is nan.*smaller lr"):
        train_step(model, bad, minidl.tensor([0]), optim.SGD(model.parameters()), F.cross_entropy)
    assert (model[0].weight.array == before).all()


def test_an_empty_batch_is_refused(problem):
    model, _ = problem
    with pytest.raises(ValueError, match="empty batch"):
        train_step(
            model, minidl.zeros(0, 2), minidl.tensor([]), optim.SGD(model.parameters()), F.cross_entropy
        )
    with pytest.raises(ValueError, match="no batches"):
        fit(model, [], optim.SGD(model.parameters()))
    with pytest.raises(ValueError, match="no batches"):
        evaluate(model, [])


def test_evaluate_weighs_a_smaller_last_batch(problem):
    model, _ = problem
    x, y = minidl.randn(10, 2), minidl.randint(2, (10,))
    whole = evaluate(model, DataLoader(TensorDataset(x, y), batch_size=10))
    parts = evaluate(model, DataLoader(TensorDataset(x, y), batch_size=4))
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert parts["accuracy"] == pytest.approx(whole["accuracy"])
    assert model.training


def test_checkpoint_goes_on_bit_for_bit(problem, tmp_path):
    model, _ = problem
    x, y = minidl.randn(32, 2), minidl.randint(2, (32,))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        train_step(model, x, y, optimizer, F.cross_entropy)
    save_checkpoint(tmp_path / "c.safetensors", model, optimizer, epoch=3)
    twin = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    twin_optimizer = optim.Adam(twin.parameters())
    assert load_checkpoint(tmp_path / "c.safetensors", twin, twin_optimizer) == {"epoch": 3}
    for _ in range(3):
        train_step(model, x, y, optimizer, F.cross_entropy)
        train_step(twin, x, y, twin_optimizer, F.cross_entropy)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert (p.array == q.array).all()


class Noisy(nn.Module):
    """A network whose every forward draws random numbers, and that has a buffer."""

    def __init__(self):
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.layers(F.dropout(x + 0.1 * minidl.randn(*x.shape), 0.2, self.training))


def start_training(name, settings, shuffling):
    """Everything that a training needs, from nothing."""
    model, generator = Noisy(), minidl.Generator()
    optimizer = getattr(optim, name)(model.parameters(), lr=0.05, **settings)
    warm, cosine = lr_scheduler.LinearLR(optimizer, 0.1), lr_scheduler.CosineAnnealingLR(optimizer, 20)
    scheduler = lr_scheduler.SequentialLR(optimizer, [warm, cosine], [5])
    average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
    rng = np.random.default_rng(0)
    data = TensorDataset(rng.normal(size=(50, 2)).astype(np.float32), rng.integers(0, 2, 50))
    own = {"generator": generator.manual_seed(3)} if shuffling == "own generator" else {}
    loader = DataLoader(data, 10, shuffle=True, **own)
    return model, optimizer, {"scheduler": scheduler, "average": average, "generator": generator}, loader


def train_epochs(epochs, model, optimizer, parts, loader):
    losses = []
    for _ in range(epochs):
        for x, y in loader:
            losses.append(train_step(model, x, y, optimizer, F.cross_entropy)[0])
            parts["scheduler"].step()
            parts["average"].update_parameters(model)
    return losses


@pytest.mark.parametrize("shuffling", ["common numbers", "own generator"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("Adagrad", {"lr_decay": 0.1}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
        ("Adam", {"amsgrad": True}),
        ("AdamW", {}),
    ],
)
def test_training_resumed_is_training_that_never_stopped(tmp_path, name, settings, shuffling):
    path = tmp_path / "c.safetensors"
    minidl.manual_seed(1)
    straight = start_training(name, settings, shuffling)
    first = train_epochs(2, *straight)
    save_checkpoint(path, *straight[:2], **straight[2], epoch=2, best=0.5, note="half-way")
    second = train_epochs(2, *straight)

    minidl.manual_seed(99)  # as in a process that starts anew
    resumed = start_training(name, settings, shuffling)
    about = load_checkpoint(path, *resumed[:2], **resumed[2])
    assert about == {"epoch": 2, "best": 0.5, "note": "half-way"}
    assert train_epochs(2, *resumed) == second != first
    for part in ("scheduler", "average"):
        assert repr(resumed[2][part].state_dict()) == repr(straight[2][part].state_dict())
    for (key, t), u in zip(straight[0].state_dict().items(), resumed[0].state_dict().values(), strict=True):
        assert (t.array == u.array).all(), key


def test_weights_alone_leave_the_random_numbers_alone(problem, tmp_path):
    model, _ = problem
    save_checkpoint(tmp_path / "c", model, optim.SGD(model.parameters()))
    before = minidl.randn(3).tolist()
    minidl.manual_seed(5)
    expected = minidl.randn(3).tolist()
    minidl.manual_seed(5)
    load_checkpoint(tmp_path / "c", model)
    assert minidl.randn(3).tolist() == expected
    load_checkpoint(tmp_path / "c", model, optim.SGD(model.parameters()))
    assert minidl.randn(3).tolist() == before


def test_parts_that_a_checkpoint_lacks_are_named(problem, tmp_path):
    model, _ = problem
    optimizer = optim.SGD(model.parameters())
    save_checkpoint(tmp_path / "c", model, optimizer)
    with pytest.raises(ValueError, match=r"no scheduler state.*give save_checkpoint the scheduler"):
        load_checkpoint(tmp_path / "c", model, optimizer, scheduler=lr_scheduler.StepLR(optimizer, 1))
    minidl.save(model.state_dict(), tmp_path / "weights")
    with pytest.raises(ValueError, match="no model state"):
        load_checkpoint(tmp_path / "weights", model)


def test_a_truncated_checkpoint_is_refused(problem, tmp_path):
    model, _ = problem
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, model)
    before = model[0].weight.array.copy()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="no complete safetensors"):
        load_checkpoint(path, model)
    assert (model[0].weight.array == before).all()


def test_a_checkpoint_of_another_model_is_refused(problem, tmp_path):
    model, _ = problem
    save_checkpoint(tmp_path / "c.safetensors", model)
    with pytest.raises(RuntimeError, match=r"Missing key.*weight"):
        load_checkpoint(tmp_path / "c.safetensors", nn.Linear(2, 2))
    with pytest.raises(ValueError, match="no optimizer state"):
        load_checkpoint(tmp_path / "c.safetensors", model, optim.SGD(model.parameters()))


KILLED = """
import sys
import numpy as np
from minidl import nn
from minidl.train import save_checkpoint
model = nn.Linear(1000, 500)
print("ready", flush=True)
for i in range(10_000):
    model.weight.array[...] = i
    save_checkpoint(sys.argv[1], model, epoch=i)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_process_killed_while_saving_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    for delay in (0.05, 0.11, 0.23):
        command = [sys.executable, "-c", KILLED, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            while not path.exists():
                time.sleep(0.01)
            time.sleep(delay)
            os.kill(child.pid, signal.SIGKILL)
        model = nn.Linear(1000, 500)
        epoch = load_checkpoint(path, model)["epoch"]
        assert (model.weight.array == epoch).all()
