"""Dropout's random factors, by a generator that counts: number i is a function of i and of the seed alone.

A generator that goes on from state to state is of no use to ten thousand threads at once. Philox 4x32-10
(Salmon et al. 2011) scrambles a counter instead: ten rounds of two multiplications, whose halves change
places, under a key that is the seed.

    counter (offset + thread, 128 bits), key (seed, 64 bits)  ->  four words of 32 random bits

So each thread makes four numbers, of which nothing is stored but the factor: 0 with probability p, or else
1 / (1 - p). The same seed gives the same numbers on every GPU, whatever the grid.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np

from minidl.kernels.cuda.array import CudaArray, empty
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, device, int32, kernel, uint32, uint64
from minidl.kernels.cuda.instructions import load, mulhi, store

__all__ = ["keep_mask"]

THREADS, WORDS = 256, 4
"""Threads in a block; random words of a thread."""
ROUNDS = 10
MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
STEP_0, STEP_1 = 0x9E3779B9, 0xBB67AE85
"""What is added to the key after each round: the golden ratio and sqrt(3) - 1, as fractions of 2^32."""
BITS = 32


@device
def philox(c0, c1, c2, c3, k0, k1):
    """Four words of a counter, two of a key -> four random words."""
    for _ in range(ROUNDS):
        high0, low0 = mulhi(uint32(MULTIPLIER_0), c0), uint32(uint32(MULTIPLIER_0) * c0)
        high1, low1 = mulhi(uint32(MULTIPLIER_1), c2), uint32(uint32(MULTIPLIER_1) * c2)
        c0, c1, c2, c3 = uint32(high1 ^ c1 ^ k0), low1, uint32(high0 ^ c3 ^ k1), low0
        k0, k1 = uint32(k0 + uint32(STEP_0)), uint32(k1 + uint32(STEP_1))
    return c0, c1, c2, c3


@functools.cache
def mask_kernel(number: Scalar):
    """out[i] = scale where random word i is `threshold` or more, else 0."""
    nothing = number(0)

    @kernel
    def keep(out, n, seed, offset, counter, counted, threshold, scale):
        thread = int32(cuda.grid(1))
        i = int32(thread * WORDS)
        if i < n:
            at = uint64(offset + uint64(thread))
            if counted:
                at = uint64(at + load(counter, 0))
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


@kernel
def advance(counter, steps):
    """counter[0] += steps."""
    store(counter, 0, uint64(load(counter, 0) + steps))


def keep_mask(
    shape: Sequence[int],
    p: float,
    dtype: np.dtype = np.float32,
    seed: int = 0,
    offset: int = 0,
    counter: CudaArray | None = None,
) -> CudaArray:
    """Independent factors of this shape: 0 with probability p, or else 1 / (1 - p).

    Args:
        seed: 64 bits; equal ones give equal factors.
        offset: where to begin in the sequence of this seed, in groups of four numbers.
        counter: a uint64 array with one element that is added to offset, and then counts on by as many groups
            as were drawn. When a CUDA graph is replayed, numbers in a call are what they were at its capture:
            seed and offset as well. With a counter, each replay draws anew.

    Raises:
        ValueError: p outside [0, 1], or a counter of another shape or dtype.
    """
    dtype = np.dtype(dtype)
    if not 0 <= p <= 1 or dtype.kind != "f":
        raise ValueError(f"keep_mask(p={p}, dtype={dtype}): p must lie in [0, 1], dtype be a float one")
    if counter is not None and (counter.size, counter.dtype) != (1, np.uint64):
        raise ValueError(
            f"keep_mask(counter: {counter.dtype} {counter.shape}): one uint64 is needed. "
            "Fix: zeros(1, np.uint64)"
        )
    out, number = empty(shape, dtype), SCALARS[dtype]
    if not out.size:
        return out
    groups = -(-out.size // WORDS)
    threshold = np.uint32(min(math.ceil(p * 2**BITS), 2**BITS - 1))
    scale = number(0 if p == 1 else 1 / (1 - p))
    begin = np.uint64(int(seed) % 2**64), np.uint64(int(offset) % 2**64)
    counted = (_no_counter(), False) if counter is None else (counter, True)
    mask_kernel(number)[-(-groups // THREADS), THREADS](out, out.size, *begin, *counted, threshold, scale)
    if counter is not None:
        advance[1, 1](counter, np.uint64(groups))
    return out


def _no_counter() -> CudaArray:
    """An array that stands for a counter, and is not read."""
    return empty(1, np.uint64)
