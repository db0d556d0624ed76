"""Data: what the course learns from. Loaders return NumPy arrays; `DataLoader` serves batches of tensors.

Import it as `from minidl import data`, then `data.mnist()`, `data.make_moons()`, ...
"""

from minidl.data.digits import center_digit
from minidl.data.loader import DataLoader, Dataset, Subset, TensorDataset, random_split
from minidl.data.series import Series, series
from minidl.data.store import DataError, cache_folder
from minidl.data.synthetic import make_blobs, make_circles, make_moons, make_spirals, make_xor
from minidl.data.text import names, pronunciations, shakespeare
from minidl.data.vision import MNIST, fashion_mnist, kmnist, mnist, photograph

__all__ = [
    "MNIST",
    "DataError",
    "DataLoader",
    "Dataset",
    "Series",
    "Subset",
    "TensorDataset",
    "cache_folder",
    "center_digit",
    "fashion_mnist",
    "kmnist",
    "make_blobs",
    "make_circles",
    "make_moons",
    "make_spirals",
    "make_xor",
    "mnist",
    "names",
    "photograph",
    "pronunciations",
    "random_split",
    "series",
    "shakespeare",
]
