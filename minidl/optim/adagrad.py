"""Adagrad (Duchi, Hazan & Singer 2011)."""

import numpy as np

from minidl import kernels
from minidl.optim.optimizer import Optimizer, check_settings, numbers


class Adagrad(Optimizer):
    """Each weight has its own step size, smaller the more it was moved: w -= lr g / sqrt(sum of all g^2).

    Args:
        lr: step size.
        lr_decay: the step size in step t is lr / (1 + (t - 1) lr_decay).
        weight_decay: adds weight_decay * w to g.
        initial_accumulator_value: what the sum of squares starts from.
        eps: added to the denominator.
        maximize: climb instead of descending.
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        fused=None,
    ):
        settings = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        settings["initial_accumulator_value"] = initial_accumulator_value
        check_settings(**settings)
        options = {"foreach": foreach, "maximize": maximize, "differentiable": differentiable, "fused": fused}
        super().__init__(params, {**settings, **options})
        for group, flats in zip(self.param_groups, self._flat, strict=True):  # state from the first moment on
            start = {"step": 0, "sum": np.array(initial_accumulator_value)}
            for flat in flats:
                flat.set_state(dict.fromkeys(group["params"], start), self._starts(group))

    def _starts(self, group):
        return {"sum": self.defaults["initial_accumulator_value"]}

    def _update(self, group, step, w, g, total):
        settings = numbers(group, "lr", "lr_decay", "eps", "weight_decay")
        kernels.find("adagrad_step", w)(w, g, total, *settings, step)
