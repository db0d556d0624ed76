"""What the notebooks need beside the engine: checks that diagnose, hints, solutions, guesses, real source."""

from minidl.course.display import hint, solution, source
from minidl.course.exercise import check
from minidl.course.guess import predict

__all__ = ["check", "hint", "predict", "solution", "source"]
