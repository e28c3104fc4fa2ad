"""Reading ahead: the batches in their order, errors where they belong, and an end when nobody asks any more."""

from collections.abc import Generator
from dataclasses import dataclass, field
from threading import Event

import pytest

from replay.errors import TraceError
from replay.ingest.ahead import read_ahead
from replay.ingest.losses import Losses
from replay.ingest.records import Progress, RawBatch, TraceInfo

BATCHES = [RawBatch({}) for _ in range(7)]


@dataclass
class Reader:
    """Gives the batches, and then breaks if it is to."""

    broken: bool = False
    given: int = 0
    closed: Event = field(default_factory=Event)
    info: TraceInfo = field(default_factory=lambda: TraceInfo("trace.dat", "test", "global", None, 1))
    losses: Losses = field(default_factory=Losses)

    def batches(self, progress: Progress | None = None) -> Generator[RawBatch]:
        try:
            for number, batch in enumerate(BATCHES):
                if progress:
                    progress(number + 1, len(BATCHES))
                self.given += 1
                yield batch
            if self.broken:
                raise TraceError("trace.dat", 7, "broken")
        finally:
            self.closed.set()


def test_every_batch_in_order() -> None:
    reached: list[tuple[int, int]] = []
    assert [id(batch) for batch in read_ahead(Reader(), lambda *done: reached.append(done))] == [id(batch) for batch in BATCHES]
    assert reached == sorted(reached)
    assert reached[-1] == (7, 7)


def test_an_error_comes_after_what_was_read_before_it() -> None:
    taken = read_ahead(Reader(broken=True), lambda *_: None)
    assert [next(taken) for _ in BATCHES] == BATCHES
    with pytest.raises(TraceError, match="broken"):
        next(taken)


def test_who_stops_asking_waits_for_few_batches_more() -> None:
    reader = Reader()
    taken = read_ahead(reader, lambda *_: None)
    next(taken)
    taken.close()
    assert reader.closed.is_set()
    assert reader.given < len(BATCHES)
