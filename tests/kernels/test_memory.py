"""A training step finds the memory of the step before: the system need not clear its pages anew."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
{first}

def step():
    np.ones(2_000_000, np.float32).sum()  # 8 MB, some 2,000 pages

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(first=first)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are glibc's")
def test_freed_arrays_are_used_again():
    assert faults("import minidl") < 500


def test_it_does_no_harm_where_there_is_nothing_to_set(monkeypatch):
    from minidl.kernels import memory

    monkeypatch.setattr(memory.sys, "platform", "darwin")
    memory.keep_freed_memory()
