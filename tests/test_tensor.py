"""The traps of automatic differentiation, each as a test."""

import copy
import gc
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.nn import functional as F
from minidl.tensor import OPS, Tensor, observe, op
from minidl.testing import gradcheck


def leaf(*values):
    return minidl.tensor(list(values), requires_grad=True)


def test_a_diamond_adds_up_both_paths():
    x = leaf(3.0)
    y = x * 2
    (y * y + y).sum().backward()
    assert x.grad.tolist() == [2 * (2 * 6 + 1)]


def test_shared_nodes_are_visited_once():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2^60 paths
        y = y + y
    y.sum().backward()
    assert x.grad.item() == 2.0**60


def test_depth_5000():
    x = leaf(1.0)
    y = x
    for _ in range(5000):
        y = y + 1
    y.sum().backward()
    assert x.grad.item() == 1
    del y
    gc.collect()


def test_gradients_accumulate_until_they_are_cleared():
    x = leaf(2.0)
    for _ in range(2):
        (x * 3).sum().backward()
    assert x.grad.item() == 6
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.item() == 3


def test_gradients_of_two_inputs_share_no_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    (a * 5).sum().backward()
    assert a.grad.tolist() == [6, 6]
    assert b.grad.tolist() == [1, 1]


def test_accumulating_into_a_broadcast_view():
    x = leaf(1.0, 2.0)
    y = x.sum() + (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [3, 5]
    (x * 1).sum().backward()
    assert x.grad.tolist() == [4, 6]


def test_second_backward_says_so():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_retain_graph_allows_a_second_backward():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12


def test_backward_needs_one_number():
    with pytest.raises(RuntimeError, match="only one number"):
        (leaf(1.0, 2.0) * 2).backward()
    with pytest.raises(RuntimeError, match="does not require"):
        minidl.ones(1).backward()
    with pytest.raises(NotImplementedError, match="create_graph"):
        (leaf(1.0) * 2).backward(create_graph=True)


def test_no_grad_records_nothing_and_is_per_thread():
    x, seen = leaf(1.0), []
    with minidl.no_grad():
        assert not (x * 2).requires_grad
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        with minidl.enable_grad():
            assert (x * 2).requires_grad
    assert seen == [True]
    assert minidl.is_grad_enabled()


def test_no_grad_as_decorator():
    @minidl.no_grad()
    def double(x):
        return x * 2

    assert not double(leaf(1.0)).requires_grad


def test_a_leaf_is_not_changed_in_place_unseen():
    w = leaf(1.0)
    with pytest.raises(RuntimeError, match="no_grad"):
        w -= 1
    before = w.array
    with minidl.no_grad():
        w -= 0.25
    assert w.array is before
    assert w.item() == 0.75
    with pytest.raises(RuntimeError, match="where"):
        w[0] = 3


def test_numpy_of_a_parameter_is_refused():
    with pytest.raises(RuntimeError, match="detach"):
        leaf(1.0).numpy()
    assert leaf(1.0).detach().numpy().tolist() == [1]
    assert np.asarray(minidl.ones(2)).tolist() == [1, 1]


def test_only_floats_require_gradients():
    with pytest.raises(RuntimeError, match="floating-point"):
        minidl.tensor([1, 2], requires_grad=True)


def test_hooks_and_retain_grad():
    x = leaf(1.0)
    y = x * 3
    y.retain_grad()
    z = y * 2
    z.register_hook(lambda g: g * 10)
    z.sum().backward()
    assert y.grad.item() == 20
    assert x.grad.item() == 60


def test_trace_keeps_values_and_gradients_for_drawing():
    x = leaf(2.0)
    with minidl.trace():
        y = x * 3
        z = (y * y).sum()
    z.backward()
    node = y.grad_fn
    assert node.value.item() == 6
    assert node.grad.item() == 12
    assert node.inputs[0] is x


def test_graphs_are_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        x = minidl.ones(1000, 100, requires_grad=True)
        for i in range(60):
            x.grad = None
            (x * 2).tanh().sum().backward()
            if i == 10:
                early = tracemalloc.get_traced_memory()[0]
        late = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert late - early < 200_000  # bytes; one step's arrays are four times 400,000


def test_a_thousand_training_steps_leave_memory_flat():
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 50), nn.ReLU(), nn.Linear(50, 3))
    optimizer = optim.Adam(model.parameters())
    x, y = minidl.randn(32, 20), minidl.randint(3, (32,))
    tracemalloc.start()
    for i in range(1100):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i == 100:
            early = tracemalloc.get_traced_memory()[0]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert late - early < 100_000


def test_two_threads_train_two_models():
    def train(seed, losses):
        rng = np.random.default_rng(seed)
        x = minidl.tensor(rng.normal(size=(256, 20)).astype(np.float32))
        y = minidl.tensor((x.array[:, 0] > 0).astype(np.int64))
        model = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 2))
        for p in model.parameters():
            p.array[...] = rng.normal(size=p.shape) * 0.2
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        for _ in range(100):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    alone, together = [[], []], [[], []]
    for seed in (0, 1):
        train(seed, alone[seed])
    threads = [threading.Thread(target=train, args=(s, together[s])) for s in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_repr_reads_like_pytorchs():
    assert repr(minidl.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(leaf(1.0)) == "tensor([1.], requires_grad=True)"
    assert "grad_fn=<mul>" in repr(leaf(1.0) * 2)
    assert "dtype=float64" in repr(minidl.ones(1).double())


def test_python_protocols():
    t = minidl.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(t) == 2
    assert [row.tolist() for row in t] == [[1, 2], [3, 4]]
    assert float(t.sum()) == 10
    assert t.to("cpu") is t
    assert t.size() == (2, 2) and t.size(0) == 2 and t.numel() == 4 and t.dim() == 2
    with pytest.raises(RuntimeError, match="neither true nor false"):
        bool(t)
    with pytest.raises(RuntimeError, match="one element"):
        t.item()
    assert (t == t).all()
    assert hash(t) == hash(t)


def test_gradcheck_finds_a_wrong_gradient():
    @op
    def wrong_square(x):
        return x * x, (lambda g: g * x,)

    try:
        with pytest.raises(AssertionError, match="backward says"):
            gradcheck(wrong_square, Tensor(np.array([1.0, 2.0]), requires_grad=True))
    finally:
        OPS.pop("wrong_square")


def test_gradcheck_wants_float64():
    with pytest.raises(ValueError, match="float64"):
        gradcheck(lambda x: x * 2, leaf(1.0))


@pytest.mark.parametrize("size", [(2, 3), ((2, 3),)])
def test_creation(size):
    assert minidl.zeros(*size).shape == minidl.ones(*size).shape == minidl.randn(*size).shape == (2, 3)


def test_creation_dtypes_and_seeds():
    assert minidl.arange(3).dtype == np.int64
    assert minidl.arange(0, 1, 0.5).tolist() == [0, 0.5]
    assert minidl.full((2,), 1).dtype == np.int64
    assert minidl.tensor(np.zeros(2)).dtype == np.float64
    assert minidl.tensor([0.5]).dtype == np.float32
    minidl.manual_seed(1)
    a = minidl.rand(3)
    minidl.manual_seed(1)
    assert (minidl.rand(3) == a).all()
    with pytest.raises(ValueError, match="arange"):
        minidl.arange(3, 1)


# -- hooks, observers, conversions -----------------------------------------------------------------------


def test_a_hook_on_a_result_sees_and_replaces_its_whole_gradient():
    x, seen = leaf(1.0, 2.0), []
    y = x * 3
    y.register_hook(lambda g: seen.append(g.tolist()) or g * 10)
    (y.sum() + (y * 2).sum()).backward()
    assert seen == [[3, 3]]  # both paths together, once
    assert x.grad.tolist() == [90, 90]


def test_a_hook_on_a_leaf_is_called_once_a_backward_with_the_whole_gradient():
    x, seen = leaf(2.0), []
    handle = x.register_hook(lambda g: seen.append(g.item()) or -g)
    for _ in range(2):
        (x * 3 + x * x).sum().backward()
    assert seen == [7, 7]
    assert x.grad.item() == -14
    handle.remove()
    handle.remove()  # twice is no error
    x.grad = None
    x.sum().backward()
    assert (x.grad.item(), len(seen)) == (1, 2)


def test_a_hook_lasts_as_long_as_its_block():
    x, seen = leaf(2.0), []
    with x.register_hook(lambda g: seen.append(g.item())):
        (x * 3).sum().backward()
    (x * 3).sum().backward()
    assert seen == [3]


def test_a_hook_must_keep_the_shape():
    x = leaf(1.0, 2.0)
    y = x * 1
    y.register_hook(lambda g: g.sum())
    with pytest.raises(minidl.ShapeError, match="hook"):
        y.sum().backward()


def test_hooks_need_a_gradient():
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        minidl.ones(2).register_hook(print)
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        minidl.ones(2).retain_grad()


def test_retain_grad_sees_what_hooks_made_of_it_and_keeps_nothing_alive():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 5)
    (y * 3).sum().backward()
    assert (y.grad.item(), x.grad.item()) == (15, 30)
    gone = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert gone() is None  # no cycle between a tensor and its record
    finally:
        gc.enable()


def test_observers_see_every_op_and_every_vjp_and_leave_with_their_block():
    class Observer:
        def __init__(self):
            self.seen = []

        def forward(self, name, arrays, settings, result):
            self.seen.append((name, [a.shape for a in arrays], result.shape))

        def backward(self, node, g, gradients):
            self.seen.append((f"{node.name} backward", g.shape, len(gradients)))

    x = leaf(1.0, 2.0)
    with observe(Observer()) as observer:
        (x * x).sum().backward()
    (x * x).sum().backward()
    assert observer.seen == [
        ("mul", [(2,), (2,)], (2,)),
        ("sum", [(2,)], ()),
        ("sum backward", (), 1),
        ("mul backward", (2,), 2),
    ]


def test_tensors_may_be_given_by_name():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    OPS["where"](minidl.tensor([True, False]), other=b, input=a).sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([1, 0], [0, 1])


def test_to_converts_only_if_something_changes():
    x = leaf(1.5, 2.5)
    assert x.to(np.float32) is x
    assert x.to("cpu") is x
    assert x.to("cpu", np.float64).dtype == np.float64
    assert x.to(dtype=np.float64).dtype == np.float64
    assert x.to(minidl.tensor([1])).tolist() == [1, 2]
    copy = x.to(np.float32, copy=True)
    copy.sum().backward()
    assert copy is not x
    assert x.grad.tolist() == [1, 1]
    assert (x.int().dtype, x.bool().dtype, x.long().dtype) == (np.int32, np.bool_, np.int64)
    with pytest.raises(RuntimeError, match="CUDA"):
        x.cuda()
    with pytest.raises(ValueError, match="unknown device"):
        x.to("tpu")


def test_a_deep_copy_owns_its_memory_and_only_leaves_have_one():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    twin = copy.deepcopy(x)
    twin.array[0] = 9
    twin.grad = twin.grad * 2
    assert (x.tolist(), x.grad.tolist(), twin.requires_grad) == ([1, 2], [3, 3], True)
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(x * 1)


def test_a_tensor_as_python_sees_it():
    x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert 4 in x
    assert 5 not in x
    assert f"{x.sum():.2f}" == "10.00"
    assert f"{minidl.tensor([1.0])}" == "tensor([1.])"
    with pytest.raises(TypeError, match="0-d"):
        iter(x.sum()).__next__()
    assert (x.nbytes, x.element_size(), x.is_floating_point()) == (16, 4, True)
    assert Tensor([1, 2]).dtype == np.float32
