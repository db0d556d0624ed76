"""What a line costs, counted by hand for kernels of a few lines."""

import math

import numpy as np
import pytest

from minidl.kernels.cuda import simulator
from minidl.kernels.cuda.driver import cuda, float32, kernel
from minidl.kernels.cuda.instructions import load4, store4


def traced(function, *args, blocks=1, threads=32):
    return simulator.trace(function, blocks, threads, args)


@pytest.mark.parametrize(("stride", "sectors"), [(1, 4), (2, 8), (8, 32)])
def test_sectors_of_global_memory(stride, sectors):
    @kernel
    def read(x, out):
        i = cuda.threadIdx.x
        value = x[i * stride]
        out[i] = value

    report = traced(read, np.zeros(256, np.float32), np.zeros(32, np.float32))
    assert report.line("value = x").sectors == sectors
    assert report.line("value = x").coalesced == 4 / sectors
    assert report.global_bytes == 32 * (sectors + 4)


@pytest.mark.parametrize(("pitch", "conflict"), [(32, 32), (33, 1), (34, 2)])
def test_bank_conflicts_of_a_column(pitch, conflict):
    size = 32 * pitch

    @kernel
    def column(x):
        room = cuda.shared.array(size, float32)
        i = cuda.threadIdx.x
        room[i * pitch] = x[i]

    assert traced(column, np.zeros(32, np.float32)).line("] = x[i]").conflict == conflict


def test_a_broadcast_is_no_conflict():
    @kernel
    def same(x):
        room = cuda.shared.array(1, float32)
        if cuda.threadIdx.x == 0:
            room[0] = x[0]
        cuda.syncthreads()
        x[cuda.threadIdx.x] = room[0]

    report = traced(same, np.zeros(32, np.float32))
    assert report.line("x[cuda.threadIdx.x] = room[0]").conflict == 1


def test_wide_accesses_take_four_rounds_and_no_more():
    @kernel
    def wide(x):
        room = cuda.shared.array(128, float32, 16)
        i = cuda.threadIdx.x * 4
        a, b, c, d = load4(x, i)
        store4(room, i, a, b, c, d)

    report = traced(wide, np.zeros(128, np.float32))
    assert report.line("load4").sectors == 16
    assert (report.line("store4").rounds, report.line("store4").conflict) == (4, 1)


def test_divergence_and_arithmetic():
    @kernel
    def work(x):
        i = cuda.threadIdx.x
        value = x[i]
        if i % 4 == 0:
            value = value * 2 + 1
        x[i] = value

    report = traced(work, np.zeros(64, np.float32), blocks=1, threads=64)
    line = report.line("value * 2 + 1")
    assert (line.warps, line.active, line.flop) == (2, 0.25, 32)
    assert report.flop == 32 and report.intensity == 32 / (64 * 4 * 2)


def test_the_report_can_be_read():
    @kernel
    def copy(x, out):
        out[cuda.threadIdx.x] = x[cuda.threadIdx.x] + 1

    report = traced(copy, np.zeros(32, np.float32), np.zeros(32, np.float32))
    assert "out[cuda.threadIdx.x] = x" in str(report) and "100% coalesced" in str(report)
    assert report._repr_html_().count("<tr>") == 4


@pytest.mark.parametrize(("pitch", "conflict"), [(32, 32), (33, 1)])
def test_the_transpose_that_padding_saves(pitch, conflict):
    @kernel
    def transpose(x, out):
        tile = cuda.shared.array(32 * pitch, float32)
        i, j = cuda.threadIdx.x, cuda.threadIdx.y
        tile[j * pitch + i] = x[j * 32 + i]
        cuda.syncthreads()
        out[j * 32 + i] = tile[i * pitch + j]

    x, out = np.arange(1024, dtype=np.float32), np.zeros(1024, np.float32)
    report = simulator.trace(transpose, 1, (32, 32), (x, out))
    np.testing.assert_array_equal(out.reshape(32, 32), x.reshape(32, 32).T)
    assert report.line("out[").conflict == conflict and report.line("] = x[").conflict == 1
    assert report.coalesced == 1 and report.sectors == 2 * 128
    assert ("worth a look" in str(report)) == (conflict > 1)


def test_sums_of_products_are_fused():
    @kernel
    def scale(x, y, a, b):
        i = cuda.threadIdx.x
        y[i] = a * x[i] + y[i]
        y[i] = math.exp(y[i]) / b

    report = traced(scale, np.ones(32, np.float32), np.ones(32, np.float32), 2.0, 3.0)
    assert (report.line("a * x").flop, report.line("a * x").fused) == (64, 32)
    assert (report.line("math.exp").flop, report.line("math.exp").fused) == (64, 0)
    assert (report.loaded, report.stored, report.global_bytes) == (3 * 128, 2 * 128, 5 * 128)


def test_loops_count_each_round():
    @kernel
    def rounds(x):
        i = cuda.threadIdx.x
        while i < 64:
            x[i] = 0
            i += 32

    report = traced(rounds, np.ones(64, np.float32))
    assert report.line("while").warps == 3 and report.line("x[i]").warps == 2


def test_a_line_that_never_ran():
    @kernel
    def short(x):
        if cuda.threadIdx.x > 100:
            x[0] = 1

    report = traced(short, np.ones(1, np.float32))
    assert "x[0] = 1" in str(report)
    with pytest.raises(KeyError, match="no line that was executed"):
        report.line("x[0]")
