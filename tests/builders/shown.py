"""Tables as SQL shows them, of those that are to be stored."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from replay.schema import TRACE_TABLES
from replay.views import selection

_DECLARED = {table.name: table for table in TRACE_TABLES}


def shown(name: str, stored: pa.Table) -> list[dict[str, Any]]:
    """The rows of a trace's table."""
    with duckdb.connect() as connection:
        found = connection.from_arrow(stored).project(selection(_DECLARED[name])).to_arrow_table()
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows
