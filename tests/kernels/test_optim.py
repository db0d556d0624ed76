"""Compiled optimiser steps: Adagrad and RMSprop against the reference, and all of them in several threads."""

import numpy as np
import pytest

from minidl.kernels import reference

pytest.importorskip("numba", reason="Numba is not installed")
compiled = pytest.importorskip("minidl.kernels.cpu.optim")

STEPS = {
    "sgd_step": (1, (0.1, 0.9, 0.2, 0.01, False, False)),
    "adam_step": (3, (0.01, 0.9, 0.999, 1e-8, 0.1, True, 3)),
    "adagrad_step": (1, (0.1, 0.2, 1e-10, 0.01, 3)),
    "rmsprop_step": (3, (0.01, 0.99, 1e-8, 0.01, 0.9)),
}
"""Name -> arrays of state, settings."""


def drawn(size, states, dtype=np.float32):
    """Weights, gradients and state. No mean is larger than the root of its mean of squares."""
    rng = np.random.default_rng(0)
    return [a.astype(dtype) for a in (*rng.normal(size=(2, size)), *(rng.random((states, size)) * 0.1 + 0.5))]


def after(module, name, arrays, settings):
    mine = [None if a is None else a.copy() for a in arrays]
    getattr(module, name)(*mine, *settings)
    return mine


def assert_steps_agree(name, arrays, settings):
    for a, b in zip(*(after(m, name, arrays, settings) for m in (compiled, reference)), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize("step", [1, 10])
@pytest.mark.parametrize("size", [0, 1, 100])
def test_adagrad_step(dtype, weight_decay, step, size):
    assert_steps_agree("adagrad_step", drawn(size, 1, dtype), (0.1, 0.3, 1e-10, weight_decay, step))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize("centred", [True, False])
def test_rmsprop_step(dtype, weight_decay, momentum, centred):
    w, g, square, velocity, mean = drawn(100, 3, dtype)
    arrays = (w, g, square + 1, velocity if momentum else None, mean if centred else None)
    assert_steps_agree("rmsprop_step", arrays, (0.01, 0.9, 1e-8, weight_decay, momentum))


@pytest.mark.parametrize("name", STEPS)
def test_steps_in_threads_are_those_in_one(use_threads, name):
    states, settings = STEPS[name]
    arrays = drawn(300_001, states)
    if name == "rmsprop_step":
        arrays[2] += 1
    arrays[1][5] = np.nan
    arrays[1][6] = np.inf
    results = []
    for threads in ("1", "2", "3"):
        use_threads(threads)
        results.append(after(compiled, name, arrays, settings))
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.isnan(results[0][0][5])
