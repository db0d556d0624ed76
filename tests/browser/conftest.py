"""Fixtures: one private JupyterLab on a copy of the course, one Chromium, one page for all notebooks."""

import pytest

from .lab import Lab, Server, find_chromium, missing

FLAGS = (  # a quiet browser: no sandbox (containers), no GPU, no traffic of its own
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)
WINDOW = {"viewport": {"width": 1280, "height": 900}}


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
    if lacking := missing():
        pytest.skip(lacking)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=find_chromium(), headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(**WINDOW)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def workplace(browser, server):
    return Lab(browser.new_page(**WINDOW), server)


@pytest.fixture
def lab(workplace):
    yield workplace
    workplace.close()
