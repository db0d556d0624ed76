"""Functions of one, two or three numbers as device code, by NumPy's names; `elementwise.py` uses them.

`formula("add", float32)` is a device function. A constant in it must have the type of the numbers: with a
Python 0.5 beside a float32, Numba computes in float64, and a GPU for graphics does that 64 times slower.
So a formula with constants is made anew for each type, by a function whose argument is that type.
"""

import functools
import math
from collections.abc import Callable

from minidl.kernels.cuda.driver import Device, Scalar, device

PLAIN: dict[str, Device] = {}
"""Name -> formula without constants."""
TYPED: dict[str, Callable[[Scalar], Device]] = {}
"""Name -> what makes the formula for one type of numbers."""

MAX_EXACT = {"float32": 2.0**23, "float64": 2.0**52}
"""From here on floats are whole numbers."""


def plain(function: Callable) -> Device:
    """Register a formula under the name of its function."""
    PLAIN[function.__name__] = device(function)
    return PLAIN[function.__name__]


def typed(make: Callable) -> Callable:
    """Register a function that makes a formula from a type."""
    TYPED[make.__name__] = functools.cache(make)
    return TYPED[make.__name__]


@functools.cache
def formula(name: str, number: Scalar) -> Device:
    """The device function of NumPy's ufunc `name`, for numbers of one type."""
    name = SAME.get(name, name)
    if number.dtype.kind != "f" and f"whole_{name}" in PLAIN:
        return PLAIN[f"whole_{name}"]
    if name in PLAIN:
        return PLAIN[name]
    if name not in TYPED:
        raise NotImplementedError(
            f"{name}: there is no such function for arrays on the GPU. Fix: compose it from others, or "
            "compute on the host with x.cpu()"
        )
    return TYPED[name](number)


SAME = {
    "abs": "absolute",
    "fabs": "absolute",
    "true_divide": "divide",
    "mod": "remainder",
    "conjugate": "positive",
    "invert": "bitwise_not",
    "bitwise_invert": "bitwise_not",
    "acos": "arccos",
    "asin": "arcsin",
    "atan": "arctan",
    "atan2": "arctan2",
    "acosh": "arccosh",
    "asinh": "arcsinh",
    "atanh": "arctanh",
    "pow": "power",
}
"""Second names."""


# -- arithmetic ------------------------------------------------------------------------------------


@plain
def add(x, y):
    return x + y


@plain
def subtract(x, y):
    return x - y


@plain
def multiply(x, y):
    return x * y


@plain
def divide(x, y):
    return x / y


@plain
def negative(x):
    return -x


@plain
def positive(x):
    return x


@plain
def absolute(x):
    return abs(x)


@plain
def square(x):
    return x * x


@typed
def reciprocal(number):
    @device
    def reciprocal(x):
        return number(1) / x

    return reciprocal


@typed
def sign(number):
    @device
    def sign(x):
        """-1, 0 or 1, and nan for nan."""
        return number(x > number(0)) - number(x < number(0)) if x == x else x

    return sign


@typed
def remainder(number):
    @device
    def remainder(x, y):
        """It has the sign of y; nan for y = 0."""
        rest = math.fmod(x, y)
        if rest == number(0):
            return math.copysign(number(0), y)
        return rest + y if (rest < number(0)) != (y < number(0)) else rest

    return remainder


@typed
def fmod(number):
    @device
    def fmod(x, y):
        return math.fmod(x, y)

    return fmod


@typed
def floor_divide(number):
    @device
    def floor_divide(x, y):
        """floor(x / y), from the exact remainder: the quotient itself may have been rounded up."""
        if y == number(0):
            return x / y
        rest = math.fmod(x, y)
        quotient = (x - rest) / y
        if rest != number(0) and (rest < number(0)) != (y < number(0)):
            quotient -= number(1)
        if quotient == number(0):
            return math.copysign(number(0), x / y)
        whole = math.floor(quotient)
        return whole + number(1) if quotient - whole > number(0.5) else whole

    return floor_divide


@plain
def whole_floor_divide(x, y):
    """0 for y = 0, as in NumPy."""
    return x // y if y != 0 else y


@plain
def whole_remainder(x, y):
    return x % y if y != 0 else y


@plain
def whole_fmod(x, y):
    """The remainder with the sign of x."""
    if y == 0:
        return y
    rest = x % y
    return rest - y if rest != 0 and (x < 0) != (rest < 0) else rest


@plain
def power(x, y):
    return math.pow(x, y)


@plain
def whole_power(x, y):
    """By squaring: a factor for each bit of y. For y < 0 it is 0, unless x is 1 or -1."""
    if y < 0:
        return 1 if x == 1 else ((1 if y % 2 == 0 else -1) if x == -1 else 0)
    result = x - x + 1
    while y > 0:
        if y & 1:
            result = result * x
        x = x * x
        y = y >> 1
    return result


@plain
def whole_sign(x):
    return (1 if x > 0 else 0) - (1 if x < 0 else 0)


# -- curves ----------------------------------------------------------------------------------------


@plain
def exp(x):
    return math.exp(x)


@plain
def exp2(x):
    return math.exp2(x)


@plain
def expm1(x):
    return math.expm1(x)


@plain
def log(x):
    return math.log(x)


@plain
def log2(x):
    return math.log2(x)


@plain
def log10(x):
    return math.log10(x)


@plain
def log1p(x):
    return math.log1p(x)


@plain
def sqrt(x):
    return math.sqrt(x)


@typed
def cbrt(number):
    @device
    def cbrt(x):
        return math.copysign(math.pow(abs(x), number(1 / 3)), x)

    return cbrt


@plain
def sin(x):
    return math.sin(x)


@plain
def cos(x):
    return math.cos(x)


@plain
def tan(x):
    return math.tan(x)


@plain
def arcsin(x):
    return math.asin(x)


@plain
def arccos(x):
    return math.acos(x)


@plain
def arctan(x):
    return math.atan(x)


@plain
def arctan2(y, x):
    return math.atan2(y, x)


@plain
def sinh(x):
    return math.sinh(x)


@plain
def cosh(x):
    return math.cosh(x)


@plain
def tanh(x):
    return math.tanh(x)


@plain
def arcsinh(x):
    return math.asinh(x)


@plain
def arccosh(x):
    return math.acosh(x)


@plain
def arctanh(x):
    return math.atanh(x)


@plain
def copysign(x, y):
    return math.copysign(x, y)


@plain
def erf(x):
    return math.erf(x)


# -- rounding --------------------------------------------------------------------------------------


@plain
def floor(x):
    return math.floor(x)


@plain
def ceil(x):
    return math.ceil(x)


@plain
def trunc(x):
    return math.trunc(x)


@typed
def rint(number):
    exact = number(MAX_EXACT[number.name])

    @device
    def rint(x):
        """The nearest whole number, the even one of two: beside 2^23 a float32 has no room for a fraction."""
        if abs(x) < exact:
            return math.copysign((abs(x) + exact) - exact, x)
        return x

    return rint


@plain
def whole_floor(x):
    return x


@plain
def whole_ceil(x):
    return x


@plain
def whole_trunc(x):
    return x


@plain
def whole_rint(x):
    return x


# -- order -----------------------------------------------------------------------------------------


@plain
def maximum(x, y):
    """nan if one of them is."""
    return x if x > y or x != x else y


@plain
def minimum(x, y):
    """nan if one of them is."""
    return x if x < y or x != x else y


@plain
def fmax(x, y):
    """The other one if one of them is nan."""
    return x if x > y or y != y else y


@plain
def fmin(x, y):
    """The other one if one of them is nan."""
    return x if x < y or y != y else y


@plain
def clip(x, low, high):
    """min(max(x, low), high), nan for nan."""
    x = x if x > low or x != x else low
    return x if x < high or x != x else high


@plain
def equal(x, y):
    return x == y


@plain
def not_equal(x, y):
    return x != y


@plain
def less(x, y):
    return x < y


@plain
def less_equal(x, y):
    return x <= y


@plain
def greater(x, y):
    return x > y


@plain
def greater_equal(x, y):
    return x >= y


# -- truth and bits: numbers have been converted to booleans for the logical ones ------------------


@plain
def logical_and(x, y):
    return x and y


@plain
def logical_or(x, y):
    return x or y


@plain
def logical_xor(x, y):
    return x != y


@plain
def logical_not(x):
    return not x


@plain
def bitwise_and(x, y):
    return x & y


@plain
def bitwise_or(x, y):
    return x | y


@plain
def bitwise_xor(x, y):
    return x ^ y


@plain
def bitwise_not(x):
    return ~x


@plain
def left_shift(x, y):
    return x << y


@plain
def right_shift(x, y):
    return x >> y


@plain
def isnan(x):
    return x != x


@plain
def isinf(x):
    """inf - inf is nan, and nan is not equal to itself."""
    return x == x and x - x != x - x


@plain
def isfinite(x):
    return x - x == x - x


@typed
def signbit(number):
    @device
    def signbit(x):
        return math.copysign(number(1), x) < number(0)

    return signbit


@plain
def where(condition, x, y):
    return x if condition else y
