"""How time and memory grow with the events: the same work on traces of several sizes, by turns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from bench.measure import Contender, Readings, by_turns
from bench.results import Row
from bench.sizes import ENVIRONMENT, Size, tiled

# Of all reports the one that takes longest.
_REPORT = "conflicts"
# Twice the events may take 2.1 times the time.
_ALLOWED = 1.05


def growth(work: Path, source: str, sizes: Sequence[int], rounds: int) -> list[Row]:
    """Each size against the next smaller one: ingest, run under all policies, the slowest report."""
    steps = [tiled(work, source, events) for events in sorted(set(sizes))]
    works = {
        "ingest": [_ingest(size) for size in steps],
        "run, all policies": [_run(size) for size in steps],
        f"report {_REPORT}": [Contender(str(size.trace), size.replay("report", _REPORT)) for size in steps],
    }
    rows: list[Row] = []
    for name, contenders in works.items():
        rows += growth_rows(name, [size.events for size in steps], by_turns(contenders, rounds, ENVIRONMENT))
    return rows


def _ingest(size: Size) -> Contender:
    return Contender(str(size.trace), size.replay("ingest", str(size.trace)), before=partial(size.forget, ""))


def _run(size: Size) -> Contender:
    return Contender(str(size.trace), size.replay("run"), before=partial(size.forget, "runs"))


def growth_rows(name: str, events: Sequence[int], found: Sequence[Readings]) -> list[Row]:
    """Each reading against the one before, whose goal allows for how many more events there are."""
    rows = [Row(f"{name}, {_millions(events[0])}", found[0], "", None, "")]
    for (fewer, less), (most, more) in pairwise(zip(events, found, strict=True)):
        rows.append(Row(f"{name}, {_millions(most)}", more, _millions(fewer), less, f"<= {_ALLOWED * most / fewer:.2f}"))
    return rows


def _millions(events: int) -> str:
    return f"{events / 1_000_000:g} M"
