"""Matrix products: which kernel, which tiles, how many parts. The kernels: gemm.py, tf32.py, vectors.py.

A product of two large matrices keeps every multiprocessor busy with tiles of 128 x 128. Smaller ones have too
few of those, so their tiles are 64 x 64; and where even these are few but K is long (gradients of weights),
blocks share a tile, each sums up a part of K, and a second kernel adds the parts, always in the same order.

Operands may be transposed: a tile is loaded either way round, so nothing is copied. What else is not packed
(slices of columns, say) is packed first. A batch times one matrix is one tall matrix times it.

All this depends on shapes, strides and types only, and a model asks for the same ones in every step. So a
plan is made once and kept.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minidl.kernels.cuda import driver, gemm, tf32, tiles, vectors
from minidl.kernels.cuda.array import CudaArray, copy_into, empty, packed_strides, zeros
from minidl.kernels.cuda.driver import SCALARS

__all__ = ["allow_tf32", "linear", "matmul"]

allow_tf32 = False
"""May float32 factors be rounded to 10 bits of mantissa, for tensor cores? `products.allow_tf32 = True`."""

TILES = {64: 0.85, 128: 1.0}
"""Tiles, and how fast they are if there is enough to do: small ones read each number twice as often."""
FULL = 16
"""Warps that a multiprocessor has room for, at 128 registers a thread."""
FILL = 24
"""Steps of k in whose time a block loads its first tile and writes its last."""
PART = 128
"""Steps along k that are worth a block of their own."""
PASS, LAUNCH = 40, 500_000
"""Multiply-adds in the time in which a number passes through memory, and in that of one more launch."""
THREADS = 256
"""Threads in a block of `sum_kernel`."""
MOST = 2**31 - 4096
"""Numbers in an array: their places, and those of the threads after the last one, are int32."""


# -- how the work is cut -------------------------------------------------------------------------------


def _blocks(m: int, n: int, tile: int) -> int:
    return -(-m // tile) * -(-n // tile)


def _cost(m: int, n: int, k: int, batch: int, multiprocessors: int, tile: int, parts: int) -> float:
    """An estimate of the time, in multiply-adds of one multiprocessor.

    Each scheduler needs some warps to hide waiting: w of them reach about w / (w + 3) of the peak.
    """
    blocks = _blocks(m, n, tile) * batch * parts
    in_turn = -(-blocks // multiprocessors)
    warps = min(in_turn * tiles.threads_of(tile, tile) // 32, FULL)
    work = in_turn * tile * tile * (k / parts + FILL) / (TILES[tile] * warps / (warps + 3))
    if parts == 1:
        return work
    return work + PASS * (2 * parts + 1) * m * n * batch / multiprocessors + LAUNCH


@functools.lru_cache(4096)
def cut(m: int, n: int, k: int, batch: int, multiprocessors: int) -> tuple[int, int]:
    """(tile, parts of K) that should take the least time.

    >>> cut(4096, 4096, 4096, 1, 132), cut(64, 64, 8192, 1, 132)
    ((128, 1), (64, 64))
    """
    ways = [(tile, 1) for tile in TILES]
    for tile in TILES:
        few = _blocks(m, n, tile) * batch < 2 * multiprocessors
        for parts in (2, 4, 8, 16, 32, 64):
            if few and k >= parts * PART and batch * parts * m * n <= MOST:
                ways.append((tile, parts))
    return min(ways, key=lambda way: _cost(m, n, k, batch, multiprocessors, *way))


# -- how operands lie ----------------------------------------------------------------------------------


class Operand(NamedTuple):
    """A batch of matrices as a kernel reads it.

    turned: do the matrices lie transposed?  batch: numbers from one to the next, 0 for one matrix.
    packed: must it be copied first, broadcast to `shape`?
    """

    turned: bool
    batch: int
    packed: bool
    shape: tuple[int, ...]


def _operand(shape: tuple, strides: tuple, lead: tuple, itemsize: int) -> Operand:
    """A factor of a product with these leading axes, copied only if its layout is neither of the two."""
    own, (rows, columns) = shape[:-2], shape[-2:]
    if math.prod(own) == 1:
        own = shape = ()
    elif own != lead:  # broadcast along some axes only
        return Operand(False, rows * columns, True, (*lead, rows, columns))
    shape = (*own, rows, columns)
    batch = rows * columns if own else 0
    lies = _lies(own, (rows, columns), strides, itemsize)
    turned = _lies(own, (columns, rows), (*strides[:-2], strides[-1], strides[-2]), itemsize)
    if turned and (not lies or (columns == 1 and not own)):  # a column is a row, and has neighbours
        return Operand(True, batch, False, shape)
    return Operand(False, batch, not lies, shape)


def _lies(own: tuple, matrix: tuple, strides: tuple, itemsize: int) -> bool:
    """Are these the strides of a packed array? Those of axes of length 1 say nothing."""
    shape = (*own, *matrix)
    wanted = packed_strides(shape, itemsize)
    return all(n == 1 or s == w for n, s, w in zip(shape, strides[-len(shape) :], wanted, strict=True))


def _flat(x: CudaArray, operand: Operand) -> CudaArray:
    """The numbers of a factor in the order in which a kernel reads them."""
    if operand.packed:
        x = np.broadcast_to(x.reshape(operand.shape) if len(operand.shape) < x.ndim else x, operand.shape)
        x = x.copy()
    return x if x.packed else CudaArray(x.memory, x.dtype, (x.size,), None, x.offset)


# -- plans ---------------------------------------------------------------------------------------------


class Epilogue(NamedTuple):
    """What is done to a product before it is written."""

    biased: bool = False
    activation: str | None = None


class Plan(NamedTuple):
    """Kernels and their numbers. partial: how many numbers `run` leaves for `finish`; 0: it writes out."""

    a: Operand
    b: Operand
    run: Callable[..., None]
    rest: tuple[int, ...]
    biased: bool
    partial: int
    finish: Callable[..., None] | None
    finish_rest: tuple[int, ...]


class Given(NamedTuple):
    """An array as far as plans depend on it."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    aligned: bool


def _given(x: CudaArray) -> Given:
    return Given(x.shape, x.strides, x.offset % 16 == 0)


@functools.lru_cache(4096)
def _plan(
    a: Given, b: Given, out: Given, dtype: np.dtype, epilogue: Epilogue, multiprocessors: int, rounded: bool
) -> Plan:
    """How to compute out (..., M, N) = f(a b + bias). Nothing is empty."""
    lead, (m, n), k = out.shape[:-2], out.shape[-2:], a.shape[-1]
    left = _operand(a.shape, a.strides, lead, dtype.itemsize)
    right = _operand(b.shape, b.strides, lead, dtype.itemsize)
    batch = math.prod(lead)
    if left.batch and not right.batch and not left.turned:  # one tall matrix
        m, batch, left = m * batch, 1, left._replace(batch=0)
    along_k = (not left.turned, right.turned)
    if dtype == np.float32:
        aligned = a.aligned or left.packed, b.aligned or right.packed
        wide = (
            (k if along_k[0] else m) % 4 == 0 and aligned[0],
            (k if along_k[1] else n) % 4 == 0 and aligned[1],
            n % 4 == 0 and out.aligned,
        )
        sizes = (m, n, k, batch, multiprocessors)
        if 1 in (m, n):
            quads = wide[n > 1] and (aligned[n == 1] or not along_k[n > 1])
            return _plan_vector(left, right, sizes, along_k, quads, epilogue)
        return _plan_float32(left, right, sizes, along_k, wide, epilogue, rounded and wide[0] and wide[1])
    run = gemm.plain_kernel(SCALARS[dtype], along_k, *epilogue)
    run = run[_blocks(m, n, gemm.SIDE) * batch, (gemm.SIDE, gemm.SIDE)]
    return Plan(left, right, run, (m, n, k, left.batch, right.batch), epilogue.biased, 0, None, ())


def _plan_float32(left, right, sizes, along_k, wide, epilogue: Epilogue, tensor_cores: bool) -> Plan:
    """The tile, the parts of K, and whether the epilogue is a kernel of its own."""
    m, n, k, batch, _ = sizes
    tile, parts = cut(*sizes)
    part = -(-k // parts // tf32.DEPTH) * tf32.DEPTH
    parts = -(-k // part)
    apart = parts > 1 or (tensor_cores and epilogue.activation is not None)
    now, later = (Epilogue(), epilogue) if apart else (epilogue, Epilogue())
    blocks = _blocks(m, n, tile) * batch * parts
    if tensor_cores:
        run = tf32.product_kernel(tile, along_k, now.biased)[blocks, tf32.threads_of(tile)]
    else:
        run = gemm.product_kernel(tile, along_k, wide, *now)[blocks, tiles.threads_of(tile, tile)]
    size = batch * m * n
    finish = gemm.sum_kernel(*later)[-(-size // THREADS), THREADS] if apart else None
    rest = (m, n, k, parts, part, left.batch, right.batch)
    return Plan(left, right, run, rest, now.biased, size * parts * apart, finish, (m * n, n, parts, size))


def _plan_vector(left, right, sizes, along_k, wide: bool, epilogue: Epilogue) -> Plan:
    """A matrix times a column (n is 1), or a row times a matrix: the same, with the factors changed over."""
    m, n, k, batch, multiprocessors = sizes
    along, steps = along_k[n > 1], (left.batch, right.batch)
    parts, part, blocks = vectors.cut(m * n, k, batch, multiprocessors, along, wide)
    size, apart = batch * m * n, parts > 1
    now, later = (Epilogue(), epilogue) if apart else (epilogue, Epilogue())
    kernel = (vectors.rows_kernel if along else vectors.columns_kernel)(wide, *now)[blocks, vectors.THREADS]
    finish = gemm.sum_kernel(*later)[-(-size // THREADS), THREADS] if apart else None
    rest = (m * n, k, parts, part, *(steps if n == 1 else steps[::-1]), int(n > 1))
    rest += (size * parts,) if along else ()
    run = kernel if n == 1 else lambda a, b, *others: kernel(b, a, *others)
    return Plan(left, right, run, rest, now.biased, size * parts * apart, finish, (m * n, n, parts, size))


def _multiply(a, b, bias, out: CudaArray, activation: str | None, rounded: bool) -> None:
    """out (..., M, N) = f(a (..., M, K) b (..., K, N) + bias (N)); out is packed, nothing is empty."""
    _check_size("a product", a, b, out)
    device = driver.device_properties()
    rounded = rounded and device.capability >= tf32.CAPABILITY
    epilogue = Epilogue(bias is not None, activation)
    plan = _plan(_given(a), _given(b), _given(out), a.dtype, epilogue, device.multiprocessors, rounded)
    target = empty((plan.partial,), out.dtype) if plan.partial else out
    bias = 0 if bias is None else bias
    plan.run(_flat(a, plan.a), _flat(b, plan.b), bias if plan.biased else 0, target, *plan.rest)
    if plan.finish is not None:
        plan.finish(target, bias, out, *plan.finish_rest)


# -- functions for CudaArray ---------------------------------------------------------------------------


def matmul(a: CudaArray, b: CudaArray, out: CudaArray | None = None, tf32: bool | None = None) -> CudaArray:
    """`np.matmul`: (..., M, K), (..., K, N) -> (..., M, N); a vector is one row (left) or column (right).

    Args:
        tf32: may float32 factors be rounded for tensor cores (10 bits of mantissa)? None: as `allow_tf32`
            says. They are used from compute capability 8.0 on, for factors with rows of 4 n numbers.

    Raises:
        ValueError: shapes that do not fit. TypeError: operands of different types, or booleans.
    """
    _check("matmul", a, b)
    matrices, shape = _shapes(a.shape, b.shape)
    if out is not None and out.shape != shape:
        raise ValueError(f"matmul of {a.shape} and {b.shape} into {out.shape}: out must be {shape}")
    direct = out is not None and _is_target(out, a, b)
    result = out if direct else empty(shape, a.dtype)
    if not a.shape[-1]:
        result.fill(0)
    elif result.size:
        left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
        to = result if matrices == shape else result.reshape(matrices)
        _multiply(left, right, None, to, None, allow_tf32 if tf32 is None else tf32)
    if out is None or direct:
        return result
    copy_into(result, out)
    return out


@functools.lru_cache(4096)
def _shapes(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(the shape of a product with vectors as matrices, the shape that `np.matmul` gives it)."""
    if not a or not b:
        raise ValueError("matmul: an operand has no axis. Fix: use * for numbers")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    if left[-1] != right[-2]:
        raise ValueError(f"matmul of {a} and {b}: inner sizes must agree. Fix: transpose one?")
    lead = np.broadcast_shapes(left[:-2], right[:-2])
    shape = (*lead, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))
    return (*lead, left[-2], right[-1]), shape


def linear(
    x: CudaArray, weight: CudaArray, bias: CudaArray | None = None, activation: str | None = None
) -> CudaArray:
    """f(x W^T + b) in one kernel: x (..., in), weight (out, in), bias (out,) -> (..., out).

    activation: None, "relu", "gelu", "sigmoid" or "tanh".

    Raises:
        ValueError: shapes that do not fit. TypeError: different types.
    """
    _check("linear", x, weight, *(() if bias is None else (bias,)))
    fits = x.ndim and weight.ndim == 2 and x.shape[-1] == weight.shape[1]
    if not fits or (bias is not None and bias.shape != weight.shape[:1]):
        given = f"x {x.shape}, weight {weight.shape}, bias {None if bias is None else bias.shape}"
        raise ValueError(f"linear of {given}: they must be (..., in), (out, in), (out,). Fix: x.reshape(...)")
    if activation not in gemm.ACTIVATIONS or (activation and x.dtype.kind != "f"):
        known = ", ".join(name for name in gemm.ACTIVATIONS if name)
        raise ValueError(f"linear: activation {activation!r} of {x.dtype}; known for floats are {known}")
    out = empty((*x.shape[:-1], len(weight)), x.dtype)
    if not out.size:
        return out
    rows = x.reshape(-1, x.shape[-1]) if x.shape[-1] else zeros((out.size // len(weight), 1), x.dtype)
    columns = weight.T if x.shape[-1] else zeros((1, len(weight)), x.dtype)
    bias = None if bias is None else bias if bias.packed else bias.copy()
    _multiply(rows, columns, bias, out.reshape(-1, len(weight)), activation, allow_tf32)
    return out


def _check(name: str, *arrays: CudaArray) -> None:
    for x in arrays:
        if not isinstance(x, CudaArray):
            raise TypeError(f"{name}: one operand is a {type(x).__name__}, not on the GPU. Fix: asarray(x)")
        if x.dtype != arrays[0].dtype or x.dtype == np.bool_:
            raise TypeError(
                f"{name} of {arrays[0].dtype} and {x.dtype}: all must be numbers of one type. "
                "Fix: x.astype(...)"
            )


def _check_size(name: str, *arrays: CudaArray) -> None:
    most = max(x.size for x in arrays)
    if most > MOST:
        raise NotImplementedError(f"{name} with an array of {most} numbers: at most 2^31. Fix: in parts")


def _is_target(out: CudaArray, a: CudaArray, b: CudaArray) -> bool:
    """Can a product be written into `out` at once?"""
    whole = out.packed and out.writeable and out.dtype == a.dtype
    return whole and not out.overlaps(a) and not out.overlaps(b)
