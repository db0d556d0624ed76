"""Notebook 18: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import numpy as np

import minidl
from minidl import nn, tensor
from minidl.nn import functional as F


def cost_by_building(size, inputs, outputs, kernel, padding):
    layer = nn.Conv2d(inputs, outputs, kernel, padding=padding)
    maps = layer(minidl.zeros(1, inputs, size, size))
    numbers = sum(parameter.numel() for parameter in layer.parameters())
    return maps.shape[-1], numbers, maps.numel() * layer.weight[0].numel()


def cost_by_counting(size, inputs, outputs, kernel, padding):
    places = len(range(-padding, size + padding - kernel + 1))
    weights = sum(kernel * kernel for _ in range(outputs) for _ in range(inputs))
    return [places, weights + outputs, weights * places * places]


def cost_without(bias=1, padding_factor=2, one_more=1, factor=1):
    def cost(size, inputs, outputs, kernel, padding):
        side = size + padding_factor * padding - kernel + one_more
        weights = outputs * inputs * kernel * kernel
        return side, weights + bias * outputs, factor * weights * side * side

    return cost


def pool_by_loops(g, x):
    out = np.zeros(np.shape(x))
    for i, row in enumerate(np.asarray(g).tolist()):
        for j, value in enumerate(row):
            places = [(2 * i + a, 2 * j + b) for a in (0, 1) for b in (0, 1)]
            out[max(places, key=lambda place: x[place])] = value
    return out


def pool_by_autograd(g, x):
    """minidl's own gives ties to the first as well."""
    x = tensor(x[None, None], requires_grad=True)
    F.max_pool2d(x, 2).backward(tensor(g[None, None]))
    return x.grad[0, 0]


def pool_by_comparing(g, x):
    largest = x.reshape(len(g), 2, -1, 2).max(axis=(1, 3))
    return np.where(x == np.kron(largest, np.ones((2, 2))), np.kron(g, np.ones((2, 2))), 0)


def pool_everyone(g, x):
    return np.kron(g, np.ones((2, 2)))


def pool_corner(g, x):
    out = np.zeros_like(x)
    out[0::2, 0::2] = g
    return out


def field_backwards(layers):
    field = step = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
        step *= stride
    return [field, step]


def field_by_sets(layers):
    """All pixels that a unit reaches, counted."""

    def seen(units, depth):
        if not depth:
            return units
        kernel, stride = layers[depth - 1]
        return seen({stride * u + tap for u in units for tap in range(kernel)}, depth - 1)

    first, second = (seen({unit}, len(layers)) for unit in (0, 1))
    return max(first) - min(first) + 1, min(second) - min(first)


def field_without_strides(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers), int(np.prod([stride for _, stride in layers]))


def field_own_stride(layers):
    field = step = 1
    for kernel, stride in layers:
        step *= stride
        field += (kernel - 1) * step
    return field, step


def field_step_added(layers):
    return field_backwards(layers)[0], sum(stride for _, stride in layers)


def windows_by_loops(maps, images, count):
    found = []
    for one, image in zip(maps, images, strict=True):
        row, column = max(np.ndindex(10, 10), key=lambda place: one[place])
        canvas = np.zeros((40, 40))
        canvas[2:30, 2:30] = image
        found.append((one[row, column], canvas[2 * row :, 2 * column :][:14, :14]))
    return [window for _, window in sorted(found, key=lambda pair: -pair[0])[:count]]


def windows_unpadded(maps, images, count):
    windows = []
    for n in np.argsort(-maps.max(axis=(1, 2)))[:count]:
        row, column = np.unravel_index(maps[n].argmax(), (10, 10))
        windows.append(
            np.pad(images[n], ((0, 4), (0, 4)))[2 * row : 2 * row + 14, 2 * column : 2 * column + 14]
        )
    return np.stack(windows)


def windows_cut_off(maps, images, count):
    """Plain slices, which end at the rim: they are not all of one size."""
    windows = []
    for n in np.argsort(-maps.max(axis=(1, 2)))[:count]:
        row, column = np.unravel_index(maps[n].argmax(), (10, 10))
        windows.append(images[n][2 * row + 4 : 2 * row + 18, 2 * column + 4 : 2 * column + 18])
    return np.stack(windows)


def windows_least(maps, images, count):
    return windows_by_loops(maps, images, len(maps))[::-1][:count]


def narrow_lenet():
    """LeNet with four and eight maps, and 18 units behind them."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 8, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(200, 18), nn.ReLU(), nn.Linear(18, 10)),
    )


def mean_of_each_map():
    """No layer behind the filters: ten maps, and the mean of each is a logit."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def no_convolution():
    """A mean of each 2 x 2 pixels and a hidden layer: no more numbers, no filters."""
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(196, 24), nn.ReLU(), nn.Linear(24, 10))


def too_large():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def with_softmax():
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(49, 10), nn.Softmax(dim=1))


def maps_left_over():
    return nn.Sequential(nn.Conv2d(1, 10, 5), nn.MaxPool2d(4))


RIGHT = {
    "18.1": [cost_by_building, cost_by_counting],
    "18.2": [pool_by_loops, pool_by_autograd],
    "18.3": [field_backwards, field_by_sets],
    "18.4": [windows_by_loops],
    "18.5": [narrow_lenet, mean_of_each_map],
}

WRONG = {
    "18.1": [
        (cost_without(bias=0), "biases are missing"),
        (cost_without(padding_factor=1), "counts twice"),
        (cost_without(padding_factor=0), "leaves the padding out"),
        (cost_without(one_more=0), "one too small"),
        (cost_without(factor=2), "the additions are not asked for"),
        (lambda size, inputs, outputs, kernel, padding: (size, outputs), "has shape (2,)"),
    ],
    "18.2": [
        (pool_everyone, "get the whole blame"),
        (lambda g, x: pool_everyone(g, x) / 4, "average"),
        (pool_by_comparing, "ties"),
        (pool_corner, "top left"),
        (lambda g, x: pool_by_loops(-g, x), "sign is turned"),
        (lambda g, x: g, "has shape"),
    ],
    "18.3": [
        (field_without_strides, "strides are left out"),
        (field_own_stride, "own stride came too early"),
        (field_step_added, "steps of steps multiply"),
        (lambda layers: field_backwards(layers)[::-1], "swapped"),
        (lambda layers: field_backwards(layers)[0], "only the field"),
        (lambda layers: (0, 0), "gives [0, 0]"),
    ],
    "18.4": [
        (windows_unpadded, "two pixels too far"),
        (windows_cut_off, "raises ValueError"),
        (windows_least, "least excited"),
        (lambda maps, images, count: windows_by_loops(maps, images, count)[::-1], "strongest comes first"),
        (lambda maps, images, count: windows_by_loops(maps.swapaxes(1, 2), images, count), "swapped"),
        (lambda maps, images, count: windows_by_loops(maps, images, count + 1), "shape"),
    ],
    "18.5": [
        (no_convolution, "the bar is 96.0%"),
        (too_large, "at most 5,000"),
        (with_softmax, "without a softmax"),
        (maps_left_over, "ten logits"),
        (lambda: nn.Linear, "must return an nn.Module"),
        (lambda: nn.Flatten(), "no parameters"),
        (narrow_lenet(), "build itself"),
    ],
}
