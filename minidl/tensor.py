"""The tensor: an array that remembers how it was computed, so that `backward` can send gradients back.

The whole of automatic differentiation is in this file and is three ideas:

1. An **op** is a function on arrays that returns its output and its *vjp* (vector-Jacobian product): given
   `g` = dL/d(output), the vjp returns dL/d(input) for each input.
2. `@op` **records** what was applied to what. Every record (`Node`) carries a running number; an output is
   always younger than its inputs.
3. `backward` visits the records from the youngest to the oldest, calls each vjp once, and adds up what
   arrives at each tensor. The one idea that scalars do not need: a gradient is summed over the axes along
   which its tensor was broadcast.

Sources: Linnainmaa (1970), reverse accumulation; Speelpenning (1980), compiled gradients.
"""

from __future__ import annotations

import functools
import heapq
import inspect
import itertools
import threading
import weakref
from collections.abc import Callable

import numpy as np

from minidl import writes
from minidl.devices import Array, asked, device_of, to_host
from minidl.part import whole
from minidl.quiet import quietly

OPS: dict[str, Callable] = {}
"""Every op by name. A test walks it and refuses an op without gradient-check samples."""


class _Mode(threading.local):
    """Per thread: are operations recorded, do records keep their values for drawing, and who looks on?"""

    grad = True
    trace = False
    observers: tuple = ()


_mode = _Mode()


class ShapeError(RuntimeError, ValueError):
    """Arguments of an op do not fit together. The message names op, arguments, rule and fix."""


class _Switch:
    """A context manager (and decorator) that sets one field of `_mode` for its thread."""

    field: str
    value: bool

    def __enter__(self):
        self._before = getattr(_mode, self.field)
        setattr(_mode, self.field, self.value)
        return self

    def __exit__(self, *_):
        setattr(_mode, self.field, self._before)

    def __call__(self, function):
        @functools.wraps(function)
        def switched(*args, **kwargs):
            with type(self)():
                return function(*args, **kwargs)

        return switched


class no_grad(_Switch):
    """`with no_grad():` nothing is recorded: for evaluation, and for changing weights by hand."""

    field, value = "grad", False


class enable_grad(_Switch):
    """`with enable_grad():` record again inside a `no_grad` block."""

    field, value = "grad", True


class trace(_Switch):
    """`with trace():` records also keep each output and its gradient, so that graphs can be drawn."""

    field, value = "trace", True


class observe:
    """`with observe(observer):` the observer is told of every op and every vjp of this thread.

    It has `forward(name, arrays, settings, result)`, called after an op made the tensor `result`, and
    `backward(node, g, gradients)`, called after a record turned `g` into pairs (input, gradient).
    """

    def __init__(self, observer):
        self.observer = observer

    def __enter__(self):
        self._before = _mode.observers
        _mode.observers = (*self._before, self.observer)
        return self.observer

    def __exit__(self, *_):
        _mode.observers = self._before


def is_grad_enabled() -> bool:
    """Are operations recorded in this thread now?"""
    return _mode.grad


class RemovableHandle:
    """What registering a hook returns: `.remove()` takes the hook away; so does the end of a with-block."""

    _ids = itertools.count()

    def __init__(self, hooks: dict):
        self.hooks, self.id = hooks, next(RemovableHandle._ids)

    def remove(self) -> None:
        self.hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class Node:
    """The record of one op: what went in, and how a gradient goes back.

    `inputs` holds, for each positional argument of the op, the record that made it, or the tensor itself
    when it is a leaf that wants a gradient, or None when nobody needs that gradient.
    """

    __slots__ = (
        "__weakref__", "dtype", "grad", "hooks", "inputs", "kept_by", "name", "order", "shape", "value",
        "vjp", "watched",
    )  # fmt: skip

    def __init__(self, name, inputs, vjp, out):
        self.name, self.inputs, self.vjp = name, inputs, vjp
        self.shape, self.dtype, self.order = out.shape, out.dtype, next(writes.clock)
        self.hooks = self.grad = self.kept_by = self.value = None
        self.watched = _mode.trace  # by a trace, a hook or retain_grad
        if self.watched:
            self.value = out

    def __repr__(self):
        return f"<{self.name}>"

    def arrived(self, g):
        """Show the complete dL/d(output) to those who watch; hooks may replace it."""
        if self.hooks:
            g = _call_hooks(self.hooks, g)
        if self.kept_by is not None and self.kept_by() is not None:
            self.kept_by()._accumulate(g)
        if self.value is not None:
            self.grad = g
        return g

    def input_gradients(self, g):
        """Pairs (input, dL/d input) for the inputs that need one."""
        if self.vjp is None:
            raise RuntimeError(
                f"backward through {self.name} a second time: its saved arrays were released by the first "
                "backward. Fix: compute the loss anew before each backward, or call the first one with "
                "retain_graph=True."
            )
        gradients, lazy = [], type(self.vjp) is tuple
        for x, d in zip(self.inputs, self.vjp if lazy else self.vjp(g), strict=False):
            if x is not None:  # one function an input: unneeded gradients are never computed
                gradients.append((x, d(g) if lazy else d))
        return gradients


class Tensor:
    """An n-dimensional array with a gradient.

    `requires_grad=True` makes it a leaf: `backward` fills its `.grad`. Results of ops carry the record of
    the op in `.grad_fn`. PyTorch's names and meaning throughout; `array` is the array, NumPy's or a GPU's.
    """

    __slots__ = ("__weakref__", "_buffer", "_grad", "_hooks", "array", "grad_fn", "requires_grad")
    __array_ufunc__ = None  # so that `ndarray + Tensor` is decided by Tensor
    __hash__ = object.__hash__

    def __init__(self, array, requires_grad: bool = False):
        self.array = array if hasattr(array, "shape") else np.asarray(array, np.float32)
        self.requires_grad = requires_grad
        self.grad_fn = self._grad = self._buffer = self._hooks = None

    # -- what it is --------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """What one element is: a NumPy dtype."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def device(self) -> str:
        """Where the array lies: "cpu" or "cuda"."""
        return device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        """Was it made by the user, not by an op?"""
        return self.grad_fn is None

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def size(self, dim: int | None = None):
        """Sizes of all axes, or of one."""
        return self.array.shape if dim is None else self.array.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def element_size(self) -> int:
        """Bytes an element."""
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.array.nbytes

    def is_floating_point(self) -> bool:
        """Is it float32 or float64?"""
        return self.array.dtype.kind == "f"

    def __len__(self):
        if not self.array.ndim:
            raise TypeError("len() of a 0-d tensor: it has no axis to count")
        return len(self.array)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __contains__(self, value):
        return bool((self == value).array.any())

    def __format__(self, spec):
        return format(self.item(), spec) if spec and not self.array.ndim else format(str(self), spec)

    def __repr__(self):
        text = np.array2string(to_host(self.array), precision=4, separator=", ", prefix="tensor(")
        if self.dtype not in (np.float32, np.int64, np.bool_):
            text += f", dtype={self.dtype}"
        text += ", device='cuda'" if self.device == "cuda" else ""
        if self.grad_fn is not None:
            text += f", grad_fn={self.grad_fn!r}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    # -- out of the tensor world -------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """The array itself, sharing memory. Refused while a gradient is wanted: `detach()` first."""
        if self.requires_grad:
            raise RuntimeError(
                "numpy() of a tensor that requires a gradient would cut it out of the graph unseen. "
                "Fix: t.detach().numpy()"
            )
        if self.device != "cpu":
            raise TypeError("numpy() of a tensor in a GPU's memory. Fix: t.cpu().numpy(), which copies it")
        return self.array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> float | int | bool:
        """The only element as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(f"item() needs a tensor with one element, this one has shape {self.shape}")
        return self.array.item()

    def tolist(self):
        """Nested lists of Python numbers."""
        return self.array.tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if self.array.dtype.kind not in "iub":
            raise TypeError(f"only an integer tensor can be an index, this one is {self.dtype}")
        return int(self.item())

    def __bool__(self):
        if self.array.size != 1:
            raise RuntimeError(
                f"a tensor of shape {self.shape} is neither true nor false. Fix: use .any() or .all()"
            )
        return bool(self.array.item())

    def detach(self) -> Tensor:
        """The same memory without its history."""
        return Tensor(self.array)

    @property
    def data(self) -> Tensor:
        """The values as a tensor without history, sharing memory."""
        return Tensor(self.array)

    @data.setter
    def data(self, value):
        array = value.array if isinstance(value, Tensor) else np.asarray(value)
        if array is not self.array:  # then an optimiser's buffer no longer fits
            self.array, self._buffer = array, None

    def to(self, *target, dtype=None, device=None, copy: bool = False) -> Tensor:
        """`to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`: converted, differentiably.

        This tensor itself if nothing changes and no copy is asked for.
        """
        dtype, device = asked_conversion(target, dtype, device)
        dtype, device = self.dtype if dtype is None else np.dtype(dtype), device or self.device
        if not copy and (dtype, device) == (self.dtype, self.device):
            return self
        return OPS["astype"](self, dtype=dtype, device=device)

    def float(self) -> Tensor:
        """As float32."""
        return self.to(np.float32)

    def double(self) -> Tensor:
        """As float64."""
        return self.to(np.float64)

    def long(self) -> Tensor:
        """As int64."""
        return self.to(np.int64)

    def int(self) -> Tensor:
        """As int32."""
        return self.to(np.int32)

    def bool(self) -> Tensor:
        """As booleans: what is not 0."""
        return self.to(np.bool_)

    def cpu(self) -> Tensor:
        """On the CPU: this tensor, or a copy."""
        return self.to("cpu")

    def cuda(self) -> Tensor:
        """On the GPU: this tensor, or a copy; without a GPU refused, with what is missing."""
        return self.to("cuda")

    def __deepcopy__(self, memo):
        if self.grad_fn is not None:
            raise RuntimeError("only leaf tensors can be deep-copied. Fix: copy.deepcopy(t.detach())")
        copy = memo[id(self)] = type(self).__new__(type(self))
        Tensor.__init__(copy, self.array.copy(), self.requires_grad)
        copy._grad = None if self._grad is None else self._grad.copy()
        return copy

    # -- gradients ---------------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """dL/d(this tensor), added up over every `backward` since it was last None."""
        return None if self._grad is None else Tensor(self._grad)

    @grad.setter
    def grad(self, value):
        if value is None:
            self._grad = None
            return
        g = value.array if isinstance(value, Tensor) else np.asarray(value)
        if g.shape != self.shape:
            raise ShapeError(
                f"grad of shape {g.shape} for a tensor of shape {self.shape}: they must be equal"
            )
        self._grad = None
        self._accumulate(g)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Say, in place, whether this leaf wants a gradient."""
        if requires_grad and self.array.dtype.kind != "f":
            raise RuntimeError(f"only floating-point tensors can require a gradient, not {self.dtype}")
        if self.grad_fn is not None and not requires_grad:
            raise RuntimeError("requires_grad can only be taken from a leaf. Fix: use t.detach()")
        self.requires_grad = requires_grad
        return self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(gradient)` when this tensor's gradient is complete; what it returns replaces it."""
        if not self.requires_grad:
            raise RuntimeError("register_hook on a tensor that does not require a gradient: none will come")
        owner = self if self.grad_fn is None else self.grad_fn
        name = "_hooks" if owner is self else "hooks"
        if getattr(owner, name) is None:
            setattr(owner, name, {})
        if owner is not self:
            owner.watched = True
        handle = RemovableHandle(getattr(owner, name))
        handle.hooks[handle.id] = hook
        return handle

    def retain_grad(self) -> None:
        """Keep `.grad` of this intermediate result as well."""
        if not self.requires_grad:
            raise RuntimeError("retain_grad on a tensor that does not require a gradient: none will come")
        if self.grad_fn is not None:
            self.grad_fn.kept_by, self.grad_fn.watched = weakref.ref(self), True

    def _accumulate(self, g: np.ndarray) -> None:
        """Add g to the gradient; the first one is copied, because `g` may be shared or read-only."""
        if self._grad is not None:
            self._grad += g
        elif self._buffer is not None:
            self._buffer[...] = whole(g)
            self._grad = self._buffer
        else:
            self._grad = whole(g).astype(self.array.dtype)

    def backward(self, gradient=None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Fill `.grad` of every leaf that this tensor was computed from.

        Args:
            gradient: dL/d(this tensor), its shape. May be left out for one element (it is 1 then).
            retain_graph: keep what the ops saved, so that backward can run again.

        Raises:
            RuntimeError: nothing here requires a gradient, or the graph was already released.
        """
        if create_graph:
            raise NotImplementedError("create_graph=True (gradients of gradients) is not part of minidl")
        if not self.requires_grad:
            raise RuntimeError(
                "backward from a tensor that does not require a gradient. Fix: give a parameter "
                "requires_grad=True, and compute the loss outside no_grad()"
            )
        quietly(run_backward, (self, _seed_gradient(self, gradient), retain_graph))

    # -- attributes bound by ops/binding.py: +, *, @, [...], sum, reshape and their kin ------------


def _seed_gradient(t: Tensor, gradient) -> np.ndarray:
    if gradient is None:
        if t.array.size != 1:
            raise RuntimeError(
                f"backward from a tensor of shape {t.shape}: only one number can be a loss. "
                "Fix: reduce it (loss.mean()) or pass gradient="
            )
        g = np.empty_like(t.array)
        g.fill(1)  # half the time of np.ones_like
        return g
    g = gradient.array if isinstance(gradient, Tensor) else np.asarray(gradient)
    g = g.astype(t.dtype, copy=False)
    if g.shape != t.shape:
        raise ShapeError(f"backward(gradient: {g.shape}) of a tensor of shape {t.shape}: they must be equal")
    return g


def run_backward(root: Tensor, g: np.ndarray, retain_graph: bool) -> None:
    """Visit the records from the youngest to the oldest; each is complete when its turn comes."""
    first = root.grad_fn or root
    pending = {first: g}  # record (or leaf with hooks) -> dL/d(its output) so far
    owned = set()  # those whose pending array is ours to add into
    queue = [(-first.order, first)] if first is not root else []
    observers = _mode.observers
    while queue:
        node = heapq.heappop(queue)[1]
        g = whole(pending.pop(node))
        if node.watched:
            g = node.arrived(g)
        if node.order < writes.latest:
            writes.check(node)
        gradients = node.input_gradients(g)
        for observer in observers:
            observer.backward(node, g, gradients)
        for x, dx in gradients:
            like = x if type(x) is Node else x.array
            if dx.shape != like.shape:
                dx = sum_to_shape(dx, like.shape)
            if dx.dtype is not like.dtype:
                dx = dx.astype(like.dtype, copy=False)
            if like is not x and not x._hooks:
                x._accumulate(dx)
            elif x not in pending:
                pending[x] = dx
                if like is x:
                    heapq.heappush(queue, (-x.order, x))
            elif x in owned:
                pending[x] += dx
            else:  # the first array may be shared with another consumer: add out of place
                pending[x] = pending[x] + dx
                owned.add(x)
        if not retain_graph:
            node.vjp = None
            if node.value is None:
                node.inputs = ()
    for leaf, g in pending.items():
        leaf._accumulate(_call_hooks(leaf._hooks, whole(g)) if leaf._hooks else g)


def _call_hooks(hooks: dict[int, Callable], g: np.ndarray) -> np.ndarray:
    """The gradient after each hook had the chance to replace it."""
    for hook in list(hooks.values()):
        replaced = hook(Tensor(g))
        if replaced is not None:
            if replaced.shape != g.shape:
                raise ShapeError(f"a hook turned a gradient of shape {g.shape} into one of {replaced.shape}")
            g = replaced.array
    return g


def sum_to_shape(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of broadcasting: sum over the axes that were added or stretched from 1."""
    extra = g.ndim - len(shape)
    if extra > 0:
        g = g.sum(axis=tuple(range(extra)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g


def op(function=None, *, rule: str = "", fix: str = ""):
    """Make a differentiable op of a function on arrays.

    The function returns `(output, vjp)`. Its positional arguments may be tensors (it receives their
    arrays); keyword arguments are settings. `vjp` is one function `g -> (dx, dy, ...)`, or a tuple with
    one function `g -> dx` for each input, of which only the needed ones are called. Gradients may have
    the broadcast shape: they are summed back here.

    Args:
        rule: what must hold of the arguments, in words; part of the error message.
        fix: what to do about it.
    """
    if function is None:
        return functools.partial(op, rule=rule, fix=fix)
    name = function.__name__.strip("_")

    @functools.wraps(function)
    def call(*args, **settings):
        if settings and any(isinstance(value, Tensor) for value in settings.values()):
            args, settings = _by_position(function, args, settings)
        arrays, inputs, wanted = [], [], None
        for a in args:
            needed = None
            if isinstance(a, Tensor):
                if a.requires_grad:
                    needed, wanted = a.grad_fn or a, True
                elif wanted is None:
                    wanted = False
                a = a.array
            arrays.append(a)
            inputs.append(needed)
        if wanted is None:
            raise TypeError(f"{name} of no tensor. Fix: wrap the numbers in minidl.tensor(...)")
        try:
            out, vjp = quietly(function, arrays, settings)
        except (ValueError, IndexError, TypeError) as error:
            raise explain(error, function, name, arrays, settings, rule, fix) from error
        if type(out) is not np.ndarray and not isinstance(out, Array):
            out = np.asarray(out)
        result = Tensor(out)
        if wanted and _mode.grad and out.dtype.kind == "f":
            result.requires_grad = True
            result.grad_fn = Node(name, inputs, vjp, out)
        if _mode.observers:
            for observer in _mode.observers:
                observer.forward(name, arrays, settings, result)
        return result

    OPS[name] = call
    return call


def _by_position(function, args, settings) -> tuple[list, dict]:
    """Arguments up to the last tensor by position, as an op wants them; the rest by keyword."""
    bound = inspect.signature(function).bind(*args, **settings)
    bound.apply_defaults()
    given = list(bound.arguments.items())
    count = 1 + max(i for i, (_, value) in enumerate(given) if isinstance(value, Tensor))
    return [value for _, value in given[:count]], dict(given[count:])


def explain(error, function, name, arrays, settings, rule, fix) -> Exception:
    """The message of a failed op: its arguments with shapes, the rule, the fix."""
    if isinstance(error, ShapeError):
        return error
    names = list(inspect.signature(function).parameters)
    names += [names[-1]] * (len(arrays) - len(names))  # *args repeat their name
    given = [f"{n.lstrip('*')}: {describe(a)}" for n, a in zip(names, arrays, strict=False)]
    given += [f"{k}={v!r}" for k, v in settings.items()]
    if isinstance(error, TypeError):  # about dtypes: the rule and fix of shapes would mislead
        rule = fix = ""
    text = f"{name}({', '.join(given)}): {rule or error}"
    text += f" ({error})" if rule else ""
    text += f". Fix: {fix}" if fix else ""
    kind = type(error) if isinstance(error, (TypeError, IndexError)) else ShapeError
    return kind(text)


def same_dtype(*arrays: np.ndarray) -> None:
    """Refuse a product of different dtypes: float64 data would turn a float32 model into float64 unseen."""
    dtype = arrays[0].dtype
    for a in arrays:
        if a.dtype is not dtype and a.dtype != dtype:
            names = " and ".join(dict.fromkeys(str(a.dtype) for a in arrays))
            raise TypeError(f"operands are {names}, they must be equal. Fix: convert one, as in x.float()")


def describe(value) -> str:
    """`(3, 4) float32` for arrays, the value itself for anything else."""
    if isinstance(value, Array):
        return f"{value.shape} {value.dtype}" + (" on cuda" if device_of(value) == "cuda" else "")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(describe(v) for v in value) + "]"
    return repr(value)


def asked_conversion(target: tuple, dtype, device):
    """The dtype and the device that `to(*target, dtype=, device=)` asks for, or None."""
    for t in target:
        if isinstance(t, Tensor):
            dtype, device = t.dtype, t.device
        elif isinstance(t, str) or t is None:
            device = t
        else:
            dtype = t
    return dtype, None if device is None else asked(device)
