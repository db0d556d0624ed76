"""Optimisers: steps like PyTorch's, state that carries over both ways, and the flat buffers behind."""

import copy
import inspect
import itertools
import threading
import tracemalloc

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.nn import functional as F
from minidl.tensor import Tensor


def grid(**options):
    """Every combination of the options, as settings."""
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


SETTINGS = {
    "SGD": [
        *grid(lr=[0.1], momentum=[0, 0.9], dampening=[0, 0.3], weight_decay=[0, 0.1], maximize=[False, True]),
        *grid(lr=[0.1], momentum=[0.9], nesterov=[True], weight_decay=[0, 0.1], maximize=[False, True]),
    ],
    "Adagrad": grid(
        lr_decay=[0, 0.1], weight_decay=[0, 0.1], initial_accumulator_value=[0, 0.5], eps=[1e-10, 0.1]
    ),
    "RMSprop": grid(
        alpha=[0.99, 0.5], weight_decay=[0, 0.1], momentum=[0, 0.9], centered=[False, True], eps=[1e-8, 0.1]
    ),
    "Adam": grid(
        betas=[(0.9, 0.999), (0.0, 0.5)], weight_decay=[0, 0.1], amsgrad=[False, True], eps=[1e-8, 0.1],
        decoupled_weight_decay=[False, True],
    ),
    "AdamW": grid(betas=[(0.9, 0.999), (0.5, 0.7)], weight_decay=[0, 0.1], amsgrad=[False, True]),
}  # fmt: skip
PAIRS = [(name, settings) for name, many in SETTINGS.items() for settings in many]
SMALL, LARGE = [(3, 4), (), (0, 2), (5,), (1, 1, 2)], [(70, 80), (), (3,)]
TOLERANCE = {np.float32: {"rtol": 1e-5, "atol": 1e-5}, np.float64: {"rtol": 1e-10, "atol": 1e-10}}


def twins(shapes, dtypes):
    """The same random parameters in minidl and in PyTorch."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    values = [rng.normal(size=s).astype(d) for s, d in zip(shapes, itertools.cycle(dtypes), strict=False)]
    return [nn.Parameter(Tensor(v.copy())) for v in values], [
        torch.nn.Parameter(torch.tensor(v)) for v in values
    ]


def train(ours, theirs, parameters, steps, rng, seldom=0.7):
    """Both optimisers take steps on the same random gradients, which some parameters lack."""
    import torch

    for _ in range(steps):
        for p, q in zip(*parameters, strict=True):
            p.grad = q.grad = None
            if rng.random() < seldom:
                g = np.asarray(rng.normal(size=p.shape), p.dtype)
                p.grad, q.grad = Tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()


def assert_same(parameters, ours, theirs, tolerance):
    for p, q in zip(*parameters, strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), **tolerance)
    mine, want = ours.state_dict(), theirs.state_dict()
    assert mine["param_groups"] == want["param_groups"]
    assert mine["state"].keys() == want["state"].keys()
    for i, state in want["state"].items():
        assert list(mine["state"][i]) == list(state)
        for name, value in state.items():
            assert f"torch.{mine['state'][i][name].dtype}" == str(value.dtype)
            # a mean of few gradients may cancel to nearly 0
            np.testing.assert_allclose(mine["state"][i][name].array, value.numpy(), **tolerance)


def make_both(name, parameters, settings):
    """Our optimiser and PyTorch's over two groups, the second with settings of its own."""
    import torch

    return [
        getattr(m, name)(
            [{"params": ps[:2]}, {"params": ps[2:], "lr": 0.03, "weight_decay": 0.2}], **settings
        )
        for m, ps in zip((optim, torch.optim), parameters, strict=True)
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "settings"), PAIRS)
def test_thirty_steps_like_pytorchs(name, settings, dtype):
    parameters, rng = twins(SMALL, [dtype]), np.random.default_rng(1)
    ours, theirs = make_both(name, parameters, settings)
    train(ours, theirs, parameters, 15, rng)
    for optimizer in (ours, theirs):
        optimizer.param_groups[0]["lr"] *= 0.3
    train(ours, theirs, parameters, 15, rng)
    assert_same(parameters, ours, theirs, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "settings"), [(n, s) for n, many in SETTINGS.items() for s in many[::5]])
def test_compiled_steps_like_pytorchs(name, settings, dtype):
    parameters = twins(LARGE, [dtype])
    ours, theirs = make_both(name, parameters, {**settings, "maximize": True})
    train(ours, theirs, parameters, 30, np.random.default_rng(1), seldom=1)
    for p, q in zip(*parameters, strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), **TOLERANCE[dtype])


@pytest.mark.parametrize("direction", ["from PyTorch", "to PyTorch"])
@pytest.mark.parametrize("name", SETTINGS)
def test_state_carries_over(name, direction):
    parameters, rng = twins(SMALL, [np.float64]), np.random.default_rng(1)
    import torch

    settings = SETTINGS[name][-1]
    ours, theirs = make_both(name, parameters, settings)
    train(ours, theirs, parameters, 3, rng, seldom=0.5)
    state = (theirs if direction == "from PyTorch" else ours).state_dict()
    ours, theirs = make_both(name, parameters, {})
    if direction == "from PyTorch":
        theirs.load_state_dict(state)
        ours.load_state_dict(state)
    else:
        ours.load_state_dict(state)
        tensors = {i: {k: torch.tensor(t.numpy()) for k, t in s.items()} for i, s in state["state"].items()}
        theirs.load_state_dict({**state, "state": tensors})
    train(ours, theirs, parameters, 30, rng)
    assert_same(parameters, ours, theirs, TOLERANCE[np.float64])


@pytest.mark.parametrize("name", SETTINGS)
def test_nan_and_infinite_gradients_like_pytorchs(name):
    parameters = twins([(6,)], [np.float32])
    import torch

    ours, theirs = (getattr(m, name)(ps) for m, ps in zip((optim, torch.optim), parameters, strict=True))
    g = np.array([np.nan, np.inf, -np.inf, 1e30, 1e-30, 0], np.float32)
    parameters[0][0].grad, parameters[1][0].grad = Tensor(g), torch.tensor(g)
    for _ in range(2):
        ours.step()
        theirs.step()
    np.testing.assert_allclose(parameters[0][0].array, parameters[1][0].detach().numpy(), rtol=1e-5)


def test_several_dtypes_in_one_group():
    parameters = twins(SMALL, [np.float32, np.float64])
    ours, theirs = make_both("Adam", parameters, {})
    train(ours, theirs, parameters, 30, np.random.default_rng(1))
    assert_same(parameters, ours, theirs, TOLERANCE[np.float32])
    assert [p.dtype for p in parameters[0]] == [np.float32, np.float64, np.float32, np.float64, np.float32]


def test_momentum_that_begins_later_begins_with_the_gradient():
    parameters, rng = twins(SMALL, [np.float64]), np.random.default_rng(1)
    ours, theirs = make_both("SGD", parameters, {"dampening": 0.5})
    for momentum in (0, 0.9, 0, 0.5):
        for optimizer in (ours, theirs):
            optimizer.param_groups[0]["momentum"] = momentum
        train(ours, theirs, parameters, 4, rng)
    assert_same(parameters, ours, theirs, TOLERANCE[np.float64])


@pytest.mark.parametrize("name", SETTINGS)
def test_signatures_are_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    mine, want = (
        [(p.name, p.kind, p.default) for p in inspect.signature(getattr(m, name)).parameters.values()]
        for m in (optim, torch.optim)
    )
    assert mine == want


def test_repr_is_pytorchs():
    parameters = twins(SMALL, [np.float32])
    ours, theirs = make_both("Adam", parameters, {})
    assert repr(ours) == repr(theirs)


def test_lr_and_betas_may_be_tensors():
    p = nn.Parameter(minidl.ones(1))
    lr = minidl.tensor(0.5)
    optimizer = optim.SGD([p], lr=lr)
    p.grad = minidl.ones(1)
    optimizer.step()
    lr.fill_(0.25)
    optimizer.step()
    assert p.item() == 0.25
    betas = (minidl.tensor(0.5), minidl.tensor(0.75))
    assert optim.Adam([p], betas=betas).param_groups[0]["betas"] == (0.5, 0.75)


# -- parameters and groups ---------------------------------------------------------------------------


def problem(width=5):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 3))
    return model, Tensor(rng.normal(size=(16, 6)).astype(np.float32)), Tensor(rng.integers(0, 3, 16))


def test_parameters_without_gradient_stay_and_keep_their_step_count():
    a, b, c = (nn.Parameter(minidl.ones(2)) for _ in range(3))
    optimizer = optim.Adam([a, b, c], lr=0.1)
    (a.sum() + c.sum()).backward()
    optimizer.step()
    assert b.tolist() == [1, 1]
    assert a.tolist() == c.tolist() != [1, 1]
    assert optimizer.state.keys() == {a, c}
    optimizer.zero_grad()
    (a.sum() + b.sum() + c.sum()).backward()
    optimizer.step()
    np.testing.assert_allclose(b.array, 0.9, rtol=1e-5)  # its own first step, bias-corrected as such
    assert [optimizer.state[p]["step"].item() for p in (a, b, c)] == [2, 1, 2]


def test_one_flat_slice_for_a_whole_model():
    model, x, y = problem()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model(x), y).backward()
    flat = optimizer._flat[0][0]
    assert [(s.start, s.stop) for s, _ in flat.runs(count=True)] == [(0, flat.weight.size)]
    assert all(p.array.base is flat.weight and p._grad.base is flat.gradient for p in model.parameters())


def test_a_second_optimiser_takes_over_without_loss():
    model, x, y = problem()
    first, second = (optim.SGD(model.parameters(), lr=0.1) for _ in range(2))
    before = [p.array.copy() for p in model.parameters()]
    F.cross_entropy(model(x), y).backward()
    gradients = [p.grad.array.copy() for p in model.parameters()]
    for steps, optimizer in enumerate((first, second), 1):
        optimizer.step()
        for p, w, g in zip(model.parameters(), before, gradients, strict=True):
            np.testing.assert_allclose(p.array, w - np.float32(0.1 * steps) * g, rtol=1e-4, atol=1e-6)


def test_values_that_were_replaced_are_found_and_state_is_kept():
    parameters, rng = twins(SMALL, [np.float64]), np.random.default_rng(1)
    ours, theirs = make_both("Adam", parameters, {})
    train(ours, theirs, parameters, 5, rng)
    for p, q in zip(*parameters, strict=True):
        p.data, q.data = p.data * 2, q.data * 2
    train(ours, theirs, parameters, 5, rng)
    parameters[0][0].data, parameters[0][1].data = minidl.ones(3, 4).double(), parameters[0][1].data
    parameters[1][0].data.fill_(1)
    train(ours, theirs, parameters, 5, rng)
    assert_same(parameters, ours, theirs, TOLERANCE[np.float64])


def test_a_model_may_change_its_dtype():
    model, x, y = problem()
    optimizer = optim.Adam(model.parameters())
    for dtype, data in ((np.float32, x), (np.float64, x.double())):
        model.to(dtype)
        optimizer.zero_grad()
        F.cross_entropy(model(data), y).backward()
        optimizer.step()
        assert {p.dtype for p in model.parameters()} == {np.dtype(dtype)}
    assert {s["exp_avg"].dtype for s in optimizer.state.values()} == {np.dtype(np.float64)}
    model[0].float()
    optimizer.step()
    assert [p.dtype for p in model.parameters()] == [np.float32] * 2 + [np.float64] * 2


def test_a_copy_of_model_and_optimiser_goes_its_own_way():
    model, x, y = problem()
    optimizer = optim.Adam(model.parameters(), lr=0.1)

    def step(model, optimizer):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        return [p.array.copy() for p in model.parameters()]

    step(model, optimizer)
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    after = step(model, optimizer)
    for p, q in zip(step(twin, twin_optimizer), after, strict=True):
        assert (p == q).all()
    step(twin, twin_optimizer)
    assert all((p.array == q).all() for p, q in zip(model.parameters(), after, strict=True))


def test_groups_and_live_changes():
    a, b, c = (nn.Parameter(minidl.ones(1)) for _ in range(3))
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 1.0}], lr=0.1)
    (a + b + c).sum().backward()
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [0.9, 0, 1], atol=1e-6)
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.add_param_group({"params": [c], "weight_decay": 1.0})
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [0.4, -1, 0.8], atol=1e-6)
    optimizer.param_groups[2]["params"] = []
    optimizer.step()
    np.testing.assert_allclose([a.item(), c.item()], [-0.1, 0.8], atol=1e-6)


def test_a_group_that_is_taken_away_stays_as_it_is():
    parameters, rng = twins(SMALL, [np.float64]), np.random.default_rng(1)
    both = make_both("Adam", parameters, {})
    train(*both, parameters, 4, rng)
    for optimizer in both:
        del optimizer.param_groups[0]
    train(*both, parameters, 4, rng)
    for p, q in zip(*parameters, strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-10)
    assert both[0].state_dict()["state"].keys() == {0, 1, 2}


def test_names_of_parameters_are_kept():
    model, _, _ = problem()
    optimizer = optim.SGD(model.named_parameters(), lr=0.1)
    names = [name for name, _ in model.named_parameters()]
    assert optimizer.param_groups[0]["param_names"] == names
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == names
    del saved["param_groups"][0]["param_names"]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["param_names"] == names


def test_zero_grad_to_none_or_zeros():
    p = nn.Parameter(minidl.ones(2))
    optimizer = optim.SGD([p], lr=0.1)
    p.sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert p.grad is None


def test_a_closure_computes_the_loss_anew():
    p = nn.Parameter(minidl.tensor([3.0]))
    optimizer = optim.SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    with minidl.no_grad():
        assert optimizer.step(closure).item() == 9
    assert p.item() == pytest.approx(3 - 0.1 * 6)
    assert optimizer.step() is None


def test_optimisers_of_ones_own():
    class Sign(optim.Optimizer):  # on flat arrays
        def _starts(self, group):
            return {"count": 0}

        def _update(self, group, step, w, g, count):
            count += 1
            w -= group["lr"] * np.sign(g) * count

    class Plain(optim.Optimizer):  # as one would in PyTorch
        def step(self):
            with minidl.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p -= group["lr"] * p.grad

    p = nn.Parameter(minidl.ones(2))
    p.grad = minidl.tensor([3.0, -2.0])
    optimizer = Sign([p], {"lr": 0.25})
    for _ in range(2):
        optimizer.step()
    assert p.tolist() == [0.25, 1.75]
    assert optimizer.state[p]["count"].tolist() == [2, 2]
    Plain([p], {"lr": 1.0}).step()
    assert p.tolist() == [-2.75, 3.75]
    with pytest.raises(NotImplementedError, match="no _update"):
        optim.Optimizer([p], {}).step()


# -- state -------------------------------------------------------------------------------------------


def test_state_dict_goes_on_exactly_and_is_a_copy():
    model, x, y = problem()
    optimizer = optim.Adam(model.parameters(), lr=0.01, amsgrad=True)

    def step(model, optimizer):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    for _ in range(3):
        step(model, optimizer)
    twin, _, _ = problem()
    twin.load_state_dict(model.state_dict())
    saved = optimizer.state_dict()
    for _ in range(3):
        step(model, optimizer)
    twin_optimizer = optim.Adam(twin.parameters())
    twin_optimizer.load_state_dict(saved)
    for _ in range(3):
        step(twin, twin_optimizer)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert (p.array == q.array).all()


def test_state_is_a_view_to_be_read():
    p, q = nn.Parameter(minidl.ones(2)), nn.Parameter(minidl.ones(2))
    optimizer = optim.Adam([p, q])
    p.grad = minidl.ones(2)
    optimizer.step()
    assert optimizer.state[p]["exp_avg"].array.base is optimizer._flat[0][0].buffers["exp_avg"]
    for parameter in (p, q):
        with pytest.raises(TypeError):
            optimizer.state[parameter]["exp_avg"] = minidl.zeros(2)
    assert optim.Adagrad([p], initial_accumulator_value=2).state[p]["sum"].tolist() == [2, 2]


def test_adamw_stays_decoupled_with_the_state_of_adam():
    p = nn.Parameter(minidl.ones(2))
    optimizer = optim.AdamW([p])
    optimizer.load_state_dict(optim.Adam([p]).state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["param_groups"].pop(), "other parameter groups"),
        (lambda s: s["param_groups"][0]["params"].pop(), "other parameter groups"),
        (lambda s: s["param_groups"][0].pop("betas"), "not one of Adam: it lacks.*betas"),
        (lambda s: s["state"][1].update(exp_avg=minidl.zeros(3)), r"'exp_avg' has shape \(3,\).*\(2,\)"),
    ],
)
def test_state_that_does_not_fit_is_refused_and_changes_nothing(change, message):
    p, q = nn.Parameter(minidl.ones(2)), nn.Parameter(minidl.ones(2))
    optimizer = optim.Adam([p, q])
    p.grad = q.grad = minidl.ones(2)
    optimizer.step()
    before, saved = optimizer.state_dict(), optimizer.state_dict()
    saved["state"][0]["exp_avg"].fill_(7)
    change(saved)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.state_dict()["param_groups"] == before["param_groups"]
    assert (optimizer.state[p]["exp_avg"].array == before["state"][0]["exp_avg"].array).all()


def one(**settings):
    return [{"params": [nn.Parameter(minidl.ones(1))], **settings}]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD([]), ValueError, "at least one parameter"),
        (lambda: optim.SGD(nn.Parameter(minidl.ones(1))), TypeError, r"write \[tensor\]"),
        (lambda: optim.SGD({"params": []}), TypeError, "takes tensors, not str"),
        (lambda: optim.SGD([{"params": {nn.Parameter(minidl.ones(1))}}]), TypeError, "set"),
        (lambda: optim.SGD([*one(), []]), TypeError, "must be a dict"),
        (lambda: optim.SGD([nn.Parameter(minidl.ones(1)) * 2]), ValueError, "leaf"),
        (lambda: optim.SGD([nn.Parameter(minidl.ones(1))] * 2), ValueError, "twice"),
        (lambda: optim.SGD(one() * 2), ValueError, "more than one parameter group"),
        (
            lambda: optim.SGD([*nn.Linear(1, 1).named_parameters(), minidl.ones(1)]),
            ValueError,
            "names, or none",
        ),
        (
            lambda: optim.SGD([*one(), {"params": nn.Linear(1, 1).named_parameters()}]),
            ValueError,
            "names, or",
        ),
        (lambda: optim.SGD(one(), lr=-1), ValueError, "invalid lr"),
        (lambda: optim.SGD(one(), lr=minidl.ones(2)), ValueError, "one number"),
        (lambda: optim.SGD(one(), momentum=-1), ValueError, "invalid momentum"),
        (lambda: optim.SGD(one(), weight_decay=-1), ValueError, "invalid weight_decay"),
        (lambda: optim.SGD(one(), nesterov=True), ValueError, "nesterov"),
        (lambda: optim.SGD(one(), momentum=0.9, dampening=0.1, nesterov=True), ValueError, "nesterov"),
        (lambda: optim.Adam(one(), betas=(1.0, 0.9)), ValueError, "betas"),
        (lambda: optim.Adam(one(), betas=(0.9, -0.1)), ValueError, "betas"),
        (lambda: optim.Adam(one(), betas=(0, 0.9)), ValueError, "betas"),
        (lambda: optim.Adam(one(), lr=float("nan")), ValueError, "invalid lr"),
        (lambda: optim.AdamW(one(), eps=-1), ValueError, "invalid eps"),
        (lambda: optim.RMSprop(one(), alpha=-1), ValueError, "invalid alpha"),
        (lambda: optim.Adagrad(one(), lr_decay=-1), ValueError, "invalid lr_decay"),
        (lambda: optim.Adagrad(one(), initial_accumulator_value=-1), ValueError, "invalid initial"),
        (lambda: optim.SGD(one(), foreach=True), NotImplementedError, "foreach=True"),
        (lambda: optim.Adam(one(), fused=True), NotImplementedError, "fused=True"),
        (lambda: optim.RMSprop(one(), capturable=True), NotImplementedError, "capturable=True"),
        (lambda: optim.Adagrad(one(differentiable=True)), NotImplementedError, "differentiable=True"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -- a long time, and two at once --------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_a_thousand_steps_leave_memory_flat(name):
    model, x, y = problem()
    optimizer = getattr(optim, name)(model.parameters(), lr=1e-3)
    tracemalloc.start()
    for i in range(1100):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if i == 100:
            early = tracemalloc.get_traced_memory()[0]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert late - early < 20_000  # bytes; one step's arrays are more


@pytest.mark.parametrize("name", SETTINGS)
def test_two_threads_train_as_if_alone(name):
    def fit(seed, results):
        rng = np.random.default_rng(seed)
        model, x, y = problem()
        for p in model.parameters():
            p.array[...] = rng.normal(size=p.shape)
        optimizer = getattr(optim, name)(model.parameters(), lr=0.01)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        results[seed] = np.concatenate([p.array.ravel() for p in model.parameters()])

    alone, together = {}, {}
    threads = [threading.Thread(target=fit, args=(seed, together)) for seed in range(2)]
    for seed in range(2):
        fit(seed, alone)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((together[seed] == alone[seed]).all() for seed in range(2))
