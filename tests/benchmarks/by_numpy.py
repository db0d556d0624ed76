"""The training cases in plain NumPy, forward and backward by hand, as a careful NumPy programmer writes them.

Each case is a function without arguments that returns a step, as in `cases.py`.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.benchmarks.cases import SHAPES, XOR, data, drawn, labels

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def adam(parameters: list, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """`update(gradients)` by Adam (Kingma & Ba 2015), with decoupled weight decay."""
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    count = 0

    def update(gradients):
        nonlocal count
        count += 1
        rate, scale = lr / (1 - beta1**count), 1 / np.sqrt(np.float32(1 - beta2**count))
        for p, g, (m, v) in zip(parameters, gradients, moments, strict=True):
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            if weight_decay:
                p *= 1 - lr * weight_decay
            root = np.sqrt(v)
            root *= scale
            root += eps
            p -= rate * (m / root)

    return update


def cross_entropy(z, y):
    """Softmax cross-entropy of rows: the mean loss, and dL/dz."""
    rows = np.arange(len(y))
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[rows, y]).mean()
    p[rows, y] -= 1
    p /= len(y)
    return float(loss), p


def layers(x, parameters):
    """Linear layers with ReLU between them: the last output, and the backward `g -> dx, gradients`."""
    pairs = list(zip(parameters[::2], parameters[1::2], strict=True))
    inputs = [x]
    for w, b in pairs[:-1]:
        h = inputs[-1] @ w.T
        h += b
        inputs.append(np.maximum(h, 0, out=h))
    w, b = pairs[-1]

    def backward(g, need_dx=True):
        gradients = []
        for i in reversed(range(len(pairs))):
            h, w = inputs[i], pairs[i][0]
            gradients += [g.sum(0), g.T @ h]
            if i or need_dx:
                g = g @ w
            if i:
                g *= h > 0
        return g, gradients[::-1]

    return inputs[-1] @ w.T + b, backward


def convolve(x, w, b, padding=0):
    """3x3 or 5x5 windows as rows of a matrix (im2col), one product: the output, and the backward."""
    n, c, h, width = x.shape
    o, _, k, _ = w.shape
    p = padding
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))) if p else x
    windows = sliding_window_view(padded, (k, k), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    _, oh, ow = windows.shape[:3]
    columns = windows.reshape(n * oh * ow, c * k * k)
    y = columns @ w.reshape(o, -1).T
    y += b

    def backward(g, need_dx=True):
        rows = g.transpose(0, 2, 3, 1).reshape(-1, o)
        gradients = [(rows.T @ columns).reshape(w.shape), rows.sum(0)]
        if not need_dx:
            return None, gradients
        d = (rows @ w.reshape(o, -1)).reshape(n, oh, ow, c, k, k)
        dx = np.zeros(padded.shape, np.float32)
        for i in range(k):
            for j in range(k):
                dx[:, :, i : i + oh, j : j + ow] += d[:, :, :, :, i, j].transpose(0, 3, 1, 2)
        return dx[:, :, p : p + h, p : p + width], gradients

    return y.reshape(n, oh, ow, o).transpose(0, 3, 1, 2), backward


def relu(x):
    y = np.maximum(x, 0)
    return y, lambda g: g * (y > 0)


def max_pool(x):
    """The largest of 2x2 places, and the backward; behind a ReLU equal values have no gradient."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
    y = blocks.max((3, 5))
    return y, lambda g: ((blocks == y[:, :, :, None, :, None]) * g[:, :, :, None, :, None]).reshape(x.shape)


@case
def xor():
    w1, b1, w2, b2 = drawn(SHAPES["xor"])
    x, y = XOR

    def step():
        h = np.tanh(x @ w1.T + b1)
        d = h @ w2.T + b2 - y
        g = d * (2 / d.size)
        dh = (g @ w2) * (1 - h * h)
        for p, dp in ((w2, g.T @ h), (b2, g.sum(0)), (w1, dh.T @ x), (b1, dh.sum(0))):
            p -= 0.1 * dp
        return float((d * d).mean())

    return step


@case
def mlp():
    parameters = drawn(SHAPES["mlp"])
    x, y, update = data(128, 784), labels(10, 128), adam(parameters)

    def step():
        z, backward = layers(x, parameters)
        loss, g = cross_entropy(z, y)
        update(backward(g, need_dx=False)[1])
        return loss

    return step


@case
def lenet():
    parameters = drawn(SHAPES["lenet"])
    w1, b1, w2, b2 = parameters[:4]
    x, y, update = data(64, 1, 28, 28), labels(10, 64), adam(parameters)

    def step():
        h, conv1 = convolve(x, w1, b1)
        h, relu1 = relu(h)
        h, pool1 = max_pool(h)
        h, conv2 = convolve(h, w2, b2)
        h, relu2 = relu(h)
        h, pool2 = max_pool(h)
        z, backward = layers(h.reshape(64, 256), parameters[4:])
        loss, g = cross_entropy(z, y)
        g, last = backward(g)
        g, second = conv2(relu2(pool2(g.reshape(h.shape))))
        _, first = conv1(relu1(pool1(g)), need_dx=False)
        update([*first, *second, *last])
        return loss

    return step


@case
def resnet():
    parameters = drawn(SHAPES["resnet"])
    x, y, update = data(32, 3, 32, 32), labels(10, 32), adam(parameters)

    def stage(x, i):
        w1, b1, w2, b2 = parameters[4 * i : 4 * i + 4]
        h, widen = convolve(x, w1, b1, padding=1)
        h, relu1 = relu(h)
        y, inner = convolve(h, w2, b2, padding=1)
        y, relu2 = relu(y + h)

        def backward(g):
            g = relu2(g)
            dh, second = inner(g)
            dx, first = widen(relu1(dh + g), need_dx=i > 0)
            return dx, [*first, *second]

        return y, backward

    def step():
        h, stage1 = stage(x, 0)
        h, pool1 = max_pool(h)
        h, stage2 = stage(h, 1)
        h, pool2 = max_pool(h)
        h, stage3 = stage(h, 2)
        z, head = layers(h.mean((2, 3)), parameters[-2:])
        loss, g = cross_entropy(z, y)
        g, last = head(g)
        g, third = stage3(np.broadcast_to(g[:, :, None, None] / 64, h.shape))
        g, second = stage2(pool2(g))
        _, first = stage1(pool1(g))
        update([*first, *second, *third, *last])
        return loss

    return step
