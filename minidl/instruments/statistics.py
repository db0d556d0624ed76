"""Statistics of activations and gradients in training: what vanishes, explodes, dies or saturates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from minidl import nn
from minidl.instruments.table import Table
from minidl.nn.module import Module
from minidl.tensor import Tensor

EDGE = 0.03
"""Within this share of its range from an end a bounded activation counts as saturated: its slope is small."""


@dataclass
class Row:
    """One array in numbers. `kind`: "activation", a module's output, or "gradient", dL/d(output)."""

    step: int
    module: str
    kind: str
    mean: float
    std: float
    norm: float
    zeros: float
    saturated: float | None


class Statistics:
    """Watch a model in a with-block: each module's output and its gradient, in a few numbers a step.

        with Statistics(model) as statistics:
            fit(model, ...)
        statistics.series("0", "gradient", "norm")

    `norm` is sqrt(sum of squares); `zeros` and `saturated` are shares of the elements, the latter None for
    modules without bounds. A step is one call of the model. Of a tuple as output the first tensor is taken.
    Only numbers are kept, in `rows`; the hooks go away at the end of the block.

    Args:
        modules: dotted names of the modules to watch; all that have none inside if None.
    """

    def __init__(self, model: Module, modules: Iterable[str] | None = None):
        self.model, self.rows, self.step = model, [], -1
        self.modules = (
            [n for n, m in model.named_modules() if not any(m.children())] if modules is None else modules
        )

    def __enter__(self):
        self._handles = [self.model.register_forward_pre_hook(self._next, prepend=True)]
        for name in self.modules:
            module = self.model.get_submodule(name)
            hook = module.register_forward_hook(lambda m, args, out, name=name: self._watch(name, m, out))
            self._handles.append(hook)
        return self

    def __exit__(self, *error):
        for handle in self._handles:
            handle.remove()

    def _next(self, model: Module, args: tuple) -> None:
        self.step += 1

    def _watch(self, name: str, module: Module, output) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        output = next((t for t in outputs if isinstance(t, Tensor)), None)
        if output is None or not output.numel():
            return
        step = self.step
        self._add(step, name, "activation", output.array, bounds(module))
        if output.requires_grad:
            output.register_hook(lambda g: self._add(step, name, "gradient", g.array))

    def _add(self, step: int, name: str, kind: str, values: np.ndarray, ends: tuple | None = None) -> None:
        values = values.astype(np.float64)
        mean, std, norm = values.mean(), values.std(), np.sqrt((values * values).sum())
        zeros, saturated = np.mean(values == 0), None
        if ends is not None:
            edge = EDGE * (ends[1] - ends[0])
            saturated = float(np.mean((values < ends[0] + edge) | (values > ends[1] - edge)))
        self.rows.append(Row(step, name, kind, *map(float, (mean, std, norm, zeros)), saturated))

    def series(self, module: str, kind: str, number: str) -> list[float]:
        """One number of a module over the steps: `series("0", "activation", "std")`."""
        return [getattr(row, number) for row in self.rows if (row.module, row.kind) == (module, kind)]

    def table(self, step: int | None = None) -> Table:
        """All numbers of a step; of the last one if None."""
        step = self.step if step is None else step
        head = ("<module", "<of", "mean", "std", "norm", "zeros", "saturated")
        rows = [
            (
                r.module,
                r.kind,
                *(f"{v:.3g}" for v in (r.mean, r.std, r.norm)),
                *map(_share, (r.zeros, r.saturated)),
            )
            for r in self.rows
            if r.step == step
        ]
        return Table(head, rows, f"step {step}")

    def __repr__(self):
        return repr(self.table())

    def _repr_html_(self):
        return self.table()._repr_html_()


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def bounds(module: Module) -> tuple[float, float] | None:
    """The ends of the range of a module's outputs, where it has such ends on both sides."""
    if isinstance(module, nn.Hardtanh):
        return module.min_val, module.max_val
    ends = {
        nn.Tanh: (-1, 1),
        nn.Softsign: (-1, 1),
        nn.Sigmoid: (0, 1),
        nn.Hardsigmoid: (0, 1),
        nn.ReLU6: (0, 6),
    }
    return next((pair for kind, pair in ends.items() if isinstance(module, kind)), None)
