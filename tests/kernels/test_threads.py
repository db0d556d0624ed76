"""Splitting work over threads: everything is covered once, errors come through, limits are kept."""

import threading

import pytest

from minidl.kernels import threads

MUCH = 1e9  # floating-point operations


@pytest.mark.parametrize("count", ["1", "2", "3"])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_every_item_is_in_exactly_one_part(monkeypatch, count, n):
    monkeypatch.setenv("MINIDL_NUM_THREADS", count)
    parts = []
    threads.split(n, MUCH, lambda start, stop: parts.extend(range(start, stop)))
    assert sorted(parts) == list(range(n))


def test_small_work_stays_in_its_thread(monkeypatch):
    monkeypatch.setenv("MINIDL_NUM_THREADS", "2")
    seen = []
    threads.split(8, 1000, lambda start, stop: seen.append((start, stop, threading.current_thread())))
    assert seen == [(0, 8, threading.current_thread())]


def test_an_error_in_a_part_is_raised(monkeypatch):
    monkeypatch.setenv("MINIDL_NUM_THREADS", "2")

    def part(start, stop):
        if start:
            raise ValueError(f"part {start}")

    with pytest.raises(ValueError, match="part 4"):
        threads.split(8, MUCH, part)


def test_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MINIDL_NUM_THREADS", raising=False)
    assert threads.thread_count() == 3
    monkeypatch.setenv("MINIDL_NUM_THREADS", "2")
    assert threads.thread_count() == 2
    monkeypatch.delenv("MINIDL_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads.thread_count() >= 1
