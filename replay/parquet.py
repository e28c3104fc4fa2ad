"""How this program writes Parquet: the options in one place, so that the same rows always give the same bytes."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_ROWS = 1 << 20


def writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Options for a table of this schema. Dictionaries only for text: on wide integer columns they cost more than they save."""
    import pyarrow as pa

    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)]
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": texts or False,
        "write_statistics": True,
        "version": "2.6",
        "data_page_version": "1.0",
    }


def write_table(path: Path | IO[bytes], table: pa.Table) -> None:
    """Write a whole table."""

    with open_writer(path, table.schema) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)


def open_writer(path: Path | IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A writer for tables that arrive in parts; each part becomes a row group."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, **writer_options(schema))
