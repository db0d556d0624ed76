"""Folded hints and solutions, and the engine's real source, as Markdown that every front-end renders."""

import inspect
import textwrap
from pathlib import Path
from typing import Any

from IPython.display import display

from minidl.course.exercise import Exercise, find

LONGEST_OPEN = 25  # lines of source shown unfolded
ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package


class Folded:
    """Markdown with a plain-text stand-in that gives nothing away."""

    def __init__(self, markdown: str, plain: str):
        self.markdown, self.plain = markdown, plain

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/markdown": self.markdown, "text/plain": self.plain}

    def __repr__(self) -> str:
        return self.plain


def hint(exercise_id: str) -> None:
    """Show the hints of an exercise, folded, each one inside the one before."""
    hints = find(exercise_id).hints
    folded = ""
    for number, text in reversed(list(enumerate(hints, start=1))):
        folded = _fold(f"Hint {number} of {len(hints)}", f"{text.strip()}\n\n{folded}")
    display(Folded(folded, f"[hints for {exercise_id}, folded: {len(hints)}]"))


def solution(exercise_id: str) -> None:
    """Show the solution of an exercise, folded: the reasoning, then the code."""
    display(Folded(solution_markdown(find(exercise_id)), f"[solution of {exercise_id}, folded]"))


def solution_markdown(exercise: Exercise) -> str:
    """The folded solution as Markdown."""
    code = exercise.code or _code_of(exercise.reference)
    return _fold(
        f"Solution of {exercise.id}", f"{textwrap.dedent(exercise.reasoning).strip()}\n\n{_fence(code)}"
    )


def source(item: Any) -> None:
    """Show the source of a function, class or module of minidl, with its file."""
    item = inspect.unwrap(item) if callable(item) and not inspect.isclass(item) else item
    try:
        lines, _ = inspect.getsourcelines(item)
    except (OSError, TypeError) as error:
        raise TypeError(
            f"source: {item!r} has no Python source; give a function, a class or a module"
        ) from error
    path = _relative(Path(inspect.getsourcefile(item)))
    code = textwrap.dedent("".join(lines)).rstrip()
    where = f"<code>{path}</code>"
    if len(lines) > LONGEST_OPEN:
        markdown = _fold(f"{where} ({len(lines)} lines)", _fence(code))
    else:
        markdown = f"{where}\n\n{_fence(code)}"
    display(Folded(markdown, f"{path}\n\n{code}"))


def _code_of(reference: Any) -> str:
    """The source of a function or class; the repr of a value."""
    if inspect.isfunction(reference) or inspect.isclass(reference):
        return textwrap.dedent(inspect.getsource(reference)).rstrip()
    return repr(reference)


def _relative(path: Path) -> str:
    """A path as seen from the folder that holds the package, with forward slashes."""
    path = path.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def _fold(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body.strip()}\n\n</details>"


def _fence(code: str) -> str:
    return f"```python\n{code}\n```"
