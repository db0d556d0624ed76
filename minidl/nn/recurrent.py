"""Recurrent layers: they read a sequence step by step and carry a state along.

A cell is one step, written out. A layer runs over whole sequences, by one op for each layer and direction.

Shapes: T time, N batch, D = input_size, H = hidden_size, P = proj_size or H, L = num_layers, K = 2 if
bidirectional, else 1. With batch_first=True sequences are (N, T, ...) instead of (T, N, ...); states are
(L*K, N, ...) always. Unbatched inputs and their states lack the axis N. Sequences of different lengths come
as a `PackedSequence` (see `nn.utils.rnn`); the last states are then those at each sequence's own end.
"""

from __future__ import annotations

import functools
import math
import warnings

import numpy as np

from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.functional import recurrent
from minidl.nn.module import Module, Parameter
from minidl.nn.utils.rnn import PackedSequence
from minidl.ops import cat, relu, sigmoid, stack, tanh, zeros
from minidl.tensor import ShapeError, Tensor

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

MODES = {
    "RNN_TANH": (1, recurrent.rnn),
    "RNN_RELU": (1, functools.partial(recurrent.rnn, relu=True)),
    "LSTM": (4, recurrent.lstm),
    "GRU": (3, recurrent.gru),
}
"""Mode -> blocks of H rows in its weights, function of one layer in one direction."""


class _Recurrent(Module):
    """What layers and cells share: how weights are made, and the check of initial states."""

    def _add_weights(self, suffix: str, device, dtype, **shapes: tuple[int, ...]) -> None:
        for name, shape in shapes.items():
            setattr(self, name + suffix, Parameter(zeros(shape, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Every parameter uniform in +-1/sqrt(H)."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _states(self, x: Tensor, hx, *shapes: tuple[int, ...]) -> list[Tensor]:
        """The initial states hx, which must have these shapes; zeros for None."""
        if hx is None:
            return [zeros(shape, device=x.device, dtype=x.dtype) for shape in shapes]
        given = list(hx) if len(shapes) > 1 and isinstance(hx, (tuple, list)) else [hx]
        found = [t.shape if isinstance(t, Tensor) else type(t).__name__ for t in given]
        if found != list(shapes):
            what = "one tensor h_0" if len(shapes) == 1 else "the pair (h_0, c_0)"
            raise ShapeError(
                f"{type(self).__name__}(input: {x.shape}, hx: {found}): hx must be {what} of {list(shapes)}. "
                "Fix: check the batch axis and, of layers, the first: num_layers * directions"
            )
        return given


class RNNBase(_Recurrent):
    """What RNN, LSTM and GRU share: settings, weights of every layer and direction, the way through them.

    Args:
        input_size, hidden_size: D and H.
        num_layers: layers on top of each other; each reads what the one below it gives.
        bias: with b_ih and b_hh?
        batch_first: sequences are (N, T, ...).
        dropout: share of each layer's output, but the last one's, that is dropped in training.
        bidirectional: a second set of weights reads from the end; both outputs side by side.
        proj_size: only LSTM: h is projected to this size.

    Parameters of layer k: weight_ih_lk (G*H, D or K*P), weight_hh_lk (G*H, P), bias_ih_lk, bias_hh_lk (G*H,)
    for G blocks, weight_hr_lk (P, H); of the second direction the same with _reverse. All start uniform in
    +-1/sqrt(H).
    """

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device=None, dtype=None,
    ):  # fmt: skip
        self.mode, self.input_size, self.hidden_size, self.proj_size = (
            mode,
            input_size,
            hidden_size,
            proj_size,
        )
        self.num_layers, self.bidirectional, self.dropout = num_layers, bidirectional, dropout
        self.bias, self.batch_first = bias, batch_first
        self._check_settings()
        rows, outputs = MODES[mode][0] * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            inputs = outputs * len(self._directions) if layer else input_size
            shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, outputs)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for direction in self._directions:
                self._add_weights(f"_l{layer}{direction}", device, dtype, **shapes)
        self.reset_parameters()

    def _check_settings(self) -> None:
        sizes, switches = (self.input_size, self.hidden_size, self.num_layers), (self.bias, self.batch_first)
        rules = {
            f"mode must be one of {', '.join(MODES)}": self.mode in MODES,
            "input_size, hidden_size and num_layers must be positive integers":
                all(isinstance(n, int) and n > 0 for n in sizes),
            "bias and batch_first must be True or False": all(isinstance(b, bool) for b in switches),
            "dropout must be a probability": self.dropout is not True and 0 <= self.dropout <= 1,
            "proj_size must lie in [0, hidden_size)": 0 <= self.proj_size < self.hidden_size,
        }  # fmt: skip
        for rule, holds in rules.items():
            if not holds:
                raise ValueError(f"{type(self).__name__}({self.extra_repr()}): {rule}")
        if self.dropout and self.num_layers == 1:
            warnings.warn("dropout acts between layers: with num_layers=1 it does nothing", stacklevel=4)

    @property
    def _directions(self) -> tuple[str, ...]:
        """What the names of each direction's weights end in."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def _state_shapes(self, *batch: int) -> list[tuple[int, ...]]:
        first = (self.num_layers * len(self._directions), *batch)
        shapes = [(*first, self.proj_size or self.hidden_size), (*first, self.hidden_size)]
        return shapes if self.mode == "LSTM" else shapes[:1]

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | tuple[Tensor, Tensor] | None = None):
        """input (T, N, D), first states hx (None: zeros) -> h of the last layer (T, N, K*P), last states."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        self._check_input(input, (2, 3))
        batched = input.ndim == 3
        x = input if batched else input.unsqueeze(1)
        x = x.transpose(0, 1) if batched and self.batch_first else x
        steps, n, _ = x.shape
        states = self._states(input, hx, *self._state_shapes(*[n] * batched))
        if not batched:
            states = [s.unsqueeze(1) for s in states]
        rows, last = self._run(x.flatten(0, 1), states, np.full(steps, n))
        output = rows.reshape(steps, n, rows.shape[1])
        if not batched:
            output, last = output.squeeze(1), [s.squeeze(1) for s in last]
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, self._as_hx(last)

    def _forward_packed(self, packed: PackedSequence, hx):
        """The same for sequences of different lengths; states are in the batch's order before sorting."""
        data, sizes, order, back = packed
        self._check_input(data, (2,))
        states = self._states(data, hx, *self._state_shapes(int(sizes[0])))
        rows, last = self._run(data, [_reordered(s, order) for s in states], sizes.array)
        return PackedSequence(rows, sizes, order, back), self._as_hx([_reordered(s, back) for s in last])

    def _run(self, x: Tensor, states: list[Tensor], batch_sizes: np.ndarray):
        """Packed rows x (R, D) and states (L*K, N, ...) through all layers -> rows (R, K*P), last states."""
        names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] + ["weight_hr"] * bool(self.proj_size)
        last = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self._directions:
                weights = [getattr(self, f"{name}_l{layer}{direction}", None) for name in names]
                way = {"batch_sizes": batch_sizes, "reverse": direction != ""}
                h, ends = MODES[self.mode][1](x, [s[len(last)] for s in states], *weights, **way)
                outputs.append(h)
                last.append(ends)
            x = cat(outputs, dim=1) if self.bidirectional else outputs[0]
            if layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, [stack(ends) for ends in zip(*last, strict=True)]

    def _as_hx(self, states: list[Tensor]):
        return tuple(states) if self.mode == "LSTM" else states[0]

    def _check_input(self, x: Tensor, ndims: tuple[int, ...]) -> None:
        time = 1 if self.batch_first and x.ndim == 3 else 0
        if x.ndim not in ndims or x.shape[-1] != self.input_size or not x.shape[time]:
            d, order = self.input_size, "batch, time" if self.batch_first else "time, batch"
            raise ShapeError(
                f"{type(self).__name__}(input: {x.shape}): input must be ({order}, {d}) or (time, {d}), with "
                "time at least 1. Fix: check input_size, and the order of axes against batch_first"
            )
        if x.dtype != self.weight_ih_l0.dtype:
            raise TypeError(
                f"{type(self).__name__}: input is {x.dtype}, weights are {self.weight_ih_l0.dtype}. Fix: "
                "convert one, as in x.float()"
            )

    def flatten_parameters(self) -> None:
        """Does nothing: it is where PyTorch rearranges weights for the GPU."""

    def extra_repr(self) -> str:
        usual = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
                 "bidirectional": False}  # fmt: skip
        changed = [f"{k}={getattr(self, k)}" for k, value in usual.items() if getattr(self, k) != value]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])


def _reordered(state: Tensor, order: Tensor | None) -> Tensor:
    return state if order is None else state[:, order]


class RNN(RNNBase):
    """The simple recurrent network (Elman 1990): h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

    Args:
        nonlinearity: "tanh", or "relu" for max(z, 0). The other arguments: see `RNNBase`.

    Shape:
        input (T, N, D), h_0 (L*K, N, H) -> output (T, N, K*H), h_T (L*K, N, H); see the head of this file.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        device=None, dtype=None,
    ):  # fmt: skip
        self.nonlinearity = _checked_nonlinearity(nonlinearity)
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, device=device, dtype=dtype,
        )  # fmt: skip


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter & Schmidhuber 1997), with forget gate (Gers et al. 2000).

    i, f, o = sigmoid(W_i* x_t + b_i* + W_h* h_{t-1} + b_h*) for each gate *, g = tanh of its own
    c_t = f c_{t-1} + i g
    h_t = o tanh(c_t);  with proj_size (Sak et al. 2014) h_t = W_hr (o tanh(c_t))

    The variant without peepholes. The rows of the weights are those of i, f, g, o, in this order. For the
    arguments see `RNNBase`.

    Shape:
        input (T, N, D), (h_0 (L*K, N, P), c_0 (L*K, N, H)) -> output (T, N, K*P), (h_T, c_T); see the head of
        this file.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device=None, dtype=None,
    ):  # fmt: skip
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device, dtype,
        )  # fmt: skip


class GRU(RNNBase):
    """Gated recurrent unit (Cho et al. 2014), the variant whose reset gate acts after the product.

    r, z = sigmoid(W_i* x_t + b_i* + W_h* h_{t-1} + b_h*) for each gate *
    n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn))
    h_t = (1 - z) n + z h_{t-1}

    The rows of the weights are those of r, z, n, in this order. For the arguments see `RNNBase`.

    Shape:
        input (T, N, D), h_0 (L*K, N, H) -> output (T, N, K*H), h_T (L*K, N, H); see the head of this file.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device=None, dtype=None,
    ):  # fmt: skip
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip


def _checked_nonlinearity(nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'nonlinearity must be "tanh" or "relu", not {nonlinearity!r}')
    return nonlinearity


class RNNCellBase(_Recurrent):
    """What cells share: weight_ih (G*H, D), weight_hh (G*H, H), bias_ih and bias_hh (G*H,) for G blocks."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None, dtype=None
    ):
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self._add_weights("", device, dtype, weight_ih=(rows, input_size), weight_hh=(rows, hidden_size))
        self.bias_ih = self.bias_hh = None
        if bias:
            self._add_weights("", device, dtype, bias_ih=(rows,), bias_hh=(rows,))
        self.reset_parameters()

    def _sums(self, input: Tensor, hx, count: int = 1):
        """The initial states, and what input and h contribute to every gate: two of (..., G*H)."""
        if input.ndim not in (1, 2):
            raise ShapeError(
                f"{type(self).__name__}(input: {input.shape}): input must be (batch, {self.input_size}) or "
                f"({self.input_size},). Fix: pass one step, x[t]"
            )
        states = self._states(input, hx, *[(*input.shape[:-1], self.hidden_size)] * count)
        from_input = F.linear(input, self.weight_ih, self.bias_ih)
        return states, from_input, F.linear(states[0], self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        changed = [] if self.bias is True else [f"bias={self.bias}"]
        changed += ["nonlinearity=relu"] if getattr(self, "nonlinearity", "tanh") == "relu" else []
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])


class RNNCell(RNNCellBase):
    """One step of `RNN`: input (N, D) or (D,), h (N, H) or (H,) (None: zeros) -> the next h."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device=None, dtype=None,
    ):  # fmt: skip
        self.nonlinearity = _checked_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        _, from_input, from_h = self._sums(input, hx)
        return (tanh if self.nonlinearity == "tanh" else relu)(from_input + from_h)


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: input (N, D) or (D,), h and c (N, H) or (H,) (None: zeros) -> the next (h, c)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        (_, c), from_input, from_h = self._sums(input, hx, count=2)
        i, f, g, o = (from_input + from_h).split([self.hidden_size] * 4, dim=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c


class GRUCell(RNNCellBase):
    """One step of `GRU`: input (N, D) or (D,), h (N, H) or (H,) (None: zeros) -> the next h."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        (h,), from_input, from_h = self._sums(input, hx)
        blocks = [self.hidden_size] * 3
        (r_x, z_x, n_x), (r_h, z_h, n_h) = from_input.split(blocks, dim=-1), from_h.split(blocks, dim=-1)
        z = sigmoid(z_x + z_h)
        n = tanh(n_x + sigmoid(r_x + r_h) * n_h)
        return (1 - z) * n + z * h
