"""Checking gradients: analytic ones against differences of the function itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minidl.tensor import Tensor, no_grad


def gradcheck(function: Callable, inputs, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3) -> bool:
    """Does backward through `function(*inputs)` agree with central differences?

    Every element of every input that requires a gradient is moved by +-eps:
    dL/dx_i ~ (L(x_i + eps) - L(x_i - eps)) / (2 eps), L a fixed random combination of the outputs.

    Args:
        inputs: tensors in float64 (in float32 the differences drown in rounding).

    Raises:
        AssertionError: names the input, the element and both values.
    """
    inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    checked = [(i, x) for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient. Fix: x.requires_grad_()")
    for i, x in checked:
        if x.dtype != np.float64:
            raise ValueError(f"gradcheck: input {i} is {x.dtype}. Fix: use float64 (x.double())")
    out = function(*inputs)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, out.shape)
    for _, x in checked:
        x.grad = None
    out.backward(Tensor(weights))
    for i, x in checked:
        analytic = np.zeros(x.shape) if x.grad is None else x.grad.array
        numeric = _numeric_gradient(lambda: function(*inputs), weights, x, eps)
        wrong = ~np.isclose(analytic, numeric, rtol=rtol, atol=atol)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise AssertionError(
                f"gradient of input {i} at {at}: backward says {analytic[at]:.6g}, "
                f"differences say {numeric[at]:.6g}"
            )
    return True


def _numeric_gradient(function: Callable, weights: np.ndarray, x: Tensor, eps: float) -> np.ndarray:
    """Central differences of sum(weights * function()) by each element of x, which is moved in place."""
    gradient = np.zeros(x.shape)
    with no_grad():
        for at in np.ndindex(*x.shape):
            before = x.array[at]
            x.array[at] = before + eps
            up = function().array.copy()  # it may be a view of x
            x.array[at] = before - eps
            down = function().array.copy()
            x.array[at] = before
            gradient[at] = np.sum(weights * (up - down)) / (2 * eps)
    return gradient
