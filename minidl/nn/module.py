"""Modules: functions that own parameters.

A module is an object with parameters, buffers and sub-modules as attributes, and a `forward`. It notes what
each of these attributes is to it; everything else (names, state, modes, conversions) is a walk through these
notes. Names, `state_dict` keys and modes are PyTorch's, so that weights carry over in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np

from minidl.devices import moved
from minidl.nn.hooks import BackwardCall, add_hook
from minidl.tensor import RemovableHandle, Tensor, asked_conversion

__all__ = ["Module", "Parameter"]


class Parameter(Tensor):
    """A tensor that a module owns and an optimiser changes. It shares memory with `data`."""

    __slots__ = ()

    def __init__(self, data=None, requires_grad: bool = True):
        data = np.empty(0, np.float32) if data is None else data
        super().__init__(data.array if isinstance(data, Tensor) else data)
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo):
        """A parameter with memory of its own and no gradient yet."""
        copy = memo[id(self)] = type(self)(self.array.copy(), self.requires_grad)
        return copy

    def __repr__(self):
        return f"Parameter containing:\n{super().__repr__()}"


class _Keys(NamedTuple):
    """What `load_state_dict` did not find, and what it found no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self):
        missing_keys, unexpected_keys = self
        return f"{missing_keys=}, {unexpected_keys=}" if any(self) else "<All keys matched successfully>"


class _ForwardHook(NamedTuple):
    call: Callable  # (module, args, kwargs, output) -> output or None
    always: bool  # after an error too


class Module:
    """The base of layers and models. Subclasses set attributes in `__init__` and define `forward`.

    An attribute that is a `Parameter` or a `Module` is found by everything below; other tensors belong to the
    module's state if they are registered (`register_buffer`).
    """

    training: bool = True
    """Training mode? Set by `train` and `eval`; dropout and batch norm act on it."""

    # What a new module starts with, so that a subclass need not call super().__init__().
    _kinds: Mapping = MappingProxyType({})  # name -> (Parameter, Module, or Tensor for a buffer; saved?)
    _found: Mapping = MappingProxyType({})  # kind -> names: `_kinds` the other way round, when asked for
    _pre_hooks = _hooks = _backward_pre_hooks = _backward_hooks = MappingProxyType({})
    _hooked = False  # was a hook ever registered?

    def forward(self, *args, **kwargs):
        """What the module computes; called by `module(...)`, which also calls the hooks."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method: define forward(self, x)")

    # -- attributes ----------------------------------------------------------------------------------

    def _kind(self, name: str) -> type | None:
        return self._kinds[name][0] if name in self._kinds else None

    def _set_kind(self, name: str, kind: type, saved: bool = True) -> None:
        vars(self).setdefault("_kinds", {})[name] = kind, saved
        vars(self)["_found"] = {}

    def __setattr__(self, name, value):
        own = kind = self._kind(name)
        if isinstance(value, Parameter):
            kind = Parameter
        elif isinstance(value, Module) and own is not Parameter:
            kind = Module
        if kind is not None:
            _check_kind(kind, name, value)
        if kind is not own:
            if own is not None:
                del self._kinds[name]
            self._set_kind(name, kind)
        super().__setattr__(name, value)

    def __delattr__(self, name):
        super().__delattr__(name)
        if name in self._kinds:
            del self._kinds[name]
            vars(self)["_found"] = {}

    def _register(self, kind: type, name: str, value, saved: bool = True) -> None:
        what = _WORDS[kind][0]
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain ".", got: {name}')
        if not name:
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and self._kind(name) is not kind:
            raise KeyError(f"attribute '{name}' already exists")
        _check_kind(kind, name, value)
        self._set_kind(name, kind, saved)
        super().__setattr__(name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as `self.name = param`; None keeps the place for a parameter that is not there."""
        self._register(Parameter, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """A tensor that moves with the module but is not trained; `persistent`: part of its `state_dict`."""
        self._register(Tensor, name, tensor, persistent)

    def add_module(self, name: str, module: Module | None) -> None:
        """The same as `self.name = module`, for names that are computed."""
        self._register(Module, name, module)

    register_module = add_module

    # -- calls and hooks -----------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        if self._hooked:
            return self._call_hooked(args, kwargs)
        return self.forward(*args, **kwargs) if kwargs else self.forward(*args)

    def _call_hooked(self, args: tuple, kwargs: dict):
        output, called = None, set()
        try:
            for pre_hook in list(self._pre_hooks.values()):
                args, kwargs = pre_hook(self, args, kwargs)
            watch = None
            if self._backward_hooks or self._backward_pre_hooks:
                watch = BackwardCall(self, self._backward_pre_hooks, self._backward_hooks)
                args = watch.inputs(args)
            output = self.forward(*args, **kwargs)
            for key, hook in list(self._hooks.items()):
                called.add(key)
                replaced = hook.call(self, args, kwargs, output)
                output = output if replaced is None else replaced
            return watch.outputs(output) if watch else output
        except Exception:
            for key, hook in self._hooks.items():
                if hook.always and key not in called:
                    hook.call(self, args, kwargs, output)
            raise

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; what it returns replaces the arguments.

        Args:
            prepend: before the hooks that are there, not after them.
            with_kwargs: call `hook(module, args, kwargs)`, which returns None or new (args, kwargs).
        """

        def call(module, args, kwargs):
            new = hook(module, args, kwargs) if with_kwargs else hook(module, args)
            if new is None:
                return args, kwargs
            if not with_kwargs:
                return (new if isinstance(new, tuple) else (new,)), kwargs
            if not (isinstance(new, tuple) and len(new) == 2):
                raise RuntimeError(f"a forward pre-hook must return None or (args, kwargs), not {new!r}")
            return new

        return add_hook(self, "_pre_hooks", call, prepend)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward; what it returns replaces the output.

        Args:
            prepend: before the hooks that are there, not after them.
            with_kwargs: call `hook(module, args, kwargs, output)`.
            always_call: call it even if forward raises an error (the output may be None then).
        """

        def call(module, args, kwargs, output):
            return hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)

        return add_hook(self, "_hooks", _ForwardHook(call, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when dL/d(outputs) is complete; what it returns replaces it."""
        return add_hook(self, "_backward_pre_hooks", hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradient has passed through the module.

        Both are tuples: dL/d(positional arguments), None for what is no tensor, and dL/d(outputs). What the
        hook returns replaces grad_input. If no argument wants a gradient, grad_input holds None only.
        """
        return add_hook(self, "_backward_hooks", hook, prepend)

    # -- what is inside ------------------------------------------------------------------------------

    def _own(self, kind: type) -> dict:
        """Attributes of one kind in the order of definition, also those that are None."""
        values, found = vars(self), self._found.get(kind)
        if found is None:
            found = [name for name, (k, _) in self._kinds.items() if k is kind]
            values["_found"] = {**self._found, kind: found}
        return {name: values[name] for name in found}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, each once, with their names."""
        seen = set()
        for name, child in self._own(Module).items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules directly inside, each once."""
        return (m for _, m in self.named_children())

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once unless `remove_duplicate` is False, with dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._own(Module).items():
            if child is not None:
                yield from child.named_modules(memo, _dotted(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (m for _, m in self.named_modules())

    def _named(self, kind: type, prefix: str, recurse: bool, remove_duplicate: bool):
        seen, modules = set(), [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in modules:
            for name, value in module._own(kind).items():
                if value is not None and id(value) not in seen:
                    if remove_duplicate:
                        seen.add(id(value))
                    yield _dotted(path, name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, in the order of definition.

        Args:
            prefix: put before all names.
            recurse: also those of the modules inside.
            remove_duplicate: a shared parameter only once, under its first name.
        """
        return self._named(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name; arguments as in `named_parameters`."""
        return self._named(Tensor, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name, `model.get_submodule("encoder.0")`; this one for ""."""
        return self._get(Module, target) if target else self

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name."""
        return self._get(Parameter, target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name."""
        return self._get(Tensor, target)

    def _get(self, kind: type, target: str):
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        value = getattr(owner, name, owner)
        if value is owner:
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        if owner._kind(name) is not kind or (value is None and kind is not Tensor):
            raise AttributeError(f"`{name}` is not {_WORDS[kind][2]}")
        return value

    # -- state -----------------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict:
        """Name -> tensor of every parameter and persistent buffer, sharing memory with the module.

        Args:
            destination: a dict to fill.
            prefix: put before all names; it ends in a dot.
            keep_vars: the parameters themselves, not detached.
        """
        state = {} if destination is None else destination
        for path, module in self.named_modules(remove_duplicate=False):
            for name, value in (module._own(Parameter) | module._own(Tensor)).items():
                if value is not None and module._kinds[name][1]:
                    state[prefix + _dotted(path, name)] = value if keep_vars else value.detach()
        return state

    def load_state_dict(self, state_dict: Mapping, strict: bool = True, assign: bool = False) -> _Keys:
        """Copy values into parameters and buffers, converted to their dtypes.

        Nothing is changed unless everything fits. `strict=False` leaves out names that only one side has;
        they are returned as `.missing_keys` and `.unexpected_keys`.

        Raises:
            RuntimeError: missing or unexpected names (if strict), or a shape that differs.
        """
        if assign:
            raise NotImplementedError("load_state_dict(assign=True) is not part of minidl. Fix: leave it out")
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}")
        own = self.state_dict(keep_vars=True)
        keys = _Keys([n for n in own if n not in state_dict], [n for n in state_dict if n not in own])
        wrong = []
        for names, what in zip(keys, ("Missing", "Unexpected"), strict=True):
            if strict and names:
                quoted = ", ".join(f'"{name}"' for name in names)
                wrong.append(f"{what} key(s) in state_dict: {quoted}.")
        values = {name: state_dict[name] for name in own if name in state_dict}
        wrong += filter(None, (_misfit(name, own[name], value) for name, value in values.items()))
        if wrong:
            where = f"Error(s) in loading state_dict for {type(self).__name__}:"
            fix = "Fix: build the model that the state comes from"
            raise RuntimeError("\n\t".join([where, *wrong, fix]))
        for name, value in values.items():
            array = value.array if isinstance(value, Tensor) else np.asarray(value)
            own[name].array[...] = moved(array, own[name].device)
        return keys

    # -- modes -----------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training mode for this module and all below it (dropout drops, batch norm follows the batch)."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, not {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or fill them with zeros."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.array[...] = 0

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say of all parameters whether they want gradients."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call `fn` on every module below this one, then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -- conversion ------------------------------------------------------------------------------------

    def to(self, *target, dtype=None, device=None) -> Self:
        """`to(dtype)`, `to(device)`, `to(device, dtype)`, `to(tensor)`: this module, converted in place.

        A dtype must be a floating-point one, and only floating-point parameters and buffers change.
        """
        dtype, device = asked_conversion(target, dtype, device)
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"Module.to only accepts floating-point dtypes, not {np.dtype(dtype)}")
        return self._convert(dtype, device, only_floats=True)

    def type(self, dst_type) -> Self:
        """Every parameter and buffer converted to a dtype."""
        return self._convert(dst_type, None, only_floats=False)

    def double(self) -> Self:
        """Floating-point parameters and buffers as float64."""
        return self.to(np.float64)

    def float(self) -> Self:
        """Floating-point parameters and buffers as float32."""
        return self.to(np.float32)

    def half(self) -> Self:
        """Refused: there is no float16."""
        return self.to(np.float16)

    def cpu(self) -> Self:
        """Everything moved to the CPU."""
        return self.to("cpu")

    def cuda(self, device=None) -> Self:
        """Everything moved to the GPU; without one refused, with what is missing."""
        return self.to("cuda" if device is None else f"cuda:{device}")

    def _convert(self, dtype, device, only_floats: bool) -> Self:
        tensors = [*self.parameters(), *self.buffers()]
        stay = [dtype is None or (only_floats and not t.is_floating_point()) for t in tensors]
        dtypes = [t.dtype if own else np.dtype(dtype) for t, own in zip(tensors, stay, strict=True)]
        if any(t.requires_grad and d.kind != "f" for t, d in zip(tensors, dtypes, strict=True)):
            raise RuntimeError(f"parameters that require gradients must be floating-point, not {dtype}")
        for t, own in zip(tensors, dtypes, strict=True):
            converted = t.detach().to(device, own)
            if converted.array is not t.array:
                gradient, t.grad = t.grad, None
                t.array, t._buffer = converted.array, None
                t.grad = None if gradient is None else gradient.to(converted)
        return self

    # -- text ------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the brackets of the module's repr."""
        return ""

    def __repr__(self):
        return _bracketed(self, [f"({name}): {child!r}" for name, child in self._own(Module).items()])


_WORDS = {
    Parameter: ("parameter", "parameter", "an nn.Parameter"),
    Module: ("module", "child module", "an nn.Module"),
    Tensor: ("buffer", "buffer", "a buffer"),
}
"""How messages name what an attribute can be: when it is registered, assigned, looked for."""


def _check_kind(kind: type, name: str, value) -> None:
    """Refuse a value, other than None, that is not what its name stands for."""
    if value is None or isinstance(value, kind):
        return
    given = value.__name__ if isinstance(value, type) else type(value).__name__
    text = f"cannot assign {given!r} as {_WORDS[kind][1]} {name!r} ({kind.__name__} or None expected)"
    if isinstance(value, type):
        text += f": {given} is a class. Fix: make a layer of it, {given}()"
    elif kind is Parameter and isinstance(value, Tensor):
        text += ". Fix: wrap it, nn.Parameter(tensor), or copy it, `with no_grad(): parameter.copy_(tensor)`"
    elif kind is Module:
        text += f": {value!r} is no Module. Fix: derive its class from nn.Module"
    raise TypeError(text)


def _misfit(name: str, own: Tensor, value) -> str | None:
    """Why a value of a state dict cannot be copied into the module's own tensor."""
    if not hasattr(value, "shape"):
        return f'"{name}" must be a tensor, not a {type(value).__name__}.'
    if tuple(value.shape) != own.shape:
        return (
            f"size mismatch for {name}: copying a param with shape {tuple(value.shape)} from checkpoint, "
            f"the shape in current model is {own.shape}."
        )
    return None


def _dotted(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _bracketed(module: Module, children: list[str]) -> str:
    """`Name(extra)` on one line, or with extra and children on indented lines."""
    extra = module.extra_repr()
    lines = (extra.split("\n") if extra else []) + [child.replace("\n", "\n  ") for child in children]
    if len(lines) == 1 and extra:
        return f"{type(module).__name__}({extra})"
    inside = "\n  " + "\n  ".join(lines) + "\n" if lines else ""
    return f"{type(module).__name__}({inside})"
