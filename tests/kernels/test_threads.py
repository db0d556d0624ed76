"""Splitting work over threads: everything is covered once, errors come through, limits are kept."""

import os
import subprocess
import sys
import threading
import time

import pytest

from minidl.kernels import threads

MUCH = 1e9  # floating-point operations


@pytest.mark.parametrize("count", ["1", "2", "3"])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_every_item_is_in_exactly_one_part(use_threads, count, n):
    use_threads(count)
    parts = []
    threads.split(n, MUCH, lambda start, stop: parts.extend(range(start, stop)))
    assert sorted(parts) == list(range(n))


def test_small_work_stays_in_its_thread(use_threads):
    use_threads(2)
    seen = []
    threads.split(8, 1000, lambda start, stop: seen.append((start, stop, threading.current_thread())))
    assert seen == [(0, 8, threading.current_thread())]


def test_an_error_in_a_part_is_raised(use_threads):
    use_threads(2)

    def part(start, stop):
        if start:
            raise ValueError(f"part {start}")

    with pytest.raises(ValueError, match="part 4"):
        threads.split(8, MUCH, part)


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
        parts = []
        threads.split(2, MUCH, lambda start, stop, to=parts: to.append((start, stop)))
        assert sorted(parts) == [(0, 1), (1, 2)]
        if i < 4:
            time.sleep(pause)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="here a core cannot be chosen")
def test_a_worker_does_not_wake_on_the_core_that_asks(use_threads, monkeypatch):
    """There it would wait for its caller, and its caller for it, with another core idle."""
    cores = os.sched_getaffinity(0)
    if len(cores) == 1:
        pytest.skip("there is one core only")
    use_threads(2)
    for core in cores:
        monkeypatch.setattr(threads, "_our_core", lambda core=core: lambda: core)
        threads.split(2, MUCH, lambda start, stop: None)  # there is a worker from now on
        worker = threads._pool.workers[0]
        while not worker.asleep:
            time.sleep(0.01)
        threads._pool.rest_until = 0
        threads.split(2, MUCH, lambda start, stop: None)
        assert os.sched_getaffinity(worker.thread.native_id) == cores - {core}


def test_work_asked_for_inside_of_work_is_done_without_help(use_threads):
    use_threads(2)
    seen = []

    def part(start, stop):
        threads.split(4, MUCH, lambda a, b: seen.append((start, a, b)))

    threads.split(2, MUCH, part)
    assert sorted(seen) == [(0, 0, 2), (0, 2, 4), (1, 0, 2), (1, 2, 4)]


def test_parts_are_the_same_without_help(monkeypatch, use_threads):
    """Sums over parts must not depend on whether the machine was busy."""
    use_threads(3)
    monkeypatch.setattr(threads._pool, "rest_until", float("inf"))
    seen = []
    threads.split(9, MUCH, lambda start, stop: seen.append((start, stop, threading.current_thread())))
    mine = threading.current_thread()
    assert sorted(seen, key=lambda part: part[0]) == [(0, 3, mine), (3, 6, mine), (6, 9, mine)]


def test_help_that_costs_more_than_it_brings_ends_for_a_while(monkeypatch, use_threads):
    use_threads(2)
    monkeypatch.setattr(threads._pool, "rest_until", 0.0)
    monkeypatch.setattr(threads._pool, "balance", 0.0)
    mine = threading.current_thread()
    threads.split(2, MUCH, lambda start, stop: time.sleep(0 if threading.current_thread() is mine else 0.02))
    if threads._pool.rest_until == 0:  # the worker came too late to take a part
        pytest.skip("the machine is too busy to show it")
    assert threads._pool.rest_until > time.perf_counter()


def test_one_late_part_after_many_gains_is_forgiven(monkeypatch, use_threads):
    use_threads(2)
    monkeypatch.setattr(threads._pool, "rest_until", 0.0)
    monkeypatch.setattr(threads._pool, "balance", 1.0)
    mine = threading.current_thread()
    threads.split(2, MUCH, lambda start, stop: time.sleep(0 if threading.current_thread() is mine else 0.02))
    assert threads._pool.rest_until == 0 and threads._pool.balance <= 1


def test_threads_that_work_at_once(use_threads):
    """One has the pool, the others do their work themselves; nobody waits for nobody."""
    use_threads(2)
    totals = [0] * 4

    def run(i):
        for _ in range(200):
            parts = []
            threads.split(10, MUCH, lambda start, stop, to=parts: to.extend(range(start, stop)))
            totals[i] += sum(parts)

    runners = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(30)
    assert totals == [200 * 45] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_threads_of_its_own(use_threads):
    use_threads(2)
    threads.split(2, MUCH, lambda start, stop: None)
    child = os.fork()
    if child == 0:
        parts = []
        threads.split(2, MUCH, lambda start, stop: parts.append(start))
        os._exit(0 if sorted(parts) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_process_with_sleeping_workers_ends(tmp_path):
    code = "from minidl.kernels import threads; threads.split(2, 1e9, lambda a, b: print(a, b))"
    env = {**os.environ, "MINIDL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=30)
    assert sorted(done.stdout.split("\n")) == ["", "0 1", "1 2"]
    assert (done.returncode, done.stderr) == (0, "")
