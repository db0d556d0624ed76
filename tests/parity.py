"""minidl beside PyTorch: the same call on the same numbers, values, dtypes, shapes and gradients compared.

`call(m, ...)` is written once and run with m = minidl and m = torch: `m.F` is nn.functional, `m.nn` nn,
`m.optim` the optimisers.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.nn import functional
from minidl.tensor import Tensor

TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-9, "atol": 1e-10}}


def ours() -> SimpleNamespace:
    names = {n: getattr(minidl, n) for n in dir(minidl) if n[0] != "_"}
    return SimpleNamespace(**{**names, "F": functional, "nn": nn, "optim": optim})


def theirs() -> SimpleNamespace:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.set_num_threads(1)  # arrays are small: threads would only wait for each other
    names = {n: getattr(torch, n) for n in dir(torch) if n[0] != "_"}
    return SimpleNamespace(**{**names, "F": torch.nn.functional, "nn": torch.nn, "optim": torch.optim})


def calls(text: str) -> list[str]:
    """The calls of a table: one a line."""
    return [line.strip() for line in text.strip().splitlines()]


def written(call: str, **names):
    """A call written as Python text, as a function of m (minidl or torch) and the tensors ts, of which x is
    the first and y the second."""
    names = {"np": np, "inf": np.inf, "nan": np.nan, **names}

    def function(m, *ts):
        return eval(call, {**names, "m": m, "ts": ts, **dict(zip("xyz", ts, strict=False))})

    return function


def to_torch(t: Tensor):
    """A PyTorch tensor with a copy of the values, in the same memory layout of strides."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    return torch.tensor(t.detach().numpy()).requires_grad_(t.requires_grad)


def tensors(arrays, constant=()) -> list[Tensor]:
    """Tensors of these arrays; floating-point ones want gradients, but for those in `constant`."""
    return [
        Tensor(a).requires_grad_(a.dtype.kind == "f" and i not in constant)
        for i, a in enumerate(map(np.asarray, arrays))
    ]


def flat(out) -> list:
    """Every tensor of a result that may be a tuple of tuples."""
    return [t for part in out for t in flat(part)] if isinstance(out, (tuple, list)) else [out]


def assert_equal(mine, want, tolerance=None) -> None:
    """One minidl and one PyTorch result: the same shape, dtype and values."""
    if not isinstance(mine, Tensor):
        assert mine == want
        return
    assert mine.shape == tuple(want.shape)
    assert f"torch.{mine.dtype}" == str(want.dtype)
    np.testing.assert_allclose(
        mine.array, want.detach().numpy(), **(tolerance or TOLERANCE.get(str(mine.dtype), {}))
    )


def assert_parity(call, *arrays, constant=(), tolerance=None) -> None:
    """`call(m, *tensors)` gives the same in minidl and PyTorch, forward and backward.

    What PyTorch refuses must be refused: then neither values nor gradients are compared.

    Args:
        arrays: NumPy arrays, as they are (strides too); floating-point ones want gradients.
        constant: positions of arrays that want none.
    """
    torch_module = theirs()
    ts = tensors(arrays, constant)
    us = [to_torch(t) for t in ts]
    try:
        want = call(torch_module, *us)
    except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError, AssertionError) as refusal:
        with pytest.raises((RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)):
            pytest.fail(f"PyTorch refuses ({refusal}), minidl gives {call(ours(), *ts)}")
        return
    outs, wants = flat(call(ours(), *ts)), flat(want)
    assert len(outs) == len(wants)
    for mine, theirs_ in zip(outs, wants, strict=True):
        assert_equal(mine, theirs_, tolerance)
    compare_gradients(outs, wants, list(zip(ts, us, strict=True)), tolerance)


def assert_same(describe):
    """`describe(m)`, plain Python data about modules, is the same for minidl and PyTorch.

    Where PyTorch raises an error, minidl raises one of the same class.
    """
    torch = theirs()
    try:
        want = describe(torch)
    except Exception as error:
        with pytest.raises(type(error)):
            pytest.fail(f"PyTorch refuses ({error}), minidl gives {describe(ours())}")
        return
    assert describe(ours()) == want


def compare_gradients(outs, wants, leaves, tolerance=None) -> None:
    """Send the same random gradients back through both results and compare what the leaves receive."""
    rng = np.random.default_rng(1)
    for mine, theirs_ in zip(outs, wants, strict=True):
        if not isinstance(mine, Tensor):
            continue
        assert mine.requires_grad == theirs_.requires_grad
        if mine.requires_grad:
            g = rng.normal(size=mine.shape).astype(mine.dtype)
            mine.backward(Tensor(g), retain_graph=True)
            theirs_.backward(to_torch(Tensor(g)), retain_graph=True)
    for t, u in leaves:
        assert (t.grad is None) == (u.grad is None)
        if t.grad is not None:
            assert_equal(t.grad, u.grad, tolerance)


def assert_module_parity(make, *arrays, modes=(True, False), tolerance=None, call=None, constant=()) -> None:
    """`make(m)` gives the same module twice; PyTorch's state dict is loaded into ours.

    Outputs, gradients of inputs and of every parameter, and buffers afterwards are compared.

    Args:
        modes: which of training (True) and evaluation (False) to try, in this order.
        call: `call(module, *tensors)` if it is more than `module(*tensors)`.
    """
    run = call or (lambda module, *ts: module(*ts))
    theirs_, mine = make(theirs()), make(ours())
    assert list(mine.state_dict()) == list(theirs_.state_dict())
    mine.load_state_dict({k: v.numpy() for k, v in theirs_.state_dict().items()})
    for training in modes:
        mine.train(training), theirs_.train(training)
        mine.zero_grad(), theirs_.zero_grad()
        ts = tensors(arrays, constant)
        us = [to_torch(t) for t in ts]
        outs, wants = flat(run(mine, *ts)), flat(run(theirs_, *us))
        assert len(outs) == len(wants)
        for a, b in zip(outs, wants, strict=True):
            if a is not None or b is not None:
                assert_equal(a, b, tolerance)
        parameters = list(zip(mine.parameters(), theirs_.parameters(), strict=True))
        kept = [(a, b) for a, b in zip(outs, wants, strict=True) if a is not None]
        compare_gradients(
            [a for a, _ in kept],
            [b for _, b in kept],
            [*zip(ts, us, strict=True), *parameters],
            tolerance,
        )
        for name, value in theirs_.state_dict().items():
            assert_equal(mine.state_dict()[name], value, tolerance)
