"""exp, tanh and sigmoid of compiled kernels against NumPy's in float64."""

import math

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")
import numba

from minidl.kernels.cpu import elementary
from minidl.kernels.cpu.compiling import compiled

X = np.concatenate([np.linspace(-103, 88.7, 40_001), np.linspace(-1, 1, 10_001)]).astype(np.float32)
ENDS = np.array(
    [0, -0.0, 1e-30, -1e-30, 89, 200, 3e38, np.inf, -104, -200, -3e38, -np.inf, np.nan], np.float32
)
WANT = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def over(name, x):
    """The function of each number, in a loop that becomes vector instructions."""
    function, out = getattr(elementary, name), np.empty_like(x)

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def loop(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    loop(x, out)
    return out


@pytest.mark.parametrize(
    ("name", "relative", "absolute"),
    [("exp", 1.2e-7, 2e-45), ("sigmoid", 2e-7, 3e-39), ("tanh", 2e-7, 0)],
)
def test_errors_are_those_of_rounding(name, relative, absolute):
    want = WANT[name](X.astype(np.float64))
    np.testing.assert_allclose(over(name, X), want, rtol=relative, atol=absolute)


@pytest.mark.parametrize("name", WANT)
def test_nan_stays_and_the_ends_are_right(name):
    with np.errstate(all="ignore"):
        want = WANT[name](ENDS.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(over(name, ENDS), want, rtol=2e-7, atol=3e-39)


def test_a_piece_may_stand_in_any_kernel():
    @compiled
    def kernel(x):
        return elementary.exp(x) * elementary.tanh(x)

    assert kernel(np.float32(1)) == pytest.approx(math.e * math.tanh(1), rel=1e-6)
