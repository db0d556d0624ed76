"""Machine instructions that Python has no word for. Kernels call them as functions.

    load, store           an element, without Python's rule for negative indices
    load4, store4         four neighbours in one access of 128 bits (of 256 for float64: two accesses)
    udiv, umod, mulhi     division, remainder, the upper half of a product, in 32 bits without sign
    copy_async4, ...      from global to shared memory, while the kernel goes on
    to_tf32, mma_tf32     products of small matrices on the tensor cores

`a[i]` in Numba compares i with 0 and adds the length to it if it is negative, for every access, in 64 bits:
in a matrix product that costs more than the product. `//` is a floor division by a hundred instructions.
Each of these is a few lines of LLVM's intermediate language instead. The simulator knows them by their names.
"""

import functools
from collections.abc import Callable

from minidl.kernels.cuda import language


class Instruction:
    """A function of kernels, given by the intermediate code that it becomes."""

    def __init__(self, define: Callable):
        self._define = define
        functools.update_wrapper(self, define)
        del self.__wrapped__

    def __call__(self, *args):
        raise RuntimeError(
            f"{self.__name__} is an instruction of the GPU: a kernel may call it, Python may not."
        )

    def __repr__(self) -> str:
        return f"<instruction {self.__name__}>"

    @functools.cached_property
    def _numba_type_(self):
        """What Numba sees where a kernel names this: a function whose code we write."""
        types = language.numba_cuda().types
        from numba.cuda.typing.templates import make_intrinsic_template

        return types.Function(make_intrinsic_template(self, self._define, self.__name__))


def _ir():
    from llvmlite import ir

    return ir


def _types():
    return language.numba_cuda().types


# -- pieces ----------------------------------------------------------------------------------------


def _pointer(context, builder, array_type, array, index_type, index):
    """The address of an element: index is taken as it is, never from the end."""
    data = context.make_array(array_type)(context, builder, value=array).data
    index = context.cast(builder, index, index_type, _types().intp)
    return builder.gep(data, [index], inbounds=True)


def _four(context, builder, array_type, pointer):
    """The address of four elements as that of a vector, and how it is aligned."""
    element = pointer.type.pointee
    vector = _ir().VectorType(element, 4)
    return builder.bitcast(
        pointer, vector.as_pointer(pointer.type.addrspace)
    ), array_type.dtype.bitwidth // 8 * 4


def _lane(k):
    return _ir().Constant(_ir().IntType(32), k)


def _in_space(builder, pointer, space):
    """A pointer into shared (3) or global (1) memory, from one into memory of any kind."""
    return builder.addrspacecast(pointer, pointer.type.pointee.as_pointer(space))


def _assembler(builder, text, constraints, result, args, effects=True):
    """Call a line of PTX."""
    ir = _ir()
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(ir.InlineAsm(kind, text, constraints, side_effect=effects), args)


# -- one element -----------------------------------------------------------------------------------


@Instruction
def load(typing, array, i):
    """array[i]: `ld.global.f32`, for i from 0 on."""

    def generate(context, builder, signature, args):
        array_type, index_type = signature.args
        pointer = _pointer(context, builder, array_type, args[0], index_type, args[1])
        return context.unpack_value(builder, array_type.dtype, pointer)

    return array.dtype(array, i), generate


@Instruction
def store(typing, array, i, value):
    """array[i] = value: `st.global.f32`, for i from 0 on; value is converted as by an assignment."""

    def generate(context, builder, signature, args):
        array_type, index_type, _ = signature.args
        pointer = _pointer(context, builder, array_type, args[0], index_type, args[1])
        context.pack_value(builder, array_type.dtype, args[2], pointer)
        return context.get_dummy_value()

    return _types().void(array, i, array.dtype), generate


# -- four elements ---------------------------------------------------------------------------------


@Instruction
def load4(typing, array, i):
    """(array[i], ..., array[i + 3]) in one access, `ld.global.v4.f32`; i a multiple of 4."""

    def generate(context, builder, signature, args):
        array_type, index_type = signature.args
        pointer = _pointer(context, builder, array_type, args[0], index_type, args[1])
        vectors, alignment = _four(context, builder, array_type, pointer)
        vector = builder.load(vectors, align=alignment)
        elements = [builder.extract_element(vector, _lane(k)) for k in range(4)]
        return context.make_tuple(builder, signature.return_type, elements)

    return _types().UniTuple(array.dtype, 4)(array, i), generate


@Instruction
def store4(typing, array, i, x, y, z, w):
    """array[i], ..., array[i + 3] = x, y, z, w in one access, `st.global.v4.f32`; i a multiple of 4."""

    def generate(context, builder, signature, args):
        ir = _ir()
        array_type, index_type = signature.args[:2]
        pointer = _pointer(context, builder, array_type, args[0], index_type, args[1])
        vectors, alignment = _four(context, builder, array_type, pointer)
        vector = ir.Constant(vectors.type.pointee, ir.Undefined)
        for k in range(4):
            vector = builder.insert_element(vector, args[2 + k], _lane(k))
        builder.store(vector, vectors, align=alignment)
        return context.get_dummy_value()

    return _types().void(array, i, *[array.dtype] * 4), generate


# -- whole numbers ---------------------------------------------------------------------------------


def _on_32_bits(typing, a, b, compute):
    """The type and code of a function of two numbers of 32 bits."""
    result = _types().int32

    def generate(context, builder, signature, args):
        a, b = (context.cast(builder, x, t, result) for x, t in zip(args, signature.args, strict=True))
        return compute(builder, a, b)

    return result(a, b), generate


@Instruction
def udiv(typing, a, b):
    """a // b for 0 <= a and 0 < b below 2^31: `div.u32`."""
    return _on_32_bits(typing, a, b, lambda builder, a, b: builder.udiv(a, b))


@Instruction
def umod(typing, a, b):
    """a % b for 0 <= a and 0 < b below 2^31: `rem.u32`."""
    return _on_32_bits(typing, a, b, lambda builder, a, b: builder.urem(a, b))


@Instruction
def mulhi(typing, a, b):
    """The upper 32 bits of the product of two uint32, as uint32: `mul.hi.u32`. For random bits."""
    unsigned = _types().uint32

    def generate(context, builder, signature, args):
        wide = _ir().IntType(64)
        product = builder.mul(*(builder.zext(x, wide) for x in args))
        return builder.trunc(builder.lshr(product, wide(32)), _ir().IntType(32))

    return unsigned(unsigned, unsigned), generate


# -- copies in the background ----------------------------------------------------------------------


@Instruction
def copy_async4(typing, shared, i, source, j, nbytes):
    """shared[i : i + 4] = source[j : j + 4] for float32, in the background: `cp.async` (from sm_80 on).

    Only the first nbytes (0 to 16) are read; the others become 0, which serves the borders of a matrix. i and
    j must be multiples of 4. What was copied may be read after `copy_commit`, `copy_wait` and a barrier.
    """

    def generate(context, builder, signature, args):
        ir = _ir()
        to = _pointer(context, builder, signature.args[0], args[0], signature.args[1], args[1])
        come_from = _pointer(context, builder, signature.args[2], args[2], signature.args[3], args[3])
        to = builder.ptrtoint(_in_space(builder, to, 3), ir.IntType(32))
        come_from = builder.ptrtoint(_in_space(builder, come_from, 1), ir.IntType(64))
        text = "cp.async.cg.shared.global [$0], [$1], 16, $2;"
        _assembler(builder, text, "r,l,r,~{memory}", ir.VoidType(), [to, come_from, args[4]])
        return context.get_dummy_value()

    return _types().void(shared, i, source, j, _types().int32), generate


@Instruction
def copy_commit(typing):
    """The copies started since the last commit become one group: `cp.async.commit_group`."""

    def generate(context, builder, signature, args):
        _assembler(builder, "cp.async.commit_group;", "~{memory}", _ir().VoidType(), [])
        return context.get_dummy_value()

    return _types().void(), generate


@Instruction
def copy_wait(typing, n):
    """Wait until all groups but the n newest have arrived: `cp.async.wait_group n`. n is a constant."""
    if not isinstance(n, _types().IntegerLiteral):
        return None

    def generate(context, builder, signature, args):
        text = f"cp.async.wait_group {n.literal_value};"
        _assembler(builder, text, "~{memory}", _ir().VoidType(), [])
        return context.get_dummy_value()

    return _types().void(n), generate


# -- tensor cores ----------------------------------------------------------------------------------


@Instruction
def to_tf32(typing, x):
    """A float32 rounded to the 10 bits of mantissa that tensor cores read: `cvt.rna.tf32.f32` (sm_80 on)."""

    def generate(context, builder, signature, args):
        ir = _ir()
        bits = _assembler(builder, "cvt.rna.tf32.f32 $0, $1;", "=r,f", ir.IntType(32), args, effects=False)
        return builder.bitcast(bits, ir.FloatType())

    return _types().float32(_types().float32), generate


@Instruction
def mma_tf32(typing, c0, c1, c2, c3, a0, a1, a2, a3, b0, b1):
    """C (16, 8) + A (16, 8) B (8, 8) by a warp, each lane with its parts: `mma.sync.m16n8k8` (from sm_80 on).

    Lane l, with g = l // 4 and t = l % 4, holds
        c = C[g, 2t], C[g, 2t + 1], C[g + 8, 2t], C[g + 8, 2t + 1]
        a = A[g, t], A[g + 8, t], A[g, t + 4], A[g + 8, t + 4]
        b = B[t, g], B[t + 4, g]
    and gets its four numbers of the result, placed as c.
    """

    def generate(context, builder, signature, args):
        ir = _ir()
        fragments = [builder.bitcast(x, ir.IntType(32)) for x in args[4:]]
        text = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        text += "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
        result = ir.LiteralStructType([ir.FloatType()] * 4)
        constraints = "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f"
        sums = _assembler(builder, text, constraints, result, [*fragments, *args[:4]], effects=False)
        parts = [builder.extract_value(sums, k) for k in range(4)]
        return context.make_tuple(builder, signature.return_type, parts)

    float32 = _types().float32
    return _types().UniTuple(float32, 4)(*[float32] * 10), generate
