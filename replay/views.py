"""The SQL views over a store: which exist, what they are made of, and what each column means.

A definition is made when it is wanted: most questions name few views, and are over before all could be made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from replay import queries
from replay.schema import CATALOG_TABLES, DERIVED_TABLES, RUN_TABLES, TRACE_TABLES, Column, Table
from replay.store import Entry, Store

_WORD = re.compile(r"\w+")
# What names no view: strings (in which dashes begin no comment) and comments.
_NO_NAMES = re.compile(r"'[^']*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_SQL_TYPES = {
    "int64": "BIGINT",
    "int32": "INTEGER",
    "int16": "SMALLINT",
    "uint64": "UBIGINT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
}
# Raw tables that reports read, where a trace has them, with the fields that they need: as empty views where none has.
REPORTED_RAW = {
    "ext4:ext4_unlink_enter": ("dev", "ino", "size"),
    "ext4:ext4_evict_inode": ("dev", "ino", "nlink"),
    "iomap:iomap_dio_invalidate_fail": ("dev", "ino", "offset", "length"),
    "migrate:mm_migrate_pages": ("succeeded", "failed"),
}
_TRACE_COLUMN = Column("trace", "string", "The trace's id, as in table traces.")
_RAW_DOCS = {
    "trace": "The trace's id, as in table traces.",
    "seq": "Position of the record in the merged trace, from 0; joins events.seq.",
    "ts": "When, on the trace's clock. [ns]",
    "cpu": "CPU that recorded it.",
    "buffer": "Ring buffer (tracing instance) that held it; empty for the top one.",
}


class View(NamedTuple):
    """One view: its SELECT and the comments on it."""

    name: str
    select: str
    doc: str
    columns: Mapping[str, str]

    def definition(self) -> str:
        return f"CREATE OR REPLACE VIEW {self.name} AS {self.select}"

    def comments(self) -> Iterator[str]:
        yield f"COMMENT ON VIEW {self.name} IS {quote(self.doc)}"
        for name, doc in self.columns.items():
            yield f"COMMENT ON COLUMN {self.name}.{identifier(name)} IS {quote(doc)}"


def quote(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def declared_tables() -> Iterator[Table]:
    """Every table of the catalog as SQL shows it: trace tables gain the column `trace`."""
    yield from CATALOG_TABLES
    for table in TRACE_TABLES:
        yield Table(table.name, table.doc, (_TRACE_COLUMN, *table.columns))
    yield from RUN_TABLES


def declared_views(store: Store | None, runs: Sequence[Entry] | None = None, *, glob: bool = False) -> list[View]:
    """The views that every store has: over all its runs, or these. Entries are named one by one, or by a pattern if `glob`."""
    traces = store.traces() if store else []
    if runs is None:
        runs = store.runs() if store else []
    return [_declared_view(table, *_members(store, table, traces, runs, glob=glob)) for table in declared_tables()]


def derived_views() -> list[View]:
    """The views that are made of others, by queries/_NAME.sql."""
    return [View(table.name, f"SELECT {_names(table)} FROM _{table.name}", table.doc, _docs(table)) for table in DERIVED_TABLES]


def internal_views() -> dict[str, Callable[[], str]]:
    """Definitions by name: of `policies` and `parameters`, and of queries/_*.sql, which may use each other."""
    return {
        "policies": _policies,
        "parameters": _parameters,
        **{name: partial(_from_file, name) for name in queries.names() if name.startswith("_")},
    }


def named_views(pending: Mapping[str, Callable[[], str]], text: str) -> dict[str, str]:
    """The definitions of those views that a text names, each behind those that it is made of."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    of_files = {table.name for table in declared_tables()}

    def add(text: str) -> None:
        for word in sorted(set(_WORD.findall(text.lower())) & pending.keys() - seen):
            seen.add(word)
            definition = pending[word]()
            if word not in of_files:
                add(_NO_NAMES.sub(" ", definition))
            found[word] = definition

    add(text)
    return found


def _policies() -> str:
    """The order of policies, for reports to join."""
    from replay.policies import BUILTIN

    rows = ", ".join(f"({number}, {quote(policy.name)})" for number, policy in enumerate(BUILTIN))
    return f"CREATE OR REPLACE VIEW policies AS SELECT * FROM (VALUES {rows}) AS t(position, policy)"


def _parameters() -> str:
    """Defaults of the parameters, for reports to join."""
    from replay.params import PARAMS

    rows = ", ".join(f"({quote(param.name)}, {quote(param.show(param.parse(param.default)))}, {quote(param.doc)})" for param in PARAMS)
    return f"CREATE OR REPLACE VIEW parameters AS SELECT * FROM (VALUES {rows}) AS t(parameter, default_value, doc)"


def _from_file(name: str) -> str:
    return f"CREATE OR REPLACE VIEW {name} AS\n{queries.text(name)}"


def raw_views(store: Store, *, glob: bool = False) -> list[View]:
    """One view per tracepoint of any trace, and of REPORTED_RAW: raw_<system>_<event>. Files are named one by one, or by
    patterns if `glob`."""
    events = {raw_view_name(*event.split(":")): event for event in REPORTED_RAW}
    files: dict[str, list[str]] = {name: [] for name in events}
    for entry in store.traces():
        folder = store.path.absolute() / "traces" / "trace=*" if glob else entry.path.absolute()
        for raw in entry.manifest.get("raw", ()):
            event = f"{raw['system']}:{raw['event']}"
            name = raw_view_name(raw["system"], raw["event"])
            while events.setdefault(name, event) != event:
                name += "_"
            found = files.setdefault(name, [])
            path = str(folder / "raw" / raw["file"])
            if path not in found:
                found.append(path)
    return [_raw_view(name, events[name], files[name]) for name in sorted(files)]


def _raw_view(name: str, event: str, files: list[str]) -> View:
    # The fields of an event differ by kernel: unite by name. That opens every file, which declared tables do not need.
    select = f"SELECT trace, * EXCLUDE (trace) FROM {_trace_files(files, ', union_by_name=true')}" if files else ""
    if event in REPORTED_RAW:
        fields = ", ".join(f"NULL::BIGINT AS {identifier(field)}" for field in REPORTED_RAW[event])
        common = "NULL::VARCHAR AS trace, NULL::BIGINT AS seq, NULL::BIGINT AS ts, NULL::INTEGER AS cpu, '' AS buffer"
        empty = f"SELECT {common}, {fields} WHERE false"
        select = f"{empty} UNION ALL BY NAME {select}" if files else empty
    return View(name, select, f"Records of {event}, every field as the trace has it.", _RAW_DOCS)


def raw_view_name(system: str, event: str) -> str:
    """The view of a tracepoint, unless another one came to the same name."""
    return "raw_" + re.sub(r"[^a-z0-9_]", "_", f"{system}_{event}".lower())


def _members(store: Store | None, table: Table, traces: Sequence[Entry], runs: Sequence[Entry], *, glob: bool) -> tuple[list[str], bool]:
    """The Parquet files of a table, and whether they belong to traces (whose id only the folder tells)."""
    of_run = table in RUN_TABLES or table.name == "runs"
    entries = runs if of_run else traces
    name = {"traces": "trace", "runs": "run"}.get(table.name, table.name)
    from_folder = not of_run and table.name != "traces"
    if glob and entries and store:
        kind = "runs/run" if of_run else "traces/trace"
        several = "*" if any(len(entry.files(name)) > 1 for entry in entries) else ""
        return [os.path.join(store.path.absolute(), f"{kind}=*", f"{name}{several}.parquet")], from_folder
    files = [path.absolute() for entry in entries for path in entry.files(name)]
    if table in RUN_TABLES:
        # DuckDB takes all files of a table to be as large as the first one, and plans joins by that: a small one would make it put
        # millions of rows into a hash table instead of a handful.
        files.sort(key=lambda path: -_size(path))
    return [str(path) for path in files], from_folder


def _size(path: Path) -> int:
    """0 where it is missing, which whoever reads it will say."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _declared_view(table: Table, files: list[str], from_folder: bool) -> View:
    if files:
        source = _trace_files(files) if from_folder else f"read_parquet({_list(files)}, hive_partitioning=false)"
        return View(table.name, f"SELECT {selection(table)} FROM {source}", table.doc, _docs(table))
    empty = ", ".join(f"NULL::{_SQL_TYPES[column.type]} AS {identifier(column.name)}" for column in table.columns)
    return View(table.name, f"SELECT {empty} WHERE false", table.doc, _docs(table))


def selection(table: Table) -> str:
    """The table's columns from what lies in Parquet."""
    return ", ".join(
        f"{column.stored.sql} AS {identifier(column.name)}" if column.stored else identifier(column.name) for column in table.columns
    )


def _names(table: Table) -> str:
    return ", ".join(identifier(column.name) for column in table.columns)


def _docs(table: Table) -> dict[str, str]:
    return {column.name: f"{column.doc} [{column.unit}]" if column.unit else column.doc for column in table.columns}


def _trace_files(files: list[str], options: str = "") -> str:
    return f"read_parquet({_list(files)}, hive_partitioning=true, hive_types={{'trace': VARCHAR}}{options})"


def _list(files: list[str]) -> str:
    return "[" + ", ".join(map(quote, files)) + "]"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
