"""What an op costs in floating-point operations (FLOP), forward and for each gradient.

Conventions: a multiply-add is 2 FLOP; every elementary function of one number (exp, a comparison ...) is 1;
what only moves numbers is 0. An op that is not listed here counts 1 for each number that it makes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from math import prod
from types import SimpleNamespace

import numpy as np

from minidl.tensor import OPS

PER_NUMBER = """
0 0 astype broadcast_to cat copy diag diagonal embedding flatten flip gather getitem index_select last_state
0 0 masked_fill middle movedim pad permute pick repeat reshape roll scatter squeeze stack transpose tril triu
0 0 unflatten unfold unsqueeze values_at view where
1 0 add all any argmax argmin bitwise_and bitwise_not bitwise_or bitwise_xor ceil count_nonzero eq floor fold
1 0 ge gt isclose isfinite isinf isnan le logical_and logical_not logical_or logical_xor lt ne round
1 0 scatter_add sign sub sum
1 1 abs amax amin clamp cumsum exp hardtanh leaky_relu maximum mean minimum mul neg relu
1 2 cos div log log1p prod sin sqrt square
1 3 pow tanh
2 2 norm remainder rsqrt
2 3 erf x_log_x
3 2 exponential_unit
3 3 std var
4 3 logsigmoid logsumexp sigmoid softplus
5 3 log_softmax
5 4 softmax
5 7 silu
6 2 softmax_cross_entropy
6 4 binary_cross_entropy
8 14 gelu
"""
"""FLOP forward, FLOP backward, and the ops that cost so much for each number: forward, of the largest array;
backward, of each gradient."""


def _matrix_product(a, out) -> int:
    """2 K for each of the output's numbers, K the length of the axis that is summed over."""
    return 2 * out.size * next(iter(vars(a).values())).shape[-1]


def _convolution(a, out) -> int:
    """2 (C_in / groups) prod(kernel) for each of the output's numbers."""
    return 2 * out.size * a.weight[0].size


def _transposed_convolution(a, out) -> int:
    """2 (C_out / groups) prod(kernel) for each of the input's numbers."""
    return 2 * a.input.size * a.weight[0].size


PRODUCTS = {
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "mv", "dot"), _matrix_product),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed_convolution),
}
"""Ops that multiply two arrays into sums. Each gradient is a product of the same size; a bias adds 1 for each
of the output's numbers, forward and backward."""


def _pooling(a, out, n: int | None = None) -> tuple[int, list[int]]:
    """Every number of every window, and a way back for each of them."""
    n = a.n if n is None else n
    window = prod(a.kernel_size) if isinstance(a.kernel_size, (tuple, list)) else a.kernel_size**n
    return out.size * window, [out.size * window]


def _standardize(a, out) -> tuple[int, list[int]]:
    """3 for mean and variance if they are of this input, 4 to centre, scale and shift."""
    own, n = len(a.axes) > 0, out.size
    return n * (4 + 3 * own), [n * (2 + 6 * own), 2 * n, n]


def _attention(a, out) -> tuple[int, list[int]]:
    """Scores and their product with the values, 6 for each score's scaling and softmax."""
    scores = out.size // max(a.value.shape[-1], 1) * a.key.shape[-2]
    with_keys, with_values = 2 * scores * a.query.shape[-1], 2 * scores * a.value.shape[-1]
    product = with_keys + with_values
    return product + 6 * scores, [product + 5 * scores, with_keys, with_values, scores]


def _sequence(gates: int, forward: int, backward: int) -> Callable:
    """A recurrent layer: its weights times every row, and so much for each hidden unit of every row."""

    def cost(a, out):
        rows, units = len(a.x), len(a.x) * len(a.w_hh) // gates
        weights = {n: w for n in ("w_ih", "w_hh", "w_hr") if (w := getattr(a, n, None)) is not None}
        products = {name: 2 * rows * w.size for name, w in weights.items()}
        biases = {} if a.b_ih is None else {"b_ih": gates * units, "b_hh": gates * units}
        through_time = sum(products.values()) - products["w_ih"] + backward * units
        gradients = {"x": products["w_ih"], **products, **biases}
        gradients["w_hh"] += through_time  # wanted by every layer that learns
        flops = sum(products.values()) + sum(biases.values()) + forward * units
        return flops, [gradients.get(name, 0) for name in vars(a)]

    return cost


OTHERS = {
    "attention": _attention,
    "avg_pool1d": functools.partial(_pooling, n=1),
    "avg_pool2d": functools.partial(_pooling, n=2),
    "gru_sequence": _sequence(gates=3, forward=19, backward=24),
    "lstm_sequence": _sequence(gates=4, forward=25, backward=26),
    "max_pool": _pooling,
    "rnn_sequence": _sequence(gates=1, forward=2, backward=4),
    "standardize": _standardize,
}
"""Ops with a formula of their own for forward and the gradient of each argument."""


def cost(name: str, arrays: list, settings: dict, out: np.ndarray) -> tuple[int, list[int]]:
    """FLOP of an op's forward, and of the gradient of each of its positional arguments.

    Args:
        name: of the op. arrays, settings: what it was called with.
        out: what it gave.
    """
    tensors = [x for x in arrays if isinstance(x, np.ndarray)]
    if name in PRODUCTS:
        product = PRODUCTS[name](_named(name, arrays, settings), out)
        bias = [out.size] * (len(tensors) - 2)
        return product + sum(bias), [product, product, *bias]
    if name in OTHERS:
        return OTHERS[name](_named(name, arrays, settings), out)
    forward, backward = _per_number().get(name, (1, 1))
    numbers = max(x.size for x in (out, *tensors)) if is_known(name) else out.size
    return forward * numbers, [backward * numbers] * len(arrays)


def is_known(name: str) -> bool:
    """Has this op a formula here?"""
    return name in PRODUCTS or name in OTHERS or name in _per_number()


@functools.cache
def _per_number() -> dict[str, tuple[int, int]]:
    lines = [line.split() for line in PER_NUMBER.strip().splitlines()]
    return {name: (int(forward), int(backward)) for forward, backward, *names in lines for name in names}


@functools.cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(OPS[name])


def _named(name: str, arrays: list, settings: dict) -> SimpleNamespace:
    """The arguments of a call by the names that the op gives them."""
    bound = _signature(name).bind(*arrays, **settings)
    bound.apply_defaults()
    return SimpleNamespace(**bound.arguments)
