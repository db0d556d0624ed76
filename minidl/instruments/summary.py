"""A table of a model: its layers with output shapes, parameters, FLOP and bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl.instruments.counting import FlopCounter
from minidl.instruments.table import Table, brief
from minidl.nn.module import Module
from minidl.ops import get_rng_state, set_rng_state, zeros
from minidl.tensor import Tensor, no_grad


def summary(model: Module, *inputs: Tensor | Sequence[int]) -> Table:
    """Layer by layer: name, type, output shape, parameters, FLOP and bytes of one forward pass.

        summary(model, (64, 1, 28, 28))

    The model is called once, in evaluation mode and without gradients; its modes, its buffers and the random
    numbers are afterwards what they were. A layer's parameters are those that it owns itself; FLOP and bytes
    (see `FlopCounter`) include the layers inside. A multiply-add is 2 FLOP.

    Args:
        inputs: what the model is called with: tensors, or shapes, which stand for float tensors of zeros.
            Without any, the table has parameters only.
    """
    args = [x if isinstance(x, Tensor) else zeros(*x, dtype=_dtype(model)) for x in inputs]
    shapes, count = _run(model, args) if inputs else ({}, FlopCounter())
    works, rows, seen = count.by_module, [], set()
    for name, module in model.named_modules(remove_duplicate=False):
        depth = name.count(".") + bool(name)
        title = "  " * depth + (name.rpartition(".")[2] or "(model)")
        kind = type(module).__name__ + (" (again)" if module in seen else "")
        own = 0 if module in seen else sum(p.numel() for p in module.parameters(recurse=False))
        seen.add(module)
        work = works.get(name) if name in shapes else None
        numbers = (f"{own:,}", brief(work.flops), brief(work.bytes)) if work else (f"{own:,}", "-", "-")
        rows.append((title, kind, shapes.get(name, "-"), *numbers))
    return Table(("<layer", "<type", "<output", "parameters", "FLOP", "bytes"), rows, _totals(model, count))


def _dtype(model: Module) -> np.dtype:
    """What the model's weights are."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), np.dtype(np.float32))


def _run(model: Module, args: list[Tensor]) -> tuple[dict[str, str], FlopCounter]:
    """Output shapes by module, and the work done, in a call that leaves no trace."""
    modes, buffers = (
        [(m, m.training) for m in model.modules()],
        [(b, b.array.copy()) for b in model.buffers()],
    )
    random, shapes = get_rng_state(), {}
    handles = [
        m.register_forward_hook(lambda m, args, out, name=name: shapes.update({name: _shape(out)}))
        for name, m in model.named_modules()
    ]
    try:
        with no_grad(), FlopCounter(model) as count:
            model.eval()(*args)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
        for buffer, values in buffers:
            buffer.array[...] = values
        set_rng_state(random)
    return shapes, count


def _shape(output) -> str:
    """The shape of a tensor, or the shapes in a tuple."""
    if isinstance(output, Tensor):
        return "(" + ", ".join(map(str, output.shape)) + ")"
    if isinstance(output, (tuple, list)):
        return ", ".join(map(_shape, output))
    return type(output).__name__


def _totals(model: Module, count: FlopCounter) -> str:
    """The line below the table."""
    parameters = list(model.parameters())
    number, trained = (sum(p.numel() for p in ps) for ps in (parameters, filter(_is_trained, parameters)))
    size = sum(p.nbytes for p in parameters)
    text = f"{number:,} parameters ({trained:,} trained), {brief(size, 'B')}"
    work = count.total
    if work.calls:
        text += (
            f"; forward: {brief(work.flops, 'FLOP')} (a multiply-add is 2), {brief(work.bytes, 'B')} moved"
        )
    return text


def _is_trained(parameter: Tensor) -> bool:
    return parameter.requires_grad
