"""What the HTML report shows, asked of the reports: no number of the page is computed anywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replay import reports
from replay.errors import ReplayError
from replay.policies import BUILTIN
from replay.reportheader import Report
from replay.reporting import _uneven, _with_runs
from replay.session import Session
from replay.store import Entry, Store
from replay.summary import caveats

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
# Reports on the page, and how many rows for each policy where they name names.
_ASKED: dict[str, int | None] = {"overview": None, "stall-distribution": None, "stalls": 10, "over-time": None, "culprits": 10}
_ASKED |= {"cost-series": None}
# Colours of the stylesheet: one for each built-in policy, and more for others.
OTHER_HUES = 4


@dataclass(frozen=True, slots=True)
class Answered:
    """A report and its rows."""

    report: Report
    table: pa.Table
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the page shows. `caveats`: how far to trust it."""

    traces: Sequence[Entry]
    runs: Sequence[Entry]
    answers: Mapping[str, Answered]
    losses: Sequence[Row]
    caveats: Sequence[str]

    @property
    def title(self) -> str:
        return self.answers["overview"].report.title

    @property
    def is_lossy(self) -> bool:
        return any(row["severity"] != "info" for row in self.losses)

    def rows(self, report: str) -> Sequence[Row]:
        return self.answers[report].rows


def gather(store: Store, trace: str | None, policy: str | None) -> Findings:
    """Ask every report about these runs; errors where there is nothing to compare."""
    entry = store.resolve_trace(trace) if trace is not None else None
    runs = store.runs()
    traces = _with_runs(store, [entry] if entry else store.traces(), runs, policy)
    known = {found.id for found in traces}
    runs = [run for run in runs if run.row["trace"] in known and policy in (None, run.row["policy"])]
    values: dict[str, str | int | None] = {"trace": entry.id if entry else None, "policy": policy}
    with Session(store) as session:
        answers = {name: _ask(session, name, {**values, "limit": limit}) for name, limit in _ASKED.items()}
        session.set_variables(values)
        losses = session.sql(_LOSSES).rows()
    if not answers["overview"].rows:
        raise ReplayError("nothing has been replayed yet", where=str(store.path), hint="first: replay run")
    return Findings(traces, runs, answers, losses, [*_uneven(answers["overview"].table), *caveats(traces)])


_LOSSES = """
    SELECT source, counter, severity, sum(count)::BIGINT AS count, max(total) AS total, meaning, advice
    FROM losses JOIN _traces USING (trace)
    WHERE count > 0 AND trace IN (SELECT trace FROM _runs)
    GROUP BY source, trace, counter, severity, meaning, advice
    ORDER BY source, trace, CASE severity WHEN 'data_loss' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, counter
"""


def _ask(session: Session, name: str, values: Mapping[str, str | int | None]) -> Answered:
    report = reports.load(name)
    known = {parameter.name for parameter in report.parameters}
    table = reports.run(session, report, {key: value for key, value in values.items() if key in known})
    rows: list[Row] = table.to_pylist()
    return Answered(report, table, rows)


def label(row: Row) -> str:
    """A policy as the page names it: with the parameters that differ from the defaults."""
    return f"{row['policy']} {row['settings']}".rstrip()


def hues(names: Sequence[str]) -> dict[str, str]:
    """The colour of each policy: a built-in one has its own, which depends on nothing else."""
    own = {policy.name: f"var(--p{number})" for number, policy in enumerate(BUILTIN)}
    others = sorted(set(names) - own.keys())
    return own | {name: f"var(--q{number % OTHER_HUES})" for number, name in enumerate(others)}
