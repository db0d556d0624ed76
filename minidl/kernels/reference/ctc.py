"""Connectionist temporal classification: was a sequence of labels said, at whatever times?

A path names one class, or the blank, at each time. Equal neighbours are merged, then blanks left out: with
blank `-` the path `--aa-ab` says `aab`. The probability of a target is the sum over all paths that say it.
They walk through states: the target's labels with a blank before, between and after them, L = 2 S + 1. At
each time a path stays, goes on by one state, or skips a blank between two labels that differ (Graves et al.
2006).
"""

import numpy as np

__all__ = ["ctc", "ctc_backward"]


def _walk(log_probs, targets, blank):
    """The label of each state (N, L), whether s is reached from s - 2 (N, L - 2), and log p(label) (T, N, L).

    In float64, because the logarithms of many steps add up to large numbers.
    """
    labels = np.full((len(targets), 2 * targets.shape[1] + 1), blank)
    labels[:, 1::2] = targets
    said = np.take_along_axis(log_probs, labels[None], axis=2).astype(np.float64)
    return labels, labels[:, 2:] != labels[:, :-2], said


def _arrive(before, skips):
    """log of the sum over all ways into each state: from itself, from one before, from two before. (N, L)."""
    ways = np.full((3, *before.shape), -np.inf)
    ways[0] = before
    ways[1, :, 1:] = before[:, :-1]
    ways[2, :, 2:] = np.where(skips, before[:, :-2], -np.inf)
    return np.logaddexp.reduce(ways)


def _ends(target_lengths, states):
    """Where a path may end (N, L): in the last label or the blank after it."""
    behind = 2 * target_lengths[:, None] - np.arange(states)
    return (behind == 0) | (behind == 1)


def ctc(log_probs, targets, input_lengths, target_lengths, blank):
    """-log of the probability of each target.

    Args:
        log_probs: (T, N, C), log-probabilities of the classes at each time.
        targets: (N, S) classes, of which target_lengths (N,) count.
        input_lengths: (N,), how many of the T times count.

    Returns:
        Losses (N,) in nats, inf where the target does not fit into the time; and alpha (T, N, L), the log of
        the summed probability of all ways into a state.
    """
    labels, skips, said = _walk(log_probs, targets, blank)
    alpha = np.full(said.shape, -np.inf)
    alpha[0, :, :2] = said[0, :, :2]
    for t in range(1, len(said)):
        alpha[t] = _arrive(alpha[t - 1], skips) + said[t]
    last = alpha[input_lengths - 1, np.arange(len(labels))]
    likelihood = np.logaddexp.reduce(np.where(_ends(target_lengths, labels.shape[1]), last, -np.inf), axis=1)
    likelihood = np.where(input_lengths == 0, np.where(target_lengths == 0, 0, -np.inf), likelihood)
    return -likelihood.astype(log_probs.dtype), alpha


def ctc_backward(log_probs, targets, input_lengths, target_lengths, blank, loss, alpha):
    """d loss_n / d log_probs (T, N, C) as PyTorch has it: p(class) - share of the target's paths through it.

    The first term vanishes in log_softmax's backward, since the p of one time add up to 1. beta (N, L) is the
    log of the summed probability of all ways from a state to the end; the share of paths that pass a state is
    exp(alpha + beta + loss).
    """
    labels, skips, said = _walk(log_probs, targets, blank)
    beta, ends = np.full(labels.shape, -np.inf), _ends(target_lengths, labels.shape[1])
    share = np.empty(said.shape)
    for t in range(len(said) - 1, -1, -1):
        last = (input_lengths - 1 == t)[:, None]
        beta = np.where(last, np.where(ends, 0.0, -np.inf), beta)
        share[t] = np.exp(alpha[t] + beta + loss[:, None])
        beta = _arrive((beta + said[t])[:, ::-1], skips[:, ::-1])[:, ::-1]
    dlog_probs = np.where(loss[:, None] < np.inf, np.exp(log_probs), np.nan)  # the impossible has no slope
    for s in range(labels.shape[1]):  # a class may stand in several states
        dlog_probs[:, np.arange(len(labels)), labels[:, s]] -= share[:, :, s]
    counts = np.arange(len(said))[:, None] < input_lengths
    return np.where(counts[:, :, None], dlog_probs, 0)
