"""Embedding beside PyTorch's."""

import numpy as np
import pytest

import minidl
from minidl import nn
from tests.parity import assert_module_parity, ours, theirs

PLACES = np.array([[1, 0, 1], [3, 3, 2]])
SETTINGS = ["", ", 1", ", padding_idx=-1", ", max_norm=1.0", ", 0, 0.5, 1.0", ", scale_grad_by_freq=True"]


@pytest.mark.parametrize("settings", [*SETTINGS, ", _freeze=True"])
def test_embedding_equals_pytorchs(settings):
    make = lambda m: eval(f"m.nn.Embedding(4, 3{settings})", {"m": m})  # noqa: E731
    assert_module_parity(make, PLACES, modes=(True,))
    assert repr(make(ours())) == repr(make(theirs()))


def test_rows_start_standard_normal_and_padding_at_0():
    minidl.manual_seed(0)
    layer = nn.Embedding(1000, 20, padding_idx=3)
    assert abs(layer.weight.array.std() - 1) < 0.02
    assert not layer.weight.array[3].any()
    layer.weight.data = minidl.zeros(1000, 20)
    layer.reset_parameters()
    assert layer.weight.array[4].any() and not layer.weight.array[3].any()


def test_vectors_that_are_there_already():
    rows = minidl.randn(4, 3)
    layer = nn.Embedding.from_pretrained(rows)
    assert not layer.weight.requires_grad
    np.testing.assert_array_equal(layer(minidl.tensor([2, 0])).array, rows.array[[2, 0]])
    assert nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=0).weight.requires_grad


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.Embedding(4, 3, padding_idx=4), "padding_idx 4 of 4 rows"),
        (lambda: nn.Embedding(4, 3, padding_idx=-5), "padding_idx -5 of 4 rows"),
        (lambda: nn.Embedding(4, 3, _weight=minidl.ones(3, 3)), r"\(3, 3\) for \(4, 3\)"),
        (lambda: nn.Embedding.from_pretrained(minidl.ones(3)), r"from_pretrained.*\(3,\)"),
        (lambda: nn.Embedding(4, 3, sparse=True)(minidl.tensor([0])), "sparse"),
    ],
)
def test_refusals_say_why(call, words):
    with pytest.raises((ValueError, NotImplementedError), match=words):
        call()
