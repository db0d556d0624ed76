"""Attention made visible: two tasks, a browser of heads, a writer with its dice, figures (notebook 25)."""

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike, NDArray

from minidl import data, nn, tensor
from minidl.nn import functional as F

from ..controls import button, slider, text
from ..picture import Picture
from ..theme import BLUE, DIVERGING, GREEN, GREY, INK, ORANGE, RED, SEQUENTIAL
from ..widget import Widget

# Two tasks: targets are -100 where nothing is asked, which the cross-entropy skips

NAMES, NUMBERS = 26, 10  # of the phone book; one code more of each stands for "none"


class PhoneBook:
    """Cards (N, T, 2) of name and number: entries, then numbers without a name, then names that are asked."""

    def __init__(self, n: int = 32, entries: int = 8, noise: int = 16, asked: int = 4, held_out: int = 300):
        self.n, self.entries, self.noise, self.asked = n, entries, noise, asked
        self.held_out = self._cards(held_out, np.random.default_rng(999))
        numbers = self.held_out[0][:, :entries, 1]
        self.commonest = float(np.mean([np.bincount(row).max() / entries for row in numbers]))

    def draw(self, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """A batch: cards (n, T, 2), and the numbers that are asked (n, T)."""
        return self._cards(self.n, rng)

    def _cards(self, n: int, rng) -> tuple[NDArray, NDArray]:
        x = np.full((n, self.entries + self.noise + self.asked, 2), (NAMES, NUMBERS))
        y, each = np.full(x.shape[:2], -100), np.arange(n)[:, None]
        x[:, : self.entries, 0] = _orders(n, NAMES, rng)[:, : self.entries]
        x[:, : -self.asked, 1] = rng.integers(0, NUMBERS, (n, self.entries + self.noise))
        which = _orders(n, self.entries, rng)[:, : self.asked]
        x[:, -self.asked :, 0], y[:, -self.asked :] = x[each, which, 0], x[each, which, 1]
        return x, y

    def score(self, model: nn.Module) -> float:
        """The share of right numbers on books held out."""
        x, y = self.held_out
        return float((model(tensor(x)).numpy().argmax(axis=-1) == y)[y >= 0].mean())

    def __str__(self) -> str:
        """One book, in words."""
        x, y = self._cards(1, np.random.default_rng(0))
        names, numbers = "ABCDEFGHIJKLMNOPQRSTUVWXYZ.", "0123456789?"
        answers = "".join(numbers[number] for number in y[0, -self.asked :])
        return " ".join(names[a] + numbers[b] for a, b in x[0]) + f"  ->  {answers}"


def _orders(n: int, count: int, rng) -> NDArray:
    """n random orders of 0 ... count - 1: (n, count)."""
    return rng.permuted(np.tile(np.arange(count), (n, 1)), axis=1)


class FirstNames:
    """First names, a letter at a time: x (N, T) of 0 (at first) and 1-26, y the next one, 0 at the end."""

    def __init__(self, n: int = 64, held_out: int = 600):
        names = data.names()
        letters = np.zeros((len(names), 2 + max(map(len, names))), int)
        for row, name in zip(letters, names, strict=True):
            row[1 : len(name) + 1] = [ord(letter) - 96 for letter in name]
        self.n, self.first = n, held_out
        self.letters = np.random.default_rng(0).permutation(letters)
        self.held_out = self._rows(slice(held_out))

    def draw(self, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        return self._rows(rng.integers(self.first, len(self.letters), self.n))

    def _rows(self, rows) -> tuple[NDArray, NDArray]:
        x, y = self.letters[rows, :-1], self.letters[rows, 1:]
        asked = np.cumsum(y == 0, axis=1) <= (y == 0)  # the letters, and the first 0 behind them
        T = asked.sum(axis=1).max()
        return x[:, :T], np.where(asked, y, -100)[:, :T]

    def score(self, model: nn.Module) -> float:
        """Nats a letter on names held out."""
        x, y = map(tensor, self.held_out)
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item()


class Cards(nn.Module):
    """A card's features: those of its name and of its number, added."""

    def __init__(self, E: int):
        self.name, self.number = nn.Embedding(NAMES + 1, E), nn.Embedding(NUMBERS + 1, E)

    def forward(self, x):
        return self.name(x[..., 0]) + self.number(x[..., 1])


class Recurrent(nn.Module):
    """The rival: an embedding of E features, a GRU of H units, and a linear layer."""

    def __init__(self, embed: nn.Module, E: int, H: int, out: int):
        self.embed, self.layer, self.head = embed, nn.GRU(E, H, batch_first=True), nn.Linear(H, out)

    def forward(self, tokens):
        return self.head(self.layer(self.embed(tokens))[0])


# Measuring


def sharpness(weigh: Callable, widths: Sequence[int], keys: int = 16) -> tuple[list[float], list[float]]:
    """For each d the mean largest weight and the mean slope p(1 - p), of random queries and keys.

    weigh: q (N, 1, d), k (N, keys, d) -> weights (N, 1, keys)."""
    rng, largest, slope = np.random.default_rng(0), [], []
    for d in widths:
        p = weigh(*(tensor(rng.normal(size=(500, count, d))) for count in (1, keys))).numpy()
        largest.append(float(p.max(axis=-1).mean()))
        slope.append(float((p * (1 - p)).mean()))
    return largest, slope


def rotary_scores(rotate: Callable, places: Sequence[int], reach: int = 40) -> dict[int, NDArray]:
    """q · k of one query and one key, turned: for each place of the query the keys 0 ... reach - 1 before."""
    rng = np.random.default_rng(1)
    q, k = (tensor(np.tile(rng.normal(size=16), (max(places) + 1, 1))) for _ in range(2))
    scores = rotate(q).numpy() @ rotate(k).numpy().T  # (query's place, key's place)
    return {place: scores[place, place - np.arange(reach)] for place in places}


def cost_of_next(
    read: Callable, fresh: Callable, ids: list[int], lengths: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Milliseconds of processor time to read the last of so many characters: all anew; with a memory.

    The best of five. read(ids, memory) and fresh() are as in `writer`; memory None reads without one."""
    full, step = [], []
    for length in lengths:
        read(ids[: length - 5], memory := fresh())
        full.append(_milliseconds(read, ids[:length], None))
        step.append(_milliseconds(read, ids[length - 1 : length], memory))
    return full, step


def _milliseconds(work: Callable, *args) -> float:
    spent = []
    for _ in range(5):
        start = time.process_time()
        work(*args)
        spent.append(1000 * (time.process_time() - start))
    return min(spent)


# The head browser

LONGEST = 40  # characters that fit beside the map
MAP = 36, 52, 400  # left, top and side of the large map in pixels
SMALL = 470, 52, 74, 8  # left and top of the small maps, their side, the room between two
STRIP = 500  # the middle of the line of text under the map


def head_browser(
    look: Callable[[str], ArrayLike], chars: Sequence[str], first: str = "To be, or not to be"
) -> Widget:
    """Who looks at whom? The attention of each head of each layer on a text that the learner types.

    Args:
        look: a text of T characters -> weights (layers, heads, T, T), row = who looks, column = at whom.
        chars: the characters that may occur; others are left out.
        first: the text at the beginning.
    """
    state = SimpleNamespace(look=look, chars=set(chars), typed=first, layer=1, head=1, place=1)
    _read(state)
    layers, heads, T, _ = state.maps.shape
    state.place = T

    def turn(by: int) -> Callable:
        def action(state) -> None:
            layer, head = divmod((state.layer - 1) * heads + state.head - 1 + by, heads)
            choose(state, layer % layers + 1, head + 1)

        return action

    def choose(state, layer: int, head: int) -> None:
        state.layer, state.head = layer, head
        widget.controls["layer"].value, widget.controls["head"].value = layer, head

    def press(state, kind: str, px: float, py: float) -> None:
        if kind == "up":
            return
        if place := _row_at(state, px, py):
            state.place = place
            widget.controls["place"].value = place
        elif kind == "down" and (found := _small_at(state, px, py)):
            choose(state, *found)

    controls = [
        text("typed", "Your text", first, on_change=_read),
        button("Previous head", turn(-1)),
        button("Next head", turn(1)),
        slider("layer", "layer", 1, layers, 1) if layers > 1 else None,
        slider("head", "head", 1, heads, 1) if heads > 1 else None,
        slider("place", "who looks (place in the text)", 1, LONGEST, T),
    ]
    controls = [control for control in controls if control]
    widget = Widget(state, _draw_heads, controls, reset=_read, describe=_describe_heads, on_pointer=press)
    return widget


def _read(state) -> None:
    """The text as the model can read it, and the attention of all heads on it."""
    state.text = "".join(c for c in state.typed if c in state.chars)[:LONGEST] or " "
    state.maps = np.asarray(state.look(state.text), float)  # (layers, heads, T, T)


def _at(state) -> int:
    """Row of the place that is looked from; a place behind the end is the last one."""
    return min(state.place, len(state.text)) - 1


def _row_at(state, px: float, py: float) -> int | None:
    left, top, side = MAP
    inside = left <= px < left + side and top <= py < top + side
    return int((py - top) * len(state.text) / side) + 1 if inside else None


def _small_at(state, px: float, py: float) -> tuple[int, int] | None:
    left, top, side, room = SMALL
    layers, heads = state.maps.shape[:2]
    head, layer = int((px - left) // (side + room)), int((py - top) // (side + room))
    inside = 0 <= head < heads and 0 <= layer < layers
    return (layer + 1, head + 1) if inside else None


def _describe_heads(state) -> str:
    at, weights = _at(state), state.maps[state.layer - 1, state.head - 1]
    most = int(weights[at].argmax())
    where = {0: "itself", 1: "its left neighbour"}.get(at - most, f"{at - most} places back")
    target = where if at == most else f"{_shown(state.text[most])}, {where}"
    steps = np.arange(len(weights))
    back = float((weights * (steps[:, None] - steps)).sum(axis=1).mean())
    return (
        f"Layer {state.layer}, head {state.head}: {_shown(state.text[at])} at place {at + 1} looks most at"
        f" {target} ({weights[at, most]:.0%}). On average this head looks {back:.1f} places back."
    )


def _shown(char: str) -> str:
    return {" ": "the space", "\n": "the line break"}.get(char, f"“{char}”")


def _draw_heads(state) -> Picture:
    layers, heads = state.maps.shape[:2]
    left, top, side, room = SMALL
    width = max(780, left + heads * (side + room) + 8)
    picture = Picture(width, 540)
    picture.text(
        MAP[0], 18, f"Layer {state.layer}, head {state.head}: each row shares out one unit", bold=True
    )
    _draw_map(picture, state)
    picture.text(left, 18, "All heads, a layer in each row", bold=True)
    for layer in range(layers):
        for head in range(heads):
            x, y = left + head * (side + room), top + layer * (side + room)
            picture.heatmap(state.maps[layer, head], (x, y, side, side), SEQUENTIAL)
            chosen = (layer + 1, head + 1) == (state.layer, state.head)
            picture.rect(x, y, side, side, stroke=ORANGE if chosen else GREY, width=3 if chosen else 1)
    for head in range(heads):
        picture.text(left + head * (side + room) + side / 2, top - 8, head + 1, 12, "middle")
    below = top + layers * (side + room) + 24
    for line, words in enumerate(("rows: who looks", "columns: at whom", "dark: much attention")):
        picture.text(left, below + 20 * line, words, 13)
    _draw_strip(picture, state)
    return picture


def _draw_map(picture: Picture, state) -> None:
    left, top, side = MAP
    T, at = len(state.text), _at(state)
    cell = side / T
    picture.heatmap(state.maps[state.layer - 1, state.head - 1], (left, top, side, side), SEQUENTIAL)
    picture.rect(left, top, side, side, opacity=0.5)
    picture.rect(left, top + at * cell, side, cell, stroke=ORANGE, width=2)
    size = min(14.0, max(8.0, cell))
    for place, char in enumerate(state.text):
        middle, char = (place + 0.5) * cell, _glyph(char)
        picture.text(left - 8, top + middle, char, size, "end", "middle", ORANGE if place == at else None)
        picture.text(left + middle, top - 8, char, size, "middle")


def _draw_strip(picture: Picture, state) -> None:
    """The text once more, each character on as much blue as it is looked at."""
    left = MAP[0]
    at, weights = _at(state), state.maps[state.layer - 1, state.head - 1]
    step = min(17.0, (picture.width - left - 8) / len(state.text))
    picture.text(left, STRIP - 22, "what the framed place looks at:", 13)
    for place, char in enumerate(state.text):
        x, share = left + place * step, float(weights[at, place])
        picture.rect(x, STRIP - 12, step, 26, fill=BLUE, stroke="none", opacity=0.75 * share)
        if place == at:
            picture.rect(x, STRIP - 12, step, 26, stroke=ORANGE, width=2)
        picture.text(x + step / 2, STRIP, _glyph(char), min(15.0, step), "middle", "middle", bold=share > 0.2)


def _glyph(char: str) -> str:
    return {" ": "·", "\n": "↵"}.get(char, char)


# The writer

MEMORY, REREAD = 64, 32  # characters read with one memory, and how many are read again with a fresh one
LINES, WIDE, BARS = 15, 62, 12  # lines of text and their length, bars of the next characters
FIRST, MOST = 200, 800  # characters written at once, and before it stops


def writer(
    read: Callable, fresh: Callable, chances: Callable, chars: Sequence[str], start: str = "HAMLET.\n"
) -> Widget:
    """What do temperature, top-k and top-p do to a text? Play goes on writing, a character a step.

    Args:
        read: read(ids, memory) -> logits (V,) of the character behind them; memory keeps keys and values.
        fresh: fresh() -> an empty memory.
        chances: chances(logits, temperature, top_k, top_p) -> probabilities (V,).
        chars: the V characters, in the order of the logits.
    """
    chars = list(chars)
    ids = {char: index for index, char in enumerate(chars)}
    state = SimpleNamespace(read=read, fresh=fresh, chances=chances, chars=chars, ids=ids)
    controls = [
        text("start", "Beginning", start.replace("\n", "\\n"), on_change=_begin),
        slider("temperature", "temperature", 0.1, 2.0, 0.8, 0.1),
        slider("top_k", "top-k (likeliest kept)", 1, len(chars), len(chars)),
        slider("top_p", "top-p (share kept)", 0.05, 1.0, 1.0, 0.05),
    ]
    for control in controls:
        setattr(state, control.name, control.value)
    _begin(state)
    return Widget(state, _draw_writer, controls, step=_write, reset=_begin, describe=_describe_writer, fps=20)


def _begin(state) -> None:
    """Read the beginning and write a little; the dice start anew."""
    typed = str(state.start).replace("\\n", "\n")
    state.written = [state.ids[c] for c in typed if c in state.ids][-MEMORY:] or [0]
    state.given, state.dice = len(state.written), np.random.default_rng(0)
    _reread(state, MEMORY)
    for _ in range(FIRST):
        _write(state)


def _reread(state, how_many: int) -> None:
    state.memory, recent = state.fresh(), state.written[-how_many:]
    state.logits, state.held = np.asarray(state.read(recent, state.memory), float), len(recent)


def _now(state) -> NDArray:
    return np.asarray(state.chances(state.logits, state.temperature, state.top_k, state.top_p), float)


def _write(state) -> None:
    """Throw the dice, write the character, and read it."""
    if len(state.written) - state.given >= MOST:
        raise StopIteration
    p = _now(state)
    state.written.append(int(state.dice.choice(len(p), p=p / p.sum())))
    if state.held >= MEMORY:
        _reread(state, REREAD)
    else:
        state.logits = np.asarray(state.read(state.written[-1:], state.memory), float)
        state.held += 1


def _describe_writer(state) -> str:
    p = _now(state)
    best = int(p.argmax())
    entropy = float(-(p[p > 0] * np.log(p[p > 0])).sum())
    return (
        f"{len(state.written) - state.given} characters written. Next: {_shown(state.chars[best])} with"
        f" {p[best]:.0%}; {int((p > 0).sum())} of {len(p)} possible, entropy {entropy + 0.0:.2f} nats."
    )


def _draw_writer(state) -> Picture:
    picture = Picture(800, 352)
    picture.text(8, 20, "The text", bold=True)
    picture.rect(6, 30, 500, 314, opacity=0.4)
    whole = "".join(state.chars[i] for i in state.written)
    for row, line in enumerate(_wrapped(whole)[-LINES:]):
        picture.text(14, 48 + 20 * row, line, 14)
    p = _now(state)
    raw = np.asarray(state.chances(state.logits, 1.0, len(p), 1.0), float)
    picture.text(530, 20, "The next character", bold=True)
    picture.text(530, 40, "grey: the model, blue: the dice", 13)
    for row, index in enumerate(np.argsort(-raw, kind="stable")[:BARS]):
        y = 52 + 24 * row
        picture.text(552, y + 10, _glyph(state.chars[index]), 14, "end", "middle", bold=True)
        picture.rect(560, y + 11, 1 + 180 * raw[index], 7, fill=GREY, stroke=GREY)
        picture.rect(560, y + 2, 180 * p[index], 8, fill=BLUE, stroke=BLUE if p[index] else "none")
        picture.text(566 + 180 * max(raw[index], p[index]), y + 10, f"{p[index]:.0%}", 12, valign="middle")
    return picture


def _wrapped(whole: str) -> list[str]:
    lines = []
    for line in whole.split("\n"):
        while len(line) > WIDE:
            cut = line.rfind(" ", 1, WIDE) + 1 or WIDE
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return lines


# Static figures


def blocks() -> Picture:
    """The layer of 2017 and the one of today, from the bottom up."""
    picture = Picture(
        760,
        404,
        alt="""Two layers, read upwards. Left, post-norm: a norm sits on the main line after each sum. Right,
        pre-norm: the main line has sums only, and each norm stands in front of its sublayer.""",
    )
    for x, title, pre in ((150, "Post-norm (2017)", False), (530, "Pre-norm", True)):
        picture.text(x - 120, 20, title, 15, bold=True)
        picture.arrow(x, 392, x, 40, BLUE, 4)
        picture.text(x - 10, 388, "x", 14, "end", bold=True)
        for base, name in ((372, "attention"), (204, "two linear maps")):
            _sublayer(picture, x, base, name, pre)
    return picture


def _sublayer(picture: Picture, x: float, base: float, name: str, pre: bool) -> None:
    side, plus = x + 120, base - (130 if pre else 92)
    picture.line([x, side, side], [base - 8, base - 8, base - (20 if pre else 30)], GREY)
    if pre:
        _box(picture, side, base - 36, "norm", GREEN)
        picture.line([side, side], [base - 52, base - 66], GREY)
    middle = base - (82 if pre else 46)
    _box(picture, side, middle, name, ORANGE)
    picture.line([side, side], [middle - 16, plus], GREY).arrow(side, plus, x + 13, plus, GREY)
    picture.circle(x, plus, 12, fill="#ffffff", stroke=INK, width=2)
    picture.text(x, plus, "+", 18, "middle", "middle", color=INK, bold=True)
    if not pre:
        _box(picture, x, base - 134, "norm", GREEN)


def _box(picture: Picture, x: float, y: float, words: str, color: str) -> None:
    wide = 144 if len(words) > 5 else 70
    picture.rect(x - wide / 2, y - 16, wide, 32, fill="#ffffff", stroke=color, width=2, radius=6)
    picture.text(x, y, words, 14, "middle", "middle", color=INK, bold=True)


def plot_scale(widths: Sequence[int], scores: dict[str, tuple[list[float], list[float]]]) -> plt.Figure:
    """What `sharpness` found for each kind of score: the largest weight and the slope against d."""
    fig, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    for column, ax in enumerate(axes):
        for (name, curves), style in zip(scores.items(), ("o-", "s--"), strict=True):
            ax.plot(widths, curves[column], style, label=name)
        ax.set(xscale="log", xlabel="features d of query and key", xticks=widths, xticklabels=widths)
        ax.minorticks_off()
    axes[0].set(title="The winner takes all", ylabel="largest of 16 weights", ylim=(0, 1.02))
    axes[1].set(title="Then nothing is left to learn from", ylabel="slope of the softmax", ylim=(0, None))
    axes[0].legend(loc="center right")
    return fig


def plot_positions(codes: NDArray, scores: dict[int, NDArray]) -> plt.Figure:
    """The sinusoidal codes (T, E) as a picture; rotary scores against the distance, from several places."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4))
    shown = left.imshow(codes, DIVERGING, vmin=-1, vmax=1, aspect="auto", origin="lower")
    left.set(title="Sinusoidal: a row for each position", xlabel="feature", ylabel="position")
    fig.colorbar(shown, ax=left, label="code")
    styles = (("-", 5, "#9ccbee"), ("--", 2.4, ORANGE), (":", 2.4, INK))
    for (place, curve), (line, width, color) in zip(scores.items(), styles, strict=False):
        right.plot(range(len(curve)), curve, line, linewidth=width, color=color, label=f"query at {place}")
    right.set(title="Rotary: only the distance counts", xlabel="distance, query − key", ylabel="score q · k")
    low, high = np.min(list(scores.values())), np.max(list(scores.values()))
    right.set_ylim(low - 0.1 * (high - low), high + 0.55 * (high - low))  # room for the legend
    right.legend(loc="upper left")
    return fig


def plot_norms(runs: dict[str, list[list[float]]], chance: float) -> plt.Figure:
    """The loss of each step of each run: name -> runs."""
    fig, ax = plt.subplots(figsize=(7.2, 3.3))
    for (name, curves), color in zip(runs.items(), (ORANGE, BLUE), strict=True):
        for index, curve in enumerate(curves):
            smooth = np.convolve(curve, np.ones(5) / 5, "valid")
            ax.plot(5 + np.arange(len(smooth)), smooth, color=color, label=name if index == 0 else "_")
    ax.axhline(chance, color=GREY, linestyle="--", linewidth=1)
    ax.text(2, chance - 0.05, "guessing", va="top", color=GREY)
    ax.set(title="Ten layers: only where the norm stands differs", xlabel="step", ylabel="loss (nats)")
    ax.set(ylim=(0, 3.2))
    ax.legend(loc="lower left")
    return fig


def plot_race(
    recall: dict[str, list[list[tuple]]], names: dict[str, list[list[tuple]]], bag: float
) -> plt.Figure:
    """Two tasks, each with runs of (seconds, result) for each model."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.5))
    for ax, results in ((left, recall), (right, names)):
        for (name, runs), color, line in zip(results.items(), (BLUE, ORANGE), ("-", "--"), strict=True):
            for index, run in enumerate(runs):
                seconds, values = np.transpose(run)
                ax.plot(seconds, values, line, color=color, label=name if index == 0 else "_")
        ax.set(xlabel="processor time (s)", xlim=(0, None))
    left.axhline(bag, color=RED, linewidth=1)
    left.text(
        *(1.0, bag + 0.02, "knows the numbers, not whose"),
        ha="right",
        fontsize=9,
        color=RED,
        transform=left.get_yaxis_transform(),
    )
    left.set(title="The phone book: attention wins", ylabel="share of right answers", ylim=(0, 1.03))
    right.set(title="Names: the GRU wins", ylabel="held-out loss (nats a letter)", ylim=(1.9, 2.9))
    left.legend(loc="center right")
    right.legend(loc="upper right")
    return fig


def plot_cost(lengths: Sequence[int], full: Sequence[float], step: Sequence[float]) -> plt.Figure:
    """Milliseconds for the next character, with and without a memory, against the length so far."""
    fig, ax = plt.subplots(figsize=(7, 3.2))
    ax.loglog(lengths, full, "o-", color=ORANGE, label="everything anew")
    ax.loglog(lengths, step, "s--", color=BLUE, label="with a memory")
    ax.set(title="What the next character costs", xlabel="characters so far", ylabel="time (ms)")
    rough = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]
    shown = [tick for tick in rough if 0.7 * min(step) < tick < 1.4 * max(full)]
    ax.set(xticks=lengths, xticklabels=lengths, yticks=shown, yticklabels=shown)
    ax.minorticks_off()
    ax.legend()
    return fig
