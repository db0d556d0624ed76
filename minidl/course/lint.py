"""The countable rules for a notebook, small functions in one list. A finding names the cell and the fix."""

import ast
import inspect
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from nbformat import NotebookNode

from minidl.course import notebook
from minidl.course.exercise import exercises_of


@dataclass(frozen=True)
class Limits:
    """How much of what a notebook has: (least, most)."""

    cells: tuple[int, int] = (30, 55)
    words: tuple[int, int] = (1300, 2200)
    code_lines: tuple[int, int] = (1, 250)
    figures: tuple[int, int] = (4, 7)
    exercises: tuple[int, int] = (3, 5)
    guesses: int = 1
    assertions: int = 1
    story: bool = True  # year and paper in the header, sections "The answer" and "What came next"


LIMITS = {
    "00": Limits(
        cells=(8, 55),
        words=(300, 2200),
        figures=(1, 7),
        exercises=(0, 5),
        guesses=0,
        assertions=0,
        story=False,
    ),
}
CELL_LINES = 25
MEDIAN_LINES = 6
WORDS_PER_LINE = (5, 15)  # of prose for a line of code
DISCOURAGED = re.compile(r"\b(simply|obviously|clearly|trivially|of course|easily|just)\b", re.IGNORECASE)
FRAGILE = {
    r"\bclear_output\b": "nbval sees two outputs: draw one widget and change it",
    r"\bdisplay_id\b": "nbval sees two outputs: draw one widget and change it",
    r"\binteract(ive)?\(": "use a viz.Widget",
    r"\bwidgets\.Output\(|\bOutput\(\)": "a thread's output is lost: use a viz.Widget",
    r"\bfull=True|\burllib\b|\brequests\b": "a notebook runs without a network: use the embedded data",
}


@dataclass(frozen=True)
class Finding:
    """One broken rule: where, which, and how to mend it. Warnings do not fail."""

    path: Path
    cell: str
    rule: str
    fix: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.path.name} [{self.cell}] {'' if self.fatal else 'warning: '}{self.rule}: {self.fix}"


class Page:
    """A notebook as the rules see it."""

    def __init__(self, path: Path):
        self.path = path
        self.number = path.name[:2]
        self.limits = LIMITS.get(self.number, Limits())
        self.text = path.read_text(encoding="utf-8")
        self.notebook = notebook.read(path)
        self.cells = self.notebook.cells
        self.markdown = [cell for cell in self.cells if cell.cell_type == "markdown"]
        self.code = [cell for cell in self.cells if cell.cell_type == "code"]

    @cached_property
    def words(self) -> int:
        """Words of prose: no code, no formulas, no link targets."""
        return sum(len(re.findall(r"\w[\w'’-]*", prose(cell))) for cell in self.markdown)

    @cached_property
    def code_lines(self) -> int:
        return sum(len(code_lines(cell)) for cell in self.code)

    @cached_property
    def headings(self) -> list[tuple[NotebookNode, str]]:
        """Every heading with its cell, as "## The answer"."""
        return [
            (cell, line.strip())
            for cell in self.markdown
            for line in re.findall(r"^#{1,6} .+$", cell.source, re.M)
        ]

    def section(self, title: str) -> str:
        """The text under `## title`, up to the next section."""
        inside, text = False, []
        for cell in self.markdown:
            for line in cell.source.splitlines():
                if line.startswith("## "):
                    inside = line[3:].strip().lower() == title.lower()
                elif inside:
                    text.append(line)
        return "\n".join(text)

    def calls(self, *names: str) -> list[tuple[NotebookNode, ast.Call]]:
        """Every call of a function with one of these names."""
        return [
            (cell, node)
            for cell in self.code
            for node in ast.walk(_tree(cell))
            if isinstance(node, ast.Call) and _called(node) in names
        ]

    def exercise_cells(self, name: str) -> dict[str, NotebookNode]:
        """Which cell calls check, hint or solution for which exercise."""
        return {
            call.args[0].value: cell
            for cell, call in self.calls(name)
            if call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
        }

    @cached_property
    def pictures(self) -> list[tuple[NotebookNode, int, bool]]:
        """Every picture: its cell, the output's index, and whether it is a widget's still."""
        return [
            (cell, index, is_widget(output))
            for cell in self.code
            for index, output in enumerate(cell.outputs)
            if "image/png" in output.get("data", {}) or is_widget(output)
        ]

    def neighbour(self, step: int) -> Path | None:
        """The notebook before (-1) or after (+1) this one, if it is there."""
        number = f"{int(self.number) + step:02d}" if self.number.isdigit() else "--"
        return next((path for path in notebook.all_notebooks() if path.name.startswith(f"{number}_")), None)


def prose(cell: NotebookNode) -> str:
    """A markdown cell's words: code, formulas, HTML and link targets left out."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|<[^>]*>", " ", cell.source, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|\$[^$\n]*\$|\]\([^)]*\)", " ", text)


def code_lines(cell: NotebookNode) -> list[str]:
    """A code cell's lines that are neither blank nor a comment."""
    return [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]


def is_widget(output: NotebookNode) -> bool:
    return _plain(output).startswith("[interactive]")


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _plain(output: NotebookNode) -> str:
    return output.get("data", {}).get("text/plain", "")


def _tree(cell: NotebookNode) -> ast.Module:
    return _parse(cell.source)


@cache
def _parse(source: str) -> ast.Module:
    """The syntax tree of a cell; an empty one when it is not Python (a rule of its own says so)."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module([], [])


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


Problem = tuple[str, str]  # cell id, what is wrong and how to mend it
RULES: list[tuple[str, Callable[[Page], Iterator[Problem]], bool]] = []


def rule(function: Callable) -> Callable:
    """Register a rule; its name is the function's."""
    RULES.append((function.__name__.replace("_", " "), function, True))
    return function


def advice(function: Callable) -> Callable:
    """Register a rule that only warns."""
    RULES.append((function.__name__.replace("_", " "), function, False))
    return function


def _count(what: str, found: int, limits: tuple[int, int]) -> Iterator[Problem]:
    if not limits[0] <= found <= limits[1]:
        yield "-", f"{found} {what}, allowed are {limits[0]} to {limits[1]}"


# The file


@rule
def normal_form(page: Page) -> Iterator[Problem]:
    if notebook.dumps(notebook.normal_form(page.notebook)) != page.text:
        yield "-", "run `python -m minidl.course freeze` on it"


@rule
def stable_outputs(page: Page) -> Iterator[Problem]:
    try:
        notebook.refuse_unstable(page.notebook)
    except notebook.NotebookError as error:
        yield "-", str(error)


@rule
def cells_have_run(page: Page) -> Iterator[Problem]:
    wrong = [cell for number, cell in enumerate(page.code, start=1) if cell.execution_count != number]
    if wrong:
        yield wrong[0].id, f"{len(wrong)} cells were not run in order: nbval checks only what ran; freeze"


@rule
def no_errors(page: Page) -> Iterator[Problem]:
    for cell in page.code:
        if any(output.output_type == "error" for output in cell.outputs) and notebook.RAISES not in tags(
            cell
        ):
            yield (
                cell.id,
                f"stored error: mend the cell, or tag it {notebook.RAISES} if the error is the lesson",
            )


@rule
def no_stderr(page: Page) -> Iterator[Problem]:
    for cell in page.code:
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield (
                    cell.id,
                    f"writes to stderr ({output.text.strip()[:80]!r}): remove the cause of the warning",
                )


# Size


@rule
def number_of_cells(page: Page) -> Iterator[Problem]:
    yield from _count("cells", len(page.cells), page.limits.cells)


@rule
def words_of_prose(page: Page) -> Iterator[Problem]:
    yield from _count("words", page.words, page.limits.words)


@rule
def lines_of_code(page: Page) -> Iterator[Problem]:
    yield from _count("lines of code", page.code_lines, page.limits.code_lines)


@rule
def long_cells(page: Page) -> Iterator[Problem]:
    for cell in page.code:
        if (lines := len(cell.source.splitlines())) > CELL_LINES:
            yield cell.id, f"{lines} lines, at most {CELL_LINES}: split it, with a sentence between the parts"


@rule
def median_cell(page: Page) -> Iterator[Problem]:
    lengths = [len(code_lines(cell)) for cell in page.code]
    if lengths and (median := statistics.median(lengths)) > MEDIAN_LINES:
        yield (
            "-",
            f"the median code cell has {median:g} lines, at most {MEDIAN_LINES}: shorten cells",
        )


@advice
def words_for_a_line_of_code(page: Page) -> Iterator[Problem]:
    ratio = page.words / max(page.code_lines, 1)
    low, high = WORDS_PER_LINE
    if not low <= ratio <= high:
        yield (
            "-",
            f"{ratio:.1f} words of prose for a line of code, usual are {low} to {high}",
        )


# Story


@rule
def header(page: Page) -> Iterator[Problem]:
    first = page.cells[0]
    if not re.match(rf"# {page.number} \S", first.source):
        yield first.id, f"the first cell starts with `# {page.number} Title`"
    if not re.search(r"\*\*[^*]+\?\*\*", first.source):
        yield first.id, "the first cell asks the notebook's question in bold: `**Why ...?**`"
    parts = {"Time": r"\btime\b", "You will be able to": r"\bable to\b"}
    if page.limits.story:
        parts |= {"Builds on": r"\bbuilds on\b", "Year, people, paper": r"\b1[89]\d\d\b|\b20\d\d\b"}
    for name, pattern in parts.items():
        if not re.search(pattern, first.source, re.IGNORECASE):
            yield first.id, f"the first cell lacks {name!r}"


@rule
def one_title(page: Page) -> Iterator[Problem]:
    for cell, heading in page.headings:
        if heading.startswith("# ") and cell is not page.cells[0]:
            yield cell.id, f"{heading!r}: only the first cell has a `#` heading; sections are `##`"


@rule
def last_sections(page: Page) -> Iterator[Problem]:
    sections = [heading[3:].strip().lower() for _, heading in page.headings if heading.startswith("## ")]
    if page.limits.story and sections[-2:] != ["the answer", "what came next"]:
        yield "-", "the last sections are `## The answer` and `## What came next`"
    if page.limits.exercises[0] and "exercises" not in sections:
        yield "-", "a section `## Exercises` is missing"


@rule
def links(page: Page) -> Iterator[Problem]:
    for cell in page.markdown:
        for target in re.findall(r"\]\(([^)\s]+)", cell.source):
            path = target.partition("#")[0]
            if path and not re.match(r"[a-z]+:", path) and not (page.path.parent / path).exists():
                yield (
                    cell.id,
                    f"the link to {target!r} leads nowhere: write it relative to the notebook's folder",
                )


@rule
def links_to_neighbours(page: Page) -> Iterator[Problem]:
    text = (
        page.section("What came next")
        if page.limits.story
        else "\n".join(cell.source for cell in page.markdown)
    )
    for name, path in {"previous": page.neighbour(-1), "next": page.neighbour(1)}.items():
        if path and path.name not in text:
            yield page.cells[-1].id, f"`What came next` links to the {name} notebook, {path.name}"


@rule
def sentence_between_code_cells(page: Page) -> Iterator[Problem]:
    for before, cell in zip(page.cells, page.cells[1:], strict=False):
        if before.cell_type == cell.cell_type == "code":
            yield cell.id, "two code cells meet: put a sentence between them, or join them"


@advice
def words_that_talk_down(page: Page) -> Iterator[Problem]:
    for cell in page.markdown:
        if found := sorted({word.lower() for word in DISCOURAGED.findall(prose(cell))}):
            yield (
                cell.id,
                f"{', '.join(found)}: what is simple to you may not be to the reader; often the word can go",
            )


@advice
def calm_voice(page: Page) -> Iterator[Problem]:
    for cell in page.markdown:
        if re.search(r"\w!(?!\w)(?!=)", prose(cell)) and not re.search(r"!\[", cell.source):
            yield cell.id, "an exclamation mark: a full stop is enough"


# Code


@rule
def plain_python(page: Page) -> Iterator[Problem]:
    for cell in page.code:
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            if notebook.RAISES not in tags(cell):
                yield cell.id, f"line {error.lineno} is not Python: no magics, no shell commands"


@rule
def no_trailing_semicolon(page: Page) -> Iterator[Problem]:
    for cell in page.code:
        if cell.source.rstrip().endswith(";"):
            yield cell.id, "a trailing `;` fails in nbval: assign to `_`, or end a figure with viz.show"


@rule
def robust_calls(page: Page) -> Iterator[Problem]:
    for cell in page.code:
        for pattern, fix in FRAGILE.items():
            if found := re.search(pattern, cell.source):
                yield cell.id, f"`{found.group()}`: {fix}"


@rule
def results_asserted(page: Page) -> Iterator[Problem]:
    found = sum(isinstance(node, ast.Assert) for cell in page.code for node in ast.walk(_tree(cell)))
    if found < page.limits.assertions:
        yield "-", "no `assert`: the result that the notebook is about is checked with a margin"


# Figures and widgets


@rule
def number_of_figures(page: Page) -> Iterator[Problem]:
    yield from _count("figures", sum(not widget for _, _, widget in page.pictures), page.limits.figures)


@rule
def alt_text(page: Page) -> Iterator[Problem]:
    for cell, index, widget in page.pictures:
        below = cell.outputs[index + 1] if index + 1 < len(cell.outputs) else {}
        plain = _plain(cell.outputs[index])
        described = below.get("text", "").startswith("Figure: ") or re.match(r"<picture: .|[^<]", plain)
        if not widget and not described:
            yield cell.id, 'a picture without a description: end it with viz.show(fig, alt="...")'


@rule
def at_least_one_widget(page: Page) -> Iterator[Problem]:
    if not any(widget for _, _, widget in page.pictures):
        yield "-", "no widget (an output that starts with [interactive]): every notebook has one"


@rule
def still_in_widget(page: Page) -> Iterator[Problem]:
    for cell, index, widget in page.pictures:
        if widget and "image/png" not in cell.outputs[index].data:
            yield cell.id, "the widget stores no picture: readers of the plain file see nothing"


@rule
def figure_before_widget(page: Page) -> Iterator[Problem]:
    if page.limits.story and page.pictures and page.pictures[0][2]:
        yield page.pictures[0][0].id, "a static figure comes before the first widget"


@rule
def guess_first(page: Page) -> Iterator[Problem]:
    if len(page.calls("predict")) < page.limits.guesses:
        yield "-", "no predict(...): let the learner guess before an important result"


# Exercises


@rule
def number_of_exercises(page: Page) -> Iterator[Problem]:
    yield from _count("exercises", len(page.exercise_cells("check")), page.limits.exercises)


@rule
def exercise_headings(page: Page) -> Iterator[Problem]:
    titles = [
        match for _, heading in page.headings if (match := re.match(r"### Exercise (\d\d\.\d)", heading))
    ]
    found = [title.group(1) for title in titles]
    wanted = [f"{page.number}.{index}" for index in range(1, len(page.exercise_cells("check")) + 1)]
    if found != wanted:
        yield "-", f"headings `### Exercise NN.k` for {found}, expected {wanted}"


@rule
def exercises_are_known(page: Page) -> Iterator[Problem]:
    here, known = set(page.exercise_cells("check")), {exercise.id for exercise in exercises_of(page.number)}
    if here != known:
        yield "-", f"checked here: {sorted(here)}, in minidl.course.exercises: {sorted(known)}"


@rule
def exercise_parts(page: Page) -> Iterator[Problem]:
    hints, solutions = page.exercise_cells("hint"), page.exercise_cells("solution")
    for name, cell in page.exercise_cells("check").items():
        if "exercise" not in tags(cell):
            yield cell.id, 'tag the cell with the stub and the check "exercise"'
        if name not in hints or name not in solutions:
            yield cell.id, f'after it comes a cell with hint("{name}") and solution("{name}")'


@rule
def stub_like_the_solution(page: Page) -> Iterator[Problem]:
    references = {exercise.id: exercise.reference for exercise in exercises_of(page.number)}
    for name, cell in page.exercise_cells("check").items():
        if not inspect.isfunction(reference := references.get(name)):
            continue
        wanted = list(inspect.signature(reference).parameters)
        stubs = [node for node in _tree(cell).body if isinstance(node, ast.FunctionDef)]
        if stubs and wanted not in [[argument.arg for argument in stub.args.args] for stub in stubs]:
            yield cell.id, f"the stub takes other arguments than the solution, {wanted}"


@rule
def exercises_are_unsolved(page: Page) -> Iterator[Problem]:
    for name, cell in page.exercise_cells("check").items():
        text = "".join(output.get("text", "") for output in cell.outputs)
        if f"○ {name} " not in text:
            yield (
                cell.id,
                f"the stored output says {text.strip()[:60]!r}: ship the stub (not tried yet)",
            )


def lint(path: Path) -> list[Finding]:
    """All findings for one notebook, in the order of the rules."""
    page = Page(path)
    return [
        Finding(path, cell, name, fix, fatal)
        for name, function, fatal in RULES
        for cell, fix in function(page)
    ]
