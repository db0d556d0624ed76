"""Attention: every position looks at all others and takes what fits."""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.devices import device_of
from minidl.nn.functional.layers import dropout
from minidl.ops import ones
from minidl.ops.dtypes import need_float
from minidl.tensor import ShapeError, Tensor, op, same_dtype

__all__ = ["scaled_dot_product_attention"]


def _bias(mask, dtype) -> np.ndarray:
    """What a mask adds to the scores: a boolean one 0 or -inf for True or False, a float one itself."""
    if mask.dtype == np.bool_:
        return np.where(mask, 0, -np.inf).astype(dtype)
    if mask.dtype not in (dtype, np.float32):
        raise TypeError(f"attn_mask is {mask.dtype}: it must be bool, or {dtype} as the query")
    return mask


@op(
    rule="query (..., L, E), key (..., S, E), value (..., S, V), attn_mask broadcastable to (..., L, S)",
    fix="check which axes hold time and features; batch and heads stand before them",
)
def _attention(query, key, value, attn_mask, dropout_p, scale, is_causal, learned):
    """learned: attn_mask wants a gradient."""
    same_dtype(query, key, value)
    need_float(query, "attention")
    scale = max(query.shape[-1], 1) ** -0.5 if scale is None else scale
    bias = None if attn_mask is None else _bias(attn_mask, query.dtype)
    keep = None
    if dropout_p:
        batch = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        shape = *batch, query.shape[-2], key.shape[-2]
        keep = dropout(ones(shape, dtype=query.dtype, device=device_of(query)), dropout_p).array
    given = query, key, value, bias, keep, scale, is_causal
    kept = kernels.find("attention", query)(*given)

    def gradients(g):
        dbias = kernels.find("attention_backward_bias", query)(g, *given, *kept) if learned else None
        return *kernels.find("attention_backward", query)(g, *given, *kept), dbias

    return kept[0], gradients


def _repeated(x: Tensor, heads: int) -> Tensor:
    """Each head of x (..., H, S, E) so often that there are `heads` of them."""
    *batch, own, length, width = x.shape
    if not own or heads % own:
        raise ShapeError(
            f"scaled_dot_product_attention(enable_gqa=True): {heads} heads of the query, {own} of key or "
            "value: the first must be a multiple. Fix: check that heads are the third axis from the end"
        )
    return x.unsqueeze(-3).expand(*batch, own, heads // own, length, width).flatten(-4, -3)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale q k^T + mask) v: for each query a mean of the values, weighted by how well the keys fit.

    Vaswani et al. (2017), equation 1. A query that the mask keeps from every key gets 0.

    Args:
        query: (..., L, E). key: (..., S, E). value: (..., S, V).
        attn_mask: broadcastable to (..., L, S); boolean: True may be looked at; float: added to the scores.
        dropout_p: share of the weights that is dropped, always: pass 0.0 in evaluation.
        is_causal: query i looks at keys 0 ... i only.
        scale: 1/sqrt(E) if None.
        enable_gqa: grouped queries (Ainslie et al. 2023): key and value (..., H, S, E) have fewer heads than
            the query (..., n H, L, E); each serves n of them.

    Returns:
        (..., L, V).

    Raises:
        ShapeError: shapes that do not fit. TypeError: dtypes. ValueError: both attn_mask and is_causal.
    """
    if min(query.ndim, key.ndim, value.ndim) < 2 + enable_gqa:
        raise ShapeError(
            f"scaled_dot_product_attention(query: {query.shape}, key: {key.shape}, value: {value.shape}): "
            "each must have at least two axes, time and features; enable_gqa wants heads before them. "
            "Fix: unsqueeze"
        )
    if is_causal and attn_mask is not None:
        raise ValueError("scaled_dot_product_attention: give attn_mask or is_causal=True, not both")
    if enable_gqa:
        key, value = _repeated(key, query.shape[-3]), _repeated(value, query.shape[-3])
    learned = attn_mask is not None and attn_mask.requires_grad
    return _attention(
        query, key, value, attn_mask, dropout_p=dropout_p, scale=scale, is_causal=is_causal, learned=learned
    )
