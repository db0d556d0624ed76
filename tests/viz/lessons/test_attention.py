"""Notebook 24's figures show the numbers that they are given; the explorer asks, points and obeys."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from minidl import tensor
from minidl.viz.lessons import attention as lesson

SAID = {"knight": ["N", "AY", "T"], "ab": ["AE", "B"], "hm": []}


def spell(word):
    """Sounds of a word (by default one a letter), each looking at its own letter mostly."""
    said = SAID.get(word, [letter.upper() for letter in word])
    weights = np.full((len(said), len(word)), 0.1)
    for row in range(len(said)):
        weights[row, row] = 0.9
    return said, weights


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def widget():
    widget = lesson.explorer(spell, lambda word: ["X"], {"knight": ("N", "AY", "T")}, word="knight")
    yield widget
    widget.close()


def test_the_two_ways_are_described_and_drawn():
    picture = lesson.two_ways()
    texts = [shape["s"] for kind, shape in picture.shapes if kind == "text"]
    assert "context" in texts and texts.count("h₁") == 2
    assert "mixed with the second decoder state for output 2" in picture.alt


def test_lengths_show_each_seed_and_each_step():
    shares = {2: [np.array([1.0, 0.8]), np.array([0.6, 0.4])], 4: [np.array([0.1, 0.2, 0.3, 0.4])] * 2}
    left, right = lesson.plot_lengths({"one vector": shares}).axes
    assert list(left.lines[0].get_xdata()) == [2, 4]
    assert left.lines[0].get_ydata() == pytest.approx([70, 25])
    assert [line.get_ydata()[0] for line in left.lines[1:3]] == pytest.approx([90, 50])
    assert right.lines[0].get_ydata() == pytest.approx([10, 20, 30, 40])


def test_alignments_have_a_panel_each_and_the_symbols_on_the_axes():
    fig = lesson.plot_alignments({"a": np.eye(3), "b": np.ones((3, 3))}, [7, 8, 9], [9, 8, 7])
    first, second = fig.axes[:2]
    assert np.array_equal(first.images[0].get_array(), np.eye(3)) and second.images[0].get_array().min() == 1
    assert [label.get_text() for label in first.get_xticklabels()] == ["7", "8", "9"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["9", "8", "7"]
    assert not first.lines[0].get_xdata().size


def test_alignments_mark_the_right_place_in_every_panel():
    fig = lesson.plot_alignments(
        {"a": np.eye(3), "b": np.ones((3, 3))}, [7, 8, 9], [9, 8, 7], range(2, -1, -1)
    )
    for ax in fig.axes[:2]:
        (marks,) = ax.lines
        assert list(marks.get_xdata()) == [2, 1, 0] and list(marks.get_ydata()) == [0, 1, 2]


def test_the_way_through_the_edits_is_a_cheapest_one():
    said, right = ["N", "IH", "G", "T"], ["N", "AY", "T"]
    table = np.array([[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 1, 2], [3, 2, 2, 2], [4, 3, 3, 2]])
    way = lesson.cheapest_way(table, said, right)
    assert way[0] == (4, 3) and way[-1] == (0, 0)
    values = [table[cell] for cell in way]
    assert values == sorted(values, reverse=True)
    assert all(max(a - c, b - d) == 1 for (a, b), (c, d) in pairwise(way))
    ax = lesson.plot_edits(table, said, right).axes[0]
    assert "start to end: 2 edits" in ax.get_title(loc="left")
    steps = [text.get_text() for text in ax.texts[20:]]  # behind the numbers of 20 cells
    assert steps == ["keep N", "IH becomes AY", "leave out G", "keep T"]


def test_a_symbol_that_is_missing_is_put_in():
    way = lesson.cheapest_way(np.array([[0, 1, 2], [1, 0, 1]]), ["S"], ["S", "K"])
    assert way == [(1, 2), (1, 1), (0, 0)]
    ax = lesson.plot_edits(np.array([[0, 1, 2], [1, 0, 1]]), ["S"], ["S", "K"]).axes[0]
    assert [text.get_text() for text in ax.texts[6:]] == ["keep S", "put in K"]


def test_errors_are_shown_by_length_for_each_seed():
    seeds = [np.array([[3, 3, 4], [1, 0, 1], [3, 2, 10]]), np.array([[3, 3, 4], [2, 0, 3], [3, 2, 10]])]
    ax = lesson.plot_errors({"attention": seeds}).axes[0]
    assert ax.lines[0].get_ydata() == pytest.approx([30, 20])
    assert ax.lines[1].get_ydata() == pytest.approx([20, 10])


def test_batches_hold_words_of_one_length_and_every_word_once():
    pairs = [("abc", ("A", "B")), ("ab", ("B",)), ("cab", ("B", "A", "B")), ("bca", ())]
    found = list(lesson.batches(pairs, ["A", "B"], size=2))
    assert [len(batch) for *_, batch in found] == [1, 2, 1]
    assert sorted(pair for *_, batch in found for pair in batch) == sorted(pairs)
    x, y, _ = found[1]
    assert x.tolist() == [[0, 1, 2], [2, 0, 1]]
    assert y.tolist() == [[0, 1, 2, -100], [1, 0, 1, 2]]


def test_it_says_where_the_sound_was_looked_up(widget):
    assert widget._describe(widget.state) == (
        "knight: N AY T. For N, sound 1 of 3, it looked most at letter 1, k (90%)."
    )
    assert "with attention: correct" in widget.svg and ">X<" in widget.svg


def test_step_and_back_walk_over_the_sounds_and_go_round(widget):
    widget.step()
    assert widget.state.at == 2
    widget.step(2)
    assert widget.state.at == 3
    widget.step()
    assert widget.state.at == 1
    for at in (3, 2):
        widget.controls["Back"].click()
        widget.wait()
        assert widget.state.at == at


def test_play_ends_at_the_last_sound(widget):
    widget.play()
    widget.wait()
    assert widget.state.at == 3 and not widget.playing


def test_a_typed_word_is_cleaned_and_asked(widget):
    widget.controls["typed"].value = " A-b! "
    widget.wait()
    assert widget.state.word == "ab" and widget.state.said == ["AE", "B"]
    assert "not in the dictionary" in widget.svg
    widget.controls["typed"].value = "123"
    widget.wait()
    assert widget.state.word == "ab" and widget.error is None
    widget.controls["typed"].value = "a" * 40
    widget.wait()
    assert widget.state.word == "a" * lesson.LONGEST


def test_weights_may_be_tensors_with_axes_of_size_1():
    widget = lesson.explorer(lambda word: (["A"], [tensor(np.ones((1, 1, len(word))))]), word="ab")
    assert widget.state.weights.tolist() == [[1, 1]]
    widget.close()


def test_a_listed_word_is_asked(widget):
    widget.controls["listed"].value = "rhythm"
    widget.wait()
    assert widget.state.word == "rhythm" and widget.state.said[0] == "R"


def test_a_word_without_a_sound_is_drawn(widget):
    widget.controls["typed"].value = "hm"
    widget.wait()
    assert widget.error is None and widget._describe(widget.state) == "hm: nothing."
    widget.step()
    assert widget.error is None and widget.state.at == 0


def test_a_row_is_chosen_by_the_pointer(widget):
    left, top, *_ = lesson.GRID
    widget.point("down", left + 5, top + 1.5 * lesson._side(widget.state))
    widget.wait()
    assert widget.state.at == 2
    for place in ((left + 5, 2), (700, top + 5), (left + 5, 329)):
        widget.point("down", *place)
    widget.wait()
    assert widget.state.at == 2


def test_reset_brings_the_first_word_back(widget):
    first = widget.svg
    widget.controls["typed"].value = "ab"
    widget.step()
    assert widget.svg != first
    widget.reset()
    assert widget.svg == first


def test_without_a_rival_nothing_is_compared():
    widget = lesson.explorer(spell)
    assert "with one vector" not in widget.svg
    widget.close()
