"""Making tensors: from data, of one value, in steps, at random."""

from __future__ import annotations

import numpy as np

from minidl.ops.dtypes import scalar_dtype
from minidl.tensor import Tensor, check_device

__all__ = [
    "arange", "empty_like", "eye", "full", "full_like", "linspace", "manual_seed", "ones", "ones_like",
    "rand", "randint", "randn", "randperm", "tensor", "zeros", "zeros_like",
]  # fmt: skip


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


def size_of(size) -> tuple[int, ...]:
    """Both zeros(2, 3) and zeros((2, 3)) are allowed."""
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)


def _made(array, dtype, device, requires_grad) -> Tensor:
    check_device(device)
    return Tensor(np.asarray(array, dtype=dtype)).requires_grad_(requires_grad)


def zeros(*size, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return _made(np.zeros(size_of(size)), dtype, device, requires_grad)


def ones(*size, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return _made(np.ones(size_of(size)), dtype, device, requires_grad)


def full(size, fill_value, dtype=None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return _made(np.full(size, fill_value), dtype or scalar_dtype(fill_value), device, requires_grad)


def arange(start, end=None, step=1, dtype=None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """start, start + step, ... up to but without end."""
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange({start}, {end}, {step}): step must lead from start to end")
    dtype = dtype or scalar_dtype(start + end + step)
    return _made(np.arange(start, end, step), dtype, device, requires_grad)


def linspace(start, end, steps, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """`steps` values from start to end, both included."""
    return _made(np.linspace(start, end, steps), dtype, device, requires_grad)


def eye(n, m=None, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    return _made(np.eye(n, m), dtype, device, requires_grad)


def rand(*size, generator=None, dtype=np.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Uniform in [0, 1)."""
    return _made(random_generator(generator).random(size_of(size)), dtype, device, requires_grad)


def randn(
    *size, generator=None, dtype=np.float32, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Standard normal."""
    return _made(random_generator(generator).standard_normal(size_of(size)), dtype, device, requires_grad)


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
