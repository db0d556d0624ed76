"""Looking for the first nan: the op that made it is named, forward and backward."""

import gc

import pytest

import minidl
from minidl import nn
from minidl.autograd import detect_anomaly


def tensor(*values):
    return minidl.tensor(values, requires_grad=True)


def test_the_op_that_made_the_first_nan_forward_is_named():
    with detect_anomaly(), pytest.raises(RuntimeError) as found:
        x = tensor(-1.0, 2.0, -3.0)
        (x.log() * 0).sum()
    message = str(found.value)
    assert message.startswith("log(input: (3,) float32), called in test_autograd.py, line ")
    assert "`(x.log() * 0).sum()`" in message
    assert "gave nan at (0,), 2 of 3 values" in message
    assert message.endswith("Its inputs held none: input in [-3, 2]")


def test_inputs_that_were_nan_already_are_named():
    x, y = tensor(1.0, 2.0), minidl.tensor([minidl.nan, 1.0])
    message = r"mul\(input: .*, other: .*\), .* gave nan at \(0,\).* other held nan at \(0,\), 1 of 2 values"
    with detect_anomaly(), pytest.raises(RuntimeError, match=message):
        x * y
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"tensors\[1\] held nan"):
        minidl.cat([x, y])


def test_the_op_whose_vjp_made_the_first_nan_is_named():
    x = tensor(0.0, 4.0)
    with detect_anomaly():
        loss = (x.sqrt() * 0).sum()
        with pytest.raises(RuntimeError) as found:
            loss.backward()
    message = str(found.value)
    assert message.startswith("backward of sqrt(input: (2,) float32), called in test_autograd.py, line ")
    assert "`loss = (x.sqrt() * 0).sum()`" in message
    assert "gave nan at (0,), 1 of 2 values as gradient of input" in message
    assert message.endswith("The gradient that arrived had none: in [0, 0]")


def test_of_several_gradients_the_wrong_one_is_named():
    with detect_anomaly():
        loss = minidl.where(minidl.tensor([True]), tensor(1.0), (tensor(0.0) / tensor(1.0)).sqrt()).sum()
        with pytest.raises(RuntimeError, match="backward of sqrt"):
            loss.backward()
        with pytest.raises(RuntimeError, match="as gradient of exponent"):
            (tensor(-2.0) ** tensor(2.0)).sum().backward()


def test_a_gradient_that_is_nan_from_the_start():
    y = tensor(1.0) * 2
    with (
        detect_anomaly(),
        pytest.raises(RuntimeError, match=r"arrives at mul\(\).*before.*it entered backward so"),
    ):
        y.backward(minidl.tensor([minidl.nan]))


def test_infinities_are_found_if_wanted():
    x = tensor(0.0, 1.0)
    with detect_anomaly():
        assert (1 / x).tolist() == [minidl.inf, 1]
    with (
        detect_anomaly(check_inf=True),
        pytest.raises(RuntimeError, match=r"div.* gave inf at \(0,\), 1 of 2"),
    ):
        1 / x
    with detect_anomaly(check_nan=False):
        x.sub(1).log().sum().backward()


def test_nan_that_is_handled_is_no_anomaly():
    x = minidl.tensor([minidl.nan, 1.0])
    with detect_anomaly():
        assert x.isnan().tolist() == [True, False]
        assert minidl.where(x.isnan(), minidl.zeros(2), x).tolist() == [0, 1]
        assert minidl.tensor([1, 2]).sum().item() == 3


def test_nothing_is_checked_outside_the_block_and_sound_training_is_left_alone():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    with detect_anomaly():
        for _ in range(3):
            model(minidl.randn(5, 3)).square().mean().backward()
    assert minidl.tensor([-1.0]).log().isnan().all()


def test_the_watch_keeps_no_graph_alive():
    with detect_anomaly() as watch:
        for _ in range(3):
            (tensor(1.0) * 2).sum().backward()
        gc.collect()
        assert not len(watch._calls)


@pytest.mark.filterwarnings("ignore")
def test_pytorch_finds_the_same_op_backward():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = torch.tensor([0.0, 4.0], requires_grad=True)
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"SqrtBackward0.* nan"):
        (x.sqrt() * 0).sum().backward()
