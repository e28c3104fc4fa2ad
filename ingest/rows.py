"""Chunks of the in-order pass's rows, with their patches, as tables of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from replay import schema
from replay._ext.eventcolumns import INTS, LONGS, TOLD, EventColumns
from replay._ext.known import Codes, Identity, Threads
from replay.ingest.canonical import nulls
from replay.ingest.identity import Graded, device_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay._ext.settling import Settling
    from replay.ingest.slots import SlotMap
    from replay.ingest.spill import Spill
    from replay.ingest.tasks import NamedThreads

# Codes of PATCH_KIND: see the KIND_ constants of _ext/identity.pyx.
KINDS = (
    *("zero", "collapse", "insert", "shared", "private", "anonymous"),
    *(f"{kind}:{mode}" for kind in ("lease", "delegation", "layout") for mode in ("read", "write", "unlock")),
)
# Structs of _ext/eventcolumns.pxd.
DEVICE = np.dtype([(name, "i8") for name in ("place", "value", "block")])
WAIT = np.dtype([(name, "i8") for name in ("file", "ts")])
# Of the events, each a file: as many as can be made at the same time, and for two processors equal shares.
MOST_PARTS = 4

_LONG = {name: number for number, name in enumerate(LONGS)}
_INT = {name: number for number, name in enumerate(INTS)}
_TOLD = {name: number for number, name in enumerate(TOLD)}


class Columns:
    """Room for the columns of so many events, as _ext/eventcolumns.pyx fills them."""

    def __init__(self, rows: int) -> None:
        self.longs = np.empty((len(LONGS), max(rows, 1)), np.int64)
        self.ints = np.empty((len(INTS), max(rows, 1)), np.int32)
        self.told = np.empty((len(TOLD), rows // 32 + 1), np.uint32)

    def array(self, declared: pa.Field, rows: int, words: Sequence[str] | None) -> pa.Array:
        """A column as it lies there. `words`: what its codes stand for."""
        name, type_ = declared.name, declared.type
        valid = None
        if name in _TOLD:
            told = self.told[_TOLD[name]]
            if not told.any():
                return nulls(rows, type_)
            valid = pa.py_buffer(told)
        data = pa.py_buffer(self.longs[_LONG[name]] if name in _LONG else self.ints[_INT[name]])
        if words is None:
            return pa.Array.from_buffers(type_, rows, [valid, data])
        codes = pa.Array.from_buffers(pa.int32(), rows, [valid, data])
        # Codes that were given out here need no check; kinds come from the first phase.
        return pa.DictionaryArray.from_arrays(codes, pa.array(words, pa.string()), safe=words is KINDS)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known once the trace has ended: of files by key and number, of operations with better sources, of threads by name."""

    graded: Graded
    superseded: NDArray[np.bool_]
    names: Sequence[str]
    dax: NDArray[np.bool_]
    threads: NamedThreads

    def identity(self) -> Identity:
        flags = (self.graded.wander, self.superseded, self.dax)
        return Identity(self.graded.file, self.graded.source, self.graded.confidence, *(flag.view(np.uint8) for flag in flags))


def divide(chunks: int) -> list[range]:
    """The chunks of each part: up to four parts, however many processors there are, so that a trace always gives the same files."""
    parts = max(1, min(MOST_PARTS, chunks))
    return [range(chunks * part // parts, chunks * (part + 1) // parts) for part in range(parts)]


@dataclass(slots=True)
class Part:
    """Chunks that follow each other, and what their events count up to: `times` holds their first and last. Parts may be made into
    tables in threads of their own."""

    spill: Spill
    chunks: range
    known: Known
    columns: EventColumns
    file_events: NDArray[np.int64]
    files: Codes
    comms: Codes
    threads: Threads
    rooms: list[Columns]
    times: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, spill: Spill, chunks: range, known: Known, slots: SlotMap, settling: Settling | None, rooms: list[Columns]) -> Part:
        """`rooms`: where parts leave the room for their columns to the next."""
        files, comms = (Codes(np.full(n, -1, np.int32), np.zeros(n, np.int32)) for n in (len(known.names), len(known.threads.names)))
        threads = Threads(known.threads.tid, known.threads.tgid, known.threads.name)
        file_events = np.zeros(len(known.names), np.int64)
        columns = EventColumns(known.identity(), settling, slots.runs(len(known.names)), threads, files, comms, file_events)
        return cls(spill, chunks, known, columns, file_events, files, comms, threads, rooms)

    def tables(self, *, lasting: bool) -> Iterator[pa.Table]:
        """The events, a table of each chunk; unless they are to be `lasting`, each is over when the next is asked for."""
        room = None
        with suppress(IndexError):
            room = self.rooms.pop()
        for number in self.chunks:
            if room is None or lasting:
                room = Columns(self.spill.chunks[number].rows if lasting else max(chunk.rows for chunk in self.spill.chunks))
            table = self._table(number, room)
            if table.num_rows:
                yield table
        if room is not None and not lasting:
            self.rooms.append(room)

    def _table(self, number: int, room: Columns) -> pa.Table:
        packed, patches = self.spill.chunk(number)
        rows = self.columns.fill(packed, self.spill.chunks[number].rows, patches, room.longs, room.ints, room.told)
        if rows:
            ts = room.longs[_LONG["ts"], :rows]
            self.times += [int(ts.min()), int(ts.max())]
        words: dict[str, Sequence[str]] = {
            "op": schema.OPS,
            "comm": ["", *(self.known.threads.names[number] for number in self.comms.forget())],
            "file": ["", *(self.known.names[number] for number in self.files.forget())],
            "device": self._devices(room.ints[_INT["device"]]),
            "kind": KINDS,
        }
        target = schema.EVENTS.arrow_schema()
        return pa.Table.from_arrays([room.array(column, rows, words.get(column.name)) for column in target], schema=target)

    def _devices(self, codes: NDArray[np.int32]) -> list[str]:
        """Put in the codes of the chunk's devices; gives their names: kernel pointers of RDMA devices, block devices by number."""
        told = np.frombuffer(self.columns.chunk_devices(), DEVICE)
        distinct, place = np.unique(told[["block", "value"]], return_inverse=True)
        codes[told["place"]] = place
        return [device_name(value) if block else pointer_name(value) for block, value in distinct.tolist()]

    def waits(self) -> NDArray[Any]:
        """File and time of each wait for busy pages."""
        return np.frombuffer(self.columns.layout_waits(), WAIT)


def pointer_name(pointer: int) -> str:
    return f"{pointer & (1 << 64) - 1:#x}"
