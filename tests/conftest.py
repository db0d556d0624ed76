"""What every test shares: measured figures are printed at the end of the run, never asserted tightly."""

import os

import hypothesis

from .browser.lab import ROOT, missing

hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("patient")

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # two tests at once: BLAS threads that wait for each other cost tenfold
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_collection_modifyitems(config, items):
    """A notebook is run once: by a browser's test, which compares outputs as nbval does, or by nbval."""
    params = [item.callspec.params for item in items if hasattr(item, "callspec")]
    in_browser = {ROOT / of["notebook"] for of in params if "notebook" in of and not missing()}
    config.hook.pytest_deselected(items=[item for item in items if item.path in in_browser])
    items[:] = [item for item in items if item.path not in in_browser]


def pytest_terminal_summary(terminalreporter):
    """Print what tests noted with `record_property("measured", text)`."""
    passed = terminalreporter.stats.get("passed", ())
    measured = [text for report in passed for name, text in report.user_properties if name == "measured"]
    if measured:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(sorted(measured)))
