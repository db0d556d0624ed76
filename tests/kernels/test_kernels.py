"""Compiled kernels against the reference, and the choice between them."""

import importlib
import inspect

import numpy as np
import pytest

from minidl import kernels
from minidl.kernels import reference

pytest.importorskip("numba", reason="Numba is not installed")


def compiled(name):
    return getattr(importlib.import_module(f"minidl.kernels.cpu.{kernels.COMPILED[name]}"), name)


@pytest.mark.parametrize("name", kernels.COMPILED)
def test_both_versions_have_one_signature(name):
    assert inspect.signature(compiled(name)) == inspect.signature(getattr(reference, name))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "classes"), [(1, 1), (5, 3), (64, 10), (3, 1000)])
def test_softmax_cross_entropy(n, classes, dtype):
    rng = np.random.default_rng(0)
    logits, labels = (rng.normal(size=(n, classes)) * 30).astype(dtype), rng.integers(0, classes, n)
    logits[0, 0] = 1e4
    (loss, d), (want, want_d) = (
        f(logits, labels) for f in (compiled("softmax_cross_entropy"), reference.softmax_cross_entropy)
    )
    assert loss.dtype == want.dtype == d.dtype == dtype
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    np.testing.assert_allclose(d, want_d, atol=1e-6)
    strided = np.repeat(logits, 2, axis=1)[:, ::2]
    np.testing.assert_allclose(compiled("softmax_cross_entropy")(strided, labels)[1], d, atol=1e-7)


def assert_steps_agree(name, arrays, *settings):
    """The compiled step changes the same arrays in the same way; None stands for state that is not needed."""
    both = [[None if a is None else a.copy() for a in arrays] for _ in range(2)]
    for mine, step in zip(both, (compiled(name), getattr(reference, name)), strict=True):
        step(*mine, *settings)
    for a, b in zip(*both, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def drawn(dtype):
    """Weights, gradients and state of which the last may be a mean of squares."""
    rng = np.random.default_rng(0)
    return [*rng.normal(size=(3, 100)).astype(dtype), *rng.random((2, 100)).astype(dtype)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("weight_decay", [0, 0.01])
def test_sgd_step(dtype, first, momentum, nesterov, weight_decay):
    w, g, velocity, *_ = drawn(dtype)
    arrays = (w, g, velocity if momentum else None)
    assert_steps_agree("sgd_step", arrays, 0.1, momentum, 0.2, weight_decay, nesterov and momentum > 0, first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("amsgrad", [True, False])
@pytest.mark.parametrize("step", [1, 10])
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_adam_step(dtype, decoupled, amsgrad, step, weight_decay):
    *arrays, largest = drawn(dtype)
    arrays.append(largest if amsgrad else None)
    assert_steps_agree("adam_step", arrays, 0.01, 0.9, 0.999, 1e-8, weight_decay, decoupled, step)


def test_small_arrays_and_the_switch_take_the_reference(monkeypatch):
    small, large = np.zeros(10, np.float32), np.zeros(10_000, np.float32)
    assert kernels.find("adam_step", small) is reference.adam_step
    assert kernels.find("adam_step", large) is compiled("adam_step")
    monkeypatch.setattr(kernels, "CHOICE", "reference")
    assert kernels.find("adam_step", large) is reference.adam_step
