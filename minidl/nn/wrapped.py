"""Functions as modules: activations, losses, dropout."""

import inspect
from collections.abc import Callable

from minidl.nn.module import Module
from minidl.tensor import Tensor


class Wrapped(Module):
    """A function of tensors as a module: its settings are given once, its tensors at each call.

    `class ReLU(Wrapped, function=F.relu)` is constructed with what F.relu takes after `input`: the same
    names, order and defaults. Settings are attributes; those that are tensors belong to the state.
    """

    function: Callable

    def __init_subclass__(
        cls, function: Callable | None = None, tensors: int = 1, without: tuple[str, ...] = ()
    ):
        """The first `tensors` arguments of the function are given at each call; `without`: not at all."""
        if function is None:
            return
        cls.function = staticmethod(function)
        settings = list(inspect.signature(function).parameters.values())[tensors:]
        cls.__signature__ = inspect.Signature([p for p in settings if p.name not in without])
        cls.setting_names = tuple(cls.__signature__.parameters)

    def __init__(self, *args, **settings):
        given = self.__signature__.bind(*args, **settings)
        given.apply_defaults()
        for name, value in given.arguments.items():
            if isinstance(value, Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    @property
    def settings(self) -> dict:
        """What the function is called with beside the tensors."""
        return {name: getattr(self, name) for name in self.setting_names}

    def forward(self, *tensors, **named):
        if named or self.setting_names:
            return self.function(*tensors, **named, **self.settings)
        return self.function(*tensors)

    def extra_repr(self):
        return ", ".join(f"{k}={v!r}" for k, v in self.settings.items() if k != "inplace")
