"""Memory shared with other libraries, and given back."""

import gc

import numpy as np
import pytest
from hypothesis import given

from minidl.kernels.cuda import driver, exchange
from minidl.kernels.cuda.array import asarray, zeros
from minidl.kernels.cuda.exchange import from_dlpack
from tests.kernels.cuda.strided import pairs, same

in_simulator = pytest.mark.skipif(driver.available(), reason="on a GPU, NumPy cannot read the memory")


@in_simulator
@given(pairs())
def test_numpy_reads_our_memory(pair):
    host, x = pair
    shared = np.from_dlpack(x)
    np.testing.assert_array_equal(shared, host)
    assert shared.dtype == host.dtype
    if host.size:
        assert shared.ctypes.data == x.memory.pointer + x.offset


@in_simulator
def test_the_memory_lives_as_long_as_somebody_reads_it():
    x = asarray(np.arange(5))
    shared = np.from_dlpack(x)
    del x
    zeros(5, np.int64)  # would take the block if it were free
    np.testing.assert_array_equal(shared, np.arange(5))
    assert exchange._lent
    del shared
    gc.collect()
    assert not exchange._lent
    zeros(3).__dlpack__()  # nobody takes the tensor out
    gc.collect()
    assert not exchange._lent


@in_simulator
@given(pairs())
def test_we_read_the_memory_of_numpy(pair):
    host, _ = pair
    x = from_dlpack(host)
    same(x, host)
    if host.size:
        assert x.memory.pointer + x.offset == host.ctypes.data
        same(x.T.copy(), host.T)


@in_simulator
def test_kernels_write_into_shared_memory():
    host = np.zeros((2, 3), np.float32)
    x = from_dlpack(host)
    x += 1
    x[:, 1] = 5
    np.testing.assert_array_equal(host, [[1, 5, 1], [1, 5, 1]])
    del host
    gc.collect()
    same(x[0], np.float32([1, 5, 1]))


@in_simulator
def test_torch_both_ways():
    torch = pytest.importorskip("torch")
    x = zeros((2, 3))
    t = torch.from_dlpack(x)
    t[1] = 4
    same(x, np.float32([[0, 0, 0], [4, 4, 4]]))
    y = from_dlpack(torch.arange(6.0).reshape(2, 3).T)
    same(y, np.arange(6, dtype=np.float32).reshape(2, 3).T)


def test_ours_stays_itself():
    x = zeros(3)
    assert from_dlpack(x) is x
    assert asarray(x) is x


@in_simulator
def test_what_cannot_be_shared_is_refused():
    x = zeros(3)
    assert not hasattr(x, "__cuda_array_interface__")
    with pytest.raises(BufferError, match=r"not on \(2, 0\)"):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(TypeError, match="no kernel works on elements of kind 5"):
        from_dlpack(np.zeros(2, np.complex64))
    with pytest.raises(TypeError, match="no GPU kernel works on int16"):
        from_dlpack(np.zeros(2, np.int16))
    capsule = x.__dlpack__()

    class Used:
        def __dlpack_device__(self):
            return 1, 0

        def __dlpack__(self):
            return capsule

    from_dlpack(Used())
    with pytest.raises(ValueError, match="somebody has taken it out"):
        from_dlpack(Used())


class Foreign:
    """An object of another library with memory on a GPU."""

    def __init__(self, x, **facts):
        self.x, self.facts = x, facts

    @property
    def __cuda_array_interface__(self):
        return self.x.__cuda_array_interface__ | self.facts


@pytest.mark.skipif(not driver.available(), reason="no GPU")
def test_the_array_interface_both_ways():
    x = asarray(np.arange(12.0).reshape(3, 4))
    for view in (x, x.T, x[::-1, 1:3], x[:0]):
        y = asarray(Foreign(view))
        same(y, view.get())
        assert not y.size or y.memory.pointer + y.offset == view.memory.pointer + view.offset
    y = asarray(Foreign(x))
    y += 1
    same(x, np.arange(12.0).reshape(3, 4) + 1)
    assert not asarray(Foreign(np.broadcast_to(x[:1], (5, 4)))).writeable
    with pytest.raises(NotImplementedError, match="mask"):
        asarray(Foreign(x, mask=x))
