"""SQL over a store: DuckDB views, read only, with nothing outside of the store in reach."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replay.errors import ReplayError, StoreError, UsageError
from replay.params import PARAMS
from replay.policies import BUILTIN
from replay.reports import internal_views
from replay.store import Store
from replay.views import declared_views, quote, raw_views

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

# Raw views are many, comments more: they are made for statements that could name them, or list what there is.
_MAY_NEED_ALL = re.compile(r"raw_|\bshow\b|\bdescribe\b|information_schema|duckdb_|pg_|sqlite_master", re.IGNORECASE)
_HUGEINT_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that a query gave."""

    table: pa.Table

    @classmethod
    def of(cls, table: pa.Table) -> Answer:
        """DuckDB's sum of integers is 128 bits wide; give plain integers where they fit."""
        import pyarrow as pa

        for number, field in enumerate(table.schema):
            if pa.types.is_decimal128(field.type) and field.type.scale == 0 and field.type.precision == _HUGEINT_DIGITS:
                with suppress(pa.ArrowInvalid):
                    table = table.set_column(number, field.name, table.column(number).cast(pa.int64()))
        return cls(table)

    def arrow(self) -> pa.Table:
        return self.table

    def pl(self) -> pl.DataFrame:
        import polars as pl

        frame = pl.from_arrow(self.table)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def rows(self) -> list[dict[str, Any]]:
        """Rows as dictionaries, for small answers."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows


class Session:
    """A connection to the store as it is now. Close it, or use it as a context manager."""

    def __init__(self, store: Store) -> None:
        import duckdb

        self._store = store
        self._complete = False
        self._declared = declared_views(store)
        self._connection = duckdb.connect(":memory:")
        try:
            self._define([*(view.definition() for view in self._declared), settings_tables(), *internal_views()])
        except StoreError:
            self.close()
            raise
        self._lock_down()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def sql(self, query: str, params: Mapping[str, object] | None = None) -> Answer:
        """Run one SELECT. UsageError for anything else and for what DuckDB refuses to understand."""
        import duckdb

        _check_select(query)
        if not self._complete and _MAY_NEED_ALL.search(query):
            self._complete_catalog()
        try:
            return Answer.of(self._connection.sql(query, params=dict(params) if params else None).to_arrow_table())
        except (duckdb.PermissionException, duckdb.ProgrammingError, duckdb.DataError) as error:
            raise UsageError(_first_lines(error)) from None
        except duckdb.Error as error:
            raise ReplayError(_first_lines(error)) from None

    def columns(self, query: str, params: Mapping[str, object]) -> list[tuple[str, str]]:
        """Names and types of what a query gives, without running it."""
        described = self._connection.execute(f"DESCRIBE {query}", dict(params)).fetchall()
        return [(row[0], row[1]) for row in described]

    def _complete_catalog(self) -> None:
        self._complete = True
        raw = raw_views(self._store)
        self._define([*(view.definition() for view in raw), *(comment for view in (*self._declared, *raw) for comment in view.comments())])

    def _define(self, statements: Sequence[str]) -> None:
        """Our own statements: where they fail, it is for a file of the store."""
        import duckdb

        try:
            self._connection.execute(";\n".join(statements))
        except duckdb.Error as error:
            raise StoreError(f"damaged: {_first_lines(error)}", where=str(self._store.path)) from None

    def _lock_down(self) -> None:
        folder = str(self._store.path.absolute())
        spill = os.path.join(tempfile.gettempdir(), f"replay-sql-{os.getpid()}")
        for setting in (
            f"temp_directory = {quote(spill)}",
            f"allowed_directories = [{quote(folder)}]",
            "enable_external_access = false",
            "python_enable_replacements = false",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "allow_community_extensions = false",
            "lock_configuration = true",
        ):
            self._connection.execute(f"SET {setting}")


def views_script(store: Store) -> str:
    """The views as SQL text for any DuckDB: they find later traces and runs by pattern."""
    views = [*declared_views(store, glob=True), *raw_views(store, glob=True)]
    statements = [statement for view in views for statement in (view.definition(), *view.comments())]
    return ";\n".join(statements) + ";\n" + settings_tables() + ";\n".join(internal_views()) + ";\n"


def settings_tables() -> str:
    """Views `policies` and `parameters`: the order of policies and the defaults, for reports to join."""
    policies = ", ".join(f"({number}, {quote(policy.name)})" for number, policy in enumerate(BUILTIN))
    parameters = ", ".join(
        f"({quote(param.name)}, {quote(param.show(param.parse(param.default)))}, {quote(param.doc)})" for param in PARAMS
    )
    return (
        f"CREATE OR REPLACE VIEW policies AS SELECT * FROM (VALUES {policies}) AS t(position, policy);\n"
        f"CREATE OR REPLACE VIEW parameters AS SELECT * FROM (VALUES {parameters}) AS t(parameter, default_value, doc);\n"
    )


def _check_select(query: str) -> None:
    import duckdb

    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise UsageError(_first_lines(error)) from None
    if len(statements) != 1:
        raise UsageError(f"one SELECT at a time: this is {len(statements)} statements")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name
        raise UsageError(f"only SELECT is allowed here, this is {kind}", hint="the store changes only through replay ingest and replay run")


def _first_lines(error: Exception) -> str:
    """DuckDB's message as one line: the sentence and its suggestion, without the picture of the query."""
    text = str(error).split("\n\nLINE ")[0]
    return " ".join(text.split())
