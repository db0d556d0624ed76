"""RMSprop (Tieleman & Hinton 2012), and its centred form (Graves 2013)."""

from minidl import kernels
from minidl.optim.optimizer import Optimizer, check_settings, numbers


class RMSprop(Optimizer):
    """Each gradient is divided by the root of its running mean square: w -= lr g / sqrt(mean(g^2)).

    Args:
        lr: step size.
        alpha: how slowly the running mean forgets.
        eps: added to the denominator.
        weight_decay: adds weight_decay * w to g.
        momentum: how much of the last step's direction is kept.
        centered: divide by the running standard deviation of g instead.
        maximize: climb instead of descending.
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        settings = {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        check_settings(**settings)
        settings |= {"centered": centered, "capturable": capturable, "foreach": foreach}
        super().__init__(params, {**settings, "maximize": maximize, "differentiable": differentiable})

    def _starts(self, group):
        return {
            "square_avg": 0,
            "momentum_buffer": 0 if group["momentum"] > 0 else None,
            "grad_avg": 0 if group["centered"] else None,
        }

    def _update(self, group, step, w, g, square, velocity, mean):
        settings = numbers(group, "lr", "alpha", "eps", "weight_decay", "momentum")
        kernels.find("rmsprop_step", w)(w, g, square, velocity, mean, *settings)
