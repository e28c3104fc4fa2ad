"""Reads trace.dat files of trace-cmd, versions 6 and 7: metadata at once, events in batches of raw tables."""

from __future__ import annotations

import mmap
import os
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from replay.errors import ReplayError, TraceError
from replay.ingest.losses import Losses
from replay.ingest.pages import PageSource
from replay.ingest.records import Progress, RawBatch, TraceInfo
from replay.ingest.sections import Allowance, most_trace_bytes
from replay.ingest.tracedat import Container, read_container

BATCH_ROWS = 1 << 18
BATCH_BYTES = 32 << 20
_NS_CLOCKS = {"local", "global", "perf", "mono", "mono_raw", "boot", "tai", "tsc2nsec"}
_UNITS = {"x86-tsc": "cycles", "ppc-tb": "ticks", "uptime": "ticks", "counter": "events"}


@dataclass(slots=True)
class TraceCmdReader:
    """An open trace.dat. `batches` may be called again, and then counts the losses again from zero."""

    info: TraceInfo
    container: Container
    data: memoryview
    losses: Losses = field(default_factory=Losses)

    def batches(self, progress: Progress | None = None) -> Generator[RawBatch]:
        from replay.ingest.merging import Merging

        self.losses.counts.clear()
        self.losses.totals.clear()
        sources = self.sources()
        yield from Merging(self.container, sources, self.losses, progress).batches(BATCH_ROWS, BATCH_BYTES)

    def sources(self) -> list[PageSource]:
        """The data of each CPU of each buffer, in the order of the container's."""
        compression = self.container.compression
        allowance = Allowance(self.container.path, most_trace_bytes(len(self.data)))
        return [
            PageSource(
                self.container.path,
                self.data,
                place.cpu,
                place.offset,
                place.size,
                buffer.page_bytes,
                compression if buffer.compressed else "none",
                allowance,
                self.container.big_endian,
            )
            for buffer in self.container.buffers
            for place in buffer.cpus
        ]


def open_tracecmd(path: str | os.PathLike[str]) -> TraceCmdReader:
    """Read the metadata of a trace.dat and map its data. TraceError if it is none, or its metadata is cut or damaged."""
    data = map_file(Path(path))
    container = read_container(os.fspath(path), data)
    info = TraceInfo(
        path=os.fspath(path),
        format=f"trace.dat v{container.version}",
        clock=container.clock or "local",
        uname=container.uname,
        cpus=container.cpus,
        cmdlines=container.cmdlines,
        tgids=container.tgids,
        page_bytes=container.page_bytes,
        clock_unit=_clock_unit(container),
        buffers=tuple(buffer.name for buffer in container.buffers),
    )
    return TraceCmdReader(info, container, data)


def _clock_unit(container: Container) -> str:
    clock = container.clock or "local"
    if container.tsc_mult or clock in _NS_CLOCKS:
        return "ns"
    return _UNITS.get(clock, "counts")


def map_file(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise TraceError(path, 0, "the file is empty")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        if isinstance(error, TraceError):
            raise
        raise ReplayError(getattr(error, "strerror", None) or str(error), where=str(path)) from error
