"""Paired timing: each candidate in a process of its own, taking turns, so that all see the same machine.

A worker builds a piece of work, warms it up and then, on request, runs it n times and answers with the
seconds. Every round asks each candidate once, in rotating order; ratios are taken within a round, so that
whatever slows the machine for a while slows both sides of the ratio. Threads of BLAS and OpenMP go on
spinning after their work, some for 0.2 s: a worker answers when its process no longer uses the processor,
and begins each turn with one step that is not timed.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

WARM_UP = 3
ROUND_SECONDS = 0.05  # what one candidate runs for in a round
QUIET, LONGEST_WAIT = 0.01, 0.5  # seconds: one look at a process, and all of them together
SAMPLE = 64  # entries of an array that are compared
CANDIDATE_SECONDS = 4.0  # a slow candidate takes part in so many rounds as fit, at least FEWEST
FEWEST = 3


@dataclass
class Candidate:
    """`build(**settings)` returns a step; `environment` is set before the process starts."""

    build: Callable
    settings: dict = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def thread_limits(threads: int) -> dict[str, str]:
    """The variables by which every numerical library is held to so many threads."""
    names = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMBA_NUM", "NUM_CPU")
    return {f"{name}_THREADS": str(threads) for name in names}


def numbers(value) -> list[float]:
    """What two engines compare of a step's result: a number itself, of an array its sum and a sample."""
    if isinstance(value, (int, float)):
        return [float(value)]
    array = np.asarray(value.detach().numpy() if hasattr(value, "detach") else value, np.float64).ravel()
    return [np.abs(array).mean(), *array[:: max(1, array.size // SAMPLE)]]


def settle() -> None:
    """Wait until no thread of this process uses the processor."""
    for _ in range(round(LONGEST_WAIT / QUIET)):
        before = time.process_time()
        time.sleep(QUIET)
        if time.process_time() - before < QUIET / 10:
            return


def first_steps(candidate: Candidate) -> tuple[Callable, list[float], float]:
    """Build and warm up: the step, the numbers of its first calls, the seconds until the first was done."""
    start = time.perf_counter()
    step = candidate.build(**candidate.settings)
    results = numbers(step())
    first = time.perf_counter() - start
    for _ in range(WARM_UP):
        results += numbers(step())
    return step, results, first


def timed(step: Callable, count: int) -> float:
    """Seconds a step."""
    step()
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


def _work(pipe) -> None:
    """In the worker: build what is sent, run it as often as asked; None ends it."""
    step = None
    while (order := pipe.recv()) is not None:
        if isinstance(order, int):
            answer = timed(step, order)
        else:
            try:
                step = None  # frees what the last one held
                gc.collect()
                step, *answer = first_steps(order)
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
        settle()
        pipe.send(answer)


class Worker:
    """The parent's end of one process, which serves one candidate after the other."""

    def __init__(self, threads: int, environment: dict[str, str], seconds: float = ROUND_SECONDS):
        self.seconds = seconds
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True)
        before = dict(os.environ)
        os.environ.update({**thread_limits(threads), **environment})
        self.process.start()
        os.environ.clear()
        os.environ.update(before)

    def build(self, candidate: Candidate) -> None:
        """Ask for the work to be built; `built` waits for it."""
        self.pipe.send(candidate)

    def built(self) -> dict:
        """Numbers and time of the first steps, or why it failed; then a turn's number of steps is chosen."""
        answer = self.pipe.recv()
        if isinstance(answer, str):
            return {"failed": answer}
        self.count = 1
        for _ in range(2):  # the first look may have met a slow step
            seconds = self.run()
            self.count = max(1, int(self.seconds / max(seconds, 1e-7)))
        self.turn = seconds * (self.count + 1) + QUIET
        return {"results": answer[0], "first": answer[1]}

    def run(self) -> float:
        """Seconds a step, over one turn."""
        self.pipe.send(self.count)
        return self.pipe.recv()

    def end(self) -> None:
        self.pipe.send(None)
        self.process.join(5)


def workers(
    candidates: dict[str, Candidate], threads: int, seconds: float = ROUND_SECONDS
) -> dict[str, Worker]:
    """A process for each; `seconds` is what one runs for in a turn."""
    return {name: Worker(threads, one.environment, seconds) for name, one in candidates.items()}


def compare(
    candidates: dict[str, Candidate],
    reference: str,
    threads: int,
    rounds: int = 12,
    running: dict | None = None,
) -> dict:
    """Run all candidates in turns.

    Args:
        running: workers to use and to leave alive; None starts new ones.

    Returns:
        name -> numbers of the first steps, quartiles and median (seconds a step), ratio to the reference
        (median over rounds), seconds of the first step with building and compiling; or "failed".
    """
    staff = running or workers(candidates, threads)
    report = {}
    for name, candidate in candidates.items():  # one after the other: each has the machine to itself
        staff[name].build(candidate)
        report[name] = staff[name].built()
    able = [name for name in candidates if "failed" not in report[name]]
    seconds = take_turns({name: staff[name] for name in able}, rounds)
    for name in able if reference in able else ():
        report[name] |= summary(seconds[name], seconds[reference])
    if running is None:
        for worker in staff.values():
            worker.end()
    return report


def take_turns(staff: dict[str, Worker], rounds: int) -> dict[str, list[float | None]]:
    """Seconds a step of each worker in each round; None where a slow one was left out."""
    names = list(staff)
    every = {n: max(1, round(rounds / max(FEWEST, CANDIDATE_SECONDS / staff[n].turn))) for n in names}
    seconds = {name: [None] * rounds for name in names}
    for i in range(rounds):
        turn = i % len(names)
        for name in names[turn:] + names[:turn]:
            if i % every[name] == 0:
                seconds[name][i] = staff[name].run()
    return seconds


def summary(mine: list[float | None], its: list[float | None]) -> dict:
    """Median, quartiles, and ratio within the rounds in which both took part."""
    taken = [s for s in mine if s is not None]
    ratios = [a / b for a, b in zip(mine, its, strict=True) if a is not None and b is not None]
    quartiles = statistics.quantiles(taken, n=4) if len(taken) > 1 else taken * 3
    return {"quartiles": quartiles, "median": statistics.median(taken), "ratio": statistics.median(ratios)}
