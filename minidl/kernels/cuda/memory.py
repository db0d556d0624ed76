"""A pool of device memory: a block that is no longer used is kept, and given to the next array of its size.

    allocate(1000) --> 1024 bytes from the free list       about a microsecond
                   or  1024 bytes from the driver          0.1 ms, and the device may stop for it
    block collected --> back to the free list

A training step allocates the same sizes in every round, so after the first one nothing is asked of the
driver. Sizes are rounded up, by an eighth at most from 2 KB on, so that similar arrays share blocks.

A block may be given away while a kernel that reads it is still in the queue: all kernels and copies run in
one stream, in order, so what the next owner writes comes after that. Other streams must wait for themselves.
"""

import contextlib
import functools
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minidl.kernels.cuda import driver

ALIGNMENT = 256
"""Bytes: where the driver's own blocks begin, enough for any access."""
STEPS = 8
"""Sizes between a power of two and the next: at most 1 / STEPS of a block is left over."""
UNWRITTEN = 0xCD
"""The byte of the simulator's fresh memory: as float32 it is -431602080, which nobody takes for a result."""


def rounded(nbytes: int) -> int:
    """The size of the block that holds nbytes.

    >>> rounded(1), rounded(256), rounded(257), rounded(5000)
    (256, 256, 512, 5120)
    """
    power = 1 << max(nbytes - 1, 1).bit_length()
    step = max(ALIGNMENT, power // (2 * STEPS))
    return max(1, -(-nbytes // step)) * step


class Block:
    """Bytes of device memory, given back to their pool when nothing refers to them.

    pointer: address on the device. nbytes: what was asked for. simulated: they lie in `buffer`, on the host.
    """

    __slots__ = ("__weakref__", "_place", "_pool", "_size", "buffer", "nbytes", "pointer")

    def __init__(self, pool: "Pool", place, size: int, nbytes: int):
        self._pool, self._place, self._size = pool, place, size
        self.pointer, self.buffer = pool.opened(place, nbytes)
        self.nbytes = nbytes

    @property
    def simulated(self) -> bool:
        return self.buffer is not None

    @property
    def pool(self) -> "Pool":
        return self._pool

    def __repr__(self) -> str:
        return f"<Block of {self.nbytes} bytes {'in the simulator' if self.simulated else 'on the GPU'}>"

    def __del__(self):
        # Any thread, at any moment, even within `allocate`: so only what cannot be interrupted.
        self._pool.returned.append((self._size, self._place))


class Statistics(NamedTuple):
    """Bytes in use by blocks, bytes held (in use or free), the most that was ever in use."""

    in_use: int
    held: int
    peak: int


class Pool:
    """Places in the GPU's memory: those that are free, by their size."""

    simulated = False

    def __init__(self, for_good: bool = False):
        """for_good: while it lives, nothing goes back to the system, because a graph works there again."""
        self.for_good = for_good
        self.returned: deque[tuple] = deque()
        self._free = defaultdict(list)
        self._lock = threading.RLock()
        self._in_use = self._held = self._peak = 0

    def allocate(self, nbytes: int) -> Block:
        """A block of nbytes, which hold anything."""
        size = rounded(nbytes)
        with self._lock:
            self._collect()
            place = self._free[size].pop() if self._free[size] else self._more(size)
            self._in_use += size
            self._peak = max(self._peak, self._in_use)
        return Block(self, place, size, nbytes)

    def _collect(self) -> None:
        """Put what was given back into the free lists."""
        while self.returned:
            size, place = self.returned.popleft()
            self._free[size].append(place)
            self._in_use -= size

    def _more(self, size: int):
        try:
            place = self._from_system(size)
        except MemoryError:
            if self.for_good:
                raise
            self.release()  # what is free has the wrong sizes
            place = self._from_system(size)
        self._held += size
        return place

    def release(self) -> None:
        """Give all that is free back to the system."""
        with self._lock:
            self._collect()
            for size, places in self._free.items():
                self._held -= size * len(places)
                self._to_system(places)
            self._free.clear()

    def statistics(self) -> Statistics:
        """What is in use and held now, and the peak."""
        with self._lock:
            self._collect()
            return Statistics(self._in_use, self._held, self._peak)

    def reset_peak(self) -> None:
        """Let the peak start anew from what is in use."""
        self._peak = self.statistics().in_use

    def __del__(self, at_the_end=sys.is_finalizing):
        if not at_the_end():  # then modules may be gone, and the system takes all back
            self.release()

    # A place is an address here, and an array in the simulator.

    def opened(self, place, nbytes: int) -> tuple[int, np.ndarray | None]:
        """(pointer, buffer) of a block at a place."""
        return place, None

    def _from_system(self, size: int) -> int:
        driver.current()
        try:
            return int(driver.call("cuMemAlloc", size))
        except MemoryError as error:
            raise MemoryError(
                f"allocate: the GPU has no {size:,} bytes left; {self._in_use:,} are in use by this "
                "process's arrays. A smaller batch needs less."
            ) from error

    def _to_system(self, places: list) -> None:
        if places:
            driver.current()
            driver.synchronize()
        for place in places:
            driver.call("cuMemFree", place)


class SimulatedPool(Pool):
    """The same with host memory, for the simulator. Each new block is overwritten."""

    simulated = True

    def opened(self, place: np.ndarray, nbytes: int) -> tuple[int, np.ndarray]:
        place.fill(UNWRITTEN)
        return place.ctypes.data, place[:nbytes]

    def _from_system(self, size: int) -> np.ndarray:
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        return memory[start : start + size]

    def _to_system(self, places: list) -> None:
        places.clear()


@functools.cache
def _common_pool(simulated: bool) -> Pool:
    return SimulatedPool() if simulated else Pool()


_private: list[Pool] = []


def pool() -> Pool:
    """The pool that gives memory now: the GPU's, the simulator's, or that of a graph that is captured."""
    return _private[-1] if _private else _common_pool(driver.simulating())


@contextlib.contextmanager
def private_pool() -> Iterator[Pool]:
    """Within it memory comes from a pool of its own, which nothing else uses later."""
    _private.append(SimulatedPool(for_good=True) if driver.simulating() else Pool(for_good=True))
    try:
        yield _private[-1]
    finally:
        _private.pop()


@contextlib.contextmanager
def common_pool() -> Iterator[Pool]:
    """Within it memory comes from where it does outside a capture.

    In a graph's own memory an array may lie where an earlier node had one. So what the host writes before a
    replay, for a later node to read, must not lie there.
    """
    _private.append(_common_pool(driver.simulating()))
    try:
        yield _private[-1]
    finally:
        _private.pop()


def allocate(nbytes: int) -> Block:
    """A block of device memory, aligned to 256 bytes, holding anything.

    Raises MemoryError if the device has no more, RuntimeError if there is no device.
    """
    return pool().allocate(nbytes)


# -- copies ----------------------------------------------------------------------------------------


def _check(block: Block, offset: int, nbytes: int, what: str) -> None:
    if block.simulated != driver.simulating():
        here, there = ("simulator", "GPU") if driver.simulating() else ("GPU", "simulator")
        raise RuntimeError(f"{what}: the array was made for the {there}, and now the {here} is in use.")
    if not 0 <= offset <= offset + nbytes <= block.nbytes:
        raise ValueError(f"{what}: bytes {offset} to {offset + nbytes} of a block of {block.nbytes} bytes.")


def _bytes_of(host: np.ndarray, what: str) -> np.ndarray:
    if not host.flags.c_contiguous:
        raise ValueError(f"{what}: a contiguous array is needed; np.ascontiguousarray makes one.")
    return host.reshape(-1).view(np.uint8)


def copy_to_device(host: np.ndarray, block: Block, offset: int = 0) -> None:
    """Write a contiguous array into a block from byte `offset` on. The array may be changed afterwards."""
    data = _bytes_of(host, "copy_to_device")
    _check(block, offset, data.size, "copy_to_device")
    driver.refuse_in_capture("copy_to_device")
    if block.simulated:
        block.buffer[offset : offset + data.size] = data
    elif data.size:
        # From pageable memory: the driver has read it when this returns.
        stream = driver.current().stream
        driver.call("cuMemcpyHtoDAsync", block.pointer + offset, data.ctypes.data, data.size, stream)


def copy_to_host(block: Block, host: np.ndarray, offset: int = 0) -> np.ndarray:
    """Fill a contiguous array with a block's bytes from `offset` on: waits for all kernels before."""
    data = _bytes_of(host, "copy_to_host")
    _check(block, offset, data.size, "copy_to_host")
    driver.refuse_in_capture("copy_to_host")
    if block.simulated:
        data[:] = block.buffer[offset : offset + data.size]
    elif data.size:
        stream = driver.current().stream
        driver.call("cuMemcpyDtoHAsync", data.ctypes.data, block.pointer + offset, data.size, stream)
        driver.synchronize()
    return host


def copy_on_device(source: Block, to: Block, nbytes: int, source_offset: int = 0, offset: int = 0) -> None:
    """to[offset :] = source[source_offset :], nbytes of them. The two must not overlap."""
    _check(source, source_offset, nbytes, "copy_on_device")
    _check(to, offset, nbytes, "copy_on_device")
    driver.keep_for_capture(source, to)
    if source.simulated:
        a = source.buffer[source_offset : source_offset + nbytes]
        b = to.buffer[offset : offset + nbytes]
        driver.simulate(functools.partial(np.copyto, b, a))
    elif nbytes:
        stream = driver.current().stream
        addresses = to.pointer + offset, source.pointer + source_offset
        driver.call("cuMemcpyDtoDAsync", *addresses, nbytes, stream)


def fill_zero(block: Block, nbytes: int | None = None, offset: int = 0) -> None:
    """Write zeros into a block, nbytes of them (or to its end) from `offset` on."""
    nbytes = block.nbytes - offset if nbytes is None else nbytes
    _check(block, offset, nbytes, "fill_zero")
    driver.keep_for_capture(block)
    if block.simulated:
        driver.simulate(functools.partial(block.buffer[offset : offset + nbytes].fill, 0))
    elif nbytes:
        driver.call("cuMemsetD8Async", block.pointer + offset, 0, nbytes, driver.current().stream)
