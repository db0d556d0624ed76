"""Functions of single elements against NumPy: values, types, layouts, numbers, errors."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import compiling, elementwise, pointwise, resources
from minidl.kernels.cuda.array import asarray, empty
from minidl.kernels.cuda.driver import boolean, float32, int32
from minidl.kernels.cuda.formulas import PLAIN, TYPED, formula
from tests.draw import Draw

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 7.0, -7.0, 1e-30, 3e38, np.inf, -np.inf, np.nan]
OF_ONE = [
    "negative", "positive", "absolute", "fabs", "sign", "exp", "exp2", "expm1", "log", "log2", "log10",
    "log1p", "sqrt", "square", "reciprocal", "cbrt", "sin", "cos", "tan", "arcsin", "arccos", "arctan",
    "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "floor", "ceil", "trunc", "rint", "logical_not",
    "isnan", "isinf", "isfinite", "signbit",
]  # fmt: skip
OF_TWO = [
    "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "fmod", "power", "arctan2",
    "copysign", "maximum", "minimum", "fmax", "fmin", "equal", "not_equal", "less", "less_equal", "greater",
    "greater_equal", "logical_and", "logical_or", "logical_xor",
]  # fmt: skip
ON_WHOLE = [
    "add", "subtract", "multiply", "floor_divide", "remainder", "fmod", "power", "maximum", "minimum",
    "equal", "less", "logical_and", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor",
]  # fmt: skip


def assert_same(got, want, rtol=1e-6, atol=0.0):
    """Shape, dtype and values as NumPy's."""
    got = got.get()
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def expected(name, *inputs, **settings):
    with np.errstate(all="ignore"):
        return np.asarray(getattr(np, name)(*inputs, **settings))


def applied(name, *inputs, **settings):
    mine = [asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
    return elementwise.ufunc(name, mine, **settings)


# -- every function --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_ONE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_one(name, dtype):
    rng = np.random.default_rng(0)
    x = np.array([*SPECIAL, *rng.normal(size=23) * 3], dtype)
    assert_same(applied(name, x), expected(name, x), *(3e-6, 1e-7) if dtype == np.float32 else (1e-13, 1e-15))


@pytest.mark.parametrize("name", OF_TWO)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_two(name, dtype):
    rng = np.random.default_rng(0)
    special = np.array([(a, b) for a in SPECIAL for b in SPECIAL], dtype)
    x, y = np.concatenate([special, rng.normal(size=(50, 2)).astype(dtype) * 4]).T.copy()
    tolerance = (3e-6, 1e-7) if dtype == np.float32 else (1e-13, 1e-15)
    assert_same(applied(name, x, y), expected(name, x, y), *tolerance)


@pytest.mark.parametrize("name", ON_WHOLE)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
def test_whole_numbers(name, dtype):
    if dtype == np.bool_ and name in ("subtract", "floor_divide", "remainder", "fmod", "power"):
        with pytest.raises(TypeError):
            applied(name, np.ones(2, bool), np.ones(2, bool))
        return
    low = 0 if dtype in (np.uint8, np.bool_) or name == "power" else -9
    rng = np.random.default_rng(0)
    x, y = rng.integers(low, 10 if dtype != np.bool_ else 2, (2, 200)).astype(dtype)
    assert_same(applied(name, x, y), expected(name, x, y))


@pytest.mark.parametrize(
    "name", ["negative", "absolute", "square", "sign", "floor", "rint", "bitwise_not", "logical_not"]
)
def test_whole_numbers_of_one(name):
    x = np.arange(-5, 6)
    assert_same(applied(name, x), expected(name, x))


def test_not_of_booleans():
    x = np.array([True, False])
    assert_same(applied("bitwise_not", x), ~x)


def test_erf():
    x = np.linspace(-4, 4, 41, dtype=np.float32)
    assert_same(applied("erf", x), reference.erf(x), 1e-6, 1e-7)


def test_every_formula_has_a_numpy_name():
    for name in (*PLAIN, *TYPED):
        assert hasattr(np, name.removeprefix("whole_")) or name == "erf"


# -- layouts ---------------------------------------------------------------------------------------


def drawn_view(draw, shape, dtype):
    """A view that can be broadcast to a shape: turned, stepped, reversed or repeated; on both sides."""
    own = [1 if draw.number(0, 4) == 0 else n for n in shape]
    if draw.number(0, 2) == 0:
        own = own[draw.number(0, len(shape)) :]
    order = draw.rng.permutation(len(own)).tolist() if draw.number(0, 1) else list(range(len(own)))
    steps = [draw.number(1, 2) * (-1 if draw.number(0, 4) == 0 else 1) for _ in own]
    base = draw.array([1, *(own[i] * abs(steps[i]) for i in order)], dtype)[0].copy()
    cut = tuple(slice(None, None, s) for s in steps)
    views = (
        a.transpose([order.index(i) for i in range(len(own))])[cut] if own else a
        for a in (base, asarray(base))
    )
    return tuple(views)


@pytest.mark.parametrize("seed", range(60))
def test_drawn_layouts(seed):
    draw = Draw(seed)
    shape = tuple(draw.number(1, 6) * (4 if draw.number(0, 3) == 0 else 1) for _ in range(draw.number(0, 4)))
    dtypes = draw.rng.choice(["float32", "float64", "int64", "bool"], 2)
    if draw.number(0, 1):
        dtypes = ["float32"] * 2
    (x, dx), (y, dy) = (drawn_view(draw, shape, d) for d in dtypes)
    assert_same(elementwise.ufunc("add", (dx, dy)), np.asarray(np.add(x, y)))
    want = np.zeros(shape, np.float32)
    out, dout = drawn_view(Draw(seed), shape, "float32")
    if out.shape == np.broadcast_shapes(x.shape, y.shape):
        want = np.multiply(x, y, casting="unsafe").astype(np.float32)
        elementwise.copy(elementwise.ufunc("multiply", (dx, dy)), dout)
        np.testing.assert_allclose(dout.get(), want, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (1027,), (5, 1, 3), (0,), (2, 0, 3), ()])
def test_packed_shapes(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert_same(applied("multiply", x, x), x * x)
    assert_same(applied("add", x, 2), x + np.float32(2))
    assert_same(applied("greater", 0.5, x), 0.5 > x)


def test_groups_of_four_start_anywhere():
    x = np.random.default_rng(0).normal(size=(8, 12)).astype(np.float32)
    mine = asarray(x)
    for start in range(5):
        assert_same(
            elementwise.ufunc("exp", (mine[:, start : start + 8],)), np.exp(x[:, start : start + 8]), 2e-6
        )
        assert_same(
            elementwise.ufunc("exp", (mine.reshape(-1)[start:],)), np.exp(x.reshape(-1)[start:]), 2e-6
        )


@pytest.mark.parametrize("shape", [(33, 40), (64, 32), (3, 37, 35), (2, 2, 40, 33)])
@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2), (-1, -2)])
def test_copies_that_turn_axes(shape, axes):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if max(axes) < len(shape):
        out = empty(x.swapaxes(*axes).shape, np.float64)
        elementwise.copy(asarray(x).swapaxes(*axes), out)
        assert_same(out, x.swapaxes(*axes).astype(np.float64))


def test_more_elements_than_threads(monkeypatch):
    monkeypatch.setattr(pointwise, "MAX_BLOCKS", 1)
    x = np.random.default_rng(0).normal(size=(3, 701)).astype(np.float32)
    assert_same(applied("negative", x), -x)
    assert_same(applied("add", x, x[:1]), x + x[:1])


def test_result_is_written_into_its_own_input():
    x = np.arange(12, dtype=np.float32)
    mine = asarray(x)
    elementwise.ufunc("add", (mine, 1.0), out=mine)
    assert_same(mine, x + 1)


@pytest.mark.parametrize("name", ["reversed", "shifted", "turned"])
def test_overlapping_input_is_read_before_it_is_overwritten(name):
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    mine = asarray(x)
    pairs = {
        "reversed": lambda a: (a[::-1], a),
        "shifted": lambda a: (a[:-1], a[1:]),
        "turned": lambda a: (a.T, a),
    }
    for array, add in ((x, np.add), (mine, lambda a, b, out: elementwise.ufunc("add", (a, b), out))):
        source, to = pairs[name](array)
        add(source, to, out=to)
    assert_same(mine, x)


# -- types -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", ["float32", "float64", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize(
    "y", ["float32", "float64", "int64", "bool", 2, 2.5, True, np.float64(2), np.int64(3)]
)
@pytest.mark.parametrize("name", ["add", "multiply", "divide", "less"])
def test_types_are_those_of_numpy(name, x, y):
    a = np.array([0, 1, 1], x)
    b = np.array([1, 1, 0], y) if isinstance(y, str) else y
    want = expected(name, a, b)
    if want.dtype == np.float16:
        pytest.skip("there are no float16 kernels")
    assert_same(applied(name, a, b), want)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5, 2.0, 1.5])
def test_powers_by_numbers(exponent):
    x = np.array([0.5, 2, 3], np.float32)
    assert_same(applied("power", x, exponent), x**exponent)
    if isinstance(exponent, int) and exponent >= 0:
        whole = np.arange(-3, 4)
        assert_same(applied("power", whole, exponent), whole**exponent)


@pytest.mark.parametrize("source", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("to", ["float32", "float64", "int32", "bool"])
def test_copy_converts(source, to):
    x = np.array([[0, 1, 3], [0.5, 1, 0]]).astype(source)
    out = empty((4, 2, 3), to)
    elementwise.copy(asarray(x), out)
    assert_same(out, np.broadcast_to(x.astype(to), (4, 2, 3)))
    elementwise.copy(2, out)
    assert_same(out, np.full((4, 2, 3), 2, to))


def test_where_and_clip():
    x = np.array([[-2, 0.5, np.nan, 3]], np.float32)
    mine, column = asarray(x), np.array([[0.0], [1]], np.float32)
    condition = elementwise.ufunc("greater", (mine, 0))
    assert_same(elementwise.where(condition, mine, asarray(column)), np.where(x > 0, x, column))
    assert_same(elementwise.where(condition, mine, 0.0), np.where(x > 0, x, np.float32(0)))
    assert_same(elementwise.clip(mine, -1, 1), np.clip(x, -1, 1))
    assert_same(elementwise.clip(mine, asarray(column), 2), np.clip(x, column, 2))
    assert_same(elementwise.clip(mine, None, 1), np.clip(x, None, 1))
    assert_same(elementwise.clip(mine, 1), np.clip(x, 1, None))


# -- errors ----------------------------------------------------------------------------------------


def test_errors_name_what_is_wrong():
    x = asarray(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"add: operands of shapes \(2, 3\), \(2,\) cannot be broadcast"):
        elementwise.ufunc("add", (x, asarray(np.ones(2, np.float32))))
    with pytest.raises(TypeError, match=r"add: an operand is a NumPy array of shape \(3,\)"):
        elementwise.ufunc("add", (x, np.ones(3, np.float32)))
    with pytest.raises(TypeError, match="float64 result does not fit into out of int64"):
        elementwise.ufunc("add", (x, np.float64(1)), out=empty((2, 3), np.int64))
    with pytest.raises(ValueError, match=r"the result has shape \(2, 3\), out has \(2, 2\)"):
        elementwise.ufunc("add", (x, 1), out=empty((2, 2), np.float32))
    with pytest.raises(NotImplementedError, match="heaviside"):
        elementwise.ufunc("heaviside", (x, 1.0))
    with pytest.raises(TypeError, match="float16"):
        elementwise.ufunc("sqrt", (asarray(np.ones(2, bool)),))
    with pytest.raises(ValueError, match="negative powers"):
        elementwise.ufunc("power", (asarray(np.arange(3)), -1))


# -- machine code ----------------------------------------------------------------------------------


def test_machine_code(needs_toolkit):
    kinds, types = ("element", "element", "number"), (float32, float32, int32, float32)
    flat = pointwise.flat_kernel(formula("add", float32), 2, types, kinds, 4)
    args = (float32[::1], float32[::1], int32, float32[::1])
    resources.expect(flat, (*args, int32), registers=40)
    strided = pointwise.strided_kernel(formula("add", float32), 2, types, kinds, 4, 3)
    resources.expect(strided, (*args, int32[::1], int32), registers=48)
    turn = pointwise.turn_kernel(formula("positive", float32), *[float32] * 3)
    resources.expect(turn, (float32[::1], float32[::1], *[int32] * 10), registers=48, shared=8192)


def assert_compile(dtype, names, inputs):
    """The simulator knows no types: only the compiler does.

    Each formula; and a kernel for each set of types that go in and come out, whatever the formula.
    """
    kernels, given = {}, elementwise.SCALARS[np.dtype(dtype)][::1]
    for name in names:
        loop = elementwise._Loop(name, (np.dtype(dtype),) * inputs, None)
        *taken, out = loop.types
        rest = [int32] * (3 - inputs)
        kinds = ("element",) * inputs + ("number",) * len(rest)
        run = pointwise.flat_kernel(loop.formula, inputs, (*taken, *rest, out), kinds, 1)
        came = compiling.returned(loop.formula, tuple(taken), (8, 0))
        kernels[loop.types, came] = run, [given] * inputs + [*rest, out[::1], int32]
    for run, types in kernels.values():
        assert run.specialize(*types, capability=(8, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_formula_compiles(needs_toolkit, dtype):
    assert_compile(dtype, (*OF_ONE, "erf"), 1)
    assert_compile(dtype, OF_TWO, 2)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
def test_every_formula_of_whole_numbers_compiles(needs_toolkit, dtype):
    refused = ("subtract", "floor_divide", "remainder", "fmod", "power") if dtype == np.bool_ else ()
    assert_compile(dtype, [name for name in ON_WHOLE if name not in refused], 2)


def test_where_compiles_for_booleans(needs_toolkit):
    run = pointwise.flat_kernel(formula("where", boolean), 3, (boolean,) * 4, ("element",) * 3, 1)
    run.specialize(*[boolean[::1]] * 4, int32, capability=(8, 0))
