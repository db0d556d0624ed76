"""Attention, compiled: the scores of some queries at a time, in the cache, never all of them in memory.

    for head of a sample                        split over threads
        k, v copied side by side
        for block of LANES queries
            scores (keys, LANES) = k q^T        micro-kernel; causal: only keys up to the block's end
            largest, e^(...), sum               queries are lanes of vectors: no sum over lanes
            out (LANES, V) = weights^T v        micro-kernel

Kept for the backward is one number a query, log(sum(e^scores)), so memory grows with the length and not with
its square (Dao et al. 2022). The backward computes the weights again, block by block:

            dweights (keys, LANES) = v g^T
            dscores = weights (dweights - sum of g out)
            dq = dscores^T k,   dk += dscores q,   dv += weights g

Arrays are read and written where they lie, by address and strides, so that heads that are a view of one
product need no copy.
"""

import math
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from minidl.kernels import reference
from minidl.kernels.cpu.compiling import compiled, copy, inline, inner
from minidl.kernels.cpu.elementary import exp
from minidl.kernels.cpu.simd import WIDTH, micro_kernel, turn
from minidl.kernels.threads import split

LANES = 2 * WIDTH
"""Queries in a block."""
FOUR = 4
ROWS = 8 if WIDTH == 16 else FOUR
"""Rows of a micro-kernel: its 2 ROWS sums leave some registers free."""
SMALLEST = -87
"""Weights below e^-87 are taken to be 0: below that are numbers that are slow to compute with."""

f32, FLOAT32 = np.float32, np.dtype(np.float32)
_two, _one = micro_kernel(ROWS, 2, True), micro_kernel(ROWS, 1, True)


class Sizes(NamedTuple):
    """How long the arrays are: heads of a sample, queries, keys, features of keys and of values."""

    heads: int
    queries: int
    keys: int
    features: int
    values: int


class Scratch(NamedTuple):
    """What one thread works with. Rows are filled up to whole vectors, keys to whole micro-kernels."""

    k: np.ndarray  # (keys, E)
    v: np.ndarray  # (keys, V)
    q: np.ndarray  # (LANES, E)
    g: np.ndarray  # (LANES, V), or what belongs there
    turned: np.ndarray  # (E or V, LANES)
    scores: np.ndarray  # (keys, LANES)
    lanes: np.ndarray  # tables of offsets: of vectors, of rows of LANES, of E, of V
    of_lanes: np.ndarray
    of_e: np.ndarray
    of_v: np.ndarray
    zeros: np.ndarray


# -- pieces ----------------------------------------------------------------------------------------


@intrinsic
def _pointer(typing, address):
    """An address as a pointer to floats."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(types.intp), generate


@inner
def _starts(places, sizes, head):
    """Where a head begins in each array. A place: address, strides of samples, heads and rows, in bytes."""
    return places[:, 0] + head // sizes.heads * places[:, 1] + head % sizes.heads * places[:, 2]


@inner
def _read(start, stride, first, rows, length, scale, to):
    """Rows from `first` on times scale; zeros where there are none."""
    rows = min(rows, len(to))
    for t in range(rows):
        row, target = carray(_pointer(start + (first + t) * stride), (length,)), to[t]
        for d in range(length):
            target[d] = row[d] * scale
    to[rows:] = 0


@inner
def _write(rows, start, stride, first, length, scales):
    for t in range(len(scales)):
        target, row, scale = carray(_pointer(start + (first + t) * stride), (length,)), rows[t], scales[t]
        for d in range(length):
            target[d] = row[d] * scale


@inner
def _product(a, a_row, a_step, b, steps, c, rows, count, s):
    """c[m] = sum over k < count of A[m, k] b[k], for `rows` rows. A[m, k] is at a + a_row m + a_step k."""
    lanes, zeros, columns = s.lanes.ctypes.data, s.zeros.ctypes.data, c.shape[1]
    for j in range(0, columns, LANES):
        at = b.ctypes.data + 4 * j
        for i in range(0, rows, ROWS):
            x, y = a.ctypes.data + 4 * i * a_row, c.ctypes.data + 4 * (i * columns + j)
            if columns - j > WIDTH:
                _two(x, a_row, a_step, at, lanes, steps.ctypes.data, y, columns, lanes, zeros, count)
            else:
                _one(x, a_row, a_step, at, lanes, steps.ctypes.data, y, columns, lanes, zeros, count)


@inner
def _turn(rows, steps, s):
    """s.turned = the transpose of rows (LANES, features)."""
    columns = rows.shape[1]
    for i in range(0, LANES, WIDTH):
        for d in range(0, columns, WIDTH):
            source, target = (
                rows.ctypes.data + 4 * (i * columns + d),
                s.turned.ctypes.data + 4 * (d * LANES + i),
            )
            turn(source, steps.ctypes.data, target, s.of_lanes.ctypes.data)


@inline
def _weight(x):
    """e^x for x <= 0."""
    y = exp(f32(SMALLEST) if x < f32(SMALLEST) else x)
    return f32(0) if x < f32(SMALLEST) else y


@inner
def _add_bias(scores, bias, i):
    for lane in range(min(LANES, len(bias) - i)):
        row = bias[i + lane]
        for k in range(len(scores)):
            scores[k, lane] += row[k]


@inner
def _score(start, stride, sizes, i, seen, scale, bias, causal, s):
    """s.q = the queries of a block, scaled; s.scores = k q^T + bias for the keys that are seen."""
    _read(start, stride, i, sizes.queries - i, sizes.features, scale, s.q)
    _turn(s.q, s.of_e, s)
    _product(s.k, s.k.shape[1], 1, s.turned, s.of_lanes, s.scores, seen, sizes.features, s)
    if len(bias):
        _add_bias(s.scores[:seen], bias, i)
    if causal:
        for k in range(i + 1, seen):
            s.scores[k, : k - i] = -np.inf


@inner
def _scratch(sizes):
    e, v = -(-sizes.features // WIDTH) * WIDTH, -(-sizes.values // WIDTH) * WIDTH
    keys = -(-sizes.keys // ROWS) * ROWS
    of_e = np.arange(max(keys, LANES))
    return Scratch(
        np.zeros((keys, e), np.float32), np.zeros((keys, v), np.float32), np.zeros((LANES, e), np.float32),
        np.zeros((LANES, v), np.float32), np.zeros((max(e, v), LANES), np.float32),
        np.zeros((keys, LANES), np.float32), np.arange(2) * WIDTH, np.arange(max(e, v, WIDTH)) * LANES,
        of_e * e, of_e * v, np.zeros(ROWS, np.float32),
    )  # fmt: skip


@inline
def _seen(i, keys, causal):
    """How many keys the block of queries from i on looks at."""
    return min(keys, i + LANES) if causal else keys


# -- forward ---------------------------------------------------------------------------------------


@inner
def _largest(scores, tops):
    """The largest of each lane; FOUR rows at a time, which need not wait for each other."""
    tops[:] = -np.inf
    for k in range(0, len(scores), FOUR):
        a, b, c, d = scores[k], scores[k + 1], scores[k + 2], scores[k + 3]
        for lane in range(LANES):
            ab = a[lane] if a[lane] > b[lane] else b[lane]
            cd = c[lane] if c[lane] > d[lane] else d[lane]
            top = ab if ab > cd else cd
            tops[lane] = top if top > tops[lane] else tops[lane]


@inner(fastmath={"contract"})
def _softmax(scores, tops, totals):
    """scores (keys, LANES) become e^(score - top); tops, totals: the largest and the sum of each lane."""
    _largest(scores, tops)
    totals[:] = 0
    for lane in range(LANES):
        tops[lane] = f32(0) if tops[lane] == -np.inf else tops[lane]
    for k in range(len(scores)):
        for lane in range(LANES):
            w = _weight(scores[k, lane] - tops[lane])
            scores[k, lane] = w
            totals[lane] += w


@inner
def _multiply(scores, factors, i):
    for lane in range(min(LANES, len(factors) - i)):
        row = factors[i + lane]
        for k in range(len(scores)):
            scores[k, lane] *= row[k]


@compiled
def _forward(places, sizes, biases, bias_of, keeps, keep_of, scale, causal, log_totals, start, stop):
    """places of q, k, v, out. bias_of, keep_of: for each head which bias and which factors it takes."""
    s, tops, totals = _scratch(sizes), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for head in range(start, stop):
        bias, keep, starts = biases[bias_of[head]], keeps[keep_of[head]], _starts(places, sizes, head)
        _read(starts[1], places[1, 3], 0, sizes.keys, sizes.features, f32(1), s.k)
        _read(starts[2], places[2, 3], 0, sizes.keys, sizes.values, f32(1), s.v)
        for i in range(0, sizes.queries, LANES):
            seen, count = _seen(i, sizes.keys, causal), min(LANES, sizes.queries - i)
            _score(starts[0], places[0, 3], sizes, i, seen, scale, bias, causal, s)
            filled = -(-seen // ROWS) * ROWS
            s.scores[seen:filled] = -np.inf
            _softmax(s.scores[:filled], tops, totals)
            for lane in range(count):
                total = totals[lane]
                log_totals[head, i + lane] = np.inf if total == 0 else tops[lane] + np.log(total)
                totals[lane] = f32(0) if total == 0 else f32(1) / total
            if len(keep):
                _multiply(s.scores[:seen], keep, i)
            _product(s.scores, 1, LANES, s.v, s.of_v, s.g, LANES, seen, s)
            _write(s.g, starts[3], places[3, 3], i, sizes.values, totals[:count])


# -- backward --------------------------------------------------------------------------------------


@inner(fastmath={"reassoc", "contract"})
def _sums_of_products(a, b, sums):
    for i in range(len(a)):
        x, y, total = a[i], b[i], f32(0)
        for j in range(len(x)):
            total += x[j] * y[j]
        sums[i] = total


@inner(fastmath={"contract"})
def _gradient_of_scores(scores, dweights, log_totals, sums):
    """scores become weights, and the gradients of the weights those of the scores."""
    for k in range(len(scores)):
        for lane in range(LANES):
            w = _weight(scores[k, lane] - log_totals[lane])
            scores[k, lane] = w
            dweights[k, lane] = w * (dweights[k, lane] - sums[lane])


@inner
def _add_product(a, b, steps, part, total, seen, s):
    """total[k] += sum over lanes of a[k, lane] b[lane], for the keys that are seen."""
    _product(a, LANES, 1, b, steps, part, seen, LANES, s)
    add, to = part[:seen].reshape(-1), total[:seen].reshape(-1)
    for i in range(len(add)):
        to[i] += add[i]


@compiled
def _backward(places, sizes, biases, bias_of, keeps, keep_of, scale, causal, log_totals, start, stop):
    """places of q, k, v, out, g, dq, dk, dv."""
    s = _scratch(sizes)
    dk, dv, k_part, v_part = np.zeros_like(s.k), np.zeros_like(s.v), np.zeros_like(s.k), np.zeros_like(s.v)
    dweights, kept = np.zeros_like(s.scores), np.zeros_like(s.scores) if keeps.size else s.scores
    logs, sums, out, dq = np.empty(LANES, np.float32), np.zeros(LANES, np.float32), s.g.copy(), s.q.copy()
    scales, ones = np.full(LANES, scale, np.float32), np.ones(sizes.keys, np.float32)
    for head in range(start, stop):
        bias, keep, starts = biases[bias_of[head]], keeps[keep_of[head]], _starts(places, sizes, head)
        _read(starts[1], places[1, 3], 0, sizes.keys, sizes.features, f32(1), s.k)
        _read(starts[2], places[2, 3], 0, sizes.keys, sizes.values, f32(1), s.v)
        dk[:], dv[:] = 0, 0
        for i in range(0, sizes.queries, LANES):
            seen, left = _seen(i, sizes.keys, causal), sizes.queries - i
            _score(starts[0], places[0, 3], sizes, i, seen, scale, bias, causal, s)
            _read(starts[3], places[3, 3], i, left, sizes.values, f32(1), out)
            _read(starts[4], places[4, 3], i, left, sizes.values, f32(1), s.g)
            _sums_of_products(out, s.g, sums)
            for lane in range(LANES):
                logs[lane] = log_totals[head, i + lane] if lane < left else np.inf
            _turn(s.g, s.of_v, s)
            _product(s.v, s.v.shape[1], 1, s.turned, s.of_lanes, dweights, seen, sizes.values, s)
            if len(keep):
                _multiply(dweights[:seen], keep, i)
            _gradient_of_scores(s.scores[:seen], dweights[:seen], logs, sums)
            if len(keep):
                copy(s.scores, kept)
                _multiply(kept[:seen], keep, i)
            _add_product(kept, s.g, s.of_v, v_part, dv, seen, s)
            _add_product(dweights, s.q, s.of_e, k_part, dk, seen, s)
            _product(dweights, 1, LANES, s.k, s.of_e, dq, LANES, seen, s)
            _write(dq, starts[5], places[5, 3], i, sizes.features, scales[:left])
        _write(dk, starts[6], places[6, 3], 0, sizes.features, ones)
        _write(dv, starts[7], places[7, 3], 0, sizes.values, ones)


# -- what is called --------------------------------------------------------------------------------


def _like(x, *shape):
    """An empty array of this shape, its axes in memory in the order of those of x, if possible."""
    if x.ndim == len(shape) <= 4:
        out = np.empty_like(x, shape=shape)
        if out.strides[-1] == 4:
            return out
    return np.empty(shape, np.float32)


def _place(x, batch):
    """Address and strides of samples, heads and rows; and the array, which must be kept meanwhile."""
    if x.strides[-1] != 4:
        x = x.copy()
    x = np.broadcast_to(x, (*batch, *x.shape[-2:]))
    if x.ndim != 4:
        x = x.reshape(-1, *x.shape[-3:]) if x.ndim > 4 else x[(None,) * (4 - x.ndim)]
    return (x.__array_interface__["data"][0], *x.strides[:3]), x


def _for_heads(x, batch, queries, keys):
    """Bias or factors as (n, L, S), and for each head which of the n it takes; without any, an empty one."""
    if x is None:
        return np.zeros((1, 0, 0), np.float32), np.zeros(math.prod(batch), np.int64)
    x = np.atleast_2d(x)
    lead = x.shape[:-2]
    numbers = np.broadcast_to(np.arange(math.prod(lead)).reshape(lead), batch)
    whole = x if x.shape[-2:] == (queries, keys) else np.broadcast_to(x, (*lead, queries, keys))
    whole = np.require(whole, requirements="CW")  # one type of array, so that one kernel is compiled
    return whole.reshape(-1, queries, keys), numbers.flatten()


def _suit(*arrays) -> bool:
    """Are these arrays what the kernels here are written for?"""
    return all(a is None or (a.size > 0 and a.dtype is FLOAT32) for a in arrays)


def _run(kernel, work, arrays, bias, keep, scale, causal, log_total):
    """The kernel on all heads of these arrays: q, k, v and more."""
    q, k, v, *_ = arrays
    batch = log_total.shape[:-1]
    sizes = Sizes(batch[-1] if batch else 1, q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1])
    places, alive = zip(*[_place(a, batch) for a in arrays], strict=True)
    biases, keeps = [_for_heads(a, batch, sizes.queries, sizes.keys) for a in (bias, keep)]
    rows = log_total.reshape(-1, sizes.queries)
    constants = np.array(places), sizes, *biases, *keeps, f32(scale), causal, rows
    work *= log_total.size * sizes.keys * (sizes.features + sizes.values)
    split(len(rows), work, kernel, *constants)
    del alive


def attention(q, k, v, bias, keep, scale, causal):
    """`reference.attention`."""
    if not _suit(q, k, v, bias, keep):
        return reference.attention(q, k, v, bias, keep, scale, causal)
    batch = np.broadcast_shapes(*[a.shape[:-2] for a in (q, k, v, bias) if a is not None])
    out, log_total = _like(q, *batch, q.shape[-2], v.shape[-1]), np.empty((*batch, q.shape[-2]), np.float32)
    _run(_forward, 2, (q, k, v, out), bias, keep, scale, causal, log_total)
    return out, log_total


def attention_backward(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """`reference.attention_backward`."""
    if not _suit(g, q, k, v, bias, keep):
        return reference.attention_backward(g, q, k, v, bias, keep, scale, causal, out, log_total)
    gradients = [_like(x, *log_total.shape[:-1], *x.shape[-2:]) for x in (q, k, v)]
    _run(_backward, 5, (q, k, v, out, g, *gradients), bias, keep, scale, causal, log_total)
    return tuple(gradients)
