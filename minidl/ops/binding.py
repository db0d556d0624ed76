"""Tensor's operators and methods: bound here, once, to the functions of the other files."""

from __future__ import annotations

import numpy as np

from minidl import writes
from minidl.ops import arithmetic as ops
from minidl.ops import indexing, products, reductions, shapes
from minidl.ops.creation import full_like, zeros_like
from minidl.ops.dtypes import RANK, refuse_bool
from minidl.ops.indexing import getitem, set_item
from minidl.ops.products import matmul
from minidl.ops.shapes import matrix_transposed, split_method, transposed
from minidl.tensor import ShapeError, Tensor, _mode

OPERATORS = {
    "add": ops.add, "sub": ops.sub, "mul": ops.mul, "truediv": ops.div, "floordiv": ops.floor_divide,
    "mod": ops.remainder, "pow": ops.pow, "and": ops.bitwise_and, "or": ops.bitwise_or,
    "xor": ops.bitwise_xor,
}  # fmt: skip
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
IN_PLACE = (
    "abs", "add", "ceil", "clamp", "cos", "div", "exp", "floor", "log", "masked_fill", "mul", "neg", "pow",
    "relu", "remainder", "round", "rsqrt", "scatter", "scatter_add", "sigmoid", "sign", "sin", "sqrt",
    "square", "sub", "tanh",
)  # fmt: skip
"""Methods that also exist as `x.add_(...)`, which puts the result in the place of x."""
NUMBERS = (np.generic, float, int, complex)


def _operator(function, operands=(Tensor, np.ndarray, *NUMBERS)):
    """`self + other` for tensors, arrays and numbers; Python asks the other side about anything else."""
    return lambda self, other: function(self, other) if isinstance(other, operands) else NotImplemented


def _reflected(function, operands=(np.ndarray, *NUMBERS)):
    """`other + self`; a tensor as `other` was asked before."""
    return _operator(lambda self, other: function(other, self), operands)


def _in_place(function):
    """`w -= d`, `w.sub_(d)`: the result takes the place of w's values, in w's dtype.

    A leaf that wants a gradient may only be changed under no_grad(). An intermediate result gets the record
    of the change; then its values move to a new array, so that what was recorded before keeps the old ones.
    """

    def change(self, *args, **settings):
        if _mode.grad and self.requires_grad and self.is_leaf:
            raise RuntimeError(
                "a leaf that requires a gradient is changed in place. Fix: put the update under "
                "`with minidl.no_grad():`"
            )
        result = function(self, *args, **settings)
        if result.shape != self.shape:
            raise ShapeError(
                f"in place, the result of shape {result.shape} does not fit into {self.shape}. "
                "Fix: give the result a name of its own"
            )
        if RANK[result.dtype] > RANK[self.dtype]:
            raise RuntimeError(
                f"in place, the {result.dtype} result does not fit into {self.dtype}. "
                "Fix: give the result a name of its own, or convert the tensor first"
            )
        if result.requires_grad:
            result = result.to(self.dtype)
            self.array, self.grad_fn, self.requires_grad = result.array, result.grad_fn, True
        else:
            self.array[...] = result.array
            writes.note(self.array)
        return self

    change.__doc__ = f"In place: {function.__doc__}"
    return change


def _copied(self, src) -> Tensor:
    """src in the place of every element; self's own gradient ends here."""
    return ops.where(zeros_like(self, dtype=np.bool_), self, src.to(self.dtype))


def _filled(self, value) -> Tensor:
    """value in the place of every element."""
    return _copied(self, full_like(self, value))


def _zeroed(self) -> Tensor:
    """0 in the place of every element."""
    return _filled(self, 0)


def _positive(self) -> Tensor:
    refuse_bool(self.array)
    return self


def _where(self, condition, other) -> Tensor:
    """This tensor where the condition holds, else other."""
    return ops.where(condition, self, other)


def bind() -> None:
    """Give Tensor its operators and methods. The only place where this happens."""
    for name, function in OPERATORS.items():
        setattr(Tensor, f"__{name}__", _operator(function))
        setattr(Tensor, f"__r{name}__", _reflected(function))
        setattr(Tensor, f"__i{name}__", _operator(_in_place(function)))
    for name in COMPARISONS:
        setattr(Tensor, f"__{name}__", _operator(getattr(ops, name)))
    for family in (ops, indexing, products, reductions, shapes):
        for function in family.METHODS:
            setattr(Tensor, function.__name__, function)
    Tensor.copy_, Tensor.fill_, Tensor.zero_ = map(_in_place, (_copied, _filled, _zeroed))
    for name in IN_PLACE:
        setattr(Tensor, f"{name}_", _in_place(getattr(Tensor, name)))
    Tensor.__matmul__ = _operator(matmul, (Tensor, np.ndarray))
    Tensor.__rmatmul__ = _reflected(matmul, (np.ndarray,))
    Tensor.__neg__, Tensor.__pos__ = ops.neg, _positive
    Tensor.__abs__, Tensor.__invert__ = ops.abs, ops.bitwise_not
    Tensor.__getitem__, Tensor.__setitem__ = getitem, set_item
    Tensor.where, Tensor.split = _where, split_method
    Tensor.T, Tensor.mT = property(transposed), property(matrix_transposed)
