"""Compiled norms against the reference: rows and runs, missing parameters, nan, views, single numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.kernels import WORTH_COMPILING, reference
from tests.parity import assert_parity, written

pytest.importorskip("numba", reason="Numba is not installed")
from minidl.kernels.cpu import normalization as compiled

LAYER, BATCH, EVALUATED, GROUP = "layer", "batch", "evaluated", "group"


def arguments(kind, shape, rng, dtype=np.float32, parts=(True, True), centred=True, eps=1e-3):
    """What `standardize` gets for a norm of an array of this shape, and the shape of its parameters."""
    x = (rng.normal(size=shape) * 2 + 1).astype(dtype)
    channels = (1, shape[1], *[1] * (len(shape) - 2)) if len(shape) > 1 else None
    axes = {LAYER: (-1,), BATCH: (0, *range(2, len(shape))), EVALUATED: (), GROUP: (2, 3)}[kind]
    parameter = {LAYER: shape[-1:], GROUP: (1, *shape[1:3], 1)}.get(kind, channels)
    weight, bias = [rng.normal(size=parameter).astype(dtype) if part else None for part in parts]
    mean, var = None, None
    if kind == EVALUATED:
        mean, var = rng.normal(size=channels).astype(dtype), rng.random(channels).astype(dtype)
    return (x, mean, var, weight, bias, axes, eps, centred), parameter if any(parts) else None


def assert_same(call, shape, tolerance=2e-5):
    """Forward and backward."""
    got, want = compiled.standardize(*call), reference.standardize(*call)
    x, _, _, weight, _, axes, eps, _ = call
    g = np.random.default_rng(1).normal(size=x.shape).astype(x.dtype)
    back = (g, x, *want[1:], weight, shape, axes, eps)
    got += tuple(compiled.standardize_backward(*back))
    want += tuple(reference.standardize_backward(*back))
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            finite = np.abs(b[np.isfinite(b)]).max(initial=1)
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * finite)


@st.composite
def calls(draw):
    kind = draw(st.sampled_from([LAYER, BATCH, EVALUATED, GROUP]))
    axes = {LAYER: (1, 3), GROUP: (4, 4)}.get(kind, (2, 4))
    shape = tuple(draw(st.lists(st.integers(1, 19), min_size=axes[0], max_size=axes[1])))
    if draw(st.integers(0, 9)) == 0:
        shape = (0, *shape[1:])
    rng, parts = (
        np.random.default_rng(draw(st.integers(0, 99))),
        draw(st.tuples(st.booleans(), st.booleans())),
    )
    dtype = draw(st.sampled_from([np.float32, np.float32, np.float64]))
    centred = kind != LAYER or draw(st.booleans())
    (x, *others), parameter = arguments(kind, shape, rng, dtype, parts, centred)
    if draw(st.booleans()):
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    if x.size and draw(st.integers(0, 4)) == 0:
        x[(0,) * x.ndim] = np.nan
    return (x, *others), parameter


@given(calls())
def test_same_as_the_reference(case):
    assert_same(*case)


@pytest.mark.parametrize("threads", ["1", "2", "3"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (LAYER, (1200, 250)),
        (LAYER, (3, 100_003)),
        (GROUP, (50, 3, 4, 500)),
        (BATCH, (70, 5, 31, 33)),
        (EVALUATED, (9, 6, 5000)),
    ],
)
def test_large_ones_in_any_number_of_threads(use_threads, threads, kind, shape):
    use_threads(threads)
    assert_same(*arguments(kind, shape, np.random.default_rng(0)))


def test_many_numbers_far_from_0_are_added_up_without_loss():
    """The mean of a million numbers near 100 is right to the last digits, and so is their variance."""
    x = (np.random.default_rng(0).normal(size=(4, 2, 250_000)) + 100).astype(np.float32)
    wide = x.astype(np.float64)
    for axes in ((0, 2), (2,)):
        _, mean, var = compiled.standardize(x, None, None, None, None, axes, 1e-5, True)
        np.testing.assert_allclose(mean, wide.mean(axes, keepdims=True), rtol=2e-7)
        np.testing.assert_allclose(var, wide.var(axes, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "shape", "parameter"),
    [
        ("m.F.layer_norm(x, y.shape, y, z)", (40, 130), (130,)),
        ("m.F.layer_norm(x, y.shape, y)", (9, 8, 70), (8, 70)),
        ("m.F.layer_norm(x, y.shape, bias=y)", (70, 64), (64,)),
        ("m.F.layer_norm(x.transpose(0, 1), y.shape, y, z)", (64, 70), (64,)),
        ("m.F.rms_norm(x, y.shape, y)", (40, 130), (130,)),
        ("m.F.batch_norm(x, None, None, y, z, training=True)", (8, 3, 15, 15), (3,)),
        ("m.F.batch_norm(x, None, None, y, z, training=True)", (700, 6), (6,)),
        ("m.F.batch_norm(x, z.detach(), z.detach() ** 2, y, z)", (8, 3, 15, 15), (3,)),
        ("m.F.group_norm(x, 3, y, z)", (8, 6, 11, 10), (6,)),
        ("m.F.group_norm(x, 2)", (8, 6, 11, 10), (6,)),
    ],
)
def test_norms_beside_pytorch(call, shape, parameter):
    rng = np.random.default_rng(0)
    assert np.prod(shape) >= WORTH_COMPILING
    arrays = [(rng.normal(size=s) + 1).astype(np.float32) for s in (shape, parameter, parameter)]
    used = 3 if "z" in call else 2 if "y" in call else 1
    assert_parity(written(call), *arrays[:used], tolerance={"rtol": 1e-4, "atol": 2e-5})
