"""What the HTML report shows, asked of the reports: no number of the page is computed anywhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replay.policies import BUILTIN
from replay.reporting import Reported, ask
from replay.session import Session
from replay.store import Entry, Store
from replay.summary import caveats

Row = Mapping[str, Any]
# Reports on the page, and how many rows for each policy where they name names.
_ASKED: dict[str, int | None] = {"overview": None, "runs": None, "stall-distribution": None, "stalls": 10, "over-time": None}
_ASKED |= {"culprits": 10, "cost-series": None, "sweep": None}
# Colours of the stylesheet: one for each built-in policy, and more for others.
OTHER_HUES = 4
_LOSSES = """
    SELECT trace, source, counter, severity, sum(count)::BIGINT AS count, max(total) AS total, meaning, advice
    FROM losses JOIN traces USING (trace)
    WHERE count > 0
    GROUP BY source, trace, counter, severity, meaning, advice
    ORDER BY source, trace, CASE severity WHEN 'data_loss' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, counter
"""
_TRACES = """
    SELECT source, trace, format, uname, clock, cpus, ts_last - ts_first AS span_ns, raw_events, events, pins, pins_unresolved, lost_events
    FROM traces
    ORDER BY source, trace
"""


@dataclass(frozen=True, slots=True)
class Request:
    """Which runs the page is about, as `replay report` has it."""

    trace: str | None = None
    policy: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    all_settings: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A report's answer and its rows."""

    reported: Reported
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the page shows: answers by the report's name, the runs that they are about, their traces, and what those lost.

    `params`: the parameters of every run by its id, also of those that only report sweep is about. `caveats`: how far to trust the
    traces. `notes`: which runs the comparison leaves out.
    """

    answers: Mapping[str, Answered]
    runs: Sequence[Entry]
    params: Mapping[str, Mapping[str, str]]
    traces: Sequence[Row]
    losses: Sequence[Row]
    caveats: Sequence[str]
    notes: Sequence[str]

    @property
    def overview(self) -> Reported:
        return self.answers["overview"].reported

    @property
    def is_lossy(self) -> bool:
        return any(row["severity"] != "info" for row in self.losses)

    def rows(self, report: str) -> Sequence[Row]:
        return self.answers[report].rows

    def without(self, names: Sequence[str]) -> list[str]:
        """The labels of the comparison that are not among these."""
        return [name for name in dict.fromkeys(map(label, self.rows("overview"))) if name not in names]


def gather(store: Store, request: Request) -> Findings:
    """Ask every report about these runs; errors where there is nothing to compare."""
    answers = {name: _answer(store, request, name, limit) for name, limit in _ASKED.items()}
    known = {entry.id: entry for entry in store.runs()}
    params = {run: json.loads(entry.row["params"]) for run, entry in known.items()}
    runs = [known[row["run"]] for row in answers["runs"].rows if row["run"] in known]
    replayed = {entry.row["trace"] for entry in runs}
    with Session(store) as session:
        traces, losses = ([row for row in session.sql(query).rows() if row["trace"] in replayed] for query in (_TRACES, _LOSSES))
    doubts = caveats([entry for entry in store.traces() if entry.id in replayed])
    notes = [note for note in answers["overview"].reported.notes if note not in doubts]
    return Findings(answers, runs, params, traces, losses, doubts, notes)


def _answer(store: Store, request: Request, name: str, limit: int | None) -> Answered:
    reported = ask(store, name, {"trace": request.trace, "policy": request.policy, "limit": limit}, request.params, request.all_settings)
    return Answered(reported, reported.rows())


def label(row: Row) -> str:
    """A policy as the page names it: with the parameters that differ from the defaults."""
    return f"{row['policy']} {row['settings']}".rstrip()


def hues(names: Sequence[str]) -> dict[str, str]:
    """The colour of each policy: a built-in one has its own, which depends on nothing else."""
    own = {policy.name: f"var(--p{number})" for number, policy in enumerate(BUILTIN)}
    others = sorted(set(names) - own.keys())
    return own | {name: f"var(--q{number % OTHER_HUES})" for number, name in enumerate(others)}
