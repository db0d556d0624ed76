"""The training cases in autograd (https://github.com/HIPS/autograd), with the updates of `by_numpy`."""

import autograd.numpy as np
from autograd import value_and_grad

from tests.benchmarks import by_numpy_sequences as sequences
from tests.benchmarks.by_numpy import adam
from tests.benchmarks.cases import SHAPES, XOR, data, drawn, labels

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def training_step(loss, parameters, update):
    """`loss(parameters)` is a number; `update(gradients)` changes the parameters in place."""
    both = value_and_grad(loss)

    def step():
        value, gradients = both(parameters)
        update(gradients)
        return float(value)

    return step


def cross_entropy(z, y):
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(y)), y])


def layers(h, parameters):
    for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        h = np.maximum(h @ w.T + b, 0)
    return h @ parameters[-2].T + parameters[-1]


def convolve(x, w, b, padding=0):
    """Windows side by side, one product; autograd has no faster convolution (scipy's is slower here)."""
    n, c, h, width = x.shape
    o, _, k, _ = w.shape
    if padding:
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), "constant")
    oh, ow = h + 2 * padding - k + 1, width + 2 * padding - k + 1
    columns = np.stack([x[:, :, i : i + oh, j : j + ow] for i in range(k) for j in range(k)], axis=2)
    y = w.reshape(o, -1) @ columns.reshape(n, c * k * k, oh * ow)
    return y.reshape(n, o, oh, ow) + b[:, None, None]


def max_pool(x):
    n, c, h, w = x.shape
    return np.max(x.reshape(n, c, h // 2, 2, w // 2, 2), axis=(3, 5))


@case
def xor():
    parameters = drawn(SHAPES["xor"])
    x, y = XOR

    def loss(parameters):
        w1, b1, w2, b2 = parameters
        return np.mean((np.tanh(x @ w1.T + b1) @ w2.T + b2 - y) ** 2)

    def update(gradients):
        for p, g in zip(parameters, gradients, strict=True):
            p -= 0.1 * g

    return training_step(loss, parameters, update)


@case
def mlp():
    parameters = drawn(SHAPES["mlp"])
    x, y = data(128, 784), labels(10, 128)
    return training_step(lambda ps: cross_entropy(layers(x, ps), y), parameters, adam(parameters))


@case
def lenet():
    parameters = drawn(SHAPES["lenet"])
    x, y = data(64, 1, 28, 28), labels(10, 64)

    def loss(ps):
        h = max_pool(np.maximum(convolve(x, *ps[:2]), 0))
        h = max_pool(np.maximum(convolve(h, *ps[2:4]), 0))
        return cross_entropy(layers(h.reshape(64, 256), ps[4:]), y)

    return training_step(loss, parameters, adam(parameters))


@case
def resnet():
    parameters = drawn(SHAPES["resnet"])
    x, y = data(32, 3, 32, 32), labels(10, 32)

    def stage(x, w1, b1, w2, b2):
        x = np.maximum(convolve(x, w1, b1, padding=1), 0)
        return np.maximum(convolve(x, w2, b2, padding=1) + x, 0)

    def loss(ps):
        h = max_pool(stage(x, *ps[:4]))
        h = max_pool(stage(h, *ps[4:8]))
        h = stage(h, *ps[8:12])
        return cross_entropy(layers(np.mean(h, axis=(2, 3)), ps[12:]), y)

    return training_step(loss, parameters, adam(parameters))


def recurrent(gates, cell):
    """Forward and backward over all steps; `cell(a, u, h, c)` from the inputs' and the state's products."""
    T, B, D, H = sequences.T, sequences.B, sequences.D, sequences.H
    parameters = drawn([(gates * H, D), (gates * H, H), (gates * H,), (gates * H,)])
    x, g = data(T, B, D), data(T, B, H, seed=3)

    def score(inputs):
        x, w_ih, w_hh, b_ih, b_hh = inputs
        h = c = np.zeros((B, H), np.float32)
        total = 0.0
        for t in range(T):
            h, c = cell(x[t] @ w_ih.T + b_ih, h @ w_hh.T + b_hh, h, c)
            total = total + np.sum(h * g[t])
        return total

    both = value_and_grad(score)

    def step():
        dx, _, dw_hh, _, _ = both([list(x), *parameters])[1]
        return float(sum(d.sum() for d in dx)) + float(dw_hh.sum())

    return step


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@case
def lstm():
    def cell(a, u, h, c):
        i, f, n, o = np.split(a + u, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(n)
        return sigmoid(o) * np.tanh(c), c

    return recurrent(4, cell)


@case
def gru():
    def cell(a, u, h, c):
        (ar, az, an), (ur, uz, un) = np.split(a, 3, axis=1), np.split(u, 3, axis=1)
        z = sigmoid(az + uz)
        return (1 - z) * np.tanh(an + sigmoid(ar + ur) * un) + z * h, c

    return recurrent(3, cell)


@case
def gpt():
    parameters = sequences.gpt_weights()
    d, heads, time, batch = sequences.WIDTH, sequences.HEADS, sequences.TIME, sequences.BATCH
    ids, y = labels(65, batch, time), labels(65, batch * time)

    def norm(x, weight, bias):
        x = x - np.mean(x, axis=-1, keepdims=True)
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-5) * weight + bias

    def block(x, w1, b1, w2, b2, qkv, b_qkv, out, b_out, up, b_up, down, b_down):
        h = (norm(x, w1, b1) @ qkv.T + b_qkv).reshape(batch, time, 3, heads, d // heads)
        q, k, v = (h[:, :, i].transpose((0, 2, 1, 3)) for i in range(3))
        s = q @ k.transpose((0, 1, 3, 2)) * np.float32((d // heads) ** -0.5) + sequences.CAUSAL
        s = np.exp(s - np.max(s, axis=-1, keepdims=True))
        a = (s / np.sum(s, axis=-1, keepdims=True)) @ v
        x = x + a.transpose((0, 2, 1, 3)).reshape(batch, time, d) @ out.T + b_out
        h = norm(x, w2, b2) @ up.T + b_up
        h = 0.5 * h * (1 + np.tanh(sequences.GELU * (h + 0.044715 * h * h * h)))
        return x + h @ down.T + b_down

    def loss(ps):
        x = ps[0][ids] + ps[1]
        for start in range(2, len(ps) - 4, 12):
            x = block(x, *ps[start : start + 12])
        return cross_entropy((norm(x, *ps[-4:-2]) @ ps[-2].T + ps[-1]).reshape(-1, 65), y)

    return training_step(loss, parameters, adam(parameters, weight_decay=0.01))
