"""All parameters as one vector, and back."""

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.nn.utils import parameters_to_vector, vector_to_parameters
from minidl.tensor import ShapeError
from tests.parity import assert_equal, assert_parity, ours, theirs

A, B, C = np.ones((2, 3)), np.arange(4.0), np.array(7.0)


def test_one_vector_like_pytorchs():
    assert_parity(lambda m, *ts: m.nn.utils.parameters_to_vector(ts), A, B, C, np.zeros((0, 2)))
    assert_parity(lambda m, *ts: m.nn.utils.parameters_to_vector(iter(ts)), A.astype(np.float32), B)
    assert_parity(lambda m, *ts: m.nn.utils.parameters_to_vector([]), A)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [10, 11, 13])
def test_and_back_like_pytorchs(length, dtype):
    def parts(m):
        ps = [m.nn.Parameter(m.tensor(a.astype(np.float32))) for a in (A, B, C)]
        m.nn.utils.vector_to_parameters(m.tensor(np.arange(length).astype(dtype)), ps)
        return ps

    if length < 11:
        for m, match in ((theirs(), "invalid"), (ours(), "too few elements")):
            with pytest.raises(RuntimeError, match=match):
                parts(m)
        return
    for mine, want in zip(parts(ours()), parts(theirs()), strict=True):
        assert_equal(mine, want)


def test_parameters_share_the_vectors_memory_and_still_train():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    vector = minidl.zeros(3)
    vector_to_parameters(vector, model.parameters())
    vector.array[...] = 1
    assert parameters_to_vector(model.parameters()).tolist() == [1, 1, 1]
    model(minidl.ones(1, 2)).sum().backward()
    optimizer.step()
    assert parameters_to_vector(model.parameters()).tolist() == [0.5, 0.5, 0.5]


def test_refusals():
    with pytest.raises(TypeError, match="vec must be a tensor, not list"):
        vector_to_parameters([1.0], [nn.Parameter(minidl.ones(1))])
    with pytest.raises(ShapeError, match=r"vec: \(1,\), parameters: \[\(2,\)\]"):
        vector_to_parameters(minidl.ones(1), [nn.Parameter(minidl.ones(2))])
