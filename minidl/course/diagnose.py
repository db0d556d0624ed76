"""What is wrong with an answer: run it on cases, compare with the reference, name the difference."""

import ast
import contextlib
import copy
import dis
import inspect
import linecache
import re
import textwrap
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.ops.creation import manual_seed, random_generator


@contextlib.contextmanager
def quiet():
    """Swallow what the examined code prints, displays or warns about: a check says one line, its own."""
    from IPython.utils.capture import capture_output

    with capture_output(), warnings.catch_warnings(), np.errstate(all="ignore"), _random_state_kept():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _random_state_kept():
    """Put the global random generators back: the cells below draw the same numbers, solved or not."""
    engine, legacy = random_generator().bit_generator.state, np.random.get_state()
    try:
        yield
    finally:
        random_generator().bit_generator.state = engine
        np.random.set_state(legacy)


# Running an answer


@dataclass(frozen=True)
class Outcome:
    """What one call did: the value or the error, and the arguments as the call left them."""

    value: Any = None
    error: BaseException | None = None
    arguments: tuple = ()


def outcome(answer: Callable, case: tuple, call: Callable | None = None) -> Outcome:
    """Run an answer on copies of a case's arguments, from one seed. KeyboardInterrupt passes through."""
    manual_seed(0)
    np.random.seed(0)
    arguments = copy.deepcopy(case)
    try:
        value = call(answer, *arguments) if call else answer(*arguments)
    except (Exception, SystemExit) as error:
        return Outcome(error=error, arguments=arguments)
    return Outcome(value=value, arguments=arguments)


# Not tried yet


def blank(value: Any) -> bool:
    """True for None, `...`, containers with `...` in them and functions without a body: not answered."""
    if isinstance(value, list | tuple):
        return any(item is ... for item in value)
    if isinstance(value, dict):
        return any(item is ... for item in value.values())
    return value is None or value is ... or (inspect.isfunction(value) and _does_nothing(value))


def blank_outcome(each: Outcome) -> bool:
    """True when a call returned `...` or said NotImplementedError."""
    if isinstance(each.error, NotImplementedError):
        return True
    return each.value is not None and not callable(each.value) and blank(each.value)


def unfinished(answer: Any) -> bool:
    """True for a function (or a class with a method) that still contains the `...` of its stub."""
    if inspect.isclass(answer):
        return any(unfinished(method) for method in vars(answer).values() if inspect.isfunction(method))
    return inspect.isfunction(answer) and (_does_nothing(answer) or _has_placeholder(answer))


def _does_nothing(function: Callable) -> bool:
    """True when the body is only `...` or `pass`, seen in the bytecode."""
    steps = [
        step
        for step in dis.get_instructions(function)
        if step.opname not in ("RESUME", "NOP", "COPY_FREE_VARS")
    ]
    names = [step.opname for step in steps]
    return names in (["LOAD_CONST", "RETURN_VALUE"], ["RETURN_CONST"]) and steps[0].argval is None


def _has_placeholder(function: Callable) -> bool:
    """True when `...` stands in the source as a statement or as an assigned or returned value."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return False
    holders = (ast.Expr, ast.Assign, ast.AnnAssign, ast.Return)
    return any(
        isinstance(node, holders) and isinstance(node.value, ast.Constant) and node.value.value is ...
        for node in ast.walk(tree)
    )


# Comparing


def numeric(value: Any) -> np.ndarray | None:
    """A value as an array of numbers (from a float, list, array, Tensor, Value ...); None when it is none."""
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        return np.asarray(value.detach().numpy())
    if isinstance(value, bool | int | float | complex | np.generic | np.ndarray):
        array = np.asarray(value)
        return array if array.dtype.kind in "biufc" else None
    if isinstance(value, list | tuple | range):
        parts = [numeric(item) for item in value]
        if any(part is None for part in parts) or len({part.shape for part in parts}) > 1:
            return None
        return np.stack(parts) if parts else np.empty(0)
    if hasattr(value, "data") and hasattr(value, "grad"):
        return numeric(value.data)
    return None


@dataclass(frozen=True)
class Tolerance:
    """How close two numbers must be to count as equal."""

    rtol: float
    atol: float

    def close(self, got: np.ndarray, want: np.ndarray) -> np.ndarray:
        """Elementwise: is `got` as good as `want`?"""
        return np.isclose(got, want, rtol=self.rtol, atol=self.atol, equal_nan=True)

    def equal(self, got: Any, want: Any) -> bool:
        """Same value, in whatever container or dtype."""
        numbers = numeric(want)
        if numbers is not None:
            mine = numeric(got)
            return mine is not None and mine.shape == numbers.shape and bool(self.close(mine, numbers).all())
        if isinstance(want, Mapping):
            same_keys = isinstance(got, Mapping) and got.keys() == want.keys()
            return same_keys and all(self.equal(got[key], want[key]) for key in want)
        if isinstance(want, set | frozenset):
            return isinstance(got, set | frozenset | list | tuple) and set(got) == want
        if isinstance(want, list | tuple | np.ndarray):
            same_length = isinstance(got, list | tuple | np.ndarray) and len(got) == len(want)
            return same_length and all(self.equal(a, b) for a, b in zip(got, want, strict=True))
        return type(got) is type(want) and bool(got == want)

    def alike(self, got: Outcome, want: Outcome) -> bool:
        """Same value (or same kind of error), and the arguments left in the same state."""
        if got.error or want.error:
            return type(got.error) is type(want.error)
        return self.equal(got.value, want.value) and self.changed(got, want) is None

    def changed(self, got: Outcome, want: Outcome) -> int | None:
        """The index of the first argument that the call left otherwise than the reference does."""
        pairs = zip(got.arguments, want.arguments, strict=True)
        for index, (mine, reference) in enumerate(pairs):
            if _is_data(reference) and not self.equal(mine, reference):
                return index
        return None


def _is_data(value: Any) -> bool:
    """True for numbers, strings and containers of them: what can be compared by value."""
    if isinstance(value, Mapping):
        return all(_is_data(item) for item in value.values())
    if isinstance(value, list | tuple | set):
        return all(_is_data(item) for item in value)
    return value is None or isinstance(value, str) or numeric(value) is not None


# Finding words


def explain(
    answer, cases: Sequence[tuple], got: Sequence[Outcome], want: Sequence[Outcome], tolerance: Tolerance
) -> str:
    """The diagnosis of a function that differs from the reference: the first of these that fits."""
    name = getattr(answer, "__name__", "your function").replace("<lambda>", "your function")
    for case, mine, reference in zip(cases, got, want, strict=True):
        if tolerance.alike(mine, reference):
            continue
        call = f"{name}({', '.join(short(argument) for argument in case)})"
        if mine.error:
            return f"{call} {explain_error(mine.error, answer)}"
        if reference.error:
            return f"{call} should raise {type(reference.error).__name__}, yours returns {short(mine.value)}"
        problem = _form_problem(mine.value, reference.value, tolerance)
        if problem:
            return f"{call} {problem}"
        index = tolerance.changed(mine, reference)
        if index is not None:
            return f"{call} {_argument_problem(index, case, reference, tolerance)}"
        whole = _pattern([each.value for each in got], [each.value for each in want], tolerance)
        return whole or f"{call} {_first_difference(mine.value, reference.value, tolerance)}"
    raise AssertionError("explain is for answers that differ from the reference")


def explain_value(answer: Any, reference: Any, tolerance: Tolerance) -> str:
    """The diagnosis of a wrong value. It never tells the right one."""
    mine, wanted = numeric(answer), numeric(reference)
    if wanted is not None and mine is not None and mine.shape == wanted.shape:
        pattern = (
            _pattern([answer], [reference], tolerance) if wanted.size > 1 else _sign(mine, wanted, tolerance)
        )
        if pattern:
            return pattern
        if wanted.size == 1 and np.isrealobj(mine) and np.isfinite(mine).all():
            return f"{short(answer)} is too {'small' if mine.item() < wanted.item() else 'large'}"
        return f"{int((~tolerance.close(mine, wanted)).sum())} of the {wanted.size} numbers are not right yet"
    if wanted is not None:
        expected = "one number" if wanted.ndim == 0 else f"numbers of shape {wanted.shape}"
        return f"expected {expected}, found {_describe(answer)}"
    if type(answer) is not type(reference):
        return f"expected a {type(reference).__name__}, found {_describe(answer)}"
    return f"{short(answer)} is not it"


def explain_error(error: BaseException, answer: Any = None) -> str:
    """`raises ValueError: ... in your line "..."`, on one line and without memory addresses."""
    text = re.sub(r"0x[0-9a-fA-F]{4,}", "0x...", " ".join(str(error).split()))
    text = f"raises {type(error).__name__}" + (f": {_cut(text, 160)}" if text else "")
    line = _line_of(error, answer)
    return f"{text}, in your line `{line}`" if line else text


def _line_of(error: BaseException, answer: Any) -> str:
    """The innermost line of the learner's own code that the error passed through."""
    functions = vars(answer).values() if inspect.isclass(answer) else [answer]
    files = {function.__code__.co_filename for function in functions if inspect.isfunction(function)}
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_code.co_filename in files:
            return linecache.getline(frame.f_code.co_filename, number).strip()
    return ""


def _form_problem(got: Any, want: Any, tolerance: Tolerance) -> str | None:
    """Nothing returned, the wrong kind of thing, or the wrong shape."""
    if got is None and want is not None:
        return "returns None: is a `return` missing?"
    mine, wanted = numeric(got), numeric(want)
    if wanted is None:
        return _container_problem(got, want)
    if mine is None:
        expected = "one number" if wanted.ndim == 0 else f"numbers of shape {wanted.shape}"
        return f"returns {_describe(got)}, expected {expected}"
    if mine.shape == wanted.shape:
        return None
    if mine.ndim >= 2 and mine.T.shape == wanted.shape and tolerance.close(mine.T, wanted).all():
        return f"is transposed: shape {mine.shape}, expected {wanted.shape}"
    return f"has shape {mine.shape}, expected {wanted.shape}"


def _container_problem(got: Any, want: Any) -> str | None:
    """The wrong container, length or keys, where the reference's value is not an array of numbers."""
    if isinstance(want, Mapping):
        if not isinstance(got, Mapping):
            return f"returns {_describe(got)}, expected a dict with the keys {_cut(str(list(want)), 80)}"
        if got.keys() != want.keys():
            return f"has the keys {_cut(str(list(got)), 80)}, expected {_cut(str(list(want)), 80)}"
    elif isinstance(want, list | tuple):
        if not isinstance(got, list | tuple | np.ndarray):
            return f"returns {_describe(got)}, expected {len(want)} values"
        if len(got) != len(want):
            return f"returns {len(got)} values, expected {len(want)}"
    elif type(got) is not type(want):
        return f"returns {_describe(got)}, expected a {type(want).__name__}"
    return None


def _argument_problem(index: int, case: tuple, reference: Outcome, tolerance: Tolerance) -> str:
    """An argument was changed that should not be, or not changed as it should be."""
    ordinal = ["first", "second", "third", "fourth"][index] if index < 4 else f"{index + 1}th"
    if tolerance.equal(reference.arguments[index], case[index]):
        return f"changes its {ordinal} argument in place: work on a copy, or write `a = a + b` for `a += b`"
    return f"should change its {ordinal} argument in place, to {short(reference.arguments[index])}"


def _pattern(got: Sequence, want: Sequence, tolerance: Tolerance) -> str | None:
    """One rule that explains all differences of all cases: transposed, sign, factor, offset or fractions."""
    pairs = [(numeric(mine), numeric(reference)) for mine, reference in zip(got, want, strict=True)]
    if any(a is None or b is None or a.shape != b.shape for a, b in pairs):
        return None
    if any(a.ndim >= 2 for a, _ in pairs) and all(
        a.T.shape == b.shape and tolerance.close(a.T, b).all() for a, b in pairs
    ):
        return "right, but transposed"
    mine = np.concatenate([np.ravel(a) for a, _ in pairs])
    wanted = np.concatenate([np.ravel(b) for _, b in pairs])
    if mine.dtype.kind == "b" or wanted.dtype.kind == "b":
        opposite = mine.dtype.kind == wanted.dtype.kind and bool((mine != wanted).all())
        return "true and false are swapped" if opposite else None
    if not np.isfinite(mine).all() and np.isfinite(wanted).all():
        return None
    return (
        _sign(mine, wanted, tolerance)
        or _factor(mine, wanted, tolerance)
        or _offset(mine, wanted, tolerance)
        or _truncation(mine, wanted, tolerance)
    )


def _sign(mine: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> str | None:
    nonzero = mine.dtype.kind != "b" and wanted.dtype.kind != "b" and np.any(wanted)
    return "right size, wrong sign" if nonzero and tolerance.close(-mine, wanted).all() else None


def _factor(mine: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> str | None:
    """All values k times too large, with one k that is neither 0 nor 1."""
    largest = int(np.argmax(np.abs(wanted)))
    if np.count_nonzero(wanted) < 2 or not wanted[largest] or not mine[largest]:
        return None
    factor = mine[largest] / wanted[largest]
    return f"off by a factor of {factor:.4g}" if tolerance.close(mine, wanted * factor).all() else None


def _offset(mine: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> str | None:
    """All values the same amount too large."""
    if wanted.size < 3 or np.ptp(wanted) == 0:
        return None
    offset = float(np.real(mine[0])) - float(np.real(wanted[0]))
    direction = "large" if offset > 0 else "small"
    fits = offset and tolerance.close(mine, wanted + offset).all()
    return f"every value is {abs(offset):.4g} too {direction}" if fits else None


def _truncation(mine: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> str | None:
    """Whole numbers where fractions are expected: integer division, or an integer array."""
    cut = not np.iscomplexobj(wanted) and any(
        tolerance.close(mine, rounding(wanted)).all() for rounding in (np.trunc, np.floor, np.round)
    )
    return "the fractions are lost: look for `//`, int(...) or an array of integers" if cut else None


def _first_difference(got: Any, want: Any, tolerance: Tolerance) -> str:
    """Both values where they first differ."""
    mine, wanted = numeric(got), numeric(want)
    if wanted is None:
        return _first_different_item(got, want, tolerance) or f"gives {short(got)}, expected {short(want)}"
    if wanted.size <= 4:
        return "gives {}, expected {}".format(*_told_apart(mine, wanted))
    wrong = ~tolerance.close(mine, wanted)
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = ", ".join(map(str, index))
    count = f"{int(wrong.sum())} of {wanted.size} values differ, "
    found, expected = _told_apart(mine[index], wanted[index])
    return f"has {found} at [{place}], expected {expected} ({count}the first is shown)"


def _told_apart(mine: np.ndarray, wanted: np.ndarray) -> list[str]:
    """Both in as few digits as show that they differ."""
    for digits in (4, 8, 16):
        texts = [short(value, digits) for value in (mine, wanted)]
        if texts[0] != texts[1]:
            break
    return texts


def _first_different_item(got: Any, want: Any, tolerance: Tolerance) -> str | None:
    """Of several returned things: which is the first wrong one, and how."""
    if isinstance(want, Mapping):
        items = [(f"the value for {key!r}", got[key], want[key]) for key in want]
    elif isinstance(want, list | tuple):
        items = [(f"value {i + 1} of {len(want)}", got[i], want[i]) for i in range(len(want))]
    else:
        return None
    for name, mine, wanted in items:
        if not tolerance.equal(mine, wanted):
            problem = _form_problem(mine, wanted, tolerance) or _first_difference(mine, wanted, tolerance)
            return f"{name} {problem}"
    return None


def short(value: Any, digits: int = 4) -> str:
    """A value in a few characters, the same on every machine."""
    array = numeric(value)
    if isinstance(value, str):
        return _cut(repr(value), 60)
    if array is not None and array.size <= 8:
        text = np.array2string(array, precision=digits, separator=", ", floatmode="maxprec")
        return " ".join(text.split())
    if array is not None:
        return f"<shape {array.shape}>"
    if isinstance(value, list | tuple | dict | set) and _is_data(value):
        return _cut(" ".join(repr(value).split()), 60)
    return "None" if value is None else getattr(value, "__name__", f"<{type(value).__name__}>")


def _describe(value: Any) -> str:
    """The kind of thing that a value is, for "expected ..., found ..."."""
    array = numeric(value)
    if array is not None:
        return f"the number {short(value)}" if array.ndim == 0 else f"numbers of shape {array.shape}"
    if value is None:
        return "None"
    if callable(value):
        return "a function"
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
