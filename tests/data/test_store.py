"""Downloads arrive whole and right, or not at all."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minidl.data import store

CONTENT = bytes(range(256)) * 1200  # what the test server serves
FILE = store.RemoteFile("digits.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
PATIENCE = 60  # seconds
DOWNLOAD = """
import sys; from pathlib import Path; from minidl.data import store
name, size, sha256, mirror, folder = sys.argv[1:]
store.download(store.RemoteFile(name, int(size), sha256), [mirror], Path(folder))
"""


def in_process(mirror, folder):
    """Start a download in a process of its own."""
    arguments = [*map(str, FILE), mirror, str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, *arguments],
        stderr=subprocess.PIPE,
        cwd=Path(store.__file__).parents[2],
    )


def test_good_file_arrives_whole_and_is_not_asked_for_twice(server, tmp_path):
    for _ in range(2):
        path = store.download(FILE, [server.url + "good/"], tmp_path / "new" / "folder")
        assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == [FILE.name]
    assert server.requests == ["/good/digits.bin"]


@pytest.mark.parametrize(
    ("manner", "message"),
    [
        ("truncated", "it has 1000 bytes and should have 307200"),
        ("short", "it has 1000 bytes and should have 307200"),
        ("long", "more than the 307200 bytes that it should have"),
        ("missing", "404"),
        ("garbage", "no HTTP at all"),
        ("slow", "timed out"),
    ],
)
def test_bad_mirror_is_refused_and_leaves_no_file(server, tmp_path, manner, message):
    with pytest.raises(store.DataError, match=message):
        store.download(FILE, [server.url + manner + "/"], tmp_path, timeout=0.3 if manner == "slow" else 30)
    assert list(tmp_path.iterdir()) == []


def test_tampered_file_is_refused_with_both_hashes(server, tmp_path):
    with pytest.raises(store.DataError) as refused:
        store.download(FILE, [server.url + "tampered/"], tmp_path)
    assert FILE.sha256 in str(refused.value)
    assert hashlib.sha256(CONTENT[:-1] + b"!").hexdigest() in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_next_mirror_is_used_when_one_is_dead_or_bad(server, dead_mirror, tmp_path):
    mirrors = [dead_mirror, server.url + "tampered/", server.url + "good/"]
    assert store.download(FILE, mirrors, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_offline_message_names_what_was_tried_and_what_still_works(server, dead_mirror, tmp_path):
    with pytest.raises(store.DataError) as offline:
        store.download(FILE, [dead_mirror, server.url + "missing/"], tmp_path)
    for part in (dead_mirror + FILE.name, "missing/digits.bin", "data.mnist()", str(tmp_path), FILE.sha256):
        assert part in str(offline.value)


def test_damaged_file_in_the_cache_is_fetched_anew(server, tmp_path):
    (tmp_path / FILE.name).write_bytes(CONTENT[:-1] + b"!")
    assert store.download(FILE, [server.url + "good/"], tmp_path).read_bytes() == CONTENT


def test_damaged_file_in_the_cache_is_not_used_offline(dead_mirror, tmp_path):
    (tmp_path / FILE.name).write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(store.DataError, match="Could not download"):
        store.download(FILE, [dead_mirror], tmp_path)


def test_interrupt_is_passed_on_and_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "urlopen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.download(FILE, ["http://127.0.0.1/"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_killed_download_leaves_no_file_under_the_final_name(server, tmp_path):
    process = in_process(server.url + "slow/", tmp_path)
    deadline = time.monotonic() + PATIENCE
    while not any(part.stat().st_size for part in tmp_path.glob("*.part")):
        assert time.monotonic() < deadline, process.stderr.read() if process.poll() else "no bytes came"
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (tmp_path / FILE.name).exists()
    assert store.download(FILE, [server.url + "good/"], tmp_path).read_bytes() == CONTENT


def test_two_processes_may_download_at_once(server, tmp_path):
    processes = [in_process(server.url + "together/", tmp_path) for _ in range(2)]
    errors = [process.communicate(timeout=2 * PATIENCE)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert [path.name for path in tmp_path.iterdir()] == [FILE.name]
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    for name in ("MINIDL_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert store.cache_folder() == Path.home() / ".cache" / "minidl"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / "minidl"
    monkeypatch.setattr(sys, "platform", "win32")
    assert store.cache_folder() == Path.home() / "AppData" / "Local" / "minidl"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert store.cache_folder() == tmp_path / "local" / "minidl"
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "shared"))
    assert store.cache_folder() == tmp_path / "shared"


def test_importing_data_loads_no_heavy_library():
    heavy = "{'numba', 'matplotlib', 'ipywidgets', 'PIL', 'tqdm'}"
    command = f"import sys, minidl.data; sys.exit(str({heavy} & set(sys.modules) or ''))"
    run = subprocess.run(
        [sys.executable, "-c", command],
        cwd=Path(store.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr.strip() == ""
