"""XOR in micrograd (https://github.com/karpathy/micrograd), the only case that single numbers can do in time.

It comes without tanh; the op is added in its own style.
"""

import math

from micrograd.engine import Value

from tests.benchmarks.cases import SHAPES, XOR, drawn


def tanh(x: Value) -> Value:
    t = math.tanh(x.data)
    out = Value(t, (x,), "tanh")

    def _backward():
        x.grad += (1 - t * t) * out.grad

    out._backward = _backward
    return out


def xor():
    w1, b1, w2, b2 = ([[Value(v) for v in row] for row in p.reshape(len(p), -1).tolist()]
                      for p in drawn(SHAPES["xor"]))  # fmt: skip
    parameters = [v for p in (w1, b1, w2, b2) for row in p for v in row]
    xs, ys = (a.tolist() for a in XOR)

    def linear(w, b, x):
        return [
            sum((wi * xi for wi, xi in zip(row, x, strict=True)), bias)
            for row, (bias,) in zip(w, b, strict=True)
        ]

    def step():
        loss = Value(0)
        for x, y in zip(xs, ys, strict=True):
            (out,) = linear(w2, b2, [tanh(h) for h in linear(w1, b1, x)])
            loss = loss + (out - y[0]) ** 2
        loss = loss / len(xs)
        for p in parameters:
            p.grad = 0
        loss.backward()
        for p in parameters:
            p.data -= 0.1 * p.grad
        return loss.data

    return step


CASES = {"xor": xor}
