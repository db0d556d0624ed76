"""Two classes of points in the plane, made to order: each set asks a different shape of boundary.

All take `n` (points in all, the classes equal but for one), `noise` (standard deviation of the Gaussian
that is added to each coordinate) and `seed` (an integer, or a numpy Generator to draw from), and return

    x (n, 2) float32, y (n,) int64 in {0, 1},  in shuffled order.

All raise ValueError if n < 2 or noise is negative or not finite.
"""

import math

import numpy as np

Points = tuple[np.ndarray, np.ndarray]


def make_moons(n: int = 200, noise: float = 0.1, seed: int | np.random.Generator = 0) -> Points:
    """Two half moons of radius 1 that interlock: a curved boundary."""

    def moons(y, generator):
        angle = math.pi * generator.random(y.size)
        upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (n, 2)
        return np.where(y[:, None] == 0, upper, [1.0, 0.5] - upper)

    return _points("make_moons", moons, n, noise, seed)


def make_circles(n: int = 200, noise: float = 0.1, seed: int | np.random.Generator = 0) -> Points:
    """A circle of radius 1 (class 0) round a circle of radius 0.5 (class 1): a closed boundary."""

    def circles(y, generator):
        angle = 2 * math.pi * generator.random(y.size)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.where(y == 0, 1.0, 0.5)[:, None]

    return _points("make_circles", circles, n, noise, seed)


def make_xor(n: int = 200, noise: float = 0.1, seed: int | np.random.Generator = 0) -> Points:
    """A square of side 2 in four quarters; class 1 where the coordinates differ in sign: no line will do."""

    def xor(y, generator):
        x = generator.uniform(-1, 1, (y.size, 2))
        differ = (x[:, 0] < 0) != (x[:, 1] < 0)
        x[differ != (y == 1), 0] *= -1
        return x

    return _points("make_xor", xor, n, noise, seed)


def make_spirals(n: int = 200, noise: float = 0.05, seed: int | np.random.Generator = 0) -> Points:
    """Two spiral arms of radius up to 1, one and a half turns each: the hardest of these boundaries.

    The arms pass each other at a third of the radius, so a `noise` much above 0.05 makes them overlap.
    Source: after Lang and Witbrock (1988), "Learning to tell two spirals apart".
    """

    def spirals(y, generator):
        radius = np.sqrt(generator.uniform(0.01, 1, y.size))  # even along the arm, not crowded inside
        angle = 3 * math.pi * radius + math.pi * y
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    return _points("make_spirals", spirals, n, noise, seed)


def make_blobs(n: int = 200, noise: float = 0.1, seed: int | np.random.Generator = 0) -> Points:
    """Two round clouds about (-0.5, -0.5) and (0.5, 0.5): a straight line will do."""

    def blobs(y, generator):
        return np.repeat(y[:, None] - 0.5, 2, axis=1)

    return _points("make_blobs", blobs, n, noise, seed)


def _points(name: str, place, n: int, noise: float, seed: int | np.random.Generator) -> Points:
    """Return shuffled labels y, and `place(y, generator)` (n, 2) with Gaussian noise."""
    if n < 2:
        raise ValueError(f"{name}: n={n}, but two classes need at least 2 points.")
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"{name}: noise={noise} must be a standard deviation, 0 or more.")
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(n) % 2)
    x = place(y, generator) + noise * generator.standard_normal((n, 2))
    return x.astype(np.float32), y
