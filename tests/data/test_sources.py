"""datasets/ holds exactly the files of its tables, byte for byte."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from minidl.data import series, store

SOURCES = json.loads((store.DATASETS / "SOURCES.json").read_text(encoding="utf-8"))
OTHERS = {"README.md", "SOURCES.json", "build.py"}


def test_the_table_lists_exactly_the_files_present():
    present = {path.name for path in store.DATASETS.iterdir() if path.is_file()}
    assert present == set(SOURCES) | OTHERS


@pytest.mark.parametrize("name", SOURCES)
def test_file_has_its_recorded_size_and_hash(name):
    content = (store.DATASETS / name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (
        SOURCES[name]["bytes"],
        SOURCES[name]["sha256"],
    )


def test_the_readme_shows_the_same_table():
    lines = (store.DATASETS / "README.md").read_text(encoding="utf-8").splitlines()
    _header, *rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    fields = ("what", "shape", "source", "licence", "bytes", "sha256")
    expected = [[name, *(str(source[field]) for field in fields)] for name, source in SOURCES.items()]
    assert [[cell.strip("`") for cell in row] for row in rows] == expected


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of two of the files that a test may damage."""
    for name in ("SOURCES.json", "series.npz"):
        shutil.copy(store.DATASETS / name, tmp_path)
    monkeypatch.setattr(store, "DATASETS", tmp_path)
    return tmp_path


def test_missing_file_is_named(copied):
    (copied / "series.npz").unlink()
    with pytest.raises(store.DataError, match=r"series\.npz is missing: run from a clone"):
        series("co2")


def test_damaged_file_is_refused(copied):
    (copied / "series.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(
        store.DataError, match=r"damaged: it has 42 bytes and should have 20393.*git checkout"
    ):
        series("co2")


def test_pickle_inside_an_npz_is_refused_and_not_run(copied):
    class Bomb:
        def __reduce__(self):
            return (copied / "ran").touch, ()

    np.savez(copied / "series.npz", sunspots=np.array([Bomb()], dtype=object), allow_pickle=True)
    content = (copied / "series.npz").read_bytes()
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (copied / "SOURCES.json").write_text(json.dumps({"series.npz": entry}))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        series("sunspots")
    assert not (copied / "ran").exists()
