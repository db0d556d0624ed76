"""`python -m minidl warm`: compile the fast kernels before anyone waits for them.

Numba compiles a kernel when it is first called and keeps the machine code on disk. So warming up is to do,
once, a little of everything that a network can do, on arrays large enough for the compiled kernels. A test
walks `kernels.COMPILED` and refuses a kernel that nothing here calls.

A compiler works on one core. So if there is much to compile, as many processes as there are cores do it.
"""

from __future__ import annotations

import importlib.util
import signal
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import minidl
from minidl import nn, optim
from minidl.kernels import COMPILED, WORTH_COMPILING
from minidl.kernels.threads import splitting_all, thread_count
from minidl.nn import functional as F
from minidl.progress import progress
from minidl.tensor import Tensor

WORK = {}
"""What is done -> the function that does it. First little, to see if it compiles; then much before little."""


def work(function):
    WORK[function.__name__.strip("_").replace("_", " ")] = function
    return function


def _batch(*shape: int) -> Tensor:
    return minidl.tensor(minidl.randn(*shape, generator=minidl.Generator()).numpy(), requires_grad=True)


def _both_ways(function, *inputs: Tensor) -> None:
    """The function and its gradients; what arrives at the function is an array of its own."""
    out = function(*inputs)
    out = out[0] if isinstance(out, tuple) else out
    (out * out.detach()).sum().backward()


@work
def _embedding():
    _both_ways(nn.Embedding(64, 128), minidl.arange(64))


@work
def _convolution():
    x = _batch(8, 4, 16, 16)
    for layer in (nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(4, 8, 3, stride=2), nn.Conv2d(4, 8, 1)):
        _both_ways(layer, x)
    _both_ways(nn.Conv2d(16, 16, 3, padding=1), _batch(16, 16, 16, 16))  # channels enough for Winograd's way
    _both_ways(nn.ConvTranspose2d(4, 8, 2, stride=2), x)
    _both_ways(nn.Conv1d(4, 8, 3), _batch(8, 4, 256))


@work
def _attention():
    q, k, v = (_batch(2, 4, 64, 32) for _ in range(3))
    keep = minidl.ones(64, 64).tril().bool()
    for settings in ({}, {"is_causal": True}, {"attn_mask": keep}, {"attn_mask": keep.float()}):
        _both_ways(lambda q, k, v, s=settings: F.scaled_dot_product_attention(q, k, v, **s), q, k, v)


@work
def _recurrent():
    x = _batch(16, 8, 32)  # (T, N, D)
    for layer in (nn.RNN(32, 64), nn.RNN(32, 64, nonlinearity="relu"), nn.LSTM(32, 64), nn.GRU(32, 64)):
        _both_ways(layer, x)
    _both_ways(nn.LSTM(32, 64, proj_size=32), x)
    _both_ways(nn.LSTM(32, 64, bidirectional=True), x)


@work
def _activations():
    x = _batch(64, 128)
    for layer in (
        nn.ReLU(), nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Sigmoid(), nn.Tanh(),
        nn.Softplus(), nn.Softmax(-1), nn.LogSoftmax(-1), nn.Softmax(0), nn.Hardswish(), nn.Mish(),
        nn.Dropout(0.5),
    ):  # fmt: skip
        _both_ways(layer, x)


@work
def _normalisation():
    x, rows = _batch(8, 4, 16, 16), _batch(64, 128)
    for layer in (nn.BatchNorm2d(4), nn.GroupNorm(2, 4)):
        _both_ways(layer, x)
        layer.eval()
        _both_ways(layer, x)
    for layer in (nn.LayerNorm(128), nn.RMSNorm(128), nn.BatchNorm1d(128)):
        _both_ways(layer, rows)


@work
def _optimisers():
    for kind, settings in (
        (optim.SGD, {}), (optim.SGD, {"momentum": 0.9}), (optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (optim.Adam, {}), (optim.Adam, {"amsgrad": True}), (optim.AdamW, {}), (optim.Adagrad, {}),
        (optim.RMSprop, {}), (optim.RMSprop, {"momentum": 0.9}), (optim.RMSprop, {"centered": True}),
    ):  # fmt: skip
        layer = nn.Linear(2 * WORTH_COMPILING // 64, 64)
        optimizer = kind(layer.parameters(), lr=1e-3, **settings)
        for _ in range(2):  # the first step may differ
            layer(_batch(1, layer.in_features)).sum().backward()
            optimizer.step()


@work
def _arithmetic():
    x, y = _batch(64, 128), _batch(64, 128)
    for function in (
        minidl.add, minidl.sub, minidl.mul, minidl.div, minidl.maximum, minidl.minimum, minidl.matmul,
    ):  # fmt: skip
        _both_ways(function, x, y if function is not minidl.matmul else _batch(128, 64))
    for function in (
        minidl.exp, minidl.erf, minidl.sin, minidl.cos, minidl.abs, minidl.neg, minidl.square, minidl.mean,
        minidl.sum, minidl.max, minidl.var,
    ):  # fmt: skip
        _both_ways(function, x)
    positive = x.detach().exp().requires_grad_()
    for function in (minidl.log, minidl.log1p, minidl.sqrt, minidl.rsqrt):
        _both_ways(function, positive)
    _both_ways(lambda x: minidl.logsumexp(x, 1), x)
    _both_ways(lambda x, y: minidl.where(x > 0, x, y), x, y)


@work
def _pooling():
    x = _batch(8, 4, 16, 16)
    for layer in (nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(4)):
        _both_ways(layer, x)
    for layer in (nn.MaxPool1d(2), nn.AvgPool1d(2)):
        _both_ways(layer, x.flatten(2))
    _both_ways(lambda x: F.interpolate(x, scale_factor=2), x)
    columns = F.unfold(x, 3)
    _both_ways(lambda c: F.fold(c, (16, 16), 3), columns.detach().requires_grad_())
    _both_ways(lambda x: F.unfold(x, 3), x)


@work
def _losses():
    x, t, labels = _batch(64, 128), _batch(64, 128).detach(), minidl.arange(64)
    for loss in (F.mse_loss, F.l1_loss, F.huber_loss, F.binary_cross_entropy_with_logits):
        loss(x, t.sigmoid()).backward()
    F.cross_entropy(x, labels).backward()
    F.cross_entropy(x, t.softmax(-1)).backward()
    F.cross_entropy(x, labels, label_smoothing=0.1).backward()
    F.nll_loss(F.log_softmax(x, -1), labels).backward()
    lengths = minidl.full((4,), 10).long()
    sequences = F.log_softmax(_batch(64, 4, 32), -1)
    F.ctc_loss(sequences, minidl.ones(4, 10).long(), lengths * 6, lengths).backward()


def _do(name: str) -> int:
    """Do one thing. Returns how many functions had to be compiled for it."""
    from numba.core.event import install_recorder

    with splitting_all(), install_recorder("numba:compile") as compiled:
        WORK[name]()
    return len(compiled.buffer)


def _side_by_side(names: list[str], bar) -> None:
    """Do these in processes beside this one, which Ctrl-C ends at once. What fails there is not heard of."""
    ended_by_ctrl_c = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_DFL)}
    pool = ProcessPoolExecutor(thread_count(), get_context("spawn"), **ended_by_ctrl_c)
    try:
        names_of = {pool.submit(_do, name): name for name in names}
        for done in as_completed(names_of):
            bar.advance(names_of[done])
    finally:
        pool.shutdown(cancel_futures=True)


def warm(show: bool = True) -> str:
    """Compile every kernel, with a progress bar if `show`.

    Returns:
        What was done, in a sentence.
    """
    if importlib.util.find_spec("numba") is None:
        return "Numba is not installed: there is nothing to compile, the kernels in NumPy are used."
    from minidl.kernels.cpu.compiling import is_kept

    if not is_kept():
        return (
            "No folder for compiled kernels can be written: each Python compiles what it needs. Fix: set "
            "NUMBA_CACHE_DIR to a folder that can."
        )
    start, names = time.perf_counter(), list(WORK)
    with progress(len(names), "compiling kernels", show) as bar:
        while names:
            name = names.pop(0)
            compiled = _do(name)
            bar.advance(name)
            if compiled and thread_count() > 1:
                _side_by_side(names, bar)
                break
        for name in names:  # again, from disk: of what two processes kept at once, one may be lost
            _do(name)
    return f"{len(COMPILED)} kernels are compiled ({time.perf_counter() - start:.1f} s)."
