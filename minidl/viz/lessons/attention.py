"""Attention (notebook 24): what is looked at, in figures and in a widget that says a word aloud."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

from ..controls import button, choice, text
from ..picture import Picture
from ..theme import BLUE, GREEN, GREY, INK, ORANGE, PALETTE, SEQUENTIAL
from ..widget import Widget

# Static figures


def two_ways() -> Picture:
    """Left, one vector between encoder and decoder; right, decoder step 2 looks back at all states."""
    alt = (
        "Left, four encoder states end in one vector, the only way to the three decoder states. Right, a "
        "weighted sum of all four, mostly the third, is mixed with the second decoder state for output 2."
    )
    picture = Picture(780, 268, alt=alt)
    for left, title in ((0, "One vector for everything"), (400, "Attention: step 2 looks back")):
        picture.text(left + 4, 18, title, 14, bold=True)
        picture.text(left + 4, 248, "encoder", 13, color=BLUE, bold=True)
        picture.text(left + 230, 248, "decoder", 13, color=ORANGE, bold=True)
        reads = [left + 30 + 52 * j for j in range(4)]
        writes = [left + 252 + 52 * t for t in range(3)]
        for j, x in enumerate(reads):
            picture.text(x, 228, f"x{'₁₂₃₄'[j]}", 15, "middle")
            picture.arrow(x, 211, x, 193, BLUE)
            _state(picture, x, 175, BLUE, f"h{'₁₂₃₄'[j]}")
        for t, x in enumerate(writes):
            _state(picture, x, 175, ORANGE, f"s{'₁₂₃'[t]}")
            if not left or t != 1:
                picture.arrow(x, 157, x, 139, ORANGE)
                picture.text(x, 130, f"y{'₁₂₃'[t]}", 15, "middle")
        for row, color in ((reads, BLUE), (writes, ORANGE)):
            for a, b in pairwise(row):
                picture.arrow(a + 18, 175, b - 18, 175, color)
        picture.arrow(reads[-1] + 18, 175, writes[0] - 18, 175, GREEN, 4)
    picture.text(198, 207, "the vector", 13, color=GREEN, bold=True)
    _looking_back(picture, [430 + 52 * j for j in range(4)], 704)
    return picture


def _state(picture: Picture, x: float, y: float, color: str, name: str) -> None:
    picture.rect(x - 17, y - 17, 34, 34, fill="#ffffff", stroke=color, width=2, radius=6)
    picture.text(x, y, name, 15, "middle", "middle", color=INK)


def _looking_back(picture: Picture, reads: Sequence[float], write: float) -> None:
    """Lines from all encoder states into the context, as thick as their weights, and on to the output."""
    at, height = 508, 74
    for x, weight, across in zip(reads, (0.08, 0.12, 0.7, 0.1), (-24, -12, 0, 12), strict=True):
        picture.line([x, at + across], [158, height + 18], GREEN, 1 + 8 * weight)
        beside = (x - 4, "end") if x < at else (x + 8, "start")
        picture.text(beside[0], 146, f"{weight:.2f}".lstrip("0"), 12, beside[1], color=GREEN)
    picture.rect(at - 40, height - 17, 80, 34, fill="#ffffff", stroke=GREEN, width=2, radius=6)
    picture.text(at, height, "context", 14, "middle", "middle", color=INK)
    picture.arrow(at + 42, height, write - 20, height, GREEN, 3)
    picture.arrow(write, 157, write, height + 20, ORANGE)
    picture.rect(write - 17, height - 17, 34, 34, fill="#ffffff", stroke=GREY, width=2, radius=6)
    picture.text(write, height, "mix", 13, "middle", "middle", color=INK)
    picture.arrow(write, height - 18, write, height - 36, ORANGE)
    picture.text(write + 14, height - 32, "y₂", 15)


Shares = Mapping[int, Sequence[np.ndarray]]


def plot_lengths(kinds: Mapping[str, Shares]) -> plt.Figure:
    """Left the share of right symbols against length, a point a seed; right against the output step.

    kinds: {name: {length: [for each seed the share at every output step (length,)]}}.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4))
    for (name, shares), color, marker in zip(kinds.items(), PALETTE, "os^", strict=False):
        lengths = sorted(shares)
        each = 100 * np.array([[seed.mean() for seed in shares[length]] for length in lengths])
        left.plot(lengths, each.mean(axis=1), color=color, label=name)
        left.plot(lengths, each, marker, color=color, markersize=5)
        steps = np.arange(1, lengths[-1] + 1)
        for seed in shares[lengths[-1]]:
            right.plot(steps, 100 * seed, color=color, linewidth=1.3)
    left.set(
        xlabel="length of the sequence", ylabel="symbols right (%)", title="Longer is harder", ylim=(0, 103)
    )
    left.set_xticks(lengths)
    left.axhline(10, color=GREY, linestyle="--", linewidth=1)
    left.text(lengths[0], 12, "guessing", color=GREY, fontsize=10)
    left.legend(loc="lower right", bbox_to_anchor=(1, 0.14))
    right.set(xlabel="output step", title=f"Length {lengths[-1]}, step by step", ylim=(0, 103))
    right.set_xticks(steps[4::5])
    return fig


DARKEST = 0.6  # weights from here on get the darkest colour, so that weights of 0.3 are not pale


def plot_alignments(
    panels: Mapping[str, np.ndarray], inputs: Sequence, outputs: Sequence, right: Sequence[int] = ()
) -> plt.Figure:
    """Attention weights (outputs, inputs) of several networks for the same sequence, side by side.

    right: for each output the input that it is made of; marked by an open square.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 3.5), sharey=True, squeeze=False)
    for ax, (name, weights) in zip(axes[0], panels.items(), strict=True):
        shown = ax.imshow(weights, SEQUENTIAL, vmin=0, vmax=DARKEST)
        ax.plot(
            right, range(len(right)), "s", color=ORANGE, fillstyle="none", markersize=6, markeredgewidth=1
        )
        ax.set_title(name, fontsize=11)
        ax.set_xticks(range(len(inputs)), [str(symbol) for symbol in inputs], fontsize=8)
        ax.set_yticks(range(len(outputs)), [str(symbol) for symbol in outputs], fontsize=8)
        ax.set_xlabel("input, first to last")
    axes[0, 0].set_ylabel("output, first on top")
    fig.colorbar(shown, ax=axes, label="weight", shrink=0.75, extend="max")
    return fig


def plot_edits(table: np.ndarray, said: Sequence[str], right: Sequence[str]) -> plt.Figure:
    """The table of the fewest edits (len(said) + 1, len(right) + 1), a cheapest way in orange."""
    fig, ax = plt.subplots(figsize=(6.2, 3.4))
    ax.imshow(table, SEQUENTIAL, vmin=0, vmax=2.2 * table.max(), aspect="auto")
    way = cheapest_way(table, said, right)
    for (i, j), value in np.ndenumerate(table):
        ax.text(j, i, str(value), ha="center", va="center", fontweight="bold" if (i, j) in way else "normal")
    rows, columns = zip(*way, strict=True)
    ax.plot(columns, rows, color=ORANGE, alpha=0.45, linewidth=12, solid_capstyle="round")
    for (i, j), (k, m) in pairwise(way[::-1]):
        place = (j + m) / 2 + 0.12, (i + k) / 2 - 0.15 * (i < k and j < m)  # beside the line, or above it
        ax.text(*place, _step_name(said[i:k], right[j:m]), va="center", fontsize=10)
    ax.set_xticks(range(len(right) + 1), ["start", *right])
    ax.set_yticks(range(len(said) + 1), ["start", *said])
    ax.set(xlabel="right, up to here", ylabel="said, up to here")
    ax.set_title(f"Cheapest way from start to end: {table[-1, -1]} edits")
    return fig


def _step_name(said: Sequence[str], right: Sequence[str]) -> str:
    """What a step through the table does with at most one symbol of each side."""
    if not right:
        return f"leave out {said[0]}"
    if not said:
        return f"put in {right[0]}"
    return f"keep {said[0]}" if said[0] == right[0] else f"{said[0]} becomes {right[0]}"


def cheapest_way(table: np.ndarray, said: Sequence, right: Sequence) -> list[tuple[int, int]]:
    """The cells of one cheapest way, last to first; of several, one that leaves out and puts in late."""
    i, j = len(said), len(right)
    way = [(i, j)]
    while i or j:
        if i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
        elif j and table[i, j] == table[i, j - 1] + 1:
            j -= 1
        else:
            i, j = i - 1, j - 1
        way.append((i, j))
    return way


def plot_errors(kinds: Mapping[str, Sequence[np.ndarray]]) -> plt.Figure:
    """Phoneme error rate against the length of the word.

    kinds: {name: [for each seed (3, words): the word's letters, its edits, its right phonemes]}.
    """
    fig, ax = plt.subplots(figsize=(7, 3.5))
    for (name, seeds), color, marker in zip(kinds.items(), PALETTE, "os^", strict=False):
        letters = np.unique(seeds[0][0])
        each = 100 * np.array([[_rate(seed, length) for seed in seeds] for length in letters])
        ax.plot(letters, each.mean(axis=1), color=color, label=name)
        ax.plot(letters, each, marker, color=color, markersize=4)
    ax.set(xlabel="letters in the word", ylabel="phoneme error rate (%)", ylim=(0, None))
    ax.set_title("The longer the word, the larger the gap")
    ax.legend()
    return fig


def _rate(words: np.ndarray, length: int) -> float:
    """Edits a phoneme of the words of this length."""
    letters, edits, phonemes = words
    return edits[letters == length].sum() / phonemes[letters == length].sum()


# Words as numbers


def letters(words: Iterable[str]) -> np.ndarray:
    """Words of one length as numbers, a is 0: (words, letters)."""
    return np.array([[ord(letter) - ord("a") for letter in word] for word in words])


def batches(
    pairs: Sequence[tuple[str, Sequence[str]]], phonemes: Sequence[str], size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, Sequence]]:
    """Batches of at most `size` words of one length: letters (n, S), targets (n, T), and the pairs.

    A target is a place in `phonemes`; behind the last stands len(phonemes), END, and behind that -100.
    """
    number = {phoneme: place for place, phoneme in enumerate(phonemes)}
    for length in sorted({len(word) for word, _ in pairs}):
        group = [pair for pair in pairs if len(pair[0]) == length]
        for batch in (group[i : i + size] for i in range(0, len(group), size)):
            y = np.full((len(batch), 1 + max(len(said) for _, said in batch)), -100)
            for row, (_, said) in zip(y, batch, strict=True):
                row[: len(said) + 1] = [*(number[phoneme] for phoneme in said), len(phonemes)]
            yield letters(word for word, _ in batch), y, batch


# The widget

LONGEST = 12  # letters that are taken
GRID = (112, 66, 300, 246)  # x, y, width, height of the cells at their largest
WORDS = ["pinstripe", "windowpane", "pheromone", "inspire", "generation", "knickknack", "lighter", "rhythm"]


def explorer(
    spell: Callable[[str], tuple[Sequence[str], np.ndarray]],
    rival: Callable[[str], Sequence[str]] | None = None,
    dictionary: Mapping[str, Sequence[str]] | None = None,
    word: str = WORDS[0],
) -> Widget:
    """A widget: type a word, let it be spelt sound by sound, and see where each sound was looked up.

    spell: word -> the P phonemes said, and the weights (P, letters of the word).
    rival: word -> what another network says; shown for comparison. dictionary: {word: right phonemes}.
    """
    state = SimpleNamespace(spell=spell, rival=rival, dictionary=dictionary or {}, word=word, typed=word)
    controls = [
        button("Back", lambda state: _go(state, -1)),
        text("typed", "Word (then Enter)", word, on_change=lambda state: _take(state, state.typed)),
        choice("listed", "or one of", WORDS, WORDS[0], on_change=lambda state: _take(state, state.listed)),
    ]
    _take(state, word)
    reset = lambda state: _take(state, word)  # noqa: E731
    return Widget(
        state, _draw, controls, step=_step, reset=reset, describe=_describe, on_pointer=_point, fps=1.5
    )


def _take(state: SimpleNamespace, typed: str) -> None:
    """Ask the network about a word; other characters than a to z are left out."""
    letters = "".join(letter for letter in typed.lower() if "a" <= letter <= "z")[:LONGEST]
    state.word = letters or state.word
    said, weights = state.spell(state.word)
    state.said = list(said)
    rows = [np.ravel(getattr(row, "array", row)) for row in weights]
    state.weights = np.array(rows, float).reshape(len(state.said), len(state.word))
    state.other = list(state.rival(state.word)) if state.rival else None
    state.at = min(1, len(state.said))  # the sound that is looked at, counted from 1; 0 if none was said


def _step(state: SimpleNamespace) -> None:
    """The next sound. Play ends with the last."""
    _go(state, 1)
    if state.at == len(state.said):
        raise StopIteration


def _go(state: SimpleNamespace, by: int) -> None:
    """So many sounds on; behind the last comes the first."""
    if state.said:
        state.at = (state.at - 1 + by) % len(state.said) + 1


def _side(state: SimpleNamespace) -> float:
    """The side of a cell in pixels."""
    return min(GRID[2] / len(state.word), GRID[3] / max(len(state.said), 1), 44)


def _point(state: SimpleNamespace, kind: str, x: float, y: float) -> None:
    """Press on a row, or draw over the rows: that sound is looked at."""
    row = int((y - GRID[1]) // _side(state))
    if kind != "up" and 0 <= x <= GRID[0] + GRID[2] and 0 <= row < len(state.said):
        state.at = row + 1


def _describe(state: SimpleNamespace) -> str:
    sentence = f"{state.word}: {' '.join(state.said) or 'nothing'}"
    if state.at:
        weights = state.weights[state.at - 1]
        best = int(weights.argmax())
        sentence += f". For {state.said[state.at - 1]}, sound {state.at} of {len(state.said)}, it looked most"
        sentence += f" at letter {best + 1}, {state.word[best]} ({weights[best]:.0%})"
    return sentence + "."


def _draw(state: SimpleNamespace) -> Picture:
    picture = Picture(760, 330)
    picture.text(4, 18, "Where it looked (press on a row)", bold=True)
    side, (left, top, *_) = _side(state), GRID
    for j, letter in enumerate(state.word):
        picture.text(left + (j + 0.5) * side, top - 10, letter, 17, "middle", bold=True)
    if state.at:
        box = (left, top, side * len(state.word), side * len(state.said))
        picture.heatmap(state.weights, box, SEQUENTIAL).rect(*box, opacity=0.4)
        y = top + (state.at - 1) * side
        picture.rect(left - 2, y, side * len(state.word) + 4, side, stroke=ORANGE, width=3)
        picture.polygon([left - 62, left - 62, left - 54], [y + side / 2 + k for k in (-6, 6, 0)], ORANGE)
    for i, phoneme in enumerate(state.said):
        here = i == state.at - 1
        at, color = (left - 12, top + (i + 0.5) * side), ORANGE if here else None
        picture.text(*at, phoneme, 15, "end", "middle", color, here)
    _draw_bars(picture, state)
    _draw_answers(picture, state)
    return picture


def _draw_bars(picture: Picture, state: SimpleNamespace) -> None:
    """The row that is looked at, as bars over the letters."""
    ticks = {j + 0.5: letter for j, letter in enumerate(state.word)}
    title = f"Weights for {state.said[state.at - 1]}" if state.at else "Weights"
    box, limits = (440, 0, 316, 186), (0, len(state.word))
    axes = picture.axes(box, limits, (0, 1), "letter", "weight", title, xticks=ticks, yticks=[0, 0.5, 1])
    for j, weight in enumerate(state.weights[state.at - 1] if state.at else ()):
        axes.rect(j + 0.12, 0, 0.76, float(weight), fill=BLUE)


def _draw_answers(picture: Picture, state: SimpleNamespace) -> None:
    """What it says, what the other network says, what the dictionary says; green where it is right."""
    known = state.dictionary.get(state.word)
    rows = {"with attention": state.said, "with one vector": state.other}
    rows = {name: said for name, said in rows.items() if said is not None}
    y = 214
    for name, said in rows.items():
        right = known is not None and list(said) == list(known)
        picture.text(452, y, name + ": correct" * right, 12)
        picture.text(452, y + 19, " ".join(said), 15, color=GREEN if right else None, bold=True)
        y += 42
    picture.text(452, y, "dictionary", 12)
    picture.text(452, y + 19, " ".join(known) if known else "not in the dictionary", 15, bold=bool(known))
