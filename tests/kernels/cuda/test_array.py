"""CudaArray reads memory as NumPy does: views, shapes, copies; and nothing moves unseen."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.kernels.cuda import memory
from minidl.kernels.cuda.array import (
    CudaArray,
    asarray,
    contiguous,
    empty,
    full,
    ones,
    reshaped_strides,
    zeros,
)
from tests.kernels.cuda.strided import numbers, pairs, same


@given(pairs())
def test_there_and_back(pair):
    host, x = pair
    same(x, host)
    assert (x.ndim, x.size, x.nbytes, x.itemsize) == (host.ndim, host.size, host.nbytes, host.itemsize)
    assert x.flags.c_contiguous == host.flags.c_contiguous
    assert x.tolist() == host.tolist()
    assert x.tobytes() == host.tobytes()


@given(pairs(), st.data())
def test_reshape_is_a_view_where_numpys_is(pair, data):
    host, x = pair
    factors = [n for n in host.shape if n != 1]
    shape = data.draw(
        st.sampled_from([(-1,), host.shape[::-1], (1, *host.shape), (*host.shape, 1), (host.size, 1)])
    )
    if len(factors) > 1:
        first = data.draw(st.integers(1, len(factors) - 1))
        shape = data.draw(st.sampled_from([shape, (int(np.prod(factors[:first])), *factors[first:])]))
    if host.size or -1 not in shape:
        mine, wanted = x.reshape(shape), host.reshape(shape)
        same(mine, wanted)
        if host.size:
            assert (mine.memory is x.memory) == np.may_share_memory(wanted, host)


def test_a_reshape_that_does_not_fit_says_so():
    for shape in ((4, 2), (-1, 4), (-1, -1), (-6, -1)):
        with pytest.raises(ValueError, match="an array of 6 elements does not fit"):
            zeros((2, 3)).reshape(shape)
    with pytest.raises(ValueError, match="does not fit"):
        zeros((0, 3)).reshape(-1, 0)


@given(st.lists(st.integers(1, 4), max_size=4), st.integers(0, 9), st.permutations(range(4)), st.booleans())
def test_strides_of_a_reshape_read_the_same_elements(shape, seed, order, backwards):
    host = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    host = host.transpose([i for i in order if i < host.ndim])
    host = host[::-1] if backwards and host.ndim else host
    sides = np.random.default_rng(seed).permutation([n for n in host.shape if n > 1] or [1])
    to = tuple(int(n) for n in sides)
    strides = reshaped_strides(host.shape, host.strides, to)
    wanted = host.reshape(to)
    assert (strides is None) == (not np.may_share_memory(wanted, host))
    if strides is not None:
        read = np.lib.stride_tricks.as_strided(host, to, strides)
        np.testing.assert_array_equal(read, wanted)


@given(pairs(min_dims=1), st.data())
def test_axes_in_another_order(pair, data):
    host, x = pair
    order = data.draw(st.permutations(range(host.ndim)))
    a, b = (data.draw(st.integers(-host.ndim, host.ndim - 1)) for _ in range(2))
    for name, args in {
        "transpose": (order,),
        "swapaxes": (a, b),
        "squeeze": (),
        "ravel": (),
        "flatten": (),
    }.items():
        same(getattr(x, name)(*args), getattr(host, name)(*args))
    same(x.transpose(*order), host.transpose(*order))
    same(x.T, host.T)


@given(pairs())
def test_copies_are_packed_and_apart(pair):
    host, x = pair
    for y in (x.copy(), copy.deepcopy(x), copy.copy(x), contiguous(x.T)):
        assert y.packed
    same(x.copy("K"), host.copy("K"))
    assert x.copy("K").strides == host.copy("K").strides or host.size < 2 or 1 in host.shape
    assert not x.overlaps(x.copy())


@given(pairs(), st.sampled_from(["float32", "float64", "int64", "int32", "bool", "uint8"]))
def test_conversions(pair, dtype):
    host, x = pair
    if np.dtype(dtype) == np.uint8 and host.dtype.kind in "fi":  # of negative numbers undefined
        host, x = np.abs(host), abs(x)
    same(x.astype(dtype), host.astype(dtype))
    assert (x.astype(dtype, copy=False) is x) == (x.dtype == dtype)


def test_arrays_of_one_value():
    for mine, wanted in (
        (zeros((2, 3)), np.zeros((2, 3), np.float32)),
        (ones(3, bool), np.ones(3, bool)),
        (full((2,), 1.5), np.full(2, 1.5)),
        (full((), 7), np.full((), 7)),
        (full((2, 2), -0.0, np.float32), np.full((2, 2), -0.0, np.float32)),
        (zeros((0, 3)), np.zeros((0, 3), np.float32)),
    ):
        same(mine, wanted)
        assert mine.tobytes() == wanted.tobytes()
    x = zeros((3, 4))
    x.T[1].fill(5)
    same(x[:, 1], np.full(3, 5, np.float32))


def test_numbers_come_out():
    x = asarray(np.float32([1.5, 2.5]))
    assert (x[0].item(), x.item(1), float(x[1]), int(x[1]), bool(x[0])) == (1.5, 2.5, 2.5, 2, True)
    assert [5, 6, 7][asarray(np.int64(1))] == 6
    assert [v.item() for v in x] == [1.5, 2.5]
    assert len(x) == 2
    assert repr(x) == "CudaArray([1.5, 2.5], dtype=float32)"


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        (lambda x: np.asarray(x), TypeError, r"shape \(2, 3\) is in the GPU's memory.*x\.get\(\)"),
        (lambda x: pickle.dumps(x), TypeError, r"cannot be pickled.*x\.get\(\)"),
        (lambda x: bool(x), ValueError, r"\(2, 3\) is neither true nor false"),
        (lambda x: x.item(), ValueError, "single element"),
        (lambda x: len(x[0, 0]), TypeError, "without axes"),
        (lambda x: [1][x[0, 0]], TypeError, "whole number"),
        (lambda x: empty(2, np.complex64), TypeError, "no GPU kernel works on complex64.*float32"),
        (lambda x: empty((2, -1)), ValueError, "shorter than 0"),
        (lambda x: x.squeeze(0), ValueError, "not all of size 1"),
        (lambda x: x.transpose(0), ValueError, "do not name the 2 axes"),
        (lambda x: x.view(np.float64), ValueError, "another size"),
        (lambda x: np.linalg.svd(x), NotImplementedError, r"np\.linalg.*svd has no GPU version.*\.cpu\(\)"),
        (
            lambda x: x + np.ones((2, 3)),
            TypeError,
            r"NumPy array of shape \(2, 3\).*Fix: minidl.tensor\(x\).cuda",
        ),
        (
            lambda x: x.fill(np.ones(3)),
            TypeError,
            r"\(2, 3\) is on the GPU, the value of shape \(3,\) on the CPU",
        ),
        (lambda x: np.broadcast_to(x[:1], (4, 3)).fill(1), ValueError, "read-only"),
        (lambda x: np.modf(x), NotImplementedError, "np.modf has no GPU version"),
        (lambda x: np.add(x, 1, where=x > 0), NotImplementedError, r"np\.add with where has no GPU version"),
    ],
)
def test_refusals_name_the_fix(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong(zeros((2, 3)))


def test_views_share_memory():
    host = np.arange(24, dtype=np.float32).reshape(4, 6)
    x = asarray(host)
    x[1:3, ::2] = 0
    host[1:3, ::2] = 0
    same(x, host)
    x.view(np.int32)[0, 0] = 1
    host.view(np.int32)[0, 0] = 1
    same(x, host)


def test_bounds_tell_what_overlaps():
    x = zeros((4, 6))
    low, high = x.bounds
    assert high - low == x.nbytes
    assert x[::-1, ::-1].bounds == x.bounds
    assert x[1].overlaps(x[:2])
    assert not x[:2].overlaps(x[2:])
    assert not x.overlaps(zeros((4, 6)))
    assert np.may_share_memory(x.T, x[1:])
    assert not np.may_share_memory(x[:0], x)


def test_memory_goes_back_to_the_pool():
    before = memory.pool().statistics().in_use
    x = zeros((100, 100))
    view = x[3].reshape(10, 10)
    del x
    assert memory.pool().statistics().in_use > before
    del view
    assert memory.pool().statistics().in_use == before


@settings(max_examples=40)
@given(pairs(dtypes=("float32", "int64")), st.integers(0, 9))
def test_writing_into_views(pair, seed):
    host, x = pair
    host = host.copy()
    target = zeros(host.shape[::-1], host.dtype).T
    target[...] = x
    same(target, host)
    target += x
    same(target, host + host)
    target[...] = target[::-1] if host.ndim else target
    same(target, (host + host)[::-1] if host.ndim else host + host)


def test_operators_are_numpys():
    rng = np.random.default_rng(0)
    a, b = (numbers(rng, (3, 4), "float32") for _ in range(2))
    x, y = asarray(a), asarray(b)
    two, wide = np.float32(2), np.float64(2)
    for mine, wanted in (
        (x + y, a + b), (x - 2, a - 2), (2 - x, 2 - a), (x * y, a * b), (x / y, a / b), (-x, -a),
        (abs(x), abs(a)), (x > y, a > b), (x == y, a == b), (two * x, two * a), (wide * x, wide * a),
        (1 / (x * x + 1), 1 / (a * a + 1)), (x @ y.T, a @ b.T), (~(x > 0), ~(a > 0)),
        ((x > 0) & (y > 0), (a > 0) & (b > 0)), (x // 2, a // 2), (x % 1, a % 1), (x**2, a**2),
    ):  # fmt: skip
        same(mine, wanted, rtol=2e-6, atol=1e-6)
    assert isinstance(x + y, CudaArray)
