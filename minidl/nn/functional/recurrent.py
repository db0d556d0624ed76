"""One recurrent layer in one direction over whole sequences: a linear map of all inputs, then one op.

Rows are packed (see `nn.utils.rnn`): R rows of N sequences; D features, H hidden units, P units of h (H, or
fewer with a projection). `way` is batch_sizes (T,), how many rows each step has, and reverse: are the steps
taken from the last to the first? rnn also has relu: instead of tanh?
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from minidl import kernels
from minidl.nn.functional.layers import linear
from minidl.tensor import op, same_dtype


def rnn(x, states, w_ih, w_hh, b_ih=None, b_hh=None, **way):
    """x (R, D), [h_0 (N, H)] -> h of every step (R, H), [last h (N, H)]. See `nn.RNN`."""
    a = linear(x, w_ih, None if b_ih is None else b_ih + b_hh)
    return _unpacked(_rnn_sequence(a, *states, w_hh, **way), x, states)


def lstm(x, states, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None, **way):
    """x (R, D), [h_0 (N, P), c_0 (N, H)] -> h of every step (R, P), [last h, last c]. See `nn.LSTM`."""
    a = linear(x, w_ih, None if b_ih is None else b_ih + b_hh)
    return _unpacked(_lstm_sequence(a, *states, w_hh, w_hr, **way), x, states)


def gru(x, states, w_ih, w_hh, b_ih=None, b_hh=None, **way):
    """x (R, D), [h_0 (N, H)] -> h of every step (R, H), [last h (N, H)]. See `nn.GRU`."""
    a = linear(x, w_ih, b_ih)
    return _unpacked(_gru_sequence(a, *states, w_hh, b_hh, **way), x, states)


def _unpacked(flat, x, states):
    """What a sequence op put into one array: h of every step, and the last states."""
    h, *last = _parts(flat, (len(x), states[0].shape[1]), *(s.shape for s in states))
    return h, last


def _parts(flat, *shapes):
    """The arrays (or tensors) of these shapes that lie one after the other in `flat`."""
    bounds = itertools.accumulate(map(math.prod, shapes), initial=0)
    return [flat[a:b].reshape(s) for (a, b), s in zip(itertools.pairwise(bounds), shapes, strict=True)]


def _sequence(name, way, *arrays):
    """Output and vjp of the op with this kernel, whose outputs are put one after the other into one array."""
    same_dtype(*(x for x in arrays if x is not None))
    forward, backward = (kernels.find(name + end, arrays[0]) for end in ("", "_backward"))
    *outputs, saved = forward(*arrays, **way)
    shapes = [x.shape for x in outputs]
    flat = np.concatenate([x.ravel() for x in outputs])
    return flat, lambda g: backward(*_parts(g, *shapes), saved, **way)


@op
def _rnn_sequence(a, h0, w_hh, **way):
    return _sequence("rnn_sequence", way, a, h0, w_hh)


@op
def _lstm_sequence(a, h0, c0, w_hh, w_hr, **way):
    return _sequence("lstm_sequence", way, a, h0, c0, w_hh, w_hr)


@op
def _gru_sequence(a, h0, w_hh, b_hh, **way):
    return _sequence("gru_sequence", way, a, h0, w_hh, b_hh)
