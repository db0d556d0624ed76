"""What this machine has, and how long one training step takes on it."""

import importlib.util
import os
import platform
import statistics
import time

import numpy as np

import minidl
from minidl import nn, optim
from minidl.nn import functional as F
from minidl.train import train_step


def report() -> None:
    """Print Python, NumPy, Numba, cores, GPU, and the milliseconds of a step on a small digit reader."""
    numba = importlib.util.find_spec("numba") is not None
    gpu = importlib.util.find_spec("numba_cuda") is not None
    print(f"Python {platform.python_version()} on {platform.system()}, {os.cpu_count()} cores")
    print(
        f"NumPy {np.__version__}; Numba {'found: hot loops are compiled' if numba else 'missing: NumPy only'}"
    )
    print(f"GPU kernels: {'the CUDA package is installed' if gpu else 'none installed (none needed)'}")
    print(f"one training step of 784-256-128-10 on 128 images: {step_milliseconds():.1f} ms")


def step_milliseconds(repeats: int = 30) -> float:
    """Median time of forward, backward and Adam's update for a batch of 128 images."""
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = optim.Adam(model.parameters())
    x, y = minidl.rand(128, 784), minidl.randint(10, (128,))
    times = []
    for _ in range(repeats + 5):  # the first five warm up
        start = time.perf_counter()
        train_step(model, x, y, optimizer, F.cross_entropy)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[5:])
