"""Compiled sequences agree with the reference: kinds, shapes, ragged and reversed batches, threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import kernels, nn
from minidl.kernels import reference
from minidl.tensor import Tensor
from tests.parity import assert_module_parity

pytest.importorskip("numba", reason="Numba is not installed")
compiled = pytest.importorskip("minidl.kernels.cpu.recurrent")
ROUNDING = {"rtol": 2e-5, "atol": 5e-6}
BLOCKS = {"rnn": 1, "lstm": 4, "gru": 3}


@st.composite
def problems(draw):
    """What a sequence kernel is called with, at sizes around those of its blocks."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    kind, steps = draw(st.sampled_from(sorted(BLOCKS))), draw(st.integers(1, 6))
    n, inputs, width = (draw(st.integers(1, high)) for high in (20, 20, 40))
    sizes = np.full(steps, n)
    if draw(st.booleans()):
        sizes = np.sort(rng.integers(1, n + 1, steps))[::-1].copy()
        sizes[0] = n
    rows, height = sizes.sum(), BLOCKS[kind] * width
    shapes = [(rows, inputs), *[(n, width)] * (1 + (kind == "lstm"))]
    arrays = [rng.normal(size=shape) / 2 for shape in shapes]
    for columns in (inputs, width):  # larger weights would make the rounding of one step grow in the next
        arrays.append(rng.normal(size=(height, columns)) / np.sqrt(columns))
    arrays += [rng.normal(size=height) for _ in range(2)] if draw(st.booleans()) else [None] * 2
    arrays += [None] * (kind == "lstm")
    if draw(st.booleans()):
        arrays = [a if a is None else np.repeat(a, 2, axis=-1)[..., ::2] for a in arrays]
    way = {"batch_sizes": sizes, "reverse": draw(st.booleans())}
    if kind == "rnn":
        way["relu"] = draw(st.booleans())
    return kind, arrays, way


def outcome(module, kind, arrays, way, input_gradient=True):
    """All that forward and backward give, for gradients that are the outputs themselves."""
    *outputs, saved = getattr(module, f"{kind}_sequence")(*arrays, **way)
    back = getattr(module, f"{kind}_sequence_backward")
    return [*outputs, *back(*outputs, saved, **way, input_gradient=input_gradient)]


def assert_agreement(kind, arrays, way, tolerance=ROUNDING, **more):
    before = [a if a is None else a.copy() for a in arrays]
    mine, want = (outcome(module, kind, arrays, way, **more) for module in (compiled, reference))
    for a, b in zip(mine, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            scale = max(1, abs(np.nan_to_num(b)).max(initial=0))
            np.testing.assert_allclose(a / scale, b / scale, **tolerance)
    for a, b in zip(arrays, before, strict=True):
        assert a is b is None or np.array_equal(a, b, equal_nan=True)


def as_float32(arrays):
    return [a if a is None else a.astype(np.float32) for a in arrays]


@settings(max_examples=60, deadline=None)
@given(problems(), st.booleans())
def test_compiled_sequences_are_the_reference(problem, input_gradient):
    kind, arrays, way = problem
    assert_agreement(kind, as_float32(arrays), way, input_gradient=input_gradient)


@settings(max_examples=10, deadline=None)
@given(problems())
def test_float64_takes_the_reference(problem):
    assert_agreement(*problem, tolerance={"rtol": 0, "atol": 0})


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("threads", ["1", "2", "3"])
@pytest.mark.parametrize("reverse", [False, True])
def test_threads_share_the_sequences(use_threads, kind, threads, reverse):
    use_threads(threads)
    rng, (n, inputs, width) = np.random.default_rng(0), (37, 20, 48)
    sizes, height = np.array([37, 37, 30, 20, 9, 1]), BLOCKS[kind] * width
    shapes = [(sizes.sum(), inputs), *[(n, width)] * (1 + (kind == "lstm")), (height, inputs)]
    shapes += [(height, width), (height,), (height,)]
    arrays = [rng.normal(size=shape) / 4 for shape in shapes] + [None] * (kind == "lstm")
    assert_agreement(kind, as_float32(arrays), {"batch_sizes": sizes, "reverse": reverse})


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@np.errstate(all="ignore")
def test_what_is_not_finite_stays_in_its_sequence(kind, bad):
    rng, (steps, n, inputs, width) = np.random.default_rng(0), (3, 20, 5, 17)
    height, states = BLOCKS[kind] * width, 1 + (kind == "lstm")
    shapes = [
        (steps * n, inputs),
        *[(n, width)] * states,
        (height, inputs),
        (height, width),
        (height,),
        (height,),
    ]
    arrays = as_float32([rng.normal(size=shape) for shape in shapes] + [None] * (kind == "lstm"))
    arrays[0][n + 3, 2] = bad
    way = {"batch_sizes": np.full(steps, n), "reverse": False}
    for module in (compiled, reference):
        h = getattr(module, f"{kind}_sequence")(*arrays, **way)[0].reshape(steps, n, width)
        assert np.isfinite(np.delete(h, 3, axis=1)).all()
        assert np.isfinite(h[0]).all()
    for mine, want in zip(*(outcome(m, kind, arrays, way) for m in (compiled, reference)), strict=True):
        if want is not None:
            np.testing.assert_allclose(mine, want, rtol=1e-4, atol=1e-5)


def test_tanh_and_sigmoid_of_gates():
    from numba import njit

    both = njit(lambda x: (compiled.tanh(x), compiled.sigmoid(x)))
    xs = np.concatenate([np.linspace(-12, 12, 4001), np.logspace(-30, 30, 61), [0, np.inf, -np.inf]])
    for x in xs.astype(np.float32):
        t, s = both(x)
        exact = np.tanh(np.float64(x))
        assert abs(t - exact) < 4e-7 * max(abs(exact), 1e-30) + 1e-38
        assert abs(s - (np.tanh(np.float64(x) / 2) / 2 + 0.5)) < 3e-7
    assert np.isnan(both(np.float32(np.nan))).all()


def test_few_rows_and_projections_take_the_reference():
    """Both directions must agree on it: what one saved the other reads."""
    rng, n = np.random.default_rng(0), compiled.WORTH_PACKING - 1
    few = [(n, 3), (n, 4), (n, 4), (16, 3), (16, 4), (16,), (16,)]
    projected = [(3 * n, 3), (n, 2), (n, 4), (16, 3), (16, 2), (16,), (16,), (2, 4)]
    for shapes, steps in ((few, 1), (projected, 3)):
        arrays = as_float32([rng.normal(size=s) for s in shapes] + [None] * (len(shapes) == 7))
        assert_agreement("lstm", arrays, {"batch_sizes": np.full(steps, n), "reverse": False}, {"rtol": 0})


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_of_a_size_worth_compiling_are_pytorchs(kind, bidirectional):
    rng, (steps, n, inputs, width) = np.random.default_rng(0), (12, 18, 10, 24)
    x = rng.normal(size=(steps, n, inputs)).astype(np.float32)
    assert x.shape[0] * n * width > kernels.WORTH_COMPILING
    assert kernels.find("lstm_sequence", np.empty((steps * n, width), np.float32)) is compiled.lstm_sequence
    assert_module_parity(
        lambda m: getattr(m.nn, kind)(inputs, width, num_layers=2, bidirectional=bidirectional),
        x, tolerance={"rtol": 1e-4, "atol": 2e-5}, modes=(True,),
    )  # fmt: skip


def test_a_second_backward_gives_the_same():
    layer, x = nn.LSTM(8, 32), Tensor(np.random.default_rng(0).normal(size=(10, 20, 8)).astype(np.float32))
    out, (_, c) = layer(x)
    gradients = []
    for _ in range(2):
        layer.zero_grad()
        (out.square().sum() + c.sum()).backward(retain_graph=True)
        gradients.append([p.grad.array.copy() for p in layer.parameters()])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)
