"""Freezing: a rerun changes no line, a failure changes no file."""

import base64
import io
import json

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from minidl.course import notebook
from minidl.course.__main__ import main


def write(path, *cells):
    nbformat.write(new_notebook(cells=list(cells), metadata={"widgets": {"x": {}}, "kernel": 3}), path)
    return path


def code(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {"scrolled": True})


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


PICTURE = """\
import base64, io
from PIL import Image
from IPython.display import Image as Show
file = io.BytesIO()
Image.new("L", (4, 4), 100).save(file, "png", compress_level=LEVEL)
Show(file.getvalue())"""


START = """\
import os, time
from ipywidgets import IntSlider
print("a")
print("b", flush=True)
print("c")"""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A small notebook with one of everything, frozen once."""
    path = write(
        tmp_path_factory.mktemp("notebooks") / "n.ipynb",
        new_markdown_cell("# 99 Tést, of things!"),
        code(START),
        code(""),
        new_markdown_cell("## Second part\nwith text"),
        code("print(time.time_ns())", notebook.IGNORED),
        code("IntSlider()"),
        code("1 / 0", notebook.RAISES),
        code(PICTURE.replace("LEVEL", "9")),
        code("os.path.basename(os.getcwd())"),
    )
    assert main(["freeze", str(path)]) == 0
    return path


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_normal_form(frozen):
    page = load(frozen)
    cells = page["cells"]
    assert page["nbformat"] == 4 and page["nbformat_minor"] == 5
    assert page["metadata"] == notebook.METADATA
    assert [cell["id"] for cell in cells] == [
        *("99-test-of-things-1", "99-test-of-things-2"),
        *(f"second-part-{number}" for number in range(1, 7)),
    ]
    assert [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"] == [1, 2, 3, 4, 5, 6]
    assert [cell["metadata"] for cell in cells][:4] == [{}, {}, {}, {"tags": ["nbval-ignore-output"]}]
    assert frozen.read_text(encoding="utf-8").endswith("}\n")


def test_outputs_are_what_a_reader_needs(frozen):
    outputs = [cell["outputs"] for cell in load(frozen)["cells"] if cell["cell_type"] == "code"]
    assert outputs[0] == [{"name": "stdout", "output_type": "stream", "text": ["a\n", "b\n", "c\n"]}]
    assert list(outputs[2][0]["data"]) == ["text/plain"]  # the widget's view is gone
    assert outputs[3][0]["traceback"] == ["ZeroDivisionError: division by zero"]
    assert "image/png" in outputs[4][0]["data"]
    assert outputs[5][0]["data"]["text/plain"] == [repr(frozen.parent.name)]  # it ran in its own folder


def test_a_rerun_changes_no_line(frozen):
    before = frozen.read_bytes()
    assert main(["freeze", str(frozen)]) == 0
    assert frozen.read_bytes() == before


def test_a_picture_that_looks_the_same_keeps_its_bytes(frozen):
    before = load(frozen)["cells"][6]["outputs"]
    page = notebook.read(frozen)
    page.cells[6].source = PICTURE.replace("LEVEL", "0")
    fresh = notebook.execute(page, frozen.parent)
    assert "".join(fresh.cells[6].outputs[0].data["image/png"].split()) != before[0]["data"]["image/png"]
    notebook.keep_stored(fresh, notebook.read(frozen))
    assert fresh.cells[6].outputs[0].data["image/png"] == before[0]["data"]["image/png"]


def test_same_picture():
    grey = np.full((4, 4), 100, np.uint8)
    assert notebook.same_picture(png(grey), png(grey + 5))
    assert not notebook.same_picture(png(grey), png(grey + 50))
    assert not notebook.same_picture(png(grey), png(grey[:3]))


def stored(time, source="print(time())", before="x = 1"):
    """A notebook whose second cell printed a time and is tagged so."""
    cells = [new_code_cell(before), new_code_cell(source, metadata={"tags": [notebook.IGNORED]})]
    for number, cell in enumerate(cells, start=1):
        cell.execution_count = number
    cells[1].outputs = [new_output("stream", name="stdout", text=time)]
    return new_notebook(cells=cells)


@pytest.mark.parametrize(
    "fresh, replace_all, kept",
    [
        (stored("new"), False, True),
        (stored("new"), True, False),
        (stored("new", source="print(-time())"), False, False),
        (stored("new", before="x = 2"), False, False),
    ],
)
def test_outputs_that_are_not_compared_stay_while_the_code_does(fresh, replace_all, kept):
    notebook.keep_stored(fresh, stored("old"), replace_all)
    assert fresh.cells[1].outputs[0].text == ("old" if kept else "new")


def test_shown_source_is_always_fresh():
    fresh = stored("new", source="source(f)")
    notebook.keep_stored(fresh, stored("old", source="source(f)"))
    assert fresh.cells[1].outputs[0].text == "new"


def test_a_failing_cell_leaves_the_file_alone(tmp_path, capsys):
    path = write(tmp_path / "bad.ipynb", new_markdown_cell("# Bad"), code("y = 1\ny / 0"))
    before = path.read_bytes()
    assert main(["freeze", str(path)]) == 1
    said = capsys.readouterr().out
    assert "cell bad-2 failed" in said and "ZeroDivisionError" in said and "y / 0" in said
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["bad.ipynb"]


def test_a_missing_error_is_an_error(tmp_path, capsys):
    path = write(tmp_path / "bad.ipynb", code("1", notebook.RAISES))
    assert main(["freeze", str(path)]) == 1
    assert "cell top-1 is tagged raises-exception but raised nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text, what",
    [
        ("<object at 0x7f3a2c1b>", "a memory address"),
        ("/tmp/ipykernel_77/1.py:3: UserWarning", "a temporary path"),
        ("see /home/ada/minidl", "a path of this machine"),
        (f"in {notebook.ROOT}/minidl", "a (path of this machine|temporary path)"),
    ],
)
def test_unstable_outputs_are_refused(text, what):
    cell = new_code_cell("f", outputs=[new_output("stream", name="stdout", text=text)], id="top-1")
    with pytest.raises(notebook.NotebookError, match=f"cell top-1: the output holds {what}"):
        notebook.refuse_unstable(new_notebook(cells=[cell]))


def test_a_colour_is_no_address():
    cell = new_code_cell("f", outputs=[new_output("stream", name="stdout", text="0xff0000 1e-05 0x1F")])
    notebook.refuse_unstable(new_notebook(cells=[cell]))


def test_streams_keep_their_place_and_progress_its_end():
    outputs = [
        new_output("stream", name="stdout", text="10 %\r"),
        new_output("stream", name="stdout", text="20 %\rdone\n"),
        new_output("display_data", data={"text/plain": "picture"}),
        new_output("stream", name="stdout", text="Figure: below\n"),
    ]
    cell = new_code_cell("f", outputs=outputs, execution_count=1)
    (normal,) = notebook.normal_form(new_notebook(cells=[cell])).cells
    assert [output.get("text") for output in normal.outputs] == ["done\n", None, "Figure: below\n"]


def test_check_writes_nothing_and_tells_the_difference(frozen, tmp_path, capsys):
    path = tmp_path / "n.ipynb"
    text = frozen.read_text(encoding="utf-8").replace('"a\\n"', '"A\\n"')
    path.write_text(text, encoding="utf-8")
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "differs" in said and '-      "A\\n",' in said and '+      "a\\n",' in said
    assert path.read_text(encoding="utf-8") == text


def test_long_headings_make_short_ids():
    cells = [
        new_markdown_cell("## " + "very long heading " * 20),
        new_markdown_cell("### Ω"),
        new_markdown_cell("## ?"),
    ]
    names = notebook.cell_ids(cells)
    assert all(len(name) <= 64 for name in names) and names[1:] == ["section-1", "section-2"]
