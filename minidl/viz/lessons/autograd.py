"""A graph of any expression, with gradients that walk back through it one operation at a time."""

import ast
from types import SimpleNamespace

from minidl import scalar, viz
from minidl.scalar import Value

WIDTH, HEIGHT = 880, 300  # pixels: six columns of four boxes
FUNCTIONS = {name: getattr(scalar, name) for name in ("exp", "log", "tanh", "relu")}
ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Load, ast.Constant,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub,
)  # fmt: skip


def parse(expression: str, values: dict[str, float]) -> tuple[Value, dict[str, Value]]:
    """The value of an expression in the names of `values`, and its named inputs.

    Raises: ValueError that says what is not understood. Nothing but arithmetic is ever evaluated.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise ValueError(f"cannot read {expression!r}: check brackets and signs") from error
    names = {name: Value(value) for name, value in values.items()}
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            raise ValueError(f"{ast.unparse(node) or type(node).__name__!r} is not arithmetic")
        if isinstance(node, ast.Name) and node.id not in names | FUNCTIONS:
            known = ", ".join([*names, *FUNCTIONS])
            raise ValueError(f"{node.id!r} is unknown; there are {known}, numbers, and + - * / **")
    try:
        out = eval(compile(tree, "expression", "eval"), {"__builtins__": {}}, FUNCTIONS | names)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"{expression!r} has no value here: {error}") from error
    if not isinstance(out, Value) or isinstance(out.data, complex):
        raise ValueError("use at least one of the inputs " + ", ".join(names))
    return out, {name: v for name, v in names.items() if v in scalar.ancestors(out)}


class Walk:
    """Backward through a scalar graph, one record at a time, youngest first."""

    def __init__(self, out: Value):
        self.order = sorted(scalar.ancestors(out), key=lambda v: -v.order)
        for value in self.order:
            value.grad = None
        out.grad, self.done = 1.0, 0

    @property
    def next(self) -> Value | None:
        """The operation whose turn it is; None when all have had theirs."""
        return next((v for v in self.order[self.done :] if v.vjp), None)

    def step(self) -> None:
        """Send the gradient of the next operation to its inputs."""
        value = self.next
        if value is None:
            raise StopIteration
        for x, dx in zip(value.inputs, value.vjp(value.grad), strict=True):
            x.grad = dx if x.grad is None else x.grad + dx
        self.done = self.order.index(value) + 1


def rebuild(state) -> None:
    """Read the expression anew and start before the first backward step."""
    out, state.names = parse(state.expression, {"x": state.x, "w": state.w, "b": state.b})
    picture = viz.draw_graph(out, {**state.names, "out": out})
    if picture.width > WIDTH or picture.height > HEIGHT:
        raise ValueError(f"{state.expression!r} does not fit the picture: try a shorter one")
    state.out, state.walk = out, Walk(out)


def draw(state) -> viz.Picture:
    """The graph, the next operation framed, and the gradients that have arrived."""
    graph = viz.draw_graph(
        state.out, {**state.names, "out": state.out}, [state.walk.next] if state.walk.next else []
    )
    picture = viz.Picture(WIDTH, HEIGHT, alt=describe(state))
    return picture.paste(graph, (WIDTH - graph.width) / 2, (HEIGHT - graph.height) / 2)


def describe(state) -> str:
    """The value, what happens next, and in the end the gradients of the inputs."""
    text = f"{state.expression} = {state.out.data:.4g}. "
    if state.walk.next is not None:
        return text + f"Next step back: {state.walk.next.name}."
    gradients = ", ".join(f"d/d{name} = {v.grad:.4g}" for name, v in state.names.items())
    return text + f"All gradients are there: {gradients}."


def graph_stepper(expression: str = "tanh(w * x + b)") -> viz.Widget:
    """Type an expression in x, w and b; step its gradients back to the inputs."""
    state = SimpleNamespace(expression=expression, x=2.0, w=-0.5, b=0.3)
    rebuild(state)
    controls = [
        viz.text("expression", "expression", expression, on_change=rebuild),
        *(
            viz.slider(name, name, -3.0, 3.0, getattr(state, name), step=0.1, on_change=rebuild)
            for name in "xwb"
        ),
    ]
    return viz.Widget(
        state, draw, controls, step=lambda s: s.walk.step(), reset=rebuild, describe=describe, fps=2
    )
