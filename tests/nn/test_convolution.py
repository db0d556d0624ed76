"""Convolution layers beside PyTorch's: parameters, outputs, gradients, repr, refusals."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.tensor import Tensor
from tests.parity import assert_module_parity, ours, theirs

SUMS = {"rtol": 1e-4, "atol": 1e-5}

MAKERS = [
    lambda m: m.nn.Conv1d(4, 6, 3),
    lambda m: m.nn.Conv1d(4, 6, 3, 2, 1, 2, 2, False),
    lambda m: m.nn.Conv1d(4, 4, (2,), padding="same", groups=4),
    lambda m: m.nn.Conv2d(4, 6, 3),
    lambda m: m.nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2, bias=False),
    lambda m: m.nn.Conv2d(4, 8, [3, 2], stride=(2, 1), padding=1, groups=4),
    lambda m: m.nn.Conv2d(4, 2, 3, padding="same"),
    lambda m: m.nn.Conv2d(4, 2, 3, padding="valid", dilation=2),
    lambda m: m.nn.Conv2d(4, 2, 3, padding=(2, 1), padding_mode="reflect"),
    lambda m: m.nn.Conv2d(4, 2, (2, 3), padding="same", padding_mode="replicate"),
    lambda m: m.nn.Conv2d(4, 2, 3, 2, 1, padding_mode="circular"),
    lambda m: m.nn.Conv1d(4, 2, 3, padding=2, padding_mode="circular"),
    lambda m: m.nn.Conv1d(4, 2, 3, padding=1, padding_mode="reflect"),
    lambda m: m.nn.ConvTranspose1d(4, 3, 3),
    lambda m: m.nn.ConvTranspose1d(4, 6, 3, 3, 1, 2, 2, False, 2),
    lambda m: m.nn.ConvTranspose2d(4, 3, 3),
    lambda m: m.nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), padding=1, output_padding=(1, 2), groups=2),
]


def axes_of(module):
    return 1 if "1d" in type(module).__name__ else 2


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's own
@pytest.mark.parametrize("batch", [(2,), ()])
@pytest.mark.parametrize("make", MAKERS)
def test_layers_equal_pytorchs(make, batch):
    shape = (*batch, 4, *[7, 6][: axes_of(make(ours()))])
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert_module_parity(make, x, modes=(True,), tolerance=SUMS)


@pytest.mark.parametrize("make", MAKERS)
def test_repr_and_settings_equal_pytorchs(make):
    mine, want = make(ours()), make(theirs())
    assert repr(mine) == repr(want)
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
        assert getattr(mine, name) == getattr(want, name)
    assert (mine.output_padding, mine.padding_mode) == (want.output_padding, want.padding_mode)


@pytest.mark.parametrize("make", [MAKERS[0], MAKERS[5], MAKERS[13], MAKERS[16]])
def test_weights_start_uniform_as_pytorchs(make):
    minidl.manual_seed(0)
    layers = [make(ours()) for _ in range(200)]
    fan_in = np.prod(layers[0].weight.shape[1:])
    for name in ("weight", "bias"):
        values = np.concatenate([getattr(layer, name).array.ravel() for layer in layers]) * np.sqrt(fan_in)
        want = np.concatenate([getattr(make(theirs()), name).detach().numpy().ravel() for _ in range(200)])
        assert np.abs(values).max() <= 1
        assert np.quantile(values, [0.1, 0.5, 0.9]) == pytest.approx([-0.8, 0, 0.8], abs=0.1)
        assert np.abs(want).max() * np.sqrt(fan_in) == pytest.approx(np.abs(values).max(), abs=0.02)


def test_reset_parameters_draws_anew():
    layer = nn.Conv2d(2, 3, 3)
    before = layer.weight.array.copy()
    layer.reset_parameters()
    assert (layer.weight.array != before).all()


def test_dtype_and_device():
    layer = nn.Conv2d(2, 3, 3, dtype=minidl.float64, device="cpu")
    assert layer.weight.dtype == layer.bias.dtype == np.float64
    assert nn.Conv1d(2, 3, 3).weight.dtype == np.float32
    with pytest.raises(RuntimeError, match="CUDA"):
        nn.ConvTranspose1d(2, 3, 3, device="cuda")


@pytest.mark.parametrize("size", [[12, 10], [13, 11], (2, 3, 12, 11), [11, 10], [13, 12], [12]])
def test_a_transposed_layer_can_be_told_its_output_size(size):
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 5)).astype(np.float32)

    def make(m):
        return m.nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, dilation=1)

    try:
        make(theirs())(theirs().tensor(x), output_size=size)
    except ValueError:
        with pytest.raises(ValueError, match="output_size"):
            make(ours())(Tensor(x), output_size=size)
    else:
        assert_module_parity(make, x, call=lambda module, x: module(x, size), tolerance=SUMS)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m: m.nn.Conv2d(4, 6, 3, groups=3), "groups=3 must divide in_channels=4 and out_channels=6"),
        (lambda m: m.nn.Conv2d(4, 6, 3, groups=4), "groups=4 must divide"),
        (lambda m: m.nn.Conv2d(4, 6, 3, groups=0), "groups=0 must be at least 1"),
        (lambda m: m.nn.Conv2d(4, 6, 3, padding="full"), 'must be "same", "valid"'),
        (lambda m: m.nn.Conv2d(4, 6, 3, 2, padding="same"), "only with stride 1"),
        (lambda m: m.nn.Conv2d(4, 6, 3, padding_mode="mirror"), "padding_mode='mirror' must be one of"),
        (lambda m: m.nn.Conv2d(4, 6, -1), "kernel_size=-1"),
        (lambda m: m.nn.ConvTranspose2d(4, 6, 3, padding_mode="reflect"), 'must be "zeros"'),
    ],
)
def test_bad_settings_are_refused_as_in_pytorch(make, words):
    with pytest.raises((ValueError, RuntimeError)):
        make(theirs())
    with pytest.raises(ValueError, match=words):
        make(ours())


def test_wrong_channels_name_both_shapes():
    with pytest.raises(
        minidl.ShapeError, match=r"input: \(1, 3, 8, 8\).*weight: \(6, 1, 5, 5\).*in_channels"
    ):
        nn.Conv2d(1, 6, 5)(minidl.ones(1, 3, 8, 8))


def test_a_pytorch_model_gives_the_same_numbers_and_learns_the_same():
    """LeNet (LeCun et al. 1998), one gradient step."""

    def make(m):
        n = m.nn
        return n.Sequential(
            *(n.Conv2d(1, 6, 5, padding=2), n.ReLU(), n.AvgPool2d(2), n.Conv2d(6, 16, 5), n.ReLU()),
            *(n.MaxPool2d(2), n.Flatten(), n.Linear(64, 10)),
        )

    x = np.random.default_rng(0).normal(size=(3, 1, 16, 16)).astype(np.float32)
    assert_module_parity(make, x, modes=(True,), tolerance=SUMS)
