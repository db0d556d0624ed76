"""Every op: gradient check, PyTorch parity, non-contiguous inputs; no op without samples."""

import numpy as np
import pytest

import minidl
from minidl.nn import functional
from minidl.tensor import OPS, Tensor
from minidl.testing import gradcheck
from tests.parity import assert_parity, ours
from tests.samples import COMPOSED, SAMPLES
from tests.samples.kinds import Constant, make

CASES = [
    pytest.param(s, id=f"{name}-{i}") for name, samples in SAMPLES.items() for i, s in enumerate(samples)
]
CASES += [pytest.param(s, id=f"composed-{i}") for i, s in enumerate(COMPOSED)]


def arrays_of(inputs, dtype):
    rng = np.random.default_rng(7)
    return [make(kind, rng, dtype) for kind in inputs]


def wants_gradient(kind, array):
    return array.dtype.kind == "f" and not isinstance(kind, Constant)


def tensors_of(inputs, dtype):
    arrays = arrays_of(inputs, dtype)
    return [minidl.tensor(a, requires_grad=wants_gradient(k, a)) for k, a in zip(inputs, arrays, strict=True)]


def test_every_op_has_samples():
    assert set(OPS) == set(SAMPLES)


@pytest.mark.parametrize("name", OPS)
def test_every_op_explains_itself_and_wants_a_tensor(name):
    assert OPS[name].__doc__ or OPS[name].__name__.startswith("_")
    with pytest.raises(TypeError, match=f"{name} of no tensor.*minidl.tensor"):
        OPS[name](1.0)


@pytest.mark.parametrize("sample", CASES)
def test_gradcheck(sample):
    """Of what is a floating-point number; nothing else may ask for a gradient."""
    call, *inputs = sample
    tensors = tensors_of(inputs, np.float64)
    out = call(ours(), *tensors)
    assert out.requires_grad == (out.is_floating_point() and any(t.requires_grad for t in tensors))
    if out.requires_grad:
        assert gradcheck(lambda *ts: call(ours(), *ts), tensors)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sample", CASES)
def test_parity_with_pytorch(sample, dtype):
    call, *inputs = sample
    constant = [i for i, kind in enumerate(inputs) if isinstance(kind, Constant)]
    assert_parity(call, *arrays_of(inputs, dtype), constant=constant)


@pytest.mark.parametrize("sample", CASES)
def test_non_contiguous_inputs_give_the_same(sample):
    call, *inputs = sample
    arrays = arrays_of(inputs, np.float64)
    strided = [np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a for a in arrays]
    runs = []
    for version in (arrays, strided):
        tensors = [minidl.Tensor(a) for a in version]
        for kind, t in zip(inputs, tensors, strict=True):
            t.requires_grad_(wants_gradient(kind, t.array))
        out = call(ours(), *tensors)
        if out.requires_grad:
            out.backward(minidl.ones_like(out))
        runs.append([out.array, *[t.grad.array for t in tensors if t.grad is not None]])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("sample", CASES)
def test_float32_stays_float32(sample):
    call, *inputs = sample
    tensors = tensors_of(inputs, np.float32)
    out = call(ours(), *tensors)
    assert out.dtype == np.float32 or not out.is_floating_point() or "double" in call.__code__.co_names


@pytest.mark.parametrize("sample", CASES)
def test_inputs_are_left_alone(sample):
    """Neither forward nor backward writes into an input or into the gradient that it is given."""
    call, *inputs = sample
    arrays = arrays_of(inputs, np.float64)
    tensors = [minidl.Tensor(a) for a in arrays]
    for kind, t in zip(inputs, tensors, strict=True):
        t.requires_grad_(wants_gradient(kind, t.array))
        t.array.flags.writeable = False
    out = call(ours(), *tensors)
    if out.requires_grad:
        g = minidl.ones_like(out)
        g.array.flags.writeable = False
        out.backward(g)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: minidl.ones(3, 4) @ minidl.ones(5, 2), ["matmul", "(3, 4)", "(5, 2)", "inner sizes", "Fix"]),
        (lambda: minidl.ones(3, 4) + minidl.ones(3), ["add", "(3, 4)", "(3,)", "Fix"]),
        (lambda: minidl.ones(3, 4).reshape(5, -1), ["reshape", "(3, 4)", "(5, -1)", "Fix"]),
        (lambda: minidl.cat([minidl.ones(2, 3), minidl.ones(2, 4)], 0), ["cat", "(2, 3)", "(2, 4)", "Fix"]),
        (lambda: minidl.ones(3).expand(2, 4), ["broadcast_to", "(3,)", "Fix"]),
        (
            lambda: functional.linear(minidl.ones(2, 3), minidl.ones(5, 4), minidl.ones(5)),
            ["linear", "(2, 3)", "in_features"],
        ),
        (
            lambda: functional.mse_loss(minidl.ones(3, 1), minidl.ones(3)),
            ["mse_loss", "(3, 1)", "(3,)", "squeeze"],
        ),
    ],
)
def test_a_wrong_shape_is_explained(call, words):
    with pytest.raises(minidl.ShapeError) as error:
        call()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: minidl.ones(2, 3).sum(2), IndexError, "dim 2"),
        (lambda: minidl.ones(2, 3)[5], IndexError, "getitem"),
        (lambda: minidl.tensor([1, 2]).mean(), TypeError, "floating-point"),
        (lambda: minidl.tensor(["a"]), TypeError, "numbers"),
        (lambda: minidl.ones(2, 3).double() @ minidl.ones(3, 2), TypeError, "float64 and float32.*x.float"),
        (lambda: minidl.nn.Linear(3, 2)(minidl.ones(1, 3).double()), TypeError, "linear.*x.float"),
        (lambda: minidl.ones(2, device="cuda"), RuntimeError, "CUDA"),
        (lambda: minidl.ones(2).to("tpu"), ValueError, "unknown device"),
        (
            lambda: functional.cross_entropy(minidl.ones(2, 3), minidl.tensor([0, 3])),
            IndexError,
            "label 3 for 3",
        ),
        (lambda: functional.cross_entropy(minidl.ones(2, 3), minidl.tensor([0, -1])), IndexError, "label -1"),
        (
            lambda: functional.cross_entropy(minidl.ones(2, 3), minidl.tensor([0.0, 1.0])),
            TypeError,
            "integers",
        ),
        (
            lambda: functional.cross_entropy(minidl.ones(0, 3), minidl.tensor([]).long()),
            ValueError,
            "empty batch",
        ),
        (lambda: functional.cross_entropy(minidl.ones(2, 3), minidl.tensor([0, 1, 2])), ValueError, "target"),
        (lambda: minidl.ones(2, 3).amax(dim=0)[7], IndexError, "getitem"),
        (lambda: minidl.zeros(0).max(), IndexError, "no elements"),
    ],
)
def test_bad_input_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_dtype_rules_are_pytorchs():
    i, f = minidl.tensor([1, 2]), minidl.tensor([1.0, 2.0])
    wide = f.double()
    assert (i + 1).dtype == np.int64
    assert (i * 0.5).dtype == np.float32
    assert (i / 2).dtype == np.float32
    assert (i + f).dtype == np.float32
    assert (f + wide).dtype == np.float64
    assert (f * wide.sum()).dtype == np.float32  # 0-d tensors do not widen
    assert (np.float64(2) * f).dtype == np.float32
    assert (i > 1).dtype == np.bool_


def test_arrays_and_numbers_on_either_side():
    t, a = minidl.tensor([1.0, 2.0]), np.array([3.0, 4.0], np.float32)
    assert isinstance(a * t, Tensor)
    assert (2 - t).tolist() == [1, 0]
    assert (a / t).tolist() == [3, 2]
    assert (2**t).tolist() == [2, 4]
