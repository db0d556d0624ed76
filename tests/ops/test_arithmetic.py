"""minidl/ops/arithmetic.py and the operators beside PyTorch: operands of every dtype, kinks, refusals."""

import numpy as np
import pytest

import minidl
from minidl.tensor import Tensor
from tests.parity import TOLERANCE, assert_parity, calls, written

DTYPES = ["float32", "float64", "int64", "int32", "int8", "uint8", "bool"]
SHAPES = [(), (1,), (3,), (2, 3), (2, 1), (0,), (2, 0), (3, 1, 2)]
SPECIAL = [0.0, -2.0, np.inf, -np.inf, np.nan, 1e-30]


def draw(rng, dtype, shape=None):
    """An array of one of SHAPES: whole numbers and ties are common, some floats are special, strides vary."""
    shape = SHAPES[rng.integers(len(SHAPES))] if shape is None else shape
    if np.dtype(dtype).kind != "f":
        return rng.integers(0 if dtype in ("uint8", "bool") else -4, 5, shape).astype(dtype)
    values = np.asarray(rng.normal(size=shape) * 2)
    values = np.where(rng.random(shape) < 0.3, np.rint(values) + 0.0, values)
    values = np.where(rng.random(shape) < rng.choice([0, 0.2]), rng.choice(SPECIAL, shape), values)
    values = np.asarray(values, dtype)
    return np.repeat(values, 2, axis=-1)[..., ::2] if shape and rng.random() < 0.3 else values


UNARY = calls("""
    m.abs(x)
    m.bitwise_not(x)
    m.ceil(x)
    m.cos(x)
    m.erf(x)
    m.exp(x)
    m.floor(x)
    m.isfinite(x)
    m.isinf(x)
    m.isnan(x)
    m.log(x)
    m.log1p(x)
    m.logical_not(x)
    m.neg(x)
    m.relu(x)
    m.round(x)
    m.rsqrt(x)
    m.sigmoid(x)
    m.sign(x)
    m.sin(x)
    m.sqrt(x)
    m.square(x)
    m.tanh(x)
    m.where(x)
    m.equal(x, x)
    +x
    -x
    ~x
    abs(x)
    x.clamp(0, 1)
    x.clamp(min=-1.1)
    x.clamp(max=1)
    x.clamp(2, 1)
    x.to(m.int64).to(m.float32) if not x.is_floating_point() else x.double().float()
""")


@pytest.mark.parametrize("call", UNARY)
def test_functions_of_one_tensor(call):
    rng = np.random.default_rng(len(call))
    for dtype in DTYPES:
        for _ in range(6):
            assert_parity(written(call), draw(rng, dtype))


BINARY = calls("""
    m.add(x, y)
    m.add(x, y, alpha=2)
    m.add(x, y, alpha=0.5)
    m.sub(x, y)
    m.sub(x, y, alpha=-3)
    m.mul(x, y)
    m.div(x, y)
    m.div(x, y, rounding_mode="floor")
    m.div(x, y, rounding_mode="trunc")
    m.floor_divide(x.detach(), y.detach())
    m.remainder(x, y)
    m.maximum(x, y)
    m.minimum(x, y)
    m.eq(x, y)
    m.ne(x, y)
    m.lt(x, y)
    m.le(x, y)
    m.gt(x, y)
    m.ge(x, y)
    m.bitwise_and(x, y)
    m.bitwise_or(x, y)
    m.bitwise_xor(x, y)
    m.logical_and(x, y)
    m.logical_or(x, y)
    m.logical_xor(x, y)
    m.equal(x, y)
    m.isclose(x, y, 0.5, equal_nan=True)
    m.allclose(x, y)
    m.where(x > 0, x, y)
    m.where(x > 0, y, 0.5)
    m.where(y > 0, 2, x)
    m.where(y > 0, 0.1, x)
    m.clamp(x, y)
    m.clamp(x, max=y)
    m.clamp(x, y, y + 1)
""")


def tolerance_of(*arrays):
    """float32's if one of them is: then the others' gradients are no better."""
    return TOLERANCE["float32"] if any(a.dtype == np.float32 for a in arrays) else None


def refused_anyway(call, a, b):
    """Where PyTorch takes what has no meaning: pairs that this table leaves out."""
    return "clamp" in call and a.dtype == b.dtype == np.bool_


@pytest.mark.parametrize("call", BINARY)
def test_functions_of_two_tensors(call):
    rng = np.random.default_rng(len(call))
    for i in range(60):
        a, b = (draw(rng, rng.choice(DTYPES)) for _ in range(2))
        if i % 2:  # else shapes rarely fit
            b = draw(rng, str(b.dtype), a.shape[rng.integers(0, a.ndim + 1) :])
        if not refused_anyway(call, a, b):
            assert_parity(written(call), a, b, tolerance=tolerance_of(a, b))


@pytest.mark.parametrize("base", DTYPES)
@pytest.mark.parametrize("exponent", DTYPES)
def test_powers(base, exponent):
    rng = np.random.default_rng(3)
    for shape in [(), (4,), (2, 3), (0,)]:
        a, b = np.abs(draw(rng, base, shape)), draw(rng, exponent, shape)
        constant = (0, 1) if "bool" in (base, exponent) else ()  # PyTorch fails in their backward
        assert_parity(lambda m, x, y: x**y, a, b, constant=constant, tolerance=tolerance_of(a, b))


OPERATORS = calls("""
    x + k
    k + x
    x - k
    k - x
    x * k
    k * x
    x / k
    k / x
    x.detach() // k
    k // x.detach()
    x % k
    k % x.detach()
    x == k
    k != x
    x < k
    k <= x
    x > k
    k >= x
    x & k
    k & x
    x | k
    k | x
    x ^ k
    k ^ x
    m.add(x, k, alpha=2)
    m.where(x > 0, k, x)
""")
NUMBERS = [2, 0, -3, 0.1, 2.5, True, 300, 1e30, np.float64(1.5), np.int64(3), np.float32(0.1)]


@pytest.mark.parametrize("call", OPERATORS)
def test_tensors_and_numbers(call):
    rng = np.random.default_rng(len(call))
    for k in NUMBERS:
        for dtype in DTYPES:
            a = draw(rng, dtype)
            if not a.size and isinstance(k, np.generic):
                continue
            assert_parity(written(call, k=k), a)


@pytest.mark.parametrize("k", [2, 3, 0, 1, -1, 0.5, -0.5, 2.5, 0.0, -2.0, np.float32(1.5)])
def test_powers_of_and_to_a_number(k):
    rng = np.random.default_rng(4)
    for dtype in DTYPES[:-1]:
        for shape in [(), (5,), (2, 3), (0,)]:
            a = draw(rng, dtype, shape)
            a = np.where(a == 0, np.zeros_like(a), a)  # 0 ** -0.5 of -0.0 is a matter of taste
            assert_parity(lambda m, x: x**k, a)
            assert_parity(lambda m, x: m.pow(x, exponent=k), a)
            if not isinstance(k, int) or k >= 0:
                assert_parity(lambda m, x: k**x, a)


KINKS = {
    "m.abs(x)": [[0.0, -1.0, np.nan]],
    "m.sqrt(x)": [[0.0, 4.0, -1.0]],
    "m.rsqrt(x)": [[0.0, 4.0]],
    "m.relu(x)": [[0.0, 1.0, np.nan]],
    "m.clamp(x, -1, 1)": [[-1.0, 1.0, 0.0, -2.0, np.inf, np.nan]],
    "m.clamp(x, 1, -1)": [[-1.0, 1.0, 0.0]],
    "m.clamp(x, y, z)": [[0.0, 1.0, 2.0, 3.0, 3.0], [0.0, 1.0, 3.0, 3.0, 4.0], [1.0, 1.0, 4.0, 3.0, 2.0]],
    "m.maximum(x, y)": [[1.0, 2.0, np.nan, np.inf], [1.0, 3.0, 1.0, np.inf]],
    "m.minimum(x, y)": [[1.0, 2.0, np.nan, -np.inf], [1.0, 3.0, 1.0, np.inf]],
    "m.max(x, other=y)": [[1.0, 2.0], [1.0, 3.0]],
    "x ** 2": [[0.0, -3.0]],
    "x ** 0": [[0.0, -3.0, np.inf]],
    "x ** 0.5": [[0.0, -3.0, 2.0]],
    "x ** 1": [[0.0, -3.0]],
    "0 ** x": [[0.0, 1.0, -1.0]],
    "0.0 ** x": [[0.0, 1.0, -1.0]],
    "x ** y": [[0.0, 0.0, 0.0, -2.0, -2.0, 2.0], [0.0, 2.0, -1.0, 2.0, 0.5, 0.0]],
    "x / y": [[0.0, 1.0, -1.0], [0.0, 0.0, np.inf]],
    "m.log(x)": [[0.0, -1.0, np.inf]],
    "m.sigmoid(x)": [[-100.0, -30.0, 30.0, 100.0]],
    "m.log(m.sigmoid(x))": [[-20.0, -50.0, 5.0]],
    "m.tanh(x)": [[-50.0, 1e-8, 50.0]],
    "m.exp(x)": [[100.0, -200.0, np.inf, -np.inf]],
    "m.log1p(x)": [[1e-8, -1.0]],
    "x * 1e38 * 1e3": [[1.0, -1.0]],
    "m.square(x)": [[1e30, -1e-30]],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", KINKS)
def test_kinks_and_overflow(call, dtype):
    exact = {"rtol": 2e-5 if dtype == "float32" else 1e-9, "atol": 0}
    assert_parity(written(call), *[np.array(values, dtype) for values in KINKS[call]], tolerance=exact)


REFUSED = calls("""
    m.exp(2.0)
    m.maximum(x, 1.0)
    m.logical_and(x, 1)
    m.isclose(x, 1.0)
    m.equal(x, 1)
    m.allclose(x, x, rtol=-1)
    m.isclose(x, x.double())
    m.allclose(x, x[:2])
    m.add(x, x, 2)
    m.add(m.tensor([1]), m.tensor([1]), alpha=0.5)
    x + None
    x + "a"
    x + [1, 2, 3]
    x < None
    x - True
    x - (x > 0)
    -(x > 0)
    +(x > 0)
    abs(x > 0)
    m.relu(x > 0)
    m.floor(x > 0)
    ~x
    x & 1
    m.tensor([1]) & 1.5
    m.tensor([1]) // 0
    m.tensor([1]) % 0
    m.div(m.tensor([1]), 0, rounding_mode="trunc")
    m.div(x, x, rounding_mode="up")
    m.div(x > 0, x > 0, rounding_mode="floor")
    m.tensor([2]) ** -1
    m.tensor([True]) ** m.tensor([True])
    m.clamp(x)
    m.clamp(x, "a")
    m.clamp(m.tensor([1], dtype=m.uint8), 0, 300)
    m.where(x, x, x)
    m.where(True, x, x)
    m.where(x > 0, x)
    m.where(x > 0, x, "a")
    m.round(m.tensor([1]), decimals=1)
    x + m.ones(2)
    x @ 2.0
    2.0 @ x
    divmod(x, 2)
""")


@pytest.mark.parametrize("call", REFUSED)
def test_what_pytorch_refuses_is_refused(call):
    x = np.array([1.0, -2.0, 0.0], np.float32)
    with pytest.raises((RuntimeError, ValueError, TypeError, NotImplementedError)):
        written(call)(minidl, Tensor(x))
    assert_parity(written(call), x)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("x + m.ones(2)", minidl.ShapeError, r"add\(input: \(3,\) float32, other: \(2,\) float32\).*Fix"),
        ("m.exp(2.0)", TypeError, "exp of no tensor.*minidl.tensor"),
        ("m.maximum(x, 1.0)", TypeError, "maximum.*must be a tensor"),
        ("m.where(x, x, x)", TypeError, "where.*boolean, not float32.*x > 0"),
        ("m.clamp(x)", ValueError, "min, max or both"),
        ("m.tensor([1]) // 0", RuntimeError, "divided by 0"),
        ("m.tensor([2]) ** -1", RuntimeError, "negative power"),
        ("x - (x > 0)", TypeError, r"sub.*booleans.*\^"),
        ("x * 1j", TypeError, "complex"),
        ("m.clamp(m.tensor([1], dtype=m.uint8), 0, 300)", RuntimeError, "uint8"),
        ("m.add(m.tensor([1]), 1, alpha=0.5)", TypeError, "alpha=0.5.*whole"),
    ],
)
def test_a_refusal_says_why(call, kind, words):
    with pytest.raises(kind, match=words):
        written(call)(minidl, Tensor(np.ones(3, np.float32)))


# -- operators in place, with arrays, with strangers -------------------------------------------------

IN_PLACE = calls("""
    x.add_(y)
    x.add_(y, alpha=2)
    x.sub_(1)
    x.mul_(y)
    x.div_(y)
    x.pow_(2)
    x.clamp_(0, 1)
    x.clamp_(min=y)
    x.neg_()
    x.sqrt_()
    x.round_()
    x.masked_fill_(y > 1, 5)
    x.zero_()
    x.fill_(3)
    x.copy_(y)
    x.__iadd__(y)
    x.__isub__(y)
    x.__imul__(2)
    x.__itruediv__(y)
    x.__ifloordiv__(2)
    x.__imod__(2)
    x.__ipow__(2)
    x.__iand__(1)
    x.__ior__(1)
    x.__ixor__(1)
""")


@pytest.mark.parametrize("call", IN_PLACE)
def test_in_place_keeps_dtype_and_memory(call):
    for dtype in ["float32", "float64", "int64", "uint8"]:
        for other in ["float32", "float64", "int64"]:
            a, b = np.arange(1, 7).reshape(2, 3).astype(dtype), np.array([1, 2, 3], other)

            def changed(m, *arrays):
                x, y = (m.from_numpy(array.copy()) for array in arrays)
                view = x[0]
                result = written(call)(m, x, y)
                assert result is x
                return x, view

            assert_parity(lambda m, a=a, b=b: changed(m, a, b))


@pytest.mark.parametrize("call", [c for c in IN_PLACE if "and" not in c and "or" not in c])
def test_in_place_on_an_intermediate_result_is_recorded(call):
    w, y = np.array([[1.0, -2.0, 0.5]]), np.array([2.0, 3.0, 0.25])
    assert_parity(lambda m, w, y: [x := w * 2, written(call)(m, x, y), x * 3][-1], w, y)
    leaf = Tensor(w).requires_grad_()
    x = leaf * 2
    before = x * x
    written(call)(minidl, x, Tensor(y))
    before.sum().backward()  # what was computed before keeps the values that it saw
    assert before.tolist() == [[4.0, 16.0, 1.0]]
    assert leaf.grad.tolist() == (8 * w).tolist()


def test_in_place_refusals():
    w = minidl.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="no_grad"):
        w += 1
    with pytest.raises(RuntimeError, match="no_grad"):
        w.zero_()
    with minidl.no_grad():
        w += 1
    assert w.is_leaf
    assert w.tolist() == [2, 2, 2]
    whole = minidl.tensor([1, 2])
    with pytest.raises(RuntimeError, match="float32 result does not fit into int64"):
        whole += 0.5
    with pytest.raises(minidl.ShapeError, match=r"\(2, 3\) does not fit into \(3,\)"):
        w.detach().add_(minidl.ones(2, 3))
    with pytest.raises(TypeError):
        w += None


def test_a_sum_that_starts_as_a_constant_collects_gradients():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    total = also_total = minidl.zeros(2)
    for k in (1, 2, 3):
        total += w * k
    assert also_total is total
    total.sum().backward()
    assert w.grad.tolist() == [6, 6]


def test_arrays_stand_for_tensors():
    x, a = minidl.tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]], np.float32)
    for result, want in [
        (x + a, x.array + a),
        (a - x, a - x.array),
        (a / x, a / x.array),
        (a**x, a**x.array),
        (a @ x, a @ x.array),
        (x @ a, x.array @ a),
        (a > x, a > x.array),
        (np.float32(2) ** x, 2**x.array),
    ]:
        assert isinstance(result, Tensor)
        np.testing.assert_array_equal(result.array, want)
    assert (x * a.astype(np.float64)).dtype == np.float64


def test_strangers_are_unequal_and_may_answer_themselves():
    class Stranger:
        def __radd__(self, other):
            return "mine"

    x = minidl.ones(2)
    assert x + Stranger() == "mine"
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    assert x in [None, x]


def test_promotion_among_three_kinds_of_operands():
    kinds = [m.tensor(v, dtype=d) for m in [minidl] for d in (minidl.int64, minidl.float64) for v in ([1], 1)]
    assert [(a + b).dtype.name for a in kinds for b in kinds] == [
        *("int64", "int64", "float64", "float64"),
        *("int64", "int64", "float64", "float64"),
        *("float64", "float64", "float64", "float64"),
        *("float64", "float64", "float64", "float64"),
    ]
    narrow = minidl.tensor([1], dtype=minidl.int8)
    assert (narrow + minidl.tensor(1)).dtype == np.int8
    assert (narrow + 1000).tolist() == [-23]  # numbers wrap around, as in PyTorch
    assert (narrow * 0.5).dtype == np.float32
    assert (minidl.ones(2) * minidl.tensor(2.0).double()).dtype == np.float32


def test_overflow_is_silent(recwarn):
    x = minidl.tensor([1e38, 0.0], requires_grad=True)
    y = (x * 10).exp() / x + x.log() + (x * 1e10).square()
    y.sum().backward()
    assert not recwarn.list
