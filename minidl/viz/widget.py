"""Interactive pictures: controls change a state, one worker thread steps it and draws it.

Notebooks run widget callbacks on whatever thread they like, at the same time as cells. So callbacks here
only set values and leave jobs; one thread a widget does the work, under one lock for all widgets (two threads
inside parallel code can abort the process); it draws the newest state only, and ends when nothing is to do.
"""

import atexit
import base64
import copy
import threading
import time
import weakref
from collections.abc import Callable
from html import escape

import ipywidgets
from IPython import get_ipython

from .controls import Control
from .picture import Picture

ENGINE_LOCK = threading.RLock()
QUICK = 30  # frames a second that the controls may ask for
STATUS_SECONDS = 0.25  # how often the status line changes during play
_alive: weakref.WeakSet = weakref.WeakSet()


class Widget(ipywidgets.VBox):
    """A picture of a state, with controls under it.

    Args:
        state: anything with attributes; `types.SimpleNamespace(lr=0.1, ...)`.
        draw: draw(state) -> Picture; a few milliseconds.
        controls: from `viz.slider`, `choice`, `toggle`, `text`, `button`; value controls set `state.<name>`.
        step: step(state) trains once; brings Play, Step. Raise StopIteration when nothing is left to do.
        reset: reset(state) starts anew, after the controls have gone back; without it, Reset restores a deep
            copy of the first state.
        describe: describe(state) -> one sentence: the status line, and the text of the stored output.
        on_pointer: on_pointer(state, kind, x, y); kind is "down", "move" (pressed) or "up", x, y are pixels.
        fps: frames a second of Play at the most.
        steps_per_frame: steps between two frames of Play, fewer when they take longer than a frame.
            A control named "steps_per_frame" takes its place.
    """

    _closed = True  # until it is made

    def __init__(
        self,
        state,
        draw: Callable,
        controls=(),
        *,
        step: Callable | None = None,
        reset: Callable | None = None,
        describe: Callable | None = None,
        on_pointer: Callable | None = None,
        fps: float = 30,
        steps_per_frame: int = 1,
    ):
        self.state, self._draw, self._step, self._describe = state, draw, step, describe
        self._on_pointer, self._fps, self._steps_per_frame = on_pointer, fps, steps_per_frame
        self._controls: list[Control] = list(controls)
        self._mutex = threading.Lock()  # for _jobs, _dirty, _running, _closed; not held in user code
        self._jobs: list[tuple[object, Callable]] = []
        self._dirty = self._running = self.playing = False
        self._worker = threading.Thread()
        self._next_frame = self._next_status = 0.0
        self.error: Exception | None = None
        for control in self._controls:
            self._set(control)
        self._restore = (lambda: reset(state)) if reset else _snapshot(state)
        with ENGINE_LOCK:
            picture, text = self._look()
        self._first, self._first_text, self.svg = picture, text, picture.svg()
        super().__init__(self._layout(picture))
        self._say(text)
        self._closed = False
        self._cell, self._run = _running_cell()
        for widget in list(_alive):
            if self._cell and widget._cell == self._cell and widget._run != self._run:
                widget.pause()  # its cell was run again: what nobody sees does not train on
        _alive.add(self)

    # What is on the screen

    def _layout(self, picture: Picture) -> list:
        size = ipywidgets.Layout(
            width=f"{picture.width}px", height=f"{picture.height}px", margin="4px 0", flex="0 0 auto"
        )
        self._view = self._make_view(size)
        self._status = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="28px", margin="0"))
        self._reset_button = _button("Reset", "refresh", "back to the start, controls included")
        self._reset_button.on_click(lambda _: self._post(self._do_reset))
        self._play_button = _button("Play", "play", "start or pause")
        self._play_button.on_click(lambda _: self.pause() if self.playing else self.play())
        self._step_button = _button("Step", "step-forward", "one step")
        self._step_button.on_click(lambda _: self._single_step())
        buttons = [self._play_button, self._step_button] if self._step else []
        buttons += [self._reset_button]
        self.controls = {box.description: box for box in buttons}
        self.controls |= {control.name or control.box.description: control.box for control in self._controls}
        for control in self._controls:
            self._connect(control)
        wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center", max_width="100%")
        values = [control.box for control in self._controls if control.name]
        actions = [control.box for control in self._controls if not control.name]
        rows = [ipywidgets.HBox(buttons + actions, layout=wrap)] + (
            [ipywidgets.HBox(values, layout=wrap)] if values else []
        )
        return [*rows, self._view, self._status]

    def _make_view(self, size):
        if not self._on_pointer:
            return ipywidgets.HTML(self.svg, layout=size)
        from .pointer import PointerView

        return PointerView(self.point, value=self.svg, layout=size)

    def _connect(self, control: Control) -> None:
        if control.name is None:
            control.box.on_click(lambda _: self._post(lambda: control.action(self.state)))
            return

        def changed(_):
            self._set(control)
            self._post((lambda: control.action(self.state)) if control.action else None, key=control)

        control.box.observe(changed, names="value")

    def _set(self, control: Control) -> None:
        if control.name is not None:
            with self._mutex:  # the control's value of this moment, not of the event: the newest always wins
                setattr(self.state, control.name, control.box.value)

    def point(self, kind: str, x: float, y: float) -> None:
        self._post(lambda: self._on_pointer(self.state, kind, x, y))

    def _say(self, text: str, role: str = "status", style: str = "") -> None:
        live = ' aria-live="off"' if self.playing else ""  # read out when it settles, not 25 times a second
        self._status.value = f'<div role="{role}"{live} style="line-height:1.4;{style}">{escape(text)}</div>'

    def _look(self) -> tuple[Picture, str]:
        """The picture of the state and its sentence."""
        picture = self._draw(self.state)
        if not isinstance(picture, Picture):
            raise TypeError(
                f"Widget: draw(state) returned {type(picture).__name__}, it must return a viz.Picture."
            )
        text = str(self._describe(self.state)) if self._describe else picture.alt
        picture.alt = picture.alt or text
        return picture, text

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and what a stored notebook shows beside it: the first state, drawn and told."""
        data = super()._repr_mimebundle_(**kwargs)
        png = base64.b64encode(self._first.png()).decode()
        data |= {"text/plain": f"[interactive] {self._first_text}", "image/png": png}
        return data, {"image/png": {"width": self._first.width, "height": self._first.height}}

    # The worker

    def _post(self, job: Callable | None = None, key: object = None) -> None:
        """Leave a job for the worker and wake it. A job with the key of the one before takes its place."""
        with self._mutex:
            if self._closed:
                return
            if job and key is not None and self._jobs and self._jobs[-1][0] is key:
                self._jobs[-1] = (key, job)
            elif job:
                self._jobs.append((key, job))
            self._dirty = True
            if not self._running:
                self._running = True
                self._worker = threading.Thread(target=self._work, name="minidl-widget", daemon=True)
                self._worker.start()

    def _work(self) -> None:
        while True:
            time.sleep(max(0.001, self._next_frame - time.perf_counter()))
            with self._mutex:
                if self._closed or not (self._dirty or self.playing):
                    self._running = False
                    return
                jobs, self._jobs, self._dirty = self._jobs, [], False
            fps = self._fps if self.playing else max(self._fps, QUICK)  # slow play does not slow the controls
            self._next_frame = time.perf_counter() + 1 / fps
            try:
                self._frame(jobs)
            except Exception as error:
                self._fail(error)

    def _frame(self, jobs) -> None:
        with ENGINE_LOCK:
            for _, job in jobs:
                job()
            if self.playing:
                self._advance(getattr(self.state, "steps_per_frame", self._steps_per_frame), self._next_frame)
            picture, text = self._look()
            self.svg = picture.svg()
        self.error = None
        self._view.value = self.svg
        if not self.playing or time.perf_counter() > self._next_status:
            self._next_status = time.perf_counter() + STATUS_SECONDS
            self._say(text)

    def _advance(self, n: int, deadline: float = float("inf")) -> None:
        """n steps; in play fewer, when the frame's time is over or Pause was pressed."""
        in_play = self.playing
        try:
            for _ in range(n):
                self._step(self.state)
                if in_play and (not self.playing or time.perf_counter() > deadline):
                    break
        except StopIteration:
            self._set_playing(False)

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._set_playing(False)
        self._say(
            f"{type(error).__name__}: {error}",
            "alert",
            "color:var(--jp-error-color1,#c5284c);font-weight:bold",
        )

    def _set_playing(self, playing: bool) -> None:
        self.playing = playing
        self._play_button.description, self._play_button.icon = (
            ("Pause", "pause") if playing else ("Play", "play")
        )

    def _do_reset(self) -> None:
        self._set_playing(False)
        for control in self._controls:
            if control.name is not None:
                control.box.value = control.value
        with self._mutex:  # the controls went back: what their actions would do, the reset does
            self._jobs = [job for job in self._jobs if not isinstance(job[0], Control)]
        self._restore()

    def _single_step(self, n: int = 1) -> None:
        self._set_playing(False)
        self._post(lambda: self._advance(n))

    # For readers and tests

    def play(self) -> None:
        """Step and draw until paused."""
        if self._step is None:
            raise ValueError(
                "Widget.play: this widget has no step(state) function. Give Widget(..., step=...)."
            )
        self._set_playing(True)
        self._post()

    def pause(self) -> None:
        """Stop after the step that runs now."""
        self._set_playing(False)
        self._post()

    def step(self, n: int = 1) -> None:
        """Do n steps, draw, and return when it is done."""
        self._single_step(n)
        self.wait()

    def reset(self) -> None:
        """Go back to the first state and the first values of the controls."""
        self._post(self._do_reset)
        self.wait()

    def wait(self, timeout: float = 10.0) -> None:
        """Return when all that was asked is drawn and the worker thread has ended.

        Raises:
            TimeoutError: after `timeout` seconds; also when Play goes on.
        """
        deadline = time.monotonic() + timeout
        while self._worker is not threading.current_thread():
            worker = self._worker
            if worker.ident is not None:
                worker.join(max(0.0, deadline - time.monotonic()))
                if worker.is_alive():
                    raise TimeoutError(
                        f"Widget.wait: still {'playing' if self.playing else 'busy'} after {timeout} s."
                    )
            if worker is self._worker and not self._running:
                return

    def close(self) -> None:
        """Stop, end the thread, and take the widget off the page."""
        if self._closed:
            return
        with self._mutex:
            self._closed, self.playing = True, False
        self.wait()
        for box in (*self.controls.values(), self._view, self._status):
            box.close()
        super().close()


def _button(label: str, icon: str, tooltip: str) -> ipywidgets.Button:
    return ipywidgets.Button(
        description=label, icon=icon, tooltip=tooltip, layout=ipywidgets.Layout(width="90px")
    )


def _snapshot(state) -> Callable:
    """A function that puts the state back as it is now."""
    try:
        first = copy.deepcopy(vars(state))
    except TypeError as error:
        raise TypeError(
            f"Widget: the state cannot be copied ({error}). Give Widget(..., reset=...)."
        ) from error

    def restore():
        vars(state).clear()
        vars(state).update(copy.deepcopy(first))

    return restore


def _running_cell() -> tuple:
    """(id of the notebook cell, id of this run of it); empty strings where the front-end does not say."""
    message = getattr(get_ipython(), "get_parent", dict)() or {}
    return message.get("metadata", {}).get("cellId", ""), message.get("header", {}).get("msg_id", "")


@atexit.register
def _stop_all() -> None:
    """No worker is inside a kernel when the interpreter goes."""
    for widget in list(_alive):
        widget._closed, widget.playing = True, False
        if widget._worker.ident is not None:
            widget._worker.join(2)
