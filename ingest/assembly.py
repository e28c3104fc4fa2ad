"""From lowered columns to the stored tables: numbers files, slots and tasks, and puts every column into its declared schema."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from replay import schema
from replay.errors import TraceError
from replay.ingest.canonical import Column, EventTotals, table
from replay.ingest.ranges import Ranges
from replay.ingest.slots import SlotMap
from replay.ingest.tasks import Tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay.ingest.losses import Losses
    from replay.ingest.records import TraceInfo
    from replay.ingest.rows import Part

_DEVICE_INODE = re.compile(r"(\d+):(\d+):(\d+)(?:#\d+)?")

# The replay keeps some bytes of state for each touched page; 64 TiB of pages is more than any machine can pin.
MOST_PAGES = 1 << 34


@dataclass(frozen=True, slots=True)
class Files:
    """The files that events name by number: what they are called, and whether the trace shows them mapped directly."""

    names: Sequence[str]
    dax: NDArray[np.bool_]
    generations: Sequence[int | None]


@dataclass(slots=True)
class Assembly:
    """Builds the tables of one trace. `file` columns hold numbers of `files` with -1 for none; `op` holds numbers of schema.OPS."""

    info: TraceInfo
    files: Files
    slots: SlotMap
    totals: EventTotals = field(default_factory=EventTotals)
    tasks: Tasks = field(init=False)
    file_events: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        pages = sum(self.slots.npages.tolist())
        if pages > MOST_PAGES:
            raise TraceError(self.info.path, None, f"its events touch {pages} pages, expected at most {MOST_PAGES}")
        self.tasks = Tasks(self.info)
        self.file_events = np.zeros(len(self.files.names), np.int64)

    def events(self, events: dict[str, Column], ranges: Ranges) -> pa.Table:
        """A table of the next events, and of the ranges that they name."""
        rows = len(events["seq"].data)
        self.totals.add(np.bincount(events["op"].data).tolist(), events["ts"].data.tolist())
        slot, nslots = ranges.locate(self.slots)
        events |= {"slot": Column(slot), "nslots": Column(nslots), **self.tasks.add(events)}
        self.file_events += np.bincount(ranges.file[ranges.file >= 0], minlength=len(self.file_events))
        if "dax" not in events and self.files.dax.any():
            dax = self.files.dax[ranges.file] & (ranges.file >= 0)
            events["dax"] = Column(dax, ~dax)
        events["file"] = Column(events["file"].data, words=self.files.names).compact()
        events["op"] = Column(events["op"].data, words=schema.OPS)
        return table(schema.EVENTS, events, rows)

    def count(self, part: Part) -> None:
        """Add up what a part of the events came to."""
        operations, _ = part.columns.counts()
        self.totals.add(operations, part.times)
        self.tasks.count(part.threads.events())
        self.file_events += part.file_events

    def entities(
        self, mrs: dict[str, Column], pins: dict[str, Column], tracepoints: Sequence[tuple[str, str, int, str | None]], losses: Losses
    ) -> dict[str, pa.Table]:
        """The other tables, once all events have been built."""
        pins |= {"slot": Column(Ranges.of_pins(pins).locate(self.slots)[0])}
        for columns in (mrs, pins):
            columns["file"] = Column(columns["file"].data, words=self.files.names)
        slots: dict[str, Any] = {name: getattr(self.slots, name) for name in ("file_id", "index", "npages", "slot")}
        return {
            "files": self._file_table(),
            "slots": table(schema.SLOTS, {name: Column(values) for name, values in slots.items()}, len(self.slots.slot)),
            "tasks": self.tasks.table(),
            "mrs": table(schema.MRS, mrs, len(mrs["mr"].data)),
            "pins": table(schema.PINS, pins, len(pins["pin"].data)),
            "tracepoints": _tracepoints(tracepoints),
            "losses": pa.Table.from_pylist(losses.rows(), schema=schema.LOSSES.arrow_schema()),
        }

    def _file_table(self) -> pa.Table:
        names, target = self.files.names, schema.FILES.arrow_schema()
        starts, lengths = self.slots.of_files(len(names))
        parsed = [_DEVICE_INODE.fullmatch(name) for name in names]
        inodes = [int(match[3]) if match and int(match[3]) < 1 << 64 else None for match in parsed]
        return pa.Table.from_arrays(
            [
                Column(np.arange(len(names)), words=names).arrow(target.field("file").type),
                Column(np.arange(len(names))).arrow(pa.int32()),
                pa.array([f"{match[1]}:{match[2]}" if match else None for match in parsed], pa.string()),
                pa.array(inodes, pa.uint64()),
                pa.array(self.files.generations, pa.uint64()),
                Column(self.files.dax).arrow(pa.bool_()),
                *(Column(numbers).arrow(pa.int64()) for numbers in (starts, lengths, self.file_events)),
            ],
            schema=target,
        )


def _tracepoints(rows: Sequence[tuple[str, str, int, str | None]]) -> pa.Table:
    names = schema.TRACEPOINTS.arrow_schema().names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in sorted(rows)], schema=schema.TRACEPOINTS.arrow_schema())
