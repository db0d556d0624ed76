"""A fixture: kernels on so many threads."""

import pytest

from minidl.kernels import threads


@pytest.fixture
def use_threads(monkeypatch):
    """use_threads(n): from now on kernels use n threads. (Otherwise the number is read once in a process.)"""

    def use(count: int) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", str(count))
        threads.thread_count.cache_clear()

    yield use
    threads.thread_count.cache_clear()
