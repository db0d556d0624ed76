"""Recurrent layers over whole sequences: forward, and backpropagation through time (Werbos 1990).

The idea: keep the loop over time small. What the inputs bring is one matrix product for all steps, made
before. Local derivatives are computed for all steps at once before the backward loop, gradients of weights
as one product after it.

Rows are packed: first those of step 0, then those of step 1, ... Step t has batch_sizes[t] rows, one for each
sequence that still runs, the longest sequence first. A batch (T, N, D) of equal lengths is (T*N, D) with
batch_sizes [N] * T. With reverse=True the steps are taken from the last to the first.

Shapes: R = sum(batch_sizes) rows, N sequences, D features, H hidden units, P units of h (H, or fewer with a
projection). Weights w_ih (G*H, D), w_hh (G*H, P) and biases b_ih, b_hh (G*H,), or None, for G blocks.
Backward kernels give the gradient of each argument in its place; that of x is None unless input_gradient.
"""

import numpy as np

__all__ = [
    "gru_sequence", "gru_sequence_backward", "lstm_sequence", "lstm_sequence_backward",
    "rnn_sequence", "rnn_sequence_backward",
]  # fmt: skip


def _steps(batch_sizes, reverse):
    """Where the rows of each step lie and how many they are, in the order of computation."""
    ends = np.cumsum(batch_sizes).tolist()
    steps = [(slice(end - n, end), n) for end, n in zip(ends, batch_sizes.tolist(), strict=True)]
    return steps[::-1] if reverse else steps


def _from_inputs(x, w_ih, *biases):
    """W_ih x_t + biases for every step (R, G*H)."""
    a = x @ w_ih.T
    for b in biases:
        if b is not None:
            a += b
    return a


def _to_inputs(da, x, w_ih, input_gradient):
    """Gradients of x, w_ih and b_ih from that of W_ih x_t + b_ih."""
    return da @ w_ih if input_gradient else None, da.T @ x, da.sum(0)


def rnn_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse=False, relu=False):
    """The simple recurrent network (Elman 1990): h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

    Args:
        x: (R, D). h0: (N, H).
        relu: relu for tanh.

    Returns:
        h of every step (R, H), the last h of every sequence (N, H), and what the backward needs.
    """
    h, out = h0.copy(), _from_inputs(x, w_ih, b_ih, b_hh)
    before = np.empty_like(out)
    for rows, n in _steps(batch_sizes, reverse):
        before[rows] = h[:n]
        z = out[rows] + h[:n] @ w_hh.T
        out[rows] = h[:n] = np.maximum(z, 0) if relu else np.tanh(z)
    return out, h, (x, w_ih, w_hh, out, before)


def rnn_sequence_backward(g, dh, saved, batch_sizes, reverse=False, relu=False, input_gradient=True):
    """Gradients of all arguments from those of h of every step, g (R, H), and the last h, dh (N, H)."""
    x, w_ih, w_hh, out, before = saved
    dh, da = dh.copy(), np.empty_like(out)
    slope = out > 0 if relu else 1 - out * out
    for rows, n in reversed(_steps(batch_sizes, reverse)):
        da[rows] = (dh[:n] + g[rows]) * slope[rows]
        dh[:n] = da[rows] @ w_hh
    dx, dw_ih, db = _to_inputs(da, x, w_ih, input_gradient)
    return dx, dh, dw_ih, da.T @ before, db, db


def lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, batch_sizes, reverse=False):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gates (Gers et al. 2000).

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the four blocks of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
    c_t = f c_{t-1} + i g
    h_t = o tanh(c_t), with a projection (Sak et al. 2014) W_hr (o tanh(c_t))

    The variant without peepholes. sigmoid(z) is computed as tanh(z / 2) / 2 + 1/2, so that one tanh serves
    all four blocks and nothing overflows.

    Args:
        x: (R, D). h0: (N, P). c0: (N, H). w_hr: (P, H) or None.

    Returns:
        h of every step (R, P), the last h (N, P) and c (N, H) of every sequence, what the backward needs.
    """
    h, c, width = h0.copy(), c0.copy(), c0.shape[1]
    gates = _from_inputs(x, w_ih, b_ih, b_hh)
    tanh_c, c_before = (np.empty((len(x), width), x.dtype) for _ in range(2))
    out, h_before = (np.empty((len(x), h.shape[1]), x.dtype) for _ in range(2))
    scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], x.dtype), width)
    for rows, n in _steps(batch_sizes, reverse):
        h_before[rows], c_before[rows] = h[:n], c[:n]
        z = gates[rows]
        z += h[:n] @ w_hh.T
        z *= scale
        np.tanh(z, out=z)
        z *= scale
        z += 1 - scale
        i, f, g, o = z.reshape(n, 4, width).swapaxes(0, 1)
        c[:n] = f * c[:n] + i * g
        m = o * np.tanh(c[:n], out=tanh_c[rows])
        out[rows] = h[:n] = m if w_hr is None else m @ w_hr.T
    return out, h, c, (x, w_ih, w_hh, w_hr, gates, tanh_c, c_before, h_before)


def lstm_sequence_backward(g, dh, dc, saved, batch_sizes, reverse=False, input_gradient=True):
    """Gradients of all arguments; that of w_hr is None without one.

    Args:
        g, dh, dc: gradients of h of every step (R, P), of the last h (N, P) and of the last c (N, H).
    """
    x, w_ih, w_hh, w_hr, gates, tanh_c, c_before, h_before = saved
    n_rows, width = tanh_c.shape
    i, f, u, o = gates.reshape(n_rows, 4, width).swapaxes(0, 1)
    dc_by_dm, do_by_dm = o * (1 - tanh_c * tanh_c), tanh_c * o * (1 - o)  # m = o tanh(c), h before projection
    by_dc = np.stack([u * i * (1 - i), c_before * f * (1 - f), i * (1 - u * u)], axis=1)
    dh, dc, da, dout = dh.copy(), dc.copy(), np.empty_like(gates), np.empty_like(g)
    blocks = da.reshape(n_rows, 4, width)
    for rows, n in reversed(_steps(batch_sizes, reverse)):
        dout[rows] = dh[:n] + g[rows]
        dm = dout[rows] if w_hr is None else dout[rows] @ w_hr
        dc[:n] += dm * dc_by_dm[rows]
        np.multiply(dc[:n, None], by_dc[rows], out=blocks[rows, :3])
        np.multiply(dm, do_by_dm[rows], out=blocks[rows, 3])
        dc[:n] *= f[rows]
        dh[:n] = da[rows] @ w_hh
    dx, dw_ih, db = _to_inputs(da, x, w_ih, input_gradient)
    return dx, dh, dc, dw_ih, da.T @ h_before, db, db, None if w_hr is None else dout.T @ (o * tanh_c)


def gru_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse=False):
    """Gated recurrent unit (Cho et al. 2014), the variant with the reset gate after the product.

    r, z = sigmoid of the first two blocks of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
    n = tanh((W_ih x_t + b_ih)[third] + r (W_hh h_{t-1} + b_hh)[third])
    h_t = (1 - z) n + z h_{t-1}

    Args:
        x: (R, D). h0: (N, H).

    Returns:
        h of every step (R, H), the last h of every sequence (N, H), and what the backward needs.
    """
    h, width, a = h0.copy(), h0.shape[1], _from_inputs(x, w_ih, b_ih)
    rz, inner, new, out, before = (np.empty((len(x), k * width), x.dtype) for k in (2, 1, 1, 1, 1))
    for rows, n in _steps(batch_sizes, reverse):
        before[rows] = h[:n]
        u = _from_inputs(h[:n], w_hh, b_hh)
        s = np.add(a[rows, : 2 * width], u[:, : 2 * width], out=rz[rows])
        s[:] = np.tanh(s * 0.5) * 0.5 + 0.5  # sigmoid
        r, z = s[:, :width], s[:, width:]
        inner[rows] = u[:, 2 * width :]
        np.tanh(a[rows, 2 * width :] + r * inner[rows], out=new[rows])
        out[rows] = h[:n] = new[rows] + z * (h[:n] - new[rows])
    return out, h, (x, w_ih, w_hh, rz, inner, new, before)


def gru_sequence_backward(g, dh, saved, batch_sizes, reverse=False, input_gradient=True):
    """Gradients of all arguments from those of h of every step, g (R, H), and the last h, dh (N, H)."""
    x, w_ih, w_hh, rz, inner, new, before = saved
    n_rows, width = new.shape
    r, z = rz[:, :width], rz[:, width:]
    dn_by_dh = (1 - z) * (1 - new * new)
    by_dh = np.stack([dn_by_dh * inner * r * (1 - r), (before - new) * z * (1 - z), dn_by_dh * r], axis=1)
    dh, dout, du = dh.copy(), np.empty_like(g), np.empty((n_rows, 3 * width), g.dtype)  # u = W_hh h + b_hh
    blocks = du.reshape(n_rows, 3, width)
    for rows, n in reversed(_steps(batch_sizes, reverse)):
        d = np.add(dh[:n], g[rows], out=dout[rows])
        np.multiply(d[:, None], by_dh[rows], out=blocks[rows])
        dh[:n] = d * z[rows] + du[rows] @ w_hh
    da = du.copy()
    np.multiply(dout, dn_by_dh, out=da[:, 2 * width :])
    dx, dw_ih, db_ih = _to_inputs(da, x, w_ih, input_gradient)
    return dx, dh, dw_ih, du.T @ before, db_ih, du.sum(0)
