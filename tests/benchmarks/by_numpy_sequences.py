"""LSTM, GRU and GPT in plain NumPy, forward and backward by hand."""

import numpy as np

from tests.benchmarks.by_numpy import CASES, adam, case, cross_entropy  # noqa: F401 all cases together
from tests.benchmarks.cases import data, drawn, labels

T, B, D, H = 64, 32, 64, 128  # time, batch, features, hidden units
WIDTH, HEADS, LAYERS, TIME, BATCH, CHARACTERS = 128, 4, 4, 128, 16, 65
CAUSAL = np.triu(np.full((TIME, TIME), -np.inf, np.float32), 1)
GELU = np.float32(np.sqrt(2 / np.pi))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrent(gates: int, forward_and_backward):
    """A step of nn.LSTM or nn.GRU: what depends on the step before is done in a loop."""
    w_ih, w_hh, b_ih, b_hh = drawn([(gates * H, D), (gates * H, H), (gates * H,), (gates * H,)])
    x, g = data(T, B, D), data(T, B, H, seed=3)

    def step():
        a = (x.reshape(-1, D) @ w_ih.T + b_ih).reshape(T, B, -1)
        da, du, before = forward_and_backward(a, w_hh, b_hh, g)
        rows, inner = da.reshape(T * B, -1), du.reshape(T * B, -1)
        dx, dw_ih, dw_hh = rows @ w_ih, rows.T @ x.reshape(-1, D), inner.T @ before.reshape(-1, H)
        rows.sum(0), inner.sum(0)  # gradients of the biases
        assert dw_ih.shape == w_ih.shape
        return float(dx.sum()) + float(dw_hh.sum())

    return step


@case
def lstm():
    return recurrent(4, _lstm)


def _lstm(a, w_hh, b_hh, g):
    h, c = np.zeros((T + 1, B, H), np.float32), np.zeros((T + 1, B, H), np.float32)
    gates, tanh_c = np.empty_like(a), np.empty((T, B, H), np.float32)
    for t in range(T):
        z = h[t] @ w_hh.T
        z += a[t]
        z += b_hh
        z[:, : 2 * H] = sigmoid(z[:, : 2 * H])
        z[:, 2 * H : 3 * H] = np.tanh(z[:, 2 * H : 3 * H])
        z[:, 3 * H :] = sigmoid(z[:, 3 * H :])
        i, f, n, o = np.split(z, 4, axis=1)
        c[t + 1] = f * c[t] + i * n
        tanh_c[t] = np.tanh(c[t + 1])
        h[t + 1] = o * tanh_c[t]
        gates[t] = z
    da, dh, dc = np.empty_like(a), np.zeros((B, H), np.float32), np.zeros((B, H), np.float32)
    for t in reversed(range(T)):
        i, f, n, o = np.split(gates[t], 4, axis=1)
        dh = dh + g[t]
        dc = dc + dh * o * (1 - tanh_c[t] ** 2)
        da[t, :, :H] = dc * n * i * (1 - i)
        da[t, :, H : 2 * H] = dc * c[t] * f * (1 - f)
        da[t, :, 2 * H : 3 * H] = dc * i * (1 - n * n)
        da[t, :, 3 * H :] = dh * tanh_c[t] * o * (1 - o)
        dc = dc * f
        dh = da[t] @ w_hh
    return da, da, h[:-1]


@case
def gru():
    return recurrent(3, _gru)


def _gru(a, w_hh, b_hh, g):
    h, both = np.zeros((T + 1, B, H), np.float32), np.empty((T, B, 2 * H), np.float32)
    new, inner = np.empty((T, B, H), np.float32), np.empty((T, B, H), np.float32)
    for t in range(T):
        u = h[t] @ w_hh.T
        u += b_hh
        both[t] = sigmoid(a[t, :, : 2 * H] + u[:, : 2 * H])
        r, z = both[t, :, :H], both[t, :, H:]
        inner[t] = u[:, 2 * H :]
        new[t] = np.tanh(a[t, :, 2 * H :] + r * inner[t])
        h[t + 1] = (1 - z) * new[t] + z * h[t]
    da, du, dh = np.empty_like(a), np.empty_like(a), np.zeros((B, H), np.float32)
    for t in reversed(range(T)):
        r, z, n = both[t, :, :H], both[t, :, H:], new[t]
        dh = dh + g[t]
        dn = dh * (1 - z) * (1 - n * n)
        da[t, :, :H] = dn * inner[t] * r * (1 - r)
        da[t, :, H : 2 * H] = dh * (h[t] - n) * z * (1 - z)
        da[t, :, 2 * H :] = dn
        du[t] = da[t]
        du[t, :, 2 * H :] *= r
        dh = dh * z + du[t] @ w_hh
    return da, du, h[:-1]


def linear(x, w, b):
    def backward(g):
        rows = g.reshape(-1, len(w))
        return g @ w, [rows.T @ x.reshape(-1, w.shape[1]), rows.sum(0)]

    y = x @ w.T
    y += b
    return y, backward


def layer_norm(x, weight, bias):
    n = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((n * n).mean(-1, keepdims=True) + 1e-5)
    n *= scale

    def backward(g):
        d = g * weight
        dx = scale * (d - d.mean(-1, keepdims=True) - n * (d * n).mean(-1, keepdims=True))
        return dx, [(g * n).sum((0, 1)), g.sum((0, 1))]

    return n * weight + bias, backward


def gelu(x):
    t = np.tanh(GELU * (x + 0.044715 * x * x * x))
    slope = GELU * (1 + 3 * 0.044715 * x * x)
    return 0.5 * x * (1 + t), lambda g: g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


def attention(qkv):
    q, k, v = qkv.reshape(BATCH, TIME, 3, HEADS, WIDTH // HEADS).transpose(2, 0, 3, 1, 4)
    scale = np.float32((WIDTH // HEADS) ** -0.5)
    p = q @ k.swapaxes(2, 3)
    p *= scale
    p += CAUSAL
    p -= p.max(-1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(-1, keepdims=True)

    def backward(g):
        g = g.reshape(BATCH, TIME, HEADS, -1).swapaxes(1, 2)
        dp = g @ v.swapaxes(2, 3)
        dp -= (dp * p).sum(-1, keepdims=True)
        dp *= p
        dp *= scale
        parts = np.stack([dp @ k, dp.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ g])
        return parts.transpose(1, 3, 0, 2, 4).reshape(qkv.shape)

    return (p @ v).swapaxes(1, 2).reshape(BATCH, TIME, WIDTH), backward


def block(x, parameters):
    """x + attention(norm(x)), then x + MLP(norm(x)); order of parameters as in `cases.gpt`."""
    norm1, norm2, qkv, out, up, down = [parameters[i : i + 2] for i in range(0, 12, 2)]
    h, back_norm1 = layer_norm(x, *norm1)
    h, back_qkv = linear(h, *qkv)
    h, back_attention = attention(h)
    h, back_out = linear(h, *out)
    x = x + h
    h, back_norm2 = layer_norm(x, *norm2)
    h, back_up = linear(h, *up)
    h, back_gelu = gelu(h)
    h, back_down = linear(h, *down)

    def backward(g):
        d, d_down = back_down(g)
        d, d_up = back_up(back_gelu(d))
        d, d_norm2 = back_norm2(d)
        g = g + d
        d, d_out = back_out(g)
        d, d_qkv = back_qkv(back_attention(d))
        d, d_norm1 = back_norm1(d)
        return g + d, [*d_norm1, *d_norm2, *d_qkv, *d_out, *d_up, *d_down]

    return x + h, backward


def gpt_weights():
    """In the order of `cases.gpt`: two embeddings, the blocks, the last norm, the head; norms start at 1."""
    d = WIDTH
    one = [(d,), (d,), (d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (4 * d, d), (4 * d,), (d, 4 * d), (d,)]
    shapes = [(CHARACTERS, d), (TIME, d), *(one * LAYERS), (d,), (d,), (CHARACTERS, d), (CHARACTERS,)]
    weights = drawn(shapes)
    for start in range(2, len(shapes) - 4, 12):
        weights[start] += 1
        weights[start + 2] += 1
    weights[-4] += 1
    return weights


@case
def gpt():
    weights = gpt_weights()
    token, place, *inner, weight, bias, head, head_bias = weights
    update = adam(weights, weight_decay=0.01)
    ids, y = labels(CHARACTERS, BATCH, TIME), labels(CHARACTERS, BATCH * TIME)

    def step():
        x, backs = token[ids] + place, []
        for start in range(0, len(inner), 12):
            x, back = block(x, inner[start : start + 12])
            backs.append(back)
        x, back_norm = layer_norm(x, weight, bias)
        z, back_head = linear(x, head, head_bias)
        loss, g = cross_entropy(z.reshape(-1, CHARACTERS), y)
        g, last = back_head(g.reshape(z.shape))
        g, d_norm = back_norm(g)
        gradients = [*d_norm, *last]
        for back in reversed(backs):
            g, of_block = back(g)
            gradients = of_block + gradients
        d_token = np.zeros_like(token)
        np.add.at(d_token, ids.ravel(), g.reshape(-1, WIDTH))
        update([d_token, g.sum(0), *gradients])
        return loss

    return step
