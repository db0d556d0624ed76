"""Each mistake that a GPU would not forgive: a kernel that makes it, and one that does not."""

import numpy as np
import pytest

from minidl.kernels.cuda import simulator
from minidl.kernels.cuda.driver import cuda, device, float32, int32, kernel
from minidl.kernels.cuda.instructions import load4, udiv


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


def test_a_read_that_a_later_write_overtakes():
    """All threads read their neighbour here before any writes; a GPU would not wait."""

    @kernel
    def shift(x, n):
        i = cuda.grid(1)
        if i < n:
            x[i] = x[i + 1]

    with pytest.raises(simulator.RaceError, match=r"overwrites x\[\d+\], which .* read in the same launch"):
        simulator.run(shift, 2, 32, (np.zeros(65, np.float32), 64))


def test_two_arguments_in_one_memory():
    @kernel
    def shift(x, out):
        i = cuda.grid(1)
        out[i] = x[i]

    memory = np.arange(65, dtype=np.float32)
    simulator.run(shift, 2, 32, (memory[:64], memory[:64]))
    with pytest.raises(simulator.RaceError, match="out"):
        simulator.run(shift, 2, 32, (memory[:64], memory[1:]))


def test_atomic_and_plain_accesses_need_a_barrier_between_them():
    def histogram(first, last):
        @kernel
        def count(x, out):
            bins = cuda.shared.array(4, int32)
            i = cuda.threadIdx.x
            if i < 4:
                bins[i] = 0
            if first:
                cuda.syncthreads()
            cuda.atomic.add(bins, int32(x[i]) % 4, 1)
            if last:
                cuda.syncthreads()
            if i < 4:
                out[i] = bins[i]

        return count

    x, out = np.arange(64, dtype=np.float32), np.zeros(4, np.float32)
    simulator.run(histogram(True, True), 1, 64, (x, out))
    assert out.tolist() == [16] * 4
    for barriers, word in (((False, True), "updates"), ((True, False), "reads")):
        with pytest.raises(simulator.RaceError, match=f"it {word} bins"):
            simulator.run(histogram(*barriers), 1, 64, (x, out))


def test_a_warp_that_folds_in_shared_memory():
    """Ordered by syncwarp alone: no race within a warp. Left out at either place, it is one."""

    def fold(after_read, after_write):
        @kernel
        def through_shared(x):
            room = cuda.shared.array(64, float32)
            i = cuda.threadIdx.x
            room[i] = x[i]
            cuda.syncwarp()
            k = 16
            while k > 0:
                other = room[i ^ k]
                if after_read:
                    cuda.syncwarp()
                room[i] += other
                if after_write:
                    cuda.syncwarp()
                k //= 2
            x[i] = room[i]

        return through_shared

    np.testing.assert_array_equal(run(fold(True, True)), np.repeat(np.arange(64.0).reshape(2, 32).sum(1), 32))
    for some in ((True, False), (False, True)):
        with pytest.raises(simulator.RaceError):
            run(fold(*some))


def test_all_may_write_the_same():
    @kernel
    def flag(x):
        seen = cuda.shared.array(1, int32)
        seen[0] = 0
        cuda.syncthreads()
        if cuda.threadIdx.x > 20:
            seen[0] = 1
        cuda.syncthreads()
        x[cuda.threadIdx.x] = seen[0]

    assert (run(flag) == 1).all()


def test_a_second_buffer_needs_no_second_barrier():
    def loop(buffers):
        @kernel
        def pipeline(x, n):
            room = cuda.shared.array(128, float32)
            i, total = cuda.threadIdx.x, float32(0)
            for k in range(n):
                here = k % buffers * 64
                room[here + i] = k
                cuda.syncthreads()
                total += room[here + 63 - i]
            x[i] = total

        return pipeline

    x = np.zeros(64, np.float32)
    simulator.run(loop(2), 1, 64, (x, 5))
    assert (x == 10).all()
    with pytest.raises(simulator.RaceError, match="overwrites room"):
        simulator.run(loop(1), 1, 64, (x, 5))


def test_lanes_that_are_left_out_need_a_smaller_mask():
    def vote(mask):
        @kernel
        def half(x):
            i = cuda.threadIdx.x
            if i < 16:
                x[i] = cuda.popc(cuda.ballot_sync(mask, i % 2 == 0))

        return half

    assert run(vote(0xFFFF), threads=32)[:16].tolist() == [8] * 16
    with pytest.raises(simulator.DivergentBarrier, match="thread 16 does not take part"):
        run(vote(0xFFFFFFFF), threads=32)


def test_a_view_that_begins_at_an_odd_place_is_not_aligned():
    @kernel
    def four(x, out):
        i = cuda.threadIdx.x
        a, b, c, d = load4(x, 4 * i)
        out[i] = a + b + c + d

    x, out = np.arange(17, dtype=np.float32), np.zeros(4, np.float32)
    simulator.run(four, 1, 4, (x[:16], out))
    with pytest.raises(simulator.Misaligned):
        simulator.run(four, 1, 4, (x[1:], out))


def test_a_variable_that_a_thread_has_not_set():
    @kernel
    def sometimes(x):
        i = cuda.threadIdx.x
        if i != 7:
            value = x[i]
        x[i] = value + 1

    with pytest.raises(simulator.KernelError, match=r"thread 7.*value has no value here"):
        run(sometimes)


def test_registers_that_one_lane_has_not_written():
    @kernel
    def sometimes(x):
        own = cuda.local.array(1, float32)
        i = cuda.threadIdx.x
        if i != 7:
            own[0] = x[i]
        x[i] = own[0]

    with pytest.raises(simulator.Uninitialised, match=r"`x\[i\] = own\[0\]` \(block 0, thread 7\)"):
        run(sometimes)


def test_division_by_zero():
    @kernel
    def guarded(x, n):
        i = cuda.threadIdx.x
        x[i] = 12 // i if i > 0 else n

    @kernel
    def bare(x):
        i = cuda.threadIdx.x
        x[i] = 12 // i

    @kernel
    def unsigned(x):
        i = int32(cuda.threadIdx.x)
        x[i] = udiv(i - 1, 4)

    x = np.zeros(64, np.float32)
    simulator.run(guarded, 1, 64, (x, 5))
    assert x[:5].tolist() == [5, 12, 6, 4, 3]
    with pytest.raises(simulator.KernelError, match=r"thread 0.*divided by 0"):
        run(bare)
    with pytest.raises(simulator.KernelError, match="udiv of -1"):
        run(unsigned)


def test_more_shared_memory_than_there_is():
    @kernel
    def greedy(x):
        first = cuda.shared.array(8192, float32)
        second = cuda.shared.array(8192, float32)
        first[0] = second[0] = 0

    with pytest.raises(simulator.KernelError, match="65,536 bytes, of 49,152"):
        run(greedy)


def test_a_function_that_calls_itself_and_a_loop_without_end(monkeypatch):
    @device
    def again(n):
        return again(n - 1)

    @kernel
    def calling(x):
        x[0] = again(3)

    @kernel
    def endless(x):
        while x[0] < 1:
            x[1] = 0

    with pytest.raises(simulator.KernelError, match="calls itself"):
        run(calling)
    monkeypatch.setattr("minidl.kernels.cuda.simulator.program.ROUNDS", 100)
    with pytest.raises(simulator.KernelError, match="still going on after 100 rounds"):
        run(endless, threads=1)


def test_the_message_names_kernel_line_block_thread_and_fix():
    @device
    def fetch(x, i):
        return x[i]

    @kernel
    def outside(x):
        i = cuda.grid(1)
        x[i] = fetch(x, i + 1)

    with pytest.raises(simulator.BadIndex) as caught:
        run(outside, threads=32, size=64, blocks=2)
    message = str(caught.value)
    assert message.startswith("outside, in fetch, line ")
    assert message.endswith(
        "`return x[i]` (block 1, thread 31): index 64 of the global array x, which has shape (64,). Fix: "
        "test it before, as in `if i < n:`"
    )
