"""Recurrent layers on the GPU against the reference: kinds, shapes, ragged and reversed batches."""

import numpy as np
import pytest

from minidl.kernels import reference
from minidl.kernels.cuda import cells, graphs, recurrent, resources
from minidl.kernels.cuda.array import asarray
from minidl.kernels.cuda.driver import float32, float64, int32
from tests.draw import Draw

BLOCKS = {"rnn": 1, "lstm": 4, "gru": 3}
RAGGED = (5, 5, 3, 1)


@pytest.fixture(params=[True, False], ids=["fused", "product"])
def fused(request, quick, monkeypatch):
    """One launch a step, or a product and a cell."""
    if not request.param:
        monkeypatch.setattr(recurrent, "FUSED", 0)
    return request.param


def numpys_matmul(a, b):
    with np.errstate(invalid="ignore"):
        return asarray(a.get() @ b.get())


@pytest.fixture
def quick(monkeypatch):
    """NumPy's products instead of ours, which have tests of their own and take long in the simulator."""
    monkeypatch.setattr(recurrent, "matmul", numpys_matmul)


def problem(kind, sizes, inputs, width, n=None, outputs=None, biased=True, dtype=np.float32, seed=0, **way):
    """The arguments of a sequence kernel."""
    rng, n, gates = np.random.default_rng(seed), n or max(sizes), BLOCKS[kind] * width
    outputs = outputs or width
    shapes = [(sum(sizes), inputs), (n, outputs), (n, width), (gates, inputs), (gates, outputs)]
    if kind != "lstm":
        del shapes[2]
    arrays = [rng.normal(size=shape) / 2 for shape in shapes]
    arrays += [rng.normal(size=gates) if biased else None for _ in range(2)]
    if kind == "lstm":
        arrays.append(rng.normal(size=(outputs, width)) if outputs != width else None)
    arrays = [a if a is None else a.astype(dtype) for a in arrays]
    return kind, arrays, {"batch_sizes": np.array(sizes, int), "reverse": False, **way}


def outcome(module, kind, arrays, way, input_gradient=True):
    """All that forward and backward give, for gradients that are the outputs themselves."""
    *outputs, saved = getattr(module, f"{kind}_sequence")(*arrays, **way)
    back = getattr(module, f"{kind}_sequence_backward")
    return [*outputs, *back(*outputs, saved, **way, input_gradient=input_gradient)]


def assert_agreement(kind, arrays, way, move=asarray, **more):
    given = [a if a is None else move(a) for a in arrays]
    before = [a if a is None else a.get() for a in given]
    exact = [a if a is None else a.astype(np.float64) for a in arrays]
    mine, want = outcome(recurrent, kind, given, way, **more), outcome(reference, kind, exact, way, **more)
    dtype = arrays[0].dtype
    tolerance = 3e-6 if dtype == np.float32 else 1e-13
    for a, b in zip(mine, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.shape, a.dtype) == (b.shape, dtype)
            scale = max(1, abs(np.nan_to_num(b)).max(initial=0))
            np.testing.assert_allclose(a.get() / scale, b / scale, atol=tolerance)
    for a, b in zip(given, before, strict=True):
        assert a is b is None or np.array_equal(a.get(), b, equal_nan=True)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    ("sizes", "inputs", "width", "reverse"),
    [
        (RAGGED, 3, 4, False),
        (RAGGED, 3, 5, True),
        ((1,), 1, 1, False),
        ((17, 8, 8), 4, 33, True),
        ((2, 2), 3, 68, False),
    ],
)
def test_same_as_the_reference(fused, kind, sizes, inputs, width, reverse):
    assert_agreement(*problem(kind, sizes, inputs, width, reverse=reverse))


@pytest.mark.parametrize(("width", "outputs", "reverse"), [(6, 4, False), (20, 3, True), (3, 20, False)])
def test_projections(fused, width, outputs, reverse):
    assert_agreement(*problem("lstm", RAGGED, 3, width, outputs=outputs, reverse=reverse))


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("reverse", [False, True])
def test_float64(fused, kind, reverse):
    outputs = 5 if kind == "lstm" and reverse else None
    assert_agreement(*problem(kind, RAGGED, 3, 12, outputs=outputs, reverse=reverse, dtype=np.float64))


@pytest.mark.parametrize("reverse", [False, True])
def test_relu(fused, reverse):
    assert_agreement(*problem("rnn", RAGGED, 3, 7, reverse=reverse, relu=True))


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("sizes", [(), (4, 2)])
def test_sequences_without_steps_keep_their_states(kind, sizes, quick):
    assert_agreement(*problem(kind, sizes, 3, 4, n=6), input_gradient=False)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("seed", range(4))
def test_drawn_problems(kind, seed, quick):
    draw = Draw(seed)
    sizes = sorted((draw.number(1, 20) for _ in range(draw.number(1, 4))), reverse=True)
    way = {"reverse": bool(draw.number(0, 1)), "biased": bool(draw.number(0, 1)), "seed": seed}
    assert_agreement(
        *problem(kind, sizes, draw.number(1, 9), draw.number(1, 40), **way),
        input_gradient=bool(draw.number(0, 1)),
    )


def strided(a):
    """The array on the device, with gaps in memory."""
    return asarray(np.repeat(a, 2, axis=-1))[..., ::2]


@pytest.mark.parametrize("kind", BLOCKS)
def test_arrays_with_gaps(kind, quick):
    assert_agreement(*problem(kind, RAGGED, 3, 6), move=strided)


@pytest.mark.parametrize("kind", BLOCKS)
def test_one_bias_of_two(kind, quick):
    kind, arrays, way = problem(kind, RAGGED, 3, 6)
    arrays[-2 - (kind == "lstm")] = None
    assert_agreement(kind, arrays, way)


@pytest.mark.parametrize("kind", BLOCKS)
def test_weights_that_do_not_begin_where_four_can_be_read(kind, quick):
    kind, arrays, way = problem(kind, RAGGED, 3, 4)

    def shifted(a):
        return asarray(np.concatenate([a.ravel()[:1], a.ravel()]))[1:].reshape(a.shape)

    assert_agreement(kind, arrays, way, move=shifted)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_sequence(fused, kind, bad):
    kind, arrays, way = problem(kind, (6, 6, 4), 3, 5)
    arrays[0][6 + 3, 2] = bad
    with np.errstate(all="ignore"):
        assert_agreement(kind, arrays, way)


@pytest.mark.parametrize("kind", BLOCKS)
def test_infinite_weights_do_not_reach_sequences_that_have_ended(fused, kind):
    """0 times infinity is nan: the last step of a sequence gets nothing from a product with W_hh."""
    kind, arrays, way = problem(kind, (2, 1), 3, 4)
    *outputs, saved = getattr(recurrent, f"{kind}_sequence")(*map(on_device, arrays), **way)
    broken = list(saved)
    broken[2] = asarray(np.full(saved[2].shape, np.inf, np.float32))
    g, *last = outputs
    dx = getattr(recurrent, f"{kind}_sequence_backward")(g, *last, tuple(broken), **way)[0].get()
    assert np.isfinite(dx[1:]).all() and not np.isfinite(dx[0]).any()


def on_device(a):
    return a if a is None else asarray(a)


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_graph_holds_forward_and_backward(kind):
    kind, arrays, way = problem(kind, RAGGED, 3, 6, reverse=True)
    given = [on_device(a) for a in arrays]
    want = outcome(recurrent, kind, given, way)
    with graphs.capture() as graph:
        captured = outcome(recurrent, kind, given, way)
    graph.replay()
    for a, b in zip(captured, want, strict=True):
        assert a is b is None or np.array_equal(a.get(), b.get())


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_step_is_one_launch(kind):
    def launches(steps):
        kind_, arrays, way = problem(kind, (4,) * steps, 3, 6)
        given = [on_device(a) for a in arrays]
        outcome(recurrent, kind_, given, way)  # a capture needs a run before it
        with graphs.capture() as graph:
            outcome(recurrent, kind_, given, way)
        return len(graph)

    assert launches(3) - launches(2) == 2  # forward and backward


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_second_backward_gives_the_same(kind, quick):
    kind, arrays, way = problem(kind, RAGGED, 3, 6)
    *outputs, saved = getattr(recurrent, f"{kind}_sequence")(*map(on_device, arrays), **way)
    twice = [getattr(recurrent, f"{kind}_sequence_backward")(*outputs, saved, **way) for _ in range(2)]
    for a, b in zip(*twice, strict=True):
        assert a is b is None or np.array_equal(a.get(), b.get())


def test_steps_know_what_follows_them():
    sizes = np.array([3, 2, 0])
    assert recurrent.steps_of(sizes, False) == [(0, 3, 3, 2), (3, 2, 0, 0)]
    assert recurrent.steps_of(sizes, True) == [(3, 2, 0, 3), (0, 3, 0, 0)]
    assert recurrent.steps_of(np.array([], int), True) == []


@pytest.mark.parametrize("kind", BLOCKS)
def test_what_does_not_fit_is_refused(kind):
    kind, arrays, way = problem(kind, RAGGED, 3, 6)
    with pytest.raises(TypeError, match=rf"{kind}_sequence\(ndarray float32 \(14, 3\).*Fix"):
        getattr(recurrent, f"{kind}_sequence")(*arrays, **way)
    given = [asarray(arrays[0].astype(np.float64)), *map(on_device, arrays[1:])]
    with pytest.raises(TypeError, match=rf"{kind}_sequence\(CudaArray float64 .*one dtype"):
        getattr(recurrent, f"{kind}_sequence")(*given, **way)


# -- what the kernels cost -------------------------------------------------------------------------

KERNELS = {  # how many numbers and arrays follow the product's arguments
    "rnn": (cells.rnn_kernel, (False,), 4, 4),
    "lstm": (cells.lstm_kernel, (False,), 4, 8),
    "gru": (cells.gru_kernel, (), 4, 7),
    "projection": (cells.projection_kernel, (), 4, 3),
    "rnn backward": (cells.rnn_backward_kernel, (True,), 2, 4),
    "lstm backward": (cells.lstm_backward_kernel, (False,), 2, 7),
    "gru backward": (cells.gru_backward_kernel, (), 2, 7),
    "projection backward": (cells.projection_backward_kernel, (), 2, 3),
}
SHARE = {"lstm": 0.75, "gru": 0.7}
LONG = cells.chunk_of(float32, 1, 1000)


def budget(name, number, chunk, wide, **bounds):
    make, option, numbers, arrays = KERNELS[name]
    types = (number[::1],) * 2 + (int32,) * (4 + numbers) + (number[::1],) * arrays
    return resources.expect(make(number, chunk, wide, *option), types, **bounds)


@pytest.mark.parametrize("name", KERNELS)
def test_costs(name, needs_toolkit):
    """Room for four blocks of 128 threads on a multiprocessor; two of three instructions multiply and add."""
    chunk = cells.SHORT if name in SHARE else LONG
    share, lstm = SHARE.get(name, 0.65), name == "lstm"
    budget(name, float32, chunk, True, registers=128, share=share, shared=25 * 1024, everywhere=lstm)


@pytest.mark.parametrize("name", ["lstm", "gru backward"])
@pytest.mark.parametrize(
    ("number", "chunk", "wide"),
    [
        (float32, cells.SHORT, False),
        (float32, LONG, False),
        (float32, 0, False),
        (float64, cells.SHORT, True),
        (float64, LONG // 2, True),
    ],
)
def test_costs_of_other_variants(name, number, chunk, wide, needs_toolkit):
    if chunk <= cells.SHORT or name not in SHARE:
        budget(name, number, chunk, wide, registers=128 if wide else 168)
