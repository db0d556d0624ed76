"""A GPU to look into: traces as tables, the tiling animator, the roofline and other figures (notebook 19)."""

import textwrap
from collections.abc import Callable
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.colors import ListedColormap
from numpy.typing import ArrayLike

from minidl.kernels.cuda import driver, gemm, simulator, tiles
from minidl.kernels.cuda.array import asarray, empty

from ..controls import button, slider
from ..picture import Picture
from ..theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE
from ..widget import Widget
from .gpu_costs import COMPILED, H100, Card, Compiled

WARP = 32
FLOAT = 4  # bytes of a float32

# Tracing


def traced(kernel: Callable, grid, block, *args) -> simulator.Report:
    """Run a kernel in the simulator and count. Arrays are changed; the kernel sees them flat, as on a GPU."""
    return simulator.trace(kernel, grid, block, tuple(_flat(value) for value in args))


def _flat(value):
    return value.reshape(-1) if isinstance(value, np.ndarray) else value


def attempt(kernel: Callable, grid, block, *args) -> None:
    """Run a kernel that may be wrong in the simulator, and print what it says, in lines."""
    try:
        simulator.run(kernel, grid, block, tuple(_flat(value) for value in args))
        said = "no complaint"
    except simulator.KernelError as error:
        said = f"{type(error).__name__}: {error}"
    print(textwrap.fill(said, 105))


def costs(report: simulator.Report) -> None:
    """Show a trace as a table, without the legend under it: the notebook explains the columns."""
    table, _, _ = report._repr_html_().partition("<p><small>")
    display({"text/html": table, "text/plain": str(report)}, raw=True)


def rounds(report: simulator.Report) -> float:
    """Rounds of shared memory for each multiply-add of a warp."""
    return report.rounds / (report.flop / (2 * WARP))


def trace_minidl(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, simulator.Report]:
    """minidl's own product kernel, tiles of 128 x 128, on square matrices: the product and its trace."""
    n = len(a)
    out, bias = np.zeros((n, n), np.float32), 0
    kernel, grid = gemm.product_kernel(128, (True, False), (True, True, True)), (n // 128) ** 2
    report = traced(kernel, grid, tiles.threads_of(128, 128), a, b, bias, out, n, n, n, 1, n, 0, 0)
    return out, report


def measure(rungs: dict[str, tuple], n: int = 4096, repeats: int = 10) -> dict[str, float]:
    """TFLOP a second of each rung and of minidl's own on n x n matrices; {} where there is no GPU.

    rungs: name -> (kernel, side of a block's tile, threads of a block).
    """
    return _measure(rungs, n, repeats) if driver.available() else {}


def _measure(rungs: dict[str, tuple], n: int, repeats: int) -> dict[str, float]:
    from minidl.kernels.cuda import products

    rng = np.random.default_rng(0)
    a, b = (asarray(rng.normal(size=(n, n)).astype(np.float32)) for _ in range(2))
    out = empty((n, n), np.float32)
    ways = {
        name: lambda run=kernel[(n // side, n // side), threads]: run(a, b, out, n)
        for name, (kernel, side, threads) in rungs.items()
    }
    ways["minidl"] = lambda: products.matmul(a, b, out=out)
    found = {}
    for name, run in ways.items():
        run()  # compiles
        start = driver.Event()
        for _ in range(repeats):
            run()
        milliseconds = driver.Event().milliseconds_since(start) / repeats
        found[name] = 2 * n**3 / milliseconds / 1e9
    return found


# The machine


def machine() -> Picture:
    """A launch on the left, and where its parts live on the right."""
    picture = Picture(
        790,
        318,
        alt="""Left, a grid of blocks; one block is drawn large: eight warps of 32 threads. Right, where they
        run: a thread has registers, a block shared memory, all blocks the global memory.""",
    )
    picture.text(10, 20, "a launch: grid of blocks", bold=True)
    for row in range(3):
        for column in range(4):
            chosen = (row, column) == (1, 2)
            picture.rect(
                10 + 50 * column,
                34 + 50 * row,
                42,
                42,
                fill=ORANGE if chosen else "none",
                stroke=ORANGE if chosen else GREY,
                opacity=0.8 if chosen else 1,
            )
    picture.line([152, 236], [84, 34], ORANGE, 1.5).line([152, 236], [126, 218], ORANGE, 1.5)
    picture.text(236, 20, "a block: 8 warps", bold=True)
    picture.rect(236, 34, 210, 184, stroke=ORANGE, width=2)
    for warp in range(8):
        y = 46 + 22 * warp
        color = BLUE if warp == 3 else GREY
        picture.points(246 + 6.2 * np.arange(32), np.full(32, y), color, 2.4, "none")
    picture.text(236, 238, "a warp: 32 threads,", 13, color=BLUE, bold=True)
    picture.text(236, 256, "one instruction for all", 13, color=BLUE, bold=True)
    picture.text(10, 206, "each block goes to one", 13).text(10, 224, "multiprocessor, and stays", 13)
    _memories(picture)
    return picture


def _memories(picture: Picture) -> None:
    """The three kinds of memory, each below what can see it."""
    left, wide = 478, 296
    picture.text(left, 20, "a multiprocessor", bold=True)
    picture.rect(left, 34, wide, 134, stroke=GREY, width=2, radius=8)
    for part in range(4):
        picture.rect(left + 12 + 69 * part, 46, 62, 44, fill=BLUE, stroke="none", radius=4, opacity=0.2)
        picture.text(left + 43 + 69 * part, 60, "32 units", 12, "middle", "middle")
        picture.text(left + 43 + 69 * part, 78, "registers", 12, "middle", "middle", bold=True)
    picture.rect(left + 12, 112, 269, 44, fill=GREEN, stroke="none", radius=4, opacity=0.25)
    picture.text(left + 146, 134, "shared memory: one block's", 13, "middle", "middle", bold=True)
    picture.arrow(left + 146, 92, left + 146, 110, width=2).arrow(left + 146, 110, left + 146, 92, width=2)
    picture.text(left + 156, 105, "32 words a cycle", 11)
    picture.arrow(left + 146, 170, left + 146, 204, width=2).arrow(left + 146, 204, left + 146, 170, width=2)
    picture.text(left + 156, 191, "in sectors of 32 bytes", 12)
    picture.rect(left, 206, wide, 44, fill=GREY, stroke="none", radius=4, opacity=0.25)
    picture.text(left + 148, 228, "global memory: all see it", 13, "middle", "middle", bold=True)
    picture.text(left, 272, "H100 SXM: 132 multiprocessors, each with 256 kB", 12)
    picture.text(left, 290, "of registers, up to 228 kB shared; 80 GB global", 12)


def plot_sectors(walks: dict[str, ArrayLike], columns: int = 32) -> plt.Figure:
    """A matrix in memory: the numbers that a warp wants, and the sectors of eight that travel for them.

    walks: name -> the places (flat, row by row) that the 32 threads read at once.
    """
    colors = ListedColormap(["white", "#a5cdea", ORANGE])
    fig, panels = plt.subplots(1, len(walks), figsize=(7.6, 3.9), sharey=True)
    for ax, (name, places) in zip(panels, walks.items(), strict=True):
        memory = np.zeros((columns, columns))
        sectors = np.unique(np.asarray(places) // 8)
        memory.reshape(-1, 8)[sectors] = 1
        memory.ravel()[np.asarray(places)] = 2
        ax.imshow(memory, colors, vmin=0, vmax=2)
        for edge in range(8, columns, 8):
            ax.axvline(edge - 0.5, color=GREY, linewidth=0.6)
        ax.set_title(f"{name}: {len(sectors)} sectors", fontsize=11)
        ax.set(xlabel="column", xticks=range(0, columns, 8), yticks=range(0, columns, 8))
    panels[0].set_ylabel("row")
    entries = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (ORANGE, "#a5cdea")]
    fig.legend(entries, ["wanted", "travels too"], loc="outside lower center", ncols=2)
    return fig


# The tiling animator

SIZE = 16  # numbers along a side of the matrices
CELL, TOP, LEFT = 13, 44, 12  # pixels: a number, the top of B, the left of A
SIDE = CELL * SIZE
RIGHT, BELOW = LEFT + SIDE + 28, TOP + SIDE + 34  # left of B and C, top of A and C


def animator(tile: int = 4) -> Widget:
    """Which numbers does a block read in a step? Play walks through the steps, then through the blocks."""
    state = SimpleNamespace(tile=tile, block=0, at=0)

    def start(state) -> None:
        state.block = state.at = 0

    def step(state) -> None:
        blocks = _tiles(state.tile)
        state.at += 1
        if state.at == blocks:
            state.block, state.at = state.block + 1, 0
        if state.block == blocks**2:
            state.block, state.at = blocks**2 - 1, blocks - 1
            raise StopIteration

    def skip(state) -> None:
        state.block, state.at = (state.block + 1) % _tiles(state.tile) ** 2, 0

    controls = [
        button("Next block", skip),
        slider("tile", "side of a tile", 1, SIZE, tile, on_change=start),
    ]
    return Widget(state, _draw_tiling, controls, step=step, reset=start, describe=_describe_tiling, fps=4)


def tiling(tile: int = 4, block: int = 6, at: int = 1) -> Picture:
    """The animator's three matrices, standing still."""
    state = SimpleNamespace(tile=tile, block=block, at=at)
    picture = Picture(RIGHT + SIDE + 12, BELOW + SIDE + 12, alt=_describe_tiling(state))
    _draw_matrices(picture, state)
    for line, words in enumerate(("a block makes the", "orange tile of C = A B;", "in this step it", "has")):
        picture.text(LEFT, TOP + 16 + 20 * line, words, 14)
    picture.text(LEFT + 30, TOP + 76, "the blue tiles", 14, color=BLUE, bold=True)
    picture.text(LEFT, TOP + 96, "in shared memory;", 14)
    picture.text(LEFT, TOP + 126, "framed: what one of its", 14)
    picture.text(LEFT, TOP + 146, "threads needs of them", 14)
    return picture


def _tiles(tile: int) -> int:
    """Tiles along a side; the last may be cut off."""
    return -(-SIZE // tile)


def _spans(state) -> tuple[tuple[int, int], ...]:
    """First and last + 1 of the block's rows, its columns, and this step's k."""
    row, column = divmod(state.block, _tiles(state.tile))
    return tuple((i * state.tile, min(SIZE, (i + 1) * state.tile)) for i in (row, column, state.at))


def fetched(tile: int) -> int:
    """Numbers that all blocks together fetch from global memory."""
    return 2 * SIZE**2 * _tiles(tile)


def _so_far(state) -> tuple[int, int]:
    """Numbers fetched, and multiply-adds done, by this block, this step included."""
    (top, bottom), (left, right), (_, end) = _spans(state)
    height, width = bottom - top, right - left
    return end * (height + width), end * height * width


def _describe_tiling(state) -> str:
    rows, columns, steps = _spans(state)
    numbers, products = _so_far(state)
    return (
        f"Tiles of {state.tile} × {state.tile}: the block of {_named('row', rows)} and"
        f" {_named('column', columns)}, at k = {_range(steps)}, has fetched {numbers:,} numbers for"
        f" {products:,} multiply-adds. All blocks together fetch {fetched(state.tile):,}."
    )


def _range(span: tuple[int, int]) -> str:
    first, end = span
    return f"{first}" if end - first == 1 else f"{first}-{end - 1}"


def _named(word: str, span: tuple[int, int]) -> str:
    return f"{word} {_range(span)}" if span[1] - span[0] == 1 else f"{word}s {_range(span)}"


def _draw_tiling(state) -> Picture:
    state.at = min(state.at, _tiles(state.tile) - 1)
    picture = Picture(790, BELOW + SIDE + 12)
    _draw_matrices(picture, state)
    numbers, products = _so_far(state)
    lines = [
        ("this block, so far", "", None),
        (f"{numbers:,}", "from global memory", BLUE),
        (f"{2 * products:,}", "from shared memory", GREEN),
        (f"{products:,}", "multiply-adds", ORANGE),
        (f"{products / numbers:.2g}", "of them a number fetched", None),
    ]
    for row, (count, words, color) in enumerate(lines):
        y = TOP + 14 + 24 * row
        picture.text(LEFT, y, count, 14, bold=True, color=color)
        picture.text(LEFT + 52, y, words, 13)
    axes = picture.axes(
        (RIGHT + SIDE + 18, TOP - 34, 790 - RIGHT - SIDE - 24, 300),
        xlim=(0.5, SIZE + 0.5),
        ylim=(300, 12000),
        xlabel="side of a tile",
        ylabel="numbers fetched",
        title="all blocks together",
        xticks=[1, 4, 8, 12, 16],
        yticks={512: "512", 2048: "2,048", 8192: "8,192"},
        log="y",
    )
    sides = np.arange(1, SIZE + 1)
    axes.line(sides, [fetched(side) for side in sides], BLUE)
    axes.points([state.tile], [fetched(state.tile)], ORANGE, 7)
    return picture


def _draw_matrices(picture: Picture, state) -> None:
    rows, columns, steps = _spans(state)
    done = np.zeros((SIZE, SIZE))
    for block in range(state.block):
        i, j = divmod(block, _tiles(state.tile))
        done[i * state.tile :, j * state.tile :][: state.tile, : state.tile] = 1
    places = {"A": (LEFT, BELOW), "B": (RIGHT, TOP), "C": (RIGHT, BELOW)}
    for name, (x, y) in places.items():
        picture.rect(x, y, SIDE, SIDE, stroke=GREY)
        below = name == "A"
        picture.text(x + SIDE / 2, y - 8, f"{name}, 16 × 16" if below else name, 14, "middle", bold=True)
    (x, y), (right, above) = places["A"], places["B"]
    for i, j in np.argwhere(done):
        picture.rect(RIGHT + CELL * j, BELOW + CELL * i, CELL, CELL, fill=GREY, stroke="none", opacity=0.3)
    _tile(picture, x, y, rows, (0, steps[0]), BLUE, 0.18)
    _tile(picture, right, above, (0, steps[0]), columns, BLUE, 0.18)
    _tile(picture, x, y, rows, steps, BLUE, 0.75)
    _tile(picture, right, above, steps, columns, BLUE, 0.75)
    _tile(picture, RIGHT, BELOW, rows, columns, ORANGE, 0.85)
    for line in range(1, SIZE):
        for x, y in places.values():
            at = CELL * line
            picture.line([x, x + SIDE], [y + at, y + at], GREY, 0.5, 0.6)
            picture.line([x + at, x + at], [y, y + SIDE], GREY, 0.5, 0.6)
    _frame(picture, *places["A"], (rows[0], rows[0] + 1), steps)
    _frame(picture, *places["B"], steps, (columns[0], columns[0] + 1))
    _frame(picture, *places["C"], (rows[0], rows[0] + 1), (columns[0], columns[0] + 1))


def _tile(picture: Picture, x: float, y: float, rows, columns, color: str, opacity: float) -> None:
    high, wide = CELL * (rows[1] - rows[0]), CELL * (columns[1] - columns[0])
    if high and wide:
        at = x + CELL * columns[0], y + CELL * rows[0]
        picture.rect(*at, wide, high, fill=color, stroke="none", opacity=opacity)


def _frame(picture: Picture, x: float, y: float, rows, columns) -> None:
    """What thread 0 of the block needs or makes."""
    at = x + CELL * columns[0], y + CELL * rows[0]
    picture.rect(*at, CELL * (columns[1] - columns[0]), CELL * (rows[1] - rows[0]), stroke=None, width=2)


# Figures


def table(reports: dict[str, simulator.Report], compiled: dict[str, Compiled] = COMPILED) -> str:
    """The ladder, a line for each rung: what the trace counts, and what the compiler made."""
    head = f"{'':<16}{'FLOP a byte':>12}{'rounds':>8}{'registers':>11}{'spills':>8}{'share':>7}"
    lines = [
        f"{name:<16}{report.intensity:>12.1f}{rounds(report):>8.2f}"
        f"{compiled[name].registers:>11}{compiled[name].spills:>8}{compiled[name].share:>7.0%}"
        for name, report in reports.items()
    ]
    return "\n".join([head, *lines])


def plot_ladder(reports: dict[str, simulator.Report], compiled: dict[str, Compiled] = COMPILED) -> plt.Figure:
    """Three costs of each rung: FLOP a byte, rounds of shared memory, share of multiply-adds."""
    panels = {
        "FLOP a byte of\nglobal memory": [report.intensity for report in reports.values()],
        "rounds of shared memory\na multiply-add of a warp": [rounds(r) for r in reports.values()],
        "multiply-adds among the\ninner loop's instructions (%)": [
            100 * compiled[name].share for name in reports
        ],
    }
    formats = ("{:.1f}", "{:.2f}", "{:.0f}")
    fig, axes = plt.subplots(1, 3, figsize=(8, 3.1), sharey=True)
    names, colors = list(reports), (BLUE, GREEN, ORANGE)
    for ax, (title, values), color, form in zip(axes, panels.items(), colors, formats, strict=True):
        ax.barh(range(len(names)), values, color=color, height=0.65)
        for at, value in enumerate(values):
            ax.text(value, at, " " + form.format(value), va="center", fontsize=10)
        ax.set_xlim(0, 1.25 * max(values))
        ax.set_xlabel(title)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    fig.suptitle("Fewer bytes first, then fewer other instructions", fontsize=12, weight="bold")
    return fig


STYLES = ((GREY, "s"), (BLUE, "o"), (PURPLE, "v"), (GREEN, "^"), (ORANGE, "D"))
WARPS_A_CYCLE = 4
"""Multiply-adds of a warp that a multiprocessor starts in a cycle; its shared memory serves one round."""


def ceilings(intensity: float, rounds: float, share: float, card: Card = H100) -> dict[str, float]:
    """FLOP a second at most: what memory feeds (without caches), what shared memory feeds, and what the
    other instructions leave room for. The lowest binds."""
    return {
        "memory": card.bytes * intensity,
        "shared memory": card.flop / (WARPS_A_CYCLE * rounds) if rounds else np.inf,
        "instructions": card.flop * share,
    }


def plot_roofline(
    intensity: dict[str, float],
    reports: dict[str, simulator.Report],
    measured: dict[str, float] | None = None,
    compiled: dict[str, Compiled] = COMPILED,
    card: Card = H100,
) -> plt.Figure:
    """The roof of a card, and under it a ceiling for each rung; with `measured` (TFLOP/s), its real speed."""
    fig, ax = plt.subplots(figsize=(7.6, 4.4))
    ridge = card.flop / card.bytes
    xs = np.array([0.1, ridge, 200])
    ax.plot(xs, np.minimum(card.bytes * xs, card.flop) / 1e12, color=INK)
    ax.text(1.0, 2.1, f"memory: {card.bytes / 1e12:g} TB/s", rotation=33, rotation_mode="anchor")
    ax.text(ridge * 1.15, card.flop / 1e12 * 1.1, f"arithmetic: {card.flop / 1e12:g}")
    for (name, x), (color, marker) in zip(intensity.items(), STYLES, strict=False):
        bounds = ceilings(x, rounds(reports[name]), compiled[name].share, card)
        what = min(bounds, key=bounds.get)
        y = bounds[what] / 1e12
        ax.plot([x, x], [0.1, y], color=color, linewidth=1, linestyle=":")
        ax.plot(x, y, marker, color=color, markersize=9, linestyle="none", label=f"{name}: {y:.1f}, {what}")
        if measured:
            ax.plot(x, measured[name], "*", color=color, markersize=15, markeredgecolor=INK)
    ax.set(xscale="log", yscale="log", xlim=(0.1, 200), ylim=(0.3, 130))
    ax.set(xlabel="FLOP a byte of global memory", ylabel="TFLOP a second")
    ax.set_title(f"At most, on an {card.name} by its data sheet")
    ax.legend(loc="upper left", title="TFLOP a second at most, and why", title_fontsize=10)
    if measured:
        ax.text(0.12, 0.36, f"★ measured on {driver.device_name()}", fontsize=10)
    return fig


def plot_addresses(base: Callable, offset: Callable, side: int = 5, kernel: int = 3) -> plt.Figure:
    """The matrix of windows as addresses (taps, pixels): each is its row's offset plus its column's base.

    base(pixel, C, H, P) and offset(tap, H, K) are the notebook's; ValueError if they do not find the windows.
    """
    wide = side - kernel + 1  # places along a side of the response
    bases, offsets = base(np.arange(wide**2), 1, side, wide), offset(np.arange(kernel**2), side, kernel)
    places = offsets[:, None] + bases
    picture = np.arange(side**2).reshape(side, side)
    windows = np.lib.stride_tricks.sliding_window_view(picture, (kernel, kernel))
    if not np.array_equal(places, windows.reshape(wide**2, kernel**2).T):
        raise ValueError("plot_addresses: base + offset is not where the windows' numbers are.")
    fig, ax = plt.subplots(figsize=(7.2, 4.2))
    grid = np.full((len(offsets) + 1, len(bases) + 1), np.nan)
    grid[1:, 1:] = 0
    ax.imshow(grid, ListedColormap(["#d6e8f6"]), aspect="auto")
    for row, place in enumerate(offsets, start=1):
        ax.text(0, row, f"{place}", ha="center", va="center", color=ORANGE, weight="bold")
    for column, place in enumerate(bases, start=1):
        ax.text(column, 0, f"{place}", ha="center", va="center", color=BLUE, weight="bold")
    for (row, column), place in np.ndenumerate(places):
        ax.text(column + 1, row + 1, f"{place}", ha="center", va="center", fontsize=9, color=INK)
    ax.text(0, 0, "+", ha="center", va="center", weight="bold")
    ax.set(xticks=[], yticks=[], ylabel="tap of the kernel (k): offset")
    ax.set_xlabel(f"pixel of the response, {wide} × {wide}: base")
    ax.set_title(f"The windows of a {side} × {side} picture, as addresses")
    return fig
