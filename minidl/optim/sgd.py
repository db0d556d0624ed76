"""Stochastic gradient descent (Robbins & Monro 1951) with momentum (Polyak 1964) or Nesterov's (1983)."""

from minidl import kernels
from minidl.optim.optimizer import Optimizer, check_settings, numbers


class SGD(Optimizer):
    """v = momentum v + g;  w -= lr v. The meaning of every setting is PyTorch's.

    Args:
        lr: step size.
        momentum: how much of the last step's direction is kept.
        dampening: share of g that momentum leaves out.
        weight_decay: adds weight_decay * w to g.
        nesterov: look ahead: w -= lr (g + momentum v).
        maximize: climb instead of descending.
    """

    saves_step = False

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        check_settings(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("nesterov needs momentum > 0 and dampening = 0")
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        settings |= {"nesterov": nesterov, "maximize": maximize, "foreach": foreach}
        super().__init__(params, {**settings, "differentiable": differentiable, "fused": fused})

    def _starts(self, group):
        return {"momentum_buffer": 0 if group["momentum"] else None}

    def _update(self, group, step, w, g, velocity):
        settings = numbers(group, "lr", "momentum", "dampening", "weight_decay")
        kernels.find("sgd_step", w)(w, g, velocity, *settings, bool(group["nesterov"]), step == 1)
