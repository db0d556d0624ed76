"""A gradient that is 0 outside one slice, kept as that slice.

The gradient of x[5] is an array of x's size with one row that counts. A loop over x[0] ... x[T - 1], as
recurrent networks have it, would make T of them and add them up: T times T rows. A `Part` holds the row and
where it belongs, and is written into the whole only when it meets other gradients of x.
"""

from __future__ import annotations

import numpy as np


class Part(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of `shape` that is `values` at `place` (an index of numbers, slices, None) and 0 elsewhere.

    It adds like an array: to another one in a copy, with `+=` in place. All else first makes the whole.
    """

    def __init__(self, place: tuple, values: np.ndarray, shape: tuple[int, ...]):
        self.place, self.values, self.shape = place, values, shape
        self.dtype, self.nbytes = values.dtype, values.nbytes  # what is moved, not what it stands for

    def whole(self) -> np.ndarray:
        """The array itself."""
        full = np.zeros_like(self.values, shape=self.shape)
        full[self.place] = self.values
        return full

    def __array__(self, dtype=None, copy=None):
        return self.whole().astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        adds = ufunc is np.add and method == "__call__" and type(inputs[1]) is Part
        total, fits = inputs[0], {"shape": self.shape, "dtype": self.dtype}
        if not adds or any(getattr(total, name, None) != value for name, value in fits.items()):
            return getattr(ufunc, method)(*map(whole, inputs), **settings)
        if settings.get("out", (None,))[0] is not total:
            total = total.whole() if type(total) is Part else total.copy()
        total[inputs[1].place] += inputs[1].values
        return total


def whole(g: np.ndarray | Part) -> np.ndarray:
    """The gradient as an array."""
    return g.whole() if type(g) is Part else g
