"""Exercises of notebook 19: a thread's place, ragged edges, a transpose, a sum, larger tiles."""

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minidl.course import diagnose
from minidl.course.exercise import Exercise, Mistake
from minidl.kernels.cuda import simulator
from minidl.kernels.cuda.driver import cuda, float32
from minidl.viz.lessons.gpu import rounds, traced

WARP, THREADS = 32, 256


def _launch(kernel: Callable, grid, block, *args) -> simulator.Report | str:
    """The trace of a kernel, or what is wrong with it."""
    try:
        return traced(kernel, grid, block, *args)
    except simulator.KernelError as error:
        return f"{type(error).__name__} in {error}"


def _lines(kernel: Callable, report: simulator.Report) -> Iterator[tuple[str, Any]]:
    """The lines of a kernel that were executed, with their counts."""
    for text in inspect.getsource(getattr(kernel, "function", kernel)).splitlines():
        try:
            yield text.strip(), report.line(text.strip() or "\n")
        except KeyError:
            continue


def _index_advice(report: str, outside: str) -> str:
    """What to say before a BadIndex: a flat array takes one index, or `outside` of a place that is not."""
    if re.search(r"[2-9] indices for \w+, which has shape \(\d+,\)", report):
        return "this array is flat and takes one index; a matrix lies in it as row * columns + column. "
    if "not a whole number" in report:
        return "a place is a whole number, so divide by // (as in half //= 2): / makes a fraction. "
    return outside if re.search(r": index -?\d+ ", report) else ""


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + sum(shape)).normal(size=shape).astype(np.float32)


def _nothing(*shape: int) -> np.ndarray:
    """A place for results: what is still nan afterwards nobody has written."""
    return np.full(shape, np.nan, np.float32)


# 19.1  A thread's place


def place(bx, by, tx, ty, width, height, columns):
    """The place in a matrix, row by row, that belongs to a thread of a block."""
    row, column = by * height + ty, bx * width + tx
    return row * columns + column


def _place(change: Callable) -> Callable:
    """An answer that makes (row, column, columns) of the arguments, with one fault."""

    def answer(bx, by, tx, ty, width, height, columns):
        row, column, pitch = change(bx, by, tx, ty, width, height, columns)
        return row * pitch + column

    return answer


PLACE = Exercise(
    "19.1",
    reference=place,
    cases=[
        (0, 0, 5, 3, 32, 8, 100),
        (2, 3, 1, 7, 16, 16, 77),
        (1, 0, 4, 2, 32, 8, 60),
        (0, 5, 0, 0, 8, 4, 9),
    ],
    mistakes=[
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (bx * w + tx, by * h + ty, n)),
            "x and y are swapped: x counts columns, and the row is what is multiplied by `columns`",
        ),
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (ty, tx, n)),
            "all blocks get the same places: `bx` and `by` are not used",
        ),
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (by + ty, bx + tx, n)),
            "a block is `width` × `height` threads: block bx begins at column bx · width, not at bx",
        ),
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (by * w + ty, bx * w + tx, n)),
            "right along x; along y a block has `height` rows, not `width`",
        ),
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (by * h + ty, bx * h + tx, n)),
            "right along y; along x a block has `width` columns, not `height`",
        ),
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (by * w + ty, bx * h + tx, n)),
            "width and height are swapped: `bx` goes with `width`, `by` with `height`",
        ),
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (bx * w + tx, by * h + ty, 1)),
            "row and column are added: a row below lies `columns` places further",
        ),
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (by * h + ty, bx * w + tx, w)),
            "a row of the matrix has `columns` numbers; `width` is that of a block",
        ),
        Mistake(
            _place(lambda bx, by, tx, ty, w, h, n: (ty + bx * h, tx, w)),
            "this counts threads block by block; memory lies row by row through the whole matrix",
        ),
    ],
    hints=[
        "In which column of the matrix does block `bx` begin, if each block before it has `width` columns?",
        "`column = bx * width + tx`, and the same with y for the row. How many numbers lie before that row?",
        "`row * columns + column`.",
    ],
    reasoning="""
    Blocks before this one have used bx · width columns and by · height rows; inside the block the thread
    stands tx further right and ty further down. That is what `cuda.grid(2)` computes, in the order (x, y). A
    matrix lies row by row: `row` whole rows of `columns` numbers come before ours, then `column` numbers of
    it. Since tx has the factor 1, neighbouring threads have neighbouring places: coalesced.
    """,
    praise="Right, and neighbours in x are neighbours in memory.",
)

# 19.2  The ragged edge

EDGE_BLOCK = 32, 8
SHAPES = [(16, 64), (37, 70), (5, 3)]


def grid(rows, columns):
    """Blocks of 32 x 8 threads along x and y that cover a matrix."""
    return -(-columns // 32), -(-rows // 8)


def add_bias(x, bias, out, rows, columns):
    """out = x + bias, a thread for each number."""
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        out[row * columns + column] = x[row * columns + column] + bias[column]


def _judge_grid(answer: Callable) -> str | None:
    for rows, columns in SHAPES:
        given = answer(rows, columns)
        wide, high = EDGE_BLOCK
        want = grid(rows, columns)
        if not isinstance(given, tuple | list) or len(given) != 2:
            found = diagnose.short(given)
            return f"grid({rows}, {columns}) returns {found}: give two numbers, blocks along x and y"
        given = tuple(given)
        say = f"grid({rows}, {columns}) gives {diagnose.short(given)}: "
        if not all(isinstance(each, int | np.integer) for each in given):
            return say + "blocks are whole numbers: use //, rounding up"
        if given == want:
            continue
        if given == want[::-1]:
            return say + "x comes first, and x counts columns"
        if given == (columns, rows):
            return say + "these are threads. A grid is counted in blocks, of 32 × 8 threads"
        if given == (columns // wide, rows // high):
            return say + "rounded down, so the rest of the columns and rows has no thread. Round up"
        if given == (columns // wide + 1, rows // high + 1):
            return say + "one block too many where the size is a multiple of 32: round up by (n + 31) // 32"
        if given == (-(-columns // high), -(-rows // wide)):
            return say + "a block is 32 wide and 8 high, not the other way round"
        if given == (-(-rows // wide), -(-columns // high)):
            return say + "rows and columns are swapped: along x columns / 32, along y rows / 8"
        few = given[0] < want[0] or given[1] < want[1]
        return say + f"{'too few blocks for the matrix' if few else 'more blocks than the matrix needs'}"
    return None


def _judge_bias(kernel: Callable) -> str | None:
    often = 0  # times that each number is written
    for rows, columns in SHAPES:
        x, bias, out = _numbers(rows, columns), _numbers(columns), _nothing(rows, columns)
        report = _launch(kernel, grid(rows, columns), EDGE_BLOCK, x, bias, out, rows, columns)
        where = f"on {rows} × {columns}"
        if isinstance(report, str):
            return f"{where}: {_index_advice(report, 'a thread beyond the edge reads or writes. ')}{report}"
        if problem := _wrong_bias(x, bias, out):
            return f"{where}: {problem}"
        often = often or report.stored // out.nbytes  # on 16 × 64 none stands beyond an edge
        if report.stored > often * out.nbytes:
            return (
                f"{where}: the numbers are right, but some are written twice: threads beyond the right edge"
                " work on the next row. Ask for row *and* column"
            )
        if columns % 8 == 0 and report.coalesced < 0.9:
            return (
                f"the numbers are right, but only {report.coalesced:.0%} of what travels is of use:"
                " neighbours in x must be neighbours in a row"
            )
    return None


def _wrong_bias(x: np.ndarray, bias: np.ndarray, out: np.ndarray) -> str | None:
    missing = np.isnan(out)
    if missing.all():
        return "nothing was written to `out`"
    if missing.any():
        if missing[-1].all() and not missing[:-1].any():
            return "the last row is missing: the guard is `row < rows`, not `rows - 1`"
        if missing[:, -1].all() and not missing[:, :-1].any():
            return "the last column is missing: the guard is `column < columns`, not `columns - 1`"
        if not missing[0].any() and missing[1:].all():
            return "only the first row was written: threads have a row too. Both are in cuda.grid(2)"
        return (
            f"{int(missing.sum())} numbers were never written. cuda.grid(2) gives x first, the column: are"
            " row and column swapped there, or in the guard?"
        )
    if np.allclose(out, x + bias, atol=1e-5):
        return None
    if np.allclose(out, x, atol=1e-5):
        return "this is x: the bias is not added"
    by_row = bias[np.minimum(np.arange(len(x)), len(bias) - 1)]
    if np.allclose(out, x + by_row[:, None], atol=1e-5):
        return "the bias of the row was added: it has one number for each column"
    mine, due = (diagnose.short(each.ravel()[:2]) for each in (out, x + bias))
    return f"wrong numbers: {mine} where {due} is due"


def _judge_edge(answer: dict) -> str | None:
    if not isinstance(answer, dict) or set(answer) != {"grid", "kernel"}:
        return 'give {"grid": grid, "kernel": add_bias}'
    if any(diagnose.blank(part) or diagnose.unfinished(part) for part in answer.values()):
        raise NotImplementedError
    return _judge_grid(answer["grid"]) or _judge_bias(answer["kernel"])


EDGE = Exercise(
    "19.2",
    reference={"grid": grid, "kernel": add_bias},
    judge=_judge_edge,
    hints=[
        "70 columns need how many blocks of 32? And 64? Which whole-number division gives both?",
        "`(columns + 31) // 32` along x, `(rows + 7) // 8` along y. Threads beyond the edge must do nothing.",
        "`column, row = cuda.grid(2)`, then `if row < rows and column < columns:`; arrays are flat.",
    ],
    reasoning="""
    Rounding up: `(n + 31) // 32`, or `-(-n // 32)`. The last block hangs over the edge, so each thread asks
    whether its own row *and* column exist. One test of the flat place would not do: a thread beyond the right
    edge would write into the next row.
    """,
    praise="Right on all sizes: no thread too few, and those too many do nothing.",
    code="\n\n\n".join(inspect.getsource(part).rstrip() for part in (grid, add_bias)),
)

# 19.3  Transpose

SQUARE = 32, 32


def transpose(x, out, rows, columns):
    """out (columns, rows) = x (rows, columns) transposed, through a padded tile of shared memory."""
    tile = cuda.shared.array((32, 33), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    if row < rows and column < columns:
        tile[ty, tx] = x[row * columns + column]
    cuda.syncthreads()
    column, row = cuda.blockIdx.y * 32 + tx, cuda.blockIdx.x * 32 + ty  # of out
    if row < columns and column < rows:
        out[row * rows + column] = tile[tx, ty]


def _judge_transpose(answer: Callable) -> str | None:
    for rows, columns in [(64, 96), (50, 70)]:
        x, out = _numbers(rows, columns), _nothing(columns, rows)
        blocks = -(-columns // 32), -(-rows // 32)
        report = _launch(answer, blocks, SQUARE, x, out, rows, columns)
        where = f"on {rows} × {columns}"
        if isinstance(report, str):
            return f"{where}: {_index_advice(report, '')}{report}"
        if problem := _wrong_transpose(x, out):
            return f"{where}: {problem}"
        if columns == 96 and (problem := _slow_transpose(answer, report)):
            return problem
    return None


def _tiles_of(x: np.ndarray, turned: bool, moved: bool) -> np.ndarray:
    """x (64, 96) with its tiles transposed each for itself, or moved to their transposed places, or both."""
    cut = x.reshape(2, 32, 3, 32).transpose(0, 2, 1, 3)  # (tile row, tile column, 32, 32)
    cut = cut.swapaxes(2, 3) if turned else cut
    cut = cut.swapaxes(0, 1) if moved else cut
    return cut.swapaxes(1, 2).reshape(cut.shape[0] * 32, cut.shape[1] * 32)


def _wrong_transpose(x: np.ndarray, out: np.ndarray) -> str | None:
    if np.array_equal(out, x.T):
        return None
    if np.isnan(out).all():
        return "nothing was written to `out`"
    if np.array_equal(out.ravel(), x.ravel()):
        return "this is a copy of x, place by place: nothing was turned"
    if x.shape == (64, 96):
        if np.array_equal(out, _tiles_of(x, turned=False, moved=True)):
            return "the tiles are in their new places, but none of them is turned: read tile[tx, ty]"
        if np.array_equal(out.ravel(), _tiles_of(x, turned=True, moved=False).ravel()):
            return "each tile is turned, but stands in its old place: blockIdx.x and y change places too"
    if np.isnan(out).any():
        return (
            f"{int(np.isnan(out).sum())} numbers of `out` were never written. `out` has `columns` rows and"
            " `rows` columns: its guard and its pitch are not those of x"
        )
    return "wrong numbers. `out` has `columns` rows of `rows` numbers each"


def _slow_transpose(kernel: Callable, report: simulator.Report) -> str | None:
    lines = list(_lines(kernel, report))
    for text, line in lines:
        if line.coalesced < 1:
            return (
                f"right, but not coalesced: in `{text}` {line.coalesced:.0%} of what travels is of use."
                " Neighbours in tx must be neighbours in memory, in x and in out: let the tile do the turning"
            )
    for text, line in lines:
        if line.conflict > 1:
            return (
                f"right and coalesced, but bank conflicts (x{line.conflict:.0f}) in `{text}`: a column of the"
                " tile lies in one bank. Make its rows 33 wide"
            )
    if report.coalesced < 1:
        used = f"{report.coalesced:.0%} of what travels is of use"
        return f"right, but not coalesced: {used}. It happens in a function that your kernel calls"
    if report.conflict > 1:
        times = f"bank conflicts (x{report.conflict:.1f})"
        return f"right and coalesced, but {times} in a function that your kernel calls"
    return None


TRANSPOSE = Exercise(
    "19.3",
    reference=transpose,
    judge=_judge_transpose,
    hints=[
        "Read a tile by rows of x into shared memory. Wait. Write it by rows of *out*. Who reads columns?",
        "Reading: as in 19.2. Writing: this block's tile begins in row 32 · blockIdx.x and column"
        " 32 · blockIdx.y of `out`. Thread (tx, ty) writes column tx of its row ty: which number is that?",
        "`tile[tx, ty]`, from `cuda.shared.array((32, 33), float32)`. Two guards, one for x and one for out,"
        " and the barrier between them, outside of both.",
    ],
    reasoning="""
    Directly, either the read or the write walks down a column: 32 sectors for 128 bytes. Shared memory has no
    sectors, so the walk down a column happens there. With rows of 32 words a column lies in one bank; with 33
    element (i, j) lies in bank (33 i + j) mod 32 = (i + j) mod 32, and both rows and columns meet all 32
    banks. The barrier must stand outside the guards: threads beyond the edge of x may still have to write.
    """,
    praise="Right: all accesses coalesced, no bank conflict, any size.",
)

# 19.4  A sum


def block_sum(x, out, n):
    """out[block] = the sum of the block's 256 numbers, in eight rounds."""
    room = cuda.shared.array(256, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    room[t] = x[i] if i < n else float32(0)
    cuda.syncthreads()
    step = 128
    while step > 0:
        if t < step:
            room[t] += room[t + step]
        cuda.syncthreads()
        step //= 2
    if t == 0:
        out[cuda.blockIdx.x] = room[0]


ADVICE = {
    "RaceError": "a barrier is missing before this line (or it stands elsewhere). ",
    "DivergentBarrier": "the barrier stands where only some threads come; all 256 must meet in each round. ",
    "Uninitialised": "threads beyond n must put a 0 into shared memory, or it is read as it was. ",
}


NTH = {2: "second", 4: "fourth", 8: "eighth", 32: "32nd"}


def _judge_sum(answer: Callable) -> str | None:
    n, blocks = 1000, 4
    x, old = _numbers(n), np.arange(5.0, 5.0 + blocks, dtype=np.float32)
    out = old.copy()
    report = _launch(answer, blocks, THREADS, x, out, n)
    if isinstance(report, str):
        if report.startswith("RaceError") and re.search(r" out\[\d+\]", report):
            return "many threads write the same place of `out`; let one thread do it, at the end. " + report
        if report.startswith("BadIndex"):
            return _index_advice(report, "an index leaves an array; is it i < n that guards x? ") + report
        return next((advice for kind, advice in ADVICE.items() if report.startswith(kind)), "") + report
    parts = np.pad(x, (0, blocks * THREADS - n)).reshape(blocks, THREADS)
    return _wrong_sum(parts, out, old) or _slow_sum(answer)


def _wrong_sum(parts: np.ndarray, out: np.ndarray, old: np.ndarray) -> str | None:
    def is_it(value):
        return np.allclose(out, value, atol=1e-3)

    if is_it(parts.sum(axis=1)):
        return None
    halves = {f"the first {1 << k}": parts[:, : 1 << k].sum(axis=1) for k in range(1, 8)} | {
        f"every {NTH.get(1 << k, f'{1 << k}th')}": parts[:, :: 1 << k].sum(axis=1) for k in range(1, 8)
    }
    if is_it(old):
        return "nothing was written to `out`"
    if is_it(old + parts.sum(axis=1)):
        return "the old numbers of `out` are added in: assign, do not add"
    if is_it(parts[:, 0]):
        return "this is the first number of each block: nothing was added to it"
    if found := next((name for name, value in halves.items() if is_it(value)), None):
        return f"only {found} of the 256 numbers are summed: the rounds begin or end in the wrong place"
    if np.isclose(out[0], parts[0].sum(), atol=1e-3):
        return "only the first block's sum is right: `cuda.grid(1)` counts through all blocks"
    if np.allclose(out[:-1], parts.sum(axis=1)[:-1], atol=1e-3):
        return "only the last block's sum is wrong: it has fewer than 256 numbers"
    return f"wrong sums: {diagnose.short(out)}, due are {diagnose.short(parts.sum(axis=1))}"


class _Additions(simulator.report.Recorder):
    """Counts operations by thread and by warp, wherever in a line they stand."""

    def __init__(self, blocks: int):
        super().__init__("sum")
        self.of_thread, self.of_warps = np.zeros(blocks * THREADS, int), 0

    def operation(self, machine, out, mask, fused: bool) -> None:
        if getattr(out, "dtype", None) in (np.float32, np.float64):
            lanes = np.arange(machine.lanes) if mask.full else mask.places
            self.of_thread[machine.identity[lanes]] += 1
            self.of_warps += len(np.unique(machine.warp_of[lanes]))


def _additions(kernel: Callable) -> tuple[int, int, int]:
    """In a block: additions of all threads, most of one thread, times that a warp adds."""
    blocks = 4
    count = _Additions(blocks)
    x, out = _numbers(1000), np.zeros(blocks, np.float32)
    simulator.trace(kernel, blocks, THREADS, (x, out, 1000), recorder=count)
    return int(count.of_thread.sum()) // blocks, int(count.of_thread.max()), count.of_warps // blocks


def _slow_sum(kernel: Callable) -> str | None:
    """One thread adds all, or all threads do."""
    work, most, _ = _additions(kernel)
    if work > 20 * THREADS:
        times = work // THREADS
        return f"right, but every thread adds all numbers: {times} times the work. Share it, in eight rounds"
    if most > 100:
        return "right, but one thread adds 256 numbers one after the other, and 255 wait: 256 rounds"
    return None


def _praise_sum(answer: Callable) -> str:
    adding = _additions(answer)[2]
    tail = " Twelve are enough." if adding > 12 else " No warp too many."
    return f"Right: no race, and {adding} times a warp adds in each block.{tail}"


SUM = Exercise(
    "19.4",
    reference=block_sum,
    judge=_judge_sum,
    hints=[
        "Put each thread's number into shared memory (0 beyond n), and wait. With `step` 128: if t < 128, add"
        " the number 128 places further. Wait. Then 64, 32 ...",
        "Two barriers: one after the first write, one in each round, *outside* of `if t < step:`, since all"
        " threads of the block must come to it.",
        "`while step > 0:` with `step //= 2` at its end; afterwards thread 0 writes `out[cuda.blockIdx.x]`.",
    ],
    reasoning="""
    In the round with `step`, threads below it read what others wrote in the round before: a barrier between.
    Within a round nobody reads what another writes, because the lower half reads the upper one. Counting
    down from 128 keeps the working threads together in whole warps (4, 2, 1, 1 ... of them add, twelve in
    all); the other order, `t % (2 * step) == 0`, is as right but has nearly all lanes of all warps asleep.
    """,
    praise=_praise_sum,
)

# 19.5  A product with larger tiles

N, MOST_SUMS, BAR_INTENSITY, BAR_ROUNDS = 128, 128, 16.0, 0.3


def build():
    """Tiles of 128 x 128 by 256 threads with 8 x 8 sums each: the product kernel, its tile, its threads."""

    def product(a, b, out, n):
        left = cuda.shared.array(1024, float32)
        right = cuda.shared.array(1024, float32)
        sums = cuda.local.array((8, 8), float32)
        x = cuda.local.array(8, float32)
        t = cuda.threadIdx.x
        tx, ty = t % 16, t // 16
        row, column = cuda.blockIdx.y * 128, cuda.blockIdx.x * 128
        for i in range(64):
            sums[i // 8, i % 8] = float32(0)
        for k0 in range(0, n, 8):
            for i in range(4):
                left[t + 256 * i] = a[(row + t // 8 + 32 * i) * n + k0 + t % 8]
                right[t + 256 * i] = b[(k0 + t // 128 + 2 * i) * n + column + t % 128]
            cuda.syncthreads()
            for k in range(8):
                for p in range(8):
                    x[p] = left[(ty + 16 * p) * 8 + k]
                for q in range(8):
                    y = right[k * 128 + tx + 16 * q]
                    for p in range(8):
                        sums[p, q] += x[p] * y
            cuda.syncthreads()
        for i in range(64):
            p, q = i // 8, i % 8
            out[(row + ty + 16 * p) * n + column + tx + 16 * q] = sums[p, q]

    return product, (128, 128), 256


@functools.lru_cache(64)
def _measure(answer: Callable) -> tuple[float, float, float] | str:
    """(FLOP a byte, rounds of shared memory a multiply-add, FLOP a byte at large n), or what is wrong."""
    built = answer()
    if not isinstance(built, tuple | list) or len(built) != 3:
        return "build() must return three things: the kernel, (rows, columns) of its tile, its threads"
    kernel, tile, threads = built
    if not callable(getattr(kernel, "function", kernel)):
        return "the first thing that build() returns is not a kernel"
    if not isinstance(tile, tuple | list) or len(tile) != 2:
        return f"the tile is {diagnose.short(tile)}: give two numbers, (rows, columns)"
    if not isinstance(threads, int | np.integer):
        return f"the threads are {diagnose.short(threads)}: one number, since all stand on one axis"
    rows, columns = tile
    if N % rows or N % columns:
        return f"a tile of {rows} × {columns} does not divide the {N} × {N} of the check"
    if rows * columns > MOST_SUMS * threads:
        return (
            f"{rows} × {columns} numbers by {threads} threads are {rows * columns // threads} sums a thread:"
            f" more than {MOST_SUMS} leave no registers for anything else, and spill into memory"
        )
    a, b, out = _numbers(N, N), _numbers(N, N)[::-1].copy(), _nothing(N, N)
    report = _launch(kernel, (N // columns, N // rows), threads, a, b, out, N)
    wrong = report if isinstance(report, str) else _wrong_product(a, b, out)
    if wrong and rows != columns:
        out = _nothing(N, N)
        other = _launch(kernel, (N // rows, N // columns), threads, a, b, out, N)
        if not isinstance(other, str) and not _wrong_product(a, b, out):
            return f"a tile of {columns} × {rows} fits the kernel: the order is (rows, columns)"
    return wrong or (report.intensity, rounds(report), rows * columns / (2 * (rows + columns)))


def _wrong_product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> str | None:
    if np.allclose(out, a @ b, atol=1e-2):
        return None
    if np.isnan(out).any():
        count = int(np.isnan(out).sum())
        return f"{count} numbers of C were never written: do tile and threads fit the kernel?"
    right = np.isclose(out, a @ b, atol=1e-2).mean()
    return f"wrong numbers: {right:.0%} of C are right"


def _judge_product(answer: Callable) -> str | None:
    found = _measure(answer)
    if isinstance(found, str):
        return found
    intensity, shared, _ = found
    if intensity < BAR_INTENSITY:
        return (
            f"right, with {intensity:.1f} FLOP a byte: the bar is {BAR_INTENSITY:g}. A larger tile reads"
            " less, if its loads are coalesced"
        )
    if shared > BAR_ROUNDS:
        return (
            f"right, with {intensity:.1f} FLOP a byte, but {shared:.2f} rounds of shared memory a"
            f" multiply-add: the bar is {BAR_ROUNDS}. More sums a thread, and no bank conflicts"
        )
    return None


def _praise_product(answer: Callable) -> str:
    intensity, shared, large = _measure(answer)
    return (
        f"{intensity:.1f} FLOP a byte, {shared:.2f} rounds a multiply-add."
        f" On large matrices R C / (2 (R + C)) = {large:.1f} FLOP a byte."
    )


PRODUCT = Exercise(
    "19.5",
    reference=build,
    judge=_judge_product,
    hints=[
        "Bytes depend on the block's tile, R × C: a step of k fetches R + C numbers for R · C multiply-adds."
        " A tile need not be square."
        " Rounds depend on the numbers a thread reads for its own sums.",
        "128 × 128 by 256 threads keeps 8 × 8 sums a thread. `tx = t % 16`, `ty = t // 16`; each owns every"
        " 16th row and column. Each thread now fetches 4 numbers of A and 4 of B for a depth of 8.",
        "A warp reads `t % 8` along k and four rows of A (full sectors), and 32 neighbours of a row of B."
        " Store them in the order of t, then no two lanes meet in a bank.",
    ],
    reasoning="""
    Rung 3 with four times the threads: the tile has twice the side, so each number that is fetched meets
    twice as many partners, 32 FLOP a byte on large matrices and 21 here, where C weighs more. The rounds do
    not change much, since a thread's 8 × 8 is the same: 16 reads for 64 multiply-adds, and a few stores.
    On a card the compiler and the registers decide the rest: try `load`, `load4`, two tiles in turn.
    """,
    praise=_praise_product,
)

EXERCISES = [PLACE, EDGE, TRANSPOSE, SUM, PRODUCT]
