"""The training cases in tinygrad (https://github.com/tinygrad/tinygrad) on the CPU, a step under `TinyJit`.

tinygrad compiles with clang, which must be installed. Its way of unrolling 64 time steps gives a program that
takes minutes to compile, so there is no LSTM and no GRU.
"""

import numpy as np
from tinygrad import Context, Device, Tensor, TinyJit
from tinygrad.nn import optim

from tests.benchmarks import by_numpy_sequences as sequences
from tests.benchmarks.cases import SHAPES, XOR, data, drawn, labels

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def weights(arrays):
    return [Tensor(a).realize().is_param_(True) for a in arrays]


def training_step(parameters, optimizer, loss):
    """The whole step as one compiled graph, from the third call on."""
    Device.DEFAULT  # noqa: B018 raises here, with its reason, where tinygrad has no compiler

    @TinyJit
    def jitted():
        optimizer.zero_grad()
        value = loss(parameters).backward()
        return value.realize(*optimizer.schedule_step())

    def step():
        with Context(TRAINING=1):
            return jitted().item()

    return step


def layers(h, ps):
    for w, b in zip(ps[:-2:2], ps[1:-2:2], strict=True):
        h = h.linear(w.T, b).relu()
    return h.linear(ps[-2].T, ps[-1])


@case
def xor():
    x, y = map(Tensor, XOR)
    ps = weights(drawn(SHAPES["xor"]))

    def loss(ps):
        w1, b1, w2, b2 = ps
        return (x.linear(w1.T, b1).tanh().linear(w2.T, b2) - y).square().mean()

    return training_step(ps, optim.SGD(ps, lr=0.1), loss)


@case
def mlp():
    ps = weights(drawn(SHAPES["mlp"]))
    x, y = Tensor(data(128, 784)), Tensor(labels(10, 128).astype(np.int32))
    loss = lambda ps: layers(x, ps).sparse_categorical_crossentropy(y)  # noqa: E731
    return training_step(ps, optim.Adam(ps, lr=1e-3), loss)


@case
def lenet():
    ps = weights(drawn(SHAPES["lenet"]))
    x, y = Tensor(data(64, 1, 28, 28)), Tensor(labels(10, 64).astype(np.int32))

    def loss(ps):
        h = x.conv2d(*ps[:2]).relu().max_pool2d()
        h = h.conv2d(*ps[2:4]).relu().max_pool2d()
        return layers(h.flatten(1), ps[4:]).sparse_categorical_crossentropy(y)

    return training_step(ps, optim.Adam(ps, lr=1e-3), loss)


@case
def resnet():
    ps = weights(drawn(SHAPES["resnet"]))
    x, y = Tensor(data(32, 3, 32, 32)), Tensor(labels(10, 32).astype(np.int32))

    def stage(x, w1, b1, w2, b2):
        x = x.conv2d(w1, b1, padding=1).relu()
        return (x.conv2d(w2, b2, padding=1) + x).relu()

    def loss(ps):
        h = stage(x, *ps[:4]).max_pool2d()
        h = stage(h, *ps[4:8]).max_pool2d()
        h = stage(h, *ps[8:12])
        return layers(h.mean((2, 3)), ps[12:]).sparse_categorical_crossentropy(y)

    return training_step(ps, optim.Adam(ps, lr=1e-3), loss)


@case
def gpt():
    ps = weights(sequences.gpt_weights())
    d, heads, time, batch = sequences.WIDTH, sequences.HEADS, sequences.TIME, sequences.BATCH
    ids = Tensor(labels(65, batch, time).astype(np.int32))
    y = Tensor(labels(65, batch * time).astype(np.int32))

    def norm(x, weight, bias):
        return x.layernorm() * weight + bias

    def block(x, w1, b1, w2, b2, qkv, b_qkv, out, b_out, up, b_up, down, b_down):
        h = norm(x, w1, b1).linear(qkv.T, b_qkv).reshape(batch, time, 3, heads, d // heads)
        q, k, v = (h[:, :, i].transpose(1, 2) for i in range(3))
        a = q.scaled_dot_product_attention(k, v, is_causal=True)
        x = x + a.transpose(1, 2).reshape(batch, time, d).linear(out.T, b_out)
        return x + norm(x, w2, b2).linear(up.T, b_up).gelu().linear(down.T, b_down)

    def loss(ps):
        x = ps[0][ids] + ps[1]
        for start in range(2, len(ps) - 4, 12):
            x = block(x, *ps[start : start + 12])
        z = norm(x, *ps[-4:-2]).linear(ps[-2].T, ps[-1])
        return z.reshape(-1, 65).sparse_categorical_crossentropy(y)

    return training_step(ps, optim.AdamW(ps, lr=1e-3, weight_decay=0.01), loss)
