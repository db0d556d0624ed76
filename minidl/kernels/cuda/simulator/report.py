"""What a launch costs, line by line: the profiler that needs no GPU.

A warp of 32 lanes executes a line at once, whether all of them take part or one. What it asks of memory
travels in pieces: global memory in sectors of 32 bytes, shared memory in rounds in which each of 32 banks
serves one word of 4 bytes. So good code lets neighbours read neighbouring places (few sectors), and lets the
lanes of a warp meet in different banks (few rounds).
"""

from __future__ import annotations

import html
import linecache
from dataclasses import dataclass, field

import numpy as np

from minidl.kernels.cuda.simulator.machine import WARP

SECTOR = 32
"""Bytes that global memory moves at least."""
BANKS = 32
"""Words of 4 bytes that shared memory serves in one round."""
ADDS = {"Add", "Sub", "Mult", "Div"}


@dataclass
class Line:
    """The counts of one line of source."""

    warps: int = 0
    lanes: int = 0
    flop: int = 0
    loaded: int = 0
    stored: int = 0
    sectors: int = 0
    needed_sectors: int = 0
    rounds: int = 0
    needed_rounds: int = 0

    @property
    def active(self) -> float:
        """Share of the lanes of its warps that took part."""
        return self.lanes / (WARP * self.warps) if self.warps else 0.0

    @property
    def coalesced(self) -> float | None:
        """Sectors that would have been enough / sectors that travelled; 1 is best."""
        return self.needed_sectors / self.sectors if self.sectors else None

    @property
    def conflict(self) -> float | None:
        """Rounds of shared memory / rounds that would have been enough; 1 is best, 32 the worst."""
        return self.rounds / self.needed_rounds if self.needed_rounds else None


@dataclass
class Report:
    """Counts of a launch. `lines`: number of the line in its file -> Line."""

    name: str
    lines: dict[tuple[str, int], Line] = field(default_factory=dict)

    def total(self, what: str) -> int:
        """A count summed over all lines, such as total("flop")."""
        return sum(getattr(line, what) for line in self.lines.values())

    @property
    def flop(self) -> int:
        """Floating-point operations."""
        return self.total("flop")

    @property
    def global_bytes(self) -> int:
        """Bytes that travelled between global memory and the multiprocessors, without caches."""
        return SECTOR * self.total("sectors")

    @property
    def intensity(self) -> float:
        """FLOP a byte of global memory."""
        return self.flop / self.global_bytes if self.global_bytes else 0.0

    @property
    def coalesced(self) -> float:
        """Sectors that would have been enough / sectors that travelled."""
        return self.total("needed_sectors") / self.total("sectors") if self.total("sectors") else 1.0

    @property
    def bank_conflicts(self) -> float:
        """Rounds of shared memory / rounds that would have been enough."""
        return self.total("rounds") / self.total("needed_rounds") if self.total("needed_rounds") else 1.0

    def __str__(self):
        rows = "\n".join(
            "  ".join(f"{cell:>9}" for cell in row[:-1]) + f"  {row[-1]}" for row in self._rows()
        )
        return f"{rows}\n{self._summary()}"

    def _summary(self) -> str:
        return (
            f"{self.name}: {self.flop:,} FLOP, {self.global_bytes:,} bytes of global memory, "
            f"{self.intensity:.2f} FLOP a byte; {self.coalesced:.0%} coalesced, "
            f"bank conflicts x{self.bank_conflicts:.1f}"
        )

    def _rows(self):
        yield "warps", "active", "FLOP", "sectors", "coalesced", "conflict", "line"
        for (file, number), line in sorted(self.lines.items()):
            yield (
                f"{line.warps:,}",
                f"{line.active:.0%}",
                f"{line.flop:,}" if line.flop else "",
                f"{line.sectors:,}" if line.sectors else "",
                "" if line.coalesced is None else f"{line.coalesced:.0%}",
                "" if line.conflict is None else f"x{line.conflict:.1f}",
                linecache.getline(file, number).rstrip()[4:],
            )

    def _repr_html_(self) -> str:
        head, *rows = [[html.escape(cell) for cell in row] for row in self._rows()]
        right, left = (
            "text-align:right;padding:0 .6em",
            "text-align:left;white-space:pre;font-family:monospace",
        )
        styles = [right] * (len(head) - 1) + [left]

        def row(cells, tag):
            inside = "".join(f'<{tag} style="{s}">{c}</{tag}>' for s, c in zip(styles, cells, strict=True))
            return f"<tr>{inside}</tr>"

        body = "".join(row(cells, "td") for cells in rows)
        return f"<table>{row(head, 'th')}{body}</table><p>{html.escape(self._summary())}</p>"


class Recorder:
    """Collects a `Report` while blocks run."""

    def __init__(self, name: str):
        self.report = Report(name)

    def _line(self, machine) -> Line:
        return self.report.lines.setdefault(machine.where, Line())

    def line(self, machine, mask) -> None:
        """A line is executed by these lanes."""
        line = self._line(machine)
        line.warps += len(np.unique(machine.warp_of[mask.places]))
        line.lanes += mask.count

    def operation(self, machine, name: str, out, mask) -> None:
        """Arithmetic: each floating-point +, -, *, / or function counts as one FLOP a lane."""
        if np.asarray(out).dtype.kind == "f":
            self._line(machine).flop += mask.count

    def access(self, machine, array, kind: str, flat, mask, width: int) -> None:
        """An access to global or shared memory, `width` neighbours for each lane."""
        line, size = self._line(machine), array.dtype.itemsize
        warp, first = machine.warp_of[mask.places], np.asarray(flat) * size
        if kind == "load":
            line.loaded += mask.count * width * size
        else:
            line.stored += mask.count * width * size
        if array.space == "global":
            sectors = first[:, None] // SECTOR + np.arange(-(-width * size // SECTOR))
            line.sectors += _distinct(warp, sectors)
            elements = first[:, None] + size * np.arange(width)
            line.needed_sectors += _fewest(warp, elements, size, SECTOR)
        else:
            self._rounds(machine, line, warp, first // 4, max(width * size // 4, 1))

    @staticmethod
    def _rounds(machine, line, warp, word, words) -> None:
        """Wide accesses are served in parts of a warp, 32 words at a time."""
        part = warp * words + (np.arange(len(warp)) * 0 if words == 1 else _part(warp, words))
        words_of = word[:, None] + np.arange(words)
        pairs = np.unique(np.stack([np.repeat(part, words), words_of.ravel()]), axis=1)
        banks = pairs[0] * BANKS + pairs[1] % BANKS
        _, counts = np.unique(banks, return_counts=True)
        owner = np.unique(banks) // BANKS
        most = np.zeros(int(owner.max()) + 1 if len(owner) else 0, np.int64)
        np.maximum.at(most, owner, counts)
        line.rounds += int(most.sum())
        distinct = np.bincount(pairs[0])
        line.needed_rounds += int((-(-distinct // BANKS)).sum())


def _part(warp, words):
    """Which quarter (or half) of its warp a lane is served with."""
    place = np.arange(len(warp)) - np.searchsorted(warp, warp)
    return place * words // WARP


def _distinct(warp, pieces) -> int:
    """How many different pieces the warps ask for, each for itself."""
    pairs = np.stack([np.repeat(warp, pieces.shape[1]), pieces.ravel()])
    return np.unique(pairs, axis=1).shape[1]


def _fewest(warp, elements, size, piece) -> int:
    """In how few pieces the different elements of each warp could lie."""
    pairs = np.unique(np.stack([np.repeat(warp, elements.shape[1]), elements.ravel()]), axis=1)
    counts = np.bincount(pairs[0])
    return int((-(-counts * size // piece)).sum())
