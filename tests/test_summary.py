"""Sentences on how far a result can be trusted: never silent about a loss, never louder than it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders.stores import EMPTY_FOUND

from replay.ingest.pipeline import IngestSummary
from replay.store import Entry
from replay.summary import caveats, ingested, subject

LOSS = {"counter": "pins_unresolved", "cpu": None, "severity": "warning", "count": 3, "total": 23, "meaning": "m", "advice": "Record mmap."}
LOST = {"counter": "kernel_lost_events", "cpu": 0, "severity": "data_loss", "count": 5, "total": None, "meaning": "m", "advice": "Larger."}


def entry(source: str = "a.dat", losses: tuple[dict[str, Any], ...] = (), **more: Any) -> Entry:
    row = {"source": source, "clock": "local", "format": "trace.dat v7", "uname": None, "cpus": 1, "ts_first": 0, "ts_last": 1_500_000}
    row |= {"events": 7, "raw_events": 11, "pins_unresolved": 3}
    found = {**EMPTY_FOUND, "mrs": 1, "pinned_pages": 17, "tracepoints": 2, "mapped_records": 7, "pin_calls": 23}
    found |= {"operations": {"dirty": 2, "pin": 5}, "losses": list(losses)}
    return Entry("traces", "t1", Path("nowhere"), {"row": row, "found": found, **more})


def test_losses_are_summed_over_cpus_and_the_worst_gives_the_advice() -> None:
    lines = caveats([entry(losses=(LOSS, LOST, {**LOST, "cpu": 1, "count": 6}))])
    assert lines[0] == "a.dat: pins unresolved 3 of 23 (13.0%); kernel lost events 11. Larger."
    assert "lower bounds" in lines[1]


def test_what_is_only_information_is_no_loss() -> None:
    (line,) = caveats([entry(losses=({**LOSS, "severity": "info"},)), entry("b.dat")])
    assert line.startswith("Nothing was lost")


def test_clock_that_does_not_count_nanoseconds_is_named() -> None:
    lines = caveats([entry(clock_unit="cycles")])
    assert lines[0] == "a.dat: its clock local counts cycles, not ns: durations are shown as if it did."
    assert len(lines) == 2


def test_ingest_says_what_it_found() -> None:
    assert ingested(IngestSummary(entry(losses=(LOSS,)), already=False)) == (
        "a.dat: trace t1\n"
        "  format   trace.dat v7, clock local, 1 CPU\n"
        "  records  11 over 1.5 ms, of 2 tracepoints; 7 have a meaning for the replay, 4 stay raw tables only\n"
        "  events   pin 5, dirty 2\n"
        "  memory   1 MR, 17 pinned pages, 0 files; 87.0% of pin calls resolved\n"
        "  losses   warning: pins_unresolved 3 of 23. m\n"
    )


def test_subject_names_one_trace_in_full_and_many_by_name() -> None:
    assert subject([entry()]) == "a.dat (1.5 ms; 7 events, 1 MR, 17 pinned pages)"
    assert subject([entry(name) for name in "abcde"]) == "5 traces (a, b, c, d, ...)"
