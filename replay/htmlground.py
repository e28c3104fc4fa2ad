"""The chapters of the HTML report about what it stands on: what was lost, and what was assumed of which traces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from replay.htmldata import Findings, Row
from replay.htmlfigures import Drawing
from replay.htmlmarkup import Html, el, join
from replay.htmltables import table
from replay.humane import number
from replay.params import PARAMS
from replay.render import Head

_MOST_ROWS = 100
_LOSSES = {"source": Head("trace"), "counter": Head("counter"), "severity": Head("severity"), "count": Head("count", "count")}
_LOSSES |= {"total": Head("of", "count"), "meaning": Head("what it means"), "advice": Head("what to do")}
_TRACES = {"source": Head("trace"), "trace": Head("id"), "format": Head("format"), "uname": Head("kernel"), "clock": Head("clock")}
_TRACES |= {"cpus": Head("CPUs"), "span_ns": Head("span", "ns"), "raw_events": Head("records", "count"), "events": Head("events", "count")}
_TRACES |= {
    "pins": Head("pins", "count"),
    "pins_unresolved": Head("pin calls unresolved", "count"),
    "lost_events": Head("records lost", "count"),
}
_DECISIONS = {"policy": Head("policy"), "admit": Head("admit"), "writeback": Head("writeback"), "layout": Head("layout")}
_DECISIONS |= {"reclaim": Head("reclaim"), "free": Head("free")}
_PARAMETERS = {
    "name": Head("parameter"),
    "default": Head("default"),
    "others": Head("also here"),
    "doc": Head("meaning"),
    "source": Head("source"),
}
_RUNS = {"policy": Head("policy"), "source": Head("trace"), "run": Head("run"), "engine": Head("engine")}
_BOUNDS = (
    "A delay moves the later events of the delayed task (of others as far as parameter propagate says): stalls are lower bounds.",
    "Work behind a refused pin is removed and counted as lost, never as conflicts avoided.",
    "Where a trace shows no remote access, as with real hardware, a writable region may be written whenever it lives (remote.activity).",
    "What was lost or left unresolved takes part in no conflict.",
)


def losses(found: Findings, drawing: Drawing) -> Html:
    if not found.losses:
        return el("p", "Nothing: every record was read, every page found.")
    return table(drawing, _LOSSES, found.losses, "What was lost, skipped or left unresolved")


def assumptions(found: Findings, drawing: Drawing) -> Html:
    return join(
        [
            el("ul", *(el("li", text) for text in _BOUNDS), class_="text"),
            el("h3", "Traces"),
            *_first(drawing, _TRACES, found.traces, "The traces that were replayed"),
            el("h3", "Policies"),
            table(drawing, _DECISIONS, _decisions(found), "What each policy decides"),
            el("h3", "Parameters"),
            el("p", "Numbers that a trace cannot tell. A run records all of them; a policy whose name stands alone has the defaults."),
            table(drawing, _PARAMETERS, _parameters(found), "The parameters of these runs"),
            el("h3", "Runs"),
            *_first(drawing, _RUNS, _runs(found), "The runs that are compared"),
        ]
    )


def _first(drawing: Drawing, heads: Mapping[str, Head], rows: Sequence[Row], caption: str) -> list[Html]:
    shown = [table(drawing, heads, rows[:_MOST_ROWS], caption)]
    if len(rows) > _MOST_ROWS:
        shown.append(el("p", f"The first {_MOST_ROWS} of {number(len(rows))}.", class_="note"))
    return shown


def _decisions(found: Findings) -> list[Row]:
    """What each policy decides; a name that was changed between runs stands there once for each meaning."""
    rows: list[Row] = []
    for policy, decisions in dict.fromkeys((str(run.row["policy"]), str(run.row["decisions"])) for run in found.runs):
        values = {name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in json.loads(decisions).items()}
        rows.append({**dict.fromkeys(_DECISIONS, ""), "policy": policy, "settings": "", **values})
    return rows


def _parameters(found: Findings) -> list[Row]:
    """Every parameter with the values that these runs have besides the default."""
    rows: list[Row] = []
    for param in PARAMS:
        default = param.show(param.parse(param.default))
        values = dict.fromkeys(json.loads(run.row["params"]).get(param.name, default) for run in found.runs)
        others = " ".join(value for value in values if value != default)
        rows.append({"name": param.name, "default": default, "others": others, "doc": param.doc, "source": param.source})
    return rows


def _runs(found: Findings) -> list[Row]:
    engines = {run.id: run.row["engine"] for run in found.runs}
    return [{**row, "engine": engines[row["run"]]} for row in found.rows("runs") if row["run"] in engines]
