"""The graph widget: its gradients are the engine's, and it evaluates nothing but arithmetic."""

import pytest

from minidl.viz.lessons.autograd import Walk, graph_stepper, parse

VALUES = {"x": 2.0, "w": -0.5, "b": 0.3}


@pytest.mark.parametrize(
    "expression", ["tanh(w * x + b)", "x * x + x * w - 2 / b", "exp(-x ** 2) * relu(b) + log(x)", "-x"]
)
def test_walking_back_gives_the_engines_gradients(expression):
    out, names = parse(expression, VALUES)
    walk = Walk(out)
    while walk.next is not None:
        walk.step()
    stepped = {name: v.grad for name, v in names.items()}
    out, names = parse(expression, VALUES)
    out.backward()
    assert stepped == pytest.approx({name: v.grad for name, v in names.items()})


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("x +", "cannot read"),
        ("y * 2", "'y' is unknown"),
        ("__import__('os')", "unknown|not arithmetic"),
        ("x.data", "not arithmetic"),
        ("[x]", "not arithmetic"),
        ("log(0 * x)", "no value"),
        ("1 / (x - x)", "no value"),
        ("2 + 3", "at least one"),
    ],
)
def test_what_is_not_understood_is_said(expression, message):
    with pytest.raises(ValueError, match=message):
        parse(expression, VALUES)


def test_widget_steps_back_and_resets():
    widget = graph_stepper()
    try:
        assert "Next step back: tanh" in widget._first_text
        widget.step(3)
        assert "All gradients" in widget.svg
        assert widget.state.names["b"].grad == pytest.approx(1 - widget.state.out.data**2)
        widget.controls["expression"].value = "x * x"
        widget.wait()
        assert widget.error is None
        widget.step(1)
        assert widget.state.names["x"].grad == 4
        widget.controls["expression"].value = "x *"
        widget.wait()
        assert "cannot read" in str(widget.error)
        widget.reset()
        assert widget.error is None
        assert widget.state.walk.next.name == "tanh"
    finally:
        widget.close()
