"""MultiheadAttention beside PyTorch's."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.tensor import Tensor
from tests.parity import assert_module_parity, assert_parity, ours

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched")
NEAR = {"rtol": 2e-4, "atol": 1e-5}


def normal(rng, *shape, dtype=np.float32):
    return rng.normal(size=shape).astype(dtype)


def hidden(rng, *shape, open_rows=True):
    """A boolean mask (True hides) that leaves each query something to look at, or not."""
    mask = rng.random(shape) < 0.4
    if open_rows:
        mask[..., 0] = False
    return mask


def as_kind(mask, kind, rng, dtype=np.float32):
    """A boolean mask as it is, or as numbers that are added."""
    return mask if kind == "bool" else np.where(mask, -np.inf, normal(rng, *mask.shape)).astype(dtype)


def parity(settings, arrays, constant=(), tolerance=NEAR, **call):
    """`settings` makes the module, `call` are further arguments; arrays beyond three are masks by name."""
    masks = call.pop("masks", ())

    def run(module, q, k, v, *given):
        return module(q, k, v, **dict(zip(masks, given, strict=True)), **call)

    assert_module_parity(
        lambda m: m.nn.MultiheadAttention(**settings),
        *arrays,
        call=run,
        constant=constant,
        tolerance=tolerance,
    )


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("mask_kind", [None, "bool", "float"])
@pytest.mark.parametrize("padding_kind", [None, "bool", "float"])
def test_options_and_masks(batched, batch_first, need_weights, mask_kind, padding_kind):
    rng = np.random.default_rng(0)
    for i in range(4):
        n, length, span, heads, size = rng.integers(1, 4, 5)
        widths = [heads * size] * 3 if i % 2 else [heads * size, *rng.integers(1, 5, 2)]
        settings = {
            "batch_first": batch_first,
            "num_heads": int(heads),
            **{name: int(n) for name, n in zip(("embed_dim", "kdim", "vdim"), widths, strict=True)},
            **{name: bool(rng.integers(2)) for name in ("bias", "add_bias_kv", "add_zero_attn")},
        }
        order = (1, 0, 2) if batched and not batch_first else (0, 1, 2)
        arrays = [
            normal(rng, n, t, w).transpose(order) for t, w in zip((length, span, span), widths, strict=True)
        ]
        if not batched:
            arrays = [a[0] for a in arrays]
        masks = []
        if mask_kind:
            each = (heads * (n if batched else 1),) * int(rng.integers(2))
            masks.append(("attn_mask", as_kind(hidden(rng, *each, length, span), mask_kind, rng)))
        if padding_kind:
            masks.append(("key_padding_mask", as_kind(hidden(rng, *[n] * batched, span), padding_kind, rng)))
        parity(
            settings, [*arrays, *(mask for _, mask in masks)], masks=[name for name, _ in masks],
            need_weights=need_weights, average_attn_weights=bool(rng.integers(2)),
        )  # fmt: skip


@pytest.mark.parametrize("need_weights", [True, False])
def test_queries_that_may_look_at_nothing(need_weights):
    rng = np.random.default_rng(1)
    q, k = normal(rng, 3, 2, 4), normal(rng, 5, 2, 4)
    mask = hidden(rng, 3, 5)
    mask[1] = True
    parity({"embed_dim": 4, "num_heads": 2}, [q, k, k, mask], masks=["attn_mask"], need_weights=need_weights)
    out, _ = nn.MultiheadAttention(4, 2)(
        *map(Tensor, (q, k, k)), need_weights=need_weights, attn_mask=Tensor(mask)
    )
    assert np.isnan(out.array[1]).all() == need_weights


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_one_tensor_as_query_key_and_value(batch_first, bias):
    x = normal(np.random.default_rng(2), 3, 2, 6)
    settings = {"embed_dim": 6, "num_heads": 3, "batch_first": batch_first, "bias": bias}
    assert_module_parity(
        lambda m: m.nn.MultiheadAttention(**settings), x, call=lambda a, x: a(x, x, x), tolerance=NEAR
    )
    assert_module_parity(
        lambda m: m.nn.MultiheadAttention(**settings),
        x,
        x + 1,
        call=lambda a, x, y: a(x, y, y),
        tolerance=NEAR,
    )


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_the_causal_promise(need_weights, padded, extra, causal):
    """Where PyTorch trusts the promise, the mask itself, causal or not, is not looked at."""
    rng = np.random.default_rng(3)
    x = normal(rng, 5, 2, 4)
    mask = np.triu(np.full((5, 5), -np.inf, np.float32), 1) if causal else normal(rng, 5, 5)
    arrays, masks = [x, x, x, mask], ["attn_mask"]
    if padded:
        arrays, masks = [*arrays, np.array([[False] * 5, [False] * 4 + [True]])], [*masks, "key_padding_mask"]
    settings = {"embed_dim": 4, "num_heads": 2, "add_bias_kv": extra, "add_zero_attn": extra}
    parity(
        settings, arrays, constant=(3,), masks=masks, is_causal=True, need_weights=need_weights
    )  # fmt: skip


@pytest.mark.parametrize("need_weights", [True, False])
def test_float64_and_empty_sizes(need_weights):
    rng = np.random.default_rng(4)
    settings = {"embed_dim": 4, "num_heads": 2}
    for n, length, span in [(0, 3, 5), (2, 0, 5), (1, 1, 1)]:
        q, k = normal(rng, length, n, 4), normal(rng, span, n, 4)
        parity(settings, [q, k, k], need_weights=need_weights)
    q, k = rng.normal(size=(3, 2, 4)), rng.normal(size=(5, 2, 4))
    assert_module_parity(
        lambda m: m.nn.MultiheadAttention(4, 2, dtype=m.float64),
        q, k, hidden(rng, 3, 5),
        call=lambda a, q, k, mask: a(q, k, k, attn_mask=mask, need_weights=need_weights),
    )  # fmt: skip


@pytest.mark.parametrize("need_weights", [True, False])
def test_dropout_acts_on_the_weights_in_training(need_weights):
    minidl.manual_seed(0)
    attention, x = nn.MultiheadAttention(8, 2, dropout=0.5), minidl.randn(6, 3, 8)
    first, second = (attention(x, x, x, need_weights=need_weights)[0].array for _ in range(2))
    assert not np.allclose(first, second)
    attention.eval()
    first, second = (attention(x, x, x, need_weights=need_weights)[0].array for _ in range(2))
    assert (first == second).all()
    parity({"embed_dim": 8, "num_heads": 2, "dropout": 1.0}, [x.array] * 3, need_weights=need_weights)


def test_weights_returned_are_those_after_dropout():
    minidl.manual_seed(0)
    attention, x = nn.MultiheadAttention(4, 1, dropout=0.5), minidl.randn(50, 1, 4)
    weights = attention(x, x, x)[1].array
    assert (weights == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_weights_start_as_pytorchs():
    minidl.manual_seed(0)
    a = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    assert np.abs(a.in_proj_weight.array).max() == pytest.approx((6 / 256) ** 0.5, rel=0.01)
    assert not a.in_proj_bias.array.any() and not a.out_proj.bias.array.any()
    assert np.abs(a.out_proj.weight.array).max() == pytest.approx(64**-0.5, rel=0.01)
    assert a.bias_k.array.std() == pytest.approx((2 / 128) ** 0.5, rel=0.3)
    b = nn.MultiheadAttention(64, 4, kdim=32)
    assert np.abs(b.k_proj_weight.array).max() == pytest.approx((6 / 96) ** 0.5, rel=0.01)


X = np.ones((3, 2, 4), np.float32)


def masked(**masks):
    def call(m, x):
        return m.nn.MultiheadAttention(4, 2)(x, x, x, **{name: f(m) for name, f in masks.items()})

    return call


REFUSED = [
    (lambda m, x: m.nn.MultiheadAttention(4, 3), "num_heads=3 must divide embed_dim=4"),
    (lambda m, x: m.nn.MultiheadAttention(4, 0), "num_heads=0"),
    (lambda m, x: m.nn.MultiheadAttention(4, 2)(x[0, 0], x[0, 0], x[0, 0]), r"query: \(4,\).*Fix"),
    (lambda m, x: m.nn.MultiheadAttention(4, 2)(x, x[0], x[0]), r"key: \(2, 4\)"),
    (lambda m, x: m.nn.MultiheadAttention(4, 2)(x[None], x[None], x[None]), r"query: \(1, 3, 2, 4\)"),
    (
        lambda m, x: m.nn.MultiheadAttention(4, 2)(x[..., :3], x, x),
        r"query: \(3, 2, 3\).*4 features of query",
    ),
    (lambda m, x: m.nn.MultiheadAttention(4, 2)(x, x[..., :3], x[..., :3]), r"key: \(3, 2, 3\)"),
    (lambda m, x: m.nn.MultiheadAttention(4, 2)(x, x, x[:2]), r"value: \(2, 2, 4\).*equally long"),
    (lambda m, x: m.nn.MultiheadAttention(4, 2)(x, x[:, :1], x[:, :1]), r"key: \(3, 1, 4\)"),
    (lambda m, x: m.nn.MultiheadAttention(4, 2)(x.double(), x.double(), x.double()), "float64"),
    (masked(attn_mask=lambda m: m.zeros(1, 3)), r"attn_mask: \(1, 3\).*attn_mask \(L, S\)"),
    (masked(attn_mask=lambda m: m.zeros(2, 3, 3)), r"attn_mask: \(2, 3, 3\)"),
    (masked(attn_mask=lambda m: m.zeros(3)), r"attn_mask: \(3,\)"),
    (masked(attn_mask=lambda m: m.zeros(3, 3, dtype=m.int64)), "bool or float, not int64"),
    (masked(attn_mask=lambda m: m.zeros(3, 3, dtype=m.float64)), "float64"),
    (masked(key_padding_mask=lambda m: m.zeros(3, 2)), r"key_padding_mask: \(3, 2\)"),
    (masked(key_padding_mask=lambda m: m.zeros(1, 3)), r"key_padding_mask: \(1, 3\)"),
    (masked(key_padding_mask=lambda m: m.zeros(2, 3, dtype=m.int64)), "bool or float, not int64"),
    (masked(is_causal=lambda m: True), "attn_mask, which is None"),
    (masked(is_causal=lambda m: True, need_weights=lambda m: False), "attn_mask, which is None"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_pytorch_refuses_is_refused(call, message):
    assert_parity(call, X)
    with pytest.raises((ValueError, TypeError), match=message):
        call(ours(), Tensor(X))
