"""Hints, solutions, source and guesses: what they show, and what they keep to themselves."""

import re

import pytest

from minidl.course import display, hint, predict, solution, source

pytestmark = pytest.mark.usefixtures("example")


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, as MIME bundles."""
    bundles = []
    monkeypatch.setattr(display, "display", lambda item: bundles.append(item._repr_mimebundle_()))
    return bundles


def test_hints_unfold_one_inside_the_other(shown):
    hint("99.1")
    text = shown[0]["text/markdown"]
    assert text.count("<details>") == text.count("</details>") == 2
    places = [
        text.index(part) for part in ("Hint 1 of 2", "Which axis", "Hint 2 of 2", "the rows.", "</details>")
    ]
    assert places == sorted(places)
    assert "\n\n</details>" in text and "</summary>\n\n" in text  # blank lines: Markdown inside HTML
    assert shown[0]["text/plain"] == "[hints for 99.1, folded: 2]"


def test_the_solution_is_reasoning_then_code(shown):
    solution("99.1")
    text = shown[0]["text/markdown"]
    assert text.startswith("<details><summary>Solution of 99.1</summary>\n\n")
    assert text.index("sum_n x_n$") < text.index("```python\ndef mean_rows(x):") < text.index("</details>")
    assert shown[0]["text/plain"] == "[solution of 99.1, folded]"


def test_the_solution_of_a_value(shown):
    solution("99.2")
    solution("99.3")
    assert "```python\n14\n```" in shown[0]["text/markdown"]
    assert "```python\nweights = [1, 1]\n```" in shown[1]["text/markdown"]


def test_source_shows_path_and_code(shown):
    source(hint)
    text = shown[0]["text/markdown"]
    assert re.match(r"<code>minidl/course/display\.py</code>\n\n```python\ndef hint\(", text)
    assert shown[0]["text/plain"].startswith("minidl/course/display.py\n\ndef hint(")


def test_long_source_is_folded(shown):
    source(display)
    assert shown[0]["text/markdown"].startswith("<details><summary><code>minidl/course/display.py</code> (")


def test_source_of_a_wrapped_function(shown):
    from minidl import ops

    source(ops.exp)
    assert "<code>minidl/ops/arithmetic.py</code>" in shown[0]["text/markdown"]
    assert "def exp(" in shown[0]["text/markdown"]


def test_what_has_no_source():
    with pytest.raises(TypeError, match="source: 5 has no Python source"):
        source(5)
    with pytest.raises(TypeError, match=r"source: .*len.* has no Python source"):
        source(len)


def test_a_guess_on_a_slider():
    box = predict("How many?", answer=14, low=0, high=16, because="XOR is out.")
    assert (box.guess, box.revealed, box.reply.value) == (8, False, "")
    box.button.click()
    assert box.revealed and box.control.disabled
    assert box.reply.value == "You said 8; it is 14. Your guess was 6 below. XOR is out."
    box.button.click()
    assert not box.revealed and not box.control.disabled and box.reply.value == ""
    box.control.value = 14
    box.button.click()
    assert box.reply.value.startswith("You said 14, and so it is.")


def test_a_guess_among_options():
    box = predict("Up or <down>?", options=["up", "down"], answer="up")
    box.button.click()
    assert not box.revealed and box.reply.value == "Choose one first."
    box.control.value = "down"
    box.button.click()
    assert box.reply.value == "You said “down”; the answer is “up”."
    box.button.click()
    box.control.value = "up"
    box.button.click()
    assert box.reply.value == "You said up, and so it is."


def test_a_guess_in_fractions():
    box = predict("Which share?", answer=0.25, low=0, high=1, step=0.05)
    assert box.guess == pytest.approx(0.5)
    box.button.click()
    assert box.reply.value == "You said 0.5; it is 0.25. Your guess was 0.25 above."


def test_a_guess_is_stored_as_one_line():
    bundle = predict("How many?", answer=14, low=0, high=16)._repr_mimebundle_()
    assert bundle["text/plain"] == "[guess] How many? (0 to 16)"
    options = predict("Up?", answer="up", options=["up", "down"])._repr_mimebundle_()
    assert options["text/plain"] == "[guess] Up? (up / down)"


@pytest.mark.parametrize(
    "arguments",
    [{"answer": 3}, {"answer": 3, "low": 4, "high": 5}, {"answer": "x", "options": ["a"]}],
)
def test_a_guess_that_cannot_be_right(arguments):
    with pytest.raises(ValueError, match="predict: "):
        predict("?", **arguments)
