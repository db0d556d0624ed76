"""Each mistake that a GPU would not forgive: a kernel that makes it, and one that does not."""

import numpy as np
import pytest

from minidl.kernels.cuda import simulator
from minidl.kernels.cuda.driver import cuda, float32, kernel
from minidl.kernels.cuda.instructions import load4


def run(function, threads=64, size=64, blocks=1):
    x = np.arange(size, dtype=np.float32)
    simulator.run(function, blocks, threads, (x,))
    return x


@kernel
def turned_without_waiting(x):
    room = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    room[i] = x[i]
    x[i] = room[63 - i]


@kernel
def turned(x):
    room = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    room[i] = x[i]
    cuda.syncthreads()
    x[i] = room[63 - i]


@kernel
def overwritten_too_early(x):
    room = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    for _ in range(2):
        room[i] = x[i]
        cuda.syncthreads()
        x[i] = room[63 - i]


@kernel
def one_place_for_all(x):
    room = cuda.shared.array(1, float32)
    room[0] = x[cuda.threadIdx.x]


@kernel
def warps_without_waiting(x):
    room = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    room[i] = x[i]
    x[i] = room[i ^ 1]


@kernel
def warps_that_wait(x):
    room = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    room[i] = x[i]
    cuda.syncwarp()
    x[i] = room[i ^ 1]


@kernel
def all_write_the_first(x):
    x[0] = cuda.grid(1)


@kernel
def neighbours_read(x):
    i = cuda.grid(1)
    x[i] = i
    x[i] = x[(i + 1) % 64]


@pytest.mark.parametrize(
    "wrong",
    [
        turned_without_waiting,
        overwritten_too_early,
        one_place_for_all,
        warps_without_waiting,
        all_write_the_first,
        neighbours_read,
    ],
    ids=lambda k: k.__name__,
)
def test_races(wrong):
    with pytest.raises(simulator.RaceError, match=r"line \d+: `.*` \(block 0, thread \d+\): .*Fix: "):
        run(wrong)


def test_what_is_ordered_is_no_race():
    np.testing.assert_array_equal(run(turned), np.arange(63, -1, -1))
    np.testing.assert_array_equal(run(warps_that_wait), np.arange(64) ^ 1)


def test_blocks_race_too():
    @kernel
    def from_the_next_block(x):
        i = cuda.grid(1)
        x[i] = i
        cuda.syncthreads()
        x[i] = x[(i + 32) % 64]

    with pytest.raises(simulator.RaceError, match="thread 0 wrote in the same launch"):
        run(from_the_next_block, threads=32, blocks=2)


def test_a_barrier_that_not_all_reach():
    @kernel
    def half(x):
        if cuda.threadIdx.x < 32:
            cuda.syncthreads()
        x[cuda.threadIdx.x] = 0

    @kernel
    def in_a_loop(x):
        for _ in range(cuda.threadIdx.x):
            cuda.syncthreads()

    for wrong in (half, in_a_loop):
        with pytest.raises(simulator.DivergentBarrier, match="Fix: move syncthreads"):
            run(wrong)


def test_threads_that_have_left_are_not_waited_for():
    @kernel
    def leavers(x):
        i = cuda.threadIdx.x
        if i >= 40:
            return
        cuda.syncthreads()
        x[i] = 1

    assert run(leavers).sum() == 40 + sum(range(40, 64))


def test_a_value_from_a_lane_that_is_not_there():
    @kernel
    def lonely(x):
        i = cuda.threadIdx.x
        if i < 16:
            x[i] = cuda.shfl_xor_sync(0xFFFFFFFF, x[i], 16)

    with pytest.raises(simulator.DivergentBarrier, match="does not take part"):
        run(lonely, threads=32)


@pytest.mark.parametrize(("shift", "at"), [(1, 64), (-1, -1)])
def test_indices_outside(shift, at):
    @kernel
    def shifted(x):
        x[cuda.threadIdx.x + shift] = 0

    with pytest.raises(simulator.BadIndex, match=f"index {at} of the global array x, which has shape"):
        run(shifted)


def test_a_guard_keeps_others_out():
    @kernel
    def guarded(x):
        i = cuda.threadIdx.x + 1
        if i < 64 and x[i] > 0:
            x[i] = 0

    assert run(guarded).sum() == 0


def test_misaligned_accesses():
    @kernel
    def crooked(x):
        a, b, c, d = load4(x, cuda.threadIdx.x * 4 + 1)
        x[cuda.threadIdx.x] = a + b + c + d

    with pytest.raises(simulator.Misaligned, match="multiple of four"):
        run(crooked, threads=4)


def test_values_that_nobody_wrote():
    @kernel
    def fresh(x):
        room = cuda.shared.array(64, float32)
        x[cuda.threadIdx.x] = room[cuda.threadIdx.x]

    @kernel
    def registers(x):
        own = cuda.local.array(2, float32)
        x[cuda.threadIdx.x] = own[1]

    for wrong in (fresh, registers):
        with pytest.raises(simulator.Uninitialised):
            run(wrong)


def test_launches_that_cannot_be():
    with pytest.raises(ValueError, match="1,024"):
        run(turned, threads=2048)
    with pytest.raises(ValueError, match="positive"):
        run(turned, blocks=0)
