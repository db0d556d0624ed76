"""The judge of networks that learners build: what it refuses before training, and that it trains once."""

import re

import pytest

from minidl import nn
from minidl.course.contest import Contest, ten_logits

SAYS = "three rows (3, 4) give shape {shape}"


@pytest.fixture
def trained():
    return []


@pytest.fixture
def contest(trained):
    def train(model):
        trained.append(model)
        return 0.5

    def verdict(count, found):
        return None if count >= 50 else f"{found} with {count} weights is too little"

    return Contest(100, lambda model: ten_logits(model, (4,), SAYS), train, verdict, unit="weights")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (nn.Linear(4, 10), "give the function build itself"),
        (..., "give the function build itself"),
        (lambda: 3, r"returns int: build\(\) must return an nn.Module"),
        (lambda: nn.Linear(20, 10), "^210 weights: at most 100 are allowed"),
        (lambda: nn.ReLU(), "no parameters, so there is nothing to train"),
        (lambda: nn.Linear(4, 9), r"^three rows \(3, 4\) give shape \(3, 9\)$"),
        (lambda: nn.Sequential(nn.Linear(4, 10), nn.Softmax(1)), "return the logits, without a softmax"),
    ],
)
def test_what_is_refused_is_not_trained(contest, trained, answer, says):
    assert re.search(says, contest.judge(answer))
    assert not trained


def test_praise_asks_again_without_training_again(contest, trained):
    def build():
        return nn.Linear(4, 10)

    assert contest.judge(build) is None
    assert contest.measure(build) == (50, 0.5)
    assert len(trained) == 1


def test_the_verdict_comes_after_training(contest, trained):
    assert contest.judge(lambda: nn.Linear(4, 10, bias=False)) == "0.5 with 40 weights is too little"
    assert len(trained) == 1
