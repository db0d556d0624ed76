"""The three kinds of memory that a kernel sees, each of which looks after its own mistakes.

`flat` are the places of an access, one for each lane that takes part (`lanes`). An access of width 4 touches
four neighbours.

A race needs two threads, one place, a write, and no barrier between them. So each place remembers who wrote
and who read it last, and how many barriers the block (and the warp) had passed by then: an access in the same
epoch by another thread is a race.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.kernels.cuda.simulator.errors import BadIndex, KernelError, Misaligned, RaceError, Uninitialised
from minidl.kernels.cuda.simulator.machine import Machine, Mask

WIDE = {"i": np.int64, "u": np.uint64}
"""In a register whole numbers have 64 bits, as Numba has it."""

NOBODY = -1


def widened(values):
    """What was loaded, as it stands in a register."""
    wide = WIDE.get(values.dtype.kind)
    return values if wide is None or values.dtype == wide else values.astype(wide)


class _Array:
    """What global and shared arrays share. Subclasses say where a lane's elements are, and what is a race."""

    space: str

    def __init__(self, name: str, data: np.ndarray, shape: tuple[int, ...]):
        self.name, self.data, self.shape = name, data, shape
        self.size, self.dtype, self.ndim = math.prod(shape), data.dtype, len(shape)

    def _position(self, machine: Machine, mask: Mask, index, width: int):
        """The number of an element in the array, checked: one, or one for each lane that takes part."""
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != self.ndim:
            machine.fail(BadIndex, f"{len(index)} indices for {self.name}, which has {self.ndim} axes")
        flat = 0
        for i, size in zip(index, self.shape, strict=True):
            if np.ndim(i):
                i = i if mask.full else i[mask.places]
                if i.dtype.kind not in "iu":
                    machine.fail(BadIndex, f"an index of {self.name} is {i.dtype}: it must be a whole number")
            last = size - (width if size == self.shape[-1] and len(self.shape) == 1 else 1)
            low, high = (i.min(), i.max()) if np.ndim(i) else (i, i)
            if low < 0 or high > last:
                self._outside(machine, mask, i, last, width)
            flat = flat * size + i
        if width > 1 and np.any(np.asarray(flat) % width):
            wrong = np.flatnonzero(np.broadcast_to(np.asarray(flat) % width, mask.count))[0]
            at = int(np.broadcast_to(flat, mask.count)[wrong])
            machine.fail(
                Misaligned,
                f"{self.name}[{at}] to [{at + 3}] in one access of 128 bits, which must begin at a multiple "
                "of four. Fix: pad rows to a multiple of four elements, or use load and store",
                int(mask.places[wrong]),
            )
        return flat

    def _outside(self, machine, mask, i, last, width):
        i = np.broadcast_to(i, mask.count)
        wrong = int(np.flatnonzero((i < 0) | (i > last))[0])
        machine.fail(
            BadIndex,
            f"index {int(i[wrong])}{'' if width == 1 else f' to {int(i[wrong]) + width - 1}'} of "
            f"{self.space} array {self.name}, which has shape {self.shape}. Fix: test it before, as in "
            "`if i < n:`",
            int(mask.places[wrong]),
        )

    def load(self, machine: Machine, mask: Mask, index, width: int = 1):
        """The elements at `index` (one value, or a tuple of `width`)."""
        flat, lanes = self._places(machine, mask, self._position(machine, mask, index, width))
        one = np.ndim(flat) == 0
        self._reading(machine, mask, flat, lanes, width)
        if machine.recorder is not None:
            machine.recorder.access(machine, self, "load", self._of_all(mask, flat), mask, width)
        columns = [self._spread(machine, mask, self.data[flat + k], one) for k in range(width)]
        return columns[0] if width == 1 else tuple(columns)

    def store(self, machine: Machine, mask: Mask, index, values: tuple) -> None:
        """Write `values` (as many as the access is wide) to `index`."""
        width = len(values)
        flat, lanes = self._places(machine, mask, self._position(machine, mask, index, width))
        flat = self._of_all(mask, flat)
        if machine.recorder is not None:
            machine.recorder.access(machine, self, "store", flat, mask, width)
        for k, value in enumerate(values):
            given = value if np.ndim(value) == 0 or mask.full else value[mask.places]
            given = np.broadcast_to(np.asarray(given).astype(self.dtype), mask.count)
            self._writing(machine, mask, flat + k, lanes, given)
            self.data[flat + k] = given

    @staticmethod
    def _of_all(mask: Mask, flat) -> np.ndarray:
        return np.full(mask.count, flat) if np.ndim(flat) == 0 else flat

    @staticmethod
    def _spread(machine, mask, values, one: bool):
        """Values of the lanes that take part, as a vector over all lanes."""
        values = widened(values)
        if one or mask.full:
            return values
        out = np.zeros(len(mask.lanes), values.dtype)
        out[mask.places] = values
        return out


class GlobalArray(_Array):
    """An argument of the launch: seen by all threads of all blocks. Writes go into the caller's array."""

    space = "global"

    def __init__(self, name: str, array: np.ndarray):
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} does not lie row by row in memory. Fix: np.ascontiguousarray({name})")
        super().__init__(name, array.reshape(-1), array.shape)
        self.writer = self.epoch = None

    def _places(self, machine, mask, flat):
        return flat, mask.places if self.writer is not None or np.ndim(flat) else None

    def _others(self, machine: Machine, lanes, flat):
        """Who else wrote these places, with no barrier since."""
        writer, me = self.writer[flat], machine.identity[lanes]
        same_block = writer // machine.threads == me // machine.threads
        earlier = same_block & (self.epoch[flat] < machine.epoch[machine.block_of[lanes]])
        return (writer != NOBODY) & (writer != me) & ~earlier

    def _reading(self, machine, mask, flat, lanes, width):
        if self.writer is None:
            return
        flat = self._of_all(mask, flat)
        for k in range(width):
            self._refuse(machine, mask, self._others(machine, lanes, flat + k), flat + k, "reads")

    def _writing(self, machine, mask, flat, lanes, given):
        if self.writer is None:
            self.writer, self.epoch = np.full(self.size, NOBODY), np.zeros(self.size, np.int64)
        lanes = mask.places
        others = self._others(machine, lanes, flat)
        if others.any():
            before = self.data[flat]
            self._refuse(machine, mask, others & ~_equal(before, given), flat, "overwrites")
        self.writer[flat] = machine.identity[lanes]
        self.epoch[flat] = machine.epoch[machine.block_of[lanes]]
        twice = self.writer[flat] != machine.identity[lanes]
        if twice.any():
            self.data[flat] = given
            self._refuse(machine, mask, twice & ~_equal(self.data[flat], given), flat, "overwrites")

    def _refuse(self, machine, mask, wrong, flat, does):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            machine.fail(
                RaceError,
                f"it {does} {self.name}[{int(flat[at])}], which another thread writes in the same launch. "
                "Fix: give each thread places of its own, or use cuda.atomic",
                int(mask.places[at]),
            )

    def forget(self, flat) -> None:
        """Atomic updates are ordered by the hardware."""
        if self.writer is not None:
            self.writer[flat] = NOBODY


def _equal(a, b):
    return (a == b) | ((a != a) & (b != b))


class SharedArray(_Array):
    """Memory of a block: one array for each block, seen by all of its threads."""

    space = "shared"

    def __init__(self, name: str, machine: Machine, shape: tuple[int, ...], dtype):
        size = math.prod(shape)
        super().__init__(name, np.zeros(machine.blocks * size, dtype), shape)
        places = len(self.data)
        self.written = np.zeros(places, bool)
        self.writer, self.reader = np.full(places, NOBODY, np.int32), np.full(places, NOBODY, np.int32)
        self.write_epoch, self.read_epoch = np.zeros((2, places), np.int64)
        self.write_warp_epoch, self.read_warp_epoch = np.zeros((2, places), np.int64)
        self.many_readers, self.many_warps = np.zeros((2, places), bool)

    def _places(self, machine, mask, flat):
        lanes = mask.places
        return flat + machine.block_of[lanes] * self.size, lanes

    def _reading(self, machine, mask, flat, lanes, width):
        for k in range(width):
            self._read(machine, mask, flat + k, lanes)

    def _read(self, machine, mask, flat, lanes):
        if not self.written[flat].all():
            at = int(np.flatnonzero(~self.written[flat])[0])
            machine.fail(
                Uninitialised,
                f"{self.name}[{int(flat[at] % max(self.size, 1))}] is read, and nobody has written it",
                int(lanes[at]),
            )
        epoch = machine.epoch[machine.block_of[lanes]]
        warp = machine.warp_of[lanes]
        writer = self.writer[flat]
        race = (self.write_epoch[flat] == epoch) & (writer != lanes) & (writer != NOBODY)
        if race.any():
            race &= ~self._ordered(machine, warp, writer, self.write_warp_epoch[flat])
            self._refuse(machine, race, flat, lanes, "reads", "wrote", writer)
        self._note_readers(machine, flat, lanes, epoch, warp)

    def _note_readers(self, machine, flat, lanes, epoch, warp):
        fresh = self.read_epoch[flat] != epoch
        before = np.where(fresh, lanes, self.reader[flat])
        if fresh.any():
            self.many_readers[flat[fresh]] = self.many_warps[flat[fresh]] = False
        self.reader[flat], self.read_epoch[flat] = lanes, epoch
        after = self.reader[flat]
        many = (before != lanes) | (after != lanes)
        if many.any():
            self.many_readers[flat[many]] = True
            apart = (machine.warp_of[before] != warp) | (machine.warp_of[after] != warp)
            self.many_warps[flat[apart]] = True
        self.read_warp_epoch[flat] = machine.warp_epoch[warp]

    @staticmethod
    def _ordered(machine, warp, other, then):
        """Is the other thread in the same warp, and has the warp been synchronised since?"""
        return (machine.warp_of[other] == warp) & (then != machine.warp_epoch[warp])

    def _writing(self, machine, mask, flat, lanes, given):
        epoch, warp = machine.epoch[machine.block_of[lanes]], machine.warp_of[lanes]
        writer, reader = self.writer[flat], self.reader[flat]
        race = (self.write_epoch[flat] == epoch) & (writer != lanes) & (writer != NOBODY)
        if race.any():
            race &= ~self._ordered(machine, warp, writer, self.write_warp_epoch[flat])
            self._refuse(machine, race, flat, lanes, "overwrites", "wrote", writer)
        race = (
            (self.read_epoch[flat] == epoch)
            & (reader != NOBODY)
            & ((reader != lanes) | self.many_readers[flat])
        )
        if race.any():
            race &= ~(
                self._ordered(machine, warp, reader, self.read_warp_epoch[flat]) & ~self.many_warps[flat]
            )
            self._refuse(machine, race, flat, lanes, "overwrites", "read", reader)
        self.writer[flat], self.write_epoch[flat] = lanes, epoch
        self.write_warp_epoch[flat] = machine.warp_epoch[warp]
        self.written[flat] = True
        twice = self.writer[flat] != lanes
        if twice.any():
            self._refuse(machine, twice, flat, lanes, "overwrites", "writes", self.writer[flat])

    def _refuse(self, machine, wrong, flat, lanes, does, did, other):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            machine.fail(
                RaceError,
                f"it {does} {self.name}[{int(flat[at] % max(self.size, 1))}], which "
                f"{machine.place(int(other[at]))} {did} with no barrier between. Fix: cuda.syncthreads()",
                int(lanes[at]),
            )

    def forget(self, flat) -> None:
        """Atomic updates are ordered by the hardware."""
        self.writer[flat], self.written[flat] = NOBODY, True


class LocalArray:
    """Memory of a thread: registers, if all indices are known when the kernel is compiled."""

    space = "local"

    def __init__(self, name: str, shape: tuple[int, ...], dtype):
        self.name, self.shape, self.dtype = name, shape, np.dtype(dtype)
        self.size, self.ndim = math.prod(shape), len(shape)
        self.cells: list = [None] * self.size
        self.strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]

    def _flat(self, machine, mask, index):
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != self.ndim:
            machine.fail(BadIndex, f"{len(index)} indices for {self.name}, which has {self.ndim} axes")
        flat = 0
        for i, n, stride in zip(index, self.shape, self.strides, strict=True):
            active = i if np.ndim(i) == 0 else i[mask.places]
            if np.min(active) < 0 or np.max(active) >= n:
                machine.fail(BadIndex, f"index {i} of local array {self.name}, which has shape {self.shape}")
            flat = flat + i * stride
        return flat

    def load(self, machine: Machine, mask: Mask, index, width: int = 1):
        if width != 1:
            machine.fail(KernelError, "registers are not read four at a time")
        flat = self._flat(machine, mask, index)
        if np.ndim(flat):
            cells = [np.zeros(()) if cell is None else cell for cell in self.cells]
            table = np.stack([machine.vector(cell) for cell in cells])
            return widened(
                table[np.where(mask.lanes, flat, 0), np.arange(len(mask.lanes))].astype(self.dtype)
            )
        if self.cells[int(flat)] is None:
            machine.fail(Uninitialised, f"{self.name}{index} is read, and was never written")
        return self.cells[int(flat)]

    def store(self, machine: Machine, mask: Mask, index, values: tuple) -> None:
        flat = self._flat(machine, mask, index)
        value = widened(np.asarray(values[0]).astype(self.dtype))
        if np.ndim(flat):
            for cell in np.unique(flat[mask.places]):
                self._put(Mask(mask.lanes & (flat == cell)), int(cell), value)
        else:
            self._put(mask, int(flat), value)

    def _put(self, mask: Mask, cell: int, value) -> None:
        old = self.cells[cell]
        self.cells[cell] = value if mask.full or old is None else np.where(mask.lanes, value, old)
