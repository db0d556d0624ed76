"""Every notebook in a real browser: runs to its stored outputs, is legible; each widget answers its controls.

So nbval need not run a notebook again that is tested here (`tests/conftest.py`): its comparison is used.
"""

import re
import time
from statistics import median, quantiles

import pytest
from nbformat import from_dict
from nbval.plugin import IPyNbFile, coalesce_streams

from minidl.course.notebook import all_notebooks

from .lab import ROOT, Lab, Widget

NOTEBOOKS = [path.relative_to(ROOT).as_posix() for path in all_notebooks()]
PRESSES = 5  # of each slider that changes a picture, to measure how soon


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_runs_and_its_widgets_answer(lab, notebook, request, record_property):
    lab.open(notebook)
    start = time.perf_counter()
    lab.run_all()
    seconds = time.perf_counter() - start
    assert lab.errors() == []
    stored = IPyNbFile.from_parent(request.session, path=ROOT / notebook)
    assert not (found := differences(stored, lab)), found
    assert lab.missing_alternatives() == []
    for theme in ("Dark", "Light"):
        assert contrast_of_pictures(lab, theme) > 4.5, theme  # WCAG 2.1, level AA
    widgets = lab.widgets()
    assert widgets, "every notebook has a widget"
    moves = [move for widget in widgets for move in move_everything(lab, widget)]
    assert lab.errors() == []
    record_property(
        "measured", f"{notebook}: runs in {seconds:.0f} s, {len(widgets)} widgets{summary(moves)}"
    )


def differences(stored: IPyNbFile, lab: Lab) -> str:
    """What nbval says about outputs in the page that are not those of the file."""
    found = ""
    ran = (cell["outputs"] for cell in lab.cells() if cell["cell_type"] == "code")
    for cell, outputs in zip(stored.collect(), ran, strict=True):
        outputs = coalesce_streams([from_dict(output) for output in outputs])
        if cell.options["check"] and not cell.compare_outputs(outputs, coalesce_streams(cell.cell.outputs)):
            found += "\n".join([cell.name, *cell.comparison_traceback, ""])
    return found


def move_everything(lab: Lab, widget: Widget) -> list[dict]:
    """Use each control of a widget; no error may come of it, and at least one must change the picture."""
    moves = []
    for control in widget.controls():
        if not control.element.is_enabled():  # switched off by one before it
            continue
        several = [control.move()]
        if control.kind == "slider" and several[0]["frames"]:
            several += [control.move() for _ in range(PRESSES - 1)]
        assert widget.problem() == "", f"{control} raised"
        assert lab.raised() == [], f"{control} raised"
        moves += several
    assert any(move["frames"] for move in moves), f"no control changes its picture: {widget.controls()}"
    return moves


def summary(moves: list[dict]) -> str:
    """How soon pictures follow sliders, and how many a second come while a widget plays."""
    text = ""
    latencies = [move["latency"] for move in moves if move["kind"] == "slider" and move["latency"]]
    if len(latencies) > 1:
        text += f", slider to picture {median(latencies):.0f} ms median"
        text += f", {quantiles(latencies, n=20, method='inclusive')[-1]:.0f} ms 95th percentile"
    rates = [move["rate"] for move in moves if move["label"] == "Play" and move["rate"]]
    if rates:
        text += f", plays at {min(rates):.0f} frames/s"
    return text


def contrast_of_pictures(lab: Lab, theme: str) -> float:
    """The least contrast of a live picture's ink with the page."""
    lab.change_theme(theme)
    paper = lab.colors(".jp-Notebook", "background-color")[0]
    inks = lab.colors(".jupyter-widgets svg[role=img]", "color")
    assert inks, "no live picture"
    return min(contrast(ink, paper) for ink in inks)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two CSS colours by WCAG 2.1's definition: 1 (equal) to 21 (black on white)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    channels = [int(c) / 255 for c in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
