"""Exercises and their checks: `f = check("01.1", f)` says in a line what is wrong, and never stops."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minidl.course import diagnose, exercises
from minidl.course.diagnose import Tolerance, outcome


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give, as code (or as a value), and the sentence that teaches."""

    answer: Any
    message: str


@dataclass(frozen=True)
class Exercise:
    """One exercise: what is right, what is commonly wrong, and the words that help.

    An answer is right when it behaves like `reference` on every case: same values (within `rtol` and
    `atol`, in any container or dtype), arguments left as the reference leaves them. `cases` is a list of
    argument tuples, or a function that returns it (then importing the exercise costs nothing). Without
    cases the answer is a value and is compared with `reference` itself.

    - `call(answer, *case)` turns an answer and a case into a value when plain `answer(*case)` does not do
      (a class to be built first, a gradient to be read afterwards).
    - `judge(answer)` replaces or follows the cases where many answers are right: it returns None when the
      answer is right, else a sentence that says what is wrong.
    - `fallback` is what the notebook runs on with while the answer is not right (default: the reference).
    - `praise` may be a function of the answer ("your unit needs 3 inputs").
    - `code` is the text that `solution` shows when the reference is a value.
    """

    id: str
    reference: Any
    cases: Sequence[tuple] | Callable[[], Sequence[tuple]] = ()
    mistakes: Sequence[Mistake] = ()
    hints: Sequence[str] = ()
    reasoning: str = ""
    praise: str | Callable[[Any], str] = "Right."
    rtol: float = 1e-4
    atol: float = 1e-6
    judge: Callable[[Any], str | None] | None = None
    call: Callable[..., Any] | None = None
    fallback: Any = ...
    code: str = ""

    def __post_init__(self):
        if not self.cases and not self.judge and callable(self.reference):
            raise ValueError(f"exercise {self.id}: a function needs cases=[(arguments,), ...] or judge=")

    @property
    def tolerance(self) -> Tolerance:
        return Tolerance(self.rtol, self.atol)

    @property
    def stand_in(self) -> Any:
        """What the notebook runs on with while the learner's answer is not right."""
        return self.reference if self.fallback is ... else self.fallback

    def argument_tuples(self) -> list[tuple]:
        """The cases as a list, built now if they were given as a function."""
        cases = list(self.cases() if callable(self.cases) else self.cases)
        for case in cases:
            if not isinstance(case, tuple):
                raise TypeError(
                    f"exercise {self.id}: a case is a tuple of arguments, not {type(case).__name__}"
                )
        return cases


@dataclass(frozen=True)
class Verdict:
    """The result of a check: `mark` is ○ (not tried), ✗ (wrong) or ✓ (right)."""

    mark: str
    message: str

    @property
    def right(self) -> bool:
        return self.mark == "✓"


NOT_TRIED = Verdict("○", "not tried yet: put your answer where the ... stands")


def exercises_of(chapter: str) -> list[Exercise]:
    """All exercises of one notebook, given its number ("01")."""
    for module in pkgutil.iter_modules(exercises.__path__):
        if module.name.startswith(f"n{chapter}_"):
            return importlib.import_module(f"{exercises.__name__}.{module.name}").EXERCISES
    return []


def find(exercise_id: str) -> Exercise:
    """The exercise called "01.2"; its notebook's file is imported on first use."""
    known = exercises_of(exercise_id.partition(".")[0])
    for exercise in known:
        if exercise.id == exercise_id:
            return exercise
    names = ", ".join(exercise.id for exercise in known) or "no exercise"
    raise ValueError(f"no exercise {exercise_id!r}; this notebook has {names}")


def examine(exercise: Exercise, answer: Any) -> Verdict:
    """Judge an answer: right, not tried, or wrong with the reason."""
    with diagnose.quiet():
        if exercise.cases:
            verdict = _examine_cases(exercise, answer)
        elif diagnose.blank(answer):
            verdict = NOT_TRIED
        elif exercise.judge:
            verdict = None
        else:
            verdict = _examine_value(exercise, answer)
        if verdict is None and exercise.judge:
            verdict = _examine_by_judge(exercise, answer)
        if verdict is None:
            praise = exercise.praise(answer) if callable(exercise.praise) else exercise.praise
            verdict = Verdict("✓", praise)
    return verdict


def _examine_cases(exercise: Exercise, answer: Any) -> Verdict | None:
    """Hold an answer against the reference on every case; None when they agree."""
    if not callable(answer):
        return NOT_TRIED if diagnose.blank(answer) else Verdict("✗", "this should be a function, not a value")
    cases, tolerance = exercise.argument_tuples(), exercise.tolerance
    wanted = [outcome(exercise.reference, case, exercise.call) for case in cases]
    got = [outcome(answer, case, exercise.call) for case in cases]
    if all(tolerance.alike(a, b) for a, b in zip(got, wanted, strict=True)):
        return None
    if diagnose.unfinished(answer) or any(diagnose.blank_outcome(each) for each in got):
        return NOT_TRIED
    for mistake in exercise.mistakes:
        if all(
            tolerance.alike(mine, outcome(mistake.answer, case, exercise.call))
            for mine, case in zip(got, cases, strict=True)
        ):
            return Verdict("✗", mistake.message)
    return Verdict("✗", diagnose.explain(answer, cases, got, wanted, tolerance))


def _examine_value(exercise: Exercise, answer: Any) -> Verdict | None:
    """Hold a value against the reference; None when they agree."""
    tolerance = exercise.tolerance
    if tolerance.equal(answer, exercise.reference):
        return None
    return Verdict(
        "✗", _known_mistake(exercise, answer) or diagnose.explain_value(answer, exercise.reference, tolerance)
    )


def _examine_by_judge(exercise: Exercise, answer: Any) -> Verdict | None:
    """Ask the exercise's judge; None when it has nothing to say."""
    try:
        complaint = exercise.judge(answer)
    except NotImplementedError:
        return NOT_TRIED
    except (Exception, SystemExit) as error:
        complaint = diagnose.explain_error(error, answer)
    if complaint is None:
        return None
    if diagnose.unfinished(answer):
        return NOT_TRIED
    return Verdict("✗", _known_mistake(exercise, answer) or complaint)


def _known_mistake(exercise: Exercise, answer: Any) -> str | None:
    """The message of the first mistake whose value is this answer."""
    for mistake in exercise.mistakes:
        if not callable(mistake.answer) and exercise.tolerance.equal(answer, mistake.answer):
            return mistake.message
    return None


def check(exercise_id: str, answer: Any) -> Any:
    """Check an answer and print one line about it.

    Returns the answer when it is right and a stand-in (the reference) when it is not, so that the cells below
    work either way: `relu = check("05.1", relu)`.
    """
    exercise = find(exercise_id)
    verdict = examine(exercise, answer)
    note = "" if verdict.right else " (using the reference so that the notebook runs on)"
    print(f"{verdict.mark} {exercise_id} {' '.join(verdict.message.split())}{note}")
    return answer if verdict.right else exercise.stand_in
