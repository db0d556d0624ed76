"""Modules: functions that own parameters.

A module is an object with parameters and sub-modules as attributes, and a `forward`. Names, `state_dict`
keys and modes are PyTorch's, so that weights carry over in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minidl.tensor import ShapeError, Tensor


class Parameter(Tensor):
    """A tensor that a module owns and an optimiser changes."""

    __slots__ = ()

    def __init__(self, data, requires_grad: bool = True):
        super().__init__(data.array if isinstance(data, Tensor) else np.asarray(data), requires_grad)

    def __repr__(self):
        return f"Parameter containing:\n{super().__repr__()}"


class Module:
    """The base of layers and models. Subclasses set attributes in `__init__` and define `forward`."""

    training: bool = True
    _buffers: tuple[str, ...] = ()
    _forward_hooks: tuple[Callable, ...] = ()

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no forward method: define forward(self, x)")

    def __call__(self, *args, **kwargs):
        output = self.forward(*args, **kwargs)
        for hook in self._forward_hooks:
            replaced = hook(self, args, output)
            output = output if replaced is None else replaced
        return output

    def register_forward_hook(self, hook: Callable) -> Callable[[], None]:
        """Call `hook(module, inputs, output)` after each forward. Returns a function that removes it."""
        self._forward_hooks = (*self._forward_hooks, hook)

        def remove():
            self._forward_hooks = tuple(h for h in self._forward_hooks if h is not hook)

        return remove

    def register_buffer(self, name: str, tensor: Tensor | None) -> None:
        """A tensor that belongs to the state but is not trained."""
        self._buffers = (*self._buffers, name)
        setattr(self, name, tensor)

    # -- what is inside ------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((name, m) for name, m in vars(self).items() if isinstance(m, Module))

    def children(self) -> Iterator[Module]:
        return (m for _, m in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        return (m for _, m in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its dotted name, in the order of definition."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self.named_modules():
            for name in module._buffers:
                if getattr(module, name) is not None:
                    yield f"{prefix}.{name}" if prefix else name, getattr(module, name)

    def buffers(self) -> Iterator[Tensor]:
        return (b for _, b in self.named_buffers())

    # -- state -----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Name -> tensor of every parameter and buffer, sharing memory with the module."""
        return {name: t.detach() for name, t in self._named_state()}

    def _named_state(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) or (name in module._buffers and value is not None):
                    yield f"{prefix}.{name}" if prefix else name, value

    def load_state_dict(self, state_dict: dict[str, Tensor], strict: bool = True) -> None:
        """Copy values into parameters and buffers; nothing is changed unless everything fits.

        Raises:
            RuntimeError: missing or unexpected names (if strict), or a shape that differs.
        """
        own = dict(self._named_state())
        given = {name: np.asarray(t.array if isinstance(t, Tensor) else t) for name, t in state_dict.items()}
        wrong = [f"missing {n}" for n in own if n not in given] if strict else []
        wrong += [f"unexpected {n}" for n in given if n not in own] if strict else []
        both = [n for n in own if n in given]
        wrong += [f"{n}: {given[n].shape} for {own[n].shape}" for n in both if given[n].shape != own[n].shape]
        if wrong:
            name = type(self).__name__
            raise ShapeError(f"load_state_dict into {name}: {'; '.join(wrong)}. Fix: build the same model")
        for n in both:
            own[n].array[...] = given[n]

    # -- modes -----------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Module:
        """Training mode for this module and all below it (dropout drops, batch norm follows the batch)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Evaluation mode."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Say of all parameters whether they want gradients."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def apply(self, function: Callable[[Module], None]) -> Module:
        """Call `function` on every module below this one, then on this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self, target) -> Module:
        """Convert parameters and buffers to a dtype, or move them to a device."""
        for _, t in self._named_state():
            t.array = t.detach().to(target).array
        return self

    def double(self) -> Module:
        return self.to(np.float64)

    def float(self) -> Module:
        return self.to(np.float32)

    def extra_repr(self) -> str:
        """What stands between the brackets of the module's repr."""
        return ""

    def __repr__(self):
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n  " + "\n  ".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


def _checked(module, place: str) -> Module:
    """The module itself; anything else would be left out unseen."""
    if isinstance(module, Module):
        return module
    if isinstance(module, type):
        raise TypeError(
            f"{place}: {module.__name__} is a class. Fix: make a layer of it, {module.__name__}()"
        )
    raise TypeError(f"{place}: {module!r} is no Module. Fix: derive its class from nn.Module")


class Sequential(Module):
    """Modules called one after the other."""

    def __init__(self, *modules: Module):
        for i, module in enumerate(modules):
            setattr(self, str(i), _checked(module, f"Sequential, position {i}"))

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x

    def __len__(self):
        return len(list(self.children()))

    def __iter__(self):
        return self.children()

    def __getitem__(self, index):
        chosen = list(self.children())[index]
        return Sequential(*chosen) if isinstance(index, slice) else chosen


class ModuleList(Module):
    """A list of modules whose parameters are found."""

    def __init__(self, modules=()):
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        setattr(self, str(len(self)), _checked(module, f"ModuleList, position {len(self)}"))
        return self

    __len__, __iter__ = Sequential.__len__, Sequential.__iter__

    def __getitem__(self, index):
        return list(self.children())[index]
