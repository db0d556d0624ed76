"""A picture that tells where it is pressed: mouse, pen and touch, or the keyboard."""

from pathlib import Path

import anywidget
import traitlets


class PointerView(anywidget.AnyWidget):
    """An SVG string in the page; calls on_event(kind, x, y) with kind "down", "move" or "up".

    x and y are pixels of the picture, also when the page is zoomed. The keyboard: Tab to the picture, arrow
    keys move a cross (with Shift: by single pixels), the space bar or Enter presses.
    """

    _esm = Path(__file__).with_name("pointer.js")
    value = traitlets.Unicode().tag(sync=True)

    def __init__(self, on_event, **traits):
        super().__init__(**traits)
        self._on_event = on_event
        self.on_msg(self._receive)

    def _receive(self, _, content, buffers) -> None:
        for kind, x, y in content["events"]:
            self._on_event(kind, float(x), float(y))
