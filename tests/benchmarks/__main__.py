"""`python -m tests.benchmarks`: minidl against PyTorch and others on the same work, as a table and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tests.benchmarks.cases import CASES
from tests.benchmarks.engines import SETTINGS
from tests.benchmarks.pairing import Candidate, compare

EQUAL = 2e-3
"""How far the first losses of two engines may be apart: float32 in another order of summation."""


def machine() -> dict[str, str]:
    """What the figures hold for."""
    names = ("numpy", "numba", "torch", "autograd", "tinygrad", "micrograd")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    cpu = model[0].partition(":")[2].strip() if model else platform.processor()
    return {"cpu": cpu, "cores": str(os.cpu_count()), "python": platform.python_version(), **found}


def check(results: dict) -> None:
    """Every engine's first losses must be PyTorch's.

    Raises:
        AssertionError: an engine computes something else; its time means nothing.
    """
    want = results["torch"]["results"]
    for name, result in results.items():
        if "results" in result:
            np.testing.assert_allclose(result["results"], want, rtol=EQUAL, atol=EQUAL, err_msg=name)


def line(name: str, result: dict) -> str:
    if "failed" in result:
        return f"  {name:28s} {result['failed'][:70]}"
    low, middle, high = (1000 * q for q in result["quartiles"])
    return (
        f"  {name:28s} {middle:9.3f} ms [{low:.3f}, {high:.3f}]  ratio {result['ratio']:.3f}  "
        f"first {result['first']:.1f} s  peak {result['peak_mb']:.0f} MB (+{result['step_mb']:.0f})"
    )


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def run(cases: list[str], engines: list[str], threads: int, rounds: int) -> dict:
    """Time every case; print its table while it goes."""
    report = {}
    for case in cases:
        candidates = {e: Candidate(SETTINGS[e][0], {"case": case, **SETTINGS[e][1]}) for e in engines}
        results = compare(candidates, "torch", threads, rounds)
        print(f"{case}, {threads} thread{'s' * (threads > 1)}: {(CASES[case].__doc__ or '').strip()}")
        print("\n".join(line(name, result) for name, result in results.items()), flush=True)
        check(results)
        report[case] = results
    ratios = [report[case]["minidl"]["ratio"] for case in cases]
    print(f"minidl / torch, geometric mean of {len(ratios)}: {geometric_mean(ratios):.3f}\n", flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--engines", nargs="+", default=["minidl", "torch"], choices=list(SETTINGS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    args = parser.parse_args()
    about = machine()
    print(", ".join(f"{k} {v}" for k, v in about.items()), "\n")
    figures = {t: run(args.cases, args.engines, t, args.rounds) for t in args.threads}
    if args.output:
        args.output.write_text(json.dumps({"machine": about, "threads": figures}, indent=1))


if __name__ == "__main__":
    main()
