"""Every notebook keeps the rules and shows the engine as it is. (`pytest --nbval` compares its outputs.)"""

import textwrap

import pytest

from minidl.course import lint, notebook

NOTEBOOKS = notebook.all_notebooks()
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_lint(path):
    failures = [str(finding) for finding in lint.lint(path) if finding.fatal]
    assert not failures, "\n".join(failures)


def stored_sources(path):
    """(file, code) of each source that the notebook has stored; nbval does not compare these."""
    for cell in notebook.read(path).cells:
        for output in cell.get("outputs", ()):
            file, _, code = output.get("data", {}).get("text/plain", "").partition("\n\n")
            if file.startswith("minidl/") and file.endswith(".py"):
                yield notebook.ROOT / file, code


@each_notebook
def test_shown_sources_are_those_of_the_engine(path):
    sources = list(stored_sources(path))
    assert sources, "every notebook shows a piece of the engine"
    for file, code in sources:
        text = file.read_text(encoding="utf-8")
        as_method = textwrap.indent(code, "    ")
        assert f"\n{code}\n" in f"\n{text}" or f"\n{as_method}\n" in f"\n{text}", (
            f"{file.name} has changed. Freeze {path.name} anew, and read the text around that source."
        )
