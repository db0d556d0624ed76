"""The chain's picture names every shape; the surface shows what the model says."""

import numpy as np

from minidl import nn
from minidl.viz.lessons import backprop
from minidl.viz.lessons.backprop import CELLS


def test_the_chain_has_all_stations_and_gradients():
    picture = backprop.chain()
    words = " ".join(shape["s"] for kind, shape in picture.shapes if kind == "text")
    for each in ("z₁", "δ₁", "δ₂ W₂", "dL/dW₁ = δ₁ᵀ x", "N × H", "⊙ (1 − h²)"):
        assert each in words
    assert "\n" not in picture.alt and "  " not in picture.alt


def test_the_surface_is_the_models_probability():
    model = nn.Sequential(nn.Linear(2, 1))
    model.load_state_dict({"0.weight": np.array([[2.0, 0.0]]), "0.bias": np.array([0.0])})
    x = np.array([[0.5, 0.5], [-0.5, 0.5]], np.float32)
    shapes = backprop.surface(model, x, np.array([1, 0])).shapes
    field = next(shape["values"] for kind, shape in shapes if kind == "image")
    wanted = 1 / (1 + np.exp(-2 * 1.5 * np.linspace(-1, 1, CELLS)))
    assert np.allclose(field, np.tile(wanted, (CELLS, 1)), atol=1e-5)
