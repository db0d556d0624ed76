"""Standardisation on the GPU against the reference: rows short and long, channels, groups, constants."""

import numpy as np
import pytest

import minidl
from minidl.kernels import reference
from minidl.kernels.cuda import normalization, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32
from minidl.nn import functional as F
from tests.draw import Draw

EPS = 1e-5
LAST = (-1,)


def on_device(x):
    return None if x is None else asarray(x)


def drawn(shape, own, dtype=np.float32, offset=3):
    """x, g, and a weight and a bias of shape `own` (or None)."""
    rng = np.random.default_rng(0)
    x, g = (offset + 2 * rng.normal(size=shape)).astype(dtype), rng.normal(size=shape).astype(dtype)
    weight, bias = (None if own is None else rng.normal(size=own).astype(dtype) for _ in range(2))
    return x, g, weight, bias


def wide(x):
    return None if x is None else x.astype(np.float64)


def assert_close(mine, right, dtype):
    assert (mine is None) == (right is None)
    if mine is not None:
        assert (mine.shape, mine.dtype) == (right.shape, dtype)
        scale = max(1, np.abs(right).max(initial=0))
        tolerance = 8e-6 if dtype == np.float32 else 1e-11
        np.testing.assert_allclose(mine.get(), right, rtol=0, atol=tolerance * scale)


def assert_same(x, g, weight, bias, axes, centred=True, mean=None, var=None):
    given = wide(x), wide(mean), wide(var), wide(weight), wide(bias)
    wanted = reference.standardize(*given, axes, EPS, centred)
    there = [on_device(a) for a in (x, mean, var, weight, bias)]
    got = normalization.standardize(*there, axes, EPS, centred)
    for mine, right in zip(got, wanted, strict=True):
        assert_close(mine, right, x.dtype)
    shape = next((p.shape for p in (weight, bias) if p is not None), None)
    wanted = reference.standardize_backward(wide(g), given[0], *wanted[1:], given[3], shape, axes, EPS)
    got = normalization.standardize_backward(asarray(g), there[0], *got[1:], there[3], shape, axes, EPS)
    for mine, right in zip(got, wanted, strict=True):
        assert_close(mine, right, x.dtype)


@pytest.fixture
def never_composed(monkeypatch):
    """Fail where the reference would be followed, operation by operation."""
    for name in ("standardize", "standardize_backward"):
        monkeypatch.delattr(normalization.reference, name)


DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("columns", [2, 7, 32, 65, 700, 1030, 8200])
def test_rows(columns, centred, dtype, monkeypatch):
    monkeypatch.setattr(normalization, "BUSY", 3)
    assert_same(*drawn((5, columns), (columns,), dtype), LAST, centred)


@DTYPES
@pytest.mark.parametrize(
    ("shape", "axes", "own"),
    [
        ((2, 3, 4, 5), (-3, -2, -1), (3, 4, 5)),  # layer norm over several axes
        ((300, 3), LAST, (3,)),
        ((70, 40), LAST, None),
        ((1, 5), LAST, (5,)),
        ((2, 3, 2, 5), (2, 3), (1, 3, 2, 1)),  # group norm
        ((3, 2, 1, 50), (2, 3), (1, 2, 1, 1)),
        ((3, 2, 3, 40), (2, 3), (1, 2, 3, 1)),
        ((2, 2, 2, 4500), (2, 3), (1, 2, 2, 1)),
        ((2, 4, 3, 3), (2, 3), (4, 1, 1)),  # instance norm
        ((5, 3, 4, 2), (0, 2, 3), (1, 3, 1, 1)),  # batch norm
        ((9, 2, 130), (0, 2), (1, 2, 1)),
        ((3, 33, 17), (0, 2), (1, 33, 1)),
        ((40, 5), (0,), (1, 5)),
        ((41, 70), (0,), (1, 70)),
        ((9, 40, 3), (0, 2), (1, 40, 1)),
        ((1, 3, 5, 5), (0, 2, 3), (1, 3, 1, 1)),
        ((7, 1, 5), (0, 2), (1, 1, 1)),
        ((4, 3, 700), (0, 2), None),
        ((2, 9000), (1,), None),  # few long rows
        ((1, 1, 5000), (0, 1, 2), (1, 1, 1)),
    ],
)
def test_each_norm(shape, axes, own, dtype, never_composed):
    assert_same(*drawn(shape, own, dtype), axes)


def test_more_pieces_than_a_warp_has_lanes():
    assert_same(*drawn((70, 2, 512), (1, 2, 1)), (0, 2))


@pytest.mark.parametrize(("weighted", "shifted"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize(("shape", "axes", "own"), [((6, 9), LAST, (9,)), ((6, 9), (0,), (1, 9))])
def test_weight_or_bias_alone(shape, axes, own, weighted, shifted):
    x, g, weight, bias = drawn(shape, own)
    assert_same(x, g, weight if weighted else None, bias if shifted else None, axes)


@DTYPES
@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (40, 33), (2, 3, 300), (0, 3, 2)])
@pytest.mark.parametrize("learned", [True, False])
def test_constants(shape, learned, dtype):
    own = (1, shape[1]) + (1,) * (len(shape) - 2)
    mean, var = np.random.default_rng(1).uniform(1, 2, (2, *own)).astype(dtype)
    assert_same(*drawn(shape, own if learned else None, dtype), (), mean=mean, var=var)


@pytest.mark.parametrize(
    ("shape", "axes", "own"),
    [
        ((4, 3, 5), (1,), (3, 1)),  # neither rows nor channels
        ((4, 3, 5), (2,), (4, 1, 5)),
        ((4, 3, 5), (2,), ()),
        ((4, 6), (0,), (4, 1)),
        ((5, 1), LAST, (1,)),
        ((0, 3), LAST, (3,)),
        ((4, 3, 5), (0, 2), (5,)),
    ],
)
def test_what_fits_no_shape_of_work(shape, axes, own):
    assert_same(*drawn(shape, own), axes)


@pytest.mark.parametrize("seed", range(40))
def test_drawn_axes(seed):
    draw = Draw(seed)
    shape = tuple(draw.number(1, 9) for _ in range(draw.number(1, 4)))
    axes = tuple(i for i in range(len(shape)) if draw.number(0, 1))
    first = draw.number(0, len(shape))
    own = tuple(n if i >= first and draw.number(0, 4) else 1 for i, n in enumerate(shape))
    along = tuple(n if i == first else 1 for i, n in enumerate(shape))
    mean, var = (None, None) if axes else np.random.default_rng(seed).uniform(1, 2, (2, *along))
    assert_same(*drawn(shape, own, np.float64), axes, mean=mean, var=var)


def test_rms_of_channels():
    assert_same(*drawn((4, 3, 5), (3, 1)), (0, 2), centred=False)


@pytest.mark.parametrize(("axes", "own"), [((1,), (6,)), ((0,), (1, 6))])
def test_views(axes, own):
    x, g, weight, bias = drawn((12, 12), own)
    view = lambda a: a.T[::2, 1:7]  # noqa: E731
    given = wide(x).T[::2, 1:7], None, None, wide(weight), wide(bias)
    wanted = reference.standardize(*given, axes, EPS, True)
    there = view(asarray(x)), None, None, asarray(weight), asarray(bias)
    got = normalization.standardize(*there, axes, EPS, True)
    assert_close(got[0], wanted[0], np.float32)
    dx = normalization.standardize_backward(view(asarray(g)), there[0], *got[1:], there[3], own, axes, EPS)
    right = reference.standardize_backward(view(wide(g)), given[0], *wanted[1:], given[3], own, axes, EPS)
    for mine, want in zip(dx, right, strict=True):
        assert_close(mine, want, np.float32)


@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 900), (1,)), ((3, 9000), (1,)), ((3, 2, 3000), (0, 2)), ((600, 3), (0,))]
)
def test_a_large_mean_costs_no_digits_of_the_variance(shape, axes):
    x = (1e4 + np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    _, mean, var = normalization.standardize(asarray(x), None, None, None, None, axes, EPS, True)
    np.testing.assert_allclose(mean.get(), wide(x).mean(axes, keepdims=True), rtol=2e-7)
    np.testing.assert_allclose(var.get(), wide(x).var(axes, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("axes", [(1,), (0,)])
def test_what_is_not_finite_spreads(axes, value):
    x, *_ = drawn((5, 6), None)
    x[1, 2] = value
    with np.errstate(all="ignore"):
        want = reference.standardize(x, None, None, None, None, axes, EPS, True)[0]
    got = normalization.standardize(asarray(x), None, None, None, None, axes, EPS, True)[0].get()
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))


def test_functions_of_the_engine():
    def results(place):
        minidl.manual_seed(0)
        x = place(minidl.randn(4, 6, 5)).requires_grad_()
        w, b = (place(minidl.randn(6)).requires_grad_() for _ in range(2))
        mean, var = place(minidl.zeros(6)), place(minidl.ones(6))
        last = place(minidl.randn(5)).requires_grad_()
        outs = [
            F.batch_norm(x, mean, var, w, b, training=True),
            F.batch_norm(x, mean, var, w, b),
            F.group_norm(x, 2, w, b),
            F.layer_norm(x, (5,), last),
            F.rms_norm(x, (5,), last),
        ]
        sum((out * out.detach()[..., :1]).sum() for out in outs).backward()
        return [*outs, mean, var, x.grad, w.grad, b.grad, last.grad]

    for mine, right in zip(results(lambda t: t.cuda()), results(lambda t: t), strict=True):
        np.testing.assert_allclose(mine.detach().cpu().numpy(), right.detach().numpy(), rtol=1e-4, atol=1e-4)


INTEGERS = (int32,) * 6


@pytest.mark.parametrize("number", [float32, float64], ids=str)
def test_machine_code_of_rows(needs_toolkit, number):
    a, size = number[::1], number.dtype.itemsize
    ints = (int32,) * 4
    lengths = normalization.IN_BLOCK * 4 // size, normalization.IN_WARP * 4 // size
    for length in lengths if number is float32 else lengths[:1]:
        lanes, kept = normalization.row_threads(10**5, length, size)
        run = normalization.rows_kernel(number, lanes, kept, True, True, True, True)
        resources.expect(run, (a,) * 6 + (*ints, int32, number), registers=128)
        run = normalization.rows_backward_kernel(number, lanes, kept, True, False, True)
        resources.expect(run, (a,) * 7 + (*ints, int32, number), registers=144)
    run = normalization.long_rows_kernel(number, True, False, True, True)
    resources.expect(run, (a,) * 6 + (*ints, number), registers=48)
    run = normalization.long_rows_backward_kernel(number, True, False, True)
    resources.expect(run, (a,) * 7 + (*ints, number), registers=96)


@pytest.mark.parametrize("number", [float32, float64], ids=str)
def test_machine_code_of_channels(needs_toolkit, number):
    a, kept = number[::1], normalization.KEPT
    for channels in (1, 32) if number is float32 else (32,):
        run = normalization.moments_kernel(number, channels, kept)
        resources.expect(run, (a, float64[::1], a, *INTEGERS), registers=104)
        run = normalization.channels_kernel(number, channels, kept, True, True)
        resources.expect(run, (a,) * 6 + (*INTEGERS, number), registers=96)
        for of_channel in (True, False):
            run = normalization.sums_kernel(number, channels, kept, True, of_channel)
            resources.expect(run, (a,) * 5 + (*INTEGERS, int32, int32, number), registers=96)
        run = normalization.channels_backward_kernel(number, channels, kept, True, True)
        resources.expect(run, (a,) * 7 + (*INTEGERS, number), registers=96)
    run = normalization.merge_kernel(number)
    resources.expect(run, (float64[::1], a, a, a, *(int32,) * 4), registers=64)
