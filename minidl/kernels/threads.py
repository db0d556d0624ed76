"""One pool of threads for all compiled kernels.

The idea: a kernel is told for which part of its range to work, and several threads claim parts of one job,
without the lock of Python (`cpu/sharing.py`). Two widgets may train at once, and no second pool waits in the
way. A worker that has done its part spins for a moment before it sleeps, because the next part mostly comes
soon. So to hand a part over costs a microsecond or two.
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

WORTH_SPLITTING = 4_000_000
"""Floating-point operations from which a second thread gains more than handing over costs: those of a matrix
product that takes some 50 us. What is slower than a product counts for as many as take as long."""
MOST = 8
"""Threads at most, if nobody says otherwise."""
SPIN = 40_000
"""Turns of waiting, of 10 to 50 ns, before a worker sleeps, or before who waits lets other programs run."""
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


class _Worker:
    """A thread that helps with jobs as they come, and sleeps when none has come for a while."""

    def __init__(self, board: int):
        self.board, self.asleep, self.ended = board, False, False
        self.condition = threading.Condition()
        self.thread = threading.Thread(target=self._run, name="minidl-kernel", daemon=True)
        self.thread.start()

    def wake(self) -> None:
        _keep_from_our_core(self.thread.native_id)
        with self.condition:
            self.asleep = False
            self.condition.notify()

    def _run(self) -> None:
        while not self.ended:
            _sharing().serve(self.board, SPIN)
            with self.condition:
                self.asleep = not self.ended
                self.condition.wait_for(lambda: not self.asleep)


class _Pool:
    """Workers, made when first needed, and their board. Who finds them busy works alone."""

    def __init__(self):
        numbers = np.zeros(16, np.int64)
        first = -(numbers.ctypes.data // 8) % 8  # where a cache line begins
        self.numbers = numbers[first : first + 8]
        self.board = self.numbers.ctypes.data
        self.workers: list[_Worker] = []
        self.lock = threading.Lock()
        self.rest_until, self.balance = 0.0, CREDIT  # seconds of the clock; seconds gained by help

    def run(self, n: int, parts: int, kernel: Callable, arguments: tuple) -> None:
        """Do all parts. They are the same, and so are their results, whoever does them."""
        start = time.perf_counter()
        if start > self.rest_until and self.lock.acquire(blocking=False):
            try:
                self._run_together(n, parts, kernel, arguments, start)
            finally:
                self.lock.release()
        else:
            for i in range(parts):
                kernel(*arguments, n * i // parts, n * (i + 1) // parts)

    def _run_together(self, n: int, parts: int, kernel: Callable, arguments: tuple, start: float) -> None:
        """Put the job on the board; when help loses more time than it gains, rest for a while.

        That happens on a busy machine: a worker that has taken a part may have to wait for a core. Once in a
        while it happens everywhere, so gains and losses of the last jobs are summed.
        """
        while len(self.workers) < parts - 1:
            self.workers.append(_Worker(self.board))
        for worker in self.workers[: parts - 1]:
            if worker.asleep:
                worker.wake()
        run = _sharing().shared(kernel)
        done, waited, failed = run(self.board, n, parts, SPIN, *_nap(), *arguments)
        if failed:
            raise MemoryError(f"{failed} of {parts} parts of {kernel.__name__} failed for want of memory.")
        seconds = time.perf_counter() - start
        alone = 0 if waited > SPIN else (seconds - waited * _turn()) * parts / max(1, done)
        self.balance = self.balance * MEMORY + alone - seconds
        if self.balance < 0:
            self.rest_until, self.balance = start + seconds + REST, CREDIT

    def end(self) -> None:
        """Let the workers end, before the interpreter frees what they look at."""
        if self.workers:
            self.numbers[_sharing().END] = 1
        for worker in self.workers:
            worker.ended = True
            worker.wake()
        for worker in self.workers:
            worker.thread.join(1)


_pool = _Pool()
atexit.register(lambda: _pool.end())


def _forget_threads() -> None:
    """After a fork: the child has the pool's memory, but not its threads."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@functools.cache
def _sharing():
    """The compiled half; None without Numba, and then nothing is split."""
    if importlib.util.find_spec("numba") is None:
        return None
    return importlib.import_module("minidl.kernels.cpu.sharing")


@functools.cache
def _nap() -> tuple[int, int]:
    """The system's function that lets others run for a moment, as (address, argument)."""
    function, length = (
        (ctypes.windll.kernel32.Sleep, 0) if os.name == "nt" else (ctypes.CDLL(None).usleep, 10)
    )
    return ctypes.cast(function, ctypes.c_void_p).value, length


@functools.cache
def _turn() -> float:
    """Seconds that a turn of waiting takes."""
    board, turns, seconds = np.zeros(8, np.int64), 2000, []
    for _ in range(3):
        start = time.perf_counter()
        _sharing().serve(board.ctypes.data, turns)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / turns


@contextlib.contextmanager
def splitting_all():
    """Work of any size is split: to compile, or test, what is for several threads."""
    global WORTH_SPLITTING
    before, WORTH_SPLITTING = WORTH_SPLITTING, 1
    try:
        yield
    finally:
        WORTH_SPLITTING = before


def ways(n: int, work: float) -> int:
    """In how many parts to cut range(n): one, if the work is not worth more; see WORTH_SPLITTING."""
    parts = min(n, 1 + int(work / WORTH_SPLITTING))
    if parts > 1:
        parts = min(parts, thread_count())
    return parts if parts > 1 and _sharing() is not None else 1


def split(n: int, work: float, kernel: Callable, *arguments) -> None:
    """kernel(*arguments, start, stop) until range(n) is covered, in several threads if the work is worth it.

    Args:
        work: floating-point operations altogether; see WORTH_SPLITTING.
        kernel: compiled; parts must not write to the same place.
    """
    parts = ways(n, work)
    if parts == 1:
        kernel(*arguments, 0, n)
    else:
        _pool.run(n, parts, kernel, arguments)
