"""Dropout on the GPU: the generator's published test vectors, its statistics, and what it depends on."""

import numpy as np
import pytest

import minidl
from minidl.kernels.cuda import dropout, graphs, resources
from minidl.kernels.cuda.array import asarray, empty
from minidl.kernels.cuda.driver import float32, float64, int32, kernel, uint32, uint64
from minidl.kernels.cuda.instructions import load, store
from minidl.nn import functional as F


@kernel
def scramble(given, out):
    """Counter and key (6 words) -> random words (4)."""
    words = dropout.philox(
        load(given, 0), load(given, 1), load(given, 2), load(given, 3), load(given, 4), load(given, 5)
    )
    a, b, c, d = words
    store(out, 0, a)
    store(out, 1, b)
    store(out, 2, c)
    store(out, 3, d)


ONES = 2**32 - 1
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((0,) * 6, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ONES,) * 6, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (PI, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_is_as_published(given, words):
    out = empty(4, np.uint32)
    scramble[1, 1](asarray(np.array(given, np.uint32)), out)
    assert " ".join(f"{n:08x}" for n in out.get()) == words


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_scale(p, dtype):
    n = 40_003
    kept = dropout.keep_mask((n,), p, dtype, seed=3).get()
    assert kept.dtype == dtype and set(np.unique(kept)) == {0, dtype(1 / (1 - p))}
    assert abs(np.mean(kept == 0) - p) < 4 * np.sqrt(p * (1 - p) / n)
    for step in (1, 2, 4, 1024):  # neighbours know nothing of each other
        product = np.mean((kept[step:] - 1) * (kept[:-step] - 1))
        assert abs(product) < 5 * p / (1 - p) / np.sqrt(n)


@pytest.mark.parametrize("p", [0, 1])
def test_all_or_nothing(p):
    assert (dropout.keep_mask((7,), p, np.float32, seed=1).get() == 1 - p).all()


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 7), (0, 4)])
def test_shapes(shape):
    assert dropout.keep_mask(shape, 0.5).shape == shape


def test_seed_and_offset():
    def draw(seed, offset=0, n=64):
        return dropout.keep_mask((n,), 0.5, np.float32, seed, offset).get()

    np.testing.assert_array_equal(draw(2**63 + 5), draw(2**63 + 5))
    np.testing.assert_array_equal(draw(7, 3, 8), draw(7)[12:20])
    np.testing.assert_array_equal(draw(7, 2**32 - 1)[4:36], draw(7, 2**32)[:32])
    assert (draw(7) != draw(7 + 2**32)).any() and (draw(7) != draw(8)).any()


@pytest.mark.parametrize("n_masks", [1, 3])
def test_each_replay_of_a_graph_draws_what_a_step_would(n_masks, monkeypatch):
    monkeypatch.setattr(dropout, "ROOM", 2)
    x, masks = minidl.ones(40).cuda(), [empty((40,), np.float32) for _ in range(n_masks)]

    def step():
        for mask in masks:
            mask[...] = F.dropout(x, 0.5).array

    def outcome(run):
        run()
        return [mask.get().tobytes() for mask in masks]

    minidl.manual_seed(5)
    expected = [outcome(step) for _ in range(5)]
    assert len({mask for masks in expected for mask in masks}) == 5 * n_masks
    minidl.manual_seed(5)
    graph = graphs.graph_of(step, warm_up=2)  # the capture itself draws nothing
    assert [outcome(graph.replay) for _ in range(3)] == expected[2:]
    minidl.manual_seed(5)
    assert [outcome(run) for run in (step, graph.replay, graph.replay, step)] == expected[:4]
    assert len(graph.before_replay) == (n_masks + 1) // 2  # copies to the device


def test_a_number_is_the_same_seed_in_each_replay():
    with graphs.capture() as graph:
        kept = dropout.keep_mask((40,), 0.5, seed=7)
    for _ in range(2):
        graph.replay()
        np.testing.assert_array_equal(kept.get(), dropout.keep_mask((40,), 0.5, seed=7).get())
    assert not graph.before_replay


def test_errors():
    with pytest.raises(ValueError, match=r"keep_mask\(p=1.5, dtype=float32\)"):
        dropout.keep_mask((2,), 1.5)


def test_manual_seed_repeats_layers():
    def draw(call):
        minidl.manual_seed(4)
        return call().cpu().numpy()

    x = minidl.ones(2, 3, 4, 5).cuda()
    for call in (lambda: F.dropout(x, 0.5), lambda: F.dropout2d(x, 0.3)):
        np.testing.assert_array_equal(draw(call), draw(call))
    assert (draw(lambda: F.dropout(x)) != F.dropout(x).cpu().numpy()).any()
    planes = draw(lambda: F.dropout2d(x, 0.5)).reshape(6, -1)
    assert (planes == planes[:, :1]).all() and len(np.unique(planes)) == 2


def test_its_gradient_is_the_mask():
    x = minidl.ones(40).cuda().requires_grad_()
    y = F.dropout(x, 0.25)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), y.detach().cpu().numpy())
    assert F.dropout(x, 0.5, training=False) is x


def test_attention_drops_on_the_device():
    q, k, v = (minidl.randn(2, 3, 4).cuda() for _ in range(3))
    try:
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=1.0)
    except NotImplementedError as error:
        pytest.skip(str(error))
    assert out.device == "cuda" and not out.cpu().numpy().any()


def test_machine_code(needs_toolkit):
    for number in (float32, float64):
        for replayed in (False, True):
            types = (int32, uint64[::1] if replayed else uint64, int32, uint64, uint32, number)
            resources.expect(dropout.mask_kernel(number, replayed), (number[::1], *types), registers=32)
