"""Looking for the first nan: which op made it, from what, called where."""

from __future__ import annotations

import inspect
import linecache
import sys
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from minidl.tensor import OPS, describe, enable_grad, is_grad_enabled, no_grad, observe

__all__ = ["detect_anomaly", "enable_grad", "is_grad_enabled", "no_grad"]

PACKAGE = str(Path(__file__).parent)


class detect_anomaly:
    """`with detect_anomaly():` the op that makes the first nan raises an error, forward and backward.

    Forward, the message names the op, its arguments with shapes and ranges, and those that held nan already;
    backward, the op whose vjp turned a sound gradient into nan, and where it was called. It is slow.

    Args:
        check_nan: look for nan.
        check_inf: look for infinities too, which are often the cause.

    Raises:
        RuntimeError: in the block, at the first nan.
    """

    def __init__(self, check_nan: bool = True, *, check_inf: bool = False):
        self.check_nan, self.check_inf = check_nan, check_inf
        self._calls: WeakKeyDictionary = WeakKeyDictionary()  # Node -> how its op was called

    def __enter__(self):
        self._observing = observe(self)
        self._observing.__enter__()
        return self

    def __exit__(self, *error):
        self._observing.__exit__(*error)

    def forward(self, name: str, arrays: list, settings: dict, result) -> None:
        """Called after each op."""
        call = name, arrays, settings, _caller()
        found = self._find(result.array)
        if found:
            raise RuntimeError(f"{_text(*call)} gave {found}. {self._sources(name, arrays)}")
        if result.grad_fn is not None:
            self._calls[result.grad_fn] = call

    def backward(self, node, g: np.ndarray, gradients: list) -> None:
        """Called after each vjp."""
        call = self._calls.get(node, (node.name, [], {}, "before detect_anomaly() began"))
        arrived = self._find(g)
        if arrived:
            raise RuntimeError(
                f"the gradient that arrives at {_text(*call)} holds {arrived}: it entered backward so, "
                "or gradients that were added up here cancelled each other (inf - inf)"
            )
        names = _names(node.name, len(node.inputs))
        wanted = [name for name, x in zip(names, node.inputs, strict=True) if x is not None]
        for name, (_, dx) in zip(wanted, gradients, strict=False):
            found = self._find(dx)
            if found:
                raise RuntimeError(
                    f"backward of {_text(*call)} gave {found} as gradient of {name}. The gradient that "
                    f"arrived had none: {_range(g)}"
                )

    def _find(self, values: np.ndarray) -> str:
        """What is wrong with an array, in words; "" if nothing is."""
        if values.dtype.kind != "f":
            return ""
        for word, wanted, test in (("nan", self.check_nan, np.isnan), ("inf", self.check_inf, np.isinf)):
            if wanted and (wrong := test(values)).any():
                first = tuple(int(i) for i in np.argwhere(wrong)[0])
                return f"{word} at {first}, {np.count_nonzero(wrong)} of {values.size} values"
        return ""

    def _sources(self, name: str, arrays: list) -> str:
        """Which inputs were wrong already; or the ranges of the inputs, which show what the op was given."""
        inputs = zip(_names(name, len(arrays)), arrays, strict=True)
        inputs = {key: a for key, a in inputs if isinstance(a, np.ndarray) and a.dtype.kind == "f"}
        wrong = [f"{key} held {found} already" for key, a in inputs.items() if (found := self._find(a))]
        ranges = [f"{key} {_range(a)}" for key, a in inputs.items()]
        return "; ".join(wrong) if wrong else "Its inputs held none: " + "; ".join(ranges)


def _names(op: str, count: int) -> list[str]:
    """What an op calls its positional arguments; *args are numbered."""
    parameters = list(inspect.signature(OPS[op]).parameters.values()) if op in OPS else []
    names = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        names = [f"{parameters[0].name}[{i}]" for i in range(count)]
    return (names + [f"argument {i}" for i in range(len(names), count)])[:count]


def _text(name: str, arrays: list, settings: dict, where: str) -> str:
    given = [f"{key}: {describe(a)}" for key, a in zip(_names(name, len(arrays)), arrays, strict=True)]
    given += [f"{key}={describe(value)}" for key, value in settings.items()]
    return f"{name}({', '.join(given)}), called {where},"


def _range(values: np.ndarray) -> str:
    if not values.size:
        return "empty"
    return f"in [{np.nanmin(values):.4g}, {np.nanmax(values):.4g}]"


def _caller() -> str:
    """The innermost line outside minidl that led here."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f"in {Path(file).name}, line {line} (`{linecache.getline(file, line).strip()}`)"
