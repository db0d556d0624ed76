"""Linear maps, embeddings, one-hot vectors, dropout, normalize, cosine similarity beside PyTorch's."""

import itertools

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from minidl.tensor import Tensor
from tests.draw import Draw
from tests.parity import assert_parity, written

LINEAR = [  # input, weight, bias
    *[((4, 3), (2, 3), (2,)), ((2, 4, 3), (2, 3), (2,)), ((3,), (2, 3), (2,)), ((4, 3), (2, 3), (1,))],
    *[((4, 3), (2, 3), ()), ((3,), (3,), ()), ((2, 4, 3), (3,), ()), ((4, 3), (3,), (4,))],
    *[((0, 3), (2, 3), (2,)), ((4, 0), (2, 0), (2,)), ((1, 1, 1, 1), (1, 1), (1,)), ((0,), (2, 0), (2,))],
    *[((4, 3), (2, 4), (2,)), ((4, 1), (2, 3), (2,)), ((4, 3), (3, 2), (3,)), ((4, 3), (2, 3), (3,))],
    *[((), (2, 3), (2,)), ((4, 3), (), ()), ((4, 3), (2, 2, 3), (2,)), ((2, 0, 3), (2, 3), (2,))],
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize(("x", "weight", "bias"), LINEAR)
def test_linear(x, weight, bias, dtype):
    rng = np.random.default_rng(0)
    arrays = [(rng.normal(size=s) * 3).astype(dtype) for s in (x, weight, bias)]
    assert_parity(written("m.F.linear(x, y, z)"), *arrays)
    assert_parity(written("m.F.linear(x, y)"), *arrays[:2])


@pytest.mark.parametrize("dtypes", list(itertools.product(["float32", "float64", "int64"], repeat=3)))
def test_linear_refuses_mixed_dtypes(dtypes):
    shapes = [(4, 3), (2, 3), (2,)]
    assert_parity(
        written("m.F.linear(x, y, z)"), *[np.ones(s, d) for s, d in zip(shapes, dtypes, strict=True)]
    )


def test_linear_of_views():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in ((3, 5, 4), (3, 2), (4,))]
    assert_parity(written("m.F.linear(x.transpose(0, 2), y.T, z[::2])"), *arrays)


# -- embeddings ------------------------------------------------------------------------------------

WEIGHT = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool", "float32"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize(
    "settings",
    [
        "",
        ", padding_idx=0",
        ", -2",
        ", scale_grad_by_freq=True",
        ", 1, scale_grad_by_freq=True",
        ", 5",
        ", -6",
    ],
)
def test_embedding(dtype, shape, settings):
    places = np.random.default_rng(2).integers(0, 5, shape).astype(dtype)
    assert_parity(written(f"m.F.embedding(x, y{settings})"), places, WEIGHT, constant=(0,))


@pytest.mark.parametrize("norm_type", ["1", "2.0", "3", "0.5", "inf"])
def test_max_norm_shortens_the_rows_in_use(norm_type):
    def call(m, places, weight):
        table = (weight * 1).detach()
        return m.F.embedding(places, table, max_norm=1.0, norm_type=float(norm_type)), table

    assert_parity(call, np.array([1, 1, 3]), WEIGHT)


@pytest.mark.parametrize("places", [[5], [-1], [0, 7]])
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_a_row_that_is_not_there(places, max_norm):
    assert_parity(
        lambda m, i, w: m.F.embedding(i, w, max_norm=max_norm), np.array(places), WEIGHT, constant=(1,)
    )
    with pytest.raises(IndexError, match=r"embedding: row numbers .* 5 rows"):
        F.embedding(minidl.tensor(places), Tensor(WEIGHT))


@pytest.mark.parametrize("labels", [[0, 2], [-1], 2, [[1, 0], [2, 2]], [0], [], [[], []]])
@pytest.mark.parametrize("classes", [-1, 0, 2, 3, 5, -2])
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "bool"])
def test_one_hot(labels, classes, dtype):
    assert_parity(lambda m, y: m.F.one_hot(y.detach(), classes), np.array(labels).astype(dtype))


# -- dropout ---------------------------------------------------------------------------------------


def test_dropout_drops_a_share_and_scales_the_rest():
    minidl.manual_seed(0)
    x = minidl.ones(1000, 100).requires_grad_()
    y = F.dropout(x, 0.3)
    assert set(np.unique(y.array)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((y.array == 0).mean() - 0.3) < 0.01
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.array, y.array)  # dropped numbers get no gradient


def test_dropout_repeats_itself_from_the_same_seed():
    draws = []
    for _ in range(2):
        minidl.manual_seed(3)
        draws.append(F.dropout(minidl.ones(50)).tolist())
    assert draws[0] == draws[1] != F.dropout(minidl.ones(50)).tolist()


@pytest.mark.parametrize(("name", "shape", "kept"), [
    ("dropout1d", (50, 4, 8), (50, 4, 1)), ("dropout1d", (50, 8), (50, 1)),
    ("dropout2d", (50, 4, 3, 3), (50, 4, 1, 1)), ("dropout2d", (50, 4, 3), (50, 4, 1)),
])  # fmt: skip
def test_whole_channels_are_dropped(name, shape, kept):
    minidl.manual_seed(0)
    y = getattr(F, name)(minidl.ones(shape), 0.5).array
    first = y[tuple(slice(n) for n in kept)]
    np.testing.assert_array_equal(y, np.broadcast_to(first, shape))
    assert 0 < (first == 0).mean() < 1


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (0, 3), (2, 3, 1, 1)])
@pytest.mark.filterwarnings("ignore:dropout2d")
def test_what_dropout_leaves_to_no_chance(name, shape):
    x = np.random.default_rng(0).normal(size=shape)
    for settings in ("0.0", "1.0", "1.5", "-0.1", "p=0.5, training=False", "1, False"):
        assert_parity(written(f"m.F.{name}(x, {settings})"), x)
    t = minidl.ones(2, 3)
    assert F.dropout(t, training=False) is t


# -- lengths and angles ----------------------------------------------------------------------------


@pytest.mark.parametrize("p", [2, 1, 3, 0.5, 0, np.inf, -np.inf, 1.5, -1])
def test_normalize(p):
    for shape in [(3,), (2, 3), (2, 3, 4), (0, 3), (3, 0), (), (1, 1)]:
        for dim in (0, 1, -1, (0, 1), None):
            x = np.random.default_rng(0).normal(size=shape)
            assert_parity(lambda m, x, dim=dim: m.F.normalize(x, p, dim), x)
    assert_parity(lambda m, x: m.F.normalize(x, p, eps=1e-3), np.array([[1, -2, 2], [0, 0, 0], [1e-4, 0, 0]]))


@pytest.mark.parametrize(("a", "b"), [
    ((3, 4), (3, 4)), ((3, 4), (4,)), ((4,), (3, 4)), ((3, 1, 4), (2, 4)), ((), ()), ((3, 4), (3, 1)),
    ((3, 4), (2, 4)), ((3, 0), (3, 0)), ((0, 3), (0, 3)), ((2, 3, 4), (2, 3, 4)), ((1, 1), (1, 1)),
])  # fmt: skip
def test_cosine_similarity(a, b):
    rng = np.random.default_rng(0)
    for dim, eps in itertools.product((0, 1, -1, 2), (1e-8, 1.0)):
        call = written(f"m.F.cosine_similarity(x, y, {dim}, eps={eps})")
        assert_parity(call, rng.normal(size=a), rng.normal(size=b))


@pytest.mark.parametrize("dtypes", list(itertools.product(["float32", "float64", "int64", "bool"], repeat=2)))
def test_cosine_similarity_of_two_dtypes(dtypes):
    arrays = [Draw(i).rng.integers(0, 2, (2, 3)).astype(d) for i, d in enumerate(dtypes)]
    assert_parity(
        written("m.F.cosine_similarity(x1=x, x2=y)"), *arrays, tolerance={"rtol": 1e-5, "atol": 1e-6}
    )


def test_cosine_with_a_vector_without_length():
    x = np.array([[0, 0, 0], [1e-9, 1e-9, 1e-9]])
    assert_parity(written("m.F.cosine_similarity(x, y)"), x, np.random.default_rng(0).normal(size=(2, 3)))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda: F.linear(minidl.ones(2, 3), minidl.ones(5, 4)),
            ValueError,
            ["linear", "(2, 3)", "(5, 4)", "Fix"],
        ),
        (
            lambda: F.linear(minidl.ones(2, 3), minidl.ones(5, 3).double()),
            TypeError,
            ["float64", "x.float()"],
        ),
        (
            lambda: F.embedding(minidl.tensor([0.0]), minidl.ones(2, 2)),
            ValueError,
            ["embedding", "int64", "i.long()"],
        ),
        (
            lambda: F.embedding(minidl.tensor([0]), minidl.ones(2, 2), 2),
            ValueError,
            ["padding_idx 2", "2 rows"],
        ),
        (
            lambda: F.embedding(minidl.tensor([0]), minidl.ones(2, 2), sparse=True),
            NotImplementedError,
            ["sparse"],
        ),
        (lambda: F.one_hot(minidl.tensor([3]), 3), IndexError, ["one_hot", "label 3", "[0, 2]"]),
        (lambda: F.one_hot(minidl.tensor([1.0])), TypeError, ["one_hot", "float32", "y.long()"]),
        (lambda: F.dropout(minidl.ones(2), 1.5), ValueError, ["p=1.5", "[0, 1]"]),
        (lambda: F.dropout(minidl.tensor([1, 2])), TypeError, ["dropout", "int64"]),
        (lambda: F.dropout(minidl.ones(2), inplace=True), NotImplementedError, ["inplace"]),
        (lambda: F.dropout1d(minidl.ones(2)), ValueError, ["dropout1d", "(2,)", "(N, C, L)"]),
        (
            lambda: F.cosine_similarity(minidl.ones(2), minidl.ones(3)),
            ValueError,
            ["cosine_similarity", "(2,)", "(3,)"],
        ),
    ],
)
def test_refusals_say_why(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    for word in words:
        assert word in str(error.value)
