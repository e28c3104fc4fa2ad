"""Replaying hand-written events: what the engine's tests share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from replay.columns import load
from replay.ingest.jsonl import read_jsonl
from replay.outcomes import RunName
from replay.params import parse_params
from replay.policies import find_policy
from replay.runs import replay_tables

Event = dict[str, Any]

# A clock without costs of its own, so that every nanosecond in a test is one that its events wrote.
FREE = {
    "lease.app": "1ms",
    "lease.rtt": "0",
    "mr.reg": "0",
    "mr.dereg": "0",
    "mr.dirty": "0",
    "odp.fault": "0",
    "odp.invalidate": "0",
    "bounce.copy": "0",
    "writeback.service": "0",
    "remote.activity": "recorded",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome tables of one replay, and the sums that tests compare."""

    tables: dict[str, pa.Table]

    def rows(self, table: str) -> list[Event]:
        rows: list[Event] = self.tables[table].to_pylist()
        return rows

    @property
    def pages(self) -> dict[str, int]:
        """Pages by conflict class; classes without any are absent."""
        pages: Counter[str] = Counter()
        for row in self.rows("conflicts"):
            pages[row["class"]] += row["npages"]
        return {name: npages for name, npages in pages.items() if npages}

    @property
    def stalls(self) -> list[tuple[str, int, bool]]:
        return [(row["op"], row["dur"], row["unbounded"]) for row in self.rows("stalls")]

    @property
    def costs(self) -> dict[str, float]:
        """Costs that are not zero."""
        return {row["metric"]: row["value"] for row in self.rows("costs") if row["value"]}


Replay = Callable[..., Outcome]


@pytest.fixture
def replay_events(tmp_path: Path) -> Replay:
    """replay_events(events, policy, **{parameter: value}) replays canonical events, given as in events.jsonl."""

    def run(events: Sequence[Event], policy: str, params: dict[str, str] | None = None) -> Outcome:
        path = tmp_path / "events.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        recorded = load(read_jsonl(path)[1].tables)
        values = parse_params({**FREE, **(params or {})})
        return Outcome(replay_tables(recorded, find_policy(policy), values, RunName("r", policy, "t")))

    return run
