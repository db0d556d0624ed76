"""Samples of minidl/ops/shapes.py."""

SAMPLES = {
    "reshape": [
        (lambda m, a: a.reshape(2, 6), (3, 4)),
        (lambda m, a: m.reshape(a, (-1, 2)), (2, 3)),
        (lambda m, a: a.T.ravel(), (2, 3)),
    ],
    "view": [
        (lambda m, a: a.view(-1), (2, 3)),
        (lambda m, a, b: a.view_as(b) * b, (2, 6), (2, 3, 2)),
    ],
    "flatten": [(lambda m, a: a.flatten(1), (2, 3, 4)), (lambda m, a: m.flatten(a, 0, -2), (2, 3, 4))],
    "unflatten": [(lambda m, a: a.unflatten(1, (2, -1)), (2, 6))],
    "permute": [
        (lambda m, a: a.permute(2, 0, 1), (2, 3, 4)),
        (lambda m, a: a.T, (2, 3)),
        (lambda m, a: m.permute(a, (1, -1, 0)), (2, 1, 4)),
    ],
    "transpose": [
        (lambda m, a: a.transpose(0, -1), (2, 3, 4)),
        (lambda m, a: a.mT, (2, 3, 4)),
        (lambda m, a: m.swapaxes(a, 1, 1), (2, 3)),
    ],
    "movedim": [
        (lambda m, a: m.movedim(a, 0, -1), (2, 3, 4)),
        (lambda m, a: a.movedim((0, 3), (2, 0)), (2, 3, 1, 4)),
    ],
    "squeeze": [
        (lambda m, a: a.squeeze(), (1, 3, 1)),
        (lambda m, a: a.squeeze(1), (2, 3)),
        (lambda m, a: a.squeeze((0, -1)), (1, 2, 1)),
    ],
    "unsqueeze": [(lambda m, a: a.unsqueeze(1), (2, 3)), (lambda m, a: a.unsqueeze(-1), (2,))],
    "broadcast_to": [
        (lambda m, a: a.expand(3, -1, 4), (2, 1)),
        (lambda m, a: m.broadcast_to(a, (2, 3)), (3,)),
        (lambda m, a, b: a.expand_as(b) * b, (1, 3), (2, 3)),
    ],
    "copy": [(lambda m, a: m.clone(a), (2, 3)), (lambda m, a: a.T.contiguous(), (2, 3))],
    "flip": [(lambda m, a: m.flip(a, (0,)), (3, 2)), (lambda m, a: a.flip(0, -1), (2, 1, 3))],
    "roll": [
        (lambda m, a: a.roll(2), (2, 3)),
        (lambda m, a: m.roll(a, (1, -5), (0, 1)), (2, 3)),
    ],
    "repeat": [
        (lambda m, a: a.repeat(2, 3), (2, 3)),
        (lambda m, a: a.repeat(2, 1, 2), (3, 1)),
        (lambda m, a: m.tile(a, (2,)), (2, 3)),
    ],
    "cat": [
        (lambda m, a, b: m.cat((a, b), 1), (2, 3), (2, 1)),
        (lambda m, a: m.cat([a, a]), (2, 3)),
        (lambda m, a, b: m.cat([b, a], -1), (2, 3), (0,)),
    ],
    "stack": [
        (lambda m, a, b: m.stack([a, b], dim=1), (2, 3), (2, 3)),
        (lambda m, a, b: m.stack((a, b), -1), (), ()),
    ],
    "tril": [(lambda m, a: m.tril(a), (3, 3)), (lambda m, a: a.tril(-1), (2, 2, 4))],
    "triu": [(lambda m, a: m.triu(a, 1), (3, 3)), (lambda m, a: a.triu(), (2, 4, 2))],
    "diagonal": [
        (lambda m, a: m.diagonal(a), (3, 4)),
        (lambda m, a: a.diagonal(-1, 2, 0), (3, 2, 3)),
    ],
    "diag": [(lambda m, a: m.diag(a, -1), (3,)), (lambda m, a: a.diag(1), (2, 4))],
    "pad": [
        (lambda m, a: m.F.pad(a, (1, 2)), (2, 3)),
        (lambda m, a: m.F.pad(a, (1, -1, -1, 2), value=3.0), (2, 3)),
    ],
}

COMPOSED = [
    (lambda m, a: m.F.pad(a, (2, 1), mode="reflect"), (2, 3)),
    (lambda m, a: m.F.pad(a, (1, 2, -1, 3), "replicate"), (2, 3, 2)),
    (lambda m, a: m.F.pad(a, (2, 0, 1, -1), "circular"), (2, 3, 2)),
    (lambda m, a: a.split([1, 3], dim=1)[1] * a.chunk(2, 1)[0].sum(), (2, 4)),
    (lambda m, a: m.unbind(a, 1)[0] / a.unbind(-1)[2], (2, 3)),
    (lambda m, a: m.t(a) @ a.t().T, (2, 3)),
]
