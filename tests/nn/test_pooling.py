"""Pooling, resampling and window layers beside PyTorch's."""

import numpy as np
import pytest

from minidl import nn
from tests.parity import assert_module_parity, ours, theirs

IMAGE, SIGNAL, COLUMNS = (2, 3, 6, 7), (2, 3, 8), (2, 8, 12)

LAYERS = [
    (lambda m: m.nn.MaxPool1d(2), SIGNAL),
    (lambda m: m.nn.MaxPool1d((3,), 1, 1, 2, True, True), SIGNAL),
    (lambda m: m.nn.MaxPool2d(2), IMAGE),
    (lambda m: m.nn.MaxPool2d((2, 3), stride=1, padding=(1, 1), return_indices=True, ceil_mode=True), IMAGE),
    (lambda m: m.nn.AvgPool1d(2), SIGNAL),
    (lambda m: m.nn.AvgPool1d((3,), 2, (1,), True, False), SIGNAL),
    (lambda m: m.nn.AvgPool2d(2), IMAGE),
    (lambda m: m.nn.AvgPool2d((2, 3), 1, (1, 1), True, False), IMAGE),
    (lambda m: m.nn.AvgPool2d(3, 2, divisor_override=4), IMAGE[1:]),
    (lambda m: m.nn.AdaptiveAvgPool1d(3), SIGNAL),
    (lambda m: m.nn.AdaptiveAvgPool2d((3, None)), IMAGE),
    (lambda m: m.nn.AdaptiveAvgPool2d(1), IMAGE[1:]),
    (lambda m: m.nn.AdaptiveMaxPool1d(3, return_indices=True), SIGNAL),
    (lambda m: m.nn.AdaptiveMaxPool2d((2, 5)), IMAGE),
    (lambda m: m.nn.Upsample(5), SIGNAL),
    (lambda m: m.nn.Upsample(scale_factor=2), IMAGE),
    (lambda m: m.nn.Upsample(scale_factor=(2, 1.5), mode="bilinear", align_corners=True), IMAGE),
    (lambda m: m.nn.Upsample((4, 9), mode="bicubic"), IMAGE),
    (lambda m: m.nn.Upsample(None, 1.3, "linear", recompute_scale_factor=True), SIGNAL),
    (lambda m: m.nn.Unfold(2), IMAGE),
    (lambda m: m.nn.Unfold((2, 3), 1, 1, 2), IMAGE),
    (lambda m: m.nn.Fold((4, 5), 2), COLUMNS),
    (lambda m: m.nn.Fold(5, (2, 2), dilation=2, padding=(1, 0), stride=(1, 1)), (4, 15)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_layers_equal_pytorchs(make, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert_module_parity(make, x, modes=(True,))
    assert repr(make(ours())) == repr(make(theirs()))


def test_pooling_has_nothing_to_learn():
    assert not nn.MaxPool2d(2).state_dict()


def test_an_upsampling_without_size_is_refused_when_it_is_used():
    with pytest.raises(ValueError, match="either size or scale_factor"):
        nn.Upsample()(ours().ones(1, 1, 4))
