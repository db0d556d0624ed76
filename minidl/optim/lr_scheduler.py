"""Schedules of the step size: `scheduler.step()` after each epoch (or step) sets every group's lr.

Most schedules change the lr that is there, so that two of them may act on one optimiser, and a change by hand
lasts. `step(epoch)` jumps to an epoch by the closed form instead. Warm-up, then annealing:

    warm = LinearLR(optimizer, start_factor=0.01, total_iters=100)
    cosine = CosineAnnealingLR(optimizer, T_max=900)
    scheduler = SequentialLR(optimizer, [warm, cosine], milestones=[100])

In the formulas t is `last_epoch`, the number of steps of the scheduler so far.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from types import FunctionType

from minidl.optim.optimizer import Optimizer
from minidl.tensor import Tensor, no_grad

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LRScheduler",
    "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class LRScheduler:
    """The base of schedules: a subclass says in `get_lr` what each group's lr is at `last_epoch`.

    Args:
        optimizer: whose groups are changed. Each remembers its first lr as "initial_lr".
        last_epoch: -1 to start; else the epoch from which to resume, with groups that have "initial_lr".
    """

    _is_initial = False  # within the first step, which __init__ takes

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        self.optimizer = _checked(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"last_epoch={last_epoch} resumes, but param_groups[{i}] has no 'initial_lr'. Fix: load "
                    "the optimiser's state first, or leave last_epoch out"
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The lr of each group at `last_epoch`, from what it is now."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr: define it")

    def _get_closed_form_lr(self) -> list[float]:
        """The lr of each group at `last_epoch`, from the first one."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The lr of each group as this schedule set it last."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go on by one epoch, or to `epoch`. Call it after `optimizer.step()`."""
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set(self.get_lr() if epoch is None else self._get_closed_form_lr())

    def _set(self, lrs: Iterable[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            _set_lr(group, lr)
        self._last_lr = _current(self.optimizer)

    def state_dict(self) -> dict:
        """Everything but the optimiser."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from where `state_dict` was called. The optimiser's lr is in the optimiser's own state."""
        vars(self).update(state_dict)


def _checked(optimizer: Optimizer) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer. Fix: pass the optimiser first")
    return optimizer


def _current(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def _set_lr(group: dict, lr: float) -> None:
    if isinstance(group["lr"], Tensor):
        with no_grad():
            group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _for_each_group(name: str, optimizer: Optimizer, value) -> list:
    """A list with one value a group, from one or from a value for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(optimizer.param_groups)
    if len(value) != len(optimizer.param_groups):
        raise ValueError(
            f"{name}: {len(value)} values for {len(optimizer.param_groups)} parameter groups. Fix: one each"
        )
    return list(value)


# -- a factor for all groups -------------------------------------------------------------------------


class _Factor(LRScheduler):
    """Schedules that multiply every lr by the same."""

    def _factor(self) -> float:
        """lr(t) / lr(t - 1)"""
        raise NotImplementedError

    def _whole_factor(self) -> float:
        """lr(t) / the first lr"""
        raise NotImplementedError

    def get_lr(self):
        factor = self._factor()
        return [lr * factor for lr in _current(self.optimizer)]

    def _get_closed_form_lr(self):
        return [lr * self._whole_factor() for lr in self.base_lrs]


class StepLR(_Factor):
    """Every `step_size` epochs lr is multiplied by gamma: lr = base gamma^(t // step_size)."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self):
        return self.gamma if self.last_epoch and self.last_epoch % self.step_size == 0 else 1.0

    def _whole_factor(self):
        return self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(_Factor):
    """At each of the milestones lr is multiplied by gamma."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ):
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self):
        return self.gamma ** self.milestones.get(self.last_epoch, 0)

    def _whole_factor(self):
        return self.gamma ** sum(n for epoch, n in self.milestones.items() if epoch <= self.last_epoch)


class ConstantLR(_Factor):
    """lr is base * factor until `total_iters`, then base."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ):
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor={factor} must lie between 0 and 1")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self):
        if self.last_epoch == 0:
            return self.factor
        return 1.0 / self.factor if self.last_epoch == self.total_iters else 1.0

    def _whole_factor(self):
        return self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)


class LinearLR(_Factor):
    """lr goes in a straight line from base * start_factor to base * end_factor at `total_iters`: warm-up."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor={start_factor} must be greater than 0 and at most 1")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor={end_factor} must lie between 0 and 1")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self):
        if self.last_epoch == 0:
            return self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1.0
        change = self.end_factor - self.start_factor
        return 1.0 + change / (self.total_iters * self.start_factor + (self.last_epoch - 1) * change)

    def _whole_factor(self):
        change = self.end_factor - self.start_factor
        return self.start_factor + change * min(self.total_iters, self.last_epoch) / self.total_iters


class ExponentialLR(_Factor):
    """Every epoch lr is multiplied by gamma: lr = base gamma^t."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self):
        return 1.0 if self._is_initial else self.gamma

    def _whole_factor(self):
        return self.gamma**self.last_epoch


class PolynomialLR(_Factor):
    """lr falls to 0 at `total_iters`: lr = base (1 - t / total_iters)^power."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _factor(self):
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1.0
        now, before = (1.0 - t / self.total_iters for t in (self.last_epoch, self.last_epoch - 1))
        return (now / before) ** self.power

    def _whole_factor(self):
        return (1.0 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power


# -- any function ------------------------------------------------------------------------------------


class LambdaLR(LRScheduler):
    """lr = base * lr_lambda(t), with one function for all groups or a list with one each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        self.lr_lambdas = _for_each_group("lr_lambda", _checked(optimizer), lr_lambda)
        if not all(map(callable, self.lr_lambdas)):
            raise TypeError(
                f"{type(self).__name__}: lr_lambda must be a function of the epoch, or a list of them"
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, self.base_lrs, strict=True)]

    def state_dict(self):
        """Everything but the optimiser and functions. Of callable objects, their attributes are kept."""
        kept = [hasattr(f, "__dict__") and not isinstance(f, FunctionType) for f in self.lr_lambdas]
        states = [vars(f).copy() if keep else None for f, keep in zip(self.lr_lambdas, kept, strict=True)]
        return {**super().state_dict(), "lr_lambdas": states}

    def load_state_dict(self, state_dict):
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                vars(function).update(attributes)
        super().load_state_dict({**state_dict, "lr_lambdas": self.lr_lambdas})


class MultiplicativeLR(LambdaLR):
    """Every epoch lr is multiplied by lr_lambda(t)."""

    def get_lr(self):
        lrs = _current(self.optimizer)
        if self._is_initial:
            return lrs
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, lrs, strict=True)]


# -- cosines -----------------------------------------------------------------------------------------


class CosineAnnealingLR(LRScheduler):
    """Half a cosine down, and up again: lr = eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2.

    Loshchilov & Hutter (2017), without their restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        t, lrs = self.last_epoch, _current(self.optimizer)
        if self._is_initial:
            return lrs
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # at the bottom a factor could not lift lr
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - self.eta_min) * rise for lr, base in zip(lrs, self.base_lrs, strict=True)]
        now, before = (1 + math.cos(math.pi * s / self.T_max) for s in (t, t - 1))
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in lrs]

    def _get_closed_form_lr(self):
        return [_cosine(base, self.eta_min, self.last_epoch / self.T_max) for base in self.base_lrs]


def _cosine(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine; `share` of the way, from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _line(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down, then back to the top at once, again and again (Loshchilov & Hutter 2017).

    Args:
        T_0: epochs of the first descent.
        T_mult: how many times longer each is than the last one.
        eta_min: the lr at the bottom.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ):
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"CosineAnnealingWarmRestarts: {name}={value} must be a positive integer")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"CosineAnnealingWarmRestarts: eta_min={eta_min!r} must be a number")
        self.T_0, self.T_i, self.T_mult, self.eta_min, self.T_cur = T_0, T_0, T_mult, eta_min, last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [_cosine(base, self.eta_min, self.T_cur / self.T_i) for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by one epoch, or to `epoch`, which may be a fraction."""
        if epoch is None and self.last_epoch >= 0:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
        else:
            self._jump(epoch or 0)
        self._set(self.get_lr())

    def _jump(self, epoch: float) -> None:
        if epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch {epoch} must not be negative")
        self.last_epoch = math.floor(epoch)
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(
                math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult)
            )  # descents before this one
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n


class OneCycleLR(LRScheduler):
    """lr rises to max_lr, then falls far below its start; momentum does the opposite (Smith & Topin 2019).

    Call `step()` after each batch, not each epoch.

    Args:
        max_lr: the top, one for all groups or a list.
        total_steps: of the whole cycle; or give `epochs` and `steps_per_epoch`.
        pct_start: the share of steps in which lr rises.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: change momentum (of Adam: the first beta) between max_momentum and base_momentum.
        div_factor: max_lr / first lr.
        final_div_factor: first lr / last lr.
        three_phase: up, down again in as many steps, then to the last lr.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        given = {"total_steps": total_steps}
        if total_steps is None:
            given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        if not all(isinstance(n, int) and n > 0 for n in given.values()):
            raise ValueError(
                f"OneCycleLR: {given} must be positive integers. Fix: give total_steps, or epochs and "
                "steps_per_epoch"
            )
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start={pct_start!r} must be a float between 0 and 1")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f'OneCycleLR: anneal_strategy must be "cos" or "linear", not {anneal_strategy!r}'
            )
        self.total_steps = math.prod(given.values())
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type, self.cycle_momentum = anneal_strategy, cycle_momentum
        if cycle_momentum and _checked(optimizer).defaults.keys().isdisjoint(("momentum", "betas")):
            raise ValueError(
                "OneCycleLR: the optimiser has neither momentum nor betas. Fix: cycle_momentum=False"
            )
        ranges = {"max_lr": max_lr, "max_momentum": max_momentum, "base_momentum": base_momentum}
        lists = {name: _for_each_group(name, _checked(optimizer), value) for name, value in ranges.items()}
        for i, group in enumerate(optimizer.param_groups if last_epoch == -1 else ()):
            group["initial_lr"] = lists["max_lr"][i] / div_factor
            group["min_lr"] = group["initial_lr"] / final_div_factor
            for name in lists if cycle_momentum else ("max_lr",):
                group[name] = lists[name][i]
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        t, start = self.last_epoch, 0.0
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: step {t} of a cycle of {self.total_steps} steps")
        for phase in self._schedule_phases:
            if t <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        share, way = (t - start) / (phase["end_step"] - start), ("start", "end")
        anneal = _cosine if self._anneal_func_type == "cos" else _line
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            momentum = anneal(*(group[phase[f"{end}_momentum"]] for end in way), share)
            if "betas" in self.optimizer.defaults:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum
        return [anneal(*(g[phase[f"{end}_lr"]] for end in way), share) for g in self.optimizer.param_groups]


def _phases(total_steps: int, pct_start: float, three_phase: bool) -> list[dict]:
    """The last step of each phase, and between which of a group's settings lr and momentum move in it."""
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    slow, fast = "base_momentum", "max_momentum"
    rows = [(pct_start * total_steps - 1, "initial_lr", "max_lr", fast, slow)]
    if three_phase:
        rows.append((2 * pct_start * total_steps - 2, "max_lr", "initial_lr", slow, fast))
        rows.append((total_steps - 1, "initial_lr", "min_lr", fast, fast))
    else:
        rows.append((total_steps - 1, "max_lr", "min_lr", slow, fast))
    return [dict(zip(names, row, strict=True)) for row in rows]


# -- one after the other, and by success -------------------------------------------------------------


class SequentialLR(LRScheduler):
    """One schedule after the other: the next one begins, at its epoch 0, when a milestone is reached.

    Args:
        schedulers: all of this optimiser.
        milestones: the epochs of change, one fewer than schedulers.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ):
        if len(schedulers) < 1 or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers, {len(milestones)} milestones. Fix: a milestone "
                "between each scheduler and the next"
            )
        for scheduler in schedulers:
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"SequentialLR: {type(scheduler).__name__} is not a scheduler")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError("SequentialLR cannot hold ReduceLROnPlateau, whose step needs a metric")
            if scheduler.optimizer is not optimizer:
                raise ValueError("SequentialLR: all schedulers must be of this optimiser")
        self._schedulers, self._milestones, self.optimizer = schedulers, milestones, optimizer
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            _set_lr(group, group["initial_lr"])
        self._undo(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo(self, scheduler: LRScheduler) -> None:
        """Take back the first step of all schedules inside: they have not begun yet."""
        for inner in scheduler._schedulers:
            if hasattr(inner, "_schedulers"):
                self._undo(inner)
            else:
                inner.last_epoch -= 1

    def step(self) -> None:
        """Go on by one epoch."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self):
        """Everything but the optimiser, the state of each schedule inside included."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict):
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)
        super().load_state_dict({**state_dict, "_schedulers": self._schedulers})


class ReduceLROnPlateau(LRScheduler):
    """lr is multiplied by `factor` when a metric has not become better for more than `patience` epochs.

    Args:
        mode: "min" if smaller is better, or "max".
        threshold: how much better counts: a share of the best so far ("rel") or a difference ("abs").
        cooldown: epochs after a reduction in which bad ones are not counted.
        min_lr: where lr stops, one for all groups or a list.
        eps: a reduction by less is left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ):
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: factor={factor} must be smaller than 1")
        if mode not in ("min", "max"):
            raise ValueError(f'ReduceLROnPlateau: mode must be "min" or "max", not {mode!r}')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f'ReduceLROnPlateau: threshold_mode must be "rel" or "abs", not {threshold_mode!r}'
            )
        self.optimizer, self.mode, self.factor, self.patience = _checked(optimizer), mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = (
            threshold,
            threshold_mode,
            cooldown,
            eps,
        )
        self.min_lrs = _for_each_group("min_lr", optimizer, min_lr)
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = _current(optimizer)

    @property
    def in_cooldown(self) -> bool:
        """Are bad epochs not counted now, because lr was reduced a short while ago?"""
        """Is it too soon after the last reduction for another one?"""
        return self.cooldown_counter > 0

    def _is_better(self, value: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        relative = self.threshold_mode == "rel"
        bar = self.best * (1 + sign * self.threshold) if relative else self.best + sign * self.threshold
        return sign * value > sign * bar

    def step(self, metrics: float | Tensor, epoch: int | None = None) -> None:
        """Look at the metric of one more epoch, and reduce lr if patience is over."""
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = _current(self.optimizer)

    def _reduce(self) -> None:
        lowest = self.min_lrs if self.default_min_lr is None else self.default_min_lr
        self.min_lrs = _for_each_group("min_lr", self.optimizer, lowest)
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = float(group["lr"])
            new = max(lr * self.factor, least)
            if lr - new > self.eps:
                _set_lr(group, new)
