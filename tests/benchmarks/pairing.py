"""Paired timing: each candidate in a process of its own, taking turns, so that both see the same machine.

A worker builds one case, warms it up and then, on request, runs it n times and answers with the seconds.
Every round asks each candidate once, in rotating order; ratios are taken within a round, so that whatever
slows the machine for a while slows both sides of the ratio.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

WARM_UP = 3
ROUND_SECONDS = 0.05  # what one candidate runs for in a round


@dataclass
class Candidate:
    """`build(**settings)` returns a step."""

    build: Callable
    settings: dict = field(default_factory=dict)


def thread_limits(threads: int) -> dict[str, str]:
    """The variables by which every numerical library is held to so many threads."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    return {f"{name}_NUM_THREADS": str(threads) for name in names}


def _work(pipe, candidate: Candidate) -> None:
    """In the worker: build, warm up, then run as often as asked; None ends it with the peak memory in MB."""
    try:
        start = time.perf_counter()
        step = candidate.build(**candidate.settings)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        results = [step()]
        first = time.perf_counter() - start
        results += [step() for _ in range(WARM_UP)]
        pipe.send((results, first))
    except Exception as error:
        pipe.send((f"{type(error).__name__}: {error}", None))
        return
    while (count := pipe.recv()) is not None:
        start = time.perf_counter()
        for _ in range(count):
            step()
        pipe.send(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send({"peak_mb": peak / 1024, "step_mb": (peak - before) / 1024})


class Worker:
    """The parent's end of one candidate."""

    def __init__(self, candidate: Candidate, threads: int):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, candidate), daemon=True)
        before = dict(os.environ)
        os.environ.update(thread_limits(threads))
        self.process.start()
        os.environ.clear()
        os.environ.update(before)
        self.results, self.first = self.pipe.recv()
        self.failed = self.results if isinstance(self.results, str) else None
        self.count = 1
        if not self.failed:
            self.count = max(1, int(ROUND_SECONDS / max(self.run(), 1e-6)))
            self.count = max(1, int(ROUND_SECONDS / max(self.run(), 1e-6)))

    def run(self) -> float:
        """Seconds a step, over one round."""
        self.pipe.send(self.count)
        return self.pipe.recv() / self.count

    def end(self) -> dict[str, float]:
        self.pipe.send(None)
        memory = self.pipe.recv()
        self.process.join(5)
        return memory


def compare(candidates: dict[str, Candidate], reference: str, threads: int, rounds: int = 20) -> dict:
    """Run all candidates in turns.

    Returns:
        name -> results of the first steps, median and quartiles (seconds a step), ratio to the reference
        (median over rounds), seconds of the first step with building and compiling, peak memory; or "failed".
    """
    workers = {name: Worker(candidate, threads) for name, candidate in candidates.items()}
    running = [name for name, worker in workers.items() if not worker.failed]
    seconds = {name: [] for name in running}
    for i in range(rounds):
        turn = i % len(running)
        for name in running[turn:] + running[:turn]:
            seconds[name].append(workers[name].run())
    report = {name: {"failed": workers[name].failed} for name in workers if name not in running}
    for name in running:
        quartiles = statistics.quantiles(seconds[name], n=4)
        ratios = [mine / its for mine, its in zip(seconds[name], seconds[reference], strict=True)]
        report[name] = {
            "results": workers[name].results,
            "quartiles": quartiles,
            "median": quartiles[1],
            "ratio": statistics.median(ratios),
            "first": workers[name].first,
            **workers[name].end(),
        }
    return report
