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
TAKE, ADD = 15, 60
"""Work an element, as `split` counts it."""


@compiled
def _take_rows(table, rows, out, start, stop):
    for i in range(start, stop):
        read, to = table[rows[i]], out[i]
        for d in range(len(to)):
            to[d] = read[d]


def take_rows(table, rows):
    """`reference.take_rows`."""
    table, rows = np.require(table, requirements="CW"), np.require(rows, np.int64, "CW")
    out = np.empty((len(rows), table.shape[1]), table.dtype)
    split(len(rows), TAKE * out.size, _take_rows, table, rows, out)
    return out


@compiled
def _add_rows(rows, g, out, start, stop):
    first, last = start * BLOCK, min(stop * BLOCK, g.shape[1])
    for j in range(len(rows)):
        to, added = out[rows[j]], g[j]
        for d in range(first, last):
            to[d] += added[d]


def add_rows(rows, g, count):
    """`reference.add_rows`."""
    rows, g = np.require(rows, np.int64, "CW"), np.require(g, requirements="CW")
    out = np.zeros((count, g.shape[1]), g.dtype)
    split(-(-g.shape[1] // BLOCK), ADD * g.size, _add_rows, rows, g, out)
    return out
