"""The figures as lines of a table, and what follows from them."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tests.benchmarks import hardware
from tests.benchmarks.engines import SMALL
from tests.benchmarks.operations import Operation

EQUAL = 2e-3
"""How far the numbers of two engines may be apart: float32 in another order of summation."""


def machine() -> dict[str, str]:
    """What the figures hold for."""
    found = {}
    for name in ("numpy", "numba", "torch", "autograd", "tinygrad", "micrograd"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    model = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    cpu = model[0] if model else platform.processor()
    return {"cpu": cpu, "cores": str(os.cpu_count()), "python": platform.python_version(), **found}


def limits(threads: int) -> dict[str, float]:
    """Measured peaks of the machine: FLOP and bytes a second."""
    return {"flops": hardware.peak(threads), "bytes": hardware.bandwidth(400_000_000, threads)}


def check(results: dict, reference: str = "torch") -> None:
    """Every engine's numbers must be PyTorch's.

    Raises:
        RuntimeError: minidl or the reference failed.
        AssertionError: an engine computes something else; its time means nothing.
    """
    for name in ("minidl", reference):
        if "failed" in results[name]:
            raise RuntimeError(f"{name} failed: {results[name]['failed']}")
    want = results[reference]["results"]
    for name, result in results.items():
        if "results" in result:
            np.testing.assert_allclose(result["results"], want, rtol=EQUAL, atol=EQUAL, err_msg=name)


def add_best(results: dict) -> None:
    """Which of PyTorch's settings is the fastest here, and how we stand against it."""
    able = {n: r["ratio"] for n, r in results.items() if n.startswith("torch") and "ratio" in r}
    best = min(able, key=able.get)
    ours = results["minidl"]
    ours["best"], ours["ratio_to_best"] = best, ours["ratio"] / results[best]["ratio"]


def add_share(result: dict, operation: Operation, peak: float, threads: int) -> None:
    """FLOP a second and the share of the peak, or bytes a second and the share of a copy of that size."""
    if "median" not in result:
        return
    if operation.flops:
        result["flops"] = operation.flops / result["median"]
        result["share"] = result["flops"] / peak
    elif operation.bytes:
        result["bytes"] = operation.bytes / result["median"]
        result["share"] = result["bytes"] / hardware.bandwidth(int(operation.bytes / 2), threads)


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def line(name: str, result: dict) -> str:
    """One engine in one training case."""
    if "failed" in result:
        return f"  {name:20s} {result['failed'][:80]}"
    low, middle, high = (1000 * q for q in result["quartiles"])
    text = f"  {name:20s} {middle:9.3f} ms [{low:.3f}, {high:.3f}]  ratio {result['ratio']:6.3f}"
    if "best" in result:
        text += f"  to the best ({result['best']}) {result['ratio_to_best']:.3f}"
    return text


def operation_line(name: str, results: dict) -> str:
    """Both engines in one operation."""
    cells = []
    for engine, result in results.items():
        if "failed" in result:
            return f"  {name:52s} {engine}: {result['failed'][:60]}"
        rate = result.get("flops") or result.get("bytes")
        unit = "GFLOP/s" if "flops" in result else "GB/s"
        share = f"{rate / 1e9:7.1f} {unit:7s} {100 * result['share']:4.0f} %" if rate else " " * 22
        cells.append(f"{engine} {1e6 * result['median']:9.1f} us {share}")
    return f"  {name:52s} {'   '.join(cells)}   ratio {results['minidl']['ratio']:.2f}"


def verdicts(training: dict) -> list[str]:
    """What one set of training cases says: means over the cases, the slowest small engine to beat."""
    ratios = [case["minidl"]["ratio"] for case in training.values()]
    best = [case["minidl"]["ratio_to_best"] for case in training.values()]
    lines = [
        f"minidl / torch, geometric mean of {len(ratios)}: {geometric_mean(ratios):.3f}, "
        f"to PyTorch's best settings: {geometric_mean(best):.3f}"
    ]
    for name in SMALL:
        factors = {
            case: results[name]["ratio"] / results["minidl"]["ratio"]
            for case, results in training.items()
            if "ratio" in results.get(name, {})
        }
        if factors:
            case = min(factors, key=factors.get)
            lines.append(f"{name} takes {factors[case]:.1f} times as long or more (least: {case})")
    return lines
