"""Counting work: floating-point operations and bytes, op by op and module by module."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from weakref import WeakKeyDictionary

import numpy as np

from minidl.instruments.costs import cost, is_known
from minidl.instruments.table import Table, brief
from minidl.nn.module import Module
from minidl.tensor import observe


@dataclass
class Work:
    """What was done: how often ops were called, FLOP and bytes forward and backward."""

    calls: int = 0
    forward_flops: int = 0
    backward_flops: int = 0
    forward_bytes: int = 0
    backward_bytes: int = 0

    @property
    def flops(self) -> int:
        """FLOP, forward and backward."""
        return self.forward_flops + self.backward_flops

    @property
    def bytes(self) -> int:
        """Bytes read and written, forward and backward."""
        return self.forward_bytes + self.backward_bytes

    def add(self, other: Work) -> None:
        """Count this work as well."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class FlopCounter:
    """Count the work inside a with-block, forward and backward.

        with FlopCounter(model) as count:
            loss_fn(model(x), y).backward()
        count.total.flops, count.by_op["linear"].bytes, count.by_module["encoder.0"].calls

    FLOP: the formulas of `minidl.instruments.costs`; a multiply-add is 2. Ops without a formula count 1
    for each number that they make; they are listed in `unknown`. Adding up gradients is left out.

    Bytes: what must move if every op reads its arrays from memory once and writes its result once. A view
    moves nothing. A gradient reads dL/d(output) and the op's other arguments (its own if it has no other).

    Args:
        model: without one, everything is counted under the name "".
    """

    def __init__(self, model: Module | None = None):
        self.model = model
        self.unknown: set[str] = set()
        self._work: dict[tuple[str, str], Work] = defaultdict(Work)
        self._records: WeakKeyDictionary = WeakKeyDictionary()  # Node -> where it was made, its costs
        self._path: list[str] = [""]

    def __enter__(self):
        self._handles = []
        for name, module in self.model.named_modules() if self.model else ():
            enter = module.register_forward_pre_hook(
                lambda m, args, n=name: self._path.append(n), prepend=True
            )
            leave = module.register_forward_hook(lambda m, args, out: self._leave(), always_call=True)
            self._handles += [enter, leave]
        self._observing = observe(self)
        self._observing.__enter__()
        return self

    def _leave(self) -> None:
        self._path.pop()

    def __exit__(self, *error):
        self._observing.__exit__(*error)
        for handle in self._handles:
            handle.remove()

    def forward(self, name: str, arrays: list, settings: dict, result) -> None:
        """Called after each op."""
        flops, gradients = cost(name, arrays, settings, result.array)
        read = [x.nbytes if isinstance(x, np.ndarray) else 0 for x in arrays]
        view = any(isinstance(x, np.ndarray) and np.may_share_memory(x, result.array) for x in arrays)
        key = self._path[-1], name
        self._work[key].add(Work(1, flops, 0, 0 if view else sum(read) + result.nbytes, 0))
        if not is_known(name):
            self.unknown.add(name)
        if result.grad_fn is not None:
            self._records[result.grad_fn] = key, gradients, read

    def backward(self, node, g: np.ndarray, gradients: list) -> None:
        """Called after each vjp."""
        if node not in self._records:  # made before the counting began
            return
        key, flops, read = self._records[node]
        wanted = [i for i, x in enumerate(node.inputs) if x is not None]
        moved = 0
        for i, (_, dx) in zip(wanted, gradients, strict=False):
            if not np.may_share_memory(dx, g):
                others = sum(read) - read[i] if len(read) > 1 else read[i]
                moved += g.nbytes + others + dx.nbytes
        self._work[key].add(Work(0, 0, sum(flops[i] for i in wanted), 0, moved))

    @property
    def total(self) -> Work:
        """All work together."""
        return self._sums(lambda module, op: [""])[""]

    @property
    def by_op(self) -> dict[str, Work]:
        """The work of each op, by its name."""
        return self._sums(lambda module, op: [op])

    @property
    def by_module(self) -> dict[str, Work]:
        """The work of each module, by its dotted name, what is inside it included; "" is all."""

        def ancestors(module, op):
            parts = module.split(".") if module else []
            return ["", *(".".join(parts[: i + 1]) for i in range(len(parts)))]

        return self._sums(ancestors)

    def _sums(self, names) -> dict[str, Work]:
        sums = defaultdict(Work, {"": Work()})
        for (module, op), work in self._work.items():
            for name in names(module, op):
                sums[name].add(work)
        return dict(sums)

    def table(self, by: str = "op") -> Table:
        """The work of each op or, with by="module", of each module; the largest first."""
        works = {"op": self.by_op, "module": self.by_module}[by]
        rows = [[name, *_row(work)] for name, work in works.items() if name]
        rows.sort(key=lambda row: -works[row[0]].flops)
        head = ["<" + by, "calls", "forward FLOP", "backward FLOP", "forward bytes", "backward bytes"]
        unknown = f" Counted as 1 FLOP a number: {', '.join(sorted(self.unknown))}." if self.unknown else ""
        note = "A multiply-add is 2 FLOP." + unknown
        return Table(head, [*rows, ["total", *_row(self.total)]], note)

    def __repr__(self):
        return repr(self.table())

    def _repr_html_(self):
        return self.table()._repr_html_()


def _row(work: Work) -> list[str]:
    numbers = (work.forward_flops, work.backward_flops, work.forward_bytes, work.backward_bytes)
    return [str(work.calls), *map(brief, numbers)]
