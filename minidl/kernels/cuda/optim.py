"""Optimiser steps: one pass over weights, gradients and state, in place, four numbers a thread at a time.

    for i in all numbers, four at a time
        load w, g, state -> update in registers -> store w, state

An update reads and writes 4 to 7 numbers for some ten operations, so it takes as long as memory needs to move
them: NumPy's form, a pass for every `*=` and `+=`, would take four times as long. State that the settings do
not need is the number 0, and leaves no trace in the compiled kernel.

lr and step may also be arrays of one number on the device. A CUDA graph repeats its launches with the numbers
that they had when it was recorded: what changes from step to step must then lie in memory, where the one who
replays can change it. For the same reason Adam's corrections are computed by the kernel, once a thread.
"""

import functools
import math

from minidl.kernels.cuda.array import CudaArray
from minidl.kernels.cuda.driver import SCALARS, Device, Scalar, cuda, device, float32, int32, kernel
from minidl.kernels.cuda.instructions import load, load4, store, store4
from minidl.kernels.cuda.pointwise import MAX_BLOCKS, READERS, THREADS, is_aligned

__all__ = ["adagrad_step", "adam_step", "rmsprop_step", "sgd_step"]


# -- how large a step is: lr, the step's number, settings -> rate, scale, decay ----------------------


@device
def constant_rate(lr, step, weight_decay, p, q, r):
    return lr, lr, weight_decay


@functools.cache
def decaying_rate(number: Scalar) -> Device:
    @device
    def decaying_rate(lr, step, weight_decay, lr_decay, q, r):
        return lr / (number(1) + (step - number(1)) * lr_decay), lr, weight_decay

    return decaying_rate


@functools.cache
def corrected_rate(number: Scalar, decoupled: bool) -> Device:
    @device
    def corrected_rate(lr, step, weight_decay, keep1, keep2, r):
        """Averages that start at 0 hold, after t steps, 1 - beta^t of what they should; beta = 1 - keep."""
        first = -math.expm1(step * math.log1p(-keep1))
        second = -math.expm1(step * math.log1p(-keep2))
        decay = lr * weight_decay if decoupled else weight_decay
        return lr / first, number(1) / math.sqrt(second), decay

    return corrected_rate


# -- one number: w, g, state a, b, c -> w, a, b, c -------------------------------------------------


@functools.cache
def decayed(number: Scalar) -> Device:
    @device
    def decayed(g, w, decay):
        """g + decay w; without decay an infinite w does not matter."""
        return g + decay * w if decay != number(0) else g

    return decayed


@functools.cache
def sgd(number: Scalar, momentum: bool, nesterov: bool) -> Device:
    with_decay = decayed(number)

    @device
    def sgd(w, g, velocity, b, c, rate, scale, decay, inertia, keep, r):
        g = with_decay(g, w, decay)
        if momentum:
            velocity = inertia * velocity + keep * g
            g = g + inertia * velocity if nesterov else velocity
        return w - rate * g, velocity, b, c

    return sgd


@functools.cache
def adam(number: Scalar, decoupled: bool, amsgrad: bool) -> Device:
    one, with_decay = number(1), decayed(number)

    @device
    def adam(w, g, m, v, largest, rate, scale, decay, keep1, keep2, eps):
        if decoupled:
            w = w - decay * w
        else:
            g = with_decay(g, w, decay)
        m = (one - keep1) * m + keep1 * g
        v = (one - keep2) * v + keep2 * g * g
        top = v
        if amsgrad:
            top = v if v > largest or v != v else largest
            largest = top
        return w - rate * m / (math.sqrt(top) * scale + eps), m, v, largest

    return adam


@functools.cache
def adagrad(number: Scalar) -> Device:
    with_decay = decayed(number)

    @device
    def adagrad(w, g, total, b, c, rate, scale, decay, p, eps, r):
        g = with_decay(g, w, decay)
        total = total + g * g
        return w - rate * g / (math.sqrt(total) + eps), total, b, c

    return adagrad


@functools.cache
def rmsprop(number: Scalar, momentum: bool, centred: bool) -> Device:
    one, with_decay = number(1), decayed(number)

    @device
    def rmsprop(w, g, square, velocity, mean, rate, scale, decay, keep, eps, inertia):
        g = with_decay(g, w, decay)
        square = (one - keep) * square + keep * g * g
        spread = square
        if centred:
            mean = (one - keep) * mean + keep * g
            spread = square - mean * mean
        g = g / (math.sqrt(spread) + eps)
        if momentum:
            velocity = inertia * velocity + g
            g = velocity
        return w - rate * g, square, velocity, mean

    return rmsprop


# -- all numbers -----------------------------------------------------------------------------------


@device
def write(a, i, x):
    store(a, i, x)


@device
def write_four(a, i, x, y, z, w):
    store4(a, i, x, y, z, w)


@device
def leave(a, i, x):
    """State that is not there."""


@device
def leave_four(a, i, x, y, z, w):
    pass


WRITERS = {1: {"element": write, "number": leave}, 4: {"element": write_four, "number": leave_four}}
"""Numbers at a time -> kind of state -> how it is written."""


def _one(update: Device, kinds: tuple[str, ...]) -> Device:
    """Device code that updates number i."""
    (read_a, read_b, read_c), (write_a, write_b, write_c) = (
        [table[1][kind] for kind in kinds] for table in (READERS, WRITERS)
    )

    @device
    def one(w, g, a, b, c, i, rate, scale, decay, p, q, r):
        wi, ai, bi, ci = update(
            load(w, i), load(g, i), read_a(a, i), read_b(b, i), read_c(c, i), rate, scale, decay, p, q, r
        )
        store(w, i, wi)
        write_a(a, i, ai)
        write_b(b, i, bi)
        write_c(c, i, ci)

    return one


def _four(update: Device, kinds: tuple[str, ...]) -> Device:
    """Device code that updates numbers i to i + 3."""
    (read_a, read_b, read_c), (write_a, write_b, write_c) = (
        [table[4][kind] for kind in kinds] for table in (READERS, WRITERS)
    )

    @device
    def four(w, g, a, b, c, i, rate, scale, decay, p, q, r):
        w0, w1, w2, w3 = load4(w, i)
        g0, g1, g2, g3 = load4(g, i)
        a0, a1, a2, a3 = read_a(a, i)
        b0, b1, b2, b3 = read_b(b, i)
        c0, c1, c2, c3 = read_c(c, i)
        w0, a0, b0, c0 = update(w0, g0, a0, b0, c0, rate, scale, decay, p, q, r)
        w1, a1, b1, c1 = update(w1, g1, a1, b1, c1, rate, scale, decay, p, q, r)
        w2, a2, b2, c2 = update(w2, g2, a2, b2, c2, rate, scale, decay, p, q, r)
        w3, a3, b3, c3 = update(w3, g3, a3, b3, c3, rate, scale, decay, p, q, r)
        store4(w, i, w0, w1, w2, w3)
        write_a(a, i, a0, a1, a2, a3)
        write_b(b, i, b0, b1, b2, b3)
        write_c(c, i, c0, c1, c2, c3)

    return four


@functools.cache
def step_kernel(update: Device, rates: Device, number: Scalar, kinds: tuple[str, ...], width: int):
    """A kernel of one optimiser; kinds: "element" (an array) or "number", of a, b, c, lr and step."""
    one, four = _one(update, kinds[:3]), _four(update, kinds[:3])
    read_lr, read_step = (READERS[1][kind] for kind in kinds[3:])

    @kernel
    def optimizer_step(w, g, a, b, c, lr, step, n, weight_decay, p, q, r):
        rate, scale, decay = rates(number(read_lr(lr, 0)), number(read_step(step, 0)), weight_decay, p, q, r)
        start = int32(cuda.grid(1))
        whole = int32(n - n % 4) if width == 4 else 0
        if width == 4:
            for i in range(int32(4 * start), whole, int32(4 * cuda.gridsize(1))):
                four(w, g, a, b, c, i, rate, scale, decay, p, q, r)
        for i in range(int32(whole + start), n, int32(cuda.gridsize(1))):
            one(w, g, a, b, c, i, rate, scale, decay, p, q, r)

    return optimizer_step


def _update(name: str, update, rates, arrays, lr, step, settings) -> None:
    """One step on flat arrays (P,): weights, gradients and state, of which some may be None."""
    w = arrays[0]
    _check(name, [x for x in arrays if x is not None])
    if not w.size:
        return
    number = SCALARS[w.dtype]
    lr, step = (x if isinstance(x, CudaArray) else number(x) for x in (lr, step))
    given = [0 if x is None else x for x in arrays]
    kinds = tuple("element" if isinstance(x, CudaArray) else "number" for x in (*given[2:], lr, step))
    wide = number is float32 and all(is_aligned(x) for x in arrays if x is not None)
    run = step_kernel(update, rates, number, kinds, 4 if wide else 1)
    blocks = min(MAX_BLOCKS, -(-w.size // (THREADS * (4 if wide else 1))))
    run[blocks, THREADS](*given, lr, step, w.size, *map(number, settings))


def _check(name: str, arrays: list[CudaArray]) -> None:
    w = arrays[0]
    if w.dtype.kind != "f" or any(x.dtype != w.dtype or x.shape != w.shape or x.ndim != 1 for x in arrays):
        given = ", ".join(f"{x.dtype} {x.shape}" for x in arrays)
        raise TypeError(
            f"{name}({given}): weights, gradients and state must be floats of one dtype, flat (P,)"
        )


# -- the kernels: lr and step are numbers, or arrays of one number on the device ---------------------


def sgd_step(w, g, velocity, lr, momentum, dampening, weight_decay, nesterov, first):
    """`reference.sgd_step`."""
    if velocity is not None and first:
        velocity.fill(0)
    keep = 1 if first else 1 - dampening
    update = sgd(SCALARS[w.dtype], velocity is not None, bool(nesterov))
    _update(
        "sgd_step",
        update,
        constant_rate,
        (w, g, velocity, None, None),
        lr,
        1,
        (weight_decay, momentum, keep, 0),
    )


def adam_step(w, g, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """`reference.adam_step`."""
    number = SCALARS[w.dtype]
    update, rates = (
        adam(number, bool(decoupled), largest is not None),
        corrected_rate(number, bool(decoupled)),
    )
    settings = weight_decay, 1 - beta1, 1 - beta2, eps
    _update("adam_step", update, rates, (w, g, m, v, largest), lr, step, settings)


def adagrad_step(w, g, total, lr, lr_decay, eps, weight_decay, step):
    """`reference.adagrad_step`."""
    number = SCALARS[w.dtype]
    settings = weight_decay, lr_decay, eps, 0
    _update(
        "adagrad_step", adagrad(number), decaying_rate(number), (w, g, total, None, None), lr, step, settings
    )


def rmsprop_step(w, g, square, velocity, mean, lr, alpha, eps, weight_decay, momentum):
    """`reference.rmsprop_step`."""
    update = rmsprop(SCALARS[w.dtype], velocity is not None, mean is not None)
    settings = weight_decay, 1 - alpha, eps, momentum
    _update("rmsprop_step", update, constant_rate, (w, g, square, velocity, mean), lr, 1, settings)
