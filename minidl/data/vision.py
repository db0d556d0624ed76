"""Pictures: MNIST and its relatives, and one photograph."""

import functools
import gzip
import hashlib
import io
import lzma
from typing import NamedTuple

import numpy as np

from minidl.data import official, store
from minidl.data.idx import parse_idx

EMBEDDED = "mnist.npz.xz"


class MNIST(NamedTuple):
    """A set in MNIST's form: uint8 images (N, 28, 28), 0 paper to 255 ink, and int64 labels (N,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def mnist(full: bool = False) -> MNIST:
    """Return MNIST: 60,000 handwritten digits to learn from and 10,000 to test on.

    The set lies in `datasets/` complete, in its official order and split. The first call decompresses it
    (about a second) and keeps it in memory (55 MB); later calls copy from there.
    `full=True` fetches the publisher's own four files (11.6 MB) instead; they hold the same digits.
    They are also fetched if minidl was installed without `datasets/`.

    Shape: images (60000, 28, 28) and (10000, 28, 28) uint8; labels (60000,) and (10000,) int64.
    Raises: DataError if the files are damaged or cannot be downloaded.
    Source: LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document
    recognition". Licence: CC BY-SA 3.0.
    """
    if full or not store.has(EMBEDDED):
        return load_official(official.MNIST)
    return MNIST(*(array.copy() for array in _embedded_mnist()))


def fashion_mnist(full: bool = True) -> MNIST:
    """Return Fashion-MNIST: clothes in MNIST's form, a harder test. Downloads 30.9 MB once.

    Classes 0-9: T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot.

    Shape: as `mnist`.
    Raises: DataError if it cannot be downloaded; ValueError for full=False (no part is in `datasets/`).
    Source: Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747. Licence: MIT.
    """
    if not full:
        raise ValueError("fashion_mnist: datasets/ holds no part of it; call fashion_mnist(full=True).")
    return load_official(official.FASHION_MNIST)


def kmnist(full: bool = True) -> MNIST:
    """Return Kuzushiji-MNIST: ten cursive Japanese characters in MNIST's form. Downloads 21.2 MB once.

    Shape: as `mnist`.
    Raises: DataError if it cannot be downloaded; ValueError for full=False (no part is in `datasets/`).
    Source: Clanuwat et al. (2018), arXiv:1812.01718. Licence: CC BY-SA 4.0.
    """
    if not full:
        raise ValueError("kmnist: datasets/ holds no part of it; call kmnist(full=True).")
    return load_official(official.KMNIST)


def photograph() -> np.ndarray:
    """Return a colour photograph of a cat, Chelsea, to try filters on.

    Shape: (300, 451, 3) uint8, red, green, blue. Needs Pillow, which matplotlib brings along.
    Raises: DataError if the file is damaged.
    Source: Stefan van der Walt, from scikit-image. Licence: CC0.
    """
    from PIL import Image  # the engine itself does without Pillow

    with Image.open(store.embedded("chelsea.png")) as image:
        return np.array(image.convert("RGB"))


def load_official(source: official.OfficialSet) -> MNIST:
    """Return a set in MNIST's form from its official files, downloading those not in the cache folder.

    Raises: DataError if a file cannot be downloaded or holds other bytes than the published ones.
    """
    folder = store.cache_folder() / source.folder
    paths = [store.download(file, source.mirrors, folder) for file in source.files]
    contents = [gzip.decompress(path.read_bytes()) for path in paths]
    found = [hashlib.sha256(content).hexdigest() for content in contents]
    if source.raw_sha256 and found != source.raw_sha256:
        raise store.DataError(
            f"{source.folder}: after decompression SHA-256 is {found}, should be {source.raw_sha256}."
        )
    return _checked(source.folder, *(parse_idx(content) for content in contents))


@functools.cache
def _embedded_mnist() -> MNIST:
    content = lzma.decompress(store.embedded(EMBEDDED).read_bytes())
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return _checked("mnist", *(arrays[key] for key in ("x_train", "y_train", "x_test", "y_test")))


def _checked(name: str, train_images, train_labels, test_images, test_labels) -> MNIST:
    """Return the set with int64 labels, refusing images and labels that do not belong together."""
    for images, labels in ((train_images, train_labels), (test_images, test_labels)):
        if images.ndim != 3 or labels.shape != images.shape[:1] or (labels.size and labels.max() > 9):
            raise ValueError(
                f"{name}: images {images.shape} and labels {labels.shape} do not match: "
                "expected (N, H, W) with N labels from 0 to 9."
            )
    return MNIST(train_images, train_labels.astype(np.int64), test_images, test_labels.astype(np.int64))
