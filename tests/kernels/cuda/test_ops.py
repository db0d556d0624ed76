"""Every op of minidl on arrays of the device gives what it gives on the host, forward and backward.

The samples are those of the gradient checks.
"""

import numpy as np
import pytest

import minidl
from minidl.kernels.cuda.array import CudaArray, asarray
from minidl.tensor import Tensor
from tests.parity import ours
from tests.samples import COMPOSED, SAMPLES
from tests.samples.kinds import Constant, make

SAMPLED = [
    pytest.param(s, id=f"{name}-{i}") for name, samples in SAMPLES.items() for i, s in enumerate(samples)
] + [pytest.param(s, id=f"composed-{i}") for i, s in enumerate(COMPOSED)]


def inputs(kinds, place, dtype):
    """Tensors of a sample, on the host or on the device."""
    rng, tensors = np.random.default_rng(0), []
    for kind in kinds:
        array = np.asarray(make(kind, rng, dtype))
        wants = array.dtype.kind == "f" and not isinstance(kind, Constant)
        tensors.append(Tensor(place(array)).requires_grad_(wants))
    return tensors


def outputs(result):
    """The tensors of a result, which may be one, or several."""
    return [result] if isinstance(result, Tensor) else [t for part in result for t in outputs(part)]


def run(call, kinds, place, dtype):
    """Results and gradients of a sample."""
    tensors = inputs(kinds, place, dtype)
    with minidl.device("cuda" if place is asarray else "cpu"):  # where the sample makes tensors of its own
        results = outputs(call(ours(), *tensors))
    for result in results:
        if result.requires_grad:
            g = np.random.default_rng(1).normal(size=result.shape).astype(result.dtype)
            result.backward(Tensor(place(g)), retain_graph=True)
    return [r.detach() for r in results], [t.grad for t in tensors]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sample", SAMPLED)
def test_the_device_gives_what_the_host_gives(sample, dtype):
    call, *kinds = sample
    wanted, mine = (run(call, kinds, place, dtype) for place in (np.array, asarray))
    tolerance = {"rtol": 2e-4, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-7, "atol": 1e-9}
    for a, b in zip(mine, wanted, strict=True):
        for x, y in zip(a, b, strict=True):
            assert (x is None) == (y is None)
            if x is not None:
                assert isinstance(x.array, CudaArray)
                assert (x.dtype, x.shape) == (y.dtype, y.shape)
                np.testing.assert_allclose(x.array.get(), y.array, **tolerance)
