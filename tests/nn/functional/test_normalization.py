"""Norms beside PyTorch's: shapes, parameters that are missing, running statistics, refusals."""

import itertools

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from tests.parity import assert_parity, written

NEAR = {"float32": {"rtol": 1e-4, "atol": 2e-5}, "float64": None}


def make(rng, shape, dtype="float32"):
    return (rng.normal(size=shape) * 2 + 1).astype(dtype)


LAST = [  # input, normalized_shape
    *[
        ((2, 3, 4), (4,)),
        ((2, 3, 4), (3, 4)),
        ((2, 3, 4), (2, 3, 4)),
        ((4,), (4,)),
        ((0, 4), (4,)),
        ((4, 0), (0,)),
    ],
    *[
        ((1, 1, 1), (1, 1)),
        ((2, 0, 3), (0, 3)),
        ((2, 3), [3]),
        ((2, 3, 4), (3,)),
        ((2, 3, 4), (1, 4)),
        ((2, 3), ()),
    ],
    *[((), ()), ((2, 3), 3), ((3,), (2, 3))],
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "last"), LAST)
def test_layer_norm_and_rms_norm(shape, last, dtype):
    rng = np.random.default_rng(0)
    parameter = (last,) if isinstance(last, int) else last
    x, w, b = make(rng, shape, dtype), make(rng, parameter, dtype), make(rng, parameter, dtype)
    for call, *arrays in [
        ("m.F.layer_norm(x, last)", x),
        ("m.F.layer_norm(x, last, y)", x, w),
        ("m.F.layer_norm(x, last, y, z, 0.1)", x, w, b),
        ("m.F.layer_norm(x, last, bias=y)", x, b),
        ("m.F.rms_norm(x, last)", x),
        ("m.F.rms_norm(x * 1e-4, last, y)", x, w),
        ("m.F.rms_norm(x, normalized_shape=last, weight=y, eps=0.1)", x, w),
    ]:
        assert_parity(written(call, last=last), *arrays, tolerance=NEAR[dtype])


IMAGES = [
    (3,),
    (1, 3),
    (2, 3),
    (2, 3, 4),
    (1, 3, 1),
    (1, 3, 2),
    (2, 3, 2, 2),
    (2, 3, 2, 1, 2),
    (0, 3),
    (2, 3, 0),
    (2, 1),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", IMAGES)
def test_batch_norm(shape, training, dtype):
    """The running statistics are part of the result: they are changed in place."""
    rng = np.random.default_rng(1)
    channels = shape[1:2] or (3,)
    x, w, b, mean = (make(rng, s, dtype) for s in (shape, channels, channels, channels))
    for momentum, given in itertools.product([0.1, 0.9, 0.0], ["None, None", "y, z", "None, z", "y, None"]):

        def call(m, x, y, z, mean, var, momentum=momentum, given=given):
            mean, var = (mean * 1).detach(), (var * 1).detach()
            weight, bias = eval(given, {"y": y, "z": z})
            return m.F.batch_norm(x, mean, var, weight, bias, training, momentum, 1e-3), mean, var

        assert_parity(call, x, w, b, mean, abs(mean) + dtype_one(dtype), tolerance=NEAR[dtype])
    if training:
        call = written("m.F.batch_norm(x, None, None, y, training=True)")
        assert_parity(call, x, w, tolerance=NEAR[dtype])


def dtype_one(dtype):
    return np.ones((), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        *[
            ((2, 4), 2),
            ((3, 4), 1),
            ((1, 4), 4),
            ((2, 4, 3), 2),
            ((1, 4, 1), 4),
            ((1, 2, 1), 1),
            ((1, 1, 1), 1),
        ],
        *[
            ((2, 4, 3, 3), 4),
            ((2, 4), 3),
            ((2, 4), -1),
            ((4,), 2),
            ((0, 4, 3), 2),
            ((2, 4), 8),
            ((2, 6, 2, 1, 2), 3),
        ],
    ],
)
def test_group_norm(shape, groups, dtype):
    rng = np.random.default_rng(2)
    x, w, b = (
        make(rng, shape, dtype),
        make(rng, shape[1:2] or (4,), dtype),
        make(rng, shape[1:2] or (4,), dtype),
    )
    for call, *arrays in [
        ("m.F.group_norm(x, groups)", x),
        ("m.F.group_norm(x, groups, y)", x, w),
        ("m.F.group_norm(x, groups, y, z, eps=0.1)", x, w, b),
    ]:
        assert_parity(written(call, groups=groups), *arrays, tolerance=NEAR[dtype])


def test_group_norm_with_a_bias_alone():
    """PyTorch computes it, but its backward fails."""
    x, b = minidl.randn(2, 4, 3), minidl.randn(4).requires_grad_()
    y = F.group_norm(x, 2, bias=b)
    np.testing.assert_allclose(y.array, (F.group_norm(x, 2) + b.reshape(4, 1)).array, atol=1e-6)
    y.sum().backward()
    assert b.grad.tolist() == [6, 6, 6, 6]


@pytest.mark.parametrize("dtypes", list(itertools.product(["float32", "float64", "int64"], repeat=2)))
@pytest.mark.parametrize("call", [
    "m.F.layer_norm(x, (3,), y)", "m.F.layer_norm(x, (3,), None, y)", "m.F.rms_norm(x, (3,), y)",
    "m.F.group_norm(x, 1, y)", "m.F.batch_norm(x, None, None, y, training=True)",
    "m.F.batch_norm(x, y.detach(), y.detach() ** 2)",
])  # fmt: skip
def test_mixed_dtypes(call, dtypes):
    rng = np.random.default_rng(3)
    arrays = [make(rng, s, d) for s, d in zip([(2, 3), (3,)], dtypes, strict=True)]
    assert_parity(written(call), *arrays, tolerance=NEAR["float32"])


@pytest.mark.parametrize("shape", [(4,), (1,), ()])
@pytest.mark.parametrize("call", [
    "m.F.layer_norm(x, (3,), y)", "m.F.layer_norm(x, (3,), None, y)", "m.F.rms_norm(x, (3,), y)",
    "m.F.group_norm(x, 1, y)", "m.F.batch_norm(x, None, None, y, training=True)",
    "m.F.batch_norm(x, y.detach(), z.detach())", "m.F.batch_norm(x, z.detach(), y.detach())",
])  # fmt: skip
def test_parameters_of_a_wrong_shape(call, shape):
    rng = np.random.default_rng(4)
    assert_parity(written(call), make(rng, (2, 3)), make(rng, shape), abs(make(rng, 3)))


@pytest.mark.parametrize("statistics", [
    "None, None", "y, None", "None, y, training=True", "y, None, training=True",
    "None, None, training=True, eps=0.0",
])  # fmt: skip
def test_statistics_that_are_missing(statistics):
    rng = np.random.default_rng(5)
    assert_parity(written(f"m.F.batch_norm(x, {statistics})"), make(rng, (2, 3)), make(rng, 3), constant=(1,))


def test_views():
    rng = np.random.default_rng(6)
    assert_parity(
        written("m.F.layer_norm(x.transpose(0, 1), (4,), y[::2])"),
        make(rng, (4, 3), "float64"),
        make(rng, 8, "float64"),
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: F.layer_norm(x, (4,)), ["layer_norm", "(2, 3)", "(4,)", "Fix"]),
        (lambda x: F.layer_norm(x, 3), ["layer_norm", "tuple"]),
        (lambda x: F.rms_norm(x, (3,), minidl.ones(2)), ["rms_norm", "weight: (2,)", "(3,)"]),
        (lambda x: F.batch_norm(x, None, None), ["batch_norm", "running_mean and running_var"]),
        (lambda x: F.batch_norm(x[:1], None, None, training=True), ["batch_norm", "(1, 3)", "single value"]),
        (lambda x: F.batch_norm(x[0], None, None, training=True), ["batch_norm", "(3,)", "(N, C, ...)"]),
        (
            lambda x: F.batch_norm(x, None, None, minidl.ones(3).double(), training=True),
            ["weight", "float64", "Fix"],
        ),
        (lambda x: F.group_norm(x, 2), ["group_norm", "(2, 3)", "num_groups=2", "multiple"]),
        (lambda x: F.layer_norm(x.long(), (3,)), ["layer_norm", "int64"]),
    ],
)
def test_refusals_say_why(call, words):
    with pytest.raises((ValueError, TypeError)) as error:
        call(minidl.ones(2, 3))
    for word in words:
        assert word in str(error.value)
