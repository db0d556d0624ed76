"""Samples of minidl/nn/functional/convolution.py."""

SAMPLES = {
    "conv1d": [
        (lambda m, x, w, b: m.F.conv1d(x, w, b), (2, 3, 6), (4, 3, 3), (4,)),
        (lambda m, x, w: m.F.conv1d(x, w, None, 2, 1, 2, 2), (2, 4, 7), (6, 2, 3)),
        (lambda m, x, w, b: m.F.conv1d(x, w, bias=b, padding="same"), (3, 5), (2, 3, 3), (2,)),
    ],
    "conv2d": [
        (lambda m, x, w, b: m.F.conv2d(x, w, b), (2, 3, 4, 5), (4, 3, 3, 2), (4,)),
        (
            lambda m, x, w: m.F.conv2d(x, w, stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
            (1, 2, 6, 5),
            (3, 2, 3, 2),
        ),
        (lambda m, x, w, b: m.F.conv2d(x, w, b, padding="same", groups=3), (3, 4, 4), (6, 1, 3, 2), (6,)),
        (lambda m, x, w: m.F.conv2d(x, w, padding="valid"), (0, 2, 4, 4), (3, 2, 2, 2)),
    ],
    "conv_transpose1d": [
        (lambda m, x, w, b: m.F.conv_transpose1d(x, w, b), (2, 3, 4), (3, 2, 3), (2,)),
        (lambda m, x, w: m.F.conv_transpose1d(x, w, None, 3, 1, 2, 2), (2, 4, 3), (4, 1, 3)),
        (lambda m, x, w: m.F.conv_transpose1d(x, w, dilation=3, output_padding=2), (1, 3), (1, 1, 2)),
    ],
    "conv_transpose2d": [
        (lambda m, x, w, b: m.F.conv_transpose2d(x, w, b), (2, 2, 3, 3), (2, 3, 2, 3), (3,)),
        (
            lambda m, x, w: m.F.conv_transpose2d(
                x, w, stride=2, padding=(1, 0), output_padding=(0, 1), groups=2
            ),
            (1, 4, 3, 2),
            (4, 1, 3, 3),
        ),
    ],
    "unfold": [
        (lambda m, x: m.F.unfold(x, 2), (2, 2, 3, 4)),
        (lambda m, x: m.F.unfold(x, (2, 3), dilation=(2, 1), padding=1, stride=(1, 2)), (2, 4, 4)),
    ],
    "fold": [
        (lambda m, x: m.F.fold(x, (3, 4), 2), (2, 8, 6)),
        (lambda m, x: m.F.fold(x, 5, 3, padding=1, stride=2), (9, 9)),
    ],
}
