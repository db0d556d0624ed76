"""minidl/ops/reductions.py beside PyTorch: drawn shapes, axes and dtypes, ties, nan, nothing, refusals."""

import numpy as np
import pytest

import minidl
from minidl.tensor import Tensor
from tests.parity import TOLERANCE, assert_parity, calls, written

pytestmark = pytest.mark.filterwarnings("ignore:(var|std).*degrees of freedom")  # PyTorch's

DTYPES = ["float32", "float64", "int64", "int32", "int8", "uint8", "bool"]
SHAPES = [(), (1,), (4,), (2, 3), (0,), (2, 0), (0, 3), (3, 1, 2), (2, 3, 4), (4, 1)]
DIMS = [0, -1, 1, 2, -2, (), (0,), (0, -1), (0, 1), [-1], (0, 0)]


def draw(rng, dtype, shape, special):
    """Ties are common, some floats are inf or nan, strides vary."""
    if np.dtype(dtype).kind != "f":
        return rng.integers(0 if dtype in ("uint8", "bool") else -4, 5, shape).astype(dtype)
    values = np.where(rng.random(shape) < 0.4, rng.integers(-2, 3, shape), rng.normal(size=shape) * 2)
    if special and rng.random() < 0.3:
        values = np.where(rng.random(shape) < 0.15, rng.choice([np.inf, np.nan], shape), values)
    values = np.asarray(values, dtype)
    return np.repeat(values, 2, axis=-1)[..., ::2] if shape and rng.random() < 0.3 else values


TOTAL = calls("""
    m.sum(x)
    m.sum(x, dtype=d)
    m.mean(x)
    m.mean(x, dtype=d)
    m.prod(x)
    m.prod(x, dtype=d)
    m.var(x)
    m.var(x, False)
    m.std(x, unbiased=False)
    m.std(x, correction=0.5)
    m.amax(x)
    m.amin(x)
    m.max(x)
    m.min(x)
    m.median(x)
    m.argmax(x)
    m.argmin(x, None, True)
    m.all(x)
    m.any(x)
    m.count_nonzero(x)
    m.norm(x)
    m.norm(x, p=1)
    m.norm(x, inf, keepdim=True)
    m.norm(x, dtype=m.float64)
""")

OVER_AXES = calls("""
    m.sum(x, k)
    x.sum(dim=k, keepdim=True)
    m.sum(x, k, True, dtype=d)
    m.mean(x, k)
    x.mean(k, keepdim=True, dtype=d)
    m.var(x, k)
    x.var(k, False, True)
    x.var(dim=k, correction=0, keepdim=True)
    m.std(x, k)
    x.std(k, unbiased=False)
    m.amax(x, k)
    x.amin(dim=k, keepdim=True)
    m.all(x, k)
    x.any(dim=k, keepdim=True)
    m.count_nonzero(x, k)
    m.logsumexp(x, k if k != () else 0)
    x.logsumexp(dim=k if k != () else 0, keepdim=True)
    m.norm(x, 2, k)
    m.norm(x, "fro", k, True)
    m.norm(x, 1, k)
    m.norm(x, 0, k)
    m.norm(x, 3, k)
    m.norm(x, 1.5, k)
    m.norm(x, inf, k)
    m.norm(x, -inf, k, keepdim=True)
    x.norm(p=-1, dim=k, dtype=m.float64)
""")

ALONG_ONE_AXIS = calls("""
    m.prod(x, k)
    x.prod(dim=k, keepdim=True)
    m.cumsum(x, k)
    x.cumsum(dim=k, dtype=d)
    m.max(x, k)
    x.max(dim=k, keepdim=True)
    m.min(x, k)
    x.min(k, True)
    m.argmax(x, k)
    x.argmin(dim=k, keepdim=True)
    m.argsort(x, k)
    x.argsort(dim=k, descending=True)
    m.sort(x, k)
    x.sort(dim=k, descending=True)
    m.sort(x, stable=True, dim=k)
    m.softmax(x, k)
    x.softmax(dim=k, dtype=d)
    m.log_softmax(x, k)
    x.log_softmax(dim=k, dtype=d)
""")


def compare(rng, call, dtype, shape, **names):
    """Run `call`, in which d stands for a dtype, on an array of this dtype and shape."""
    d = str(rng.choice(["float32", "float64", "int64"]))
    finite = any(
        name in call for name in ("prod", "var", "std", "amax", "amin")
    )  # gradients beside nan differ
    array = draw(rng, dtype, shape, special=not finite)
    constant = (0,) if ("=d" in call and d == "int64") or "norm(x, 0" in call else ()  # PyTorch sends nothing
    loose = TOLERANCE["float32"] if "=d" in call or dtype == "float32" else None
    call = call.replace("=d", f"=m.{d}")
    assert_parity(written(call, **names), array, constant=constant, tolerance=loose)


def meaningless(call, dtype, shape, k=None):
    """What PyTorch does otherwise where there is no answer, or wrongly (the gradient of var over no axes)."""
    nothing = 0 in shape
    return (
        (nothing and "softmax" in call)
        or (nothing and "median" in call and k is None and dtype not in ("float32", "float64"))
        or (k == () and ("var" in call or "std" in call))
    )


@pytest.mark.parametrize("call", TOTAL)
def test_over_everything(call):
    rng = np.random.default_rng(len(call))
    for dtype in DTYPES:
        for shape in SHAPES:
            if not meaningless(call, dtype, shape):
                compare(rng, call, dtype, shape)


@pytest.mark.parametrize("call", OVER_AXES + ALONG_ONE_AXIS)
def test_over_axes(call):
    rng = np.random.default_rng(len(call))
    for shape in SHAPES:
        for k in rng.permutation(np.array(DIMS, object))[:4]:
            for dtype in [*rng.choice(DTYPES, 2), "float32", "float64"]:
                if not meaningless(call, dtype, shape, k):
                    compare(rng, call, dtype, shape, k=k)


ANY_ORDER = calls("""
    m.median(x, k)
    x.median(dim=k, keepdim=True)
    m.topk(x, n, k)
    x.topk(n, dim=k, largest=False, sorted=True)
""")


@pytest.mark.parametrize("call", ANY_ORDER)
def test_where_equal_values_may_come_in_any_order(call):
    rng = np.random.default_rng(len(call))
    for shape in SHAPES:
        for k in (0, -1, 1):
            for dtype in DTYPES[:-1]:
                array = np.asarray(rng.permutation(int(np.prod(shape))).reshape(shape), dtype)
                assert_parity(written(call, k=k, n=int(rng.integers(-1, 4))), array)


KINKS = {
    "m.amax(x)": [[1.0, 3.0, 3.0]],
    "m.amin(x, 1)": [[[1.0, 1.0, 3.0], [2.0, 2.0, 2.0]]],
    "m.max(x)": [[3.0, 1.0, 3.0], [np.nan, 1.0, np.nan]],
    "m.min(x)": [[3.0, 1.0, 1.0]],
    "m.max(x, 0)": [[3.0, 1.0, 3.0], [1.0, np.nan, np.nan]],
    "m.min(x, -1)": [[3.0, 1.0, 1.0]],
    "m.median(x)": [[2.0, 1.0, 2.0, 5.0], [1.0, np.nan, 0.0]],
    "m.argmax(x, 0)": [[3.0, 1.0, 3.0], [1.0, np.nan, np.nan]],
    "m.argmin(x)": [[3.0, 1.0, 1.0], [1.0, np.nan, np.nan]],
    "m.sort(x, descending=True)": [[2.0, 1.0, 2.0, np.nan, 1.0]],
    "m.topk(x, 2)": [[np.nan, 1.0, 2.0]],
    "m.prod(x)": [[2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [2.0, 4.0, 3.0]],
    "m.std(x)": [[2.0, 2.0, 2.0], [1.0]],
    "m.var(x)": [[2.0], [2.0, 3.0]],
    "m.std(x, 0, correction=2)": [[2.0, 3.0]],
    "m.norm(x)": [[0.0, 0.0], [3.0, 4.0], [np.inf, 1.0]],
    "m.norm(x, 1)": [[0.0, -2.0]],
    "m.norm(x, 0.5)": [[0.0, -2.0]],
    "m.norm(x, 3)": [[0.0, 0.0], [0.0, -2.0]],
    "m.norm(x, inf)": [[0.0, 0.0], [3.0, -3.0, 1.0], [np.nan, 1.0]],
    "m.norm(x, -inf)": [[0.0, 2.0], [3.0, -3.0, 4.0]],
    "m.norm(x, -1)": [[0.0, 2.0], [3.0, -3.0]],
    "m.logsumexp(x, 0)": [[-np.inf, -np.inf], [np.inf, 1.0], [1000.0, 1000.0], [-np.inf, 2.0]],
    "m.softmax(x, 0)": [[-np.inf, -np.inf], [np.inf, 1.0], [1000.0, -1000.0], [-np.inf, 2.0]],
    "m.log_softmax(x, 0)": [[-np.inf, 2.0], [1000.0, -1000.0], [30.0, 0.0]],
    "m.mean(x)": [[]],
    "m.sum(x)": [[], [1e38, 1e38, 1e38, 1e38]],
    "m.var(x, correction=0)": [[], [1.0]],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", KINKS)
def test_ties_nan_and_nothing(call, dtype):
    for values in KINKS[call]:
        assert_parity(written(call), np.array(values, dtype))


def test_long_sums_stay_exact_in_float32():
    x = np.random.default_rng(0).random(100_000, np.float32)
    exact = np.cumsum(x, dtype=np.float64)
    np.testing.assert_allclose(minidl.tensor(x).cumsum(0).array, exact, rtol=1e-6)
    np.testing.assert_allclose(minidl.tensor(x).sum().item(), exact[-1], rtol=1e-6)
    np.testing.assert_allclose(minidl.tensor(x).var().item(), x.astype(np.float64).var(ddof=1), rtol=1e-5)


def test_results_have_names():
    x = minidl.tensor([[1.0, 3.0, 2.0]])
    for result in [x.max(1), x.min(1), x.median(1), x.sort(1), x.topk(1)]:
        assert result.values is result[0]
        assert result.indices is result[1]


REFUSED = calls("""
    m.sum([1, 2])
    m.sum(2.0)
    m.sum(x, True)
    m.sum(x, 1.0)
    m.sum(x, 2)
    m.sum(x, (0, 0))
    m.sum(x, (0, -2))
    x.sum(0, 1)
    x.var(0, 1)
    m.mean(x.long())
    m.mean(x > 0)
    m.mean(x, dtype=m.int64)
    m.prod(x, (0, 1))
    m.var(x.long())
    m.var(x, 0, True, correction=1)
    m.std(x, unbiased=False, correction=1)
    m.amax(m.zeros(0))
    m.amax(m.zeros(0, 3), 0)
    m.max(m.zeros(0))
    m.max(m.zeros(0, 3), 0)
    m.max(x, (0, 1))
    m.max(x, 1.0)
    m.max(x, keepdim=True)
    m.argmax(m.zeros(0))
    m.argmax(m.zeros(0, 3), 0)
    m.argmax(x > 0)
    m.argmax(x, (0, 1))
    m.cumsum(x)
    m.cumsum(x, None)
    m.cumsum(x, True)
    m.cumsum(x, 2)
    m.logsumexp(x)
    m.logsumexp(x, None)
    m.logsumexp(x, ())
    m.softmax(x)
    m.softmax(x, None)
    m.softmax(x, (0, 1))
    m.softmax(x.long(), 1)
    m.log_softmax(x > 0, 1)
    m.softmax(x, 1, dtype=m.int64)
    m.count_nonzero(x, dim=1, keepdim=True)
    m.median(x > 0)
    m.median(m.zeros(0, 3), 0)
    m.median(x, (0, 1))
    m.sort(x, None)
    m.topk(x, 4)
    m.topk(x, -1)
    m.topk(x, 1.5)
    m.topk(x, 2, None)
    m.topk(x > 0, 1)
    m.norm(x.long())
    m.norm(x.long(), dtype=m.float32)
    m.norm(x.double(), dtype=m.float32)
    m.norm(x, "abc")
    m.norm(m.zeros(0), inf)
    m.norm(m.zeros(0, 3), -1, 0)
    m.norm(x, 2, 2)
""")


@pytest.mark.parametrize("call", REFUSED)
def test_what_pytorch_refuses_is_refused(call):
    x = np.array([[1.0, -2.0, 0.0], [1.0, 2.0, 4.0]], np.float32)
    with pytest.raises((RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)):
        written(call)(minidl, Tensor(x))
    assert_parity(written(call), x)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("x.sum(2)", IndexError, r"sum\(input: \(2, 3\) float32, dim: 2.*dim 2 of a tensor with 2 axes"),
        ("x.sum(0, 1)", TypeError, r"dim=\(0, 1\)"),
        ("x.long().mean()", TypeError, "mean.*int64.*x.float"),
        ("x.long().softmax(0)", TypeError, "softmax.*int64.*x.float"),
        ("m.zeros(0).max()", IndexError, "no elements"),
        ("m.zeros(0, 3).argmax(0)", IndexError, "argmax.*no elements"),
        ("x.topk(4)", ValueError, r"topk\(k=4\) of 3 values.*\[0, 3\]"),
        ("x.max(keepdim=True)", TypeError, "without dim.*amax"),
        ("x.norm('nuc')", NotImplementedError, "nuclear"),
        ("x.norm('abc')", ValueError, "'abc'.*fro"),
        ("x.logsumexp(())", TypeError, "must name an axis"),
        ("x.std(unbiased=False, correction=1)", TypeError, "unbiased=False, correction=1"),
    ],
)
def test_a_refusal_says_why(call, kind, words):
    with pytest.raises(kind, match=words):
        written(call)(minidl, minidl.ones(2, 3))
