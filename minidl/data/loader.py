"""Serving examples in batches, with PyTorch's names."""

from collections.abc import Iterator, Sequence

import numpy as np

from minidl.ops.creation import random_generator, tensor
from minidl.tensor import Tensor


class Dataset:
    """Examples that can be counted and picked: subclass it with `__len__` and `__getitem__`.

    `__getitem__(i)` returns one example: an array, a number, or a tuple of these.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs __len__, the number of its examples.")

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} needs __getitem__(index), one of its examples.")

    def batch(self, indices: np.ndarray) -> tuple[Tensor, ...]:
        """Return the examples at `indices` (B,) stacked: a tensor (B, ...) for each part of an example."""
        examples = [self[int(i)] for i in indices]
        examples = [example if isinstance(example, tuple) else (example,) for example in examples]
        return tuple(Tensor(np.stack([_array(p) for p in parts])) for parts in zip(*examples, strict=True))


class TensorDataset(Dataset):
    """Arrays or tensors of equal length, side by side: example i is row i of each.

    Shape: each (N, ...); `dataset[i]` is a tuple of tensors (...).
    Raises: ValueError if there are none or their lengths differ.

    >>> len(TensorDataset(np.zeros((3, 2)), np.arange(3)))
    3
    """

    def __init__(self, *tensors):
        self.arrays = [_array(tensor) for tensor in tensors]
        shapes = ", ".join(str(array.shape) for array in self.arrays)
        if not self.arrays or any(array.ndim == 0 for array in self.arrays):
            raise ValueError(f"TensorDataset: needs arrays (N, ...), got shapes: {shapes or 'none'}.")
        if len({len(array) for array in self.arrays}) > 1:
            raise ValueError(f"TensorDataset: the first sizes differ in shapes {shapes}; each must be N.")

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The whole columns."""
        return tuple(Tensor(array) for array in self.arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index) -> tuple[Tensor, ...]:
        return tuple(Tensor(np.asarray(array[index])) for array in self.arrays)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, ...]:
        return tuple(Tensor(array.take(indices, axis=0)) for array in self.arrays)


class Subset(Dataset):
    """The examples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]):
        self.dataset, self.indices = dataset, np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]

    def batch(self, indices: np.ndarray) -> tuple[Tensor, ...]:
        return self.dataset.batch(self.indices[indices])


class DataLoader:
    """One pass over a dataset in batches, each time that you iterate.

    `shuffle=True` draws a new order for each pass, from `generator` or else from `manual_seed`'s.
    `drop_last=True` leaves out a last batch that would be smaller.

    Yields: a tuple of tensors (B, ...), one for each array of the dataset.
    Raises: TypeError if `dataset` is not a Dataset; ValueError if it is empty or batch_size < 1.

    >>> [x.shape for x, y in DataLoader(TensorDataset(np.zeros((5, 2)), np.arange(5)), batch_size=2)]
    [(2, 2), (2, 2), (1, 2)]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        generator: np.random.Generator | None = None,
    ):
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"DataLoader: dataset is a {type(dataset).__name__}; wrap arrays as TensorDataset(x, y)."
            )
        if len(dataset) == 0:
            raise ValueError("DataLoader: the dataset is empty.")
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size={batch_size} must be 1 or more.")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.generator = drop_last, generator

    def __len__(self) -> int:
        """Number of batches in a pass."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        count = len(self.dataset)
        order = random_generator(self.generator).permutation(count) if self.shuffle else np.arange(count)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self.dataset.batch(order[start : start + self.batch_size])


def random_split(
    dataset: Dataset, lengths: Sequence[int | float], generator: np.random.Generator | None = None
) -> list[Subset]:
    """Deal the examples of `dataset` at random into parts that share none.

    `lengths`: counts that add up to len(dataset), or fractions that add up to 1; what the rounding
    down of fractions leaves over goes to the first parts, one each.
    Raises: ValueError if they do not add up, or one is negative.

    >>> [len(part) for part in random_split(TensorDataset(np.arange(10)), [0.75, 0.25])]
    [8, 2]
    """
    count = len(dataset)
    sizes = _from_fractions(lengths, count) if abs(sum(lengths) - 1) < 1e-9 else list(lengths)
    if any(size < 0 for size in sizes) or sum(sizes) != count:
        raise ValueError(
            f"random_split: lengths {list(lengths)} must be counts that add up to {count} or fractions "
            "that add up to 1."
        )
    order = random_generator(generator).permutation(count)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def _from_fractions(fractions: Sequence[float], count: int) -> list[int]:
    """Return how many of `count` each fraction gets, the remainder dealt to the first parts."""
    sizes = [int(count * fraction) for fraction in fractions]
    return [size + (i < count - sum(sizes)) for i, size in enumerate(sizes)]


def _array(value) -> np.ndarray:
    """Return a numeric array as it is, a tensor's array, and anything else by the rules of `tensor`."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return value
    return value.numpy() if isinstance(value, Tensor) else tensor(value).numpy()
