"""Losses as modules. The functions are in `functional`; the settings are PyTorch's."""

from minidl.nn import functional as F
from minidl.nn.module import Module


class _Loss(Module):
    """A loss function together with its settings."""

    function = None

    def __init__(self, **settings):
        self.settings = settings

    def forward(self, input, target):
        return type(self).function(input, target, **self.settings)

    def extra_repr(self):
        return ", ".join(f"{k}={v!r}" for k, v in self.settings.items())


class MSELoss(_Loss):
    """(x - t)^2."""

    function = staticmethod(F.mse_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)


class L1Loss(_Loss):
    """|x - t|."""

    function = staticmethod(F.l1_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)


class NLLLoss(_Loss):
    """-input[n, target[n]] for log-probabilities."""

    function = staticmethod(F.nll_loss)

    def __init__(self, weight=None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)


class CrossEntropyLoss(_Loss):
    """Cross-entropy in nats between softmax(input) and the target."""

    function = staticmethod(F.cross_entropy)

    def __init__(self, weight=None, ignore_index: int = -100, reduction: str = "mean", label_smoothing=0.0):
        super().__init__(
            weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )


class BCELoss(_Loss):
    """-(t log x + (1 - t) log(1 - x)) for probabilities x."""

    function = staticmethod(F.binary_cross_entropy)

    def __init__(self, weight=None, reduction: str = "mean"):
        super().__init__(weight=weight, reduction=reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of sigmoid(x)."""

    function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(self, weight=None, reduction: str = "mean", pos_weight=None):
        super().__init__(weight=weight, reduction=reduction, pos_weight=pos_weight)
