"""Stochastic gradient descent (Robbins & Monro 1951) with momentum (Polyak 1964) or Nesterov's (1983)."""

from minidl import kernels
from minidl.optim.optimizer import Optimizer, check_settings


class SGD(Optimizer):
    """v = momentum v + g;  w -= lr v. The meaning of every setting is PyTorch's.

    Args:
        lr: step size.
        momentum: how much of the last step's direction is kept.
        dampening: share of g that momentum leaves out.
        weight_decay: adds weight_decay * w to g.
        nesterov: look ahead: w -= lr (g + momentum v).
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0.0,
        dampening=0.0,
        weight_decay=0.0,
        nesterov=False,
        *,
        maximize=False,
    ):
        check_settings(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("nesterov needs momentum > 0 and dampening = 0")
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "nesterov": nesterov, "maximize": maximize})

    def _update(self, flat, where, step, settings):
        w, g = flat.weight[where], flat.gradient[where]
        g = -g if settings["maximize"] else g
        velocity = flat.buffer("velocity")[where]
        names = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        update = kernels.find("sgd_step", w)
        update(w, g, velocity, *(settings[name] for name in names), step == 1)
