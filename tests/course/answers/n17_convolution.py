"""Notebook 17: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import math

import numpy as np

from minidl import nn, tensor
from minidl.nn import functional as F


def size_by_walking(n, kernel, stride, padding, dilation):
    places, start = 0, -padding
    while start + dilation * (kernel - 1) < n + padding:
        places, start = places + 1, start + stride
    return places


def size_by_floor(n, kernel, stride, padding, dilation):
    return math.floor((n + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1)


def pad(x, p):
    out = np.zeros((*x.shape[:2], x.shape[2] + 2 * p, x.shape[3] + 2 * p))
    out[:, :, p : p + x.shape[2], p : p + x.shape[3]] = x
    return out


def convolve_by_loops(x, w, stride, padding):
    x, k = pad(x, padding), w.shape[2]
    h, v = ((n - k) // stride + 1 for n in x.shape[2:])
    y = np.zeros((len(x), len(w), h, v))
    for n, o, i, j in np.ndindex(*y.shape):
        window = x[n, :, i * stride : i * stride + k, j * stride : j * stride + k]
        y[n, o, i, j] = (window * w[o]).sum()
    return y


def convolve_by_minidl(x, w, stride, padding):
    return F.conv2d(tensor(x), tensor(w), stride=stride, padding=padding)


def windows_of(x, k):
    return np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))


def all_places(x, w):
    return np.einsum("nchwab,ocab->nohw", windows_of(x, w.shape[2]), w)


def padded_everywhere(x, w, stride, padding):
    windows = windows_of(np.pad(x, padding), w.shape[2])[:, :, ::stride, ::stride]
    return np.einsum("nchwab,ocab->nohw", windows, w)


def padded_everywhere_in_loops(x, w, stride, padding):
    x, k = np.pad(x, padding), w.shape[2]
    h, v = ((n - k) // stride + 1 for n in x.shape[2:])
    y = np.zeros((len(x), len(w), h, v))
    for i, j in np.ndindex(h, v):
        window = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
        y[:, :, i, j] = np.tensordot(window, w, ((1, 2, 3), (1, 2, 3)))
    return y


def zeros_on_sides(sides):
    def convolve(x, w, stride, padding):
        pair = sides(padding)
        x = np.pad(x, ((0, 0), (0, 0), pair, pair))
        return all_places(x, w)[:, :, ::stride, ::stride]

    return convolve


def without_last(more):
    """Loops over as many places as (H + 2p - K + more) // s."""

    def answer(x, w, stride, padding):
        (H, W), K = x.shape[2:], w.shape[2]
        rows, columns = ((n + 2 * padding - K + more) // stride for n in (H, W))
        return convolve_by_loops(x, w, stride, padding)[:, :, :rows, :columns]

    return answer


def first_axes_of_windows(x, w, stride, padding):
    windows = windows_of(pad(x, padding), w.shape[2])[::stride, ::stride]
    return np.einsum("nchwab,ocab->nohw", windows, w)


def last_axes_of_windows(x, w, stride, padding):
    windows = windows_of(pad(x, padding), w.shape[2])[..., ::stride, ::stride]
    return np.einsum("nchwab,ocab->nohw", windows, w)


def every_other_pixel(x, w, stride, padding):
    return convolve_by_loops(pad(x, padding)[:, :, ::stride, ::stride], w, 1, 0)


def gradient_by_places(g, x, kernel, stride):
    dw = np.zeros((g.shape[1], x.shape[1], kernel, kernel))
    for n, o, i, j in np.ndindex(*g.shape):
        dw[o] += g[n, o, i, j] * x[n, :, i * stride :, j * stride :][:, :kernel, :kernel]
    return dw


def gradient_by_autograd(g, x, kernel, stride):
    w = tensor(np.zeros((g.shape[1], x.shape[1], kernel, kernel)), requires_grad=True)
    F.conv2d(tensor(x), w, stride=stride).backward(tensor(g))
    return w.grad


def gradient_assigned(g, x, kernel, stride):
    dw = np.zeros((g.shape[1], x.shape[1], kernel, kernel))
    for n, i, j in np.ndindex(len(g), *g.shape[2:]):
        window = x[n, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        dw[:] = g[n, :, i, j][:, None, None, None] * window  # the last place of the last picture stays
    return dw


def gradient_of_last_place(g, x, kernel, stride):
    dw = np.zeros((g.shape[1], x.shape[1], kernel, kernel))
    for i, j in np.ndindex(*g.shape[2:]):
        window = x[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        dw = np.einsum("no,ncab->ocab", g[:, :, i, j], window)
    return dw


def gradient_by_slices(cut, product="einsum"):
    """cut(start, count, stride) -> the slice that weight `start` is thought to meet."""

    def gradient(g, x, kernel, stride):
        dw = np.zeros((g.shape[1], x.shape[1], kernel, kernel))
        for a, b in np.ndindex(kernel, kernel):
            met = x[:, :, cut(a, g.shape[2], stride), cut(b, g.shape[3], stride)]
            if product == "einsum":
                dw[:, :, a, b] = np.einsum("nohw,nchw->oc", g, met)
            elif product == "tensordot":
                dw[:, :, a, b] = np.tensordot(g, met, ((0, 2, 3), (0, 2, 3)))
            else:
                dw[:, :, a, b] = (g[:, :, None] * met[:, None]).sum((0, 3, 4))
        return dw

    return gradient


def too_short(start, count, stride):
    return slice(start, start + count, stride)


def without_end(start, count, stride):
    return slice(start, None, stride)


class Mean(nn.Module):
    def forward(self, x):
        return x.reshape(*x.shape[:2], -1).mean(2)


class Largest(nn.Module):
    def forward(self, x):
        return x.reshape(*x.shape[:2], -1).amax(2)


class Probabilities(nn.Module):
    def forward(self, x):
        return F.softmax(x, dim=1)


def convolutional(*readout, stride=1, maps=40):
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 12, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(12, maps, 3, stride=stride, padding=1),
        nn.ReLU(),
        *readout,
    )


def to_the_largest():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 12, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(12, 48, 3, padding=2, dilation=2),
        nn.ReLU(),
        Largest(),
        nn.Linear(48, 10),
    )


def convolutional_mean():
    return convolutional(Mean(), nn.Linear(40, 10))


def flattened():
    return convolutional(nn.Flatten(), nn.Linear(5 * 5 * 16, 10), stride=2, maps=16)


ONCE = to_the_largest()


def with_old_layers():
    """A new module in each call, around layers that are always the same."""
    return nn.Sequential(*ONCE)


CONTRAST = np.array([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / 8
UP = [[0, 0, 0], [0, 0, 0], [0, 1, 0]]
DOWN = [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def kernels(up=UP, contrast=CONTRAST):
    return {"up": up, "contrast": contrast}


RIGHT = {
    "17.1": [size_by_walking, size_by_floor],
    "17.2": [kernels(), kernels(up=np.array(UP, float), contrast=CONTRAST.tolist()), kernels(tensor(UP))],
    "17.3": [convolve_by_loops, convolve_by_minidl],
    "17.4": [
        gradient_by_places,
        gradient_by_autograd,
        gradient_by_slices(
            lambda start, count, stride: slice(start, start + stride * (count - 1) + 1, stride)
        ),
    ],
    "17.5": [to_the_largest],
}

WRONG = {
    "17.1": [
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s, "one place is missing"),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s, "right with stride 1 only"),
        (lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1, "counts twice"),
        (lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1, "the padding is missing"),
        (lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1, "k posts have k − 1 gaps"),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s + 1, "counts the gaps only"),
        (lambda n, k, s, p, d: (n + 2 * p - k) // s + 1, "the dilation is missing"),
        (lambda n, k, s, p, d: (n + 2 * p - (k + d - 1)) // s + 1, "widens every gap"),
        (lambda n, k, s, p, d: math.ceil((n + 2 * p - d * (k - 1) - 1) / s) + 1, "rounded up"),
        (lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s) + 1, "or to the nearest"),
        (lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s + 1), "or to the nearest"),
        (lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1, "places are whole"),
        (lambda n, k, s, p, d: n + 2 * p - d * (k - 1), "the stride is missing"),
        (lambda n, k, s, p, d: print(n), "is a `return` missing?"),
    ],
    "17.2": [
        (kernels(up=DOWN), "moves the picture down"),
        (kernels(up=np.transpose(UP)), "moves the picture left"),
        (kernels(up=np.transpose(DOWN)), "moves the picture right"),
        (kernels(up=np.eye(9)[4].reshape(3, 3)), "leaves the picture where it is"),
        (kernels(up=np.eye(9)[8].reshape(3, 3)), "up and left"),
        (kernels(up=2 * np.array(UP)), "the weight is not 1"),
        (kernels(up=[[0, -1, 0], [0, 0, 0], [0, 1, 0]]), "mixes pixels"),
        (kernels(up=[0, 1, 0]), "three rows of three"),
        (kernels(up="below"), "something else"),
        (kernels(contrast=-CONTRAST), "wrong sign"),
        (kernels(contrast=8 * CONTRAST), "8 times too large"),
        (kernels(contrast=np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]) / 4), "hears four neighbours"),
        (kernels(contrast=np.eye(9)[4].reshape(3, 3) - np.full((3, 3), 1 / 9)), "the middle one included"),
        (kernels(contrast=np.ones((3, 3)) / 9), "add up to 1"),
        (kernels(contrast=[[-1, -2, -1], [-2, 12, -2], [-1, -2, -1]]), "count equally"),
        (kernels(contrast=[...]), "`contrast` is not written yet"),
        (kernels(up=[...]), "`up` is not written yet"),
        (kernels(contrast=[[-1, -1, -1], [-1, ..., -1], [-1, -1, -1]]), "`contrast` is not written yet"),
        (kernels(up=DOWN, contrast=[...]), "moves the picture down"),
        ({"up": UP}, "a dict with the keys"),
        (UP, "a dict with the keys"),
    ],
    "17.3": [
        (lambda x, w, s, p: convolve_by_loops(x, w[..., ::-1, ::-1], s, p), "turned by 180°"),
        (lambda x, w, s, p: convolve_by_loops(x, w.swapaxes(-1, -2), s, p), "mirrored"),
        (lambda x, w, s, p: convolve_by_loops(x, w, s, 0), "the padding is missing"),
        (lambda x, w, s, p: convolve_by_loops(x, w, 1, p), "the stride is missing"),
        (lambda x, w, s, p: convolve_by_loops(x, w, 1, p)[:, :, ::s], "on the rows only"),
        (lambda x, w, s, p: convolve_by_loops(x, w, 1, p)[..., ::s], "on the columns only"),
        (every_other_pixel, "taken on the pixels"),
        (lambda x, w, s, p: pad(convolve_by_loops(x, w, s, 0), p), "round the answer"),
        (lambda x, w, s, p: pad(all_places(x, w), p)[:, :, ::s, ::s], "round the response, before the steps"),
        (lambda x, w, s, p: np.pad(all_places(x, w)[:, :, ::s, ::s], p), "the response, on all four axes"),
        (padded_everywhere, "Pad the last two axes only"),
        (padded_everywhere_in_loops, "Pad the last two axes only"),
        (zeros_on_sides(lambda p: (p, 0)), "at the top and the left only"),
        (zeros_on_sides(lambda p: (0, p)), "at the bottom and the right only"),
        (zeros_on_sides(lambda p: (2 * p, 2 * p)), "twice the zeros"),
        (zeros_on_sides(lambda p: (p // 2, p - p // 2)), "shared out"),
        (zeros_on_sides(lambda p: (p // 2, p // 2)), "shared out"),
        (without_last(0), "before the first step comes on top"),
        (without_last(1), "not (H + 2p − K + 1) // s"),
        (lambda x, w, s, p: all_places(pad(x, p), w)[::s, ::s], "leaves out pictures and maps"),
        (first_axes_of_windows, "leaves out pictures and channels"),
        (last_axes_of_windows, "weights out of each window"),
        (lambda x, w, s, p: convolve_by_loops(x[:, :1], w[:, :1], s, p), "only the first channel"),
        (lambda x, w, s, p: convolve_by_loops(x, w, s, p) / x.shape[1], "the mean over the channels"),
        (lambda x, w, s, p: convolve_by_loops(x, w, s, p).sum(1, keepdims=True), "a map of its own"),
        (lambda x, w, s, p: convolve_by_loops(x, w, s, p).transpose(0, 2, 3, 1), "on the last axis"),
        (lambda x, w, s, p: convolve_by_loops(x, w, s, p).transpose(1, 0, 2, 3), "pictures first"),
        (
            lambda x, w, s, p: convolve_by_loops(
                np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="edge"), w, s, 0
            ),
            "repeats the picture's edge",
        ),
        (
            lambda x, w, s, p: convolve_by_loops(
                np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="reflect"), w, s, 0
            ),
            "mirrors the picture",
        ),
    ],
    "17.4": [
        (lambda g, x, k, s: gradient_by_places(g, x, k, 1), "the stride is missing"),
        (lambda g, x, k, s: gradient_by_places(g, x, k, s)[..., ::-1, ::-1], "turned by 180°"),
        (lambda g, x, k, s: gradient_by_places(g, x, k, s).transpose(0, 1, 3, 2), "kernel are swapped"),
        (lambda g, x, k, s: gradient_by_places(g, x, k, s).transpose(1, 0, 2, 3), "(O, C, K, K)"),
        (lambda g, x, k, s: gradient_by_places(g, x, k, s) / len(g), "number of pictures"),
        (lambda g, x, k, s: gradient_by_places(g, x, k, s) / g[0, 0].size, "number of places"),
        (lambda g, x, k, s: gradient_by_places(g, x, k, s) / g[:, 0].size, "mean over pictures and places"),
        (lambda g, x, k, s: gradient_by_places(g[:1], x[:1], k, s), "only the first picture"),
        (lambda g, x, k, s: gradient_by_places(g[-1:], x[-1:], k, s), "only the last picture"),
        (gradient_of_last_place, "only the last place"),
        (gradient_by_slices(too_short), "has 2 × 2 places, g has 3 × 4: end it at a + s*H"),
        (gradient_by_slices(too_short, "tensordot"), "has 2 × 2 places, g has 3 × 4"),
        (gradient_by_slices(without_end), "has 6 × 7 places, g has 4 × 5: end it at a + s*H"),
        (gradient_by_slices(without_end, "product"), "has 6 × 7 places, g has 4 × 5"),
        (gradient_assigned, "of the last picture"),
    ],
    "17.5": [
        (flattened, "a weight of its own for each place"),
        (lambda: convolutional(Largest(), nn.Linear(6, 10), maps=6), "the bar is 90%"),
        (convolutional_mean, "adds up or averages"),
        (lambda: ONCE, "create the layers inside build"),
        (with_old_layers, "create the layers inside build"),
        (lambda: convolutional(nn.Flatten(), nn.Linear(81 * 40, 10)), "at most 10,000"),
        (lambda: nn.Sequential(to_the_largest(), Probabilities()), "without a softmax"),
        (lambda: convolutional(Largest(), nn.Linear(40, 9)), "ten logits"),
        (lambda: nn.Linear, "must return an nn.Module"),
        (lambda: Largest(), "no parameters"),
        (to_the_largest(), "build itself"),
    ],
}
