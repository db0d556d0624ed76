"""Random shapes, arrays and settings for comparisons with PyTorch."""

import numpy as np


class Draw:
    """Random shapes and settings, most of them valid, some not."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def number(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def some(self, n, low, high):
        """A number, or a tuple of n."""
        if self.number(0, 1):
            return self.number(low, high)
        return tuple(self.number(low, high) for _ in range(n))

    def settings(self, n, **ranges):
        return {k: self.some(n, *r) for k, r in ranges.items() if self.number(0, 2)}

    def array(self, shape, dtype=None, high=9):
        """Normal or integer values; one in four is not contiguous."""
        dtype = np.dtype(dtype or self.rng.choice(["float32", "float64"]))
        wide = (*shape[:-1], 2 * shape[-1]) if self.number(0, 3) == 0 else shape
        values = self.rng.normal(size=wide) if dtype.kind == "f" else self.rng.integers(0, high, wide)
        return values.astype(dtype)[..., :: 2 if wide != shape else 1]

    def image(self, n, channels, dtype=None, high_size=8):
        """(N, C, *size) or (C, *size); N may be 0."""
        size = [self.number(1, high_size) for _ in range(n)]
        batch = [[], [self.number(0, 1)], [self.number(1, 3)]][self.number(0, 2)]
        return self.array((*batch, channels, *size), dtype)
