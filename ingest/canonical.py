"""From lowered columns to the stored tables: numbers files, slots and tasks, and puts every column into its declared schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from replay.ingest.slots import INDEX_END, SlotMap, number_slots

from replay import schema

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from replay.ingest.losses import Losses
    from replay.ingest.records import TraceInfo

OP_CODE = {op: code for code, op in enumerate(schema.OPS)}

# Operations whose range is pages that really take part. A truncate's, an fsync's or a mapping's range only selects among them.
_TOUCHING = (
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
)
# Operations that concern their file from `index` (or its beginning) to its end where no length is given.
_OPEN_ENDED = ("truncate", "collapse", "layout_wait")
_DEVICE_INODE = re.compile(r"(\d+):(\d+):(\d+)")
_KTHREAD = re.compile(r"(kworker|kswapd|jbd2|ksoftirqd|kcompactd|khugepaged|flush-|xfsaild|rcu_|migration/|swapper|<idle>)")


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
            return pa.array(self.data, mask=self.null).cast(type_)
        codes = pa.array(self.data.astype(np.int32, copy=False), mask=self.data < 0)
        values = pa.DictionaryArray.from_arrays(codes, pa.array(self.words, pa.string()))
        return values if pa.types.is_dictionary(type_) else values.cast(type_)


def numbers(values: list[Any], type_: Any) -> Column:
    """A column of numbers or truth values of which None is NULL."""
    null = np.array([value is None for value in values], bool)
    return Column(np.array([0 if value is None else value for value in values], type_), null)


def words(values: list[str | None]) -> Column:
    """A dictionary-encoded column; words in order of appearance."""
    codes: dict[str, int] = {}
    data: NDArray[np.int32] = np.array([-1 if value is None else codes.setdefault(value, len(codes)) for value in values], np.int32)
    return Column(data, words=list(codes))


@dataclass(frozen=True, slots=True)
class Files:
    """The files that events name by number: what they are called, and whether the trace shows them mapped directly."""

    names: Sequence[str]
    dax: NDArray[np.bool_]


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
    slots = _slots(events)
    slot, nslots = _locate(events, slots)
    file_of = events["file"].data.astype(np.int64, copy=False)
    dax_events = files.dax[file_of] & (file_of >= 0) if len(files.names) else np.zeros(rows, bool)
    events |= {
        "op": Column(events["op"].data, words=schema.OPS),
        "file": Column(events["file"].data, words=files.names),
        "slot": Column(slot),
        "nslots": Column(nslots),
        **_task_columns(events, info),
    }
    if "dax" not in events:
        events["dax"] = Column(dax_events, ~dax_events)
    mrs["file"] = Column(mrs["file"].data, words=files.names)
    pin_slot, _ = _locate_ranges(slots, pins)
    pins |= {"file": Column(pins["file"].data, words=files.names), "slot": Column(pin_slot)}
    return Canonical(
        {
            "events": table(schema.EVENTS, events, rows),
            "files": _files(files, slots, file_of),
            "slots": _slot_table(slots),
            "tasks": _tasks(events, info),
            "mrs": table(schema.MRS, mrs, len(mrs["mr"].data)),
            "pins": table(schema.PINS, pins, len(pins["pin"].data)),
            "tracepoints": _tracepoints(tracepoints),
            "losses": pa.Table.from_pylist(losses.rows(), schema=schema.LOSSES.arrow_schema()),
        }
    )


def _int(column: Column, missing: int) -> NDArray[np.int64]:
    data = column.data.astype(np.int64, copy=False)
    return data if column.null is None else np.where(column.null, missing, data)


def _touching(events: Mapping[str, Column]) -> NDArray[np.bool_]:
    wanted = np.zeros(len(schema.OPS), bool)
    wanted[[OP_CODE[op] for op in _TOUCHING]] = True
    index, npages = _int(events["index"], -1), _int(events["npages"], -1)
    known = (events["file"].data >= 0) & (index >= 0) & (npages > 0) & (index < INDEX_END) & (npages < INDEX_END)
    return np.asarray(wanted[events["op"].data] & known & (index + np.maximum(npages, 0) < INDEX_END) & ~_failed_pins(events))


def _failed_pins(events: Mapping[str, Column]) -> NDArray[np.bool_]:
    """A pin call that returned an error holds no page."""
    op = events["op"].data
    return np.asarray((op == OP_CODE["pin"]) & (_int(events["result"], 0) < 0)) if "result" in events else np.zeros(len(op), bool)


def _slots(events: Mapping[str, Column]) -> SlotMap:
    rows = np.flatnonzero(_touching(events))
    begin = _int(events["index"], -1)[rows]
    return number_slots(events["file"].data[rows].astype(np.int64), begin, begin + _int(events["npages"], -1)[rows])


def _locate(events: Mapping[str, Column], slots: SlotMap) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Slot range of each event. A truncate reaches to the end of its file; other ranges without a length touch nothing known."""
    op, file = events["op"].data, events["file"].data.astype(np.int64)
    begin, npages = _int(events["index"], -1), _int(events["npages"], -1)
    open_ended = np.isin(op, [OP_CODE[op] for op in _OPEN_ENDED]) & (npages < 0)
    known = (file >= 0) & (begin >= 0) & (begin < INDEX_END) & (open_ended | (npages > 0))
    rows = np.flatnonzero(known & ~_failed_pins(events) & (op != OP_CODE["mmap"]))
    start = begin[rows]
    end = np.where(open_ended[rows], INDEX_END - 1, start + np.minimum(npages[rows], INDEX_END - 1 - start))
    slot, nslots = np.full(len(op), -1, np.int64), np.zeros(len(op), np.int64)
    slot[rows], nslots[rows] = slots.locate(file[rows], start, end)
    return slot, nslots


def _locate_ranges(slots: SlotMap, pins: Mapping[str, Column]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    file, begin, npages = pins["file"].data.astype(np.int64), _int(pins["index"], -1), _int(pins["npages"], -1)
    rows = np.flatnonzero((file >= 0) & (begin >= 0) & (begin < INDEX_END))
    slot, nslots = np.full(len(file), -1, np.int64), np.zeros(len(file), np.int64)
    slot[rows], nslots[rows] = slots.locate(file[rows], begin[rows], begin[rows] + np.minimum(npages[rows], INDEX_END - 1 - begin[rows]))
    return slot, nslots


def _task_columns(events: Mapping[str, Column], info: TraceInfo) -> dict[str, Column]:
    """Process id and name of each event's task from the facts of the trace, where the events do not bring their own."""
    if "comm" in events:
        return {}
    tids, place = np.unique(events["tid"].data, return_inverse=True)
    names = sorted({info.cmdlines[int(tid)] for tid in tids if int(tid) in info.cmdlines})
    code = {name: number for number, name in enumerate(names)}
    comm = np.array([code.get(info.cmdlines.get(int(tid), ""), -1) for tid in tids], np.int32)
    tgid = np.array([info.tgids.get(int(tid), -1) for tid in tids], np.int32)
    return {"comm": Column(comm[place], words=names), "tgid": Column(tgid[place], tgid[place] < 0)}


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


def _tasks(events: Mapping[str, Column], info: TraceInfo) -> pa.Table:
    """One row per thread, ordered by number; the name is the last one that an event of it carries."""
    tids, last, counts = np.unique(events["tid"].data[::-1], return_index=True, return_counts=True)
    rows = len(events["tid"].data) - 1 - last
    comm, tgid = events["comm"], events["tgid"]
    names = [comm.words[code] if comm.words and code >= 0 else None for code in comm.data[rows].tolist()]
    tgids = [None if tgid.null is not None and tgid.null[row] else int(tgid.data[row]) for row in rows.tolist()]
    return pa.Table.from_arrays(
        [
            pa.array(tids, pa.int32()),
            pa.array(tgids, pa.int32()),
            pa.array(names, pa.string()),
            pa.array([bool(_KTHREAD.match(name or "")) for name in names], pa.bool_()),
            pa.array(counts, pa.int64()),
        ],
        schema=schema.TASKS.arrow_schema(),
    )


def _tracepoints(rows: Sequence[tuple[str, str, int, str | None]]) -> pa.Table:
    names = schema.TRACEPOINTS.arrow_schema().names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in sorted(rows)], schema=schema.TRACEPOINTS.arrow_schema())
