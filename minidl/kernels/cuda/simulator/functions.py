"""What the words of kernels do: `cuda.*`, `math.*`, conversions, and the instructions of `instructions.py`.

Each is a function (machine, mask, *values) -> value.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.kernels.cuda.simulator.errors import KernelError
from minidl.kernels.cuda.simulator.machine import WARP, Machine, Mask
from minidl.kernels.cuda.simulator.memory import WIDE, GlobalArray, LocalArray, SharedArray

ARRAYS = (GlobalArray, SharedArray, LocalArray)
AXES = {"x": 0, "y": 1, "z": 2}
COUNTED = {
    *(f"math.{name}" for name in ("exp", "exp2", "log", "log2", "sqrt", "tanh", "erf", "sin", "cos", "fma")),
    "cuda.fma",
}
"""Functions that count as arithmetic."""


def array_of(machine: Machine, value):
    """An array; refuses anything else that is indexed."""
    if not isinstance(value, ARRAYS):
        machine.fail(KernelError, f"a {type(value).__name__} is indexed like an array")
    return value


def make_array(machine: Machine, kind: str, key: tuple, name: str, shape, dtype, alignment=None):
    """cuda.shared.array and cuda.local.array: the same shared one each time this line is reached."""
    shape = tuple(int(n) for n in (shape if isinstance(shape, tuple) else (shape,)))
    dtype = dtype_of(dtype)
    if kind == "local":
        return LocalArray(name, shape, dtype)
    if key not in machine.shared:
        if shape == (0,):
            shape = (machine.dynamic_shared // dtype.itemsize,)
        machine.shared[key] = SharedArray(name, machine, shape, dtype)
    return machine.shared[key]


def dtype_of(kind) -> np.dtype:
    """The dtype that float32 and its kin stand for, ours, Numba's or NumPy's."""
    if hasattr(kind, "dtype") and not isinstance(kind, type):
        return np.dtype(kind.dtype)
    name = getattr(kind, "name", None) or getattr(kind, "__name__", None) or str(kind)
    return np.dtype({"boolean": "bool"}.get(name, name))


def attribute(path: str):
    """`cuda.threadIdx.x` and its kin: a function of the machine, or None."""
    head, _, axis = path.rpartition(".")
    if head.startswith("cuda.") and head[5:] in ("threadIdx", "blockIdx", "blockDim", "gridDim"):
        return lambda machine: machine.index(head[5:], AXES[axis])
    return {
        "cuda.laneid": lambda machine: machine.thread % WARP,
        "cuda.warpsize": lambda machine: WARP,
        "math.inf": lambda machine: np.float64(math.inf),
        "math.pi": lambda machine: np.float64(math.pi),
        "np.inf": lambda machine: np.float64(math.inf),
    }.get(path)


# -- indices and barriers ------------------------------------------------------------------------------


def grid(machine, mask, axes):
    """The number of this thread in the whole grid, along the first axes."""
    where = [
        machine.index("blockIdx", i) * machine.block[i] + machine.index("threadIdx", i) for i in range(axes)
    ]
    return where[0] if axes == 1 else tuple(where)


def gridsize(machine, mask, axes):
    sizes = [machine.block[i] * machine.grid[i] for i in range(axes)]
    return sizes[0] if axes == 1 else tuple(sizes)


def syncthreads(machine, mask):
    machine.barrier(mask)


def _synchronised(reduce):
    def wait(machine, mask, condition):
        yes = reduce(machine.per_block(mask, condition), mask.lanes.reshape(machine.blocks, -1))
        machine.barrier(mask)
        return np.repeat(yes, machine.threads)

    return wait


def syncwarp(machine, mask, members=None):
    machine.warp_barrier(mask)


# -- shuffles and votes --------------------------------------------------------------------------------


def _shuffle(source):
    def shuffle(machine, mask, members, value, by):
        return machine.from_lane(mask, value, source(machine.thread % WARP, by))

    return shuffle


def _kept(source):
    """Beyond the end of the warp a lane keeps its own value."""
    return lambda lane, by: np.where(
        (source(lane, by) < 0) | (source(lane, by) >= WARP), lane, source(lane, by)
    )


def ballot(machine, mask, members, condition):
    bits = machine.per_warp(mask, condition) @ (np.uint64(1) << np.arange(WARP, dtype=np.uint64))
    return bits[machine.warp_of]


def all_of_warp(machine, mask, members, condition):
    no = machine.per_warp(mask, np.logical_not(condition))
    return ~no.any(1)[machine.warp_of]


def any_of_warp(machine, mask, members, condition):
    return machine.per_warp(mask, condition).any(1)[machine.warp_of]


def activemask(machine, mask):
    return ballot(machine, mask, None, 1)


def popc(machine, mask, value):
    return np.bitwise_count(np.asarray(value)).astype(np.int64)


# -- atomic updates ------------------------------------------------------------------------------------


def _atomic(update):
    """One thread after the other, in the order of their numbers; returns what each found."""

    def run(machine, mask, array, index, *values):
        array = array_of(machine, array)
        flat, _ = array._places(machine, mask, array._position(machine, mask, index, 1))
        flat = array._of_all(mask, flat)
        given = [
            np.broadcast_to(v if np.ndim(v) == 0 or mask.full else v[mask.places], mask.count) for v in values
        ]
        given = [v.astype(array.dtype) for v in given]
        if machine.recorder is not None:
            machine.recorder.access(machine, array, "atomic", flat, mask, 1)
        found = update(array.data, flat, *given)
        array.forget(flat)
        return array._spread(machine, mask, found, False)

    return run


def _one_by_one(new):
    def update(data, flat, *given):
        found = np.empty(len(flat), data.dtype)
        for k, place in enumerate(flat):
            found[k] = data[place]
            data[place] = new(data[place], *(v[k] for v in given))
        return found

    return update


def _by_ufunc(ufunc):
    """Faster, where no two threads meet."""
    slow = _one_by_one(ufunc)

    def update(data, flat, given):
        if len(np.unique(flat)) < len(flat):
            return slow(data, flat, given)
        found = data[flat]
        data[flat] = ufunc(found, given)
        return found

    return update


# -- functions of numbers ------------------------------------------------------------------------------


def _plain(function):
    return lambda machine, mask, *values: function(*values)


_ERF = np.frompyfunc(math.erf, 1, 1)
_ERFC = np.frompyfunc(math.erfc, 1, 1)
_LGAMMA = np.frompyfunc(math.lgamma, 1, 1)


def _by_element(function):
    def run(machine, mask, x):
        dtype = np.asarray(x).dtype
        return np.asarray(function(x)).astype(dtype if dtype.kind == "f" else np.float64)

    return run


def fma(machine, mask, a, b, c):
    return a * b + c


def selp(machine, mask, condition, a, b):
    return np.where(condition, a, b)


def smallest(machine, mask, *values):
    out = values[0]
    for value in values[1:]:
        out = np.minimum(out, value) if np.ndim(out) or np.ndim(value) else min(out, value)
    return out


def largest(machine, mask, *values):
    out = values[0]
    for value in values[1:]:
        out = np.maximum(out, value) if np.ndim(out) or np.ndim(value) else max(out, value)
    return out


def converted(dtype: np.dtype):
    """float32(x), int32(x) ...: cut to that type, then kept as wide as a register."""
    wide = WIDE.get(dtype.kind, dtype)

    def convert(machine, mask, x):
        if np.ndim(x) == 0 and dtype.kind == "i":
            value = int(x)
            half = 1 << (8 * dtype.itemsize - 1)
            return (value + half) % (2 * half) - half
        x = np.asarray(x)
        if dtype.kind == "u" and x.dtype.kind == "f":
            x = x.astype(np.int64)
        out = x.astype(dtype).astype(wide)
        return out if out.ndim else out[()]

    return convert


# -- the project's instructions ------------------------------------------------------------------------


def load(machine, mask, array, i):
    return array_of(machine, array).load(machine, mask, i)


def store(machine, mask, array, i, value):
    array_of(machine, array).store(machine, mask, i, (value,))


def load4(machine, mask, array, i):
    return array_of(machine, array).load(machine, mask, i, 4)


def store4(machine, mask, array, i, *values):
    array_of(machine, array).store(machine, mask, i, values)


def _unsigned(operate):
    def run(machine, mask, a, b):
        if np.ndim(a) == 0 and np.ndim(b) == 0:
            if int(a) < 0 or int(b) <= 0:
                machine.fail(KernelError, f"udiv and umod of {a} and {b}: both must be positive")
            return operate(int(a), int(b))
        lanes_a, lanes_b = machine.vector(a)[mask.places], machine.vector(b)[mask.places]
        if (lanes_a < 0).any() or (lanes_b <= 0).any():
            machine.fail(KernelError, "udiv and umod are for numbers that are not negative, and no divisor 0")
        return operate(a, np.where(mask.lanes, b, 1))

    return run


def mulhi(machine, mask, a, b):
    return (np.asarray(a, np.uint64) * np.asarray(b, np.uint64)) >> np.uint64(32)


def copy_async4(machine, mask, shared, i, source, j, nbytes):
    """16 bytes from global to shared memory, those after the first nbytes as zeros."""
    values = []
    for k in range(4):
        inside, _ = mask.split(np.greater(nbytes, 4 * k))
        value = array_of(machine, source).load(machine, inside, j + k) if inside.count else np.float32(0)
        values.append(np.where(inside.lanes, value, np.float32(0)))
    array_of(machine, shared).store(machine, mask, i, tuple(values))


def nothing(machine, mask, *values):
    """Copies of this simulator are done at once."""


def to_tf32(machine, mask, x):
    """A float32 rounded to 10 bits of mantissa."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def mma_tf32(machine, mask, *values):
    """C (16, 8) += A (16, 8) B (8, 8) by a warp; each lane holds four, four and two of their elements."""
    if machine.threads % WARP or (
        mask.count and not mask.lanes.reshape(-1, WARP).all(1)[mask.places // WARP].all()
    ):
        machine.fail(KernelError, "mma_tf32 needs all 32 lanes of a warp")
    c, a, b = (np.stack([machine.vector(v) for v in part]) for part in (values[:4], values[4:8], values[8:]))
    lane = np.arange(WARP)
    row, column = lane >> 2, lane & 3
    n = len(machine.thread) // WARP
    c, a, b = (x.reshape(len(x), n, WARP).astype(np.float32) for x in (c, a, b))
    a, b = (to_tf32(machine, mask, np.ascontiguousarray(x)) for x in (a, b))
    left, right, total = np.zeros((n, 16, 8)), np.zeros((n, 8, 8)), np.zeros((n, 16, 8))
    for k, (up, right_half) in enumerate(((0, 0), (8, 0), (0, 4), (8, 4))):
        left[:, row + up, column + right_half] = a[k]
    for k in range(2):
        right[:, column + 4 * k, row] = b[k]
    places = [(row, 2 * column), (row, 2 * column + 1), (row + 8, 2 * column), (row + 8, 2 * column + 1)]
    for k, (i, j) in enumerate(places):
        total[:, i, j] = c[k]
    total = (total + left @ right).astype(np.float32)
    return tuple(total[:, i, j].reshape(-1) for i, j in places)


INSTRUCTIONS = {
    "load": load, "store": store, "load4": load4, "store4": store4,
    "udiv": _unsigned(lambda a, b: a // b), "umod": _unsigned(lambda a, b: a % b), "mulhi": mulhi,
    "copy_async4": copy_async4, "copy_commit": nothing, "copy_wait": nothing,
    "to_tf32": to_tf32, "mma_tf32": mma_tf32,
}  # fmt: skip

NAMED = {
    "cuda.grid": grid, "cuda.gridsize": gridsize,
    "cuda.syncthreads": syncthreads, "cuda.syncwarp": syncwarp, "cuda.threadfence": nothing,
    "cuda.syncthreads_count": _synchronised(lambda yes, here: yes.sum(1)),
    "cuda.syncthreads_or": _synchronised(lambda yes, here: yes.any(1)),
    "cuda.syncthreads_and": _synchronised(lambda yes, here: (yes | ~here).all(1)),
    "cuda.shfl_sync": _shuffle(lambda lane, by: np.broadcast_to(by, lane.shape) % WARP),
    "cuda.shfl_xor_sync": _shuffle(lambda lane, by: lane ^ by),
    "cuda.shfl_up_sync": _shuffle(_kept(lambda lane, by: lane - by)),
    "cuda.shfl_down_sync": _shuffle(_kept(lambda lane, by: lane + by)),
    "cuda.ballot_sync": ballot, "cuda.all_sync": all_of_warp, "cuda.any_sync": any_of_warp,
    "cuda.activemask": activemask, "cuda.popc": popc, "cuda.fma": fma, "math.fma": fma, "cuda.selp": selp,
    "cuda.atomic.add": _atomic(_by_ufunc(np.add)), "cuda.atomic.sub": _atomic(_by_ufunc(np.subtract)),
    "cuda.atomic.max": _atomic(_by_ufunc(np.maximum)), "cuda.atomic.min": _atomic(_by_ufunc(np.minimum)),
    "cuda.atomic.exch": _atomic(_one_by_one(lambda old, new: new)),
    "cuda.atomic.cas": _atomic(_one_by_one(lambda old, expected, new: new if old == expected else old)),
    "math.erf": _by_element(_ERF), "math.erfc": _by_element(_ERFC), "math.hypot": _plain(np.hypot),
    "math.lgamma": _by_element(_LGAMMA), 
    "math.fabs": _plain(np.abs), "math.pow": _plain(np.power), "math.isnan": _plain(np.isnan),
    "math.isinf": _plain(np.isinf), "math.fmod": _plain(np.fmod), "math.copysign": _plain(np.copysign),
    **{f"math.{name}": _plain(getattr(np, name)) for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh",
        "tanh", "trunc", "isfinite", "floor", "ceil",
    )},
    **{f"math.a{name}": _plain(getattr(np, f"arc{name}")) for name in (
        "sin", "cos", "tan", "sinh", "cosh", "tanh",
    )},
    "math.atan2": _plain(np.arctan2), "abs": _plain(abs), "min": smallest, "max": largest,
    "len": _plain(len), "round": _plain(np.rint), "int": converted(np.dtype(np.int64)),
    "float": converted(np.dtype(np.float64)), "bool": converted(np.dtype(np.bool_)),
}  # fmt: skip


def named(path: str):
    """What a dotted name such as cuda.syncthreads does when it is called, or None."""
    return NAMED.get(path)


def instruction(target):
    """What an object that a kernel calls does: an instruction or a conversion; None if it is a function."""
    if getattr(target, "__module__", "").endswith("cuda.instructions"):
        return INSTRUCTIONS[target.__name__]
    kind = getattr(target, "dtype", None) or getattr(target, "name", None) or getattr(target, "__name__", "")
    try:
        return converted(np.dtype({"boolean": "bool"}.get(kind, kind)))
    except TypeError:
        return None


def global_array(name: str, array: np.ndarray) -> GlobalArray:
    return GlobalArray(name, array)


__all__ = ["COUNTED", "Mask", "array_of", "attribute", "instruction", "make_array", "named"]
