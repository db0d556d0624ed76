"""NumPy's functions of CudaArrays give what they give of NumPy's arrays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.kernels.cuda.array import CudaArray, asarray, ones, zeros
from minidl.kernels.cuda.functions import FUNCTIONS
from minidl.part import Part
from tests.kernels.cuda.strided import numbers, pairs, same

quick = settings(max_examples=40)
FLOATS = ("float32", "float64")


def close(mine, wanted):
    same(mine, wanted, rtol=3e-6, atol=3e-6)


def all_close(mine, wanted):
    assert len(mine) == len(wanted)
    for m, w in zip(mine, wanted, strict=True):
        close(m, w)


ONE = {
    "ravel": lambda x: np.ravel(x),
    "transpose": lambda x: np.transpose(x),
    "swapaxes": lambda x: np.swapaxes(x, 0, -1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "moveaxis of two": lambda x: np.moveaxis(x, (0, 1), (-1, 0)),
    "squeeze": lambda x: np.squeeze(x[:1], 0),
    "expand_dims": lambda x: np.expand_dims(x, (0, -1)),
    "atleast_1d": lambda x: np.atleast_1d(x.sum()),
    "atleast_2d": lambda x: np.atleast_2d(x[0, 0]),
    "broadcast_to": lambda x: np.broadcast_to(x[:, :1], (2, *x.shape)),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, x[:1])[1],
    "flip": lambda x: np.flip(x),
    "flip of an axis": lambda x: np.flip(x, 1),
    "roll": lambda x: np.roll(x, 2, 1),
    "roll of two": lambda x: np.roll(x, (1, -1), (0, 1)),
    "roll of all": lambda x: np.roll(x, -2),
    "tile": lambda x: np.tile(x, (2, 1, 3)),
    "tile by one": lambda x: np.tile(x, 2),
    "repeat": lambda x: np.repeat(x, 2, 1),
    "repeat of all": lambda x: np.repeat(x, 3),
    "diagonal": lambda x: np.diagonal(x, 1),
    "diagonal of other axes": lambda x: np.diagonal(x, -1, 1, 0),
    "diag": lambda x: np.diag(x[0, 0], -1),
    "diag of a matrix": lambda x: np.diag(x[0]),
    "tril": lambda x: np.tril(x, 1),
    "triu": lambda x: np.triu(x, -1),
    "concatenate": lambda x: np.concatenate([x, x[:, :1]], 1),
    "concatenate of all": lambda x: np.concatenate([x, x[0]], None),
    "concatenate in a dtype": lambda x: np.concatenate([x, x > 0], dtype=np.float64),
    "stack": lambda x: np.stack([x, x[::-1]], -1),
    "pad": lambda x: np.pad(x, ((1, 0), (0, 2), (1, 1))),
    "pad with a value": lambda x: np.pad(x, 1, constant_values=3),
    "where": lambda x: np.where(x > 0, x, 0),
    "where of places": lambda x: np.where(x > 0)[1],
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "clip below": lambda x: np.clip(x, 0, None),
    "clip as a method": lambda x: x.clip(0, 1),
    "round": lambda x: np.round(x),
    "round to decimals": lambda x: x.round(2),
    "round to tens": lambda x: np.round(x * 100, -1),
    "isclose": lambda x: np.isclose(x, x + (x > 0) * 1e-9),
    "isclose of nan": lambda x: np.isclose(np.log(x), np.log(x), equal_nan=True),
    "nan_to_num": lambda x: np.nan_to_num(np.log(np.floor(x))),
    "sum": lambda x: np.sum(x, (0, 2)),
    "sum of no axes": lambda x: np.sum(x, ()),
    "sum of masks": lambda x: (x > 0).sum(1),
    "sum in a dtype": lambda x: (x > 0).sum(1, keepdims=True, dtype=np.float32),
    "sum from a start": lambda x: x.sum(0, initial=2),
    "prod": lambda x: np.prod(x, 1, keepdims=True),
    "max": lambda x: np.max(x, 2),
    "max with a least": lambda x: np.max(x, 1, initial=0.5),
    "min": lambda x: x.min(),
    "any": lambda x: np.any(x > 1, 1),
    "all": lambda x: np.all(x > -1, (0, 1), keepdims=True),
    "argmax": lambda x: np.argmax(x, 1),
    "argmax of all": lambda x: x.argmax(),
    "argmin": lambda x: np.argmin(x, 2, keepdims=True),
    "mean": lambda x: x.mean((0, 1)),
    "mean of masks": lambda x: np.mean(x > 0),
    "var": lambda x: x.var(1, ddof=1),
    "std": lambda x: np.std(x),
    "cumsum": lambda x: np.cumsum(x, 1),
    "cumsum of all": lambda x: x.cumsum(dtype=np.float64),
    "cumprod": lambda x: np.cumprod(x, 2),
    "count_nonzero": lambda x: np.count_nonzero(x > 0, 1),
    "nanmin": lambda x: np.nanmin(np.where(x > 1, np.nan, x)),
    "nanmax": lambda x: np.nanmax(np.where(x > 1, np.nan, x)),
    "diff": lambda x: np.diff(x, axis=1),
    "norm": lambda x: np.linalg.norm(x),
    "norm along an axis": lambda x: np.linalg.norm(x, axis=1, keepdims=True),
    "norm of order 3": lambda x: np.linalg.norm(x.reshape(-1), 3.0),
    "norm of order 1": lambda x: np.linalg.norm(x, 1, axis=2),
    "norm of order inf": lambda x: np.linalg.norm(x.ravel(), math.inf),
    "norm of order 0": lambda x: np.linalg.norm(x, 0, axis=0),
    "zeros_like": lambda x: np.zeros_like(x, shape=(2, 2)),
    "ones_like": lambda x: np.ones_like(x, np.int64),
    "full_like": lambda x: np.full_like(x, 2.5),
    "copy": lambda x: np.copy(x),
    "ravel_multi_index": lambda x: np.ravel_multi_index((np.nonzero(x > 0)), x.shape, mode="wrap"),
    "add.reduce": lambda x: np.add.reduce(x),
    "add.reduce of an axis": lambda x: np.add.reduce(x, 1),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, 1),
    "outer": lambda x: np.outer(x[0, 0], x[0, 1]),
    "matmul": lambda x: np.matmul(x, x.swapaxes(1, 2)),
    "matmul of a vector": lambda x: x @ x[0, 0],
    "matmul of vectors": lambda x: x[0, 0] @ x[0, 0],
    "a vector times matrices": lambda x: x[0, 0] @ x.swapaxes(1, 2),
    "dot": lambda x: x[0, 0].dot(x[0, 0]),
    "dot of numbers": lambda x: np.dot(x[0, 0, 0], x),
    "power": lambda x: abs(x) ** 0.3,
}


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("strided", [False, True])
def test_one_array(name, strided):
    host = numbers(np.random.default_rng(1), (3, 5, 4), "float32")
    x = asarray(host)
    if strided:
        host, x = host.transpose(2, 0, 1)[::-1], x.transpose(2, 0, 1)[::-1]
    with np.errstate(all="ignore"):
        wanted = ONE[name](host)
    close(ONE[name](x), wanted)


@quick
@given(pairs(dtypes=FLOATS, min_side=1), st.data())
def test_reductions_of_any_shape(pair, data):
    host, x = pair
    axes = tuple(data.draw(st.sets(st.integers(0, host.ndim - 1)))) if host.ndim else ()
    keep = data.draw(st.booleans())
    for name in ("sum", "max", "min", "mean", "any"):
        close(
            getattr(np, name)(x, axis=axes, keepdims=keep), getattr(np, name)(host, axis=axes, keepdims=keep)
        )


@quick
@given(pairs(min_dims=1), st.data())
def test_joined_and_cut(pair, data):
    host, x = pair
    axis = data.draw(st.integers(-host.ndim, host.ndim - 1))
    all_close(np.split(x, [1, 3], axis), np.split(host, [1, 3], axis))
    all_close(np.array_split(x, 2, axis), np.array_split(host, 2, axis))
    close(np.concatenate([x, x], axis), np.concatenate([host, host], axis))
    close(np.stack([x, x, x], axis), np.stack([host, host, host], axis))


def test_joined_dtypes_are_numpys():
    a, b = np.ones(2, np.float32), np.arange(3)
    same(np.concatenate([asarray(a), asarray(b)]), np.concatenate([a, b]))
    out = zeros(5)
    assert np.concatenate([asarray(a), asarray(a), ones(1)], out=out) is out
    same(out, np.ones(5, np.float32))


def test_written_into_out():
    host = numbers(np.random.default_rng(0), (3, 4), "float32")
    x = asarray(host)
    out = zeros((3, 4))
    assert np.multiply(x, 2, out=out) is out
    same(out, host * 2)
    np.clip(x, -0.5, 0.5, out=x)
    same(x, host.clip(-0.5, 0.5))
    assert np.add.reduce(x, 0, out=out[0]).memory is out.memory
    close(out[0], host.clip(-0.5, 0.5).sum(0))
    np.copyto(x, out, where=out > 0)
    close(x, np.where(out.get() > 0, out.get(), host.clip(-0.5, 0.5)))
    np.copyto(x, 3)
    same(x, np.full((3, 4), 3, np.float32))


def test_made_like_an_array_here():
    x = zeros(1)
    for mine, wanted in (
        (np.zeros((2, 3), like=x), np.zeros((2, 3))),
        (np.ones(2, np.int64, like=x), np.ones(2, np.int64)),
        (np.full(2, 5, like=x), np.full(2, 5)),
        (np.arange(2, 8, 3, like=x), np.arange(2, 8, 3)),
        (np.eye(3, 4, 1, like=x), np.eye(3, 4, 1)),
        (np.array([1.0, 2.0], like=x), np.array([1.0, 2.0])),
        (np.asarray(3, np.float32, like=x), np.asarray(3, np.float32)),
        (np.ascontiguousarray(asarray(np.eye(3)[:2].T), like=x), np.eye(3)[:2].T),
    ):
        same(mine, wanted)
    y = zeros((2, 3))
    assert np.ascontiguousarray(y, like=y) is y
    assert np.array(y, like=y) is not y
    assert np.empty((2,), np.int32, like=x).dtype == np.int32


def test_facts_need_no_gpu():
    x = zeros((2, 3))
    assert (np.ndim(x), np.shape(x), np.size(x), np.size(x, 1)) == (2, (2, 3), 6, 3)
    assert np.result_type(x, 1.0) == np.float32
    assert np.result_type(x, np.float64) == np.float64
    assert np.allclose(x, 0 * x)
    assert np.array_equal(x, x)
    assert not np.array_equal(x, x[0])


def test_a_part_adds_to_an_array_here():
    x = ones((3, 2))
    part = Part((1,), ones(2), (3, 2))
    wanted = np.float32([[1, 1], [2, 2], [1, 1]])
    same(x + part, wanted)
    x += part
    same(x, wanted)
    same(part.whole(), wanted - 1)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x, y: np.concatenate([x, y]),
        lambda x, y: np.stack([x, y]),
        lambda x, y: np.where(x > 0, x, y),
        lambda x, y: np.where(y > 0, x, x),
        lambda x, y: x @ y,
        lambda x, y: y * x,
        lambda x, y: np.multiply(x, x, out=y),
        lambda x, y: np.copyto(y, x),
        lambda x, y: np.copyto(x, y),
        lambda x, y: np.take(y, x),
        lambda x, y: np.atleast_1d(y).dot(x),
    ],
)
def test_arrays_of_both_kinds_are_refused(mixed):
    with pytest.raises((TypeError, ValueError), match=r"GPU.*Fix"):
        mixed(ones((2, 2)), np.ones((2, 2), np.float32))


@pytest.mark.parametrize(
    "refused, error, message",
    [
        (lambda x: np.fft.fft(x), NotImplementedError, r"np\.fft.*fft has no GPU version"),
        (lambda x: np.pad(x, 1, "reflect"), NotImplementedError, "mode='reflect'"),
        (lambda x: np.linalg.norm(x, "nuc"), NotImplementedError, "norm of matrices"),
        (lambda x: np.multiply.at(x, 0, 2), NotImplementedError, r"np\.multiply\.at has no GPU version"),
        (lambda x: np.add.outer(x, x), NotImplementedError, r"np\.add\.outer has no GPU version"),
        (lambda x: np.unique(x, return_counts=True), NotImplementedError, "np.unique"),
        (lambda x: np.concatenate([x, x[0]]), ValueError, r"np.concatenate\(\(2, 2\), \(2,\), axis=0\)"),
        (lambda x: np.stack([x, x[0]]), ValueError, "all shapes must be equal"),
        (lambda x: np.concatenate([]), ValueError, "."),
        (lambda x: np.broadcast_to(x, (3, 2)), ValueError, r"\(2, 2\) cannot be broadcast to \(3, 2\)"),
        (lambda x: x @ x[0, 0], TypeError, "one axis"),
        (lambda x: np.add(x, x, out=np.broadcast_to(x[:1], (2, 2))), ValueError, "read-only"),
    ],
)
def test_refusals(refused, error, message):
    with pytest.raises(error, match=message):
        refused(ones((2, 2)))


def test_the_table_knows_numpys_functions_only():
    for function in FUNCTIONS:
        assert getattr(function, "__module__", "").split(".")[0] == "numpy"
    assert isinstance(zeros(1), CudaArray)
