"""Writes in place, noted so that backward can refuse a gradient made of overwritten values.

An op's vjp may hold arrays of its forward pass. If one is changed before the backward pass, as in

    y = x * x;  x[0] = 5;  y.sum().backward()

the gradient would be wrong without a sign of it. So each place in memory that was written to has the number
of its latest write, counted together with the records; backward looks into the vjp of a record that is older
than a write.
"""

from __future__ import annotations

import itertools
import types
import weakref
from collections.abc import Iterator

import numpy as np
from numpy.lib.array_utils import byte_bounds

from minidl.devices import Array, device_of

clock = itertools.count(1)
"""Numbers of records and writes, in the order in which they happened."""

latest = 0
"""Number of the latest write."""

_places: dict[tuple[int, int], Place] = {}


class Place:
    """The memory of an array that is written to in place: first and last address."""

    def __init__(self, array: np.ndarray):
        self.bounds, self.number = bounds_of(array), 0
        self.owner = weakref.ref(_owner(array), lambda _, bounds=self.bounds: _places.pop(bounds, None))

    def written(self) -> None:
        """Say that something was written there now."""
        global latest
        self.number = latest = next(clock)
        _places[self.bounds] = self


def bounds_of(array) -> tuple[int, int]:
    """First and last address of an array."""
    return byte_bounds(array) if device_of(array) == "cpu" else array.bounds


def _owner(array):
    """What holds the memory of an array."""
    if device_of(array) != "cpu":
        return array.memory
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def note(array: np.ndarray) -> None:
    """Say that this array was written to."""
    Place(array).written()


def check(node) -> None:
    """Refuse a record whose vjp holds an array that was written to later.

    Raises:
        RuntimeError: names the op and the shape of the array.
    """
    later = [place.bounds for place in list(_places.values()) if place.number > node.order]
    vjp = node.vjp
    if type(vjp) is tuple:
        vjp = [function for x, function in zip(node.inputs, vjp, strict=False) if x is not None]
    for array in _held(vjp, set()) if later else ():
        low, high = bounds_of(array)
        if any(low < end and start < high for start, end in later):
            raise RuntimeError(
                f"backward through {node.name}: an array of shape {array.shape} that its gradient needs was "
                "changed in place after the forward pass. Fix: change a copy (x.clone()), or make the change "
                "after backward"
            )


def _held(value, seen: set[int]) -> Iterator[np.ndarray]:
    """The arrays that a vjp holds: in closures, tuples and lists."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Array):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _held(part, seen)
    elif isinstance(value, types.FunctionType):
        for cell in filter(_is_filled, value.__closure__ or ()):
            yield from _held(cell.cell_contents, seen)


def _is_filled(cell: types.CellType) -> bool:
    """A function may name a variable that its branch never set."""
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
