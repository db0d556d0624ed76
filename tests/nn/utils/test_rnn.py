"""Padding and packing beside PyTorch's."""

import numpy as np
import pytest

import minidl
from minidl.nn.utils import rnn
from minidl.tensor import Tensor
from tests.parity import assert_parity, ours


def of(m):
    """nn.utils.rnn of either engine."""
    return m.nn.utils.rnn


def sequences(lengths, *rest, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, *rest)) * 9).astype(dtype) for n in lengths]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("rest", [(), (2,), (2, 0), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_pad_sequence(batch_first, side, rest, dtype):
    for lengths in ([3], [1, 4, 2], [0, 2], [2, 2]):
        arrays = sequences(lengths, *rest, dtype=dtype)
        assert_parity(lambda m, *ts: of(m).pad_sequence(ts, batch_first, -1.0, side), *arrays)
        assert_parity(lambda m, *ts: of(m).pad_sequence(list(ts), batch_first, padding_side=side), *arrays)


def test_pad_sequence_takes_the_dtype_of_the_first_and_any_iterable():
    a, b = np.ones(2, np.float32), np.ones(3)
    assert_parity(lambda m, *ts: of(m).pad_sequence(ts), a, b)
    assert_parity(lambda m, *ts: of(m).pad_sequence(iter(ts)), b, a)
    assert_parity(lambda m, t: of(m).pad_sequence(t), np.ones((2, 3), np.float32))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("rest", [(), (2,), (2, 3)])
@pytest.mark.parametrize("lengths", [[4], [4, 2, 1], [3, 3], [2, 4, 1, 4], [1, 1, 3]])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_packing_and_back(batch_first, rest, lengths, dtype):
    n = len(lengths)
    x = sequences([n if batch_first else 5], 5 if batch_first else n, *rest, dtype=dtype)[0]
    for enforce_sorted in (True, False):

        def pack(m, t, enforce_sorted=enforce_sorted):
            return of(m).pack_padded_sequence(t, lengths, batch_first, enforce_sorted)

        assert_parity(pack, x)
        assert_parity(lambda m, t: of(m).pad_packed_sequence(pack(m, t), padding_value=-2.0), x)
        assert_parity(lambda m, t: of(m).pad_packed_sequence(pack(m, t), True, total_length=6), x)
        assert_parity(lambda m, t: of(m).unpack_sequence(pack(m, t)), x)


def test_packing_gives_what_the_documentation_shows():
    a, b = minidl.tensor([1, 2, 3]), minidl.tensor([9])
    packed = rnn.pack_sequence([a, b])
    assert packed.data.tolist() == [1, 9, 2, 3]
    assert packed.batch_sizes.tolist() == [2, 1, 1]
    assert packed.sorted_indices is packed.unsorted_indices is None
    back = rnn.unpack_sequence(rnn.pack_sequence([b, a], enforce_sorted=False))
    assert [t.tolist() for t in back] == [[9], [1, 2, 3]]


def test_lengths_may_be_a_tensor():
    x, lengths = np.ones((4, 3), np.float32), np.array([4, 2, 1])
    assert_parity(lambda m, t, n: of(m).pack_padded_sequence(t, n), x, lengths)
    assert_parity(lambda m, t, n: of(m).pack_padded_sequence(t, m.tensor([4.0, 2.0, 1.0])), x, lengths)
    assert_parity(lambda m, t, n: of(m).unpad_sequence(t + 0, n), x, lengths)
    assert_parity(lambda m, t, n: of(m).unpad_sequence(t, n, batch_first=True), x.T.copy(), lengths)


def test_invert_permutation():
    assert rnn.invert_permutation(None) is None
    assert_parity(lambda m, p: of(m).invert_permutation(p), np.array([2, 0, 3, 1]))


X = np.ones((4, 3), np.float32)
REFUSED = [
    (lambda m, x: of(m).pack_padded_sequence(x, [4, 2, 0]), r"lengths: \[4, 2, 0\].*from 1 to the longest"),
    (lambda m, x: of(m).pack_padded_sequence(x, [4, 2]), "one length for each sequence"),
    (lambda m, x: of(m).pack_padded_sequence(x, [1, 2, 1]), "must fall. Fix: pass enforce_sorted=False"),
    (lambda m, x: of(m).pack_padded_sequence(x[0], [1, 1, 1]), r"input: \(3,\)"),
    (lambda m, x: of(m).pack_padded_sequence(x[:, :0], []), "leave empty sequences out"),
    (lambda m, x: of(m).pack_sequence([x[:1], x]), "must fall"),
    (lambda m, x: of(m).pad_packed_sequence(of(m).pack_sequence([x]), total_length=3), "total_length 3"),
    (lambda m, x: of(m).pad_sequence([]), "at least one"),
    (lambda m, x: of(m).pad_sequence([x, x[:, :2]]), r"\(4, 3\), \(4, 2\)"),
    (lambda m, x: of(m).pad_sequence([x[0, 0]]), "an axis of time"),
    (lambda m, x: of(m).pad_sequence([x], padding_side="top"), '"left" or "right"'),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_pytorch_refuses_is_refused(call, message):
    assert_parity(call, X)
    with pytest.raises(ValueError, match=message):
        call(ours(), Tensor(X))


def test_lengths_beyond_the_input_are_refused():
    """PyTorch accepts them, and gives a packed sequence that does not fit together."""
    with pytest.raises(ValueError, match="from 1 to the longest"):
        rnn.pack_padded_sequence(Tensor(X), [5, 2, 1])
