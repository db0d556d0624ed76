"""Samples of minidl/nn/functional/resampling.py."""

SAMPLES = {
    "interpolate": [
        (lambda m, x: m.F.interpolate(x, 7), (2, 2, 4)),
        (lambda m, x: m.F.interpolate(x, scale_factor=0.7, mode="nearest-exact"), (1, 2, 5, 4)),
        (lambda m, x: m.F.interpolate(x, 3, mode="linear"), (2, 1, 5)),
        (lambda m, x: m.F.interpolate(x, (5, 7), mode="bilinear"), (1, 2, 3, 4)),
        (lambda m, x: m.F.interpolate(x, (5, 2), mode="bilinear", align_corners=True), (1, 2, 3, 4)),
        (lambda m, x: m.F.interpolate(x, scale_factor=(1.5, 2), mode="bicubic"), (1, 1, 4, 3)),
        (lambda m, x: m.F.interpolate(x, scale_factor=1.7, mode="area"), (1, 2, 4, 3)),
        (lambda m, x: m.F.interpolate(x, (3, 4, 2), mode="trilinear"), (1, 1, 2, 3, 3)),
    ],
}
