"""`minidl.cuda`: what there is of a GPU, in PyTorch's words."""

import pytest

import minidl
from minidl.kernels.cuda import driver


def test_without_a_gpu_it_says_so():
    if driver.available():
        pytest.skip("there is a GPU")
    assert not minidl.cuda.is_available() and minidl.cuda.device_count() == 0
    for call in (minidl.cuda.get_device_name, minidl.cuda.synchronize, lambda: minidl.device("cuda")):
        with pytest.raises(RuntimeError, match=r"CUDA: .* To run kernels on the CPU"):
            call()


def test_memory_is_counted_and_given_back():
    with driver.simulated():
        assert minidl.cuda.is_available() and minidl.cuda.device_count() == 1
        assert minidl.cuda.get_device_name() == "simulated GPU"
        before = minidl.cuda.memory_allocated()
        x = minidl.zeros(1000, device="cuda")
        assert minidl.cuda.memory_allocated() >= before + 4000
        minidl.cuda.synchronize()
        del x
        assert minidl.cuda.memory_allocated() == before
        assert minidl.cuda.max_memory_allocated() >= before + 4000
        minidl.cuda.empty_cache()


@pytest.mark.parametrize("name", ["cuda:1", "gpu", "cpu:7"])
def test_other_devices_are_refused(name):
    with pytest.raises(ValueError, match="unknown device"):
        minidl.device(name)


def test_a_device_is_the_string_that_names_it():
    assert minidl.device("cpu") == "cpu" and minidl.device("cpu").type == "cpu"
    assert repr(minidl.device("cpu")) == "device(type='cpu')"
