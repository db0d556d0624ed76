"""Every construct of the language of kernels: many lanes at once against one thread after the other."""

import math

import numpy as np
import pytest

from minidl.kernels.cuda import simulator
from minidl.kernels.cuda.driver import cuda, device, float32, int32, kernel, uint32
from minidl.kernels.cuda.instructions import (
    copy_async4,
    copy_commit,
    copy_wait,
    load,
    load4,
    mulhi,
    store,
    store4,
    udiv,
    umod,
)

LANES, THREADS = 96, 32


def one_by_one(function, x):
    """`out[i] = function(x[i])` in plain Python."""
    return np.array([function(v) for v in x], x.dtype)


def branches(v):
    if v < 10:
        out = v * 2
    elif v < 20:
        out = v - 1 if v % 2 == 0 else v + 1
    else:
        out = 7
    return out


def early(v):
    if v % 3 == 0:
        return -1
    if v % 5 == 0:
        return -2
    return v


def counting(v):
    total = 0
    for i in range(v % 7, 20, 1 + v % 3):
        if i == 11:
            continue
        if i > 15 and v % 2:
            break
        total += i
    return total


def nested(v):
    total = 0
    for i in range(v % 4):
        for j in range(i + 1):
            if j == 2:
                break
            total += 10 * i + j
    return total


def whiling(v):
    steps = 0
    n = v + 1
    while n != 1 and steps < 50:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def leaving_a_loop(v):
    for i in range(10):
        if i * i > v:
            return i
    return -1


def chained(v):
    a, b = v % 5, v % 7
    return 1 if 1 < a <= b < 6 or (a == 0 and not b) else 0


def bits(v):
    return ((v << 2) ^ (v >> 1)) & 63 | (~v & 1)


FUNCTIONS = [branches, early, counting, nested, whiling, leaving_a_loop, chained, bits]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_control_flow(function):
    inner = device(function)

    @kernel
    def apply(x, out, n):
        i = cuda.grid(1)
        if i < n:
            out[i] = inner(x[i])

    x, out = np.arange(LANES), np.full(LANES, -99)
    simulator.run(apply, 4, THREADS, (x, out, LANES - 3))
    np.testing.assert_array_equal(out[:-3], one_by_one(function, x[:-3]))
    assert (out[-3:] == -99).all()


@pytest.mark.parametrize(
    "name", ["exp", "log", "sqrt", "tanh", "sin", "cos", "erf", "erfc", "exp2", "fabs", "floor"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_keep_the_type(name, dtype):
    function = getattr(math, name)

    @kernel
    def apply(x, out):
        i = cuda.threadIdx.x
        out[i] = function(x[i])

    x, out = np.linspace(0.1, 3, 32, dtype=dtype), np.zeros(32, dtype)
    simulator.run(apply, 1, 32, (x, out))
    np.testing.assert_allclose(out, [function(v) for v in x], rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_types_are_those_of_the_compiler():
    @kernel
    def compute(x, n, a, b, c, d, e, f, g, h):
        i = cuda.threadIdx.x
        v = x[i]
        a[i] = v * v * v
        b[i] = v * 0.1
        c[i] = v * 3
        d[i] = v + i
        e[i] = float32(v * 0.1) * v
        f[i] = (i - 5) / n
        g[i] = (i - 5) // n
        h[i] = (i - 5) % n

    x, i = np.linspace(0.1, 3, 32, dtype=np.float32), np.arange(32)
    wide = x.astype(np.float64)
    outs = [np.zeros(32) for _ in range(8)]
    simulator.run(compute, 1, 32, (x, 3, *outs))
    expected = [x * x * x, wide * 0.1, wide * 3, wide + i, np.float32(wide * 0.1) * x]
    expected += [(i - 5) / 3, (i - 5) // 3, (i - 5) % 3]
    for out, right in zip(outs, expected, strict=True):
        np.testing.assert_array_equal(out, right)


def test_whole_numbers_wrap_where_they_are_cut():
    @kernel
    def mix(x, out):
        i = cuda.threadIdx.x
        h = uint32(x[i] * 2654435761)
        h = uint32((h ^ (h >> 16)) * 2246822519)
        out[i] = h
        out[i + 32] = int32(h)
        out[i + 64] = int32(1 << 31) + (i > 3) + (i > 5)

    x, out = np.arange(32), np.zeros(96, np.int64)
    simulator.run(mix, 1, 32, (x, out))
    h = x.astype(np.uint32) * np.uint32(2654435761)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(2246822519)
    np.testing.assert_array_equal(out[:32], h)
    np.testing.assert_array_equal(out[32:64], h.astype(np.int32))
    np.testing.assert_array_equal(out[64:], -(2**31) + (x > 3) + (x > 5))


def test_a_number_for_all_lanes_behaves_as_one_for_each():
    @kernel
    def same(n, x, out):
        i = cuda.threadIdx.x
        each = n + 0 * i
        out[i] = (n // 3 * 7 % 5 << 2) - (each // 3 * 7 % 5 << 2)
        out[i + 32] = (x * n + 0.5) / 3 - (x * each + 0.5) / 3
        out[i + 64] = min(n, 4) - min(each, 4) + abs(-n) - abs(-each)
        out[i + 96] = float32(n) * x - float32(each) * x

    out = np.ones(128)
    simulator.run(same, 1, 32, (-17, 0.3, out))
    assert not out.any()


def test_local_arrays_and_tuples():
    @device
    def two(v):
        return v + 1, v * 2

    @kernel
    def registers(x, out):
        i = cuda.threadIdx.x
        grid = cuda.local.array((2, 3), float32)
        for a in range(2):
            for b in range(3):
                grid[a, b] = float32(0)
        grid[1, i % 3] = x[i]
        low, high = two(grid[1, 0] + grid[1, 1] + grid[1, 2])
        low, high = high, low
        out[i] = low - high

    x, out = np.arange(32, dtype=np.float32), np.zeros(32, np.float32)
    simulator.run(registers, 1, 32, (x, out))
    np.testing.assert_array_equal(out, x * 2 - (x + 1))


def test_shuffles_votes_and_atomics():
    @kernel
    def talk(x, out, counts):
        i = cuda.threadIdx.x
        v = load(x, i)
        k = 16
        while k > 0:
            v += cuda.shfl_xor_sync(0xFFFFFFFF, v, k)
            k //= 2
        store(out, i, v)
        up = cuda.shfl_up_sync(0xFFFFFFFF, i, 1)
        cuda.atomic.add(counts, 0, up)
        cuda.atomic.max(counts, 1, i)
        if cuda.laneid == 0:
            cuda.atomic.add(counts, 2, 1)
        votes = cuda.ballot_sync(0xFFFFFFFF, i % 2 == 0)
        if i == 0:
            counts[3] = cuda.popc(votes)
        total = cuda.syncthreads_count(i < 40)
        if i == 0:
            counts[4] = total

    x, out, counts = np.arange(64, dtype=np.float32), np.zeros(64, np.float32), np.zeros(5, np.int64)
    simulator.run(talk, 1, 64, (x, out, counts))
    np.testing.assert_array_equal(out, np.repeat(x.reshape(2, 32).sum(1), 32))
    lanes = np.arange(64)
    assert counts.tolist() == [np.where(lanes % 32, lanes - 1, lanes).sum(), 63, 2, 16, 40]


def test_grids_of_three_axes_and_arrays_of_two():
    @kernel
    def number(out):
        x, y = cuda.grid(2)
        out[cuda.blockIdx.z, y * 6 + x] = x + 10 * y + 100 * cuda.blockIdx.z

    out = np.zeros((2, 24), np.int64)
    simulator.run(number, (2, 2, 2), (3, 2), (out,))
    y, x = np.divmod(np.arange(24), 6)
    np.testing.assert_array_equal(out, (x + 10 * y) + 100 * np.arange(2)[:, None])


def test_instructions_of_the_hardware():
    @kernel
    def use(x, out, whole):
        i = int32(cuda.threadIdx.x)
        a, b, c, d = load4(x, i * 4)
        store4(out, i * 4, d, c, b, a)
        whole[i] = udiv(i, 3) * 100 + umod(i, 3)
        whole[i + 8] = mulhi(0xD2511F53, i)

    x, out, whole = np.arange(32, dtype=np.float32), np.zeros(32, np.float32), np.zeros(16, np.int64)
    simulator.run(use, 1, 8, (x, out, whole))
    np.testing.assert_array_equal(out, x.reshape(8, 4)[:, ::-1].ravel())
    assert whole[:8].tolist() == [i // 3 * 100 + i % 3 for i in range(8)]
    assert whole[8:].tolist() == [0xD2511F53 * i >> 32 for i in range(8)]


def test_dynamic_shared_memory():
    @kernel
    def turn(x):
        room = cuda.shared.array(0, float32)
        i = cuda.threadIdx.x
        room[i] = x[i]
        cuda.syncthreads()
        x[i] = room[31 - i]

    x = np.arange(32, dtype=np.float32)
    simulator.run(turn, 1, 32, (x,), 128)
    np.testing.assert_array_equal(x, np.arange(31, -1, -1))
    with pytest.raises(simulator.BadIndex):
        simulator.run(turn, 1, 32, (x,), 64)


def test_what_is_no_part_of_the_language_says_so():
    @kernel
    def strange(x):
        x[0] = sum([1, 2])

    with pytest.raises(simulator.KernelError, match="not part of the language"):
        simulator.run(strange, 1, 1, (np.zeros(1),))

    @kernel
    def nameless(x):
        x[0] = nobody_knows  # noqa: F821

    with pytest.raises(simulator.KernelError, match="nobody_knows"):
        simulator.run(nameless, 1, 1, (np.zeros(1),))


# -- names ---------------------------------------------------------------------------------------------


def test_only_the_side_that_a_constant_chooses_is_compiled():
    def make(flag):
        @kernel
        def either(x):
            if flag:
                x[0] = 1
            else:
                x[0] = nobody_knows  # noqa: F821
            x[1] = 2 if flag else nobody_knows  # noqa: F821

        return either

    x = np.zeros(2)
    simulator.run(make(True), 1, 1, (x,))
    assert x.tolist() == [1, 2]
    with pytest.raises(simulator.KernelError, match="nobody_knows"):
        simulator.run(make(False), 1, 1, (x,))


def test_each_function_that_a_factory_makes_has_shared_memory_of_its_own():
    def fold(step):
        @device
        def through_shared(v):
            room = cuda.shared.array(32, float32)
            i = cuda.threadIdx.x
            room[i] = v
            cuda.syncthreads()
            return room[(i + step) % 32]

        return through_shared

    one, two = fold(1), fold(2)

    @kernel
    def both(x):
        i = cuda.threadIdx.x
        x[i] = one(x[i]) + two(x[i])

    x = np.arange(32, dtype=np.float32)
    simulator.run(both, 1, 32, (x,))
    np.testing.assert_array_equal(x, (np.arange(32) + 1) % 32 + (np.arange(32) + 2) % 32)


def test_local_arrays_with_an_index_of_each_lane():
    @kernel
    def sort_two(x, out, n):
        own = cuda.local.array(4, float32)
        i = cuda.grid(1)
        if i < n:
            for k in range(4):
                own[k] = x[4 * i + k]
            last = 0
            for k in range(4):
                if own[k] > own[last]:
                    last = k
            own[last] += 100
            for k in range(4):
                out[4 * i + k] = own[k]

    x = np.random.default_rng(0).random(4 * 50).astype(np.float32)
    out = np.zeros_like(x)
    simulator.run(sort_two, 2, 32, (x, out, 50))
    rows = x.reshape(-1, 4).copy()
    rows[np.arange(50), rows.argmax(1)] += 100
    np.testing.assert_array_equal(out.reshape(-1, 4), rows)


def test_atomic_updates_come_one_after_the_other():
    @kernel
    def queue(counts, order, histogram, x):
        i = cuda.grid(1)
        order[cuda.atomic.add(counts, 0, 1)] = i
        cuda.atomic.add(histogram, x[i], 1)
        cuda.atomic.cas(counts, 1, 0, i + 1)
        cuda.atomic.min(counts, 2, -i)
        cuda.atomic.exch(counts, 3, i)

    counts, order, histogram = np.zeros(4, np.int64), np.full(128, -1), np.zeros(7, np.int64)
    x = np.arange(128) ** 2 % 7
    simulator.run(queue, 2, 64, (counts, order, histogram, x))
    assert sorted(order) == list(range(128))
    assert counts.tolist() == [128, 1, -127, 127]
    np.testing.assert_array_equal(histogram, np.bincount(x, minlength=7))


def test_copies_in_the_background_arrive_when_they_are_waited_for():
    def make(wait):
        @kernel
        def through_shared(x, out, n):
            room = cuda.shared.array(128, float32, 16)
            i = int32(cuda.threadIdx.x)
            copy_async4(room, 4 * i, x, 4 * i, max(0, min(16, 4 * n - 16 * i)))
            copy_commit()
            if wait:
                copy_wait(0)
            cuda.syncthreads()
            for k in range(4):
                out[4 * i + k] = room[4 * (31 - i) + k]

        return through_shared

    x, out = np.arange(128, dtype=np.float32), np.zeros(128, np.float32)
    simulator.run(make(True), 1, 32, (x, out, 99))
    np.testing.assert_array_equal(out.reshape(32, 4)[::-1].ravel(), np.where(x < 99, x, 0))
    simulator.run(make(False), 1, 32, (x, out, 99))
    assert np.isnan(out).all()


def test_many_blocks_run_in_several_batches():
    @kernel
    def count(out, n):
        i = cuda.grid(1)
        if i >= n:
            return
        out[i] += i

    out = np.ones(100_000, np.int64)
    simulator.run(count, 100_352 // 256, 256, (out, len(out)))
    np.testing.assert_array_equal(out, np.arange(100_000) + 1)
