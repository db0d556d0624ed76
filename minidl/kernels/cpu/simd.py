"""The micro-kernel: a small matrix product that stays in the registers of the processor.

    for k in range(K):                       one step: MR * NV fused multiply-adds
        for m in range(MR):                  MR rows of A, each value spread over a whole vector
            for v in range(NV):              NV vectors of B, WIDTH floats each
                c[m][v] += A[m, k] * B[k][v]

The MR * NV sums never leave the registers until the end, each loaded vector of B serves MR multiply-adds,
and the loads hide behind the arithmetic: near the peak of the machine (Goto & van de Geijn 2008). Rows of A
and of B may lie at a fixed distance or where a table of offsets says, and that is the whole of a convolution
without copying windows: the table holds where each entry of the kernel looks.

Numba's own vectoriser reaches a third of this; so the loop is written in LLVM's language.
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = llvm.get_host_cpu_features()
WIDTH, ROWS, VECTORS = (
    (16, 8, 3) if _FEATURES.get("avx512f") else (8, 4, 3) if _FEATURES.get("avx2") else (4, 4, 3)
)
"""Floats in a vector; rows and vectors whose sums fit into 32 (AVX-512) or 16 registers."""

_INT, _FLOAT = ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, WIDTH)


class _Emitter:
    """Pieces of LLVM code for one micro-kernel. Addresses are in bytes, strides and offsets in floats."""

    def __init__(self, builder):
        self.builder = builder
        shape = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fma.v{WIDTH}f32"
        self.fma = cgutils.get_or_insert_function(builder.module, shape, name)

    def bytes(self, floats):
        return self.builder.mul(floats, _INT(4))

    def load_offset(self, table, i):
        """The i-th entry of a table of int64 offsets, in bytes."""
        pointer = self.builder.inttoptr(self.builder.add(table, i), _INT.as_pointer())
        return self.bytes(self.builder.load(pointer))

    def vector(self, address, v: int):
        """A pointer to the v-th vector from this address on."""
        moved = self.builder.add(address, _INT(4 * WIDTH * v))
        return self.builder.inttoptr(moved, _VECTOR.as_pointer())

    def spread(self, address):
        """The float at this address in every place of a vector."""
        b = self.builder
        value = b.load(b.inttoptr(address, _FLOAT.as_pointer()))
        first = b.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.IntType(32)(0))
        same = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return b.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), same)


def micro_kernel(rows: int, vectors: int, a_table: bool = False, b_table: bool = False, add: bool = False):
    """An intrinsic `kernel(a, a_rows, a_step, b, b_steps, c, c_row, K)` for C (rows, vectors * WIDTH).

    C[m] = (C[m] if `add` else 0) + sum over k of A[m, k] B[k], with A[m, k] at a + a_rows * m + a_step * k
    (a_table: at a + a_rows[m] + a_step * k) and B[k] at b + b_steps * k (b_table: at b + b_steps[k]).
    Arguments a, b, c and tables are addresses; all others, and what the tables hold, count floats.
    """

    def emit(context, builder, signature, args):
        e = _Emitter(builder)
        a, a_rows, a_step, b, b_steps, c, c_row, steps = args
        row_starts = [
            e.load_offset(a_rows, _INT(8 * m)) if a_table else e.bytes(builder.mul(a_rows, _INT(m)))
            for m in range(rows)
        ]
        c_rows = [builder.add(c, e.bytes(builder.mul(c_row, _INT(m)))) for m in range(rows)]
        places = [(m, v) for m in range(rows) for v in range(vectors)]
        zero = ir.Constant(_VECTOR, [0.0] * WIDTH)
        start = [builder.load(e.vector(c_rows[m], v), align=4) if add else zero for m, v in places]

        before, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(builder.icmp_signed(">", steps, _INT(0)), loop, done)
        builder.position_at_end(loop)
        k, a_now, b_now = builder.phi(_INT), builder.phi(_INT), builder.phi(_INT)
        sums = [builder.phi(_VECTOR) for _ in places]
        for phi, value in zip([k, a_now, b_now, *sums], [_INT(0), a, b, *start], strict=True):
            phi.add_incoming(value, before)
        b_row = builder.add(b, e.load_offset(b_steps, builder.mul(k, _INT(8)))) if b_table else b_now
        loaded = [builder.load(e.vector(b_row, v), align=4) for v in range(vectors)]
        new = []
        for m in range(rows):
            weight = e.spread(builder.add(a_now, row_starts[m]))
            new += [builder.call(e.fma, [weight, loaded[v], sums[m * vectors + v]]) for v in range(vectors)]
        after = [builder.add(k, _INT(1)), builder.add(a_now, e.bytes(a_step))]
        after.append(b_now if b_table else builder.add(b_now, e.bytes(b_steps)))
        for phi, value in zip([k, a_now, b_now, *sums], [*after, *new], strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", after[0], steps), loop, done)

        builder.position_at_end(done)
        for (m, v), first, last in zip(places, start, new, strict=True):
            total = builder.phi(_VECTOR)
            total.add_incoming(first, before)
            total.add_incoming(last, loop)
            sums[m * vectors + v] = total
        for (m, v), total in zip(places, sums, strict=True):
            builder.store(total, e.vector(c_rows[m], v), align=4)
        return context.get_dummy_value()

    @intrinsic
    def kernel(typing, a, a_rows, a_step, b, b_steps, c, c_row, steps):
        return types.void(*[types.intp] * 8), emit

    return kernel
