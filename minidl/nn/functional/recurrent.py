"""One recurrent layer in one direction over whole sequences: one op.

Rows are packed (see `nn.utils.rnn`): R rows of N sequences; D features, H hidden units, P units of h (H, or
fewer with a projection). `way` is batch_sizes (T,), how many rows each step has, and reverse: are the steps
taken from the last to the first? rnn also has relu: instead of tanh?
"""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.tensor import op, same_dtype


def rnn(x, states, w_ih, w_hh, b_ih=None, b_hh=None, **way):
    """x (R, D), [h_0 (N, H)] -> h of every step (R, H), [last h (N, H)]. See `nn.RNN`."""
    return _with_last_states(_rnn_sequence, x, *states, w_ih, w_hh, b_ih, b_hh, **way)


def lstm(x, states, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None, **way):
    """x (R, D), [h_0 (N, P), c_0 (N, H)] -> h of every step (R, P), [last h, last c]. See `nn.LSTM`."""
    return _with_last_states(_lstm_sequence, x, *states, w_ih, w_hh, b_ih, b_hh, w_hr, **way)


def gru(x, states, w_ih, w_hh, b_ih=None, b_hh=None, **way):
    """x (R, D), [h_0 (N, H)] -> h of every step (R, H), [last h (N, H)]. See `nn.GRU`."""
    return _with_last_states(_gru_sequence, x, *states, w_ih, w_hh, b_ih, b_hh, **way)


class _Last:
    """The last states that an op found beside h of every step, and the gradients that came back to them."""

    def __init__(self):
        self.states, self.gradients = [], {}

    def taken_gradients(self) -> list[np.ndarray]:
        """One for each state, zeros where none came; the next backward begins anew."""
        gradients, self.gradients = self.gradients, {}
        return [gradients[i] if i in gradients else np.zeros_like(s) for i, s in enumerate(self.states)]


def _with_last_states(sequence, x, *others, **way):
    last = _Last()
    h = sequence(x, *others, last=last, input_gradient=x.requires_grad, **way)
    return h, [_last_state(h, last=last, i=i) for i in range(len(last.states))]


@op
def _last_state(h, last, i):
    """A second output of the op that gave h: its gradient waits in `last`, and to h nothing is added."""

    def dh(g):
        last.gradients[i] = g
        return np.broadcast_to(np.zeros_like(g, shape=()), h.shape)

    return last.states[i], (dh,)


def _sequence(name, w_hh, *arrays, last, input_gradient, **way):
    """Output and vjp of the op with this kernel."""
    same_dtype(w_hh, *(a for a in arrays if a is not None))
    gates = np.broadcast_to(w_hh[:1, 0], (len(arrays[0]), len(w_hh)))  # the work grows with their number
    forward, backward = (kernels.find(name + end, gates) for end in ("", "_backward"))
    h, *last.states, saved = forward(*arrays, **way)
    way = {**way, "input_gradient": input_gradient}
    return h, lambda g: backward(g, *last.taken_gradients(), saved, **way)


@op
def _rnn_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, **way):
    return _sequence("rnn_sequence", w_hh, x, h0, w_ih, w_hh, b_ih, b_hh, **way)


@op
def _lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, **way):
    return _sequence("lstm_sequence", w_hh, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, **way)


@op
def _gru_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, **way):
    return _sequence("gru_sequence", w_hh, x, h0, w_ih, w_hh, b_ih, b_hh, **way)
