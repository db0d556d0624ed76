"""Functions drawn at random: many lanes at once give what Python gives one after the other."""

import linecache
import random

import numpy as np
import pytest

from minidl.kernels.cuda import simulator
from minidl.kernels.cuda.driver import cuda, device, kernel

LANES, THREADS = 96, 32
NAMES = "pqrst"
"""Variables that blocks use: some set in one block only, some in several, some merged from both sides."""


class Writer:
    """Writes a function of one whole number that sets all names before it reads them."""

    def __init__(self, seed: int):
        self.random, self.lines = random.Random(seed), ["def drawn(v):", "    a, b = v, v % 7"]
        self.loops = 0
        self.block(["v", "a", "b"], "    ", depth=0, in_loop=False)
        self.lines.append("    return a + 10 * b")

    def value(self, known: list[str], depth: int = 0) -> str:
        draw = self.random.random()
        if depth > 2 or draw < 0.35:
            return self.random.choice([*known, *known, str(self.random.randint(-3, 9))])
        left, right = self.value(known, depth + 1), self.value(known, depth + 1)
        if draw < 0.75:
            return f"({left} {self.random.choice('+-*')} {right}) % 101"
        if draw < 0.9:
            return f"({left} if {self.condition(known, depth + 1)} else {right})"
        return self.random.choice(
            [f"min({left}, {right})", f"abs({left})", f"({left} // 3)", f"({left} ^ {right})"]
        )

    def condition(self, known: list[str], depth: int = 0) -> str:
        draw = self.random.random()
        test = f"{self.value(known, 2)} {self.random.choice(['<', '>=', '==', '!='])} {self.value(known, 2)}"
        if depth > 1 or draw < 0.6:
            return test
        if draw < 0.7:
            return f"not ({test})"
        return f"({test} {self.random.choice(['and', 'or'])} {self.condition(known, depth + 1)})"

    def block(self, known: list[str], indent: str, depth: int, in_loop: bool) -> None:
        known = list(known)
        for _ in range(self.random.randint(2, 4)):
            self.statement(known, indent, depth, in_loop)

    def statement(self, known: list[str], indent: str, depth: int, in_loop: bool) -> None:
        draw, add = self.random.random(), self.lines.append
        if depth > 2 or draw < 0.4:
            name = self.random.choice(["a", "b", *NAMES])
            sign = self.random.choice(["", "", "+"]) if name in known else ""
            add(f"{indent}{name} {sign}= {self.value(known)}")
            if sign:
                add(f"{indent}{name} %= 997")
            known.append(name)
        elif draw < 0.45 and in_loop:
            add(f"{indent}if {self.condition(known)}:")
            add(f"{indent}    {self.random.choice(['break', 'continue'])}")
        elif draw < 0.5:
            add(f"{indent}if {self.condition(known)}:")
            add(f"{indent}    return {self.value(known)}")
        elif draw < 0.75:
            add(f"{indent}if {self.condition(known)}:")
            self.block(known, indent + "    ", depth + 1, in_loop)
            if self.random.random() < 0.6:
                add(f"{indent}else:")
                self.block(known, indent + "    ", depth + 1, in_loop)
        else:
            self.loop(known, indent, depth)

    def loop(self, known: list[str], indent: str, depth: int) -> None:
        inner, add = indent + "    ", self.lines.append
        self.loops += 1
        if self.random.random() < 0.6:
            name = self.random.choice("ij")
            bounds = self.random.choice(
                ["4", f"{self.value(known, 2)} % 5", f"{self.value(known, 2)} % 3, 9, 2"]
            )
            add(f"{indent}for {name} in range({bounds}):")
            self.block([*known, name], inner, depth + 1, True)
        else:
            count = f"n{self.loops}"
            add(f"{indent}{count} = 0")
            add(f"{indent}while {count} < 6 and {self.condition(known)}:")
            add(f"{inner}{count} += 1")
            self.block([*known, count], inner, depth + 1, True)


def function_from(lines: list[str], name: str):
    source, scope = "\n".join(lines) + "\n", {"__name__": __name__}
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    exec(compile(source, name, "exec"), scope)
    return scope["drawn"]


@pytest.mark.parametrize("seed", range(60))
def test_lanes_agree_with_python(seed):
    written = Writer(seed)
    drawn = function_from(written.lines, f"<drawn {seed}>")
    inner = device(drawn)

    @kernel
    def apply(x, out, n):
        i = cuda.grid(1)
        if i < n:
            out[i] = inner(x[i])

    x, out = np.arange(LANES), np.full(LANES, -99)
    simulator.run(apply, LANES // THREADS, THREADS, (x, out, LANES - 3))
    np.testing.assert_array_equal(
        out, [drawn(v) for v in range(LANES - 3)] + [-99] * 3, "\n".join(written.lines)
    )
