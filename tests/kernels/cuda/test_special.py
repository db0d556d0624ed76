"""Functions that NumPy has not, on the GPU."""

import math

import numpy as np
import pytest

from minidl import kernels
from minidl.kernels import reference
from minidl.kernels.cuda.array import asarray


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf_is_found_and_right(dtype):
    x = np.array([[-7, -1, -1e-5], [0, 0.5, np.inf]], dtype)
    got = kernels.find("erf", asarray(x))(asarray(x)).get()
    want = np.vectorize(math.erf)(x.astype(np.float64))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_what_there_is_not_says_so(monkeypatch):
    monkeypatch.setattr(reference, "unheard", lambda x: x, raising=False)
    with pytest.raises(NotImplementedError, match="there is no GPU kernel 'unheard'"):
        kernels.find("unheard", asarray(np.ones(2, np.float32)))
