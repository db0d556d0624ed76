"""How fast the kernels are, beside the maker's own: cuBLAS and cuDNN, through PyTorch, where it is installed.

Each pair runs in turns on the same GPU, in float32 without tensor cores on both sides, and its results are
compared. Times are medians over rounds, taken by the GPU's own clock. Training steps are timed by
`python -m tests.benchmarks --device cuda`, which writes them beside these.
"""

from __future__ import annotations

import importlib.util
import platform
import statistics
from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda import convolution, driver, memory, products
from minidl.kernels.cuda.array import asarray

ROUNDS, REPEATS = 15, 10
SIZES = (512, 1024, 2048, 4096, 8192)
"""Of square matrices."""
CONVOLUTIONS = (
    ("LeNet 2: 6 -> 16, 5x5, 12x12", (64, 6, 12, 12), (16, 6, 5, 5), 0),
    ("64 -> 64, 3x3, 56x56", (32, 64, 56, 56), (64, 64, 3, 3), 1),
    ("128 -> 128, 3x3, 28x28", (32, 128, 28, 28), (128, 128, 3, 3), 1),
    ("256 -> 256, 3x3, 14x14", (32, 256, 14, 14), (256, 256, 3, 3), 1),
)


def run(quick: bool = False) -> dict:
    """All figures, as JSON can hold them. On the simulator they say nothing; `quick` does each once."""
    rounds, sizes = (1, SIZES[:1]) if quick else (ROUNDS, SIZES)
    torch = _torch()
    figures = {"machine": machine(), "products": [], "convolutions": []}
    for n in sizes:
        figures["products"].append(_product(n, torch, rounds))
        print(_line(figures["products"][-1]), flush=True)
    for case in CONVOLUTIONS[:1] if quick else CONVOLUTIONS:
        for entry in _convolution(*case, torch, rounds):
            figures["convolutions"].append(entry)
            print(_line(entry), flush=True)
    figures["launch_us"] = 1e3 * _milliseconds(_small_step(), rounds)
    figures["memory"] = memory.pool().statistics()._asdict()
    return figures


def machine() -> dict:
    """What was measured on."""
    properties = driver.device_properties()
    return {
        "device": properties.name,
        "capability": ".".join(map(str, properties.capability)),
        "multiprocessors": properties.multiprocessors,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _torch():
    """PyTorch with a GPU, set to plain float32; None if there is none."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return torch if torch.cuda.is_available() else None


def _milliseconds(step: Callable, rounds: int) -> float:
    """Median time of a step, by the device's clock."""
    step()
    times = []
    for _ in range(rounds):
        start = driver.Event()
        for _ in range(REPEATS if rounds > 1 else 1):
            step()
        end = driver.Event()
        times.append(end.milliseconds_since(start) / (REPEATS if rounds > 1 else 1))
    return statistics.median(times)


def _pair(name: str, flop: float, ours: Callable, theirs: Callable | None, rounds: int) -> dict:
    """Times of both sides, and whether they agree."""
    entry = {"name": name, "ms": _milliseconds(ours, rounds)}
    entry["tflops"] = flop / entry["ms"] / 1e9
    if theirs is not None:
        want, got = theirs().cpu().numpy(), ours().get()
        entry["error"] = float(np.abs(want - got).max() / np.abs(want).max())
        entry["library_ms"] = _milliseconds(theirs, rounds)
        entry["share"] = entry["library_ms"] / entry["ms"]
    return entry


def _line(entry: dict) -> str:
    text = f"{entry['name']:48} {entry['ms']:9.3f} ms {entry['tflops']:7.2f} TFLOP/s"
    return text + (f"  {entry['share']:.0%} of the library's" if "share" in entry else "")


def _drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _product(n: int, torch, rounds: int) -> dict:
    a, b = _drawn(n, n), _drawn(n, n)
    x, y = asarray(a), asarray(b)
    theirs = None
    if torch is not None:
        p, q = torch.tensor(a, device="cuda"), torch.tensor(b, device="cuda")
        theirs = lambda: p @ q  # noqa: E731
    return _pair(f"product {n} x {n}", 2.0 * n**3, lambda: products.matmul(x, y), theirs, rounds)


def _convolution(name, shape, kernel, padding, torch, rounds):
    """Forward and both gradients."""
    places = [n + 2 * padding - k + 1 for n, k in zip(shape[2:], kernel[2:], strict=True)]
    out, window = tuple(places), ((1, 1), (padding, padding), (1, 1), 1)
    x, w, g = _drawn(*shape), _drawn(*kernel), _drawn(shape[0], kernel[0], *out)
    flop = 2.0 * g.size * w[0].size
    dx, dw, dg = map(asarray, (x, w, g))
    size = kernel[2:]
    ours = {
        "forward": lambda: convolution.convolution(dx, dw, out, *window),
        "backward to the input": lambda: convolution.convolution_backward_input(dg, dw, shape[2:], *window),
        "backward to the weight": lambda: convolution.convolution_backward_weight(dg, dx, size, *window),
    }
    theirs = dict.fromkeys(ours)
    if torch is not None:
        p, q, r = (torch.tensor(a, device="cuda") for a in (x, w, g))
        grad, settings = torch.nn.grad, {"padding": padding}
        theirs = {
            "forward": lambda: torch.nn.functional.conv2d(p, q, **settings),
            "backward to the input": lambda: grad.conv2d_input(p.shape, q, r, **settings),
            "backward to the weight": lambda: grad.conv2d_weight(p, q.shape, r, **settings),
        }
    for what, step in ours.items():
        yield _pair(f"{name} {what}", flop, step, theirs[what], rounds)


def _small_step() -> Callable:
    """A kernel that does nearly nothing: what a launch costs."""
    x = asarray(_drawn(32))
    return lambda: x.fill(0)
