"""How weights start. Each function fills a tensor in place and returns it.

fan_in and fan_out are the numbers of inputs and outputs of one unit; for weight (out, in, *kernel) they are
in * kernel size and out * kernel size. Random numbers come from `generator`, else from what `manual_seed`
starts.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.devices import moved
from minidl.ops.creation import Random, random_generator
from minidl.ops.dtypes import need_float
from minidl.tensor import ShapeError, Tensor

LINEAR = ("linear", "sigmoid", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)))
GAINS = {**dict.fromkeys(LINEAR, 1.0), "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through this nonlinearity; param: the slope of leaky_relu."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: param={param!r}, the slope of leaky_relu, must be a number")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in GAINS:
        raise ValueError(f"nonlinearity {nonlinearity!r}: one of {', '.join([*GAINS, 'leaky_relu'])}")
    return GAINS[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(f"fan_in and fan_out of shape {tensor.shape}: a weight has at least two axes")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _fill(tensor: Tensor, values: np.ndarray) -> None:
    """Values made on the CPU, into a tensor wherever it lies."""
    tensor.array[...] = moved(values.astype(tensor.dtype, copy=False), tensor.device)


# -- one value, or a pattern -----------------------------------------------------------------------


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    tensor.array[...] = val
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix: a linear layer that passes on as many inputs as it can."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_ of shape {tensor.shape}: only a matrix can be the identity")
    _fill(tensor, np.eye(*tensor.shape))
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution, (out, in, *kernel), that passes on as many channels of each group as it can."""
    if not 3 <= tensor.ndim <= 5 or tensor.shape[0] % groups:
        raise ShapeError(
            f"dirac_({tensor.shape}, groups={groups}): it must be (out, in, *kernel), groups divide out"
        )
    size = tensor.shape[0] // groups
    channels = np.arange(min(size, tensor.shape[1]))
    middle = tuple(n // 2 for n in tensor.shape[2:])
    zeros_(tensor)
    for group in range(groups):
        tensor.array[(group * size + channels, channels, *middle)] = 1
    return tensor


# -- at random -------------------------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Random = None) -> Tensor:
    """Uniform in [a, b)."""
    need_float(tensor, "uniform_")
    if a > b:
        raise ValueError(f"uniform_: a={a} must not exceed b={b}")
    _fill(tensor, random_generator(generator).uniform(a, b, tensor.shape))
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Random = None) -> Tensor:
    """Normal with this mean and standard deviation."""
    need_float(tensor, "normal_")
    if std < 0:
        raise ValueError(f"normal_: std={std} must not be negative")
    _fill(tensor, random_generator(generator).normal(mean, std, tensor.shape))
    return tensor


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Random = None,
) -> Tensor:
    """Normal with this mean and standard deviation, but all in [a, b]: what falls outside is drawn again."""
    need_float(tensor, "trunc_normal_")
    if a > b or std <= 0:
        raise ValueError(f"trunc_normal_: a={a} must not exceed b={b}, and std={std} must be positive")
    random = random_generator(generator)
    low, high = (math.erf((limit - mean) / (std * math.sqrt(2))) for limit in (a, b))
    peak = (min(max(mean, a), b) - mean) / std  # where the density is largest in [a, b]
    out, missing = np.empty(tensor.shape), np.ones(tensor.shape, bool)
    while n := np.count_nonzero(missing):
        if high - low > 0.6:
            x = random.normal(mean, std, n)
            taken = (x >= a) & (x <= b)
        else:  # few would fall inside: draw evenly there, and take each with a chance like its density
            x = random.uniform(a, b, n)
            taken = random.random(n) < np.exp((peak**2 - ((x - mean) / std) ** 2) / 2)
        out[missing] = x
        missing[missing] = ~taken
    _fill(tensor, np.clip(out, a, b))
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Random = None) -> Tensor:
    """gain times a random matrix whose rows (or columns, if they are fewer) are orthogonal unit vectors.

    Further axes count as columns (Saxe et al. 2014; evenly distributed by the signs of Mezzadri 2007).
    """
    need_float(tensor, "orthogonal_")
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_ of shape {tensor.shape}: at least two axes are needed")
    if not tensor.numel():
        return tensor
    rows, columns = len(tensor), tensor.numel() // len(tensor)
    q, r = np.linalg.qr(random_generator(generator).standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diagonal(r))
    _fill(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Random = None) -> Tensor:
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Random = None) -> Tensor:
    """Normal with variance gain^2 * 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'mode must be "fan_in" or "fan_out", not {mode!r}')
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Random = None,
) -> Tensor:
    """Uniform with variance gain^2 / fan (He et al. 2015); a: the slope of leaky_relu."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Random = None,
) -> Tensor:
    """Normal with variance gain^2 / fan (He et al. 2015); a: the slope of leaky_relu."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)
