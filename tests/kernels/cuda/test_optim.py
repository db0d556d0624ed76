"""Optimiser steps on the GPU against the reference: settings, sizes, unaligned parts, numbers in memory."""

import itertools

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import optim, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32

SIZES = [0, 1, 5, 1030]


def drawn(size, states, dtype=np.float32):
    """Weights, gradients and state; no mean is larger than the root of its mean of squares."""
    rng = np.random.default_rng(0)
    return [a.astype(dtype) for a in (*rng.normal(size=(2, size)), *(rng.random((states, size)) * 0.1 + 0.5))]


def assert_steps_agree(name, arrays, settings, start=0):
    """Both take a step on copies, from element `start` on; settings that are arrays go to the device."""
    want = [None if a is None else a.copy() for a in arrays]
    mine = [None if a is None else asarray(a) for a in arrays]
    plain = [x.item() if isinstance(x, np.ndarray) else x for x in settings]
    getattr(reference, name)(*[None if a is None else a[start:] for a in want], *plain)
    moved = [asarray(x) if isinstance(x, np.ndarray) else x for x in settings]
    getattr(optim, name)(*[None if a is None else a[start:] for a in mine], *moved)
    for a, b in zip(mine, want, strict=True):
        if b is not None:
            tolerance = 1e-12 if b.dtype == np.float64 else 2e-6
            np.testing.assert_allclose(a.get(), b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize(
    "momentum, nesterov, first", [(0, False, False), *itertools.product([0.9], *[[True, False]] * 2)]
)
def test_sgd_step(size, weight_decay, momentum, nesterov, first):
    w, g, velocity = drawn(size, 1)
    settings = (0.1, momentum, 0 if nesterov else 0.2, weight_decay, nesterov, first)
    assert_steps_agree("sgd_step", (w, g, velocity if momentum else None), settings)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weight_decay, decoupled", [(0, False), (0.1, False), (0.1, True)])
@pytest.mark.parametrize("amsgrad", [True, False])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_adam_step(size, weight_decay, decoupled, amsgrad, step):
    w, g, m, v, largest = drawn(size, 3)
    settings = (0.01, 0.9, 0.999, 1e-8, weight_decay, decoupled, step)
    assert_steps_agree("adam_step", (w, g, m, v, largest if amsgrad else None), settings)


def test_adam_without_memory():
    assert_steps_agree("adam_step", (*drawn(9, 2), None), (0.01, 0.0, 0.0, 1e-8, 0, False, 1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize("step", [1, 10])
def test_adagrad_step(size, weight_decay, step):
    assert_steps_agree("adagrad_step", drawn(size, 1), (0.1, 0.3, 1e-10, weight_decay, step))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize("centred", [True, False])
def test_rmsprop_step(size, momentum, centred):
    w, g, square, velocity, mean = drawn(size, 3)
    arrays = (w, g, square + 1, velocity if momentum else None, mean if centred else None)
    assert_steps_agree("rmsprop_step", arrays, (0.01, 0.9, 1e-8, 0.1, momentum))


STEPS = {
    "sgd_step": (1, (0.1, 0.9, 0.2, 0.01, False, False)),
    "adam_step": (3, (0.01, 0.9, 0.999, 1e-8, 0.1, True, 3)),
    "adagrad_step": (1, (0.1, 0.2, 1e-10, 0.01, 3)),
    "rmsprop_step": (3, (0.01, 0.99, 1e-8, 0.01, 0.9)),
}
"""Name -> arrays of state, settings."""


@pytest.mark.parametrize("name", STEPS)
def test_float64(name):
    states, settings = STEPS[name]
    assert_steps_agree(name, drawn(11, states, np.float64), settings)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("start", [1, 4])
def test_parts_of_the_flat_arrays(name, start):
    """Parameters without a gradient are left out: the rest may start at any element."""
    states, settings = STEPS[name]
    assert_steps_agree(name, drawn(41, states), settings, start)


@pytest.mark.parametrize("name", STEPS)
def test_learning_rate_and_step_in_device_memory(name):
    """So a CUDA graph can be replayed with others."""
    states, (lr, *rest) = STEPS[name]
    if name in ("adam_step", "adagrad_step"):
        rest[-1] = np.array([rest[-1]])
    assert_steps_agree(name, drawn(12, states), (np.array([lr], np.float32), *rest))


def test_other_arrays_are_refused():
    w = asarray(np.ones((2, 3), np.float32))
    with pytest.raises(
        TypeError, match=r"adagrad_step\(float32 \(2, 3\), float32 \(2, 3\), float32 \(2, 3\)\): .* flat"
    ):
        optim.adagrad_step(w, w, w, 0.1, 0, 1e-8, 0, 1)


def test_machine_code(needs_toolkit):
    array = float32[::1]
    kinds = ("element", "element", "number", "number", "number")
    update, rates = optim.adam(float32, True, False), optim.corrected_rate(float32, True)
    run = optim.step_kernel(update, rates, float32, kinds, 4)
    resources.expect(run, (*[array] * 4, int32, float32, float32, int32, *[float32] * 4), registers=64)


def test_float64_compiles(needs_toolkit):
    array, kinds = float64[::1], ("element", "element", "element", "element", "element")
    run = optim.step_kernel(optim.rmsprop(float64, True, True), optim.constant_rate, float64, kinds, 1)
    run.specialize(*[array] * 5, float32[::1], int32[::1], int32, *[float64] * 4, capability=(8, 0))
