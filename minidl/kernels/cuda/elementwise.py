"""NumPy's functions of single elements, on arrays of the device: its rules for types, shapes and `out`.

What is computed comes from `formulas.py`, how from `pointwise.py`. The types are not decided here: NumPy's
own ufunc is asked (`resolve_dtypes`), so that they are the same, for Python's numbers too.
"""

import functools
from collections.abc import Sequence

import numpy as np

from minidl.kernels.cuda.array import CudaArray, empty
from minidl.kernels.cuda.driver import SCALARS, Scalar, boolean, int32, int64
from minidl.kernels.cuda.formulas import SAME, formula
from minidl.kernels.cuda.pointwise import pointwise

__all__ = ["clip", "copy", "ufunc", "where"]


# -- types -----------------------------------------------------------------------------------------

LOGICAL = {"logical_and", "logical_or", "logical_xor", "logical_not"}
"""What is computed on booleans, whatever the inputs are."""
ON_BITS = {f"bitwise_{word}": f"logical_{word}" for word in ("and", "or", "xor", "not")}
"""Of booleans, these are the same as those."""
TYPED_AS = {"erf": "exp"}
"""Name -> NumPy's function with the same types, for those that NumPy has not."""


class _Loop:
    """What NumPy would compute with: the types of the inputs and of the result, and the formula for them."""

    def __init__(self, name: str, operands: tuple, dtype: np.dtype | None):
        like = getattr(np, TYPED_AS.get(name, name))
        given = {} if dtype is None else {"signature": (None,) * len(operands) + (dtype,)}
        *ins, out = like.resolve_dtypes((*operands, None), **given)
        self.dtypes, self.dtype = ins, out
        for d in (*ins, out):
            if d not in SCALARS:
                raise TypeError(
                    f"{name}: gives {d}, which kernels on the GPU do not know. Fix: x.float() first"
                )
        name = SAME.get(name, name)
        if ins[0] == np.bool_:
            name = ON_BITS.get(name, name)
        computed = [self._computed(name, SCALARS[d]) for d in ins]
        self.formula = formula(name, computed[0])
        self.types = (*computed, SCALARS[out])

    @staticmethod
    def _computed(name: str, scalar: Scalar) -> Scalar:
        """The type in which the formula computes: arithmetic knows no booleans, powers grow."""
        if name in LOGICAL:
            return boolean
        if name == "power" and scalar.dtype.kind in "iu":
            return int64
        return int32 if scalar is boolean else scalar


_loop = functools.lru_cache(4096)(_Loop)


def _checked(name: str, x):
    """An operand: an array of the device, or a number. A 0-d NumPy array becomes a number."""
    if isinstance(x, CudaArray | bool | int | float | np.generic):
        return x
    if isinstance(x, np.ndarray) and x.ndim == 0:
        return x[()]
    what = f"NumPy array of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
    raise TypeError(
        f"{name}: an operand is a {what}; nothing is moved to the GPU silently. "
        "Fix: minidl.tensor(x).cuda(), or asarray(x) for an array"
    )


def _kind_of_type(x):
    """What NumPy's type rules ask for: a dtype, or int or float for Python's numbers, which adapt."""
    return (
        x.dtype if isinstance(x, CudaArray | np.generic) else np.dtype(bool) if type(x) is bool else type(x)
    )


def _checked_out(name: str, shape: tuple[int, ...], dtype: np.dtype, out: CudaArray, inputs) -> CudaArray:
    """`out`, if the result may be written to it."""
    if not out.writeable:
        raise ValueError(f"{name}: out of shape {out.shape} is read-only. Fix: out=None, or a copy")
    if out.shape != shape:
        shapes = ", ".join(str(x.shape) for x in inputs if isinstance(x, CudaArray))
        raise ValueError(f"{name}({shapes}): the result has shape {shape}, out has {out.shape}")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"{name}: a {dtype} result does not fit into out of {out.dtype}. Fix: out of {dtype}")
    return out


def _overlap(x: CudaArray, out: CudaArray) -> bool:
    """Could a thread write what another one has still to read? Not if both are the same view."""
    if not x.overlaps(out):
        return False
    return (x.offset, x.shape, x.strides, x.dtype) != (out.offset, out.shape, out.strides, out.dtype)


def _apart(inputs: Sequence, out: CudaArray) -> list:
    """The inputs, copied where writing `out` would change them too early."""
    return [x.copy() if isinstance(x, CudaArray) and _overlap(x, out) else x for x in inputs]


def _shape(name: str, inputs: Sequence) -> tuple[int, ...]:
    shapes = [x.shape for x in inputs if isinstance(x, CudaArray)]
    if len(set(shapes)) == 1:
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"{name}: operands of shapes {', '.join(map(str, shapes))} cannot be broadcast together: they "
            "must be equal or 1 in every axis, counted from the last. Fix: reshape one of them"
        ) from None


# -- functions for CudaArray -----------------------------------------------------------------------


def ufunc(name: str, inputs: Sequence, out: CudaArray | None = None, dtype=None) -> CudaArray:
    """NumPy's ufunc `name` of device arrays and numbers, with NumPy's rules for types and broadcasting.

    Args:
        out: where to write; may be one of the inputs. dtype: that of the result, if not the usual one.

    Raises:
        ValueError: shapes do not fit. TypeError: types do not. NotImplementedError: no such kernel.
    """
    inputs = [x if isinstance(x, CudaArray) else _checked(name, x) for x in inputs]
    if name == "power":
        name, inputs = _cheaper(*inputs)
    loop = _loop(name, tuple(map(_kind_of_type, inputs)), None if dtype is None else np.dtype(dtype))
    shape = _shape(name, inputs)
    if out is None:
        out = empty(shape, loop.dtype)
    else:
        out, inputs = _checked_out(name, shape, loop.dtype, out, inputs), _apart(inputs, out)
    pairs = zip(inputs, loop.types, loop.dtypes, strict=False)
    given = [x if isinstance(x, CudaArray) else t.dtype.type(d.type(x)) for x, t, d in pairs]
    return pointwise(loop.formula, loop.types, given, out)


def _cheaper(x, y) -> tuple[str, list]:
    """x ** 2 is x * x, and x ** 0.5 the square root, for which the hardware has instructions."""
    if not isinstance(x, CudaArray) or isinstance(y, CudaArray):
        return "power", [x, y]
    real = x.dtype.kind == "f"
    if not real and isinstance(y, int) and y < 0:
        raise ValueError("power: whole numbers to negative powers are fractions. Fix: x.float() ** y")
    powers = {2: "square", 1: "positive", 0.5: "sqrt", -1: "reciprocal"} if real else {2: "square"}
    keeps_dtype = type(y) is int or (real and type(y) is float)
    return (powers[y], [x]) if keeps_dtype and y in powers and x.dtype != np.bool_ else ("power", [x, y])


def where(condition, x, y) -> CudaArray:
    """x where the condition holds, else y: arrays and numbers, broadcast against each other."""
    inputs = [_checked("where", a) for a in (condition, x, y)]
    dtype = np.result_type(*[a.dtype if isinstance(a, CudaArray) else a for a in inputs[1:]])
    return _three("where", inputs, boolean, _scalar("where", dtype))


def clip(x: CudaArray, low=None, high=None, out: CudaArray | None = None) -> CudaArray:
    """min(max(x, low), high); a limit that is None does not limit. nan stays nan."""
    if low is None and high is None:
        return ufunc("positive", (x,), out)
    if low is None or high is None:
        return ufunc("minimum", (x, high), out) if low is None else ufunc("maximum", (x, low), out)
    inputs = [_checked("clip", a) for a in (x, low, high)]
    scalar = _scalar("clip", np.result_type(*[a.dtype if isinstance(a, CudaArray) else a for a in inputs]))
    return _three("clip", inputs, scalar, scalar, out)


def _scalar(name: str, dtype: np.dtype) -> Scalar:
    if dtype not in SCALARS:
        raise TypeError(f"{name}: gives {dtype}, which kernels on the GPU do not know. Fix: x.float() first")
    return SCALARS[dtype]


def _three(name, inputs, first: Scalar, scalar: Scalar, out=None) -> CudaArray:
    """A formula of three inputs, the last two and the result of one type."""
    types = (first, scalar, scalar, scalar)
    shape = _shape(name, inputs)
    if out is None:
        out = empty(shape, scalar.dtype)
    else:
        out, inputs = _checked_out(name, shape, scalar.dtype, out, inputs), _apart(inputs, out)
    pairs = zip(inputs, types, strict=False)
    given = [a if isinstance(a, CudaArray) else t.dtype.type(a) for a, t in pairs]
    return pointwise(formula(name, scalar), types, given, out)


def copy(source, to: CudaArray) -> CudaArray:
    """to[...] = source, an array of any type and layout that can be broadcast to it, or a number."""
    source = _checked("copy", source)
    if isinstance(source, CudaArray):
        if _shape("copy", (source, to)) != to.shape:
            raise ValueError(f"copy: an array of shape {source.shape} does not fit into one of {to.shape}")
        scalar = _scalar("copy", source.dtype)
    else:
        scalar = _scalar("copy", to.dtype)
        source = scalar.dtype.type(source)
    types = (scalar, _scalar("copy", to.dtype))
    return pointwise(formula("positive", scalar), types, _apart([source], to), to)
