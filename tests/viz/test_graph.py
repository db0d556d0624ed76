"""Graph and network drawings: each node once, inputs left of what they go into."""

from contextlib import nullcontext

import numpy as np
import pytest

import minidl
from minidl import nn, viz
from minidl.scalar import Value


def texts(picture):
    return [shape["s"] for kind, shape in picture.shapes if kind == "text"]


def places(picture):
    """Title -> x of its box."""
    return {shape["s"]: shape["x"] for kind, shape in picture.shapes if kind == "text" and shape["bold"]}


def test_a_tensor_s_graph_shows_values_and_gradients():
    with minidl.trace():
        x = minidl.tensor(2.0, requires_grad=True)
        w = minidl.tensor(-3.0, requires_grad=True)
        y = (x * w).tanh()
        y.backward()
    picture = viz.draw_graph(y, {"x": x, "w": w, "y": y}, highlight=[x])
    at = places(picture)
    assert set(at) == {"x", "w", "mul", "y = tanh"} and at["x"] == at["w"] < at["mul"] < at["y = tanh"]
    assert {"value 2", "value -3", "value -6", "value -1", "grad 1"} <= set(texts(picture))
    assert f"grad {x.grad.item():.3g}" in texts(picture)


def test_a_shared_node_is_drawn_once():
    a = Value(3.0, "a")
    c = a * a + a
    c.backward()
    picture = viz.draw_graph(c, {"c": c})
    assert sorted(places(picture)) == ["a", "c = add", "mul"]
    assert texts(picture).count("value 3") == 1 and {"grad 7", "grad 1", "value 12"} <= set(texts(picture))
    assert "3 nodes" in picture.alt


def test_two_uses_by_one_op_are_two_arrows():
    a = Value(3.0, "a")
    tips = [shape for kind, shape in viz.draw_graph(a * a + a).shapes if kind == "polygon"]
    assert len(tips) == 4  # a twice into mul, mul and a into add
    assert len({(shape["xs"][0], shape["ys"][0]) for shape in tips}) == 3  # apart at mul, together at add


def test_arrays_show_their_shapes():
    with minidl.trace():
        x = minidl.tensor(np.ones((4, 3)), requires_grad=True)
        loss = (x * x).sum()
        loss.backward()
    shown = texts(viz.draw_graph(loss))
    assert "4 x 3" in shown and "max |grad| 2" in shown and "value 12" in shown


EXPRESSIONS = {
    "a list of tensors": "minidl.cat([x, x * 2, x], 0).sum()",
    "a module": "nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.LayerNorm(2))(x).mean()",
    "a fused op": "nn.functional.cross_entropy(x, minidl.tensor([0, 1, 2, 0]))",
    "a recurrent layer": "nn.LSTM(3, 2)(x)[0].sum()",
    "parts of a tensor": "sum(part.sum() for part in x.split(1))",
    "an empty result": "x[:0] * 2",
    "no gradient": "x > 0",
    "a leaf": "x",
}


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_any_expression_can_be_drawn(expression, traced):
    with minidl.trace() if traced else nullcontext():
        x = minidl.randn(4, 3, requires_grad=True)
        out = eval(expression, {"minidl": minidl, "nn": nn, "x": x})
        if out.requires_grad:
            out.backward(minidl.ones_like(out), retain_graph=True)
    shown = texts(viz.draw_graph(out, {"x": x}))
    assert not out.requires_grad or {"x", "4 x 3"} <= set(shown)


def test_without_trace_the_shapes_are_there():
    x = minidl.randn(4, 3, requires_grad=True)
    shown = texts(viz.draw_graph((x @ x.T).relu().sum()))
    assert shown.count("4 x 3") == 1 and shown.count("3 x 4") == 1 and shown.count("4 x 4") == 2


def test_a_deep_graph_does_not_recurse():
    x = minidl.tensor(1.0, requires_grad=True)
    for _ in range(1500):
        x = x + 1.0
    assert "1501 nodes" in viz.draw_graph(x).alt


def test_boxes_stay_inside_and_do_not_overlap():
    with minidl.trace():
        x, w, b = (minidl.tensor(float(v), requires_grad=True) for v in (1, 2, 3))
        h = (x * w + b).tanh()
        loss = (h - x) * (h - w) + b
    picture = viz.draw_graph(loss)
    boxes = {(s["x"], s["y"], s["w"], s["h"]) for kind, s in picture.shapes if kind == "rect"}
    for x0, y0, w0, h0 in boxes:
        assert x0 >= 0 and y0 >= 0 and x0 + w0 <= picture.width and y0 + h0 <= picture.height
        apart = [abs(x0 - x1) >= w0 or abs(y0 - y1) >= h0 for x1, y1, *_ in boxes if (x1, y1) != (x0, y0)]
        assert all(apart)


def test_a_network_colours_its_weights_by_sign():
    picture = viz.draw_network([2, 3, 1], [np.ones((3, 2)), -np.ones((1, 3))], labels=["in", "hidden", "out"])
    colors = [shape["color"] for kind, shape in picture.shapes if kind == "line"]
    assert colors == [viz.BLUE] * 6 + [viz.ORANGE] * 3
    assert {"in", "hidden", "out"} <= set(texts(picture)) and "2, 3, 1" in picture.alt


def test_a_wide_layer_is_shortened():
    picture = viz.draw_network([100, 2])
    assert len([1 for kind, _ in picture.shapes if kind == "circle"]) < 40 and "... 100" in texts(picture)


def test_a_network_refuses_weights_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(2, 3\).*want \(out, in\)"):
        viz.draw_network([2, 3], [np.ones((2, 3))])
    with pytest.raises(ValueError, match="two layers"):
        viz.draw_network([3])
