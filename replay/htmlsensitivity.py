"""The chapter of the HTML report about parameters: what becomes of each outcome as one of them grows and all others stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replay.htmldata import Findings, Row
from replay.htmlfigures import Drawing, Line, data, figure, legend, listed
from replay.htmlmarkup import Html, el, join
from replay.htmltables import table
from replay.humane import number
from replay.params import PARAMS, Param
from replay.reports import parts

# A grid has a line for each choice of the other parameters, a large one more than can be told apart.
_MOST_LINES = 8
_MOST_CHARTS = 48
_MOST_ROWS = 200
_SCALES = {"ns": (10**9, "s"), "bytes": (2**20, "MiB")}


@dataclass(frozen=True, slots=True)
class Series:
    """Runs of one policy on one trace that differ in one parameter only: its values, and their rows of report sweep."""

    name: str
    policy: str
    source: str
    points: Sequence[tuple[int, Row]]


def sensitivity(found: Findings, drawing: Drawing) -> Html:
    """Charts for each parameter of which there are several values; else how to make such runs."""
    swept = {param: series for param in PARAMS if param.kind in ("duration", "count") and (series := list(_series(found, param)))}
    lead = el("p", "What the choice of a number that nobody knows changes, all others as they are.")
    if not swept:
        command = el("code", "replay sweep --policy lease --param lease.app=1ms..600s:20")
        return join(
            [
                lead,
                el(
                    "p",
                    "No policy was replayed with several values of such a parameter: ",
                    command,
                    " does, and then make this page again.",
                ),
            ]
        )
    report = found.answers["sweep"].reported.report
    (part,) = parts(report, found.rows("sweep"))
    chapters = [_parameter(found, drawing, param, series) for param, series in swept.items()]
    rows = found.rows("sweep")
    note = f" (the first {_MOST_ROWS} of {number(len(rows))})" if len(rows) > _MOST_ROWS else ""
    numbers = data("The numbers of these charts", table(drawing, part.heads, rows[:_MOST_ROWS], report.title + note))
    return join([lead, *chapters, numbers])


def _parameter(found: Findings, drawing: Drawing, param: Param, series: Sequence[Series]) -> Html:
    sources = list(dict.fromkeys(one.source for one in series))
    several = len({row["trace"] for row in found.traces}) > 1
    cells: list[Html] = []
    for source in sources:
        own = [one for one in series if one.source == source]
        cells += _outcomes(found, drawing, param, own, f", {source}" if several else "")
    notes = [param.doc]
    if not cells:
        notes.append("No outcome depends on it here.")
    if cells and any(len([one for one in series if one.source == source]) > _MOST_LINES for source in sources):
        notes.append(f"The first {_MOST_LINES} choices of the other parameters are drawn.")
    if len(cells) > _MOST_CHARTS:
        notes.append(f"The first {_MOST_CHARTS} charts of {len(cells)}: choose a trace with --trace.")
    if any(value <= 0 for one in series for value, _ in one.points):
        notes.append("The scale has no place for 0, which is in the table only.")
    return join([el("h3", param.name), el("p", " ".join(notes), class_="note"), el("div", *cells[:_MOST_CHARTS], class_="cells")])


def _outcomes(found: Findings, drawing: Drawing, param: Param, series: Sequence[Series], where: str) -> Iterator[Html]:
    """A chart of each outcome that is not the same for all values."""
    lines = {one.name: line for one, line in zip(series, drawing.named((one.name, one.policy) for one in series), strict=True)}
    for column in found.answers["sweep"].reported.report.columns:
        if not column.head.unit:
            continue
        changing = [one for one in series[:_MOST_LINES] if len({row[column.name] or 0 for _, row in one.points}) > 1]
        if not changing:
            continue
        scale, unit = _SCALES.get(column.head.unit, (1, ""))
        title = f"{column.doc.rstrip('.')}{f' ({unit})' if unit else ''}{where}"
        words = f"{title}, as {param.name} grows, under {listed([one.name for one in changing])}."
        chart = drawing.place("counted" if param.kind == "count" else "outcomes", _points(changing, lines, column.name, scale), words)
        yield figure(title, legend([lines[one.name] for one in changing]), chart)


def _points(series: Sequence[Series], lines: Mapping[str, Line], name: str, scale: int) -> list[Mapping[str, Any]]:
    return [
        {"at": value, "value": float(f"{(row[name] or 0) / scale:.6g}"), **lines[one.name].fields}
        for one in series
        for value, row in one.points
        if value > 0
    ]


def _series(found: Findings, param: Param) -> Iterator[Series]:
    """Runs that differ in this parameter only, in the order of its values."""
    groups: dict[tuple[str, str, str], dict[int, Row]] = {}
    for row in found.rows("sweep"):
        others = " ".join(text for text in str(row["settings"] or "").split(" ") if not text.startswith(f"{param.name}="))
        value = param.parse(found.params[row["run"]].get(param.name, param.default))
        assert isinstance(value, int)
        groups.setdefault((f"{row['policy']} {others}".rstrip(), str(row["policy"]), str(row["source"])), {})[value] = row
    for (name, policy, source), rows in groups.items():
        if len(rows) > 1:
            yield Series(name, policy, source, sorted(rows.items()))
