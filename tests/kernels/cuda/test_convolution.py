"""Convolution on the GPU against the reference: ragged tiles, every setting, phases, groups, signals."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import convolution, convolution_backward, resources
from minidl.kernels.cuda.array import CudaArray, asarray
from minidl.kernels.cuda.driver import float32, float64, int32

NAMES = ("convolution", "convolution_backward_input", "convolution_backward_weight")
SHAPES = [  # batch, channels, outputs, size, kernel
    (1, 1, 1, (5, 7), (1, 1)),
    (3, 1, 6, (6, 7), (5, 5)),
    (2, 3, 9, (6, 5), (3, 2)),
    (2, 3, 10, (19,), (7,)),
    (2, 5, 8, (4, 4), (1, 1)),
]
SETTINGS = [(1, 0, 1), (1, 2, 1), (2, 1, 1), (3, 2, 2)]
"""Stride, padding, dilation."""


def arguments(shape, settings, dtype=np.float32, groups=1):
    """What the three kernels get for one convolution; None where the kernel does not fit into the input."""
    (batch, channels, outputs, size, kernel), (stride, padding, dilation) = shape, settings
    out = tuple(
        (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(size, kernel, strict=True)
    )
    if min(out) < 1:
        return None
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, channels * groups, *size)).astype(dtype)
    w = rng.normal(size=(outputs * groups, channels, *kernel)).astype(dtype)
    g = rng.normal(size=(batch, outputs * groups, *out)).astype(dtype)
    window = *([value] * len(size) for value in (stride, padding, dilation)), groups
    return (x, w, out, *window), (g, w, size, *window), (g, x, kernel, *window)


def on_device(args):
    return [asarray(a) if isinstance(a, np.ndarray) else a for a in args]


def assert_same(calls, views=on_device):
    for name, call in zip(NAMES, calls, strict=True):
        want, got = getattr(reference, name)(*call), getattr(convolution, name)(*views(call))
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        scale = max(1, np.abs(want).max(initial=0))
        rtol = 2e-5 if want.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(got.get(), want, atol=rtol * scale, err_msg=name)


CASES = [(shape, s) for shape in SHAPES for s in SETTINGS if arguments(shape, s) is not None]


@pytest.mark.parametrize(("shape", "settings"), CASES)
def test_same_as_the_reference(shape, settings):
    assert_same(arguments(shape, settings))


@pytest.mark.parametrize(("shape", "settings"), CASES[::4])
def test_float64_has_a_kernel_of_its_own(shape, settings):
    assert_same(arguments(shape, settings, np.float64))


@pytest.mark.parametrize(
    "shape", [(2, 2, 5, (5, 6), (3, 3)), (2, 1, 1, (7, 5), (3, 3)), (2, 5, 2, (9,), (4,))]
)
@pytest.mark.parametrize("settings", [(1, 1, 1), (2, 1, 1)])
def test_groups(shape, settings):
    assert_same(arguments(shape, settings, groups=3))


TILES = [(32, 128), (32, 64), (64, 128), (64, 64), (128, 128)]


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("stride", [1, 2])
def test_every_tile(monkeypatch, tile, stride):
    """More channels, pixels and taps than a tile has, and not a multiple of them."""
    monkeypatch.setattr(convolution, "plan", lambda *sizes: tile)
    size = (8, 12) if stride == 1 else (13, 9)
    (x, w, *rest), *_ = arguments((2, 5, tile[0] + 6, size, (3, 2)), (stride, 1, 1))
    bias = np.random.default_rng(1).normal(size=len(w)).astype(np.float32)
    want = reference.convolution(x, w, *rest, bias)
    got = convolution.convolution(asarray(x), asarray(w), *rest, asarray(bias))
    np.testing.assert_allclose(got.get(), want, atol=1e-4)


@pytest.mark.parametrize(("tile", "parts"), [(64, 1), (64, 3), (128, 1), (128, 2)])
def test_every_tile_of_the_weight(monkeypatch, tile, parts):
    monkeypatch.setattr(convolution_backward, "plan", lambda *sizes: (tile, parts))
    *_, call = arguments((3, 17, tile + 6, (5, 6), (3, 3)), (1, 1, 1))
    want = reference.convolution_backward_weight(*call)
    got = convolution.convolution_backward_weight(*on_device(call))
    np.testing.assert_allclose(got.get(), want, atol=1e-4)


def test_parts_are_added_in_the_same_order(monkeypatch):
    monkeypatch.setattr(convolution_backward, "PART", 32)
    *_, call = arguments((3, 1, 6, (6, 8), (3, 3)), (1, 1, 1))
    assert convolution_backward.plan(6, 9, 1, 3 * 48, 4)[1] == 4
    first, second = (convolution.convolution_backward_weight(*on_device(call)).get() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, reference.convolution_backward_weight(*call), atol=1e-4)


def test_bias():
    (x, w, *rest), (g, *_), _ = arguments(SHAPES[2], (1, 1, 1), groups=2)
    bias = np.arange(len(w), dtype=np.float32)
    want = reference.convolution(x, w, *rest, bias)
    got = convolution.convolution(asarray(x), asarray(w), *rest, asarray(bias))
    np.testing.assert_allclose(got.get(), want, rtol=1e-5, atol=1e-4)
    got = convolution.convolution_backward_bias(asarray(g))
    np.testing.assert_allclose(got.get(), reference.convolution_backward_bias(g), rtol=1e-5, atol=1e-5)
    assert not convolution.convolution_backward_bias(asarray(g[:0])).get().any()


def test_settings_of_the_axes_differ():
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in [(2, 3, 7, 11), (5, 3, 2, 3)])
    window, out = ((1, 3), (2, 0), (2, 1), 1), (9, 3)
    g = rng.normal(size=(2, 5, *out)).astype(np.float32)
    assert_same(((x, w, out, *window), (g, w, (7, 11), *window), (g, x, (2, 3), *window)))


def test_nothing_in_the_batch():
    assert_same(arguments((0, 2, 3, (6, 6), (3, 3)), (1, 1, 1)))


def test_places_that_no_window_sees():
    """Strides longer than the kernel, and a transposed convolution that reaches further than its windows."""
    assert_same(arguments((2, 3, 6, (9, 8), (2, 1)), (4, 1, 1)))
    g, w, _, *window = arguments((2, 3, 6, (7, 7), (3, 3)), (2, 0, 1))[1]
    want = reference.convolution_backward_input(g, w, (8, 9), *window)
    got = convolution.convolution_backward_input(asarray(g), asarray(w), (8, 9), *window)
    np.testing.assert_allclose(got.get(), want, atol=1e-4)


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("position", [0, 1])
@np.errstate(all="ignore")
def test_infinity_and_nan_come_out_where_they_do_in_the_reference(value, position):
    calls = arguments((1, 2, 5, (6, 5), (3, 2)), (2, 1, 1))
    for name, call in zip(NAMES, calls, strict=True):
        call[position].flat[call[position].size // 2 + 1] = value
        want, got = getattr(reference, name)(*call), getattr(convolution, name)(*on_device(call)).get()
        assert not np.isfinite(want).all()
        if (name, position) == ("convolution_backward_input", 1):  # a weight: see there
            assert not np.isfinite(got[~np.isfinite(want)]).any()
        else:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3, err_msg=name)


def test_views_are_packed():
    def views(args):
        return [asarray(np.repeat(a, 2, axis=-1))[..., ::2] if isinstance(a, np.ndarray) else a for a in args]

    assert_same(arguments(SHAPES[2], (2, 1, 1)), views)


def test_results_that_begin_anywhere():
    """Weights and inputs at odd places of their memory are read one by one."""
    x, w, *rest = arguments((2, 4, 6, (4, 6), (2, 2)), (1, 1, 1))[0]
    flat = asarray(np.concatenate([[0], w.ravel()]).astype(np.float32))[1:].reshape(w.shape)
    assert isinstance(flat, CudaArray) and flat.offset % 16
    got = convolution.convolution(asarray(x), flat, *rest)
    np.testing.assert_allclose(got.get(), reference.convolution(x, w, *rest), atol=1e-4)


@pytest.mark.parametrize("settings", [(1, 0, 1), (2, 1, 1), (3, 2, 2)])
@pytest.mark.parametrize("shape", [s for s in SHAPES if len(s[3]) == 2] + [SHAPES[3]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unfold_and_fold(shape, settings, dtype):
    calls = arguments(shape, settings, dtype)
    if calls is None:
        pytest.skip("the kernel is larger than the image")
    x, w, out, stride, padding, dilation, _ = calls[0]
    window = (stride, padding, dilation)
    want = reference.unfold(x, w.shape[2:], out, *window)
    np.testing.assert_array_equal(convolution.unfold(asarray(x), w.shape[2:], out, *window).get(), want)
    got = convolution.fold(asarray(want), x.shape[2:], *window)
    np.testing.assert_allclose(got.get(), reference.fold(want, x.shape[2:], *window), rtol=1e-5, atol=1e-5)


def test_errors():
    x, w = asarray(np.zeros((1, 1, 2, 2, 2), np.float32)), asarray(np.zeros((1, 1, 1, 1, 1), np.float32))
    with pytest.raises(NotImplementedError, match=r"convolution of size \(2, 2, 2\).*one or two axes"):
        convolution.convolution(x, w, (2, 2, 2), *[(1, 1, 1)] * 3, 1)
    with pytest.raises(TypeError, match=r"convolution\(float32 \(1, 1, 3, 3\), float64.*of one type"):
        x, w = asarray(np.zeros((1, 1, 3, 3), np.float32)), asarray(np.zeros((1, 1, 1, 1)))
        convolution.convolution(x, w, (3, 3), *[(1, 1)] * 3, 1)
    with pytest.raises(NotImplementedError, match="a side must be below"):
        x, w = asarray(np.zeros((1, 1, 1, 20000), np.float32)), asarray(np.zeros((1, 1, 1, 1), np.float32))
        convolution.convolution(x, w, (1, 20000), (1, 1), (0, 0), (1, 1), 1)


TYPES = (*(float32[::1],) * 4, int32[::1], *(int32,) * 12)
WEIGHT_TYPES = (*(float32[::1],) * 3, int32[::1], *(int32,) * 13)


@pytest.mark.parametrize(
    ("tile", "wide"), [(tile, True) for tile in TILES] + [(tile, False) for tile in (*TILES[:2], TILES[-1])]
)
def test_costs(tile, wide, needs_toolkit):
    """(All 80 variants kept to this in 2026. `flat` changes the share by at most 0.004.)"""
    flat = not wide
    kernel = convolution.convolution_kernel(*tile, flat, (wide, wide), True)
    usual, registers = (tile, wide) == ((128, 128), True), 128 if tile[0] == 128 else 168
    resources.expect(kernel, TYPES, registers=registers, share=0.65, everywhere=usual)


@pytest.mark.parametrize(("tile", "rounds", "flat"), [(64, None, True), (128, 2, False)])
def test_costs_of_the_weight(tile, rounds, flat, needs_toolkit):
    kernel = convolution_backward.weight_kernel(tile, flat)
    resources.expect(kernel, WEIGHT_TYPES, registers=128 if tile == 128 else 168, share=0.65, rounds=rounds)


def test_costs_of_other_types(needs_toolkit):
    types = [float64[::1] if t is float32[::1] else t for t in TYPES]
    resources.expect(convolution.plain_kernel(float64, False, True), tuple(types))
    types = [float64[::1] if t is float32[::1] else t for t in WEIGHT_TYPES]
    resources.expect(convolution_backward.plain_weight_kernel(float64, False), tuple(types))
