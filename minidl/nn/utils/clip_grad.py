"""Gradients that are too large are scaled down or cut off, in place, between `backward` and `step`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minidl.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients so that their common norm is at most `max_norm` (Pascanu et al. 2013).

    g *= min(1, max_norm / (norm + 1e-6)), with the norm of all gradients as if they were one vector.

    Args:
        norm_type: p of the p-norm, (sum |g|^p)^(1/p); inf for the largest |g|.
        error_if_nonfinite: refuse a norm that is nan or inf.

    Returns: the norm before scaling, a tensor ().
    """
    parameters = _tensors(parameters)
    grads = [p.grad for p in parameters if p.grad is not None]
    total_norm = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total_norm, foreach)
    return total_norm


@np.errstate(all="ignore")
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The p-norm of all tensors as if they were one vector, a tensor (); 0 without any.

    Raises:
        RuntimeError: the norm is nan or inf, and `error_if_nonfinite`.
    """
    _refuse(foreach)
    norm_type = float(norm_type)
    norms = [_norm(t.array, norm_type) for t in _tensors(tensors)]
    total = _norm(np.stack(norms), norm_type) if norms else np.zeros((), np.float32)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"the norm of order {norm_type} of all gradients is {total}, so they cannot be clipped. Fix: a "
            "smaller lr or a look at the loss; error_if_nonfinite=False to scale by it all the same"
        )
    return Tensor(total)


def _norm(x: np.ndarray, p: float) -> np.ndarray:
    """The p-norm of all elements, in their dtype, an array ()."""
    if not x.size and (p < 0 or p == np.inf):
        raise RuntimeError(f"an empty gradient has no norm of order {p}. Fix: leave that parameter out")
    return np.asarray(np.linalg.norm(x.ravel(), p), x.dtype, like=x)


@np.errstate(all="ignore")
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients by min(1, max_norm / (total_norm + 1e-6))."""
    _refuse(foreach)
    factor = np.minimum(float(max_norm) / (total_norm.array + 1e-6), 1.0)
    for p in _tensors(parameters):
        if p.grad is not None:
            np.multiply(p.grad.array, factor.astype(p.grad.dtype), out=p.grad.array)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Cut every gradient off at -clip_value and clip_value."""
    _refuse(foreach)
    for p in _tensors(parameters):
        if p.grad is not None:
            np.clip(p.grad.array, -float(clip_value), float(clip_value), out=p.grad.array)


def _tensors(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _refuse(foreach: bool | None) -> None:
    if foreach:
        raise NotImplementedError("foreach=True is not part of minidl: there is one way. Fix: leave it out")
