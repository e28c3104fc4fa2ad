"""Stores with traces and runs made of rows, for tests of what comes after ingest and replay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from replay import reports
from replay.ingest.canonical import numbers, table, words
from replay.parquet import write_table
from replay.policies import BY_NAME
from replay.schema import RUN_TABLES, TRACE_TABLES, Table
from replay.session import Session
from replay.store import Entry, Store

Rows = Sequence[Mapping[str, Any]]
TRACE = "t00000000000a"
EMPTY_FOUND: dict[str, Any] = {
    "operations": {},
    "tracepoints": 0,
    "mapped_records": 0,
    "mrs": 0,
    "mrs_refused": 0,
    "files": 0,
    "pinned_pages": 0,
    "pin_calls": 0,
    "losses": [],
}


def add_trace(
    store: Store,
    trace: str = TRACE,
    source: str = "work.dat",
    tables: Mapping[str, Rows] | None = None,
    raw: Mapping[tuple[str, str], pa.Table] | None = None,
    losses: Rows = (),
    found: Mapping[str, Any] | None = None,
    **row: Any,
) -> Entry:
    """A committed trace; tables that are not given are empty."""
    raw = raw or {}
    with store.stage("traces", trace) as stage:
        for declared in TRACE_TABLES:
            write_table(stage.path / f"{declared.name}.parquet", _table(declared, (tables or {}).get(declared.name, ())))
        (stage.path / "raw").mkdir()
        for (system, event), rows in raw.items():
            write_table(stage.path / "raw" / f"{system}.{event}.parquet", rows)
        stage.commit(
            {
                "row": {"trace": trace, "source": source, "format": "trace.dat v7", "clock": "local", "cpus": 2}
                | {"ts_first": 0, "ts_last": 1_000, "raw_events": 0, "events": 0, "pins": 0, "pins_unresolved": 0, "lost_events": 0}
                | row,
                "raw": [
                    {"system": system, "event": event, "file": f"{system}.{event}.parquet", "rows": rows.num_rows}
                    for (system, event), rows in raw.items()
                ],
                "found": {**EMPTY_FOUND, "losses": list(losses), **(found or {})},
            }
        )
    entry = store.find("traces", trace)
    assert entry is not None
    return entry


def add_run(store: Store, run: str, policy: str, trace: str = TRACE, params: str = "{}", tables: Mapping[str, Rows] | None = None) -> Entry:
    """A committed run; rows need no run, policy and trace. A built-in policy has its decisions."""
    own = {"run": run, "policy": policy, "trace": trace}
    decisions = json.dumps(BY_NAME[policy].decisions() if policy in BY_NAME else {})
    with store.stage("runs", run) as stage:
        for declared in RUN_TABLES:
            rows = [{**own, **row} for row in (tables or {}).get(declared.name, ())]
            write_table(stage.path / f"{declared.name}.parquet", _table(declared, rows))
        stage.commit({"row": {**own, "params": params, "decisions": decisions, "engine": "1"}})
    entry = store.find("runs", run)
    assert entry is not None
    return entry


def _table(declared: Table, rows: Rows) -> pa.Table:
    """Rows as they are stored; 0 where a column that is always told is not."""
    columns = {}
    for column in declared.columns:
        values = [row.get(column.name, 0 if column.always else None) for row in rows]
        columns[column.name] = words(values) if column.type == "string" else numbers(values, column.type)
    return table(declared, columns, len(rows))


def answer(store: Store, report: str, **values: str | int | None) -> list[dict[str, Any]]:
    """The rows of a report."""
    with Session(store) as session:
        rows: list[dict[str, Any]] = reports.run(session, reports.load(report), values).to_pylist()
        return rows
