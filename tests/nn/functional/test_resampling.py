"""Interpolation: examples, PyTorch over drawn settings, refusals."""

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from minidl.tensor import Tensor
from tests.draw import Draw
from tests.parity import assert_parity, ours

MODES = {
    1: ["nearest", "nearest-exact", "linear", "area"],
    2: ["nearest", "nearest-exact", "bilinear", "bicubic", "area"],
    3: ["nearest", "nearest-exact", "trilinear", "area"],
}


def test_corners_stay_when_they_are_aligned():
    x = minidl.tensor([[[0.0, 1, 4]]])
    assert F.interpolate(x, 5, mode="linear", align_corners=True).tolist() == [[[0, 0.5, 1, 2.5, 4]]]
    assert F.interpolate(x, 6, mode="linear").tolist() == [[[0, 0.25, 0.75, 1.75, 3.25, 4]]]
    assert F.interpolate(x, scale_factor=2).tolist() == [[[0, 0, 1, 1, 4, 4]]]


def test_interpolation_keeps_a_constant():
    for mode in MODES[2]:
        np.testing.assert_allclose(
            F.interpolate(minidl.ones(1, 1, 4, 3), (7, 2), mode=mode).array, 1, rtol=1e-6
        )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_drawn_interpolations_equal_pytorchs(n, seed):
    draw = Draw(seed)
    for mode in MODES[n] * 12:
        x = draw.array((draw.number(0, 2), draw.number(1, 2), *[draw.number(1, 9 - 2 * n) for _ in range(n)]))
        settings = {"mode": mode}
        if draw.number(0, 1):
            settings["size"] = draw.some(n, 1, 12 - 2 * n)
        else:
            factors = [float(draw.rng.choice([2, 3, 0.5, 1.5, 1 / 3, 2.7])) for _ in range(n)]
            settings["scale_factor"] = factors[0] if draw.number(0, 1) else tuple(factors)
            settings["recompute_scale_factor"] = [None, True, False][draw.number(0, 2)]
        if "linear" in mode or "cubic" in mode:
            settings["align_corners"] = [None, True, False][draw.number(0, 2)]
        if mode == "area" and min(np.array(x.shape[2:]) * settings.get("scale_factor", 1)) < 1:
            continue  # PyTorch gives an output without places
        assert_parity(lambda m, a, s=settings: m.F.interpolate(a, **s), x)


@pytest.mark.parametrize("factor", [1.1, 1.2, 2.1, 2.2])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear"])
def test_factors_that_round_to_1_or_2_equal_pytorchs(mode, factor):
    x = np.random.default_rng(0).normal(size=(1, 1, 4, 3))
    assert_parity(lambda m, a: m.F.interpolate(a, scale_factor=factor, mode=mode), x)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "area"])
def test_integers_work_where_they_do_in_pytorch(mode, dtype):
    x = np.random.default_rng(0).integers(0, 9, (1, 2, 5, 4)).astype(dtype)
    assert_parity(lambda m, a: m.F.interpolate(a, 7, mode=mode), x)


REFUSED = [
    (lambda m, x: m.F.interpolate(x), r"interpolate\(input: \(1, 2, 4, 3\).*either size or scale_factor"),
    (lambda m, x: m.F.interpolate(x, 8, 2.0), "either size or scale_factor"),
    (lambda m, x: m.F.interpolate(x, (8, 8, 8)), "one number or 2"),
    (lambda m, x: m.F.interpolate(x, (8,)), "one number or 2"),
    (lambda m, x: m.F.interpolate(x, 0), "size=0 must be at least 1"),
    (lambda m, x: m.F.interpolate(x, 8.0), "size=8.0 must be an int"),
    (lambda m, x: m.F.interpolate(x, scale_factor=0.1), r"size=\(0, 0\) must be at least 1"),
    (lambda m, x: m.F.interpolate(x, scale_factor=-1.0), "must be at least 1"),
    (lambda m, x: m.F.interpolate(x, scale_factor=(1.0,) * 3), "one number or 2"),
    (lambda m, x: m.F.interpolate(x, scale_factor="2"), "one number or 2"),
    (lambda m, x: m.F.interpolate(x, 8, mode="linear"), "mode='linear' does not fit input with 2 axes"),
    (lambda m, x: m.F.interpolate(x[0], 8, mode="bicubic"), "does not fit input with 1 axes"),
    (lambda m, x: m.F.interpolate(x[0, 0], 8), "does not fit input with 0 axes"),
    (lambda m, x: m.F.interpolate(x, 8, mode="cubic"), "mode='cubic' must be one of"),
    (lambda m, x: m.F.interpolate(x, 8, align_corners=False), "align_corners has no meaning"),
    (lambda m, x: m.F.interpolate(x, 8, recompute_scale_factor=True), "needs scale_factor"),
    (lambda m, x: m.F.interpolate(x[:, :0], 8), "only the batch"),
    (lambda m, x: m.F.interpolate(x[:, :, :0], 8), "only the batch"),
    (lambda m, x: m.F.interpolate(x.long(), 8, mode="bilinear"), "floating-point, not int64"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_bad_interpolations_are_refused_as_in_pytorch(call, words):
    x = np.ones((1, 2, 4, 3), np.float32)
    with pytest.raises((minidl.ShapeError, TypeError), match=words):
        call(ours(), Tensor(x))
    assert_parity(call, x)


def test_antialias_is_refused():
    with pytest.raises(NotImplementedError, match="antialias=True is not part of minidl"):
        F.interpolate(minidl.ones(1, 1, 4, 4), 2, mode="bilinear", antialias=True)
