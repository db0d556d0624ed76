"""The engines that take part: ours, PyTorch in its default and in its best settings."""

from __future__ import annotations

import os
from functools import partial
from types import SimpleNamespace

from tests.benchmarks.cases import CASES


def minidl(case: str):
    """minidl as a learner uses it."""
    from tests.parity import ours

    return CASES[case](ours())


def torch(case: str, channels_last: bool = False, fused: bool = False, compiled: bool = False):
    """PyTorch eager; with memory in channels-last order, a fused optimiser, or the whole model compiled."""
    import torch as library

    from tests.parity import theirs

    library.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    m = theirs()
    if fused:
        names = ("SGD", "Adam", "AdamW")
        m.optim = SimpleNamespace(**{n: partial(getattr(m.optim, n), fused=True) for n in names})
    if channels_last:
        layout = {"memory_format": library.channels_last}
        m.prepare = lambda model, x: (model.to(**layout), x.to(**layout) if x.ndim == 4 else x)
    if compiled:
        m.prepare = lambda model, x: (library.compile(model), x)
    return CASES[case](m)


SETTINGS = {
    "minidl": (minidl, {}),
    "torch": (torch, {}),
    "torch fused": (torch, {"fused": True}),
    "torch channels_last, fused": (torch, {"channels_last": True, "fused": True}),
    "torch compiled": (torch, {"compiled": True}),
}
"""Name in tables -> engine and its settings."""
