"""What a compiled kernel costs, found without a GPU: registers, spills, shared memory, and its instructions.

    r = compile(product, (float32[::1],) * 3 + (int32,) * 3, 90)       for GPUs of compute capability 9.0
    r.registers, r.spills, r.share
    print(r)

Three things bound a kernel before it has run. Registers: a multiprocessor has 65536, so a thread with 128 of
them leaves room for 512 threads. Spills: values that found no register go to memory and come back. The share:
of the instructions in the innermost loop, how many are the arithmetic that we want? Each scheduler starts one
instruction per cycle, so on an H100, whose peak is one multiply-add in each of them, a product of share 0.75
reaches 75 % of the peak at most; GPUs with half as many units (T4, A100) have cycles to spare.
"""

import functools
import importlib
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from minidl.kernels.cuda import compiling, driver, language

ARCHITECTURES = (75, 80, 90)
"""Compute capabilities, times ten, that kernels are held to: T4, A100, H100."""

ARITHMETIC = ("FFMA", "HMMA", "DFMA", "FADD", "FMUL", "DADD", "DMUL", "MUFU", "FMNMX")
"""Instructions by which the loop is found in which a kernel spends its time."""
RESERVED_SHARED = 1024
"""Bytes that the system adds to each block from compute capability 9.0 on; `shared` leaves them out."""
PRODUCTS = ("FFMA", "HMMA", "DFMA")
"""Multiply and add, on numbers or (HMMA) on small matrices: their share is the bound of a matrix product."""


@dataclass(frozen=True)
class Resources:
    """What one kernel costs on one architecture; memory in bytes, a thread's except for `shared`, a block's.

    image: the machine code. It is disassembled, which takes a third of a second, when somebody asks for its
    instructions.
    """

    name: str
    architecture: int
    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int
    image: bytes = field(repr=False)

    @functools.cached_property
    def code(self) -> tuple[list[str], list[tuple[int, int]]]:
        """(opcodes in order, loops), as `parse` gives them."""
        return parse(disassemble(self.image))

    @functools.cached_property
    def instructions(self) -> Counter:
        """How often each opcode stands in the code."""
        return Counter(self.code[0])

    @functools.cached_property
    def loops(self) -> tuple[Counter, Counter]:
        """How often each does in the innermost loop with most arithmetic; in the rest of the one around."""
        return hottest_loops(*self.code)

    @property
    def loop(self) -> Counter:
        """The innermost one of `loops`."""
        return self.loops[0]

    @property
    def around(self) -> Counter:
        """The other one of `loops`."""
        return self.loops[1]

    @property
    def spills(self) -> int:
        """Bytes that go to memory and back for want of registers."""
        return self.spill_stores + self.spill_loads

    @property
    def share(self) -> float:
        """Multiply-adds among the instructions of the innermost loop (of the kernel, if it has none)."""
        return self.share_of_rounds(1, Counter())

    def share_of_rounds(self, rounds: int, around: Counter | None = None) -> float:
        """The same for one round of the loop around, in which the innermost one makes `rounds`."""
        around = self.around if around is None else around
        inner = self.loop or self.instructions
        useful = rounds * count(inner, PRODUCTS) + count(around, PRODUCTS)
        return useful / max(1, rounds * inner.total() + around.total())

    def __str__(self) -> str:
        loop = Counter()
        for opcode, n in (self.loop or self.instructions).items():
            loop[opcode.split(".")[0]] += n
        common = " ".join(f"{opcode} {n}" for opcode, n in loop.most_common(8))
        return (
            f"{self.name} on sm_{self.architecture}: {self.registers} registers, {self.spills} bytes of "
            f"spills, {self.stack} of stack, {self.shared} of shared memory, share {self.share:.0%} of "
            f"{loop.total()} in the loop ({common})"
        )


def count(instructions: Counter, names: tuple[str, ...]) -> int:
    """How many of the instructions have one of these names, whatever follows a point."""
    return sum(n for opcode, n in instructions.items() if opcode.split(".")[0] in names)


# -- compiling -------------------------------------------------------------------------------------


@functools.cache
def toolkit() -> str | None:
    """What is missing to compile kernels here; None if nothing is."""
    install = 'pip install "numba-cuda[cu12]" nvidia-cuda-nvdisasm'
    if not driver.numba_cuda_installed():
        return f"no numba-cuda: {install}"
    try:
        importlib.import_module("cuda.bindings.nvjitlink").version()
        language.numba_cuda().cudadrv.nvvm.NVVM()
    except Exception as error:  # each library has its own way to say that it is not there
        return f"no CUDA compiler ({type(error).__name__}: {error}): {install}"
    return None if disassembler() else f"no nvdisasm: {install}"


@functools.cache
def disassembler() -> str | None:
    """The path of nvdisasm: from a package, a CUDA toolkit, or the search path."""
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    toolkits = [Path(os.environ.get(name, "/usr/local/cuda")) for name in ("CUDA_HOME", "CUDA_PATH")]
    for folder in (*sorted(packages.glob("*/bin")), *(t / "bin" for t in toolkits)):
        if os.access(folder / "nvdisasm", os.X_OK):
            return str(folder / "nvdisasm")
    return shutil.which("nvdisasm")


def compile(kernel: driver.Kernel, types: tuple, architecture: int = 90) -> Resources:
    """Compile a kernel for arguments of these types and an architecture (90: compute capability 9.0)."""
    return _compile(kernel, tuple(types), architecture)


@functools.lru_cache(256)
def _compile(kernel: driver.Kernel, types: tuple, architecture: int) -> Resources:
    image, log = assembled(kernel, types, architecture)
    return Resources(
        kernel.__qualname__.replace("<locals>.", ""),
        architecture,
        registers=_figure(r"Used (\d+) registers", log),
        spill_stores=_figure(r"(\d+) bytes spill stores", log),
        spill_loads=_figure(r"(\d+) bytes spill loads", log),
        stack=_figure(r"(\d+) bytes stack frame", log),
        shared=max(0, _figure(r"(\d+) bytes smem", log) - RESERVED_SHARED * (architecture >= 90)),
        image=image,
    )


def assembled(kernel: driver.Kernel, types: tuple, architecture: int) -> tuple[bytes, str]:
    """(cubin, what the assembler says). What Numba and NVVM have to do is done for the first architecture."""
    text = re.sub(r"\.target sm_\d+", f".target sm_{architecture}", _ptx(kernel, types))
    return compiling.cubin(text, divmod(architecture, 10), kernel.max_registers)


@functools.lru_cache(64)
def _ptx(kernel: driver.Kernel, types: tuple) -> str:
    """PTX for the oldest architecture. That for the others is the same but for its target and names."""
    return compiling.ptx(kernel, types, divmod(ARCHITECTURES[0], 10))


def _figure(pattern: str, log: str) -> int:
    return max((int(n) for n in re.findall(pattern, log)), default=0)


def disassemble(image: bytes) -> str:
    """A cubin as text: SASS, the GPU's own assembler."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(image)
        command = [disassembler(), "--print-code", "--no-dataflow", str(file)]  # a quarter faster
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# -- reading SASS ----------------------------------------------------------------------------------

LABEL = re.compile(r"^\s*(\.L\w+):")
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)")
TARGET = re.compile(r"`\((\.L\w+)\)")


def parse(sass: str) -> tuple[list[str], list[tuple[int, int]]]:
    """(opcodes in order, loops): a loop is (first, last), from a label to the jump back to it."""
    opcodes, labels, jumps = [], {}, []
    for line in sass.splitlines():
        if label := LABEL.match(line):
            labels[label[1]] = len(opcodes)
        elif instruction := INSTRUCTION.search(line):
            opcode, operands = instruction.groups()
            if opcode.startswith("BRA") and (target := TARGET.search(operands)):
                jumps.append((target[1], len(opcodes)))
            opcodes.append(opcode)
    loops = [(labels[name], at) for name, at in jumps if name in labels and labels[name] < at]
    return opcodes, loops


def hottest_loops(opcodes: list[str], loops: list[tuple[int, int]]) -> tuple[Counter, Counter]:
    """The innermost loop with most arithmetic, and what else is in the loop around it; both may be empty."""

    def work(loop):
        return count(Counter(opcodes[loop[0] : loop[1] + 1]), ARITHMETIC)

    working = [loop for loop in loops if work(loop)]
    innermost = [a for a in working if not any(b != a and _within(b, a) for b in working)]
    if not innermost:
        return Counter(), Counter()
    first, last = inner = max(innermost, key=work)
    around = [loop for loop in loops if loop != inner and _within(inner, loop)]
    start, end = min(around, key=lambda loop: loop[1] - loop[0], default=inner)
    return Counter(opcodes[first : last + 1]), Counter(opcodes[start:first] + opcodes[last + 1 : end + 1])


def _within(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


# -- for tests -------------------------------------------------------------------------------------


def expect(
    kernel: driver.Kernel,
    types: tuple,
    registers: int = 255,
    share: float = 0.0,
    shared: int = driver.STATIC_SHARED_BYTES,
    rounds: int | None = None,
    architectures: tuple[int, ...] = ARCHITECTURES,
    everywhere: bool = False,
) -> list[Resources]:
    """Hold a kernel to a budget on every architecture.

    No spills, no stack, at most so many registers a thread and bytes of shared memory a block, at least this
    share of multiply-adds in the innermost loop (with `rounds`: in the loop around it). To find a share takes
    longer than to assemble the kernel, and on 9.0 it is least, or nearly: of 100 kernels, all came to at most
    0.01 less on 7.5 or 8.0. So it is held on the last architecture, and on all only if `everywhere`.

    Raises AssertionError, which says what it costs and which bound it breaks.
    """
    results = [compile(kernel, types, architecture) for architecture in architectures]
    for r in results:
        reached = share
        if share and (everywhere or r is results[-1]):
            reached = r.share if rounds is None else r.share_of_rounds(rounds)
        broken = [
            f"{what} {got:g}, {word} {bound:g}"
            for what, got, word, bound, fine in (
                ("spills", r.spills, "at most", 0, r.spills == 0),
                ("stack", r.stack, "at most", 0, r.stack == 0),
                ("registers", r.registers, "at most", registers, r.registers <= registers),
                ("shared memory", r.shared, "at most", shared, r.shared <= shared),
                ("share", reached, "at least", share, reached >= share),
            )
            if not fine
        ]
        assert not broken, f"{'; '.join(broken)}\n{r}"
    return results
