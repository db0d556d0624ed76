"""What every test shares: measured figures are printed at the end of the run, never asserted tightly."""

import os

import hypothesis

hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("patient")

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # two tests at once: BLAS threads that wait for each other cost tenfold
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_terminal_summary(terminalreporter):
    """Print what tests noted with `record_property("measured", text)`."""
    passed = terminalreporter.stats.get("passed", ())
    measured = [text for report in passed for name, text in report.user_properties if name == "measured"]
    if measured:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(sorted(measured)))
