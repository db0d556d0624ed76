"""What all tests share: who runs what; measured figures are printed at the end, never asserted tightly."""

import os
import subprocess
import sys

import hypothesis
import pytest
from filelock import FileLock
from xdist.scheduler import LoadFileScheduling

from .browser.lab import ROOT, missing

hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("patient")

if "PYTEST_XDIST_WORKER" in os.environ:  # each has its share of the cores: threads that wait cost time
    share = max(1, os.cpu_count() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    for library in ("MINIDL", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", str(share))


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """The kernels are compiled where the notebooks of the tests find them, and servers copy them.

    By one of the test processes, on all cores; the others wait, then find it done.
    """
    environment = {name: value for name, value in os.environ.items() if name != "MINIDL_NUM_THREADS"}
    with FileLock(tmp_path_factory.getbasetemp().parent / "warm.lock"):
        command = [sys.executable, "-m", "minidl", "warm"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


class Pieces(LoadFileScheduling):
    """Work for the workers: file by file, and of the browser's tests, which take minutes, one by one."""

    def _split_scope(self, nodeid):
        return nodeid if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    """With `--dist=loadfile`, as in pyproject.toml."""
    return Pieces(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)  # what -k leaves out is not run in the browser
def pytest_collection_modifyitems(config, items):
    """A notebook is run once: by a browser's test, which compares outputs as nbval does, or by nbval."""
    params = [] if missing() else [item.callspec.params for item in items if hasattr(item, "callspec")]
    in_browser = {ROOT / of["notebook"] for of in params if "notebook" in of}
    config.hook.pytest_deselected(items=[item for item in items if item.path in in_browser])
    items[:] = [item for item in items if item.path not in in_browser]


def pytest_terminal_summary(terminalreporter):
    """Print what tests noted with `record_property("measured", text)`."""
    passed = terminalreporter.stats.get("passed", ())
    measured = [text for report in passed for name, text in report.user_properties if name == "measured"]
    if measured:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(sorted(measured)))
