"""Lowering: raw batches become canonical events and entities.

Each batch is gathered into words by the declared mappings and goes once, in order, through the compiled pass, which knows
what every task is doing. Ends of operations, files and slots are settled at the end, when the whole trace is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from replay._ext.identity import feed
from replay._ext.state import State
from replay.ingest.canonical import OP_CODE, Canonical, Column, Files, assemble, words
from replay.ingest.gather import Names, gather
from replay.ingest.identity import KEY, SOURCES, Identities, device_name, resolve, settle
from replay.ingest.mappings import Mapping, find

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from replay.ingest.losses import Losses
    from replay.ingest.records import EventName, RawBatch, TraceInfo

__all__ = ["Canonical", "Lowering"]

# The structs of _ext/rows.pxd.
ROW = np.dtype(
    [(name, "i8") for name in ("seq", "ts", "index", "npages", "value")]
    + [(name, "i4") for name in ("tid", "file", "mr", "pin")]
    + [("cpu", "i2"), ("flags", "u2"), ("op", "u1"), ("source", "u1"), ("confidence", "u1"), ("unused", "u1")]
)
PATCH = np.dtype([("row", "i8"), ("value", "i8"), ("column", "i8")])
PIN = np.dtype(
    [(name, "i8") for name in ("ts_pin", "ts_unpin", "index", "npages")]
    + [("addr", "u8"), ("mr", "i4"), ("tid", "i4"), ("file", "i4")]
    + [(name, "u1") for name in ("write", "longterm", "source", "confidence")]
)
REGION = np.dtype(
    [(name, "u8") for name in ("umem", "addr", "device")]
    + [(name, "i8") for name in ("bytes", "ts_reg", "ts_dereg", "result", "index", "npages")]
    + [("tid", "i4"), ("file", "i4")]
    + [(name, "u1") for name in ("write", "odp", "preexisting", "unused")]
    + [("padding", "V4")]
)
PATCHED = (
    "dur",
    "open",
    "result",
    "addr",
    "owner",
    "kind",
    "block",
    "nblocks",
    "block_device",
    "rdma_device",
    "op",
    "file",
    "index",
    "npages",
)
FLAGS = ("write", "longterm", "dirty", "sync", "odp", "busy", "open", "weak")
# Codes of PATCH_KIND: see the KIND_ constants of _ext/identity.pyx.
KINDS = (
    *("zero", "collapse", "insert", "shared", "private", "anonymous"),
    *(f"{kind}:{mode}" for kind in ("lease", "delegation", "layout") for mode in ("read", "write", "unlock")),
)
# The column that `value` of a row means.
_VALUE = {
    "cache_add": "pfn",
    "cache_del": "pfn",
    **dict.fromkeys(("remote_write", "remote_read", "mr_reg", "mmap", "munmap"), "bytes"),
    **dict.fromkeys(("pin", "fork", "migrate"), "result"),
}
_NOTHING = 255
_PAGE_OPS = ("dirty", "wb_start", "wb_end", "wb_wait", "cache_add", "cache_del", "reclaim")
# Order of the enum in _ext/state.pxd: (what is counted, of how many).
_COUNTERS = (
    (None, None),
    ("pins_unresolved", 0),
    ("mr_release_without_reg", None),
    ("ends_without_begin", None),
    ("begins_without_end", None),
    ("truncates_without_range", None),
    (None, None),
    ("remote_accesses_unresolved", 6),
    ("unpins_unmatched", None),
)
_FOLL_LONGTERM_NEW, _FOLL_LONGTERM_OLD = 0x100, 0x10000


def longterm_flag(uname: str | None) -> int:
    """FOLL_LONGTERM of the kernel that recorded: it moved in 6.3 (include/linux/mm.h, later mm_types.h)."""
    match = re.search(r"\b(\d+)\.(\d+)", uname or "")
    if match is None:
        return _FOLL_LONGTERM_NEW | _FOLL_LONGTERM_OLD
    return _FOLL_LONGTERM_OLD if (int(match[1]), int(match[2])) < (6, 3) else _FOLL_LONGTERM_NEW


@dataclass(slots=True)
class Lowering:
    """Lowers a trace batch by batch; `finish` gives the tables. Batches must come in order of seq."""

    info: TraceInfo
    losses: Losses
    names: Names = field(default_factory=Names)
    mappings: dict[EventName, Mapping | None] = field(default_factory=dict)
    counts: dict[EventName, int] = field(default_factory=dict)
    chunks: list[NDArray[Any]] = field(default_factory=list)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        reclaimers = frozenset(tid for tid, comm in self.info.cmdlines.items() if comm.startswith("kswapd"))
        self.state = State(self.info.tgids, reclaimers, longterm_flag(self.info.uname))

    def add(self, batch: RawBatch) -> None:
        tables = {}
        for name, table in batch.tables.items():
            if name not in self.mappings:
                self.mappings[name] = find(*name, frozenset(table.schema.names))
            self.counts[name] = self.counts.get(name, 0) + table.num_rows
            mapping = self.mappings[name]
            if mapping is not None and table.num_rows:
                tables[name] = (mapping, table)
        if tables:
            feed(self.state, **gather(tables, self.names))
            self.chunks.append(np.frombuffer(self.state.take_rows(), ROW))

    def finish(self) -> Canonical:
        self.state.close()
        patches, pins, regions, keys, counts = self.state.tables()
        self._count(counts)
        key_rows = np.frombuffer(keys, KEY)
        found = resolve(key_rows, list(self.names.codes))
        rows = _Rows(np.concatenate(self.chunks) if self.chunks else np.zeros(0, ROW), np.frombuffer(patches, PATCH))
        self.chunks = []
        events = rows.events(found)
        self._count_pages(events)
        dax = np.zeros(len(found.names), bool)
        dax[sorted(found.dax)] = True
        tracepoints = [(*name, count, mapping.op if (mapping := self.mappings[name]) else None) for name, count in self.counts.items()]
        mrs = _regions(np.frombuffer(regions, REGION), found, self.info)
        return assemble(
            events, Files(found.names, dax), mrs, _pins(np.frombuffer(pins, PIN), found, self.info), tracepoints, self.info, self.losses
        )

    def _count(self, counts: list[int]) -> None:
        for (name, total), count in zip(_COUNTERS, counts, strict=True):
            if name is not None and (count or total is not None):
                self.losses.add(name, count)
                if total is not None:
                    self.losses.of(name, counts[total])

    def _count_pages(self, events: dict[str, Column]) -> None:
        pages = np.isin(events["op"].data, [OP_CODE[op] for op in _PAGE_OPS])
        self.losses.add("events_without_file", int(np.count_nonzero(pages & (events["file"].data < 0))))
        self.losses.of("events_without_file", int(np.count_nonzero(pages)))


class _Rows:
    """Rows of the pass with their patches, as columns of the events table."""

    def __init__(self, rows: NDArray[Any], patches: NDArray[Any]) -> None:
        self.patches = {name: patches[patches["column"] == number] for number, name in enumerate(PATCHED)}
        self.fixed = {name: rows[name].copy() for name in ("op", "file", "index", "npages")}
        for name, values in self.fixed.items():
            values[self.patches[name]["row"]] = self.patches[name]["value"]
        keep = self.fixed["op"] != _NOTHING
        weak = _flag(rows["flags"], "weak")[1]
        strong = np.isin(np.arange(_NOTHING + 1), self.fixed["op"][keep & ~weak])
        keep &= ~(weak & strong[self.fixed["op"]])
        self.kept = np.flatnonzero(keep)
        self.whole = len(self.kept) == len(rows)
        self.size = len(rows)
        self.rows = rows if self.whole else rows[self.kept]
        self.fixed = {name: self.keep(values) for name, values in self.fixed.items()}

    def keep(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.whole else values[self.kept]

    def patched(self, name: str, type_: Any = np.int64) -> Column:
        """A column that only patches fill."""
        patches = self.patches[name]
        values, null = np.zeros(self.size, type_), np.ones(self.size, bool)
        values[patches["row"]] = patches["value"].view(np.uint64) if type_ is np.uint64 else patches["value"]
        null[patches["row"]] = False
        return Column(self.keep(values), self.keep(null))

    def valued(self, column: str) -> Column | None:
        """A column that `value` of some operations gives, with patches where it has any."""
        ops = [OP_CODE[op] for op, meant in _VALUE.items() if meant == column]
        null = ~np.isin(self.fixed["op"], ops) | (self.rows["value"] < 0)
        values = self.rows["value"].copy()
        if column in self.patches and len(self.patches[column]):
            patched = self.patched(column)
            assert patched.null is not None
            values, null = np.where(patched.null, values, patched.data), null & patched.null
        return Column(values, null)

    def events(self, found: Identities) -> dict[str, Column]:
        rows, keys = self.rows, self.fixed["file"]
        index, npages = self.fixed["index"], self.fixed["npages"]
        file = np.array([*found.file, -1], np.int64)[keys]
        if found.ambiguous:
            settle(found, keys, file, self.fixed["op"], index)
        opened, dur = self.patched("open"), self.patched("dur")
        assert opened.null is not None
        assert dur.null is not None
        return {
            **{name: Column(rows[name]) for name in ("seq", "ts", "cpu", "tid")},
            **{name: Column(rows[name], rows[name] < 0) for name in ("mr", "pin")},
            **{name: Column(value, ~known) for name in FLAGS[:6] for known, value in [_flag(rows["flags"], name)]},
            "op": Column(self.fixed["op"]),
            "file": Column(file),
            "index": Column(index, index < 0),
            "npages": Column(npages, npages < 0),
            "open": Column(~opened.null),
            "dur": Column(dur.data, dur.null | ~opened.null),
            "addr": self.patched("addr", np.uint64),
            "owner": self.patched("owner", np.uint64),
            "block": self.patched("block"),
            "nblocks": self.patched("nblocks"),
            "kind": Column(_coded(self.patched("kind")), words=KINDS),
            "device": self._devices(),
            **{name: column for name in ("pfn", "bytes", "result") if (column := self.valued(name))},
            **self._grades(found, keys, file),
        }

    def _devices(self) -> Column:
        """Kernel pointers of RDMA devices, and block devices by number."""
        rdma, block = _coded(self.patched("rdma_device")), _coded(self.patched("block_device"))
        codes = np.full(len(rdma), -1, np.int32)
        names: list[str] = []
        for values, name in ((rdma, pointer_name), (block, device_name)):
            known = np.flatnonzero(values != -1)
            distinct, place = np.unique(values[known], return_inverse=True)
            codes[known] = len(names) + place
            names += [name(int(value)) for value in distinct]
        return Column(codes, words=names)

    def _grades(self, found: Identities, keys: NDArray[Any], file: NDArray[Any]) -> dict[str, Column]:
        """Rows that an event's own identity names take that identity's grade; a file that was decided row by row is less sure."""
        source, by_key = self.rows["source"].astype(np.int32), self.rows["source"] == 0
        confidence = self.rows["confidence"] / 100
        unresolved = SOURCES.index("unresolved")
        source = np.where(by_key, np.array([*found.source, -1], np.int32)[keys], source)
        confidence = np.where(by_key, np.array([*found.confidence, 0.0])[keys], confidence)
        decided = by_key & (file >= 0) & (source == unresolved)
        source, confidence = np.where(decided, SOURCES.index("cooccurrence"), source), np.where(decided, 0.6, confidence)
        return {"id_source": Column(source, words=SOURCES), "id_confidence": Column(confidence, source < 0)}


def pointer_name(pointer: int) -> str:
    return f"{pointer & (1 << 64) - 1:#x}"


def _flag(flags: NDArray[Any], name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where a flag is told, and its value."""
    bit = 2 * FLAGS.index(name)
    return (flags & (1 << bit)) != 0, (flags & (2 << bit)) != 0


def _coded(column: Column) -> NDArray[Any]:
    return column.data if column.null is None else np.where(column.null, -1, column.data)


def _tasks(tids: NDArray[Any], info: TraceInfo) -> dict[str, Column]:
    tgids = np.array([info.tgids.get(tid, -1) for tid in tids.tolist()], np.int32)
    return {"tid": Column(tids), "tgid": Column(tgids, tgids < 0)}


def _regions(regions: NDArray[Any], found: Identities, info: TraceInfo) -> dict[str, Column]:
    file = np.array([*found.file, -1], np.int64)[regions["file"]]
    old = regions["preexisting"] != 0
    return {
        "mr": Column(np.arange(len(regions))),
        "label": words([pointer_name(umem) if umem else None for umem in regions["umem"].tolist()]),
        "device": words([pointer_name(device) if device not in {0, (1 << 64) - 1} else None for device in regions["device"].tolist()]),
        **_tasks(regions["tid"], info),
        "comm": words([info.cmdlines.get(tid) for tid in regions["tid"].tolist()]),
        "addr": Column(regions["addr"], old),
        "bytes": Column(regions["bytes"], old),
        "file": Column(file),
        "index": Column(regions["index"], (file < 0) | (regions["index"] < 0)),
        "npages": Column(np.where(file < 0, 0, regions["npages"])),
        **{name: Column(regions[name] != 0) for name in ("write", "odp", "preexisting")},
        "result": Column(regions["result"]),
        **{name: Column(regions[name], regions[name] < 0) for name in ("ts_reg", "ts_dereg")},
    }


def _pins(pins: NDArray[Any], found: Identities, info: TraceInfo) -> dict[str, Column]:
    file = np.array([*found.file, -1], np.int64)[pins["file"]]
    return {
        "pin": Column(np.arange(len(pins))),
        "mr": Column(pins["mr"], pins["mr"] < 0),
        **_tasks(pins["tid"], info),
        "file": Column(file),
        "index": Column(pins["index"], (file < 0) | (pins["index"] < 0)),
        "npages": Column(pins["npages"]),
        "addr": Column(pins["addr"]),
        "write": Column(pins["write"] != 0),
        "longterm": Column(pins["longterm"] != 0),
        "ts_pin": Column(pins["ts_pin"]),
        "ts_unpin": Column(pins["ts_unpin"], pins["ts_unpin"] < 0),
        "preexisting": Column(np.zeros(len(pins), bool)),
        "id_source": Column(pins["source"].astype(np.int32), words=SOURCES),
        "id_confidence": Column(pins["confidence"] / 100),
    }
