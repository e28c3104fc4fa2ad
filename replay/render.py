"""Tables as text (replay/texttable.py), CSV, JSON or Parquet. Nothing here prints: text goes to the stream that it is given."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Literal

from replay.errors import UsageError
from replay.texttable import PLAIN, Head, Look, cell, encode, printable, text_table

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "PLAIN",
    "Format",
    "Head",
    "Look",
    "cell",
    "plain_table",
    "printable",
    "text_table",
    "write",
    "write_batches",
    "write_csv",
    "write_rows",
]

Format = Literal["table", "csv", "json", "parquet"]


def write(table: pa.Table, form: Format, out: IO[bytes], look: Look = PLAIN, *, spare: Sequence[str] = ()) -> None:
    """Write any table. `spare`: columns that a text table may leave out."""
    if form == "parquet":
        _write_parquet(table, out)
    elif form == "csv":
        write_csv(table.column_names, table.to_batches(), out)
    else:
        write_rows(table.column_names, _rows(table), form, out, look, exact=False, spare=spare)


def write_rows(
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    form: Literal["table", "json"],
    out: IO[bytes],
    look: Look = PLAIN,
    *,
    limit: int | None = None,
    exact: bool = True,
    spare: Sequence[str] = (),
) -> None:
    """The same for rows that need not be held all at once; `limit` bounds those of a text table, `exact` as for text_table."""
    if form == "json":
        _write_json(_unique(names), rows, out)
    else:
        out.write(look.bytes(plain_table(names, rows, look, limit=limit, exact=exact, spare=spare)))


def plain_table(
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    look: Look = PLAIN,
    *,
    limit: int | None = None,
    exact: bool = True,
    spare: Sequence[str] = (),
) -> str:
    """A text table of values as they are; `exact` as for text_table."""
    heads = {name: Head(printable(name), spare=name in spare) for name in _unique(names)}
    fetched = list(rows if limit is None else islice(rows, limit + 1))
    shown = [dict(zip(heads, row, strict=True)) for row in fetched[:limit]]
    text = text_table(heads, shown, look, exact=exact)
    if len(shown) < len(fetched):
        text += f"(the first {len(shown)} rows; --limit 0 shows all)\n"
    return text


def write_csv(names: Sequence[str], batches: Iterable[pa.RecordBatch], out: IO[bytes]) -> None:
    """The same for batches that need not be held all at once."""
    from replay import csvtext

    out.write(csvtext.header(names))
    for batch in batches:
        out.write(csvtext.lines(batch))


def write_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch], form: Literal["csv", "parquet"], out: IO[bytes]) -> None:
    """Any batches, of which no more than one is held. Parquet appears once it is whole: without its end nobody could read it."""
    import pyarrow as pa

    from replay.parquet import open_writer

    if form == "csv":
        write_csv(schema.names, batches, out)
        return
    _refuse_terminal(out)
    names = _unique(schema.names)
    with TemporaryFile() as whole:
        with open_writer(whole, pa.schema([field.with_name(name) for name, field in zip(names, schema, strict=True)])) as writer:
            for batch in batches:
                writer.write_batch(batch.rename_columns(names))
        whole.seek(0)
        shutil.copyfileobj(whole, out)


def _unique(names: Iterable[str]) -> list[str]:
    """SQL may give two columns one name; a row as a dictionary may not."""
    unique: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique.append(candidate)
    return unique


def _rows(table: pa.Table) -> Iterator[Sequence[Any]]:
    for batch in table.to_batches(max_chunksize=10_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _write_parquet(table: pa.Table, out: IO[bytes]) -> None:
    from replay.parquet import write_table

    _refuse_terminal(out)
    write_table(out, table.rename_columns(_unique(table.column_names)))


def _refuse_terminal(out: IO[bytes]) -> None:
    if out.isatty():
        raise UsageError("Parquet is not for a terminal", hint="write it to a file: -o FILE, or redirect stdout")


def _write_json(names: Sequence[str], rows: Iterable[Sequence[Any]], out: IO[bytes]) -> None:
    """One array, one object a line."""
    out.write(b"[")
    separator = b"\n"
    for row in rows:
        found = {name: _finite(value) for name, value in zip(names, row, strict=True)}
        out.write(separator + json.dumps(found, default=encode, ensure_ascii=False).encode())
        separator = b",\n"
    out.write(b"\n]\n" if separator == b",\n" else b"]\n")


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value
