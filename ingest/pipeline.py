"""Ingest of one file: sniff, read, raw tables and lowering side by side, commit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from importlib import import_module
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

from replay.errors import TraceError
from replay.ingest.perfdirectory import files_of
from replay.ingest.sniff import sniff
from replay.statefile import read_state, state_path
from replay.store import Entry, Stage, Store, content_id, file_names, source_name

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.ingest.canonical import Canonical, EventTotals, Part
    from replay.ingest.rawfiles import RawFile
    from replay.ingest.records import Progress, TraceInfo, TraceReader
    from replay.statefile import SystemState

# Part of a trace's id: raise it when the same file would give other tables.
INGEST_VERSION = "6"
_CHUNK_BYTES = 1 << 20
# How long a file's hash may hold up the reading that could turn out to be unnecessary; that of a small one takes no time.
_HASH_PATIENCE_SECONDS = 0.2
_HASHED_AT_ONCE_BYTES = 8 << 20
# What reading imports, which takes as long as hashing 100 MB, for every format and for each.
_READING = ("replay.ingest.lowering", "replay.ingest.rawfiles", "replay.ingest.ahead", "pyarrow.parquet")
_READERS = {
    "tracecmd": ("replay.ingest.tracecmd", "replay.ingest.merging"),
    "perf": ("replay.ingest.perfdata",),
    "text": ("replay.ingest.text",),
}
_PROGRESS_SECONDS = 0.2
# Columns of events that grow over a file, by which readers may skip parts of it, and those mostly the same as in the row before.
_GROWING = ("seq", "ts")
_REPEATING = ("npages", "dur", "bytes", "result", "pfn", "lead", "nslots")


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What an ingest found. `already` says that the store held the same content before."""

    entry: Entry
    already: bool

    @property
    def trace(self) -> str:
        return self.entry.id

    @property
    def found(self) -> Mapping[str, Any]:
        """Counts for the reader: tracepoints, operations, mrs, pins, losses."""
        found: Mapping[str, Any] = self.entry.manifest["found"]
        return found


class _Stages:
    """Progress of reading as the first half of the work, and of writing the events as the second, both in bytes of the trace."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._total = 0

    def reading(self, done: int, total: int) -> None:
        self._total = total
        if self._progress:
            self._progress(done // 2, total)

    def writing(self, rows: int, of_rows: int) -> None:
        if self._progress and rows < of_rows:
            self._progress(self._total - self._total * (of_rows - rows) // of_rows // 2, self._total)

    def end(self) -> None:
        if self._progress:
            self._progress(self._total, self._total)


class _Already(Exception):  # noqa: N818 - a signal, not an error
    """The store holds this content: stop reading."""


def ingest_file(store: Store, path: str, progress: Progress | None = None) -> IngestSummary:
    """Read the file into the store. TraceError where it cannot be read; the store is then as before."""
    kind = sniff(path)
    before = _fingerprint(path)
    state = None if kind == "jsonl" else read_state(path)
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as pool:
        hashing = pool.submit(content_hash, path)
        found = _held_already(store, kind, sum(size for _, size, _ in before), hashing)
        if found is not None:
            return IngestSummary(found, already=True)
        with store.stage("traces", "new") as stage:
            try:
                info, tables, totals, raw = _read(kind, path, stage, progress, state, lambda: _known(store, hashing) is not None)
            except _Already:
                pass
            else:
                if _fingerprint(path) != before:
                    raise TraceError(path, None, "the file changed while it was read", hint="ingest it again once it is complete")
                _commit(stage, hashing.result(), info, tables, totals, raw)
        entry = store.find("traces", hashing.result())
        assert entry is not None
        return IngestSummary(entry, already=not stage.committed)


def _read(
    kind: str, path: str, stage: Stage, progress: Progress | None, before: SystemState | None, known: Callable[[], bool]
) -> tuple[TraceInfo, Mapping[str, pa.Table], EventTotals, Sequence[RawFile]]:
    """Fill the stage with the trace's tables; gives all but the events, of which there may be too many."""
    stages = _Stages(progress)
    if kind == "jsonl":
        from replay.ingest.jsonl import read_jsonl

        info, canonical = read_jsonl(path, stages.reading)
        return info, *_write(stage, canonical, lambda _: stages.end()), ()
    from replay.ingest.ahead import read_ahead
    from replay.ingest.before import count, informed
    from replay.ingest.lowering import Lowering
    from replay.ingest.rawfiles import RawFiles

    reader = _open(kind, path)
    info = reader.info if before is None else informed(reader.info, before)
    with closing(Lowering(info, reader.losses, stage.path, before)) as lowering, RawFiles(stage.path / "raw", stage.syncing.add) as files:
        with closing(read_ahead(reader, stages.reading)) as batches:
            for batch in batches:
                files.add(batch)
                lowering.add(batch)
                if known():
                    raise _Already
        files.end()
        if before is not None:
            count(before, reader.losses)
        canonical, rows_put_aside = lowering.finish(), lowering.spill.rows
        tables, totals = _write(stage, canonical, lambda rows: stages.writing(rows, rows_put_aside))
        raw = files.finish()
        stages.end()
        return info, tables, totals, raw


def _write(stage: Stage, canonical: Canonical, written: Callable[[int], None]) -> tuple[dict[str, pa.Table], EventTotals]:
    """Write every table, first the events, whose parts are made and written side by side; `written` hears how many there have been."""
    from replay.parquet import write_table

    canonical.totals.files = len(canonical.parts)
    _write_events(stage, canonical.parts, written)
    tables = canonical.entities()
    for name, table in tables.items():
        write_table(stage.path / f"{name}.parquet", table)
    return tables, canonical.totals


def _write_events(stage: Stage, parts: Sequence[Part], written: Callable[[int], None]) -> None:
    from replay.parquet import open_writer
    from replay.schema import EVENTS

    done = [0] * len(parts)
    stopped = Event()

    def write(number: int, name: str) -> None:
        path = stage.path / name
        with open_writer(path, EVENTS.arrow_schema(), _GROWING, _REPEATING) as writer:
            for events in parts[number].tables(lasting=False):
                if stopped.is_set():
                    return
                writer.write_table(events, row_group_size=max(events.num_rows, 1))
                done[number] += events.num_rows
        stage.syncing.add(path)

    with ThreadPoolExecutor(os.cpu_count() or 1, "events") as pool:
        writing = {pool.submit(write, number, name) for number, name in enumerate(file_names(EVENTS.name, len(parts)))}
        try:
            while writing:
                ended, writing = wait(writing, _PROGRESS_SECONDS, FIRST_COMPLETED)
                for future in ended:
                    future.result()
                written(sum(done))
        finally:
            stopped.set()


def _open(kind: str, path: str) -> TraceReader:
    if kind == "text":
        from replay.ingest.text import open_text

        return open_text(path)
    if kind == "perf":
        from replay.ingest.perfdata import open_perfdata

        return open_perfdata(path)
    from replay.ingest.tracecmd import open_tracecmd

    return open_tracecmd(path)


def _commit(stage: Stage, trace: str, info: TraceInfo, tables: Mapping[str, pa.Table], totals: EventTotals, raw: Sequence[RawFile]) -> None:
    stage.id = trace
    losses = tables["losses"].to_pylist()
    stage.commit(
        {
            "ingest": INGEST_VERSION,
            "clock_unit": info.clock_unit,
            "row": {"trace": trace, **_catalog_row(info, tables, totals, raw, losses)},
            "tables": dict(sorted({"events": totals.rows, **{name: table.num_rows for name, table in tables.items()}}.items())),
            "files": {"events": totals.files},
            "raw": [asdict(table) for table in raw],
            "found": _found(tables, totals, losses),
        }
    )


def _catalog_row(
    info: TraceInfo, tables: Mapping[str, pa.Table], totals: EventTotals, raw: Sequence[RawFile], losses: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "source": source_name(info.path),
        "format": info.format,
        "clock": info.clock,
        "uname": info.uname,
        "cpus": info.cpus,
        "ts_first": totals.ts_first,
        "ts_last": totals.ts_last,
        "raw_events": sum(table.rows for table in raw) if raw else totals.rows,
        "events": totals.rows,
        "pins": tables["pins"].num_rows,
        "pins_unresolved": _count(losses, "pins_unresolved"),
        "lost_events": _count(losses, "kernel_lost_events"),
    }


def _found(tables: Mapping[str, pa.Table], totals: EventTotals, losses: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    mrs, tracepoints = tables["mrs"], tables["tracepoints"]
    return {
        "operations": totals.operations,
        "tracepoints": tracepoints.num_rows,
        "mapped_records": sum(row["rows"] for row in tracepoints.to_pylist() if row["mapped"] is not None),
        "mrs": mrs.num_rows,
        "mrs_refused": sum(result < 0 for result in _values(mrs["result"])),
        "files": tables["files"].num_rows,
        "pinned_pages": sum(_values(tables["pins"]["npages"])),
        "pin_calls": max((row["total"] or 0 for row in losses if row["counter"] == "pins_unresolved"), default=0),
        "losses": [row for row in losses if row["count"]],
    }


def _values(column: pa.ChunkedArray) -> list[int]:
    """Those that are not NULL, without Arrow's functions, whose import takes longer."""
    return column.to_numpy().tolist() if not column.null_count else [value for value in column.to_pylist() if value is not None]


def _count(losses: Sequence[Mapping[str, Any]], counter: str) -> int:
    return sum(row["count"] for row in losses if row["counter"] == counter)


def _held_already(store: Store, kind: str, size: int, hashing: Future[str]) -> Entry | None:
    """The trace of this content, if the store holds it and the hash soon says so; what reading needs is imported meanwhile."""
    patience = None if size <= _HASHED_AT_ONCE_BYTES else _HASH_PATIENCE_SECONDS
    if patience is not None and kind in _READERS:
        begun = monotonic()
        for module in (*_READING, *_READERS[kind]):
            import_module(module)
        patience = max(begun + patience - monotonic(), 0)
    with suppress(TimeoutError):
        hashing.result(patience)
    return _known(store, hashing)


def _known(store: Store, hashing: Future[str]) -> Entry | None:
    return store.find("traces", hashing.result()) if hashing.done() else None


def content_hash(path: str) -> str:
    """The trace's id, should the file hold one."""
    digest = blake2b(digest_size=16)
    parts = _parts(path)
    if len(parts) > 1:
        digest.update(repr([os.stat(part).st_size for part in parts]).encode())
    for part in parts:
        with open(part, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return content_id("traces", INGEST_VERSION, digest.digest())


def _fingerprint(path: str) -> list[tuple[str, int, int]]:
    return [(part, (status := os.stat(part)).st_size, status.st_mtime_ns) for part in _parts(path)]


def _parts(path: str) -> list[str]:
    """The files that tell what the trace is: its own, and the state beside it."""
    state = state_path(path)
    return files_of(path) + [state] * os.path.isfile(state)
