"""How this program writes Parquet: the options in one place, so that the same rows always give the same bytes."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_ROWS = 1 << 20
# Values that Arrow takes from a column at once; by default it calls every step anew for each thousand.
_BATCH_VALUES = 1 << 16


def writer_options(schema: pa.Schema, growing: Collection[str] | None = None, repeating: Collection[str] = ()) -> dict[str, Any]:
    """Options for a table of this schema.

    `growing` are the columns whose values grow over the file (if not told: perhaps all of 64 bits), `repeating` those of 64 bits that are
    mostly the same from row to row.

    Numbers of 64 bits count upwards or repeat themselves, so that their differences are smaller than what a compressor makes of
    them, and several times cheaper to write and to read. Narrower ones (CPUs, threads, flags) are mostly the same from row to row,
    which the compressor sees faster than anything counts differences. Statistics only where values grow over a file: elsewhere no
    reader could skip anything by them, and for text they cost more than the column itself.
    """
    import pyarrow as pa

    # A dot in a name could make it the path of another column's inner values.
    wide = [field.name for field in schema if pa.types.is_integer(field.type) and field.type.bit_width == 64 and "." not in field.name]
    counting = [name for name in wide if name not in repeating]
    plain = {*counting, *(field.name for field in schema if pa.types.is_boolean(field.type))}
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)]
    return {
        "compression": {_leaf(field): "none" if field.name in plain else "lz4" for field in schema},
        "column_encoding": dict.fromkeys(counting, "DELTA_BINARY_PACKED"),
        "use_dictionary": texts or False,
        "write_statistics": [name for name in wide if growing is None or name in growing] or False,
        "write_batch_size": _BATCH_VALUES,
        "version": "2.6",
        "data_page_version": "1.0",
    }


def _leaf(field: pa.Field) -> str:
    """The path by which Parquet knows the values of a column."""
    import pyarrow as pa

    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def write_table(path: Path | IO[bytes], table: pa.Table) -> None:
    """Write a whole table."""

    with open_writer(path, table.schema) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)


def open_writer(
    path: Path | IO[bytes], schema: pa.Schema, growing: Collection[str] | None = None, repeating: Collection[str] = ()
) -> pq.ParquetWriter:
    """A writer for tables that arrive in parts; each part becomes a row group. What is told of columns is as in `writer_options`."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, **writer_options(schema, growing, repeating))
