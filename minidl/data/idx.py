"""The IDX format of MNIST and its relatives: a magic number, the dimensions, the bytes.

Source: the format's description on Yann LeCun's MNIST page.
"""

import math

import numpy as np

UNSIGNED_BYTE = 0x08  # the only element type that these sets use


def parse_idx(content: bytes) -> np.ndarray:
    """Return the array that an IDX file holds, as uint8.

    The header is two zero bytes, the element type, the number of dimensions d, then d sizes as
    big-endian 32-bit integers. Exactly the product of the sizes in bytes must follow.

    Raises: ValueError if the magic number, the dimensions or the length are not right.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTE or content[3] == 0:
        raise ValueError(f"Not an IDX file of unsigned bytes: it starts with {content[:4].hex(' ')!r}.")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise ValueError(f"IDX file cut short: {len(content)} bytes, but its header alone takes {header}.")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", content[3], offset=4))
    if len(content) != header + math.prod(shape):
        raise ValueError(
            f"IDX file of shape {shape} needs {header} + {math.prod(shape)} bytes, but has {len(content)}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
