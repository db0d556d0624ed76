"""What the simulator finds wrong with a kernel."""


class KernelError(RuntimeError):
    """A kernel did what a GPU would do wrongly, or not at all. The message names line, block and thread."""


class BadIndex(KernelError):
    """An access outside of an array. A GPU would read or overwrite something else."""


class Misaligned(KernelError):
    """A 128-bit access whose address is no multiple of 16 bytes. A GPU would stop."""


class RaceError(KernelError):
    """Two threads use one place, one of them writes, and nothing says who comes first."""


class DivergentBarrier(KernelError):
    """Some threads wait at a barrier (of a block or a warp) that others never reach. A GPU would hang."""


class Uninitialised(KernelError):
    """A value is read that nobody has written."""
