"""Losses as modules, constructed with the settings of their functions in `nn/functional/losses.py`.

Weights belong to the state, as buffers.
"""

from minidl.nn import functional as F
from minidl.nn.wrapped import Wrapped

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CTCLoss", "CosineSimilarity", "CrossEntropyLoss", "HuberLoss",
    "KLDivLoss", "L1Loss", "MSELoss", "NLLLoss", "SmoothL1Loss",
]  # fmt: skip


class _Loss(Wrapped):
    def extra_repr(self):
        return ""


class MSELoss(_Loss, function=F.mse_loss, tensors=2, without=("weight",)):
    """(x - t)^2."""


class L1Loss(_Loss, function=F.l1_loss, tensors=2, without=("weight",)):
    """|x - t|."""


class SmoothL1Loss(_Loss, function=F.smooth_l1_loss, tensors=2):
    """(x - t)^2 / (2 beta) up to beta, |x - t| - beta / 2 beyond."""


class HuberLoss(_Loss, function=F.huber_loss, tensors=2, without=("weight",)):
    """(x - t)^2 / 2 up to delta, delta (|x - t| - delta / 2) beyond."""


class NLLLoss(_Loss, function=F.nll_loss, tensors=2):
    """-input[n, target[n]] for log-probabilities."""


class CrossEntropyLoss(_Loss, function=F.cross_entropy, tensors=2):
    """Cross-entropy in nats between softmax(input) and the target, class numbers or probabilities."""


class BCELoss(_Loss, function=F.binary_cross_entropy, tensors=2):
    """-(t log x + (1 - t) log(1 - x)) for probabilities x."""


class BCEWithLogitsLoss(_Loss, function=F.binary_cross_entropy_with_logits, tensors=2):
    """Binary cross-entropy of sigmoid(x)."""


class KLDivLoss(_Loss, function=F.kl_div, tensors=2):
    """t (log t - x) for log-probabilities x."""


class CTCLoss(_Loss, function=F.ctc_loss, tensors=4):
    """-log of the probability that a sequence of labels was said, at whatever times."""


class CosineSimilarity(_Loss, function=F.cosine_similarity, tensors=2):
    """The cosine of the angle between x1 and x2 along `dim`. Not a loss: 1 for the same direction."""
