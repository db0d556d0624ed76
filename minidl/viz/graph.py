"""Drawing the graph of a computation: what was applied to what, with values and gradients in boxes."""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np

from .picture import SMALL, Picture
from .theme import BLUE, GREY, ORANGE

BOX_W, BOX_H = 104, 58  # pixels
GAP_X, GAP_Y = 44, 14
PARALLEL = 14  # between the two arrows of a value that an op uses twice
CURVE = np.linspace(0, 1, 13)
EASE = 3 * CURVE**2 - 2 * CURVE**3  # leaves and arrives level, as a Bezier curve with level handles


def children(node) -> tuple[str, list]:
    """The op that made a node ("" for a leaf) and what went in.

    The one place that knows the classes: `minidl.Tensor`, its record `Node`, and `minidl.scalar.Value`.
    """
    record = getattr(node, "grad_fn", None) or node
    inputs = [x for x in getattr(record, "inputs", ()) if x is not None]
    return (record.name if inputs else ""), inputs


def _contents(node) -> tuple:
    """A node's value and gradient, None where it keeps none."""
    value = node.data if hasattr(node, "data") else node.value
    grad = node.grad if node.grad is not None else getattr(getattr(node, "grad_fn", None), "grad", None)
    return getattr(value, "array", value), getattr(grad, "array", grad)


def draw_graph(output, names: dict | None = None, highlight=(), alt: str = "") -> Picture:
    """The graph that computed `output`, inputs on the left: each box holds a value and its gradient.

    A `minidl.Tensor` remembers the values between input and output only `with minidl.trace():`.

    Args:
        output: a `minidl.Tensor` or a `minidl.scalar.Value`.
        names: what to call nodes, {"x": x, "loss": loss}; a `Value` that is a leaf has a name of its own.
        highlight: nodes to draw with a coloured frame.
    """
    layers, edges, nodes = _layers(output)
    _untangle(layers, edges)
    rows = max(len(layer) for layer in layers)
    width = len(layers) * (BOX_W + GAP_X) - GAP_X + 8
    height = rows * (BOX_H + GAP_Y) - GAP_Y + 8
    at = {
        key: (4 + column * (BOX_W + GAP_X), height / 2 + (row - (len(layer) - 1) / 2) * (BOX_H + GAP_Y))
        for column, layer in enumerate(layers)
        for row, key in enumerate(layer)
    }
    picture = Picture(width, height, alt or f"A computation graph with {len(nodes)} nodes.")
    for (start, end), uses in Counter(edges).items():
        for shift in PARALLEL * (np.arange(uses) - (uses - 1) / 2):
            _edge(picture, at[start], at[end], shift, tip=end in nodes)
    labels = {_key(node): name for name, node in (names or {}).items()}
    marked = {_key(node) for node in highlight}
    for key, node in nodes.items():
        _box(picture, *at[key], node, labels.get(key, ""), key in marked)
    return picture


def _key(node) -> int:
    return id(getattr(node, "grad_fn", None) or node)


def _layers(output):
    """Columns of node keys, the output in the last; an edge over several columns gets a waypoint in each.

    Returns:
        layers: lists of keys. edges: pairs of keys in neighbouring columns, one for each use (`a * a`
        uses a twice). nodes: key -> node.
    """
    nodes, order = {_key(output): output}, []
    stack = [(output, iter(children(output)[1]))]
    while stack:  # depth first: every node after its inputs
        node, inputs = stack[-1]
        child = next(inputs, None)
        if child is None:
            order.append(_key(node))
            stack.pop()
        elif _key(child) not in nodes:
            nodes[_key(child)] = child
            stack.append((child, iter(children(child)[1])))
    distance = defaultdict(int)  # the longest way to the output
    for key in reversed(order):
        for child in children(nodes[key])[1]:
            distance[_key(child)] = max(distance[_key(child)], distance[key] + 1)
    last = max(distance.values(), default=0)
    column = {key: last - distance[key] for key in nodes}
    layers = [[key for key in order if column[key] == i] for i in range(last + 1)]
    edges = []
    for key in order:
        for child, uses in Counter(map(_key, children(nodes[key])[1])).items():
            way = [child, *((child, key, i) for i in range(column[child] + 1, column[key])), key]
            for waypoint in way[1:-1]:
                layers[waypoint[2]].append(waypoint)
            edges += list(pairwise(way)) * uses
    return layers, edges, nodes


def _untangle(layers, edges, sweeps: int = 6) -> None:
    """Order each column by the mean row of its neighbours, to and fro: fewer crossings."""
    before, after = defaultdict(list), defaultdict(list)
    for start, end in edges:
        before[end].append(start)
        after[start].append(end)
    row = {key: i - (len(layer) - 1) / 2 for layer in layers for i, key in enumerate(layer)}
    for sweep in range(sweeps):
        neighbours, columns = (before, layers[1:]) if sweep % 2 else (after, layers[-2::-1])
        for layer in columns:
            near = {key: [row[n] for n in neighbours[key]] or [row[key]] for key in layer}
            mean = {key: sum(rows) / len(rows) for key, rows in near.items()}
            layer.sort(key=mean.get)
            row |= {key: i - (len(layer) - 1) / 2 for i, key in enumerate(layer)}


def _edge(picture: Picture, start, end, shift: float, tip: bool) -> None:
    """A curve between two columns, `shift` lower; at a waypoint it runs on through the column."""
    (x0, y0), (x1, y1) = (start[0] + BOX_W, start[1] + shift), (end[0], end[1] + shift)
    xs, ys = x0 + (x1 - x0) * CURVE, y0 + (y1 - y0) * EASE
    if tip:
        picture.line(xs[:-2], ys[:-2], GREY, 1.5).arrow(xs[-3], ys[-3], x1, y1, GREY, 1.5)
    else:
        picture.line([*xs, x1 + BOX_W], [*ys, y1], GREY, 1.5)


def _box(picture: Picture, x, y, node, name: str, marked: bool) -> None:
    op = children(node)[0]
    color = ORANGE if marked else (GREY if op else BLUE)
    picture.rect(x, y - BOX_H / 2, BOX_W, BOX_H, fill=color, stroke="none", radius=6, opacity=0.14)
    picture.rect(x, y - BOX_H / 2, BOX_W, BOX_H, stroke=color, radius=6, width=3 if marked else 1.5)
    name = name or ("" if op else getattr(node, "name", ""))
    title = f"{name} = {op}" if name and op else name or op or "input"
    picture.text(x + BOX_W / 2, y - 14, title[:14], 13, "middle", bold=True)
    value, grad = _contents(node)
    known = "" if value is not None else _size(getattr(node, "shape", ()))  # without trace(): the shape alone
    picture.text(x + BOX_W / 2, y + 4, known or _brief(value, "value"), SMALL, "middle")
    picture.text(x + BOX_W / 2, y + 20, _brief(grad, "grad"), SMALL, "middle")


def _brief(value, what: str) -> str:
    """A number, or the shape of an array, or the size of its gradient."""
    if value is None:
        return f"{what} -"
    value = np.asarray(value, float)
    if value.size == 1:
        return f"{what} {value.item():.3g}"
    if what == "grad":
        return f"max |grad| {np.abs(value).max(initial=0):.2g}"
    return _size(value.shape)


def _size(shape) -> str:
    return " x ".join(map(str, shape))
