"""What `replay export` does: a timeline for Perfetto, or the tables as files for other programs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from replay import csvtext
from replay.console import output
from replay.errors import ReplayError, UsageError
from replay.progress import Progress
from replay.reporting import check_replayed
from replay.schema import Table
from replay.session import Session
from replay.store import Store
from replay.views import declared_tables

TableForm = Literal["parquet", "csv"]


def export_timeline(store: Store, trace: str | None, policy: str | None, path: str, progress: Progress | None = None) -> None:
    """One trace and its runs as a Perfetto trace."""
    from replay.timeline import write_timeline

    entries = [store.resolve_trace(trace)] if trace is not None else store.traces()
    if not entries:
        raise ReplayError("there is no trace to export", where=str(store.path), hint="add one with: replay ingest TRACE")
    if len(entries) > 1:
        names = ", ".join(str(entry.row["source"]) for entry in entries[:4])
        raise UsageError("a timeline shows one trace", hint=f"choose it with --trace: {names}{', ...' if len(entries) > 4 else ''}")
    check_replayed(policy, store.runs())
    with Session(store) as session, output(path) as out:
        session.set_variables({"trace": entries[0].id, "policy": policy})
        write_timeline(session, out, progress)


def export_tables(
    store: Store, trace: str | None, policy: str | None, folder: str, form: TableForm, progress: Progress | None = None
) -> None:
    """Every table of the store as a file of its own, in a folder that appears once all are written."""
    values = {"trace": store.resolve_trace(trace).id if trace is not None else None, "policy": policy}
    check_replayed(policy, store.runs())
    place = Path(folder)
    if place.exists():
        raise ReplayError("is there already", where=folder, hint="name a new folder")
    draft = place.with_name(f"{place.name}.part")
    draft.mkdir(parents=True)
    try:
        with Session(store) as session:
            session.set_variables(values)
            chosen = {table.name: _chosen(table, values) for table in declared_tables()}
            total = sum(session.sql(f"SELECT count(*) AS n FROM {rows}").rows()[0]["n"] for rows in chosen.values())
            written = 0
            for name, rows in chosen.items():
                for count in _write(session, f"SELECT * FROM {rows}", draft / f"{name}.{form}", form):
                    written += count
                    if progress:
                        progress(written, total)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _chosen(table: Table, values: Mapping[str, str | None]) -> str:
    """The table, and the condition that chooses its rows."""
    columns = {column.name for column in table.columns}
    conditions = [f"{name} = getvariable('{name}')::VARCHAR" for name, value in values.items() if value is not None and name in columns]
    return f"{table.name} WHERE {' AND '.join(conditions)}" if conditions else table.name


def _write(session: Session, query: str, path: Path, form: TableForm) -> Iterator[int]:
    """Write what a query gives; says after each batch how many rows it had."""
    import pyarrow.parquet as pq

    schema, batches = session.batches(query)
    if form == "csv":
        with path.open("wb") as out:
            out.write(csvtext.header(schema.names))
            for batch in batches:
                out.write(csvtext.lines(batch))
                yield batch.num_rows
        return
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield batch.num_rows
