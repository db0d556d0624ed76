"""Hooks of modules: functions that are called before and after `forward`, and when gradients pass by."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from minidl.ops import cat
from minidl.tensor import RemovableHandle, ShapeError, Tensor, is_grad_enabled


def add_hook(module, row: str, hook, prepend: bool) -> RemovableHandle:
    """Put a hook last in a row of the module's hooks, or with `prepend` first."""
    hooks = vars(module).setdefault(row, OrderedDict())
    vars(module)["_hooked"] = True
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


class BackwardCall:
    """One call of a module whose gradients are watched, at its inputs and at its outputs.

    The tensors of a side pass through one record together (`_together`), so that the gradients of all of them
    are complete when the hooks see them.
    """

    def __init__(self, module, pre_hooks: dict, hooks: dict):
        self.module, self.pre_hooks, self.hooks = module, pre_hooks, hooks
        self.grad_output = None

    def inputs(self, args: tuple) -> tuple:
        """The arguments; dL/d(arguments) will be shown to the hooks, together with dL/d(outputs)."""
        watched = _together(args, self._at_inputs, zeros=True)
        self.without_gradient = None if watched else (None,) * len(args)
        return watched or args

    def outputs(self, output):
        """The module's output, a tensor or a tuple; its gradient will be shown to the pre-hooks."""
        if not isinstance(output, (Tensor, tuple)):
            kind = type(output).__name__
            warnings.warn(f"backward hooks need a tensor or a tuple as output, not a {kind}", stacklevel=4)
            return output
        outputs = output if isinstance(output, tuple) else (output,)
        watched = _together(outputs, self._at_outputs, zeros=False) or outputs
        return watched if isinstance(output, tuple) else watched[0]

    def _at_outputs(self, grad_output: tuple) -> tuple:
        for hook in list(self.pre_hooks.values()):
            grad_output = _replaced(grad_output, hook(self.module, grad_output), "grad_output")
        self.grad_output = grad_output
        if self.without_gradient is not None:  # nothing will arrive at the inputs
            self._at_inputs(self.without_gradient)
        return grad_output

    def _at_inputs(self, grad_input: tuple) -> tuple:
        if self.grad_output is not None:  # else the outputs had no part in this loss
            for hook in list(self.hooks.values()):
                new = hook(self.module, grad_input, self.grad_output)
                grad_input = _replaced(grad_input, new, "grad_input")
            self.grad_output = None
        return grad_input


def _replaced(gradients: tuple, new, name: str) -> tuple:
    """What a hook returned in place of the gradients, None meaning that they stay."""
    if new is None:
        return gradients
    new = new if isinstance(new, (tuple, list)) else (new,)
    shapes, wanted = ([None if g is None else g.shape for g in grads] for grads in (new, gradients))
    fits = len(shapes) == len(wanted) and all(s in (None, w) for s, w in zip(shapes, wanted, strict=True))
    if not fits:
        raise ShapeError(f"a backward hook returned {name} of shapes {shapes} in place of {wanted}")
    return tuple(new)


def _together(values: tuple, see: Callable[[tuple], tuple], zeros: bool) -> tuple | None:
    """The same values, as parts of one flat record: `see(gradients)` gives the gradients to go on with.

    `gradients` has None for what is no tensor and for tensors that no gradient arrived at; with `zeros`, as
    in PyTorch, the latter have zeros. The result is None if no value wants a gradient. Unlike in PyTorch, the
    record sends zeros on where nothing arrived.
    """
    wanted = {i: v for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad}
    if not wanted or not is_grad_enabled():
        return None
    flat = cat([v.flatten() for v in wanted.values()])
    stops = np.cumsum([v.numel() for v in wanted.values()]).tolist()
    spans = {i: slice(stop - v.numel(), stop) for (i, v), stop in zip(wanted.items(), stops, strict=True)}
    result, arrived = list(values), set()

    def hook(g):
        gradients = [
            Tensor(np.zeros_like(v.array)) if zeros and isinstance(v, Tensor) else None for v in values
        ]
        for i in arrived:
            gradients[i] = Tensor(
                g.array[spans[i]].reshape(values[i].shape).astype(values[i].dtype, copy=False)
            )
        arrived.clear()
        seen, new = see(tuple(gradients)), np.zeros_like(g.array)
        for i, span in spans.items():
            if seen[i] is not None:
                new[span] = seen[i].array.ravel()
        return Tensor(new)

    flat.register_hook(hook)
    for i, v in wanted.items():
        result[i] = flat[spans[i]].reshape(v.shape).to(v.dtype)
        result[i].register_hook(lambda g, i=i: arrived.add(i))
    return tuple(result)
