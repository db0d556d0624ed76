"""Modules: what they contain, how their state travels, and PyTorch's state dicts."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.tensor import Tensor


def mlp():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


class Twice(nn.Module):
    """One layer used twice, and a buffer."""

    def __init__(self):
        self.layer = nn.Linear(4, 4)
        self.again = self.layer
        self.register_buffer("mean", minidl.zeros(4))

    def forward(self, x):
        return self.again(self.layer(x - self.mean))


def test_parameters_have_pytorchs_names_and_order():
    assert [n for n, _ in mlp().named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_shared_layer_is_counted_once():
    assert [n for n, _ in Twice().named_parameters()] == ["layer.weight", "layer.bias"]
    assert [n for n, _ in Twice().named_buffers()] == ["mean"]


def test_state_dict_round_trip():
    a, b = mlp(), mlp()
    b.load_state_dict(a.state_dict())
    x = minidl.randn(2, 4)
    assert (a(x) == b(x)).all()


def test_state_dict_is_all_or_nothing():
    model = mlp()
    before = model[0].weight.array.copy()
    state = {k: v.array + 1 for k, v in model.state_dict().items()}
    state["2.bias"] = np.zeros(7)
    with pytest.raises(RuntimeError, match=r"2\.bias: \(7,\) for \(3,\)"):
        model.load_state_dict(state)
    assert (model[0].weight.array == before).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda s: s.pop("0.bias"), "missing 0.bias"), (lambda s: s.update(x=s["0.bias"]), "unexpected x")],
)
def test_strict_state_dict_names_what_is_wrong(change, message):
    model = mlp()
    state = dict(model.state_dict())
    change(state)
    with pytest.raises(RuntimeError, match=message):
        model.load_state_dict(state)
    model.load_state_dict(state, strict=False)


def test_a_pytorch_state_dict_loads_and_gives_the_same_outputs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    model = mlp()
    model.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.testing.assert_allclose(model(Tensor(x)).array, theirs(torch.tensor(x)).detach().numpy(), atol=1e-6)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()})
    assert repr(model) == repr(theirs)


def test_modes_reach_every_module():
    model = mlp().eval()
    assert not any(m.training for m in model.modules())
    assert all(m.training for m in model.train().modules())


def test_forward_hooks_see_and_replace_and_can_be_removed():
    model, seen = mlp(), []
    remove = model[1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    model(minidl.ones(2, 4))
    remove()
    model(minidl.ones(2, 4))
    assert seen == [(2, 5)]
    model[2].register_forward_hook(lambda module, inputs, output: output * 0)
    assert model(minidl.ones(1, 4)).tolist() == [[0, 0, 0]]


def test_zero_grad_and_freezing():
    model = mlp()
    model[0].requires_grad_(False)
    model(minidl.ones(1, 4)).sum().backward()
    assert model[0].weight.grad is None
    assert model[2].weight.grad is not None
    model.zero_grad()
    assert model[2].weight.grad is None


def test_containers():
    model = mlp()
    assert len(model) == 3
    assert isinstance(model[:2], nn.Sequential)
    layers = nn.ModuleList([nn.Linear(1, 2)]).append(nn.Linear(2, 1))
    assert len(list(layers[1].parameters())) == 2
    assert len(list(layers.parameters())) == 4


def test_containers_take_nothing_but_modules():
    with pytest.raises(TypeError, match=r"position 1: ReLU is a class. Fix: make a layer of it, ReLU\(\)"):
        nn.Sequential(nn.Linear(1, 1), nn.ReLU)
    with pytest.raises(TypeError, match=r"position 0: .* is no Module"):
        nn.Sequential(abs)
    with pytest.raises(TypeError, match="ModuleList, position 1"):
        nn.ModuleList([nn.Identity()]).append(3)


def test_double_and_apply():
    model = mlp().double()
    assert model(minidl.ones(1, 4).double()).dtype == np.float64
    model.apply(lambda m: nn.init.zeros_(m.weight) if isinstance(m, nn.Linear) else None)
    assert not model[2].weight.array.any()


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="define forward"):
        nn.Module()(1)


def test_a_wrong_width_names_the_layers_rule():
    with pytest.raises(minidl.ShapeError, match=r"linear\(x: \(2, 5\).*in_features"):
        mlp()(minidl.ones(2, 5))


@pytest.mark.parametrize(
    "name", ["ReLU", "Tanh", "Sigmoid", "SiLU", "LeakyReLU", "ELU", "GELU", "Softplus", "Identity", "Flatten"]
)
def test_activation_modules_equal_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    ours, theirs = getattr(nn, name)(), getattr(torch.nn, name)()
    np.testing.assert_allclose(ours(Tensor(x)).array, theirs(torch.tensor(x)).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["MSELoss", "L1Loss", "BCEWithLogitsLoss", "CrossEntropyLoss"])
def test_loss_modules_equal_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(3, 4)).astype(np.float32), rng.dirichlet(np.ones(4), 3).astype(np.float32)
    for reduction in ("mean", "sum", "none"):
        ours, theirs = getattr(nn, name)(reduction=reduction), getattr(torch.nn, name)(reduction=reduction)
        want = theirs(torch.tensor(x), torch.tensor(t)).numpy()
        np.testing.assert_allclose(ours(Tensor(x), Tensor(t)).array, want, rtol=1e-5)


def test_softmax_modules():
    x = minidl.randn(3, 4)
    np.testing.assert_allclose(nn.Softmax(dim=1)(x).array.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(nn.LogSoftmax(1)(x).exp().array, nn.Softmax(1)(x).array, rtol=1e-5)
    assert nn.NLLLoss()(nn.LogSoftmax(1)(x), minidl.tensor([0, 1, 2])).item() > 0
    assert nn.BCELoss()(minidl.full((2,), 0.5), minidl.ones(2)).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("init", "std"),
    [
        (nn.init.xavier_normal_, np.sqrt(2 / 500)),
        (nn.init.xavier_uniform_, np.sqrt(2 / 500)),
        (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), np.sqrt(2 / 300)),
        (lambda w: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"), np.sqrt(2 / 200)),
    ],
)
def test_init_has_the_published_spread(init, std):
    minidl.manual_seed(0)
    w = init(nn.Linear(300, 200).weight)
    assert abs(w.array.mean()) < 0.01
    assert w.array.std() == pytest.approx(std, rel=0.02)


def test_init_refuses_what_has_no_fan():
    with pytest.raises(ValueError, match="two axes"):
        nn.init.xavier_normal_(minidl.zeros(3))
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.init.calculate_gain("step")
