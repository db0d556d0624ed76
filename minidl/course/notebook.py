"""Notebooks as source: run in a clean kernel, written in a normal form, so that a rerun changes no line.

The normal form: nbformat 4.5, only the kernel's name in the metadata, execution counts 1..n, cell ids made
from the headings, only tags in a cell's metadata, no widget state, streams merged, a traceback cut to its
last line, keys sorted, one space of indent, a newline at the end. Memory addresses and temporary paths are
refused.

What is kept from the stored file, so that another machine changes no line either:
- a picture, when the new one looks the same (`same_picture`);
- the outputs of a cell tagged "nbval-ignore-output" (timings, trained floats), as long as the notebook's code
  up to and including that cell is unchanged (not for `source(...)`, which shows the engine as it is).
  `freeze --all` replaces them.
"""

import base64
import copy
import io
import json
import os
import re
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
IGNORED, RAISES = "nbval-ignore-output", "raises-exception"
TIMEOUT = 300  # seconds for one cell
IMPERCEPTIBLE = 8  # of 255 grey levels
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
UNSTABLE = {
    "a memory address": re.compile(r"\bat 0x[0-9a-fA-F]{6,}"),
    "a temporary path": re.compile(r"/tmp/|/var/folders/|ipykernel_\d+|\\Temp\\"),
    "a path of this machine": re.compile(rf"/home/\w|/Users/\w|[A-Z]:\\Users|{re.escape(str(ROOT))}[/\\\\]"),
}


class NotebookError(Exception):
    """A notebook that cannot be frozen: which cell, and why."""


def all_notebooks() -> list[Path]:
    """The course's notebooks in reading order."""
    return sorted(
        (path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts),
        key=lambda path: path.name,
    )


def read(path: Path) -> nbformat.NotebookNode:
    """Load a notebook as nbformat 4."""
    return nbformat.read(path, as_version=4)


def dumps(notebook: nbformat.NotebookNode) -> str:
    """The text of a notebook file: sorted keys, one space of indent, a newline at the end."""
    parts = nbformat.v4.rwbase.split_lines(copy.deepcopy(notebook))
    return json.dumps(parts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    """Replace a file in one step: an interruption leaves the old one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, path.stat().st_mode if path.exists() else 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# Execution


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a fresh kernel whose working directory is the notebook's folder.

    Raises: NotebookError with the cell and the traceback, when a cell fails that may not.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    fresh = copy.deepcopy(notebook)
    client = NotebookClient(
        fresh,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        allow_errors=True,
        record_timing=False,
        extra_arguments=["--log-level=40"],
    )
    try:
        client.execute(env=_environment())
    except (CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(str(error)) from error
    for cell in fresh.cells:
        _refuse_surprise(cell)
    return fresh


def _environment() -> dict[str, str]:
    """This process's environment, with this working tree's minidl first on the path."""
    paths = [
        str(ROOT),
        *(str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p),
    ]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _refuse_surprise(cell: nbformat.NotebookNode) -> None:
    """An error where none is expected, or none where one is."""
    errors = [output for output in cell.get("outputs", []) if output.output_type == "error"]
    expected = RAISES in cell.metadata.get("tags", [])
    if errors and not expected:
        trace = "\n".join(errors[0].traceback)
        raise NotebookError(f"cell {cell.id} failed:\n{cell.source}\n{trace}")
    if expected and not errors and cell.cell_type == "code":
        raise NotebookError(f"cell {cell.id} is tagged {RAISES} but raised nothing")


# Normal form


def normal_form(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same notebook without what differs from run to run or from editor to editor."""
    cells = [cell for cell in notebook.cells if cell.source.strip()]
    count = 0
    normal = nbformat.v4.new_notebook(metadata=copy.deepcopy(METADATA))
    normal.nbformat_minor = 5
    for cell, name in zip(cells, cell_ids(cells), strict=True):
        tags = sorted(set(cell.metadata.get("tags", [])))
        fields = {"id": name, "metadata": {"tags": tags} if tags else {}}
        source = cell.source.rstrip()
        if cell.cell_type == "code":
            count += 1
            ran = cell.execution_count is not None
            outputs = [each for output in cell.outputs if (each := _normal_output(output, count)) is not None]
            outputs = _merge_streams(outputs)
            fields |= {"execution_count": count if ran else None, "outputs": outputs}
            normal.cells.append(nbformat.v4.new_code_cell(source, **fields))
        elif cell.cell_type == "markdown":
            normal.cells.append(nbformat.v4.new_markdown_cell(source, **fields))
        else:
            raise NotebookError(f"cell {name} is a {cell.cell_type} cell: use markdown or code")
    return normal


def cell_ids(cells: list[nbformat.NotebookNode]) -> list[str]:
    """Readable ids: the nearest heading and a running number under it, as in "the-answer-2"."""
    names, numbers, heading = [], Counter(), "top"
    for cell in cells:
        if cell.cell_type == "markdown" and (
            found := re.search(r"^#{1,6}\s+(.+)$", cell.source, re.MULTILINE)
        ):
            heading = slug(found.group(1))
        numbers[heading] += 1
        names.append(f"{heading}-{numbers[heading]}")
    return names


def slug(heading: str) -> str:
    """A heading in the letters that a cell id may have."""
    ascii_text = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:48].rstrip("-") or "section"


def _normal_output(output: nbformat.NotebookNode, count: int) -> nbformat.NotebookNode | None:
    """One output in normal form; None when only a live widget was in it."""
    output = copy.deepcopy(output)
    if output.output_type == "error":
        output.traceback = [f"{output.ename}: {output.evalue}"]
    if output.output_type == "execute_result":
        output.execution_count = count
    if "data" in output:
        output.data.pop(WIDGET_VIEW, None)
        output.metadata = {key: value for key, value in output.metadata.items() if key in output.data}
        if "image/png" in output.data:
            output.data["image/png"] = "".join(output.data["image/png"].split())
        if not output.data:
            return None
    return output


def _merge_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join neighbouring streams of one name (the cut is chance); keep what `\\r` left of a line."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else None
        if (
            output.output_type == "stream"
            and last
            and last.output_type == "stream"
            and last.name == output.name
        ):
            last.text += output.text
        else:
            merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
    return merged


def refuse_unstable(notebook: nbformat.NotebookNode) -> None:
    """Raise NotebookError when an output holds an address or a path: it would differ on the next machine."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for text in output_texts(output):
                for what, pattern in UNSTABLE.items():
                    if found := pattern.search(text):
                        raise NotebookError(f"cell {cell.id}: the output holds {what} ({found.group()!r})")


def output_texts(output: nbformat.NotebookNode) -> list[str]:
    """All text of an output, without pictures."""
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [output.evalue]
    return [text for kind, text in output.data.items() if kind.startswith("text/") and isinstance(text, str)]


# Keeping what is stored


def keep_stored(
    fresh: nbformat.NotebookNode, stored: nbformat.NotebookNode, replace_all: bool = False
) -> None:
    """Put stored outputs back where a difference means nothing (see the module's docstring)."""
    new, old = _code_cells(fresh), _code_cells(stored)
    code_unchanged = True
    for index, cell in enumerate(new):
        before = old[index] if index < len(old) else None
        code_unchanged = (
            code_unchanged and before is not None and before.source.rstrip() == cell.source.rstrip()
        )
        if replace_all or before is None or before.execution_count is None:
            continue
        shows_source = re.search(r"^source\(", cell.source, re.MULTILINE) is not None
        if (
            code_unchanged
            and IGNORED in cell.metadata.get("tags", [])
            and before.outputs
            and not shows_source
        ):
            cell.outputs = copy.deepcopy(before.outputs)
        else:
            _keep_pictures(cell, before)


def _keep_pictures(cell: nbformat.NotebookNode, before: nbformat.NotebookNode) -> None:
    """Put stored pictures back where the new ones look the same."""
    for output, stored in zip(cell.outputs, before.outputs, strict=False):
        new, old = output.get("data", {}).get("image/png"), stored.get("data", {}).get("image/png")
        if new and old and same_picture(new, old):
            output.data["image/png"] = old


def same_picture(a: str, b: str) -> bool:
    """True when two base64 PNGs have the same size and no pixel that differs perceptibly."""
    from PIL import Image

    if a == b:
        return True
    first, second = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"), dtype=np.int16)
        for png in (a, b)
    )
    return first.shape == second.shape and int(np.abs(first - second).max()) <= IMPERCEPTIBLE


def _code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def frozen_text(path: Path, replace_all: bool = False) -> str:
    """Run a notebook and return the text that its file should have. Nothing is written."""
    stored = read(path)
    stored.cells = [cell for cell in stored.cells if cell.source.strip()]
    named = copy.deepcopy(stored)
    for cell, name in zip(named.cells, cell_ids(named.cells), strict=True):
        cell.id = name
    fresh = execute(named, path.parent)
    keep_stored(fresh, stored, replace_all)
    normal = normal_form(fresh)
    refuse_unstable(normal)
    nbformat.validate(normal)
    return dumps(normal)
