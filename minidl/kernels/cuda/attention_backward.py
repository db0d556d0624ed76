"""The gradients of attention, tile by tile like attention itself (Dao et al. 2022, algorithm 4).

With s the scores, w = e^(s - log_total) the weights before dropout, delta = sum_v(g out) for each query:

    dw = g v^T keep,   ds = w (dw - delta),   dq = scale ds k,   dk = scale ds^T q,   dv = (w keep)^T g

    block: 64 rows of       dq               dk               dv
      for 64                keys             queries          queries          after the other
          s             =   q k^T            k q^T            k q^T
          dw            =   g v^T            v g^T
          acc          +=   ds k             ds q             (w keep) g       through shared memory

So it is one kernel with its operands in three orders. It computes the weights again, from q, k and log_total:
that is cheaper than to have stored them. Each gradient belongs to one block, which adds in a fixed order: no
atomics, the same bits each time. For that the scores are computed three times. To add up dk and dv in one
kernel would save one product of eight, but takes so many registers that fewer blocks run side by side.
Causal: tiles in which no query sees a key are skipped.
"""

import functools
import math

import numpy as np

from minidl.kernels.cuda import attention_chain
from minidl.kernels.cuda.array import contiguous, empty, zeros
from minidl.kernels.cuda.attention_parts import (
    LOG2E,
    PIECES,
    SHARING,
    SIDE,
    TILE,
    batched,
    bias_begin,
    bias_of,
    checked,
    corner,
    finish_scores,
    fits,
    is_wide,
    result_writer,
    row_products,
    threads_of,
    tile_of_block,
    tile_writer,
    tiles,
    weighted_sums,
    width_of,
)
from minidl.kernels.cuda.driver import cuda, device, float32, int32, kernel
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, store, udiv
from minidl.kernels.cuda.reductions import fold_lanes

__all__ = ["attention_backward", "attention_backward_bias"]

WARP = 32
SUM_THREADS = 256
"""Threads of a block of `row_sums`: eight rows."""
ROWS = 4
"""Rows that a thread holds: of scores, of their gradients, and of the result."""
THREADS = threads_of(ROWS)


# -- pieces --------------------------------------------------------------------------------------------

_total_of_warp = fold_lanes(formula("add", float32), WARP)


@kernel
def row_sums(g, out, delta, rows, columns):
    """delta (rows) = the sum of g out (rows, columns) along each row, a warp each."""
    thread = int32(cuda.grid(1))
    row = int32(udiv(thread, WARP))
    total = float32(0)
    if row < rows:
        column = int32(thread & (WARP - 1))
        while column < columns:
            at = int32(row * columns + column)
            total += load(g, at) * load(out, at)
            column = int32(column + WARP)
    total = _total_of_warp(total)
    if row < rows and thread & (WARP - 1) == 0:
        store(delta, row, total)


@functools.cache
def gradient_of_scores(flipped: bool, of_values: bool, dropped: bool):
    """Device code: scores s -> weights after dropout; unless of_values is all that is wanted, dw -> ds.

    flipped: the rows of s are keys, not queries.
    """
    own, others = (8, ROWS) if flipped else (ROWS, 8)  # queries and keys of a thread
    to_base_2 = float32(LOG2E)

    @device
    def gradients(s, ds, keep, log_total, delta, z, row, column, queries, keys):
        query0, key0 = (column, row) if flipped else (row, column)
        for e in range(own):
            query = int32(query0 + e // 4 * 32 + e % 4)
            shift, mean = float32(0), float32(0)
            if query < queries:
                shift = load(log_total, int32(z * queries + query)) * to_base_2
                mean = load(delta, int32(z * queries + query))
            for f in range(others):
                p, q = (f, e) if flipped else (e, f)
                key = int32(key0 + f // 4 * 32 + f % 4)
                weight, factor = math.exp2(s[p, q] - shift), float32(1)
                if dropped and query < queries and key < keys:
                    factor = load(keep, int32((z * queries + query) * keys + key))
                s[p, q] = weight * factor
                if not of_values:
                    ds[p, q] = weight * (ds[p, q] * factor - mean)

    return gradients


# -- the kernel ----------------------------------------------------------------------------------------

RESIDENT = {32: 3, 64: 3, 128: 2}
"""Blocks that a multiprocessor has registers for, for each compiled size of heads ..."""
RESIDENT_MASKED = 2
"""... and where the addresses of a bias or of dropout's factors need registers too."""


@functools.cache
def gradient_kernel(of: str, width: int, wide: tuple[bool, bool], causal: bool, biased: bool, dropped: bool):
    """The gradient of "q", "k" or "v", for heads of up to `width` numbers.

    wide: may rows of the operands of s, of those of dw, be accessed four numbers at a time?
    """
    flipped, of_values, columns = of != "q", of == "v", width // SHARING
    right_size = PIECES * max(width, SIDE) // SIDE
    blocks = RESIDENT_MASKED if biased or dropped else RESIDENT[width]
    products_s, products_dw = row_products(ROWS, wide[0]), row_products(ROWS, wide[1])
    scores = finish_scores(ROWS, biased, causal, flipped)
    gradients = gradient_of_scores(flipped, of_values, dropped)
    to_tile, block_of = tile_writer(ROWS), tile_of_block(causal and not flipped)
    sums, write = weighted_sums(ROWS, width, wide[of_values]), result_writer(ROWS, width, wide[of_values])

    @kernel(launch_bounds=(THREADS, blocks))
    def attention_gradient(
        x, y, x_dw, y_dw, bias, keep, log_total, delta, out, rows, others, depth, size, scale, matrix_x,
        matrix_y, matrix_x_dw, matrix_y_dw, inner, outer_step, inner_step, query_step, key_step,
    ):  # fmt: skip
        left = cuda.shared.array(PIECES, float32, 16)
        right = cuda.shared.array(right_size, float32, 16)
        tile = cuda.shared.array(TILE, float32, 16)
        s = cuda.local.array((ROWS, 8), float32)
        ds = cuda.local.array((ROWS, 8), float32)
        acc = cuda.local.array((ROWS, columns), float32)
        a = cuda.local.array(ROWS, float32)
        b = cuda.local.array(16, float32)
        t = int32(cuda.threadIdx.x)
        i, j = corner(t)
        z, row0 = block_of(int32(cuda.blockIdx.x), rows)
        queries, keys = (others, rows) if flipped else (rows, others)
        for p in range(ROWS):
            for c in range(columns):
                acc[p, c] = float32(0)
        begin_x, begin_y = int32(z * matrix_x), int32(z * matrix_y)
        begin_x_dw, begin_y_dw = int32(z * matrix_x_dw), int32(z * matrix_y_dw)
        begin_bias = bias_begin(z, inner, outer_step, inner_step)
        end = int32(min(others, row0 + SIDE)) if causal and not flipped else int32(others)
        other0 = int32(row0) if causal and flipped else int32(0)
        row = int32(row0 + i)
        while other0 < end:
            products_s(
                s, a, b, left, right, x, begin_x, row0, rows, y, begin_y, other0, others, depth, i, j, t
            )
            if not of_values:
                products_dw(
                    ds, a, b, left, right, x_dw, begin_x_dw, row0, rows, y_dw, begin_y_dw, other0, others,
                    size, i, j, t,
                )  # fmt: skip
            other = int32(other0 + j)
            scores(s, bias, begin_bias, row, other, queries, keys, scale, query_step, key_step)
            gradients(s, ds, keep, log_total, delta, z, row, other, queries, keys)
            if of_values:
                to_tile(s, tile, i, j)
                sums(acc, a, b, tile, right, y_dw, begin_y_dw, other0, others, size, i, j, t)
            else:
                to_tile(ds, tile, i, j)
                sums(acc, a, b, tile, right, y, begin_y, other0, others, depth, i, j, t)
            other0 = int32(other0 + SIDE)
        for p in range(ROWS):
            a[p] = float32(1) if of_values else scale * float32(1 / LOG2E)
        length = int32(size if of_values else depth)
        write(acc, a, out, int32(z * rows * length), row, rows, length, j)

    return attention_gradient


# -- on the host -----------------------------------------------------------------------------------------


def _deltas(g, out):
    """The sum of g out for each query, from packed arrays."""
    delta, size = empty(g.shape[:-1]), g.shape[-1]
    row_sums[-(-delta.size * WARP // SUM_THREADS), SUM_THREADS](g, out, delta, delta.size, size)
    return delta


def _flash_backward(g, q, k, v, bias, keep, scale, causal, out, log_total, lead):
    """dq, dk, dv."""
    (queries, depth), (keys, size), batch = q.shape[-2:], v.shape[-2:], math.prod(lead)
    given = [*(batched(x, lead) for x in (q, k, v)), (contiguous(g), queries * size)]
    (q, _), _, (v, _), (g, _) = given
    wide = (is_wide(depth, q, given[1][0]), is_wide(size, v, g))
    added = bias_of(bias, lead, q)
    variant = wide, bool(causal), bias is not None, keep is not None
    log_total = contiguous(np.broadcast_to(log_total, (*lead, queries)))
    dropped = q if keep is None else batched(keep, lead, every=True)[0]
    shared = added.array, dropped, log_total, _deltas(g, contiguous(out))

    def gradient(of, order, rows, others, length):
        """order: which of q, k, v, g are the operands of the scores and of dw."""
        arrays, steps = zip(*(given["qkvg".index(name)] for name in order), strict=True)
        result, width = empty((*lead, rows, length)), width_of(length)
        gradient_kernel(of, width, *variant)[batch * tiles(rows), THREADS](
            *arrays, *shared, result, rows, others, depth, size, float(scale * LOG2E), *steps, *added.steps
        )
        return result

    return (
        gradient("q", "qkgv", queries, keys, depth),
        gradient("k", "kqvg", keys, queries, depth),
        gradient("v", "kqvg", keys, queries, size),
    )


def attention_backward(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """`reference.attention_backward`.

    Raises:
        TypeError: g, q, k, v are not floats of one type.
    """
    checked("attention_backward", g, q, k, v)
    lead, (queries, depth), (keys, size) = g.shape[:-2], q.shape[-2:], v.shape[-2:]
    if not g.size or not keys:
        shapes = (queries, depth), (keys, depth), (keys, size)
        return tuple(zeros((*lead, *shape), q.dtype) for shape in shapes)
    if not fits(q, v):
        return attention_chain.attention_backward(g, q, k, v, bias, keep, scale, causal, out, log_total)
    return _flash_backward(g, q, k, v, bias, keep, scale, causal, out, log_total, lead)


def attention_backward_bias(g, q, k, v, bias, keep, scale, causal, out, log_total):
    """`reference.attention_backward_bias`; it is as large as the scores, so nothing is saved by tiles."""
    checked("attention_backward_bias", g, q, k, v)
    return attention_chain.attention_backward_bias(g, q, k, v, bias, keep, scale, causal, out, log_total)
