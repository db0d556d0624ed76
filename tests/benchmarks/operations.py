"""Single operations that are timed, written once for m = minidl and m = torch, with the work that they are.

An operation's `build(m)` returns a step; a step returns the tensor that is compared. `flops` is the number
of floating-point operations of one step, `bytes` what it must at least read and write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.benchmarks.cases import data

CHAIN = 10
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
SIZES_BACKWARD = (100_000, 1_000_000)
COLUMNS = 250  # of a softmax or a norm; divides every size

IMAGES = (  # batch, channels in and out, height and width, kernel, stride, padding
    (64, 1, 6, 28, 5, 1, 0),
    (64, 6, 16, 12, 5, 1, 0),
    (32, 3, 16, 32, 3, 1, 1),
    (32, 16, 16, 32, 3, 1, 1),
    (32, 32, 32, 16, 3, 1, 1),
    (32, 64, 64, 8, 3, 1, 1),
    (32, 32, 64, 16, 3, 2, 1),
    (8, 3, 64, 64, 7, 2, 3),
    (8, 64, 64, 28, 3, 1, 1),
    (8, 64, 128, 28, 1, 1, 0),
    (8, 128, 128, 14, 3, 1, 1),
    (1, 64, 64, 56, 3, 1, 1),
)
PRODUCTS = (  # M, K, N
    (64, 64, 64), (128, 784, 256), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 128, 512),
)  # fmt: skip


@dataclass
class Operation:
    build: Callable
    flops: float = 0
    bytes: float = 0


def no_gradient(m, function, *args):
    """function(*args) alone."""

    def step():
        with m.no_grad():
            return function(*args)

    return step


def both_ways(function, x, g):
    """function(x) and dL/dx."""

    def step():
        x.grad = None
        function(x).backward(g)
        return x.grad

    return step


def backward_alone(function, leaf, g):
    """dL/d(leaf), again and again for one forward."""
    y = function()

    def step():
        leaf.grad = None
        y.backward(g, retain_graph=True)
        return leaf.grad

    return step


TINY = {
    "add": ((8,), lambda m, y, x: y + x),
    "mul": ((8,), lambda m, y, x: y * x),
    "matmul": ((4, 4), lambda m, y, x: y @ x),
    "relu": ((8,), lambda m, y, x: m.relu(y)),
    "sum": ((8, 1), lambda m, y, x: y.sum(1, keepdim=True)),
}


def tiny(m, name):
    """CHAIN ops one after the other on a few numbers, forward and backward: nothing but overhead."""
    shape, function = TINY[name]

    def chain(x):
        y = x
        for _ in range(CHAIN):
            y = function(m, y, x)
        return y

    return both_ways(chain, m.tensor(data(*shape)).requires_grad_(), m.tensor(data(*shape, seed=1)))


EACH = {  # arrays read and written in the forward alone
    "add": (3, lambda m, x: x + x.detach()),
    "exp": (2, lambda m, x: m.exp(x)),
    "tanh": (2, lambda m, x: m.tanh(x)),
    "sigmoid": (2, lambda m, x: m.sigmoid(x)),
    "relu": (2, lambda m, x: m.relu(x)),
    "gelu": (2, lambda m, x: m.F.gelu(x)),
    "softmax": (2, lambda m, x: m.F.softmax(x, dim=-1)),
    "layer norm": (2, lambda m, x: m.F.layer_norm(x, (COLUMNS,))),
}


def each(m, name, size, backward):
    """An op on (rows, COLUMNS), alone or with its backward."""
    function, shape = partial(EACH[name][1], m), (size // COLUMNS, COLUMNS)
    x = m.tensor(data(*shape))
    if not backward:
        return no_gradient(m, function, x)
    return both_ways(function, x.requires_grad_(), m.tensor(data(*shape, seed=1)))


def convolution(m, way, n, channels, outputs, size, kernel, stride, padding):
    """A convolution alone, or one of its two gradients alone."""
    x = m.tensor(data(n, channels, size, size))
    w = m.tensor(data(outputs, channels, kernel, kernel, seed=1) / (channels * kernel * kernel) ** 0.5)
    if hasattr(m, "prepare"):
        w, x = m.prepare(w, x)

    def forward():
        return m.F.conv2d(x, w, stride=stride, padding=padding)

    if way == "forward":
        return no_gradient(m, forward)
    leaf = (x if way == "dx" else w).requires_grad_()
    return backward_alone(forward, leaf, m.tensor(data(*forward().shape, seed=2)))


def product(m, rows, inner, columns):
    """A matrix product."""
    return no_gradient(m, m.matmul, m.tensor(data(rows, inner)), m.tensor(data(inner, columns, seed=1)))


def _operations():
    for name in TINY:
        yield f"overhead: {CHAIN} {name}", Operation(partial(tiny, name=name))
    for name, (passes, _) in EACH.items():
        for size in SIZES:
            for backward in (False, True)[: 1 + (size in SIZES_BACKWARD)]:
                text = f"{name} {size:.0e}".replace("e+0", "e") + " with backward" * backward
                count = 0 if backward else 4.0 * passes * size
                yield text, Operation(partial(each, name=name, size=size, backward=backward), bytes=count)
    for shape in PRODUCTS:
        names = dict(zip(("rows", "inner", "columns"), shape, strict=True))
        yield (
            f"matmul {'x'.join(map(str, shape))}",
            Operation(partial(product, **names), 2.0 * np.prod(shape)),
        )
    for n, c, o, size, k, s, p in IMAGES:
        places = ((size + 2 * p - k) // s + 1) ** 2
        names = {"n": n, "channels": c, "outputs": o, "size": size, "kernel": k, "stride": s, "padding": p}
        for way in ("forward", "dx", "dw"):
            text = f"conv2d {way}: {n}x{c}x{size}x{size}, {o} of {k}x{k}, stride {s}"
            yield text, Operation(partial(convolution, way=way, **names), 2.0 * n * o * places * c * k * k)


OPERATIONS: dict[str, Operation] = dict(_operations())
"""Name in tables -> operation."""
