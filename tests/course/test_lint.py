"""Each rule finds the defect it is there for, and finds nothing in a notebook that is in order."""

import base64
import io

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from minidl.course import lint, notebook

pytestmark = pytest.mark.usefixtures("example")
HEADER = """\
# 99 Means

**Why do we average?**

- Time: 30 minutes
- You will be able to average.
- Builds on: [nothing](https://example.org)
- 1809, Gauss, *Theoria motus*"""
STUBS = ["def mean_rows(x):\n    ...\n", "", "", "def clip_in_place(x, limit):\n    ...\n", ""]


def picture(text, metadata=None):
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, "png")
    data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": text}
    return new_output("display_data", data=data, metadata=metadata or {})


def words(count):
    return new_markdown_cell(" ".join(["words"] * count))


def text(string, name="stdout"):
    return new_output("stream", name=name, text=string)


def good():
    """A dull notebook that keeps every rule."""
    cells = [new_markdown_cell(HEADER), words(300)]
    for outputs in [
        [picture("<Figure size 2x2>"), text("Figure: grey.\n")],
        *[[picture("<picture: grey>")]] * 3,
    ]:
        cells += [new_code_cell("show()\n" * 23 + "assert x", outputs=outputs), words(250)]
    cells += [new_code_cell("Widget()", outputs=[picture("[interactive] a grey square")]), words(20)]
    cells += [new_code_cell('predict("?", answer=1, low=0, high=2)'), new_markdown_cell("## Exercises")]
    for number, stub in enumerate(STUBS, start=1):
        name = f"99.{number}"
        cells += [
            new_markdown_cell(f"### Exercise {name} Count"),
            new_code_cell(
                f'{stub}answer = check("{name}", answer)',
                metadata={"tags": ["exercise"]},
                outputs=[text(f"○ {name} not tried yet\n")],
            ),
            words(5),
            new_code_cell(f'hint("{name}")\nsolution("{name}")'),
        ]
    cells += [
        new_markdown_cell("## The answer"),
        new_markdown_cell("## What came next\n[on](https://example.org)"),
    ]
    for number, cell in enumerate([cell for cell in cells if cell.cell_type == "code"], start=1):
        cell.execution_count = number
    return new_notebook(cells=cells)


def code(page, number):
    return [cell for cell in page.cells if cell.cell_type == "code"][number]


def findings(page, tmp_path, name="99_means"):
    path = tmp_path / f"{name}.ipynb"
    path.write_text(notebook.dumps(notebook.normal_form(page)), encoding="utf-8")
    return lint.lint(path)


def test_a_notebook_in_order_has_no_findings(tmp_path):
    assert [str(finding) for finding in findings(good(), tmp_path)] == []


def change(old, new, index=0):
    """A defect: other text in one cell."""

    def plant(page):
        assert old in page.cells[index].source
        page.cells[index].source = page.cells[index].source.replace(old, new)

    return plant


def add(markdown):
    """A defect: one more sentence."""
    return lambda page: page.cells.insert(2, new_markdown_cell(markdown))


def in_code(new, number=0):
    """A defect: other code in one cell."""

    def plant(page):
        code(page, number).source = new

    return plant


def output(new, number=0):
    """A defect: another output of one cell."""

    def plant(page):
        code(page, number).outputs = [new]

    return plant


def without(number):
    """A defect: one code cell is missing."""
    return lambda page: page.cells.remove(code(page, number))


def uncounted(page):
    code(page, 3).execution_count = None


def untagged(page):
    code(page, 6).metadata = {}


def still_missing(page):
    del code(page, 4).outputs[0].data["image/png"]


def long_median(page):
    for cell in page.cells:
        if cell.cell_type == "code":
            cell.source += "\nx = 1" * 8


ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
DEFECTS = [
    ("stable outputs", output(text("<f at 0x7f0012345678>"))),
    ("cells have run", uncounted),
    ("no errors", output(ERROR)),
    ("no stderr", output(text("careful", name="stderr"))),
    ("number of cells", lambda page: [page.cells.insert(2, words(1)) for _ in range(30)]),
    ("words of prose", lambda page: page.cells.pop(1)),
    ("words of prose", add("more " * 1000)),
    ("lines of code", in_code("\n".join(["x = 1"] * 260))),
    ("long cells", in_code("\n".join(["x = 1"] * 26))),
    ("median cell", long_median),
    ("words for a line of code", in_code("\n".join(["x = 1"] * 240))),
    ("header", change("99 Means", "Means")),
    ("header", change("?**", "**")),
    ("header", change("Time", "Length")),
    ("header", change("able to", "not")),
    ("header", change("Builds on", "After")),
    ("header", change("1809", "Once")),
    ("one title", add("# Another title")),
    ("last sections", change("## The answer", "## Answer", -2)),
    ("last sections", change("## What came next", "### What came next", -1)),
    ("links", add("[here](99_means.ipynb) and [there](../nowhere.ipynb)")),
    ("sentence between code cells", lambda page: page.cells.insert(2, new_code_cell("x", execution_count=1))),
    ("words that talk down", add("It is simply so.")),
    ("calm voice", add("It works!")),
    ("plain python", in_code("%matplotlib inline")),
    ("no trailing semicolon", in_code("plot();")),
    ("robust calls", in_code("clear_output()")),
    ("robust calls", in_code("mnist(full=True)")),
    ("results asserted", lambda page: [in_code("x", number)(page) for number in range(4)]),
    ("number of figures", output(text("no picture"))),
    ("alt text", output(picture("<Figure size 2x2>"))),
    ("alt text", output(picture(""))),
    ("at least one widget", output(picture("<picture: grey>"), 4)),
    ("still in widget", still_missing),
    ("figure before widget", output(picture("[interactive] first"))),
    ("guess first", in_code("x", 5)),
    ("number of exercises", lambda page: [in_code("x", number)(page) for number in (6, 8, 10)]),
    (
        "exercise headings",
        lambda page: [change("### Exercise 99.1", "### Exercise 1", index)(page) for index in [14]],
    ),
    ("exercises are known", in_code('x = check("99.7", x)', 6)),
    ("exercise parts", untagged),
    ("exercise parts", in_code('hint("99.1")', 7)),
    ("stub like the solution", in_code('def mean_rows(y):\n    ...\nf = check("99.1", mean_rows)', 6)),
    ("exercises are unsolved", output(text("✓ 99.1 Right."), 6)),
]


@pytest.mark.parametrize("rule, plant", DEFECTS, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(DEFECTS)])
def test_a_planted_defect_is_found(rule, plant, tmp_path):
    page = good()
    plant(page)
    found = findings(page, tmp_path)
    assert rule in {finding.rule for finding in found}
    assert all(str(finding).startswith("99_means.ipynb [") and finding.fix for finding in found)


def test_normal_form_is_found(tmp_path):
    path = tmp_path / "99_means.ipynb"
    path.write_text(notebook.dumps(notebook.normal_form(good())).replace("\n ", "\n  "), encoding="utf-8")
    assert [finding.rule for finding in lint.lint(path)] == ["normal form"]


def test_neighbours_are_linked(tmp_path, monkeypatch):
    neighbours = [tmp_path / "98_before.ipynb", tmp_path / "99_means.ipynb"]
    monkeypatch.setattr(notebook, "all_notebooks", lambda: neighbours)
    (finding,) = findings(good(), tmp_path)
    assert finding.rule == "links to neighbours" and "98_before.ipynb" in finding.fix


def test_every_rule_has_a_defect():
    planted = {rule for rule, _ in DEFECTS} | {"normal form", "links to neighbours"}
    assert planted == {name for name, _, _ in lint.RULES}


def test_advice_does_not_fail(tmp_path):
    page = good()
    add("It is simply so!")(page)
    assert {finding.fatal for finding in findings(page, tmp_path)} == {False}


def test_the_start_notebook_needs_no_story(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "all_notebooks", list)
    monkeypatch.setattr(lint, "exercises_of", lambda number: [])
    page = good()
    page.cells = page.cells[:12]
    for number in range(4):
        in_code("show()", number)(page)
    change("# 99", "# 00")(page)
    change("- 1809, Gauss, *Theoria motus*", "")(page)
    assert [str(finding) for finding in findings(page, tmp_path, "00_start") if finding.fatal] == []


def test_prose_counts_words_only():
    cell = new_markdown_cell(
        "Two words `code here` $x + y$ [a link](some/long/path.md) <b>bold</b>\n```\nnot this\n```"
    )
    assert lint.prose(cell).split() == ["Two", "words", "[a", "link", "bold"]
