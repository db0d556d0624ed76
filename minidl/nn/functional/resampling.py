"""Making signals and images longer or shorter by reading them between their places."""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.nn.functional.convolution import SPACE, check_input, sizes
from minidl.nn.functional.pooling import adaptive_places, average, window_sizes
from minidl.tensor import op

__all__ = ["interpolate"]

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
MODES = (*LINEAR, "bicubic", "nearest", "nearest-exact", "area")


def _cubic(t):
    """Weights of the four neighbours of a point at t in [0, 1] between the middle two (Keys 1981)."""
    a = t.dtype.type(-0.75)
    near = [((a + 2) * u - (a + 3)) * u * u + 1 for u in (t, 1 - t)]
    far = [((a * u - 5 * a) * u + 8 * a) * u - 4 * a for u in (t + 1, 2 - t)]
    return np.stack([far[0], *near, far[1]])


def _nearest(size, out, step, mode, n):
    """The one place that each output copies, in float32 as PyTorch computes it."""
    step = np.float32(size / out if step is None else step)
    i = np.arange(out, dtype=np.float32)
    if mode == "nearest" and n == 2 and out in (size, 2 * size):  # PyTorch's shortcut, whatever the step
        return i.astype(np.int64) * size // out
    at = (i + np.float32(0.5) if mode == "nearest-exact" else i) * step
    return np.minimum(at.astype(np.int64), size - 1)


def _neighbours(size, out, step, mode, align_corners, real):
    """The places between which each output lies, and their weights, in the precision of the type `real`."""
    if out == size and mode != "bicubic":
        return np.arange(size)[None], None
    if align_corners:
        step = real(size - 1) / real(max(out - 1, 1)) * (out > 1)
    step = real(size) / real(out) if step is None else real(step)
    i = np.arange(out, dtype=real)
    at = i * step if align_corners else (i + real(0.5)) * step - real(0.5)
    if mode != "bicubic":
        at = np.maximum(at, 0)
    first = np.minimum(np.floor(at), size - 1)
    t = np.clip(at - first, 0, 1)
    taps, weights = ([-1, 0, 1, 2], _cubic(t)) if mode == "bicubic" else ([0, 1], np.stack([1 - t, t]))
    return np.clip(first.astype(np.int64) + np.array(taps)[:, None], 0, size - 1), weights


def _target(input, size, scale_factor, recompute):
    """The output's size, and the step from place to place for each axis (None: input size / output size)."""
    n = input.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("give either size or scale_factor")
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor needs scale_factor, not size")
        return sizes("size", size, n, 1, strict=True), [None] * n
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * n
    if len(factors) != n or not all(isinstance(f, (int, float, np.number)) for f in factors):
        raise ValueError(f"scale_factor must be one number or {n}, one for each axis of space")
    out = tuple(int(s * f) for s, f in zip(input.shape[2:], factors, strict=True))
    return sizes("the output's size", out, n, 1), [None if recompute else 1 / f for f in factors]


def _check_mode(input, mode, align_corners, antialias):
    if antialias:
        raise NotImplementedError('interpolate: antialias=True is not part of minidl. Fix: mode="area"')
    if mode not in MODES:
        raise ValueError(f"mode={mode!r} must be one of {', '.join(MODES)}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"align_corners has no meaning for mode={mode!r}. Fix: leave it out")
    n = input.ndim - 2
    if n not in SPACE or n != {**LINEAR, "bicubic": 2}.get(mode, n):
        raise ValueError(f"mode={mode!r} does not fit input with {n} axes of space (N, C, *space)")
    check_input(input, n, input.shape[1:], ("uint8",) if mode.startswith("nearest") else ())


@op
def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """A signal or image with more or fewer places, read between the places that it has.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        size: the new size, a number or one for each axis of space. Or:
        scale_factor: new size / old size, a number or one for each axis.
        mode: "nearest" (rounds the position down), "nearest-exact" (truly the nearest), "linear", "bilinear",
            "trilinear" (between the neighbours in 1, 2, 3 directions), "bicubic" (Keys 1981), "area" (the
            mean of the bins of `adaptive_avg_pool2d`).
        align_corners: True: the first and last places stay where they are. Otherwise places are the middles
            of equal cells, and the outer edges of the cells stay.
        recompute_scale_factor: step by old size / new size, not by 1 / scale_factor, which may differ.

    Returns:
        (N, C, *size).
    """
    _check_mode(input, mode, align_corners, antialias)
    out, steps = _target(input, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        tables = [adaptive_places(*axis) for axis in zip(input.shape[2:], out, strict=True)]
        return average(input, tables, window_sizes(tables, input.shape[2:]))
    axes = zip(input.shape[2:], out, steps, strict=True)
    if mode.startswith("nearest"):
        tables = [(_nearest(*axis, mode, len(out))[None], None) for axis in axes]
    else:
        tables = [_neighbours(*axis, mode, align_corners, input.dtype.type) for axis in axes]
    size = input.shape[2:]
    return kernels.find("resample", input)(input, tables), (
        lambda g: kernels.find("resample_backward", g)(g, tables, size),
    )
