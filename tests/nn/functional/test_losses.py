"""Losses beside PyTorch's: shapes, dtypes, weights, reductions, ignored labels, extremes, refusals."""

import itertools

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from minidl.tensor import Tensor
from tests.parity import assert_parity, written

REDUCTIONS = ["mean", "sum", "none"]
NEAR = {"rtol": 1e-4, "atol": 1e-5}
CALLS = {  # x input, y target, z weight
    "mse_loss": "m.F.mse_loss(x, y, reduction=r{w})",
    "l1_loss": "m.F.l1_loss(x, y, reduction=r{w})",
    "huber_loss": "m.F.huber_loss(x, y, r, 0.5{w})",
    "smooth_l1_loss": "m.F.smooth_l1_loss(x, y, beta=0.5, reduction=r)",
    "binary_cross_entropy": "m.F.binary_cross_entropy(x, y, reduction=r{w})",
    "binary_cross_entropy_with_logits": "m.F.binary_cross_entropy_with_logits(x, y, reduction=r{w})",
    "kl_div": "m.F.kl_div(x, y, reduction=r)",
}
WEIGHTED = [name for name, call in CALLS.items() if "{w}" in call]
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean'", "ignore:Using a target size")


def make(rng, shape, dtype="float32", low=-3.0, high=3.0):
    if np.dtype(dtype).kind == "f":
        return rng.uniform(low, high, shape).astype(dtype)
    return rng.integers(0, 2 if dtype == "bool" else 5, shape).astype(dtype)


def pair(rng, name, shape, dtypes=("float32", "float32")):
    """input and target; probabilities where they must be."""
    low = (0, 1) if name == "binary_cross_entropy" else (-3, 3)
    return make(rng, shape, dtypes[0], *low), make(rng, shape, dtypes[1], 0, 1)


# -- distances, and yes or no ----------------------------------------------------------------------


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean", "x"])
@pytest.mark.parametrize("name", CALLS)
def test_shapes(name, reduction):
    rng = np.random.default_rng(0)
    for shape in [(), (1,), (5,), (2, 3), (2, 3, 4), (1, 1)]:
        assert_parity(written(CALLS[name].format(w=""), r=reduction), *pair(rng, name, shape))
    if reduction in ("sum", "none"):
        assert_parity(written(CALLS[name].format(w=""), r=reduction), *pair(rng, name, (0, 3)))


@pytest.mark.parametrize("dtypes", list(itertools.product(["float32", "float64", "int64", "bool"], repeat=2)))
@pytest.mark.parametrize("name", CALLS)
def test_dtypes(name, dtypes):
    rng = np.random.default_rng(0)
    if name == "l1_loss" and dtypes == ("int64", "int64"):
        return  # tested below
    if name == "huber_loss" and dtypes[0] != dtypes[1] and dtypes[0][0] == "f":
        x, y = pair(rng, name, (4, 3), dtypes)  # PyTorch has no gradient then
        assert_parity(written("m.F.huber_loss(x, y.detach())"), x, y, constant=(0, 1), tolerance=NEAR)
        return
    for reduction in REDUCTIONS:
        call = written(CALLS[name].format(w=""), r=reduction)
        assert_parity(call, *pair(rng, name, (4, 3), dtypes), tolerance=NEAR)


def test_l1_of_whole_numbers():
    for reduction in REDUCTIONS:
        call = written(CALLS["l1_loss"].format(w=""), r=reduction)
        assert_parity(call, np.array([1, 5, -3]), np.array([4, 5, 6]))


@pytest.mark.parametrize("shape", [(2, 3), (3,), (1,), (2, 1), (2,), (4, 2, 3), ()])
@pytest.mark.parametrize("name", WEIGHTED)
def test_weights(name, shape):
    rng = np.random.default_rng(1)
    for reduction, dtype in zip(REDUCTIONS, ["float32", "float64", "int64"], strict=True):
        weight = make(rng, shape, dtype, 0.1, 2)
        call = written(CALLS[name].format(w=", weight=z.detach()"), r=reduction)
        assert_parity(call, *pair(rng, name, (2, 3)), weight, tolerance=NEAR)


@pytest.mark.parametrize("name", WEIGHTED)
def test_the_gradient_of_a_weight(name):
    """Distances have one; cross-entropies refuse it, as PyTorch's do."""
    rng = np.random.default_rng(2)
    for reduction in REDUCTIONS:
        call = written(CALLS[name].format(w=", weight=z"), r=reduction)
        assert_parity(call, *pair(rng, name, (2, 3)), make(rng, (2, 3), low=0.5), tolerance=NEAR)


@pytest.mark.parametrize("width", [0, 0.3, 2.0, -1, 1e-3, 100])
def test_where_the_square_ends(width):
    rng = np.random.default_rng(3)
    x, y = make(rng, (5, 6)), make(rng, (5, 6))
    x[0] = y[0] + np.float32(width)  # at the border
    x[1] = y[1]
    for reduction in REDUCTIONS:
        assert_parity(written(f"m.F.smooth_l1_loss(x, y, reduction='{reduction}', beta={width})"), x, y)
        assert_parity(written(f"m.F.huber_loss(x, y, '{reduction}', {width})"), x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_of_0_and_1(dtype):
    x = np.array([0, 1, 0, 1, 0, 1, 1e-38, 0.5, 1 - 6e-8, 0.3], dtype)
    y = np.array([0, 0, 1, 1, 0.3, 0.3, 1, 0.5, 1, 0], dtype)
    for reduction in REDUCTIONS:
        assert_parity(written(CALLS["binary_cross_entropy"].format(w=""), r=reduction), x, y)


@pytest.mark.parametrize("value", [1.1, -0.1, np.nan])
def test_what_is_no_probability(value):
    x, y = np.array([value]), np.array([0.5])
    assert_parity(written("m.F.binary_cross_entropy(x, y)"), x, y)
    assert_parity(written("m.F.binary_cross_entropy(y, x)"), x, y)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_every_size(target, dtype):
    x = np.array([1e4, -1e4, 0, 88, -88, 100, -100, 20, -20, 25, -25, 1e-3, -1e-7], dtype)
    y, w = np.full_like(x, target), np.full_like(x, 2)
    assert_parity(written("m.F.binary_cross_entropy_with_logits(x, y, reduction='none')"), x, y)
    call = written("m.F.binary_cross_entropy_with_logits(x, y, reduction='none', pos_weight=z)")
    assert_parity(call, x, y, w, constant=(2,))


@pytest.mark.parametrize("shape", [(3,), (1,), (2,), (), (2, 3), (3, 1), (4, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_pos_weight(shape, dtype):
    rng = np.random.default_rng(4)
    call = written("m.F.binary_cross_entropy_with_logits(x, y, pos_weight=z.detach())")
    assert_parity(
        call,
        make(rng, (2, 3)),
        make(rng, (2, 3), low=0, high=1),
        make(rng, shape, dtype, 0.5),
        tolerance=NEAR,
    )


@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div(log_target, reduction):
    rng = np.random.default_rng(5)
    call = written("m.F.kl_div(x, y, reduction=r, log_target=log)", r=reduction, log=log_target)
    for shape in [(3, 4), (5,), (2, 3, 2), (), (1, 1)]:
        assert_parity(call, make(rng, shape), make(rng, shape, low=0, high=1))
    assert_parity(call, make(rng, (1, 3)), np.array([[0, 0.4, 0.6]], np.float32))
    assert_parity(call, make(rng, (1, 3)), np.array([[-0.1, 0.4, 0.6]], np.float32))


# -- one of several classes ------------------------------------------------------------------------

CLASS_SHAPES = [  # input, target
    *[((3,), ()), ((3,), (3,)), ((1,), ()), ((2, 3), (2,)), ((2, 3), ()), ((2, 3), (3,)), ((2, 3), (2, 1))],
    *[
        ((2, 3), (2, 3)),
        ((2, 3, 4), (2, 4)),
        ((2, 3, 4), (2,)),
        ((2, 3, 4), (2, 3)),
        ((2, 3, 4, 5), (2, 4, 5)),
    ],
    *[
        ((2, 3, 4, 5), (2, 5, 4)),
        ((2, 3, 1, 2, 2), (2, 1, 2, 2)),
        ((), ()),
        ((0, 3), (0,)),
        ((2, 3, 0), (2, 0)),
    ],
    *[((2, 3, 4, 4), (2, 4)), ((1, 3), ()), ((1, 3), (1,)), ((7, 1), (7,))],
]


@pytest.mark.parametrize(("shape", "target"), CLASS_SHAPES)
def test_class_numbers(shape, target):
    rng = np.random.default_rng(6)
    classes = shape[1] if len(shape) > 1 else sum(shape)
    for reduction, ignored in itertools.product(REDUCTIONS, [-100, 1]):
        dtype, smoothing = rng.choice(["float32", "float64"]), rng.choice([0.1, 0.3, 1.0])
        labels = rng.integers(0, max(classes, 1), target)
        labels = np.asarray(np.where(rng.random(target) < 0.3, ignored, labels))
        if reduction == "mean" and not labels.size:
            continue
        names = {"r": reduction, "i": ignored}
        arrays = make(rng, shape, dtype), labels, make(rng, (classes,), dtype, 0.1, 2)
        assert_parity(written("m.F.nll_loss(x, y, ignore_index=i, reduction=r)", **names), *arrays[:2])
        assert_parity(
            written("m.F.nll_loss(x, y, z.detach(), ignore_index=i, reduction=r)", **names), *arrays
        )
        assert_parity(written("m.F.cross_entropy(x, y, ignore_index=i, reduction=r)", **names), *arrays[:2])
        settings = f"ignore_index=i, reduction=r, label_smoothing={smoothing}"
        assert_parity(written(f"m.F.cross_entropy(x, y, {settings})", **names), *arrays[:2])
        assert_parity(written(f"m.F.cross_entropy(x, y, z.detach(), {settings})", **names), *arrays)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 2), (1, 1), (0, 3), (5, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_probabilities(shape, dtype):
    rng = np.random.default_rng(7)
    for reduction, smoothing in itertools.product(REDUCTIONS, [0.0, 0.1]):
        if reduction == "mean" and 0 in shape:
            continue
        arrays = make(rng, shape, dtype), make(rng, shape, dtype, 0, 1)
        weight = make(rng, (shape[min(1, len(shape) - 1)],), dtype, 0.1, 2)
        settings = f"reduction='{reduction}', label_smoothing={smoothing}"
        assert_parity(written(f"m.F.cross_entropy(x, y, {settings})"), *arrays)
        assert_parity(written(f"m.F.cross_entropy(x, y, z, {settings})"), *arrays, weight)


@pytest.mark.parametrize("dtypes", list(itertools.product(["float32", "float64"], repeat=3)))
def test_class_probabilities_of_mixed_dtypes(dtypes):
    rng = np.random.default_rng(8)
    arrays = [make(rng, s, d, 0, 1) for s, d in zip([(2, 3), (2, 3), (3,)], dtypes, strict=True)]
    assert_parity(written("m.F.cross_entropy(x, y, z)"), *arrays, tolerance=NEAR)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int16", "bool", "float32", "float64"])
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_dtypes_of_labels_and_weights(name, dtype):
    rng = np.random.default_rng(9)
    x, labels = make(rng, (2, 3)), np.array([0, 1])
    assert_parity(written(f"m.F.{name}(x, y.detach())"), x, labels.astype(dtype))
    assert_parity(written(f"m.F.{name}(x, y, z.detach())"), x, labels, make(rng, (3,), dtype))
    assert_parity(written(f"m.F.{name}(x.detach(), y)"), make(rng, (2, 3), dtype), labels)


@pytest.mark.parametrize("weight", [(2,), (1,), (1, 3), (), (3, 1)])
def test_a_weight_for_each_class(weight):
    rng = np.random.default_rng(10)
    x, w = make(rng, (2, 3)), make(rng, weight)
    assert_parity(written("m.F.cross_entropy(x, y, z)"), x, make(rng, (2, 3)), w)
    for name in ("nll_loss", "cross_entropy"):
        assert_parity(written(f"m.F.{name}(x, y, z.detach())"), x, np.array([0, 1]), w)
        assert_parity(written(f"m.F.{name}(x, y, z)"), x, np.array([0, 1]), make(rng, (3,)))


@pytest.mark.parametrize("labels", [[0, 3], [0, -1], [3, -100], [-2, 5]])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_labels_out_of_range(labels, reduction):
    x = make(np.random.default_rng(11), (2, 3))
    for name, ignored in itertools.product(["nll_loss", "cross_entropy"], [-100, 3]):
        call = f"m.F.{name}(x, y, reduction='{reduction}', ignore_index={ignored})"
        assert_parity(written(call), x, np.array(labels))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", ["None", "m.tensor([0.0, 1, 1])"])
def test_when_no_label_counts(smoothing, weight):
    """The mean is nan with gradient 0; where labels count, but their weights are 0, both are nan."""
    x = make(np.random.default_rng(12), (2, 3))
    for labels, reduction in itertools.product([[-100, -100], [0, -100], [0, 0]], REDUCTIONS):
        settings = f"reduction='{reduction}', label_smoothing={smoothing}"
        assert_parity(written(f"m.F.cross_entropy(x, y, {weight}, {settings})"), x, np.array(labels))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e4, -1e4])
def test_extreme_logits(value):
    x = np.array([[1, value, 2]], np.float32)
    for label, reduction in itertools.product([0, 1], REDUCTIONS):
        call = written(f"m.F.cross_entropy(x, y, reduction='{reduction}')")
        assert_parity(call, x, np.array([label]))
        assert_parity(call, x, np.array([[0.5, 0, 0.5]], np.float32), constant=(1,))


def test_many_classes():
    rng = np.random.default_rng(13)
    x = make(rng, (300, 50), low=-1e3, high=1e3)
    assert_parity(written("m.F.cross_entropy(x, y)"), x, rng.integers(0, 50, 300), tolerance=NEAR)
    call = written("m.F.cross_entropy(x, y, ignore_index=3)")
    assert_parity(call, make(rng, (30, 20, 15)), rng.integers(0, 20, (30, 15)), tolerance=NEAR)


# -- sequences of labels ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_ctc(seed):
    """Drawn sizes, targets padded or joined, lengths as tensors or tuples, targets that do not fit."""
    rng = np.random.default_rng(seed)
    times, n, classes, longest = rng.integers(1, [12, 5, 6, 6])
    blank, longest = int(rng.integers(classes)), longest if classes > 1 else 0
    inputs, lengths = rng.integers(0, times + 1, n), rng.integers(0, longest + 1, n)
    labels = (blank + 1 + rng.integers(0, max(classes - 1, 1), (n, longest))) % classes  # never the blank
    labels = labels.astype(rng.choice(["int64", "int32"]))
    if rng.random() < 0.4:
        labels = np.concatenate([row[:k] for row, k in zip(labels, lengths, strict=True)])
    raw, as_tuple, zero_infinity = rng.random(3) < 0.5
    dtype, reduction = str(rng.choice(["float32", "float64"])), str(rng.choice(REDUCTIONS))
    x = (rng.normal(size=(times, n, classes)) * rng.choice([1, 10])).astype(dtype)
    x = x - np.log(np.exp(x).sum(2, keepdims=True)) if raw else x

    def call(m, x, y):
        both = inputs.tolist(), lengths.tolist()
        both = map(tuple, both) if as_tuple else map(m.tensor, both)
        return m.F.ctc_loss(x if raw else x.log_softmax(2), y, *both, blank, reduction, bool(zero_infinity))

    assert_parity(call, x, labels, tolerance={"rtol": 2e-4, "atol": 2e-5} if dtype == "float32" else None)


LOG_PROBS = np.log(np.random.default_rng(0).dirichlet(np.ones(4), (6, 2)))
TARGETS = np.array([[1, 2, 0], [3, 3, 1]])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ctc_of_one_sequence(reduction):
    for lengths in ("m.tensor(6), m.tensor(2)", "(6,), (2,)", "m.tensor([6]), m.tensor([2])"):
        call = written(f"m.F.ctc_loss(x, y, {lengths}, reduction='{reduction}')")
        for target in ([1, 2], [[1, 2]], [[1, 2, 3]], [1, 2, 3]):
            assert_parity(call, LOG_PROBS[:, 0], np.array(target))


@pytest.mark.parametrize(
    "lengths",
    [
        "(7, 5), (2, 3)",
        "(6, 5), (2, 4)",
        "(6, -1), (2, 3)",
        "(6, 5), (-1, 3)",
        "(6,), (2, 3)",
        "(6.0, 5.0), (2, 3)",
    ],
)
def test_ctc_refuses_lengths(lengths):
    assert_parity(written(f"m.F.ctc_loss(x, y, {lengths})"), LOG_PROBS, TARGETS)


@pytest.mark.parametrize(
    ("log_probs", "targets", "blank"),
    [
        (LOG_PROBS, np.arange(7) % 4, 0),
        (LOG_PROBS, np.arange(4), 0),
        (LOG_PROBS, TARGETS[:1], 0),
        (LOG_PROBS, TARGETS[None], 0),
        (LOG_PROBS, TARGETS, 4),
        (LOG_PROBS, TARGETS, -1),
        (LOG_PROBS[None], TARGETS, 0),
        (LOG_PROBS[:0], TARGETS, 0),
        (LOG_PROBS[:, :0], TARGETS, 0),
    ],
)
def test_ctc_refuses_shapes(log_probs, targets, blank):
    assert_parity(written(f"m.F.ctc_loss(x, y, (6, 5), (2, 3), {blank})"), log_probs, targets)


def test_long_sequences_keep_their_digits():
    rng = np.random.default_rng(0)
    x, y = make(rng, (400, 3, 30)), rng.integers(1, 30, (3, 60))
    call = written("m.F.ctc_loss(x.log_softmax(2), y, (400, 350, 300), (60, 50, 40))")
    assert_parity(call, x, y, tolerance={"rtol": 2e-3, "atol": 1e-6})


# -- refusals that are ours ------------------------------------------------------------------------

ONES, LABELS = minidl.ones(2, 3), minidl.tensor([0, 1])


@pytest.mark.parametrize("name", CALLS)
def test_losses_do_not_broadcast(name):
    with pytest.raises(minidl.ShapeError, match=rf"{name}\(input: \(3, 1\), target: \(3,\)\).*squeeze"):
        getattr(F, name)(minidl.ones(3, 1), minidl.ones(3))


@pytest.mark.parametrize("name", [*CALLS, "nll_loss", "cross_entropy"])
@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_the_mean_of_an_empty_batch(name, shape):
    target = minidl.zeros(shape) if name in CALLS else minidl.zeros(0, dtype=minidl.int64)
    with pytest.raises(ValueError, match="empty batch"):
        getattr(F, name)(minidl.zeros(shape if name in CALLS else (0, 3)), target)


def test_what_goes_by_name_only():
    with pytest.raises(TypeError):
        F.mse_loss(ONES, ONES, "sum")  # in PyTorch this is size_average="sum", that is, the mean
    with pytest.raises(TypeError, match="size_average"):
        F.cross_entropy(ONES, LABELS, size_average=False)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: F.mse_loss(ONES, ONES, reduction="avg"), ValueError, ["reduction", "'avg'"]),
        (lambda: F.mse_loss(LABELS, LABELS), TypeError, ["mse_loss", "int64", "x.float()"]),
        (lambda: F.mse_loss(ONES, ONES, weight=minidl.ones(3)), ValueError, ["weight: (3,)"]),
        (lambda: F.huber_loss(ONES, ONES, delta=0), ValueError, ["delta=0"]),
        (lambda: F.smooth_l1_loss(ONES, ONES, beta=-1), ValueError, ["beta=-1"]),
        (lambda: F.binary_cross_entropy(2 * ONES, ONES), ValueError, ["input", "[0, 1]", "sigmoid"]),
        (lambda: F.binary_cross_entropy(ONES, ONES.double()), TypeError, ["float32 and float64"]),
        (lambda: F.nll_loss(ONES, ONES), TypeError, ["nll_loss", "float32", "y.long()"]),
        (lambda: F.nll_loss(ONES, minidl.tensor([0, 3])), IndexError, ["nll_loss", "label 3 for 3"]),
        (lambda: F.nll_loss(ONES, LABELS, minidl.ones(2)), ValueError, ["weight: (2,)", "3 classes"]),
        (lambda: F.cross_entropy(ONES, LABELS, label_smoothing=1.5), ValueError, ["label_smoothing=1.5"]),
        (lambda: F.cross_entropy(ONES, ONES, ignore_index=0), ValueError, ["ignore_index", "probabilities"]),
        (lambda: F.cross_entropy(ONES, minidl.tensor([0, 1, 2])), ValueError, ["(2, 3)", "(3,)", "one-hot"]),
        (
            lambda: F.ctc_loss(Tensor(LOG_PROBS), Tensor(TARGETS + 2), (6, 5), (2, 3)),
            IndexError,
            ["ctc_loss", "label 4 for 4"],
        ),
        (
            lambda: F.ctc_loss(Tensor(LOG_PROBS), Tensor(TARGETS), (9, 5), (2, 3)),
            ValueError,
            ["input_lengths [9, 5]", "[0, 6]"],
        ),
    ],
)
def test_refusals_say_why(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    for word in words:
        assert word in str(error.value)
