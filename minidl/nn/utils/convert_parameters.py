"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from minidl.ops import cat
from minidl.tensor import ShapeError, Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements (P,) of all parameters, one after the other; differentiable."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the values of `vec` (P,), in order; they share its memory.

    Raises:
        ShapeError: `vec` has fewer elements than the parameters.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec must be a tensor, not {type(vec).__name__}")
    start, parameters = 0, list(parameters)
    if vec.numel() < sum(p.numel() for p in parameters):
        raise ShapeError(
            f"vector_to_parameters(vec: {vec.shape}, parameters: {[p.shape for p in parameters]}): too few "
            "elements. Fix: make the vector with parameters_to_vector"
        )
    for p in parameters:
        p.data = vec.array[start : start + p.numel()].reshape(p.shape)
        start += p.numel()
