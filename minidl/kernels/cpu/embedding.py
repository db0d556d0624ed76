"""Looking rows of a table up, on all threads; and adding rows into it, compiled.

Adding needs no table of places, and reads each number once:

    for block of columns               split over threads: all write, none to the same place
        for j in rows                  in their order, so the sums do not depend on the threads
            out[rows[j], columns] += g[j, columns]

A split over the rows of the table would leave most of the work to the thread that has the commonest words.
"""

import numpy as np

from minidl.kernels.cpu.compiling import compiled
from minidl.kernels.threads import split

BLOCK = 16
"""Columns that stay together: a cache line of float32."""
WORK = 3
"""Work an element, by which `split` decides."""


def take_rows(table, rows):
    """`reference.take_rows`."""
    out = np.empty((len(rows), table.shape[1]), table.dtype)

    def part(start, stop):
        np.take(table, rows[start:stop], 0, out[start:stop], mode="clip")

    split(len(rows), WORK * out.size, part)
    return out


@compiled
def _add_rows(rows, g, out, first, last):
    for j in range(len(rows)):
        to, added = out[rows[j]], g[j]
        for d in range(first, last):
            to[d] += added[d]


def add_rows(rows, g, count):
    """`reference.add_rows`."""
    rows, g = np.require(rows, np.int64, "CW"), np.require(g, requirements="CW")
    columns = g.shape[1]
    out = np.zeros((count, columns), g.dtype)

    def part(start, stop):
        _add_rows(rows, g, out, start * BLOCK, min(stop * BLOCK, columns))

    split(-(-columns // BLOCK), WORK * g.size, part)
    return out
