"""Graphs: a captured step does nothing, a replay does all of it, on the memory that it owns."""

from types import SimpleNamespace

import numpy as np
import pytest

from minidl.kernels.cuda import driver, graphs, memory
from minidl.kernels.cuda.array import asarray, empty, zeros
from minidl.kernels.cuda.driver import cuda, kernel
from minidl.kernels.cuda.instructions import load, store


@kernel
def added(x, y, out, n):
    i = cuda.grid(1)
    if i < n:
        store(out, i, load(x, i) + load(y, i))


def add(x, y, out=None):
    out = empty(x.shape, x.dtype) if out is None else out
    added[1, 32](x, y, out, x.size)
    return out


def numbers(*values):
    return asarray(np.array(values, np.float32))


def test_a_capture_runs_nothing_and_each_replay_all():
    x, total = numbers(1, 2), zeros(2, np.float32)
    with graphs.capture() as graph:
        add(total, add(x, x), out=total)
    assert len(graph) == 2
    assert (total.get() == 0).all()
    for k in range(1, 4):
        graph.replay()
        np.testing.assert_array_equal(total.get(), [2 * k, 4 * k])


def test_new_input_is_written_into_the_array_of_the_step():
    x = numbers(1, 2)
    with graphs.capture() as graph:
        y = add(x, x)
    for values in ([5, 6], [7, 8]):
        memory.copy_to_device(np.array(values, np.float32), x.memory)
        graph.replay()
        np.testing.assert_array_equal(y.get(), 2 * np.array(values))


def test_copies_and_zeros_are_nodes():
    x, y, z = numbers(1, 2), numbers(3, 4), numbers(5, 6)
    with graphs.capture() as graph:
        memory.copy_on_device(x.memory, y.memory, 8)
        memory.fill_zero(z.memory)
    assert len(graph) == 2
    np.testing.assert_array_equal(y.get(), [3, 4])
    graph.replay()
    np.testing.assert_array_equal(y.get(), [1, 2])
    np.testing.assert_array_equal(z.get(), [0, 0])


def test_memory_of_the_capture_belongs_to_the_graph():
    x = numbers(1, 2)
    with graphs.capture() as graph:
        y = add(add(add(x, x), x), x)  # two arrays in between, freed at once
    others = [zeros(2, np.float32) for _ in range(20)]
    graph.replay()
    np.testing.assert_array_equal(y.get(), [4, 8])
    assert all((o.get() == 0).all() for o in others)


def test_freed_memory_is_used_again_within_a_capture():
    x = numbers(1, 2)
    with graphs.capture() as graph:
        y = x
        for _ in range(20):
            y = add(y, x)
    assert graph._pool.statistics().held <= 3 * memory.ALIGNMENT
    graph.replay()
    np.testing.assert_array_equal(y.get(), [21, 42])


def test_memory_returns_with_the_graph():
    x = numbers(1, 2)
    with graphs.capture() as graph:
        y = add(x, x)
    pool = graph._pool
    del graph, y
    pool.release()
    assert pool.statistics()[:2] == (0, 0)


def test_inputs_live_as_long_as_the_graph():
    x, y = numbers(1, 2), empty(2, np.float32)
    with graphs.capture() as graph:
        add(x, x, out=y)
    address = x.memory.pointer
    del x
    assert zeros(2, np.float32).memory.pointer != address
    graph.replay()
    np.testing.assert_array_equal(y.get(), [2, 4])


def test_an_array_that_the_step_replaces_is_found():
    state = SimpleNamespace(value=numbers(1, 2))

    def step():
        state.value = add(state.value, state.value)

    with pytest.raises(RuntimeError, match=r"used 1 arrays \(8 bytes\) that it then replaced.*in place"):
        graphs.graph_of(step)


def test_a_step_that_has_state_runs_before():
    state, total = {}, zeros(2, np.float32)

    def step():
        if "ones" not in state:
            state["ones"] = numbers(1, 1)
        add(total, state["ones"], out=total)

    graph = graphs.graph_of(step)
    np.testing.assert_array_equal(total.get(), [2, 2])
    graph.replay()
    np.testing.assert_array_equal(total.get(), [3, 3])


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda x: x.get(), "copy_to_host"),
        (lambda x: numbers(1), "copy_to_device"),
        (lambda x: driver.synchronize(), "synchronize"),
        (lambda x: driver.Event(), "Event"),
        (lambda x: graphs.capture().__enter__(), "capture"),
    ],
)
def test_what_a_replay_could_not_repeat_is_refused(work, name):
    x = numbers(1, 2)
    with pytest.raises(RuntimeError, match=f"{name}: not while a graph is captured"), graphs.capture():
        add(x, x)
        work(x)
    assert driver.capture is None
    np.testing.assert_array_equal(add(x, x).get(), [2, 4])


def test_after_an_error_in_the_step_all_is_as_before():
    before = memory.pool()
    with pytest.raises(ZeroDivisionError), graphs.capture():
        1 / 0  # noqa: B018
    assert driver.capture is None
    assert memory.pool() is before


@pytest.mark.skipif(driver.available(), reason="there is a GPU")
def test_a_graph_of_the_simulator_stays_there(monkeypatch):
    x = numbers(1, 2)
    with graphs.capture() as graph:
        y = add(x, x)
    monkeypatch.setattr(driver, "simulating", lambda: False)
    with pytest.raises(RuntimeError, match="captured in the simulator"):
        graph.replay()
    assert y.size


def test_calls_of_the_driver(monkeypatch):
    """On a GPU: begin, end, instantiate, launch, destroy."""
    calls = []
    results = {
        "cuStreamEndCapture": "graph",
        "cuGraphGetNodes": (["a", "b"], 2),
        "cuGraphInstantiate": "executable",
    }
    monkeypatch.setattr(driver, "simulating", lambda: False)
    monkeypatch.setattr(driver, "call", lambda name, *args: calls.append((name, *args)) or results.get(name))
    monkeypatch.setattr(driver, "current", lambda: SimpleNamespace(stream="stream"))
    mode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_RELAXED="relaxed")
    monkeypatch.setattr(driver, "bindings", lambda: SimpleNamespace(CUstreamCaptureMode=mode))
    with graphs.capture() as graph:
        pass
    assert len(graph) == 2
    graph.replay()
    del graph
    assert calls == [
        ("cuStreamBeginCapture", "stream", "relaxed"),
        ("cuStreamEndCapture", "stream"),
        ("cuGraphGetNodes", "graph", 0),
        ("cuGraphInstantiate", "graph", 0),
        ("cuGraphDestroy", "graph"),
        ("cuGraphLaunch", "executable", "stream"),
        ("cuStreamSynchronize", "stream"),
        ("cuGraphExecDestroy", "executable"),
    ]
