"""From lowered columns to the stored tables: numbers files, slots and tasks, and puts every column into its declared schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from replay import schema
from replay.errors import TraceError
from replay.ingest.slots import INDEX_END, SlotMap, number_slots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay.ingest.losses import Losses
    from replay.ingest.records import TraceInfo

OP_CODE = {op: code for code, op in enumerate(schema.OPS)}

# Operations whose range is pages that really take part. A truncate's, an fsync's or a mapping's range only selects among them.
TOUCHING_OPS = frozenset(
    {
        "pin",
        "unpin",
        "remote_write",
        "remote_read",
        "dirty",
        "wb_start",
        "wb_end",
        "wb_wait",
        "cache_add",
        "cache_del",
        "reclaim",
        "migrate",
    }
)
# Operations that concern their file from `index` (or its beginning) to its end where no length is given.
_OPEN_ENDED = ("truncate", "collapse", "layout_wait")
_DEVICE_INODE = re.compile(r"(\d+):(\d+):(\d+)(?:#\d+)?")
_KTHREAD = re.compile(r"(kworker|kswapd|jbd2|ksoftirqd|kcompactd|khugepaged|flush-|xfsaild|rcu_|migration/|swapper|<idle>)")


# The replay keeps some bytes of state for each touched page; 64 TiB of pages is more than any machine can pin.
MOST_PAGES = 1 << 34


@dataclass(frozen=True, slots=True)
class Canonical:
    """The lowered trace: every table of schema.TRACE_TABLES by name."""

    tables: dict[str, pa.Table]


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one column: numbers, or codes into `words`; `null` is true where there is no value (a negative code is none either)."""

    data: NDArray[Any]
    null: NDArray[np.bool_] | None = None
    words: Sequence[str] | None = None

    def arrow(self, type_: pa.DataType) -> pa.Array:
        if self.words is None:
            values = pa.array(self.data, mask=self.null)
            return values if values.type == type_ else values.cast(type_)
        codes = pa.array(self.data.astype(np.int32, copy=False), mask=self.data < 0)
        values = pa.DictionaryArray.from_arrays(codes, pa.array(self.words, pa.string()))
        return values if pa.types.is_dictionary(type_) else values.cast(type_)


def numbers(values: list[Any], type_: Any) -> Column:
    """A column of numbers or truth values of which None is NULL."""
    null = np.array([value is None for value in values], bool)
    return Column(np.array([0 if value is None else value for value in values], type_), null)


def words(values: list[str | None], codes: dict[str, int] | None = None) -> Column:
    """A dictionary-encoded column; words in order of appearance, numbered on from those in `codes`."""
    codes = {} if codes is None else codes
    data: NDArray[np.int32] = np.array([-1 if value is None else codes.setdefault(value, len(codes)) for value in values], np.int32)
    return Column(data, words=list(codes))


@dataclass(frozen=True, slots=True)
class Files:
    """The files that events name by number: what they are called, and whether the trace shows them mapped directly."""

    names: Sequence[str]
    dax: NDArray[np.bool_]
    generations: Sequence[int | None]


def table(declared: schema.Table, columns: Mapping[str, Column], rows: int) -> pa.Table:
    """A table in the declared schema; columns that are not given are all NULL."""
    target = declared.arrow_schema()
    unknown = set(columns) - set(target.names)
    if unknown:
        raise KeyError(f"{declared.name} has no column {sorted(unknown)}")
    arrays = [columns[field.name].arrow(field.type) if field.name in columns else _nulls(rows, field.type) for field in target]
    return pa.Table.from_arrays(arrays, schema=target)


def _nulls(rows: int, type_: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(type_):
        return pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()), pa.array([], pa.string()))
    return pa.nulls(rows, type_)


def assemble(
    events: dict[str, Column],
    files: Files,
    mrs: dict[str, Column],
    pins: dict[str, Column],
    tracepoints: Sequence[tuple[str, str, int, str | None]],
    info: TraceInfo,
    losses: Losses,
) -> Canonical:
    """Build all tables. `file` columns hold numbers of `files` with -1 for none; `op` holds numbers of schema.OPS."""
    rows = len(events["seq"].data)
    ranges = _ranges(events)
    slots = ranges.slots()
    pages = sum(slots.npages.tolist())
    if pages > MOST_PAGES:
        raise TraceError(info.path, None, f"its events touch {pages} pages, expected at most {MOST_PAGES}")
    slot, nslots = ranges.locate(slots)
    file_of = events["file"].data.astype(np.int64, copy=False)
    dax_events = files.dax[file_of] & (file_of >= 0) if len(files.names) else np.zeros(rows, bool)
    events |= {
        "file": Column(events["file"].data, words=files.names),
        "slot": Column(slot),
        "nslots": Column(nslots),
    }
    comms = events.pop("comm", None)
    tasks = _Tasks.of(events, comms, info)
    events |= tasks.columns(events)
    if comms is not None:
        events["comm"] = comms
    events["op"] = Column(events["op"].data, words=schema.OPS)
    if "dax" not in events:
        events["dax"] = Column(dax_events, ~dax_events)
    mrs["file"] = Column(mrs["file"].data, words=files.names)
    pins |= {"file": Column(pins["file"].data, words=files.names), "slot": Column(_pin_slots(slots, pins))}
    return Canonical(
        {
            "events": table(schema.EVENTS, events, rows),
            "files": _files(files, slots, file_of),
            "slots": _slot_table(slots),
            "tasks": tasks.table(),
            "mrs": table(schema.MRS, mrs, len(mrs["mr"].data)),
            "pins": table(schema.PINS, pins, len(pins["pin"].data)),
            "tracepoints": _tracepoints(tracepoints),
            "losses": pa.Table.from_pylist(losses.rows(), schema=schema.LOSSES.arrow_schema()),
        }
    )


def _int(column: Column, missing: int) -> NDArray[np.int64]:
    data = column.data.astype(np.int64, copy=False)
    return data if column.null is None else np.where(column.null, missing, data)


def _is(op: NDArray[Any], *ops: str) -> NDArray[np.bool_]:
    wanted = np.zeros(256, bool)
    wanted[[OP_CODE[name] for name in ops]] = True
    found: NDArray[np.bool_] = wanted[op]
    return found


@dataclass(frozen=True, slots=True)
class _Ranges:
    """The file ranges of events: which rows name one, which touch its pages, and the slots of those."""

    file: NDArray[np.int64]
    begin: NDArray[np.int64]
    npages: NDArray[np.int64]
    touching: NDArray[np.bool_]
    ranged: NDArray[np.bool_]

    def slots(self) -> SlotMap:
        rows = np.flatnonzero(self.touching)
        return number_slots(self.file[rows], self.begin[rows], self.npages[rows])

    def locate(self, slots: SlotMap) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slot and number of slots of each row; a touched range holds all of its pages, another those that something touches."""
        slot, nslots = np.full(len(self.file), -1, np.int64), np.zeros(len(self.file), np.int64)
        rows = np.flatnonzero(self.touching)
        slot[rows], nslots[rows] = slots.rank(self.file[rows], self.begin[rows]), self.npages[rows]
        rows = np.flatnonzero(self.ranged & ~self.touching)
        start = self.begin[rows]
        length = np.where(self.npages[rows] < 0, INDEX_END - 1, self.npages[rows])
        slot[rows], nslots[rows] = slots.locate(self.file[rows], start, start + np.minimum(length, INDEX_END - 1 - start))
        return slot, nslots


def _ranges(events: Mapping[str, Column]) -> _Ranges:
    op, file = events["op"].data, events["file"].data.astype(np.int64, copy=False)
    begin, npages = _int(events["index"], -1), _int(events["npages"], -1)
    known = (file >= 0) & (begin >= 0) & (begin < INDEX_END)
    if "result" in events:
        # A pin call that returned an error holds no page.
        known &= ~(_is(op, "pin") & (_int(events["result"], 0) < 0))
    touching = known & (npages > 0) & (npages < INDEX_END) & (begin < INDEX_END - npages) & _is(op, *TOUCHING_OPS)
    ranged = known & ((npages > 0) & ~_is(op, "mmap") | (npages < 0) & _is(op, *_OPEN_ENDED))
    return _Ranges(file, begin, npages, touching, ranged)


def _pin_slots(slots: SlotMap, pins: Mapping[str, Column]) -> NDArray[np.int64]:
    file, begin, npages = pins["file"].data.astype(np.int64), _int(pins["index"], -1), _int(pins["npages"], -1)
    known = (file >= 0) & (begin >= 0) & (begin < INDEX_END) & (npages > 0)
    return _Ranges(file, begin, npages, np.zeros(len(file), bool), known).locate(slots)[0]


def _distinct(tids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    """Distinct thread ids in order, the place of each row's among them, and how often each occurs; ids are few and small, so counted."""
    first, last = int(tids.min(initial=0)), int(tids.max(initial=0))
    if last - first > 1 << 24:
        numbers, where, counts = np.unique(tids, return_inverse=True, return_counts=True)
        return numbers.astype(np.int64), where, counts
    counts = np.bincount(tids.astype(np.int64) - first)
    known = np.flatnonzero(counts)
    place = np.zeros(len(counts), np.intp)
    place[known] = np.arange(len(known))
    return known + first, place[tids.astype(np.int64) - first], counts[known]


@dataclass(frozen=True, slots=True)
class _Tasks:
    """Threads in order of number, what is known of each, and the place of each event's among them."""

    place: NDArray[np.intp]
    tid: NDArray[np.int64]
    tgid: NDArray[np.int32]
    comm: list[str | None]
    events: NDArray[np.int64]

    @classmethod
    def of(cls, events: Mapping[str, Column], comms: Column | None, info: TraceInfo) -> _Tasks:
        """From the facts of the trace, or from the events' own columns: then the last name that an event carries counts."""
        tids = events["tid"].data
        numbers, place, counts = _distinct(tids)
        names: dict[int, str | None] = {tid: info.cmdlines.get(tid) for tid in numbers.tolist()}
        if comms is None and 0 in names:
            # Each CPU's idle task; trace files do not name it.
            names[0] = names[0] or "<idle>"
        tgid = {tid: info.tgids.get(tid, -1) for tid in numbers.tolist()}
        if comms is not None and comms.words is not None:
            for tid, code in zip(tids.tolist(), comms.data.tolist(), strict=True):
                names[tid] = comms.words[code] if code >= 0 else names[tid]
        if "tgid" in events:
            told = _int(events["tgid"], -1) >= 0
            tgid |= dict(zip(tids[told].tolist(), events["tgid"].data[told].tolist(), strict=True))
        return cls(place, numbers, np.array(list(tgid.values()), np.int32), list(names.values()), counts)

    def columns(self, events: Mapping[str, Column]) -> dict[str, Column]:
        """Process id and name of each event's task."""
        name, tgid = words(self.comm), self.tgid[self.place]
        columns = {"comm": Column(name.data[self.place], words=name.words)}
        return columns if "tgid" in events else columns | {"tgid": Column(tgid, tgid < 0)}

    def table(self) -> pa.Table:
        kernel = [bool(_KTHREAD.match(name or "")) for name in self.comm]
        columns = {"tid": Column(self.tid), "tgid": Column(self.tgid, self.tgid < 0), "comm": words(self.comm)}
        return table(schema.TASKS, columns | {"kthread": Column(np.array(kernel, bool)), "events": Column(self.events)}, len(self.tid))


def _files(files: Files, slots: SlotMap, file_of: NDArray[np.int64]) -> pa.Table:
    count = len(files.names)
    starts, lengths = slots.of_files(count)
    parsed = [_DEVICE_INODE.fullmatch(name) for name in files.names]
    inodes = [int(match[3]) if match and int(match[3]) < 1 << 64 else None for match in parsed]
    return pa.Table.from_arrays(
        [
            Column(np.arange(count), words=files.names).arrow(schema.FILES.arrow_schema().field("file").type),
            pa.array(np.arange(count), pa.int32()),
            pa.array([f"{match[1]}:{match[2]}" if match else None for match in parsed], pa.string()),
            pa.array(inodes, pa.uint64()),
            pa.array(files.generations, pa.uint64()),
            pa.array(files.dax, pa.bool_()),
            pa.array(starts, pa.int64()),
            pa.array(lengths, pa.int64()),
            pa.array(np.bincount(file_of[file_of >= 0], minlength=count), pa.int64()),
        ],
        schema=schema.FILES.arrow_schema(),
    )


def _slot_table(slots: SlotMap) -> pa.Table:
    columns = {"file_id": slots.file_id, "index": slots.index, "npages": slots.npages, "slot": slots.slot}
    return table(schema.SLOTS, {name: Column(values) for name, values in columns.items()}, len(slots.slot))


def _tracepoints(rows: Sequence[tuple[str, str, int, str | None]]) -> pa.Table:
    names = schema.TRACEPOINTS.arrow_schema().names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in sorted(rows)], schema=schema.TRACEPOINTS.arrow_schema())
