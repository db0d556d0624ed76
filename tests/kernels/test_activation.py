"""Compiled activations against the reference: any shape, layout, extremes, threads; PyTorch's gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import kernels
from minidl.kernels import reference
from tests.parity import assert_parity, calls, written

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import activation as compiled

NAMES = ("exp", "gelu", "gelu_tanh", "relu", "sigmoid", "silu", "tanh")
OF_OUTPUT = ("relu", "sigmoid", "tanh")
"""Those whose backward is computed from the output; the others' from the input."""
EXTREMES = [0, -0.0, 1e-30, -1e-30, 9, -9, 13, -13, 88, -88, 1e30, -1e30, np.inf, -np.inf, np.nan]
shapes = st.lists(st.integers(0, 70), max_size=3).map(tuple)


def assert_same(name, x, g, wide=np.float64):
    """Forward and backward as the reference in a wider type; nothing is written into what went in."""
    before = x.copy(), g.copy()
    with np.errstate(all="ignore"):
        out = getattr(compiled, name)(x)
        pairs = [(out, getattr(reference, name)(x.astype(wide)))]
        if name != "exp":
            saved, backward = out if name in OF_OUTPUT else x, f"{name}_backward"
            want = getattr(reference, backward)(g.astype(wide), saved.astype(wide))
            pairs.append((getattr(compiled, backward)(g, saved), want))
    for got, want in pairs:
        assert (got.shape, got.dtype) == (x.shape, x.dtype)
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=4e-6)
    np.testing.assert_array_equal([x, g], before)


def drawn(shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    return (3 * rng.normal(size=shape)).astype(dtype), rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("name", NAMES)
@given(shape=shapes, dtype=st.sampled_from([np.float32, np.float64]))
def test_same_as_the_reference(name, shape, dtype):
    assert_same(name, *drawn(shape, dtype))


@pytest.mark.parametrize("name", NAMES)
def test_extremes(name):
    x = np.array(EXTREMES * 7, np.float32)  # more than a vector of each
    for value in (1, np.nan, np.inf)[: 2 if name == "gelu_tanh" else 3]:  # its slope at -9 rounds to 0 or not
        assert_same(name, x, np.full_like(x, value), wide=np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_any_layout(name):
    x, g = drawn((70, 90))
    constant = g.copy()
    constant.flags.writeable = False
    for layout in (lambda a: a[:, ::2], lambda a: a.T, np.asfortranarray):
        assert_same(name, layout(x), layout(g))
    assert_same(name, x, constant)
    assert_same(name, x, np.broadcast_to(g[:1], x.shape))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_any_number_of_threads(use_threads, name, threads):
    use_threads(threads)
    assert_same(name, *drawn(400_001))


def test_the_tail_of_a_gelu_keeps_its_digits():
    x = np.linspace(-5.5, -1, 1000, dtype=np.float32)
    np.testing.assert_allclose(compiled.gelu(x), reference.gelu(x.astype(np.float64)), rtol=3e-6)


@pytest.mark.parametrize(
    "call",
    calls("""
        m.relu(x)
        m.exp(x)
        m.tanh(x)
        m.sigmoid(x)
        m.F.silu(x)
        m.F.gelu(x)
        m.F.gelu(x, approximate="tanh")
        m.relu(x.T)
    """),
)
def test_gradients_of_large_arrays(call):
    x, _ = drawn((3, kernels.WORTH_COMPILING // 2 + 1))
    assert_parity(written(call), x)
