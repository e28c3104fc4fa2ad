"""Pulls the pages of every CPU through the merge, and hands out the rows in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from replay._ext.ringbuffer import ALL_DONE, RingMerge
from replay.ingest.losses import Losses
from replay.ingest.pages import PageSource, Segment
from replay.ingest.rawtables import Part, RawTable, StreamNames, raw_table, unique_formats
from replay.ingest.records import Progress, RawBatch
from replay.ingest.tracedat import Container

# What is decompressed together: of each stream, and of all of them at most.
_GROUP_BYTES = 1 << 20
_ALL_GROUPS_BYTES = 8 << 20


class Merging:
    """One pass over a trace. Streams are numbered by buffer, then CPU: the order in which equal times are merged."""

    def __init__(self, container: Container, sources: Sequence[PageSource], losses: Losses, progress: Progress | None) -> None:
        self.sources = sources
        self.losses = losses
        self.progress = progress
        self.overruns = container.overruns
        self.missing_bytes = container.missing_bytes
        self.formats = unique_formats(container.formats)
        self.tables: dict[int, RawTable] = {}
        self.merge = RingMerge(
            [source.page_bytes for source in sources],
            [form.need_bytes for form in self.formats],
            header_bytes=container.header_bytes,
            long_bytes=container.long_bytes,
            big_endian=container.big_endian,
        )
        for group, form in enumerate(self.formats):
            self.merge.set_type(form.id, group)
        streams_of: dict[int, list[int]] = {}
        for stream, source in enumerate(sources):
            streams_of.setdefault(source.cpu, []).append(stream)
        for cpu, streams in streams_of.items():
            self._set_clock(cpu, streams, container)
        self.names = StreamNames(
            np.array([source.cpu for source in sources], np.int32),
            np.repeat(np.arange(len(container.buffers), dtype=np.int32), [len(buffer.cpus) for buffer in container.buffers]),
            pa.array([buffer.name for buffer in container.buffers], pa.string()),
        )
        self.segments: list[Iterator[Segment]] = []
        self.done_bytes = 0
        self.total_bytes = sum(source.size for source in sources)

    def _set_clock(self, cpu: int, streams: list[int], container: Container) -> None:
        shift = container.time_shift
        samples = shift.samples[cpu] if shift is not None and cpu < len(shift.samples) else ()
        self.merge.set_clock(
            streams,
            mult=container.tsc_mult,
            shift=container.tsc_shift,
            offset=container.offset_ns & (2**64 - 1),
            samples=[(sample.time, sample.offset, sample.scaling, sample.fraction) for sample in samples],
            interpolate=shift is not None and shift.interpolate,
        )

    def batches(self, max_rows: int, max_bytes: int) -> Iterator[RawBatch]:
        group_bytes = min(_GROUP_BYTES, _ALL_GROUPS_BYTES // max(len(self.sources), 1))
        with ThreadPoolExecutor(1, "decompression") as pool:
            self.segments = [source.segments(pool, group_bytes) for source in self.sources]
            yield from self._merged(max_rows, max_bytes)

    def _merged(self, max_rows: int, max_bytes: int) -> Iterator[RawBatch]:
        for stream in range(len(self.sources)):
            self._supply(stream)
        while True:
            wanted = self.merge.run(max_rows)
            if wanted >= 0:
                self._supply(wanted)
                if self.merge.batch_bytes < max_bytes:
                    continue
            batch = self._take()
            if batch.tables:
                yield batch
            if wanted == ALL_DONE:
                break
        self._count_losses()

    def _supply(self, stream: int) -> None:
        """Feed a stream until it has a record, or ends."""
        for segment in self.segments[stream]:
            self.done_bytes += segment.file_bytes
            if self.progress is not None:
                self.progress(self.done_bytes, self.total_bytes)
            if self.merge.feed(stream, segment.pages):
                return

    def _take(self) -> RawBatch:
        batches = {}
        for group, rows in self.merge.groups.rows():
            table = self.tables.get(group)
            if table is None:
                form = self.formats[group]
                table = self.tables[group] = raw_table((form.system, form.name), [Part(group, form.fields)])
            batches[table.key] = table.batch(self.merge.groups, rows, self.names, self.losses)
        self.merge.drop_rows()
        return RawBatch(batches)

    def _count_losses(self) -> None:
        total = 0
        for stream, source in enumerate(self.sources):
            records, unknown, bad_bytes, lost, lost_unknown = self.merge.met(stream)
            total += records
            for counter, count in source.lost.items():
                self.losses.add(counter, count, cpu=source.cpu)
            self.losses.add("kernel_lost_events", lost, cpu=source.cpu)
            self.losses.add("kernel_lost_unknown", lost_unknown, cpu=source.cpu)
            if bad_bytes:
                self.losses.add("undecodable_bytes", bad_bytes, cpu=source.cpu)
            if unknown:
                self.losses.add("unknown_event_records", unknown, cpu=source.cpu)
        if self.missing_bytes:
            self.losses.add("truncated_bytes", self.missing_bytes)
        for cpu, lost in self.overruns.items():
            self.losses.add("kernel_overruns", lost, cpu=cpu)
        self.losses.of("kernel_lost_events", total + self.losses.count("kernel_lost_events"))
