"""One pool of threads for all compiled kernels.

The idea: kernels are compiled without the lock of Python (`nogil`), so plain Python threads run them at the
same time, each on its own part of the batch. Two widgets may train at once, and no second pool waits in the
way. A worker that has done its part spins for a moment before it sleeps (`cpu/waiting.py`), because the next
part mostly comes soon; handing over costs some ten microseconds, which is why small work stays where it is.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import importlib.util
import itertools
import os
import threading
import time
from collections.abc import Callable

import numpy as np

WORTH_SPLITTING = 20_000_000
"""Floating-point operations from which a second thread gains more than handing over costs."""
MOST = 8
"""Threads at most, if nobody says otherwise: parts are handed over one after the other."""
SPIN, GRACE = 40_000, 300
"""Turns of waiting, of 10 to 50 ns: before a worker sleeps; before it asks for the lock of Python."""
TOLERATED, REST = 3e-4, 0.2
"""Seconds: by which a job may take longer than without help; for which there is no help after that."""


def thread_count() -> int:
    """How many threads kernels use: MINIDL_NUM_THREADS, else OMP_NUM_THREADS, else the cores we have."""
    for name in ("MINIDL_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST)


class _Job:
    """Parts of a piece of work. Whoever is free takes the next one, so nobody waits for a thread that the
    system has not woken yet, or does not let run because other programs want the core."""

    def __init__(self, parts: list[Callable]):
        self.parts, self.takers, self.errors = parts, set(), []

    def work(self, taker) -> None:
        """Do parts until none is left."""
        while self.parts:
            self.work_on_one(taker)

    def work_on_one(self, taker) -> None:
        """Do a part, if one is left."""
        self.takers.add(taker)  # before it is taken: then nobody can overlook it
        try:
            part = self.parts.pop()
        except IndexError:  # another thread was faster
            return
        try:
            part()
        except Exception as error:
            self.errors.append(error)


class _Worker:
    """A thread that helps with one job after the other. `asked` and `done` are numbers of jobs."""

    def __init__(self):
        self.counts = np.zeros(16, np.int64)  # asked and done, in cache lines of their own
        self.asked, self.done = self.counts[:1], self.counts[8:9]
        self.asked_at, self.done_at = self.asked.ctypes.data, self.done.ctypes.data
        self.job, self.asleep = None, False
        self.wake = threading.Condition()
        threading.Thread(target=self._run, name="minidl-kernel", daemon=True).start()

    def start(self, job: _Job | None) -> None:
        """Help with this job; None ends the thread."""
        self.job = job
        self.asked += 1
        if self.asleep:
            with self.wake:
                self.wake.notify()

    def finish(self) -> None:
        """Wait until the last job that was asked for is done."""
        while (done := int(self.done[0])) != self.asked[0]:
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
        self.rest_until = 0.0

    def run(self, parts: list[Callable]) -> None:
        """Do all parts. They are the same, and so are their results, whoever does them."""
        job = _Job(parts)
        if time.perf_counter() > self.rest_until and self.lock.acquire(blocking=False):
            try:
                self._run_together(job, len(parts))
            finally:
                self.lock.release()
        else:
            job.work(None)
        for error in job.errors:
            raise error

    def _run_together(self, job: _Job, count: int) -> None:
        """Give the job to the workers too; if that took longer than it would have alone, rest for a while.

        That happens on a busy machine: a worker that has Python's lock may have to wait for a core.
        """
        while len(self.workers) < count - 1:
            self.workers.append(_Worker())
        helpers, start = self.workers[: count - 1], time.perf_counter()
        for worker in helpers:
            worker.start(job)
        before = time.perf_counter()
        job.work_on_one(None)
        alone = (time.perf_counter() - before) * count
        job.work(None)
        for worker in helpers:
            if worker in job.takers:
                worker.finish()
        end = time.perf_counter()
        if end - start > alone + TOLERATED:
            self.rest_until = end + REST

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
    bounds = [n * i // threads for i in range(threads + 1)]
    _pool.run([functools.partial(function, *part) for part in itertools.pairwise(bounds)])
