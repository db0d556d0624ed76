"""A notebook's worth of example exercises, found like those of the course."""

from pathlib import Path

import pytest

from minidl.course import exercises


@pytest.fixture
def example(monkeypatch):
    """Make exercises 99.1 to 99.5 known."""
    monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(Path(__file__).parent / "example")])
