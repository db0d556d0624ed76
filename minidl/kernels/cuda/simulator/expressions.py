"""Expressions of kernels, each as a function (frame, mask) -> value: a number, or one for each lane."""

from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np

from minidl.kernels.cuda.simulator import words
from minidl.kernels.cuda.simulator.errors import KernelError
from minidl.kernels.cuda.simulator.frame import Frame
from minidl.kernels.cuda.simulator.instructions import array_of
from minidl.kernels.cuda.simulator.lanes import Mask
from minidl.kernels.cuda.simulator.names import Homes, dotted
from minidl.kernels.cuda.simulator.numbers import ARITHMETIC, COMPARISONS, UNARY, truth

Value = Callable[[Frame, Mask], object]


class Expressions:
    """The half of a program that computes values. The other half, statements, says which names there are."""

    name: str
    look_up: Callable[[str], object]
    own_names: set[str]
    homes: Homes
    inner_programs: dict

    def unknown(self, node: ast.AST) -> KernelError:
        text = ast.unparse(node).partition("\n")[0]
        return KernelError(
            f"{self.name}, line {getattr(node, 'lineno', '?')}: `{text}` is not part of the language of "
            "kernels. Fix: numbers, arrays, if, for over range, while, functions made by @device"
        )

    def expression(self, node: ast.expr) -> Value:
        make = getattr(self, f"of_{type(node).__name__}", None)
        if make is None:
            raise self.unknown(node)
        return make(node)

    # -- names and constants ---------------------------------------------------------------------------

    def of_Constant(self, node):
        value = _constant(node.value)
        return lambda frame, mask: value

    def of_Name(self, node):
        name = node.id
        if name not in self.own_names:
            value = _constant(self.around(name))
            return lambda frame, mask: value
        if name in self.homes.names:
            return lambda frame, mask: frame.variables[name].value

        def read(frame, mask):
            variable = frame.variables.get(name)
            if variable is None or not variable.known_to(mask):
                lost = mask.lanes if variable is None else mask.lanes & ~variable.owners.lanes
                lane = int(np.flatnonzero(lost)[0])
                frame.machine.fail(KernelError, f"{name} has no value here: this thread has not set it", lane)
            return variable.value

        return read

    def around(self, name: str):
        """A name of the world around the kernel."""
        try:
            return self.look_up(name)
        except KeyError:
            text = f"{self.name}: the name {name!r} is unknown. Fix: define it before the first launch"
            raise KernelError(text) from None
        except ValueError:  # a variable of the factory that has no value yet
            raise KernelError(f"{self.name}: {name!r} has no value when the kernel is launched") from None

    def settled(self, node: ast.expr) -> tuple[bool, object]:
        """(True, value) of an expression that holds nothing but constants; (False, None) of any other."""
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        calls = any(isinstance(n, ast.Call) for n in ast.walk(node))
        if calls or names & {*self.own_names, "cuda"}:
            return False, None
        code = compile(ast.Expression(node), self.name, "eval")
        return True, eval(code, {"__builtins__": {}}, {name: self.around(name) for name in names})

    def object_of(self, node: ast.expr):
        """The function that a call names, such as `square` or `np.float32`."""
        if isinstance(node, ast.Name) and node.id not in self.own_names:
            return self.around(node.id)
        if isinstance(node, ast.Attribute):
            return getattr(self.object_of(node.value), node.attr)
        raise self.unknown(node)

    def of_Tuple(self, node):
        parts = [self.expression(part) for part in node.elts]
        return lambda frame, mask: tuple(part(frame, mask) for part in parts)

    def of_Attribute(self, node):
        special = words.attribute(dotted(node))
        if special is not None:
            return lambda frame, mask: special(frame.machine)
        if dotted(node).partition(".")[0] not in self.own_names:
            value = _constant(self.object_of(node))
            return lambda frame, mask: value
        if node.attr not in ("shape", "size", "ndim", "dtype"):
            raise self.unknown(node)
        value, name = self.expression(node.value), node.attr
        return lambda frame, mask: getattr(value(frame, mask), name)

    def of_Subscript(self, node):
        array, index = self.expression(node.value), self.expression(node.slice)

        def read(frame, mask):
            a, i = array(frame, mask), index(frame, mask)
            return a[i] if isinstance(a, tuple) else array_of(frame.machine, a).load(frame.machine, mask, i)

        return read

    # -- arithmetic ------------------------------------------------------------------------------------

    def of_BinOp(self, node):
        left, right = self.expression(node.left), self.expression(node.right)
        name = type(node.op).__name__
        operate, fused = ARITHMETIC[name], _is_fused(node)

        def run(frame, mask):
            machine = frame.machine
            out = operate(machine, mask, left(frame, mask), right(frame, mask))
            if machine.recorder is not None:
                machine.recorder.operation(machine, out, mask, fused)
            return out

        return run

    def of_UnaryOp(self, node):
        value, operate = self.expression(node.operand), UNARY[type(node.op).__name__]
        return lambda frame, mask: operate(value(frame, mask))

    def of_Compare(self, node):
        if len(node.ops) > 1:
            pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
            parts = [ast.copy_location(ast.Compare(a, [op], [b]), node) for a, op, b in pairs]
            return self.of_BoolOp(ast.copy_location(ast.BoolOp(ast.And(), parts), node))
        name = type(node.ops[0]).__name__
        if name not in COMPARISONS:
            raise self.unknown(node)
        left, right = self.expression(node.left), self.expression(node.comparators[0])
        operate = COMPARISONS[name]
        return lambda frame, mask: operate(left(frame, mask), right(frame, mask))

    def of_BoolOp(self, node):
        """`and` and `or`: the second part is asked only of the lanes that the first has not decided."""
        parts, is_and = [self.expression(part) for part in node.values], isinstance(node.op, ast.And)

        def run(frame, mask):
            undecided, out = mask, is_and
            for part in parts:
                value = truth(part(frame, undecided))
                if isinstance(value, np.ndarray) or undecided is not mask:
                    out = value if undecided is mask else np.where(undecided.lanes, value, out)
                else:
                    out = value
                yes, no = undecided.split(value)
                undecided = yes if is_and else no
                if not undecided.count:
                    break
            return out

        return run

    def of_IfExp(self, node):
        known, holds = self.settled(node.test)
        if known:
            return self.expression(node.body if holds else node.orelse)
        test, body, other = map(self.expression, (node.test, node.body, node.orelse))

        def run(frame, mask):
            yes, no = mask.split(test(frame, mask))
            if not no.count:
                return body(frame, mask)
            if not yes.count:
                return other(frame, mask)
            return frame.either(body(frame, yes), other(frame, no), yes)

        return run

    # -- calls -----------------------------------------------------------------------------------------

    def of_Call(self, node):
        path = dotted(node.func)
        action, args = words.named(path), [self.expression(a) for a in node.args]
        if action is None:
            action = self.called(node)
        if node.keywords:
            raise self.unknown(node)
        if path in words.ARITHMETIC_WORDS:
            return _counted(action, args)
        return lambda frame, mask: action(frame.machine, mask, *[a(frame, mask) for a in args])

    def called(self, node: ast.Call) -> Callable:
        """What a call of something that the kernel's module or factory has defined does."""
        # Here, since program.py imports this file.
        from minidl.kernels.cuda.simulator.program import plain_function, program_of

        try:
            target = self.object_of(node.func)
        except AttributeError:
            raise self.unknown(node) from None
        instruction = words.instruction(target)
        if instruction is not None:
            return instruction
        function = plain_function(target)
        if function is None:
            raise self.unknown(node)
        inner = self.inner_programs[id(node)] = program_of(function)
        return lambda machine, mask, *values: inner.run(machine, mask, values)


def _counted(action: Callable, args: list[Value]) -> Value:
    """A function that is a floating-point operation."""

    def run(frame, mask):
        machine = frame.machine
        out = action(machine, mask, *[a(frame, mask) for a in args])
        if machine.recorder is not None:
            machine.recorder.operation(machine, out, mask, False)
        return out

    return run


def _is_fused(node: ast.BinOp) -> bool:
    """Is it a b + c, for which the hardware has one instruction?"""
    parts = node.left, node.right
    products = [p for p in parts if isinstance(p, ast.BinOp) and isinstance(p.op, ast.Mult)]
    return isinstance(node.op, (ast.Add, ast.Sub)) and bool(products)


def _constant(value):
    """A constant as kernels see it: Python's floats are float64."""
    return np.float64(value) if type(value) is float else value
