"""Transformer layers beside PyTorch's."""

import copy

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.nn import functional as F
from minidl.tensor import Tensor
from tests.parity import assert_module_parity, assert_parity, ours

NEAR = {"rtol": 5e-4, "atol": 2e-5}
"""float32 through several layers."""

pytestmark = pytest.mark.filterwarnings(
    "ignore:enable_nested_tensor is True", "ignore:Support for mismatched", "ignore:The PyTorch API of nested"
)


def normal(rng, *shape, dtype=np.float32):
    return rng.normal(size=shape).astype(dtype)


def causal(length, kind="float"):
    hidden = np.triu(np.ones((length, length), bool), 1)
    return hidden if kind == "bool" else np.where(hidden, -np.inf, 0).astype(np.float32)


def padding(n, length):
    """Rows with 0, 1, ... hidden positions at the end."""
    return np.arange(length) >= length - np.arange(n)[:, None] % length


def parity(make, *arrays, masks=None, constant=(), tolerance=NEAR, **call):
    """Masks are arrays by name; they follow the other arrays and want no gradient."""
    masks = masks or {}
    count = len(arrays)

    def run(module, *ts):
        return module(*ts[:count], **dict(zip(masks, ts[count:], strict=True)), **call)

    constant = [*constant, *range(count, count + len(masks))]
    assert_module_parity(make, *arrays, *masks.values(), call=run, constant=constant, tolerance=tolerance)


def activation(m, name):
    return {"relu": "relu", "gelu": "gelu", "function": m.F.silu, "module": m.nn.GELU()}[name]


SETTINGS = [
    {},
    {"batch_first": True, "norm_first": True},
    {"bias": False, "layer_norm_eps": 0.1},
    {"batch_first": True, "activation": "gelu"},
    {"norm_first": True, "activation": "function"},
    {"activation": "module", "bias": False, "batch_first": True},
]


def settings_for(m, settings):
    named = {"activation": activation(m, settings["activation"])} if "activation" in settings else {}
    return {"dropout": 0.0, **settings, **named}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mask", [None, "bool", "float", "each"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("batched", [False, True])
def test_encoder_layer(settings, mask, padded, batched):
    rng = np.random.default_rng(0)
    n, length = 3, 5
    x = normal(rng, n, length, 8) if settings.get("batch_first") else normal(rng, length, n, 8)
    masks = {}
    if mask == "each":
        masks["src_mask"] = normal(rng, 2 * (n if batched else 1), length, length)
    elif mask:
        masks["src_mask"] = causal(length, mask)
    if padded:
        masks["src_key_padding_mask"] = padding(n, length) if batched else padding(n, length)[2]
    if not batched:
        x = normal(rng, length, 8)
    parity(lambda m: m.nn.TransformerEncoderLayer(8, 2, 12, **settings_for(m, settings)), x, masks=masks)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("batched", [False, True])
def test_decoder_layer(settings, masked, batched):
    rng = np.random.default_rng(1)
    n, length, span = 3, 5, 4
    tgt, memory = normal(rng, length, n, 8), normal(rng, span, n, 8)
    if settings.get("batch_first"):
        tgt, memory = tgt.swapaxes(0, 1), memory.swapaxes(0, 1)
    masks = {}
    if masked:
        masks = {"tgt_mask": causal(length), "memory_mask": normal(rng, length, span)}
        masks |= {"tgt_key_padding_mask": padding(n, length), "memory_key_padding_mask": padding(n, span)}
    if not batched:
        tgt, memory = normal(rng, length, 8), normal(rng, span, 8)
        masks = {name: mask[1] if "padding" in name else mask for name, mask in masks.items()}
    parity(
        lambda m: m.nn.TransformerDecoderLayer(8, 2, 12, **settings_for(m, settings)),
        tgt,
        memory,
        masks=masks,
    )


@pytest.mark.parametrize("hint", [None, True, False])
@pytest.mark.parametrize("kind", ["bool", "float", "other"])
def test_encoder_with_causal_hints(hint, kind):
    rng = np.random.default_rng(2)
    mask = normal(rng, 5, 5) if kind == "other" else causal(5, kind)

    def make(m):
        return m.nn.TransformerEncoder(m.nn.TransformerEncoderLayer(8, 2, 12, 0.0), 2, m.nn.LayerNorm(8))

    parity(make, normal(rng, 5, 3, 8), masks={"mask": mask}, is_causal=hint)
    parity(
        make,
        normal(rng, 5, 3, 8),
        masks={"mask": mask, "src_key_padding_mask": padding(3, 5)},
        is_causal=hint,
    )


@pytest.mark.parametrize("hint", [None, True, False])
def test_decoder_with_causal_hints(hint):
    rng = np.random.default_rng(3)
    parity(
        lambda m: m.nn.TransformerDecoder(m.nn.TransformerDecoderLayer(8, 2, 12, 0.0, batch_first=True), 2),
        normal(rng, 3, 5, 8), normal(rng, 3, 4, 8),
        masks={"tgt_mask": causal(5), "memory_mask": normal(rng, 5, 4)}, tgt_is_causal=hint,
    )  # fmt: skip
    parity(
        lambda m: m.nn.TransformerDecoder(m.nn.TransformerDecoderLayer(8, 2, 12, 0.0), 1),
        normal(rng, 5, 3, 8), normal(rng, 5, 3, 8),
        masks={"memory_mask": normal(rng, 5, 5)}, memory_is_causal=True,
    )  # fmt: skip


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer(batch_first, norm_first):
    rng = np.random.default_rng(4)
    src, tgt = normal(rng, 4, 3, 8), normal(rng, 5, 3, 8)
    if batch_first:
        src, tgt = src.swapaxes(0, 1), tgt.swapaxes(0, 1)
    settings = {"dropout": 0.0, "batch_first": batch_first, "norm_first": norm_first, "activation": "gelu"}
    masks = {
        "tgt_mask": causal(5, "bool"), "src_key_padding_mask": padding(3, 4),
        "tgt_key_padding_mask": padding(3, 5), "memory_key_padding_mask": padding(3, 4),
    }  # fmt: skip
    for given in ({}, masks):
        parity(lambda m: m.nn.Transformer(8, 2, 2, 2, 12, **settings), src, tgt, masks=given)
    parity(
        lambda m: m.nn.Transformer(8, 4, 1, 1, 6, dropout=0.0, bias=False),
        normal(rng, 4, 8), normal(rng, 5, 8), masks={"tgt_mask": causal(5), "src_mask": causal(4)},
    )  # fmt: skip


def test_float64():
    rng = np.random.default_rng(5)
    parity(
        lambda m: m.nn.Transformer(8, 2, 1, 1, 12, 0.0, dtype=m.float64),
        rng.normal(size=(4, 2, 8)), rng.normal(size=(5, 2, 8)), tolerance={"rtol": 1e-8, "atol": 1e-9},
    )  # fmt: skip


def test_own_encoder_and_decoder():
    rng = np.random.default_rng(6)

    def make(m):
        class Own(m.nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = m.nn.Linear(8, 8)

            def forward(self, x, *args, **kwargs):
                return self.linear(x)

        return m.nn.Transformer(8, 2, custom_encoder=Own(), custom_decoder=Own())

    parity(make, normal(rng, 4, 3, 8), normal(rng, 4, 3, 8))


def test_dropout_acts_in_training_only():
    minidl.manual_seed(0)
    model, src, tgt = nn.Transformer(8, 2, 1, 1, 12), minidl.randn(4, 3, 8), minidl.randn(5, 3, 8)
    assert not np.allclose(model(src, tgt).array, model(src, tgt).array)
    model.eval()
    assert (model(src, tgt).array == model(src, tgt).array).all()
    rng = np.random.default_rng(7)
    parity(lambda m: m.nn.TransformerEncoderLayer(8, 2, 12, dropout=1.0), normal(rng, 4, 3, 8))


def test_layers_are_copies_that_start_equal_and_learn_apart():
    minidl.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 12, 0.0)
    encoder = nn.TransformerEncoder(layer, 2)
    weights = [p.array for p in encoder.parameters()]
    half = len(weights) // 2
    assert all((a == b).all() for a, b in zip(weights[:half], weights[half:], strict=True))
    optimizer = optim.SGD(encoder.parameters(), lr=0.1)
    before = layer.linear1.weight.array.copy()
    encoder(minidl.randn(4, 3, 8)).square().sum().backward()
    optimizer.step()
    assert not np.allclose(encoder.layers[0].linear1.weight.array, encoder.layers[1].linear1.weight.array)
    assert (layer.linear1.weight.array == before).all()


def test_a_layer_can_be_copied_after_an_optimiser_moved_its_weights():
    minidl.manual_seed(0)
    layer, x = nn.TransformerEncoderLayer(8, 2, 12, 0.0), minidl.randn(4, 3, 8)
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    layer(x).square().sum().backward()
    optimizer.step()
    twin, out = copy.deepcopy(layer), layer(x).array
    assert (twin(x).array == out).all()
    optimizer.zero_grad()
    layer(x).square().sum().backward()
    optimizer.step()
    assert (twin(x).array == out).all()
    assert not np.allclose(layer(x).array, out)
    twin(x).square().sum().backward()
    optim.Adam(twin.parameters(), lr=0.1).step()
    assert not np.allclose(twin(x).array, out)


def test_square_subsequent_mask():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for sz in (0, 1, 4):
        for dtype in ("float32", "float64", "bool"):
            mine = nn.Transformer.generate_square_subsequent_mask(sz, dtype=np.dtype(dtype))
            theirs = torch.nn.Transformer.generate_square_subsequent_mask(sz, dtype=getattr(torch, dtype))
            assert str(mine.dtype) == dtype
            np.testing.assert_array_equal(mine.array, theirs.numpy())


def test_a_causal_encoder_does_not_see_the_future():
    minidl.manual_seed(0)
    layer, x = nn.TransformerEncoderLayer(8, 2, 12, 0.0), minidl.randn(5, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    changed = Tensor(x.array.copy())
    changed.array[3] += 1
    a, b = (layer(t, mask, is_causal=True).array for t in (x, changed))
    assert (a[:3] == b[:3]).all() and not np.allclose(a[3:], b[3:])


def test_representations_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for make in (
        lambda m: m.TransformerEncoderLayer(8, 2, 12, activation=m.GELU()),
        lambda m: m.Transformer(8, 2, 1, 1, 12),
    ):
        assert repr(make(nn)) == repr(make(torch.nn)).replace("NonDynamicallyQuantizable", "")


def test_weights_with_two_axes_start_xavier_uniform():
    minidl.manual_seed(0)
    model = nn.Transformer(32, 2, 1, 1, 64)
    assert np.abs(model.encoder.layers[0].linear1.weight.array).max() == pytest.approx(
        (6 / 96) ** 0.5, rel=0.02
    )
    assert np.abs(model.decoder.layers[0].self_attn.out_proj.weight.array).max() > 0.29


X = np.ones((3, 2, 4), np.float32)
REFUSED = [
    (lambda m, x: m.nn.TransformerEncoderLayer(4, 3), "num_heads=3 must divide embed_dim=4"),
    (lambda m, x: m.nn.TransformerEncoderLayer(4, 2, activation="tanh"), '"relu", "gelu" or a function'),
    (lambda m, x: m.nn.TransformerEncoderLayer(4, 2, dropout=1.5), "1.5|p"),
    (lambda m, x: m.nn.TransformerEncoderLayer(4, 2)(x[..., :3]), r"MultiheadAttention\(query: \(3, 2, 3\)"),
    (lambda m, x: m.nn.TransformerEncoderLayer(4, 2)(x, is_causal=True), "attn_mask, which is None"),
    (lambda m, x: m.nn.TransformerDecoderLayer(4, 2)(x, x[:, :1]), r"key: \(3, 1, 4\)"),
    (lambda m, x: m.nn.Transformer(4, 2, 1, 1, 8)(x, x[:, :1]), r"key: \(3, 2, 4\)"),
    (lambda m, x: m.nn.Transformer(4, 2, 1, 1, 8)(x, x[0]), "query"),
    (lambda m, x: m.nn.TransformerEncoder(m.nn.TransformerEncoderLayer(4, 2), 0)(x), "at least 1"),
    (
        lambda m, x: m.nn.Transformer.generate_square_subsequent_mask(3, dtype=m.int64),
        "int64 has no infinity",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_pytorch_refuses_is_refused(call, message):
    assert_parity(call, X)
    with pytest.raises((ValueError, TypeError, OverflowError), match=message or None):
        call(ours(), Tensor(X))


def test_the_layer_is_what_its_formula_says():
    minidl.manual_seed(0)
    layer, x = nn.TransformerEncoderLayer(8, 2, 12, 0.0), minidl.randn(5, 3, 8)
    h = layer.norm1(x + layer.self_attn(x, x, x)[0])
    want = layer.norm2(h + layer.linear2(F.relu(layer.linear1(h))))
    np.testing.assert_allclose(layer(x).array, want.array, rtol=1e-5, atol=1e-6)
