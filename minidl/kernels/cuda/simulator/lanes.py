"""Lanes under masks: many threads execute one line together, and a mask says which of them take part.

A value in a kernel is one number, if it is the same for all lanes, or an array with one number a lane. Arrays
are never changed once they are made, so that values can be shared without copies.
"""

from __future__ import annotations

import numpy as np


class Mask:
    """Which lanes take part. `lanes` is a boolean array, `count` how many are true.

    It knows the mask that it is a part of; so "does that one cover this one?" rarely needs a look at lanes.
    """

    __slots__ = ("_places", "count", "lanes", "whole")

    def __init__(self, lanes: np.ndarray, whole: Mask | None = None):
        self.lanes, self.whole = lanes, whole
        self.count, self._places = int(np.count_nonzero(lanes)), None

    @property
    def full(self) -> bool:
        """Do all lanes take part?"""
        return self.count == len(self.lanes)

    @property
    def places(self) -> np.ndarray:
        """The numbers of the lanes that take part."""
        if self._places is None:
            self._places = np.flatnonzero(self.lanes)
        return self._places

    def split(self, condition) -> tuple[Mask, Mask]:
        """The lanes for which a condition holds, and the others."""
        if not isinstance(condition, np.ndarray):
            return (self, NOBODY) if condition else (NOBODY, self)
        if condition.dtype != np.bool_:
            condition = condition != 0
        yes = Mask(self.lanes & condition, self)
        if yes.count == self.count:
            return self, NOBODY
        return (yes, Mask(self.lanes & ~condition, self)) if yes.count else (NOBODY, self)

    def joined(self, other: Mask) -> Mask:
        """The lanes of either; if they make up the mask that both were split from, that one."""
        if not other.count or other is self:
            return self
        if not self.count:
            return other
        if self.whole is other.whole and self.whole is not None:
            if self.count + other.count == self.whole.count and not (self.lanes & other.lanes).any():
                return self.whole
            return Mask(self.lanes | other.lanes, self.whole)
        return Mask(self.lanes | other.lanes)

    def within(self, other: Mask) -> bool:
        """Do all of these lanes take part in the other mask?"""
        part = self
        while part is not None:
            if part is other:
                return True
            part = part.whole
        return other.full or not (self.lanes & ~other.lanes).any()

    def of_lanes(self, value) -> np.ndarray:
        """A value for those who take part: one number for each of them."""
        if not isinstance(value, np.ndarray) or not value.ndim:
            return np.broadcast_to(np.asarray(value), self.count)
        return value if self.count == len(value) else value.take(self.places)

    def to_lanes(self, values: np.ndarray) -> np.ndarray:
        """The way back: numbers of those who take part, at their places among all lanes."""
        if self.full:
            return values
        out = np.zeros(len(self.lanes), values.dtype)
        out[self.places] = values
        return out


NOBODY = Mask(np.zeros(0, bool))
"""The mask of no lane, whatever their number."""


class Variable:
    """A value that lanes set at different times, and the lanes that have set it (`owners`).

    scope: the only lanes that will ever read it, where that is known.
    """

    __slots__ = ("owners", "scope", "value")

    def __init__(self, value, owners: Mask, scope: Mask | None = None):
        self.value, self.owners, self.scope = value, owners, scope

    def put(self, value, mask: Mask) -> None:
        """Give it a value for some lanes; the others keep theirs."""
        owners, scope = self.owners, self.scope
        if (
            mask is owners
            or mask.full
            or (scope is not None and mask.count == scope.count)
            or (mask.count >= owners.count and owners.within(mask))
        ):
            self.value, self.owners = value, mask
        else:
            self.value = merged(value, self.value, mask)
            if not mask.within(owners):
                self.owners = owners.joined(mask)

    def known_to(self, mask: Mask) -> bool:
        """Has each of these lanes set it?"""
        return mask is self.owners or mask.within(self.owners)


def is_number(value) -> bool:
    return isinstance(value, (int, float, np.ndarray, np.generic))


def merged(new, old, mask: Mask):
    """`new` for the lanes that take part, `old` for the others."""
    if new is old or mask.full:
        return new
    if isinstance(new, tuple) and isinstance(old, tuple):
        return tuple(merged(a, b, mask) for a, b in zip(new, old, strict=True))
    if not (is_number(new) and is_number(old)):
        return new if old is None or not is_number(new) else old
    if type(new) is type(old) and not isinstance(new, np.ndarray) and new == old:
        return new
    return np.where(mask.lanes, new, old)
