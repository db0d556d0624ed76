"""Recurrent layers over whole sequences: one launch a step, and nothing else in the loop.

    all steps at once     gates = x W_ih^T                    one large product
    for step in order     product with W_hh, cell             one kernel (cells.py)
                          h -> out; h, c -> where the next step, or the last state, looks for them

    backward
    for step from last    product with W_hh^T, cell           one kernel: da, the gradient of the sums
    all steps at once     dx, dW_ih, dW_hh, db from da        a product each

A launch takes some microseconds, as long as a usual step has to do. So there is no copy between steps, no sum
with a bias, no local derivative as a kernel of its own. Each state is written into the rows from which its
reader takes it: `out`, and `before`, h_{t-1} for every row, with which the gradient of W_hh is one product.
Only where sequences begin are rows copied, from h_0. A step so large that its product is what takes the time
has two launches: the product comes from `products.py`, with tiles that read the weights less often.

The host waits for nothing and decides by batch_sizes alone, so that a CUDA graph can hold it all. Packed
rows, names and shapes are as in `kernels/reference/recurrent.py`.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minidl.kernels.cuda import cells
from minidl.kernels.cuda.array import CudaArray, contiguous, copy_into, empty, zeros
from minidl.kernels.cuda.cells import ROWS, THREADS, UNITS
from minidl.kernels.cuda.driver import SCALARS
from minidl.kernels.cuda.pointwise import is_aligned
from minidl.kernels.cuda.products import matmul

__all__ = [
    "gru_sequence", "gru_sequence_backward", "lstm_sequence", "lstm_sequence_backward",
    "rnn_sequence", "rnn_sequence_backward",
]  # fmt: skip

FUSED = 2**27
"""Multiply-adds of a step up to which one launch beats two. Beyond, small tiles wait for the L2 cache: they
read half a byte for each multiply-add, three times what a large tile reads. (An estimate, for an H100.)"""


# -- steps -----------------------------------------------------------------------------------------


class Step(NamedTuple):
    """Its rows, start ... start + n, and those of the step that is computed after it (n_after 0: none is)."""

    start: int
    n: int
    after: int
    n_after: int


def steps_of(batch_sizes: np.ndarray, reverse: bool) -> list[Step]:
    """The steps in the order in which they are computed.

    >>> steps_of(np.array([3, 1]), reverse=False)
    [Step(start=0, n=3, after=3, n_after=1), Step(start=3, n=1, after=0, n_after=0)]
    """
    starts = np.cumsum(batch_sizes) - batch_sizes
    order = [(start, n) for start, n in zip(starts.tolist(), batch_sizes.tolist(), strict=True) if n]
    return [Step(*now, *after) for now, after in pairwise([*(order[::-1] if reverse else order), (0, 0)])]


def _beginnings(steps: list[Step]) -> Iterator[tuple[slice, slice]]:
    """(rows, sequences) of those that begin at the same step: all at the first, unless time is reversed."""
    begun = 0
    for step in steps:
        if step.n > begun:
            yield slice(step.start + begun, step.start + step.n), slice(begun, step.n)
            begun = step.n


def _run(make: Callable, option: tuple, x: CudaArray, w: CudaArray, rows: tuple, step: Step, *args) -> None:
    """Launch one step.

    Args:
        make: makes the kernel for a type, a chunk of k, four numbers at a time or one, and `option`.
        x, w, rows: the factors of the step's product, w (G * units, depth), and (first, number) of x's rows,
            of which only those are multiplied whose sequence is in this step.
        args: what the kernel takes from its argument `units` on, without depth, start and n.
    """
    units, *args = args
    first, limit, depth = rows[0], min(rows[1], step.n), w.shape[1]
    number, chunk = SCALARS[w.dtype], 0
    if step.n * w.size <= FUSED:
        chunk = cells.chunk_of(number, len(w) // units, depth)
    elif limit:
        x, first = matmul(x[first : first + limit], w.T), 0
    wide = chunk > 0 and depth % 4 == 0 and is_aligned(x) and is_aligned(w)
    grid = (-(-units // UNITS), -(-step.n // ROWS))
    make(number, chunk, wide, *option)[grid, THREADS](
        x, w, first, limit, units, depth, step.start, step.n, *args
    )


# -- around the loop -------------------------------------------------------------------------------

FLOATS = [{np.dtype(np.float32)}, {np.dtype(np.float64)}]


def _packed(name: str, *arrays: CudaArray | None) -> list[CudaArray | None]:
    """The arrays row by row, if they are floats of one type on the device."""
    given = [a for a in arrays if a is not None]
    if not all(isinstance(a, CudaArray) for a in given) or {a.dtype for a in given} not in FLOATS:
        kinds = ", ".join(f"{type(a).__name__} {a.dtype} {a.shape}" for a in given)
        raise TypeError(
            f"{name}({kinds}): arrays on the GPU, floats of one dtype, are needed. Fix: x.to('cuda') or "
            "x.float()"
        )
    return [a if a is None else contiguous(a) for a in arrays]


def _bias(w: CudaArray, *biases: CudaArray | None) -> CudaArray:
    """The sum of those that are not None."""
    first, *others = [b for b in biases if b is not None] or [zeros(len(w), w.dtype)]
    return sum(others, first)


def _before(state: CudaArray, steps: list[Step], n_rows: int) -> CudaArray:
    """Room for the state before each row; the first of each sequence is there already."""
    before = empty((n_rows, state.shape[1]), state.dtype)
    for rows, sequences in _beginnings(steps):
        copy_into(state[sequences], before[rows])
    return before


def _to_first_state(da: CudaArray, w_hh: CudaArray, dh: CudaArray, steps: list[Step], add: bool) -> None:
    """dh = what comes through the product to the initial states; with `add`, besides what is in dh."""
    n = max((step.n for step in steps), default=0)
    if not n:
        return
    first = empty((n, da.shape[1]), da.dtype)
    for rows, sequences in _beginnings(steps):
        copy_into(da[rows], first[sequences])
    product = matmul(first, w_hh)
    copy_into(product + dh[:n] if add else product, dh[:n])


def _to_inputs(da, x, w_ih, input_gradient):
    """Gradients of x, w_ih and b_ih from that of W_ih x_t + b_ih."""
    return matmul(da, w_ih) if input_gradient else None, matmul(da.T, x), da.sum(0)


# -- Elman's network -------------------------------------------------------------------------------


def rnn_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse=False, relu=False):
    """h of every step (R, H), last h (N, H), and what the backward needs. x (R, D), h0 (N, H)."""
    x, h0, w_ih, w_hh, b_ih, b_hh = _packed("rnn_sequence", x, h0, w_ih, w_hh, b_ih, b_hh)
    steps, last = steps_of(batch_sizes, reverse), h0.copy()
    out, before, bias = matmul(x, w_ih.T), _before(h0, steps, len(x)), _bias(w_ih, b_ih, b_hh)
    for step in steps:
        _run(
            cells.rnn_kernel, (relu,), before, w_hh, step[:2], step,
            h0.shape[1], *step[2:], bias, out, before, last,
        )  # fmt: skip
    return out, last, (x, w_ih, w_hh, out, before)


def rnn_sequence_backward(g, dh, saved, batch_sizes, reverse=False, relu=False, input_gradient=True):
    """Gradients of all arguments from those of h of every step, g (R, H), and the last h, dh (N, H)."""
    x, w_ih, w_hh, out, before = saved
    g, dh = _packed("rnn_sequence_backward", g, dh.copy())
    steps, da, w = steps_of(batch_sizes, reverse), empty(out.shape, out.dtype), contiguous(w_hh.T)
    for step in reversed(steps):
        _run(cells.rnn_backward_kernel, (relu,), da, w, step[2:], step, out.shape[1], g, dh, out, da)
    _to_first_state(da, w_hh, dh, steps, add=False)
    dx, dw_ih, db = _to_inputs(da, x, w_ih, input_gradient)
    return dx, dh, dw_ih, matmul(da.T, before), db, db


# -- long short-term memory ------------------------------------------------------------------------


def lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, batch_sizes, reverse=False):
    """h of every step (R, P), last h (N, P) and c (N, H), and what the backward needs.

    x (R, D), h0 (N, P), c0 (N, H), w_hr (P, H) or None: then P is H.
    """
    x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr = _packed(
        "lstm_sequence", x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr
    )
    steps, last, c_last, width = steps_of(batch_sizes, reverse), h0.copy(), c0.copy(), c0.shape[1]
    gates, bias = matmul(x, w_ih.T), _bias(w_ih, b_ih, b_hh)
    before, c_before = (_before(state, steps, len(x)) for state in (h0, c0))
    tanh_c, m = (empty((len(x), width), x.dtype) for _ in range(2))  # m = o tanh(c), h before projection
    out = m if w_hr is None else empty((len(x), h0.shape[1]), x.dtype)
    for step in steps:
        _run(
            cells.lstm_kernel, (w_hr is not None,), before, w_hh, step[:2], step,
            width, *step[2:], bias, gates, tanh_c, c_before, c_last, m, before, last,
        )  # fmt: skip
        if w_hr is not None:
            _run(
                cells.projection_kernel, (), m, w_hr, step[:2], step,
                len(w_hr), *step[2:], out, before, last,
            )  # fmt: skip
    return out, last, c_last, (x, w_ih, w_hh, w_hr, gates, tanh_c, c_before, before, m)


def lstm_sequence_backward(g, dh, dc, saved, batch_sizes, reverse=False, input_gradient=True):
    """Gradients of all arguments; that of w_hr is None without one.

    Args:
        g, dh, dc: gradients of h of every step (R, P), of the last h (N, P) and of the last c (N, H).
    """
    x, w_ih, w_hh, w_hr, gates, tanh_c, c_before, before, m = saved
    g, dh, dc = _packed("lstm_sequence_backward", g, dh.copy(), dc.copy())
    steps, width, w = steps_of(batch_sizes, reverse), tanh_c.shape[1], contiguous(w_hh.T)
    da, dout = empty(gates.shape, g.dtype), g
    back, rest = cells.lstm_backward_kernel, (dc, gates, tanh_c, c_before, da)
    if w_hr is not None:
        dout, w_r = empty(g.shape, g.dtype), contiguous(w_hr.T)
    for step in reversed(steps):
        if w_hr is None:
            _run(back, (False,), da, w, step[2:], step, width, g, dh, *rest)
        else:
            _run(cells.projection_backward_kernel, (), da, w, step[2:], step, len(w_hr), g, dh, dout)
            _run(back, (True,), dout, w_r, step[:2], step, width, g, dh, *rest)
    _to_first_state(da, w_hh, dh, steps, add=False)
    dx, dw_ih, db = _to_inputs(da, x, w_ih, input_gradient)
    dw_hr = None if w_hr is None else matmul(dout.T, m)
    return dx, dh, dc, dw_ih, matmul(da.T, before), db, db, dw_hr


# -- gated recurrent unit --------------------------------------------------------------------------


def gru_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse=False):
    """h of every step (R, H), last h (N, H), and what the backward needs. x (R, D), h0 (N, H)."""
    x, h0, w_ih, w_hh, b_ih, b_hh = _packed("gru_sequence", x, h0, w_ih, w_hh, b_ih, b_hh)
    steps, last, width = steps_of(batch_sizes, reverse), h0.copy(), h0.shape[1]
    gates, before = matmul(x, w_ih.T), _before(h0, steps, len(x))
    b_ih, b_hh = _bias(w_ih, b_ih), _bias(w_hh, b_hh)
    inner, out = (empty((len(x), width), x.dtype) for _ in range(2))
    for step in steps:
        _run(
            cells.gru_kernel, (), before, w_hh, step[:2], step,
            width, *step[2:], b_ih, b_hh, gates, inner, out, before, last,
        )  # fmt: skip
    return out, last, (x, w_ih, w_hh, gates, inner, before)


def gru_sequence_backward(g, dh, saved, batch_sizes, reverse=False, input_gradient=True):
    """Gradients of all arguments from those of h of every step, g (R, H), and the last h, dh (N, H)."""
    x, w_ih, w_hh, gates, inner, before = saved
    g, dh = _packed("gru_sequence_backward", g, dh.copy())
    steps, w = steps_of(batch_sizes, reverse), contiguous(w_hh.T)
    du, da = (empty(gates.shape, g.dtype) for _ in range(2))  # u = W_hh h + b_hh
    for step in reversed(steps):
        _run(
            cells.gru_backward_kernel, (), du, w, step[2:], step,
            inner.shape[1], g, dh, gates, inner, before, du, da,
        )  # fmt: skip
    _to_first_state(du, w_hh, dh, steps, add=True)
    dx, dw_ih, db_ih = _to_inputs(da, x, w_ih, input_gradient)
    return dx, dh, dw_ih, matmul(du.T, before), db_ih, du.sum(0)
