"""Notebook 25's tasks, head browser and writer: what is shown is what the model says, all controls work."""

import numpy as np
import pytest

from minidl import nn, no_grad
from minidl.viz.lessons import transformer as lesson
from minidl.viz.picture import Picture

CHARS = "\n abcdeHAMLT."


def look(words):
    """Two layers of two heads: head 1 sees itself, head 2 the place before; in layer 2 they change."""
    T = len(words)
    here, back = np.eye(T), np.eye(T, k=-1)
    back[0, 0] = 1
    return np.stack([np.stack([here, back]), np.stack([back, here])])


@pytest.fixture
def browser():
    widget = lesson.head_browser(look, CHARS, "abc de")
    yield widget
    widget.close()


def test_the_last_place_looks_at_first_and_the_sentence_says_where(browser):
    assert browser.state.place == 6
    assert browser._first_text.startswith("Layer 1, head 1: “e” at place 6 looks most at itself (100%)")
    browser.controls["head"].value = 2
    browser.wait()
    assert "“d”, its left neighbour (100%)" in browser._describe(browser.state)


def test_buttons_walk_through_all_heads_and_around(browser):
    seen = []
    for _ in range(4):
        seen.append((browser.controls["layer"].value, browser.controls["head"].value))
        browser.controls["Next head"].click()
        browser.wait()
    assert seen == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert (browser.state.layer, browser.state.head) == (1, 1)
    browser.controls["Previous head"].click()
    browser.wait()
    assert (browser.state.layer, browser.state.head) == (2, 2)
    assert browser.error is None


def test_typed_text_is_read_and_what_the_model_does_not_know_is_left_out(browser):
    before = browser.svg
    browser.controls["typed"].value = "bad? cab"
    browser.wait()
    assert browser.state.text == "bad cab"
    assert browser.state.maps.shape == (2, 2, 7, 7)
    assert browser.svg != before
    browser.controls["typed"].value = "???"
    browser.wait()
    assert (browser.state.text, browser.error) == (" ", None)
    browser.controls["typed"].value = "abc" * 40
    browser.wait()
    assert len(browser.state.text) == lesson.LONGEST


def test_a_place_behind_the_end_counts_as_the_last(browser):
    browser.controls["place"].value = lesson.LONGEST
    browser.wait()
    assert "at place 6 " in browser._describe(browser.state)


def test_pressing_a_row_or_a_small_map_chooses_it(browser):
    left, top, side = lesson.MAP
    browser.point("down", left + 5, top + side * 2.5 / 6)
    browser.wait()
    assert browser.controls["place"].value == browser.state.place == 3
    x, y, small, room = lesson.SMALL
    browser.point("down", x + small + room + 5, y + small + room + 5)
    browser.wait()
    assert (browser.controls["layer"].value, browser.controls["head"].value) == (2, 2)
    browser.point("down", 1, 1)
    browser.wait()
    assert (browser.state.layer, browser.state.head, browser.state.place) == (2, 2, 3)


def test_reset_brings_back_text_and_head(browser):
    first = browser.svg
    browser.controls["typed"].value = "dad"
    browser.controls["layer"].value = 2
    browser.wait()
    browser.reset()
    assert browser.svg == first


# The writer


def fresh():
    return []


def read(ids, memory):
    """A model that counts upwards through the characters, and knows only what is in its memory."""
    memory.extend(ids)
    logits = np.zeros(len(CHARS))
    logits[(memory[-1] + 1) % len(CHARS)] = 5
    return logits


def chances(logits, temperature, top_k, top_p):
    p = np.exp(logits / temperature)
    p[np.argsort(-p, kind="stable")[top_k:]] = 0
    return p / p.sum()


@pytest.fixture
def writer():
    widget = lesson.writer(read, fresh, chances, CHARS, "a")
    yield widget
    widget.close()


def test_each_step_writes_a_character_and_reads_it(writer):
    assert len(writer.state.written) == 1 + lesson.FIRST
    writer.step(5)
    assert len(writer.state.written) == 6 + lesson.FIRST
    assert writer.state.memory[-1] == writer.state.written[-1]
    assert writer.error is None


def test_the_memory_never_grows_beyond_what_was_trained_and_holds_the_last_characters(writer):
    for _ in range(30):
        writer.step(5)
        held = len(writer.state.memory)
        assert held == writer.state.held <= lesson.MEMORY
        assert writer.state.memory == writer.state.written[-held:]


def test_top_k_of_one_leaves_nothing_to_chance(writer):
    writer.controls["top_k"].value = 1
    writer.step(8)
    steps = np.diff(writer.state.written[-9:]) % len(CHARS)
    assert (steps == 1).all()
    assert "100%; 1 of" in writer._describe(writer.state)


def test_a_new_beginning_begins_anew(writer):
    writer.controls["start"].value = "HAM\\n?"
    writer.wait()
    assert writer.state.given == 4
    assert writer.state.written[:4] == [CHARS.index(c) for c in "HAM\n"]


def test_play_ends_by_itself_and_reset_restores(writer):
    first = writer.svg
    writer.step(lesson.MOST - lesson.FIRST)
    assert len(writer.state.written) == 1 + lesson.MOST
    writer.step(3)
    assert len(writer.state.written) == 1 + lesson.MOST
    writer.controls["temperature"].value = 1.5
    writer.reset()
    assert writer.svg == first


def test_long_lines_are_broken_between_words():
    lines = lesson._wrapped("word " * 30 + "\n" + "x" * 100)
    assert max(map(len, lines)) <= lesson.WIDE
    assert "".join(lines) == "word " * 30 + "x" * 100
    assert all(line.startswith("word") for line in lines[:3])


# The tasks


def test_the_phone_book_can_be_answered_and_hides_nothing():
    x, y = lesson.PhoneBook(20).draw(np.random.default_rng(0))
    assert x.shape == (20, 28, 2) and (y >= 0).sum() == 80
    for cards, answers in zip(x, y, strict=True):
        book = dict(cards[:8])
        assert len(book) == 8
        assert [book[name] for name in cards[-4:, 0]] == answers[-4:].tolist()
    assert (x[:, 8:-4, 0] == lesson.NAMES).all() and (x[:, -4:, 1] == lesson.NUMBERS).all()


def test_names_ask_for_each_letter_and_one_end():
    names = lesson.FirstNames(50, held_out=10)
    x, y = names.draw(np.random.default_rng(0))
    for given, wanted in zip(x, y, strict=True):
        length = int((wanted > 0).sum())
        assert given[0] == 0 and wanted[length] == 0
        assert given[1 : length + 1].tolist() == wanted[:length].tolist()
        assert (wanted[length + 1 :] == -100).all()
    assert len(names.held_out[0]) == 10


def test_scores_of_untrained_models_are_those_of_guessing():
    book, names = lesson.PhoneBook(held_out=100), lesson.FirstNames(held_out=50)
    with no_grad():
        assert book.score(lesson.Recurrent(lesson.Cards(4), 4, 8, 10)) < 0.3
        assert 2.8 < names.score(lesson.Recurrent(nn.Embedding(27, 4), 4, 8, 27)) < 3.8


def test_static_figures_are_drawn():
    assert isinstance(lesson.blocks(), Picture)
    run = [(0.1, 0.5), (0.2, 0.9)]
    figures = [
        lesson.plot_scale([4, 16], {"raw": ([0.3, 0.5], [0.1, 0.05]), "scaled": ([0.2, 0.2], [0.1, 0.1])}),
        lesson.plot_positions(np.zeros((6, 4)), {place: np.arange(5.0) for place in (40, 70)}),
        lesson.plot_norms({"post-norm": [[2.3] * 9], "pre-norm": [[2.0] * 9]}, 2.3),
        lesson.plot_race({"transformer": [run], "GRU": [run]}, {"transformer": [run], "GRU": [run]}, 0.3),
        lesson.plot_cost([32, 128], [1.0, 4.0], [0.5, 0.6]),
    ]
    for figure in figures:
        assert all(ax.get_title(loc="left") for ax in figure.axes if ax.get_label() != "<colorbar>")
        figure.clear()
