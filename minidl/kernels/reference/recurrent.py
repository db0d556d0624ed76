"""Recurrent layers over whole sequences: forward, and backpropagation through time (Werbos 1990).

The idea: keep the loop over time small. What the inputs bring is one matrix product for all steps, made
before: it arrives as `a`. Local derivatives are computed for all steps at once before the backward loop,
gradients of weights as one product after it.

Rows are packed: first those of step 0, then those of step 1, ... Step t has batch_sizes[t] rows, one for each
sequence that still runs, the longest sequence first. A batch (T, N, D) of equal lengths is (T*N, D) with
batch_sizes [N] * T. With reverse=True the steps are taken from the last to the first.

Shapes: R = sum(batch_sizes) rows, N sequences, H hidden units, P units of h (H, or fewer with a projection).
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


def rnn_sequence(a, h0, w_hh, batch_sizes, reverse=False, relu=False):
    """The simple recurrent network (Elman 1990): h_t = tanh(a_t + W_hh h_{t-1}), or relu for tanh.

    Args:
        a: W_ih x_t + b of every step (R, H).
        h0: (N, H). w_hh: (H, H).

    Returns:
        h of every step (R, H), the last h of every sequence (N, H), and what the backward needs.
    """
    h, out, before = h0.copy(), np.empty_like(a), np.empty_like(a)
    for rows, n in _steps(batch_sizes, reverse):
        before[rows] = h[:n]
        z = a[rows] + h[:n] @ w_hh.T
        out[rows] = h[:n] = np.maximum(z, 0) if relu else np.tanh(z)
    return out, h, (w_hh, out, before)


def rnn_sequence_backward(g, dh, saved, batch_sizes, reverse=False, relu=False):
    """Gradients of a, h0, w_hh from those of h of every step, g (R, H), and the last h, dh (N, H)."""
    w_hh, out, before = saved
    dh, da = dh.copy(), np.empty_like(out)
    slope = out > 0 if relu else 1 - out * out
    for rows, n in reversed(_steps(batch_sizes, reverse)):
        da[rows] = (dh[:n] + g[rows]) * slope[rows]
        dh[:n] = da[rows] @ w_hh
    return da, dh, da.T @ before


def lstm_sequence(a, h0, c0, w_hh, w_hr, batch_sizes, reverse=False):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gates (Gers et al. 2000).

    i, f, g, o = the four blocks of a_t + W_hh h_{t-1} through sigmoid, sigmoid, tanh, sigmoid
    c_t = f c_{t-1} + i g
    h_t = o tanh(c_t), with a projection (Sak et al. 2014) W_hr (o tanh(c_t))

    The variant without peepholes. sigmoid(z) is computed as tanh(z / 2) / 2 + 1/2, so that one tanh serves
    all four blocks and nothing overflows.

    Args:
        a: W_ih x_t + b of every step (R, 4H).
        h0: (N, P). c0: (N, H). w_hh: (4H, P). w_hr: (P, H) or None.

    Returns:
        h of every step (R, P), the last h (N, P) and c (N, H) of every sequence, what the backward needs.
    """
    h, c, width = h0.copy(), c0.copy(), c0.shape[1]
    gates, tanh_c, c_before = (np.empty((len(a), k * width), a.dtype) for k in (4, 1, 1))
    out, h_before = (np.empty((len(a), h.shape[1]), a.dtype) for _ in range(2))
    scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], a.dtype), width)
    for rows, n in _steps(batch_sizes, reverse):
        h_before[rows], c_before[rows] = h[:n], c[:n]
        z = np.matmul(h[:n], w_hh.T, out=gates[rows])
        z += a[rows]
        z *= scale
        np.tanh(z, out=z)
        z *= scale
        z += 1 - scale
        i, f, g, o = z.reshape(n, 4, width).swapaxes(0, 1)
        c[:n] = f * c[:n] + i * g
        m = o * np.tanh(c[:n], out=tanh_c[rows])
        out[rows] = h[:n] = m if w_hr is None else m @ w_hr.T
    return out, h, c, (w_hh, w_hr, gates, tanh_c, c_before, h_before)


def lstm_sequence_backward(g, dh, dc, saved, batch_sizes, reverse=False):
    """Gradients of a, h0, c0, w_hh and w_hr (None without one).

    Args:
        g, dh, dc: gradients of h of every step (R, P), of the last h (N, P) and of the last c (N, H).
    """
    w_hh, w_hr, gates, tanh_c, c_before, h_before = saved
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
    return da, dh, dc, da.T @ h_before, None if w_hr is None else dout.T @ (o * tanh_c)


def gru_sequence(a, h0, w_hh, b_hh, batch_sizes, reverse=False):
    """Gated recurrent unit (Cho et al. 2014), the variant with the reset gate after the product.

    r, z = sigmoid of the first two blocks of a_t + W_hh h_{t-1} + b_hh
    n = tanh(a_t[third] + r (W_hh h_{t-1} + b_hh)[third])
    h_t = (1 - z) n + z h_{t-1}

    Args:
        a: W_ih x_t + b_ih of every step (R, 3H).
        h0: (N, H). w_hh: (3H, H). b_hh: (3H,) or None.

    Returns:
        h of every step (R, H), the last h of every sequence (N, H), and what the backward needs.
    """
    h, width = h0.copy(), h0.shape[1]
    rz, inner, new, out, before = (np.empty((len(a), k * width), a.dtype) for k in (2, 1, 1, 1, 1))
    for rows, n in _steps(batch_sizes, reverse):
        before[rows] = h[:n]
        u = h[:n] @ w_hh.T
        if b_hh is not None:
            u += b_hh
        s = np.add(a[rows, : 2 * width], u[:, : 2 * width], out=rz[rows])
        s[:] = np.tanh(s * 0.5) * 0.5 + 0.5  # sigmoid
        r, z = s[:, :width], s[:, width:]
        inner[rows] = u[:, 2 * width :]
        np.tanh(a[rows, 2 * width :] + r * inner[rows], out=new[rows])
        out[rows] = h[:n] = new[rows] + z * (h[:n] - new[rows])
    return out, h, (w_hh, rz, inner, new, before)


def gru_sequence_backward(g, dh, saved, batch_sizes, reverse=False):
    """Gradients of a, h0, w_hh, b_hh from those of h of every step, g (R, H), and the last h, dh (N, H)."""
    w_hh, rz, inner, new, before = saved
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
    return da, dh, du.T @ before, du.sum(0)
