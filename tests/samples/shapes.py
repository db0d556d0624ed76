"""Samples of minidl/ops/shapes.py."""

SAMPLES = {
    "reshape": [
        (lambda m, a: a.reshape(2, 6), (3, 4)),
        (lambda m, a: a.view(-1), (2, 3)),
        (lambda m, a: a.flatten(1), (2, 3, 4)),
    ],
    "permute": [(lambda m, a: a.permute(2, 0, 1), (2, 3, 4)), (lambda m, a: a.T, (2, 3))],
    "transpose": [(lambda m, a: a.transpose(0, -1), (2, 3, 4))],
    "squeeze": [
        (lambda m, a: a.squeeze(), (1, 3, 1)),
        (lambda m, a: a.squeeze(1), (2, 3)),
        (lambda m, a: a.squeeze(-1), (2, 1)),
    ],
    "unsqueeze": [(lambda m, a: a.unsqueeze(1), (2, 3)), (lambda m, a: a.unsqueeze(-1), (2,))],
    "broadcast_to": [
        (lambda m, a: a.expand(3, -1, 4), (2, 1)),
        (lambda m, a: m.broadcast_to(a, (2, 3)), (3,)),
    ],
    "flip": [(lambda m, a: m.flip(a, (0,)), (3, 2))],
    "cat": [
        (lambda m, a, b: m.cat((a, b), 1), (2, 3), (2, 1)),
        (lambda m, a, b: m.stack([a, b], dim=1), (2, 3), (2, 3)),
        (lambda m, a: m.cat([a, a]), (2, 3)),
    ],
}
