"""Every exercise of every notebook: right answers pass, wrong ones are refused with their own message."""

import ast
import builtins
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

from minidl.course import check, diagnose, exercises, notebook
from minidl.course.display import solution_markdown
from minidl.course.exercise import examine, exercises_of

ANSWERS = Path(__file__).parent / "answers"
FILES = sorted(module.name for module in pkgutil.iter_modules(exercises.__path__))
ALL = [(name, exercise) for name in FILES for exercise in exercises_of(name[1:3])]
each_exercise = pytest.mark.parametrize("name, exercise", ALL, ids=[exercise.id for _, exercise in ALL])


def answers(name):
    """The module of answers to one file of exercises."""
    path = ANSWERS / f"{name}.py"
    assert path.exists(), f"tests/course/answers/{name}.py is missing"
    spec = importlib.util.spec_from_file_location(f"answers_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stub(*arguments): ...  # what a notebook ships


@pytest.mark.parametrize("name", FILES)
def test_ids_count_upwards_and_the_answers_belong_to_them(name):
    ids = [exercise.id for exercise in exercises_of(name[1:3])]
    assert ids == [f"{name[1:3]}.{number}" for number in range(1, len(ids) + 1)]
    assert set(answers(name).RIGHT) == set(answers(name).WRONG) == set(ids)


def test_answers_have_exercises():
    assert {path.stem for path in ANSWERS.glob("n*.py")} == set(FILES)


@each_exercise
def test_the_reference_is_right(name, exercise):
    verdict = examine(exercise, exercise.reference)
    assert verdict.right, verdict.message
    if exercise.stand_in is not exercise.reference:
        assert examine(exercise, exercise.stand_in).right, "the fallback is refused by its own check"


@each_exercise
def test_other_right_answers_are_accepted(name, exercise):
    right = answers(name).RIGHT[exercise.id]
    assert right, "no right answer that is written differently"
    for answer in right:
        verdict = examine(exercise, answer)
        assert verdict.right, f"{answer}: {verdict.message}"


@each_exercise
def test_wrong_answers_are_refused_with_their_message(name, exercise):
    wrong = answers(name).WRONG[exercise.id]
    assert len(wrong) >= 2
    for answer, fragment in wrong:
        verdict = examine(exercise, answer)
        assert verdict.mark == "✗", f"{answer}: {verdict}"
        assert fragment and fragment in verdict.message, f"{answer}: {verdict.message!r} lacks {fragment!r}"


@each_exercise
def test_mistakes_are_refused_with_their_own_message(name, exercise):
    for mistake in exercise.mistakes:
        verdict = examine(exercise, mistake.answer)
        assert (verdict.mark, verdict.message) == ("✗", mistake.message)


@each_exercise
def test_the_stub_counts_as_not_tried(name, exercise):
    assert examine(exercise, ...).mark == "○"
    if inspect.isfunction(exercise.reference):
        assert examine(exercise, stub).mark == "○"


@each_exercise
def test_hints_and_solution_teach(name, exercise):
    assert len(exercise.hints) >= 2, "hints come in steps"
    assert exercise.reasoning.strip()
    assert "```python\n" in solution_markdown(exercise)


def names(code):
    """(names that the code binds, names that it uses), at any depth."""
    bound, used = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return bound, used


@each_exercise
def test_a_solution_finds_every_name_in_its_notebook(name, exercise):
    """Pasted into notebook 03, the solution of 03.2 stopped at `math`, which only the package imports."""
    path = next(path for path in notebook.all_notebooks() if path.name.startswith(name[1:3]))
    cells = [cell.source for cell in notebook.read(path).cells if cell.cell_type == "code"]
    known = set(dir(builtins)).union(*(names(cell)[0] for cell in cells))
    bound, used = names(re.search(r"```python\n(.*?)```", solution_markdown(exercise), re.DOTALL)[1])
    assert not used - bound - known


@each_exercise
def test_check_prints_one_line_and_returns_something_that_works(name, exercise, capsys):
    for answer in [exercise.reference, answers(name).WRONG[exercise.id][0][0], ...]:
        lines = []
        for _ in range(2):
            result = check(exercise.id, answer)
            lines.append(capsys.readouterr().out)
        assert lines[0] == lines[1], "the line differs from run to run"
        assert lines[0].count("\n") == 1 and lines[0][:7] in {f"{mark} {exercise.id} " for mark in "✓✗○"}
        assert not diagnose.blank(result), "the notebook would stop below this check"
