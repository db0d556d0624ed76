"""Samples of minidl/nn/functional/attention.py."""

from tests.samples.kinds import Values

PARTS = Values([[True, False, True, True], [False, False, False, False], [False, True, False, False]])


def attention(m, *ts, **settings):
    return m.F.scaled_dot_product_attention(*ts, **settings)


SAMPLES = {
    "attention": [
        (attention, (2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2)),
        (attention, (3, 2), (4, 2), (4, 3), PARTS),
        (attention, (2, 3, 2), (2, 4, 2), (2, 4, 3), (3, 4)),
        (lambda m, *ts: attention(m, *ts, is_causal=True, scale=0.3), (2, 3, 2), (2, 5, 2), (2, 5, 2)),
        (lambda m, *ts: attention(m, *ts, enable_gqa=True), (4, 3, 2), (2, 3, 2), (1, 3, 2)),
        (attention, (2, 1, 3, 2), (3, 4, 2), (1, 1, 4, 2), (3, 1, 4)),
    ],
}
