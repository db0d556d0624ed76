"""Splitting work over threads: each part is done once, by whoever is free; limits are kept; nobody hangs."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from minidl.kernels import threads

pytest.importorskip("numba", reason="without Numba nothing is split")

from minidl.kernels.cpu import sharing
from minidl.kernels.cpu.compiling import compiled

MUCH = 1e9  # floating-point operations
CODE = """
import numpy as np
from minidl.kernels import threads
from minidl.kernels.cpu.compiling import compiled

@compiled
def mark(out, start, stop):
    out[start:stop] += 1

out = np.zeros(8)
threads.split(8, 1e9, mark, out)
print(out.sum())
"""


@compiled
def mark(parts, start, stop):
    """parts[i]: (how often i was covered, where its part starts, where it ends)."""
    for i in range(start, stop):
        parts[i, 0] += 1
        parts[i, 1], parts[i, 2] = start, stop


@compiled
def slow(out, turns, start, stop):
    """Work that takes long for the second half of the range: whoever has it is late."""
    for i in range(start, stop):
        for j in range(turns if 2 * i >= len(out) else turns // 100):
            out[i] += np.sin(out[i] + j)


def marks(n, work=MUCH):
    parts = np.zeros((n, 3), np.int64)
    threads.split(n, work, mark, parts)
    return parts


@pytest.mark.parametrize("count", ["1", "2", "3"])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_every_item_is_in_exactly_one_part(use_threads, count, n):
    use_threads(count)
    assert (marks(n)[:, 0] == 1).all()


def test_small_work_is_one_part(use_threads):
    use_threads(2)
    assert threads.ways(8, 1000) == 1
    assert (marks(8, 1000)[:, 1:] == (0, 8)).all()


@pytest.mark.parametrize(
    ("n", "work", "parts"), [(8, MUCH, 3), (2, MUCH, 2), (8, 0, 1), (1, MUCH, 1), (0, 0, 0)]
)
def test_ways(use_threads, n, work, parts):
    use_threads(3)
    assert threads.ways(n, work) == max(1, parts)


def test_the_number_of_threads(monkeypatch):
    thread_count = threads.thread_count.__wrapped__  # it is read once
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MINIDL_NUM_THREADS", raising=False)
    assert thread_count() == 3
    monkeypatch.setenv("MINIDL_NUM_THREADS", "2")
    assert thread_count() == 2
    monkeypatch.delenv("MINIDL_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert thread_count() >= 1


@pytest.mark.parametrize("pause", [0, 0.05], ids=["spinning", "asleep"])
def test_workers_take_up_work_again(use_threads, pause):
    """Soon after the last part they still spin; later they have to be woken."""
    use_threads(2)
    for i in range(20):
        assert marks(2).tolist() == [[1, 0, 1], [1, 1, 2]]
        if i < 4:
            time.sleep(pause)


def test_helpers_do_some_of_the_parts(use_threads):
    """A worker that serves a board does parts of the jobs on it."""
    board, out = np.zeros(8, np.int64), np.zeros(8)
    worker = threading.Thread(target=sharing.serve, args=(board.ctypes.data, 10**12), daemon=True)
    worker.start()
    run, helped = sharing.shared(slow), 0
    for _ in range(300):
        done, _, failed = run(board.ctypes.data, 8, 8, threads.SPIN, *threads._nap(), out, 20_000)
        assert failed == 0 and done <= 8
        helped += 8 - done
        if helped:
            break
    board[sharing.END] = 1
    worker.join(10)
    assert helped and not worker.is_alive()


def test_a_part_that_fails_is_told(use_threads):
    @compiled
    def fail(out, start, stop):
        if start:
            raise ValueError("no memory")

    use_threads(2)
    threads._pool.rest_until = 0.0
    with pytest.raises(MemoryError, match="1 of 2 parts of fail failed"):
        threads.split(8, MUCH, fail, np.zeros(8))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="here a core cannot be chosen")
def test_a_worker_does_not_wake_on_the_core_that_asks(use_threads, monkeypatch):
    """There it would wait for its caller, and its caller for it, with another core idle."""
    cores = os.sched_getaffinity(0)
    if len(cores) == 1:
        pytest.skip("there is one core only")
    use_threads(2)
    for core in cores:
        monkeypatch.setattr(threads, "_our_core", lambda core=core: lambda: core)
        threads._pool.rest_until = 0
        marks(2)  # there is a worker from now on
        worker = threads._pool.workers[0]
        while not worker.asleep:
            time.sleep(0.01)
        threads._pool.rest_until = 0
        marks(2)
        assert os.sched_getaffinity(worker.thread.native_id) == cores - {core}


def test_parts_are_the_same_without_help(monkeypatch, use_threads):
    """Sums over parts must not depend on whether the machine was busy."""
    use_threads(3)
    with_help = marks(9)
    monkeypatch.setattr(threads._pool, "rest_until", float("inf"))
    np.testing.assert_array_equal(marks(9), with_help)
    assert np.unique(with_help[:, 1]).tolist() == [0, 3, 6]


@pytest.mark.parametrize(("balance", "rests"), [(0.0, True), (10.0, False)])
def test_help_that_costs_more_than_it_brings_ends_for_a_while(monkeypatch, use_threads, balance, rests):
    """One late part after many gains is forgiven."""
    use_threads(2)
    for _ in range(200):
        monkeypatch.setattr(threads._pool, "rest_until", 0.0)
        monkeypatch.setattr(threads._pool, "balance", balance)
        marks(2)  # now the worker is awake
        threads.split(2, MUCH, slow, np.zeros(2), 1_000_000)  # the second part is late: a loss for both
        if (threads._pool.rest_until > 0) == rests:  # not so if one thread did both parts
            break
    assert (threads._pool.rest_until > 0) == rests
    assert threads._pool.balance <= max(balance, threads.CREDIT)


def test_threads_that_work_at_once(use_threads):
    """One has the pool, the others do their work themselves; nobody waits for nobody."""
    use_threads(2)
    wrong = []

    def run():
        for _ in range(200):
            if (marks(10)[:, 0] != 1).any():
                wrong.append(1)

    runners = [threading.Thread(target=run) for _ in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(30)
    assert not wrong and not any(runner.is_alive() for runner in runners)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_threads_of_its_own(use_threads):
    use_threads(2)
    marks(2)
    child = os.fork()
    if child == 0:
        os._exit(0 if (marks(2)[:, 0] == 1).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("after", ["", "import time; time.sleep(0.2)"], ids=["spinning", "asleep"])
def test_a_process_with_workers_ends(tmp_path, after):
    (tmp_path / "split.py").write_text(CODE + after)
    env = {**os.environ, "MINIDL_NUM_THREADS": "2"}
    command = [sys.executable, tmp_path / "split.py"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "8.0\n", "")
