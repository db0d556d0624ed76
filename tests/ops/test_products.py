"""minidl/ops/products.py beside PyTorch: products of every mix of shapes and dtypes, and drawn equations."""

import itertools

import numpy as np
import pytest

import minidl
from tests.parity import assert_parity, calls, written


def drawn(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 3).astype(dtype)


SHAPES = [(), (3,), (1,), (0,), (2, 3), (3, 2), (1, 3), (3, 0), (0, 3), (2, 3, 3), (1, 3, 2), (4, 1, 2, 3)]


@pytest.mark.parametrize("name", ["matmul", "mm", "bmm", "mv", "dot", "outer"])
def test_products_of_every_two_shapes(name):
    for a, b in itertools.product(SHAPES, SHAPES):
        assert_parity(written(f"m.{name}(x, y)"), drawn(a), drawn(b, seed=1))


@pytest.mark.parametrize(
    "call", ["x @ y", "x.mm(y)", "x[None].bmm(y[None])", "x.mv(y[:, 0])", "x[0].dot(y[:, 0])"]
)
def test_dtypes(call):
    dtypes = [bool, np.uint8, np.int32, np.int64, np.float32, np.float64]
    for a, b in itertools.product(dtypes, dtypes):
        assert_parity(written(call), drawn((2, 3), a), drawn((3, 4), b, seed=1))
        assert_parity(written("m.outer(x, y)"), drawn(2, a), drawn(3, b, seed=1))


@pytest.mark.parametrize(
    "call",
    calls("""
        m.matmul(input=x, other=y)
        x.matmul(other=y)
        m.mm(input=x, mat2=y)
        x.mm(mat2=y)
        m.bmm(input=x[None], mat2=y[None])
        m.mv(input=x, vec=y[:, 1])
        m.dot(input=x[0], tensor=y[:, 1])
        m.outer(input=x[0], vec2=y[0])
        x.outer(y)
        x.T @ y.T.T
        x.T @ x
        x.expand(5, 2, 3) @ y
        x[:, None] @ y
        x @ 3
        m.matmul(x, 3)
        m.dot(x[0], 3)
    """),
)
def test_ways_to_call(call):
    assert_parity(written(call), drawn((2, 3)), drawn((3, 4), seed=1))


EQUATIONS = calls("""
    m.einsum("ij,jk", x, y)
    m.einsum("ij,jk->ki", x, y)
    m.einsum(" i j , j k -> i k ", x, y)
    m.einsum("ij,jk->ik", [x, y])
    m.einsum("ij,jk->ik", (x, y))
    m.einsum("ij,jk->", x, y)
    m.einsum("ij,jk->j", x, y)
    m.einsum("ij,jk->ijk", x, y)
    m.einsum("Ab,bC", x, y)
    m.einsum("ba", x)
    m.einsum("aB", x)
    m.einsum("ij->", x)
    m.einsum("ij", x)
    m.einsum("...j->...", x)
    m.einsum("...->...", x)
    m.einsum("...", x)
    m.einsum("...,...j->j...", x[:, 0], x)
    m.einsum("i...->", x)
    m.einsum("ij->...", x)
    m.einsum("ij->i...j", x)
    m.einsum("i...,...k->...ik", x, y)
    m.einsum("ij,ik,il->jkl", x, x, x)
    m.einsum("i,ij,jk,k->", x[:, 0], x, y, y[0])
    m.einsum("ij,ij,ij->i", x, x, x)
    m.einsum("ii", y[:, :3])
    m.einsum("ii->i", y[:, :3])
    m.einsum("iij,jk->ik", y[:, :3, None] * x[0], y)
    m.einsum("ij,j->ij", x, x[0, :1])
    m.einsum("ij,j->i", x, x[0, :1])
    m.einsum("i,i->i", x[0, :1], x[0])
    m.einsum("i,j->ji", x[0], y[0])
    m.einsum(",ij->ij", x[0, 0], x)
    m.einsum(",", x[0, 0], x[0, 1])
    m.einsum("", x[0, 0])
    m.einsum(x, [0, 1], y, [1, 2], [2, 0])
    m.einsum(x, [0, 1], y, [1, 2])
    m.einsum(x, [..., 1], [1, ...])
    m.einsum(x, [51, 3])
    m.einsum(x, [0, 52])
    m.einsum("ij,jk", x, x)
    m.einsum("ii", x)
    m.einsum("ijk", x)
    m.einsum("i", x)
    m.einsum("ijk...", x)
    m.einsum("ij,jk", x)
    m.einsum("ij", x, y)
    m.einsum("ij->ii", x)
    m.einsum("ij->ijk", x)
    m.einsum("i1", x)
    m.einsum("i..j", x)
    m.einsum("......", x)
    m.einsum("ij->i->j", x)
    m.einsum("i-j", x)
    m.einsum("...,...", x, y)
    m.einsum("ij")
    m.einsum("ij,jk", x, [y])
    m.einsum("ij", 3)
""")


@pytest.mark.parametrize("call", EQUATIONS)
def test_equations(call):
    assert_parity(written(call), drawn((2, 3)), drawn((3, 4), seed=1))
    for a, b in [(np.int64, np.int64), (np.int32, np.int32), (bool, bool), (np.float32, np.int64)]:
        assert_parity(written(call), drawn((2, 3), a), drawn((3, 4), b, seed=1))


def test_equations_of_empty_operands():
    for a, b in [((0, 3), (3, 4)), ((2, 0), (0, 4)), ((0, 0), (0, 0))]:
        assert_parity(written('m.einsum("ij,jk->ik", x, y)'), drawn(a), drawn(b))


def drawn_equation(rng):
    """An equation of up to four operands, and their shapes: letters repeat, some sizes are broadcast."""
    sizes = {letter: int(rng.integers(1, 4)) for letter in "ijkLm"}
    hidden = [int(n) for n in rng.integers(1, 4, size=rng.integers(0, 3))]
    terms, shapes = [], []
    for _ in range(rng.integers(1, 5)):
        term = list(rng.choice(list(sizes), size=rng.integers(0, 4)))
        shape = [sizes[i] for i in term]
        if len(set(term)) == len(term):
            shape = [1 if rng.random() < 0.15 else n for n in shape]
        if rng.random() < 0.3:
            at = int(rng.integers(0, len(term) + 1))
            seen = [1 if rng.random() < 0.3 else n for n in hidden[int(rng.integers(0, len(hidden) + 1)) :]]
            term[at:at], shape[at:at] = ["..."], seen
        terms.append("".join(term))
        shapes.append(tuple(shape))
    equation = ",".join(terms)
    if rng.random() < 0.7:
        output = [i for i in sizes if i in equation and rng.random() < 0.5] + ["..."] * int(
            rng.integers(0, 2)
        )
        equation += "->" + "".join(rng.permutation(output))
    return equation, shapes


def test_drawn_equations():
    rng = np.random.default_rng(3)
    for _ in range(300):
        equation, shapes = drawn_equation(rng)
        arrays = [rng.normal(size=shape) for shape in shapes]
        assert_parity(lambda m, *ts, equation=equation: m.einsum(equation, *ts), *arrays)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("x @ x", minidl.ShapeError, ["matmul", "(2, 3)", "inner sizes", "Fix"]),
        ("x @ x.sum()", minidl.ShapeError, ["matmul", "()", "use * for numbers"]),
        ("x @ x.T.double()", TypeError, ["matmul", "float32 and float64", "x.float()"]),
        ("(x > 0) @ (x > 0).T", TypeError, ["matmul", "booleans"]),
        ("m.mm(x, x[0])", minidl.ShapeError, ["mm", "(3,)", "two matrices"]),
        ("m.bmm(x[None], m.ones(2, 3, 1))", minidl.ShapeError, ["bmm", "(1, 2, 3)", "equally many"]),
        ("m.mv(x, x)", minidl.ShapeError, ["mv", "vector"]),
        ("m.dot(x[0], x[:, 0])", minidl.ShapeError, ["dot", "(3,)", "(2,)", "one size"]),
        ("m.outer(x, x)", minidl.ShapeError, ["outer", "(2, 3)", "two vectors"]),
        ("m.einsum('ij,jk', x, x)", minidl.ShapeError, ["'ij,jk'", "(2, 3), (2, 3)", "axis 'j'", "[2, 3]"]),
        ("m.einsum('ijk', x)", minidl.ShapeError, ["'ijk'", "2 axes of shape (2, 3)"]),
        ("m.einsum('ij', x, x)", minidl.ShapeError, ["'ij'", "1 terms for 2 operands"]),
        ("m.einsum('ij->iik', x)", minidl.ShapeError, ["output 'iik'"]),
        ("m.einsum('i1', x)", minidl.ShapeError, ["'i1' must be letters"]),
        ("m.einsum('ij')", TypeError, ["'ij'", "tensors must follow"]),
    ],
)
def test_refusals_say_what_is_wrong(call, kind, words):
    with pytest.raises(kind) as error:
        written(call)(minidl, minidl.ones(2, 3))
    for word in words:
        assert word in str(error.value)
