"""The same array on the host and on the device, with drawn shapes and strides."""

import numpy as np
from hypothesis import strategies as st

from minidl.kernels.cuda.array import asarray

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")


def numbers(rng, shape, dtype):
    """Random values, small enough that products of some do not overflow."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 2 if dtype.kind in "bu" else 9, shape).astype(dtype)


def turned(draw, x):
    """The steps that make a view of x: axes in another order, slices that go forwards or backwards."""
    order = draw(st.permutations(range(x.ndim)))
    slices = tuple(
        draw(st.sampled_from([slice(None), slice(None, None, -1), slice(1, None), slice(None, None, 2)]))
        for _ in range(x.ndim)
    )
    return lambda a: a.transpose(order)[slices] if x.ndim else a


@st.composite
def pairs(draw, dtypes=DTYPES, min_dims=0, max_dims=4, max_side=5, min_side=0):
    """(NumPy array, CudaArray) of the same values, both the same view of packed ones."""
    dims = draw(st.integers(min_dims, max_dims))
    shape = tuple(draw(st.integers(min_side, max_side)) for _ in range(dims))
    host = numbers(np.random.default_rng(draw(st.integers(0, 99))), shape, draw(st.sampled_from(dtypes)))
    view = turned(draw, host) if draw(st.booleans()) else lambda a: a
    if 0 in view(host).shape and min_side:
        view = lambda a: a  # noqa: E731
    return view(host), view(asarray(host))


def same(mine, wanted, **tolerance):
    """Equal dtype, shape and values."""
    wanted = np.asarray(wanted)
    assert (mine.dtype, mine.shape) == (wanted.dtype, wanted.shape)
    if tolerance:
        np.testing.assert_allclose(mine.get(), wanted, **tolerance)
    else:
        np.testing.assert_array_equal(mine.get(), wanted)
