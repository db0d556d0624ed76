"""One step of a recurrent layer as one kernel: the product with the weights, and the cell.

    grid: tiles of 16 hidden units, tiles of 8 sequences
    block: four warps, which share the chunks of k
      for k0 in 0, chunk, ... K                       two barriers a round
          x (8, chunk), w (G, 16, chunk)              global memory -> shared memory
          for k in a quarter of the chunk, by fours   a warp has its own quarter; lane: 4 sequences, 1 unit
              4 + G accesses of 128 bits              for 16 G multiply-adds
      sums of the four warps, added                   thread: 1 sequence, 1 unit, its G sums
      cell                                            gates, states, written where they belong

A step cannot begin before the last one has ended, and that is what a launch says. So a sequence of T steps
is T launches at least, of a few microseconds each, and for layers of usual sizes this is all the time that
they take. A product of its own for each step would double it. The tiles are small because a step is small:
64 sequences of 256 units are 128 blocks, one for each multiprocessor.

The same code serves both directions. Forward, x is h_{t-1} and w is W_hh; backward, x is the gradient of the
later step's sums and w is W_hh transposed, with G = 1. For large steps see `recurrent.py`: there x holds the
finished product.
"""

import functools
import math

from minidl.kernels.cuda.driver import Scalar, cuda, device, int32, kernel
from minidl.kernels.cuda.instructions import load, load4, store, store4

ROWS, UNITS = 8, 16
"""Sequences and hidden units of a block."""
WARPS, THREADS = 4, 128
UNROLLED = 16
"""Steps along k for which the compiler writes no loop."""
PAD = 4
"""Numbers between the rows of a tile, which spread 8 rows over all banks."""
BLOCKS = 4
"""Blocks that a multiprocessor has room for: 128 registers a thread."""


# -- the product -----------------------------------------------------------------------------------


SHORT = 64
"""Steps along k of a tile, if it has rows for several gates, or if there are no more."""
LONG_BYTES = 1024
"""Bytes of its rows otherwise."""


def chunk_of(number: Scalar, gates: int, depth: int) -> int:
    """Steps along k of a tile.

    A block waits for memory once a chunk. A thread has about ten loads of 128 bits under way then, which is
    what registers hold, and shared memory has room for the tiles of several blocks.
    """
    return SHORT if gates > 1 or depth <= SHORT else LONG_BYTES // number.dtype.itemsize


def bounds(wide: bool) -> tuple[int, int]:
    """Threads of a block, blocks of a multiprocessor: one less where many small loads need registers."""
    return THREADS, BLOCKS if wide else BLOCKS - 1


@functools.cache
def tile_filler(number: Scalar, rows: int, chunk: int, wide: bool):
    """Device code: x[first + r, k0 + k] -> row r of the tile from `begin` on; zeros outside count, depth."""
    width, pitch = 4 if wide else 1, chunk + PAD
    pieces = chunk // width  # of a row
    rounds = rows * pieces // THREADS

    @device
    def fill(tile, begin, x, first, count, depth, k0):
        for q in range(rounds):
            piece = int32(cuda.threadIdx.x + q * THREADS)
            r, k = int32(piece // int32(pieces)), int32(piece % int32(pieces) * width)
            at, come_from = int32(begin + r * pitch + k), int32((first + r) * depth + k0 + k)
            inside = r < count and k0 + k < depth
            if wide:
                a, b, c, d = number(0), number(0), number(0), number(0)
                if inside:
                    a, b, c, d = load4(x, come_from)
                store4(tile, at, a, b, c, d)
            else:
                value = number(0)
                if inside:
                    value = load(x, come_from)
                store(tile, at, value)

    return fill


@functools.cache
def tile_products(gates: int, chunk: int):
    """Device code: acc (4, gates) += the products of this lane's four rows and one unit, over a warp's k."""
    part, pitch = chunk // WARPS, chunk + PAD
    of_gate = UNITS * pitch

    @device
    def add_products(acc, a, left, right, i, j):
        for k0 in range(0, part, UNROLLED):
            p, q = int32(i + k0), int32(j + k0)
            for k in range(0, UNROLLED, 4):
                for r in range(4):
                    a[r, 0], a[r, 1], a[r, 2], a[r, 3] = load4(left, p + (r * pitch + k))
                for g in range(gates):
                    w0, w1, w2, w3 = load4(right, q + (g * of_gate + k))
                    for r in range(4):
                        acc[r, g] += a[r, 0] * w0
                        acc[r, g] += a[r, 1] * w1
                        acc[r, g] += a[r, 2] * w2
                        acc[r, g] += a[r, 3] * w3

    return add_products


@device
def place():
    """The sequence and the hidden unit that this thread finishes: warp w has row w of each four."""
    t = int32(cuda.threadIdx.x)
    row = int32(cuda.blockIdx.y * ROWS + (t >> 4 & 1) * 4 + (t >> 5))
    return row, int32(cuda.blockIdx.x * UNITS + (t & 15))


@functools.cache
def warps_sum(number: Scalar, gates: int):
    """Device code: shared memory = acc (4, gates) of each warp; then the sum of all for this thread's row."""

    @device
    def put(shared, acc):
        t = int32(cuda.threadIdx.x)
        for r in range(4):
            for g in range(gates):
                store(shared, int32((((t >> 5) * 4 + r) * gates + g) * 32 + (t & 31)), acc[r, g])

    @device
    def total(shared, g):
        t = int32(cuda.threadIdx.x)
        result = number(0)
        for w in range(WARPS):
            result += load(shared, int32(((w * 4 + (t >> 5)) * gates + g) * 32 + (t & 31)))
        return result

    return put, total


@functools.cache
def step_sums(number: Scalar, gates: int, chunk: int, wide: bool):
    """Device code: sums[g] += sum over k of x[first + row, k] w[g * units + unit, k], at this thread's place.

    Only for rows before `limit`. With a chunk of 0 x is that product (rows, gates * units) already.
    """
    part, pitch = chunk // WARPS, chunk + PAD
    fill_left, fill_right = (tile_filler(number, rows, chunk, wide) for rows in (ROWS, UNITS))
    add_products, (put, total) = tile_products(gates, chunk), warps_sum(number, gates)
    left_size, right_size, of_gate = ROWS * pitch, gates * UNITS * pitch, UNITS * pitch

    @device
    def product(sums, x, w, first, limit, units, depth):
        left = cuda.shared.array(left_size, number, 16)
        right = cuda.shared.array(right_size, number, 16)
        acc = cuda.local.array((4, gates), number)
        a = cuda.local.array((4, 4), number)
        for r in range(4):
            for g in range(gates):
                acc[r, g] = number(0)
        t, (row, unit) = int32(cuda.threadIdx.x), place()
        row0, unit0 = int32(cuda.blockIdx.y * ROWS), int32(cuda.blockIdx.x * UNITS)
        k = int32((t >> 5) * part)
        i, j = int32((t >> 4 & 1) * 4 * pitch + k), int32((t & 15) * pitch + k)
        for k0 in range(0, depth, chunk):
            fill_left(left, 0, x, first + row0, limit - row0, depth, k0)
            for g in range(gates):
                fill_right(right, g * of_gate, w, g * units + unit0, units - unit0, depth, k0)
            cuda.syncthreads()
            add_products(acc, a, left, right, i, j)
            cuda.syncthreads()
        put(right, acc)
        cuda.syncthreads()
        if row < limit and unit < units:
            for g in range(gates):
                sums[g] += total(right, g)

    @device
    def read(sums, x, w, first, limit, units, depth):
        row, unit = place()
        if row < limit and unit < units:
            for g in range(gates):
                sums[g] += load(x, int32(((first + row) * gates + g) * units + unit))

    compute = product if chunk else read

    @device
    def add_to(sums, x, w, first, limit, units, depth):
        if limit > 0:
            compute(sums, x, w, first, limit, units, depth)

    return add_to


# -- forward ---------------------------------------------------------------------------------------
#
# Arguments of all kernels: what `step_sums` takes; then (start, n), the rows of this step; forward also
# (after, n_after), those of the step that is computed next. The rest is arrays. What the cell needs is read
# before the product and used after it: the memory answers while the multiply-adds run.


@functools.cache
def sigmoid_of(number: Scalar):
    """Device code for sigmoid(z) = tanh(z / 2) / 2 + 1/2, which cannot overflow."""
    half = number(0.5)

    @device
    def sigmoid(z):
        return math.tanh(half * z) * half + half

    return sigmoid


@device
def hand_on(state, before, last, row, unit, units, after, n_after):
    """A new state goes to the next step, or, if its sequence ends here, to the last states."""
    if row < n_after:
        store(before, int32((after + row) * units + unit), state)
    else:
        store(last, int32(row * units + unit), state)


@functools.cache
def rnn_kernel(number: Scalar, chunk: int, wide: bool, relu: bool):
    """out (R, H): what the inputs bring -> h. before (R, H): h_{t-1}. last (N, H)."""
    add_product = step_sums(number, 1, chunk, wide)

    @kernel(launch_bounds=bounds(wide))
    def rnn_step(x, w, first, limit, units, depth, start, n, after, n_after, bias, out, before, last):
        z = cuda.local.array(1, number)
        row, unit = place()
        at, inside = int32((start + row) * units + unit), row < n and unit < units
        b = number(0)
        if inside:
            z[0], b = load(out, at), load(bias, unit)
        add_product(z, x, w, first, limit, units, depth)
        if inside:
            h = z[0] + b
            h = (number(0) if h <= number(0) else h) if relu else math.tanh(h)
            store(out, at, h)
            hand_on(h, before, last, row, unit, units, after, n_after)

    return rnn_step


@functools.cache
def lstm_kernel(number: Scalar, chunk: int, wide: bool, projected: bool):
    """gates (R, 4H): what the inputs bring -> i, f, u, o. tanh_c, c_before (R, H), c_last (N, H).

    out (R, H) becomes o tanh(c); without a projection this is h, for before (R, H) and last (N, H).
    """
    add_product, sigmoid = step_sums(number, 4, chunk, wide), sigmoid_of(number)

    @kernel(launch_bounds=bounds(wide))
    def lstm_step(
        x, w, first, limit, units, depth, start, n, after, n_after, bias, gates, tanh_c, c_before, c_last,
        out, before, last,
    ):  # fmt: skip
        z = cuda.local.array(4, number)
        b = cuda.local.array(4, number)
        row, unit = place()
        at, at_gates = int32((start + row) * units + unit), int32((start + row) * 4 * units + unit)
        inside, c = row < n and unit < units, number(0)
        if inside:
            c = load(c_before, at)
            for g in range(4):
                z[g], b[g] = load(gates, int32(at_gates + g * units)), load(bias, int32(g * units + unit))
        add_product(z, x, w, first, limit, units, depth)
        if inside:
            i, f = sigmoid(z[0] + b[0]), sigmoid(z[1] + b[1])
            u, o = math.tanh(z[2] + b[2]), sigmoid(z[3] + b[3])
            c = f * c + i * u
            t = math.tanh(c)
            store(gates, at_gates, i)
            store(gates, int32(at_gates + units), f)
            store(gates, int32(at_gates + 2 * units), u)
            store(gates, int32(at_gates + 3 * units), o)
            store(tanh_c, at, t)
            store(out, at, o * t)
            hand_on(c, c_before, c_last, row, unit, units, after, n_after)
            if not projected:
                hand_on(o * t, before, last, row, unit, units, after, n_after)

    return lstm_step


@functools.cache
def projection_kernel(number: Scalar, chunk: int, wide: bool):
    """h = W_hr m: out, before (R, P), last (N, P), from x = m (R, H), w = w_hr (P, H)."""
    add_product = step_sums(number, 1, chunk, wide)

    @kernel(launch_bounds=bounds(wide))
    def project(x, w, first, limit, units, depth, start, n, after, n_after, out, before, last):
        h = cuda.local.array(1, number)
        row, unit = place()
        h[0] = number(0)
        add_product(h, x, w, first, limit, units, depth)
        if row < n and unit < units:
            store(out, int32((start + row) * units + unit), h[0])
            hand_on(h[0], before, last, row, unit, units, after, n_after)

    return project


@functools.cache
def gru_kernel(number: Scalar, chunk: int, wide: bool):
    """gates (R, 3H): what the inputs bring -> r, z, n. inner (R, H): (W_hh h + b_hh)[third]. out: h."""
    add_product, sigmoid = step_sums(number, 3, chunk, wide), sigmoid_of(number)

    @kernel(launch_bounds=bounds(wide))
    def gru_step(
        x, w, first, limit, units, depth, start, n, after, n_after, b_ih, b_hh, gates, inner, out, before,
        last,
    ):  # fmt: skip
        s = cuda.local.array(3, number)
        b = cuda.local.array(6, number)
        row, unit = place()
        at, at_r = int32((start + row) * units + unit), int32((start + row) * 3 * units + unit)
        at_z, at_n = int32(at_r + units), int32(at_r + 2 * units)
        inside, h, from_x = row < n and unit < units, number(0), number(0)
        if inside:
            h, from_x = load(before, at), load(gates, at_n)
            s[0], s[1], s[2] = load(gates, at_r), load(gates, at_z), number(0)
            for g in range(3):
                b[g], b[3 + g] = load(b_ih, int32(g * units + unit)), load(b_hh, int32(g * units + unit))
        add_product(s, x, w, first, limit, units, depth)
        if inside:
            r, z, inner_sum = sigmoid(s[0] + b[0] + b[3]), sigmoid(s[1] + b[1] + b[4]), s[2] + b[5]
            new = math.tanh(from_x + b[2] + r * inner_sum)
            h = new + z * (h - new)
            store(gates, at_r, r)
            store(gates, at_z, z)
            store(gates, at_n, new)
            store(inner, at, inner_sum)
            store(out, at, h)
            hand_on(h, before, last, row, unit, units, after, n_after)

    return gru_step


# -- backward --------------------------------------------------------------------------------------
#
# x is da of the later step and w is W_hh transposed, so that the product is what comes back from there. The
# sequences from `limit` on have ended in this step: to them comes dh, the gradient of their last state.


@device
def from_outside(g, dh, at, at_state, row, limit):
    """The gradient of h as far as it does not come from the later step."""
    d = load(g, at)
    if row >= limit:
        d += load(dh, at_state)
    return d


@functools.cache
def rnn_backward_kernel(number: Scalar, chunk: int, wide: bool, relu: bool):
    """da (R, H) from g, out (R, H) and dh (N, H)."""
    add_product = step_sums(number, 1, chunk, wide)

    @kernel(launch_bounds=bounds(wide))
    def rnn_step_backward(x, w, first, limit, units, depth, start, n, g, dh, out, da):
        d = cuda.local.array(1, number)
        row, unit = place()
        at, inside = int32((start + row) * units + unit), row < n and unit < units
        h = number(0)
        if inside:
            h = load(out, at)
            d[0] = from_outside(g, dh, at, int32(row * units + unit), row, limit)
        add_product(d, x, w, first, limit, units, depth)
        if inside:
            slope = number(h > number(0)) if relu else number(1) - h * h
            store(da, at, d[0] * slope)

    return rnn_step_backward


@functools.cache
def lstm_backward_kernel(number: Scalar, chunk: int, wide: bool, projected: bool):
    """da (R, 4H), and dc (N, H) of this step -> of the one before.

    Projected: x is dout (R, P) and w is w_hr transposed, so that the product is all that comes to o tanh(c).
    """
    add_product, one = step_sums(number, 1, chunk, wide), number(1)

    @kernel(launch_bounds=bounds(wide))
    def lstm_step_backward(
        x, w, first, limit, units, depth, start, n, g, dh, dc, gates, tanh_c, c_before, da
    ):  # fmt: skip
        d = cuda.local.array(1, number)
        kept = cuda.local.array(7, number)
        row, unit = place()
        at, at_state = int32((start + row) * units + unit), int32(row * units + unit)
        at_gates, inside = int32((start + row) * 4 * units + unit), row < n and unit < units
        if inside:
            for k in range(4):
                kept[k] = load(gates, int32(at_gates + k * units))
            kept[4], kept[5], kept[6] = load(tanh_c, at), load(c_before, at), load(dc, at_state)
            d[0] = number(0) if projected else from_outside(g, dh, at, at_state, row, limit)
        add_product(d, x, w, first, limit, units, depth)
        if inside:
            i, f, u, o, t = kept[0], kept[1], kept[2], kept[3], kept[4]
            d_c = kept[6] + d[0] * o * (one - t * t)
            store(da, at_gates, d_c * u * i * (one - i))
            store(da, int32(at_gates + units), d_c * kept[5] * f * (one - f))
            store(da, int32(at_gates + 2 * units), d_c * i * (one - u * u))
            store(da, int32(at_gates + 3 * units), d[0] * t * o * (one - o))
            store(dc, at_state, d_c * f)

    return lstm_step_backward


@functools.cache
def projection_backward_kernel(number: Scalar, chunk: int, wide: bool):
    """dout (R, P), the whole gradient of h, from g (R, P) and dh (N, P)."""
    add_product = step_sums(number, 1, chunk, wide)

    @kernel(launch_bounds=bounds(wide))
    def project_backward(x, w, first, limit, units, depth, start, n, g, dh, dout):
        d = cuda.local.array(1, number)
        row, unit = place()
        at, inside = int32((start + row) * units + unit), row < n and unit < units
        if inside:
            d[0] = from_outside(g, dh, at, int32(row * units + unit), row, limit)
        add_product(d, x, w, first, limit, units, depth)
        if inside:
            store(dout, at, d[0])

    return project_backward


@functools.cache
def gru_backward_kernel(number: Scalar, chunk: int, wide: bool):
    """du (R, 3H), the gradient of W_hh h + b_hh, and da (R, 3H), that of W_ih x + b_ih.

    dh (N, H): what comes to h without the product, of this step -> of the one before.
    """
    add_product, one = step_sums(number, 1, chunk, wide), number(1)

    @kernel(launch_bounds=bounds(wide))
    def gru_step_backward(
        x, w, first, limit, units, depth, start, n, g, dh, gates, inner, before, du, da
    ):  # fmt: skip
        d = cuda.local.array(1, number)
        kept = cuda.local.array(6, number)
        row, unit = place()
        at, at_state = int32((start + row) * units + unit), int32(row * units + unit)
        at_r, inside = int32((start + row) * 3 * units + unit), row < n and unit < units
        at_z, at_n = int32(at_r + units), int32(at_r + 2 * units)
        if inside:
            kept[0], kept[1], kept[2] = load(gates, at_r), load(gates, at_z), load(gates, at_n)
            kept[3], kept[4], kept[5] = load(inner, at), load(before, at), load(dh, at_state)
            d[0] = load(g, at)
        add_product(d, x, w, first, limit, units, depth)
        if inside:
            r, z, new, d_h = kept[0], kept[1], kept[2], d[0] + kept[5]
            d_new = d_h * (one - z) * (one - new * new)
            d_r, d_z = d_new * kept[3] * r * (one - r), d_h * (kept[4] - new) * z * (one - z)
            store(du, at_r, d_r)
            store(du, at_z, d_z)
            store(du, at_n, d_new * r)
            store(da, at_r, d_r)
            store(da, at_z, d_z)
            store(da, at_n, d_new)
            store(dh, at_state, d_h * z)

    return gru_step_backward
