"""The IDX parser takes what is exactly right and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minidl.data.idx import parse_idx

BYTES = arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


@given(BYTES)
def test_every_array_survives_the_round_trip(to_idx, array):
    parsed = parse_idx(to_idx(array))
    assert parsed.dtype == np.uint8
    np.testing.assert_array_equal(parsed, array)


@given(BYTES, st.data())
def test_every_other_length_is_refused(to_idx, array, data):
    content = to_idx(array)
    cut = data.draw(st.integers(0, len(content) - 1))
    for wrong in (content[:cut], content + b"\0"):
        with pytest.raises(ValueError, match="IDX"):
            parse_idx(wrong)


MAGIC = [b"\0\0\x0d\x01", b"\x01\0\x08\x01", b"\0\x01\x08\x01", b"\0\0\x08\0", b"\x1f\x8b\x08\0"]


@pytest.mark.parametrize("magic", MAGIC)
def test_other_magic_numbers_are_refused(magic):
    with pytest.raises(ValueError, match="Not an IDX file of unsigned bytes: it starts with"):
        parse_idx(magic + bytes(8))


def test_enormous_sizes_do_not_overflow():
    with pytest.raises(ValueError, match="needs 20"):
        parse_idx(bytes([0, 0, 8, 4]) + b"\xff" * 16)
