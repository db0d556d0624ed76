"""MNIST is MNIST, wherever it comes from."""

import gzip
import hashlib

import numpy as np
import pytest

from minidl import data
from minidl.data import official, store, vision

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture(scope="module")
def mnist():
    return data.mnist()


def test_mnist_has_the_published_shapes_and_label_counts(mnist):
    assert mnist.train_images.shape == (60000, 28, 28)
    assert mnist.test_images.shape == (10000, 28, 28)
    assert mnist.train_images.dtype == mnist.test_images.dtype == np.uint8
    assert mnist.train_labels.dtype == mnist.test_labels.dtype == np.int64
    assert np.bincount(mnist.train_labels).tolist() == TRAIN_COUNTS
    assert np.bincount(mnist.test_labels).tolist() == TEST_COUNTS


def test_embedded_mnist_is_the_official_one_byte_for_byte(mnist, to_idx):
    found = [hashlib.sha256(to_idx(array.astype(np.uint8))).hexdigest() for array in mnist]
    assert found == official.MNIST.raw_sha256


def test_changing_the_arrays_does_not_change_the_next_ones(mnist):
    before = mnist.test_labels[0]
    data.mnist().test_labels[:] = -1
    assert data.mnist().test_labels[0] == before


@pytest.mark.parametrize("source", [official.MNIST, official.FASHION_MNIST, official.KMNIST])
def test_official_tables_are_complete(source):
    hashes = source.sha256 + (source.raw_sha256 or [])
    assert len(source.files) == 4
    assert len(set(hashes)) == len(hashes)
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in hashes)
    assert source.licence
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in source.mirrors)


@pytest.fixture
def small_set(server, cache, to_idx):
    """A set in MNIST's form with 3 + 2 pictures, served on this machine."""
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    labels = np.arange(5, dtype=np.uint8)
    raw = [to_idx(part) for part in (images[:3], labels[:3], images[3:], labels[3:])]
    packed = [gzip.compress(content) for content in raw]
    server.files.update(zip(official.NAMES, packed, strict=True))
    return official.OfficialSet(
        "small",
        "ours",
        [server.url + "files/"],
        [len(content) for content in packed],
        [hashlib.sha256(content).hexdigest() for content in packed],
        [hashlib.sha256(content).hexdigest() for content in raw],
    )


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("MNIST", lambda: data.mnist(full=True)),
        ("FASHION_MNIST", data.fashion_mnist),
        ("KMNIST", data.kmnist),
    ],
)
def test_full_sets_are_downloaded_once(small_set, server, cache, monkeypatch, name, load):
    monkeypatch.setattr(official, name, small_set)
    for _ in range(2):
        loaded = load()
    assert loaded.train_images.shape == (3, 28, 28)
    assert loaded.test_labels.tolist() == [3, 4]
    assert loaded.test_labels.dtype == np.int64
    assert len(server.requests) == 4
    assert sorted(path.name for path in (cache / "small").iterdir()) == sorted(official.NAMES)


def test_mnist_is_downloaded_where_datasets_is_absent(small_set, tmp_path, monkeypatch):
    monkeypatch.setattr(official, "MNIST", small_set)
    monkeypatch.setattr(store, "DATASETS", tmp_path)
    assert data.mnist().train_labels.tolist() == [0, 1, 2]


def test_other_contents_than_the_published_are_refused(small_set):
    with pytest.raises(store.DataError, match="small: after decompression SHA-256 is"):
        vision.load_official(small_set._replace(raw_sha256=["0" * 64] * 4))


def test_images_without_their_labels_are_refused(small_set):
    swapped = {field: getattr(small_set, field)[::-1] for field in ("sizes", "sha256", "raw_sha256")}
    with pytest.raises(store.DataError, match="Could not download"):
        vision.load_official(small_set._replace(**swapped))
    with pytest.raises(ValueError, match="do not match"):
        vision._checked("mnist", np.zeros((3, 28, 28), np.uint8), np.zeros(2, np.uint8), None, None)


@pytest.mark.parametrize("load", [data.fashion_mnist, data.kmnist])
def test_sets_without_an_embedded_part_say_so(load):
    with pytest.raises(ValueError, match=f"call {load.__name__}\\(full=True\\)"):
        load(full=False)


def test_photograph_is_a_colour_picture():
    picture = data.photograph()
    assert (picture.shape, picture.dtype) == ((300, 451, 3), np.uint8)
    assert picture.std() > 20
