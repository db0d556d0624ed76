"""The three kinds of memory that a kernel sees, each of which looks after its own mistakes.

    GlobalArray     an argument of the launch: seen by all threads; writes go into the caller's array
    SharedArray     one copy for each block, seen by its threads; nothing in it before somebody writes
    LocalArray      one copy for each thread: registers, if the compiler knows all indices

An access of width 4 touches four neighbours in one instruction.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.kernels.cuda.simulator.errors import BadIndex, KernelError, Misaligned, RaceError, Uninitialised
from minidl.kernels.cuda.simulator.lanes import Mask, Variable
from minidl.kernels.cuda.simulator.machine import Machine
from minidl.kernels.cuda.simulator.races import Ledger, Use, gather, scatter

VECTOR_BYTES = 16
"""What one instruction reads or writes at most, and to what its address must be aligned."""
STATIC_SHARED_BYTES = 48 * 1024
"""Shared memory that a block gets without asking."""


def in_register(values):
    """What was read, as it stands in a register: whole numbers have 64 bits there, as Numba has it."""
    if values.dtype.kind in "iu" and values.dtype != np.uint64:
        values = values.astype(np.int64, copy=False)
        return values if values.ndim else int(values)
    return values if values.ndim else values[()]


class Array:
    """What global and shared arrays have in common."""

    space = ""
    since = "and no barrier has come since"
    fix = "cuda.syncthreads() between the two"
    ledger: Ledger | None = None
    shift = 0
    """Where the array begins in its ledger."""

    def __init__(self, name: str, data: np.ndarray, shape: tuple[int, ...]):
        self.name, self.data, self.shape = name, data, shape
        self.size, self.dtype, self.ndim = math.prod(shape), data.dtype, len(shape)
        self.address = 0
        """Of the first element, counted from the beginning of the memory that it lies in."""

    def __len__(self) -> int:
        return self.shape[0]

    # -- places --------------------------------------------------------------------------------------

    def position(self, machine: Machine, mask: Mask, index, width: int):
        """Where an access goes: (element of the array, one or one a lane; the least; the greatest)."""
        if self.ndim == 1 and not isinstance(index, tuple):
            flat, low, high = self._along(machine, mask, index, self.size - width, width)
        else:
            flat, low, high = self._along_axes(machine, mask, index, width)
        if width > 1:
            self._check_alignment(machine, mask, flat, width)
        return flat, low, high

    def _along(self, machine, mask, index, last: int, width: int):
        """An index of one axis, checked."""
        if isinstance(index, np.ndarray) and index.ndim:
            if index.dtype.kind not in "iub":
                self._no_whole_number(machine, index)
            index = index if mask.full else index.take(mask.places)
            index = index if index.dtype == np.int64 else index.astype(np.int64)
            low, high = int(index.min()), int(index.max())
        else:
            if not isinstance(index, (int, np.integer, np.bool_)):
                self._no_whole_number(machine, index)
            index = low = high = int(index)
        if low < 0 or high > last:
            self._outside(machine, mask, index, last, width)
        return index, low, high

    def _along_axes(self, machine, mask, index, width: int):
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != self.ndim:
            machine.fail(
                BadIndex,
                f"{len(index)} indices for {self.name}, which has shape {self.shape}",
            )
        flat = low = high = 0
        for axis, (i, size) in enumerate(zip(index, self.shape, strict=True)):
            wide = width if axis == self.ndim - 1 else 1
            i, least, most = self._along(machine, mask, i, size - wide, wide)
            flat, low, high = flat * size + i, low * size + least, high * size + most
        return flat, low, high

    def _no_whole_number(self, machine, index):
        kind = getattr(index, "dtype", type(index).__name__)
        machine.fail(BadIndex, f"an index of {self.name} is {kind}, not a whole number. Fix: int32(...)")

    def _outside(self, machine, mask, index, last, width):
        index = np.broadcast_to(index, mask.count)
        wrong = int(np.flatnonzero((index < 0) | (index > last))[0])
        at, to = int(index[wrong]), f" to {int(index[wrong]) + width - 1}" if width > 1 else ""
        fix = "a GPU does not count from the end" if at < 0 else "test it before, as in `if i < n:`"
        machine.fail(
            BadIndex,
            f"index {at}{to} of the {self.space} array {self.name}, which has shape {self.shape}. Fix: {fix}",
            int(mask.places[wrong]),
        )

    def _check_alignment(self, machine, mask, flat, width):
        """The address of a wide access must be a multiple of its size."""
        size = min(VECTOR_BYTES, width * self.dtype.itemsize)
        off = (self.address + flat * self.dtype.itemsize) % size
        if not (off.any() if isinstance(off, np.ndarray) else off):
            return
        wrong = int(np.flatnonzero(np.broadcast_to(off, mask.count))[0])
        at = int(np.broadcast_to(flat, mask.count)[wrong])
        machine.fail(
            Misaligned,
            f"{self.name}[{at}] to [{at + width - 1}] in one access, whose address is no multiple of {size} "
            "bytes. Fix: begin at a multiple of four (pad rows to that), or use load and store",
            int(mask.places[wrong]),
        )

    # -- access --------------------------------------------------------------------------------------

    def use(self, machine: Machine, mask: Mask, flat, width: int, low: int, high: int) -> Use:
        """An access for the ledger."""
        flat = np.full(mask.count, flat) if not isinstance(flat, np.ndarray) else flat
        lanes = None if mask.full else mask.places
        if self.shift:
            flat, low, high = flat + self.shift, low + self.shift, high + self.shift
        return Use(machine, lanes, flat, width, low, high + width - 1, machine.clock)

    def load(self, machine: Machine, mask: Mask, index, width: int = 1):
        """The elements at `index`: one value, or a tuple of `width`."""
        position, low, high = self.position(machine, mask, index, width)
        flat = self.everywhere(machine, mask, position)
        if self.ledger is not None:
            self._reading(self.use(machine, mask, flat, width, low, high))
        if machine.recorder is not None:
            machine.recorder.access(machine, self, "load", position, mask, width)
        if not isinstance(flat, np.ndarray):
            columns = [in_register(self.data[flat + k]) for k in range(width)]
        elif width == 1:
            columns = [mask.to_lanes(in_register(self.data.take(flat)))]
        else:
            columns = [mask.to_lanes(c) for c in in_register(gather(self.data, flat, width).T.copy())]
        return columns[0] if width == 1 else tuple(columns)

    def store(self, machine: Machine, mask: Mask, index, values: tuple) -> None:
        """Write `values` (as many as the access is wide) to `index`."""
        width = len(values)
        use = self.changing(machine, mask, index, width, "store")
        self.write(use, np.stack([mask.of_lanes(v).astype(self.dtype) for v in values], axis=1))

    def changing(self, machine: Machine, mask: Mask, index, width: int, kind: str) -> Use:
        """The access of a store or an atomic update."""
        self.will_change(machine)
        position, low, high = self.position(machine, mask, index, width)
        if machine.recorder is not None:
            machine.recorder.access(machine, self, kind, position, mask, width)
        return self.use(machine, mask, self.everywhere(machine, mask, position), width, low, high)

    def will_change(self, machine: Machine) -> None:
        """May it be written?"""

    def write(self, use: Use, given: np.ndarray) -> None:
        """Write (lanes, width) numbers, if nobody else does."""
        self._writing(use, given)
        flat = use.flat - self.shift if self.shift else use.flat
        scatter(self.data, flat, use.width, given)
        differ = different(gather(self.data, flat, use.width), given)
        if differ.any():
            self._race(use, differ, "writes", None, "")
        self.ledger.enter_write(use)

    def everywhere(self, machine, mask, position):
        """Positions as places of `data`."""
        return position

    # -- races ---------------------------------------------------------------------------------------

    def _reading(self, use: Use) -> None:
        ledger = self.ledger
        for stamps in self._changes(use):
            self._race(use, ledger.rivals(use, stamps), "reads", stamps, "wrote")
        ledger.enter_read(use)

    def _changes(self, use: Use) -> list[np.ndarray]:
        """Stamps of those who have changed these places, by plain and by atomic writes."""
        ledger = self.ledger
        books = [ledger.writer] if ledger.updater is None else [ledger.writer, ledger.updater]
        return [gather(book, use.flat, use.width) for book in books]

    def _writing(self, use: Use, given: np.ndarray) -> None:
        """Writing what is there already harms nobody who writes as well."""
        ledger = self.ledger
        for stamps in self._changes(use):
            rivals = ledger.rivals(use, stamps)
            if rivals is not None:
                rivals = rivals & different(gather(self.data, use.flat - self.shift, use.width), given)
                self._race(use, rivals, "overwrites", stamps, "wrote")
        readers = ledger.readers(use)
        if readers is not None:
            self._race(use, ledger.rivals(use, readers), "overwrites", readers, "read")

    def prepare_update(self, use: Use) -> None:
        """An atomic update: it may meet others of its kind, but no plain reads and writes."""
        ledger = self.ledger
        for stamps, did in ((gather(ledger.writer, use.flat, 1), "wrote"), (ledger.readers(use), "read")):
            if stamps is not None:
                self._race(use, ledger.rivals(use, stamps), "updates", stamps, did)
        ledger.enter_update(use)

    def _race(self, use: Use, wrong, does: str, stamps, did: str) -> None:
        if wrong is None or not wrong.any():
            return
        k, column = (int(n[0]) for n in np.nonzero(np.broadcast_to(wrong, (len(use.flat), use.width))))
        at = self.index_of(int(use.flat[k]) + column - self.shift)
        machine = use.machine
        if stamps is None:
            what = "to which another thread writes something else in the same instruction"
        else:
            what = f"which {self._named(machine, stamps[k, column])} {did} {self.since}"
        machine.fail(RaceError, f"it {does} {self.name}[{at}], {what}. Fix: {self.fix}", use.lane(k))

    def _named(self, machine: Machine, stamp: int) -> str:
        who = self.ledger.who(stamp)
        if who is None:
            return "other threads"
        return machine.place(who + machine.first * machine.threads if self.ledger.private else who)

    def index_of(self, place: int):
        """A place of `data` as the kernel counts."""
        if self.ndim == 1:
            return place
        return ", ".join(str(int(i)) for i in np.unravel_index(place, self.shape))


def different(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays differ; nan equals nan."""
    unequal = a != b
    if unequal.any() and a.dtype.kind == "f":
        unequal &= ~(np.isnan(a) & np.isnan(b))
    return unequal


def start_of(array: np.ndarray) -> int:
    """Where an array lies in the host's memory."""
    return array.__array_interface__["data"][0]


def _owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one is a view of; on a GPU, it would begin at a multiple of 256 bytes."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class GlobalArray(Array):
    """An argument of the launch."""

    space = "global"
    since = "in the same launch"
    fix = "give each thread places of its own, or use cuda.atomic"

    def __init__(self, name: str, array: np.ndarray):
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} does not lie row by row in memory. Fix: np.ascontiguousarray({name})")
        super().__init__(name, array.reshape(-1), array.shape)
        self.address = start_of(array) - start_of(_owner(array))

    def will_change(self, machine: Machine) -> None:
        if not self.data.flags.writeable:
            machine.fail(KernelError, f"{self.name} is read-only. Fix: pass an array of your own")
        if self.ledger is None:
            self.ledger = Ledger(self.size, math.prod(machine.grid) * machine.threads, machine.threads, False)


class SharedArray(Array):
    """Memory of a block: `data` holds one copy for each block of the batch, `stride` elements apart."""

    space = "shared"

    def __init__(self, name: str, machine: Machine, shape: tuple[int, ...], dtype):
        size = math.prod(shape)
        self.stride = -(-size // 4) * 4
        super().__init__(name, np.zeros(machine.blocks * self.stride, dtype), shape)
        self.offsets = machine.block_of * self.stride
        self.ledger = Ledger(len(self.data), machine.lanes, machine.threads, private=True)

    def everywhere(self, machine, mask, position):
        offsets = self.offsets if mask.full else self.offsets.take(mask.places)
        return position + offsets

    def deliver(self, use: Use, given: np.ndarray) -> None:
        """What a copy in the background has brought."""
        self._writing(use, given)
        scatter(self.data, use.flat, use.width, given)
        self.ledger.enter_write(use)

    def _reading(self, use: Use) -> None:
        self._check_written(use)
        super()._reading(use)

    def _check_written(self, use: Use) -> None:
        """Has somebody written these places?"""
        written = gather(self.ledger.writer, use.flat, use.width)
        if not written.all():
            never = written == 0
            k, column = (int(n[0]) for n in np.nonzero(never))
            at = self.index_of(int(use.flat[k]) + column)
            use.machine.fail(
                Uninitialised,
                f"{self.name}[{at}] is read, and no thread of the block has written it. Fix: write it first, "
                "then cuda.syncthreads()",
                use.lane(k),
            )

    def prepare_update(self, use: Use) -> None:
        self._check_written(use)
        super().prepare_update(use)

    def index_of(self, place: int):
        return super().index_of(place % self.stride)


class LocalArray:
    """Memory of a thread. scope: the lanes that have made it; no others ever see it.

    Each element is a variable, as long as all lanes use the same indices, as in registers; after that, the
    array is a table with a row for each element and a column for each lane.
    """

    space = "local"

    def __init__(self, name: str, shape: tuple[int, ...], dtype, scope: Mask):
        self.name, self.shape, self.dtype, self.scope = name, shape, np.dtype(dtype), scope
        self.size, self.ndim = math.prod(shape), len(shape)
        self.cells: list[Variable | None] = [None] * self.size
        self.table: np.ndarray | None = None
        self.written: np.ndarray | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def _position(self, machine, mask, index):
        """The number of an element: one, or one a lane that takes part."""
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != self.ndim:
            machine.fail(BadIndex, f"{len(index)} indices for {self.name}, which has shape {self.shape}")
        flat = 0
        for i, n in zip(index, self.shape, strict=True):
            if isinstance(i, np.ndarray) and i.ndim:
                i = mask.of_lanes(i)
                inside = i.min() >= 0 and i.max() < n
            else:
                i = int(i)
                inside = 0 <= i < n
            if not inside:
                self._outside(machine, mask, i, n)
            flat = flat * n + i
        return flat

    def _outside(self, machine, mask, index, n):
        index = np.broadcast_to(index, mask.count)
        wrong = int(np.flatnonzero((index < 0) | (index >= n))[0])
        machine.fail(
            BadIndex,
            f"index {int(index[wrong])} of the local array {self.name}, which has shape {self.shape}",
            int(mask.places[wrong]),
        )

    def load(self, machine: Machine, mask: Mask, index, width: int = 1):
        if width != 1:
            machine.fail(KernelError, f"{self.name} is a local array: it is not read four at a time")
        flat = self._position(machine, mask, index)
        if isinstance(flat, np.ndarray) and self.table is None:
            self._to_table(machine)
        if self.table is not None:
            self._check_written(machine, mask, self.written[flat, mask.places])
            return in_register(mask.to_lanes(self.table[flat, mask.places]))
        cell = self.cells[flat]
        if cell is None or not cell.known_to(mask):
            self._check_written(
                machine, mask, np.zeros(1) if cell is None else cell.owners.lanes[mask.places]
            )
        return cell.value

    def _check_written(self, machine, mask, written) -> None:
        """Refuse if one of the lanes that take part has not written it."""
        if not written.all():
            machine.fail(
                Uninitialised,
                f"an element of {self.name} is read, and this thread has not written it. Fix: write it first",
                int(mask.places[np.flatnonzero(~np.asarray(written, bool))[0]]),
            )

    def store(self, machine: Machine, mask: Mask, index, values: tuple) -> None:
        if len(values) != 1:
            machine.fail(KernelError, f"{self.name} is a local array: it is not written four at a time")
        flat, value = self._position(machine, mask, index), values[0]
        if isinstance(flat, np.ndarray) and self.table is None:
            self._to_table(machine)
        if self.table is not None:
            self.table[flat, mask.places] = mask.of_lanes(value)
            self.written[flat, mask.places] = True
            return
        if getattr(value, "dtype", None) != self.dtype:
            value = in_register(np.asarray(value).astype(self.dtype))
        if self.cells[flat] is None:
            self.cells[flat] = Variable(value, mask, self.scope)
        else:
            self.cells[flat].put(value, mask)

    def _to_table(self, machine: Machine) -> None:
        self.table = np.zeros((self.size, machine.lanes), self.dtype)
        self.written = np.zeros((self.size, machine.lanes), bool)
        for k, cell in enumerate(self.cells):
            if cell is not None:
                self.written[k] = cell.owners.lanes
                self.table[k] = np.where(cell.owners.lanes, cell.value, 0)
