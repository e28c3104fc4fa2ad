"""SQL over a store: DuckDB views, read only, with nothing outside of the store in reach."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from replay.errors import ReplayError, StoreError, UsageError
from replay.store import Entry, Store
from replay.views import declared_views, derived_views, identifier, internal_views, named_views, quote, raw_views

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

# Raw views are many, comments more: they are made for statements that could name them, or list what there is.
_MAY_NEED_ALL = re.compile(r"raw_|\bshow\b|\bdescribe\b|information_schema|duckdb_|pg_|sqlite_master", re.IGNORECASE)
_FETCHED_ROWS = 10_000
# Of an answer that is shown as text.
_SHOWN_ROWS = 20
_HUGEINT_DIGITS = 38
# What DuckDB's errors begin with that are about the query's values.
_WRONG_USAGE = ("Conversion Error", "Invalid Input Error", "Out of Range Error")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that a query gave."""

    table: pa.Table

    def __repr__(self) -> str:
        """As text: of many rows the first ones."""
        from replay.render import plain_table

        first = self.table.slice(0, _SHOWN_ROWS)
        text = plain_table(first.column_names, list(zip(*(column.to_pylist() for column in first.columns), strict=True)))
        more = f"(the first {first.num_rows} of {self.table.num_rows} rows)\n" if first.num_rows < self.table.num_rows else ""
        return (text + more).rstrip("\n")

    @classmethod
    def of(cls, table: pa.Table) -> Answer:
        """DuckDB's sum of integers is 128 bits wide; give plain integers where they fit."""
        import pyarrow as pa

        for number, field in enumerate(table.schema):
            if _is_huge(field.type):
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
    """A connection to the store as it is now. Close it, or use it as a context manager.

    A view is made when a query names it: making it opens files. `runs`: no others are seen, and their files not opened.
    """

    def __init__(self, store: Store, runs: Sequence[Entry] | None = None) -> None:
        import duckdb

        self._store = store
        self._complete = False
        self._declared = [*declared_views(store, runs), *derived_views()]
        self._pending = {**{view.name: view.definition for view in self._declared}, **internal_views()}
        self._connection = duckdb.connect(":memory:")
        self._lock_down()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def sql(self, query: str, params: Mapping[str, object] | None = None) -> Answer:
        """Run one SELECT. UsageError for anything else and for what DuckDB refuses to understand."""
        bound = dict(params) if params else None
        with _explained():
            return Answer.of(self._select(query, lambda: self._connection.sql(query, params=bound)).to_arrow_table())

    def rows(self, query: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Names and rows of one SELECT.

        Rows are fetched as they are wanted, and without Arrow, whose import takes longer than most queries.
        """
        with _explained():
            cursor = self._select(query, lambda: self._connection.execute(query))
            return [column[0] for column in cursor.description or ()], _fetch(cursor)

    def batches(self, query: str, *, plain: bool = False) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Rows of one SELECT in Arrow batches, fetched as they are wanted.

        `plain`: sums as an Answer has them. Whether they fit only the last row tells: an answer with sums is held.
        """
        with _explained():
            reader = self._select(query, lambda: self._connection.sql(query)).to_arrow_reader()
            if plain and any(map(_is_huge, reader.schema.types)):
                import pyarrow as pa

                table = Answer.of(pa.Table.from_batches(_read(reader), reader.schema)).table.combine_chunks()
                return table.schema, iter(table.to_batches())
            return reader.schema, _read(reader)

    def _select(self, query: str, run: Callable[[], _Result]) -> _Result:
        import duckdb

        self._check_select(query)
        self._define_named(query)
        try:
            return run()
        except duckdb.CatalogException:
            # Perhaps a name that is put together; if not, DuckDB knows what it may have been meant for.
            self._complete_catalog()
            return run()

    def set_variables(self, values: Mapping[str, str | int | None]) -> None:
        """What getvariable(NAME) gives in later queries; None is NULL, as for a name that was never set."""
        for name, value in values.items():
            self._connection.execute(f"SET VARIABLE {identifier(name)} = $1", [value])

    def columns(self, query: str) -> list[tuple[str, str]]:
        """Names and types of what a query gives, without running it."""
        self._define_named(query)
        return [(row[0], row[1]) for row in self._connection.execute(f"DESCRIBE {query}").fetchall()]

    def _define_named(self, query: str) -> None:
        """Make the views that a query may name, and those that they are made of."""
        if _MAY_NEED_ALL.search(query):
            self._complete_catalog()
            return
        named = named_views(self._pending, query)
        self._define(list(named.values()))
        for name in named:
            del self._pending[name]

    def _complete_catalog(self) -> None:
        if self._complete:
            return
        self._complete = True
        raw = raw_views(self._store)
        pending, self._pending = named_views(self._pending, " ".join(self._pending)), {}
        comments = (comment for view in (*self._declared, *raw) for comment in view.comments())
        self._define([*pending.values(), *(view.definition() for view in raw), *comments])

    def _define(self, statements: Sequence[str]) -> None:
        """Our own statements: where they fail, it is for a file of the store."""
        import duckdb

        if not statements:
            return
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

    def _check_select(self, query: str) -> None:
        import duckdb

        if not query.isascii() and query != query.encode(errors="replace").decode():
            raise UsageError("the query is not UTF-8")
        statements = self._connection.extract_statements(query)
        if len(statements) != 1:
            raise UsageError(f"one SELECT at a time: this is {len(statements)} statements")
        if statements[0].type != duckdb.StatementType.SELECT:
            kind = statements[0].type.name
            hint = "the store changes only through replay ingest and replay run"
            raise UsageError(f"only SELECT is allowed here, this is {kind}", hint=hint)


def views_script(store: Store) -> str:
    """The views as SQL text for any DuckDB: they find later traces and runs by pattern."""
    views = [*declared_views(store, glob=True), *raw_views(store, glob=True)]
    statements = [statement for view in views for statement in (view.definition(), *view.comments())]
    derived = derived_views()
    pending = {**{view.name: view.definition for view in derived}, **internal_views()}
    statements += [*named_views(pending, " ".join(pending)).values(), *(comment for view in derived for comment in view.comments())]
    return "".join(f"{statement};\n" for statement in statements)


def _is_huge(kind: pa.DataType) -> bool:
    """What Arrow makes of DuckDB's integers of 128 bits."""
    import pyarrow as pa

    return bool(pa.types.is_decimal128(kind) and kind.scale == 0 and kind.precision == _HUGEINT_DIGITS)


def _fetch(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while True:
        with _explained():
            rows = cursor.fetchmany(_FETCHED_ROWS)
        if not rows:
            return
        yield from rows


def _read(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        with reader:
            yield from reader
    except OSError as error:  # Arrow's word for what DuckDB says of a query that is under way
        wrong = str(error).startswith(_WRONG_USAGE)
        raise (UsageError if wrong else ReplayError)(_first_lines(error)) from None


@contextmanager
def _explained() -> Iterator[None]:
    """Errors of DuckDB as ours: those of the query as wrong usage."""
    import duckdb

    try:
        yield
    except (duckdb.PermissionException, duckdb.ProgrammingError, duckdb.DataError) as error:
        raise UsageError(_first_lines(error)) from None
    except duckdb.Error as error:
        raise ReplayError(_first_lines(error)) from None


def _first_lines(error: Exception) -> str:
    """DuckDB's message as one line: the sentence and its suggestion, without the picture of the query."""
    text = str(error).split("\n\nLINE ")[0]
    return " ".join(text.split())
