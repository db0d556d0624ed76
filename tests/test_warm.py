"""The warm-up calls every compiled kernel, and says why it cannot where it cannot."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from minidl import kernels, warm
from minidl.kernels import COMPILED

pytest.importorskip("numba", reason="Numba is not installed")


def test_every_compiled_kernel_is_called(monkeypatch):
    seen, choose = set(), kernels._compiled

    def recorded(name, choice):
        seen.add(name)
        return choose(name, choice)

    monkeypatch.setattr(kernels, "_compiled", recorded)
    assert f"{len(COMPILED)} kernels" in warm.warm(show=False)
    missing = sorted(set(COMPILED) - seen)
    assert not missing, f"let something in minidl/warm.py call {missing} with float32 arrays"


def test_processes_side_by_side_do_all_and_survive_a_failure():
    names, seen = ["embedding", "no such work", "losses"], []
    warm._side_by_side(names, SimpleNamespace(advance=seen.append))
    assert sorted(seen) == sorted(names)


def test_what_is_left_when_something_compiles_is_done_side_by_side_and_then_here(monkeypatch):
    done, beside = [], []
    monkeypatch.setattr(warm, "WORK", dict.fromkeys("abcd"))
    monkeypatch.setattr(warm, "_do", lambda name: done.append(name) or name == "b")
    monkeypatch.setattr(warm, "_side_by_side", lambda names, bar: beside.extend(names))
    monkeypatch.setattr(warm, "thread_count", lambda: 2)
    warm.warm(show=False)
    assert beside == ["c", "d"]
    assert done == ["a", "b", "c", "d"]


def is_gone(group):
    """Has every process of the group ended?"""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to another process")
def test_ctrl_c_ends_all_processes(tmp_path):
    warming = subprocess.Popen(
        [sys.executable, "-m", "minidl", "warm"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "MINIDL_NUM_THREADS": "2"},
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # if a shell has it ignored in tests
    )
    try:
        said = b""
        while b"embedding" not in said:
            said += (more := os.read(warming.stderr.fileno(), 1000))
            assert more, said
        time.sleep(2)  # the processes beside it have begun
        os.killpg(warming.pid, signal.SIGINT)
        assert warming.wait(5) == 130  # 0.6 s; a kernel that is compiled to its end takes longer
        end = time.monotonic() + 10
        while not is_gone(warming.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert is_gone(warming.pid)
    finally:
        warming.stderr.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(warming.pid, signal.SIGKILL)


def test_what_is_kept_works_in_a_fresh_process():
    command = [sys.executable, "-m", "minidl", "warm"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "kernels are compiled" in done.stdout


def test_without_numba_it_says_so(monkeypatch):
    monkeypatch.setattr(warm.importlib.util, "find_spec", lambda name: None)
    assert "Numba is not installed" in warm.warm(show=False)


def test_without_a_folder_it_says_what_to_set(monkeypatch):
    from minidl.kernels.cpu import compiling

    monkeypatch.setattr(compiling, "is_kept", lambda: False)
    assert "NUMBA_CACHE_DIR" in warm.warm(show=False)
