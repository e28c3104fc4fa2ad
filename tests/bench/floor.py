"""What an ingest cannot go below, whoever does it: the parts of it that other people's code does, each alone and on one core.

    PYTHONPATH=tests python -m bench.floor parquet STORE     encode the store's trace tables again, as ingest writes them
    PYTHONPATH=tests python -m bench.floor pages TRACE.DAT   decompress the trace's pages

Prints the seconds of CPU time that this took; reading the tables back is not counted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def encode_seconds(store: str) -> float:
    import pyarrow.parquet as pq

    from replay.parquet import open_writer

    taken = 0.0
    with tempfile.TemporaryDirectory(dir=store) as folder:
        for path in sorted(Path(store, "traces").rglob("*.parquet")):
            source = pq.ParquetFile(path)
            target = Path(folder, path.name)
            with open_writer(target, source.schema_arrow, **_told(source)) as writer:
                for number in range(source.num_row_groups):
                    table = source.read_row_group(number)
                    begin = time.process_time()
                    writer.write_table(table, row_group_size=max(table.num_rows, 1))
                    taken += time.process_time() - begin
            target.unlink()
    return taken


def _told(source: pq.ParquetFile) -> dict[str, list[str]]:
    """What the writer of a file was told of its columns: which grow, and which repeat themselves."""
    if not source.num_row_groups:
        return {}
    group = source.metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    return {
        "growing": [column.path_in_schema for column in columns if column.is_stats_set],
        "repeating": [column.path_in_schema for column in columns if "DELTA_BINARY_PACKED" not in column.encodings],
    }


def decompress_seconds(path: str) -> float:
    from replay.ingest.tracecmd import open_tracecmd

    reader = open_tracecmd(path)
    begin = time.process_time()
    for source in reader.sources():
        for _ in source.segments():
            pass
    return time.process_time() - begin


def main() -> None:
    parts = {"parquet": encode_seconds, "pages": decompress_seconds}
    if len(sys.argv) != 3 or sys.argv[1] not in parts:
        sys.exit(__doc__)
    sys.stdout.write(f"{parts[sys.argv[1]](sys.argv[2]):.6f} seconds\n")


if __name__ == "__main__":
    main()
