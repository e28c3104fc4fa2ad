"""Lowering: raw batches become canonical events and entities.

Each batch is gathered into words by the declared mappings and goes once, in order, through the compiled pass, which knows
what every task is doing. Ends of operations, files and slots are settled at the end, when the whole trace is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from replay._ext.identity import feed
from replay._ext.state import State
from replay.ingest.canonical import OP_CODE, Canonical, Column, Files, assemble, words
from replay.ingest.gather import Names, gather
from replay.ingest.identity import KEY, SOURCES, Identities, resolve
from replay.ingest.mappings import find
from replay.ingest.rows import PATCH, Rows, pointer_name
from replay.ingest.sources import Mapping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay.ingest.losses import Losses
    from replay.ingest.records import EventName, RawBatch, TraceInfo

__all__ = ["Canonical", "Lowering"]

# The structs of _ext/rows.pxd.
PIN = np.dtype(
    [(name, "i8") for name in ("ts_pin", "ts_unpin", "index", "npages")]
    + [("addr", "u8"), ("row", "i8"), ("mr", "i4"), ("tid", "i4"), ("file", "i4")]
    + [(name, "u1") for name in ("write", "longterm", "source", "confidence")]
)
REGION = np.dtype(
    [(name, "u8") for name in ("umem", "addr", "device")]
    + [(name, "i8") for name in ("bytes", "ts_reg", "ts_dereg", "result", "index", "npages")]
    + [("tid", "i4"), ("file", "i4")]
    + [(name, "u1") for name in ("write", "odp", "preexisting", "unused")]
    + [("padding", "V4")]
)
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
    chunks: list[dict[str, NDArray[Any]]] = field(default_factory=list)
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
            feed(self.state, *gather(tables, self.names))
            self.chunks.append({name: np.asarray(values) for name, values in self.state.take_rows().items()})

    def finish(self) -> Canonical:
        self.state.close()
        info = replace(self.info, tgids=self.state.processes() | self.info.tgids)
        patches, pins, regions, keys, counts = self.state.tables()
        self._count(counts)
        key_rows = np.frombuffer(keys, KEY)
        found = resolve(key_rows, list(self.names.codes))
        rows = Rows(self.chunks, np.frombuffer(patches, PATCH))
        self.chunks = []
        events = rows.events(found, key_rows["kind"])
        self._count_pages(events)
        held = _pins(np.frombuffer(pins, PIN), found, info)
        self._count_waits(events, held)
        dax = np.zeros(len(found.names), bool)
        dax[sorted(found.dax)] = True
        tracepoints = [(*name, count, mapping.op if (mapping := self.mappings[name]) else None) for name, count in self.counts.items()]
        mrs = _regions(np.frombuffer(regions, REGION), found, info)
        files = Files(found.names, dax, [found.generations.get(file) for file in range(len(found.names))])
        return assemble(events, files, mrs, held, tracepoints, info, self.losses)

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

    def _count_waits(self, events: dict[str, Column], pins: dict[str, Column]) -> None:
        """The kernel waits for busy DAX pages only: where no pin of ours explains one, ours are not all."""
        waits = np.flatnonzero(events["op"].data == OP_CODE["layout_wait"])
        file, ts = events["file"].data[waits], events["ts"].data[waits]
        ended = np.where(pins["ts_unpin"].data < 0, np.iinfo(np.int64).max, pins["ts_unpin"].data)
        held = _until(pins["file"].data, pins["ts_pin"].data, file, ts) - _until(pins["file"].data, ended, file, ts)
        if len(waits):
            self.losses.add("waits_without_pin", int(np.count_nonzero((file < 0) | (held <= 0))))
            self.losses.of("waits_without_pin", len(waits))


def _until(file: NDArray[Any], ts: NDArray[Any], of_file: NDArray[Any], until: NDArray[Any]) -> NDArray[np.int64]:
    """For each (of_file, until) the number of (file, ts) not behind it in the order of files, then times."""
    asked = np.repeat((0, 1), (len(file), len(until)))
    order = np.lexsort((asked, np.append(ts, until), np.append(file, of_file)))
    before = np.empty(len(order), np.int64)
    before[order] = np.cumsum(1 - asked[order])
    return before[len(file) :]


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
