"""The course as a whole in JupyterLab: the learn command, restart of the kernel, light and dark theme."""

import re
import sys

import pytest

from .lab import KERNEL_IS_IDLE, Lab, Server
from .test_notebooks import NOTEBOOKS

START = "notebooks/00_start_here.ipynb"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to another process")
def test_learn_serves_the_first_notebook_and_ends_on_ctrl_c(tmp_path):
    server = Server(tmp_path)
    try:
        server.wait_until_up()
        with server.get(f"api/contents/{START}") as answer:
            assert answer.status == 200
        with server.get("") as answer:
            assert f"/lab/tree/{START}" in answer.url
    finally:
        status = server.interrupt()
    assert status == 0
    log = server.log.read_text()
    assert "Ctrl-C here ends it" in log
    assert "Traceback" not in log


def test_learn_opens_the_first_notebook_without_a_question(page, server):
    lab = Lab(page, server)
    page.goto(server.url(""))
    page.wait_for_function(KERNEL_IS_IDLE)
    page.wait_for_timeout(2000)  # questions come late
    assert page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == []
    assert page.locator(".jp-Notebook h1").first.is_visible()
    assert lab.console == []
    lab.close()


def test_restart_and_run_all(lab):
    lab.open(START)
    lab.run_all()
    lab.run_all(restart=True)
    assert lab.errors() == []
    counts = [cell["execution_count"] for cell in lab.cells() if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert lab.widgets()


@pytest.mark.parametrize(("notebook", "theme"), [(NOTEBOOKS[0], "Light"), (NOTEBOOKS[-1], "Dark")])
def test_pictures_are_legible(lab, notebook, theme):
    lab.open(notebook, theme=f"JupyterLab {theme}")
    lab.run_all()
    assert lab.errors() == []
    backgrounds = lab.colors(".jp-Notebook", "background-color")
    inks = lab.colors(".jupyter-widgets svg[role=img]", "color")
    assert inks, "no live picture"
    assert min(contrast(ink, backgrounds[0]) for ink in inks) > 4.5  # WCAG 2.1, level AA


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two CSS colours by WCAG 2.1's definition: 1 (equal) to 21 (black on white)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    channels = [int(c) / 255 for c in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
