"""What a check says: every diagnosis, and what it leaves alone."""

import warnings

import numpy as np
import pytest

import minidl
from minidl.course import check
from minidl.course.diagnose import Tolerance, numeric, unfinished
from minidl.course.exercise import Exercise, Mistake, examine, find

pytestmark = pytest.mark.usefixtures("example")


def said(answer, exercise_id="99.1"):
    verdict = examine(find(exercise_id), answer)
    return f"{verdict.mark} {verdict.message}"


def wrong(answer, reference, *cases, **more):
    """The diagnosis of a wrong answer to an exercise made on the spot."""
    verdict = examine(Exercise("98.1", reference, cases=list(cases), **more), answer)
    assert verdict.mark == "✗"
    return verdict.message


def stub(x):
    """The mean of the rows."""
    ...


def half_stub(x):
    total = 0
    for _ in x:
        ...
    return total


def unchanged_variable(x):
    result = ...
    return result


@pytest.mark.parametrize("answer", [..., None, stub, half_stub, unchanged_variable, lambda x: ...])
def test_a_stub_is_not_tried(answer):
    assert said(answer).startswith("○ not tried yet")


@pytest.mark.parametrize("answer", [..., None, [..., 1], (1, ...), {"w": ...}])
def test_an_empty_value_is_not_tried(answer):
    assert said(answer, "99.3").startswith("○")


def test_not_implemented_is_not_tried():
    def later(x):
        raise NotImplementedError

    assert said(later).startswith("○")


def test_a_class_with_an_open_method_is_not_tried():
    class Counter:
        def __init__(self, start): ...

        def up(self):
            return self.value + 1

    assert said(Counter, "99.5").startswith("○")
    assert unfinished(Counter)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: x.mean(0).tolist(),
        lambda x: tuple(sum(column) / len(column) for column in x.T),
        lambda x: minidl.tensor(x.mean(0)),
        lambda x: x.mean(0).astype(np.float32),
        lambda x: [np.float64(v) for v in x.mean(0)],
    ],
)
def test_any_container_and_dtype_is_right(answer):
    assert said(answer) == "✓ Right, whatever N is."


def test_a_right_answer_with_a_left_over_placeholder_is_right():
    def answer(x):
        return x.mean(0)
        ...

    assert said(answer).startswith("✓")


def test_known_mistakes_come_first():
    assert said(lambda x: sum(x)) == "✗ that is the sum: divide by how many rows there are"
    assert said(16, "99.2") == "✗ two of them no line can separate"
    assert said((0, 0), "99.3") == "✗ with no weights nothing happens"


def test_an_exception_names_the_call_and_the_line():
    def answer(x):
        return x @ x

    message = said(answer)
    assert message.startswith("✗ answer([[0., 1.], [2., 3.], [4., 5.]]) raises ValueError: matmul")
    assert message.endswith("in your line `return x @ x`")


def test_an_address_in_an_exception_is_hidden():
    def answer(x):
        raise ValueError(f"cannot use {object()}\nat all")

    assert "object at 0x...> at all" in said(answer)


def test_none():
    assert "returns None: is a `return` missing?" in said(lambda x: print(x))


def test_shape():
    assert "has shape (1, 2), expected (2,)" in said(lambda x: x.mean(0, keepdims=True))
    assert "numbers of shape (2,)" in said(lambda x: "two")


def test_transposed():
    ragged = np.arange(6.0).reshape(2, 3)
    assert "is transposed: shape (3, 2), expected (2, 3)" in wrong(lambda x: x.T, lambda x: x, (ragged,))
    assert wrong(lambda x: x.T, lambda x: x, (np.arange(4.0).reshape(2, 2),)) == "right, but transposed"


@pytest.mark.parametrize(
    "answer, message",
    [
        (lambda x: -x.mean(0), "right size, wrong sign"),
        (lambda x: x.mean(0) / 2, "off by a factor of 0.5"),
        (lambda x: x.mean(0) + 1, "every value is 1 too large"),
        (lambda x: x.mean(0) - 0.25, "every value is 0.25 too small"),
        (lambda x: x.mean(0).astype(int), "the fractions are lost"),
    ],
)
def test_one_rule_behind_all_differences(answer, message):
    assert message in said(answer)


def test_swapped_truth():
    cases = [(np.array([1.0, -1.0]),)]
    assert wrong(lambda x: x <= 0, lambda x: x > 0, *cases) == "true and false are swapped"


def test_first_difference():
    assert "gives [0., 1.], expected [2., 3.]" in said(lambda x: x[0])
    message = wrong(lambda x: np.where(x > 6, 0, x), lambda x: x, (np.arange(10.0).reshape(2, 5),))
    assert "has 0. at [1, 2], expected 7." in message and "3 of 10 values differ" in message
    message = wrong(lambda x: x + 3e-5 * (x == 0.02), lambda x: x, (np.array([0.01, 0.02, 1, 2, 3]),))
    assert "has 0.02003 at [1], expected 0.02 " in message  # four digits would show 0.02 twice


def test_a_change_of_the_argument_is_refused():
    def answer(x):
        x *= 1 / len(x)
        return x.sum(0)

    assert "changes its first argument in place" in said(answer)


def test_work_in_place_is_asked_for_where_the_reference_does_it():
    def answer(x, limit):
        x = np.clip(x, -limit, limit)

    assert "should change its first argument in place, to [-1. , 0.5, 1. ]" in said(answer, "99.4")

    def loop(x, limit):
        for i in range(len(x)):
            x[i] = min(max(x[i], -limit), limit)

    assert said(loop, "99.4").startswith("✓")


def test_cases_are_not_changed_by_an_answer():
    case = np.ones(3)
    exercise = Exercise("98.1", lambda x: x * 1, cases=[(case,)])
    examine(exercise, lambda x: x.fill(7))
    assert (case == 1).all()


def test_containers():
    case = (np.array([1.0, 2.0]),)
    both = (lambda x: (x.sum(), x * 2), case)
    assert "returns 1 values, expected 2" in wrong(lambda x: (x.sum(),), *both)
    assert "gives" in wrong(lambda x: (x.sum(), x), *both)
    assert "expected 2 values" in wrong(lambda x: x.sum(), *both)
    keyed = (lambda x: {"sum": x.sum()}, case)
    assert "has the keys ['total'], expected ['sum']" in wrong(lambda x: {"total": x.sum()}, *keyed)
    assert "expected a str" in wrong(lambda x: 1, lambda x: "one", case)
    assert "gives 'two', expected 'one'" in wrong(lambda x: "two", lambda x: "one", case)


def test_an_expected_error():
    def reference(x):
        raise ValueError("too small")

    assert "should raise ValueError, yours returns 1" in wrong(lambda x: 1, reference, (0,))
    assert "raises KeyError" in wrong(lambda x: {}[x], reference, (0,))


def test_values_are_judged_without_telling_the_right_one():
    assert said(14.0, "99.2").startswith("✓")
    assert said(12, "99.2") == "✗ 12 is too small"
    assert said(15, "99.2") == "✗ 15 is too large"
    assert said(-14, "99.2") == "✗ right size, wrong sign"
    assert said([14], "99.2") == "✗ expected one number, found numbers of shape (1,)"
    assert said("14", "99.2") == "✗ expected one number, found a str"
    assert examine(Exercise("98.1", "xor"), "and").message == "'and' is not it"
    assert examine(Exercise("98.1", [1, 2, 4]), [1, 2, 3]).message == "1 of the 3 numbers are not right yet"


def test_the_judge_decides():
    assert said([3, -1], "99.3") == "✓ Right: 3 + -1 = 2."
    assert said([3, 0], "99.3") == "✗ the weights sum to 3, not to 2"
    assert "raises TypeError" in said(5, "99.3")


def test_a_class_is_called_as_the_exercise_says():
    class Late:
        def __init__(self, start):
            self.value = start

        def up(self):
            self.value += 1
            return self.value - 1

    assert "Late(0) gives 0, expected 1" in said(Late, "99.5")


def test_check_returns_the_answer_or_the_reference(capsys):
    answer = lambda x: x.mean(0)  # noqa: E731
    assert check("99.1", answer) is answer
    assert check("99.1", ...) is find("99.1").reference
    assert check("99.3", [5, 5]) == [1, 1]
    assert capsys.readouterr().out.splitlines() == [
        "✓ 99.1 Right, whatever N is.",
        "○ 99.1 not tried yet: put your answer where the ... stands"
        " (using the reference so that the notebook runs on)",
        "✗ 99.3 the weights sum to 10, not to 2 (using the reference so that the notebook runs on)",
    ]


def test_a_check_says_its_own_line_only(capsys):
    def noisy(x):
        print("debug")
        warnings.warn("careful", stacklevel=1)
        return x.mean(0) + np.log(np.zeros(1)) * 0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check("99.1", noisy)
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1 and not captured.err and not caught


def test_the_random_generators_stay_where_they_are():
    minidl.manual_seed(3)
    before = minidl.randn(2).numpy().tolist(), np.random.get_state()[2]
    minidl.manual_seed(3)
    examine(Exercise("98.1", lambda n: minidl.rand(n), cases=[(3,)]), lambda n: minidl.rand(n))
    assert (minidl.randn(2).numpy().tolist(), np.random.get_state()[2]) == before


def test_random_answers_start_from_one_seed():
    exercise = Exercise("98.1", lambda n: np.random.normal(size=n) * 2, cases=[(3,)])
    assert examine(exercise, lambda n: 2 * np.random.normal(size=(n,))).right


def test_ctrl_c_passes_through():
    def answer(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("99.1", answer)


def test_an_exit_does_not():
    def answer(x):
        raise SystemExit(1)

    assert "raises SystemExit" in said(answer)


def test_unknown_exercise():
    with pytest.raises(ValueError, match=r"no exercise '99.9'; this notebook has 99.1, 99.2"):
        check("99.9", 1)


def test_an_exercise_needs_cases_or_a_judge():
    with pytest.raises(ValueError, match=r"98\.1: a function needs cases"):
        Exercise("98.1", lambda x: x)
    with pytest.raises(TypeError, match="a case is a tuple"):
        examine(Exercise("98.1", lambda x: x, cases=[1]), lambda x: x)


def test_numeric():
    assert numeric([1, 2.5]).tolist() == [1, 2.5]
    assert numeric([[1, 2], [3]]) is None
    assert numeric("1") is None
    assert numeric(minidl.tensor([1.0])).tolist() == [1]


def test_equal_needs_every_number():
    tolerance = Tolerance(rtol=1e-4, atol=1e-6)
    assert tolerance.equal([1, np.nan], np.array([1, np.nan]))
    assert not tolerance.equal([1, 2], [1, 2, 3])
    assert tolerance.equal({"a": [1]}, {"a": np.array([1.0])})
    assert tolerance.equal([2, 1], {1, 2})
    assert not tolerance.equal(1, "1")


def test_a_mistake_matches_on_all_cases_only():
    exercise = Exercise(
        "98.1", lambda x: x * x, cases=[(2,), (3,)], mistakes=[Mistake(lambda x: x + x, "that doubles")]
    )
    assert examine(exercise, lambda x: 2 * x).message == "that doubles"
    assert examine(exercise, lambda x: 4).message != "that doubles"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: (x, np.ones((3, 2))), "value 2 of 2 is transposed: shape (3, 2), expected (2, 3)"),
        (lambda x: (x + (x == 4), np.ones((2, 3))), "value 1 of 2 has 5. at [4], expected 4."),
    ],
)
def test_of_several_values_the_first_wrong_one_is_named(answer, message):
    assert message in wrong(answer, lambda x: (x, np.ones((2, 3))), (np.arange(30.0),))


def test_of_a_dict_the_first_wrong_value_is_named():
    message = wrong(lambda x: {"w": x[:2]}, lambda x: {"w": x}, (np.arange(30.0),))
    assert "the value for 'w' has shape (2,), expected (30,)" in message
