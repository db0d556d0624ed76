"""Pooling: examples, PyTorch over drawn settings, ties and nan, refusals."""

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from minidl.tensor import Tensor
from tests.draw import Draw
from tests.parity import assert_parity, ours


def test_max_pool_says_where_it_found_the_largest():
    x = minidl.tensor([[[1.0, 5, 2, 0], [3, 4, 8, 7]]])
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    assert values.tolist() == [[[5, 8]]]
    assert indices.tolist() == [[[1, 6]]]
    assert indices.dtype == np.int64


def test_of_equal_values_the_first_gets_the_gradient():
    x = minidl.ones(1, 1, 2, 4).requires_grad_()
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[[1, 0, 1, 0], [0, 0, 0, 0]]]]


def test_overlapping_windows_add_their_gradients():
    x = minidl.tensor([[0.0, 9, 0, 0]], requires_grad=True)
    F.max_pool1d(x, 2, stride=1).sum().backward()
    assert x.grad.tolist() == [[0, 2, 1, 0]]


def test_an_infinite_pixel_spoils_only_its_own_windows():
    x = minidl.ones(1, 1, 4, 4)
    x[0, 0, 0, 0] = np.inf
    for y in (F.avg_pool2d(x, 2), F.adaptive_avg_pool2d(x, 2)):
        assert y.tolist() == [[[[np.inf, 1], [1, 1]]]]


def test_global_pooling_is_the_mean():
    x = minidl.randn(2, 3, 5, 4)
    np.testing.assert_allclose(F.adaptive_avg_pool2d(x, 1).array[..., 0, 0], x.array.mean((2, 3)), atol=1e-6)


def spiked(draw, x):
    """Ties by rounding, and now and then nan and infinities."""
    if x.dtype.kind == "f" and draw.number(0, 2) == 0:
        x = np.round(x)
        if x.size and draw.number(0, 1):
            x = x.copy()
            x.flat[draw.rng.integers(x.size, size=3)] = draw.rng.choice([np.nan, np.inf, -np.inf], 3)
    return x


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", ["max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"])
def test_drawn_windows_equal_pytorchs(name, seed):
    draw, n = Draw(seed), int(name[-2])
    for _ in range(40):
        x = spiked(draw, draw.image(n, draw.number(1, 3)))
        kernel = draw.some(n, 1, 4)
        settings = draw.settings(n, stride=(1, 4), padding=(0, 2))
        settings["ceil_mode"] = bool(draw.number(0, 1))
        if name.startswith("max"):
            settings["return_indices"] = bool(draw.number(0, 1))
            if "padding" not in settings:  # together they can leave a window without any value
                settings |= draw.settings(n, dilation=(1, 3))
        else:
            settings["count_include_pad"] = bool(draw.number(0, 1))
            if n == 2 and draw.number(0, 3) == 0:
                settings["divisor_override"] = [None, 3, -2, 0][draw.number(0, 3)]
        assert_parity(lambda m, a, k=kernel, s=settings: getattr(m.F, name)(a, k, **s), x)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("n", [1, 2])
def test_drawn_bins_equal_pytorchs(kind, n, seed):
    draw, name = Draw(seed), f"adaptive_{kind}_pool{n}d"
    for _ in range(40):
        x = spiked(draw, draw.image(n, draw.number(1, 3)))
        out = draw.some(n, 1, 10)
        if n == 2 and isinstance(out, tuple) and draw.number(0, 1):
            out = (None, out[1])
        more = {"return_indices": True} if kind == "max" and draw.number(0, 1) else {}
        assert_parity(lambda m, a, o=out, s=more: getattr(m.F, name)(a, o, **s), x)


def test_of_several_nan_the_last_gets_the_gradient():
    x = np.array([[1, np.nan, 2, np.nan, np.nan]])
    for padding in (0, 1):
        assert_parity(lambda m, a, p=padding: m.F.max_pool1d(a, 3, 2, p, return_indices=True), x)


def test_no_bins_give_an_empty_result():
    x = np.ones((2, 3, 4), np.float32)
    for out in (0, (0, 2)):
        assert F.adaptive_avg_pool2d(Tensor(x), out).shape == (2, *np.broadcast_to(out, 2))
    assert_parity(lambda m, a: m.F.adaptive_max_pool2d(a.detach(), (2, 0)), x)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.F.max_pool2d(x, 2, padding=1),
        lambda m, x: m.F.max_pool1d(x[0], 2),
        lambda m, x: m.F.max_pool1d(x[0], 2, return_indices=True),
        lambda m, x: m.F.avg_pool2d(x, 3, 2, 1),
        lambda m, x: m.F.avg_pool2d(x, 3, 2, divisor_override=-4),
        lambda m, x: m.F.avg_pool1d(x[0], 2),
        lambda m, x: m.F.adaptive_avg_pool2d(x, 2),
        lambda m, x: m.F.adaptive_max_pool2d(x, 2),
    ],
)
def test_integers_work_where_they_do_in_pytorch(call, dtype):
    x = np.random.default_rng(0).integers(-9, 9, (2, 3, 5, 5)).astype(dtype)
    assert_parity(call, x)


REFUSED = [
    (lambda m, x: m.F.max_pool2d(x, 3, padding=2), r"max_pool\(input: \(2, 3, 5, 5\).*at most half"),
    (lambda m, x: m.F.max_pool2d(x, 6), "a window spans 6, the input with its padding 5"),
    (lambda m, x: m.F.max_pool2d(x, 2, 0), "stride=0 must be at least 1"),
    (lambda m, x: m.F.max_pool2d(x, 0), "kernel_size=0 must be at least 1"),
    (lambda m, x: m.F.max_pool2d(x, (2, 2, 2)), "one number or 2"),
    (lambda m, x: m.F.max_pool2d(x, 2, padding=-1), "padding=-1"),
    (lambda m, x: m.F.max_pool2d(x, 2, dilation=0), "dilation=0"),
    (lambda m, x: m.F.max_pool2d(x[0, 0], 2), "input must be"),
    (lambda m, x: m.F.max_pool2d(x[:, :0], 2), "only the batch may be empty"),
    (lambda m, x: m.F.max_pool2d(x[0, :0], 2), "only the batch may be empty"),
    (lambda m, x: m.F.max_pool2d(x[:, :, :0], 2, padding=1), "only the batch may be empty"),
    (lambda m, x: m.F.max_pool1d(x, 2), r"\(N, C, L\)"),
    (lambda m, x: m.F.max_pool1d(x[0], (2, 2)), "one number or 1"),
    (lambda m, x: m.F.max_pool1d(x[0].long(), 2), "floating-point, not int64"),
    (lambda m, x: m.F.avg_pool2d(x, 2, padding=2), "avg_pool2d.*at most half"),
    (lambda m, x: m.F.avg_pool2d(x, 2, divisor_override=0), "must not be 0"),
    (lambda m, x: m.F.avg_pool2d(x, 2, divisor_override=2.5), "must be an int"),
    (lambda m, x: m.F.avg_pool1d(x[0], 6), "avg_pool1d.*spans 6"),
    (lambda m, x: m.F.avg_pool1d(x[0], 2, stride=(2, 2)), "one number or 1"),
    (lambda m, x: m.F.adaptive_avg_pool2d(x, (3,)), "one number or 2"),
    (lambda m, x: m.F.adaptive_avg_pool2d(x, None), "output_size=None must be an int"),
    (lambda m, x: m.F.adaptive_avg_pool2d(x, -1), "output_size=-1"),
    (lambda m, x: m.F.adaptive_avg_pool2d(x[:, :, :0], 3), "only the batch"),
    (lambda m, x: m.F.adaptive_avg_pool1d(x[0], None), "output_size=None"),
    (lambda m, x: m.F.adaptive_max_pool2d(x[:, :0], 3), "only the batch"),
    (lambda m, x: m.F.adaptive_max_pool1d(x, 3), r"\(N, C, L\)"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_bad_pools_are_refused_as_in_pytorch(call, words):
    x = np.ones((2, 3, 5, 5), np.float32)
    with pytest.raises((minidl.ShapeError, TypeError), match=words):
        call(ours(), Tensor(x))
    assert_parity(call, x)


def test_a_window_without_any_value_is_refused():
    """PyTorch gives -inf, and an index outside of the input."""
    with pytest.raises(minidl.ShapeError, match="wholly in the padding"):
        F.max_pool1d(minidl.ones(1, 1, 1), 2, padding=1, dilation=2)
