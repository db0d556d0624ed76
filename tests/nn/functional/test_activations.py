"""Activations beside PyTorch's: every dtype and shape, kinks, tails, extremes, refusals."""

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from tests.draw import Draw
from tests.parity import assert_parity, calls, written

KINKS = [-3, 3, -1, 1, 0, 6, 20, 21, -21, 30, -30, 88, -88, 100, -100, 1e4, -1e4, 1e-8, -1e-8, -5.5, -4.5]
POINTWISE = calls("""
    m.F.relu(x)
    m.F.relu(x, False)
    m.F.leaky_relu(x)
    m.F.leaky_relu(x, 0.3)
    m.F.leaky_relu(x, negative_slope=-2)
    m.F.elu(x)
    m.F.elu(x, 0.25)
    m.F.elu(x, alpha=-1.5, inplace=False)
    m.F.celu(x)
    m.F.celu(x, 2.0)
    m.F.celu(x, alpha=-0.5)
    m.F.selu(x)
    m.F.gelu(x)
    m.F.gelu(x, approximate="none")
    m.F.gelu(x, approximate="tanh")
    m.F.silu(x)
    m.F.mish(x)
    m.F.softplus(x)
    m.F.softplus(x, 2)
    m.F.softplus(x, beta=0.5, threshold=3)
    m.F.softplus(x, -1.0)
    m.F.softplus(x, 1, -2)
    m.F.logsigmoid(x)
    m.F.sigmoid(x)
    m.F.tanh(x)
    m.F.softsign(x)
    m.F.relu6(x)
    m.F.hardtanh(x)
    m.F.hardtanh(x, -2, 5)
    m.F.hardtanh(x, min_val=0.5, max_val=0.5)
    m.F.hardswish(x)
    m.F.prelu(x, m.ones(1, dtype=x.dtype) * 0.3)
""")
KINDS = ["float32", "float64", "int64", "int32", "uint8", "bool"]


@pytest.mark.parametrize("call", POINTWISE)
def test_functions_of_one_number(call):
    draw = Draw(len(call))
    for dtype in KINDS:
        assert_parity(written(call), np.array(KINKS).astype(dtype))
        for shape in [(), (0,), (2, 0, 3), (1, 1), (4, 5), (2, 3, 4)]:
            x = draw.array(shape, dtype, high=2) if shape else np.asarray(2, dtype)
            assert_parity(written(call), (x * 3).astype(dtype))


def test_hardsigmoid():
    """In float32 only: PyTorch's slope is float32's 1/6 in float64 too."""
    for x in (KINKS, [[]], 0.5):
        assert_parity(written("m.F.hardsigmoid(x)"), np.array(x, np.float32))
    np.testing.assert_allclose(F.hardsigmoid(minidl.tensor([-4.0, 0, 1.5, 9])).array, [0, 0.5, 0.75, 1])


@pytest.mark.parametrize("call", [c for c in POINTWISE if "relu(" in c or "elu(" in c or "plus(" in c])
def test_infinities_and_nan(call):
    if "gelu" not in call:  # PyTorch's is nan at +-inf
        for value in (np.inf, -np.inf, np.nan):
            assert_parity(written(call), np.array([value], np.float32))


def test_gelu_keeps_its_digits_in_the_tail():
    """1 + erf cancels there: in float32 nothing would be left of it."""
    x = minidl.tensor([-5.0, -6.0])
    np.testing.assert_allclose(F.gelu(x).array, [-1.4332579e-06, -5.919528e-09], rtol=1e-5)


def test_logsigmoid_neither_overflows_nor_vanishes():
    y = F.logsigmoid(minidl.tensor([-1e4, 1e4, 20.0, -200]))
    np.testing.assert_allclose(y.array, [-1e4, 0, -2.0611537e-09, -200], rtol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (3,), (2, 4), (2, 4, 3), (0, 4), (4, 0), (), (6, 2)])
def test_glu(shape):
    for dim in (-1, 0, 1, 2, -3):
        assert_parity(
            lambda m, x, dim=dim: m.F.glu(x, dim), Draw(1).array(shape, "float64") if shape else np.ones(())
        )


@pytest.mark.parametrize("weight", [(), (1,), (2,), (3,), (1, 2), (1, 1), (0,)])
def test_prelu(weight):
    draw = Draw(2)
    for shape in [(), (2,), (3, 2), (2, 3, 4), (0, 2), (2, 2, 2, 2)]:
        for dtype in ("float32", "float64"):
            x, w = draw.rng.normal(size=shape).astype("float32"), draw.rng.normal(size=weight).astype(dtype)
            assert_parity(written("m.F.prelu(x, y)"), x, w)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_softmax_and_its_kin(name):
    draw = Draw(3)
    for shape in [(3,), (2, 3), (2, 3, 4), (0, 3), (3, 0), (2, 1, 2, 2), (1, 1)]:
        for dim in (None, 0, 1, -1, 2):
            x = draw.array(shape, "float32") * np.float32(50)
            assert_parity(lambda m, x, dim=dim: getattr(m.F, name)(x, dim), x)
            assert_parity(lambda m, x, dim=dim: getattr(m.F, name)(x, dim=dim, dtype=m.float64), x)
    assert_parity(lambda m, x: getattr(m.F, name)(x, 0), np.array([1, 2]))
    assert_parity(lambda m, x: getattr(m.F, name)(x, 0, dtype=m.float32), np.array([1, 2]))


@pytest.mark.parametrize(
    "name",
    [
        "relu",
        "leaky_relu",
        "elu",
        "selu",
        "celu",
        "silu",
        "mish",
        "relu6",
        "hardtanh",
        "hardsigmoid",
        "hardswish",
    ],
)
def test_inplace_is_refused_by_name(name):
    with pytest.raises(NotImplementedError, match=r"inplace=True.*Fix"):
        getattr(F, name)(minidl.ones(2), inplace=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: F.gelu(minidl.ones(2), approximate="erf"), ["gelu", "approximate", "erf"]),
        (lambda: F.elu(minidl.tensor([1, 2])), ["floating-point", "int64", "x.float()"]),
        (lambda: F.relu(minidl.tensor([True])), ["relu", "boolean"]),
        (lambda: F.hardtanh(minidl.ones(2), 2, 1), ["hardtanh", "min_val"]),
        (lambda: F.hardtanh(minidl.ones(2).to(minidl.uint8)), ["hardtanh", "uint8"]),
        (lambda: F.glu(minidl.ones(2, 3)), ["glu", "(2, 3)", "even"]),
        (lambda: F.celu(minidl.ones(2), 0), ["celu", "alpha"]),
        (
            lambda: F.prelu(minidl.ones(2, 3), minidl.ones(2)),
            ["prelu", "(2, 3)", "(2,)", "3 channels", "Fix"],
        ),
        (lambda: F.softmax(minidl.ones(2, 3), 2), ["softmax", "dim 2"]),
    ],
)
def test_refusals_say_why(call, words):
    with pytest.raises((ValueError, TypeError, IndexError)) as error:
        call()
    for word in words:
        assert word in str(error.value)
