"""Models train on the device as on the CPU: data in, loss out, and nothing else crosses over."""

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.kernels.cuda import graphs
from minidl.nn import functional as F


def losses(model, optimizer, x, y, steps=3):
    out = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        out.append(loss.item())
    return out


def mlp():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: optim.Adam(p, lr=0.01),
        lambda p: optim.AdamW(p, lr=0.01),
        lambda p: optim.RMSprop(p, lr=0.01),
        lambda p: optim.Adagrad(p, lr=0.01),
    ],
)
def test_a_network_trains_alike(make):
    minidl.manual_seed(0)
    x, y = minidl.randn(10, 6), minidl.randint(0, 3, (10,))
    here = mlp()
    there = mlp()
    there.load_state_dict(here.state_dict())
    there.to("cuda")
    want = losses(here, make(here.parameters()), x, y)
    got = losses(there, make(there.parameters()), x.cuda(), y.cuda())
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert {p.device for p in there.parameters()} == {"cuda"}
    for p, q in zip(here.parameters(), there.cpu().parameters(), strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), atol=1e-5)


def test_a_model_can_be_made_on_the_device():
    minidl.manual_seed(0)
    here = nn.Linear(3, 2)
    minidl.manual_seed(0)
    with minidl.device("cuda"):
        there = nn.Linear(3, 2)
        assert minidl.zeros(2).device == "cuda"
    assert minidl.zeros(2).device == "cpu"
    assert there.weight.device == "cuda"
    np.testing.assert_array_equal(there.weight.cpu().detach().numpy(), here.weight.detach().numpy())


def test_a_conversion_stays_where_its_tensor_is():
    assert minidl.astype(minidl.ones(2).cuda(), dtype=minidl.float64).device == "cuda"


def test_tensors_of_one_value_are_made_on_the_device():
    """A capture refuses what is sent from the host, as the first states of a recurrent layer once were."""
    layer, x = nn.LSTM(3, 4).cuda(), minidl.randn(2, 1, 3).cuda()
    graph = graphs.graph_of(lambda: layer(x))
    assert len(graph) > 0
    with graphs.capture():
        made = [
            minidl.zeros(2, 3, device="cuda"),
            minidl.ones(2, device="cuda"),
            minidl.full((2,), 7, device="cuda"),
        ]
    assert [t.device for t in made] == ["cuda"] * 3


def test_tensors_of_two_places_do_not_meet():
    with pytest.raises(TypeError, match="GPU"):
        minidl.ones(2).cuda() + minidl.ones(2)
    with pytest.raises(TypeError, match=r"t\.cpu\(\)"):
        minidl.ones(2).cuda().numpy()


def test_gradients_flow_between_devices():
    x = minidl.ones(3, requires_grad=True)
    (x.cuda() * 2).sum().cpu().backward()
    assert x.grad.device == "cpu"
    np.testing.assert_array_equal(x.grad.numpy(), [2, 2, 2])
