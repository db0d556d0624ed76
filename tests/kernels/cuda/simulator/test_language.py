"""Every construct of the language of kernels: many lanes at once against one thread after the other."""

import math

import numpy as np
import pytest

from minidl.kernels.cuda import simulator
from minidl.kernels.cuda.driver import cuda, device, float32, int32, kernel
from minidl.kernels.cuda.instructions import load, load4, mulhi, store, store4, udiv, umod

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


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sin", "cos", "erf", "exp2", "fabs", "floor"])
def test_functions_keep_float32(name):
    function = getattr(math, name)

    @kernel
    def apply(x, out):
        i = cuda.threadIdx.x
        out[i] = math.NAME(x[i])

    apply.function = types_function(apply.function, "NAME", name)
    x, out = np.linspace(0.1, 3, 32, dtype=np.float32), np.zeros(32, np.float32)
    simulator.run(apply.function, 1, 32, (x, out))
    np.testing.assert_allclose(out, [function(v) for v in x], rtol=1e-6)


def types_function(function, word, name):
    """The same function with a word of its source replaced."""
    import inspect
    import linecache
    import textwrap

    source = textwrap.dedent(inspect.getsource(function)).replace(word, name).replace("@kernel\n", "")
    file = f"<{name}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    scope = {"cuda": cuda, "math": math}
    exec(compile(source, file, "exec"), scope)
    return scope["apply"]


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
