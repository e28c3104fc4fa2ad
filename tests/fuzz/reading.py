"""What the targets share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay.ingest.records import TraceReader

_MOST_BYTES = 32 << 10


def read(reader: TraceReader, *, whole: bool) -> None:
    """The raw tables of an open trace, and if `whole` all that ingest makes of them; the tables must be sound."""
    from replay.ingest.lowering import Lowering

    lowering = Lowering(reader.info, reader.losses) if whole else None
    for batch in reader.batches():
        for table in batch.tables.values():
            table.validate(full=True)
        if lowering:
            lowering.add(batch)
    for canonical in lowering.finish().tables.values() if lowering else ():
        canonical.validate(full=True)


def recorded(pattern: str) -> Iterator[tuple[str, bytes]]:
    """The beginnings of the traces in the folder that REPLAY_EXTRA_TRACES names, if it is set."""
    folder = os.environ.get("REPLAY_EXTRA_TRACES")
    for path in sorted(Path(folder).rglob(pattern)) if folder else ():
        with open(path, "rb") as file:
            yield path.name, file.read(_MOST_BYTES)
