"""What can be said about the names of a function before it runs.

A variable is at home in a block of statements if every pass through the block sets it before it is read, and
nothing outside mentions it:

    if i < n:                      k and row are at home in this block, and value in the loop's
        row = i * width
        for k in range(width):
            value = x[row + k]

Then whatever other lanes have in it does not matter: a new value needs no merging with the old one, and what
is the same for all lanes that are here stays one number.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from typing import NamedTuple

READERS = {"load": 0, "load4": 0, "copy_async4": 2}
"""Instructions that read an array, and which argument it is."""


def dotted(node: ast.AST) -> str:
    """`cuda.shared.array` for that expression; "" for one that is not a dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return inner and f"{inner}.{node.attr}"
    return ""


def stored_names(node: ast.AST) -> set[str]:
    """The names that statements assign to."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def surroundings(function: Callable) -> Callable[[str], object]:
    """Look up a name around a function: in the factory, the module, Python. KeyError if it is nowhere."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def look_up(name: str):
        if name in cells:
            return cells[name].cell_contents
        return function.__globals__[name] if name in function.__globals__ else vars(builtins)[name]

    return look_up


# -- homes ---------------------------------------------------------------------------------------------


class Block:
    """A list of statements, and the blocks around it, from the outermost to itself."""

    def __init__(self, outer: Block | None = None):
        self.around: list[Block] = [*outer.around, self] if outer else [self]


class Occurrence(NamedTuple):
    """A name in a block itself, not in a block inside of it. target: what an assignment sets, else None."""

    name: str
    block: Block
    target: ast.Name | ast.arg | None


class Homes:
    """names: those that are at home wherever they occur. targets: ids of the nodes that set them there."""

    def __init__(self, definition: ast.FunctionDef):
        by_name: dict[str, list[Occurrence]] = {}
        for occurrence in _in_function(definition):
            by_name.setdefault(occurrence.name, []).append(occurrence)
        self.names, self.targets = set(), set()
        for name, occurrences in by_name.items():
            self._settle(name, occurrences)

    def _settle(self, name: str, occurrences: list[Occurrence]) -> None:
        first = {}  # block -> the first occurrence in it, or in a block inside of it
        for occurrence in occurrences:
            for block in occurrence.block.around:
                first.setdefault(block, occurrence)
        homes = {
            b for b, occurrence in first.items() if occurrence.target is not None and occurrence.block is b
        }
        own = [next((b for b in o.block.around if b in homes), None) for o in occurrences]
        if None in own:
            return
        self.names.add(name)
        self.targets |= {
            id(o.target) for o, home in zip(occurrences, own, strict=True) if o.target and o.block is home
        }


def _in_function(definition: ast.FunctionDef) -> Iterator[Occurrence]:
    """The names of a function, in the order in which it runs."""
    body = Block()
    for argument in definition.args.args:
        yield Occurrence(argument.arg, body, argument)
    yield from _in_block(definition.body, body)


def _in_block(statements: list[ast.stmt], here: Block) -> Iterator[Occurrence]:
    for node in statements:
        if isinstance(node, (ast.If, ast.While)):
            yield from _in_expression(node.test, here)
            yield from _in_block(node.body, Block(here))
            yield from _in_block(node.orelse, Block(here))
        elif isinstance(node, ast.For):
            inner = Block(here)
            yield from _in_expression(node.iter, here)
            yield from _in_expression(node.target, inner)
            yield from _in_block(node.body, inner)
        elif isinstance(node, ast.AugAssign):
            yield from (Occurrence(n, here, None) for n in stored_names(node.target))
            yield from _in_expression(node.value, here)
            yield from _in_expression(node.target, here)
        else:
            value = getattr(node, "value", None)
            yield from _in_expression(value or node, here)
            for target in getattr(node, "targets", None) or [getattr(node, "target", None)]:
                yield from _in_expression(target, here)


def _in_expression(node: ast.AST | None, here: Block) -> Iterator[Occurrence]:
    for inner in ast.walk(node) if node else ():
        if isinstance(inner, ast.Name):
            yield Occurrence(inner.id, here, inner if isinstance(inner.ctx, ast.Store) else None)


# -- arrays that are only read -------------------------------------------------------------------------


def only_read(definition: ast.FunctionDef, callee: Callable[[ast.Call], tuple | None]) -> set[str]:
    """The parameters that are, if they are arrays, never written.

    callee: for a call of a function of ours, its parameters and those of them that are only read; else None.
    """
    reads: set[int] = set()
    for node in ast.walk(definition):
        if (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)) or isinstance(
            node, ast.Attribute
        ):
            reads.add(id(node.value))
        elif isinstance(node, ast.Call):
            reads |= _read_arguments(node, callee)
        elif isinstance(node, (ast.BinOp, ast.Compare)):
            reads |= {id(child) for child in ast.iter_child_nodes(node)}
    uses = [n for n in ast.walk(definition) if isinstance(n, ast.Name)]
    written = {n.id for n in uses if id(n) not in reads}
    return {a.arg for a in definition.args.args} - written


def _read_arguments(node: ast.Call, callee: Callable) -> set[int]:
    name = dotted(node.func).rpartition(".")[2]
    if name in READERS:
        return {id(a) for k, a in enumerate(node.args) if k >= READERS[name]}
    if name in ("store", "store4"):
        return {id(a) for a in node.args[1:]}
    if name in ("len", "range", "min", "max", "abs", "int32", "float32", "udiv", "umod"):
        return {id(a) for a in node.args}
    found = callee(node)
    if found is None:
        return set()
    parameters, reading = found
    return {id(a) for p, a in zip(parameters, node.args, strict=False) if p in reading}
