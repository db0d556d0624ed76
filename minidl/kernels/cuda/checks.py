"""Every kernel of the device held against the specification: one command, after installing or changing one.

A case is the arguments of one call, as NumPy arrays. They are given to `reference` and, moved to the device,
to its kernel; what comes back, and arrays that are changed in place, must agree.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from minidl.kernels import reference
from minidl.kernels.cuda.array import CudaArray, asarray

RTOL, ATOL = 2e-4, 2e-5
"""For float32; sums are taken in another order than NumPy's."""

CASES: dict[str, Callable[[np.random.Generator], list[tuple]]] = {}
"""Kernel -> function that draws the arguments of a few calls."""


def cases(*names: str):
    """A function that draws arguments for these kernels."""

    def register(function):
        CASES.update(dict.fromkeys(names, function))
        return function

    return register


def kernel_names() -> list[str]:
    """The kernels that the device has, in the reference's order."""
    return [name for name in vars(reference) if inspect.isfunction(vars(reference)[name]) and _find(name)]


def _find(name: str) -> Callable | None:
    family = getattr(reference, name).__module__.rpartition(".")[2]
    try:
        return getattr(importlib.import_module(f"minidl.kernels.cuda.{family}"), name, None)
    except ModuleNotFoundError:
        return None


def check(name: str, seed: int = 0) -> float:
    """The largest error of a kernel over its cases, as a share of what is allowed: more than 1 is wrong."""
    return max(_error(name, args) for args in CASES[name](np.random.default_rng(seed)))


def _error(name: str, args: tuple) -> float:
    here = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    there = [_on_device(name, a) for a in args]
    want = [*_arrays(_called(partial(getattr, reference), name, here)), *_arrays(here)]
    got = [*_arrays(_called(_find, name, there)), *_arrays(there)]
    return max(_distance(a, b) for a, b in zip(want, got, strict=True))


def _called(find: Callable, name: str, args: list):
    """The kernel's result, without what some forwards keep for their backward, each in its own way."""
    if "sequence" not in name and "ctc" not in name:
        return find(name)(*args)
    *outputs, kept = find(name.removesuffix("_backward"))(*args)
    given = [*args, *outputs, kept] if "ctc" in name else [*outputs, kept, args[-1]]
    return find(name)(*given) if name.endswith("backward") else outputs


def _on_device(name: str, a):
    """Arrays of the host are moved, but for batch sizes, which say how the work is cut."""
    return asarray(a) if isinstance(a, np.ndarray) and not (a.dtype == np.int64 and "sequence" in name) else a


def _arrays(values) -> Iterator[np.ndarray]:
    """All arrays among the values, on the host."""
    if isinstance(values, CudaArray):
        yield values.get()
    elif isinstance(values, (np.ndarray, np.generic)):
        yield np.asarray(values)
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _arrays(value)


def _distance(want: np.ndarray, got: np.ndarray) -> float:
    if want.shape != got.shape or not want.size:
        return 0.0 if want.shape == got.shape else np.inf
    with np.errstate(invalid="ignore"):
        off = np.abs(want.astype(np.float64) - got) / (ATOL + RTOL * np.abs(want))
    same = (want == got) | (np.isnan(want) & np.isnan(got)) if want.dtype.kind == "f" else want == got
    worst = np.where(same, 0, off).max()
    return float(np.inf if np.isnan(worst) else worst)


# -- the cases -----------------------------------------------------------------------------------------


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


@cases("exp", "gelu", "gelu_tanh", "relu", "sigmoid", "silu", "tanh", "erf")
def _of_one(rng):
    return [(_normal(rng, 1000),), (_normal(rng, 3, 5),)]


@cases(*(f"{name}_backward" for name in ("gelu", "gelu_tanh", "relu", "sigmoid", "silu", "tanh")))
def _backward_of_one(rng):
    return [(_normal(rng, 1000), _normal(rng, 1000))]


@cases("softmax", "log_softmax")
def _softmax(rng):
    return [(_normal(rng, 7, 33), 1), (_normal(rng, 2, 1500), 1), (_normal(rng, 5, 4, 3), 1)]


@cases("softmax_backward", "log_softmax_backward")
def _softmax_backward(rng):
    return [(_normal(rng, 7, 33), reference.softmax(_normal(rng, 7, 33), 1), 1)]


@cases("softmax_cross_entropy")
def _loss(rng):
    return [(_normal(rng, n, c), rng.integers(0, c, n)) for n, c in ((1, 1), (33, 10), (5, 1200))]


@cases("ctc", "ctc_backward")
def _ctc(rng):
    log_probs, targets = reference.log_softmax(_normal(rng, 20, 4, 9), 2), rng.integers(1, 9, (4, 6))
    return [(log_probs, targets, np.array([20, 15, 9, 7]), np.array([6, 5, 4, 0]), 0)]


@cases("sgd_step")
def _sgd(rng):
    w, g, velocity = _normal(rng, 3, 101)
    return [(w, g, velocity, 0.1, 0.9, 0.2, 0.01, False, False), (w, g, None, 0.1, 0, 0, 0, False, True)]


@cases("adam_step")
def _adam(rng):
    w, g, m, v = _normal(rng, 4, 101)
    return [(w, g, m, np.abs(v), None, 0.01, 0.9, 0.999, 1e-8, 0.1, True, 3)]


@cases("adagrad_step")
def _adagrad(rng):
    w, g, total = _normal(rng, 3, 101)
    return [(w, g, np.abs(total), 0.01, 0.1, 1e-10, 0.1, 3)]


@cases("rmsprop_step")
def _rmsprop(rng):
    w, g, square, velocity = _normal(rng, 4, 101)
    return [(w, g, np.abs(square) + 1, velocity, None, 0.01, 0.99, 1e-8, 0.1, 0.9)]


@cases("add_rows")
def _add_rows(rng):
    return [(rng.integers(0, 9, 50), _normal(rng, 50, 12), 9)]


@cases("take_rows")
def _take_rows(rng):
    return [(_normal(rng, 9, 12), rng.integers(0, 9, 50))]


def _norms(rng):
    for shape, axes, along in (((6, 40), (-1,), (40,)), ((4, 3, 5, 5), (0, 2, 3), (1, 3, 1, 1))):
        yield _normal(rng, *shape), axes, _normal(rng, *along), _normal(rng, *along)


@cases("standardize")
def _standardize(rng):
    return [(x, None, None, w, b, axes, 1e-5, True) for x, axes, w, b in _norms(rng)]


@cases("standardize_backward")
def _standardize_backward(rng):
    return [
        (_normal(rng, *x.shape), x, *reference.moments(x, axes, True), w, w.shape, axes, 1e-5)
        for x, axes, w, _ in _norms(rng)
    ]


@cases("moments")
def _moments(rng):
    return [(x, axes, True) for x, axes, *_ in _norms(rng)]


@cases("sum_to")
def _sum_to(rng):
    return [(_normal(rng, 4, 3, 5), (1, 3, 1)), (_normal(rng, 4, 3, 5), (3, 5))]


WINDOWS = (((1, 1), (2, 2), (1, 1), 1), ((2, 2), (1, 1), (1, 1), 1), ((1, 2), (0, 1), (2, 1), 2))
"""stride, padding, dilation, groups."""


def _convolutions(rng):
    for stride, padding, dilation, groups in WINDOWS:
        axes = zip((9, 11), stride, padding, dilation, strict=True)
        out = tuple((n + 2 * p - d * 2 - 1) // s + 1 for n, s, p, d in axes)
        x, weight = _normal(rng, 2, 4, 9, 11), _normal(rng, 6, 4 // groups, 3, 3)
        yield x, weight, out, _normal(rng, 2, 6, *out), (stride, padding, dilation, groups)


@cases("convolution")
def _convolution(rng):
    return [(x, w, out, *window, _normal(rng, 6)) for x, w, out, _, window in _convolutions(rng)]


@cases("convolution_backward_input")
def _convolution_backward_input(rng):
    return [(g, w, x.shape[2:], *window) for x, w, _, g, window in _convolutions(rng)]


@cases("convolution_backward_weight")
def _convolution_backward_weight(rng):
    return [(g, x, w.shape[2:], *window) for x, w, _, g, window in _convolutions(rng)]


@cases("convolution_backward_bias")
def _convolution_backward_bias(rng):
    return [(_normal(rng, 3, 5, 4, 6),)]


@cases("unfold")
def _unfold(rng):
    return [(_normal(rng, 2, 3, 6, 7), (3, 2), (4, 6), (1, 1), (0, 0), (1, 1))]


@cases("fold")
def _fold(rng):
    return [(_normal(rng, 2, 3, 3, 2, 4, 6), (6, 7), (1, 1), (0, 0), (1, 1))]


TABLES = [2 * np.arange(n)[None, :] + np.arange(2)[:, None] for n in (4, 3)]
"""Windows of 2 x 2 side by side on 8 x 6 places."""


@cases("max_pool")
def _max_pool(rng):
    return [(_normal(rng, 2, 3, 8, 6), TABLES)]


@cases("max_pool_backward")
def _max_pool_backward(rng):
    _, index = reference.max_pool(_normal(rng, 2, 3, 8, 6), TABLES)
    return [(_normal(rng, 2, 3, 4, 3), index, (8, 6))]


@cases("resample")
def _resample(rng):
    return [(_normal(rng, 2, 3, 8, 6), [(table, None) for table in TABLES])]


@cases("resample_backward")
def _resample_backward(rng):
    return [(_normal(rng, 2, 3, 4, 3), [(table, None) for table in TABLES], (8, 6))]


def _heads(rng):
    for length, keys, width, causal in ((33, 33, 16, True), (5, 70, 32, False), (64, 64, 64, True)):
        q, k, v = (_normal(rng, 2, n, width) for n in (length, keys, keys))
        yield q, k, v, None, None, width**-0.5, causal


@cases("attention")
def _attention(rng):
    return list(_heads(rng))


@cases("attention_backward", "attention_backward_bias")
def _attention_backward(rng):
    return [(_normal(rng, *given[0].shape), *given, *reference.attention(*given)) for given in _heads(rng)]


def _sequence(name: str, rng, gates: int) -> tuple:
    """Arguments of a recurrent kernel: sequences of 5, 5 and 3 steps, 4 features, 6 units."""
    sizes = np.array([3, 3, 3, 2, 2])
    states = [_normal(rng, 3, 6) for _ in range(2 if name == "lstm_sequence" else 1)]
    weights = [_normal(rng, gates * 6, n) for n in (4, 6)] + [_normal(rng, gates * 6) for _ in range(2)]
    projection = [None] if name == "lstm_sequence" else []
    return (_normal(rng, int(sizes.sum()), 4), *states, *weights, *projection, sizes)


for _name, _gates in (("rnn_sequence", 1), ("lstm_sequence", 4), ("gru_sequence", 3)):
    cases(_name, f"{_name}_backward")(lambda rng, name=_name, gates=_gates: [_sequence(name, rng, gates)])
