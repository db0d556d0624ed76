"""Convolution and its transpose, fold and unfold: the definition, PyTorch over drawn settings, refusals."""

import itertools

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from minidl.tensor import Tensor
from tests.draw import Draw
from tests.parity import assert_parity, ours

SUMS = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-9, "atol": 1e-10}}


def by_definition(x, weight, stride, padding, dilation, groups):
    """The sum in the docstring of `conv1d`, one product at a time."""
    (n, _, length), (outputs, per_group, kernel) = x.shape, weight.shape
    places = (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    y = np.zeros((n, outputs, places))
    for b, o, i, c, k in itertools.product(*map(range, (n, outputs, places, per_group, kernel))):
        at = i * stride + k * dilation - padding
        if 0 <= at < length:
            first = o // (outputs // groups) * per_group
            y[b, o, i] += weight[o, c, k] * x[b, first + c, at]
    return y


@pytest.mark.parametrize("setting", [(1, 0, 1, 1), (2, 1, 1, 2), (3, 2, 2, 4), (1, 3, 2, 1)])
def test_conv1d_is_its_definition(setting):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4, 9)), rng.normal(size=(8, 4 // setting[-1], 3))
    np.testing.assert_allclose(
        F.conv1d(Tensor(x), Tensor(w), None, *setting).array, by_definition(x, w, *setting)
    )


def test_conv2d_of_a_flat_image_is_conv1d():
    rng = np.random.default_rng(0)
    x, w = Tensor(rng.normal(size=(2, 3, 9))), Tensor(rng.normal(size=(4, 3, 3)))
    flat = F.conv2d(x.unsqueeze(2), w.unsqueeze(2), stride=(1, 2), padding=(0, 1)).squeeze(2)
    np.testing.assert_allclose(flat.array, F.conv1d(x, w, stride=2, padding=1).array, rtol=1e-12)


def test_the_transposed_convolution_is_the_adjoint():
    """<conv(x), y> = <x, conv_transpose(y)>."""
    rng = np.random.default_rng(0)
    x, w, y = (Tensor(rng.normal(size=s)) for s in [(2, 3, 8, 7), (4, 3, 3, 2), (2, 4, 4, 4)])
    setting = {"stride": 2, "padding": 1}
    left = (F.conv2d(x, w, **setting) * y).sum()
    right = (x * F.conv_transpose2d(y, w, output_padding=(1, 1), **setting)).sum()
    assert left.item() == pytest.approx(right.item(), rel=1e-12)


def test_convolution_is_weight_times_unfold():
    rng = np.random.default_rng(0)
    x, w = Tensor(rng.normal(size=(2, 3, 5, 6))), Tensor(rng.normal(size=(4, 3, 2, 3)))
    product = w.reshape(4, -1) @ F.unfold(x, (2, 3), padding=1)
    np.testing.assert_allclose(product.array, F.conv2d(x, w, padding=1).flatten(2).array, rtol=1e-12)


def test_fold_after_unfold_counts_the_windows():
    ones = minidl.ones(1, 1, 3, 4)
    assert F.fold(F.unfold(ones, 2), (3, 4), 2).tolist() == [[[[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]]]]


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's own
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"])
def test_drawn_convolutions_equal_pytorchs(name, seed):
    draw, n, transposed = Draw(seed), int(name[-2]), "transpose" in name
    for _ in range(30):
        groups, per_group, outputs = (draw.number(1, 3) for _ in range(3))
        x = draw.image(n, groups * per_group)
        if x.size == 0 and transposed:
            continue  # PyTorch checks nothing of an empty batch
        kernel = [draw.number(1, 3) for _ in range(n)]
        first = [groups * per_group, outputs] if transposed else [groups * outputs, per_group]
        w, b = draw.array((*first, *kernel), x.dtype), draw.array((groups * outputs,), x.dtype)
        settings = draw.settings(n, stride=(1, 3), padding=(0, 2), dilation=(1, 3)) | {"groups": groups}
        if transposed:
            settings |= draw.settings(n, output_padding=(0, 2))
        elif draw.number(0, 3) == 0:
            settings["padding"] = ["same", "valid"][draw.number(0, 1)]
        if transposed and smallest_output(x, kernel, settings) < 1:
            continue  # PyTorch gives an empty output or refuses, by dtype
        arrays = [x, w, b][: draw.number(2, 3)]
        assert_parity(
            lambda m, *ts, s=settings: getattr(m.F, name)(*ts, **s), *arrays, tolerance=SUMS[str(x.dtype)]
        )


def smallest_output(x, kernel, settings):
    n = len(kernel)
    stride, padding, dilation, extra = (
        np.broadcast_to(settings.get(k, usual), n)
        for k, usual in [("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0)]
    )
    places = np.array(x.shape[-n:])
    return np.min((places - 1) * stride - 2 * padding + dilation * (np.array(kernel) - 1) + 1 + extra)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8", "bool"])
@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"])
def test_integers_work_where_they_do_in_pytorch(name, dtype):
    n, draw = int(name[-2]), Draw(0)
    x, w = draw.array((2, 2, *[5] * n), dtype), draw.array((2, 2, *[3] * n), dtype)
    assert_parity(lambda m, a, b: getattr(m.F, name)(a, b, stride=2, padding=1), x, w)


@pytest.mark.parametrize("seed", range(6))
def test_drawn_unfold_and_fold_equal_pytorchs(seed):
    draw = Draw(seed)
    for _ in range(30):
        x = draw.image(2, draw.number(1, 3), [None, None, "bool"][draw.number(0, 2)])
        kernel = draw.some(2, 1, 3)
        settings = draw.settings(2, stride=(1, 3), padding=(0, 2), dilation=(1, 2))
        assert_parity(lambda m, a, k=kernel, s=settings: m.F.unfold(a, k, **s), x)
        try:
            columns = F.unfold(Tensor(x), kernel, **settings)
        except minidl.ShapeError:
            continue
        y = draw.array(columns.shape, x.dtype)
        size = x.shape[-2:]
        assert_parity(lambda m, a, k=kernel, s=settings, size=size: m.F.fold(a, size, k, **s), y)


def conv2d(x, w, b=None, dtype=np.float32, **settings):
    b = b if b is None else np.ones(b, np.float32)
    return lambda m, a, c, *d: m.F.conv2d(a, c, *d, **settings), np.ones(x, np.float32), np.ones(w, dtype), b


REFUSED = [
    (
        conv2d((1, 3, 5, 5), (4, 2, 3, 3)),
        r"conv2d\(input: \(1, 3, 5, 5\).*weight: \(4, 2, 3, 3\).*2 channels.*3",
    ),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), groups=2), r"groups=2\): the weight is for 4 channels"),
    (conv2d((1, 2, 5, 5), (3, 1, 3, 3), groups=2), "first divisible by groups"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), groups=0), "groups=0 must be at least 1"),
    (conv2d((1, 2, 5, 5), (4, 2, 3)), r"weight must be \(O, C / groups, \*kernel\)"),
    (conv2d((1, 2, 5, 5), (0, 2, 3, 3)), "no size 0"),
    (conv2d((5, 5), (4, 2, 3, 3)), r"input must be \(N, C, H, W\) or \(C, H, W\)"),
    (conv2d((1, 1, 2, 5, 5), (4, 2, 3, 3)), "input must be"),
    (conv2d((1, 2, 0, 5), (4, 2, 1, 1), padding=1), "only the batch may be empty"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), (3,)), r"bias must be \(4,\)"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), (4, 1)), r"bias must be \(4,\)"),
    (conv2d((1, 2, 5, 5), (4, 2, 6, 3)), r"kernel spans \[6, 3\], more than the padded input \[5, 5\]"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), dilation=3), r"kernel spans \[7, 7\]"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), stride=0), "stride=0 must be at least 1"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), stride=(1, 1, 1)), "one number or 2"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), stride=1.0), "stride=1.0 must be an int"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), stride=True), "stride=True must be an int"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), padding=-1), "padding=-1 must be at least 0"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), dilation=(1, 0)), "dilation"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), padding="full"), 'must be "same", "valid"'),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), padding="same", stride=2), "only with stride 1"),
    (conv2d((1, 2, 5, 5), (4, 2, 3, 3), dtype=np.float64), "float32 and float64.*x.float"),
]


@pytest.mark.parametrize(("case", "words"), REFUSED)
def test_bad_convolutions_are_refused_as_in_pytorch(case, words):
    call, *arrays = case
    arrays = [a for a in arrays if a is not None]
    with pytest.raises((minidl.ShapeError, TypeError), match=words):
        call(ours(), *map(Tensor, arrays))
    assert_parity(call, *arrays)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m, x, w: m.F.conv_transpose2d(x, w, stride=2, output_padding=2),
            "smaller than stride or dilation",
        ),
        (lambda m, x, w: m.F.conv_transpose2d(x, w, padding=4), r"size \(-1, -1\) does not exist"),
        (lambda m, x, w: m.F.conv_transpose2d(x, w, padding="same"), "padding='same' must be an int"),
        (lambda m, x, w: m.F.conv_transpose2d(x[:, :1], w), "weight is for 2 channels, but input has 1"),
        (lambda m, x, w: m.F.conv_transpose2d(x, w, x[0, 0, 0, :2]), r"bias must be \(3,\)"),
        (lambda m, x, w: m.F.conv_transpose2d(x, w, groups=3), "divisible by groups"),
        (lambda m, x, w: m.F.unfold(x, (2,)), "one number or 2"),
        (lambda m, x, w: m.F.unfold(x, 6), "does not fit"),
        (lambda m, x, w: m.F.unfold(x, 0), "kernel_size=0 must be at least 1"),
        (lambda m, x, w: m.F.unfold(x.long(), 2), "floating-point, not int64"),
        (lambda m, x, w: m.F.fold(x[0], (6, 5), 2), r"input must be \(N, C \* 4, 20\)"),
        (lambda m, x, w: m.F.fold(x[0, :, :4], (3, 3), 2), r"input must be \(N, C \* 4, 4\)"),
        (lambda m, x, w: m.F.fold(x, (5, 5), 2), "input must be"),
    ],
)
def test_bad_transposes_folds_and_unfolds_are_refused_as_in_pytorch(call, words):
    x, w = np.ones((2, 2, 5, 5), np.float32), np.ones((2, 3, 3, 3), np.float32)
    with pytest.raises((minidl.ShapeError, TypeError), match=words):
        call(ours(), Tensor(x), Tensor(w))
    assert_parity(call, x, w)


def test_zero_channels_are_refused():
    """PyTorch gives an output without channels here, whatever the weight says."""
    with pytest.raises(minidl.ShapeError, match="only the batch may be empty"):
        F.conv2d(minidl.ones(1, 0, 5, 5), minidl.ones(3, 0, 3, 3))
