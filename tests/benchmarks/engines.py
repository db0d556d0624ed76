"""The engines that take part: ours, PyTorch in its default and its best settings, NumPy, small engines."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace

from tests.benchmarks.cases import CASES
from tests.benchmarks.operations import OPERATIONS
from tests.benchmarks.pairing import Candidate

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""glibc then keeps large arrays that were freed for the next ones, as minidl has it do. Ignored elsewhere."""


def ours(device: str = "cpu", graph: bool = False):
    """minidl as a learner uses it; on the GPU also with each step replayed as a CUDA graph."""
    import minidl
    from tests.parity import ours

    m = ours()
    minidl.device(device).__enter__()  # new tensors are made there, in this process
    if graph:
        m.recorded = _recorded
    return m


def _recorded(work):
    """The work as a graph: what it returns lies in the same memory after each replay."""
    from minidl.kernels.cuda import graphs

    kept = []
    graph = graphs.graph_of(lambda: kept.append(work()))

    def replay():
        graph.replay()
        return kept[-1]

    return replay


def torch(channels_last: bool = False, fused: bool = False, compiled: bool = False, device: str = "cpu"):
    """PyTorch eager; with memory in channels-last order, a fused optimiser, or the whole model compiled."""
    import torch as library

    from tests.parity import theirs

    m = theirs()
    library.set_default_device(device)
    library.backends.cuda.matmul.allow_tf32 = library.backends.cudnn.allow_tf32 = False
    library.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # after theirs(), which sets 1 for the tests
    if fused:
        names = ("SGD", "Adam", "AdamW")
        m.optim = SimpleNamespace(**{n: partial(getattr(m.optim, n), fused=True) for n in names})
    if channels_last:
        layout = {"memory_format": library.channels_last}
        m.prepare = lambda model, x: [v.to(**layout) if getattr(v, "ndim", 4) == 4 else v for v in (model, x)]
    if compiled:
        m.prepare = lambda model, x: (library.compile(model), x)
    return m


def train(engine, case: str, **settings):
    """A step of a training case."""
    return CASES[case](engine(**settings))


def operate(engine, case: str, **settings):
    """A step of a single operation."""
    return OPERATIONS[case].build(engine(**settings))


def peer(module: str, case: str):
    """A step of a training case, written anew in another engine's words."""
    return importlib.import_module(f"tests.benchmarks.{module}").CASES[case]()


@dataclass
class Engine:
    """Who takes part: `build(case=..., **settings)` for the training cases in `cases`."""

    build: object
    settings: dict = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    cases: tuple[str, ...] = tuple(CASES)

    def candidate(self, case: str) -> Candidate:
        return Candidate(self.build, {"case": case, **self.settings}, self.environment)


_NETWORKS = ("xor", "mlp", "lenet", "resnet", "gpt")
_IMAGES = ("lenet", "resnet")

TRAINING = {
    "minidl": Engine(partial(train, ours)),
    "torch": Engine(partial(train, torch)),
    "torch fused": Engine(partial(train, torch), {"fused": True}, ALLOCATOR),
    "torch channels_last": Engine(
        partial(train, torch), {"channels_last": True, "fused": True}, ALLOCATOR, _IMAGES
    ),
    "torch compiled": Engine(partial(train, torch), {"compiled": True, "fused": True}, ALLOCATOR),
    "NumPy": Engine(partial(peer, "by_numpy_sequences")),
    "autograd": Engine(partial(peer, "by_autograd")),
    "tinygrad": Engine(partial(peer, "by_tinygrad"), {}, {"DEV": "CPU"}, _NETWORKS),
    "micrograd": Engine(partial(peer, "by_micrograd"), {}, {}, ("xor",)),
}
"""Name in tables -> engine of the training cases. "torch" is PyTorch as it comes."""

ON_GPU = {
    "minidl": Engine(partial(train, ours), {"device": "cuda"}),
    "minidl graph": Engine(partial(train, ours), {"device": "cuda", "graph": True}, {}, _NETWORKS),
    "torch": Engine(partial(train, torch), {"device": "cuda"}),
    "torch fused": Engine(partial(train, torch), {"device": "cuda", "fused": True}),
}
"""Engines of the training cases with everything in a GPU's memory, in plain float32."""

OPERATING = {
    "minidl": Engine(partial(operate, ours)),
    "torch": Engine(partial(operate, torch), {}, ALLOCATOR),
}
"""Of the single operations; with the same allocator on both sides."""

SLOW_TO_BEGIN = ("torch compiled", "autograd", "tinygrad", "micrograd")
"""Engines that take part at one number of threads only: they compile for long, or do not use a second one."""

SMALL = ("autograd", "tinygrad", "micrograd")
"""Engines of which minidl shall be five times as fast."""
