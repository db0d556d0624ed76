"""Products block by block: the micro-kernels of `simd.py` in all sizes, weights in the order they read."""

import math

from minidl.kernels.cpu.compiling import compiled, inner
from minidl.kernels.cpu.simd import BLOCKS, WIDTH, micro_kernel

_products = [micro_kernel(*block, spread=True) for block in BLOCKS]
_dots = [micro_kernel(*block, spread=False) for block in BLOCKS]
_product_high, _product_middle, _product_one = _products
_dot_high, _dot_middle, _dot_one = _dots


def best_block(outputs, places):
    """(rows, vectors) of the micro-kernel that computes least for nothing. One row is slow: it loads most."""

    def work(block):
        rows, vectors = block
        return -(-outputs // rows) * (rows + 1) * -(-places // vectors) * vectors

    return min(BLOCKS, key=work)


@compiled
def pack(weight, row_stride, outputs, entries, packed):
    """packed[group, block, k, row] = the weight of entry k for this output; 0 behind the last output."""
    groups, _, count, rows = packed.shape
    size = weight.size // groups
    for g in range(groups):
        for o in range(outputs):
            first = g * size + o * row_stride
            for k in range(count):
                packed[g, o // rows, k, o % rows] = weight[first + entries[k]]


@inner
def multiply(rows, weight, x, columns, steps, y, length, targets, bias, entries):
    """One block of places for one block of outputs."""
    if rows == BLOCKS[0][0]:
        _product_high(weight, 1, rows, x, columns, steps, y, length, targets, bias, entries)
    elif rows == BLOCKS[1][0]:
        _product_middle(weight, 1, rows, x, columns, steps, y, length, targets, bias, entries)
    else:
        _product_one(weight, 1, rows, x, columns, steps, y, length, targets, bias, entries)


@inner
def add_products(rows, g, length, x, steps, columns, total, places):
    """total[row, k] += sum over places and lanes of g[row, place] x[steps[k] + columns[place]]."""
    if rows == BLOCKS[0][0]:
        _dot_high(g, length, WIDTH, x, steps, columns, total, 0, 0, 0, places)
    elif rows == BLOCKS[1][0]:
        _dot_middle(g, length, WIDTH, x, steps, columns, total, 0, 0, 0, places)
    else:
        _dot_one(g, length, WIDTH, x, steps, columns, total, 0, 0, 0, places)


def filled(block):
    """Floats that `add_products` writes for a block of sums: whole vectors."""
    return -(-math.prod(block) // WIDTH) * WIDTH


def from_blocks(total, block, outputs, entries):
    """(groups, blocks of outputs, of entries, sums) -> (groups, outputs, entries): without what is spoilt."""
    sums = total[..., : math.prod(block)].reshape(*total.shape[:3], *block).swapaxes(2, 3)
    return sums.reshape(len(total), total.shape[1] * block[0], -1)[:, :outputs, :entries]


@compiled(fastmath={"reassoc"})
def add_up(row):
    """The sum of a row."""
    total = row.dtype.type(0)
    for i in range(row.size):
        total += row[i]
    return total
