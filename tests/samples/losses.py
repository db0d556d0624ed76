"""Samples of minidl/nn/functional/losses.py."""

from tests.samples.kinds import Constant, Values

LABELS = Values([2, 0, 1, 1])
WORDS = Values([[1, 1, 2], [2, 3, 0]])


def ctc(m, a, y, **settings):
    """Gradients of log_probs itself are not the true ones, neither PyTorch's nor ours."""
    return m.F.ctc_loss(a.log_softmax(2), y, (6, 5), (3, 2), **settings)


SAMPLES = {
    "pick": [
        (lambda m, a, y: m.F.nll_loss(a, y), (4, 3), LABELS),
        (lambda m, a, y, w: m.F.nll_loss(a, y, w, ignore_index=1), (4, 3), LABELS, Constant((3,))),
        (lambda m, a, y: m.F.cross_entropy(a, y, reduction="none"), (2, 3, 2), Values([[0, 1], [2, 2]])),
        (lambda m, a, y: m.F.cross_entropy(a, y, label_smoothing=0.1), (4, 3), LABELS),
        (
            lambda m, a, y, w: m.F.cross_entropy(a, y, w, ignore_index=0, label_smoothing=0.2),
            (4, 3),
            LABELS,
            Constant((3,)),
        ),
        (lambda m, a, y: m.F.cross_entropy(a, y), (3,), Values(1)),
    ],
    "mean_squared_error": [
        (lambda m, a, b: m.F.mse_loss(a, b), (3, 4), (3, 4)),
        (lambda m, a, b: m.F.mse_loss(a, b) * 3, (5,), (5,)),
        (lambda m, a, b: m.F.mse_loss(a, b), (), ()),
    ],
    "softmax_cross_entropy": [
        (lambda m, a, y: m.F.cross_entropy(a, y), (4, 3), LABELS),
        (lambda m, a, y: m.F.cross_entropy(a * 100, y), (4, 3), LABELS),
    ],
    "binary_cross_entropy": [
        (lambda m, a, b: m.F.binary_cross_entropy(m.sigmoid(a), m.sigmoid(b)), (3, 4), (3, 4)),
        (
            lambda m, a, b, w: m.F.binary_cross_entropy(m.sigmoid(a), m.sigmoid(b), w, reduction="sum"),
            (3, 4),
            (3, 4),
            Constant((4,)),
        ),
    ],
    "x_log_x": [(lambda m, a, b: m.F.kl_div(a, m.sigmoid(b), reduction="sum"), (3, 4), (3, 4))],
    "ctc": [
        (lambda m, a, y: ctc(m, a, y), (6, 2, 4), WORDS),
        (lambda m, a, y: ctc(m, a, y, blank=3, reduction="none"), (6, 2, 4), Values([1, 1, 2, 2, 0])),
    ],
}

COMPOSED = [
    (lambda m, a, b, w: m.F.mse_loss(a, b, weight=w), (3, 4), (3, 4), Constant((3, 4))),
    (lambda m, a, b: m.F.l1_loss(a, b, reduction="none"), (3, 4), (3, 4)),
    (lambda m, a, b: m.F.huber_loss(a, b, delta=0.4), (3, 4), (3, 4)),
    (lambda m, a, b: m.F.smooth_l1_loss(a, b, beta=0.4), (3, 4), (3, 4)),
    (lambda m, a, p: m.F.cross_entropy(a, m.F.softmax(p, dim=1), label_smoothing=0.1), (4, 3), (4, 3)),
    (lambda m, a, p, w: m.F.cross_entropy(a, p, w, reduction="none"), (2, 3, 2), (2, 3, 2), (3,)),
    (lambda m, a, b: m.F.binary_cross_entropy_with_logits(a * 20, m.sigmoid(b)), (3, 4), (3, 4)),
    (
        lambda m, a, b, w: m.F.binary_cross_entropy_with_logits(a, m.sigmoid(b), pos_weight=w),
        (3, 4),
        (3, 4),
        Constant((4,)),
    ),
    (lambda m, a, b: m.F.kl_div(a, b, reduction="batchmean", log_target=True), (3, 4), (3, 4)),
]
