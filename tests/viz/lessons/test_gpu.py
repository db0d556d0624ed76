"""Notebook 19: the animator counts right, figures show their numbers, the record is the compiler's."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from minidl.kernels.cuda import driver, resources
from minidl.kernels.cuda.driver import cuda, float32, kernel
from minidl.viz.lessons import gpu as lesson
from minidl.viz.lessons import gpu_costs
from minidl.viz.lessons.gpu import SIZE


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def animator():
    widget = lesson.animator()
    yield widget
    widget.close()


@kernel
def product(a, b, out, n):
    """Tiles of 8 x 8: what the animator draws."""
    left = cuda.shared.array((8, 8), float32)
    right = cuda.shared.array((8, 8), float32)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    total = float32(0)
    for k0 in range(0, n, 8):
        left[y, x] = a[row * n + k0 + x]
        right[y, x] = b[(k0 + y) * n + column]
        cuda.syncthreads()
        for k in range(8):
            total += left[y, k] * right[k, x]
        cuda.syncthreads()
    out[row * n + column] = total


@kernel
def racing(x, out):
    room = cuda.shared.array(64, float32)
    t = cuda.threadIdx.x
    room[t] = x[t]
    out[t] = room[63 - t]


def matrices(n):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, n, n)).astype(np.float32)
    return a, b, np.zeros((n, n), np.float32)


# The animator


def test_the_first_step_and_its_counts(animator):
    assert animator._first_text == (
        "Tiles of 4 × 4: the block of rows 0-3 and columns 0-3, at k = 0-3, has fetched 32 numbers for 64"
        " multiply-adds. All blocks together fetch 2,048."
    )


@pytest.mark.parametrize("tile", [1, 3, 4, 5, 16])
def test_all_steps_fetch_what_the_curve_says(animator, tile):
    """Walk through all blocks; ragged tiles fetch less than a whole tile, and every product is made once."""
    animator.controls["tile"].value = tile
    animator.wait()
    state, blocks = animator.state, -(-SIZE // tile)
    numbers = products = 0
    for block in range(blocks**2):
        state.block, state.at = block, blocks - 1
        fetched, made = lesson._so_far(state)
        numbers, products = numbers + fetched, products + made
    assert (numbers, products) == (lesson.fetched(tile), SIZE**3)


def test_steps_go_through_k_then_through_the_blocks_and_end(animator):
    animator.controls["tile"].value = 8
    animator.step(2)
    assert (animator.state.block, animator.state.at) == (1, 0)
    animator.step(20)
    assert (animator.state.block, animator.state.at) == (3, 1)
    assert animator.error is None and "rows 8-15 and columns 8-15, at k = 8-15" in animator._status.value


def test_another_side_starts_anew_and_a_button_skips(animator):
    animator.step(6)
    animator.controls["tile"].value = 5
    animator.wait()
    assert (animator.state.block, animator.state.at) == (0, 0)
    animator.controls["Next block"].click()
    animator.wait()
    assert (animator.state.block, animator.state.at) == (1, 0)
    for _ in range(15):
        animator.controls["Next block"].click()
    animator.wait()
    assert (animator.state.block, animator.error) == (0, None)


def test_reset_brings_the_first_picture_back(animator):
    first = animator.svg
    animator.controls["tile"].value = 7
    animator.step(3)
    animator.reset()
    assert animator.svg == first


def test_the_animators_counts_are_those_of_a_trace():
    a, b, out = matrices(SIZE)
    report = lesson.traced(product, (2, 2), (8, 8), a, b, out, SIZE)
    np.testing.assert_allclose(out, a @ b, atol=1e-4)
    assert report.loaded == lesson.FLOAT * lesson.fetched(8)
    assert report.flop == 2 * SIZE**3
    assert report.shared_loaded == lesson.FLOAT * 2 * SIZE**3


def test_the_still_picture_tells_its_step():
    assert "rows 4-7 and columns 8-11, at k = 4-7" in lesson.tiling(4, 6, 1).alt


# Traces


def test_a_trace_is_shown_as_a_table_without_addresses(monkeypatch):
    shown = []
    monkeypatch.setattr(lesson, "display", lambda data, raw: shown.append(data))
    a, b, out = matrices(8)
    lesson.costs(lesson.traced(product, (1, 1), (8, 8), a, b, out, 8))
    (data,) = shown
    assert data["text/html"].count("<table>") == 1 and "<small>" not in data["text/html"]
    assert "total += left[y, k] * right[k, x]" in data["text/plain"] and "0x" not in data["text/plain"]


def test_an_attempt_prints_what_the_simulator_says(capsys):
    x = np.zeros(64, np.float32)
    lesson.attempt(racing, 1, 64, x, x.copy())
    said = capsys.readouterr().out
    assert said.startswith("RaceError: racing, line") and max(map(len, said.splitlines())) <= 105
    a, b, out = matrices(8)
    lesson.attempt(product, (1, 1), (8, 8), a, b, out, 8)
    assert capsys.readouterr().out == "no complaint\n"


def test_minidls_product_is_right_and_reads_little():
    a, b, _ = matrices(128)
    out, report = lesson.trace_minidl(a, b)
    np.testing.assert_allclose(out, a @ b, atol=1e-3)
    assert report.intensity == pytest.approx(128 / 6)
    assert lesson.rounds(report) < 0.3


def test_rungs_are_timed_where_there_is_a_device(monkeypatch):
    monkeypatch.setattr(driver, "available", lambda: False)
    assert lesson.measure({"tiled": (product, 8, (8, 8))}) == {}
    with driver.simulated():
        speeds = lesson._measure({"tiled": (product, 8, (8, 8))}, n=16, repeats=1)
    assert set(speeds) == {"tiled", "minidl"} and min(speeds.values()) > 0


# Figures


def test_sectors_are_those_of_the_walk():
    walks = {"a row": np.arange(32), "a column": 32 * np.arange(32)}
    panels = lesson.plot_sectors(walks).axes
    assert [ax.get_title(loc="left") for ax in panels] == ["a row: 4 sectors", "a column: 32 sectors"]
    column = np.asarray(panels[1].images[0].get_array())
    assert (column[:, 0] == 2).all() and (column[:, 1:8] == 1).all() and not column[:, 8:].any()


def reports():
    a, b, out = matrices(16)
    return {"tiled": lesson.traced(product, (2, 2), (8, 8), a, b, out, 16)}


def test_the_ladder_and_its_table_show_the_trace_and_the_record():
    found = reports()
    report, rung = found["tiled"], gpu_costs.COMPILED["tiled"]
    head, line = lesson.table(found).splitlines()
    assert head.split() == ["FLOP", "a", "byte", "rounds", "registers", "spills", "share"]
    numbers = [f"{report.intensity:.1f}", f"{lesson.rounds(report):.2f}", "32", "0", f"{rung.share:.0%}"]
    assert line.split() == ["tiled", *numbers]
    bars = [ax.patches[0].get_width() for ax in lesson.plot_ladder(found).axes]
    assert bars == pytest.approx([report.intensity, lesson.rounds(report), 100 * rung.share])


def test_the_lowest_ceiling_binds():
    card = lesson.Card("x", 100.0, 10.0)
    assert lesson.ceilings(2, 0.5, 0.7, card) == {"memory": 20, "shared memory": 50, "instructions": 70}
    assert lesson.ceilings(2, 0, 0.1, card)["shared memory"] == np.inf


def test_the_roofline_names_what_binds_and_shows_measured_speeds(monkeypatch):
    monkeypatch.setattr(driver, "device_name", lambda: "a card")
    ax = lesson.plot_roofline({"tiled": 0.4}, reports(), {"tiled": 1.0}).axes[0]
    assert [text.get_text() for text in ax.get_legend().texts] == ["tiled: 1.3, memory"]
    assert any("measured on a card" in text.get_text() for text in ax.texts)
    stars = [line for line in ax.lines if line.get_marker() == "*"]
    assert len(stars) == 1 and list(stars[0].get_ydata()) == [1.0]


def test_addresses_are_an_addition_table_or_refused():
    def base(pixel, C, H, P):
        return pixel // P * H + pixel % P

    ax = lesson.plot_addresses(base, lambda tap, H, K: tap // K * H + tap % K).axes[0]
    assert len(ax.texts) == 9 * 9 + 9 + 9 + 1
    with pytest.raises(ValueError, match="base"):
        lesson.plot_addresses(base, lambda tap, H, K: tap)


def test_the_machine_has_a_description():
    assert "eight warps of 32 threads" in lesson.machine().alt


def test_the_texts_of_the_machine_end_inside():
    picture = lesson.machine()
    for kind, shape in picture.shapes:
        if kind == "text" and shape["anchor"] == "start":
            font = FontProperties(weight="bold" if shape["bold"] else "normal")
            ends = shape["x"] + TextPath((0, 0), shape["s"], shape["size"], prop=font).get_extents().x1
            assert ends < picture.width, shape["s"]


# The record


def test_the_record_has_the_notebooks_rungs_and_its_texts_numbers():
    assert set(gpu_costs.kernels()) == set(gpu_costs.COMPILED)
    cells = json.loads(gpu_costs.NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    text = "".join("".join(cell["source"]) for cell in cells)
    share = {name: round(100 * rung.share) for name, rung in gpu_costs.COMPILED.items()}
    assert f"{share['registers']} to {share['registers, load']} %" in text
    assert f"from {share['naive']} to {share['minidl']} %" in text


def test_the_record_is_what_the_compiler_makes():
    """Some registers and two points of the share are left to other versions of the compiler."""
    if reason := resources.toolkit():
        pytest.skip(reason)
    for name, now in gpu_costs.compiled().items():
        then = gpu_costs.COMPILED[name]
        close = abs(now.registers - then.registers) <= 8 and abs(now.share - then.share) <= 0.02
        again = f"recorded {then}, compiled {now}: run python -m minidl.viz.lessons.gpu_costs again"
        assert close and now.spills == then.spills, f"{name}: {again}"
