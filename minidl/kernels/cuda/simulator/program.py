"""A function's source, turned into functions that run it for a whole batch of lanes.

Each node of the syntax tree becomes a small Python function, once; running a kernel is calling them:

    statement:  (frame, mask) -> mask             the lanes that go on to the next statement
    expression: (frame, mask) -> value            a number, or one for each lane      (`expressions.py`)

`if` gives each side a part of the mask and joins what comes out. `return`, `break` and `continue` let nobody
through; the function or loop around them collects those lanes again.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator import words
from minidl.kernels.cuda.simulator.errors import KernelError
from minidl.kernels.cuda.simulator.expressions import Expressions
from minidl.kernels.cuda.simulator.frame import Frame, Loop
from minidl.kernels.cuda.simulator.instructions import array_of
from minidl.kernels.cuda.simulator.lanes import NOBODY, Mask
from minidl.kernels.cuda.simulator.machine import Machine
from minidl.kernels.cuda.simulator.names import Homes, dotted, only_read, stored_names, surroundings

ROUNDS = 1_000_000
"""Rounds of a `while` after which it counts as endless."""

Step = Callable[[Frame, Mask], Mask]


class Program(Expressions):
    """A function, ready to be run."""

    def __init__(self, function: Callable):
        lines, self.first = inspect.getsourcelines(function)
        self.lines = [line.rstrip() for line in lines]
        tree = ast.parse(textwrap.dedent("".join(lines)))
        ast.increment_lineno(tree, self.first - 1)
        self.definition = tree.body[0]
        if not isinstance(self.definition, ast.FunctionDef):
            raise KernelError(f"{function.__name__}: a kernel must be a function made by `def`")
        self.name, self.look_up = function.__name__, surroundings(function)
        self.parameters = [a.arg for a in self.definition.args.args]
        code = function.__code__
        if (self.definition.name, *self.parameters) != (code.co_name, *code.co_varnames[: code.co_argcount]):
            raise KernelError(
                f"{self.name}: its file has changed since it was imported. Fix: start Python again"
            )
        defaults = function.__defaults__ or ()
        self.defaults = dict(zip(self.parameters[::-1], defaults[::-1], strict=False))
        self.own_names = stored_names(self.definition) | set(self.parameters)
        self.homes, self.inner_programs = Homes(self.definition), {}
        self.body = self.block(self.definition.body)

    @functools.cached_property
    def only_read(self) -> set[str]:
        """The parameters that, if they are arrays, are never written."""
        return only_read(self.definition, self._reading_of)

    def _reading_of(self, node: ast.Call):
        inner = self.inner_programs.get(id(node))
        return inner and (inner.parameters, inner.only_read)

    def source(self, line: int) -> str:
        """A line of the function, by its number in the file."""
        return self.lines[line - self.first].strip()

    def run(self, machine: Machine, mask: Mask, args: tuple, outermost: bool = False):
        """Call it for the lanes that take part."""
        if not len(self.parameters) - len(self.defaults) <= len(args) <= len(self.parameters):
            machine.fail(KernelError, f"{self.name} takes {len(self.parameters)} arguments, not {len(args)}")
        frame = Frame(machine, outermost)
        for name, value in {**self.defaults, **dict(zip(self.parameters, args, strict=False))}.items():
            frame.begin(name, value, mask)
        where = machine.where
        self.body(frame, mask)
        machine.where = where
        return frame.value

    # -- statements ------------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> Step:
        steps = [(s.lineno, self.statement(s)) for s in statements if not _says_nothing(s)]

        def run(frame, mask):
            machine = frame.machine
            for line, step in steps:
                if not mask.count:
                    return mask
                machine.where = self, line
                if machine.recorder is not None:
                    machine.recorder.line(machine, mask)
                mask = step(frame, mask)
            return mask

        return run

    def statement(self, node: ast.stmt) -> Step:
        """A step for a statement. What kernels cannot say is refused when a lane gets there, not before."""
        make = getattr(self, f"on_{type(node).__name__}", None)
        try:
            if make is None or (isinstance(node, (ast.For, ast.While)) and node.orelse):
                raise self.unknown(node)
            return make(node)
        except KernelError as error:
            return functools.partial(_refuse, error)

    def on_Expr(self, node):
        value = self.expression(node.value)

        def run(frame, mask):
            value(frame, mask)
            return mask

        return run

    def on_Pass(self, node):
        return lambda frame, mask: mask

    def on_Assert(self, node):
        test = self.expression(node.test)

        def run(frame, mask):
            _, failed = mask.split(test(frame, mask))
            if failed.count:
                frame.machine.fail(KernelError, "this does not hold", int(failed.places[0]))
            return mask

        return run

    # -- assignments -----------------------------------------------------------------------------------

    def on_Assign(self, node):
        value, targets = self.value_named(node), [self.target(t) for t in node.targets]

        def run(frame, mask):
            new = value(frame, mask)
            for put in targets:
                put(frame, mask, new)
            return mask

        return run

    def value_named(self, node: ast.Assign):
        """The value of an assignment; an array that it makes is called as the variable is."""
        call, target = node.value, node.targets[0]
        kind = words.ARRAY_MAKERS.get(dotted(call.func)) if isinstance(call, ast.Call) else None
        if kind is None or not isinstance(target, ast.Name):
            return self.expression(call)
        given = [*zip(("shape", "dtype", "alignment"), call.args, strict=False)]
        given += [(k.arg, k.value) for k in call.keywords]
        options = {name: self.expression(value) for name, value in given}
        key = self, node.lineno, node.col_offset

        def make(frame, mask):
            values = {name: value(frame, mask) for name, value in options.items()}
            return words.make_array(frame.machine, mask, kind, key, target.id, **values)

        return make

    def on_AnnAssign(self, node):
        if node.value is None:
            return self.on_Pass(node)
        return self.on_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def on_AugAssign(self, node):
        operation = ast.copy_location(ast.BinOp(_as_load(node.target), node.op, node.value), node)
        value, put = self.expression(operation), self.target(node.target)

        def run(frame, mask):
            put(frame, mask, value(frame, mask))
            return mask

        return run

    def target(self, node: ast.expr) -> Callable[[Frame, Mask, object], None]:
        """What an assignment does with its value."""
        if isinstance(node, ast.Name):
            name = node.id
            if name in self.homes.names and id(node) in self.homes.targets:
                return lambda frame, mask, value: frame.begin(name, value, mask)
            return lambda frame, mask, value: frame.assign(name, value, mask)
        if isinstance(node, ast.Tuple):
            return self._unpacking([self.target(t) for t in node.elts])
        if isinstance(node, ast.Subscript):
            array, index = self.expression(node.value), self.expression(node.slice)

            def store(frame, mask, value):
                machine = frame.machine
                array_of(machine, array(frame, mask)).store(machine, mask, index(frame, mask), (value,))

            return store
        raise self.unknown(node)

    @staticmethod
    def _unpacking(targets: list):
        def unpack(frame, mask, values):
            if not isinstance(values, tuple) or len(values) != len(targets):
                count = len(values) if isinstance(values, tuple) else 1
                frame.machine.fail(KernelError, f"{len(targets)} names are given {count} values")
            for put, value in zip(targets, values, strict=True):
                put(frame, mask, value)

        return unpack

    # -- branches and loops ----------------------------------------------------------------------------

    def on_If(self, node):
        known, truth = self.settled(node.test)
        if known:  # only one side is compiled, as Numba does
            return self.block(node.body if truth else node.orelse)
        test, body, other = self.expression(node.test), self.block(node.body), self.block(node.orelse)

        def run(frame, mask):
            yes, no = mask.split(test(frame, mask))
            whole = mask.count
            yes = body(frame, yes) if yes.count else yes
            no = other(frame, no) if no.count else no
            return mask if yes.count + no.count == whole else yes.joined(no)

        return run

    def on_While(self, node):
        test, body = self.expression(node.test), self.block(node.body)

        def run(frame, mask):
            machine, where = frame.machine, frame.machine.where
            loop, inside, done, rounds = Loop(), mask, NOBODY, 0
            frame.loops.append(loop)
            while inside.count:
                if rounds:
                    _again(machine, where, inside)
                inside, leaving = inside.split(test(frame, inside))
                done = done.joined(leaving)
                inside = _round(body, frame, inside, loop)
                rounds += 1
                if rounds > ROUNDS:
                    machine.where = where
                    machine.fail(
                        KernelError, f"still going on after {ROUNDS:,} rounds", int(inside.places[0])
                    )
            return _left(frame, mask, done)

        return run

    def on_For(self, node):
        if not (isinstance(node.iter, ast.Call) and dotted(node.iter.func) == "range"):
            raise self.unknown(node)
        bounds, put = [self.expression(a) for a in node.iter.args], self.target(node.target)
        body = self.block(node.body)

        def run(frame, mask):
            values = [bound(frame, mask) for bound in bounds]
            start, stop, step = {1: (0, *values, 1), 2: (*values, 1)}.get(len(values), values)
            loop = Loop()
            frame.loops.append(loop)
            if all(np.ndim(v) == 0 for v in (start, stop, step)):
                done = _together(frame, mask, range(int(start), int(stop), int(step)), put, body, loop)
            else:
                done = _apart(frame, mask, (start, stop, step), put, body, loop)
            return _left(frame, mask, done)

        return run

    def on_Break(self, node):
        def run(frame, mask):
            loop = frame.loops[-1]
            loop.broken = loop.broken.joined(mask)
            return NOBODY

        return run

    def on_Continue(self, node):
        def run(frame, mask):
            loop = frame.loops[-1]
            loop.continued = loop.continued.joined(mask)
            return NOBODY

        return run

    def on_Return(self, node):
        value = (lambda frame, mask: None) if node.value is None else self.expression(node.value)

        def run(frame, mask):
            frame.leave(value(frame, mask), mask)
            return NOBODY

        return run


def _refuse(error: KernelError, frame: Frame, mask: Mask) -> Mask:
    raise KernelError(*error.args)


# -- loops ---------------------------------------------------------------------------------------------


def _again(machine: Machine, where: tuple, mask: Mask) -> None:
    """Another round: the loop's first line is executed again."""
    machine.where = where
    if machine.recorder is not None:
        machine.recorder.line(machine, mask)


def _round(body: Step, frame: Frame, mask: Mask, loop: Loop) -> Mask:
    """One round for these lanes; returns those that begin the next one."""
    if not mask.count:
        return mask
    after, continued = body(frame, mask), loop.continued
    loop.continued = NOBODY
    return mask if after.count + continued.count == mask.count else after.joined(continued)


def _left(frame: Frame, mask: Mask, done: Mask) -> Mask:
    """The lanes that go on after a loop; usually all that entered it."""
    broken = frame.loops.pop().broken
    return mask if done.count + broken.count == mask.count else done.joined(broken)


def _together(frame, mask: Mask, values: range, put, body: Step, loop: Loop) -> Mask:
    """All lanes count alike."""
    machine, where = frame.machine, frame.machine.where
    for k, i in enumerate(values):
        if not mask.count:
            break
        if k:
            _again(machine, where, mask)
        put(frame, mask, i)
        mask = _round(body, frame, mask, loop)
    return mask


def _apart(frame, mask: Mask, bounds: tuple, put, body: Step, loop: Loop) -> Mask:
    """Each lane has its own bounds; all are in the same round."""
    machine, where = frame.machine, frame.machine.where
    i, stop, step = bounds
    done, inside = NOBODY, mask
    while inside.count:
        if i is not bounds[0]:
            _again(machine, where, inside)
        inside, leaving = inside.split(np.where(np.greater(step, 0), np.less(i, stop), np.greater(i, stop)))
        done = done.joined(leaving)
        if inside.count:
            put(frame, inside, i)
            inside = _round(body, frame, inside, loop)
        i = i + step
    return done


# -- programs ------------------------------------------------------------------------------------------

_in_the_making: list[Callable] = []


@functools.lru_cache(4096)
def program_of(function: Callable) -> Program:
    """The program of a function, made once."""
    if function in _in_the_making:
        raise KernelError(f"{function.__name__} calls itself, which kernels cannot. Fix: a loop")
    _in_the_making.append(function)
    try:
        return Program(function)
    finally:
        _in_the_making.pop()


def plain_function(target) -> Callable | None:
    """The Python function in what `@kernel`, `@device` or Numba's `@cuda.jit` have made of it."""
    for name in ("function", "py_func"):
        target = getattr(target, name, target)
    return target if inspect.isfunction(target) else None


def _says_nothing(node: ast.stmt) -> bool:
    """A docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _as_load(node: ast.expr) -> ast.expr:
    """The target of `x += 1` as an expression."""
    return ast.copy_location(ast.parse(ast.unparse(node), mode="eval").body, node)
