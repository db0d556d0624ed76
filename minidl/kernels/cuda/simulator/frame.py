"""A call that is running: its variables, and the lanes that have left it or one of its loops."""

from __future__ import annotations

from minidl.kernels.cuda.simulator.errors import KernelError
from minidl.kernels.cuda.simulator.lanes import NOBODY, Mask, Variable, is_number, merged
from minidl.kernels.cuda.simulator.machine import Machine
from minidl.kernels.cuda.simulator.memory import Array, LocalArray


class Loop:
    """The lanes that have left a loop, and those that have left this round of it."""

    def __init__(self):
        self.broken = self.continued = NOBODY


class Frame:
    """One call. outermost: of the kernel itself, so that whoever returns is done."""

    def __init__(self, machine: Machine, outermost: bool = False):
        self.machine, self.outermost = machine, outermost
        self.variables: dict[str, Variable] = {}
        self.value = None
        self.returned = NOBODY
        self.loops: list[Loop] = []

    def begin(self, name: str, value, mask: Mask) -> None:
        """A variable gets its first value in its home: whatever it was before, nobody will ask."""
        self.variables[name] = Variable(value, mask, mask)

    def assign(self, name: str, value, mask: Mask) -> None:
        """A variable of the lanes that take part; the others keep theirs."""
        variable = self.variables.get(name)
        if variable is None:
            self.variables[name] = Variable(value, mask)
        elif is_number(value) or isinstance(value, tuple) or value is variable.value:
            variable.put(value, mask)
        else:
            variable.value, variable.owners = value, mask

    def leave(self, value, mask: Mask) -> None:
        """These lanes return."""
        if self.outermost:
            self.machine.exited = self.machine.exited | mask.lanes
        self.value = value if not self.returned.count else self.either(value, self.value, mask)
        self.returned = self.returned.joined(mask)

    def either(self, new, old, mask: Mask):
        """`new` for the lanes that take part, `old` for the others; arrays cannot be chosen so."""
        for value in (new, old):
            if isinstance(value, (Array, LocalArray)) and new is not old and not mask.full:
                self.machine.fail(
                    KernelError,
                    f"some lanes take the array {value.name} here, others do not. Fix: choose elements",
                )
        return merged(new, old, mask)
