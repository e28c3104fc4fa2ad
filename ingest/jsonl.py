"""events.jsonl: canonical events as text, one JSON object a line in time order, so that scripts and simulators can feed the replayer."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from replay import schema
from replay.errors import TraceError
from replay.ingest.assembly import Assembly, Files
from replay.ingest.canonical import OP_CODE, TOUCHING_OPS, Canonical, Column, Whole, numbers, words
from replay.ingest.losses import Losses
from replay.ingest.ranges import Ranges
from replay.ingest.records import TraceInfo
from replay.ingest.registrations import Registrations
from replay.ingest.slots import INDEX_END

if TYPE_CHECKING:
    from replay.ingest.records import Progress

# What a key may hold: (types, lowest, highest integer). null means "not told", except in `dur`: not ended.
_INT64, _INT32, _UINT64 = (1 << 63) - 1, (1 << 31) - 1, (1 << 64) - 1
# What the replay can count with: times below 2^61 ns, ranges of less than 2^31 pages, CPUs that a kernel could have.
_TIME, _RANGE, _CPU = (1 << 61) - 1, (1 << 31) - 1, (1 << 16) - 1
_KEYS: dict[str, tuple[frozenset[type], str, int, int]] = {
    **{key: (frozenset({int}), "a non-negative 64-bit integer", 0, _INT64) for key in ("bytes", "pfn", "block", "nblocks")},
    **{key: (frozenset({int}), "a time of 0 to 2^61 - 1 ns", 0, _TIME) for key in ("ts", "dur")},
    "index": (frozenset({int}), "a page of a file, 0 to 2^51 - 2", 0, INDEX_END - 2),
    "cpu": (frozenset({int}), "a CPU, 0 to 65535", 0, _CPU),
    "npages": (frozenset({int}), "a positive 64-bit integer", 1, _INT64),
    **{key: (frozenset({int}), "a non-negative 32-bit integer", 0, _INT32) for key in ("tid", "tgid")},
    **{key: (frozenset({int}), "an unsigned 64-bit integer", 0, _UINT64) for key in ("addr", "owner")},
    "result": (frozenset({int}), "a 64-bit integer", -_INT64 - 1, _INT64),
    **{key: (frozenset({str}), "a string", 0, 0) for key in ("op", "comm", "file", "device", "kind")},
    **{key: (frozenset({bool}), "true or false", 0, 0) for key in ("write", "longterm", "dirty", "sync", "dax", "odp", "busy")},
    **{key: (frozenset({int, str}), "an integer or a string", -_INT64 - 1, _INT64) for key in ("mr", "pin")},
}
_TYPES: dict[str, type[np.generic]] = {
    **dict.fromkeys(("dur", "tgid", "cpu", "index", "npages", "bytes", "pfn", "block", "nblocks", "result", "mr", "pin"), np.int64),
    **dict.fromkeys(("addr", "owner"), np.uint64),
    **dict.fromkeys(("write", "longterm", "dirty", "sync", "odp", "busy"), np.bool_),
}
_WORDS = ("comm", "device", "kind")
_BLOCK_OPS = frozenset({"block_alloc", "block_free"})
_REGISTERING = frozenset({"pin", "unpin", "mr_reg", "mr_dereg"})

# Keys without which an operation says nothing.
_PAGE = ("file", "index")
_NEEDED = {
    **dict.fromkeys(("dirty", "wb_start", "wb_end", "wb_wait", "cache_add", "cache_del"), _PAGE),
    **dict.fromkeys(("punch", "collapse", "reflink"), ("file", "index", "npages")),
    **dict.fromkeys(("truncate", "fsync", "layout_wait", "lease_break", "lease_add", "lease_del", "fallocate"), ("file",)),
    "mr_reg": ("mr",),
    "mr_dereg": ("mr",),
}

_LINE_BYTES = 1 << 20
_CHUNK_LINES = 1 << 15

Event = dict[str, Any]


@dataclass(slots=True)
class _Input:
    """Where we are in the file, for errors and progress."""

    path: str
    line: int = 0
    offset: int = 0
    offsets: list[int] = field(default_factory=list)

    def error(self, row: int, what: str) -> TraceError:
        """An error about event `row`, counted from 0, of the current chunk."""
        line, offset = self.offsets[row] >> 48, self.offsets[row] & ((1 << 48) - 1)
        return TraceError(self.path, offset, f"line {line}: {what}")


def read_jsonl(path: str | os.PathLike[str], progress: Progress | None = None) -> tuple[TraceInfo, Canonical]:
    """Read a whole events.jsonl. Raises TraceError for the first line that is not an event, or not in time order."""
    losses = Losses()
    lowered = _Lowered(Registrations(losses))
    source = _Input(os.fspath(path))
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as stream:
            for events in _chunks(stream, source):
                _check(events, source)
                for row, event in enumerate(events):
                    lowered.add(event, source, row)
                lowered.flush()
                if progress:
                    progress(source.offset, size)
    except OSError as error:
        raise TraceError(path, None, error.strerror or str(error)) from error
    info = TraceInfo(source.path, "events.jsonl", "none", None, lowered.cpus)
    return info, lowered.finish(info, losses)


def _chunks(stream: BinaryIO, source: _Input) -> Iterator[list[Event]]:
    """Lists of parsed lines; blank lines count but hold no event."""
    events: list[Event] = []
    source.offsets = []
    decode = json.JSONDecoder(parse_constant=_no_constant).decode
    while line := stream.readline(_LINE_BYTES + 1):
        source.line += 1
        if line.strip():
            source.offsets.append(source.line << 48 | source.offset)
            events.append(_parse(line, decode, source))
        source.offset += len(line)
        if len(events) >= _CHUNK_LINES:
            yield events
            events, source.offsets = [], []
    yield events


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _parse(line: bytes, decode: Any, source: _Input) -> Event:
    row = len(source.offsets) - 1
    if len(line) > _LINE_BYTES:
        raise source.error(row, f"expected a line of at most {_LINE_BYTES} bytes")
    try:
        event = decode(line.decode())
        if b"\\u" in line:
            json.dumps(event, ensure_ascii=False).encode()  # half of a surrogate pair is no character
    except (ValueError, RecursionError) as error:
        raise source.error(row, f"expected a JSON object ({error})") from error
    if type(event) is not dict:
        raise source.error(row, f"expected a JSON object, found {_kind(event)}")
    return event


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}.get(type(value), "a number")


def _check(events: list[Event], source: _Input) -> None:
    """Types, ranges and order of a chunk: by column, since a column of right types is told by its set of types."""
    present = set().union(*events)
    if unknown := present - set(_KEYS):
        row, key = next((row, key) for row, event in enumerate(events) for key in event if key in unknown)
        near = difflib.get_close_matches(key, _KEYS, n=1)
        raise source.error(row, f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for key in sorted(present):
        types, expected, low, high = _KEYS[key]
        values = [event.get(key) for event in events]
        found = set(map(type, values)) - {type(None)}
        numbers = [value for value in values if type(value) is int] if int in found else []
        if found <= types and (not numbers or (low <= min(numbers) and max(numbers) <= high)):
            continue
        wrong = next(row for row, value in enumerate(values) if _is_wrong(value, types, low, high))
        raise source.error(wrong, f"{key}: expected {expected}, found {json.dumps(values[wrong], default=str)[:40]}")


def _is_wrong(value: object, types: frozenset[type], low: int, high: int) -> bool:
    if value is None:
        return False
    return type(value) not in types or (type(value) is int and not low <= value <= high)


def _check_range(event: Event, source: _Input, row: int) -> None:
    """A range whose every page counts, unlike that of a punch, which may reach to the end of any file."""
    index, npages = event.get("index"), event.get("npages")
    if index is not None and npages is not None and (npages > _RANGE or npages > INDEX_END - 1 - index):
        raise source.error(row, f"npages: expected at most {min(_RANGE, INDEX_END - 1 - index)} pages from index {index}, found {npages}")


@dataclass(slots=True)
class _Lowered:
    """Rows of the events table while they are read: the current chunk as dicts, what is done as columns."""

    registrations: Registrations
    rows: list[Event] = field(default_factory=list)
    done: dict[str, list[Column]] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    spoken: dict[str, dict[str, int]] = field(default_factory=lambda: {key: {} for key in _WORDS})
    dax: set[int] = field(default_factory=set)
    ts: int = 0
    cpus: int = 1

    def add(self, event: Event, source: _Input, row: int) -> None:
        op = event.get("op")
        for key in ("file", "comm"):
            if event.get(key) == "":
                event[key] = None  # no name
        if op not in OP_CODE:
            near = difflib.get_close_matches(str(op), OP_CODE, n=1)
            raise source.error(row, f"op: expected a canonical operation, found {op!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        ts = event.get("ts")
        if ts is None:
            raise source.error(row, "ts: expected a time in nanoseconds, found none")
        if ts < self.ts:
            raise source.error(row, f"expected events in time order, found ts {ts} after {self.ts}")
        for key in _NEEDED.get(op, ()):
            if event.get(key) is None:
                raise source.error(row, f"{op}: expected {key!r}, found none")
        self.ts = ts
        if event.get("cpu"):
            self.cpus = max(self.cpus, event["cpu"] + 1)
        event["seq"] = (source.offsets[row] >> 48) - 1
        event["open"] = op in schema.INTERVAL_OPS and "dur" in event and event["dur"] is None
        name = event.get("file")
        event["file"] = -1 if name is None else self.files.setdefault(name, len(self.files))
        if event.get("dax") and name is not None:
            self.dax.add(event["file"])
        if op in TOUCHING_OPS and event.get("npages") is None and event.get("index") is not None:
            event["npages"] = 1
        if op in _BLOCK_OPS and event.get("npages") is None and event.get("index") is not None:
            event["npages"] = event.get("nblocks")
        if op in TOUCHING_OPS or op == "mr_reg":
            _check_range(event, source, row)
        if op in _REGISTERING or "mr" in event or "pin" in event:
            self.rows.extend(self.registrations.expand(event))
        else:
            self.rows.append(event)

    def flush(self) -> None:
        """Turn the chunk into columns, so that memory grows by columns and not by dicts."""
        rows, self.rows = self.rows, []
        self.lengths.append(len(rows))
        present = set().union(*rows)
        plain = {
            "seq": Column(np.array([row["seq"] for row in rows], np.int64)),
            "ts": Column(np.array([row["ts"] for row in rows], np.int64)),
            "op": Column(np.array([OP_CODE[row["op"]] for row in rows], np.int16)),
            "tid": Column(np.array([row.get("tid") or 0 for row in rows], np.int32)),
            "file": Column(np.array([row["file"] for row in rows], np.int64)),
            "open": Column(np.array([bool(row.get("open")) for row in rows], bool)),
        }
        told = {key: numbers([row.get(key) for row in rows], type_) for key, type_ in _TYPES.items() if key in present}
        coded = {key: words([row.get(key) for row in rows], self.spoken[key]) for key in _WORDS if key in present}
        for key, column in (plain | told | coded).items():
            self.done.setdefault(key, [Column(np.zeros(length, column.data.dtype), np.ones(length, bool)) for length in self.lengths[:-1]])
            self.done[key].append(column)
        for key in set(self.done) - set(plain) - set(told) - set(coded):
            self.done[key].append(Column(np.zeros(len(rows), self.done[key][0].data.dtype), np.ones(len(rows), bool)))

    def finish(self, info: TraceInfo, losses: Losses) -> Canonical:
        dax = np.zeros(len(self.files), bool)
        dax[sorted(self.dax)] = True
        events = {key: _joined(parts, list(self.spoken[key]) if key in self.spoken else None) for key, parts in self.done.items()}
        nowhere = events["file"].data < 0
        events |= {
            "id_source": Column(np.where(nowhere, -1, 0), words=("direct",)),
            "id_confidence": Column(np.ones(len(nowhere)), nowhere),
        }
        for key in ("index", "npages"):
            events.setdefault(key, Column(np.zeros(len(nowhere), np.int64), np.ones(len(nowhere), bool)))
        mrs, pins = self.registrations.tables()
        ranges = Ranges.of_events(events)
        assembly = Assembly(info, Files(list(self.files), dax, [None] * len(self.files)), ranges.slots())
        part = Whole(assembly.events(events, ranges))
        return Canonical([part], lambda: assembly.entities(mrs, pins, [], losses), assembly.totals)


def _joined(parts: list[Column], spoken: list[str] | None) -> Column:
    """One column of its chunks. In a column of words NULL is a negative code, and a chunk without the key has zeros and a mask."""
    data = np.concatenate([part.data for part in parts])
    if all(part.null is None for part in parts):
        return Column(data, words=spoken)
    null = np.concatenate([np.zeros(len(part.data), bool) if part.null is None else part.null for part in parts])
    return Column(data, null) if spoken is None else Column(np.where(null, -1, data), words=spoken)
