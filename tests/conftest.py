"""What every test shares: measured figures are printed at the end of the run, never asserted tightly."""


def pytest_terminal_summary(terminalreporter):
    """Print what tests noted with `record_property("measured", text)`."""
    passed = terminalreporter.stats.get("passed", ())
    measured = [text for report in passed for name, text in report.user_properties if name == "measured"]
    if measured:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(sorted(measured)))
