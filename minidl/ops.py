"""Operations on tensors: arithmetic, reductions, shape, indexing.

Each op is one function on NumPy arrays that returns its output and its vjp (see `tensor.op`). `g` is
dL/d(output). Names, argument order, defaults and meaning are PyTorch's. At the end, and only there, the
operators and methods of `Tensor` are bound to these functions.
"""

from __future__ import annotations

import builtins
import itertools
import math

import numpy as np

from minidl.tensor import Tensor, _mode, check_device, op, same_dtype

__all__ = [
    "abs", "add", "all", "amax", "amin", "any", "arange", "argmax", "argmin", "astype", "broadcast_to",
    "cat", "clamp", "cos", "cumsum", "div", "empty_like", "exp", "expand", "eye", "flatten", "flip", "full",
    "full_like", "gather", "getitem", "linspace", "log", "logsumexp", "manual_seed", "masked_fill", "matmul",
    "max", "maximum", "mean", "min", "minimum", "mul", "neg", "ones", "ones_like", "permute", "pow", "rand",
    "randint", "randn", "randperm", "relu", "reshape", "sigmoid", "sin", "split", "sqrt", "square", "squeeze",
    "stack", "std", "sub", "sum", "tanh", "tensor", "transpose", "unsqueeze", "var", "where", "zeros",
    "zeros_like",
]  # fmt: skip


# -- creation --------------------------------------------------------------------------------------


class _Random:
    """The generator behind `manual_seed`, rand, randn and weight initialisation."""

    generator = np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Start minidl's random numbers anew, so that a run can be repeated."""
    _Random.generator = np.random.default_rng(seed)
    return _Random.generator


def random_generator(generator: np.random.Generator | None = None) -> np.random.Generator:
    """`generator` if given, else the one that `manual_seed` started."""
    return _Random.generator if generator is None else generator


def tensor(data, dtype=None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`. Python floats become float32, ints int64; arrays keep their dtype."""
    check_device(device)
    if isinstance(data, Tensor):
        data = data.array
    elif isinstance(data, (list, tuple)):
        data = [x.array if isinstance(x, Tensor) else x for x in data]
    array = np.array(data)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"tensor() of {array.dtype} data: numbers and booleans only. Fix: check for ragged rows"
        )
    if dtype is None and array.dtype == np.float64 and not isinstance(data, (np.ndarray, np.generic)):
        dtype = np.float32
    return Tensor(array.astype(dtype or array.dtype, copy=False)).requires_grad_(requires_grad)


def _size(size) -> tuple[int, ...]:
    """Both zeros(2, 3) and zeros((2, 3)) are allowed."""
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)


def _made(array, dtype, device, requires_grad) -> Tensor:
    check_device(device)
    return Tensor(np.asarray(array, dtype=dtype)).requires_grad_(requires_grad)


def zeros(*size, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return _made(np.zeros(_size(size)), dtype, device, requires_grad)


def ones(*size, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return _made(np.ones(_size(size)), dtype, device, requires_grad)


def full(size, fill_value, dtype=None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return _made(np.full(size, fill_value), dtype or _scalar_dtype(fill_value), device, requires_grad)


def arange(start, end=None, step=1, dtype=None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """start, start + step, ... up to but without end."""
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange({start}, {end}, {step}): step must lead from start to end")
    dtype = dtype or _scalar_dtype(start + end + step)
    return _made(np.arange(start, end, step), dtype, device, requires_grad)


def linspace(start, end, steps, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """`steps` values from start to end, both included."""
    return _made(np.linspace(start, end, steps), dtype, device, requires_grad)


def eye(n, m=None, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return _made(np.eye(n, m), dtype, device, requires_grad)


def rand(*size, generator=None, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Uniform in [0, 1)."""
    return _made(random_generator(generator).random(_size(size)), dtype, device, requires_grad)


def randn(
    *size, generator=None, dtype=np.float32, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Standard normal."""
    return _made(random_generator(generator).standard_normal(_size(size)), dtype, device, requires_grad)


def randint(low, high=None, size=None, *, generator=None, dtype=np.int64, device: str = "cpu") -> Tensor:
    """Integers in [low, high). As in PyTorch, randint(high, size) starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    return _made(random_generator(generator).integers(low, high, size), dtype, device, False)


def randperm(n: int, *, generator=None, dtype=np.int64) -> Tensor:
    """0 ... n-1 in random order."""
    return _made(random_generator(generator).permutation(n), dtype, "cpu", False)


def zeros_like(t: Tensor, dtype=None) -> Tensor:
    return Tensor(np.zeros(t.shape, dtype or t.dtype))


def ones_like(t: Tensor, dtype=None) -> Tensor:
    return Tensor(np.ones(t.shape, dtype or t.dtype))


def full_like(t: Tensor, fill_value, dtype=None) -> Tensor:
    return Tensor(np.full(t.shape, fill_value, dtype or t.dtype))


def empty_like(t: Tensor, dtype=None) -> Tensor:
    return Tensor(np.empty(t.shape, dtype or t.dtype))


# -- which dtype a result has ----------------------------------------------------------------------


def _scalar_dtype(x):
    """The dtype of a Python number: bool, int64, or the default float32."""
    return np.bool_ if isinstance(x, bool) else np.int64 if isinstance(x, int) else np.float32


_NUMBERS = (float, int, bool)  # Python's own: NumPy's scalars carry a width


def _is_float_array(x) -> bool:
    return type(x) is np.ndarray and x.dtype.kind == "f"


def _promote(a, b):
    """Two operands in a common dtype: bool < int < float, and among floats the wider array's.

    As in PyTorch, numbers and 0-d tensors only raise the kind, never the width: float32 * 2.0 and
    float32 * float64 0-d are float32; int64 * 0.5 is float32.
    """
    if type(a) is np.ndarray and type(b) is np.ndarray:
        if a.dtype == b.dtype:
            return a, b
    elif (_is_float_array(a) and type(b) in _NUMBERS) or (_is_float_array(b) and type(a) in _NUMBERS):
        return a, b
    a, b = (x if isinstance(x, np.ndarray) else np.asarray(x, _number_dtype(x)) for x in (a, b))
    dtype = _common_dtype(a, b)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def _number_dtype(x):
    return x.dtype if isinstance(x, np.generic) else _scalar_dtype(x) if isinstance(x, (int, float)) else None


def _common_dtype(a, b):
    rank = {"b": 0, "u": 1, "i": 1, "f": 2}
    ra, rb = rank[a.dtype.kind], rank[b.dtype.kind]
    if ra != rb:
        if (a.ndim and b.ndim) or (ra > rb) == (a.ndim > 0):
            return a.dtype if ra > rb else b.dtype
        return np.dtype(np.float32) if 2 in (ra, rb) else (a if ra > rb else b).dtype
    if (a.ndim > 0) != (b.ndim > 0):
        return a.dtype if a.ndim else b.dtype
    return np.result_type(a, b)


def _float(x):
    """Integers and booleans enter real functions as float32."""
    return x if x.dtype.kind == "f" else x.astype(np.float32)


_BROADCAST = {
    "rule": "shapes must be equal or 1 in every axis, counted from the last",
    "fix": "reshape or unsqueeze one of them, or check which axis is the batch",
}


# -- arithmetic ------------------------------------------------------------------------------------


@op(**_BROADCAST)
def add(a, b):
    """a + b."""
    a, b = _promote(a, b)
    return a + b, (lambda g: g, lambda g: g)


@op(**_BROADCAST)
def sub(a, b):
    """a - b."""
    a, b = _promote(a, b)
    return np.subtract(a, b), (lambda g: g, lambda g: -g)


@op(**_BROADCAST)
def mul(a, b):
    """a * b, element by element."""
    a, b = _promote(a, b)
    return a * b, (lambda g: g * b, lambda g: g * a)


@op(**_BROADCAST)
def div(a, b):
    """a / b, element by element; integers give float32. Division by zero is inf or nan, as in IEEE 754."""
    a, b = _promote(a, b)
    if np.asarray(a).dtype.kind != "f" and np.asarray(b).dtype.kind != "f":
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = a / b
    return out, (lambda g: g / b, lambda g: -g * out / b)


@op(**_BROADCAST)
def pow(a, exponent):
    """a ** exponent. The gradient of the exponent is out * log(a), 0 where a is 0."""
    a, b = _promote(a, exponent)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.power(a, b)

    def d_base(g):
        with np.errstate(divide="ignore", invalid="ignore"):
            return g * np.where(np.equal(b, 0), 0, b * np.power(a, np.asarray(b, a.dtype) - 1))

    def d_exponent(g):
        with np.errstate(divide="ignore", invalid="ignore"):
            return g * np.where(np.equal(a, 0), 0, out * np.log(a))

    return out, (d_base, d_exponent)


@op
def neg(x):
    """-x."""
    return -x, (lambda g: -g,)


@op
def abs(x):
    """|x|; the gradient at 0 is 0."""
    return np.abs(x), (lambda g: g * np.sign(x),)


@op
def square(x):
    """x * x."""
    return x * x, (lambda g: 2 * g * x,)


@op
def exp(x):
    """e ** x."""
    out = np.exp(_float(x))
    return out, (lambda g: g * out,)


@op
def log(x):
    """Natural logarithm; log 0 is -inf, of negative numbers nan."""
    x = _float(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x), (lambda g: g / x,)


@op
def sqrt(x):
    """Square root."""
    with np.errstate(invalid="ignore"):
        out = np.sqrt(_float(x))
    return out, (lambda g: g / (2 * out),)


@op
def sin(x):
    x = _float(x)
    return np.sin(x), (lambda g: g * np.cos(x),)


@op
def cos(x):
    x = _float(x)
    return np.cos(x), (lambda g: -g * np.sin(x),)


@op
def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x)."""
    out = np.tanh(_float(x))
    return out, (lambda g: g * (1 - out * out),)


@op
def sigmoid(x):
    """1 / (1 + e^-x), by tanh so that nothing overflows."""
    out = np.tanh(_float(x) * 0.5) * 0.5 + 0.5
    return out, (lambda g: g * out * (1 - out),)


@op
def relu(x):
    """max(x, 0); the gradient at 0 is 0."""
    out = np.maximum(x, 0)
    return out, (lambda g: g * (out > 0),)


@op
def clamp(x, min=None, max=None):
    """x limited to [min, max]; the gradient is 0 outside."""
    if min is None and max is None:
        raise ValueError("at least one of min and max must be given")
    low, high = -np.inf if min is None else min, np.inf if max is None else max
    return np.clip(x, min, max), (lambda g: g * ((x >= low) & (x <= high)),)


def _extreme(function):
    def body(a, b):
        a, b = _promote(a, b)
        out = function(a, b)
        share = np.where(np.equal(a, b), 0.5, 1).astype(out.dtype)  # equal inputs share the gradient
        return out, (lambda g: g * np.equal(out, a) * share, lambda g: g * np.equal(out, b) * share)

    return body


@op(**_BROADCAST)
def maximum(a, b):
    """The larger of a and b, element by element."""
    return _extreme(np.maximum)(a, b)


@op(**_BROADCAST)
def minimum(a, b):
    """The smaller of a and b, element by element."""
    return _extreme(np.minimum)(a, b)


@op(**_BROADCAST)
def where(condition, a, b):
    """a where the condition holds, else b."""
    a, b = _promote(a, b)
    return np.where(condition, a, b), (
        lambda g: None,
        lambda g: np.where(condition, g, 0),
        lambda g: np.where(condition, 0, g),
    )


@op
def masked_fill(x, mask, value):
    """x with `value` where the boolean mask is True."""
    if mask.dtype != np.bool_:
        raise TypeError(f"mask must be boolean, not {mask.dtype}")
    return np.where(mask, np.asarray(value, x.dtype), x), (lambda g: np.where(mask, 0, g),)


@op
def astype(x, dtype):
    """x in another dtype; the gradient comes back in x's own."""
    return x.astype(dtype), (lambda g: g,)


# -- matrix product --------------------------------------------------------------------------------


@op(
    rule="inner sizes must agree: (..., n, k) @ (..., k, m)",
    fix="transpose one of them (.T), or reshape so that both share the axis that is summed over",
)
def matmul(a, b):
    """Matrix product of the last two axes, broadcast over the others; 1-d operands as in PyTorch."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("a 0-d operand: use * for numbers")
    same_dtype(a, b)
    out = np.matmul(a, b)

    def da(g):
        if b.ndim == 1:
            return np.expand_dims(g, -1) * b
        return (np.expand_dims(g, -2) if a.ndim == 1 else g) @ b.swapaxes(-1, -2)

    def db(g):
        if a.ndim == 1:
            return a[:, None] * np.expand_dims(g, -2) if b.ndim > 1 else a * g
        if b.ndim == 1:
            return (a * np.expand_dims(g, -1)).reshape(-1, len(b)).sum(0)
        return a.swapaxes(-1, -2) @ g

    def da_like_a(g):
        d = da(g)
        return d.reshape(-1, len(a)).sum(0) if a.ndim == 1 else d

    return out, (da_like_a, db)


# -- reductions ------------------------------------------------------------------------------------


def _axes(dim, ndim: int) -> tuple[int, ...]:
    """`dim` (None, a number or several) as sorted non-negative axes."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim)
    for d in dims:
        if not -builtins.max(ndim, 1) <= d < builtins.max(ndim, 1):
            raise IndexError(f"dim {d} of a tensor with {ndim} axes: it must lie in [{-ndim}, {ndim - 1}]")
    axes = [d % ndim for d in dims] if ndim else []
    if len(set(axes)) != len(axes):
        raise ValueError(f"dim {dims} names an axis twice")
    return tuple(sorted(axes))


def _spread(g, x, axes, keepdim):
    """A gradient of the reduced shape, with the reduced axes put back as 1."""
    return g if keepdim else np.expand_dims(g, axes) if axes else g


@op
def sum(x, dim=None, keepdim=False):
    """Sum over `dim` (all axes if None)."""
    axes = _axes(dim, x.ndim)
    out = x.sum(axis=axes, keepdims=keepdim, dtype=None if x.dtype.kind == "f" else np.int64)
    return out, (lambda g: np.broadcast_to(_spread(g, x, axes, keepdim), x.shape),)


@op
def mean(x, dim=None, keepdim=False):
    """Mean over `dim` (all axes if None). The mean of nothing is nan."""
    if x.dtype.kind != "f":
        raise TypeError(f"a mean needs floating-point values, not {x.dtype}. Fix: x.float().mean()")
    axes = _axes(dim, x.ndim)
    count = math.prod(x.shape[i] for i in axes)
    with np.errstate(invalid="ignore"):
        out = np.divide(x.sum(axis=axes, keepdims=keepdim), count, dtype=x.dtype)
    return out, (lambda g: np.broadcast_to(_spread(g, x, axes, keepdim) / builtins.max(count, 1), x.shape),)


@op
def _var(x, dim=None, correction=1, keepdim=False):
    """Mean squared distance from the mean, with n - correction in the denominator."""
    axes = _axes(dim, x.ndim)
    count = math.prod(x.shape[i] for i in axes)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = x - x.sum(axis=axes, keepdims=True) / x.dtype.type(count)
        out = np.square(centred).sum(axis=axes, keepdims=keepdim) / x.dtype.type(
            builtins.max(count - correction, 0)
        )
    scale = 2 / (count - correction) if count > correction else np.nan
    return out, (lambda g: _spread(g, x, axes, keepdim) * centred * x.dtype.type(scale),)


def var(x, dim=None, *, correction=1, keepdim=False) -> Tensor:
    """Variance over `dim`; correction=1 divides by n - 1 (unbiased), correction=0 by n."""
    return _var(x, dim=dim, correction=correction, keepdim=keepdim)


def std(x, dim=None, *, correction=1, keepdim=False) -> Tensor:
    """Standard deviation: the square root of `var`."""
    return sqrt(_var(x, dim=dim, correction=correction, keepdim=keepdim))


def _extreme_over(x, dim, keepdim, reduce):
    axes = _axes(dim, x.ndim)
    if builtins.any(x.shape[i] == 0 for i in axes):
        raise IndexError("the largest or smallest of no elements does not exist")
    kept = reduce(x, axis=axes, keepdims=True)

    def dx(g):
        ties = x == kept  # equal extremes share the gradient
        return _spread(g, x, axes, keepdim) * ties / ties.sum(axis=axes, keepdims=True, dtype=x.dtype)

    return (kept if keepdim else kept.squeeze(axes)), (dx,)


@op
def amax(x, dim=(), keepdim=False):
    """Largest value over `dim`; equal ones share the gradient."""
    return _extreme_over(x, dim, keepdim, np.max)


@op
def amin(x, dim=(), keepdim=False):
    """Smallest value over `dim`; equal ones share the gradient."""
    return _extreme_over(x, dim, keepdim, np.min)


def max(x, dim=None, keepdim=False):
    """Without dim: the largest value. With dim: (values, indices)."""
    return amax(x) if dim is None else _values_indices(x, dim, keepdim, argmax)


def min(x, dim=None, keepdim=False):
    """Without dim: the smallest value. With dim: (values, indices)."""
    return amin(x) if dim is None else _values_indices(x, dim, keepdim, argmin)


def _values_indices(x, dim, keepdim, arg):
    indices = arg(x, dim, keepdim=True)
    values = gather(x, dim, indices)
    return (values, indices) if keepdim else (squeeze(values, dim), squeeze(indices, dim))


def argmax(x, dim=None, keepdim=False) -> Tensor:
    """Where the largest value stands (the first one); of the flattened tensor if dim is None."""
    return Tensor(np.asarray(np.argmax(x.array, axis=dim, keepdims=keepdim)))


def argmin(x, dim=None, keepdim=False) -> Tensor:
    """Where the smallest value stands (the first one); of the flattened tensor if dim is None."""
    return Tensor(np.asarray(np.argmin(x.array, axis=dim, keepdims=keepdim)))


def all(x, dim=None, keepdim=False) -> Tensor:
    """Is every element true?"""
    return Tensor(np.asarray(np.all(x.array, axis=dim, keepdims=keepdim)))


def any(x, dim=None, keepdim=False) -> Tensor:
    """Is at least one element true?"""
    return Tensor(np.asarray(np.any(x.array, axis=dim, keepdims=keepdim)))


@op
def logsumexp(x, dim, keepdim=False):
    """log(sum(exp(x))) without overflow: the largest value is taken out first."""
    axes = _axes(dim, x.ndim)
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    with np.errstate(divide="ignore"):
        kept = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
    out = kept if keepdim else kept.squeeze(axes)
    return out, (lambda g: _spread(g, x, axes, keepdim) * np.exp(x - kept),)


@op
def cumsum(x, dim):
    """Running sum along `dim`."""
    return np.cumsum(x, axis=dim), (lambda g: np.flip(np.cumsum(np.flip(g, dim), axis=dim), dim),)


# -- shape -----------------------------------------------------------------------------------------


@op(rule="the number of elements must stay the same", fix="check the sizes, or leave one of them to -1")
def _reshape(x, shape):
    return x.reshape(shape), (lambda g: g.reshape(x.shape),)


def reshape(x, *shape) -> Tensor:
    """The same elements, read row by row, in another shape; one size may be -1."""
    return _reshape(x, shape=_size(shape))


@op(rule="dims must name each axis once", fix="give a permutation of range(x.ndim)")
def _permute(x, dims):
    axes = [d % x.ndim for d in dims]
    return x.transpose(axes), (lambda g: g.transpose(np.argsort(axes)),)


def permute(x, *dims) -> Tensor:
    """The axes in another order."""
    return _permute(x, dims=_size(dims))


@op
def transpose(x, dim0, dim1):
    """Two axes exchanged."""
    return x.swapaxes(dim0, dim1), (lambda g: g.swapaxes(dim0, dim1),)


@op
def squeeze(x, dim=None):
    """Axes of size 1 removed (only `dim` if given; kept if it is not 1)."""
    axes = [i for i in _axes(dim, x.ndim) if x.shape[i] == 1]
    return x.squeeze(tuple(axes)), (lambda g: g.reshape(x.shape),)


@op
def unsqueeze(x, dim):
    """An axis of size 1 put in at `dim`."""
    return np.expand_dims(x, dim), (lambda g: g.reshape(x.shape),)


@op(rule="only axes of size 1 can be expanded", fix="unsqueeze first, or use -1 to keep a size")
def broadcast_to(x, size):
    """x repeated along axes of size 1, without copying. -1 keeps a size."""
    lead = len(size) - x.ndim
    shape = tuple(x.shape[i - lead] if n == -1 else n for i, n in enumerate(size))
    return np.broadcast_to(x, shape), (lambda g: g,)


def expand(x, *size) -> Tensor:
    """x repeated along axes of size 1, without copying. -1 keeps a size."""
    return broadcast_to(x, size=_size(size))


def flatten(x, start_dim=0, end_dim=-1) -> Tensor:
    """The axes start_dim ... end_dim as one."""
    if x.ndim == 0:
        return reshape(x, 1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    if start > end:
        raise RuntimeError(f"flatten({x.shape}, {start_dim}, {end_dim}): start_dim must come before end_dim")
    return reshape(x, *x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])


@op
def flip(x, dims):
    """The order along `dims` reversed."""
    return np.flip(x, dims), (lambda g: np.flip(g, dims),)


@op(rule="all sizes but that of dim must be equal", fix="check the shapes, or use stack for a new axis")
def _cat(*tensors, dim):
    out = np.concatenate(tensors, axis=dim)
    bounds = np.cumsum([t.shape[dim] for t in tensors])[:-1]
    return out, lambda g: np.split(g, bounds, axis=dim)


def cat(tensors, dim=0) -> Tensor:
    """Tensors joined along an axis that they have."""
    if not tensors:
        raise ValueError("cat of no tensors: give at least one")
    return _cat(*tensors, dim=dim)


def stack(tensors, dim=0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    return cat([unsqueeze(t, dim) for t in tensors], dim)


def split(x, split_size_or_sections, dim=0) -> tuple[Tensor, ...]:
    """Pieces along `dim`: of one size (the last may be smaller), or of the sizes in a list."""
    n, sizes = x.shape[dim], split_size_or_sections
    if isinstance(sizes, int):
        sizes = [builtins.min(sizes, n - i) for i in range(0, n, sizes)] or [0]
    if builtins.sum(sizes) != n:
        raise RuntimeError(f"split({x.shape}, {sizes}, dim={dim}): the sizes must add up to {n}")
    bounds = [0, *itertools.accumulate(sizes)]
    before = (slice(None),) * (dim % x.ndim)
    return tuple(getitem(x, (*before, slice(a, b))) for a, b in itertools.pairwise(bounds))


# -- indexing --------------------------------------------------------------------------------------


def _plain_index(index):
    """An index with tensors replaced by arrays."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    if isinstance(index, list):
        return np.asarray(index)
    return index.array if isinstance(index, Tensor) else index


def _repeats(index) -> bool:
    """Can this index name an element twice? Only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return builtins.any(isinstance(i, np.ndarray) and i.dtype != np.bool_ for i in parts)


@op(fix="check the index against the shape")
def _getitem(x, index):
    def dx(g):
        out = np.zeros(x.shape, g.dtype)
        if _repeats(index):
            np.add.at(out, index, g)
        else:
            out[index] = g
        return out

    return x[index], (dx,)


def getitem(x, index) -> Tensor:
    """x[index] with NumPy's meaning: numbers, slices, None, ..., integer and boolean tensors."""
    return _getitem(x, index=_plain_index(index))


@op(rule="index must have as many axes as x, and its values must lie in [0, x.shape[dim])")
def _gather(x, index, dim):
    def dx(g):
        out = np.zeros(x.shape, g.dtype)
        grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
        grid[dim] = index
        np.add.at(out, tuple(grid), g)
        return out

    return np.take_along_axis(x, index, axis=dim), (dx, lambda g: None)


def gather(x, dim, index) -> Tensor:
    """out[i][j] = x[i][index[i][j]] (for dim=1): one chosen element for each place of `index`."""
    return _gather(x, index, dim=dim)


# -- comparisons, and binding to Tensor ------------------------------------------------------------


def _compare(function):
    def compare(a, b):
        a, b = (t.array if isinstance(t, Tensor) else t for t in (a, b))
        return Tensor(np.asarray(function(a, b)))

    return compare


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


def _set_item(self, index, value):
    if self.requires_grad and _mode.grad:
        raise RuntimeError("x[i] = v on a tensor that requires a gradient. Fix: use where(), or no_grad()")
    self.array[_plain_index(index)] = value.array if isinstance(value, Tensor) else value


def _transposed(self) -> Tensor:
    """The axes in reverse order."""
    return permute(self, *reversed(range(self.ndim)))


def _bind() -> None:
    """Give Tensor its operators and methods. The only place where this happens."""
    binary = {"add": add, "sub": sub, "mul": mul, "truediv": div, "pow": pow, "matmul": matmul}
    for name, function in binary.items():
        setattr(Tensor, f"__{name}__", function)
        setattr(Tensor, f"__r{name}__", _reversed(function))
        if name not in ("pow", "matmul"):
            setattr(Tensor, f"__i{name}__", _in_place(function))
    compare = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
               "ge": np.greater_equal, "and": np.logical_and, "or": np.logical_or}  # fmt: skip
    for name, function in compare.items():
        setattr(Tensor, f"__{name}__", _compare(function))
    methods = [
        abs, all, amax, amin, any, argmax, argmin, clamp, cos, cumsum, exp, expand, flatten, flip, gather,
        log, logsumexp, masked_fill, matmul, max, mean, min, permute, pow, relu, reshape, sigmoid, sin,
        split, sqrt, square, squeeze, std, sum, tanh, transpose, unsqueeze, var,
    ]  # fmt: skip
    for function in methods:
        setattr(Tensor, function.__name__, function)
    Tensor.__neg__, Tensor.__abs__, Tensor.__getitem__, Tensor.__setitem__ = neg, abs, getitem, _set_item
    Tensor.__invert__ = lambda self: Tensor(~self.array)
    Tensor.view = reshape
    Tensor.T = property(_transposed)


_bind()
