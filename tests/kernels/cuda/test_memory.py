"""The pool: what is rounded, reused, counted, given back; and copies that stay within their blocks."""

import gc
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.kernels.cuda import driver, memory

only_simulated = pytest.mark.skipif(driver.available(), reason="looks into the simulator's memory")


@pytest.fixture
def pool():
    """An empty pool, used for all that is allocated."""
    with memory.private_pool() as pool:
        yield pool


# -- sizes and reuse -------------------------------------------------------------------------------


@given(st.integers(0, 2**40))
def test_sizes_are_rounded_up_by_an_eighth_at_most(nbytes):
    size = memory.rounded(nbytes)
    assert size % memory.ALIGNMENT == 0
    assert nbytes <= size <= max(nbytes + nbytes / 8, nbytes + memory.ALIGNMENT, memory.ALIGNMENT)
    assert memory.rounded(size) == size


@pytest.mark.parametrize("nbytes", [0, 1, 255, 256, 257, 10_000, 1_000_001])
def test_blocks_are_aligned(nbytes):
    block = memory.allocate(nbytes)
    assert block.pointer % 256 == 0
    assert block.nbytes == nbytes


def test_a_freed_block_is_used_again(pool):
    first = memory.allocate(5000)
    address = first.pointer
    del first
    assert memory.allocate(4999).pointer == address
    assert pool.statistics().held == memory.rounded(5000)


def test_blocks_in_use_are_never_shared(pool):
    blocks = [memory.allocate(300) for _ in range(20)]
    assert len({b.pointer for b in blocks}) == 20


def test_statistics(pool):
    a, b = memory.allocate(256), memory.allocate(1024)
    assert pool.statistics() == (1280, 1280, 1280)
    del a
    assert pool.statistics() == (1024, 1280, 1280)
    pool.reset_peak()
    assert pool.statistics().peak == 1024
    pool.release()
    assert pool.statistics() == (1024, 1024, 1024)
    del b
    pool.release()
    assert pool.statistics() == (0, 0, 1024)


def test_blocks_in_a_cycle_come_back(pool):
    cycle = [memory.allocate(256)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert pool.statistics().in_use == 0


def test_blocks_may_be_freed_by_other_threads(pool):
    blocks = [memory.allocate(256) for _ in range(100)]
    other = threading.Thread(target=blocks.clear)
    other.start()
    other.join()
    assert pool.statistics()[:2] == (0, 25_600)


def test_many_threads_share_one_pool(pool):
    def work():
        for n in range(300):
            kept = [memory.allocate(256 * (n % 5 + 1)) for _ in range(3)]
            assert len({b.pointer for b in kept}) == 3

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.statistics().in_use == 0


def test_when_the_device_is_full_free_blocks_are_given_back_first(monkeypatch):
    pool = memory.SimulatedPool()
    system, free = pool._from_system, [10_000]

    def from_a_small_device(size):
        if free[0] - pool._held < size:
            raise MemoryError
        return system(size)

    monkeypatch.setattr(pool, "_from_system", from_a_small_device)
    a = pool.allocate(6144)
    with pytest.raises(MemoryError):
        pool.allocate(8192)
    del a
    assert pool.allocate(8192).nbytes == 8192


def test_a_pool_that_a_graph_works_in_gives_nothing_back(monkeypatch):
    pool = memory.SimulatedPool(for_good=True)
    a = pool.allocate(6144)
    monkeypatch.setattr(pool, "_from_system", lambda size: (_ for _ in ()).throw(MemoryError()))
    del a
    with pytest.raises(MemoryError):
        pool.allocate(8192)
    assert pool.statistics().held == 6144


def test_the_gpus_pool_asks_the_driver(monkeypatch):
    calls = []

    def call(name, value):
        calls.append((name, value))
        if name == "cuMemAlloc" and value > 2048:
            raise MemoryError("CUDA_ERROR_OUT_OF_MEMORY")
        return 4096

    monkeypatch.setattr(driver, "call", call)
    monkeypatch.setattr(driver, "current", lambda: None)
    monkeypatch.setattr(driver, "synchronize", lambda: calls.append("synchronize"))
    pool = memory.Pool()
    block = pool.allocate(1000)
    assert (block.pointer, block.simulated) == (4096, False)
    with pytest.raises(MemoryError, match=r"no 4,096 bytes left; 1,024 are in use.*smaller batch"):
        pool.allocate(4096)
    del block
    pool.release()
    assert calls[-2:] == ["synchronize", ("cuMemFree", 4096)]


# -- contents --------------------------------------------------------------------------------------


@only_simulated
def test_memory_that_nobody_wrote_shows():
    block = memory.allocate(12)
    memory.fill_zero(block)
    del block
    out = memory.copy_to_host(memory.allocate(12), np.empty(3, np.float32))
    assert (out == np.float32(-431602080)).all()


@given(st.integers(0, 40), st.integers(0, 40))
def test_there_and_back(n, offset):
    block = memory.allocate(offset + n)
    data = np.arange(n, dtype=np.uint8)
    memory.copy_to_device(data, block, offset)
    np.testing.assert_array_equal(memory.copy_to_host(block, np.empty(n, np.uint8), offset), data)


def test_the_host_array_may_be_changed_after_the_copy():
    data, block = np.ones(1000), memory.allocate(8000)
    memory.copy_to_device(data, block)
    data[:] = 2
    np.testing.assert_array_equal(memory.copy_to_host(block, np.empty(1000)), np.ones(1000))


def test_read_only_and_shaped_arrays():
    data = np.arange(6.0).reshape(2, 3)
    data.flags.writeable = False
    block = memory.allocate(48)
    memory.copy_to_device(data, block)
    np.testing.assert_array_equal(memory.copy_to_host(block, np.empty((2, 3))), data)


def test_copies_and_zeros_on_the_device():
    a, b = memory.allocate(64), memory.allocate(64)
    memory.copy_to_device(np.arange(64, dtype=np.uint8), a)
    memory.fill_zero(b)
    memory.copy_on_device(a, b, 8, source_offset=4, offset=16)
    memory.fill_zero(b, 2, offset=17)
    expected = np.zeros(64, np.uint8)
    expected[16:24] = [4, 0, 0, 7, 8, 9, 10, 11]
    np.testing.assert_array_equal(memory.copy_to_host(b, np.empty(64, np.uint8)), expected)


def test_nothing_is_written_beside_a_block():
    block = memory.allocate(64)
    with pytest.raises(ValueError, match="copy_to_device: bytes 60 to 68 of a block of 64 bytes"):
        memory.copy_to_device(np.ones(1), block, 60)
    with pytest.raises(ValueError, match="copy_to_host"):
        memory.copy_to_host(block, np.empty(9))
    with pytest.raises(ValueError, match="fill_zero"):
        memory.fill_zero(block, 65)
    with pytest.raises(ValueError, match="copy_on_device"):
        memory.copy_on_device(block, memory.allocate(8), 64)
    with pytest.raises(ValueError, match="ascontiguousarray"):
        memory.copy_to_device(np.ones((4, 4))[:, 0], block)


@only_simulated
def test_blocks_of_the_other_world_are_refused(monkeypatch):
    monkeypatch.setattr(memory.Pool, "_to_system", lambda self, places: None)
    block = memory.Block(memory.Pool(), 4096, 256, 256)
    with pytest.raises(RuntimeError, match="made for the GPU, and now the simulator"):
        memory.fill_zero(block)


def test_without_a_device_nothing_is_allocated(monkeypatch):
    monkeypatch.setattr(driver, "simulating", lambda: False)
    monkeypatch.setattr(driver, "missing", lambda: "no GPU.")
    driver._gpu.cache_clear()
    with pytest.raises(RuntimeError, match=r"no GPU\. To run kernels on the CPU"):
        memory.allocate(3)
