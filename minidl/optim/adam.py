"""Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019)."""

from minidl import kernels
from minidl.optim.optimizer import Optimizer, check_settings


class Adam(Optimizer):
    """Step size adapted to each weight: lr * mean(g) / sqrt(mean(g^2)), both running means.

    Args:
        lr: step size; each weight moves by about lr at most.
        betas: how slowly the running means of g and g^2 forget.
        eps: added to the denominator.
        weight_decay: adds weight_decay * w to g (AdamW: shrinks w directly).
    """

    decoupled = False

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *, maximize=False):
        check_settings(lr=lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"invalid betas: {betas}; each must lie in [0, 1)")
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def _update(self, flat, where, step, settings):
        w, g = flat.weight[where], flat.gradient[where]
        g = -g if settings["maximize"] else g
        m, v = flat.buffer("mean")[where], flat.buffer("square")[where]
        rest = (*settings["betas"], settings["eps"], settings["weight_decay"], self.decoupled, step)
        kernels.find("adam_step", w)(w, g, m, v, settings["lr"], *rest)


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly instead of going through the gradient."""

    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, maximize=False):
        super().__init__(params, lr, betas, eps, weight_decay, maximize=maximize)
