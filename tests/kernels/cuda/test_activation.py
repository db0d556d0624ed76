"""Activations on the GPU against the reference."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import activation, pointwise, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, int32

OF_X = ["relu", "exp", "erf", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh"]
BACKWARD = [f"{name}_backward" for name in ("relu", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh")]


def assert_same(name, *arrays):
    with np.errstate(all="ignore"):
        want = getattr(reference, name)(*[a.astype(np.float64) for a in arrays]).astype(arrays[0].dtype)
    got = getattr(activation, name)(*map(asarray, arrays)).get()
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=5e-6, atol=1e-7)


@pytest.mark.parametrize("name", [*OF_X, *BACKWARD])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (5, 7), (2, 3, 4)])
def test_same_as_the_reference(name, dtype, shape):
    rng = np.random.default_rng(0)
    x, g = (2 * rng.normal(size=(2, *shape))).astype(dtype)
    assert_same(name, *(g, x) if name.endswith("backward") else (x,))


@pytest.mark.parametrize("name", [*OF_X, *BACKWARD])
def test_extremes(name):
    x = np.array([0, -0.0, 20, -20, 60, -60, 5, -5, np.inf, -np.inf, np.nan, 1e-20], np.float32)
    g = np.linspace(-1, 1, x.size, dtype=np.float32)
    assert_same(name, *(g, x) if name.endswith("backward") else (x,))


def test_views_and_whole_numbers():
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    got = activation.gelu_backward(asarray(x).T, asarray(x[::-1]).T).get()
    np.testing.assert_allclose(got, reference.gelu_backward(x.T, x[::-1].T), rtol=5e-6, atol=1e-7)
    whole = np.arange(-3, 4)
    assert activation.relu(asarray(whole)).get().tolist() == reference.relu(whole).tolist()


def test_other_shapes_are_refused():
    x = asarray(np.ones((2, 3), np.float32))
    with pytest.raises(TypeError, match=r"relu_backward\(float32 \(2, 3\), float32 \(3, 2\)\)"):
        activation.relu_backward(x, x.T)


def test_machine_code(needs_toolkit):
    kinds, types = ("element", "element", "number"), (float32, float32, int32, float32)
    run = pointwise.flat_kernel(activation._made(activation._gelu_backward, float32), 2, types, kinds, 4)
    resources.expect(run, (float32[::1], float32[::1], int32, float32[::1], int32), registers=64)
