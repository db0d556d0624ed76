"""Where data comes from: a file in `datasets/`, else the cache folder, else a mirror on the network.

Every byte is checked against a recorded size and SHA-256 before it is used, whatever way it came.
"""

import hashlib
import json
import os
import sys
import uuid
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.request import urlopen

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
CHUNK = 1 << 16  # bytes; small enough for a lively progress bar
TIMEOUT = 20  # seconds that a silent mirror may hold us up
OFFLINE = (
    "Without a network these still work: data.mnist(), data.photograph(), data.names(), "
    "data.shakespeare(), data.series(...) and every data.make_...()."
)


class DataError(OSError):
    """A data file is missing, damaged, or could not be downloaded. The message says what to do."""


class RemoteFile(NamedTuple):
    """One file as its publisher offers it: name, size in bytes and SHA-256 (hexadecimal)."""

    name: str
    size: int
    sha256: str


def has(name: str) -> bool:
    """Is there a file of this name in `datasets/`?"""
    return (DATASETS / name).exists()


def embedded(name: str) -> Path:
    """Return the path of a file in `datasets/`, after checking its bytes against `SOURCES.json`.

    Raises: DataError if the file is absent or differs from its recorded size and SHA-256.
    """
    path = DATASETS / name
    if not has(name):
        raise DataError(f"{path} is missing: run from a clone of the course, which brings datasets/ along.")
    source = json.loads((DATASETS / "SOURCES.json").read_text(encoding="utf-8"))[name]
    if fault := _fault(path, RemoteFile(name, source["bytes"], source["sha256"])):
        raise DataError(f"{path} is damaged: {fault}. `git checkout -- datasets/{name}` brings it back.")
    return path


def cache_folder() -> Path:
    """Return the folder of downloaded files: $MINIDL_CACHE, or `minidl` in the platform's cache folder."""
    if chosen := os.environ.get("MINIDL_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "minidl"


def download(file: RemoteFile, mirrors: list[str], folder: Path, timeout: float = TIMEOUT) -> Path:
    """Return the path of `file` in `folder`, fetched from the first mirror that serves the right bytes.

    A good file already there is used as it is. A new one is written under a temporary name and renamed
    when complete and checked, so neither an interruption nor a second process leaves half a file.
    A mirror that is silent for `timeout` seconds is given up.

    Raises: DataError if no mirror served it; the message lists each mirror with its fault.
    """
    target = folder / file.name
    if target.exists() and not _fault(target, file):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    faults = []
    for mirror in mirrors:
        url = mirror + file.name
        try:
            return _fetch(url, file, target, timeout)
        except (OSError, HTTPException) as error:
            faults.append(f"  {url}: {error}")
    raise DataError(
        f"Could not download {file.name} ({file.size / 1e6:.1f} MB). Tried:\n"
        + "\n".join(faults)
        + f"\n{OFFLINE}\nOr copy the file by hand to {target} (SHA-256 {file.sha256})."
    )


def _fetch(url: str, file: RemoteFile, target: Path, timeout: float) -> Path:
    """Download `url` beside `target`, check it, then rename it into place."""
    part = target.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as stream:
            _copy(url, file, stream, timeout)
        if fault := _fault(part, file):
            raise DataError(fault)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _copy(url: str, file: RemoteFile, part: BinaryIO, timeout: float) -> None:
    """Stream `url` into `part`, showing progress; stop a mirror that sends more than it should."""
    from tqdm.auto import tqdm  # only a download needs it

    with (
        urlopen(url, timeout=timeout) as response,
        tqdm(total=file.size, desc=file.name, unit="B", unit_scale=True) as bar,
    ):
        while chunk := response.read(CHUNK):
            bar.update(part.write(chunk))
            if bar.n > file.size:
                raise DataError(f"more than the {file.size} bytes that it should have")


def _fault(path: Path, file: RemoteFile) -> str:
    """Return what is wrong with the file at `path`, or an empty string."""
    size = path.stat().st_size
    if size != file.size:
        return f"it has {size} bytes and should have {file.size}"
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    return "" if found == file.sha256 else f"its SHA-256 is {found} and should be {file.sha256}"
