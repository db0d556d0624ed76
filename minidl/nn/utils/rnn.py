"""Sequences of different lengths in one batch: padded to the longest, or packed without padding.

Packed rows are sorted by time: first the first element of every sequence, then the second of those that have
one, ... Packing `abc` and `x` gives `axbc` with batch_sizes [2, 1, 1]. A recurrent layer then computes
nothing for padding, and its last states are those at each sequence's own end.

Shapes: T longest length, B sequences, L own length of one, `*` any further axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minidl.ops import cat, full, stack
from minidl.tensor import ShapeError, Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class PackedSequence(NamedTuple):
    """Sequences without padding, made by `pack_padded_sequence` and `pack_sequence`.

    data: (sum of lengths, *). batch_sizes: (T,) how many sequences reach each step. sorted_indices (B,): the
    place in the batch of each sequence, longest first; unsorted_indices its inverse; both None if the batch
    was sorted already.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The order that undoes `permutation`: out[permutation[i]] = i."""
    return None if permutation is None else Tensor(np.argsort(permutation.array))


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L, *) side by side, the shorter ones filled with `padding_value`: (T, B, *) or (B, T, *)."""
    sequences = list(sequences)
    if padding_side not in ("left", "right"):
        raise ValueError(f'pad_sequence: padding_side must be "left" or "right", not {padding_side!r}')
    if not sequences or any(not s.ndim or s.shape[1:] != sequences[0].shape[1:] for s in sequences):
        shapes = [s.shape for s in sequences]
        raise ShapeError(
            f"pad_sequence({shapes}): sequences (L, *) that differ in L only, at least one. Fix: check the "
            "last axes, and that each sequence has an axis of time"
        )
    dtype, longest = sequences[0].dtype, max(len(s) for s in sequences)

    def padded(s):
        gap = full((longest - len(s), *s.shape[1:]), padding_value, device=s.device, dtype=dtype)
        return cat([s.to(dtype), gap] if padding_side == "right" else [gap, s.to(dtype)])

    return stack([padded(s) for s in sequences], 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences (L, *) again that `pad_sequence` put side by side."""
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [sequence[:length] for sequence, length in zip(batch, lengths.tolist(), strict=True)]


def _runs(lengths: np.ndarray, steps: int) -> np.ndarray:
    """(T, B): does sequence b still run at step t?"""
    return np.arange(steps)[:, None] < lengths


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | list[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """The elements of padded sequences (T, B, *), or (B, T, *), without the padding.

    Args:
        lengths: (B,) length of each sequence.
        enforce_sorted: the lengths must already fall; with False they are sorted, and sorted back later.

    Raises:
        RuntimeError: lengths that do not fit the input, or are not sorted though they must be.
    """
    x = input.transpose(0, 1) if batch_first else input
    lengths = np.asarray(lengths.array if isinstance(lengths, Tensor) else lengths).astype(np.int64)
    if lengths.shape != x.shape[1:2] or not len(lengths) or lengths.min() < 1 or lengths.max() > len(x):
        raise ShapeError(
            f"pack_padded_sequence(input: {input.shape}, lengths: {lengths.tolist()}, {batch_first=}): one "
            "length for each sequence, from 1 to the longest. Fix: check which axis holds the batch, leave "
            "empty sequences out"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-lengths, kind="stable")
        x, lengths = x[:, order], lengths[order]
    elif (np.diff(lengths) > 0).any():
        raise ShapeError(
            f"pack_padded_sequence: lengths {lengths.tolist()} must fall. Fix: pass enforce_sorted=False"
        )
    runs = _runs(lengths, lengths.max())
    order = None if order is None else Tensor(order)
    sizes = Tensor(runs.sum(axis=1))
    return PackedSequence(x[: len(runs)][runs], sizes, order, invert_permutation(order))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undo `pack_padded_sequence`: padded (T, B, *) or (B, T, *), and the lengths (B,).

    Args:
        total_length: T, if it is to be longer than the longest sequence.
    """
    sizes = sequence.batch_sizes.array
    steps = len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        raise ValueError(f"pad_packed_sequence: total_length {steps}, but a sequence has length {len(sizes)}")
    lengths = (sizes[:, None] > np.arange(sizes[0])).sum(axis=0)
    runs = _runs(lengths, steps)
    rows = np.full(runs.shape, len(sequence.data))  # where an element stands in the data; padding after them
    rows[runs] = np.arange(len(sequence.data))
    if sequence.unsorted_indices is not None:
        back = sequence.unsorted_indices.array
        rows, lengths = rows[:, back], lengths[back]
    rest, like = sequence.data.shape[1:], {"device": sequence.data.device, "dtype": sequence.data.dtype}
    padding = full((1, *rest), padding_value, **like)
    return cat([sequence.data, padding])[rows.T if batch_first else rows], Tensor(lengths)


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (L, *) packed: `pad_sequence`, then `pack_padded_sequence`."""
    return pack_padded_sequence(
        pad_sequence(sequences), [len(s) for s in sequences], enforce_sorted=enforce_sorted
    )


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences (L, *) of a packed batch in their first order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
