"""CTC against the sum over all paths, one by one."""

import itertools

import numpy as np
import pytest

from minidl.kernels.reference import ctc, ctc_backward


def said(path, blank):
    """What a path says: equal neighbours merged, then blanks left out."""
    return [c for c, _ in itertools.groupby(path) if c != blank]


def probability(p, target, blank):
    """The sum over every path of T classes that says the target; p (T, C)."""
    times, classes = p.shape
    paths = itertools.product(range(classes), repeat=times)
    return sum(np.prod(p[range(times), path]) for path in paths if said(path, blank) == list(target))


@pytest.mark.parametrize("target", [[], [1], [1, 2], [1, 1], [2, 1, 2], [1, 2, 1, 2], [2, 2, 2]])
@pytest.mark.parametrize("blank", [0, 1])
def test_the_loss_sums_over_all_paths(target, blank):
    p = np.random.default_rng(len(target)).dirichlet(np.ones(3), 5)
    target = [(c + blank) % 3 for c in target]  # no label is the blank
    lengths = (np.array([5]), np.array([len(target)]))
    loss, _ = ctc(np.log(p[:, None]), np.array([target], np.int64).reshape(1, -1), *lengths, blank)
    np.testing.assert_allclose(np.exp(-loss), probability(p, target, blank), rtol=1e-12)


def test_samples_of_different_lengths_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.dirichlet(np.ones(4), (6, 3)))
    targets, inputs, lengths = (
        np.array([[1, 2, 3], [3, 1, 0], [2, 0, 0]]),
        np.array([6, 4, 2]),
        np.array([3, 2, 1]),
    )
    loss, alpha = ctc(log_probs, targets, inputs, lengths, 0)
    slopes = ctc_backward(log_probs, targets, inputs, lengths, 0, loss, alpha)
    for n in range(3):
        alone = (log_probs[: inputs[n], n : n + 1], targets[n : n + 1, : lengths[n]])
        alone += (inputs[n : n + 1], lengths[n : n + 1], 0)
        one, own_alpha = ctc(*alone)
        np.testing.assert_allclose(loss[n], one[0], rtol=1e-12)
        np.testing.assert_allclose(
            slopes[: inputs[n], n], ctc_backward(*alone, one, own_alpha)[:, 0], atol=1e-12
        )
        assert not slopes[inputs[n] :, n].any()


def test_what_does_not_fit_into_the_time_is_impossible():
    log_probs = np.log(np.full((2, 1, 3), 1 / 3))
    loss, _ = ctc(log_probs, np.array([[1, 1]]), np.array([2]), np.array([2]), 0)  # needs a blank in between
    assert loss[0] == np.inf
