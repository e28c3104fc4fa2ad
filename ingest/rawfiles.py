"""Raw tables to Parquet while decoding goes on: one file per event type, written by a few threads.

Arrow leaves the GIL while it compresses, so that two threads keep up with the decoder. Each table is written in the order
of its batches, in row groups that depend on its own rows only: the same trace gives the same bytes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.ingest.records import EventName, RawBatch
from replay.parquet import open_writer

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 1 << 17
_THREADS = 2
# Row groups that may wait for a thread: bounds memory where the disk is slower than the decoder.
_WAITING = 8
# A column repeats itself if, of so many values at its beginning, less than one in so many is another than the one before.
_LOOKED_AT_ROWS = 4096
_FEW = 16


@dataclass(frozen=True, slots=True)
class RawFile:
    """What became of one event type."""

    system: str
    event: str
    file: str
    rows: int


@dataclass(slots=True)
class _Sink:
    """One file: batches gathered for the next row group, and row groups waiting for a thread."""

    path: Path
    rows: int = 0
    gathered: list[Any] = field(default_factory=list)
    gathered_rows: int = 0
    queue: deque[Any] = field(default_factory=deque)
    busy: bool = False
    complete: bool = False
    writer: Any = None


class RawFiles:
    """Use as a context manager: leaving it waits for the threads, whether all went well or not."""

    def __init__(self, folder: Path, whole: Callable[[Path], None]) -> None:
        """`whole` hears of each file that nothing more is written to, from any thread."""
        self._folder = folder
        self._whole = whole
        self._sinks: dict[EventName, _Sink] = {}
        self._names: set[str] = set()
        self._lock = Lock()
        self._room = Semaphore(_WAITING)
        self._failure: BaseException | None = None
        self._futures: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="raw-tables")
        folder.mkdir()

    def __enter__(self) -> RawFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for sink in self._sinks.values():
            if sink.writer is not None:
                sink.writer.close()

    def add(self, batch: RawBatch) -> None:
        """Take over the batches; blocks while too much is waiting to be written."""
        for name, records in batch.tables.items():
            if records.num_rows == 0:
                continue
            sink = self._sinks.get(name)
            if sink is None:
                sink = self._sinks[name] = _Sink(self._folder / self._file_name(name))
            sink.gathered.append(records)
            sink.gathered_rows += records.num_rows
            sink.rows += records.num_rows
            if sink.gathered_rows >= GROUP_ROWS:
                self._pass_on(sink)

    def end(self) -> None:
        """No more batches come: have the threads write what is left. It is in memory as it is, so nothing waits for room."""
        for _, sink in sorted(self._sinks.items()):
            self._room.release()
            self._pass_on(sink, complete=True)

    def finish(self) -> list[RawFile]:
        """Wait for the threads; the tables, in order of name."""
        while self._futures:
            self._futures.popleft().result()
        self._check()
        return [RawFile(system, event, sink.path.name, sink.rows) for (system, event), sink in sorted(self._sinks.items())]

    def _file_name(self, name: EventName) -> str:
        """A safe and unique file name: event names come from the trace, which may be hostile."""
        plain = ".".join(re.sub(r"[^A-Za-z0-9_-]", "_", part)[:80] for part in name)
        unique, number = plain, 1
        while unique.lower() in self._names:
            number += 1
            unique = f"{plain}.{number}"
        self._names.add(unique.lower())
        return f"{unique}.parquet"

    def _pass_on(self, sink: _Sink, *, complete: bool = False) -> None:
        self._check()
        self._room.acquire()
        group, sink.gathered, sink.gathered_rows = sink.gathered, [], 0
        with self._lock:
            sink.queue.append(group)
            sink.complete = complete
            if sink.busy:
                return
            sink.busy = True
        self._futures.append(self._pool.submit(self._drain, sink))
        while self._futures and self._futures[0].done():
            self._futures.popleft()

    def _drain(self, sink: _Sink) -> None:
        """Write a table's waiting row groups, in order; one thread at a time per table."""
        while True:
            with self._lock:
                if not sink.queue:
                    sink.busy = False
                    return
                group = sink.queue.popleft()
            try:
                if self._failure is None:
                    if group:
                        _write_group(sink, group)
                    self._close_complete(sink)
            except BaseException as error:
                self._failure = error
            finally:
                self._room.release()

    def _close_complete(self, sink: _Sink) -> None:
        """Let go of a table that is whole: a writer holds memory and an open file, and a trace can have thousands of tables."""
        with self._lock:
            last = sink.complete and not sink.queue
        if last:
            sink.writer.close()
            sink.writer = None
            self._whole(sink.path)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


def _write_group(sink: _Sink, group: list[pa.RecordBatch]) -> None:
    import pyarrow as pa

    # The writer takes words as they are numbered only if all batches number them alike.
    table = pa.Table.from_batches(group).unify_dictionaries()
    if sink.writer is None:
        sink.writer = open_writer(sink.path, table.schema, growing=("seq", "ts"), repeating=_repeating(group[0]))
    sink.writer.write_table(table, row_group_size=max(GROUP_ROWS, table.num_rows))


def _repeating(batch: pa.RecordBatch) -> list[str]:
    """The columns of 64 bits whose first values are mostly those of the row before, such as an inode or where a probe is."""
    import pyarrow as pa

    begin = batch.slice(0, _LOOKED_AT_ROWS)
    repeating = []
    for declared, column in zip(begin.schema, begin.columns, strict=True):
        if pa.types.is_integer(declared.type) and declared.type.bit_width == 64 and column.null_count == 0:
            values = column.to_numpy()
            if _FEW * np.count_nonzero(values[1:] != values[:-1]) < len(values):
                repeating.append(declared.name)
    return repeating
