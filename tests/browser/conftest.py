"""Fixtures: one private JupyterLab on a copy of the course, one Chromium, a fresh page for each test."""

import pytest

from minidl.__main__ import warm_up

from .lab import Lab, Server, find_chromium

FLAGS = (  # a quiet browser: no sandbox (containers), no GPU, no traffic of its own
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)


@pytest.fixture(scope="session")
def warm():
    """The kernels are compiled where the notebooks of the tests find them, and servers copy them."""
    warm_up()


@pytest.fixture(scope="session")
def server(tmp_path_factory, warm):
    server = Server(tmp_path_factory.mktemp("jupyterlab"))
    try:
        server.wait_until_up()
        yield server
    finally:
        server.interrupt()


@pytest.fixture(scope="session")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.skip(
            "no Chromium found: install one (apt-get install chromium) or set MINIDL_CHROMIUM to its path"
        )
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def lab(page, server):
    lab = Lab(page, server)
    yield lab
    lab.close()
