"""The work that is timed, written once: every case runs with m = minidl and with m = torch.

A case is a function `case(m) -> step`; `step()` does one unit of work and returns a number to compare (a
loss, or a sum of gradients). Weights and data come from NumPy with one seed, so that all engines start equal.
"""

from collections.abc import Callable

import numpy as np

CASES: dict[str, Callable] = {}
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([[0], [1], [1], [0]], np.float32)
SHAPES = {
    "xor": [(8, 2), (8,), (1, 8), (1,)],
    "mlp": [(256, 784), (256,), (128, 256), (128,), (10, 128), (10,)],
    "lenet": [
        (6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 256), (120,), (84, 120), (84,), (10, 84), (10,),
    ],
    "resnet": [
        (16, 3, 3, 3), (16,), (16, 16, 3, 3), (16,), (32, 16, 3, 3), (32,), (32, 32, 3, 3), (32,),
        (64, 32, 3, 3), (64,), (64, 64, 3, 3), (64,), (10, 64), (10,),
    ],
}  # fmt: skip
"""Of the weights, for engines that have no layers."""


def case(function):
    CASES[function.__name__] = function
    return function


def data(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def labels(classes: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, classes, shape)


def drawn(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Weights: matrices and kernels normal, scaled by the fan-in; one number an output, a bias, is 0."""
    rng = np.random.default_rng(2)
    return [
        (rng.standard_normal(s) / np.sqrt(np.prod(s[1:]))).astype(np.float32)
        if len(s) > 1
        else np.zeros(s, np.float32)
        for s in shapes
    ]


def same_weights(m, model):
    """The model with `drawn` weights; the scale of a norm stays 1."""
    state = model.state_dict()
    values = drawn([tuple(value.shape) for value in state.values()])
    for name, value in zip(state, values, strict=True):
        if value.ndim > 1 or "bias" in name:
            state[name] = m.tensor(value)
    model.load_state_dict(state)
    return model


def prepared(m, model, x):
    """What an engine's setting does to model and input before the first step; nothing by default."""
    return m.prepare(model, x) if hasattr(m, "prepare") else (model, x)


def training_step(m, model, optimizer, loss, x, y):
    """forward, loss, backward, update on one batch, again and again."""
    same_weights(m, model)
    model, x = prepared(m, model, m.tensor(x))
    y = m.tensor(y)

    def work():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    work = m.recorded(work) if hasattr(m, "recorded") else work
    return lambda: work().item()


@case
def xor(m):
    """2-8-1 with tanh, batch 4, plain SGD: nothing but overhead."""
    model = m.nn.Sequential(m.nn.Linear(2, 8), m.nn.Tanh(), m.nn.Linear(8, 1))
    return training_step(m, model, m.optim.SGD(model.parameters(), lr=0.1), m.F.mse_loss, *XOR)


@case
def mlp(m):
    """784-256-128-10 with ReLU, batch 128, Adam."""
    nn = m.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = m.optim.Adam(model.parameters(), lr=1e-3)
    return training_step(m, model, optimizer, m.F.cross_entropy, data(128, 784), labels(10, 128))


@case
def lenet(m):
    """Two 5x5 convolutions with max-pooling, three linear layers, 28x28 images, batch 64, Adam."""
    nn = m.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    optimizer = m.optim.Adam(model.parameters(), lr=1e-3)
    return training_step(m, model, optimizer, m.F.cross_entropy, data(64, 1, 28, 28), labels(10, 64))


@case
def resnet(m):
    """Three stages of 3x3 convolutions with 16, 32, 64 channels, one skip each, 32x32 images, batch 32."""
    nn = m.nn

    class Stage(nn.Module):
        def __init__(self, before, channels):
            super().__init__()
            self.widen = nn.Conv2d(before, channels, 3, padding=1)
            self.inner = nn.Conv2d(channels, channels, 3, padding=1)

        def forward(self, x):
            x = m.relu(self.widen(x))
            return m.relu(self.inner(x) + x)

    model = nn.Sequential(
        Stage(3, 16), nn.MaxPool2d(2), Stage(16, 32), nn.MaxPool2d(2), Stage(32, 64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = m.optim.Adam(model.parameters(), lr=1e-3)
    return training_step(m, model, optimizer, m.F.cross_entropy, data(32, 3, 32, 32), labels(10, 32))


def _recurrent(m, layer):
    """Forward and backward over T=64 steps, batch 32, 64 features, 128 hidden; no update."""
    same_weights(m, layer)
    x = m.tensor(data(64, 32, 64)).requires_grad_()
    run, _ = prepared(m, layer, x)
    g = m.tensor(data(64, 32, 128, seed=3))

    def step():
        layer.zero_grad()
        x.grad = None
        out, _ = run(x)
        out.backward(g)
        return float(x.grad.sum()) + float(layer.weight_hh_l0.grad.sum())

    return step


@case
def lstm(m):
    """nn.LSTM(64, 128), T=64, batch 32: forward and backward."""
    return _recurrent(m, m.nn.LSTM(64, 128))


@case
def gru(m):
    """nn.GRU(64, 128), T=64, batch 32: forward and backward."""
    return _recurrent(m, m.nn.GRU(64, 128))


@case
def gpt(m):
    """4 pre-norm layers, d=128, 4 heads, T=128, batch 16, 65 characters, AdamW."""
    nn, F, layers, d, heads, T, B = m.nn, m.F, 4, 128, 4, 128, 16

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(a.transpose(1, 2).reshape(B, T, d))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Embedding(65, d), nn.Embedding(T, d)
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 65)

        def forward(self, ids):
            x = self.token(ids) + self.place.weight
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    model = GPT()
    optimizer = m.optim.AdamW(model.parameters(), lr=1e-3)
    return training_step(m, model, optimizer, F.cross_entropy, labels(65, B, T), labels(65, B * T))
