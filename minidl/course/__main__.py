"""Keep the notebooks in order: `python -m minidl.course freeze|lint|check [notebooks...]` (default: all)."""

import argparse
import difflib
import sys
import time
from pathlib import Path

from minidl.course import lint, notebook

SLOW = 60.0  # seconds that a notebook may take
SLOW_EXCEPTIONS = {"18": 150.0}


def freeze(path: Path, replace_all: bool) -> bool:
    """Run a notebook in a clean kernel and write its normal form; True when that worked."""
    return _run(path, replace_all, store=True)


def check(path: Path) -> bool:
    """Run a notebook, compare with the stored file without writing, and lint it; True when all is well."""
    same = _run(path, replace_all=False, store=False)
    return lint_one(path) and same


def lint_one(path: Path) -> bool:
    """Print what lint finds in a notebook; True when there is no failure (warnings do not count)."""
    findings = lint.lint(path)
    for finding in findings:
        print(finding)
    return not any(finding.fatal for finding in findings)


def _run(path: Path, replace_all: bool, store: bool) -> bool:
    start = time.perf_counter()
    print(f"{path.name} ...", end=" ", flush=True)
    try:
        text = notebook.frozen_text(path, replace_all)
    except notebook.NotebookError as error:
        print(f"failed after {time.perf_counter() - start:.1f} s\n{path}: {error}")
        return False
    seconds, stored = time.perf_counter() - start, path.read_text(encoding="utf-8")
    same = text == stored
    if store and not same:
        notebook.write(path, text)
    print(f"{seconds:.1f} s, {'unchanged' if same else 'written' if store else 'differs'}")
    limit = SLOW_EXCEPTIONS.get(path.name[:2], SLOW)
    if seconds > limit:
        print(f"{path}: warning: {seconds:.0f} s, more than {limit:.0f} s")
    if not store and not same:
        print(_difference(stored, text))
    return same or store


def _difference(stored: str, fresh: str, longest: int = 40) -> str:
    """The first lines of a diff, cut to a readable width."""
    lines = list(
        difflib.unified_diff(stored.splitlines(), fresh.splitlines(), "stored", "rerun", lineterm="", n=1)
    )
    more = [f"... {len(lines) - longest} more lines"] if len(lines) > longest else []
    return "\n".join([line[:160] for line in lines[:longest]] + more)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 0 when every notebook is in order, else 1."""
    parser = argparse.ArgumentParser(prog="python -m minidl.course", description=__doc__)
    parser.add_argument("command", choices=["freeze", "lint", "check"])
    parser.add_argument("notebooks", nargs="*", type=Path, help="notebook files (default: all)")
    parser.add_argument(
        "--all", action="store_true", help="freeze: also replace outputs that are not compared"
    )
    options = parser.parse_args(arguments)
    work = {"freeze": lambda path: freeze(path, options.all), "lint": lint_one, "check": check}[
        options.command
    ]
    results = [work(path.resolve()) for path in options.notebooks or notebook.all_notebooks()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
