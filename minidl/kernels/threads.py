"""One pool of threads for all compiled kernels.

The idea: kernels are compiled without the lock of Python (`nogil`), so plain Python threads run them at the
same time, each on its own part of the batch. Two widgets may train at once, and no second pool waits in the
way. A worker that has done its part spins for a moment before it sleeps (`cpu/waiting.py`), because the next
part mostly comes soon; handing over costs some ten microseconds, which is why small work stays where it is.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import importlib.util
import os
import threading
import time
from collections.abc import Callable

import numpy as np

WORTH_SPLITTING = 12_000_000
"""Floating-point operations from which a second thread gains more than handing over costs."""
MOST = 8
"""Threads at most, if nobody says otherwise: parts are handed over one after the other."""
SPIN, GRACE = 40_000, 800
"""Turns of waiting, of 10 to 50 ns: before a worker sleeps; before it asks for the lock of Python."""
CREDIT, REST, MEMORY = 2e-3, 0.1, 0.995
"""Seconds that help may lose before it has gained any; for which there is no help after it lost more than it
gained; and how much of that balance is remembered from one job to the next."""


@functools.cache
def thread_count() -> int:
    """How many threads kernels use: MINIDL_NUM_THREADS, else OMP_NUM_THREADS, else the cores we have."""
    for name in ("MINIDL_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST)


@functools.cache
def _our_core() -> Callable[[], int] | None:
    """The system's function that says on which core the caller runs; None where a core cannot be chosen."""
    return getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None


def _keep_from_our_core(thread: int) -> None:
    """Let a thread wake up on another core than the caller's.

    The system likes to wake a thread where it was called from. There it waits for the caller, and then the
    caller for it, a millisecond each, while the next core is idle.
    """
    if (our_core := _our_core()) is not None:
        others = os.sched_getaffinity(0) - {our_core()}
        if others:
            with contextlib.suppress(OSError):  # some sandboxes do not allow it
                os.sched_setaffinity(thread, others)


class _Job:
    """Parts of a piece of work. Whoever is free takes the next one, so nobody waits for a thread that the
    system has not woken yet, or does not let run because other programs want the core."""

    __slots__ = ("errors", "function", "parts", "seconds", "takers")

    def __init__(self, function: Callable[[int, int], None], parts: list[tuple[int, int]]):
        self.function, self.parts = function, parts
        self.takers, self.errors, self.seconds = set(), [], []

    def work(self, taker) -> None:
        """Do parts until none is left."""
        while self.parts:
            self.takers.add(taker)  # before it is taken: then nobody can overlook it
            try:
                part = self.parts.pop()
            except IndexError:  # another thread was faster
                return
            self.do(part)

    def do(self, part: tuple[int, int]) -> None:
        """Do a part, and note how long it took."""
        start = time.perf_counter()
        try:
            self.function(*part)
        except Exception as error:
            self.errors.append(error)
        self.seconds.append(time.perf_counter() - start)


class _Worker:
    """A thread that helps with one job after the other. `asked` and `done` hold numbers of jobs."""

    def __init__(self):
        self.counts = np.zeros(16, np.int64)  # asked and done, in cache lines of their own
        self.asked, self.done = self.counts[:1], self.counts[8:9]
        self.asked_at, self.done_at = self.asked.ctypes.data, self.done.ctypes.data
        self.number, self.job, self.asleep = 0, None, False
        self.wake = threading.Condition()
        self.thread = threading.Thread(target=self._run, name="minidl-kernel", daemon=True)
        self.thread.start()

    def start(self, job: _Job | None) -> None:
        """Help with this job; None ends the thread."""
        self.job = job
        self.number += 1
        self.asked[0] = self.number
        if self.asleep:
            _keep_from_our_core(self.thread.native_id)
            with self.wake:
                self.wake.notify()

    def finish(self) -> None:
        """Wait until the last job that was asked for is done."""
        while (done := int(self.done[0])) != self.number:
            if not _waiting().wait(self.done_at, done, SPIN):
                time.sleep(1e-5)

    def _run(self) -> None:
        np.seterr(all="ignore")
        number = 0
        while True:
            if not _waiting().report_and_wait(self.done_at, number, self.asked_at, number, SPIN, GRACE):
                with self.wake:
                    self.asleep = True
                    self.wake.wait_for(lambda n=number: self.asked[0] != n)
                    self.asleep = False
            number, job = int(self.asked[0]), self.job
            if job is None:
                return
            job.work(self)


class _Pool:
    """Workers, made when first needed. Who finds them busy works alone."""

    def __init__(self):
        self.workers: list[_Worker] = []
        self.lock = threading.Lock()
        self.rest_until, self.balance = 0.0, CREDIT  # seconds of the clock; seconds gained by help

    def run(self, function: Callable[[int, int], None], parts: list[tuple[int, int]]) -> None:
        """Do all parts. They are the same, and so are their results, whoever does them."""
        start = time.perf_counter()
        job = _Job(function, parts)
        if start > self.rest_until and self.lock.acquire(blocking=False):
            try:
                self._run_together(job, start)
            finally:
                self.lock.release()
        else:
            job.work(None)
        for error in job.errors:
            raise error

    def _run_together(self, job: _Job, start: float) -> None:
        """Give the job to the workers too; when help loses more time than it gains, rest for a while.

        That happens on a busy machine: a worker that has Python's lock may have to wait for a core. Once in a
        while it happens everywhere, so gains and losses of the last jobs are summed.
        """
        count = len(job.parts)
        while len(self.workers) < count - 1:
            self.workers.append(_Worker())
        first = job.parts.pop()  # before the others are asked: soon after that, they want Python's lock
        helpers = self.workers[: count - 1]
        for worker in helpers:
            worker.start(job)
        job.do(first)
        job.work(None)
        for worker in helpers:
            if worker in job.takers:
                worker.finish()
        end = time.perf_counter()
        self.balance = self.balance * MEMORY + count * min(job.seconds) - (end - start)
        if self.balance < 0:
            self.rest_until, self.balance = end + REST, CREDIT

    def end(self) -> None:
        for worker in self.workers:
            worker.start(None)


_pool = _Pool()
atexit.register(lambda: _pool.end())


def _forget_threads() -> None:
    """After a fork: the child has the pool's memory, but not its threads."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@functools.cache
def _waiting():
    """The compiled way to wait; None without Numba, and then nothing is split."""
    if importlib.util.find_spec("numba") is None:
        return None
    return importlib.import_module("minidl.kernels.cpu.waiting")


def split(n: int, work: float, function: Callable[[int, int], None]) -> None:
    """Call function(start, stop) until range(n) is covered, in several threads if the work is worth it.

    Args:
        work: floating-point operations altogether.
        function: a compiled kernel on its part; parts must not write to the same place.
    """
    threads = min(n, 1 + int(work / WORTH_SPLITTING))
    if threads > 1:
        threads = min(threads, thread_count())
    if threads <= 1 or _waiting() is None:
        function(0, n)
        return
    _pool.run(function, [(n * i // threads, n * (i + 1) // threads) for i in range(threads)])
