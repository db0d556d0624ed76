"""Modules that hold other modules, or parameters: in a row, in a list, in a dictionary."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from itertools import groupby
from typing import Any, Self

from minidl.nn.module import Module, Parameter, _bracketed
from minidl.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _Row(Module):
    """What Sequential and ModuleList share: modules in order, found by their position."""

    def _name(self, index: int) -> str:
        """The name of the module at a position, counted from the end if negative."""
        if not -len(self) <= operator.index(index) < len(self):
            raise IndexError(f"index {index} is out of range: there are {len(self)} modules")
        return list(self._own(Module))[index]

    def _renew(self, modules: Iterable[Module]) -> None:
        """These modules instead, numbered from 0."""
        modules = list(modules)
        for name in self._own(Module):
            delattr(self, name)
        self.extend(modules)

    def __len__(self):
        return len(self._own(Module))

    def __iter__(self) -> Iterator[Module]:
        return iter(self._own(Module).values())

    def __setitem__(self, index: int, module: Module):
        setattr(self, self._name(index), module)

    def __delitem__(self, index: int | slice):
        modules = list(self)
        if not isinstance(index, slice):
            self._name(index)
        del modules[index]
        self._renew(modules)

    def __iadd__(self, other: Iterable[Module]):
        return self.extend(other)

    def __dir__(self):
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"{type(self).__name__}.extend needs modules in a row, not {modules!r}")
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at `index`; those after it move on by one."""
        if not -len(self) <= index <= len(self):
            raise IndexError(f"index {index} is out of range: there are {len(self)} modules")
        modules = list(self)
        modules.insert(index, module)
        self._renew(modules)
        return self

    def pop(self, key: int | slice) -> Module:
        """Take out what is at a position, and return it."""
        module = self[key]
        del self[key]
        return module


class Sequential(_Row):
    """Modules called one after the other: `Sequential(f, g)(x)` is g(f(x)).

    Takes modules, or one OrderedDict of names and modules.
    """

    def __init__(self, *args: Module | OrderedDict[str, Module]):
        named = len(args) == 1 and isinstance(args[0], OrderedDict)
        for name, module in args[0].items() if named else enumerate(args):
            self.add_module(str(name), module)

    def forward(self, input):
        for module in self:
            input = module(input)
        return input

    def __getitem__(self, index: int | slice):
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._own(Module).items())[index]))
        return self._own(Module)[self._name(index)]

    def __add__(self, other: Sequential):
        return Sequential(*self, *other) if isinstance(other, Sequential) else NotImplemented

    def __mul__(self, other: int):
        return Sequential().extend(_times(self, other))

    __rmul__ = __mul__

    def __imul__(self, other: int):
        return self.extend(_times(self, other)[len(self) :])


def _times(modules: Sequential, count: int) -> list[Module]:
    if not isinstance(count, int):
        raise TypeError(f"Sequential times {count!r}: it must be an integer")
    if count <= 0:
        raise ValueError(f"Sequential times {count}: it must be positive")
    return list(modules) * count


class ModuleList(_Row):
    """A list of modules whose parameters are found. It has no `forward`: call its modules."""

    def __init__(self, modules: Iterable[Module] | None = None):
        self.extend(() if modules is None else modules)

    def __getitem__(self, index: int | slice):
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._own(Module)[self._name(index)]

    def __add__(self, other: Iterable[Module]):
        return ModuleList([*self, *other])

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at `index`; those after it move on by one."""
        super().insert(index, module)

    def __repr__(self):
        """Runs of equal modules on one line: `(0-2): 3 x ReLU()`."""
        lines = []
        for text, run in groupby(enumerate(map(repr, self)), lambda pair: pair[1]):
            numbers = [i for i, _ in run]
            first, last, n = numbers[0], numbers[-1], len(numbers)
            lines.append(f"({first}): {text}" if n == 1 else f"({first}-{last}): {n} x {text}")
        return _bracketed(self, lines)


class _Dict(Module, MutableMapping):
    """What ModuleDict and ParameterDict share: attributes under their keys, in the order of insertion."""

    __eq__, __hash__ = Module.__eq__, Module.__hash__

    def __len__(self):
        return sum(1 for _ in self)

    def __delitem__(self, key: str):
        self[key]  # KeyError for what is no item
        delattr(self, key)


class ModuleDict(_Dict):
    """A dictionary of modules whose parameters are found. It has no `forward`: call its modules.

    Takes a dictionary, or pairs (name, module).
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        self.update({} if modules is None else modules)

    def __getitem__(self, key: str) -> Module:
        return self._own(Module)[key]

    def __setitem__(self, key: str, module: Module):
        self.add_module(key, module)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own(Module))


def _as_parameter(value):
    """A tensor as a Parameter; anything else as it is."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _described(values: Iterable[tuple[Any, Any]]) -> str:
    """One line a value: what kind of thing it is, of which dtype and size."""
    lines = []
    for key, value in values:
        text = f"Object of type: {type(value).__name__}"
        if isinstance(value, Tensor):
            size = "x".join(map(str, value.shape))
            text = f"{type(value).__name__} containing: [{value.dtype} of size {size}]"
        lines.append(f"  ({key}): {text}")
    return "\n".join(lines)


class ParameterList(Module):
    """A list of parameters that are found. Tensors become parameters; other things may lie beside them."""

    def __init__(self, values: Iterable | None = None):
        self._size = 0
        self.extend(() if values is None else values)

    def _name(self, index: int) -> str:
        if not -len(self) <= operator.index(index) < len(self):
            raise IndexError(f"index {index} is out of range: there are {len(self)} values")
        return str(index % len(self))

    def __getitem__(self, index: int | slice):
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._name(index))

    def __setitem__(self, index: int, value):
        setattr(self, self._name(index), _as_parameter(value))

    def __len__(self):
        return self._size

    def __iter__(self) -> Iterator:
        return (self[i] for i in range(len(self)))

    def __iadd__(self, values: Iterable):
        return self.extend(values)

    def append(self, value) -> Self:
        """Add a value at the end."""
        self._size += 1
        self[-1] = value
        return self

    def extend(self, values: Iterable) -> Self:
        """Add values at the end."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(f"ParameterList.extend needs values in a row, not a {type(values).__name__}")
        for value in values:
            self.append(value)
        return self

    def extra_repr(self):
        return _described(enumerate(self))


class ParameterDict(_Dict):
    """A dictionary of parameters that are found. Tensors become parameters; other things may lie beside them.

    Takes a dictionary (a plain one is sorted by its keys, as in PyTorch), or pairs (name, value).
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None):
        self._keys: dict[str, None] = {}
        self.update({} if parameters is None else parameters)

    def __getitem__(self, key: str):
        self._keys[key]  # KeyError for what is no item
        return getattr(self, key)

    def __setitem__(self, key: str, value):
        value = _as_parameter(value)
        if isinstance(value, Parameter):
            self.register_parameter(key, value)
        else:
            setattr(self, key, value)
        self._keys[key] = None

    def __delitem__(self, key: str):
        super().__delitem__(key)
        del self._keys[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Take over the items of a dictionary, or pairs (name, value)."""
        if isinstance(parameters, Mapping) and not isinstance(parameters, (OrderedDict, ParameterDict)):
            parameters = sorted(parameters.items())
        super().update(parameters)

    def copy(self) -> ParameterDict:
        """Another dictionary of the same parameters."""
        return ParameterDict(OrderedDict(self))

    def extra_repr(self):
        return _described(self.items())
