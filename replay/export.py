"""What `replay export` does: a timeline for Perfetto, or the tables as files for other programs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from replay.console import output, say
from replay.errors import ReplayError, UsageError
from replay.reporting import check_replayed
from replay.session import Session
from replay.store import Store
from replay.views import declared_tables

if TYPE_CHECKING:
    import pyarrow as pa

TableForm = Literal["parquet", "csv"]


def export_timeline(store_path: str, trace: str | None, policy: str | None, path: str) -> None:
    """One trace and its runs as a Perfetto trace."""
    from replay.timeline import write_timeline

    store = Store(store_path)
    entries = [store.resolve_trace(trace)] if trace is not None else store.traces()
    if not entries:
        raise ReplayError("there is no trace to export", where=store_path, hint="add one with: replay ingest TRACE")
    if len(entries) > 1:
        names = ", ".join(str(entry.row["source"]) for entry in entries[:4])
        raise UsageError("a timeline shows one trace", hint=f"choose it with --trace: {names}{', ...' if len(entries) > 4 else ''}")
    check_replayed(policy, store.runs())
    with Session(store) as session, output(path) as out:
        session.set_variables({"trace": entries[0].id, "policy": policy})
        write_timeline(session, out)
    say(f"{path}: open it at https://ui.perfetto.dev, or with trace_processor_shell")


def export_tables(store_path: str, trace: str | None, policy: str | None, folder: str, form: TableForm) -> None:
    """Every table of the store as a file of its own, in a folder that appears once all are written."""
    store = Store(store_path)
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
            for table in declared_tables():
                columns = {column.name for column in table.columns}
                _write(session, f"SELECT * FROM {table.name}{_where(columns, values)}", draft / f"{table.name}.{form}", form)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _where(columns: set[str], values: Mapping[str, str | None]) -> str:
    conditions = [f"{name} = getvariable('{name}')::VARCHAR" for name, value in values.items() if value is not None and name in columns]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _write(session: Session, query: str, path: Path, form: TableForm) -> None:
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    batches: pa.RecordBatchReader = session.batches(query)
    make = pq.ParquetWriter if form == "parquet" else pa_csv.CSVWriter
    with batches, make(path, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
