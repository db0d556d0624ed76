"""Recurrent layers: a whole sequence is one compiled function, and every thread has sequences of its own.

    for block of sequences                      split over threads; no thread ever waits for another
        for t in time                           the one order that cannot be changed
            a = [1 x_t h_{t-1} 1]               a row for each sequence, kept for the gradient of the weights
            sums = a [b W_ih W_hh b]^T          micro-kernel: weights packed once, read from the L2 cache
            for sequence
                for hidden unit                 vectors; the sums are still in the L1 cache
                    gates, c_t, h_t = ...

Backwards the same picture from the last step to the first: the gradient d of the sums from those of h_t and
c_t, then one product with the weights gives those of x_t and h_{t-1} side by side. The gradients of weights,
d^T a summed over all steps, are added up whenever d has CHUNK rows, which are still in the L2 cache then.

The ones beside x and h make biases part of the weights. They are two because in a GRU the third block of
W_hh h + b is multiplied by r before it meets that of W_ih x + b. So a GRU has four blocks here, in the order
n from x, r, z, n from h: what x contributes to lies together, and what h contributes to does.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from minidl.kernels import reference
from minidl.kernels.cpu.compiling import bounds, compiled, inline, inner
from minidl.kernels.cpu.simd import BLOCKS, WIDTH, micro_kernel
from minidl.kernels.threads import split, ways

TANH, RELU, LSTM, GRU = range(4)
"""Kinds of cells."""
KEPT = (1, 1, 6, 4)
"""How many numbers a hidden unit of each kind keeps for the backward."""
WORTH_PACKING = 16
"""Rows from which the product with packed weights repays the packing."""

CHUNK = 128
"""Rows of d that are collected for one product with a."""
ROWS, VECTORS = BLOCKS[0]
PANEL = VECTORS * WIDTH
TILE = ROWS * PANEL
LANES, ZEROS = np.arange(VECTORS) * WIDTH, np.zeros(ROWS, np.float32)
"""Where the vectors of a panel lie, and what sums start from."""
_full, _two, _one = (micro_kernel(ROWS, vectors, True) for vectors in (VECTORS, 2, 1))


# -- the product -----------------------------------------------------------------------------------


def _packed(*parts):
    """Weights in the order in which the micro-kernel reads them, and a table that says what they are for.

    A part is (w (N, K), where its K inputs start in a row of a, where its N sums start). Packed: panels of
    PANEL outputs, in each for every input the weights of these outputs. A line of the table: where the part
    lies, start of inputs, K, start of sums, N. Third: where the weights of each input lie in a panel.
    """
    packed, table, end = [], [], 0
    for w, inputs, sums in parts:
        n, k = w.shape
        panels, whole = -(-n // PANEL), n // PANEL
        part = np.zeros((panels, k, PANEL), np.float32)
        part[:whole] = w[: whole * PANEL].reshape(whole, PANEL, k).swapaxes(1, 2)
        part[whole:, :, : n - whole * PANEL] = w[whole * PANEL :].T
        packed.append(part.ravel())
        table.append((end, inputs, k, sums, n))
        end += part.size
    table = np.array(table)
    return np.concatenate(packed), table, np.arange(table[:, 2].max()) * PANEL


@inner
def _products(a, a_row, packed, table, steps, sums, rows):
    """sums[i, s + j] = sum over k of a[i, start + k] w[j, k], for each part of the packed weights.

    Rows are taken ROWS at a time, columns by whole vectors: `a` and `sums` have room for that. What is too
    much of one part is overwritten by the next.
    """
    row, vs, ks, start = sums.shape[1], LANES.ctypes.data, steps.ctypes.data, ZEROS.ctypes.data
    for part in range(len(table)):
        place, first, k, column, columns = table[part]
        for j in range(0, columns, PANEL):
            left, w = columns - j, packed.ctypes.data + 4 * (place + j * k)
            for i in range(0, rows, ROWS):
                x, y = a + 4 * (i * a_row + first), sums.ctypes.data + 4 * (i * row + column + j)
                if left > 2 * WIDTH:
                    _full(x, a_row, 1, w, vs, ks, y, row, vs, start, k)
                elif left > WIDTH:
                    _two(x, a_row, 1, w, vs, ks, y, row, vs, start, k)
                else:
                    _one(x, a_row, 1, w, vs, ks, y, row, vs, start, k)


# -- one step, of one sequence (an LSTM's of all) ---------------------------------------------------
#
# s: sums (blocks * H). h, c: states, updated. kept: what the backward needs, of which row r is of this step;
# it has an array for each kind of number, so that each is written to memory in one long run. da: gradient of
# the sums.

f32 = np.float32
EDGE = f32(7.905311)
"""From here on tanh is taken for 1; it lacks 3e-7."""


@inline
def tanh(x):
    """tanh as a quotient of two polynomials (coefficients: the Eigen library), absolute error 3e-7.

    Half the work of `elementary.tanh`, which is exact to the last place or two.
    """
    s = x * x
    p = s * f32(-2.76076847742355e-16) + f32(2.00018790482477e-13)
    p = p * s + f32(-8.60467152213735e-11)
    p = p * s + f32(5.12229709037114e-08)
    p = p * s + f32(1.48572235717979e-05)
    p = p * s + f32(6.37261928875436e-04)
    p = p * s + f32(4.89352455891786e-03)
    q = s * f32(1.19825839466702e-06) + f32(1.18534705686654e-04)
    q = q * s + f32(2.26843463243900e-03)
    q = q * s + f32(4.89352518554385e-03)
    y = x * p / q
    return f32(1) if x > EDGE else (f32(-1) if x < -EDGE else y)


@inline
def _share(t):
    """sigmoid(x) of t = tanh(x / 2)."""
    return f32(0.5) * t + f32(0.5)


@inline
def sigmoid(x):
    """As in the reference: one tanh serves all blocks."""
    return _share(tanh(f32(0.5) * x))


@inner(fastmath={"contract"})
def _rnn_cell(s, h, kept, r, relu):
    out = kept[0, r]
    for j in range(len(h)):
        out[j] = h[j] = (f32(0) if s[j] < 0 else s[j]) if relu else tanh(s[j])


@inner(fastmath={"contract"})
def _rnn_cell_backward(g, dh, kept, r, da, relu):
    out = kept[0, r]
    for j in range(len(dh)):
        h = out[j]
        da[j] = (dh[j] + g[j]) * (f32(h > 0) if relu else 1 - h * h)
        dh[j] = 0


@inner(fastmath={"contract"})
def _bend(x):
    """x becomes tanh x. One long loop: the compiler makes vectors of short ones only where it pays."""
    for j in range(len(x)):
        x[j] = tanh(x[j])


@inner(fastmath={"contract"})
def _lstm_cells(s, h, c, kept, r):
    """All sequences of a step, the first of which is row r. The sums of i, f, o are halved: `_halve`."""
    rows, n = h.shape
    _bend(s.reshape(-1))
    for k in range(rows):
        for j in range(n):
            i, f, g = _share(s[k, j]), _share(s[k, n + j]), s[k, 2 * n + j]
            kept[0, r + k, j], kept[1, r + k, j], kept[2, r + k, j], kept[4, r + k, j] = i, f, g, c[k, j]
            c[k, j] = f * c[k, j] + i * g
            h[k, j] = c[k, j]
    _bend(h.reshape(-1))
    for k in range(rows):
        for j in range(n):
            o = _share(s[k, 3 * n + j])
            kept[3, r + k, j], kept[5, r + k, j] = o, h[k, j]
            h[k, j] *= o


@inner(fastmath={"contract"})
def _lstm_cell_backward(g, dh, dc, kept, r, da):
    n = len(dh)
    for j in range(n):
        i, f, u, o, t = kept[0, r, j], kept[1, r, j], kept[2, r, j], kept[3, r, j], kept[5, r, j]
        d = dh[j] + g[j]
        d_c = dc[j] + d * o * (1 - t * t)
        da[j], da[n + j] = d_c * u * i * (1 - i), d_c * kept[4, r, j] * f * (1 - f)
        da[2 * n + j], da[3 * n + j] = d_c * i * (1 - u * u), d * t * o * (1 - o)
        dc[j], dh[j] = d_c * f, 0


@inner(fastmath={"contract"})
def _gru_cell(s, h, kept, r):
    n = len(h)
    sn, sr, sz, su = s[:n], s[n : 2 * n], s[2 * n : 3 * n], s[3 * n : 4 * n]
    kn, kr, kz, ku = kept[0, r], kept[1, r], kept[2, r], kept[3, r]
    for j in range(n):
        reset, z, u = sigmoid(sr[j]), sigmoid(sz[j]), su[j]
        new = tanh(sn[j] + reset * u)
        kn[j], kr[j], kz[j], ku[j] = new, reset, z, u
        h[j] = new + z * (h[j] - new)


@inner(fastmath={"contract"})
def _gru_cell_backward(g, dh, before, kept, r, da):
    n = len(dh)
    kn, kr, kz, ku = kept[0, r], kept[1, r], kept[2, r], kept[3, r]
    dn, dr, dz, du = da[:n], da[n : 2 * n], da[2 * n : 3 * n], da[3 * n :]
    for j in range(n):
        new, reset, z, u = kn[j], kr[j], kz[j], ku[j]
        d = dh[j] + g[j]
        d_new = d * (1 - z) * (1 - new * new)
        dn[j], dr[j] = d_new, d_new * u * reset * (1 - reset)
        dz[j], du[j] = d * (before[j] - new) * z * (1 - z), d_new * reset
        dh[j] = d * z


# -- some sequences, all steps ---------------------------------------------------------------------


@compiled
def _forward(kind, x, h, c, packed, table, steps, starts, sizes, a, kept, out, start, stop):
    """These blocks of ROWS sequences. h, c: first states, which become the last ones."""
    first, last = start * ROWS, min(stop * ROWS, len(h))
    inputs, width, row = x.shape[1], h.shape[1], a.shape[1]
    sums = np.empty((last - first + ROWS, table[-1, 3] + table[-1, 4] + WIDTH), np.float32)
    for t in range(len(sizes)):
        n, r0 = max(0, min(last, sizes[t]) - first), starts[t] + first
        for i in range(n):
            now, xi, hi = a[r0 + i], x[r0 + i], h[first + i]
            now[0] = now[-1] = 1
            for j in range(inputs):
                now[1 + j] = xi[j]
            for j in range(width):
                now[1 + inputs + j] = hi[j]
        _products(a.ctypes.data + 4 * r0 * row, row, packed, table, steps, sums, n)
        if kind == LSTM:
            _lstm_cells(sums[:n], h[first : first + n], c[first : first + n], kept, r0)
        for i in range(n):
            s, hi = sums[i], h[first + i]
            if kind == GRU:
                _gru_cell(s, hi, kept, r0 + i)
            elif kind != LSTM:
                _rnn_cell(s, hi, kept, r0 + i, kind == RELU)
            for j in range(width):
                out[r0 + i, j] = hi[j]


@inner
def _add_products(d, count, a, places, tiles, db):
    """Tiles of [dW_ih dW_hh] += sums over k of d[k, m] a[row k, 1 + j]; db[m] += sums over k of d[k, m].

    tiles: (panels of columns j, blocks of rows m, TILE). places: where the rows of a start.
    """
    row, rows, tile = d.shape[1], len(db), np.empty(TILE, np.float32)
    vs, ks, start, to = LANES.ctypes.data, places.ctypes.data, ZEROS.ctypes.data, tile.ctypes.data
    for j in range(tiles.shape[0]):
        x = a.ctypes.data + 4 * (1 + j * PANEL)
        for m in range(tiles.shape[1]):
            _full(d.ctypes.data + 4 * m * ROWS, 1, row, x, vs, ks, to, PANEL, vs, start, count)
            total = tiles[j, m]
            for v in range(TILE):
                total[v] += tile[v]
    for k in range(count):
        for m in range(rows):
            db[m] += d[k, m]


@compiled
def _backward(kind, g, dh, dc, packed, table, steps, starts, sizes, a, kept, dx, tiles, db, start, stop):
    """The parts `start` ... of the same sequences backwards, each with sums of its own for the weights."""
    for part in range(start, stop):
        first, last = bounds(-(-len(dh) // ROWS), len(tiles), part)
        given = kind, g, dh, dc, packed, table, steps, starts, sizes, a, kept, dx
        _backward_part(*given, tiles[part], db[part], first * ROWS, min(last * ROWS, len(dh)))


@inner
def _backward_part(kind, g, dh, dc, packed, table, steps, starts, sizes, a, kept, dx, tiles, db, first, last):
    """Sequences first ... last - 1. dh, dc: gradients of the last states, which become those of the first."""
    inputs, width, row, m = dx.shape[1], dh.shape[1], a.shape[1], len(db)
    sums = np.empty((last - first + ROWS, inputs + width + WIDTH), np.float32)
    capacity, count = max(CHUNK, last - first), np.int64(0)
    da, places = np.zeros((capacity + ROWS, m + WIDTH), np.float32), np.empty(capacity, np.int64)
    for t in range(len(sizes) - 1, -1, -1):
        n, start = min(last, sizes[t]) - first, starts[t] + first
        for i in range(n):
            r = start + i
            gi, d, to, places[count + i] = g[r], dh[first + i], da[count + i, :m], r * row
            if kind == LSTM:
                _lstm_cell_backward(gi, d, dc[first + i], kept, r, to)
            elif kind == GRU:
                _gru_cell_backward(gi, d, a[r, -1 - width : -1], kept, r, to)
            else:
                _rnn_cell_backward(gi, d, kept, r, to, kind == RELU)
        _products(da.ctypes.data + 4 * count * da.shape[1], da.shape[1], packed, table, steps, sums, n)
        count += max(n, 0)
        for i in range(n):
            s, to, d = sums[i], dx[start + i], dh[first + i]
            for j in range(inputs):
                to[j] = s[j]
            for j in range(width):
                d[j] += s[inputs + j]
        if not t or count + last - first > capacity:
            _add_products(da, count, a, places, tiles, db)
            count = 0


# -- the kernels -----------------------------------------------------------------------------------


class _Saved(NamedTuple):
    """What the backward needs. Without it a backward knows that the reference computed the forward."""

    w_ih: np.ndarray
    w_hh: np.ndarray
    a: np.ndarray  # (R, 1 + D + H + 1)
    kept: np.ndarray


def _suits(x) -> bool:
    return x.dtype == np.float32 and len(x) >= WORTH_PACKING


def _order(batch_sizes, reverse):
    """Where the rows of each step start, and how many they are, in the order of computation."""
    sizes = np.asarray(batch_sizes, np.int64)
    order = slice(None, None, -1 if reverse else 1)
    return np.ascontiguousarray((np.cumsum(sizes) - sizes)[order]), np.ascontiguousarray(sizes[order])


def _with_room(rows, columns):
    """Rows, and behind them room for the last block of ROWS and the last vectors."""
    array = np.empty((rows + ROWS + PANEL, columns), np.float32)
    array[rows:] = 0
    return array


def _run(kind, x, h0, c0, w_ih, w_hh, parts, batch_sizes, reverse):
    """h of every step, the last states, what the backward needs. `parts`: see `_packed`."""
    x, h, c = np.require(x, requirements="CW"), np.array(h0, order="C"), np.array(c0, order="C")
    (rows, inputs), width = x.shape, h.shape[1]
    a, packed = _with_room(rows, 1 + inputs + width + 1), _packed(*parts)
    kept, out = np.empty((KEPT[kind], rows, width), np.float32), np.empty((rows, width), np.float32)
    arrays = (x, h, c, *packed, *_order(batch_sizes, reverse), a, kept, out)
    work = 2.0 * rows * (w_ih.size + w_hh.size)
    split(-(-len(h) // ROWS), work, _forward, kind, *arrays)
    return out, h, c, _Saved(w_ih, w_hh, a[:rows], kept)


def _parts_backward(kind, w_ih, w_hh, input_gradient):
    """The products that give the gradients of x, if asked for, and h side by side."""
    if kind != GRU:
        return [((np.concatenate([w_ih, w_hh], axis=1) if input_gradient else w_hh).T, 0, 0)]
    inputs, width = w_ih.shape[1] * input_gradient, w_hh.shape[1]
    of_x = [(np.roll(w_ih, width, axis=0).T, 0, 0)] * input_gradient  # n, r, z
    return [*of_x, (w_hh.T, width, inputs)]


def _run_backward(kind, g, dh, dc, saved, batch_sizes, reverse, input_gradient):
    """Gradients of x (None unless asked for), of the first states, of all weights [W_ih W_hh] and biases."""
    g, dh, dc = np.require(g, requirements="CW"), np.array(dh, order="C"), np.array(dc, order="C")
    w_ih, w_hh, a, kept = saved
    (rows, width), inputs, shift = g.shape, w_ih.shape[1] * input_gradient, kind == GRU
    packed = _packed(*_parts_backward(kind, w_ih, w_hh, input_gradient))
    dx, sums = np.empty((rows, inputs), np.float32), len(w_hh) + shift * width
    blocks, columns = -(-sums // ROWS), -(-(w_ih.shape[1] + width) // PANEL)
    arrays = (g, dh, dc, *packed, *_order(batch_sizes, reverse), a, kept, dx)
    work = 4.0 * rows * (w_ih.size + w_hh.size)
    parts = ways(-(-len(dh) // ROWS), work)
    tiles, db = np.zeros((parts, columns, blocks, TILE), np.float32), np.zeros((parts, sums), np.float32)
    split(parts, work, _backward, kind, *arrays, tiles, db)
    tiles, db = functools.reduce(np.add, tiles), functools.reduce(np.add, db)
    dw = tiles.reshape(columns, blocks, ROWS, PANEL).transpose(1, 2, 0, 3).reshape(blocks * ROWS, -1)
    return dx if input_gradient else None, dh, dc, dw[:sums, : w_ih.shape[1] + width], db


def _bias(b, w):
    """A column of biases."""
    return np.zeros((len(w), 1), w.dtype) if b is None else b[:, None]


def _all_at_once(w_ih, w_hh, b_ih, b_hh):
    """[b W_ih W_hh] as the one part of the product, where the sums of x and h may be added at once."""
    return [(np.concatenate([_bias(b_ih, w_ih) + _bias(b_hh, w_hh), w_ih, w_hh], axis=1), 0, 0)]


def _halve(w):
    """Halve an LSTM's weights (4H, K) in place, but for those of g: sigmoid(x) = (1 + tanh(x / 2)) / 2, so
    that all blocks need the same tanh. No bit is lost by it."""
    n = len(w) // 4
    w[: 2 * n] *= 0.5
    w[3 * n :] *= 0.5


def rnn_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse=False, relu=False):
    """`reference.rnn_sequence`."""
    weights = (w_ih, w_hh, b_ih, b_hh)
    if not _suits(x):
        return reference.rnn_sequence(x, h0, *weights, batch_sizes, reverse, relu)
    kind, parts = RELU if relu else TANH, _all_at_once(*weights)
    out, h, _, saved = _run(kind, x, h0, h0, w_ih, w_hh, parts, batch_sizes, reverse)
    return out, h, saved


def rnn_sequence_backward(g, dh, saved, batch_sizes, reverse=False, relu=False, input_gradient=True):
    """`reference.rnn_sequence_backward`."""
    if not isinstance(saved, _Saved):
        return reference.rnn_sequence_backward(g, dh, saved, batch_sizes, reverse, relu, input_gradient)
    kind = RELU if relu else TANH
    dx, dh, _, dw, db = _run_backward(kind, g, dh, dh, saved, batch_sizes, reverse, input_gradient)
    return dx, dh, *np.split(dw, [saved.w_ih.shape[1]], axis=1), db, db


def lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, batch_sizes, reverse=False):
    """`reference.lstm_sequence`, which computes projections itself."""
    weights = (w_ih, w_hh, b_ih, b_hh)
    if not _suits(x) or w_hr is not None:
        return reference.lstm_sequence(x, h0, c0, *weights, w_hr, batch_sizes, reverse)
    parts = _all_at_once(*weights)
    _halve(parts[0][0])
    return _run(LSTM, x, h0, c0, w_ih, w_hh, parts, batch_sizes, reverse)


def lstm_sequence_backward(g, dh, dc, saved, batch_sizes, reverse=False, input_gradient=True):
    """`reference.lstm_sequence_backward`."""
    if not isinstance(saved, _Saved):
        return reference.lstm_sequence_backward(g, dh, dc, saved, batch_sizes, reverse, input_gradient)
    *gradients, dw, db = _run_backward(LSTM, g, dh, dc, saved, batch_sizes, reverse, input_gradient)
    return *gradients, *np.split(dw, [saved.w_ih.shape[1]], axis=1), db, db, None


def gru_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse=False):
    """`reference.gru_sequence`."""
    if not _suits(x):
        return reference.gru_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse)
    inputs, width = x.shape[1], h0.shape[1]
    from_x = np.concatenate([_bias(b_ih, w_ih), w_ih], axis=1)  # r, z, n
    from_h = np.concatenate([w_hh, _bias(b_hh, w_hh)], axis=1)
    both, n = slice(0, 2 * width), slice(2 * width, None)
    parts = [
        (from_x[n], 0, 0),
        (np.concatenate([from_x[both], from_h[both]], axis=1), 0, width),
        (from_h[n], 1 + inputs, 3 * width),
    ]
    out, h, _, saved = _run(GRU, x, h0, h0, w_ih, w_hh, parts, batch_sizes, reverse)
    return out, h, saved


def gru_sequence_backward(g, dh, saved, batch_sizes, reverse=False, input_gradient=True):
    """`reference.gru_sequence_backward`."""
    if not isinstance(saved, _Saved):
        return reference.gru_sequence_backward(g, dh, saved, batch_sizes, reverse, input_gradient)
    dx, dh, _, dw, db = _run_backward(GRU, g, dh, dh, saved, batch_sizes, reverse, input_gradient)
    (inputs, width), back = (
        (saved.w_ih.shape[1], dh.shape[1]),
        functools.partial(np.roll, shift=-dh.shape[1], axis=0),
    )
    return dx, dh, back(dw[:-width, :inputs]), dw[width:, inputs:], back(db[:-width]), db[width:]
