"""A kernel's parts done by several threads that never ask for the lock of Python.

    who calls                                    a worker
        write the job down                           while no job comes: pause    (some nanoseconds)
        say its number                 ------->      claim a part, do it, count it
        claim a part, do it, count it                ...
        wait until all parts are counted             report: nothing left

The board, on which all look, is one cache line. A part is claimed by adding one to a number that also says
which job it is and how many parts it has, and only if nobody else has changed it: so nobody does a part
twice, or one of a job that is over. What a worker calls is an address in machine code (`_as_job`), made for
the types of the arguments. To hand a part over costs a microsecond; with the lock of Python, some fifty.
"""

import functools
import platform

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from minidl.kernels.cpu.compiling import OPTIONS, bounds, compiled, inner, keep

CLAIM, FUNCTION, DATA, N, DONE, FAILED, END = range(7)
"""Places on the board: number of the job << 32 | its parts << 16 | the next part; address of what does a
part, and of its arguments; length of the range; how many parts are done; how many failed; is it all over?"""

_INT, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
_PART = ir.FunctionType(ir.IntType(32), [_BYTES, _INT, _INT])
_HAS_PAUSE = platform.machine().lower() in ("x86_64", "amd64")


def _pointer(builder, board, place):
    return builder.gep(builder.inttoptr(board, _INT.as_pointer()), [place])


@intrinsic
def _load(typing, board, place):
    """The number at a place of the board, read anew; what was written before it is seen after it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_pointer(builder, *arguments), "acquire", 8)

    return types.int64(types.intp, types.intp), generate


@intrinsic
def _store(typing, board, place, value):
    """Write a number to a place of the board, after everything that was written before."""

    def generate(context, builder, signature, arguments):
        builder.store_atomic(arguments[2], _pointer(builder, *arguments[:2]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.int64), generate


@intrinsic
def _add(typing, board, place, value):
    """Add to a place of the board, in one step."""

    def generate(context, builder, signature, arguments):
        return builder.atomic_rmw("add", _pointer(builder, *arguments[:2]), arguments[2], "acq_rel")

    return types.int64(types.intp, types.intp, types.int64), generate


@intrinsic
def _replace(typing, board, place, old, new):
    """Write `new` if the number there is still `old`; was it?"""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(builder, *arguments[:2])
        pair = builder.cmpxchg(pointer, *arguments[2:], "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(types.intp, types.intp, types.int64, types.int64), generate


@intrinsic
def _pause(typing):
    """Nothing, for some nanoseconds, in which the core's other thread may work."""

    def generate(context, builder, signature, arguments):
        if _HAS_PAUSE:
            shape = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, shape, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _nap(typing, function, length):
    """Let the system run others: call its function at an address with this length of time."""

    def generate(context, builder, signature, arguments):
        shape = ir.FunctionType(ir.IntType(32), [ir.IntType(32)])
        address = builder.inttoptr(arguments[0], shape.as_pointer())
        builder.call(address, [builder.trunc(arguments[1], ir.IntType(32))])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


@intrinsic
def _do(typing, function, data, start, stop):
    """Do one part: the machine code at an address; is its status one of an error?"""

    def generate(context, builder, signature, arguments):
        function, data, *part = arguments
        address = builder.inttoptr(function, _PART.as_pointer())
        status = builder.call(address, [builder.inttoptr(data, _BYTES), *part])
        return builder.zext(status, _INT)

    return types.int64(types.intp, types.intp, types.int64, types.int64), generate


@intrinsic
def _as_job(typing, kernel, arguments):
    """(address of machine code that does a part of kernel(*arguments, start, stop), address of arguments).

    The arguments stay where they are until the function returns that calls this.
    """
    each = (*arguments.types, types.int64, types.int64)
    called = kernel.get_call_type(typing, each, {})

    def generate(context, builder, signature, values):
        compiled_kernel = kernel.dispatcher.get_compile_result(called)
        kept = cgutils.alloca_once_value(builder, values[1])
        part = ir.Function(builder.module, _PART, f"{builder.function.name}.part")
        part.linkage = "internal"
        inner = ir.IRBuilder(part.append_basic_block())
        given = inner.load(inner.bitcast(part.args[0], kept.type))
        numbers = [*cgutils.unpack_tuple(inner, given), *part.args[1:]]
        status, _ = context.call_internal_no_propagate(inner, compiled_kernel.fndesc, called, numbers)
        inner.ret(inner.zext(status.is_error, ir.IntType(32)))
        addresses = [builder.ptrtoint(x, _INT) for x in (part, kept)]
        return context.make_tuple(builder, signature.return_type, addresses)

    return types.UniTuple(types.intp, 2)(kernel, arguments), generate


@inner
def _help(board):
    """Claim parts of the job on the board and do them until none is left; how many were done?"""
    count = 0
    while True:
        claim = _load(board, CLAIM)
        part, parts = claim & 0xFFFF, claim >> 16 & 0xFFFF
        function, data, n = _load(board, FUNCTION), _load(board, DATA), _load(board, N)
        if part >= parts:
            return count
        if _replace(board, CLAIM, claim, claim + 1):
            first, last = bounds(n, parts, part)
            _add(board, FAILED, _do(function, data, first, last))
            _add(board, DONE, 1)
            count += 1


@compiled
def serve(board, turns):
    """What a worker does: help with each job that comes, until none has come for so many turns."""
    waited = 0
    while waited < turns and not _load(board, END):
        waited = 0 if _help(board) else waited + 1
        _pause()


@inner
def _share(board, function, data, n, parts, turns, nap, length):
    """Write a job on the board, help, and wait for the others.

    Returns:
        How many parts were done here, how many turns went by in waiting, how many parts failed.
    """
    job = (_load(board, CLAIM) >> 32) + 1
    _store(board, FUNCTION, function)
    _store(board, DATA, data)
    _store(board, N, n)
    _store(board, DONE, 0)
    _store(board, FAILED, 0)
    _store(board, CLAIM, job << 32 | parts << 16)
    count, waited = _help(board), 0
    while _load(board, DONE) < parts:
        waited += 1
        _pause()
        if waited > turns:
            _nap(nap, length)
    return count, waited, _load(board, FAILED)


@functools.cache
def shared(kernel):
    """kernel(*arguments, start, stop) -> run(..., *arguments), which shares its parts: see `_share`."""

    def run(board, n, parts, turns, nap, length, *arguments):
        function, data = _as_job(kernel, arguments)
        return _share(board, function, data, n, parts, turns, nap, length)

    def name_of_kernel(types_of_run):
        """What `run` calls, by its name in this process: so it has to be there before `run` is loaded."""
        arguments = types_of_run[-1].types if isinstance(types_of_run[-1], types.BaseTuple) else ()
        each = (*arguments, types.int64, types.int64)
        kernel.compile(each)
        return kernel.overloads[each].fndesc.llvm_func_name

    return keep(njit(**OPTIONS)(run), kernel.py_func, name_of_kernel)
