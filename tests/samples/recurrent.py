"""Samples of minidl/nn/functional/recurrent.py, through the layers that use it."""


def run(m, layer, names, weights, *args, part=None):
    """All that the layer gives, or one part, as one vector, with these tensors as its parameters."""
    weights = dict(zip(names.split(), weights, strict=True))
    if hasattr(m, "func"):  # PyTorch
        out = m.func.functional_call(layer, weights, args)
    else:
        vars(layer).update(weights)
        out = layer(*args)
    return m.cat([t.flatten() for t in flat(out if part is None else out[part])])


def flat(out):
    return [t for part in out for t in flat(part)] if isinstance(out, tuple) else [out]


UNBIASED = "weight_ih_l0 weight_hh_l0"
BIASED = f"{UNBIASED} bias_ih_l0 bias_hh_l0"


def rnn(m, x, h, *weights, **settings):
    return run(m, m.nn.RNN(3, 2, dtype=x.dtype, **settings), BIASED, weights, x, h)


def lstm(m, x, h, c, *weights, names=BIASED, **settings):
    return run(m, m.nn.LSTM(3, 2, dtype=x.dtype, **settings), names, weights, x, (h, c))


def gru(m, x, h, *weights, names=BIASED, **settings):
    return run(m, m.nn.GRU(3, 2, dtype=x.dtype, **settings), names, weights, x, h)


def both(names):
    return " ".join([names, *(f"{name}_reverse" for name in names.split())])


def shapes(gates, outputs=2):
    return [(gates * 2, 3), (gates * 2, outputs), (gates * 2,), (gates * 2,)]


SEQUENCE, STATE = (4, 5, 3), (1, 5, 2)

SAMPLES = {
    "last_state": [
        (
            lambda m, x, h, c, *ws: run(m, m.nn.LSTM(3, 2, dtype=x.dtype), BIASED, ws, x, (h, c), part=1),
            SEQUENCE, STATE, STATE, *shapes(4),
        ),
    ],
    "rnn_sequence": [
        (rnn, SEQUENCE, STATE, *shapes(1)),
        (lambda m, *ts: rnn(m, *ts, nonlinearity="relu"), SEQUENCE, STATE, *shapes(1)),
    ],
    "lstm_sequence": [
        (lstm, SEQUENCE, STATE, STATE, *shapes(4)),
        (
            lambda m, *ts: lstm(m, *ts, names=both(BIASED), bidirectional=True),
            (3, 3), (2, 2), (2, 2), *shapes(4), *shapes(4),
        ),
    ],
    "gru_sequence": [
        (gru, SEQUENCE, STATE, *shapes(3)),
        (
            lambda m, *ts: gru(m, *ts, names=UNBIASED, bias=False, batch_first=True),
            (4, 1, 3), (1, 4, 2), *shapes(3)[:2],
        ),
        (
            lambda m, *ts: gru(m, *ts, names=both(BIASED), bidirectional=True),
            (4, 2, 3), (2, 2, 2), *shapes(3), *shapes(3),
        ),
    ],
}  # fmt: skip

CELL = "weight_ih weight_hh bias_ih bias_hh"

COMPOSED = [
    (
        lambda m, x, h, *ws: run(m, m.nn.RNNCell(3, 2, dtype=x.dtype), CELL, ws, x, h),
        (4, 3), (4, 2), *shapes(1),
    ),
    (
        lambda m, x, h, c, *ws: run(m, m.nn.LSTMCell(3, 2, dtype=x.dtype), CELL, ws, x, (h, c)),
        (3,), (2,), (2,), *shapes(4),
    ),
    (
        lambda m, x, h, *ws: run(m, m.nn.GRUCell(3, 2, dtype=x.dtype), CELL, ws, x, h),
        (4, 3), (4, 2), *shapes(3),
    ),
]  # fmt: skip
