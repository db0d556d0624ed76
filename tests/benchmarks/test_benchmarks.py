"""The benchmark compares equal work: every case gives PyTorch's numbers, and the pairing takes turns."""

import importlib

import numpy as np
import pytest

from tests.benchmarks import pairing, report
from tests.benchmarks.cases import CASES
from tests.benchmarks.engines import TRAINING
from tests.benchmarks.operations import OPERATIONS, Operation
from tests.parity import ours, theirs


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_the_same_work_in_both_engines(name):
    mine, its = CASES[name](ours()), CASES[name](theirs())
    np.testing.assert_allclose([mine() for _ in range(3)], [its() for _ in range(3)], rtol=2e-3, atol=2e-3)


SMALLEST = {name.split(":")[0].split(" 1e")[0]: name for name in reversed(OPERATIONS)}
"""One operation of each kind, the smallest."""


@pytest.mark.parametrize("name", SMALLEST.values())
def test_an_operation_is_the_same_work_in_both_engines(name):
    mine, its = OPERATIONS[name].build(ours()), OPERATIONS[name].build(theirs())
    for _ in range(2):
        np.testing.assert_allclose(pairing.numbers(mine()), pairing.numbers(its()), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    "engine, name",
    [
        *[("NumPy", name) for name in CASES],
        *[("autograd", name) for name in ("xor", "mlp", "lenet", "lstm", "gru")],
        ("micrograd", "xor"),
    ],
)
def test_a_peer_does_the_same_work(engine, name, warm):
    (module,) = TRAINING[engine].build.args
    try:
        cases = importlib.import_module(f"tests.benchmarks.{module}").CASES
    except ImportError as error:
        pytest.skip(f"{engine} is not installed ({error})")
    its, mine = cases[name](), CASES[name](ours())
    np.testing.assert_allclose([its() for _ in range(3)], [mine() for _ in range(3)], rtol=2e-3, atol=2e-3)


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


def test_workers_serve_one_candidate_after_the_other():
    candidate = pairing.Candidate(slow_or_fast, {"loops": 2_000})
    staff = pairing.workers({"one": candidate}, 1, 0.001)
    for _ in range(2):
        assert pairing.compare({"one": candidate}, "one", 1, 1, staff)["one"]["ratio"] == 1
    staff["one"].end()
    assert not staff["one"].process.is_alive()


def test_a_slow_candidate_takes_part_in_fewer_rounds():
    class Slow:
        turn = pairing.CANDIDATE_SECONDS / 5

        def run(self):
            return 1.0

    seconds = pairing.take_turns({"slow": Slow()}, 10)["slow"]
    assert seconds == [1.0, None] * 5
    assert pairing.summary(seconds, [2.0] * 10)["ratio"] == 0.5


def test_numbers_of_arrays_are_compared_place_by_place():
    a = np.arange(1000.0)
    assert pairing.numbers(a) != pairing.numbers(a[::-1])
    assert pairing.numbers(2.5) == [2.5]


def test_the_best_setting_is_pytorchs_fastest():
    ratios = {"minidl": 0.5, "torch": 1.0, "torch fused": 0.8, "NumPy": 2.0, "autograd": 5.0}
    results = {name: {"ratio": ratio, "median": ratio} for name, ratio in ratios.items()}
    report.add_best(results)
    assert results["minidl"]["best"] == "torch fused"
    assert results["minidl"]["ratio_to_best"] == pytest.approx(0.625)
    mean, autograd = report.verdicts({"mlp": results})
    assert "0.500" in mean and "0.625" in mean
    assert "10.0 times" in autograd


def test_results_that_differ_are_refused():
    with pytest.raises(AssertionError, match="minidl"):
        report.check({"torch": {"results": [1.0]}, "minidl": {"results": [1.1]}})
    with pytest.raises(RuntimeError, match="minidl failed: no"):
        report.check({"torch": {"results": [1.0]}, "minidl": {"failed": "no"}})


def test_shares_of_the_peak():
    result = {"median": 2.0}
    report.add_share(result, Operation(None, flops=10.0), peak=20.0, threads=1)
    assert (result["flops"], result["share"]) == (5.0, 0.25)


def test_the_picture_is_drawn(tmp_path):
    picture = pytest.importorskip("tests.benchmarks.picture")
    results = {
        "minidl": {"ratio": 0.5, "ratio_to_best": 0.6},
        "torch": {"ratio": 1.0},
        "NumPy": {"ratio": 3.0},
    }
    assert picture.times_as_long(results)["NumPy"] == 6
    picture.draw({"training": {1: {"xor": results}}}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
