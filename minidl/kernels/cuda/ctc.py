"""CTC: the two walks through a target's states, from its start and from its end, at the same time.

    walk          a block for a sequence and a direction; its threads share the states of the target
                      for each time, in the order of the walk
                          for each state of the thread             (one, up to 255 labels)
                              way = log(e^a + e^b + e^c)           of the states that lead to it
                              way -> global memory                 for the gradient
                              way + log p -> the other row         in shared memory
                          barrier
    slopes        a block for eight times of a sequence, once both walks are known
                      p of every class
                      minus the shares of the blank's states       a warp a time
                      minus the shares of each label's states      a thread a label, all eight times

The walk from the end is the walk from the start for a target and a time that are read backwards: the same
code, with the numbers of states and times turned round. Its steps must wait for each other. So it does
nothing that can be done later, and asks for log p of the next time before it works on this one.

A walk begins before the first time, in a place before the first state, that leads to the first two. So no
time and no state is special: each row has two places more, before its states.

The logarithms of many steps add up to large numbers, in which float32 loses the digits that matter. So these
are float64, as in the reference, while exp and log of small differences are taken in the type of the input.

The order of additions never changes: the first of equal labels gathers the shares of all of them. To look at
labels and lengths, the host would have to wait for the device. So the kernels check them: with one that
cannot be nothing is read where it points to, and the loss and its slopes are nan.
"""

import functools
import math

import numpy as np

from minidl.kernels.cuda.array import CudaArray, contiguous, empty
from minidl.kernels.cuda.driver import SCALARS, Scalar, cuda, device, float64, int32, kernel
from minidl.kernels.cuda.embedding import MOST
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, store, udiv
from minidl.kernels.cuda.reductions import WARP, fold_lanes

__all__ = ["ctc", "ctc_backward"]

THREADS = 512
"""Threads of a walk at most; where there are more states, each has several."""
IN_SHARED = 4
"""States a thread up to which both rows lie in shared memory: 32 KB of the 48 that a block gets."""
MOST_STATES = 8
"""States a thread at most: it keeps their labels in registers."""
TIMES = 8
"""Times for which a block of `slopes` compares labels once; it has a warp for each."""


# -- labels ----------------------------------------------------------------------------------------


@device
def length_of(lengths, n, most):
    """How many of `most` count; -1 if that cannot be."""
    length = load(lengths, n)
    return int32(-1) if length < 0 or length > most else int32(length)


@device
def label_of(targets, first, s, classes, blank):
    """The class of state s, of a target that begins at `first`; -1 for a label that is no class."""
    if s & 1 == 0:
        return int32(blank)
    label = load(targets, int32(first + (s >> 1)))
    return int32(-1) if label < 0 or label >= classes else int32(label)


# -- walks -----------------------------------------------------------------------------------------


@functools.cache
def said(number: Scalar):
    """Device code: log p of a label, where those of the classes begin at `first`; nan for no class."""
    unknown = number(math.nan)

    @device
    def said(x, first, label):
        return unknown if label < 0 else load(x, int32(first + label))

    return said


@functools.cache
def arrive(number: Scalar):
    """Device code: log of the sum over the ways from place `at` of a row, from the one before, and the third.

    The largest is taken out, so that exp does not overflow, unless all three are impossible.
    """
    impossible, zero = float64(-math.inf), float64(0)

    @device
    def arrive(row, at, skips):
        a, b, c = load(row, at), load(row, int32(at - 1)), impossible
        if skips:
            c = load(row, int32(at - 2))
        top = b if b > a else a
        top = c if c > top else top
        top = top if top != impossible else zero
        total = math.exp(number(a - top)) + math.exp(number(b - top)) + math.exp(number(c - top))
        return top + float64(math.log(total))

    return arrive


def row_width(kept: int) -> int:
    """Places in a row: two, and `kept` states a thread."""
    return 2 + THREADS * kept


@functools.cache
def walk_kernel(number: Scalar, kept: int):
    """ways (2, N, T, L), the log of the sum over all ways to a state, without its own p, from the start and
    from the end; and losses (N,). `kept` states a thread; only states and times that count are written.
    """
    arrive_at, said_of = arrive(number), said(number)
    width, in_shared = row_width(kept), kept <= IN_SHARED
    size = 2 * width if in_shared else 1
    impossible, sure, unknown = float64(-math.inf), float64(0), number(math.nan)

    @kernel(launch_bounds=(THREADS, 1))
    def walk(x, targets, input_lengths, target_lengths, ways, losses, scratch, most, classes, longest, blank):
        shared = cuda.shared.array(size, float64)
        rows = shared if in_shared else scratch
        labels = cuda.local.array(kept, int32)
        skips = cuda.local.array(kept, int32)
        coming = cuda.local.array(kept, number)
        thread, threads = int32(cuda.threadIdx.x), int32(cuda.blockDim.x)
        n, batch, backward = int32(cuda.blockIdx.x), int32(cuda.gridDim.x), int32(cuda.blockIdx.y)
        block, first = int32(backward * batch + n), int32(n * longest)
        times, count = length_of(input_lengths, n, most), length_of(target_lengths, n, longest)
        valid = times >= 0 and count >= 0
        times, states = int32(times if valid else 0), int32(2 * count + 1 if valid else 0)
        step = int32(-1 if backward else 1)
        begin = int32(states - 1 if backward else 0)
        time = int32(times - 1 if backward else 0)
        before = int32(2 if in_shared else 2 + block * 2 * width)
        after = int32(before + width)
        for q in range(kept):
            i = int32(thread + q * threads)
            s = int32(begin + step * i)
            labels[q], skips[q], coming[q] = -1, 0, unknown
            if i < states:
                labels[q] = label_of(targets, first, s, classes, blank)
                if i == 1 or label_of(targets, first, int32(s - 2 * step), classes, blank) != labels[q]:
                    skips[q] = 1
                if times > 0:
                    coming[q] = said_of(x, int32((time * batch + n) * classes), labels[q])
                store(rows, int32(before + i), impossible)
        if thread < 2:
            store(rows, int32(before - 1 - thread), impossible if thread else sure)
        cuda.syncthreads()
        for t in range(times):
            here = int32((block * most + time) * (2 * longest + 1) + begin)
            time = int32(time + step if t + 1 < times else time)
            for q in range(kept):
                i = int32(thread + q * threads)
                if i < states:
                    log_p = float64(coming[q])
                    coming[q] = said_of(x, int32((time * batch + n) * classes), labels[q])
                    way = arrive_at(rows, int32(before + i), skips[q])
                    store(ways, int32(here + step * i), way)
                    store(rows, int32(after + i), way + log_p)
            if thread < 2:
                store(rows, int32(after - 1 - thread), impossible)
            cuda.syncthreads()
            before, after = after, before
        if thread == 0 and backward == 0:
            store(losses, n, number(-arrive_at(rows, int32(before + states - 1), 0)) if valid else unknown)

    return walk


# -- slopes ----------------------------------------------------------------------------------------


@functools.cache
def share(number: Scalar):
    """Device code: of the paths that say the target, the share that goes through a state."""

    @device
    def share(ways, at, half, log_p_and_loss):
        return math.exp(number(load(ways, at) + load(ways, int32(at + half)) + log_p_and_loss))

    return share


@functools.cache
def blank_share(number: Scalar):
    """Device code for a warp: the shares of all states that say the blank, added up."""
    share_of, total_of = share(number), fold_lanes(formula("add", number), WARP)

    @device
    def blank_share(targets, first, states, classes, blank, ways, here, half, log_p_and_loss):
        total = number(0)
        for s in range(int32(cuda.threadIdx.x & (WARP - 1)), states, WARP):
            if label_of(targets, first, s, classes, blank) == blank:
                total += share_of(ways, int32(here + s), half, log_p_and_loss)
        return total_of(total)

    return blank_share


@device
def first_place(targets, first, label):
    """Where a label that the target has stands in it for the first time."""
    place = int32(0)
    while load(targets, int32(first + place)) != label:
        place = int32(place + 1)
    return place


@functools.cache
def slopes_kernel(number: Scalar):
    """dlog_probs (T, N, C), TIMES times of a sequence a block, from what `walk` has found."""
    share_of, blank_share_of = share(number), blank_share(number)
    infinite, unknown = number(math.inf), number(math.nan)

    @kernel
    def slopes(x, targets, input_lengths, target_lengths, losses, ways, dx, most, classes, longest, blank):
        log_p = cuda.local.array(TIMES, number)
        totals = cuda.local.array(TIMES, number)
        n, batch, thread = int32(cuda.blockIdx.x), int32(cuda.gridDim.x), int32(cuda.threadIdx.x)
        first, count = int32(n * longest), length_of(target_lengths, n, longest)
        times = length_of(input_lengths, n, most)
        counted = most if times < 0 else times
        states, loss = int32(2 * longest + 1), load(losses, n)
        half = int32(batch * most * states)
        start = int32(cuda.blockIdx.y * TIMES)
        time = int32(start + udiv(thread, WARP))
        row = int32((time * batch + n) * classes)
        if time < most:
            for c in range(int32(thread & (WARP - 1)), classes, WARP):
                p = math.exp(load(x, int32(row + c))) if loss < infinite else unknown
                store(dx, int32(row + c), p if time < counted else number(0))
        cuda.syncthreads()
        if loss < infinite and time < counted:
            p = load(x, int32(row + blank))
            here = int32((n * most + time) * states)
            total = blank_share_of(
                targets, first, int32(2 * count + 1), classes, blank, ways, here, half, float64(p) + loss
            )
            if thread & (WARP - 1) == 0:
                store(dx, int32(row + blank), math.exp(p) - total)
        for i in range(thread, count if loss < infinite else 0, TIMES * WARP):
            label = load(targets, int32(first + i))
            if label != blank and first_place(targets, first, label) == i:
                for k in range(TIMES):
                    totals[k], log_p[k] = number(0), number(0)
                    if start + k < counted:
                        log_p[k] = load(x, int32(((start + k) * batch + n) * classes + label))
                for j in range(i, count):
                    if load(targets, int32(first + j)) == label:
                        for k in range(TIMES):
                            if start + k < counted:
                                at = int32((n * most + start + k) * states + 2 * j + 1)
                                totals[k] += share_of(ways, at, half, float64(log_p[k]) + loss)
                for k in range(TIMES):
                    if start + k < counted:
                        at = int32(((start + k) * batch + n) * classes + label)
                        store(dx, at, math.exp(load(x, at)) - totals[k])

    return slopes


# -- the kernels -----------------------------------------------------------------------------------


def _checked(name: str, log_probs, targets, input_lengths, target_lengths) -> list[CudaArray]:
    """The arrays row by row, if they are on the device and fit."""
    given = (log_probs, targets, input_lengths, target_lengths)
    fits = all(isinstance(a, CudaArray) for a in given) and log_probs.ndim == 3 and targets.ndim == 2
    fits = fits and {len(targets), *input_lengths.shape, *target_lengths.shape} == {log_probs.shape[1]}
    if not fits or log_probs.dtype.kind != "f" or any(a.dtype.kind not in "iu" for a in given[1:]):
        kinds = ", ".join(f"{type(a).__name__} {a.dtype} {a.shape}" for a in given)
        raise TypeError(
            f"{name}({kinds}): on the GPU, log_probs must be floats (T, N, C), targets (N, S) and the two "
            "lengths (N,) whole numbers. Fix: x.to('cuda'), y.long()"
        )
    states = 2 * targets.shape[1] + 1
    if states > MOST_STATES * THREADS:
        raise NotImplementedError(
            f"{name}: targets of {targets.shape[1]} labels; the GPU takes at most "
            f"{(MOST_STATES * THREADS - 1) // 2}. Fix: compute this loss on the CPU, ctc_loss(x.cpu(), ...)"
        )
    if max(log_probs.size, 2 * states * log_probs.shape[0] * len(targets)) > MOST:
        raise NotImplementedError(
            f"{name}(log_probs: {log_probs.shape}, targets: {targets.shape}): arrays of more than {MOST} "
            "elements. Fix: smaller batches, or shorter targets"
        )
    return [contiguous(a) for a in given]


def ctc(log_probs, targets, input_lengths, target_lengths, blank):
    """`reference.ctc`. Instead of alpha it returns ways (2, N, T, L), for its backward."""
    arrays = _checked("ctc", log_probs, targets, input_lengths, target_lengths)
    (times, n, classes), longest = log_probs.shape, targets.shape[1]
    states = 2 * longest + 1
    losses, ways = empty((n,), log_probs.dtype), empty((2, n, times, states), np.float64)
    if n:
        kept = 1 << (-(-states // THREADS) - 1).bit_length()
        scratch = empty((2 * n * 2 * row_width(kept) if kept > IN_SHARED else 0,), np.float64)
        run = walk_kernel(SCALARS[log_probs.dtype], kept)
        run[(n, 2), min(THREADS, -(-states // WARP) * WARP)](
            *arrays, ways, losses, scratch, times, classes, longest, blank
        )
    return losses, ways


def ctc_backward(log_probs, targets, input_lengths, target_lengths, blank, loss, alpha):
    """`reference.ctc_backward`, from what `ctc` has kept."""
    arrays = _checked("ctc_backward", log_probs, targets, input_lengths, target_lengths)
    (times, n, classes), longest = log_probs.shape, targets.shape[1]
    dx = empty(log_probs.shape, log_probs.dtype)
    if dx.size:
        run = slopes_kernel(SCALARS[log_probs.dtype])[(n, -(-times // TIMES)), TIMES * WARP]
        run(*arrays, loss, alpha, dx, times, classes, longest, blank)
    return dx
