"""Reads perf.data of `perf record`, files, pipes and directories: all records indexed at once, tables in batches by time.

Records without a time tell what was there when the recording began (perf makes them up from /proc): they come first, and take
the time of the first record that has one. Records of equal time keep the order of the file, as `perf script` prints them.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from replay._ext.perfrecords import PerfRecords
from replay.errors import TraceError
from replay.ingest.losses import Losses
from replay.ingest.perfdirectory import files_of
from replay.ingest.perfforms import SYSTEM, Forms, build_forms
from replay.ingest.perfheader import PerfFile, Records, add_records, read_perf
from replay.ingest.perfzstd import decompress, payloads
from replay.ingest.rawtables import StreamNames
from replay.ingest.records import EventName, Progress, RawBatch, TraceInfo
from replay.ingest.tracecmd import map_file

BATCH_ROWS = 1 << 17
_ABSURD_LOSS = 1 << 48


@dataclass(slots=True)
class PerfReader:
    """An open perf.data. `batches` may be called again, and then counts the losses again from zero."""

    info: TraceInfo
    file: PerfFile
    forms: Forms
    records: PerfRecords
    unread_compressed_bytes: int = 0
    unwalked_bytes: int = 0
    losses: Losses = field(default_factory=Losses)

    def batches(self, progress: Progress | None = None) -> Generator[RawBatch]:
        self.losses.counts.clear()
        self.losses.totals.clear()
        for counter in ("kernel_lost_events", "kernel_lost_samples"):
            self.losses.add(counter, 0)
        total, rows = sum(len(part.data) for part in self.file.records), len(self.records)
        streams = StreamNames(
            np.arange(-1, self.records.cpus, dtype=np.int32), np.zeros(self.records.cpus + 1, np.int32), pa.array([""], pa.string())
        )
        for begin in range(0, rows, BATCH_ROWS):
            end = min(begin + BATCH_ROWS, rows)
            self.records.fill(begin, end)
            filled = dict(self.records.groups.rows())
            batches: dict[EventName, pa.RecordBatch] = {}
            for table in self.forms.tables:
                count = filled.get(table.parts[-1].group, 0)
                if count:
                    batches[table.key] = table.batch(self.records.groups, count, streams, self.losses)
            self._count_lost(batches)
            if progress is not None:
                progress(total * end // rows, total)
            yield RawBatch(batches)
        self._count_losses()

    def _count_lost(self, batches: dict[EventName, pa.RecordBatch]) -> None:
        for name, counter in (("lost", "kernel_lost_events"), ("lost_samples", "kernel_lost_samples")):
            batch = batches.get((SYSTEM, name))
            for lost, cpu in zip(*(batch.column(c).to_pylist() for c in ("lost", "cpu")), strict=True) if batch else ():
                if lost >= _ABSURD_LOSS:
                    self.losses.add("kernel_lost_unknown", cpu=None if cpu < 0 else cpu)
                else:
                    self.losses.add(counter, lost, cpu=None if cpu < 0 else cpu)

    def _count_losses(self) -> None:
        records, file = self.records, self.file
        self.losses.of("kernel_lost_events", records.samples + self.losses.count("kernel_lost_events"))
        left = sum(len(part.data) - part.whole_bytes for part in file.records)
        counts = {
            "truncated_bytes": file.missing_bytes + (left if file.missing_bytes else 0),
            "undecodable_bytes": records.bad_bytes
            + self.unread_compressed_bytes
            + self.unwalked_bytes
            + (0 if file.missing_bytes else left),
            "unknown_event_records": records.samples_unknown,
            "skipped_records": records.skipped,
            "samples_without_time": records.samples_undated,
        }
        for counter, count in counts.items():
            if count:
                self.losses.add(counter, count)


def open_perfdata(path: str | os.PathLike[str]) -> PerfReader:
    """Read what the file tells about itself, and index its records. TraceError if it is none, or its head is cut or damaged."""
    path = os.fspath(path)
    main, *others = files_of(path)
    file = read_perf(main, map_file(Path(main)))
    if file.parts and main == path:
        raise TraceError(path, None, "this is one file of a perf.data directory", hint="ingest the directory")
    for other in others:
        if os.path.getsize(other):
            add_records(file, Records(other, map_file(Path(other))))
    forms = build_forms(file.attrs, [file.name(number) for number in range(len(file.attrs))], file.formats)
    records = forms.records(big_endian=file.big_endian)
    unread, unwalked = 0, 0
    for part in file.records:
        records.walk(part.data)
        if part.compressed:
            plain, left = decompress(list(payloads(part.data, part.compressed, big_endian=file.big_endian)))
            unread += left
            unwalked += len(plain) - records.walk(plain)
    records.sort(np.argsort(records.times(), kind="stable").astype(np.int64, copy=False))
    info = TraceInfo(
        path=path.rstrip("/"),
        format="perf.data pipe" if file.pipe else "perf.data directory" if main != path else "perf.data",
        clock=file.clock,
        uname=file.uname,
        cpus=max(file.cpus, records.cpus),
        cmdlines=file.cmdlines | records.names(),
        tgids=records.processes(),
    )
    return PerfReader(info, file, forms, records, unread, unwalked)
