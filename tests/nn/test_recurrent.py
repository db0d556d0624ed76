"""Recurrent layers and cells beside PyTorch's, and the layers beside cells that step through time."""

import itertools
from functools import partial

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from minidl.tensor import Tensor
from tests.parity import assert_module_parity, assert_parity, ours

KINDS = ["RNN", "LSTM", "GRU"]
CELLS = ["RNNCell", "LSTMCell", "GRUCell"]
NEAR = {"rtol": 2e-4, "atol": 2e-5}
"""float32 over many steps: both sides round, in different orders."""


def normal(rng, *shape, dtype=np.float32):
    return rng.normal(size=shape).astype(dtype)


def states(rng, kind, *shape, width, projected=None):
    """The arrays of hx: h_0 and, for an LSTM, c_0."""
    h, c = normal(rng, *shape, projected or width), normal(rng, *shape, width)
    return (h, c) if "LSTM" in kind else (h,)


def make(kind, *sizes_and_m, **settings):
    """The module of this kind; the engine is the last positional argument."""
    *sizes, m = sizes_and_m
    return getattr(m.nn, kind)(*sizes, **settings)


def run(module, x, *hx):
    """The module with hx as it wants it."""
    return module(x, hx if len(hx) == 2 else hx[0] if hx else None)


@pytest.mark.filterwarnings("ignore:grad and param do not obey")
@pytest.mark.parametrize("kind", [*KINDS, "relu"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("given", [False, True])
def test_layers_equal_pytorchs(kind, bidirectional, num_layers, given):
    rng = np.random.default_rng(0)
    extra = {"nonlinearity": "relu"} if kind == "relu" else {}
    kind = "RNN" if kind == "relu" else kind
    for batch_first, bias, (steps, n, inputs, width) in [
        (False, True, (5, 3, 4, 6)),
        (True, True, (3, 2, 5, 2)),
        (False, False, (1, 1, 1, 1)),
        (True, True, (2, 0, 3, 2)),
    ]:
        settings = {"batch_first": batch_first, "bias": bias, "bidirectional": bidirectional, **extra}
        x = normal(rng, *((n, steps) if batch_first else (steps, n)), inputs)
        hx = states(rng, kind, num_layers * (1 + bidirectional), n, width=width) if given else ()
        assert_module_parity(
            partial(make, kind, inputs, width, num_layers, **settings),
            x, *hx, call=run, tolerance=NEAR, modes=(True,) if n else (False,),
        )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("bidirectional", "batch_first", "given"), [*itertools.product([False, True], repeat=3)]
)
def test_unbatched_sequences(kind, bidirectional, batch_first, given):
    rng = np.random.default_rng(1)
    hx = states(rng, kind, 2 * (1 + bidirectional), width=3) if given else ()
    settings = {"bidirectional": bidirectional, "batch_first": batch_first}
    assert_module_parity(
        lambda m: getattr(m.nn, kind)(4, 3, 2, **settings), normal(rng, 5, 4), *hx, call=run, tolerance=NEAR
    )


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_lstm_with_projection(bidirectional, bias):
    rng = np.random.default_rng(2)
    hx = states(rng, "LSTM", 2 * (1 + bidirectional), 3, width=4, projected=2)
    settings = {"num_layers": 2, "proj_size": 2, "bidirectional": bidirectional, "bias": bias}
    assert_module_parity(
        lambda m: m.nn.LSTM(5, 4, **settings), normal(rng, 6, 3, 5), *hx, call=run, tolerance=NEAR
    )


@pytest.mark.parametrize("kind", KINDS)
def test_float64_and_views(kind):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 5, 8))[:, :, ::2].swapaxes(0, 1)
    assert_module_parity(
        lambda m: getattr(m.nn, kind)(4, 3, 2, bidirectional=True, dtype=m.float64), x, call=run
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("given", [False, True])
def test_packed_sequences(kind, sort, given):
    rng = np.random.default_rng(4)
    lengths = [5, 3, 3, 1] if sort else [3, 1, 5, 3]
    hx = states(rng, kind, 4, 4, width=3) if given else ()

    def call(module, x, *hx):
        utils = nn.utils.rnn
        if not isinstance(module, nn.Module):
            import torch.nn.utils.rnn as utils
        packed = utils.pack_padded_sequence(x, lengths, enforce_sorted=sort)
        output, last = run(module, packed, *hx)
        return output, last, utils.pad_packed_sequence(output)

    assert_module_parity(
        lambda m: getattr(m.nn, kind)(4, 3, 2, bidirectional=True),
        normal(rng, 6, 4, 4), *hx, call=call, tolerance=NEAR,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_batch_gives_what_each_sequence_gives_alone(kind):
    minidl.manual_seed(0)
    layer, lengths = getattr(nn, kind)(4, 3, bidirectional=True).double(), [2, 5, 1]
    x = minidl.randn(5, 3, 4, dtype=np.float64)
    output, last = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    padded, _ = pad_packed_sequence(output)
    for i, length in enumerate(lengths):
        alone, last_alone = layer(x[:length, i])
        np.testing.assert_allclose(padded.array[:length, i], alone.detach().array)
        for a, b in zip(pair(last), pair(last_alone), strict=True):
            np.testing.assert_allclose(a.array[:, i], b.array)


def pair(states):
    return states if isinstance(states, tuple) else (states,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_its_cell_stepping_through_time(kind):
    minidl.manual_seed(0)
    layer, cell = (
        getattr(nn, kind)(4, 3, dtype=np.float64),
        getattr(nn, f"{kind}Cell")(4, 3, dtype=np.float64),
    )
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, again = (Tensor(np.random.default_rng(0).normal(size=(6, 2, 4))).requires_grad_() for _ in range(2))
    fused, last = layer(x)
    state, steps = None, []
    for step in again:
        state = cell(step, state)
        steps.append(pair(state)[0])
    composed = minidl.stack(steps)
    np.testing.assert_allclose(fused.detach().array, composed.detach().array)
    g = Tensor(np.random.default_rng(1).normal(size=fused.shape))
    for out, ends in ((fused, pair(last)), (composed, pair(state))):
        ((out * g).sum() + sum((end * end).sum() for end in ends)).backward()
    np.testing.assert_allclose(x.grad.array, again.grad.array)
    for a, b in zip(layer.parameters(), cell.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.array, b.grad.array)


@pytest.mark.parametrize("kind", [*CELLS, "relu"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("lead", [(), (1,), (3,), (0,)])
def test_cells_equal_pytorchs(kind, bias, given, lead):
    rng = np.random.default_rng(5)
    extra = {"nonlinearity": "relu"} if kind == "relu" else {}
    kind = "RNNCell" if kind == "relu" else kind
    hx = states(rng, kind, *lead, width=3) if given else ()
    assert_module_parity(
        lambda m: getattr(m.nn, kind)(4, 3, bias, **extra), normal(rng, *lead, 4), *hx, call=run
    )


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_between_layers_in_training_only(kind):
    minidl.manual_seed(0)
    layer, x = getattr(nn, kind)(3, 50, 2, dropout=0.5), minidl.randn(4, 2, 3)
    assert not np.allclose(layer(x)[0].array, layer(x)[0].array)
    layer.eval()
    assert (layer(x)[0].array == layer(x)[0].array).all()
    assert_module_parity(
        lambda m: getattr(m.nn, kind)(3, 4, 2, dropout=1.0), x.array, call=run, tolerance=NEAR
    )  # everything dropped: the second layer sees zeros


def test_dropout_of_one_layer_warns():
    with pytest.warns(UserWarning, match="between layers") as record:
        nn.LSTM(3, 4, dropout=0.2)
    assert record[0].filename == __file__


def test_weights_start_within_their_bound():
    minidl.manual_seed(0)
    for module in (nn.LSTM(30, 100, 2), nn.GRUCell(30, 100)):
        for p in module.parameters():
            assert 0.09 < np.abs(p.array).max() <= 0.1


def test_representations_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for make in (
        lambda m: m.LSTM(3, 4),
        lambda m: m.LSTM(3, 4, 2, False, True, 0.5, True, 2),
        lambda m: m.RNN(3, 4, 2, "relu", batch_first=True),
        lambda m: m.GRU(3, 4, bidirectional=True),
        lambda m: m.RNNCell(3, 4, False, "relu"),
        lambda m: m.LSTMCell(3, 4),
    ):
        assert repr(make(nn)) == repr(make(torch.nn))


X, H = np.zeros((5, 2, 3), np.float32), np.zeros((1, 2, 4), np.float32)

REFUSED = [
    (lambda m, x: m.nn.LSTM(3, 4)(x[0, 0]), r"LSTM\(input: \(3,\)\): input must be \(time, batch, 3\) or"),
    (lambda m, x: m.nn.GRU(4, 4)(x), r"GRU\(input: \(5, 2, 3\)\).*Fix: check input_size"),
    (lambda m, x: m.nn.RNN(3, 4)(x[:0]), "time at least 1"),
    (lambda m, x: m.nn.LSTM(3, 4, batch_first=True)(x[:, :0]), "time at least 1"),
    (lambda m, x: m.nn.LSTM(3, 4)(x.double()), "input is float64, weights are float32"),
    (lambda m, x: m.nn.LSTM(3, 4)((x * 0).long()), "input is int64"),
    (lambda m, x: m.nn.RNNCell(3, 4)(x), "pass one step"),
    (lambda m, x: m.nn.RNNCell(4, 4)(x[0]), r"linear\("),
    (lambda m, x: m.nn.RNN(3, 4, nonlinearity="sigmoid"), '"tanh" or "relu"'),
    (lambda m, x: m.nn.LSTM(3, 4, 0), "positive integers"),
    (lambda m, x: m.nn.LSTM(0, 4), "positive integers"),
    (lambda m, x: m.nn.LSTM(3, 4.0), "positive integers"),
    (lambda m, x: m.nn.LSTM(3, 4, 2, 0.5), "bias and batch_first"),
    (lambda m, x: m.nn.LSTM(3, 4, 2, dropout=1.5), "probability"),
    (lambda m, x: m.nn.LSTM(3, 4, 2, dropout=True), "probability"),
    (lambda m, x: m.nn.LSTM(3, 4, proj_size=4), "proj_size"),
]
REFUSED_STATES = [
    ("LSTM", lambda h: h, r"pair \(h_0, c_0\) of \[\(1, 2, 4\), \(1, 2, 4\)\]"),
    ("LSTM", lambda h: (h, h, h), "pair"),
    ("LSTM", lambda h: (h, h[:, :1]), "Fix: check the batch axis"),
    ("LSTM", lambda h: (h[0], h[0]), "pair"),
    ("GRU", lambda h: h[:, :1], r"one tensor h_0 of \[\(1, 2, 4\)\]"),
    ("GRU", lambda h: h[0], "one tensor"),
    ("RNN", lambda h: h[..., :3], "one tensor"),
    ("GRU", lambda h: h.double(), "float32 and float64"),
    ("LSTMCell", lambda h: (h[0, :1], h[0, :1]), "pair"),
    ("RNNCell", lambda h: h[0, 0], "one tensor"),
    ("GRUCell", lambda h: h[0, :, :3], "one tensor"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_pytorch_refuses_is_refused(call, message):
    assert_parity(call, X)
    with pytest.raises((ValueError, TypeError), match=message):
        call(ours(), Tensor(X))


@pytest.mark.parametrize(("kind", "change", "message"), REFUSED_STATES)
def test_states_that_do_not_fit_are_refused(kind, change, message):
    def call(m, x, h):
        return getattr(m.nn, kind)(3, 4)(x[0] if "Cell" in kind else x, change(h))

    assert_parity(call, X, H)
    with pytest.raises((ValueError, TypeError), match=message):
        call(ours(), Tensor(X), Tensor(H))


def test_a_state_of_the_wrong_kind_is_refused():
    with pytest.raises(ValueError, match=r"hx: \['tuple'\].*one tensor"):
        nn.GRU(3, 4)(Tensor(X), (Tensor(H), Tensor(H)))
