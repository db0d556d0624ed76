"""The scalar engine: equal to the tensor engine and to differences, on random expressions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import scalar
from minidl.scalar import Value

EXPRESSIONS = [
    lambda m, x, y: x * y + m.tanh(x) / (y * y + 1),
    lambda m, x, y: (x - y) ** 2 + 3 / (x * x + 1) - 2 * y,
    lambda m, x, y: m.exp(-x * x) * m.relu(y) + m.log(1 + x * x),
    lambda m, x, y: 1 - (x + x + y * x * y),
]
NUMBERS = st.floats(-2, 2).filter(lambda v: abs(v) > 1e-3)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@given(a=NUMBERS, b=NUMBERS)
def test_equal_to_the_tensor_engine(expression, a, b):
    x, y = Value(a), Value(b)
    out = expression(scalar, x, y)
    out.backward()
    s, t = (minidl.full((), v, dtype=minidl.float64, requires_grad=True) for v in (a, b))
    want = expression(minidl, s, t)
    want.backward()
    for got, expected in [(out.data, want.item()), (x.grad, s.grad.item()), (y.grad, t.grad.item())]:
        assert math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-9)


def test_diamond_and_accumulation():
    x = Value(3)
    y = x * x
    (y + y).backward()
    assert x.grad == 12
    (x * 1).backward()
    assert x.grad == 13


def test_two_backwards_add_the_gradient_twice_everywhere():
    x = Value(3)
    y = x * x
    z = y * 2
    z.backward()
    z.backward()
    assert (x.grad, y.grad, z.grad) == (24, 4, 2)


def test_shared_and_deep_graphs():
    x = y = Value(1)
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad == 2.0**60
    x = y = Value(1)
    for _ in range(5000):
        y = y + 1
    y.backward()
    assert x.grad == 1


def test_pow_both_ways():
    a, b = Value(2), Value(3)
    (a**b).backward()
    assert a.grad == 12
    assert b.grad == pytest.approx(8 * math.log(2))
    c = Value(-2)
    (c**2).backward()
    assert c.grad == -4


def test_repr():
    assert repr(Value(1.5)) == "Value(1.5, grad=0)"
