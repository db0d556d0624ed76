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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_step(dtype, first, momentum, nesterov):
    rng = np.random.default_rng(0)
    w, g, v = (rng.normal(size=100).astype(dtype) for _ in range(3))
    both = [(w.copy(), g.copy(), v.copy()) for _ in range(2)]
    for arrays, step in zip(both, (compiled("sgd_step"), reference.sgd_step), strict=True):
        step(*arrays, 0.1, momentum, 0.2, 0.01, nesterov and momentum > 0, first)
    np.testing.assert_allclose(both[0][0], both[1][0], rtol=1e-5, atol=1e-6)
    if momentum:
        np.testing.assert_allclose(both[0][2], both[1][2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("step", [1, 10])
def test_adam_step(dtype, decoupled, step):
    rng = np.random.default_rng(0)
    w, g, m = (rng.normal(size=100).astype(dtype) for _ in range(3))
    v = rng.random(100).astype(dtype)
    both = [(w.copy(), g.copy(), m.copy(), v.copy()) for _ in range(2)]
    for arrays, update in zip(both, (compiled("adam_step"), reference.adam_step), strict=True):
        update(*arrays, 0.01, 0.9, 0.999, 1e-8, 0.1, decoupled, step)
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_small_arrays_and_the_switch_take_the_reference(monkeypatch):
    small, large = np.zeros(10, np.float32), np.zeros(10_000, np.float32)
    assert kernels.find("adam_step", small) is reference.adam_step
    assert kernels.find("adam_step", large) is compiled("adam_step")
    monkeypatch.setenv("MINIDL_KERNELS", "reference")
    assert kernels.find("adam_step", large) is reference.adam_step
