"""The controls of a `Widget`: each has a name in the state, a visible label and a value to go back to."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets

from .picture import nice_step

LABEL = {"description_width": "initial"}
ROOM = "2px 16px 2px 2px"  # between a control and the next


@dataclass
class Control:
    """A control that sets `state.<name>`, or a button (`name` is None) that calls `action(state)`.

    Args:
        box: the ipywidgets control.
        value: what Reset goes back to.
        action: called with the state after a change (value controls) or a click (buttons).
    """

    name: str | None
    box: ipywidgets.DOMWidget
    value: Any = None
    action: Callable | None = None


def slider(
    name: str, label: str, low: float, high: float, value: float, step=None, log: bool = False, on_change=None
) -> Control:
    """A slider from low to high; whole numbers when all its numbers are. `log`: each step multiplies."""
    if not low <= value <= high or low == high:
        raise ValueError(
            f"slider {name!r}: value {value} must lie in low {low} ... high {high}, and low < high."
        )
    style = {"description": label, "style": LABEL, "layout": ipywidgets.Layout(width="330px", margin=ROOM)}
    if log:
        if low <= 0:
            raise ValueError(f"slider {name!r}: low is {low}; a log slider needs low > 0.")
        ends = {"min": math.log10(low), "max": math.log10(high)}
        box = ipywidgets.FloatLogSlider(
            value, **ends, step=step or (ends["max"] - ends["min"]) / 60, readout_format=".2g", **style
        )
    elif all(isinstance(number, int) for number in (low, high, value, step or 1)):
        box = ipywidgets.IntSlider(value, low, high, step or 1, **style)
    else:
        step = step or nice_step((high - low) / 100)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        box = ipywidgets.FloatSlider(
            value, min=low, max=high, step=step, readout_format=f".{digits}f", **style
        )
    return Control(name, box, value, on_change)


def choice(name: str, label: str, options, value, on_change=None) -> Control:
    """One of a list of options, or of {label: value}."""
    style = {"description": label, "style": LABEL, "layout": ipywidgets.Layout(width="auto", margin=ROOM)}
    box = ipywidgets.Dropdown(
        options=options if isinstance(options, dict) else list(options), value=value, **style
    )
    return Control(name, box, value, on_change)


def toggle(name: str, label: str, value: bool = False, on_change=None) -> Control:
    """A box to tick: True or False."""
    box = ipywidgets.Checkbox(
        value, description=label, indent=False, layout=ipywidgets.Layout(width="auto", margin=ROOM)
    )
    return Control(name, box, value, on_change)


def text(name: str, label: str, value: str = "", on_change=None) -> Control:
    """A line of text, taken when Enter is pressed or the field is left."""
    box = ipywidgets.Text(
        value, description=label, continuous_update=False, style=LABEL, layout=ipywidgets.Layout(margin=ROOM)
    )
    return Control(name, box, value, on_change)


def button(label: str, action: Callable) -> Control:
    """A button that calls action(state)."""
    return Control(
        None, ipywidgets.Button(description=label, layout=ipywidgets.Layout(width="auto")), action=action
    )
