"""Multi-head attention."""

from __future__ import annotations

import math

import numpy as np

from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.linear import Linear
from minidl.nn.module import Module, Parameter
from minidl.ops import cat, zeros
from minidl.tensor import ShapeError, Tensor, same_dtype

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Several attentions side by side, each with its own projections (Vaswani et al. 2017, section 3.2.2).

    head_i = attention(query W_i^Q, key W_i^K, value W_i^V);  output = concat(head_1, ..., head_h) W^O

    Args:
        embed_dim: E, features of query and output; each head has E / num_heads of them.
        num_heads: h; must divide E.
        dropout: share of the attention weights that is dropped in training.
        bias: with biases in the projections?
        add_bias_kv: append a learned key and value to every sequence.
        add_zero_attn: append a key and a value of zeros to every sequence: a place to look at nothing.
        kdim, vdim: features of key and value; E if None.
        batch_first: sequences are (N, T, features) instead of (T, N, features).

    Parameters: in_proj_weight (3E, E), the rows of query, key and value, or, where kdim or vdim is not E,
    q_proj_weight (E, E), k_proj_weight (E, kdim), v_proj_weight (E, vdim); in_proj_bias (3E,);
    out_proj.weight (E, E), out_proj.bias (E,); bias_k, bias_v (1, 1, E). Weights start Xavier-uniform,
    out_proj.weight as in `Linear`; biases at 0, bias_k and bias_v Xavier-normal.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, device=None, dtype=None,
    ):  # fmt: skip
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: num_heads={num_heads} must divide embed_dim={embed_dim}, both positive"
            )
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim

        def parameter(wanted, *shape):
            return Parameter(zeros(shape, device=device, dtype=dtype)) if wanted else None

        packed = self.kdim == self.vdim == embed_dim
        self.q_proj_weight = parameter(not packed, embed_dim, embed_dim)
        self.k_proj_weight = parameter(not packed, embed_dim, self.kdim)
        self.v_proj_weight = parameter(not packed, embed_dim, self.vdim)
        self.in_proj_weight = parameter(packed, 3 * embed_dim, embed_dim)
        self.in_proj_bias = parameter(bias, 3 * embed_dim)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.bias_k, self.bias_v = (parameter(add_bias_kv, 1, 1, embed_dim) for _ in range(2))
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name, p in self.named_parameters():
            if name.startswith("bias_"):
                init.xavier_normal_(p)
            elif name.endswith("bias"):
                init.zeros_(p)
            elif name != "out_proj.weight":
                init.xavier_uniform_(p)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and the attention weights if they are wanted.

        In boolean masks True hides a position (the other way round than in `F.scaled_dot_product_attention`);
        float masks are added to the scores. A query that may look at nothing gets 0, but nan with
        need_weights, as in PyTorch.

        Args:
            query: (L, N, E). key: (S, N, kdim). value: (S, N, vdim). Unbatched ones lack N.
            key_padding_mask: (N, S) or, unbatched, (S,).
            attn_mask: (L, S), or one for each head, (N * num_heads, L, S).
            average_attn_weights: weights averaged over the heads, (N, L, S), or each head's, (N, h, L, S).
            is_causal: a promise that attn_mask, which must be given, is the causal mask. As in PyTorch, the
                mask itself is not looked at then, unless need_weights or key_padding_mask demand it.

        Returns:
            output (L, N, E), weights or None.
        """
        self._check(query, key, value, key_padding_mask, attn_mask)
        if is_causal and attn_mask is None:
            raise ValueError("MultiheadAttention: is_causal=True is said of attn_mask, which is None")
        q, k, v = map(self._heads, self._project(query, key, value))  # (N, h, L or S, E / h)
        k, v = self._with_extra(k, self.bias_k), self._with_extra(v, self.bias_v)
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            weights = F.dropout(self._weights(q, k, self._mask(attn_mask, key_padding_mask, q)), dropout)
            heads = weights @ v
            weights = weights.mean(dim=1) if average_attn_weights else weights
        else:
            is_causal = is_causal and key_padding_mask is None
            mask = None if is_causal else self._mask(attn_mask, key_padding_mask, q)
            weights, heads = None, F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)
        output = self.out_proj(heads.transpose(1, 2).flatten(2))  # (N, L, E)
        if query.ndim == 2:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), weights

    def _weights(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q k^T / sqrt(E / h) + mask): (N, h, L, S)."""
        scores = q * self.head_dim**-0.5 @ k.transpose(-1, -2)
        if mask is not None:
            same_dtype(scores, mask)
            scores = scores + mask
        return F.softmax(scores, dim=-1)

    def _project(self, query: Tensor, key: Tensor, value: Tensor):
        """W^Q query, W^K key, W^V value; one product if all three are the same tensor."""
        if query is key is value and self.in_proj_weight is not None:
            return F.linear(query, self.in_proj_weight, self.in_proj_bias).split(self.embed_dim, dim=-1)
        weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        if self.in_proj_weight is not None:
            weights = self.in_proj_weight.split(self.embed_dim)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.split(self.embed_dim)
        return [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def _heads(self, x: Tensor) -> Tensor:
        """(L, N, E), (N, L, E) or (L, E) -> (N, h, L, E / h)."""
        x = x.unsqueeze(0) if x.ndim == 2 else x if self.batch_first else x.transpose(0, 1)
        return x.reshape(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def _with_extra(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x with the learned position and that of zeros behind its last one."""
        n, h, _, d = x.shape
        extra = [] if bias is None else [bias.reshape(1, h, 1, d).expand(n, h, 1, d)]
        extra += [zeros(n, h, 1, d, device=x.device, dtype=x.dtype)] * self.add_zero_attn
        return cat([x, *extra], dim=2) if extra else x

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor) -> Tensor | None:
        """Both masks as one that is added to the scores (N, h, L, S); extra positions may be looked at."""
        masks = []
        if attn_mask is not None:
            mask = _additive(attn_mask, q.dtype)
            masks.append(mask.reshape(*q.shape[:2], *mask.shape[1:]) if mask.ndim == 3 else mask)
        if key_padding_mask is not None:
            masks.append(_additive(key_padding_mask, q.dtype)[..., None, None, :])
        extra = (self.bias_k is not None) + self.add_zero_attn
        if extra:
            masks = [
                cat([m, zeros(*m.shape[:-1], extra, device=m.device, dtype=m.dtype)], dim=-1) for m in masks
            ]
        return sum(masks[1:], masks[0]) if masks else None

    def _check(self, *inputs: Tensor | None) -> None:
        """Refuse shapes that do not fit together."""
        if not self._fit(*inputs):
            names = ("query", "key", "value", "key_padding_mask", "attn_mask")
            given = [f"{name}: {x.shape}" for name, x in zip(names, inputs, strict=True) if x is not None]
            order = "(N, time, features)" if self.batch_first else "(time, N, features)"
            raise ShapeError(
                f"MultiheadAttention({', '.join(given)}): sequences must be {order} or (time, features), "
                f"with {self.embed_dim} features of query, {self.kdim} of key, {self.vdim} of value, key and "
                "value equally long; key_padding_mask (N, S) or (S,); attn_mask (L, S) or (N * heads, L, S). "
                "Fix: check the order of axes against batch_first"
            )

    def _fit(self, query, key, value, key_padding_mask, attn_mask) -> bool:
        if not query.ndim == key.ndim == value.ndim or query.ndim not in (2, 3):
            return False
        swap = query.ndim == 3 and not self.batch_first
        q, k, v = ((x.shape[1], x.shape[0], x.shape[2]) if swap else x.shape for x in (query, key, value))
        (*batch, length, _), span = q, k[-2]
        pairs = [(length, span), (math.prod(batch) * self.num_heads, length, span)]
        return (
            (q, k, v) == ((*q[:-1], self.embed_dim), (*batch, span, self.kdim), (*batch, span, self.vdim))
            and (key_padding_mask is None or key_padding_mask.shape == (*batch, span))
            and (attn_mask is None or attn_mask.shape in pairs)
        )


def _additive(mask: Tensor, dtype) -> Tensor:
    """A boolean mask as numbers to add: -inf where it is True."""
    if mask.dtype.kind not in "bf":
        raise TypeError(
            f"MultiheadAttention: masks must be bool or float, not {mask.dtype}. Fix: mask.bool()"
        )
    return Tensor(np.where(mask.array, -np.inf, 0).astype(dtype)) if mask.dtype == np.bool_ else mask
