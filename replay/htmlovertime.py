"""The chapters of the HTML report about time and names: when policies meet pins and pay for it, and who hurts whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from replay.htmldata import Findings, Row, label
from replay.htmlfigures import Drawing, data, figure, legend, listed, steps, strengths
from replay.htmlmarkup import Html, el, join
from replay.htmltables import chip, heads_of, pivot, table
from replay.humane import duration, number, quantity

# Charts of time are drawn of so many traces, of those with the most rows to show: more would be a page for each.
_MOST_TRACES = 3
_RISKS = {"at_risk_pages": ("data at risk", 1.0), "lost_pages": ("service lost", 0.55), "pressure_pages": ("pressure", 0.25)}


def conflicts_over_time(found: Findings, drawing: Drawing) -> Html:
    """For each trace a chart of each policy, each on its own scale: the headline has the sums, here it is about when."""
    rows = [row for row in found.rows("over-time") if any(row[name] for name in _RISKS)]
    if not rows:
        return el("p", "No policy ran into a conflict.")
    traces, left_out = _traces(rows)
    risks = {name: strength for risk, (name, strength) in _RISKS.items() if any(row[risk] for row in rows)}
    lead = el("p", "Pages of conflicts in each interval; a page counts each time. Each policy has a scale of its own.")
    return join([lead, strengths(risks), _left_out(left_out), *(_conflicts(found, drawing, own, len(traces)) for own in traces)])


def _conflicts(found: Findings, drawing: Drawing, rows: Sequence[Row], traces: int) -> Html:
    width = rows[0]["width_ns"]
    span = max(row["after_ns"] for row in rows) + width
    names = {label(row): row for row in rows}
    cells = [_policy_cell(drawing, name, [row for row in rows if label(row) == name], span) for name in names]
    tables = [
        pivot(drawing, rows, risk, f"Pages, {name}, in each interval of {duration(width)}")
        for risk, (name, _) in _RISKS.items()
        if _any(rows, risk)
    ]
    note = f"Intervals of {duration(width)}, from the first event on."
    without = found.without(list(names))
    note += f" No conflict under {listed(without)}." if without else ""
    return join(
        [
            _trace_title(rows, traces),
            el("p", note, class_="note"),
            el("div", *cells, class_="cells"),
            data("The numbers of these charts", *tables),
        ]
    )


def _policy_cell(drawing: Drawing, name: str, rows: Sequence[Row], span: int) -> Html:
    bars = []
    for row in rows:
        place = {"from": row["after_ns"] / 1e9, "to": (row["after_ns"] + row["width_ns"]) / 1e9}
        bars += [{**place, "pages": row[risk], "strength": strength} for risk, (_, strength) in _RISKS.items() if row[risk]]
    peak = max(rows, key=lambda row: sum(row[risk] for risk in _RISKS))
    pages = number(sum(peak[risk] for risk in _RISKS))
    note = f"at most {pages} pages, after {duration(peak['after_ns'])}"
    chart = drawing.place(
        "pages", bars, f"Pages of conflicts over time under {name}: {note}.", span=span / 1e9, hue=drawing.hue(rows[0]["policy"])
    )
    return figure(chip(drawing, rows[0]), chart, note=note)


def costs_over_time(found: Findings, drawing: Drawing) -> Html:
    """For each trace a chart of each cost, with a line for each policy that pays it."""
    rows = found.rows("cost-series")
    if not rows:
        return el("p", "No policy cost anything.")
    traces, left_out = _traces(rows)
    lead = el(
        "p",
        "The amount that falls into each interval, of pages and blocks how many there are; policies that a chart does not name have none.",
    )
    return join([lead, _left_out(left_out), *(_costs(found, drawing, own, len(traces)) for own in traces)])


def _costs(found: Findings, drawing: Drawing, rows: Sequence[Row], traces: int) -> Html:
    docs = {column.name: column.doc.rstrip(".") for column in found.overview.report.columns}
    span = max(row["after_ns"] + row["width_ns"] for row in rows)
    widths = sorted({row["width_ns"] for row in rows})
    intervals = f"Intervals of {' to '.join(dict.fromkeys(map(duration, (widths[0], widths[-1]))))}."
    cells, tables = [], []
    for metric in sorted(
        {str(row["metric"]) for row in rows}, key=lambda name: (list(docs).index(name) if name in docs else len(docs), name)
    ):
        own = [row for row in rows if row["metric"] == metric]
        title = docs.get(metric, metric.replace("_", " ").capitalize()).removesuffix(", times seconds")  # here it is how many at a time
        cells.append(_cost_cell(drawing, title, own, span))
        tables.append(pivot(drawing, own, "value", f"{title} ({own[0]['unit']}) in each interval"))
    numbers = data("The numbers of these charts", *tables)
    return join([_trace_title(rows, traces), el("p", intervals, class_="note"), el("div", *cells, class_="cells"), numbers])


def _cost_cell(drawing: Drawing, title: str, rows: Sequence[Row], span: int) -> Html:
    lines = drawing.lines(rows)
    points: list[Mapping[str, Any]] = []
    for name, line in lines.items():
        own = [row for row in rows if label(row) == name]
        points += [{"from": at, "value": value, **line.fields} for at, value in steps(own, "value")]
    most = max(rows, key=lambda row: row["value"])
    amount = quantity(most["value"], "bytes" if most["unit"] == "bytes" else "amount")
    words = f"{title}, over time, under {listed(list(lines))}; at most {amount} in an interval, under {label(most)}."
    chart = drawing.place("amounts", points, words, span=span / 1e9)
    return figure(title, legend(list(lines.values())), chart, note=f"{rows[0]['metric']}, in {rows[0]['unit']}")


def who_hurts_whom(found: Findings, drawing: Drawing) -> Html:
    """The worst of each policy in a line, below it those that come next."""
    answered = found.answers["culprits"]
    if not answered.rows:
        return el("p", "No pin was in anybody's way.")
    heads = heads_of(answered, ("policy", "settings"))
    folded = []
    for name in dict.fromkeys(map(label, answered.rows)):
        rows = [row for row in answered.rows if label(row) == name]
        worst = join([chip(drawing, rows[0]), el("span", f": {_harm(rows[0])}", class_="worst")])
        folded.append(data(worst, table(drawing, heads, rows, f"Who hurts whom under {name}")))
    lead = el("p", "The worst of each policy, unfolded the worst ten; ", el("code", "replay report culprits --policy NAME"), " names more.")
    return join([lead, *folded])


def _harm(row: Row) -> str:
    amounts = [
        f"{number(row['at_risk_pages'])} pages at risk" if row["at_risk_pages"] else "",
        f"{number(row['lost_pages'])} pages of service lost" if row["lost_pages"] else "",
        f"{number(row['stalls'])} waits of {duration(row['total_ns'])}" if row["stalls"] else "",
        f"{number(row['pressure_pages'])} pages under pressure" if row["pressure_pages"] else "",
    ]
    label = f" ({row['label']})" if row["label"] else ""
    region = f", MR {row['mr']}{label}," if row["mr"] is not None else ""
    holder, victim = row["holder"] or "an unknown task", row["victim"] or "an unknown task"
    return f"pins of {holder}{region} on {row['file'] or 'no file'} hurt {row['op']} by {victim}: {listed(list(filter(None, amounts)))}"


def _traces(rows: Sequence[Row]) -> tuple[list[list[Row]], list[str]]:
    """The rows of each trace that is drawn, and the sources of those that are not."""
    sources = {row["trace"]: row["source"] for row in rows}
    own = {trace: [row for row in rows if row["trace"] == trace] for trace in sources}
    drawn = set(sorted(own, key=lambda trace: (-len(own[trace]), trace))[:_MOST_TRACES])
    return [own[trace] for trace in own if trace in drawn], [sources[trace] for trace in own if trace not in drawn]


def _left_out(sources: Sequence[str]) -> Html | None:
    if not sources:
        return None
    return el("p", f"Not drawn: {listed(sources)}. Choose one with ", el("code", "--trace"), ".", class_="note")


def _trace_title(rows: Sequence[Row], traces: int) -> Html | None:
    return el("h3", str(rows[0]["source"])) if traces > 1 else None


def _any(rows: Sequence[Row], name: str) -> bool:
    return any(row[name] for row in rows)
