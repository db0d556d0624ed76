"""What a launch costs, line by line: the profiler that needs no GPU.

A warp of 32 lanes executes a line at once, whether all of them take part or one. What it asks of memory
travels in pieces: global memory in sectors of 32 bytes, shared memory in rounds in which each of 32 banks
serves one word of 4 bytes. So good code lets neighbours read neighbouring places (few sectors), and lets the
lanes of a warp meet in different banks (few rounds).

Sectors are counted as a warp asks for them. Caches, which may spare the way to memory, are not simulated.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field, fields

import numpy as np

from minidl.kernels.cuda.simulator.machine import WARP, Machine

SECTOR = 32
"""Bytes that global memory moves at least."""
BANKS = 32
"""Words of 4 bytes that shared memory serves in one round."""
WORD = 4


@dataclass
class Counts:
    """What a line, or a whole launch, has cost."""

    warps: int = 0
    """Times that a warp has executed it."""
    lanes: int = 0
    """Threads that took part, over all those times."""
    flop: int = 0
    """Floating-point operations: +, -, *, /, and functions such as exp, one each."""
    fused: int = 0
    """Multiplications whose product is added at once: two of the operations, one instruction."""
    loaded: int = 0
    stored: int = 0
    """Bytes that threads have read from and written to global memory."""
    sectors: int = 0
    """Sectors of global memory that travelled for that."""
    needed_sectors: int = 0
    """Sectors that would have been enough, were the bytes of each warp beside each other."""
    shared_loaded: int = 0
    shared_stored: int = 0
    """Bytes that threads have read from and written to shared memory."""
    rounds: int = 0
    """Rounds in which shared memory served them."""
    needed_rounds: int = 0
    """Rounds that would have been enough without bank conflicts."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)))

    @property
    def active(self) -> float:
        """Share of the lanes of its warps that took part; 1 is best, 1/32 the worst."""
        return self.lanes / (WARP * self.warps) if self.warps else 1.0

    @property
    def coalesced(self) -> float:
        """Sectors that would have been enough / sectors that travelled; 1 is best."""
        return self.needed_sectors / self.sectors if self.sectors else 1.0

    @property
    def conflict(self) -> float:
        """Rounds of shared memory / rounds that would have been enough; 1 is best, 32 the worst."""
        return self.rounds / self.needed_rounds if self.needed_rounds else 1.0

    @property
    def global_bytes(self) -> int:
        """Bytes that travelled between global memory and the multiprocessors, without caches."""
        return SECTOR * self.sectors

    @property
    def intensity(self) -> float:
        """Floating-point operations for each byte that travelled."""
        return self.flop / self.global_bytes if self.global_bytes else 0.0


COLUMNS = {
    "warps": lambda c: f"{c.warps:,}" if c.warps else "",
    "active": lambda c: f"{c.active:.0%}" if c.warps else "",
    "FLOP": lambda c: f"{c.flop:,}" if c.flop else "",
    "sectors": lambda c: f"{c.sectors:,}" if c.sectors else "",
    "coalesced": lambda c: f"{c.coalesced:.0%}" if c.sectors else "",
    "rounds": lambda c: f"{c.rounds:,}" if c.rounds else "",
    "conflict": lambda c: f"x{c.conflict:.1f}" if c.rounds else "",
}
POOR = {
    "active": lambda c: c.warps and c.active < 0.75,
    "coalesced": lambda c: c.sectors and c.coalesced < 0.75,
    "conflict": lambda c: c.rounds and c.conflict >= 1.5,
}
"""Numbers that deserve a look: marked with a star."""
WORDS = (
    "warps: times that a warp of 32 threads executed the line. active: how many of the 32 took part. "
    "sectors: pieces of 32 bytes that travelled from or to global memory. coalesced: how many of them would "
    "have been enough. rounds: turns of shared memory. conflict: how many times more than without conflicts."
)


@dataclass
class Report:
    """What a launch of the kernel `name` has cost. `str(report)` is a table, as is its look in a notebook."""

    name: str
    _lines: dict = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """All lines together."""
        return sum((c for c in self._lines.values()), Counts())

    def line(self, text: str) -> Counts:
        """The counts of the lines of source that contain a text."""
        found = [c for (program, n), c in self._lines.items() if text in program.source(n)]
        if not found:
            raise KeyError(f"{self.name}: no line that was executed contains {text!r}")
        return sum(found, Counts())

    def __getattr__(self, name: str):
        """report.flop and so on: that of all lines."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.total, name)

    def __str__(self) -> str:
        rows = [[number, *cells, text] for number, cells, text in self._rows()]
        head = ["", *COLUMNS, "line"]
        widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head) - 1)]
        lines = [
            "  ".join([*(c.rjust(w) for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip()
            for row in [head, *rows]
        ]
        note = ["* is worth a look"] if any("*" in cell for row in rows for cell in row[1:-1]) else []
        return "\n".join([*lines, "", self._summary(), *note])

    def _summary(self) -> str:
        c = self.total
        shared = f", bank conflicts x{c.conflict:.1f}" if c.rounds else ""
        shares = f"{c.active:.0%} active, {c.coalesced:.0%} coalesced{shared}"
        return (
            f"{self.name}: {c.flop:,} FLOP ({2 * c.fused:,} in fused multiply-adds), {c.global_bytes:,} "
            f"bytes travelled, {c.intensity:.2f} FLOP a byte; {shares}"
        )

    def _rows(self) -> Iterator[tuple[str, list[str], str]]:
        """(number of the line, cells, source) for every line of all functions that ran."""
        programs = dict.fromkeys(program for program, _ in self._lines)
        for program in programs:
            for n, text in enumerate(program.lines, program.first):
                counts = self._lines.get((program, n), Counts())
                cells = [
                    make(counts) + ("*" if name in POOR and POOR[name](counts) else "")
                    for name, make in COLUMNS.items()
                ]
                yield str(n), cells, text

    def _repr_html_(self) -> str:
        number = "text-align:right;padding:0 .6em;white-space:nowrap"
        source = "text-align:left;white-space:pre;font-family:monospace"
        head = "".join(f'<th style="{number}">{name}</th>' for name in ["", *COLUMNS])
        body = []
        for n, cells, text in self._rows():
            marked = [f"<b>{c}</b>" if c.endswith("*") else c for c in cells]
            numbers = "".join(f'<td style="{number}">{c}</td>' for c in [n, *marked])
            body.append(f'<tr>{numbers}<td style="{source}">{html.escape(text)}</td></tr>')
        table = f'<table><tr>{head}<th style="{source}">line</th></tr>{"".join(body)}</table>'
        return f"{table}<p>{html.escape(self._summary())}</p><p><small>{WORDS}</small></p>"


class Recorder:
    """Collects a `Report` while blocks run."""

    def __init__(self, name: str):
        self.report = Report(name)

    def _counts(self, machine: Machine) -> Counts:
        return self.report._lines.setdefault(machine.where, Counts())

    def line(self, machine: Machine, mask) -> None:
        """A line is executed by these lanes."""
        counts = self._counts(machine)
        counts.warps += (
            machine.blocks * machine.warps if mask.full else _distinct(machine.warp_of[mask.places])
        )
        counts.lanes += mask.count

    def operation(self, machine: Machine, out, mask, fused: bool) -> None:
        """Arithmetic."""
        if getattr(out, "dtype", None) in (np.float32, np.float64):
            counts = self._counts(machine)
            counts.flop += mask.count
            counts.fused += mask.count if fused else 0

    def access(self, machine: Machine, array, kind: str, position, mask, width: int) -> None:
        """An access to global or shared memory, `width` neighbours for each lane."""
        size = array.dtype.itemsize
        first = np.broadcast_to(position, mask.count) * size
        warp = machine.warp_of if mask.full else machine.warp_of[mask.places]
        record = self._global if array.space == "global" else self._shared
        record(self._counts(machine), kind, warp, first + array.address % SECTOR, width * size, size)

    @staticmethod
    def _global(counts: Counts, kind: str, warp, first, nbytes: int, size: int) -> None:
        if kind != "store":
            counts.loaded += nbytes * len(first)
        if kind != "load":
            counts.stored += nbytes * len(first)
        pieces = -(-nbytes // SECTOR) + (nbytes > size)  # how many sectors one lane touches at most
        last = (first + nbytes - 1) // SECTOR
        sectors = np.minimum(first[:, None] // SECTOR + np.arange(pieces), last[:, None])
        counts.sectors += len(np.unique(_keys(warp, sectors)))
        elements = first[:, None] // size + np.arange(nbytes // size)
        owner = np.unique(_keys(warp, elements)) >> SHIFT
        counts.needed_sectors += int((-(-np.bincount(owner) * size // SECTOR)).sum())

    @staticmethod
    def _shared(counts: Counts, kind: str, warp, first, nbytes: int, size: int) -> None:
        """A round serves 32 words; wide accesses are served in halves or quarters of a warp."""
        if kind != "store":
            counts.shared_loaded += nbytes * len(first)
        if kind != "load":
            counts.shared_stored += nbytes * len(first)
        words = -(-nbytes // WORD)
        part = warp * words + _place_in_warp(warp) * words // WARP
        pairs = np.unique(_keys(part, first[:, None] // WORD + np.arange(words)))
        owner, bank = pairs >> SHIFT, (pairs & ((1 << SHIFT) - 1)) % BANKS
        of_bank = np.bincount(owner * BANKS + bank, minlength=(int(owner[-1]) + 1) * BANKS).reshape(-1, BANKS)
        counts.rounds += int(of_bank.max(1).sum())
        counts.needed_rounds += int((-(-of_bank.sum(1) // BANKS)).sum())


SHIFT = 40
"""Bits for a place, below those for a warp."""


def _keys(owner: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(owner, place) as one number each, as many places a lane as there are columns."""
    return ((owner[:, None] << SHIFT) + places).ravel()


def _place_in_warp(warp: np.ndarray) -> np.ndarray:
    """The how manyth of the lanes of its warp that take part each one is."""
    return np.arange(len(warp)) - np.searchsorted(warp, warp)


def _distinct(sorted_numbers: np.ndarray) -> int:
    """How many different numbers, of those in order."""
    return int(np.count_nonzero(np.diff(sorted_numbers))) + 1
