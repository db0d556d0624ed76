"""What a kernel is, what it may be given, how it is compiled and launched; most of it without a GPU."""

import ctypes
import importlib.util
import math
import re
import struct
import subprocess
import sys
import threading
from ctypes import c_bool, c_double, c_float, c_int32, c_int64, c_uint8, c_uint32, c_uint64
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from minidl.kernels.cuda import compiling, driver
from minidl.kernels.cuda.array import asarray, contiguous, empty
from minidl.kernels.cuda.driver import (
    FULL_WARP,
    boolean,
    cuda,
    device,
    float32,
    float64,
    int32,
    int64,
    kernel,
    uint8,
    uint32,
    uint64,
)
from minidl.kernels.cuda.instructions import load, store

TYPES = (float32, float64, int32, int64, uint32, uint64, uint8, boolean)


@device
def twice(x):
    return x + x


@kernel
def doubled(x, out, n):
    """out = 2x."""
    i = cuda.grid(1)
    if i < n:
        store(out, i, twice(load(x, i)))


def scaled_by(factor, scalar=float32):
    @kernel
    def scaled(x, out, n):
        i = cuda.grid(1)
        if i < n:
            out[i] = x[i] * scalar(factor)

    return scaled


@kernel
def all_numbers(out, a, b, c, d, e, f, g, h):
    if cuda.grid(1) == 0:
        out[0] = a
        out[1] = b
        out[2] = c
        out[3] = d
        out[4] = e
        out[5] = f
        out[6] = g
        out[7] = 1.0 if h else 0.0


FLAT = (float32[::1], float32[::1], int32)


# -- launches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 31, 32, 33, 300])
def test_a_kernel_runs_once_for_each_thread(n):
    x = np.arange(n, dtype=np.float32)
    out = empty(n, np.float32)
    doubled[-(-n // 64), 64](asarray(x), out, n)
    np.testing.assert_array_equal(out.get(), 2 * x)


def test_constants_of_a_factory():
    x, out = asarray(np.ones(5, np.float32)), empty(5, np.float32)
    scaled_by(3)[1, 32](x, out, 5)
    np.testing.assert_array_equal(out.get(), np.full(5, 3))


def test_arrays_of_any_shape_are_seen_flat():
    x, out = asarray(np.ones((2, 3), np.float32)), empty((3, 2), np.float32)
    doubled[1, 32](x, out, x.size)
    np.testing.assert_array_equal(out.get(), np.full((3, 2), 2))


def test_numbers_of_each_type():
    out = empty(8, np.float64)
    given = (
        1,
        2.5,
        np.float64(0.1),
        np.int64(2**40),
        np.uint8(200),
        np.uint32(2**32 - 1),
        np.float32(7),
        True,
    )
    all_numbers[1, 1](out, *given)
    np.testing.assert_array_equal(out.get(), [float(x) for x in given])


def test_two_and_three_axes():
    @kernel
    def places(out):
        block = (cuda.blockIdx.z * 2 + cuda.blockIdx.y) * 2 + cuda.blockIdx.x
        thread = (cuda.threadIdx.z * 2 + cuda.threadIdx.y) * 2 + cuda.threadIdx.x
        out[block * 8 + thread] = block * 8 + thread

    out = empty(64, np.int32)
    places[(2, 2, 2), (2, 2, 2)](out)
    np.testing.assert_array_equal(out.get(), np.arange(64))


def test_simulation_holds_in_other_threads():
    x, out = asarray(np.ones(3, np.float32)), empty(3, np.float32)
    other = threading.Thread(target=lambda: doubled[1, 32](x, out, 3))
    other.start()
    other.join()
    np.testing.assert_array_equal(out.get(), np.full(3, 2))


def test_events_measure_forward():
    start = driver.Event()
    doubled[1, 32](asarray(np.ones(3, np.float32)), empty(3, np.float32), 3)
    assert driver.Event().milliseconds_since(start) > 0


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [0, (1, 0), (1, 65536), (1, 1, -1), 2**31])
def test_grids_that_no_gpu_can_run(grid):
    with pytest.raises(ValueError, match="return before the launch"):
        doubled[grid, 32]


@pytest.mark.parametrize("block", [0, 1025, (32, 33), (1, 1, 65)])
def test_blocks_that_no_gpu_can_run(block):
    with pytest.raises(ValueError, match="1 to 1024"):
        doubled[1, block]


@pytest.mark.parametrize("grid", [1.0, (1, 2, 3, 4), "1"])
def test_grids_that_are_no_numbers(grid):
    with pytest.raises(TypeError, match="tuple of up to three"):
        doubled[grid, 32]


def test_numpy_arrays_are_refused():
    with pytest.raises(TypeError, match=r"doubled: argument 1 is a ndarray.*asarray\(x\)"):
        doubled[1, 32](np.ones(3, np.float32), empty(3, np.float32), 3)


@pytest.mark.parametrize("value", [None, "a", (1, 2), np.complex64(1)])
def test_other_values_are_refused(value):
    with pytest.raises(TypeError, match="argument 3 is a"):
        doubled[1, 32](empty(3, np.float32), empty(3, np.float32), value)


def test_arrays_with_gaps_are_refused_with_the_fix():
    x = asarray(np.ones((3, 4), np.float32)).T
    with pytest.raises(TypeError, match=r"argument 1 of shape \(4, 3\) has strides .*contiguous\(x\)"):
        doubled[1, 32](x, empty(12, np.float32), 12)
    doubled[1, 32](contiguous(x), empty(12, np.float32), 12)


def test_large_integers_are_refused_with_the_fix():
    with pytest.raises(OverflowError, match=r"np.int64"):
        doubled[1, 32](empty(3, np.float32), empty(3, np.float32), 2**31)


def test_arrays_of_the_other_world_are_refused():
    array = empty(3, np.float32)
    view = driver._view(array, "doubled", 1)
    array._device_view = view._replace(array=None if driver.simulating() else np.empty(3))
    with pytest.raises(RuntimeError, match="argument 1 lives"):
        doubled[1, 32](array, empty(3, np.float32), 3)


def test_device_code_cannot_be_called():
    with pytest.raises(TypeError, match=r"doubled\[blocks, threads\]"):
        doubled(1, 2, 3)
    with pytest.raises(RuntimeError, match="device code"):
        twice(1)
    with pytest.raises(RuntimeError, match=r"cuda\.shared\.array.*inside a kernel"):
        cuda.shared.array(3, float32)
    with pytest.raises(RuntimeError, match=r"cuda\.atomic\.add"):
        cuda.atomic.add(1, 2, 3)
    with pytest.raises(AttributeError):
        cuda.no_such_name  # noqa: B018


def test_only_flat_types():
    with pytest.raises(TypeError, match=r"float32\[::1\]"):
        float32[:, ::1]


# -- types -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scalar", TYPES, ids=repr)
def test_types_convert_on_the_host(scalar):
    assert scalar(1).dtype == scalar.dtype
    assert scalar[::1] is scalar[::1]
    assert scalar[::1].name == f"{scalar.name}[::1]"


def test_arguments_are_packed_as_a_c_struct():
    in_c = {
        float32: c_float,
        float64: c_double,
        int32: c_int32,
        int64: c_int64,
        uint32: c_uint32,
        uint64: c_uint64,
        uint8: c_uint8,
        boolean: c_bool,
    }
    for order in (TYPES, TYPES[::-1], (boolean, float64, uint8, int32, boolean)):
        fields = type(
            "Arguments", (ctypes.Structure,), {"_fields_": [(f"_{k}", in_c[t]) for k, t in enumerate(order)]}
        )
        values = [True if t is boolean else 3 for t in order]
        packed = driver.packer(order).pack(*values)
        assert bytes(fields(*values))[: len(packed)] == packed


@pytest.mark.usefixtures("needs_toolkit")
def test_arguments_are_packed_as_the_compiled_kernel_reads_them():
    types = (float64[::1], int32, float32, float64, int64, uint8, uint32, float32, boolean)
    text = all_numbers.specialize(*types, capability=(8, 0))
    codes = {"u64": "q", "u32": "i", "f32": "f", "f64": "d", "u8": "B"}
    read = "".join(codes[kind] for kind in re.findall(r"\.param \.(\w+) \w+_param_\d+[,\n]", text))
    ours = driver.packer(types).format[1:].replace("0q56s", "q" * 7)
    assert ours.replace("I", "i").replace("?", "B") == read


class FakeCuda:
    """Answers like NVIDIA's bindings of a driver with one GPU, and keeps what is launched."""

    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major",
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor",
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT="multiprocessors",
    )
    CUfunction_attribute = SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="shared")
    attributes: ClassVar = {"major": 9, "minor": 0, "multiprocessors": 132}

    def __init__(self):
        self.calls, self.launches = [], []

    def __getattr__(self, name):
        answers = {"cuDeviceGetName": b"Fake GPU\0\0", "cuDeviceTotalMem": 2**33, "cuModuleGetFunction": 7}
        answers["cuStreamCreate"] = "stream"

        def function(*args):
            self.calls.append((name, *args))
            return 0, answers.get(name, 1)

        return function

    def cuDeviceGetAttribute(self, attribute, device):
        return 0, self.attributes[attribute]

    def cuLaunchKernel(self, function, *rest):
        *shape, shared_bytes, stream, no_pointers, extra = rest
        marks = (ctypes.c_void_p * 5).from_address(extra)
        assert (marks[0], marks[2], marks[4], no_pointers) == (1, 2, None, 0)
        size = ctypes.c_size_t.from_address(marks[3]).value
        packed = ctypes.string_at(marks[1], size)
        self.launches.append((function, tuple(shape), shared_bytes, stream, packed))
        return (0,)


@pytest.fixture
def fake_cuda(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(driver, "bindings", lambda: fake)
    monkeypatch.setattr(driver, "missing", lambda: "")
    monkeypatch.setattr(driver, "simulating", lambda: False)
    monkeypatch.setattr(compiling, "machine_code", lambda kernel, types, capability: (b"code", "entry"))
    monkeypatch.setattr(driver, "_here", threading.local())
    monkeypatch.setattr(driver, "_simulations", 0)
    driver._gpu.cache_clear()
    driver._allow_shared.cache_clear()
    yield fake
    driver._gpu.cache_clear()


def test_what_a_gpu_is_given(fake_cuda):
    run = scaled_by(2)
    x = SimpleNamespace(shape=(2, 3), strides=(12, 4), size=6, offset=64, dtype=np.dtype("float32"))
    x.packed, x.memory, x._device_view = True, SimpleNamespace(simulated=False, pointer=4096), None
    run[(5, 2), 64](x, 2.5, 3)
    run[1, 32, 2**16](x, 2.5, 3)
    packed = struct.pack("@7qfi", 0, 0, 6, 4, 4160, 6, 4, 2.5, 3)
    assert fake_cuda.launches == [
        (7, (5, 2, 1, 64, 1, 1), 0, "stream", packed),
        (7, (1, 1, 1, 32, 1, 1), 2**16, "stream", packed),
    ]
    assert [name for name, *_ in fake_cuda.calls].count("cuModuleLoadData") == 1
    assert ("cuModuleGetFunction", 1, b"entry") in fake_cuda.calls
    assert ("cuFuncSetAttribute", 7, "shared", 2**16) in fake_cuda.calls
    assert driver.device_properties() == ("Fake GPU", 2**33, 132, (9, 0))
    driver.synchronize()
    assert fake_cuda.calls[-1] == ("cuStreamSynchronize", "stream")


def test_each_thread_enters_the_context(fake_cuda):
    driver.current()
    other = threading.Thread(target=driver.current)
    other.start()
    other.join()
    driver.current()
    assert [name for name, *_ in fake_cuda.calls].count("cuCtxSetCurrent") == 3  # one when the GPU is found


def test_numbers_out_of_range_on_a_gpu(fake_cuda):
    run = scaled_by(2)
    run[1, 32](1e300, np.int64(2**40))
    assert fake_cuda.launches[0][-1] == struct.pack("@fq", np.inf, 2**40)
    with pytest.raises(OverflowError, match=r"argument 2 is 2147483648.*np.int64"):
        run[1, 32](1.0, 2**31)


# -- compiling -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("needs_toolkit")
@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_compiled_without_a_gpu(capability):
    text = doubled.specialize(*FLAT, capability=capability)
    assert ".target sm_{}{}".format(*capability) in text
    image, log = compiling.cubin(text, capability)
    assert image.startswith(b"\x7fELF")
    assert "0 bytes spill stores" in log


@pytest.mark.usefixtures("needs_toolkit")
@pytest.mark.parametrize("scalar", [float32, float64], ids=repr)
def test_each_word_of_the_language_compiles(scalar):
    @kernel
    def all_words(x, counts, n):
        static = cuda.shared.array(64, scalar, 16)
        more = cuda.shared.array(0, scalar, 16)
        local = cuda.local.array((2, 3), scalar)
        t = cuda.threadIdx.x + cuda.blockIdx.y * cuda.blockDim.z
        t += cuda.gridDim.x + cuda.laneid + cuda.warpsize
        i, j = cuda.grid(2)
        local[t % 2, i % 3] = static[t] + more[j] + cuda.fma(x[i], x[j], x[n])
        cuda.syncwarp()
        full = cuda.all_sync(FULL_WARP, i < n) + cuda.any_sync(FULL_WARP, j < n)
        full += cuda.syncthreads_or(int32(i < n)) + cuda.syncthreads_and(int32(i < n))
        full += cuda.syncthreads_count(int32(i < n)) + cuda.activemask()
        votes = full + cuda.ballot_sync(FULL_WARP, i < n)
        cuda.threadfence()
        cuda.atomic.add(counts, 0, cuda.popc(votes) + cuda.clz(votes) + cuda.ffs(votes))
        cuda.atomic.max(x, 1, cuda.selp(i < n, x[0], local[0, 0]))
        cuda.atomic.min(x, 2, cuda.shfl_xor_sync(FULL_WARP, x[i], 1))
        cuda.atomic.exch(counts, 1, cuda.shfl_sync(FULL_WARP, t, 0))
        cuda.atomic.sub(x, 3, cuda.shfl_up_sync(FULL_WARP, x[i], 1))
        cuda.atomic.cas(counts, 2, 0, cuda.shfl_down_sync(FULL_WARP, t, 1))
        x[i] = min(math.exp(x[i]), math.sqrt(max(x[j], scalar(0))))
        x[j] = abs(math.erf(scalar(int32(cuda.gridsize(1)))))

    text = all_words.specialize(scalar[::1], int32[::1], int32, capability=(7, 5))
    assert compiling.cubin(text, (7, 5))[0].startswith(b"\x7fELF")


@pytest.mark.usefixtures("needs_toolkit")
def test_device_code_is_typed_alone():
    @device
    def both(x, y):
        return x & y

    assert compiling.returned(both, (int32, int32), (8, 0)) == "int64"
    with pytest.raises(Exception, match="No implementation of function"):
        compiling.returned(both, (float32, float32), (8, 0))


@pytest.mark.usefixtures("needs_toolkit")
def test_fast_approximations_only_where_a_kernel_asks():
    def quotient(x, out, n):
        i = cuda.grid(1)
        if i < n:
            out[i] = x[i] / x[i + 1]

    exact = kernel(quotient).specialize(*FLAT, capability=(8, 0))
    fast = kernel(quotient, fastmath=True).specialize(*FLAT, capability=(8, 0))
    assert "div.rn.f32" in exact
    assert "div.approx" in fast


@pytest.mark.usefixtures("needs_toolkit")
def test_registers_can_be_bounded():
    @kernel(launch_bounds=(256, 4))
    def bounded(x, out, n):
        out[n] = x[n]

    text = bounded.specialize(*FLAT, capability=(8, 0))
    assert re.search(r"\.maxntid\s+256", text)
    assert re.search(r"\.minnctapersm\s+4", text)


@pytest.mark.usefixtures("needs_toolkit")
def test_machine_code_is_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "folders", lambda: [tmp_path / "not" / "there"])
    first = compiling.machine_code(doubled, FLAT, (8, 0))
    monkeypatch.setattr(compiling, "ptx", lambda *_: pytest.fail("compiled again"))
    assert compiling.machine_code(doubled, FLAT, (8, 0)) == first
    image, entry = first
    assert image.startswith(b"\x7fELF")
    assert "doubled" in entry


@pytest.mark.usefixtures("needs_toolkit")
def test_without_a_writable_folder_it_is_compiled_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiling, "folders", lambda: [tmp_path / "file"])
    assert compiling.machine_code(doubled, FLAT, (8, 0))[0].startswith(b"\x7fELF")


def test_the_key_of_machine_code_holds_what_it_depends_on():
    keys = [
        compiling.key_of(scaled_by(2), FLAT, (8, 0)),
        compiling.key_of(scaled_by(3), FLAT, (8, 0)),
        compiling.key_of(scaled_by(2.0), FLAT, (8, 0)),
        compiling.key_of(scaled_by(2, float64), FLAT, (8, 0)),
        compiling.key_of(scaled_by(2), FLAT, (9, 0)),
        compiling.key_of(scaled_by(2), (*FLAT[:2], int64), (8, 0)),
        compiling.key_of(kernel(scaled_by(2).function, fastmath=True), FLAT, (8, 0)),
        compiling.key_of(doubled, FLAT, (8, 0)),
    ]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert keys[0] == compiling.key_of(scaled_by(2), FLAT, (8, 0))


def test_functions_that_look_alike_have_keys_of_their_own():
    def applied(f):
        @kernel
        def apply(x, out, n):
            out[n] = f(x[n])

        return compiling.key_of(apply, FLAT, (8, 0))

    once, squared = device(lambda x: x), device(lambda x: x * x)
    assert applied(once) != applied(squared)
    assert applied(once) == applied(once)
    assert applied(once) != applied(device(once.function, fastmath=True))


def test_a_kernel_with_constants_that_have_no_name_is_not_kept():
    assert compiling.key_of(scaled_by([2]), FLAT, (8, 0)) is None
    scope = {"kernel": kernel}
    exec("@kernel\ndef typed(x, out, n): pass", scope)
    assert compiling.key_of(scope["typed"], FLAT, (8, 0)) is None


# -- what is missing -------------------------------------------------------------------------------


@pytest.fixture
def fresh():
    driver.missing.cache_clear()
    yield
    driver.missing.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_without_numba_cuda(monkeypatch):
    monkeypatch.setattr(driver, "numba_cuda_installed", lambda: False)
    assert 'pip install "numba-cuda[cu12]"' in driver.missing()
    assert not driver.available()
    driver.require()  # the simulator needs none of it
    monkeypatch.setattr(driver, "simulating", lambda: False)
    with pytest.raises(RuntimeError, match=r"numba-cuda is not installed.*driver\.simulated"):
        driver.require()


def _bindings(init=None, count=0):
    def initialize(flags):
        if isinstance(init, Exception):
            raise init
        return (init or 0,)

    return lambda: SimpleNamespace(cuInit=initialize, cuDeviceGetCount=lambda: (0, count))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("bindings", "text"),
    [
        (_bindings(RuntimeError("no libcuda")), "no NVIDIA driver"),
        (_bindings(100), "no GPU"),
        (_bindings(0, count=0), "no GPU"),
    ],
)
def test_without_a_gpu(monkeypatch, bindings, text):
    monkeypatch.setattr(driver, "numba_cuda_installed", lambda: True)
    monkeypatch.setattr(driver, "bindings", bindings)
    assert text in driver.missing()


@pytest.mark.usefixtures("fresh")
def test_with_a_gpu(monkeypatch):
    monkeypatch.setattr(driver, "numba_cuda_installed", lambda: True)
    monkeypatch.setattr(driver, "bindings", _bindings(0, count=1))
    assert driver.available()


def test_errors_of_the_driver_are_raised(monkeypatch):
    names = {2: b"CUDA_ERROR_OUT_OF_MEMORY", 700: b"CUDA_ERROR_ILLEGAL_ADDRESS"}
    fake = SimpleNamespace(
        cuGetErrorName=lambda status: (0, names[status]),
        cuGetErrorString=lambda status: (0, b"what it means"),
        cuMemAlloc=lambda size: (2,),
        cuLaunch=lambda: (700,),
        cuGetTwo=lambda: (0, 1, 2),
        cuNothing=lambda: (0,),
    )
    monkeypatch.setattr(driver, "bindings", lambda: fake)
    with pytest.raises(MemoryError, match="OUT_OF_MEMORY"):
        driver.call("cuMemAlloc", 3)
    with pytest.raises(RuntimeError, match=r"ILLEGAL_ADDRESS, what it means.*CUDA_LAUNCH_BLOCKING"):
        driver.call("cuLaunch")
    assert driver.call("cuGetTwo") == (1, 2)
    assert driver.call("cuNothing") == ()


def test_importing_and_defining_kernels_loads_no_compiler():
    code = """
import sys
import minidl.kernels.cuda.driver, minidl.kernels.cuda.instructions, minidl.kernels.cuda.resources
import minidl.kernels.cuda.graphs, minidl.kernels.cuda.memory
assert not {"numba", "llvmlite", "cuda.bindings.driver"} & set(sys.modules), "loaded"
minidl.kernels.cuda.driver.available()
assert "numba" not in sys.modules, "available() loads numba"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_minidl_alone_loads_nothing_of_this():
    code = "import sys, minidl; assert not [m for m in sys.modules if 'kernels.cuda' in m]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_properties_of_the_device():
    found = driver.device_properties()
    assert found.multiprocessors > 0
    assert found.memory >= 2**30
    assert driver.device_name() == found.name


def test_worlds():
    assert driver.active()
    before = driver.simulating()
    with driver.simulated():
        assert driver.simulating()
        assert driver.device_name() == "simulated GPU"
    assert driver.simulating() == before


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is not None, reason="numba-cuda is installed")
def test_compiling_without_numba_cuda_says_what_is_missing():
    with pytest.raises(RuntimeError, match="numba-cuda is not installed"):
        doubled.specialize(*FLAT, capability=(8, 0))
