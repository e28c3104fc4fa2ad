"""Reading of a trace while what was read before is being worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from replay.ingest.records import Progress, RawBatch, TraceReader

# With one alone, reader and worker would wait for each other whenever another thread has delayed either.
_BATCHES = 2


def read_ahead(reader: TraceReader, progress: Progress) -> Generator[RawBatch]:
    """The reader's batches, some of which a thread reads ahead. `progress` is called by the thread that asks for them."""
    reached = (0, 0)

    def note(done: int, total: int) -> None:
        nonlocal reached
        reached = done, total

    with closing(reader.batches(note)) as batches, ThreadPoolExecutor(1, "reader") as pool:
        following = deque(pool.submit(next, batches, None) for _ in range(_BATCHES))
        try:
            while (batch := following.popleft().result()) is not None:
                following.append(pool.submit(next, batches, None))
                progress(*reached)
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)
