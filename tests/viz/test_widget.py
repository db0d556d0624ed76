"""Widgets: callbacks set values, one worker draws the newest state, nothing is left behind."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from minidl import viz


def draw(state):
    return viz.Picture(80, 40).text(5, 20, f"n = {state.n}")


def count(state):
    state.n += 1


def describe(state):
    return f"{state.n} steps at rate {state.lr:.2f}"


@pytest.fixture
def make():
    """A factory of widgets that are closed after the test; no worker thread may outlive it."""
    widgets = []

    def factory(draw=draw, controls=None, **options):
        controls = [viz.slider("lr", "learning rate", 0.0, 1.0, 0.1)] if controls is None else controls
        options = {"step": count, "describe": describe} | options
        widgets.append(viz.Widget(SimpleNamespace(n=0), draw, controls, **options))
        return widgets[-1]

    yield factory
    for widget in widgets:
        widget.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "minidl-widget"]


def test_a_control_sets_the_state_and_the_picture(make):
    widget = make(lambda s: viz.Picture(80, 40).text(5, 20, f"{s.lr:.2f}"))
    assert widget.state.lr == 0.1 and "0.10" in widget.svg
    widget.controls["lr"].value = 0.5
    widget.wait()
    assert widget.state.lr == 0.5 and "0.50" in widget.svg and "rate 0.50" in widget._status.value


def test_fifty_quick_changes_end_at_the_newest_and_draw_few(make):
    drawn = []
    widget = make(lambda s: drawn.append(s.lr) or viz.Picture(80, 40).text(5, 20, f"{s.lr:.2f}"))
    for i in range(50):
        widget.controls["lr"].value = i / 50
    widget.wait()
    assert widget.state.lr == pytest.approx(0.98) and "0.98" in widget.svg and drawn[-1] == widget.state.lr
    assert len(drawn) < 25


def test_control_set_from_several_threads(make):
    widget = make()

    def wiggle(seed):
        for i in range(50):
            widget.controls["lr"].value = ((seed + 7 * i) % 100) / 100

    threads = [threading.Thread(target=wiggle, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    widget.wait()
    assert widget.state.lr == widget.controls["lr"].value and widget.error is None
    assert f"rate {widget.state.lr:.2f}" in widget._status.value


def test_all_kinds_of_controls(make):
    controls = [
        viz.slider("units", "units", 1, 8, 3),
        viz.slider("lr", "rate", 0.001, 1, 0.1, log=True),
        viz.choice("kind", "kind", {"rectifier": "relu", "hyperbolic": "tanh"}, "relu"),
        viz.toggle("noise", "noise", True),
        viz.text("word", "word", "abc"),
        viz.button("Hundred", lambda s: setattr(s, "n", 100)),
    ]
    widget = make(controls=controls)
    state = widget.state
    assert (state.units, state.kind, state.noise, state.word) == (3, "relu", True, "abc")
    assert isinstance(state.units, int) and state.lr == pytest.approx(0.1)
    widget.controls["kind"].value = "tanh"
    widget.controls["Hundred"].click()
    widget.wait()
    assert (state.kind, state.n) == ("tanh", 100)
    assert all(box.description for box in widget.controls.values())


def test_on_change_runs_on_the_worker_for_the_newest_value(make):
    seen = []
    note = [
        viz.slider(
            "lr", "rate", 0.0, 1.0, 0.1, on_change=lambda s: seen.append((s.lr, threading.current_thread()))
        )
    ]
    widget = make(controls=note)
    for value in (0.2, 0.3, 0.4):
        widget.controls["lr"].value = value
    widget.wait()
    assert seen[-1][0] == 0.4 and {thread.name for _, thread in seen} == {"minidl-widget"}


def test_step_and_reset_restore_state_and_controls(make):
    widget = make()
    widget.controls["lr"].value = 0.7
    widget.step(5)
    assert widget.state.n == 5 and "5 steps at rate 0.70" in widget._status.value
    widget.reset()
    assert (widget.state.n, widget.state.lr, widget.controls["lr"].value) == (0, 0.1, 0.1)
    assert "n = 0" in widget.svg


def test_reset_copies_deeply_and_again(make):
    widget = viz.Widget(SimpleNamespace(n=0, lr=0, losses=[]), draw, step=lambda s: s.losses.append(1))
    for _ in range(2):
        widget.step(3)
        assert len(widget.state.losses) == 3
        widget.reset()
        assert widget.state.losses == []
    widget.close()


def test_a_given_reset_sees_the_controls_gone_back_and_no_action_runs(make):
    seen = []
    rate = viz.slider("lr", "rate", 0.0, 1.0, 0.1, on_change=lambda s: seen.append("action"))
    widget = make(controls=[rate], reset=lambda s: (seen.append(s.lr), setattr(s, "n", -1)))
    widget.controls["lr"].value = 0.9
    widget.wait()
    seen.clear()
    widget.reset()
    assert seen == [0.1] and widget.state.n == -1


def test_play_and_pause(make):
    widget = make(fps=100)
    widget.play()
    assert widget.playing and widget.controls["Play"].description == "Pause"
    deadline = time.monotonic() + 5
    while widget.state.n < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    widget.pause()
    widget.wait()
    n = widget.state.n
    time.sleep(0.05)
    assert (
        n >= 5 and widget.state.n == n and f"n = {n}" in widget.svg and f"{n} steps" in widget._status.value
    )
    assert not widget.playing and widget.controls["Play"].description == "Play"


def test_two_widgets_play_at_once_and_never_step_together(make):
    inside, together = [], []

    def careful(state):
        inside.append(state)
        together.append(len(inside))
        time.sleep(0.001)
        inside.pop()
        state.n += 1

    one, two = make(step=careful, fps=100), make(step=careful, fps=100)
    one.play(), two.play()
    deadline = time.monotonic() + 5
    while min(one.state.n, two.state.n) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    one.pause(), two.pause()
    one.wait(), two.wait()
    assert min(one.state.n, two.state.n) >= 10 and set(together) == {1}


def test_control_changes_during_play_take_effect(make):
    widget = make(step=lambda s: setattr(s, "n", s.lr), fps=100)
    widget.play()
    widget.controls["lr"].value = 0.6
    time.sleep(0.1)
    widget.pause()
    widget.wait()
    assert widget.state.n == 0.6


def test_pause_and_reset_work_in_the_middle_of_a_long_frame(make):
    widget = make(step=lambda s: (time.sleep(0.002), count(s)), steps_per_frame=100_000, fps=4)
    widget.play()
    time.sleep(0.05)
    start = time.monotonic()
    widget.reset()
    assert time.monotonic() - start < 2.5 and widget.state.n == 0 and not widget.playing


def test_steps_per_frame_may_be_a_control(make):
    widget = make(
        controls=[
            viz.slider("steps_per_frame", "steps a frame", 1, 50, 50),
            viz.slider("lr", "r", 0.0, 1.0, 0.0),
        ]
    )
    widget.play()
    time.sleep(0.02)
    widget.pause()
    widget.wait()
    assert widget.state.n >= 50


def test_stop_iteration_ends_play(make):
    def three(state):
        if state.n == 3:
            raise StopIteration
        state.n += 1

    widget = make(step=three, fps=200)
    widget.play()
    widget.wait(5)
    assert widget.state.n == 3 and not widget.playing and widget.error is None


@pytest.mark.parametrize("place", ["step", "draw", "action"])
def test_an_exception_stops_play_is_shown_and_goes_with_the_next_good_frame(make, place):
    def fail_at(state, here):
        if place == here and state.n >= 2:
            raise ValueError("<n> reached 2")

    def step(state):
        fail_at(state, "step")
        state.n += 1

    def watchful(state):
        fail_at(state, "draw")
        return draw(state)

    bad = viz.slider("lr", "rate", 0.0, 1.0, 0.1, on_change=lambda s: fail_at(s, "action"))
    widget = make(watchful, [bad], step=step, fps=200)
    widget.play()
    if place == "action":
        while widget.state.n < 2:
            time.sleep(0.005)
        widget.controls["lr"].value = 0.3
    widget.wait(5)
    assert isinstance(widget.error, ValueError) and not widget.playing
    assert 'role="alert"' in widget._status.value and "&lt;n&gt; reached 2" in widget._status.value
    widget.reset()
    assert widget.error is None and 'role="status"' in widget._status.value


def test_the_first_picture_raises_where_the_widget_is_made():
    with pytest.raises(TypeError, match=r"must return a viz\.Picture"):
        viz.Widget(SimpleNamespace(), lambda state: "text")


def test_pointer_events_arrive_in_order(make):
    widget = make(
        on_pointer=lambda s, kind, x, y: setattr(s, "trail", [*getattr(s, "trail", []), (kind, x, y)])
    )
    events = [["down", 1, 2], ["move", 3, 4], ["move", 5.5, 6], ["up", 5.5, 6]]
    widget._view._receive(widget._view, {"events": events}, [])
    widget.wait()
    assert widget.state.trail == [(kind, float(x), float(y)) for kind, x, y in events]


def test_the_stored_output_is_the_first_picture_and_a_fixed_sentence(make):
    widget, same = make(), make()
    widget.step(3)
    data, size = widget._repr_mimebundle_()
    stored = {key: value for key, value in data.items() if "widget-view" not in key}
    assert stored["text/plain"] == "[interactive] 0 steps at rate 0.10"
    assert set(stored) == {"text/plain", "image/png"} and size["image/png"] == {"width": 80, "height": 40}
    assert stored["image/png"] == same._repr_mimebundle_()[0]["image/png"]


def test_close_ends_play_and_ignores_what_comes_later(make):
    widget = make(fps=100)
    widget.play()
    widget.close()
    n = widget.state.n
    widget.controls["lr"].value = 0.9
    time.sleep(0.05)
    assert not widget._worker.is_alive() and widget.state.n == n


def test_running_a_cell_again_pauses_its_earlier_widget(make, monkeypatch):
    run = iter([("cell", 1), ("other", 2), ("cell", 3)])
    monkeypatch.setattr("minidl.viz.widget._running_cell", lambda: next(run))
    first, other = make(), make()
    first.play(), other.play()
    make()
    assert not first.playing and other.playing


def test_leaving_while_a_widget_plays():
    code = """if True:
        from types import SimpleNamespace
        from minidl import viz
        def count(state): state.n += 1
        widget = viz.Widget(SimpleNamespace(n=0), lambda s: viz.Picture(9, 9), step=count)
        widget.play()"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_wait_says_when_play_goes_on(make):
    widget = make()
    widget.play()
    with pytest.raises(TimeoutError, match="playing"):
        widget.wait(0.1)


def test_an_action_may_use_the_widget(make):
    """step, reset and wait called on the worker itself must not wait for the worker."""
    widget = make(
        controls=[viz.slider("lr", "r", 0.0, 1.0, 0.1), viz.button("Twice", lambda s: widget.step(2))]
    )
    widget.controls["Twice"].click()
    widget.wait(5)
    assert widget.state.n == 2 and widget.error is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: viz.slider("a", "a", 0, 1, 3), "value 3 must lie in"),
        (lambda: viz.slider("a", "a", 0, 1, 0.5, log=True), "low > 0"),
        (lambda: viz.Widget(SimpleNamespace(n=0), draw).play(), "no step"),
        (lambda: viz.Widget(SimpleNamespace(n=0, lock=threading.Lock()), draw), "reset="),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
