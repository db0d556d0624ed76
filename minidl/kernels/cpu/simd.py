"""Two small pieces of code written in LLVM's language, because Numba's own vectoriser reaches a third of it.

The micro-kernel is a small product of which all sums stay in the registers of the processor:

    for k in range(K):                       one step: rows * vectors fused multiply-adds
        for m in range(rows):                a number spread over a whole vector, or a vector
            for v in range(vectors):         vectors of WIDTH floats
                c[m][v] += A[m, k] * B[v, k]

Each loaded vector serves several multiply-adds and the loads hide behind the arithmetic: near the peak of the
machine (Goto & van de Geijn 2008). Where B[v, k] lies is said by two tables of offsets, one for v and one for
k. So a kernel that moves over an image needs no copies of its windows: the tables hold where it looks.

The other piece turns a square of WIDTH x WIDTH floats in registers, so that images become lanes of vectors.
Beside them lie the largest of a window, in general and pair by pair, a square of vectors between two
matrices, and the smallest step of all, `copy`.
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = llvm.get_host_cpu_features()
WIDTH = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx2") else 4
"""Floats in a vector."""
BLOCKS = ((8, 3), (6, 4), (1, 8)) if WIDTH == 16 else ((4, 3), (6, 2), (1, 8))
"""(rows, vectors) of micro-kernels: their sums fit into 32 (AVX-512) or 16 registers."""

_INT, _INDEX, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_VECTOR, _OFFSETS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INDEX, WIDTH)


class _Emitter:
    """Pieces of LLVM code. Addresses are in bytes, strides and offsets in floats."""

    def __init__(self, builder):
        self.builder = builder

    def bytes(self, floats):
        return self.builder.mul(floats, _INT(4))

    def entry(self, table, i):
        """The i-th number of a table of int64."""
        address = self.builder.add(table, self.builder.mul(i, _INT(8)))
        return self.builder.load(self.builder.inttoptr(address, _INT.as_pointer()))

    def move(self, address, table, i):
        """The address moved by the i-th offset of a table."""
        return self.builder.add(address, self.bytes(self.entry(table, i)))

    def load(self, address):
        return self.builder.load(self.builder.inttoptr(address, _VECTOR.as_pointer()), align=4)

    def store(self, vector, address):
        self.builder.store(vector, self.builder.inttoptr(address, _VECTOR.as_pointer()), align=4)

    def same(self, value, kind):
        """A vector of this type with the value in every lane."""
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, _INDEX(0))
        return self.shuffle(first, first, [0] * WIDTH)

    def spread(self, address):
        """The float at this address in every lane of a vector."""
        return self.same(self.builder.load(self.builder.inttoptr(address, _FLOAT.as_pointer())), _VECTOR)

    def shuffle(self, a, b, lanes):
        """A vector of these lanes of a (from 0) and b (from WIDTH)."""
        return self.builder.shuffle_vector(a, b, ir.Constant(_OFFSETS, lanes))

    def exchange(self, a, b, distance: int):
        """Two rows exchange the lanes whose numbers differ in one bit: a keeps those where it is 0."""
        upper = [i if not i & distance else WIDTH + i - distance for i in range(WIDTH)]
        lower = [i + distance if not i & distance else WIDTH + i for i in range(WIDTH)]
        return self.shuffle(a, b, upper), self.shuffle(a, b, lower)

    def sum_lanes(self, vectors):
        """Vectors of the sums over the lanes of each of these vectors, filled up with zeros."""
        distance = 1
        while distance < WIDTH:
            vectors = vectors + [ir.Constant(_VECTOR, [0.0] * WIDTH)] * (len(vectors) % 2)
            pairs = [self.exchange(*pair, distance) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
            vectors = [self.builder.fadd(a, b) for a, b in pairs]
            distance *= 2
        return vectors

    def load_offsets(self, address):
        """WIDTH offsets from a table of int32."""
        return self.builder.load(self.builder.inttoptr(address, _OFFSETS.as_pointer()), align=4)

    def store_offsets(self, offsets, address):
        self.builder.store(offsets, self.builder.inttoptr(address, _OFFSETS.as_pointer()), align=4)

    def larger(self, best, at, seen, seen_at):
        """The larger values and where they are; of equal ones the first counts, of nan the last."""
        b = self.builder
        better = b.or_(b.fcmp_ordered(">", seen, best), b.fcmp_unordered("uno", seen, seen))
        return [b.select(better, seen, best), b.select(better, seen_at, at)]

    def gather(self, source, offsets):
        """The floats at these offsets from `source`."""
        b, lanes = self.builder, ir.VectorType(_INT, WIDTH)
        distance = b.shl(b.zext(offsets, lanes), ir.Constant(lanes, [2] * WIDTH))  # 4 bytes a float
        moved = b.add(self.same(source, lanes), distance)
        pointers = b.inttoptr(moved, ir.VectorType(_FLOAT.as_pointer(), WIDTH))
        every = ir.Constant(ir.VectorType(ir.IntType(1), WIDTH), [1] * WIDTH)
        shape = ir.FunctionType(_VECTOR, [pointers.type, ir.IntType(32), every.type, _VECTOR])
        name = f"llvm.masked.gather.v{WIDTH}f32.v{WIDTH}p0"
        function = cgutils.get_or_insert_function(b.module, shape, name)
        return b.call(function, [pointers, ir.IntType(32)(4), every, ir.Constant(_VECTOR, ir.Undefined)])

    def multiply_add(self, a, b, c):
        shape = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fma.v{WIDTH}f32"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, shape, name), [a, b, c])

    def combine(self, factors, vectors):
        """The sum of factors[k] vectors[k]. Zeros cost nothing, and ones no multiplication."""
        terms = [(factor, vector) for factor, vector in zip(factors, vectors, strict=True) if factor]
        terms.sort(key=lambda term: term[0] != 1)
        (factor, total), *others = terms
        if factor != 1:
            total = self.builder.fmul(total, ir.Constant(_VECTOR, [factor] * WIDTH))
        for factor, vector in others:
            if abs(factor) == 1:
                total = (self.builder.fadd if factor > 0 else self.builder.fsub)(total, vector)
            else:
                total = self.multiply_add(ir.Constant(_VECTOR, [factor] * WIDTH), vector, total)
        return total

    def loop(self, steps, start, body):
        """`body(k, values) -> values` for k in range(steps), from `start` on; returns the last values."""
        b = self.builder
        before, loop, done = b.block, b.append_basic_block(), b.append_basic_block()
        b.cbranch(b.icmp_signed(">", steps, _INT(0)), loop, done)
        b.position_at_end(loop)
        k, values = b.phi(_INT), [b.phi(v.type) for v in start]
        new = body(k, values)
        following = b.add(k, _INT(1))
        for phi, first, last in zip([k, *values], [_INT(0), *start], [following, *new], strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(last, b.block)
        b.cbranch(b.icmp_signed("<", following, steps), loop, done)
        b.position_at_end(done)
        results = [b.phi(v.type) for v in start]
        for phi, first, last in zip(results, start, new, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(last, loop)
        return results


def micro_kernel(rows: int, vectors: int, spread: bool):
    """An intrinsic `kernel(a, a_row, a_step, b, b_columns, b_steps, c, c_row, c_columns, start, K)`.

    C[m, v] = start[m] + sum over k of A[m, k] B[v, k], vectors of WIDTH floats: B[v, k] at b + b_columns[v] +
    b_steps[k], C[m, v] at c + c_row m + c_columns[v]. a, b, c, start and the tables are addresses; all
    others, and what the tables hold, count floats.

    spread: A[m, k], at a + a_row m + a_step k, is one float for all lanes. If not, it is a vector, and the
    sums over lanes of all C[m, v] are added to the floats from c on, one after the other; what follows them
    up to a whole vector is spoilt, and c_row, c_columns and start mean nothing.
    """

    def emit(context, builder, signature, args):
        e = _Emitter(builder)
        a, a_row, a_step, b, b_columns, b_steps, c, c_row, c_columns, start, steps = args
        a_rows = [e.bytes(builder.mul(a_row, _INT(m))) for m in range(rows)]
        b_starts = [e.move(b, b_columns, _INT(v)) for v in range(vectors)]
        first, get = [ir.Constant(_VECTOR, [0.0] * WIDTH)] * (rows * vectors), e.load
        if spread:
            first = [e.spread(builder.add(start, _INT(4 * m))) for m in range(rows) for _ in range(vectors)]
            get = e.spread

        def step(k, values):
            a_now, *sums = values
            seen = e.move(_INT(0), b_steps, k)
            loaded = [e.load(builder.add(at, seen)) for at in b_starts]
            new = []
            for m in range(rows):
                factor = get(builder.add(a_now, a_rows[m]))
                new += [e.multiply_add(factor, loaded[v], sums[m * vectors + v]) for v in range(vectors)]
            return [builder.add(a_now, e.bytes(a_step)), *new]

        _, *sums = e.loop(steps, [a, *first], step)
        if spread:
            c_rows = [builder.add(c, e.bytes(builder.mul(c_row, _INT(m)))) for m in range(rows)]
            targets = [e.move(row, c_columns, _INT(v)) for row in c_rows for v in range(vectors)]
        else:
            sums = e.sum_lanes(sums)
            targets = [builder.add(c, _INT(4 * WIDTH * i)) for i in range(len(sums))]
            sums = [builder.fadd(e.load(at), total) for at, total in zip(targets, sums, strict=True)]
        for total, target in zip(sums, targets, strict=True):
            e.store(total, target)
        return context.get_dummy_value()

    @intrinsic
    def kernel(typing, a, a_row, a_step, b, b_columns, b_steps, c, c_row, c_columns, start, steps):
        return types.void(*[types.intp] * 11), emit

    return kernel


@intrinsic
def turn(typing, source, source_rows, target, target_rows):
    """Transpose: WIDTH rows of WIDTH floats, at source + source_rows[i], become rows at target + target_rows.

    Rows whose numbers differ in one bit exchange lanes, bit after bit.
    """

    def emit(context, builder, signature, args):
        e = _Emitter(builder)
        source, source_rows, target, target_rows = args
        rows = [e.load(e.move(source, source_rows, _INT(i))) for i in range(WIDTH)]
        distance = 1
        while distance < WIDTH:
            for i in range(WIDTH):
                if not i & distance:
                    rows[i], rows[i | distance] = e.exchange(rows[i], rows[i | distance], distance)
            distance *= 2
        for j, row in enumerate(rows):
            e.store(row, e.move(target, target_rows, _INT(j)))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), emit


@intrinsic
def copy(typing, source, target):
    """Copy one float from address to address."""

    def emit(context, builder, signature, args):
        source, target = (builder.inttoptr(address, _FLOAT.as_pointer()) for address in args)
        builder.store(builder.load(source), target)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), emit


@intrinsic
def largest(typing, source, offsets, next_tap, taps, values, index):
    """The largest of several floats, for WIDTH places, and its offset from `source` (int32).

    Tap k of place i is source[offsets[k * next_tap + i]]; of equal ones the first counts, of nan the last.
    All but `next_tap` and `taps` are addresses.
    """

    def emit(context, builder, signature, args):
        e = _Emitter(builder)
        source, offsets, next_tap, taps, values, index = args
        start = e.load_offsets(offsets)

        def step(k, found):
            seen_at = e.load_offsets(builder.add(offsets, e.bytes(builder.mul(next_tap, k))))
            return e.larger(*found, e.gather(source, seen_at), seen_at)

        best, at = e.loop(taps, [e.gather(source, start), start], step)
        e.store(best, values)
        e.store_offsets(at, index)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), emit


@intrinsic
def largest_of_pairs(typing, source, first, rows, next_tap, taps, values, index):
    """`largest` where tap k of place i is first + rows[k * next_tap] + 2 i, and its right neighbour."""

    def emit(context, builder, signature, args):
        e = _Emitter(builder)
        source, first, rows, next_tap, taps, values, index = args

        def pair(k):
            row = builder.add(first, e.entry(rows, builder.mul(next_tap, k)))
            start, address = e.same(builder.trunc(row, _INDEX), _OFFSETS), builder.add(source, e.bytes(row))
            halves, found = (e.load(address), e.load(builder.add(address, _INT(4 * WIDTH)))), []
            for side in (0, 1):
                lanes = list(range(side, 2 * WIDTH, 2))
                found += [e.shuffle(*halves, lanes), builder.add(start, ir.Constant(_OFFSETS, lanes))]
            return e.larger(*found)

        def step(k, found):
            return e.larger(*found, *pair(builder.add(k, _INT(1))))

        best, at = e.loop(builder.sub(taps, _INT(1)), pair(_INT(0)), step)
        e.store(best, values)
        e.store_offsets(at, index)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), emit


def sandwich(*factors):
    """An intrinsic `kernel(source, source_offsets, target, target_offsets)`: T d T^T, d a square of vectors.

    T is the product of the factors, constant matrices of which the last is applied first, so that what their
    rows share is computed once. Row after row, d lies at source + source_offsets[i], the result likewise.
    """
    factors = [[[float(number) for number in row] for row in factor] for factor in factors]

    def emit(context, builder, signature, args):
        e = _Emitter(builder)
        source, source_offsets, target, target_offsets = args

        def along(vectors):
            for factor in reversed(factors):
                vectors = [e.combine(row, vectors) for row in factor]
            return vectors

        size = len(factors[-1][0])
        d = [e.load(e.move(source, source_offsets, _INT(i))) for i in range(size * size)]
        columns = [along(d[j::size]) for j in range(size)]
        result = [vector for row in zip(*columns, strict=True) for vector in along(list(row))]
        for i, vector in enumerate(result):
            e.store(vector, e.move(target, target_offsets, _INT(i)))
        return context.get_dummy_value()

    @intrinsic
    def kernel(typing, source, source_offsets, target, target_offsets):
        return types.void(*[types.intp] * 4), emit

    return kernel
