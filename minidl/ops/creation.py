"""Making tensors: from data, of one value, in steps, at random."""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Sequence

import numpy as np

from minidl.devices import Array, Place, asked, device_of, maker, moved
from minidl.ops.dtypes import PYTHON_DTYPES, as_dtype, float_dtype, narrow, result_dtype, scalar_dtype
from minidl.tensor import Tensor

__all__ = [
    "Generator", "arange", "as_tensor", "default_generator", "empty", "empty_like", "eye", "from_numpy",
    "full", "full_like", "get_rng_state", "initial_seed", "linspace", "manual_seed", "ones", "ones_like",
    "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "seed",
    "set_rng_state", "tensor", "zeros", "zeros_like",
]  # fmt: skip


# -- random numbers ----------------------------------------------------------------------------------


class Generator:
    """A stream of random numbers that can be started anew (`manual_seed`) or continued (`set_state`).

    The numbers are NumPy's (PCG64, O'Neill 2014): the same seed gives other numbers than in PyTorch.
    `numpy` is the NumPy generator itself.
    """

    def __init__(self, device: str = "cpu"):
        if asked(device) != "cpu":
            raise NotImplementedError("random numbers are drawn on the CPU. Fix: Generator()")
        self.device = "cpu"
        self.numpy = np.random.default_rng()
        self.manual_seed(67280421310721)  # PyTorch's: a generator without a seed repeats itself

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from a seed in [-2^63, 2^64); the negative ones count back from 2^64."""
        if not -(2**63) <= operator.index(seed) < 2**64:
            raise ValueError(f"seed {seed} must lie in [-2^63, 2^64)")
        self._seed = operator.index(seed) % 2**64
        self.numpy.bit_generator.state = np.random.default_rng(self._seed).bit_generator.state
        return self

    def seed(self) -> int:
        """Start anew from a seed that nobody can foresee, which is returned."""
        return self.manual_seed(int.from_bytes(os.urandom(8))).initial_seed()

    def initial_seed(self) -> int:
        """The seed that the stream was started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """Where the stream stands, as a uint8 tensor that can be saved."""
        state = {"seed": self._seed, **self.numpy.bit_generator.state}
        return Tensor(np.frombuffer(json.dumps(state).encode(), np.uint8).copy())

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from where `get_state` was called, number by number."""
        if not isinstance(new_state, Tensor) or new_state.dtype != np.uint8:
            raise TypeError("set_state needs the uint8 tensor that get_state returned")
        state = json.loads(new_state.array.tobytes())
        self._seed = state.pop("seed")
        self.numpy.bit_generator.state = state
        return self


Random = Generator | np.random.Generator | None
"""What `generator=` takes."""

default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Start minidl's random numbers anew, so that a run can be repeated: rand, dropout, starting weights."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start minidl's random numbers from a seed that nobody can foresee, which is returned."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that minidl's random numbers were started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Where minidl's random numbers stand, to be saved with a run that is to be continued."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Go on with the random numbers from where `get_rng_state` was called."""
    default_generator.set_state(new_state)


def random_generator(generator: Random = None) -> np.random.Generator:
    """NumPy's generator behind `generator`; without one, that which `manual_seed` started."""
    generator = default_generator if generator is None else generator
    generator = generator.numpy if isinstance(generator, Generator) else generator
    if not isinstance(generator, np.random.Generator):
        raise TypeError(f"generator is a {type(generator).__name__}. Fix: minidl.Generator().manual_seed(0)")
    return generator


# -- from data ---------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def tensor(data, *, dtype=None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`: numbers, nested lists, arrays.

    Python's floats become float32 and its integers int64; arrays and NumPy's numbers keep their dtype.
    """
    if isinstance(data, (np.ndarray, Tensor)):
        source = data.array if isinstance(data, Tensor) else data
        array = source.astype(as_dtype(dtype, as_dtype(source.dtype)), order="C")
        device = device_of(source) if device is None and isinstance(data, Tensor) else device
    else:
        array = _array_of_numbers(data, dtype)
    return _made(array, device, requires_grad)


def _array_of_numbers(data, dtype) -> np.ndarray:
    """Nested sequences, or one number, as an array; without a dtype, of the one that holds them all."""
    dtypes = set()
    data = _plain(data, dtypes)
    own = result_dtype(*(np.empty((), d) for d in dtypes)) if dtypes else np.dtype(np.float32)
    try:
        array = np.array(data, np.float64 if own.kind == "f" else own)
    except OverflowError as error:
        raise ValueError(f"tensor(): a whole number is too large for {own}") from error
    except ValueError as error:
        raise ValueError(f"tensor() of rows that differ in length. Fix: make them equal ({error})") from error
    return narrow(array, as_dtype(dtype, own))


def _plain(data, dtypes: set):
    """Sequences as lists, and tensors of one element as arrays; adds to `dtypes` what it meets."""
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        types = set(map(type, data))
        if types <= PYTHON_DTYPES.keys():
            dtypes.update(PYTHON_DTYPES[t] for t in types)
            return data
        return [_plain(x, dtypes) for x in data]
    if isinstance(data, Tensor):
        if data.numel() != 1:
            raise ValueError(f"tensor() of a list with a tensor of {data.shape}. Fix: minidl.stack(list)")
        data = data.array.reshape(())
    if not isinstance(data, (np.ndarray, np.generic, *PYTHON_DTYPES)):
        raise TypeError(f"tensor() of a {type(data).__name__}: numbers and booleans only")
    dtypes.add(as_dtype(data.dtype) if isinstance(data, (np.ndarray, np.generic)) else scalar_dtype(data))
    return data


def as_tensor(data, *, dtype=None, device: Place = None) -> Tensor:
    """`data` as a tensor: itself if it is one, sharing memory with an array, else a copy."""
    if isinstance(data, np.ndarray):
        data = from_numpy(data)
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray: np.ndarray, /) -> Tensor:
    """A tensor in the array's own memory: a change of one changes the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy needs an array, not a {type(ndarray).__name__}. Fix: minidl.tensor(...)")
    as_dtype(ndarray.dtype)
    return Tensor(ndarray)


def _made(array: np.ndarray, device, requires_grad) -> Tensor:
    array = array if isinstance(array, Array) else np.asarray(array)
    return Tensor(moved(array, asked(device))).requires_grad_(requires_grad)


# -- of one value ------------------------------------------------------------------------------------


def size_of(size) -> tuple[int, ...]:
    """Both zeros(2, 3) and zeros((2, 3)) are allowed."""
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)


def _shape(sizes, size=None) -> tuple[int, ...]:
    """The sizes of a new tensor, from zeros(2, 3), zeros((2, 3)) or zeros(size=(2, 3))."""
    if bool(sizes) == (size is not None):
        raise TypeError(
            "a new tensor needs its size once. Fix: minidl.zeros(2, 3), or () for a single number"
        )
    given = size_of(sizes) if size is None else size
    if not isinstance(given, (tuple, list)) or any(isinstance(n, bool) for n in given):
        raise TypeError(f"size {given!r} must be whole numbers. Fix: size=(2, 3)")
    shape = tuple(operator.index(n) for n in given)
    if any(n < 0 for n in shape):
        raise ValueError(f"size {shape}: no axis can be shorter than 0")
    return shape


def _filled(how: str, shape: tuple[int, ...], dtype, device, requires_grad) -> Tensor:
    """A tensor of one value, made where it is to lie."""
    array = getattr(maker(asked(device)), how)(shape, as_dtype(dtype))
    return Tensor(array).requires_grad_(requires_grad)


def empty(*sizes: int, size=None, dtype=None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """Whatever the memory holds: to be filled."""
    return _filled("empty", _shape(sizes, size), dtype, device, requires_grad)


def zeros(*sizes: int, size=None, dtype=None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """zeros(2, 3) or zeros((2, 3)): a tensor of that shape, every element 0."""
    return _filled("zeros", _shape(sizes, size), dtype, device, requires_grad)


def ones(*sizes: int, size=None, dtype=None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """ones(2, 3) or ones((2, 3)): a tensor of that shape, every element 1."""
    return _filled("ones", _shape(sizes, size), dtype, device, requires_grad)


def full(size, fill_value, *, dtype=None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """fill_value everywhere. Without a dtype: bool, int64 or float32, as fill_value is in Python."""
    value = _number(fill_value)
    dtype = as_dtype(dtype, scalar_dtype(value))
    array = maker(asked(device)).full(_shape((), size), _in_range(value, dtype))
    return Tensor(array).requires_grad_(requires_grad)


def _number(x):
    """A Python number, from one or from a tensor or NumPy number of no axes."""
    if isinstance(x, (Tensor, np.generic, np.ndarray)) and x.ndim == 0:
        x = x.item()
    if not isinstance(x, (bool, int, float)):
        raise TypeError(f"{x!r} must be a number")
    return x


@np.errstate(all="ignore")
def _in_range(value, dtype: np.dtype) -> np.ndarray:
    array = narrow(np.asarray(value), dtype)
    if dtype.kind == "f" and np.isinf(array) and not math.isinf(value):
        raise RuntimeError(f"{value} is too large for {dtype}. Fix: choose a wider dtype")
    return array


def eye(
    n: int, m: int | None = None, *, dtype=None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """n rows and m (or n) columns with 1 on the diagonal, else 0: the matrix that changes nothing."""
    rows, columns = _shape((n, n if m is None else m))
    return _made(np.eye(rows, columns, dtype=as_dtype(dtype)), device, requires_grad)


# -- in steps ----------------------------------------------------------------------------------------


def arange(
    start=None, end=None, step=1, *, dtype=None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, ... up to but without end; arange(end) starts at 0. int64 if all are integers."""
    if start is None or end is None:
        start, end = 0, start if end is None else end
    start, end, step = map(_number, (start, end, step))
    dtype = as_dtype(dtype, np.float32 if float in map(type, (start, end, step)) else np.int64)
    if dtype.kind == "b" or not all(map(math.isfinite, (start, end, step))):
        raise ValueError(f"arange({start}, {end}, {step}, dtype={dtype}): finite numbers, and no booleans")
    if dtype.kind != "f":
        start, end, step = int(start), int(end), int(step)
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange({start}, {end}, {step}): step must lead from start to end")
    count = math.ceil((end - start) / step) if dtype.kind == "f" else len(range(start, end, step))
    return _made((start + step * np.arange(count)).astype(dtype), device, requires_grad)


def linspace(
    start, end, steps: int, *, dtype=None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """`steps` values from start to end, both included, at equal distances."""
    dtype = as_dtype(dtype)
    if dtype.kind == "b":
        raise TypeError("linspace of booleans: there is nothing between False and True")
    kind = float if dtype.kind == "f" else int
    start, end, (count,) = kind(_number(start)), kind(_number(end)), _shape((), (steps,))
    step, i = (end - start) / max(count - 1, 1), np.arange(count)
    from_start, from_end = start + step * i, end - step * (count - 1 - i)  # so that both ends are exact
    return _made(np.where(i < (count + 1) // 2, from_start, from_end).astype(dtype), device, requires_grad)


# -- at random ---------------------------------------------------------------------------------------


def rand(
    *sizes: int, size=None, generator: Random = None, dtype=None, device: Place = None, requires_grad=False
) -> Tensor:
    """Uniform in [0, 1)."""
    dtype = float_dtype(dtype, "rand")
    values = random_generator(generator).random(_shape(sizes, size)).astype(dtype)
    below_one = np.nextafter(dtype.type(1), dtype.type(0))  # 1 - 1e-9 would round to 1 in float32
    return _made(np.minimum(values, below_one), device, requires_grad)


def randn(
    *sizes: int, size=None, generator: Random = None, dtype=None, device: Place = None, requires_grad=False
) -> Tensor:
    """Normal with mean 0 and variance 1."""
    dtype = float_dtype(dtype, "randn")
    values = random_generator(generator).standard_normal(_shape(sizes, size))
    return _made(np.asarray(values, dtype), device, requires_grad)


def randint(
    low: int = 0, high: int | None = None, size=None, *, generator: Random = None, dtype=None,
    device: Place = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Whole numbers in [low, high), each as likely. randint(high, size) starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    low, high = (0, low) if high is None else (low, high)
    dtype = as_dtype(dtype, np.int64)
    if operator.index(low) >= operator.index(high):
        raise ValueError(f"randint({low}, {high}): low must be smaller than high")
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= low <= high - 1 <= np.iinfo(dtype).max:
        raise ValueError(f"randint({low}, {high}): beyond the range of {dtype}. Fix: choose a wider dtype")
    values = random_generator(generator).integers(low, high, _shape((), size))
    return _made(np.asarray(values, dtype), device, requires_grad)


def randperm(
    n: int, *, generator: Random = None, dtype=None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """0, 1, ... n-1 in random order."""
    (count,), dtype = _shape((n,)), as_dtype(dtype, np.int64)
    if dtype.kind == "b":
        raise TypeError("randperm of booleans. Fix: use int64")
    return _made(narrow(random_generator(generator).permutation(count), dtype), device, requires_grad)


# -- like another tensor -----------------------------------------------------------------------------


def zeros_like(input: Tensor, *, dtype=None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape and dtype of input."""
    return zeros(**_like(input, dtype, device), requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype=None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape and dtype of input."""
    return ones(**_like(input, dtype, device), requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype=None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """Whatever the memory holds, with the shape and dtype of input."""
    return empty(**_like(input, dtype, device), requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value, *, dtype=None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """fill_value everywhere, with the shape and dtype of input."""
    like = _like(input, dtype, device)
    return full(fill_value=fill_value, requires_grad=requires_grad, **like)


def rand_like(
    input: Tensor,
    *,
    generator: Random = None,
    dtype=None,
    device: Place = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform in [0, 1), with the shape and dtype of input."""
    like = _like(input, dtype, device)
    return rand(generator=generator, requires_grad=requires_grad, **like)


def randn_like(
    input: Tensor,
    *,
    generator: Random = None,
    dtype=None,
    device: Place = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with mean 0 and variance 1, with the shape and dtype of input."""
    like = _like(input, dtype, device)
    return randn(generator=generator, requires_grad=requires_grad, **like)


def randint_like(
    input: Tensor, low: int = 0, high: int | None = None, *, generator: Random = None, dtype=None,
    device: Place = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Whole numbers in [low, high), from 0 if only `high` is given, with the shape and dtype of input."""
    like = _like(input, dtype, device)
    return randint(low, high, generator=generator, requires_grad=requires_grad, **like)


def _like(input, dtype, device) -> dict:
    """Size, dtype and device of a new tensor that is to be like `input`."""
    if not isinstance(input, Tensor):
        raise TypeError(f"input is a {type(input).__name__}: it must be a tensor. Fix: minidl.tensor(...)")
    dtype = input.dtype if dtype is None else dtype
    return {"size": input.shape, "dtype": dtype, "device": input.device if device is None else device}
