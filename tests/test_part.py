"""Gradients of slices: kept as slices, equal to whole arrays."""

import numpy as np
import pytest

import minidl
from minidl.part import Part, whole


@pytest.fixture
def part():
    return Part((1, slice(0, 2)), np.array([5.0, 6.0]), (2, 3))


FULL = np.array([[0.0, 0, 0], [5, 6, 0]])


def test_it_is_the_array_that_it_stands_for(part):
    assert np.array_equal(whole(part), FULL) and np.array_equal(np.array(part), FULL)
    assert np.array_equal(np.isnan(part), np.isnan(FULL)) and np.array_equal(part * 2, FULL * 2)
    assert whole(FULL) is FULL


def test_adding_leaves_the_other_array_as_it_was(part):
    ones = np.ones((2, 3))
    assert np.array_equal(ones + part, 1 + FULL)
    assert np.array_equal(part + ones, 1 + FULL)
    assert np.array_equal(part + part, 2 * FULL)
    assert np.array_equal(ones, np.ones((2, 3))) and np.array_equal(part.values, [5, 6])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adding_in_place_keeps_memory_and_dtype(part, dtype):
    total = view = np.ones((2, 3), dtype)
    total += part
    assert total is view and total.dtype == dtype and np.array_equal(total, 1 + FULL)


def test_adding_to_another_shape_broadcasts_as_ever(part):
    assert np.array_equal(np.ones((4, 1, 1)) + part, np.ones((4, 1, 1)) + FULL)
    with pytest.raises(ValueError, match="broadcast"):
        np.ones((2, 4)) + part


def test_gradients_of_slices_meet_whole_gradients():
    x = minidl.tensor([[1.0, 2, 3], [4, 5, 6]], requires_grad=True)
    y = x * 1
    loss = (y[0] * 2).sum() + (y * y).sum() + (y[:, 1:] * 3).sum() + y[1, 2] + (y[1] * y[0]).sum()
    loss.backward()
    expected = (
        2 * x.array + [[2, 2, 2], [0, 0, 0]] + np.array([0, 3, 3]) + [[0, 0, 0], [0, 0, 1]] + x.array[::-1]
    )
    assert np.array_equal(x.grad.array, expected)


def test_leaves_hooks_and_flat_buffers_get_whole_gradients():
    x = minidl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.array.copy()))
    optimizer = minidl.optim.SGD([x], lr=1.0)
    (x[0] * 2 + x[2] * 3).backward()
    assert np.array_equal(seen, [[2, 0, 3]])
    optimizer.step()
    assert np.array_equal(x.array, [-1, 2, 0])


def test_a_loop_over_rows_makes_one_whole_array(monkeypatch):
    made, make = [], Part.whole
    monkeypatch.setattr(Part, "whole", lambda part: made.append(part) or make(part))
    x = minidl.ones(50, 3, requires_grad=True)
    minidl.stack((x * 1).unbind()).sum().backward()
    assert np.array_equal(x.grad.array, np.ones((50, 3)))
    assert len(made) <= 1
