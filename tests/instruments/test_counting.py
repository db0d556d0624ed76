"""Counting FLOP and bytes: closed forms, PyTorch's counter, modules, views."""

import gc

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.instruments import FlopCounter, Work, costs
from minidl.nn import functional as F
from minidl.tensor import OPS
from tests.parity import flat, ours, tensors, theirs
from tests.samples import SAMPLES
from tests.samples.kinds import Constant, make

PRODUCTS = {
    "matmul": ("x @ y", (5, 3), (3, 4)),
    "matmul, broadcast": ("x @ y", (2, 1, 5, 3), (6, 3, 4)),
    "bmm": ("m.bmm(x, y)", (2, 5, 3), (2, 3, 4)),
    "mm": ("m.mm(x, y)", (5, 3), (3, 4)),
    "linear": ("F.linear(x, y)", (6, 2, 3), (4, 3)),
    "conv1d": ("F.conv1d(x, y)", (2, 3, 9), (4, 3, 2)),
    "conv2d": ("F.conv2d(x, y, stride=2, padding=1)", (2, 3, 8, 9), (4, 3, 3, 2)),
    "conv2d, unbatched": ("F.conv2d(x, y)", (3, 8, 9), (4, 3, 3, 2)),
    "conv_transpose1d": ("F.conv_transpose1d(x, y, stride=2)", (2, 3, 5), (3, 4, 2)),
    "conv_transpose2d": ("F.conv_transpose2d(x, y, padding=1)", (2, 3, 5, 6), (3, 4, 3, 2)),
}


def run(m, function, call: str, x, y) -> None:
    out = eval(call, {"m": m, "F": function, "x": x, "y": y})
    if out.requires_grad:
        out.backward(m.ones_like(out))


def counted(call: str, *shapes, wanted=(True, True)) -> FlopCounter:
    """What a call and its backward cost in minidl."""
    inputs = [minidl.randn(*shape).requires_grad_(w) for shape, w in zip(shapes, wanted, strict=True)]
    with FlopCounter() as count:
        run(ours(), F, call, *inputs, *[None] * (2 - len(inputs)))
    return count


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize(("call", "first", "second"), PRODUCTS.values(), ids=PRODUCTS)
def test_products_cost_what_pytorch_counts(call, first, second, wanted):
    torch = theirs()
    from torch.utils.flop_counter import FlopCounterMode

    x, y = (torch.randn(*s).requires_grad_(w) for s, w in zip((first, second), wanted, strict=True))
    with FlopCounterMode(display=False) as mode:
        run(torch, torch.nn.functional, call, x, y)
    count = counted(call, first, second, wanted=wanted)
    assert count.total.flops == mode.get_total_flops()
    assert count.total.backward_flops == count.total.forward_flops * sum(wanted)


@pytest.mark.parametrize(
    ("call", "first", "second", "flops"),
    [
        ("x @ y", (5, 3), (3,), 2 * 5 * 3),
        ("x @ y", (3,), (3, 4), 2 * 3 * 4),
        ("x @ y", (7,), (7,), 2 * 7),
        ("m.mv(x, y)", (5, 3), (3,), 2 * 5 * 3),
        ("m.dot(x, y)", (7,), (7,), 2 * 7),
        ("F.linear(x, y, y[:, 0])", (6, 3), (4, 3), 2 * 6 * 3 * 4 + 6 * 4),
        ("F.linear(x, y)", (0, 3), (4, 3), 0),
        ("F.conv2d(x, y, groups=2)", (1, 4, 5, 6), (6, 2, 3, 2), 2 * (6 * 3 * 5) * (2 * 3 * 2)),
        ("x + y", (5, 1), (1, 4), 20),
        ("x * y", (5, 1), (1, 4), 20),
        ("x.sum()", (5, 4), (1,), 20),
        ("x.relu()", (5, 4), (1,), 20),
        ("x.reshape(4, 5).T[1:3]", (5, 4), (1,), 0),
        ("F.softmax(x, dim=1)", (5, 4), (1,), 5 * 20),
        ("F.max_pool2d(x, 2)", (1, 3, 8, 8), (1,), 3 * 16 * 4),
        ("F.avg_pool2d(x, (2, 4))", (1, 3, 8, 8), (1,), 3 * 8 * 8),
        ("F.avg_pool1d(x, 2)", (3, 8), (1,), 3 * 8),
        ("F.layer_norm(x, (4,))", (5, 4), (1,), 7 * 20),
    ],
)
def test_forward_flops_in_closed_form(call, first, second, flops):
    assert counted(call, first, second, wanted=(False, False)).total.forward_flops == flops


def test_a_layer_forward_and_backward_in_closed_form():
    """N x D through W (H, D) and b: products 2NDH thrice, the bias NH twice, relu NH twice."""
    n, d, h = 5, 3, 4
    model = nn.Sequential(nn.Linear(d, h), nn.ReLU())
    x = minidl.randn(n, d, requires_grad=True)
    with FlopCounter(model) as count:
        model(x).backward(minidl.ones(n, h))
    linear, relu = count.by_op["linear"], count.by_op["relu"]
    assert linear.calls == 1
    assert linear.forward_flops == 2 * n * d * h + n * h
    assert linear.backward_flops == 2 * 2 * n * d * h + n * h
    assert (relu.forward_flops, relu.backward_flops) == (n * h, n * h)
    assert linear.forward_bytes == 4 * (n * d + h * d + h + n * h)
    gradients = 4 * (n * d + h * d + h)
    others = 4 * ((h * d + h) + (n * d + h) + (n * d + h * d))
    assert linear.backward_bytes == 3 * 4 * n * h + others + gradients
    assert count.by_module["0"] == linear
    assert count.by_module["1"] == relu
    assert count.total.flops == linear.flops + relu.flops
    assert count.total.bytes == linear.bytes + relu.bytes


def test_an_attention_and_a_recurrent_layer_cost_their_products():
    q, k, v = minidl.randn(2, 3, 5, 4), minidl.randn(2, 3, 6, 4), minidl.randn(2, 3, 6, 7)
    with FlopCounter() as count:
        F.scaled_dot_product_attention(q, k, v)
    scores = 2 * 3 * 5 * 6
    assert count.by_op["attention"].flops == scores * (2 * 4 + 2 * 7 + 6)
    lstm, (t, n, d, h) = nn.LSTM(3, 4), (6, 2, 3, 4)
    with FlopCounter(lstm) as count:
        out, _ = lstm(minidl.randn(t, n, d))
        out.sum().backward()
    work = count.by_op["lstm_sequence"]
    of_h, of_x, biases = 2 * t * n * 4 * h * h, 2 * t * n * 4 * h * d, 2 * t * n * 4 * h
    assert work.forward_flops == of_h + of_x + biases + 25 * t * n * h
    assert work.backward_flops == 2 * of_h + of_x + biases + 26 * t * n * h


def test_views_move_nothing():
    count = counted("x.reshape(4, 5).T.unsqueeze(0)[:, 1:3]", (5, 4), wanted=(True,))
    assert count.total.forward_bytes == 0
    copied = counted("x.flip((0,))", (5, 4), wanted=(False,))
    assert copied.total.forward_bytes == 2 * 80
    added = counted("x + y", (5, 4), (5, 4))
    assert (added.total.forward_bytes, added.total.backward_bytes) == (3 * 80, 0)
    product = counted("x * y", (5, 4), (5, 4))
    assert product.total.backward_bytes == 2 * 3 * 80


def test_what_is_inside_a_module_counts_for_it_too():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    with FlopCounter(model) as count:
        F.mse_loss(model(minidl.ones(4, 2)), minidl.zeros(4, 1)).backward()
    parts = count.by_module
    assert set(parts) == {"", "0", "1", "1.0", "1.1"}
    assert parts["1"].flops == parts["1.0"].flops + parts["1.1"].flops
    assert parts[""] == count.total
    assert count.total.flops > parts["0"].flops + parts["1"].flops  # the loss is in no module
    assert sum(work.flops for work in count.by_op.values()) == count.total.flops


def test_the_counter_leaves_nothing_behind():
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(RuntimeError), FlopCounter(model) as count:
        model(minidl.ones(4, 5))
    model(minidl.ones(4, 2))
    assert count.total == Work()
    assert not model._hooks
    assert not model[0]._pre_hooks


def test_an_error_in_a_module_does_not_misplace_what_follows():
    model = nn.Sequential(nn.Linear(2, 3))
    with FlopCounter(model) as count:
        with pytest.raises(RuntimeError):
            model(minidl.ones(4, 5))
        minidl.ones(3) + 1
        model(minidl.ones(4, 2))
    assert count.by_module["0"] == count.by_op["linear"]


def test_a_second_backward_counts_again_and_one_from_before_does_not():
    x = minidl.ones(3, requires_grad=True)
    before = (x * x).sum()
    with FlopCounter() as count:
        before.backward()
        assert count.total == Work()
        loss = (x * x).sum()
        loss.backward(retain_graph=True)
        once = count.total.backward_flops
        loss.backward()
    assert once > 0
    assert count.total.backward_flops == 2 * once


def test_the_counter_keeps_no_graph_alive():
    with FlopCounter() as count:
        for _ in range(3):
            (minidl.ones(3, requires_grad=True) * 2).sum().backward()
        gc.collect()
        assert not len(count._records)


def test_an_op_without_a_formula_is_listed(monkeypatch):
    monkeypatch.setattr(costs, "PER_NUMBER", costs.PER_NUMBER.replace(" tanh", ""))
    costs._per_number.cache_clear()
    try:
        count = counted("x.tanh()", (5, 4), wanted=(True,))
    finally:
        monkeypatch.undo()
        costs._per_number.cache_clear()
    assert count.unknown == {"tanh"}
    assert (count.total.forward_flops, count.total.backward_flops) == (20, 20)
    assert "Counted as 1 FLOP a number: tanh." in repr(count)


def test_formulas_are_of_ops_that_there_are():
    for names in (costs._per_number(), costs.OTHERS, set(costs.PRODUCTS) - {"conv3d", "conv_transpose3d"}):
        assert set(names) - set(OPS) == set()
    listed = [name for line in costs.PER_NUMBER.splitlines() for name in line.split()[2:]]
    assert len(listed) == len(set(listed))
    assert set(listed).isdisjoint(costs.PRODUCTS | costs.OTHERS)


def test_the_tables():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    with FlopCounter(model) as count:
        model(minidl.ones(4, 2))
    text = repr(count).splitlines()
    assert text[0].split()[:3] == ["op", "calls", "forward"]
    assert text[2].split()[:3] == ["linear", "1", "60"]
    assert text[4].split()[:3] == ["total", "2", "72"]
    assert text[-1] == "A multiply-add is 2 FLOP."
    assert repr(count.table("module")).splitlines()[2].split()[:3] == ["0", "1", "60"]
    assert "<td" in count._repr_html_()


def test_every_op_can_be_counted():
    """The samples of all ops under the counter, forward and backward."""
    rng = np.random.default_rng(0)
    with FlopCounter() as count:
        for call, *kinds in (sample for samples in SAMPLES.values() for sample in samples):
            arrays = [make(kind, rng, np.float64) for kind in kinds]
            constant = [i for i, kind in enumerate(kinds) if isinstance(kind, Constant)]
            outs = flat(call(ours(), *tensors(arrays, constant)))
            loss = sum(out.sum() for out in outs if out.is_floating_point())
            if isinstance(loss, minidl.Tensor) and loss.requires_grad:
                loss.backward()
    assert len(set(SAMPLES) - set(count.by_op)) < 5  # some samples come down to no op
    assert count.total.flops > 0
