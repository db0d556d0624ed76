"""Every notebook keeps the rules and its normal form. (`pytest --nbval` runs them and compares outputs.)"""

import pytest

from minidl.course import lint, notebook

NOTEBOOKS = notebook.all_notebooks()


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_lint(path):
    failures = [str(finding) for finding in lint.lint(path) if finding.fatal]
    assert not failures, "\n".join(failures)
