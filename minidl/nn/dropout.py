"""Layers that leave out parts of what they get, at random, while the model trains."""

from minidl.nn import functional as F
from minidl.nn.wrapped import Wrapped

__all__ = ["Dropout", "Dropout1d", "Dropout2d"]


class _Dropout(Wrapped):
    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        if not 0 <= self.p <= 1:
            raise ValueError(f"{type(self).__name__}: p={self.p} is no probability, it must lie in [0, 1]")

    def forward(self, input):
        return type(self).function(input, training=self.training, **self.settings)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout, function=F.dropout, without=("training",)):
    """In training, each number is 0 with probability p and else divided by 1 - p (`functional.dropout`)."""


class Dropout1d(_Dropout, function=F.dropout1d, without=("training",)):
    """`Dropout` of whole channels of signals (N, C, L) or (C, L)."""


class Dropout2d(_Dropout, function=F.dropout2d, without=("training",)):
    """`Dropout` of whole channels of images (N, C, H, W)."""
