"""The chapters of the HTML report that compare policies, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replay.htmldata import Findings, label
from replay.htmlfigures import Drawing, Line, data, figure, legend, listed
from replay.htmlground import assumptions, losses
from replay.htmlmarkup import Html, el, join
from replay.htmlovertime import conflicts_over_time, costs_over_time, who_hurts_whom
from replay.htmlsensitivity import sensitivity
from replay.htmltables import heads_of, report_sections, table
from replay.humane import duration, number
from replay.reports import parts

_HEADLINE = ("policy", "settings", "traces", "at_risk_bytes", "lost_pages", "stalls", "longest_ns", "total_ns", "unbounded")
_HEADLINE_BARS = ("at_risk_bytes", "lost_pages", "stalls", "total_ns")


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter: its anchor, its title, and what makes it."""

    name: str
    title: str
    make: Callable[[Findings, Drawing], Html]


def _headline(found: Findings, drawing: Drawing) -> Html:
    answered = found.answers["overview"]
    columns = {column.name: column.head for column in answered.reported.report.columns}
    heads = {name: columns[name] for name in _HEADLINE if name != "traces" or len(found.traces) > 1}
    shown = table(drawing, heads, answered.rows, "What each policy puts at risk, withholds, and makes tasks wait", _HEADLINE_BARS)
    (at_risk,) = (part.text for part in parts(answered.reported.report, answered.rows) if part.title == "Data at risk")
    lead = el("p", f"Data at risk: {at_risk}")
    return join([lead, shown, el("details", el("summary", "All figures of the overview"), *report_sections(drawing, answered))])


def _stalls(found: Findings, drawing: Drawing) -> Html:
    answered = found.answers["stall-distribution"]
    if not answered.rows:
        return el("p", "No policy made any task wait for a pin.")
    lines = drawing.lines(answered.rows)
    without = found.without(list(lines))
    note = (
        "Ten steps for each factor of ten: a step is 26 % wide. A wait that had not ended at the end of the trace lasts longer than drawn."
    )
    note += f" No wait under {listed(without)}." if without else ""
    chart = drawing.place("stalls", _stall_points(found, lines), _stalls_in_words(found))
    numbers = data("The numbers of this chart", table(drawing, heads_of(answered), answered.rows, answered.reported.report.title))
    waiting = found.answers["stalls"]
    title = f"{waiting.reported.report.title} (the first ten of each policy)"
    return join(
        [
            figure("How many waits last at least so long", legend(list(lines.values())), chart, numbers, note=note),
            el("h3", "Who waited for whom"),
            table(drawing, heads_of(waiting), waiting.rows, title),
        ]
    )


def _stall_points(found: Findings, lines: Mapping[str, Line]) -> Sequence[Mapping[str, Any]]:
    """Steps: one begins with each interval that has waits, and one behind it, where only the longer ones are left."""
    points = []
    for name, line in lines.items():
        rows = [row for row in found.rows("stall-distribution") if label(row) == name]
        for row, longer in zip(rows, [*rows[1:], rows[-1]], strict=True):
            points.append({"ns": row["from_ns"], "n": row["at_least"], **line.fields})
            if longer["from_ns"] != row["to_ns"]:
                points.append({"ns": row["to_ns"], "n": longer["at_least"], **line.fields})
    return points


def _stalls_in_words(found: Findings) -> str:
    waits = [
        f"{label(row)} {number(row['stalls'])}, the longest {duration(row['longest_ns'])}"
        for row in found.rows("overview")
        if row["stalls"]
    ]
    return f"Chart of how long waits are. Waits: {'; '.join(waits)}."


SECTIONS: tuple[Section, ...] = (
    Section("policies", "What each policy costs", _headline),
    Section("stalls", "Waiting", _stalls),
    Section("conflicts", "Conflicts over time", conflicts_over_time),
    Section("culprits", "Who hurts whom", who_hurts_whom),
    Section("costs", "Costs over time", costs_over_time),
    Section("sensitivity", "Sensitivity to parameters", sensitivity),
    Section("losses", "What was lost", losses),
    Section("assumptions", "What this stands on", assumptions),
)
