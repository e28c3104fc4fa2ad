"""Tables of the HTML page: the columns, titles and words that `replay report` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from replay.htmldata import Answered, Row, label
from replay.htmlfigures import SOFT, Drawing
from replay.htmlmarkup import Html, el, join
from replay.humane import number
from replay.render import Head, cell
from replay.reports import parts

_POLICY = "policy"
_SETTINGS = "settings"


def table(drawing: Drawing, heads: Mapping[str, Head], rows: Sequence[Row], caption: str, bars: Sequence[str] = ()) -> Html:
    """Rows under their heads, of which the first names the row; settings stand beside their policy.

    Columns `bars` have a bar of the value's share of the largest.
    """
    shown = {name: head for name, head in heads.items() if not (name == _SETTINGS and _POLICY in heads)}
    right = {name for name in shown if any(isinstance(row[name], int | float | Decimal) for row in rows)}
    most = {name: max((float(row[name] or 0) for row in rows), default=0) for name in bars}
    titles = [el("th", _title(head), scope="col", class_="n" if name in right else None) for name, head in shown.items()]
    body = []
    for row in rows:
        cells: list[Html] = []
        for name, head in shown.items():
            share = _share(drawing, row, name, most)
            classes = ("n" * (name in right), "bar" * bool(share), "zero" * (row[name] in (0, None)))
            attributes = {"class_": " ".join(filter(None, classes)) or None, "style": share}
            tag, scope = ("td", None) if cells else ("th", "row")
            cells.append(el(tag, _content(drawing, row, name, head), scope=scope, **attributes))
        body.append(el("tr", *cells))
    return scroll(caption, el("thead", el("tr", *titles)), el("tbody", join(body, "\n")))


def scroll(caption: str, *content: Html) -> Html:
    """A table that may be wider than the page: it scrolls by itself, by keys as well."""
    return el("div", el("table", el("caption", caption), *content), class_="scroll", tabindex=0, role="region", aria_label=caption)


def _title(head: Head) -> str:
    return head.title.replace("-\n", "").replace("\n", " ")


def _content(drawing: Drawing, row: Row, name: str, head: Head) -> str | Html:
    if name == _POLICY:
        return chip(drawing, row)
    return cell(row, name, head)


def _share(drawing: Drawing, row: Row, name: str, most: Mapping[str, float]) -> str | None:
    if not most.get(name):
        return None
    return f"--share:{float(row[name] or 0) / most[name]:.3f};--hue:{drawing.hue(row[_POLICY]) if _POLICY in row else SOFT}"


def chip(drawing: Drawing, row: Row) -> Html:
    """A policy's name, and its settings, behind a spot of its colour."""
    return el("span", label(row), class_="policy", style=f"--hue:{drawing.hue(row[_POLICY])}")


def heads_of(answered: Answered, without: Sequence[str] = ()) -> dict[str, Head]:
    """The columns of a report that show something, flags and the settings of a policy aside."""
    (part,) = parts(answered.reported.report, answered.rows)
    return {name: head for name, head in part.heads.items() if name not in without}


def report_sections(drawing: Drawing, answered: Answered) -> list[Html]:
    """Each section of a report: its title, what it is about, its table, and which columns have nothing."""
    found = []
    for part in parts(answered.reported.report, answered.rows):
        absent = el("p", f"None anywhere: {', '.join(part.empty)}.", class_="note") if part.empty else None
        lead = el("p", part.text[:1].upper() + part.text[1:])
        found.append(join([el("h3", part.title), lead, table(drawing, part.heads, answered.rows, part.title), absent]))
    return found


def pivot(drawing: Drawing, rows: Sequence[Row], value: str, caption: str, at: str = "after_ns") -> Html:
    """One line for each interval, one column for each policy; empty where there is nothing."""
    names = {label(row): row for row in rows if row[value]}
    found = {(row[at], label(row)): row[value] for row in rows if row[value]}
    titles = [el("th", "from", scope="col", class_="n"), *(el("th", name, scope="col", class_="n") for name in names)]
    times = sorted({time for time, _ in found})
    body = []
    for time in times:
        cells = [el("td", _amount(found.get((time, name)))) for name in names]
        body.append(el("tr", el("th", cell({at: time}, at, Head("", "ns")), scope="row"), *cells))
    return scroll(caption, el("thead", el("tr", *titles)), el("tbody", join(body, "\n"), class_="figures"))


def _amount(value: float | None) -> str:
    return "" if value is None else number(value)
