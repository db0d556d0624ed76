"""What the inputs of a sample can be: a shape means normal numbers, the kinds below are more particular."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Positive:
    """Numbers in [0.5, 2]."""

    shape: tuple


@dataclass
class Distinct:
    """Numbers no two of which are closer than 0.1: safe for max and min."""

    shape: tuple


@dataclass
class Constant(Positive):
    """Numbers in [0.5, 2] that want no gradient."""


@dataclass
class Values:
    """Exactly these: labels, masks, indices, or numbers in the dtype that is tried."""

    values: object


def make(kind, rng, dtype):
    """The array of an input description."""
    if isinstance(kind, Values):
        values = np.array(kind.values)
        return values.astype(dtype) if values.dtype.kind == "f" else values
    if isinstance(kind, Positive):
        return rng.uniform(0.5, 2, kind.shape).astype(dtype)
    if isinstance(kind, Distinct):
        n = int(np.prod(kind.shape))
        return (rng.permutation(n).reshape(kind.shape) * 0.3 - 1).astype(dtype)
    return rng.normal(size=kind).astype(dtype)
