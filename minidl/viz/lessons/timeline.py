"""The map of the course: what was found when, and in which notebook you build it."""

from minidl import viz

ROWS = [  # (first year, last year), events; an event is (year, name, notebook or "", level, side of its stem)
    (
        (1940, 1992),
        [
            (1943, "first neuron", "01", 1, "right"),
            (1949, "Hebb’s rule", "02", -1, "right"),
            (1958, "perceptron", "03", 2, "right"),
            (1969, "the wall: XOR", "04", -2, "left"),
            (1982, "Hopfield network", "02", 1, "left"),
            (1986, "backpropagation", "07", -2, "left"),
            (1989, "universal approximation", "09", 2, "left"),
            (1990, "Elman network", "22", -1, "left"),
        ],
    ),
    (
        (1992, 2024),
        [
            (1997, "LSTM", "23", 1, "right"),
            (1998, "LeNet-5", "18", -1, "right"),
            (2006, "deep belief nets", "", 2, "right"),
            (2007, "CUDA", "19", -1, "right"),
            (2012, "AlexNet", "", -2, "left"),
            (2014, "attention", "24", 1, "left"),
            (2015, "ResNet", "", -1, "right"),
            (2017, "transformer", "25", 1, "right"),
            (2020, "GPT-3, DDPM", "", -2, "left"),
        ],
    ),
]
WIDTH, ROW, LEVEL = 680, 170, 27  # pixels


def draw() -> viz.Picture:
    """Two lines of time, 1940 to 1992 and 1992 to 2024; what a notebook builds is blue, with its number."""
    events = [event for _, row in ROWS for event in row]
    built = ", ".join(f"{year} {name} ({notebook})" for year, name, notebook, *_ in events if notebook)
    later = ", ".join(f"{year} {name}" for year, name, notebook, *_ in events if not notebook)
    alt = f"Two timelines, 1940 to 1992 and 1992 to 2024. Built in a notebook: {built}. To come: {later}."
    picture = viz.Picture(WIDTH, 2 * ROW, alt=alt)
    for row, (years, events) in enumerate(ROWS):
        _draw_row(picture, ROW * row + ROW / 2, years, events)
    return picture


def _draw_row(picture: viz.Picture, middle: float, years: tuple[int, int], events: list) -> None:
    def at(year: int) -> float:
        return 10 + (year - years[0]) / (years[1] - years[0]) * (WIDTH - 20)

    picture.line([10, WIDTH - 10], [middle, middle], color=viz.GREY, width=4)
    for year, name, notebook, level, side in events:
        x, y = at(year), middle - LEVEL * level
        color = viz.BLUE if notebook else viz.GREY
        picture.line([x, x], [middle, y + (-8 if level > 0 else 8)], color=color, width=1.5)
        picture.circle(x, middle, 5, fill=color)
        x, anchor = (x + 5, "start") if side == "right" else (x - 5, "end")
        text = f"{year} {name}" + (f" ({notebook})" if notebook else "")
        picture.text(x, y, text, size=13, anchor=anchor, valign="middle")
