"""Tables as text, CSV, JSON or Parquet. Nothing here prints: text goes to the stream that it is given."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Literal

from replay.errors import UsageError
from replay.humane import quantity

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["table", "csv", "json", "parquet"]
_GAP = "  "
_CSV_SPECIAL = re.compile('[",\r\n]')


@dataclass(frozen=True, slots=True)
class Head:
    """How a column looks in a text table. `title` may have several lines; `open_column` names the flag of an open end."""

    title: str
    unit: str = ""
    open_column: str = ""


def write(table: pa.Table, form: Format, out: IO[bytes], *, width: int | None = None) -> None:
    """Write any table. `width` is the terminal's, where there is one."""
    if form == "parquet":
        _write_parquet(table, out)
    elif form == "csv":
        _write_csv(table, out)
    else:
        write_rows(table.column_names, _rows(table), form, out, width=width)


def write_rows(
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    form: Literal["table", "json"],
    out: IO[bytes],
    *,
    width: int | None = None,
    limit: int | None = None,
) -> None:
    """The same for rows that need not be held all at once; `limit` bounds those of a text table."""
    if form == "json":
        _write_json(_unique(names), rows, out)
    else:
        out.write(plain_table(names, rows, width=width, limit=limit).encode())


def plain_table(names: Sequence[str], rows: Iterable[Sequence[Any]], *, width: int | None = None, limit: int | None = None) -> str:
    """A text table of values as they are; row by row where it would not fit the width."""
    heads = {name: Head(printable(name)) for name in _unique(names)}
    fetched = list(rows if limit is None else islice(rows, limit + 1))
    shown = [dict(zip(heads, row, strict=True)) for row in fetched[:limit]]
    text = text_table(heads, shown)
    if width is not None and shown and max(map(len, text.split("\n"))) > width:
        text = _row_by_row(heads, shown)
    if len(shown) < len(fetched):
        text += f"(the first {len(shown)} rows; --limit 0 shows all)\n"
    return text


def text_table(heads: Mapping[str, Head], rows: Sequence[Mapping[str, Any]]) -> str:
    """Columns under their heads: numbers to the right, text to the left, no lines but one below the heads."""
    titles = {name: head.title.split("\n") for name, head in heads.items()}
    depth = max(map(len, titles.values()), default=1)
    right = {name: any(isinstance(row[name], int | float | Decimal) for row in rows) for name in heads}
    cells = [{name: cell(row, name, head) for name, head in heads.items()} for row in rows]
    widths = {name: max([*map(len, titles[name]), *(len(row[name]) for row in cells)]) for name in heads}

    def line(values: Mapping[str, str]) -> str:
        parts = (values[name].rjust(widths[name]) if right[name] else values[name].ljust(widths[name]) for name in heads)
        return _GAP.join(parts).rstrip()

    lines = [line({name: ([""] * (depth - len(title)) + title)[level] for name, title in titles.items()}) for level in range(depth)]
    lines.append(_GAP.join("-" * widths[name] for name in heads))
    lines.extend(map(line, cells))
    return "\n".join(lines) + "\n"


def cell(row: Mapping[str, Any], name: str, head: Head) -> str:
    """One value of a row as people read it."""
    value = row[name]
    text = quantity(value, head.unit) if head.unit else _plain(value)
    if head.open_column and value is not None and row[head.open_column]:
        return f">= {text} (still open)"
    return printable(text)


def _plain(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | dict):
        return json.dumps(value, default=_encode)
    return str(value)


def printable(text: str) -> str:
    """Text from a trace must not steer the terminal: what cannot be printed is shown escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _row_by_row(heads: Mapping[str, Head], rows: Sequence[Mapping[str, Any]]) -> str:
    widest = max(len(head.title) for head in heads.values())
    blocks = []
    for number, row in enumerate(rows, 1):
        blocks.append(
            f"-- row {number}\n" + "".join(f"{head.title.ljust(widest)}  {cell(row, name, head)}\n" for name, head in heads.items())
        )
    return "".join(blocks)


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

    if out.isatty():
        raise UsageError("Parquet is not for a terminal", hint="write it to a file: -o FILE, or redirect stdout")
    write_table(out, table.rename_columns(_unique(table.column_names)))


def _write_csv(table: pa.Table, out: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    columns = []
    for column in table.columns:
        if pa.types.is_nested(column.type):
            values = [None if value is None else json.dumps(value, default=_encode) for value in column.to_pylist()]
            columns.append(pa.chunked_array([pa.array(values, pa.string())]))
        else:
            columns.append(column)
    flat = pa.Table.from_arrays(columns, names=table.column_names)
    out.write((",".join(map(_csv_name, table.column_names)) + "\n").encode())
    quoting = "needed" if any(map(_needs_quotes, columns)) else "none"
    pa_csv.write_csv(flat, out, pa_csv.WriteOptions(include_header=False, quoting_style=quoting))


def _csv_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if _CSV_SPECIAL.search(name) else name


def _needs_quotes(column: pa.ChunkedArray) -> bool:
    """Arrow quotes either every string or none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return False
    return pc.any(pc.match_substring_regex(column, _CSV_SPECIAL.pattern)).as_py() or False


def _write_json(names: Sequence[str], rows: Iterable[Sequence[Any]], out: IO[bytes]) -> None:
    """One array, one object a line."""
    out.write(b"[")
    separator = b"\n"
    for row in rows:
        found = {name: _finite(value) for name, value in zip(names, row, strict=True)}
        out.write(separator + json.dumps(found, default=_encode, ensure_ascii=False).encode())
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


def _encode(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
