"""CTC on the GPU against the reference: ragged, empty, impossible, long; and the loss on device arrays.

The reference never sees what does not count. The kernels do: here it is filled with labels that are no class.
"""

import numpy as np
import pytest

import minidl
from minidl.kernels import reference
from minidl.kernels.cuda import ctc, graphs, resources
from minidl.kernels.cuda.array import CudaArray, asarray
from minidl.kernels.cuda.driver import float32, float64, int32, int64
from minidl.nn import functional as F
from minidl.tensor import Tensor

NEAR = {"float32": {"rtol": 1e-5, "atol": 3e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}


def spoken(rng, times, n, classes, dtype, scale=2.0):
    """Log-probabilities (T, N, C)."""
    x = scale * rng.normal(size=(times, n, classes))
    return (x - np.log(np.exp(x).sum(2, keepdims=True))).astype(dtype)


def drawn(seed, times, n, classes, longest, dtype="float32", blank=0, labels=np.int64):
    """Arguments of the kernel; the first sequence lasts all the time."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, (n, longest)).astype(labels)
    inputs, lengths = rng.integers(0, times + 1, n), rng.integers(0, longest + 1, n)
    inputs[:1], lengths[:1] = times, min(times // 2, longest)
    return spoken(rng, times, n, classes, dtype), targets, inputs, lengths, blank


def padded(targets, lengths, label):
    """The targets, with another label where they do not count."""
    return np.where(np.arange(targets.shape[1]) < lengths[:, None], targets, label)


def expected(x, targets, inputs, lengths, blank):
    """Losses, alpha and slopes of the reference."""
    given = x, padded(targets, lengths, blank), inputs, lengths, blank
    with np.errstate(all="ignore"):
        loss, alpha = reference.ctc(*given)
        return loss, alpha, reference.ctc_backward(*given, loss, alpha)


def computed(x, targets, inputs, lengths, blank):
    """Losses, ways and slopes of the kernels."""
    given = [asarray(a) for a in (x, padded(targets, lengths, -100), inputs, lengths)]
    loss, ways = ctc.ctc(*given, blank)
    return loss.get(), ways.get(), ctc.ctc_backward(*given, blank, loss, ways).get()


def assert_same(args, **near):
    (loss, _, slopes), (want, _, want_slopes) = computed(*args), expected(*args)
    near = {**NEAR[str(args[0].dtype)], **near}
    assert (loss.dtype, slopes.dtype) == (args[0].dtype, args[0].dtype)
    np.testing.assert_allclose(loss, want, **near)
    np.testing.assert_allclose(slopes, want_slopes, **near)
    return loss


# -- against the reference -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(25))
def test_same_as_the_reference(seed, dtype):
    """Drawn sizes: some sequences have no time, no label, the blank as a label, or do not fit."""
    rng = np.random.default_rng(seed)
    times, n, classes, longest = (int(k) for k in rng.integers([1, 1, 1, 0], [25, 6, 7, 9]))
    labels = rng.choice([np.int64, np.int32])
    assert_same(drawn(seed, times, n, classes, longest, dtype, int(rng.integers(classes)), labels))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(20, 2, 300, 9), (9, 40, 3, 4), (70, 1, 50, 33), (330, 1, 4, 310)])
def test_many(sizes, dtype):
    """Classes, sequences, labels: more than a warp, than a block of `slopes`, than threads of a walk."""
    assert np.isfinite(assert_same(drawn(1, *sizes, dtype))[0])


def test_more_labels_than_threads():
    """270 different ones, of which a block of `slopes` looks at 256 at a time."""
    x, target = spoken(np.random.default_rng(0), 280, 1, 271, "float64"), np.arange(1, 271)[None]
    assert np.isfinite(assert_same((x, target, np.array([280]), np.array([270]), 0)))


@pytest.fixture
def few_threads(monkeypatch):
    """Walks of a warp, so that short targets have several states a thread."""
    monkeypatch.setattr(ctc, "THREADS", 32)
    ctc.walk_kernel.cache_clear()
    yield
    ctc.walk_kernel.cache_clear()


@pytest.mark.parametrize("longest", [15, 16, 31, 32, 63, 64, 127])
def test_several_states_a_thread(few_threads, longest):
    """2, 4, 8 of them; with 8 the rows lie in global memory."""
    args = drawn(longest, longest + 40, 3, 50, longest, "float64")
    args[3][:2] = longest, longest // 2
    args[2][:2] = longest + 40, longest // 2 + 30
    assert np.isfinite(assert_same(args)[:2]).all()


def test_the_ways_are_those_of_the_reference():
    """Where labels and times count: the way to a state and its own p are alpha; from it to the end, beta."""
    x, targets, inputs, lengths, blank = args = drawn(4, 12, 3, 5, 4, "float64")
    (_, ways, _), (_, alpha, _) = computed(*args), expected(*args)
    for n in range(3):
        t, states = inputs[n], 2 * lengths[n] + 1
        labels = np.full(states, blank)
        labels[1::2] = targets[n, : lengths[n]]
        to_state, to_end = ways[:, n, :t, :states]
        np.testing.assert_allclose(to_state + x[:t, n][:, labels], alpha[:t, n, :states], rtol=1e-12)
        backwards = x[:t, n : n + 1][::-1], targets[n : n + 1, : lengths[n]][:, ::-1]
        beta = reference.ctc(*backwards, inputs[n : n + 1], lengths[n : n + 1], blank)[1][::-1, 0, ::-1]
        np.testing.assert_allclose(to_end + x[:t, n][:, labels], beta, rtol=1e-12)


@pytest.mark.parametrize("target", [[], [1], [1, 1], [1, 1, 1], [1, 2, 1, 2], [2, 0, 2]])
def test_equal_labels_and_none(target):
    """The blank is 0; [2, 0, 2] names it as a label."""
    x = spoken(np.random.default_rng(0), 6, 1, 3, "float64")
    assert_same((x, np.array([target], np.int64).reshape(1, -1), np.array([6]), np.array([len(target)]), 0))


def test_what_does_not_fit_into_the_time():
    x = spoken(np.random.default_rng(0), 3, 2, 3, "float32")
    loss = assert_same((x, np.array([[1, 1], [1, 2]]), np.array([2, 2]), np.array([2, 2]), 0))
    assert loss[0] == np.inf and np.isfinite(loss[1])


@pytest.mark.parametrize("value", [-np.inf, np.nan, -1e30])
def test_impossible_classes(value):
    """A class without a chance, in the target or not; a number that is none."""
    args = drawn(0, 8, 2, 4, 2)
    args[0][3, 0, 2], args[1][0], args[0][2:5, 1, 0] = value, [1, 2], value
    args[2][:], args[3][:] = 8, 2
    assert_same(args)


def test_long_walks_keep_their_digits():
    """400 times: losses of a thousand nats, of which float32 knows four digits behind the point."""
    x, targets, *rest = drawn(0, 400, 2, 30, 60)
    rest[0][:], rest[1][:] = (400, 350), (60, 50)
    loss, _, slopes = computed(x, targets, *rest)
    want, _, want_slopes = expected(x.astype(np.float64), targets, *rest)
    np.testing.assert_allclose(loss, want, rtol=2e-7)
    np.testing.assert_allclose(slopes, want_slopes, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(slopes[:350].sum(2), 0, atol=2e-4)


def test_twice_the_same_bits():
    args = drawn(0, 20, 4, 3, 9)
    for one, other in zip(computed(*args)[::2], computed(*args)[::2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_views():
    x, targets, inputs, lengths, blank = args = drawn(2, 10, 4, 6, 6, "float64")
    given = asarray(x.transpose(1, 0, 2).copy()).swapaxes(0, 1), asarray(targets.repeat(2, 1))[:, ::2]
    given += asarray(inputs[::-1].copy())[::-1], asarray(lengths)
    loss, ways = ctc.ctc(*given, blank)
    want, _, want_slopes = expected(*args)
    np.testing.assert_allclose(loss.get(), want, rtol=1e-12)
    np.testing.assert_allclose(ctc.ctc_backward(*given, blank, loss, ways).get(), want_slopes, atol=1e-12)


def test_no_sequence_and_no_time():
    assert_same(drawn(0, 5, 0, 3, 2))
    loss, _, slopes = computed(*drawn(0, 0, 2, 3, 1)[:3], np.array([0, 1]), 0)  # the reference wants a time
    assert (loss[0], loss[1], slopes.shape) == (0, np.inf, (0, 2, 3))


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 10, 2**40, 2**32])
@pytest.mark.parametrize("which", ["label", "input_lengths", "target_lengths"])
def test_what_cannot_be_gives_nan_to_its_sequence_alone(which, bad):
    x, targets, inputs, lengths, blank = drawn(0, 9, 3, 4, 3)
    inputs[:], lengths[:] = 9, 2
    good, _, good_slopes = computed(x, targets, inputs, lengths, blank)
    spoiled = {"label": targets[1], "input_lengths": inputs[1:], "target_lengths": lengths[1:]}[which]
    spoiled[0] = bad
    loss, ways = ctc.ctc(*map(asarray, (x, targets, inputs, lengths)), blank)
    slopes = ctc.ctc_backward(*map(asarray, (x, targets, inputs, lengths)), blank, loss, ways).get()
    assert np.isnan(loss.get()[1]) and np.isnan(slopes[:, 1]).all()
    np.testing.assert_array_equal(loss.get()[[0, 2]], good[[0, 2]])
    np.testing.assert_array_equal(slopes[:, [0, 2]], good_slopes[:, [0, 2]])


def test_errors(monkeypatch):
    x, y, *lengths = map(asarray, drawn(0, 3, 2, 4, 2)[:4])
    with pytest.raises(TypeError, match=r"ctc\(CudaArray float32 \(3, 2, 4\), CudaArray float32 \(2, 2\)"):
        ctc.ctc(x, y.astype(np.float32), *lengths, 0)
    with pytest.raises(TypeError, match=r"ndarray int64 \(2, 2\).*Fix: x.to\('cuda'\), y.long\(\)"):
        ctc.ctc(x, y.get(), *lengths, 0)
    with pytest.raises(TypeError, match=r"lengths \(N,\) whole numbers"):
        ctc.ctc(x[:, :1], y, *lengths, 0)
    with pytest.raises(NotImplementedError, match="ctc: targets of 2048 labels; the GPU takes at most 2047"):
        ctc.ctc(x, asarray(np.ones((2, 2048), np.int64)), *lengths, 0)
    monkeypatch.setattr(ctc, "MOST", 50)
    with pytest.raises(NotImplementedError, match=r"more than 50 elements\. Fix: smaller batches"):
        ctc.ctc(x, y, *lengths, 0)


# -- the loss --------------------------------------------------------------------------------------


def trained(place, x, targets, inputs, lengths, *settings, raw=False):
    """The loss, and the gradient of what log_softmax is taken of."""
    x = Tensor(place(x)).requires_grad_()
    loss = F.ctc_loss(x if raw else F.log_softmax(x, x.ndim - 1), targets, inputs, lengths, *settings)
    (loss * loss.detach().clamp(0, 5)).sum().backward()
    return loss.array, x.grad.array


def assert_device_is_host(x, targets, inputs, lengths, *settings, **options):
    """Targets and lengths on the device too, if they are arrays."""
    host = [Tensor(a) if isinstance(a, np.ndarray) else a for a in (targets, inputs, lengths)]
    there = [Tensor(asarray(a)) if isinstance(a, np.ndarray) else a for a in (targets, inputs, lengths)]
    wanted = trained(np.array, x, *host, *settings, **options)
    for given in (host, there):
        for got, want in zip(trained(asarray, x, *given, *settings, **options), wanted, strict=True):
            assert isinstance(got, CudaArray) and (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(got.get(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_loss_on_the_device(reduction, zero_infinity):
    """Padded targets and joined ones; lengths as arrays and as numbers; one target does not fit."""
    x, targets, inputs, lengths, _ = drawn(3, 7, 4, 5, 3)
    inputs[:], lengths[:], targets[3] = (7, 5, 3, 2), (3, 2, 0, 2), 1
    targets[targets == 4] = 3
    joined = np.concatenate([y[:k] for y, k in zip(targets, lengths, strict=True)])
    for y in (targets, joined):
        for both in ((inputs, lengths), (inputs.tolist(), tuple(lengths.tolist()))):
            assert_device_is_host(x, y, *both, 4, reduction, zero_infinity)


def test_the_loss_of_one_sequence():
    x, targets, *_ = drawn(3, 7, 1, 5, 3, "float64")
    assert_device_is_host(x[:, 0], targets[0, :2], (7,), (2,), 0, "none")
    assert_device_is_host(x[:, 0], targets, np.array([7]), np.array([2]), 0, "mean", raw=True)


def test_targets_on_the_host_are_checked_there():
    x = Tensor(asarray(spoken(np.random.default_rng(0), 4, 2, 3, "float32")))
    with pytest.raises(IndexError, match="label 3 for 3 classes"):
        F.ctc_loss(x, minidl.tensor([[1, 3], [1, 2]]), (4, 4), (2, 2))
    with pytest.raises(ValueError, match=r"input_lengths \[4, 5\] must lie in \[0, 4\]"):
        F.ctc_loss(x, Tensor(asarray(np.array([[1, 2], [1, 2]]))), (4, 5), (2, 2))
    with pytest.raises(minidl.ShapeError, match=r"or \(3,\), the sum of target_lengths"):
        F.ctc_loss(x, Tensor(asarray(np.array([[1, 2]]))), (4, 4), Tensor(asarray(np.array([2, 1]))))


def test_what_lies_on_the_device_is_not_read_back():
    """A graph refuses every copy to or from the host."""
    x, targets, inputs, lengths, _ = drawn(5, 6, 2, 4, 2)
    given = [Tensor(asarray(a)) for a in (x, targets, inputs, lengths)]
    given[0].requires_grad_()

    def step():
        loss = F.ctc_loss(*given, zero_infinity=True)
        loss.backward()
        return loss

    step(), step()  # what kernels need beside their arrays is now there
    with graphs.capture() as graph:
        loss = step()
    graph.replay()
    want = trained(np.array, x, *map(Tensor, (targets, inputs, lengths)), 0, "mean", True, raw=True)[0]
    np.testing.assert_allclose(loss.array.get(), want, rtol=1e-5)


# -- resources -------------------------------------------------------------------------------------


def test_machine_code(needs_toolkit):
    for number, registers in ((float32, 72), (float64, 96)):
        x, whole, sums, sizes = number[::1], int64[::1], float64[::1], [int32] * 4
        for kept in (1, 8) if number is float32 else (8,):  # fewest and most registers
            types = (x, *[whole] * 3, sums, x, sums, *sizes)
            resources.expect(ctc.walk_kernel(number, kept), types, registers=registers, shared=33000)
        types = (x, *[whole] * 3, x, sums, x, *sizes)
        resources.expect(ctc.slopes_kernel(number), types, registers=104)
