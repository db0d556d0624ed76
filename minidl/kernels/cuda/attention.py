"""Attention that never stores its scores (FlashAttention: Dao et al. 2022).

    block: 64 queries of one head
      for 64 keys after the other                          causal: only up to the queries' own
          s = q k^T, scaled, + bias                        64 x 64 scores, in registers
          top' = max(top, s)                               the largest score of each query so far
          acc, total *= e^(top - top')                     what came before, on the new scale
          weights = e^(s - top')                           registers -> shared memory
          total += sum(weights);  acc += weights v
      out = acc / total;  log_total = top + log(total)

A chain of kernels would write the L x S scores and read them several times: for long sequences that is most
of the time and of the memory. Here they exist a tile at a time. Softmax needs no second look at them, because
a sum of exponentials can be moved to a larger maximum later (Milakov & Gimelshein 2018).

`attention_parts.py` has the products, `attention_backward.py` the gradients. float64, and heads of more than
128 numbers, go through `attention_chain.py`, which does store the scores.
"""

import functools
import math

import numpy as np

from minidl.kernels.cuda import attention_chain
from minidl.kernels.cuda.array import CudaArray, empty, full, zeros
from minidl.kernels.cuda.attention_backward import attention_backward, attention_backward_bias
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
    rows_of,
    threads_of,
    tile_of_block,
    tile_writer,
    tiles,
    weighted_sums,
    width_of,
)
from minidl.kernels.cuda.driver import cuda, device, float32, int32, kernel
from minidl.kernels.cuda.formulas import formula
from minidl.kernels.cuda.instructions import load, store
from minidl.kernels.cuda.reductions import fold_lanes
from minidl.kernels.cuda.softmax import larger

__all__ = ["attention", "attention_backward", "attention_backward_bias"]


@functools.cache
def online_softmax(rows: int, columns: int):
    """Device code: scores s (rows, 8) -> weights; acc, top, total move on to the new maximum.

    top is shared by the threads of a row, total a sum over the thread's own columns.
    """
    lowest = float32(-math.inf)
    largest = fold_lanes(larger, SHARING)

    @device
    def softmax(s, acc, top, total):
        for p in range(rows):
            highest = top[p]
            for q in range(8):
                highest = larger(s[p, q], highest)
            highest = largest(highest)
            base = float32(0) if highest == lowest else highest
            factor = math.exp2(top[p] - base)
            top[p] = highest
            total[p] *= factor
            for q in range(8):
                s[p, q] = math.exp2(s[p, q] - base)
                total[p] += s[p, q]
            for c in range(columns):
                acc[p, c] *= factor

    return softmax


@functools.cache
def keeper(rows: int):
    """Device code: weights s (rows, 8) times the factors of dropout, keep (.., L, S)."""

    @device
    def multiply(s, keep, begin, row, column, queries, keys):
        for p in range(rows):
            query = int32(row + p // 4 * 32 + p % 4)
            for q in range(8):
                key = int32(column + q // 4 * 32 + q % 4)
                if query < queries and key < keys:
                    s[p, q] *= load(keep, int32(begin + query * keys + key))

    return multiply


@functools.cache
def logarithms(rows: int):
    """Device code: log_total of a thread's rows; total becomes its inverse, 0 for a query without keys."""
    total_of = fold_lanes(formula("add", float32), SHARING)
    no_key, to_base_e = float32(math.inf), float32(1 / LOG2E)

    @device
    def finish(top, total, log_total, begin, row, queries, j):
        for p in range(rows):
            r = int32(row + p // 4 * 32 + p % 4)
            sum_of_row = total_of(total[p])
            result, total[p] = no_key, float32(0)
            if sum_of_row != float32(0):
                result = top[p] * to_base_e + math.log(sum_of_row)
                total[p] = float32(1) / sum_of_row
            if r < queries and j == 0:
                store(log_total, begin + r, result)

    return finish


RESIDENT = {32: 4, 64: 4, 128: 3}
"""Blocks that a multiprocessor has registers for, for each compiled size of heads: 8 or 12 warps."""


@functools.cache
def attention_kernel(width: int, wide: tuple[bool, bool], causal: bool, biased: bool, dropped: bool):
    """Attention for heads v of up to `width` numbers.

    wide: may the rows of q and k, those of v and out, be accessed four numbers at a time?
    """
    rows, columns, blocks = rows_of(width), width // SHARING, RESIDENT[width]
    threads = threads_of(rows)
    right_size = PIECES * max(width, SIDE) // SIDE
    block_of = tile_of_block(causal)
    products, sums = row_products(rows, wide[0]), weighted_sums(rows, width, wide[1])
    scores = finish_scores(rows, biased, causal, False)
    softmax, keep_some = online_softmax(rows, columns), keeper(rows)
    to_tile, finish, write = tile_writer(rows), logarithms(rows), result_writer(rows, width, wide[1])
    lowest = float32(-math.inf)

    @kernel(launch_bounds=(threads, blocks))
    def flash_attention(
        q, k, v, bias, keep, out, log_total, queries, keys, depth, size, scale, matrix_q, matrix_k, matrix_v,
        inner, outer_step, inner_step, query_step, key_step,
    ):  # fmt: skip
        left = cuda.shared.array(PIECES, float32, 16)
        right = cuda.shared.array(right_size, float32, 16)
        tile = cuda.shared.array(TILE, float32, 16)
        s = cuda.local.array((rows, 8), float32)
        acc = cuda.local.array((rows, columns), float32)
        a = cuda.local.array(rows, float32)
        b = cuda.local.array(16, float32)
        top = cuda.local.array(rows, float32)
        total = cuda.local.array(rows, float32)
        t = int32(cuda.threadIdx.x)
        i, j = corner(t)
        z, query0 = block_of(int32(cuda.blockIdx.x), queries)
        row = int32(query0 + i)
        for p in range(rows):
            top[p], total[p] = lowest, float32(0)
            for c in range(columns):
                acc[p, c] = float32(0)
        begin_q, begin_k, begin_v = int32(z * matrix_q), int32(z * matrix_k), int32(z * matrix_v)
        begin_bias = bias_begin(z, inner, outer_step, inner_step)
        begin_keep = int32(z * queries * keys)
        end = int32(min(keys, query0 + SIDE)) if causal else int32(keys)
        key0 = int32(0)
        while key0 < end:
            products(
                s, a, b, left, right, q, begin_q, query0, queries, k, begin_k, key0, keys, depth, i, j, t
            )
            scores(s, bias, begin_bias, row, key0 + j, queries, keys, scale, query_step, key_step)
            softmax(s, acc, top, total)
            if dropped:
                keep_some(s, keep, begin_keep, row, int32(key0 + j), queries, keys)
            to_tile(s, tile, i, j)
            sums(acc, a, b, tile, right, v, begin_v, key0, keys, size, i, j, t)
            key0 = int32(key0 + SIDE)
        finish(top, total, log_total, int32(z * queries), row, queries, j)
        write(acc, total, out, int32(z * queries * size), row, queries, size, j)

    return flash_attention


def _flash(q, k, v, bias, keep, scale, causal, lead) -> tuple[CudaArray, CudaArray]:
    """out (lead, L, V), log_total (lead, L)."""
    (queries, depth), (keys, size) = q.shape[-2:], v.shape[-2:]
    out, log_total = empty((*lead, queries, size)), empty((*lead, queries))
    (q, matrix_q), (k, matrix_k), (v, matrix_v) = (batched(x, lead) for x in (q, k, v))
    added = bias_of(bias, lead, q)
    dropped = q if keep is None else batched(keep, lead, every=True)[0]
    width, wide = width_of(size), (is_wide(depth, q, k), is_wide(size, v, out))
    run = attention_kernel(width, wide, bool(causal), bias is not None, keep is not None)
    run[math.prod(lead) * tiles(queries), threads_of(rows_of(width))](
        q, k, v, added.array, dropped, out, log_total, queries, keys, depth, size, float(scale * LOG2E),
        matrix_q, matrix_k, matrix_v, *added.steps,
    )  # fmt: skip
    return out, log_total


def attention(q, k, v, bias, keep, scale, causal):
    """`reference.attention`: softmax(scale q k^T + bias) v (Vaswani et al. 2017, eq. 1).

    Raises:
        TypeError: q, k, v are not floats of one type.
    """
    checked("attention", q, k, v)
    of_scores = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    lead = np.broadcast_shapes(of_scores, v.shape[:-2])
    shape, log_shape = (*lead, q.shape[-2], v.shape[-1]), (*of_scores, q.shape[-2])
    if not math.prod(log_shape) or not math.prod(lead) or not k.shape[-2]:
        return zeros(shape, q.dtype), full(log_shape, np.inf, q.dtype)
    if not fits(q, v):
        return attention_chain.attention(q, k, v, bias, keep, scale, causal)
    out, log_total = _flash(q, k, v, bias, keep, scale, causal, lead)
    if of_scores != lead:  # only v has these axes: the scores are the same along them
        own = (1,) * (len(lead) - len(of_scores)) + of_scores
        log_total = log_total[tuple(slice(0, n) for n in own)].reshape(log_shape)
    return out, log_total
