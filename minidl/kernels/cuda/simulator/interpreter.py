"""A kernel's source, turned into functions that run it for a whole batch of lanes.

Each node of the syntax tree becomes a small Python function, once; running a kernel is calling them:

    expression: (frame, mask) -> value            a number, or one for each lane
    statement:  (frame, mask) -> mask             the lanes that go on to the next statement

`if` gives each side a part of the mask and joins what comes out. `return`, `break` and `continue` let nobody
through; the function or loop around them collects those lanes again.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import operator
import textwrap
from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator import functions
from minidl.kernels.cuda.simulator.errors import KernelError
from minidl.kernels.cuda.simulator.machine import Machine, Mask

OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


class Frame:
    """One call: the variables, and the lanes that have left it."""

    def __init__(self, machine: Machine, variables: dict, outermost: bool):
        self.machine, self.variables, self.outermost = machine, variables, outermost
        self.value = None
        self.returned: Mask | None = None
        self.loops: list[Loop] = []

    def assign(self, name: str, value, mask: Mask) -> None:
        """A variable of the lanes that take part; the others keep theirs."""
        old = self.variables.get(name)
        if old is None or mask.full or not _is_number(value) or not _is_number(old):
            self.variables[name] = value
        elif old is not value:
            self.variables[name] = merged(value, old, mask)

    def leave(self, value, mask: Mask) -> None:
        """These lanes return."""
        if self.outermost:
            self.machine.exited |= mask.lanes
        self.value = value if self.returned is None else merged(value, self.value, mask)
        self.returned = mask | self.returned


class Loop:
    """The lanes that have left a loop, and those that have left this round of it."""

    def __init__(self):
        self.broken = self.continued = None


def _is_number(value) -> bool:
    return isinstance(value, (int, float, np.ndarray, np.generic))


def merged(new, old, mask: Mask):
    """`new` for the lanes that take part, `old` for the others."""
    if isinstance(new, tuple):
        return tuple(merged(a, b, mask) for a, b in zip(new, old, strict=True))
    return old if new is None else np.where(mask.lanes, new, old)


class Program:
    """A function, ready to be run."""

    def __init__(self, function: Callable):
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        ast.increment_lineno(tree, first - 1)
        definition = tree.body[0]
        self.name, self.file = function.__name__, function.__code__.co_filename
        self.parameters = [a.arg for a in definition.args.args]
        defaults = function.__defaults__ or ()
        self.defaults = dict(
            zip(self.parameters[len(self.parameters) - len(defaults) :], defaults, strict=True)
        )
        self.known = _known_names(function)
        self.local = {
            n.id for n in ast.walk(definition) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        self.local |= set(self.parameters)
        self.body = self.block(definition.body)

    def run(self, machine: Machine, mask: Mask, args: tuple, outermost: bool = False):
        """Call it for the lanes that take part."""
        if len(args) + len(self.defaults) < len(self.parameters) or len(args) > len(self.parameters):
            machine.fail(KernelError, f"{self.name} takes {len(self.parameters)} arguments, not {len(args)}")
        given = dict(zip(self.parameters, args, strict=False))
        frame = Frame(machine, {**self.defaults, **given}, outermost)
        where = machine.where
        self.body(frame, mask)
        machine.where = where
        return frame.value

    # -- statements ------------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> Callable[[Frame, Mask], Mask]:
        steps = [(self.file, s.lineno, self.statement(s)) for s in statements if not _says_nothing(s)]

        def run(frame, mask):
            machine = frame.machine
            for file, line, step in steps:
                if not mask.count:
                    return mask
                machine.where = file, line
                if machine.recorder is not None:
                    machine.recorder.line(machine, mask)
                mask = step(frame, mask)
            return mask

        return run

    def statement(self, node: ast.stmt) -> Callable[[Frame, Mask], Mask]:
        make = getattr(self, f"on_{type(node).__name__}", None)
        try:
            if make is None:
                raise self.unknown(node)
            return make(node)
        except KernelError as error:  # it may stand in a branch that is never taken
            return functools.partial(_fail, str(error))

    def unknown(self, node: ast.AST) -> KernelError:
        return KernelError(
            f"{self.name}, line {getattr(node, 'lineno', '?')}: `{ast.unparse(node)}` is not part of the "
            "language of kernels. Fix: numbers, arrays, if, for over range, while"
        )

    def on_Expr(self, node):
        value = self.expression(node.value)

        def run(frame, mask):
            value(frame, mask)
            return mask

        return run

    def on_Pass(self, node):
        return lambda frame, mask: mask

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
        target = node.targets[0]
        if isinstance(node.value, ast.Call) and isinstance(target, ast.Name):
            kind = {"cuda.shared.array": "shared", "cuda.local.array": "local"}.get(_dotted(node.value.func))
            if kind:
                args, key = (
                    [self.expression(a) for a in node.value.args],
                    (self.file, node.lineno, node.col_offset),
                )
                return lambda frame, mask: functions.make_array(
                    frame.machine, kind, key, target.id, *[a(frame, mask) for a in args]
                )
        return self.expression(node.value)

    def on_AnnAssign(self, node):
        return self.on_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def on_AugAssign(self, node):
        load = ast.copy_location(_as_load(node.target), node)
        operation = ast.copy_location(ast.BinOp(load, node.op, node.value), node)
        value, put = self.expression(operation), self.target(node.target)

        def run(frame, mask):
            put(frame, mask, value(frame, mask))
            return mask

        return run

    def target(self, node: ast.expr):
        """What an assignment does with its value."""
        if isinstance(node, ast.Name):
            return lambda frame, mask, value: frame.assign(node.id, value, mask)
        if isinstance(node, ast.Tuple):
            parts = [self.target(t) for t in node.elts]

            def unpack(frame, mask, values):
                for put, value in zip(parts, values, strict=True):
                    put(frame, mask, value)

            return unpack
        if isinstance(node, ast.Subscript):
            array, index = self.expression(node.value), self.expression(node.slice)
            return lambda frame, mask, value: functions.array_of(frame.machine, array(frame, mask)).store(
                frame.machine, mask, index(frame, mask), (value,)
            )
        raise self.unknown(node)

    def on_If(self, node):
        test, body, other = self.expression(node.test), self.block(node.body), self.block(node.orelse)

        def run(frame, mask):
            yes, no = mask.split(test(frame, mask))
            yes = body(frame, yes) if yes.count else yes
            no = other(frame, no) if no.count else no
            return yes | no

        return run

    def on_While(self, node):
        test, body = self.expression(node.test), self.block(node.body)

        def run(frame, mask):
            where, loop, inside = frame.machine.where, Loop(), mask
            frame.loops.append(loop)
            done = mask.none()
            while inside.count:
                frame.machine.where = where
                inside, leaving = inside.split(test(frame, inside))
                done = done | leaving
                inside = _round(body, frame, inside, loop)
            frame.loops.pop()
            return done | loop.broken

        return run

    def on_For(self, node):
        if not (isinstance(node.iter, ast.Call) and _dotted(node.iter.func) == "range"):
            raise self.unknown(node)
        bounds, put = [self.expression(a) for a in node.iter.args], self.target(node.target)
        body = self.block(node.body)

        def run(frame, mask):
            values = [bound(frame, mask) for bound in bounds]
            start, stop, step = {1: (0, *values, 1), 2: (*values, 1)}.get(len(values), values)
            loop = Loop()
            frame.loops.append(loop)
            same = all(np.ndim(v) == 0 for v in (start, stop, step))
            rounds = _together if same else _apart
            done = rounds(frame, mask, start, stop, step, put, body, loop)
            frame.loops.pop()
            return done | loop.broken

        return run

    def on_Break(self, node):
        def run(frame, mask):
            frame.loops[-1].broken = mask | frame.loops[-1].broken
            return mask.none()

        return run

    def on_Continue(self, node):
        def run(frame, mask):
            frame.loops[-1].continued = mask | frame.loops[-1].continued
            return mask.none()

        return run

    def on_Return(self, node):
        value = (lambda frame, mask: None) if node.value is None else self.expression(node.value)

        def run(frame, mask):
            frame.leave(value(frame, mask), mask)
            return mask.none()

        return run

    def on_Assert(self, node):
        return lambda frame, mask: mask

    # -- expressions -----------------------------------------------------------------------------------

    def expression(self, node: ast.expr) -> Callable[[Frame, Mask], object]:
        make = getattr(self, f"of_{type(node).__name__}", None)
        if make is None:
            raise self.unknown(node)
        return make(node)

    def of_Constant(self, node):
        value = np.float64(node.value) if isinstance(node.value, float) else node.value
        return lambda frame, mask: value

    def of_Name(self, node):
        name = node.id
        if name not in self.local:
            value = self.constant(name)
            return lambda frame, mask: value

        def read(frame, mask):
            try:
                return frame.variables[name]
            except KeyError:
                frame.machine.fail(KernelError, f"{name} has no value here: no thread has given it one")

        return read

    def constant(self, name: str):
        """A name of the world around the kernel."""
        if name not in self.known:
            raise KernelError(f"{self.name}: the name {name!r} is unknown. Fix: define it before the kernel")
        value = self.known[name]
        return np.float64(value) if type(value) is float else value

    def of_Tuple(self, node):
        parts = [self.expression(part) for part in node.elts]
        return lambda frame, mask: tuple(part(frame, mask) for part in parts)

    def of_Attribute(self, node):
        path = _dotted(node)
        special = functions.attribute(path)
        if special is not None:
            return lambda frame, mask: special(frame.machine)
        value, name = self.expression(node.value), node.attr
        if name == "T" or name.startswith("_"):
            raise self.unknown(node)
        return lambda frame, mask: getattr(value(frame, mask), name)

    def of_Subscript(self, node):
        array, index = self.expression(node.value), self.expression(node.slice)

        def read(frame, mask):
            a = array(frame, mask)
            if isinstance(a, tuple):
                return a[index(frame, mask)]
            return functions.array_of(frame.machine, a).load(frame.machine, mask, index(frame, mask))

        return read

    def of_BinOp(self, node):
        left, right, operate = (
            self.expression(node.left),
            self.expression(node.right),
            OPERATORS[type(node.op)],
        )
        name = type(node.op).__name__

        def run(frame, mask):
            out = operate(left(frame, mask), right(frame, mask))
            if frame.machine.recorder is not None:
                frame.machine.recorder.operation(frame.machine, name, out, mask)
            return out

        return run

    def of_UnaryOp(self, node):
        value = self.expression(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda frame, mask: np.logical_not(value(frame, mask))
        if isinstance(node.op, ast.Invert):
            return lambda frame, mask: np.invert(value(frame, mask))
        operate = OPERATORS[type(node.op)]
        return lambda frame, mask: operate(value(frame, mask))

    def of_Compare(self, node):
        if len(node.ops) > 1:
            pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
            parts = [ast.copy_location(ast.Compare(a, [op], [b]), node) for a, op, b in pairs]
            return self.of_BoolOp(ast.copy_location(ast.BoolOp(ast.And(), parts), node))
        left, right = self.expression(node.left), self.expression(node.comparators[0])
        operate = OPERATORS[type(node.ops[0])]
        return lambda frame, mask: operate(left(frame, mask), right(frame, mask))

    def of_BoolOp(self, node):
        parts, is_and = [self.expression(part) for part in node.values], isinstance(node.op, ast.And)

        def run(frame, mask):
            undecided, out = mask, is_and
            for part in parts:
                value = part(frame, undecided)
                value = value != 0 if np.ndim(value) else bool(value)
                if np.ndim(value) or undecided is not mask:
                    out = np.where(undecided.lanes, value, out)
                else:
                    out = value
                yes, no = undecided.split(value)
                undecided = yes if is_and else no
                if not undecided.count:
                    break
            return out

        return run

    def of_IfExp(self, node):
        test, body, other = map(self.expression, (node.test, node.body, node.orelse))

        def run(frame, mask):
            yes, no = mask.split(test(frame, mask))
            if not no.count:
                return body(frame, mask)
            if not yes.count:
                return other(frame, mask)
            return merged(body(frame, yes), other(frame, no), yes)

        return run

    def of_Call(self, node):
        path = _dotted(node.func)
        args = [self.expression(a) for a in node.args]
        args += [self.expression(k.value) for k in node.keywords]
        action = functions.named(path) or self.called(node)
        if path in functions.COUNTED:
            name = path

            def run_counted(frame, mask):
                out = action(frame.machine, mask, *[a(frame, mask) for a in args])
                if frame.machine.recorder is not None:
                    frame.machine.recorder.operation(frame.machine, name, out, mask)
                return out

            return run_counted
        return lambda frame, mask: action(frame.machine, mask, *[a(frame, mask) for a in args])

    def called(self, node: ast.Call):
        """What a call of something that the kernel's module or factory has defined does."""
        try:
            target = eval(compile(ast.Expression(node.func), self.file, "eval"), dict(self.known))
        except Exception:
            raise self.unknown(node) from None
        instruction = functions.instruction(target)
        if instruction is not None:
            return instruction
        function = getattr(target, "function", target)
        if not inspect.isfunction(function):
            raise self.unknown(node)
        inner = program(function)
        return lambda machine, mask, *values: inner.run(machine, mask, values)


def _fail(message: str, frame: Frame, mask: Mask):
    raise KernelError(message)


# -- loops ---------------------------------------------------------------------------------------------


def _round(body, frame: Frame, mask: Mask, loop: Loop) -> Mask:
    """One round for these lanes; returns those that begin the next one."""
    if not mask.count:
        return mask
    mask = body(frame, mask) | loop.continued
    loop.continued = None
    return mask


def _together(frame, mask, start, stop, step, put, body, loop) -> Mask:
    """All lanes count alike."""
    for i in range(int(start), int(stop), int(step)):
        if not mask.count:
            break
        put(frame, mask, i)
        mask = _round(body, frame, mask, loop)
    return mask


def _apart(frame, mask, start, stop, step, put, body, loop) -> Mask:
    """Each lane counts for itself; all are in the same round."""
    machine = frame.machine
    i, step = machine.vector(start).astype(np.int64), machine.vector(step)
    done, inside = mask.none(), mask
    while True:
        inside, leaving = inside.split(np.where(step > 0, i < stop, i > stop))
        done = done | leaving
        if not inside.count:
            return done
        put(frame, inside, i)
        inside = _round(body, frame, inside, loop)
        i = i + step


# -- names ---------------------------------------------------------------------------------------------


@functools.lru_cache(4096)
def program(function: Callable) -> Program:
    """The program of a function, made once."""
    return Program(function)


def _known_names(function: Callable) -> dict:
    """Globals, and over them the variables of the factory around the function."""
    known = {**vars(builtins), **function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            known[name] = cell.cell_contents
        except ValueError:  # not set on the factory's way here
            continue
    return known


def _dotted(node: ast.AST) -> str:
    """`cuda.shared.array` for that expression; "" for one that is not a dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return inner and f"{inner}.{node.attr}"
    return ""


def _says_nothing(node: ast.stmt) -> bool:
    """A docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _as_load(node: ast.expr) -> ast.expr:
    text = ast.unparse(node)
    return ast.fix_missing_locations(ast.parse(text, mode="eval").body)
