"""Lowering: raw batches become canonical events and entities.

Each batch becomes words by the declared mappings and goes once, in order, through the compiled pass, which knows
what every task is doing. Ends of operations, files and slots are settled at the end, when the whole trace is known: the rows
wait in a spill, and become events chunk by chunk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replay._ext.feed import feed
from replay._ext.known import touched
from replay._ext.state import State
from replay._ext.touched import PageBits
from replay.ingest.assembly import Assembly, Files
from replay.ingest.before import settle
from replay.ingest.canonical import OP_CODE, TOUCHING_OPS, Canonical, Column, is_op, words
from replay.ingest.gather import Names, Plan
from replay.ingest.identity import KEY, SOURCES, Graded, Identities, resolve
from replay.ingest.mappings import find_all
from replay.ingest.rows import WAIT, Columns, Known, Part, divide, pointer_name
from replay.ingest.slots import RUN, SlotMap, number_runs
from replay.ingest.spill import Spill
from replay.ingest.tasks import Tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from replay._ext.settling import Settling
    from replay.ingest.losses import Losses
    from replay.ingest.records import EventName, RawBatch, TraceInfo
    from replay.statefile import SystemState

__all__ = ["Canonical", "Lowering"]

# The structs of _ext/rows.pxd.
PIN = np.dtype(
    [(name, "i8") for name in ("ts_pin", "ts_unpin", "index", "npages")]
    + [("addr", "u8"), ("row", "i8"), ("mr", "i4"), ("tid", "i4"), ("file", "i4")]
    + [(name, "u1") for name in ("write", "longterm", "source", "confidence")]
    + [("held", "i4"), ("padding", "V4")]
)
REGION = np.dtype(
    [(name, "u8") for name in ("umem", "addr", "device")]
    + [(name, "i8") for name in ("bytes", "ts_reg", "ts_dereg", "result", "index", "npages")]
    + [("tid", "i4"), ("file", "i4")]
    + [(name, "u1") for name in ("write", "odp", "preexisting", "unused")]
    + [("padding", "V4")]
)
# Rows are put aside once there are so many of them; each time becomes a row group of the events table.
CHUNK_ROWS = 1 << 18
_PAGE_OPS = ("dirty", "wb_start", "wb_end", "wb_wait", "cache_add", "cache_del", "reclaim")
_TOUCHING = is_op(np.arange(256), *TOUCHING_OPS).view(np.uint8)
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
    ("short_pins_unreleased", None),
)
_FOLL_LONGTERM_NEW, _FOLL_LONGTERM_OLD = 0x100, 0x10000


def longterm_flag(uname: str | None) -> int:
    """FOLL_LONGTERM of the kernel that recorded: it moved in 6.3 (include/linux/mm.h, later mm_types.h)."""
    match = re.search(r"\b(\d+)\.(\d+)", uname or "")
    if match is None:
        return _FOLL_LONGTERM_NEW | _FOLL_LONGTERM_OLD
    return _FOLL_LONGTERM_OLD if (int(match[1]), int(match[2])) < (6, 3) else _FOLL_LONGTERM_NEW


def short_pins_last(uname: str | None) -> bool:
    """Up to Linux 6.2 direct IO does not pin, and what else pins for a short time lets go by calls that the probes see."""
    return longterm_flag(uname) == _FOLL_LONGTERM_OLD


@dataclass(slots=True)
class Lowering:
    """Lowers a trace batch by batch; `finish` gives the tables. Batches must come in order of seq.

    `folder` is where rows wait on disk if they are too many; `close` when done with the tables. `before` is the state beside the trace.
    """

    info: TraceInfo
    losses: Losses
    folder: Path | None = None
    before: SystemState | None = None
    names: Names = field(default_factory=Names)
    plans: dict[EventName, tuple[Plan, ...]] = field(default_factory=dict)
    counts: dict[EventName, int] = field(default_factory=dict)
    pages: PageBits = field(default_factory=lambda: PageBits(_TOUCHING))
    spill: Spill = field(init=False)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        reclaimers = frozenset(tid for tid, comm in self.info.cmdlines.items() if comm.startswith("kswapd"))
        self.state = State(self.info.tgids, reclaimers, longterm_flag(self.info.uname), short_pins_last(self.info.uname))
        if self.before is not None:
            for pid, ranges in self.before.ranges.items():
                self.state.precede(pid, ranges)
        self.spill = Spill(self.folder)

    def add(self, batch: RawBatch) -> None:
        tables = []
        for name, table in batch.tables.items():
            if name not in self.plans:
                found = find_all(*name, frozenset(table.schema.names))
                self.plans[name] = tuple(Plan.of(mapping, table.schema) for mapping in found)
            self.counts[name] = self.counts.get(name, 0) + table.num_rows
            tables += [plan.gather(table, self.names) for plan in self.plans[name]]
        feed(self.state, self.pages, self.spill.packer, tables)
        if self.spill.packer.rows >= CHUNK_ROWS:
            self.spill.take(self.state)

    def finish(self) -> Canonical:
        self.state.close()
        self.spill.take(self.state)
        self.spill.finish()
        info = replace(self.info, tgids=self.state.processes() | self.info.tgids)
        pins, regions, keys, counts = self.state.tables()
        self._count(counts)
        pin_rows, region_rows = np.frombuffer(pins, PIN), np.frombuffer(regions, REGION)
        key_rows = settle(np.frombuffer(keys, KEY), np.append(pin_rows["file"], region_rows["file"]), self.before)
        found = resolve(key_rows, list(self.names.codes))
        dax = np.zeros(len(found.names), bool)
        dax[sorted(found.dax)] = True
        files = Files(found.names, dax, [found.generations.get(file) for file in range(len(found.names))])
        known = Known(Graded.of(found, key_rows["kind"]), self._superseded(), found.names, dax, Tasks(info).named())
        divided = divide(len(self.spill.chunks))
        slots, settlings = self._slots(known, divided)
        assembly = Assembly(info, files, slots)
        rooms: list[Columns] = []
        parts = [Part.of(self.spill, chunks, known, slots, settling, rooms) for chunks, settling in zip(divided, settlings, strict=True)]

        def entities() -> dict[str, pa.Table]:
            for part in parts:
                assembly.count(part)
            held = _pins(pin_rows, found, info)
            self._count_pages_and_waits(parts, held)
            meant = {name: plans[0].mapping.op if plans else None for name, plans in self.plans.items()}
            tracepoints = [(*name, count, meant[name]) for name, count in self.counts.items()]
            return assembly.entities(_regions(region_rows, found, info), held, tracepoints, self.losses)

        return Canonical(parts, entities, assembly.totals)

    def close(self) -> None:
        self.spill.close()

    def _superseded(self) -> NDArray[np.bool_]:
        superseded = np.zeros(256, bool)
        superseded[self.pages.superseded()] = True
        return superseded

    def _slots(self, known: Known, parts: Sequence[range]) -> tuple[SlotMap, list[Settling | None]]:
        """Slots of all touched pages, by what their file keys turned out to be; and for each part what settles its rows' files, if
        any key means several."""
        graded = known.graded
        runs = np.frombuffer(self.pages.runs(), RUN)
        weak_op, key = runs["file"] >> 32, runs["file"] & 0xFFFFFFFF
        sure = (graded.file[key] >= 0) & ~graded.wander[key] & ((weak_op == 0) | ~known.superseded[weak_op - 1])
        columns = [graded.file[key[sure]], runs["begin"][sure], runs["end"][sure]]
        if not graded.wander.any():
            return number_runs(*columns), [None] * len(parts)
        pages, settlings = self._wandering(known, parts)
        more = np.frombuffer(pages.runs(), RUN)
        columns = [np.append(column, more[name]) for column, name in zip(columns, RUN.names or (), strict=True)]
        return number_runs(*columns), [*settlings]

    def _wandering(self, known: Known, parts: Sequence[range]) -> tuple[PageBits, list[Settling]]:
        """The pages that rows touch whose file is settled in order, and how far that has come where each part begins."""
        pages, settling, identity = PageBits(), known.graded.settling(), known.identity()
        begins = []
        for chunks in parts:
            begins.append(settling.copied())
            for number in chunks:
                packed, patches = self.spill.chunk(number)
                ranges = np.frombuffer(touched(identity, settling, packed, self.spill.chunks[number].rows, patches), RUN)
                pages.add(*(np.ascontiguousarray(ranges[name]) for name in RUN.names or ()))
        return pages, begins

    def _count(self, counts: list[int]) -> None:
        for (name, total), count in zip(_COUNTERS, counts, strict=True):
            if name is not None and (count or total is not None):
                self.losses.add(name, count)
                if total is not None:
                    self.losses.of(name, counts[total])

    def _count_pages_and_waits(self, parts: Sequence[Part], pins: dict[str, Column]) -> None:
        """The kernel waits for busy DAX pages only: where no pin of ours explains one, ours are not all."""
        for part in parts:
            events, without_file = (sum(counts[OP_CODE[op]] for op in _PAGE_OPS) for counts in part.columns.counts())
            self.losses.of("events_without_file", events)
            self.losses.add("events_without_file", without_file)
        waits = np.concatenate([np.empty(0, WAIT), *(part.waits() for part in parts)])
        file, ts = waits["file"], waits["ts"]
        ended = np.where(pins["ts_unpin"].data < 0, np.iinfo(np.int64).max, pins["ts_unpin"].data)
        held = _until(pins["file"].data, pins["ts_pin"].data, file, ts) - _until(pins["file"].data, ended, file, ts)
        if len(ts):
            self.losses.add("waits_without_pin", int(np.count_nonzero((file < 0) | (held <= 0))))
            self.losses.of("waits_without_pin", len(ts))


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
