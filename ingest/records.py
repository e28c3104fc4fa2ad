"""What every trace reader hands on: facts of the trace, and batches of raw tables.

A raw table holds the records of one event type. Its columns are

    seq     int64   ordinal of the record in the trace, merged over CPUs and buffers; the line order of `trace-cmd report`
    ts      int64   time in nanoseconds (raw counts where `TraceInfo.clock_unit` is not "ns")
    cpu     int32
    buffer  string  name of the ring buffer (tracing instance), "" for the top one; dictionary encoded

and then every field of the event's format under its own name, in the order of the format. A field that is called like
one of the four has the suffix `_field`. Integers keep their width and sign, bool is bool, pointers are uint64, char
arrays are strings (up to the first NUL, invalid UTF-8 replaced), dictionary encoded where they are read from binary
records; other arrays are lists.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.ingest.losses import Losses

EventName = tuple[str, str]
"""System and event, for example ("sched", "sched_switch"); ftrace's own records have system "ftrace"."""

Progress = Callable[[int, int], None]
"""Called with (done_bytes, total_bytes) of the trace data."""

OWN_COLUMNS = ("seq", "ts", "cpu", "buffer")


@dataclass(frozen=True, slots=True)
class TraceInfo:
    """Facts that hold for a whole trace."""

    path: str
    format: str
    clock: str
    uname: str | None
    cpus: int
    cmdlines: dict[int, str] = field(default_factory=dict)
    tgids: dict[int, int] = field(default_factory=dict)
    page_bytes: int = 4096
    clock_unit: str = "ns"
    buffers: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Records of a stretch of the trace, by event; a later batch holds only later `seq`."""

    tables: dict[EventName, pa.RecordBatch]


class TraceReader(Protocol):
    """An open trace. `losses` is complete only once `batches` is exhausted."""

    @property
    def info(self) -> TraceInfo: ...

    @property
    def losses(self) -> Losses: ...

    def batches(self, progress: Progress | None = None) -> Generator[RawBatch]: ...
