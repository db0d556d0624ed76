"""What it costs to begin: the import, the first step with and without compiled code on disk, peak memory.

Everything is measured in fresh processes: `python -m tests.benchmarks.startup ENGINE CASE WHAT` prints JSON.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minidl.kernels.threads import thread_count
from tests.benchmarks.cases import CASES, data
from tests.benchmarks.pairing import thread_limits

REPEATS = 5
STEPS = 4
ROOT = Path(__file__).resolve().parents[2]


def fresh(*arguments: str, **environment: str) -> str:
    """What a fresh Python with these arguments prints."""
    command = [sys.executable, *arguments]
    settings = {**os.environ, **thread_limits(thread_count()), **environment}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def import_time(module: str) -> float:
    """Seconds of a first import: the median of some."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return statistics.median(float(fresh("-c", code)) for _ in range(REPEATS))


def resident_memory(field: str) -> float:
    """MB of this process: VmRSS now, VmHWM at its peak. 0 and the peak where there is no /proc."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines[field].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 if field == "VmHWM" else 0.0


def begin(engine: str, case: str, what: str) -> dict[str, float]:
    """In the fresh process. `first`: seconds from the imported engine to the end of the first step.
    `memory`: MB that building and some steps take at their peak, beyond what is there after all imports."""
    from tests.benchmarks import engines

    m = {"minidl": engines.ours, "torch": engines.torch}[engine]()
    if what == "memory":
        import_the_rest(m)
    before = resident_memory("VmRSS")
    if Path("/proc/self/clear_refs").is_file():
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start = time.perf_counter()
    step = CASES[case](m)
    step()
    first = time.perf_counter() - start
    for _ in range(STEPS):
        step()
    peak = resident_memory("VmHWM")
    return {"first": first, "memory": peak - before, "peak": peak}


def import_the_rest(m) -> None:
    """A small step of training: an engine imports some of its parts when they are first used."""
    layer = m.nn.Linear(64, 128)
    optimizer = m.optim.Adam(layer.parameters())
    layer(m.tensor(data(8, 64))).sum().backward()
    optimizer.step()


def measure(cases: list[str]) -> dict:
    """All figures of this file, printed while they come."""
    report = {"import": {m: import_time(m) for m in ("numpy", "minidl", "numba", "torch")}}
    print("import: " + ", ".join(f"{name} {s:.3f} s" for name, s in report["import"].items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report["warm"] = [_warm_up(folder) for _ in range(2)]
        print("python -m minidl warm: {:.1f} s, again {:.1f} s".format(*report["warm"]), flush=True)
        for case in cases:
            report[case] = _case(case, folder)
            print(f"{case:8s} " + ", ".join(f"{k} {v:.3g}" for k, v in report[case].items()), flush=True)
    return report


def _warm_up(folder: str) -> float:
    start = time.perf_counter()
    fresh("-m", "minidl", "warm", NUMBA_CACHE_DIR=folder)
    return time.perf_counter() - start


def _case(case: str, warm: str) -> dict[str, float]:
    """First steps (seconds) and memory (MB) of one training case."""

    def run(engine: str, what: str, folder: str) -> dict[str, float]:
        command = ("-m", "tests.benchmarks.startup", engine, case, what)
        return json.loads(fresh(*command, NUMBA_CACHE_DIR=folder))

    with tempfile.TemporaryDirectory() as cold:
        first_cold = run("minidl", "first", cold)["first"]
    ours, theirs = run("minidl", "memory", warm), run("torch", "memory", warm)
    return {
        "first step cold": first_cold,
        "first step warm": run("minidl", "first", warm)["first"],
        "first step torch": theirs["first"],
        "memory MB": ours["memory"],
        "memory torch MB": theirs["memory"],
        "peak MB": ours["peak"],
        "peak torch MB": theirs["peak"],
    }


if __name__ == "__main__":
    print(json.dumps(begin(*sys.argv[1:])))
