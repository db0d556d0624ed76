"""Tensor's operators and methods: bound here, once, to the functions of the other files."""

from __future__ import annotations

import numpy as np

from minidl.ops import arithmetic, indexing, products, reductions, shapes
from minidl.ops.arithmetic import abs, add, compare, div, mul, neg, pow, sub
from minidl.ops.indexing import getitem, set_item
from minidl.ops.products import matmul
from minidl.ops.shapes import permute, reshape
from minidl.tensor import Tensor, _mode


def _reversed(function):
    return lambda self, other: function(other, self)


def _in_place(function):
    """`w -= d`. A leaf that wants a gradient may only be changed under no_grad(), there in place."""

    def change(self, other):
        if _mode.grad and (self.requires_grad or (isinstance(other, Tensor) and other.requires_grad)):
            if self.requires_grad and self.is_leaf:
                raise RuntimeError(
                    "a leaf that requires a gradient is changed in place. Fix: put the update under "
                    "`with minidl.no_grad():`"
                )
            return function(self, other)
        self.array[...] = function(self.detach(), other).array
        return self

    return change


def _transposed(self) -> Tensor:
    """The axes in reverse order."""
    return permute(self, *reversed(range(self.ndim)))


def bind() -> None:
    """Give Tensor its operators and methods. The only place where this happens."""
    binary = {"add": add, "sub": sub, "mul": mul, "truediv": div, "pow": pow, "matmul": matmul}
    for name, function in binary.items():
        setattr(Tensor, f"__{name}__", function)
        setattr(Tensor, f"__r{name}__", _reversed(function))
        if name not in ("pow", "matmul"):
            setattr(Tensor, f"__i{name}__", _in_place(function))
    comparisons = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
                   "ge": np.greater_equal, "and": np.logical_and, "or": np.logical_or}  # fmt: skip
    for name, function in comparisons.items():
        setattr(Tensor, f"__{name}__", compare(function))
    for family in (arithmetic, indexing, products, reductions, shapes):
        for function in family.METHODS:
            setattr(Tensor, function.__name__, function)
    Tensor.__neg__, Tensor.__abs__, Tensor.__getitem__, Tensor.__setitem__ = neg, abs, getitem, set_item
    Tensor.__invert__ = lambda self: Tensor(~self.array)
    Tensor.view = reshape
    Tensor.T = property(_transposed)
