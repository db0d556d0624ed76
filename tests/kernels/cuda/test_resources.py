"""Resources: reading SASS (everywhere) and compiling kernels (where the toolkit is)."""

import re
from collections import Counter

import pytest

from minidl.kernels.cuda import driver, resources
from minidl.kernels.cuda.driver import cuda, float32, int32, kernel
from minidl.kernels.cuda.instructions import load, store
from minidl.kernels.cuda.resources import Resources, count, expect, hottest_loops, parse

SASS = """
        .section        .text.k,"ax",@progbits
.text.k:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_2:
        /*0010*/                   LDG.E R2, [R4.64] ;
.L_x_1:
        /*0020*/                   FFMA R0, R2, R3, R0 ;
        /*0030*/                   LDS.128 R4, [R6] ;
        /*0040*/              @!P0 FFMA.FTZ R0, R4, R5, R0 ;
        /*0050*/               @P0 BRA `(.L_x_1) ;
        /*0060*/                   FADD R0, R0, R1 ;
        /*0070*/              @!P1 BRA `(.L_x_2) ;
        /*0080*/               @P1 BRA `(.L_x_3) ;
        /*0090*/                   STG.E [R4.64], R0 ;
.L_x_3:
        /*00a0*/                   EXIT ;
.L_x_4:
        /*00b0*/                   BRA `(.L_x_4);
"""


@kernel
def dots(x, w, out, n):
    """out[i] = sum over j of x[j] w[j + i]."""
    i = cuda.grid(1)
    total = float32(0)
    for j in range(n):
        total += load(x, j) * load(w, i + j)
    store(out, i, total)


@kernel
def hungry(x, out):
    """Waits for more numbers than 16 registers can hold."""
    i = cuda.grid(1)
    values = cuda.local.array(64, float32)
    for k in range(64):
        values[k] = load(x, i * 64 + k)
    cuda.syncthreads()
    for k in range(64):
        store(out, i * 64 + 63 - k, values[k])


TYPES = (float32[::1], float32[::1], float32[::1], int32)


def test_opcodes_and_loops_of_sass():
    opcodes, loops = parse(SASS)
    assert opcodes[:4] == ["MOV", "LDG.E", "FFMA", "LDS.128"]
    assert len(opcodes) == 12
    assert loops == [(2, 5), (1, 7)]


def test_the_innermost_loop_and_what_is_around_it():
    inner, around = hottest_loops(*parse(SASS))
    assert inner == Counter({"FFMA": 1, "FFMA.FTZ": 1, "LDS.128": 1, "BRA": 1})
    assert around == Counter({"LDG.E": 1, "FADD": 1, "BRA": 1})


def test_no_loop():
    assert hottest_loops(["FFMA", "EXIT"], []) == (Counter(), Counter())


@pytest.fixture
def example(monkeypatch):
    """What a kernel with the code above costs."""
    monkeypatch.setattr(resources, "disassemble", {b"code": SASS}.__getitem__)
    figures = {"registers": 40, "spill_stores": 4, "spill_loads": 8, "stack": 0, "shared": 50_000}
    return Resources("k", 80, **figures, image=b"code")


def test_shares(example):
    assert count(example.instructions, ("FFMA",)) == 2
    assert example.share == 2 / 4
    assert example.share_of_rounds(10) == 20 / 43
    assert example.spills == 12
    assert "k on sm_80: 40 registers, 12 bytes of spills" in str(example)
    assert "share 50% of 4 in the loop (FFMA 2 " in str(example)


def test_a_kernel_over_its_budget_is_told_which_bound(example, monkeypatch):
    monkeypatch.setattr(resources, "compile", lambda kernel, types, architecture: example)
    with pytest.raises(AssertionError) as error:
        expect(dots, TYPES, registers=32, share=0.6, architectures=(80,))
    for part in (
        "spills 12, at most 0",
        "registers 40, at most 32",
        "shared memory 50000",
        "share 0.5, at least 0.6",
    ):
        assert part in str(error.value)
    assert "stack" not in str(error.value).splitlines()[0]


def test_what_is_missing(monkeypatch):
    resources.toolkit.cache_clear()
    monkeypatch.setattr(driver, "numba_cuda_installed", lambda: False)
    assert "pip install" in resources.toolkit()
    resources.toolkit.cache_clear()


@pytest.mark.usefixtures("needs_toolkit")
@pytest.mark.parametrize("architecture", resources.ARCHITECTURES)
def test_a_loop_of_multiply_adds(architecture):
    cost = resources.compile(dots, TYPES, architecture)
    assert 8 <= cost.registers <= 64
    assert (cost.spills, cost.stack, cost.shared) == (0, 0, 0)
    assert count(cost.loop, ("FFMA",)) * 2 == count(cost.loop, ("LDG", "LD"))
    assert 0.05 < cost.share < 0.34
    assert count(cost.instructions, ("EXIT",)) >= 1


@pytest.mark.usefixtures("needs_toolkit")
def test_architectures_differ_from_the_assembler_on():
    """So `resources` makes PTX once: that for others has another target, and numbers in names, no more."""
    for run, types in ((dots, TYPES), (hungry, TYPES[:2])):
        texts = (run.specialize(*types, capability=divmod(a, 10)) for a in resources.ARCHITECTURES)
        assert len({re.sub(r"\.target sm_\d+|_Z\w+|_cudapy_smem_\d+", "", text) for text in texts}) == 1


@pytest.mark.usefixtures("needs_toolkit")
def test_shared_memory_without_what_the_system_takes():
    @kernel
    def shares(out):
        s = cuda.shared.array(256, float32)
        t = cuda.threadIdx.x
        s[t] = t
        cuda.syncthreads()
        out[t] = s[255 - t]

    assert [r.shared for r in expect(shares, (float32[::1],), registers=20)] == [1024] * 3


@pytest.mark.usefixtures("needs_toolkit")
def test_spills_are_found():
    starved = kernel(hungry.function, max_registers=24)
    with pytest.raises(AssertionError, match=r"spills \d+, at most 0"):
        expect(starved, (float32[::1], float32[::1]), architectures=(80,))
    expect(hungry, (float32[::1], float32[::1]), registers=128, architectures=(80,))
