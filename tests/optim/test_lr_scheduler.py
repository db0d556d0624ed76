"""Schedules of the step size: curves like PyTorch's, restarts, state."""

import copy
import inspect
import math
import warnings

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.optim import lr_scheduler
from tests.parity import calls, ours, theirs, written

SCHEDULES = calls("""
    S.StepLR(o, 1, 0.9)
    S.StepLR(o, step_size=7)
    S.MultiStepLR(o, [])
    S.MultiStepLR(o, (20, 3, 3, 10), 0.5)
    S.MultiStepLR(o, range(0, 50, 9), gamma=0.7)
    S.ConstantLR(o)
    S.ConstantLR(o, 0.5, 0)
    S.ConstantLR(o, factor=1, total_iters=100)
    S.LinearLR(o)
    S.LinearLR(o, 0.01, 0.5, 20)
    S.LinearLR(o, 1, 0.0, 1)
    S.LinearLR(o, start_factor=0.1, end_factor=1.0, total_iters=100)
    S.ExponentialLR(o, 0.9)
    S.ExponentialLR(o, gamma=1)
    S.ExponentialLR(o, 0.0)
    S.PolynomialLR(o)
    S.PolynomialLR(o, 40, 2.0)
    S.PolynomialLR(o, total_iters=1, power=0.5)
    S.CosineAnnealingLR(o, 1)
    S.CosineAnnealingLR(o, 2, 0.01)
    S.CosineAnnealingLR(o, 10)
    S.CosineAnnealingLR(o, T_max=33, eta_min=0.5)
    S.CosineAnnealingLR(o, 100)
    S.CosineAnnealingWarmRestarts(o, 1)
    S.CosineAnnealingWarmRestarts(o, 10, 1, 0.01)
    S.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2)
    S.CosineAnnealingWarmRestarts(o, 3, 3)
    S.LambdaLR(o, lambda t: 0.9**t)
    S.LambdaLR(o, [Power(0.9), Power(0.8)])
    S.MultiplicativeLR(o, lambda t: 0.95)
    S.MultiplicativeLR(o, [Power(0.99), lambda t: 0.9])
    S.OneCycleLR(o, 1.0, 60)
    S.OneCycleLR(o, [0.5, 1.0], epochs=7, steps_per_epoch=10, pct_start=0.1, anneal_strategy="linear")
    S.OneCycleLR(o, 1, total_steps=100, three_phase=True, base_momentum=[0.8, 0.7], max_momentum=0.9)
    S.OneCycleLR(o, 1.0, 61, three_phase=True, anneal_strategy="linear", div_factor=5, final_div_factor=10)
    S.OneCycleLR(o, 1.0, 70, pct_start=1.0, cycle_momentum=False)
    S.OneCycleLR(o, 1.0, 60, pct_start=0.0)
    S.SequentialLR(o, [S.LinearLR(o, 0.01, total_iters=5), S.CosineAnnealingLR(o, 50)], [5])
    S.SequentialLR(o, [S.ConstantLR(o, 0.1, 3), S.ExponentialLR(o, 0.9)], milestones=[3])
    S.SequentialLR(o, [S.StepLR(o, 3, 0.5), S.CosineAnnealingWarmRestarts(o, 7), S.PolynomialLR(o)], [9, 25])
    S.SequentialLR(o, [S.LambdaLR(o, lambda t: (t + 1) / 10), S.MultiStepLR(o, [0, 3, 6])], [10])
    S.SequentialLR(o, [S.ExponentialLR(o, 0.9), S.LinearLR(o)], [0])
    S.SequentialLR(o, [S.SequentialLR(o, [S.LinearLR(o), S.StepLR(o, 9)], [5]), S.StepLR(o, 7)], [20])
    S.SequentialLR(o, [S.LinearLR(o)], [])
""")
KINDS = [
    name for name in lr_scheduler.__all__ if name not in ("LRScheduler", "SequentialLR", "ReduceLROnPlateau")
]
RESUMABLE = [call for call in SCHEDULES if "Sequential" not in call]


class Power:
    """A function with a state of its own."""

    def __init__(self, base):
        self.base = base

    def __call__(self, t):
        return self.base**t


def optimizer(m, name="SGD", **settings):
    """One with two groups: lr 0.1 and 0.2."""
    ps = [m.ones(1).requires_grad_() for _ in range(2)]
    return getattr(m.optim, name)(
        [{"params": [p], "lr": 0.1 * (i + 1)} for i, p in enumerate(ps)], **settings
    )


def schedule(call, m, o, **more):
    """The scheduler of a table's call; `more` are further keyword arguments."""
    if more:
        call = call[:-1] + ", " + ", ".join(f"{k}={v}" for k, v in more.items()) + ")"
    return written(call, S=m.optim.lr_scheduler, o=o, Power=Power)(m)


def settings_now(o, scheduler):
    momenta = [(g["betas"][0] if "betas" in g else g.get("momentum", 0)) for g in o.param_groups]
    return [*(g["lr"] for g in o.param_groups), *scheduler.get_last_lr(), *momenta, scheduler.last_epoch]


def assert_same_curve(curve):
    """`curve(m)` yields lists of numbers: the same in minidl and PyTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's about the order of steps, and about step(epoch)
        want, mine = list(curve(theirs())), list(curve(ours()))
    np.testing.assert_allclose(np.array(mine), np.array(want), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("call", SCHEDULES)
def test_sixty_steps_like_pytorchs(call, name):
    def curve(m):
        o = optimizer(m, name)
        scheduler = schedule(call, m, o)
        yield settings_now(o, scheduler)
        for t in range(60):
            if t == 25:
                o.param_groups[0]["lr"] = 0.077  # a change by hand lasts, or not, as in PyTorch
            scheduler.step()
            yield settings_now(o, scheduler)

    assert_same_curve(curve)


@pytest.mark.parametrize("call", SCHEDULES)
def test_state_goes_on_as_pytorchs(call):
    def curve(m):
        o = optimizer(m)
        scheduler = schedule(call, m, o)
        for _ in range(12):
            scheduler.step()
        states = copy.deepcopy((o.state_dict(), scheduler.state_dict()))
        o = optimizer(m)
        scheduler = schedule(call.replace("0.9", "0.5"), m, o)
        o.load_state_dict(states[0])
        scheduler.load_state_dict(states[1])
        for _ in range(30):
            scheduler.step()
            yield settings_now(o, scheduler)

    assert_same_curve(curve)


@pytest.mark.parametrize("call", RESUMABLE)
def test_last_epoch_resumes_as_pytorchs(call):
    def curve(m):
        o = optimizer(m, "Adam")
        scheduler = schedule(call, m, o)
        for _ in range(4):
            scheduler.step()
        scheduler = schedule(call, m, o, last_epoch=scheduler.last_epoch)
        yield settings_now(o, scheduler)
        for _ in range(30):
            scheduler.step()
            yield settings_now(o, scheduler)

    assert_same_curve(curve)


@pytest.mark.parametrize("call", RESUMABLE)
def test_a_jump_to_an_epoch_uses_the_closed_form(call):
    def curve(m):
        o = optimizer(m)
        scheduler = schedule(call, m, o)
        for epoch in (None, 7, None, 30, 3, None, 0):
            scheduler.step(epoch)
            yield settings_now(o, scheduler)

    assert_same_curve(curve)


def test_a_restart_may_lie_between_two_epochs():
    def curve(m):
        o = optimizer(m)
        scheduler = m.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 4, 2)
        for epoch in np.arange(0, 40, 0.3).tolist():
            scheduler.step(epoch)
            yield settings_now(o, scheduler)

    assert_same_curve(curve)


def test_two_schedules_act_on_one_optimiser():
    def curve(m):
        o = optimizer(m)
        S = m.optim.lr_scheduler
        both = S.ExponentialLR(o, 0.95), S.CosineAnnealingLR(o, 20), S.StepLR(o, 7, 0.5)
        for _ in range(50):
            for scheduler in both:
                scheduler.step()
                yield settings_now(o, scheduler)

    assert_same_curve(curve)


def test_a_group_that_joins_later_follows():
    def curve(m):
        o = optimizer(m)
        scheduler = m.optim.lr_scheduler.StepLR(o, 2)
        o.add_param_group({"params": [m.ones(1).requires_grad_()], "lr": 5.0})
        for _ in range(5):
            scheduler.step()
            yield settings_now(o, scheduler)

    assert_same_curve(curve)


@pytest.mark.parametrize("seed", range(40))
def test_plateaus_like_pytorchs(seed):
    rng = np.random.default_rng(seed)
    options = {
        "mode": ["min", "max"], "factor": [0.1, 0.5], "patience": [0, 1, 3], "threshold": [0, 1e-4, 0.1],
        "threshold_mode": ["rel", "abs"], "cooldown": [0, 2], "min_lr": [0, 0.01, [0.01, 0.05]],
        "eps": [1e-8, 0.01],
    }  # fmt: skip
    settings = {name: values[rng.integers(len(values))] for name, values in options.items()}
    metrics = rng.choice([0.5, 1.0, -1.0, math.nan, *rng.random(8)], 60)

    def curve(m):
        o = optimizer(m)
        scheduler = m.optim.lr_scheduler.ReduceLROnPlateau(o, **settings)
        for t, metric in enumerate(metrics):
            if t == 30:
                state = scheduler.state_dict()
                scheduler = m.optim.lr_scheduler.ReduceLROnPlateau(o)
                scheduler.load_state_dict(state)
            scheduler.step(m.tensor(metric) if t % 2 else metric)
            yield [
                *settings_now(o, scheduler),
                scheduler.num_bad_epochs,
                scheduler.in_cooldown,
                scheduler.best,
            ]

    assert_same_curve(curve)


@pytest.mark.parametrize("name", [*KINDS, "LRScheduler", "SequentialLR", "ReduceLROnPlateau"])
def test_signatures_are_pytorchs(name):
    want, mine = (
        inspect.signature(getattr(m.optim.lr_scheduler, name)).parameters for m in (theirs(), ours())
    )
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in want.values()]


def test_every_schedule_is_tried():
    assert all(any(f"S.{name}(" in call for call in SCHEDULES) for name in KINDS)


def test_a_schedule_of_ones_own():
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [lr / 2**self.last_epoch for lr in self.base_lrs]

    o = optimizer(ours())
    scheduler = Halving(o)
    scheduler.step()
    assert scheduler.get_last_lr() == [0.05, 0.1]
    with pytest.raises(NotImplementedError, match="get_lr"):
        lr_scheduler.LRScheduler(o)


def test_an_lr_that_is_a_tensor_is_changed_in_place():
    lr = minidl.tensor(0.5)
    o = optim.SGD([nn.Parameter(minidl.ones(1))], lr=lr)
    scheduler = lr_scheduler.StepLR(o, 1, 0.5)
    scheduler.step()
    assert o.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25
    assert scheduler.get_last_lr() == [0.25]
    assert scheduler.base_lrs == [0.5]


REFUSED = [
    ("S.StepLR([], 1)", "not an Optimizer"),
    ("S.StepLR(o, 1, last_epoch=3)", "'initial_lr'"),
    ("S.LambdaLR(o, [lambda t: 1])", "1 values for 2 parameter groups"),
    ("S.MultiplicativeLR(o, 0.5)", "must be a function"),
    ("S.ConstantLR(o, 1.5)", "between 0 and 1"),
    ("S.LinearLR(o, 0)", "start_factor=0"),
    ("S.LinearLR(o, 1, 1.5)", "end_factor=1.5"),
    ("S.CosineAnnealingWarmRestarts(o, 0)", "T_0=0"),
    ("S.CosineAnnealingWarmRestarts(o, 5.0)", "T_0=5.0"),
    ("S.CosineAnnealingWarmRestarts(o, 5, 0)", "T_mult=0"),
    ("S.CosineAnnealingWarmRestarts(o, 5, 1, 'x')", "eta_min='x'"),
    ("S.CosineAnnealingWarmRestarts(o, 5).step(-1)", "epoch -1"),
    ("S.OneCycleLR(o, 1.0)", "total_steps"),
    ("S.OneCycleLR(o, 1.0, 0)", "positive integers"),
    ("S.OneCycleLR(o, 1.0, epochs=3)", "steps_per_epoch"),
    ("S.OneCycleLR(o, 1.0, epochs=3, steps_per_epoch=1.5)", "1.5"),
    ("S.OneCycleLR(o, 1.0, 10, pct_start=1)", "pct_start=1"),
    ("S.OneCycleLR(o, 1.0, 10, anneal_strategy='exp')", "'exp'"),
    ("S.OneCycleLR(o, [1.0], 10)", "max_lr: 1 values"),
    ("S.OneCycleLR(plain, 1.0, 10)", "neither momentum nor betas"),
    ("[s.step() for s in [S.OneCycleLR(o, 1.0, 1)] for _ in range(3)]", "step 2 of a cycle of 1 steps"),
    ("S.SequentialLR(o, [], [])", "0 schedulers"),
    ("S.SequentialLR(o, [S.StepLR(o, 1)], [3])", "a milestone between"),
    ("S.SequentialLR(o, [3], [])", "int is not a scheduler"),
    ("S.SequentialLR(o, [S.ReduceLROnPlateau(o)], [])", "needs a metric"),
    ("S.SequentialLR(o, [S.StepLR(plain, 1)], [])", "of this optimiser"),
    ("S.ReduceLROnPlateau(o, 'mean')", "'mean'"),
    ("S.ReduceLROnPlateau(o, factor=1.0)", "factor=1.0"),
    ("S.ReduceLROnPlateau(o, threshold_mode='x')", "'x'"),
    ("S.ReduceLROnPlateau(o, min_lr=[0.1])", "min_lr: 1 values"),
    ("S.ReduceLROnPlateau(None)", "not an Optimizer"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_pytorch_refuses_is_refused(call, message):
    errors = (ValueError, TypeError, KeyError)
    for m, match in ((theirs(), None), (ours(), message)):
        o, plain = optimizer(m), optimizer(m, "Adagrad")
        with pytest.raises(errors, match=match), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written(call, S=m.optim.lr_scheduler, o=o, plain=plain)(m)
