"""Adam (Kingma & Ba 2015), AMSGrad (Reddi, Kale & Kumar 2018) and AdamW (Loshchilov & Hutter 2019)."""

from minidl import kernels
from minidl.optim.optimizer import Optimizer, check_settings, numbers
from minidl.tensor import Tensor


class Adam(Optimizer):
    """Step size adapted to each weight: lr * mean(g) / sqrt(mean(g^2)), both running means.

    Args:
        lr: step size; each weight moves by about lr at most.
        betas: how slowly the running means of g and g^2 forget.
        eps: added to the denominator.
        weight_decay: adds weight_decay * w to g.
        amsgrad: divide by the largest mean of g^2 so far.
        maximize: climb instead of descending.
        decoupled_weight_decay: shrink w directly instead, as AdamW does.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
        decoupled_weight_decay=False,
    ):
        check_settings(lr=lr, eps=eps, weight_decay=weight_decay)
        alike = any(all(isinstance(beta, kind) for beta in betas) for kind in (float, Tensor))
        if not alike or not all(0 <= float(beta) < 1 for beta in betas):
            raise ValueError(f"invalid betas: {betas}; two floats (or two tensors) in [0, 1)")
        settings = {"lr": lr, "betas": tuple(map(float, betas)), "eps": eps, "weight_decay": weight_decay}
        settings |= {"amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable}
        settings |= {"differentiable": differentiable, "fused": fused}
        super().__init__(params, {**settings, "decoupled_weight_decay": decoupled_weight_decay})

    def _starts(self, group):
        return {"exp_avg": 0, "exp_avg_sq": 0, "max_exp_avg_sq": 0 if group["amsgrad"] else None}

    def _update(self, group, step, w, g, m, v, largest):
        lr, eps, weight_decay = numbers(group, "lr", "eps", "weight_decay")
        rest = (lr, *map(float, group["betas"]), eps, weight_decay, group["decoupled_weight_decay"], step)
        kernels.find("adam_step", w)(w, g, m, v, largest, *rest)


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly instead of going through the gradient."""

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, *,
        maximize=False, foreach=None, capturable=False, differentiable=False, fused=None,
    ):  # fmt: skip
        options = {"maximize": maximize, "foreach": foreach, "capturable": capturable, "fused": fused}
        options |= {"differentiable": differentiable, "decoupled_weight_decay": True}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True  # whatever kind of Adam the state is from
