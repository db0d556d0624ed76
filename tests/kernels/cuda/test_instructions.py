"""Instructions: what they compute (in the simulator or on the GPU) and what they become in PTX."""

import re

import numpy as np
import pytest

from minidl.kernels.cuda import compiling, driver, instructions, resources
from minidl.kernels.cuda.array import asarray, empty
from minidl.kernels.cuda.driver import boolean, cuda, float32, float64, int32, int64, kernel, uint32
from minidl.kernels.cuda.instructions import (
    copy_async4,
    copy_commit,
    copy_wait,
    load,
    load4,
    mma_tf32,
    mulhi,
    store,
    store4,
    to_tf32,
    udiv,
    umod,
)

rng = np.random.default_rng(0)


def moved(scalar):
    """A kernel that takes elements through global, shared and local memory."""

    @kernel
    def through_memory(x, out, n):
        shared = cuda.shared.array(32, scalar, 16)
        local = cuda.local.array(1, scalar)
        i = cuda.grid(1)
        t = cuda.threadIdx.x
        if i < n:
            store(local, 0, load(x, i))
            store(shared, t, load(local, 0))
        cuda.syncthreads()
        if i < n:
            store(out, i, load(shared, t))

    return through_memory


def moved4(scalar):
    """The same by fours, in reverse order."""

    @kernel
    def four_by_four(x, out, n):
        shared = cuda.shared.array(128, scalar, 16)
        i = int32(4 * cuda.grid(1))
        t = int32(4 * cuda.threadIdx.x)
        if i < n:
            a, b, c, d = load4(x, i)
            store4(shared, t, d, c, b, a)
        cuda.syncthreads()
        if i < n:
            a, b, c, d = load4(shared, t)
            store4(out, i, a, b, c, d)

    return four_by_four


@kernel
def divided(a, b, quotient, remainder, n):
    i = cuda.grid(1)
    if i < n:
        store(quotient, i, udiv(load(a, i), load(b, i)))
        store(remainder, i, umod(load(a, i), load(b, i)))


@kernel
def upper_halves(a, b, out, n):
    i = cuda.grid(1)
    if i < n:
        store(out, i, mulhi(load(a, i), load(b, i)))


@kernel
def staged(x, out, nbytes):
    """32 groups of four through shared memory, in the background; of each group nbytes are read."""
    shared = cuda.shared.array(256, float32, 16)
    i = int32(4 * cuda.threadIdx.x)
    copy_async4(shared, i, x, i, 16)
    copy_commit()
    copy_async4(shared, i + 128, x, i, nbytes)
    copy_commit()
    copy_wait(1)
    cuda.syncthreads()
    a, b, c, d = load4(shared, 124 - i)
    store4(out, i, a, b, c, d)
    copy_wait(0)
    cuda.syncthreads()
    a, b, c, d = load4(shared, 252 - i)
    store4(out, i + 128, a, b, c, d)


@kernel
def tensor_product(a, b, c):
    """c (16, 8) += a (16, 8) b (8, 8), by one warp."""
    g = cuda.threadIdx.x // 4
    t = cuda.threadIdx.x % 4
    a0 = to_tf32(load(a, g * 8 + t))
    a1 = to_tf32(load(a, (g + 8) * 8 + t))
    a2 = to_tf32(load(a, g * 8 + t + 4))
    a3 = to_tf32(load(a, (g + 8) * 8 + t + 4))
    b0 = to_tf32(load(b, t * 8 + g))
    b1 = to_tf32(load(b, (t + 4) * 8 + g))
    i = g * 8 + 2 * t
    c0, c1, c2, c3 = mma_tf32(
        load(c, i), load(c, i + 1), load(c, i + 64), load(c, i + 65), a0, a1, a2, a3, b0, b1
    )
    store(c, i, c0)
    store(c, i + 1, c1)
    store(c, i + 64, c2)
    store(c, i + 65, c3)


@kernel
def rounded_to_tf32(x, out, n):
    i = cuda.grid(1)
    if i < n:
        store(out, i, to_tf32(load(x, i)))


# -- what they compute -----------------------------------------------------------------------------


@pytest.mark.parametrize("scalar", [float32, float64, int32, int64, boolean], ids=repr)
@pytest.mark.parametrize("n", [1, 45])
def test_elements_through_all_kinds_of_memory(scalar, n):
    x = rng.integers(0, 2 if scalar is boolean else 100, n).astype(scalar.dtype)
    out = empty(n, scalar.dtype)
    moved(scalar)[-(-n // 32), 32](asarray(x), out, n)
    np.testing.assert_array_equal(out.get(), x)


@pytest.mark.parametrize("scalar", [float32, float64, int32, int64], ids=repr)
def test_four_elements_at_once(scalar):
    x = rng.integers(0, 100, 172).astype(scalar.dtype)
    out = empty(172, scalar.dtype)
    moved4(scalar)[2, 32](asarray(x), out, x.size)
    np.testing.assert_array_equal(out.get(), x.reshape(-1, 4)[:, ::-1].ravel())


@pytest.mark.skipif(driver.available(), reason="on a GPU it ends the context")
def test_groups_of_four_must_be_aligned():
    @kernel
    def astray(x):
        store4(x, 1, 0.0, 0.0, 0.0, 0.0)

    with pytest.raises(Exception, match=r"(?i)align|multiple of"):
        astray[1, 1](empty(8, np.float32))


def test_division_without_sign():
    a = np.array([0, 1, 7, 100, 2**31 - 1, 2**31 - 1, 12345678], np.int32)
    b = np.array([1, 2, 7, 7, 1, 2**31 - 1, 1000], np.int32)
    quotient, remainder = empty(a.size, np.int32), empty(a.size, np.int32)
    divided[1, 32](asarray(a), asarray(b), quotient, remainder, a.size)
    np.testing.assert_array_equal(quotient.get(), a // b)
    np.testing.assert_array_equal(remainder.get(), a % b)


def test_upper_half_of_a_product():
    a = rng.integers(0, 2**32, 32, dtype=np.uint32)
    b = rng.integers(0, 2**32, 32, dtype=np.uint32)
    a[:2], b[:2] = [2**32 - 1, 0], [2**32 - 1, 5]
    out = empty(32, np.uint32)
    upper_halves[1, 32](asarray(a), asarray(b), out, 32)
    np.testing.assert_array_equal(out.get(), (a.astype(np.uint64) * b) >> np.uint64(32))


def _has_capability(major):
    return driver.device_properties().capability >= (major, 0)


@pytest.mark.parametrize("nbytes", [0, 4, 12, 16])
def test_copies_in_the_background(nbytes):
    if not _has_capability(8):
        pytest.skip("asynchronous copies need compute capability 8.0")
    if driver.simulating() and nbytes % 16:
        pytest.skip("the simulator copies 16 bytes or none")
    x = rng.standard_normal(128, np.float32)
    out = empty(256, np.float32)
    staged[1, 32](asarray(x), out, nbytes)
    groups = x.reshape(32, 4)[::-1]
    cut = groups * (np.arange(4) < nbytes // 4)
    np.testing.assert_array_equal(out.get().reshape(2, 32, 4), np.stack([groups, cut]))


def test_product_on_tensor_cores():
    if not _has_capability(8):
        pytest.skip("TF32 needs compute capability 8.0")
    a, b, c = (rng.standard_normal(shape, np.float32) for shape in ((16, 8), (8, 8), (16, 8)))
    out = asarray(c)
    tensor_product[1, 32](asarray(a), asarray(b), out)
    np.testing.assert_allclose(out.get(), c + a @ b, atol=8 * 8 * 2.0**-11)


def test_rounding_to_ten_bits():
    if not _has_capability(8):
        pytest.skip("TF32 needs compute capability 8.0")
    x = np.array([1, 1 + 2**-10, 1 + 2**-11, 1 + 2**-12, -1 - 2**-11, 0, 3.14159], np.float32)
    out = empty(x.size, np.float32)
    rounded_to_tf32[1, 32](asarray(x), out, x.size)
    expected = [1, 1 + 2**-10, 1 + 2**-10, 1, -1 - 2**-10, 0, 3.140625]
    np.testing.assert_array_equal(out.get(), np.float32(expected))


def test_instructions_cannot_be_called_from_python():
    for name in ("load", "store4", "copy_wait", "mma_tf32"):
        instruction = getattr(instructions, name)
        assert instruction.__name__ == name
        assert instruction.__doc__
        with pytest.raises(RuntimeError, match=f"{name} is an instruction of the GPU"):
            instruction(1, 2)


# -- what they become ------------------------------------------------------------------------------


def _accesses(text):
    return re.findall(r"\b(?:ld|st)\.(?:global|shared)[\w.]*", text)


@pytest.mark.usefixtures("needs_toolkit")
@pytest.mark.parametrize(
    ("scalar", "suffix"),
    [(float32, "f32"), (float64, "f64"), (int32, "u32"), (int64, "u64"), (boolean, "u8")],
    ids=repr,
)
def test_one_access_an_element(scalar, suffix):
    text = moved(scalar).specialize(scalar[::1], scalar[::1], int32, capability=(7, 5))
    assert _accesses(text) == [
        f"ld.global.{suffix}",
        f"st.shared.{suffix}",
        f"ld.shared.{suffix}",
        f"st.global.{suffix}",
    ]
    assert "selp" not in text.replace("selp.u16", "")  # no choice between an index and one from the end


@pytest.mark.usefixtures("needs_toolkit")
def test_one_access_for_four():
    text = moved4(float32).specialize(float32[::1], float32[::1], int32, capability=(7, 5))
    assert _accesses(text) == ["ld.global.v4.f32", "st.shared.v4.f32", "ld.shared.v4.f32", "st.global.v4.f32"]
    text = moved4(float64).specialize(float64[::1], float64[::1], int32, capability=(7, 5))
    assert set(_accesses(text)) == {
        "ld.global.v2.f64",
        "st.shared.v2.f64",
        "ld.shared.v2.f64",
        "st.global.v2.f64",
    }


@pytest.mark.usefixtures("needs_toolkit")
def test_division_in_one_line():
    text = divided.specialize(*[int32[::1]] * 4, int32, capability=(7, 5))
    assert re.findall(r"\b(?:div|rem)\.\w+", text) == ["div.u32", "rem.u32"]


@pytest.mark.usefixtures("needs_toolkit")
def test_the_upper_half_is_one_instruction():
    cost = resources.compile(upper_halves, (*[uint32[::1]] * 3, int32), 80)
    assert cost.instructions["IMAD.HI.U32"] + cost.instructions["IMAD.WIDE.U32"] == 1


@pytest.mark.usefixtures("needs_toolkit")
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_copies_and_tensor_cores_assemble(capability):
    text = staged.specialize(float32[::1], float32[::1], int32, capability=capability)
    for line in (
        "cp.async.cg.shared.global",
        "cp.async.commit_group",
        "cp.async.wait_group 1",
        "wait_group 0",
    ):
        assert line in text
    assert compiling.cubin(text, capability)[0].startswith(b"\x7fELF")
    text = tensor_product.specialize(*[float32[::1]] * 3, capability=capability)
    assert "mma.sync.aligned.m16n8k8" in text
    assert text.count("cvt.rna.tf32") == 6
    assert compiling.cubin(text, capability)[0].startswith(b"\x7fELF")
    assert resources.compile(tensor_product, (float32[::1],) * 3, 80).instructions["HMMA.1688.F32.TF32"] == 1
