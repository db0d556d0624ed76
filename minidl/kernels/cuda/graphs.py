"""A training step as one CUDA graph: its hundred launches are written down once and replayed by one call.

    step(), step()                          for real: kernels are compiled, states of the optimizer made
    with capture() as graph: step()         nothing runs; each launch becomes a node
    for batch in batches:
        write(batch, x)                     into the array that the step reads
        graph.replay()                      all nodes, in order, on the same memory

A launch costs the host some microseconds, and a replay about ten, whatever is in it. That counts for small
models, whose kernels run for a few microseconds each.

A replay repeats addresses, not Python. So the graph owns the memory that was allocated during its capture,
and the step must change arrays in place: parameters, states of the optimizer, gradients that are summed up.
Python code of the step runs once, at the capture: a learning rate stays as it was, unless it lies in an
array. The seeds of dropout do, and each replay begins by drawing new ones (dropout.py).
"""

import contextlib
import sys
from collections.abc import Callable, Iterator

from minidl.kernels.cuda import driver, memory

WARM_UP = 2
"""Rounds before a capture: the second finds all that the first one made."""


class Graph:
    """A captured piece of work of the device. `len(graph)` is its number of nodes.

    before_replay: what the host does before each replay, in this order.
    """

    def __init__(self, pool: memory.Pool):
        self._pool = pool
        self.before_replay: list[Callable[[], None]] = []
        self._kept: dict[int, memory.Block] = {}
        self._simulated = driver.simulating()
        self._work: list[Callable] = []
        self._executable = None
        self._length = 0

    def __len__(self) -> int:
        return len(self._work) if self._simulated else self._length

    def keep(self, *blocks: memory.Block) -> None:
        """Hold blocks that were made before the capture; those made within it have their own pool."""
        for block in blocks:
            if block.pool is not self._pool:
                self._kept[id(block)] = block

    def record(self, run: Callable) -> None:
        """Add a node, in the simulator."""
        self._work.append(run)

    def replay(self) -> None:
        """Do all of it again, on the same arrays."""
        driver.refuse_in_capture("replay")
        if self._simulated != driver.simulating():
            raise RuntimeError(
                "replay: the graph was captured in the simulator or on the GPU; this is the other."
            )
        for prepare in self.before_replay:
            prepare()
        if self._simulated:
            for run in self._work:
                run()
        else:
            driver.call("cuGraphLaunch", self._executable, driver.current().stream)

    def _begin(self) -> None:
        if not self._simulated:
            relaxed = driver.bindings().CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
            driver.call("cuStreamBeginCapture", driver.current().stream, relaxed)

    def _end(self) -> None:
        if self._simulated:
            return
        graph = driver.call("cuStreamEndCapture", driver.current().stream)
        self._length = driver.call("cuGraphGetNodes", graph, 0)[1]
        self._executable = driver.call("cuGraphInstantiate", graph, 0)
        driver.call("cuGraphDestroy", graph)

    def _check_kept(self) -> None:
        """A block from before that only we hold was replaced: replays would not see the new one."""
        ours = object()  # held as a block is that nothing but the graph holds
        *counts, alone = [sys.getrefcount(block) for block in [*self._kept.values(), ours]]
        lost = [block.nbytes for block, n in zip(self._kept.values(), counts, strict=True) if n <= alone]
        if lost:
            raise RuntimeError(
                f"capture: the step used {len(lost)} arrays ({sum(lost)} bytes) that it then replaced by new "
                "ones. Replays would start from the old ones. Change them in place: `a[...] = b`, `a += b`."
            )

    def __del__(self, at_the_end=sys.is_finalizing):
        if self._executable is not None and not at_the_end():
            driver.call("cuStreamSynchronize", driver.current().stream)
            driver.call("cuGraphExecDestroy", self._executable)


@contextlib.contextmanager
def capture() -> Iterator[Graph]:
    """Write down what the block of code makes the device do, without doing it.

    Before, run the same code once or twice (or use `graph_of`). Within, copies from and to the host, waiting,
    and work of other libraries on the GPU raise RuntimeError.
    """
    driver.refuse_in_capture("capture")
    memory.pool().release()  # the graph will need as much, for itself
    with memory.private_pool() as pool:
        graph = Graph(pool)
        graph._begin()
        driver.capture = graph
        try:
            yield graph
        except BaseException:
            driver.capture = None
            with contextlib.suppress(RuntimeError):  # that the capture was broken off
                graph._end()
            raise
        driver.capture = None
        graph._end()
    graph._check_kept()


def graph_of(step: Callable[[], None], warm_up: int = WARM_UP) -> Graph:
    """Run a step a few times, then capture it. `graph_of(step).replay()` is one more."""
    for _ in range(warm_up):
        step()
    with capture() as graph:
        step()
    return graph
