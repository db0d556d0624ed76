"""Batches hold every example once, in step, in the promised order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.data import DataLoader, Dataset, Subset, TensorDataset, random_split


def numbered(count):
    """A dataset whose example i is ([i, -i], i)."""
    i = np.arange(count)
    return TensorDataset(np.stack([i, -i], axis=1).astype(np.float32), i)


@given(st.integers(1, 50), st.integers(1, 60), st.booleans(), st.booleans(), st.integers(0, 9))
def test_a_pass_serves_every_example_once(count, batch_size, shuffle, drop_last, seed):
    loader = DataLoader(
        numbered(count), batch_size, shuffle, drop_last=drop_last, generator=np.random.default_rng(seed)
    )
    batches = list(loader)
    assert len(batches) == len(loader)
    for x, y in batches:
        np.testing.assert_array_equal(x.numpy(), np.stack([y.numpy(), -y.numpy()], axis=1))
    served = [i for _, y in batches for i in y.tolist()]
    sizes = [len(y) for _, y in batches]
    expected = count // batch_size * batch_size if drop_last else count
    assert len(served) == len(set(served)) == expected
    assert all(size == batch_size for size in (sizes if drop_last else sizes[:-1]))
    assert shuffle or served == list(range(expected))


def test_batches_are_tensors_of_the_arrays_types():
    (x, y), *_ = DataLoader(numbered(5), batch_size=2)
    assert isinstance(x, minidl.Tensor) and isinstance(y, minidl.Tensor)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((2, 2), np.float32, (2,), np.int64)
    assert not x.requires_grad


def test_each_pass_is_shuffled_anew_and_reproducibly():
    def passes(loader):
        return [[int(i) for _, y in loader for i in y.tolist()] for _ in range(2)]

    def with_generator():
        return DataLoader(numbered(30), 4, shuffle=True, generator=np.random.default_rng(3))

    first, second = passes(with_generator())
    assert first != second
    assert passes(with_generator()) == [first, second]
    minidl.manual_seed(7)
    once = passes(DataLoader(numbered(30), 4, shuffle=True))
    minidl.manual_seed(7)
    assert passes(DataLoader(numbered(30), 4, shuffle=True)) == once


def test_batches_are_indexed_at_once_not_example_by_example(monkeypatch):
    monkeypatch.delattr(TensorDataset, "__getitem__")
    parts = random_split(numbered(10), [7, 3], np.random.default_rng(0))
    assert [len(y) for _, y in DataLoader(parts[0], 5)] == [5, 2]


def test_changing_a_batch_does_not_change_the_dataset():
    dataset = numbered(4)
    (x, _), *_ = DataLoader(dataset, batch_size=4)
    x.numpy()[:] = 9
    assert dataset.tensors[0].numpy()[1].tolist() == [1, -1]


def test_a_dataset_of_ones_own_is_stacked():
    class Squares(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return minidl.tensor([index, index**2]), float(index)

    (x, y), *_ = DataLoader(Squares(), batch_size=3)
    assert (x.tolist(), y.tolist()) == ([[0, 0], [1, 1], [2, 4]], [0, 1, 2])
    assert y.dtype == np.float32


def test_single_examples_and_slices():
    dataset = numbered(5)
    x, y = dataset[3]
    assert (x.tolist(), y.item()) == ([3, -3], 3)
    assert dataset[1:3][1].tolist() == [1, 2]
    assert Subset(dataset, [4, 2])[1][1].item() == 2
    with pytest.raises(IndexError):
        dataset[5]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=5), st.integers(0, 9))
def test_random_split_deals_every_example_once(lengths, seed):
    count = sum(lengths)
    parts = random_split(numbered(count), lengths, np.random.default_rng(seed))
    assert [len(part) for part in parts] == lengths or sum(lengths) == 1
    assert sorted(np.concatenate([part.indices for part in parts]).tolist()) == list(range(count))


def test_random_split_by_fractions_and_by_seed():
    halves = random_split(numbered(11), [0.5, 0.25, 0.25], np.random.default_rng(0))
    assert [len(part) for part in halves] == [6, 3, 2]
    again = random_split(numbered(11), [0.5, 0.25, 0.25], np.random.default_rng(0))
    np.testing.assert_array_equal(halves[0].indices, again[0].indices)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DataLoader(numbered(0)), ValueError, "the dataset is empty"),
        (lambda: DataLoader(numbered(3), 0), ValueError, "batch_size=0 must be 1 or more"),
        (lambda: DataLoader(np.zeros((3, 2))), TypeError, r"is a ndarray; wrap arrays as TensorDataset"),
        (lambda: DataLoader(numbered(3), num_workers=2), TypeError, "num_workers"),
        (lambda: TensorDataset(), ValueError, r"got shapes: none"),
        (lambda: TensorDataset(np.float32(1)), ValueError, r"needs arrays \(N, \.\.\.\)"),
        (lambda: TensorDataset(np.zeros((3, 2)), np.zeros(4)), ValueError, r"shapes \(3, 2\), \(4,\)"),
        (lambda: TensorDataset(np.array(["a", "b"])), TypeError, "numbers and booleans only"),
        (lambda: random_split(numbered(5), [3, 3]), ValueError, "add up to 5"),
        (lambda: random_split(numbered(5), [6, -1]), ValueError, "add up to 5"),
        (lambda: len(Dataset()), NotImplementedError, "Dataset needs __len__"),
        (lambda: Dataset()[0], NotImplementedError, "Dataset needs __getitem__"),
    ],
)
def test_misuse_is_explained(make, error, message):
    with pytest.raises(error, match=message):
        make()
