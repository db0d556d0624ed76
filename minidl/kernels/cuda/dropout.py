"""Dropout's random factors, by a generator that counts: number i is a function of i and of the seed alone.

A generator that goes on from state to state is of no use to ten thousand threads at once. Philox 4x32-10
(Salmon et al. 2011) scrambles a counter instead: ten rounds of two multiplications, whose halves change
places, under a key that is the seed.

    counter (offset + thread, 128 bits), key (seed, 64 bits)  ->  four words of 32 random bits

So each thread makes four numbers, of which nothing is stored but the factor: 0 with probability p, or else
1 / (1 - p). The same seed gives the same numbers on every GPU, whatever the grid.

A replay of a CUDA graph repeats the numbers in its calls. So a captured mask reads its seed from the device,
and before each replay the host draws new ones, one for each mask, in the order in which the step would:

    step(), step(), step()  and  graph = graph_of(step, warm_up=0); three replays     the same masks
"""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from minidl.kernels.cuda import driver
from minidl.kernels.cuda.array import CudaArray, empty
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, device, int32, kernel, uint32, uint64
from minidl.kernels.cuda.instructions import load, mulhi, store
from minidl.kernels.cuda.memory import common_pool, copy_to_device

__all__ = ["keep_mask"]

THREADS, WORDS = 256, 4
"""Threads in a block; random words of a thread."""
ROUNDS = 10
MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
STEP_0, STEP_1 = 0x9E3779B9, 0xBB67AE85
"""What is added to the key after each round: the golden ratio and sqrt(3) - 1, as fractions of 2^32."""
BITS = 32
ROOM = 256
"""Seeds that lie together on the device, for the masks of a graph: they are sent by one copy."""


@device
def philox(c0, c1, c2, c3, k0, k1):
    """Four words of a counter, two of a key -> four random words."""
    for _ in range(ROUNDS):
        high0, low0 = mulhi(uint32(MULTIPLIER_0), c0), uint32(uint32(MULTIPLIER_0) * c0)
        high1, low1 = mulhi(uint32(MULTIPLIER_1), c2), uint32(uint32(MULTIPLIER_1) * c2)
        c0, c1, c2, c3 = uint32(high1 ^ c1 ^ k0), low1, uint32(high0 ^ c3 ^ k1), low0
        k0, k1 = uint32(k0 + uint32(STEP_0)), uint32(k1 + uint32(STEP_1))
    return c0, c1, c2, c3


@device
def given_seed(seed, place):
    """A number."""
    return seed


@device
def seed_of_replay(seeds, place):
    """One that lies on the device."""
    return load(seeds, place)


@functools.cache
def mask_kernel(number: Scalar, replayed: bool):
    """out[i] = scale where random word i is `threshold` or more, else 0.

    seeds: the seed, or, if replayed, an array that has it at `place`.
    """
    nothing, seed_of = number(0), seed_of_replay if replayed else given_seed

    @kernel
    def keep(out, n, seeds, place, offset, threshold, scale):
        thread = int32(cuda.grid(1))
        i = int32(thread * WORDS)
        if i < n:
            at, seed = uint64(offset + uint64(thread)), seed_of(seeds, place)
            words = cuda.local.array(WORDS, uint32)
            words[0], words[1], words[2], words[3] = philox(
                uint32(at),
                uint32(at >> uint64(BITS)),
                uint32(0),
                uint32(0),
                uint32(seed),
                uint32(seed >> uint64(BITS)),
            )
            for k in range(WORDS):
                if i + k < n:
                    store(out, int32(i + k), scale if words[k] >= threshold else nothing)

    return keep


class ReplayedSeeds:
    """Seeds of a graph's masks, on the device. To call it draws new ones, as is done before each replay."""

    def __init__(self):
        with common_pool():
            self.array = empty(ROOM, np.uint64)
        self._draws: list[Callable[[], int]] = []

    @property
    def full(self) -> bool:
        return len(self._draws) == ROOM

    def add(self, draw: Callable[[], int]) -> tuple[CudaArray, int]:
        """(the array, the place in it) of one more seed."""
        self._draws.append(draw)
        return self.array, len(self._draws) - 1

    def __call__(self) -> None:
        seeds = np.array([draw() for draw in self._draws], np.uint64)
        copy_to_device(seeds, self.array.memory, self.array.offset)


def _replayed(draw: Callable[[], int]) -> tuple[CudaArray, int]:
    """Where the graph that is captured finds the seed of its next mask."""
    before = driver.capture.before_replay
    if not before or not isinstance(before[-1], ReplayedSeeds) or before[-1].full:
        before.append(ReplayedSeeds())
    return before[-1].add(draw)


def keep_mask(
    shape: Sequence[int],
    p: float,
    dtype: np.dtype = np.float32,
    seed: int | Callable[[], int] = 0,
    offset: int = 0,
) -> CudaArray:
    """Independent factors of this shape: 0 with probability p, or else 1 / (1 - p).

    Args:
        seed: 64 bits; equal ones give equal factors. Or a function that draws them: it is called now, or, if
            a CUDA graph is captured, before each replay, while a number stays what it is.
        offset: where to begin in the sequence of this seed, in groups of four numbers.

    Raises:
        ValueError: p outside [0, 1].
    """
    dtype = np.dtype(dtype)
    if not 0 <= p <= 1 or dtype.kind != "f":
        raise ValueError(f"keep_mask(p={p}, dtype={dtype}): p must lie in [0, 1], dtype be a float one")
    out, number = empty(shape, dtype), SCALARS[dtype]
    if not out.size:
        return out
    threshold = np.uint32(min(math.ceil(p * 2**BITS), 2**BITS - 1))
    scale = number(0 if p == 1 else 1 / (1 - p))
    replayed = callable(seed) and driver.capture is not None
    where = _replayed(seed) if replayed else (np.uint64(int(seed() if callable(seed) else seed) % 2**64), 0)
    run = mask_kernel(number, replayed)[-(-out.size // (WORDS * THREADS)), THREADS]
    run(out, out.size, *where, np.uint64(int(offset) % 2**64), threshold, scale)
    return out
