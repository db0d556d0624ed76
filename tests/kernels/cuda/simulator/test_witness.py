"""Numba's own simulator as a witness: does it get the same from our kernels as our simulator does?

Both could misread the language of kernels, but they have nothing in common: ours runs a function's source for
all threads together, Numba's calls the function itself, in a Python thread for each thread of the GPU. It has
no shuffles and no `syncwarp`, and takes seconds for a few thousand threads, so it sees small arrays, and
kernels that meet in shared memory.

Numba decides when it is loaded whether to simulate. So this file is also a program, run with
NUMBA_ENABLE_CUDASIM=1: it computes all cases and writes them to a file.

    python test_witness.py results.npz
"""

import builtins
import dis
import functools
import math
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import minidl
from minidl.kernels.cuda import (
    convolution,
    ctc,
    driver,
    embedding,
    indexing,
    language,
    normalization,
    optim,
    pooling,
    products,
    recurrent,
    simulator,
)
from minidl.kernels.cuda.array import CudaArray, asarray, empty
from minidl.kernels.cuda.driver import Device, Scalar
from minidl.kernels.cuda.instructions import Instruction

NO_SIMULATOR = 3
"""Exit status of the program where Numba has no simulator."""
ROUNDING = 1e-6
"""A unit in the last place is 1.2e-7 of a float32; `exp` and sums may differ by some of them."""


# -- cases -----------------------------------------------------------------------------------------


class Case(NamedTuple):
    """Calls of the library. kernels: those that they must launch. exact: are all results the same bits?"""

    compute: Callable[..., object]
    kernels: tuple[str, ...]
    exact: bool = True


CASES: dict[str, Case] = {}


def case(*kernels: str, exact: bool = True) -> Callable:
    """Enter a function, that gets a random generator and returns arrays of the device, into the cases."""

    def enter(compute):
        CASES[compute.__name__] = Case(compute, kernels, exact)
        return compute

    return enter


def drawn(rng, *shape, dtype=np.float32) -> CudaArray:
    return asarray(rng.normal(size=shape).astype(dtype))


def whole(rng, *shape) -> CudaArray:
    """Whole numbers: their sums are exact in any order."""
    return asarray(rng.integers(-9, 10, shape).astype(np.float32))


@case("flat")
def four_at_a_time_and_a_tail(rng):
    """1031 numbers: 257 times four, then three; in two blocks."""
    x, y = drawn(rng, 1031), drawn(rng, 1031)
    return x * y, np.maximum(x, 0.5), x / y


@case("flat", exact=False)
def functions_of_the_mathematical_library(rng):
    x = drawn(rng, 131)
    return np.tanh(x), np.exp(x), np.log(np.abs(x))


@case("strided")
def broadcast(rng):
    return drawn(rng, 3, 1, 5) - drawn(rng, 7, 1)


@case("turn")
def turned(rng):
    """Tiles of 32 x 32 in shared memory, of which most are ragged."""
    return np.negative(drawn(rng, 2, 35, 41).transpose(0, 2, 1), out=empty((2, 41, 35), np.float32))


@case("fold_columns")
def sum_and_maximum_of_columns(rng):
    """Rows of threads meet in shared memory."""
    x = drawn(rng, 37, 35)
    return np.add.reduce(x, 0), np.maximum.reduce(x, 0)


@case("channel_sums")
def gradients_of_channels(rng):
    """Two sums, one after the other through the same shared memory."""
    g, x, mean, weight = drawn(rng, 9, 33), drawn(rng, 9, 33), drawn(rng, 1, 33), drawn(rng, 33)
    return normalization.standardize_backward(g, x, mean, mean**2, weight, (33,), (0,), 1e-1)


@case("plain_product")
def plain_product(rng):
    """Tiles of 16 x 16, ragged in all three axes, two barriers a tile."""
    return drawn(rng, 19, 21, dtype=np.float64) @ drawn(rng, 21, 18, dtype=np.float64)


@case("product")
def tiled_product(rng):
    """Four tiles of 64 x 64, three steps along k; `load4` and `store4` throughout."""
    return drawn(rng, 68, 20) @ drawn(rng, 20, 72)


@case("product", exact=False)
def tiled_product_one_by_one(rng):
    """No axis is a multiple of four; bias and activation at the end."""
    return products.linear(drawn(rng, 5, 11), drawn(rng, 7, 11), drawn(rng, 7), "gelu")


@case("convolve")
def convolutions(rng):
    """Windows gathered by tables, and the gradient to the input with the phases of stride 2."""
    x, w, settings = drawn(rng, 2, 3, 7, 6), drawn(rng, 9, 3, 3, 2), ((2, 2), (1, 1), (1, 1), 1)
    out = convolution.convolution(x, w, (4, 4), *settings)
    return out, convolution.convolution_backward_input(out, w, (7, 6), *settings)


@case("max_pool_kernel", "add_at_maxima")
def pooling_with_atomic_additions(rng):
    """Windows overlap, so places get several numbers, and at once."""
    places = np.arange(6) + np.arange(3)[:, None] - 1
    table = np.where(places < 0, 6, places)
    values, index = pooling.max_pool(whole(rng, 2, 6, 6), [table, table])
    return values, index, pooling.max_pool_backward(values, index, (6, 6))


@case("count_on", "put")
def atomic_additions(rng):
    x, rows = whole(rng, 5, 7), asarray(rng.integers(-5, 5, 40))
    indexing.add_at(x, rows, whole(rng, 40, 7))
    return x


@case("take")
def rows_of_a_table(rng):
    """One row number is too large: nan, four at a time."""
    return embedding.take_rows(drawn(rng, 9, 12), asarray(np.array([3, 0, 8, 3, 9])))


@case("lstm_step", exact=False)
def lstm(rng):
    """Two steps of a ragged batch: eight warps share a product's axis k, and meet in shared memory."""
    weights = drawn(rng, 20, 4), drawn(rng, 20, 5), drawn(rng, 20), drawn(rng, 20)
    x, h0, c0 = drawn(rng, 5, 4), drawn(rng, 3, 5), drawn(rng, 3, 5)
    return recurrent.lstm_sequence(x, h0, c0, *weights, None, np.array([3, 2]))[:3]


@case("walk", exact=False)
def walks_through_targets(rng):
    """Three sequences from both ends; the threads of a block meet after each of four times."""
    log_probs = np.log(rng.dirichlet(np.ones(5), (4, 3))).astype(np.float32)
    targets, times, lengths = np.array([[1, 1], [2, 4], [3, 0]]), np.full(3, 4), np.array([2, 2, 2])
    return ctc.ctc(*map(asarray, (log_probs, targets, times, lengths)), 0)


@case("optimizer_step", exact=False)
def optimiser(rng):
    w, g, m = (drawn(rng, 37) for _ in range(3))
    v = drawn(rng, 37) ** 2
    optim.adam_step(w, g, m, v, None, 1e-3, 0.9, 0.999, 1e-8, 0.1, True, 3)
    return w, m, v


def computed(name: str) -> list[np.ndarray]:
    """The results of a case."""
    with driver.simulated():
        results = CASES[name].compute(np.random.default_rng(0))
        return [x.get() for x in (results if isinstance(results, tuple) else (results,))]


# -- the comparison --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def witness(tmp_path_factory):
    """What Numba's simulator gets: "case 0", ... and "case kernels", their names."""
    path = tmp_path_factory.mktemp("witness") / "results.npz"
    paths = [str(Path(minidl.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    environment = {
        **os.environ,
        "NUMBA_ENABLE_CUDASIM": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    command = [sys.executable, "-W", "ignore", __file__, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode == NO_SIMULATOR:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    with np.load(path) as results:
        yield dict(results)


@pytest.mark.parametrize("name", CASES)
def test_both_simulators_agree(witness, name):
    assert set(CASES[name].kernels) <= set(witness[f"{name} kernels"])
    for k, mine in enumerate(computed(name)):
        other = witness[f"{name} {k}"]
        assert mine.dtype == other.dtype
        if CASES[name].exact:
            np.testing.assert_array_equal(mine, other)
        else:
            np.testing.assert_allclose(mine, other, rtol=ROUNDING, atol=ROUNDING)


# -- the program: our words in Numba's simulator ---------------------------------------------------


def of_this_launch():
    """What Numba's simulator calls `cuda` in the kernel that it runs."""
    from numba.cuda.simulator import kernel

    return kernel._get_kernel_context()


class Shared:
    """`cuda.shared`. Numba's knows no alignment, and threads that come at once may each get one."""

    def array(self, shape, dtype, alignment=None):
        """One array for all threads of a block that come by this line, as in Numba's simulator."""
        caller, launch = sys._getframe(1), of_this_launch()
        place = *launch.blockIdx, caller.f_code.co_filename, caller.f_lineno, shape
        return launch.shared._allocations.setdefault(place, np.full(shape, np.nan, dtype))


class Words:
    """`cuda`, wherever a kernel or a function that it calls says so."""

    shared = Shared()

    def __getattr__(self, name: str):
        return getattr(of_this_launch(), name)


def load(array, i):
    if not 0 <= i < len(array):
        raise IndexError(f"element {i} of {len(array)}")
    return array[i]


def store(array, i, value):
    if not 0 <= i < len(array):
        raise IndexError(f"element {i} of {len(array)}")
    array[i] = value


def load4(array, i):
    if i % 4:
        raise IndexError(f"elements {i}, ...: no multiple of 4")
    return tuple(load(array, i + k) for k in range(4))


def store4(array, i, *values):
    if i % 4:
        raise IndexError(f"elements {i}, ...: no multiple of 4")
    for k in range(4):
        store(array, i + k, values[k])


INSTRUCTIONS = {
    "load": load,
    "store": store,
    "load4": load4,
    "store4": store4,
    "udiv": lambda a, b: int(a) // int(b),
    "umod": lambda a, b: int(a) % int(b),
}


class Mathematics:
    """`math`, where log(0) is -inf and no error."""

    def log(self, x):
        return math.log(x) if x != 0 else -math.inf

    def __getattr__(self, name: str):
        return getattr(math, name)


def translated(value):
    """What a name of a kernel stands for in Numba's simulator."""
    if isinstance(value, Device):
        return rebuilt(value.function)
    if isinstance(value, Instruction):
        return INSTRUCTIONS[value.__name__]
    if isinstance(value, Scalar):
        return value.dtype.type
    if value is math:
        return Mathematics()
    return Words() if value is language.cuda else value


@functools.cache
def rebuilt(function: types.FunctionType) -> types.FunctionType:
    """The same code, with other objects under the names that it takes from its module and its factory."""
    code, around = function.__code__, function.__globals__
    used = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    names = {name: translated(around[name]) for name in used if name in around}
    cells = tuple(types.CellType(translated(c.cell_contents)) for c in function.__closure__ or ())
    names["__builtins__"] = builtins
    return types.FunctionType(code, names, function.__name__, function.__defaults__, cells)


def write_results(path: str) -> None:
    """Compute all cases, each launch by Numba's simulator instead of ours."""
    try:
        from numba import cuda
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
    except ImportError as error:
        print(f"Numba has no simulator of CUDA here: {error}", file=sys.stderr)
        sys.exit(NO_SIMULATOR)
    launched = []

    def run(kernel, grid, block, args, shared=0):
        launched.append(kernel.__name__)
        given = [FakeCUDAArray(a) if isinstance(a, np.ndarray) else a for a in args]
        cuda.jit(rebuilt(kernel.function))[grid, block, 0, shared](*given)

    simulator.run, results = run, {}
    for name in CASES:
        launched.clear()
        results |= {f"{name} {k}": x for k, x in enumerate(computed(name))}
        results[f"{name} kernels"] = np.array(launched)
    np.savez(path, **results)


if __name__ == "__main__":
    write_results(sys.argv[1])
