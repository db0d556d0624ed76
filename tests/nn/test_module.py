"""Modules: what they contain, how their state travels, hooks, and PyTorch's state dicts."""

import copy
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.tensor import Tensor
from tests import parity
from tests.parity import assert_same


def mlp():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def tree(m, call_init=True):
    """A module with everything: shared layers and parameters, None in places, buffers of both kinds."""

    class Block(m.nn.Module):
        def __init__(self):
            if call_init or m.nn is not nn:
                super().__init__()
            self.register_buffer("mean", m.zeros(2))
            self.scale = m.nn.Parameter(m.ones(2))
            self.register_parameter("missing", None)
            self.register_buffer("seen", m.tensor(3), persistent=False)
            self.register_buffer("nothing", None)

    class Tree(m.nn.Module):
        def __init__(self):
            if call_init or m.nn is not nn:
                super().__init__()
            self.late = None
            self.first = m.nn.Linear(2, 3)
            self.own = m.nn.Parameter(m.zeros(3), requires_grad=False)
            self.block = Block()
            self.again = self.first
            self.block.alias = self.own
            self.empty = None
            self.add_module("gone", None)
            self.note = "text"
            self.late = m.nn.Parameter(m.ones(1))
            self.layers = m.nn.Sequential(m.nn.BatchNorm1d(2), m.nn.ReLU())

    return Tree()


WALKS = [
    "[n for n, _ in t.named_parameters()]",
    "[n for n, _ in t.named_parameters('pre', recurse=False)]",
    "[n for n, _ in t.named_parameters(remove_duplicate=False)]",
    "[n for n, _ in t.named_buffers()]",
    "[n for n, _ in t.named_buffers('pre', False)]",
    "[n for n, _ in t.named_modules()]",
    "[n for n, _ in t.named_modules(prefix='pre', remove_duplicate=False)]",
    "[n for n, _ in t.named_children()]",
    "[type(c).__name__ for c in t.modules()], [type(c).__name__ for c in t.children()]",
    "len(list(t.parameters())), len(list(t.parameters(recurse=False)))",
    "len(list(t.buffers())), len(list(t.buffers(False)))",
    "list(t.state_dict())",
    "list(t.state_dict(prefix='model.'))",
    "[v.requires_grad for v in t.state_dict(keep_vars=True).values()]",
    "[v.requires_grad for v in t.state_dict().values()]",
    "list(t.state_dict(destination={'a': 1}))",
    "t.get_submodule('block') is t.block, t.get_submodule('') is t",
    "type(t.get_submodule('layers.0')).__name__",
    "t.get_parameter('first.weight') is t.first.weight, t.get_buffer('block.mean') is t.block.mean",
    "t.get_buffer('block.nothing')",
    "hasattr(t, 'gone'), t.gone, t.note, t.late is None, hasattr(t, 'no')",
    "t.get_submodule('block.no')",
    "t.get_submodule('note')",
    "t.get_submodule('gone')",
    "t.get_parameter('block.mean')",
    "t.get_parameter('block.missing')",
    "t.get_buffer('own')",
    "t.get_buffer('nowhere')",
    "repr(t)",
    "repr(t.load_state_dict(t.state_dict()))",
    "(t.eval(), t.training, t.layers[0].training, t.train(), t.layers[0].training)[1:3]",
    "t.train('no')",
    "(t.requires_grad_(False), [p.requires_grad for p in t.parameters()])[1]",
    "(lambda seen: (t.apply(lambda x: seen.append(type(x).__name__)), seen)[1])([])",
]


@pytest.mark.parametrize("call_init", [True, False], ids=["with super().__init__()", "without"])
def test_what_is_inside_is_what_pytorch_finds(call_init):
    for walk in WALKS:
        assert_same(lambda m, walk=walk: eval(walk, {"t": tree(m, call_init)}))


CHANGES = [
    "t.own = m.zeros(3)",
    "t.own = 3",
    "t.own = t.first",
    "t.own = None",
    "t.own = None; t.own = m.nn.Parameter(m.ones(2))",
    "t.first = None",
    "t.first = 3",
    "t.first = m.nn.Parameter(m.ones(2))",
    "t.first = m.nn.ReLU()",
    "t.gone = m.nn.ReLU()",
    "t.block.mean = m.ones(5)",
    "t.block.mean = None",
    "t.block.mean = 3",
    "t.block.mean = m.nn.Parameter(m.ones(5))",
    "t.block.mean = m.nn.ReLU()",
    "t.block.seen = m.ones(2)",
    "t.block.seen = m.nn.Parameter(m.ones(2))",
    "t.register_buffer('note', m.ones(1))",
    "t.register_buffer('a.b', m.ones(1))",
    "t.register_buffer('', m.ones(1))",
    "t.register_buffer(3, m.ones(1))",
    "t.register_buffer('x', 3)",
    "t.register_buffer('x', m.nn.Parameter(m.ones(1)))",
    "t.block.register_buffer('mean', m.ones(1), persistent=False)",
    "t.block.register_buffer('seen', m.ones(1))",
    "t.register_parameter('note', m.nn.Parameter(m.ones(1)))",
    "t.register_parameter('own', m.nn.Parameter(m.ones(1)))",
    "t.register_parameter('x', m.ones(1))",
    "t.register_parameter('a.b', None)",
    "t.register_parameter('first', None)",
    "t.add_module('own', m.nn.ReLU())",
    "t.add_module('x', m.nn.ReLU)",
    "t.add_module('x.y', m.nn.ReLU())",
    "t.register_module('x', m.nn.ReLU())",
    "del t.own",
    "del t.first",
    "del t.block.seen; t.block.register_buffer('seen', m.ones(1))",
    "del t.note",
    "del t.nowhere",
    "del t.own; t.own = m.ones(3)",
    "t.x = m.ones(3)",
    "t.note = m.nn.ReLU()",
    "t.note = m.nn.Parameter(m.ones(1))",
]


def test_attributes_are_assigned_and_deleted_as_in_pytorch():
    def changed(m, change):
        t = tree(m)
        exec(change, {"t": t, "m": m})
        names = [n for n, _ in t.named_parameters()], [n for n, _ in t.named_buffers()]
        return *names, [n for n, _ in t.named_modules()], list(t.state_dict()), repr(t)

    for change in CHANGES:
        assert_same(lambda m, change=change: changed(m, change))


def test_a_tensor_in_the_place_of_a_parameter_is_refused_with_advice():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"'Tensor' as parameter 'weight'.*Fix: wrap it, nn\.Parameter"):
        layer.weight = minidl.ones(2, 2)
    assert isinstance(layer.weight, nn.Parameter)


def test_parameters():
    p = nn.Parameter(minidl.ones(2))
    assert p.requires_grad
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert nn.Parameter().shape == (0,)
    t = minidl.ones(2)
    assert np.shares_memory(nn.Parameter(t).array, t.array)
    with pytest.raises(RuntimeError, match="floating-point"):
        nn.Parameter(minidl.tensor([1, 2]))
    assert not nn.Parameter(minidl.tensor([1, 2]), requires_grad=False).requires_grad


# -- state ---------------------------------------------------------------------------------------------


def test_state_dict_round_trip():
    a, b = mlp(), mlp()
    assert b.load_state_dict(a.state_dict()) == ([], [])
    x = minidl.randn(2, 4)
    assert (a(x) == b(x)).all()


def test_state_dict_is_all_or_nothing():
    model = mlp()
    before = model[0].weight.array.copy()
    state = {k: v.array + 1 for k, v in model.state_dict().items()}
    state["2.bias"] = np.zeros(7)
    message = r"size mismatch for 2\.bias: .* shape \(7,\) .* current model is \(3,\)"
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=message):
            model.load_state_dict(state, strict=strict)
    assert (model[0].weight.array == before).all()


def test_load_state_dict_names_everything_that_is_wrong():
    state = mlp().state_dict()
    state["x.y"], state["2.bias"], state["2.weight"] = (
        state.pop("0.bias"),
        minidl.zeros(1),
        minidl.zeros(2, 2),
    )
    with pytest.raises(RuntimeError) as refused:
        mlp().load_state_dict(state)
    assert str(refused.value).split("\n\t") == [
        "Error(s) in loading state_dict for Sequential:",
        'Missing key(s) in state_dict: "0.bias".',
        'Unexpected key(s) in state_dict: "x.y".',
        "size mismatch for 2.weight: copying a param with shape (2, 2) from checkpoint, the shape in "
        "current model is (3, 5).",
        "size mismatch for 2.bias: copying a param with shape (1,) from checkpoint, the shape in current "
        "model is (3,).",
        "Fix: build the model that the state comes from",
    ]
    state = mlp().state_dict()
    state["x.y"] = state.pop("0.bias")
    keys = mlp().load_state_dict(state, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["0.bias"], ["x.y"])


def test_load_state_dict_refuses_what_it_cannot_do():
    model = mlp()
    with pytest.raises(NotImplementedError, match="assign=True"):
        model.load_state_dict(model.state_dict(), assign=True)
    with pytest.raises(TypeError, match="dict-like"):
        model.load_state_dict([1])
    with pytest.raises(RuntimeError, match=r'"0\.bias" must be a tensor, not a list'):
        model.load_state_dict({**model.state_dict(), "0.bias": [0.0] * 5})


def test_values_of_another_dtype_are_converted():
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": np.array([[1, 2]]), "bias": minidl.tensor([0.5]).double()})
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    assert layer.weight.tolist() == [[1, 2]]
    assert layer.bias.item() == 0.5


def test_a_state_dict_shares_memory_with_the_module():
    layer = nn.Linear(2, 1)
    layer.state_dict()["bias"].zero_()
    assert layer.bias.item() == 0


def test_a_pytorch_state_dict_loads_and_gives_the_same_outputs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    model = mlp()
    model.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.testing.assert_allclose(model(Tensor(x)).array, theirs(torch.tensor(x)).detach().numpy(), atol=1e-6)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()})
    assert repr(model) == repr(theirs)


def test_a_deep_copy_owns_its_memory():
    """After an optimiser laid the parameters into one flat array, too."""
    model = tree(parity.ours())
    model.first(minidl.ones(1, 2)).sum().backward()
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    twin = copy.deepcopy(model)
    assert twin.again is twin.first
    assert twin.block.alias is twin.own
    assert list(twin.state_dict()) == list(model.state_dict())
    assert twin.first.weight.grad is None
    before = twin.first.weight.array.copy()
    optimizer.step()
    assert (twin.first.weight.array == before).all()
    assert (model.first.weight.array != before).all()
    for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert not np.shares_memory(a.array, b.array)


def test_a_module_survives_pickling():
    model = mlp()
    twin = pickle.loads(pickle.dumps(model))
    assert repr(twin) == repr(model)
    assert (twin(minidl.ones(1, 4)) == model(minidl.ones(1, 4))).all()


# -- modes and conversion ------------------------------------------------------------------------------


def test_modes_reach_every_module():
    model = mlp().eval()
    assert not any(m.training for m in model.modules())
    assert all(m.training for m in model.train().modules())


def test_zero_grad_and_freezing():
    model = mlp()
    model[0].requires_grad_(False)
    model(minidl.ones(1, 4)).sum().backward()
    assert model[0].weight.grad is None
    assert model[2].weight.grad is not None
    model.zero_grad(set_to_none=False)
    assert not model[2].weight.grad.any()
    model.zero_grad()
    assert model[2].weight.grad is None


CONVERSIONS = [
    "t.double()",
    "t.float()",
    "t.double().float()",
    "t.to(m.float64)",
    "t.to('cpu')",
    "t.to('cpu', m.float64)",
    "t.to(dtype=m.float64)",
    "t.to(m.ones(1, dtype=m.float64))",
    "t.to(device='cpu')",
    "t.cpu()",
    "t.type(m.float64)",
    "t.requires_grad_(False).type(m.int32)",
    "t.type(m.int32)",
    "t.to(m.int64)",
    "t.to(m.bool)",
]


def test_conversions_equal_pytorchs():
    def converted(m, conversion):
        t = tree(m)
        t.first(m.ones(1, 2)).sum().backward()
        result = eval(conversion, {"t": t, "m": m})
        tensors = [*t.parameters(), *t.buffers()]
        kinds = [str(x.dtype).removeprefix("torch.") for x in tensors]
        grads = [x.grad is None or x.grad.dtype == x.dtype for x in tensors]
        return kinds, grads, result is t, t.own is t.block.alias

    for conversion in CONVERSIONS:
        assert_same(lambda m, conversion=conversion: converted(m, conversion))


def test_conversions_that_are_refused_say_why():
    with pytest.raises(NotImplementedError, match="float16 is not part"):
        mlp().half()
    model = mlp()
    model(minidl.ones(1, 4)).sum().backward()
    with pytest.raises(NotImplementedError, match="float16"):
        model.type(np.float16)
    assert model[0].weight.grad is not None
    with pytest.raises(RuntimeError, match="CUDA: "):
        mlp().cuda()
    with pytest.raises(RuntimeError, match="CUDA: "):
        mlp().to("cuda:0")
    with pytest.raises(TypeError, match="floating-point dtypes, not int64"):
        mlp().to(minidl.int64)


def test_training_goes_on_after_a_conversion():
    """The optimiser's flat buffers are of the old dtype; gradients must not land there."""
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model.double().float()
    before = model.weight.array.copy()
    model(minidl.ones(1, 2)).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(model.weight.array, before - 0.1, rtol=1e-6)
    model.float()  # nothing to convert: nothing changes
    optimizer.zero_grad()
    model(minidl.ones(1, 2)).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(model.weight.array, before - 0.2, rtol=1e-6)


def test_apply():
    model = mlp().apply(lambda m: nn.init.zeros_(m.weight) if isinstance(m, nn.Linear) else None)
    assert not model[2].weight.array.any()


# -- hooks ---------------------------------------------------------------------------------------------


def test_forward_hooks_see_and_replace_and_can_be_removed():
    model, seen = mlp(), []
    handle = model[1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    model(minidl.ones(2, 4))
    handle.remove()
    model(minidl.ones(2, 4))
    assert seen == [(2, 5)]
    with model[2].register_forward_hook(lambda module, inputs, output: output * 0):
        assert model(minidl.ones(1, 4)).tolist() == [[0, 0, 0]]
    assert model(minidl.ones(1, 4)).tolist() != [[0, 0, 0]]


def two_in(m, fail=False):
    """x, y -> x w + y, x; with a setting."""

    class TwoIn(m.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = m.nn.Parameter(m.tensor([2.0, 3.0]))

        def forward(self, x, y=None, factor=1):
            if fail:
                raise ValueError("it fails")
            return (x * self.w + (0 if y is None else y)) * factor, x * x

    return TwoIn()


def shown(values):
    """Tensors as lists, in nested tuples and dicts."""
    if isinstance(values, (tuple, list)):
        return [shown(v) for v in values]
    if isinstance(values, dict):
        return {k: shown(v) for k, v in values.items()}
    return values.tolist() if hasattr(values, "tolist") else values


HOOKED = {
    "order": """
for name in "abc":
    t.register_forward_hook(lambda t, a, o, name=name: log.append((name, a, o)), prepend=name == "c")
    t.register_forward_pre_hook(lambda t, a, name=name: log.append((name, a)), prepend=name == "c")
""",
    "with kwargs": """
t.register_forward_pre_hook(lambda t, a, k: log.append((a, k)), with_kwargs=True)
t.register_forward_hook(lambda t, a, k, o: log.append((a, k, o)), with_kwargs=True)
""",
    "replaced": """
t.register_forward_pre_hook(lambda t, a: a[0] * 10)
t.register_forward_pre_hook(lambda t, a: (a[0] + 1, a[0]))
t.register_forward_hook(lambda t, a, o: (o[0] * 7, o[1]))
t.register_forward_hook(lambda t, a, o: log.append((a, o)))
""",
    "kwargs replaced": """
t.register_forward_pre_hook(lambda t, a, k: ((a[0],), {"factor": 5}), with_kwargs=True)
""",
    "kwargs replaced wrongly": """
t.register_forward_pre_hook(lambda t, a, k: a, with_kwargs=True)
""",
    "removed while called": """
h = t.register_forward_hook(lambda t, a, o: h.remove())
t.register_forward_hook(lambda t, a, o: log.append(o))
t(x)
""",
    "full backward": """
t.register_full_backward_hook(lambda t, i, o: log.append((i, o)))
""",
    "full backward, no gradient wanted at the inputs": """
x, y = x.detach(), y.detach()
t.register_full_backward_hook(lambda t, i, o: log.append((i, o)))
""",
    "full backward, one gradient wanted": """
y = y.detach()
t.register_full_backward_hook(lambda t, i, o: log.append((i, o)))
""",
    "full backward replaced": """
t.register_full_backward_hook(lambda t, i, o: (i[0] * 2, None if len(i) < 2 else i[1] + 1)[:len(i)])
t.register_full_backward_hook(lambda t, i, o: log.append((i, o)))
t.register_full_backward_hook(lambda t, i, o: log.append(("first", i, o)), prepend=True)
""",
    "full backward of the wrong length": """
t.register_full_backward_hook(lambda t, i, o: i + i)
""",
    "backward pre": """
t.register_full_backward_pre_hook(lambda t, o: log.append(o))
t.register_full_backward_pre_hook(lambda t, o: tuple(g * 3 for g in o))
t.register_full_backward_hook(lambda t, i, o: log.append((i, o)))
""",
    "backward pre of the wrong length": """
t.register_full_backward_pre_hook(lambda t, o: o[:1])
""",
    "all at once": """
t.register_forward_pre_hook(lambda t, a: tuple(v * 2 for v in a))
t.register_full_backward_hook(lambda t, i, o: log.append((i, o)))
t.register_forward_hook(lambda t, a, o: (o[0] * 3, o[1]))
h = t.register_full_backward_hook(lambda t, i, o: log.append(1))
h.remove()
""",
}
CALLS = ["t(x)[0]", "t(x, y)[0]", "sum(t(x, y))", "t(x, y=y, factor=2)[0]", "t(t(x)[0], y)[0]"]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("hooks", HOOKED.values(), ids=HOOKED)
@pytest.mark.parametrize("call", CALLS)
def test_hooks_see_and_change_what_pytorchs_do(hooks, call):
    def run(m):
        names = {"t": two_in(m), "log": [], "m": m}
        names["x"], names["y"] = (m.tensor(v, requires_grad=True) for v in ([1.0, -2.0], [0.5, 4.0]))
        leaves = names["x"], names["y"], names["t"].w
        exec(hooks, names)
        names["log"].clear()
        loss = eval(call, names)
        loss.backward(m.tensor([1.0, 10.0]))
        return shown([loss, names["log"], [None if v.grad is None else v.grad for v in leaves]])

    assert_same(run)


@pytest.mark.parametrize("always", [True, False])
def test_hooks_after_an_error(always):
    def run(m):
        module, log = two_in(m, fail=True), []
        module.register_forward_hook(lambda t, a, o: log.append(o), always_call=always)
        with pytest.raises(ValueError, match="it fails"):
            module(m.ones(2))
        return log

    assert_same(run)


def test_backward_hooks_of_every_layer_see_the_gradients_that_pytorch_computes():
    def run(m):
        model, log = m.nn.Sequential(m.nn.Linear(2, 3), m.nn.Tanh(), m.nn.Linear(3, 1)), []
        with m.no_grad():
            for i, p in enumerate(model.parameters()):
                p.copy_(m.arange(p.numel()).reshape(p.shape) * 0.1 - 0.1 * i)
        for layer in model:
            layer.register_full_backward_hook(lambda t, i, o: log.append((type(t).__name__, i, o)))
        model(m.tensor([[1.0, 2.0]], requires_grad=True)).sum().backward()
        return [(name, np.round(shown([*i, *o]), 5).tolist()) for name, i, o in log if name != "Tanh"]

    assert_same(run)


def test_backward_hooks_keep_dtypes_apart():
    module = two_in(parity.ours())
    module.register_full_backward_hook(lambda t, i, o: seen.extend(g.dtype for g in (*i, *o)))
    seen, x, y = (
        [],
        minidl.ones(2, requires_grad=True),
        minidl.ones(2, dtype=minidl.float64, requires_grad=True),
    )
    out = module(x, y)
    sum(out).sum().backward()
    assert [o.dtype for o in out] == [np.float64, np.float32]
    assert seen == [np.float32, np.float64, np.float64, np.float32]


def test_an_unused_output_shows_no_gradient():
    """PyTorch does the same; what only led to that output gets a gradient of 0 here, none there."""
    module, seen = two_in(parity.ours()), []
    module.register_full_backward_hook(lambda t, i, o: seen.append(shown(o)))
    module(minidl.ones(2, requires_grad=True))[1].sum().backward()
    assert seen == [[None, [1, 1]]]
    assert module.w.grad.tolist() == [0, 0]


def test_backward_hooks_do_nothing_without_gradients():
    module, seen = two_in(parity.ours()), []
    module.register_full_backward_hook(lambda t, i, o: seen.append(1))
    with minidl.no_grad():
        assert module(minidl.ones(2))[0].tolist() == [2, 3]
    assert not seen


def test_backward_hooks_of_an_output_that_is_no_tensor_warn():
    class Named(nn.Module):
        def forward(self, x):
            return {"y": x * 2}

    module = Named()
    module.register_full_backward_hook(lambda t, i, o: None)
    with pytest.warns(UserWarning, match="need a tensor or a tuple as output, not a dict"):
        module(minidl.ones(2, requires_grad=True))


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="define forward"):
        nn.Module()(1)


def test_a_wrong_width_names_the_layers_rule():
    with pytest.raises(minidl.ShapeError, match=r"linear\(input: \(2, 5\).*in_features"):
        mlp()(minidl.ones(2, 5))
