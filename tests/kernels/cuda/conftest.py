"""Tests of the CUDA kernels run on the GPU where there is one, else in the simulator."""

import pytest

from minidl.kernels.cuda import driver, resources


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let `pytest -m toolkit` choose the tests that compile kernels."""
    for item in items:
        if "needs_toolkit" in getattr(item, "fixturenames", ()):
            item.add_marker("toolkit")


@pytest.fixture(autouse=True)
def device():
    """The device on which the test's kernels run."""
    if driver.available():
        yield
    else:
        with driver.simulated():
            yield


@pytest.fixture
def needs_toolkit():
    """Skip the test, and say why, where kernels cannot be compiled."""
    if reason := resources.toolkit():
        pytest.skip(reason)
