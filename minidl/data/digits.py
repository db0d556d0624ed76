"""A drawn digit made ready in MNIST's own way."""

import numpy as np

BOX = 20  # the ink is scaled to fit a box of 20 x 20 pixels ...
SIDE = 28  # ... which is placed in a picture of 28 x 28


def center_digit(image: np.ndarray) -> np.ndarray:
    """Return a drawing as MNIST would show it: same size, same place.

    The ink is cut out, scaled until its longer side is 20 pixels (the aspect ratio is kept, each new pixel
    is the mean of the area that it covers), and placed so that its centre of mass is in the middle of
    28 x 28 pixels, as near as whole pixels allow. An official MNIST digit comes back as it is.

    Shape: image (H, W), 0 paper to 1 ink, any size -> (28, 28) float32, 0 to 1.
    Raises: ValueError if the image is not (H, W), not within 0 to 1, or has no ink.
    Source: LeCun et al. (1998), section III.A.

    >>> stroke = np.zeros((280, 280)); stroke[40:240, 100:120] = 1
    >>> np.argwhere(center_digit(stroke)).min(axis=0), np.argwhere(center_digit(stroke)).max(axis=0)
    (array([ 4, 14]), array([23, 15]))
    """
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2:
        raise ValueError(f"center_digit: image has shape {image.shape}; give one grey picture (H, W).")
    if not ((image >= 0) & (image <= 1)).all():
        raise ValueError("center_digit: image must be 0 (paper) to 1 (ink). Bytes? Divide by 255.")
    ink = _cut_out(image)
    scale = BOX / max(ink.shape)
    rows, cols = (max(1, round(side * scale)) for side in ink.shape)
    small = _area_weights(ink.shape[0], rows) @ ink @ _area_weights(ink.shape[1], cols).T
    top, left = (_offset(small.sum(axis=1)), _offset(small.sum(axis=0)))
    picture = np.zeros((SIDE, SIDE), np.float32)
    picture[top : top + rows, left : left + cols] = small
    return picture


def _cut_out(image: np.ndarray) -> np.ndarray:
    """Return the smallest rectangle of `image` that holds all the ink."""
    rows, cols = np.nonzero(image.any(axis=1))[0], np.nonzero(image.any(axis=0))[0]
    if rows.size == 0:
        raise ValueError(f"center_digit: the image {image.shape} is empty; draw a digit first.")
    return image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def _area_weights(old: int, new: int) -> np.ndarray:
    """Return the (new, old) matrix whose row i averages the old pixels that new pixel i covers."""
    edges = np.arange(new + 1)[:, None] * old / new  # new pixel i covers old edges[i] to edges[i + 1]
    covered = np.clip(edges - np.arange(old), 0, 1)  # part of each old pixel before each edge
    return np.diff(covered, axis=0) * new / old


def _offset(mass: np.ndarray) -> int:
    """Return where a strip with this mass per pixel starts, for its centre of mass to be at the middle.

    MNIST numbers pixels from 0 and rounds to pixel 14: every one of its test digits lies within half a
    pixel of it.
    """
    center = np.arange(mass.size) @ mass / mass.sum()
    return int(np.clip(round(SIDE / 2 - center), 0, SIDE - mass.size))
