"""The benchmark compares equal work: every case gives PyTorch's numbers, and the pairing takes turns."""

import numpy as np
import pytest

from tests.benchmarks import pairing
from tests.benchmarks.cases import CASES
from tests.parity import ours, theirs


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_the_same_work_in_both_engines(name):
    mine, its = CASES[name](ours()), CASES[name](theirs())
    np.testing.assert_allclose([mine() for _ in range(3)], [its() for _ in range(3)], rtol=2e-3, atol=2e-3)


def slow_or_fast(loops):
    """A step that takes a time proportional to `loops` and returns it."""
    return lambda: sum(range(loops)) * 0 + loops


def broken():
    raise RuntimeError("no such engine")


def test_pairing_tells_slow_from_fast_and_reports_failures():
    candidates = {
        "fast": pairing.Candidate(slow_or_fast, {"loops": 2_000}),
        "slow": pairing.Candidate(slow_or_fast, {"loops": 200_000}),
        "broken": pairing.Candidate(broken),
    }
    report = pairing.compare(candidates, "fast", threads=1, rounds=3)
    assert report["broken"] == {"failed": "RuntimeError: no such engine"}
    assert report["fast"]["ratio"] == 1
    assert report["slow"]["ratio"] > 10
    assert set(report["slow"]["results"]) == {200_000}
    assert report["slow"]["peak_mb"] > 1
