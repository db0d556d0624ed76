"""Notebook 19's kernels as the compiler sees them, and what the card of the roofline can do.

    python -m minidl.viz.lessons.gpu_costs

compiles the notebook's own kernels (cells tagged "kernels") and minidl's for compute capability 9.0, which
needs numba-cuda and a CUDA compiler but no GPU, and prints `COMPILED`. A test compares the record with what
compiling gives, where that is possible.
"""

import json
import linecache
from pathlib import Path
from typing import NamedTuple

from minidl.kernels.cuda import gemm, resources
from minidl.kernels.cuda.driver import float32, int32

NOTEBOOK = Path(__file__).resolve().parents[3] / "notebooks" / "part4_vision" / "19_gpu_kernels.ipynb"
ARCHITECTURE = 90  # compute capability 9.0: the H100


class Card(NamedTuple):
    """Figures of a data sheet: FLOP a second in float32, bytes a second of its memory."""

    name: str
    flop: float
    bytes: float


H100 = Card("H100 SXM", 67e12, 3.35e12)
"""NVIDIA's data sheet of the H100 (SXM); without tensor cores."""


class Compiled(NamedTuple):
    """A rung as compiled: registers a thread, bytes of spills, share of multiply-adds in the inner loop."""

    registers: int
    spills: int
    share: float


COMPILED = {
    "naive": Compiled(32, 0, 0.03),
    "tiled": Compiled(32, 0, 0.24),
    "registers": Compiled(128, 0, 0.37),
    "registers, load": Compiled(128, 0, 0.68),
    "minidl": Compiled(127, 0, 0.87),
}
ARRAYS = (float32[::1],) * 3


def kernels() -> dict:
    """The rungs, name -> (kernel, types of its arguments), from the notebook's cells and from minidl."""
    found: dict = {"__name__": "notebook_19"}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if "kernels" in cell["metadata"].get("tags", []):
            source, file = "".join(cell["source"]), f"<{cell['id']}>"
            linecache.cache[file] = len(source), None, source.splitlines(True), file
            exec(compile(source, file, "exec"), found)
    own = {name: (rung, (*ARRAYS, int32)) for name, rung in found["rungs"].items()}
    product = gemm.product_kernel(128, (True, False), (True, True, True))
    return own | {"minidl": (product, (*ARRAYS[:2], int32, float32[::1], *(int32,) * 7))}


def compiled() -> dict[str, Compiled]:
    """What the compiler makes of each rung."""
    costs = {name: resources.compile(*rung, ARCHITECTURE) for name, rung in kernels().items()}
    return {name: Compiled(r.registers, r.spills, round(r.share, 2)) for name, r in costs.items()}


if __name__ == "__main__":
    for name, rung in compiled().items():
        print(f'    "{name}": {rung},')
