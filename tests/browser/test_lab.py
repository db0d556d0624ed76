"""The course as a whole in JupyterLab: the learn command, restart of the kernel."""

import sys

import pytest

from .lab import KERNEL_IS_IDLE, Lab, Server

START = "notebooks/00_start_here.ipynb"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to another process")
def test_learn_serves_the_first_notebook_and_ends_on_ctrl_c(tmp_path, warm):
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
    assert lab.questions() == []
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
