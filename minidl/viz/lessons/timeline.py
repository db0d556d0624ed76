"""The map of the course: what was found when, and in which part you build it."""

from minidl import viz

ROWS = [  # (first year, last year), events; an event is (year, name, level, side of its stem)
    (
        (1940, 1992),
        [
            (1943, "first neuron", 1, "right"),
            (1949, "Hebb’s rule", -1, "right"),
            (1958, "perceptron", 1, "right"),
            (1969, "the wall: XOR", -1, "right"),
            (1982, "Hopfield network", 1, "left"),
            (1986, "backpropagation", -2, "left"),
            (1989, "universal approximation", 2, "left"),
        ],
    ),
    (
        (1992, 2024),
        [
            (1997, "LSTM", 1, "right"),
            (1998, "LeNet-5", -1, "right"),
            (2006, "deep belief nets", 2, "right"),
            (2012, "AlexNet", 1, "right"),
            (2015, "ResNet", -1, "right"),
            (2017, "transformer", 2, "right"),
            (2020, "GPT-3, DDPM", -2, "left"),
        ],
    ),
]
WIDTH, ROW, LEVEL = 680, 170, 27  # pixels
HERE = 1989  # notebooks 01 to 09 reach this far


def draw() -> viz.Picture:
    """Two lines of time, 1940 to 1992 and 1992 to 2024; what notebooks 01 to 09 build is in blue."""
    alt = (
        "Two timelines: from the first neuron in 1943 to universal approximation in 1989, built in notebooks "
    )
    alt += "01 to 09, and from the LSTM in 1997 to GPT-3 and diffusion (DDPM) in 2020, built in later parts."
    picture = viz.Picture(WIDTH, 2 * ROW, alt=alt)
    for row, (years, events) in enumerate(ROWS):
        _draw_row(picture, ROW * row + ROW / 2, years, events)
    return picture


def _draw_row(picture: viz.Picture, middle: float, years: tuple[int, int], events: list) -> None:
    def at(year: int) -> float:
        return 10 + (year - years[0]) / (years[1] - years[0]) * (WIDTH - 20)

    built = years[0] < HERE
    color = viz.BLUE if built else viz.GREY
    picture.line([10, WIDTH - 10], [middle, middle], color=color, width=4)
    for year, name, level, side in events:
        x, y = at(year), middle - LEVEL * level
        picture.line([x, x], [middle, y + (-8 if level > 0 else 8)], color=color, width=1.5)
        picture.circle(x, middle, 5, fill=color)
        x, anchor = (x + 5, "start") if side == "right" else (x - 5, "end")
        picture.text(x, y, f"{year} {name}", size=13, anchor=anchor, valign="middle")
    label = "notebooks 01 to 09" if built else "the parts after them"
    picture.text(10, middle + 2 * LEVEL, label, size=13, color=color, bold=True, valign="middle")
