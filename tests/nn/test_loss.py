"""Loss modules beside PyTorch's: constructors, weights in the state, results."""

import numpy as np
import pytest

import minidl
from minidl import nn
from tests.parity import assert_module_parity, ours, theirs

RNG = np.random.default_rng(0)
X, Y, LABELS = RNG.random((4, 3)), RNG.random((4, 3)), np.array([2, 0, 1, 1])
WEIGHT = "m.tensor([1.0, 2.0, 0.5], dtype=m.float64)"
SPOKEN = np.log(RNG.dirichlet(np.ones(4), (6, 2)))
WORDS = np.array([[1, 1, 2], [2, 3, 0]])
CASES = [
    ("MSELoss()", X, Y),
    ("MSELoss(reduction='sum')", X, Y),
    ("L1Loss(reduction='none')", X, Y),
    ("SmoothL1Loss(beta=0.2)", X, Y),
    ("HuberLoss()", X, Y),
    ("HuberLoss('sum', 0.2)", X, Y),
    ("NLLLoss()", X, LABELS),
    (f"NLLLoss({WEIGHT}, ignore_index=1)", X, LABELS),
    ("CrossEntropyLoss()", X, LABELS),
    (f"CrossEntropyLoss({WEIGHT}, label_smoothing=0.1, reduction='sum')", X, LABELS),
    (f"CrossEntropyLoss(weight={WEIGHT})", X, Y),
    ("BCELoss()", X, Y),
    (f"BCELoss({WEIGHT}, reduction='none')", X, Y),
    ("BCEWithLogitsLoss()", X, Y),
    (f"BCEWithLogitsLoss(pos_weight={WEIGHT})", X, Y),
    ("KLDivLoss(reduction='batchmean')", X, Y),
    ("KLDivLoss(reduction='sum', log_target=True)", X, Y),
    ("CTCLoss()", SPOKEN, WORDS, np.array([6, 5]), np.array([3, 2])),
    ("CTCLoss(3, 'sum', True)", SPOKEN, WORDS % 3, np.array([6, 3]), np.array([3, 2])),
    ("CosineSimilarity()", X, Y),
    ("CosineSimilarity(0, 1e-3)", X, Y),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_modules_equal_pytorchs(case):
    text, *arrays = case
    make = lambda m: eval(f"m.nn.{text}", {"m": m})  # noqa: E731
    assert_module_parity(make, *arrays, modes=(True,))
    assert repr(make(ours())) == repr(make(theirs()))


def test_class_weights_travel_with_the_state():
    loss = nn.CrossEntropyLoss(weight=minidl.tensor([1.0, 2.0]))
    assert list(loss.state_dict()) == ["weight"]
    assert not list(loss.parameters())
    other = nn.CrossEntropyLoss(weight=minidl.ones(2))
    other.load_state_dict(loss.state_dict())
    assert other.weight.tolist() == [1, 2]
    assert not nn.CrossEntropyLoss().state_dict()


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.MSELoss("sum"),  # PyTorch reads this as size_average="sum", that is, the mean
        lambda: nn.MSELoss(weight=minidl.ones(2)),
        lambda: nn.CrossEntropyLoss(None, 0),
        lambda: nn.CrossEntropyLoss(size_average=False),
    ],
)
def test_what_the_constructors_do_not_take(call):
    with pytest.raises(TypeError):
        call()
