"""Compiled kernels: kept on disk, compiled anew after a change, and working where nothing can be kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from minidl.kernels.cpu.compiling import Files

COMPILING = Path(__file__).parents[2] / "minidl/kernels/cpu/compiling.py"
PIECE = """
from compiling import inline

@inline
def piece(x):
    return 2 * x
"""
KERNEL = """
from compiling import compiled, is_kept
from piece import piece

@compiled
def kernel(x):
    return piece(x) + 1
"""
RUN = """
from kernel import is_kept, kernel
print(kernel(3.0), sum(kernel.stats.cache_hits.values()), is_kept())
"""


@pytest.fixture
def package(tmp_path):
    """A small copy of the folder of kernels: the decorator, a kernel, and a piece of it in another file."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    shutil.copy(COMPILING, folder)
    (folder / "piece.py").write_text(PIECE)
    (folder / "kernel.py").write_text(KERNEL)
    return folder


def run(package: Path, **environment) -> list[str]:
    """The kernel's result, how many times it came from disk, whether anything can be kept."""
    clean = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    environment = {**clean, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_machine_code_is_kept_until_any_file_of_the_folder_changes(package):
    assert run(package) == ["7.0", "0", "True"]
    assert run(package) == ["7.0", "1", "True"]
    (package / "piece.py").write_text(PIECE.replace("2", "5"))
    assert run(package) == ["16.0", "0", "True"]


def test_a_read_only_package_keeps_its_code_in_the_users_folder(package, tmp_path):
    (package / "__pycache__").write_text("a file, so that no cache fits in here")
    home = tmp_path / "home"
    home.mkdir()
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "LOCALAPPDATA": str(home)}
    assert run(package, **places) == ["7.0", "0", "True"]
    assert run(package, **places) == ["7.0", "1", "True"]


def test_where_nothing_can_be_written_it_is_compiled_each_time(package, tmp_path):
    (package / "__pycache__").write_text("a file, so that no cache fits in here")
    nowhere = tmp_path / "nowhere"
    nowhere.write_text("a file, so that no folder fits in here")
    places = {"HOME": str(nowhere), "XDG_CACHE_HOME": str(nowhere), "LOCALAPPDATA": str(nowhere)}
    for _ in range(2):
        assert run(package, **places) == ["7.0", "0", "False"]


def test_a_number_that_another_process_took_too_brings_no_wrong_code(tmp_path):
    mine, theirs = (Files(tmp_path, "kernel", "stamp") for _ in range(2))
    mine.save("integers", "code for integers")
    theirs._save_index({"floats": theirs._data_name(1)})  # they looked before I had written, and write after
    assert theirs.load("floats") is mine.load("floats") is None
    theirs.save("floats", "code for floats")
    assert mine.load("integers") is None
    assert mine.load("floats") == "code for floats"
