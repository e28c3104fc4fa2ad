"""What kernel and replay are compared with: one trace open for questions, and the rows that comparisons give.

A row has the kernel's `measured` and the replay's `predicted`, and whether the two are `within` what is tolerated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replay.session import Session
from replay.store import Entry
from replay.views import raw_view_name

if TYPE_CHECKING:
    from replay.columns import Recorded

Row = dict[str, Any]

TOLERATED_SHARE = 0.05
TOLERATED_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class Subject:
    """One trace, open for questions."""

    session: Session
    entry: Entry
    recorded: Recorded

    def ask(self, query: str) -> list[Row]:
        return self.session.sql(query, {"trace": self.entry.id}).rows()

    def replay(self, policy: str, params: Mapping[str, str]) -> dict[str, list[Row]]:
        """A replay that is not stored: stalls, conflicts and refusals."""
        from replay.outcomes import RunName
        from replay.params import parse_params
        from replay.policies import find_policy
        from replay.runs import replay_tables

        tables = replay_tables(self.recorded, find_policy(policy), parse_params(params), RunName("", policy, self.entry.id))
        return {name: tables[name].to_pylist() for name in ("stalls", "conflicts", "refusals")}

    def raw(self, *prefixes: str) -> Iterator[str]:
        """Views of the trace's raw events whose name begins so."""
        for raw in self.entry.manifest["raw"]:
            if raw["event"].startswith(prefixes):
                yield raw_view_name(raw["system"], raw["event"])


def wait_row(kind: str, item: str, measured: int, predicted: int | None, note: str = "", apart: int = 0) -> Row:
    """`apart`: what of the measured wait has a cause that the replay is not about."""
    error = None if predicted is None else abs(predicted - (measured - apart))
    within = error is not None and (error <= TOLERATED_NS or error <= TOLERATED_SHARE * measured)
    share = error / measured if error is not None and measured else None
    row = {"kind": kind, "item": item, "unit": "ns", "measured": measured, "predicted": predicted, "error": share, "within": within}
    return {**row, "note": note if predicted is not None else "the replay shows no such wait"}


def count_row(kind: str, items: int, measured: int, predicted: int, agree: int, note: str = "") -> Row:
    within = measured == predicted == agree
    row = {"kind": kind, "unit": "count", "items": items, "measured": measured, "predicted": predicted, "agree": agree, "within": within}
    return {**row, "error": abs(predicted - measured) / measured if measured else None, "note": note}
