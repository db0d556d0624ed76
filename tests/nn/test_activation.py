"""Activation modules beside PyTorch's: constructors, text, results, state."""

import numpy as np
import pytest

import minidl
from minidl import nn
from tests.parity import assert_module_parity, calls, ours, theirs

MODULES = calls("""
    nn.ReLU()
    nn.ReLU(False)
    nn.ReLU6()
    nn.LeakyReLU()
    nn.LeakyReLU(0.3)
    nn.LeakyReLU(negative_slope=-1.0)
    nn.PReLU()
    nn.PReLU(3, 0.1)
    nn.PReLU(num_parameters=3, init=-0.5)
    nn.Hardtanh()
    nn.Hardtanh(-2.0, 0.5)
    nn.Hardsigmoid()
    nn.Hardswish()
    nn.Tanh()
    nn.Sigmoid()
    nn.LogSigmoid()
    nn.Softsign()
    nn.SiLU()
    nn.Mish()
    nn.GELU()
    nn.GELU("tanh")
    nn.GELU(approximate="none")
    nn.ELU()
    nn.ELU(0.5)
    nn.CELU()
    nn.CELU(alpha=2.0)
    nn.SELU()
    nn.Softplus()
    nn.Softplus(2.0, 3.0)
    nn.GLU()
    nn.GLU(0)
    nn.Softmax(1)
    nn.Softmax(dim=-1)
    nn.Softmin(0)
    nn.LogSoftmax(dim=1)
""")


def made(call):
    return lambda m: eval(call, {"nn": m.nn})


@pytest.mark.parametrize("call", MODULES)
def test_modules_equal_pytorchs(call):
    x = np.random.default_rng(0).normal(size=(4, 3, 2) if "GLU" in call else (4, 3)).astype(np.float32) * 3
    assert_module_parity(made(call), x)
    assert repr(made(call)(ours())) == repr(made(call)(theirs()))


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Softmin"])
def test_softmax_without_dim(name):
    for shape in [(3,), (2, 3), (2, 3, 4), (2, 3, 1, 2)]:
        assert_module_parity(lambda m: getattr(m.nn, name)(), np.random.default_rng(0).normal(size=shape))


def test_settings_can_be_changed_later():
    layer = nn.LeakyReLU()
    layer.negative_slope = 0.5
    assert layer(minidl.tensor([-2.0])).tolist() == [-1]


def test_a_slope_is_learned_and_can_start_anew():
    layer = nn.PReLU(init=0.5)
    layer(minidl.tensor([-2.0, 3.0])).sum().backward()
    assert layer.weight.grad.tolist() == [-2]
    layer.weight.data = minidl.tensor([9.0])
    layer.reset_parameters()
    assert layer.weight.tolist() == [0.5]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: nn.ReLU(inplace=True)(minidl.ones(2)), NotImplementedError),
        (lambda: nn.LeakyReLU(slope=0.1), TypeError),
        (lambda: nn.LeakyReLU(0.1, False, 3), TypeError),
        (lambda: nn.ReLU()(), TypeError),
        (lambda: nn.PReLU(device="cuda"), RuntimeError),
    ],
)
def test_refusals(call, kind):
    with pytest.raises(kind):
        call()
